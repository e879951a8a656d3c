"""A measured chip as a device: a ReLU network fitted to its measured data, electrode voltages in, one current out.

Such a network knows the chip within the voltage ranges in which it was sampled and nothing outside them, so the ranges
are enforced. Method: Ruiz Euler et al., Nature Nanotechnology 15, 992 (2020). The same numbers are read from a plain
`.npz` or from the file that brains-py saves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from dnpu_models import chip_surrogate_kernel as kernel_module
from dnpu_models.brainspy_file import read_network, read_npz
from dnpu_models.geometry import FloatArray
from dnpu_models.steppable import SteppableKernel
from inmateria.errors import InputError

VIRTUAL_GROUND_V = 1e-3
"""The output was measured at 0 V, held there by an amplifier: farther from it the surrogate knows nothing."""
RANGE_SLACK_V = 1e-6
"""Ranges are stored in single precision: 0.65 V comes back as 0.64999998 V and is still allowed."""
_NA = 1e-9


@dataclass(frozen=True, eq=False)
class ChipSurrogate:
    """Network of a measured chip: activation-electrode voltages in, one output current out.

    Terminal 0, ``out``, is the output, held at 0 V; terminals ``e1`` to ``e7`` are the activation electrodes in the
    order of the network's inputs (brains-py's electrode k is ``e{k+1}``). **Only the output's current is known**
    (`measured`): currents and conductances of all other terminals are reported as 0, which means unknown, not
    zero, and Kirchhoff's current law does not hold over the terminals. So is the derivative by the output's own
    voltage. The activation electrodes must therefore be driven by voltage sources, and a circuit that asks for
    the current into one of them cannot be simulated with this device.

    The response is static and piecewise linear: derivatives beyond the first vanish between the kinks.

    Parameters
    ----------
    weights : tuple of array_like
        (n_out, n_in) of each layer; the first takes the voltages in V, the last has one output. Kept in single
        precision, as trained.
    biases : tuple of array_like
        (n_out,) of each layer.
    voltage_min_V, voltage_max_V : array_like, shape (n_inputs,)
        Range of each activation electrode in which the chip was measured, V.
    amplification_A : float
        Current out of the device, A, per unit of the network's output: 39.5e-9 for a file that says 39.5 (nA).
    source : str, optional
        Where the network came from; for provenance only.

    Raises
    ------
    InputError
        If shapes do not fit, a number is not finite, a range is empty, or the last layer has several outputs.
    """

    weights: tuple[Any, ...]
    biases: tuple[Any, ...]
    voltage_min_V: FloatArray
    voltage_max_V: FloatArray
    amplification_A: float
    source: str | None = None

    def __post_init__(self) -> None:
        weights = tuple(_numbers(f"weights[{k}]", w, 2, np.float32) for k, w in enumerate(self.weights))
        biases = tuple(_numbers(f"biases[{k}]", b, 1, np.float32) for k, b in enumerate(self.biases))
        if not weights or len(weights) != len(biases):
            raise InputError(
                "biases", len(biases), f"{len(weights)} layers of weights want as many biases", "give one of each"
            )
        for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if 0 in weight.shape or bias.shape != weight.shape[:1]:
                raise InputError(f"biases[{k}]", bias.shape, f"does not fit weights {weight.shape}", "check the layer")
            if k and weight.shape[1] != weights[k - 1].shape[0]:
                raise InputError(
                    f"weights[{k}]",
                    weight.shape,
                    f"does not fit the {weights[k - 1].shape[0]} outputs of the layer before",
                    "check the order of the layers",
                )
        if weights[-1].shape[0] != 1:
            raise InputError(
                f"weights[{len(weights) - 1}]", weights[-1].shape, "has several outputs", "a surrogate has one"
            )
        low = _numbers("voltage_min_V", self.voltage_min_V, 1, np.float64)
        high = _numbers("voltage_max_V", self.voltage_max_V, 1, np.float64)
        inputs = weights[0].shape[1]
        for name, array in (("voltage_min_V", low), ("voltage_max_V", high)):
            if array.shape != (inputs,):
                raise InputError(name, array.shape, f"{inputs} inputs want a limit each", "check the array")
        if np.any(low >= high):
            worst = int(np.argmax(low - high))
            raise InputError(
                f"voltage_min_V[{worst}]", float(low[worst]), "is not below the maximum", "check the ranges"
            )
        try:
            amplification = float(self.amplification_A)
        except (TypeError, ValueError):
            amplification = np.nan
        if not np.isfinite(amplification) or amplification == 0:
            raise InputError("amplification_A", self.amplification_A, "must be finite and not zero", "give it in A")
        values = {"weights": weights, "biases": biases, "voltage_min_V": low, "voltage_max_V": high}
        for name, value in (values | {"amplification_A": amplification}).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_npz(cls, path: str | Path) -> Self:
        """Read a numpy `.npz` file.

        Parameters
        ----------
        path : str or Path
            File with ``weight_0``, ``bias_0``, ... of each layer, ``voltage_min`` and ``voltage_max`` (V) of each
            input, and ``amplification_nA_per_V``.

        Raises
        ------
        InputError
            For a file that is missing, damaged or too large, or lacks one of these, and as the class itself.
        """
        arrays = read_npz(path)
        layers = sum(name.startswith("weight_") for name in arrays)
        wanted = [f"{kind}_{k}" for kind in ("weight", "bias") for k in range(max(layers, 1))]
        wanted += ["voltage_min", "voltage_max", "amplification_nA_per_V"]
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise InputError("path", str(path), f"lacks {', '.join(missing)}", "give the file of a chip surrogate")
        amplification = arrays["amplification_nA_per_V"]
        if amplification.size != 1:
            raise InputError("amplification_nA_per_V", amplification.shape, "is not one number", "give one output")
        return cls(
            weights=tuple(arrays[f"weight_{k}"] for k in range(layers)),
            biases=tuple(arrays[f"bias_{k}"] for k in range(layers)),
            voltage_min_V=arrays["voltage_min"],
            voltage_max_V=arrays["voltage_max"],
            amplification_A=float(amplification.reshape(-1)[0]) * _NA,
            source=str(path),
        )

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
    def terminals(self) -> tuple[str, ...]:
        """Names of the terminals: the output, then the activation electrodes."""
        return ("out", *(f"e{k + 1}" for k in range(self.n_inputs)))

    @property
    def measured(self) -> tuple[int, ...]:
        """Terminals whose current is known: the output alone."""
        return (0,)

    @cached_property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each terminal, V, (n_terminals, 2); the ranges differ and are not symmetric."""
        low = np.concatenate([[-VIRTUAL_GROUND_V], self.voltage_min_V])
        high = np.concatenate([[VIRTUAL_GROUND_V], self.voltage_max_V])
        limits = np.stack([low, high], axis=1)
        limits.setflags(write=False)
        return limits

    @cached_property
    def _params(self) -> FloatArray:
        """Flat parameters of the compiled functions."""
        hidden = len(self.weights) - 1
        sizes = [weight.shape[1] for weight in self.weights]
        width = -(-max(sizes) // kernel_module.LANES) * kernel_module.LANES
        header = np.zeros(kernel_module.HEADER)
        header[kernel_module.N_INPUTS] = self.n_inputs
        header[kernel_module.N_HIDDEN] = hidden
        header[kernel_module.WIDTH] = width
        header[kernel_module.AMPLIFICATION_A] = self.amplification_A
        packed = []
        rows = self.n_inputs
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            block = np.zeros((rows + 1, width), dtype=np.float32)  # the last row is the bias
            block[: weight.shape[1], : len(bias)] = weight.T
            block[-1, : len(bias)] = bias
            packed.append(block.ravel())
            rows = width
        last = np.zeros(2 * (rows // 2 + 1), dtype=np.float32)
        last[: self.weights[-1].shape[1]] = self.weights[-1][0]
        last[rows] = self.biases[-1][0]
        low, high = self.limits_V.T
        params = np.concatenate(
            [header, low - RANGE_SLACK_V, high + RANGE_SLACK_V, np.concatenate([*packed, last]).view(np.float64)]
        )
        params.setflags(write=False)
        return params

    def _scratch(self) -> FloatArray:
        params = self._params
        return np.zeros(kernel_module.state_size(int(params[kernel_module.N_HIDDEN]), int(params[kernel_module.WIDTH])))

    def _check(self, voltages: Any, first: int = 0) -> FloatArray:
        """Voltages of the terminals from `first` on, as a contiguous float array, or an error that says what is wrong.

        Raises
        ------
        InputError
            For a wrong shape, NaN, or a voltage outside its terminal's range.
        """
        try:
            volts = np.ascontiguousarray(voltages, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError("voltages", type(voltages).__name__, "holds no numbers", "give an array in V") from error
        names = self.terminals[first:]
        if volts.shape[-1:] != (len(names),) or np.ndim(voltages) == 0:
            raise InputError(
                "voltages", np.shape(voltages), f"one voltage for each of {', '.join(names)} is wanted", "check it"
            )
        if not np.all(np.isfinite(volts)):
            raise InputError("voltages", "NaN or infinity", "must be finite", "check the array")
        low, high = self.limits_V[first:].T
        outside = (volts < low - RANGE_SLACK_V) | (volts > high + RANGE_SLACK_V)
        if np.any(outside):
            where = tuple(int(k) for k in np.argwhere(outside)[0])
            k = where[-1]
            value = float(volts[where])
            if k + first == 0:
                raise InputError(
                    "voltages[out]",
                    value,
                    f"the output was measured at virtual ground, within +-{VIRTUAL_GROUND_V * 1e3:g} mV",
                    "hold it at 0 V",
                )
            raise InputError(
                f"voltages[{names[k]}]",
                value,
                f"lies outside the range the chip was measured in, {low[k]:.4g} to {high[k]:.4g} V",
                "stay within it",
            )
        return volts

    def currents(self, voltages: Any) -> FloatArray:
        """Currents into the terminals, of which only the output's is known.

        Parameters
        ----------
        voltages : array_like, shape (..., n_terminals)
            V; the output's within `VIRTUAL_GROUND_V` of 0.

        Returns
        -------
        ndarray, shape (..., n_terminals)
            A; entry 0 is minus the output current, all others are 0 for unknown (see `measured`).

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
        """Output current (A, out of the device) for activation-electrode voltages (..., n_inputs) in V; shape (...).

        Raises
        ------
        InputError
            As `currents`.
        """
        volts = self._check(activation_V, 1)
        padded = np.concatenate([np.zeros((*volts.shape[:-1], 1)), volts], axis=-1)
        return -self.currents(padded)[..., 0]

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
            S; only row 0 is known, and of it not the entry 0, the output's own conductance.

        Raises
        ------
        InputError
            As `currents`.
        """
        volts = self._check(voltages)
        count = volts.shape[-1]
        table = volts.reshape(-1, count)
        gradients = np.empty((len(table), count - 1))
        kernel_module.gradient_rows(table, self._params, self._scratch(), gradients)
        result = np.zeros((len(table), count, count))
        result[:, 0, 1:] = -gradients
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
            kernel_module.advance,
            self._params.copy(),
            self._scratch(),
            self.conductances(volts),
            (f"{kernel_module.__name__}:c_evaluate", f"{kernel_module.__name__}:c_advance"),
        )


def _numbers(name: str, value: Any, dimensions: int, dtype: type[np.floating[Any]]) -> Any:
    """A read-only, contiguous copy, checked."""
    try:
        with np.errstate(over="ignore"):  # what single precision cannot hold becomes infinite, and is refused below
            array = np.array(value, dtype=float).astype(dtype)
    except (TypeError, ValueError) as error:
        raise InputError(name, type(value).__name__, "holds no numbers", "check the array") from error
    if array.ndim != dimensions:
        raise InputError(name, array.shape, f"must have {dimensions} axes", "check the array")
    if not np.all(np.isfinite(array)):
        raise InputError(name, "NaN or infinity", "must be finite", "check the array")
    array.setflags(write=False)
    return array
