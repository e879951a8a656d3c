"""A chip, or a model of one, as a ReLU network fitted to its samples: electrode voltages in, currents out.

Such a network knows the chip within the voltage ranges in which it was sampled and nothing outside them, so the ranges
are enforced. Method: Ruiz Euler et al., Nature Nanotechnology 15, 992 (2020). The same numbers are read from a plain
`.npz` or from the file that brains-py saves; `fit_surrogate` makes one from any device model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from dnpu_models.interface import memoryless
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.surrogate import kernel as kernel_module
from dnpu_models.surrogate import many as many_module
from dnpu_models.surrogate.brainspy_file import read_network, read_npz
from inmateria.checks import FloatArray, array, finite
from inmateria.errors import InputError

VIRTUAL_GROUND_V = 10e-3
"""The output was measured at 0 V, held there by an amplifier whose offset and settling take some millivolts: within
them the surrogate answers as at 0 V (1 mV shifts an output by 1 mV times its slopes), farther off not at all."""
RANGE_SLACK_V = 1e-6
"""Ranges are stored in single precision: 0.65 V comes back as 0.64999998 V and is still allowed."""
_NA = 1e-9


@dataclass(frozen=True, eq=False)
class ChipSurrogate:
    """Network of a chip: voltages of the activation electrodes in, output currents out.

    One terminal, `held`, is the output, held at 0 V; the others are the activation electrodes, in the order of the
    network's inputs. A measured chip has the terminals ``out`` and ``e1`` to ``e7`` (brains-py's electrode k is
    ``e{k+1}``), and **only the output's current is known** (`measured`): currents and conductances of all other
    terminals are reported as 0, which means unknown, not zero, and Kirchhoff's current law does not hold over the
    terminals. Then the activation electrodes must be driven by voltage sources, and a circuit that asks for the current
    into one of them cannot be simulated with this device. A network fitted to a model can know the currents of all its
    terminals. The derivative by the output's own voltage is unknown in any case, and reported as 0.

    The response is static and piecewise linear: derivatives beyond the first vanish between the kinks.

    Parameters
    ----------
    weights : tuple of array_like
        (n_out, n_in) of each layer; the first takes the voltages in V, the last has one output for each of `measured`.
        Kept in single precision, as trained.
    biases : tuple of array_like
        (n_out,) of each layer.
    voltage_min_V, voltage_max_V : array_like, shape (n_inputs,)
        Range of each activation electrode in which the chip was measured, V.
    amplification_A : float
        Current out of the device, A, per unit of the network's outputs: 39.5e-9 for a file that says 39.5 (nA).
    source : str, optional
        Where the network came from; for provenance only.
    terminals : tuple of str, optional
        Names of the terminals; by default ``out`` and ``e1``, ``e2``, ...
    held : int
        The terminal held at 0 V, whose voltage is no input.
    measured : tuple of int
        Terminals whose current is known, in the order of the network's outputs; `held` is among them.

    Raises
    ------
    InputError
        If shapes do not fit, a number is not finite, a range is empty, or terminals are named or listed twice.
    """

    weights: tuple[Any, ...]
    biases: tuple[Any, ...]
    voltage_min_V: FloatArray
    voltage_max_V: FloatArray
    amplification_A: float
    source: str | None = None
    terminals: tuple[str, ...] = ()
    held: int = 0
    measured: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        weights = tuple(array(f"weights[{k}]", w, (None, None), np.float32) for k, w in enumerate(self.weights))
        biases = tuple(array(f"biases[{k}]", b, (None,), np.float32) for k, b in enumerate(self.biases))
        if not weights or len(weights) != len(biases):
            problem = f"{len(weights)} layers of weights want as many biases"
            raise InputError("biases", len(biases), problem, "give one of each")
        for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if 0 in weight.shape or bias.shape != weight.shape[:1]:
                raise InputError(f"biases[{k}]", bias.shape, f"does not fit weights {weight.shape}", "check the layer")
            if k and weight.shape[1] != weights[k - 1].shape[0]:
                problem = f"does not fit the {weights[k - 1].shape[0]} outputs of the layer before"
                raise InputError(f"weights[{k}]", weight.shape, problem, "check the order of the layers")
        inputs = weights[0].shape[1]
        terminals, held, measured = self._checked_terminals(inputs, weights[-1])
        low = array("voltage_min_V", self.voltage_min_V, (inputs,))
        high = array("voltage_max_V", self.voltage_max_V, (inputs,))
        if np.any(low >= high):
            k = int(np.argmax(low - high))
            raise InputError(f"voltage_min_V[{k}]", float(low[k]), "is not below the maximum", "check the ranges")
        amplification = finite("amplification_A", self.amplification_A, "A")
        if amplification == 0:
            raise InputError("amplification_A", amplification, "is zero", "give it in A")
        values: dict[str, Any] = {"weights": weights, "biases": biases, "voltage_min_V": low, "voltage_max_V": high}
        values |= {"amplification_A": amplification, "terminals": terminals, "held": held, "measured": measured}
        for fixed in (*weights, *biases, low, high):
            fixed.setflags(write=False)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _checked_terminals(self, inputs: int, last: Any) -> tuple[tuple[str, ...], int, tuple[int, ...]]:
        """Names, held terminal and terminals of known current, for the network's inputs and its last layer; checked."""
        names = tuple(map(str, self.terminals)) or ("out", *(f"e{k + 1}" for k in range(inputs)))
        if len(names) != inputs + 1 or len(set(names)) != len(names):
            problem = f"{inputs} inputs and the output want {inputs + 1} different names"
            raise InputError("terminals", names, problem, "check them")
        try:
            held, measured = int(self.held), tuple(int(k) for k in self.measured)
        except (TypeError, ValueError) as error:
            raise InputError("measured", self.measured, "names no terminals", "give their indices") from error
        if not 0 <= held <= inputs:
            raise InputError("held", held, "is no terminal", f"give 0 to {inputs}")
        if len(set(measured)) != len(measured) or held not in measured or not set(measured) <= set(range(inputs + 1)):
            raise InputError("measured", measured, f"must hold {held} and other terminals once each", "check the list")
        if last.shape[0] != len(measured):
            problem = f"has {last.shape[0]} outputs where {len(measured)} terminals are measured"
            raise InputError(f"weights[{len(self.weights) - 1}]", last.shape, problem, "check measured")
        return names, held, measured

    @classmethod
    def from_npz(cls, path: str | Path) -> Self:
        """Read a numpy `.npz` file.

        Parameters
        ----------
        path : str or Path
            File with ``weight_0``, ``bias_0``, ... of each layer, ``voltage_min`` and ``voltage_max`` (V) of each
            input, and ``amplification_nA_per_V``; also, if the terminals are not ``out``, ``e1``, ... or several
            currents are known, ``terminals`` (text), ``held`` and ``measured`` (indices); optionally ``source`` (text).

        Raises
        ------
        InputError
            For a file that is missing, damaged or too large, or lacks one of these, and as the class itself.
        """
        arrays = read_npz(path, text=("terminals", "source"))
        layers = sum(name.startswith("weight_") for name in arrays)
        wanted = [f"{kind}_{k}" for kind in ("weight", "bias") for k in range(max(layers, 1))]
        wanted += ["voltage_min", "voltage_max", "amplification_nA_per_V"]
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise InputError("path", str(path), f"lacks {', '.join(missing)}", "give the file of a chip surrogate")
        arrays = {"held": np.array(0), "measured": np.array([0]), "terminals": np.array([]), **arrays}
        for name in ("amplification_nA_per_V", "held"):
            if arrays[name].size != 1:
                raise InputError(name, arrays[name].shape, "is not one number", "give one")
        return cls(
            weights=tuple(arrays[f"weight_{k}"] for k in range(layers)),
            biases=tuple(arrays[f"bias_{k}"] for k in range(layers)),
            voltage_min_V=arrays["voltage_min"],
            voltage_max_V=arrays["voltage_max"],
            amplification_A=arrays["amplification_nA_per_V"].item() * _NA,
            source=str(arrays.get("source", path)),
            terminals=tuple(arrays["terminals"].reshape(-1).tolist()),
            held=arrays["held"].item(),
            measured=tuple(arrays["measured"].reshape(-1).tolist()),
        )

    def to_npz(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a file that `from_npz` reads; returns its path.

        Raises
        ------
        InputError
            If the file exists and may not be replaced, or cannot be written.
        """
        path = Path(path)
        arrays = {f"weight_{k}": weight for k, weight in enumerate(self.weights)}
        arrays |= {f"bias_{k}": bias for k, bias in enumerate(self.biases)}
        arrays |= {"voltage_min": self.voltage_min_V, "voltage_max": self.voltage_max_V}
        arrays |= {"amplification_nA_per_V": np.array(self.amplification_A / _NA)}
        arrays |= {"terminals": np.array(self.terminals), "held": np.array(self.held)}
        arrays |= {"measured": np.array(self.measured)}
        if self.source is not None:
            arrays["source"] = np.array(self.source)
        try:
            with path.open("wb" if overwrite else "xb") as stream:
                np.savez(stream, **arrays)
        except FileExistsError as error:
            raise InputError("path", str(path), "exists", "choose another name, or overwrite=True") from error
        except OSError as error:
            raise InputError("path", str(path), f"cannot be written ({error.strerror})", "check the path") from error
        return path

    @classmethod
    def from_brainspy(cls, path: str | Path) -> Self:
        """Read a file that brains-py or brainspy-smg saved with PyTorch, without PyTorch and without running its code.

        What a task trained on top of the chip's network (control voltages, input scales) is left aside; see
        `brainspy_file.read_network`.

        Raises
        ------
        InputError
            For a file that is missing, damaged or too large, asks for a class to be run, or holds no network of one
            output with ranges and amplification; and as the class itself.
        """
        network = read_network(path)
        return cls(
            weights=network.weights,
            biases=network.biases,
            voltage_min_V=network.voltage_ranges_V[:, 0],
            voltage_max_V=network.voltage_ranges_V[:, 1],
            amplification_A=network.amplification_nA * _NA,
            source=str(path),
        )

    @property
    def n_inputs(self) -> int:
        """Number of activation electrodes."""
        return len(self.voltage_min_V)

    @property
    def _activation(self) -> list[int]:
        """Terminals of the network's inputs."""
        return [k for k in range(self.n_inputs + 1) if k != self.held]

    @cached_property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each terminal, V, (n_terminals, 2); the ranges differ and are not symmetric."""
        low = np.insert(self.voltage_min_V, self.held, -VIRTUAL_GROUND_V)
        high = np.insert(self.voltage_max_V, self.held, VIRTUAL_GROUND_V)
        limits = np.stack([low, high], axis=1)
        limits.setflags(write=False)
        return limits

    @cached_property
    def _params(self) -> FloatArray:
        """Flat parameters of the compiled functions."""
        hidden = len(self.weights) - 1
        sizes = [weight.shape[1] for weight in self.weights]
        width = -(-max(sizes) // kernel_module.LANES) * kernel_module.LANES
        outputs = len(self.measured)
        # in the order of `kernel.HEADER`
        header = np.array([self.n_inputs, hidden, width, self.amplification_A, outputs, self.held])
        packed = []
        rows = self.n_inputs
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            block = np.zeros((rows + 1, width), dtype=np.float32)  # the last row is the bias
            block[: weight.shape[1], : len(bias)] = weight.T
            block[-1, : len(bias)] = bias
            packed.append(block.ravel())
            rows = width
        last = np.zeros((outputs, rows), dtype=np.float32)
        last[:, : self.weights[-1].shape[1]] = self.weights[-1]
        pad = np.zeros((outputs * (rows + 1)) % 2, dtype=np.float32)  # single-precision numbers come in pairs
        network = np.concatenate([*packed, last.ravel(), self.biases[-1], pad]).view(np.float64)
        low, high = self.limits_V.T
        params = np.concatenate([header, low - RANGE_SLACK_V, high + RANGE_SLACK_V, self.measured, network])
        params.setflags(write=False)
        return params

    def _scratch(self, more: int = 0) -> FloatArray:
        params = self._params
        hidden, width = int(params[kernel_module.N_HIDDEN]), int(params[kernel_module.WIDTH])
        return np.zeros(kernel_module.state_size(hidden, width, len(self.measured)) + more)

    def _check(self, voltages: Any, which: list[int] | None = None) -> FloatArray:
        """Voltages of `which` terminals, or all, as a contiguous float array, or an `InputError` that names one."""
        which = list(range(self.n_inputs + 1)) if which is None else which
        names = [self.terminals[k] for k in which]
        volts = array("voltages", voltages, (..., len(names)))
        low, high = self.limits_V[which].T
        outside = (volts < low - RANGE_SLACK_V) | (volts > high + RANGE_SLACK_V)
        if np.any(outside):
            where = tuple(int(k) for k in np.argwhere(outside)[0])
            k = where[-1]
            problem = f"lies outside the range the chip was measured in, {low[k]:.4g} to {high[k]:.4g} V"
            fix = "stay within it"
            if which[k] == self.held:
                problem = f"the output was measured at virtual ground, within +-{VIRTUAL_GROUND_V * 1e3:g} mV"
                fix = "hold it at 0 V"
            raise InputError(f"voltages[{names[k]}]", float(volts[where]), problem, fix)
        return volts

    def currents(self, voltages: Any) -> FloatArray:
        """Currents into the terminals, of which those of `measured` are known.

        Parameters
        ----------
        voltages : array_like, shape (..., n_terminals)
            V; the output's within `VIRTUAL_GROUND_V` of 0.

        Returns
        -------
        ndarray, shape (..., n_terminals)
            A; those of `measured` are minus the network's outputs, all others are 0 for unknown.

        Raises
        ------
        InputError
            For a wrong shape, NaN, or a voltage outside its terminal's range; the electrode is named.
        """
        volts = self._check(voltages)
        result = np.empty(volts.shape)
        rows = (-1, volts.shape[-1])
        kernel_module.evaluate_rows(volts.reshape(rows), self._params, self._scratch(), result.reshape(rows))
        return result

    def follow(self, voltages: Any) -> FloatArray:
        """`currents` along a path of settings, (n, n_terminals); the same, as the response is static.

        Raises
        ------
        InputError
            As `currents`, or if the path is no table.
        """
        if np.ndim(voltages) != 2:
            raise InputError("voltages", np.shape(voltages), "a path is a table of settings", "give (n, n_terminals)")
        return self.currents(voltages)

    def outputs_A(self, activation_V: Any) -> FloatArray:
        """Current (A, out of the device) at the output for activation voltages (..., n_inputs) in V; shape (...).

        Raises
        ------
        InputError
            As `currents`.
        """
        volts = self._check(activation_V, self._activation)
        return -self.currents(np.insert(volts, self.held, 0.0, axis=-1))[..., self.held]

    def conductances(self, voltages: Any) -> FloatArray:
        """Exact small-signal conductances dI_j/dV_k by back-propagation.

        Where a neuron's input is exactly 0, a kink, the derivative from its inactive side is taken.

        Parameters
        ----------
        voltages : array_like, shape (..., n_terminals)
            V.

        Returns
        -------
        ndarray, shape (..., n_terminals, n_terminals)
            S; only the rows of `measured` are known, and of them not the derivative by the voltage of `held`.

        Raises
        ------
        InputError
            As `currents`.
        """
        volts = self._check(voltages)
        count = volts.shape[-1]
        table = volts.reshape(-1, count)
        gradients = np.empty((len(table), len(self.measured), count - 1))
        kernel_module.gradient_rows(table, self._params, self._scratch(), gradients)
        result = np.zeros((len(table), count, count))
        result[:, np.array(self.measured)[:, None], self._activation] = -gradients
        return result.reshape(*volts.shape, count)

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form for co-simulation at `voltages` (V, (n_terminals,)); `seed` is not needed.

        Where a voltage leaves its range within a transient, all currents become NaN, which ends the run.

        Raises
        ------
        InputError
            As `currents`, or if more than one setting is given.
        """
        volts = self._check(voltages)
        if volts.ndim != 1:
            raise InputError("voltages", volts.shape, "one setting at a time", "give (n_terminals,)")
        return SteppableKernel(
            kernel_module.evaluate,
            memoryless.advance,
            self._params.copy(),
            self._scratch(many_module.scratch_size(self.n_inputs, int(self._params[kernel_module.WIDTH]))),
            self.conductances(volts),
            (f"{kernel_module.__name__}:c_evaluate", memoryless.C_ADVANCE),
            (f"{many_module.__name__}:c_many", f"{many_module.__name__}:c_many_single"),
        )
