"""The electronic layer: a resonator at the base of one transistor, in ngspice and as its compiled twin.

The part's file holds the values; each board's may deviate from them. `circuit` streams waveforms through the netlist,
`twin` computes the same time steps in compiled code, `vector_jacobian` the exact derivative of the twin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from circuits.physics_aware import rlc_layer_kernel as kernel
from circuits.physics_aware.waveform_circuit import WaveformCircuit
from inmateria.checks import FloatArray, positive
from inmateria.errors import ConvergenceError, InputError
from netlists.reader import Part, library, load_part
from netlists.spice_numbers import format_number

SPREAD = ("r", "l", "c", "re", "rc", "cc", "bf")
"""Parameters that differ from board to board."""


def _part() -> Part:
    return load_part("rlc_layer", "transistor")


@dataclass(frozen=True, eq=False)
class RlcLayer:
    """One board of the part ``rlc_layer``.

    Parameters
    ----------
    values : int
        Values of a sample's waveform.
    components : mapping of str to float
        Parameters of the part that are not its defaults.
    rate_Hz : float
        Values per second.
    settle, delay, steps, copies : int
        As `WaveformCircuit`. Without delay a reading depends on the values up to its own. Two steps a period leave 5 %
        of the output's spread to finer ones, for waveforms that jump over the whole range from value to value.
    rest_V : float
        Input between samples, where the transistor is half way between off and saturated.

    Raises
    ------
    InputError
        For parameters that the part does not have or that are not positive, and as `WaveformCircuit`.
    """

    values: int
    components: Mapping[str, float] = field(default_factory=dict)
    rate_Hz: float = 1e6
    settle: int = 120
    delay: int = 0
    steps: int = 2
    copies: int = 8
    rest_V: float = 1.4

    limits_V = (0.0, 3.0)
    """Inputs between these go from off to well saturated."""

    def __post_init__(self) -> None:
        known = _part().defaults
        for name, value in self.components.items():
            if name not in known:
                raise InputError(name, value, "is no parameter of rlc_layer", f"choose from {', '.join(known)}")
            positive(name, value, "the part's unit")
        _ = self.circuit

    @classmethod
    def board(cls, values: int, spread: float, seed: int, **settings: float) -> RlcLayer:
        """A board whose components deviate by a relative standard deviation `spread`.

        Raises
        ------
        InputError
            For a spread that is not from 0 to 0.3.
        """
        if not 0 <= spread <= 0.3:
            raise InputError("spread", spread, "is no spread of components", "give a fraction from 0 to 0.3")
        known = _part().defaults
        deviations = np.random.default_rng([seed, 11]).normal(0.0, spread, len(SPREAD)).clip(-0.9, None)
        components = {name: known[name] * (1 + float(d)) for name, d in zip(SPREAD, deviations, strict=True)}
        return cls(values, components, **settings)  # type: ignore[arg-type]

    @cached_property
    def circuit(self) -> WaveformCircuit:
        """The board in ngspice."""
        part = _part()
        values = " ".join(f"{name}={format_number(value)}" for name, value in self.components.items())
        netlist = f"{library([part])}\nXlayer in out {part.subckt} {values}".rstrip()
        return WaveformCircuit(
            netlist, ("in",), ("out",), self.values, self.rate_Hz, settle=self.settle, delay=self.delay,
            rest_V=self.rest_V, steps=self.steps, copies=self.copies,
        )  # fmt: skip

    # -- twin ------------------------------------------------------------------------------------------------------

    @cached_property
    def _parameters(self) -> FloatArray:
        return np.array([self.components.get(name, value) for name, value in _part().defaults.items()])

    @property
    def _step_s(self) -> float:
        return 1.0 / (self.rate_Hz * self.steps)

    @cached_property
    def _reading(self) -> np.ndarray[tuple[int], np.dtype[np.int_]]:
        """Steps from the last point of rest to each reading."""
        return (self.circuit.readings + 1) * self.steps

    @cached_property
    def _mixing(self) -> FloatArray:
        """Inputs at the time steps from those at the periods, which are straight lines: (steps + 1, values + rests)."""
        periods = self.values + self.delay + 2
        place = np.arange((periods - 1) * self.steps + 1) / self.steps
        return np.stack([np.interp(place, np.arange(periods), unit) for unit in np.eye(periods)], axis=1)

    @cached_property
    def rest(self) -> FloatArray:
        """Settled state at the input's rest: current (A), base, emitter, collector (V)."""
        input_V = np.full(40 * self.settle * self.steps + 1, self.rest_V)
        states = np.zeros((len(input_V), 4), dtype=float)
        if not kernel.waveforms(self._parameters, input_V, self._step_s, states[0].copy(), states):
            raise ConvergenceError("components", dict(self.components), "no state of rest was found", "change them")
        return np.asarray(states[-1].copy())

    def twin(self, batch: FloatArray) -> FloatArray:
        """Answers of a batch, each sample from rest: (samples, values), V, for inputs of the same shape.

        Raises
        ------
        InputError
            For another shape, or values that are no numbers.
        """
        u = self._stepped(batch)
        out = np.empty((len(u), self.values))
        kernel.responses(self._parameters, u, self._step_s, self.rest, self._reading, out)
        return out

    def vector_jacobian(self, batch: FloatArray, cotangents: FloatArray) -> FloatArray:
        """J' c of the twin for each sample: (samples, values), for cotangents of the same shape.

        Raises
        ------
        InputError
            For shapes that differ, or values that are no numbers.
        """
        u = self._stepped(batch)
        weights = np.ascontiguousarray(cotangents, dtype=float)
        if weights.shape != (len(u), self.values):
            raise InputError("cotangents", weights.shape, f"is not {(len(u), self.values)}", "give one per answer")
        slopes = np.empty_like(u)
        kernel.cotangents(self._parameters, u, self._step_s, self.rest, self._reading, weights, slopes)
        return np.ascontiguousarray((slopes @ self._mixing)[:, 1 : 1 + self.values], dtype=float)

    def _stepped(self, batch: FloatArray) -> FloatArray:
        """Inputs at every time step, from the last point of rest on: (samples, steps + 1), V."""
        batch = self.circuit.checked(batch)
        padded = np.full((len(batch), self._mixing.shape[1]), self.rest_V)
        padded[:, 1 : 1 + self.values] = batch
        return np.ascontiguousarray(padded @ self._mixing.T)
