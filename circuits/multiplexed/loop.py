"""Multiplexed gradient descent as a circuit: one cost for all; a multiplier, a filter, an integrator a parameter.

    perturbation  S u_k(t) = (S / peak) theta~_k(t)                                    ref_k
    parameter     theta_k + theta~_k -> network -> outputs y                           dither_sum
    cost          C = mean over the outputs of (y - target)^2                          difference, squared_error
    change        C~ = high-pass of C with tau_hp, blanked at every sample             blanked_highpass
    slope         G_k: low-pass with tau_theta of C~ theta~_k / m^2                    mixer, lowpass
    learning      d theta_k / dt = -eta G_k per step                                   integrator
      bounded     d theta_k / dt = -largest tanh(eta G_k / largest) per step           limiter, where asked for

(McCaughan et al., APL Machine Learning 1, 026118, 2023, algorithm 2.) Times are counted in steps of `step_s`; the
patterns are shown one after the other, tau_x steps each. Parameters, inputs, targets and cost are voltages, 1 V for 1.

What jumps in the algorithm moves on short straight ramps here, a fraction `ramp` of a step: inputs and targets at the
beginning of a sample, held codes at the beginning of each of their patterns, the blanking before it ends and before the
next sample. All these come compiled (`kernel`), or as piecewise linear sources in a deck for plain ngspice; the tones
of a sine code are sources of the netlist. `netlist` writes a loop's circuit, `run` simulates and reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from circuits.ngspice.cosimulation import CoSimulation
from circuits.parts.chosen import check_chosen
from circuits.parts.levels import MULTIPLEXED_PARTS
from circuits.parts.temperature import NOMINAL_K
from circuits.signals.patterns import PatternSequence
from circuits.signals.sources import Table
from inmateria.checks import FloatArray, array, count, positive
from inmateria.errors import InputError
from lockin.perturbation import Perturbation
from netlists.reader import Part

if TYPE_CHECKING:
    from circuits.parts.assembly import Assembly
    from circuits.parts.placed_device import PlacedDevice

POINTS_PER_CYCLE = 12
"""Time-points per cycle of a sine code's highest tone."""
POINTS_PER_STEP = 2
"""Time-points per step of a held code, beside those of its ramp."""
SUM_OHM = 1e4
"""Resistors of the sums in the electronics: what a multiplier drives with ease."""

_UNITS = {
    "eta": "1/step", "tau_theta": "steps", "tau_hp": "steps", "step_s": "s", "ramp": "steps", "charge": "steps",
    "rail_V": "V", "multiplier_V": "V", "amplification": "V/V", "largest": "V/step",
    "temperature_K": "K",
}  # fmt: skip
"""Settings that are positive numbers."""


class CircuitNetwork(Protocol):
    """What the loop trains: a circuit between parameter nodes, input nodes and output nodes."""

    @property
    def parameters(self) -> int:
        """How many parameters."""

    @property
    def inputs(self) -> int:
        """How many inputs."""

    @property
    def output_nodes(self) -> tuple[str, ...]:
        """Nodes of its outputs, once it is placed."""

    def place(self, assembly: Assembly, parameters: Sequence[str], inputs: Sequence[str], multiplier_V: float) -> None:
        """Put it into a circuit, between the nodes of the perturbed parameters and of the inputs and `output_nodes`."""

    def limits_V(self, levels_V: FloatArray) -> FloatArray:
        """Lowest and highest voltage of each perturbed parameter with these input levels, (P, 2)."""

    def placed(self, loop: MultiplexedLoop) -> list[PlacedDevice]:
        """Its devices that are netlists."""

    def join(self, sources: CoSimulation, loop: MultiplexedLoop, seed: int = 0) -> CoSimulation:
        """What the network needs from outside the netlist, beside the loop's own sources; `seed` of what it draws."""


@dataclass(frozen=True, eq=False)
class MultiplexedLoop:
    """A network, its samples, a perturbation code, and the electronics that descends.

    Parameters
    ----------
    network : CircuitNetwork
        Such as `SigmoidNetworkCircuit`.
    perturbation : Perturbation
        Of as many parameters as the network has.
    levels_V : array_like, shape (patterns, inputs)
    targets_V : array_like, shape (patterns, outputs)
    start_V : array_like, shape (P,)
        Parameters at the start.
    steps : int
        Length of the run.
    eta : float
        Learning rate per step.
    tau_x : int
        Steps per sample.
    tau_theta, tau_hp : float
        Time constants of the low-passes and of the high-pass, steps.
    blank : int
        Steps at the beginning of each sample in which nothing is heard.
    step_s : float
        Time of a step, s.
    ramp : float
        Time in which what jumps moves, steps.
    charge : float
        Time constant with which the high-pass takes up a new cost while blanked, steps.
    rail_V : float
        Parameters stay within plus and minus this.
    points_per_step : int, optional
        Time-points per step that is heard; by default `POINTS_PER_STEP` for held codes, for sines `POINTS_PER_CYCLE` of
        the highest tone.
    parts : mapping of str to Part
        Parts that take the place of the ideal ones, by name.
    multiplier_V : float
        Scale of the multipliers and peak of the references: 10 V suits an AD633. Ideal ones do not care.
    largest : float, optional
        Most that a parameter moves in a step. Slopes of devices differ by orders of magnitude, and no eta suits all.
    amplification : float
        Gain of the high-pass; the integrators are that much slower. It lifts the change of the cost above the
        offsets of real multipliers.
    temperature_K : float
        Of the electronics and of devices that are netlists, K: ``.temp`` of the deck.

    Raises
    ------
    InputError
        For shapes that disagree, numbers out of range, a start beyond the rails.
    """

    network: CircuitNetwork
    perturbation: Perturbation
    levels_V: FloatArray
    targets_V: FloatArray
    start_V: FloatArray
    steps: int = 20_000
    eta: float = 2.0
    tau_x: int = 10
    tau_theta: float = 40.0
    tau_hp: float = 5.0
    blank: int = 1
    step_s: float = 1e-3
    ramp: float = 0.005
    charge: float = 0.1
    rail_V: float = 10.0
    points_per_step: int = field(default=None)  # type: ignore[assignment]
    parts: Mapping[str, Part] = field(default_factory=dict)
    multiplier_V: float = 1.0
    amplification: float = 1.0
    largest: float | None = None
    temperature_K: float = NOMINAL_K

    def __post_init__(self) -> None:
        network, wanted = self.network, self.network.parameters
        levels = array("levels_V", self.levels_V, (None, network.inputs))
        object.__setattr__(self, "levels_V", levels)
        patterns = count("patterns", len(levels))
        targets = array("targets_V", self.targets_V, (patterns, len(network.output_nodes)))
        object.__setattr__(self, "targets_V", targets)
        object.__setattr__(self, "start_V", array("start_V", self.start_V, (wanted,)))
        for name in ("steps", "tau_x", "blank"):
            count(name, getattr(self, name))
        for name, unit in _UNITS.items():
            if not (name == "largest" and self.largest is None):
                positive(name, getattr(self, name), unit)
        if self.perturbation.parameters != wanted:
            raise InputError("perturbation", self.perturbation.parameters,
                             f"parameters, but the network has {wanted}", "give as many")  # fmt: skip
        if not self.blank < self.tau_x:
            raise InputError("blank", self.blank, f"leaves nothing of a sample's {self.tau_x} steps", "take less")
        if not self.ramp <= 0.25:
            raise InputError("ramp", self.ramp, "takes too much of a step", "take at most 0.25")
        low, high = self.rails_V
        beyond = np.flatnonzero((self.start_V < low) | (self.start_V > high))
        if len(beyond):
            k = int(beyond[0])
            problem = f"lies beyond its rails, {low[k]:.4g} to {high[k]:.4g} V"
            fix = "change it, or the norm of the perturbation"
            raise InputError(f"start_V[{k}]", float(self.start_V[k]), problem, fix)
        check_chosen(self.parts, MULTIPLEXED_PARTS)
        points = self.points_per_step
        least = 1 if self.held else max(math.ceil(self._highest_Hz * self.step_s * 8), 1)
        if points is None:
            points = POINTS_PER_STEP if self.held else math.ceil(self._highest_Hz * self.step_s * POINTS_PER_CYCLE)
            object.__setattr__(self, "points_per_step", max(points, 1))
        else:
            count("points_per_step", points, least)
        _ = self.sequences

    @property
    def held(self) -> bool:
        """Whether the code's values stand for a time and jump; else they are tones."""
        return self.perturbation.code != "sine"

    @cached_property
    def _highest_Hz(self) -> float:
        return max(self.perturbation.dither(self.step_s).frequencies_Hz)

    @cached_property
    def rails_V(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest value of each parameter: the rails, and what the network stands less the perturbation."""
        lowest, highest = np.asarray(self.network.limits_V(self.levels_V)).T
        peak = self.perturbation.peak
        return np.maximum(lowest + peak, -self.rail_V), np.minimum(highest - peak, self.rail_V)

    # -- time ------------------------------------------------------------------------------------------------------

    @property
    def stop_s(self) -> float:
        """Length of the transient, s."""
        return self.steps * self.step_s

    @property
    def max_step_s(self) -> float:
        """Largest time step, s."""
        return self.step_s / self.points_per_step

    @cached_property
    def sequences(self) -> tuple[PatternSequence, ...]:
        """The samples as a sequence of patterns, for each output (they differ in their targets only)."""
        ramp = self.ramp * self.step_s
        first = PatternSequence(
            levels_V=tuple(tuple(map(float, row)) for row in self.levels_V),
            targets_V=tuple(map(float, self.targets_V[:, 0])),
            window_s=(self.tau_x - self.blank) * self.step_s,
            ramp_s=ramp,
            wait_s=self.blank * self.step_s - 2 * ramp,
            edge_s=ramp,
        )
        return tuple(replace(first, targets_V=tuple(map(float, column))) for column in self.targets_V.T)

    @property
    def blanking(self) -> Table:
        """Waveform of the blanking: 1 while nothing is heard."""
        gate = self.sequences[0].gate_table()
        return replace(gate, values=tuple(1.0 - v for v in gate.values))

    @property
    def corners_s(self) -> tuple[float, ...]:
        """Corners of all waveforms that lie between whole steps, s."""
        step, ramp = self.step_s, self.ramp * self.step_s
        samples = np.arange(math.ceil(self.steps / self.tau_x)) * self.tau_x * step
        corners = [samples + ramp, samples + self.blank * step - ramp, samples + self.tau_x * step - ramp]
        if self.held:
            hold = self.perturbation.hold
            corners.append(np.arange(math.ceil(self.steps / hold)) * hold * step + ramp)
        return tuple(np.unique(np.round(np.concatenate(corners), 15)).tolist())

    @property
    def grids_s(self) -> tuple[tuple[float, float, int], ...]:
        """Even time-points, whole steps among them: finer while blanked, where the high-pass takes up the new cost."""
        fine = max(math.ceil(1.0 / self.charge), self.points_per_step)
        if fine == self.points_per_step:
            return ((0.0, self.stop_s, self.steps * fine),)
        grids: list[tuple[float, float, int]] = []
        for sample in range(0, self.steps, self.tau_x):
            heard, stop = min(sample + self.blank, self.steps), min(sample + self.tau_x, self.steps)
            grids.append((sample * self.step_s, heard * self.step_s, (heard - sample) * fine))
            if stop > heard:
                grids.append((heard * self.step_s, stop * self.step_s, (stop - heard) * self.points_per_step))
        return tuple(grids)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    @property
    def references(self) -> tuple[str, ...]:
        """Nodes of the perturbations at full scale."""
        return tuple(f"ref{k}" for k in range(self.network.parameters))

    @property
    def perturbed(self) -> tuple[str, ...]:
        """Nodes of the parameters with their perturbation."""
        return tuple(f"theta{k}" for k in range(self.network.parameters))
