"""Digital models of physical systems: small networks, fitted to what the system answered, differentiable by PyTorch.

All take values in volts (batch, inputs) and give responses in volts (batch, outputs); the scales between are part of
the model. `DenseModel` is for nodes without memory, `WaveformModel` for a waveform that a circuit with memory answers.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.pytorch import Tensor, pytorch

torch: Any = pytorch()


class DigitalModel(torch.nn.Module):  # type: ignore[misc]
    """Scales around a network: y = middle_y + spread_y net((V - middle_V) / half_V).

    Parameters
    ----------
    inputs, outputs : int
    shape : dict
        What else the class needs to be made again from a file.
    """

    def __init__(self, inputs: int, outputs: int, shape: dict[str, Any]) -> None:
        super().__init__()
        self.inputs, self.outputs, self.shape = inputs, outputs, shape
        for name, size in (("input", inputs), ("output", outputs)):
            self.register_buffer(f"{name}_middle", torch.zeros(size))
            self.register_buffer(f"{name}_spread", torch.ones(size))
        self.double()

    def set_scales(self, low: FloatArray, high: FloatArray, responses: FloatArray) -> None:
        """Scales of the inputs by their limits, of the outputs by mean and spread of responses."""
        spread = responses.std(axis=0)
        self.input_middle.copy_(torch.as_tensor(0.5 * (low + high)))
        self.input_spread.copy_(torch.as_tensor(0.5 * (high - low)))
        self.output_middle.copy_(torch.as_tensor(responses.mean(axis=0)))
        self.output_spread.copy_(torch.as_tensor(np.where(spread > 0, spread, 1.0)))

    def forward(self, values: Tensor) -> Tensor:
        """Responses, V, to values, V."""
        scaled = self.network((values - self.input_middle.to(values)) / self.input_spread.to(values))
        return self.output_middle.to(values) + self.output_spread.to(values) * scaled

    def network(self, scaled: Tensor) -> Tensor:
        """The network between the scales, (batch, inputs) to (batch, outputs)."""
        raise NotImplementedError


class DenseModel(DigitalModel):
    """A dense network with tanh; for many equal nodes one that they share.

    Parameters
    ----------
    inputs, outputs : int
    hidden : tuple of int
        Neurons of the hidden layers.
    nodes : int
        Equal nodes whose inputs lie one after the other, as a `DeviceSystem` has them; 1: one network for all.
    seed : int
        Of the start.

    Raises
    ------
    InputError
        For inputs or outputs that the nodes cannot share.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: tuple[int, ...] = (64, 64), nodes: int = 1, seed: int = 0
    ) -> None:
        super().__init__(inputs, outputs, {"hidden": list(hidden), "nodes": nodes})
        if inputs % nodes or outputs % nodes:
            raise InputError("nodes", nodes, f"do not share {inputs} inputs and {outputs} outputs", "change them")
        self.nodes = nodes
        sizes = (inputs // nodes, *hidden, outputs // nodes)
        layers: list[Any] = []
        for before, after in pairwise(sizes):
            layers += [torch.nn.Linear(before, after), torch.nn.Tanh()]
        self.layers = torch.nn.Sequential(*layers[:-1]).double()
        _start(self, seed)

    def network(self, scaled: Tensor) -> Tensor:
        """Node by node."""
        rows = scaled.reshape(len(scaled), self.nodes, -1)
        return self.layers(rows).reshape(len(scaled), -1)


class WaveformModel(DigitalModel):
    """A causal convolution: each point of the response from the last points of the waveform, the same at all times.

        y_t = sum_k a_k x_(t-k) + g(x_t, x_(t-1), ..., x_(t-taps+1)),      g a dense network with tanh

    Before its first point the waveform stood at a rest value, which is fitted too.

    Parameters
    ----------
    points : int
    taps : int
        Points that the circuit remembers, the present one included.
    hidden : tuple of int
        Neurons of the hidden layers of g.
    seed : int
        Of the start.
    """

    def __init__(self, points: int, taps: int = 16, hidden: tuple[int, ...] = (32, 16), seed: int = 0) -> None:
        super().__init__(points, points, {"taps": taps, "hidden": list(hidden)})
        self.taps = taps
        channels = (1, *hidden, 1)
        layers: list[Any] = []
        for k, (before, after) in enumerate(pairwise(channels)):
            layers += [torch.nn.Conv1d(before, after, taps if k == 0 else 1), torch.nn.Tanh()]
        self.layers = torch.nn.Sequential(*layers[:-1]).double()
        self.linear = torch.nn.Conv1d(1, 1, taps, bias=False).double()
        self.rest = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        _start(self, seed)

    def set_scales(self, low: FloatArray, high: FloatArray, responses: FloatArray) -> None:
        """One scale for all points, as the circuit is the same at all times."""
        points = responses.shape[1]
        low, high = np.full(points, np.min(low)), np.full(points, np.max(high))
        super().set_scales(low, high, np.broadcast_to(responses.reshape(-1, 1), (responses.size, points)))

    def network(self, scaled: Tensor) -> Tensor:
        """Point by point."""
        before = self.rest.to(scaled).expand(len(scaled), self.taps - 1)
        waves = torch.cat([before, scaled], dim=1)[:, None]
        return (self.linear(waves) + self.layers(waves))[:, 0]


def save_model(model: DigitalModel, path: str | Path) -> Path:
    """Write a model as .npz: arrays and one line of JSON, nothing that could run."""
    path = Path(path)
    told = {"kind": type(model).__name__, "inputs": model.inputs, "outputs": model.outputs, **model.shape}
    arrays = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    try:
        with path.open("wb") as file:
            np.savez(file, model=np.array(json.dumps(told)), **arrays)
    except OSError as error:
        raise InputError("path", str(path), f"cannot be written ({error.strerror})", "choose another") from error
    return path


def load_model(path: str | Path) -> DigitalModel:
    """Read a model that `save_model` wrote.

    Raises
    ------
    InputError
        If the file is missing or holds no such model.
    """
    problem = "is no model of save_model"
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            told = json.loads(str(file["model"]))
            arrays = {name: torch.as_tensor(file[name]) for name in file.files if name != "model"}
        hidden = tuple(told["hidden"])
        model: DigitalModel
        if told["kind"] == "DenseModel":
            model = DenseModel(told["inputs"], told["outputs"], hidden, told["nodes"])
        elif told["kind"] == "WaveformModel":
            model = WaveformModel(told["inputs"], told["taps"], hidden)
        else:
            raise InputError("path", str(path), problem, "give another file")
        model.load_state_dict(arrays)
    except OSError as error:
        raise InputError("path", str(path), f"cannot be read ({error.strerror or error})", "check it") from error
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError("path", str(path), problem, "give another file") from error
    return model


def _start(model: Any, seed: int) -> None:
    """Weights uniform within +-1/sqrt(inputs), biases too, from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv1d)):
            reach = (layer.weight[0].numel()) ** -0.5
            for value in (layer.weight, layer.bias):
                if value is not None:
                    with torch.no_grad():
                        value.uniform_(-reach, reach, generator=generator)
