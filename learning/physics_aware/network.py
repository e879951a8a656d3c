"""A network whose layers are a physical system: what is trained in front of each pass is one number a value.

    u_l = scale_l * x_l[wiring_l] + offset_l          element by element, in units of half the input's range
    y_l = (f(V(u_l)) - middle) / spread               the system, u clamped to its limits
    x_(l+1) = y_l + skip_l * x_l[...]
    score_c = gain_c * mean of x over the window of class c, after the last pass

No trained matrix anywhere: numbers are mixed by the system's physics alone. What goes from layer to layer is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.physics_aware.layer import system_function
from learning.physics_aware.layout import PassLayout
from learning.physics_aware.model_fit import random_inputs
from learning.pytorch import Tensor, pytorch

torch: Any = pytorch()


@dataclass(eq=False)
class NetworkRun:
    """One batch through the network.

    Attributes
    ----------
    scores : tensor, shape (batch, classes)
    overdrive : tensor
        Mean square of what the values exceed the limits by, in half ranges: a penalty that brings them back, as a
        clamped value has no gradient.
    failed : ndarray of bool, shape (batch,)
        Samples for which the system gave no response in some pass; their scores mean nothing.
    values_V, responses_V : list of ndarray
        Of each pass, measured.
    reasons : dict of int to str
        What the system said of samples for which it failed, by place in the batch, where it has an attribute
        ``failed`` as `CircuitSystem`.
    """

    scores: Tensor
    overdrive: Tensor
    failed: Any
    values_V: list[FloatArray]
    responses_V: list[FloatArray]
    reasons: dict[int, str]


class PhysicalNetwork(torch.nn.Module):  # type: ignore[misc]
    """Passes through a physical system, trained element by element.

    Parameters
    ----------
    system : PhysicalSystem
    model : callable, optional
        Its differentiable model, see `system_function`.
    layout : PassLayout
    mode : {"pat", "in-silico", "ideal"}
    output_scale_V : tuple of float, optional
        Middle and spread of the responses; by default those of the model (or the system without its noise, where
        there is no model) at random inputs.
    seed : int
        Of the start.

    Raises
    ------
    InputError
        For a layout that does not fit the system.
    """

    def __init__(
        self,
        system: Any,
        model: Any = None,
        *,
        layout: PassLayout,
        mode: str = "pat",
        output_scale_V: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for wiring, skip in zip(layout.wirings, layout.skips, strict=True):
            if len(wiring) != system.inputs or (skip is not None and len(skip) != system.outputs):
                width = f"{system.inputs} inputs and {system.outputs} outputs"
                raise InputError("layout", len(wiring), f"does not fit the system's {width}", "make it for them")
        self.system, self.layout, self.mode = system, layout, mode
        object.__setattr__(self, "model", model)  # no part of what is trained here
        rng = np.random.default_rng([seed, 41])
        shape = layout.passes, system.inputs
        self.scale = torch.nn.Parameter(torch.tensor(0.3 + 0.1 * rng.standard_normal(shape)))
        self.offset = torch.nn.Parameter(torch.tensor(0.1 * rng.standard_normal(shape)))
        self.skip = torch.nn.Parameter(torch.full((layout.passes, system.outputs), 0.5, dtype=torch.float64))
        self.gain = torch.nn.Parameter(torch.ones(layout.classes, dtype=torch.float64))
        low, high = system.input_limits_V
        self.middle, self.half = torch.tensor(0.5 * (low + high)), torch.tensor(0.5 * (high - low))
        if output_scale_V is None:
            values = random_inputs(system, 60, rng)
            if model is None:
                usual = system.respond(values, None)
            else:
                with torch.no_grad():
                    usual = model(torch.tensor(values)).numpy()
            output_scale_V = float(np.nanmean(usual)), float(np.nanstd(usual)) or 1.0
        self.output_scale_V = output_scale_V

    def forward(self, features: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        """Scores of the classes, (batch, classes), for features (batch, features)."""
        return self.run(features, rng).scores

    def run(self, features: Tensor, rng: np.random.Generator | None = None, *, mode: str | None = None) -> NetworkRun:
        """A batch through the network, with all that was measured on the way.

        Parameters
        ----------
        features : tensor, shape (batch, features)
        rng : numpy.random.Generator, optional
            Of the system's noise; without it there is none.
        mode : str, optional
            Another than the network's.
        """
        told: list[tuple[FloatArray, FloatArray]] = []
        respond = system_function(
            self.system, self.model, mode=mode or self.mode, rng=rng, measured=lambda *pair: told.append(pair)
        )
        state, overdrive = features, features.new_zeros(())
        failed = torch.zeros(len(features), dtype=torch.bool)
        middle, spread = self.output_scale_V
        values, responses = [], []
        reasons: dict[int, str] = {}
        for which, (wiring, skip) in enumerate(zip(self.layout.wirings, self.layout.skips, strict=True)):
            unit = self.scale[which] * state[:, wiring] + self.offset[which]
            overdrive = overdrive + (torch.relu(unit.abs() - 1.0) ** 2).mean()
            volts = self.middle + self.half * unit.clamp(-1.0, 1.0)
            response = respond(volts)
            values.append(volts.detach().numpy())
            responses.append(response.detach().numpy())
            bad = ~torch.isfinite(response.detach()).all(dim=1)
            failed |= bad
            if bad.any():
                said = {one.index: " ".join(str(one.error).split()) for one in getattr(self.system, "failed", ())}
                reasons = {**said, **reasons}
            measured = (torch.where(bad[:, None], torch.zeros_like(response), response) - middle) / spread
            state = measured if skip is None else measured + self.skip[which] * state[:, skip]
        means = torch.stack([state[:, window].mean(dim=1) for window in self.layout.windows], dim=1)
        return NetworkRun(self.gain * means, overdrive / self.layout.passes, failed.numpy(), values, responses, reasons)
