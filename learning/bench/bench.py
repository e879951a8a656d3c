"""The experiment on the table: a device, which terminals are output, inputs and trained, and the signal timing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuits.homodyne.loop import OutputStage, Peaks
from circuits.signals.patterns import PatternSequence
from dnpu_models.interface.device import Trainable, TrainableNetlist, follow_path, known_terminals, lacking
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork
from dnpu_models.noise.spectrum import PUBLISHED_A2_PER_HZ
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.choices import Polarity
from learning.tasks.library import named_task
from learning.tasks.task import Task, at_swing, with_polarity
from lockin.plan import DitherPlan, plan_frequencies
from lockin.third_order import check_free, free_tones

DEFAULT_DEVICE_SEED = 0
DEFAULT_PRESET = "tertilt2022"
DEFAULT_OUTPUT = 0
DEFAULT_INPUTS = (2, 6)
SPACING_HZ = 10.0


@dataclass(frozen=True, eq=False)
class Bench:
    """Device and wiring.

    Parameters
    ----------
    device : Device
        One that can learn has `conductances`, and a `kernel` or a netlist.
    output : int
        Terminal at the transimpedance amplifier.
    inputs : tuple of int
        Terminals of the task's inputs; their biases are trained too.
    frequencies_Hz : sequence of float, optional
        One tone per trained terminal; by default tones on a Golomb ruler of `spacing_Hz`.
    window_s : float, optional
        How long the lock-ins listen to a pattern; by default the tones' common period.
    spacing_Hz : float
        The whole experiment's clock: filters, ramps and windows follow the tones.
    base_Hz : float, optional
        Lowest frequency that a tone on the ruler may have; by default the ruler's lowest octave.
    copies : int
        How often the task's inputs are shown: `inputs` are the terminals of all of them, then of all of them again, as
        of several devices side by side.

    Raises
    ------
    InputError
        For terminals that do not fit the device, or a wrong number of tones.
    """

    device: Trainable | TrainableNetlist
    output: int = DEFAULT_OUTPUT
    inputs: tuple[int, ...] = DEFAULT_INPUTS
    frequencies_Hz: Sequence[float] | None = None
    window_s: float | None = None
    spacing_Hz: float = SPACING_HZ
    base_Hz: float | None = None
    copies: int = 1

    def __post_init__(self) -> None:
        count = len(self.device.terminals)
        used = (self.output, *self.inputs)
        if not 1 <= self.copies <= len(self.inputs) or len(self.inputs) % self.copies:
            problem = f"does not divide {len(self.inputs)} input terminals"
            raise InputError("copies", self.copies, problem, "name the terminals of every copy")
        if len(set(used)) != len(used) or not self.inputs or not all(0 <= k < count for k in used):
            raise InputError(
                "electrodes", used, f"output and inputs must differ and lie in 0..{count - 1}", "change them"
            )
        measured = known_terminals(self.device)
        if self.output not in measured:
            names = ", ".join(self.device.terminals[k] for k in measured)
            raise InputError(
                "electrodes",
                self.device.terminals[self.output],
                "is no output: its current was not measured",
                f"take the output from {names}",
            )
        tones = self.frequencies_Hz
        if tones is not None and len(tones) != count - 1:
            raise InputError(
                "frequencies", list(tones), f"{count - 1} trained electrodes want a tone each", "give as many"
            )

    @property
    def trained(self) -> tuple[int, ...]:
        """Terminals whose voltage is trained: all but the output."""
        return tuple(k for k in range(len(self.device.terminals)) if k != self.output)

    @property
    def lacks(self) -> tuple[str, ...]:
        """What cannot be done with the device, one sentence for each capability that it does not offer."""
        return tuple(f"{name}: {told}" for name, told in lacking(self.device).items())

    @property
    def transimpedance_ohm(self) -> float:
        """Of the amplifier that reads the output: the device's own, or 1e7 ohm, which suits nanoamperes."""
        return float(getattr(self.device, "transimpedance_ohm", OutputStage.transimpedance_ohm))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the trained terminals."""
        return tuple(self.device.terminals[k] for k in self.trained)

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage that the device allows each trained terminal, V, (n_trained, 2)."""
        return np.asarray(self.device.limits_V)[list(self.trained)]

    def start_limits_V(self, spread: float) -> tuple[FloatArray, FloatArray]:
        """Between which controls random settings are drawn: the middle `spread` of each range, V, each (n_trained,).

        Raises
        ------
        InputError
            If the device has no limits.
        """
        low, high = self.limits_V.T
        if not np.all(np.isfinite(self.limits_V)):
            raise InputError("limits_V", float("inf"), "leaves nothing to draw settings from", "give the device limits")
        return 0.5 * (low + high - spread * (high - low)), 0.5 * (low + high + spread * (high - low))

    def random_controls(self, spread: float, rng: np.random.Generator) -> FloatArray:
        """A random setting, uniform within `start_limits_V`: control voltages, V, (n_trained,)."""
        return rng.uniform(*self.start_limits_V(spread))

    def swings_V(self, share: float) -> tuple[float, ...]:
        """Input swings of a share of each input's range, V: a gate's quarter is 0.5 V on the default device."""
        return tuple(float(share * np.ptp(self.device.limits_V[k])) for k in self.inputs)

    def task(self, task: Task | str, *, swing_V: float | None = None, polarity: Polarity | None = None) -> Task:
        """A task, or the one of a name, with input levels that suit it and the device: see `Task.swing_share`.

        Or with levels this far apart (V) at every input; and with another rule of polarity, if one is given.

        Raises
        ------
        InputError
            For an unknown task, or one with another number of inputs.
        """
        found = named_task(task) if isinstance(task, str) else task
        here = len(self.inputs) // self.copies
        if found.inputs != here:
            raise InputError("task", found.name, f"has {found.inputs} inputs, the bench {here}", "name as many")
        swings_V = self.swings_V(found.swing_share) if swing_V is None else (swing_V,) * len(self.inputs)
        fitted = at_swing(found, swings_V)
        return fitted if polarity is None else with_polarity(fitted, polarity)

    def plan(self, amplitude_V: Peaks) -> DitherPlan:
        """The dither: tones of one peak amplitude (V), or one each.

        Raises
        ------
        InputError
            For another number of amplitudes.
        """
        count = len(self.trained)
        peaks = (float(amplitude_V),) * count if np.ndim(amplitude_V) == 0 else tuple(map(float, amplitude_V))  # type: ignore[arg-type]
        if len(peaks) != count:
            raise InputError("amplitude", list(peaks), f"{count} trained electrodes need one or {count}", "change it")
        if self.frequencies_Hz is None:
            band = None if self.base_Hz is None else (self.base_Hz, 1e3 * (self.base_Hz + self.spacing_Hz * count**2))
            return plan_frequencies(count, band, self.spacing_Hz, amplitude_V=peaks)
        return DitherPlan(tuple(map(float, self.frequencies_Hz)), peaks)

    def with_free_tones(self) -> Bench:
        """The bench with tones on which gradients can be corrected, free of overlaps: its own if it was given some.

        Raises
        ------
        InputError
            If its own have overlaps.
        """
        count, spacing = len(self.trained), self.spacing_Hz
        if self.frequencies_Hz is None:
            free = free_tones(count) if self.base_Hz is None else free_tones(count, math.ceil(self.base_Hz / spacing))
            return replace(self, frequencies_Hz=tuple(mark * spacing for mark in free))
        check_free("whole", self.plan(1e-3))
        return self

    def sequence(self, levels_V: tuple[tuple[float, ...], ...], targets_V: tuple[float, ...]) -> PatternSequence:
        """Timing: windows of the common period of the tones, ramps and waiting of a twentieth of it."""
        window = self.plan(1e-3).common_period_s if self.window_s is None else self.window_s
        return PatternSequence(levels_V, targets_V, window, window / 20, window / 20, window / 2000)

    def terminal_voltages(self, controls_V: FloatArray, levels_V: Sequence[float] | None = None) -> FloatArray:
        """Terminal voltages (V) for controls (..., n_trained) and levels on the inputs, 0 by default."""
        controls = np.asarray(controls_V, dtype=float)
        volts = np.zeros((*controls.shape[:-1], len(self.device.terminals)))
        volts[..., list(self.trained)] = controls
        for terminal, level in zip(self.inputs, levels_V or (0.0,) * len(self.inputs), strict=True):
            volts[..., terminal] += level
        return volts

    def currents_A(self, controls_V: FloatArray, levels_V: Sequence[float] | None = None) -> FloatArray:
        """Static output current (A, out of the device) for controls (..., n_trained) at input levels; shape (...)."""
        return np.asarray(-self.device.currents(self.terminal_voltages(controls_V, levels_V))[..., self.output])

    def outputs_A(self, controls_V: FloatArray, task: Task) -> FloatArray:
        """Static output currents (A, out of the device) for the task's patterns, (n_patterns,)."""
        return self.pattern_outputs_A(controls_V, task.levels_V)

    def pattern_outputs_A(self, controls_V: FloatArray, levels_V: tuple[tuple[float, ...], ...]) -> FloatArray:
        """Static output currents (A, out of the device) for patterns of input levels (V), (n_patterns,)."""
        volts = np.stack([self.terminal_voltages(controls_V, levels) for levels in levels_V])
        return np.asarray(-self.device.currents(volts)[:, self.output])

    def many_outputs_A(self, controls_V: FloatArray, task: Task) -> FloatArray:
        """`outputs_A` for settings (m, n_trained), one after the other, (m, n_patterns); faster on slow devices."""
        volts = np.stack([self.terminal_voltages(controls_V, levels) for levels in task.levels_V], axis=1)
        shape = volts.shape[:2]
        return np.asarray(-follow_path(self.device, volts.reshape(-1, volts.shape[-1]))[:, self.output].reshape(shape))

    def slopes_S(self, controls_V: FloatArray, task: Task) -> FloatArray:
        """Exact derivatives of `outputs_A` by each control, S, (n_patterns, n_trained)."""
        volts = np.stack([self.terminal_voltages(controls_V, levels) for levels in task.levels_V])
        return np.asarray(-self.device.conductances(volts)[:, self.output][:, list(self.trained)])

    @property
    def slot_s(self) -> float:
        """Time of one device evaluation, one pattern's presentation: ramp, waiting and window, s."""
        return self.sequence(((0.0,),), (0.0,)).slot_s

    def noise_A(self) -> float:
        """Standard deviation of a window's mean for the published noise density, A: sqrt(S/(2T))."""
        return float(np.sqrt(0.5 * PUBLISHED_A2_PER_HZ / self.sequence(((0.0,),), (0.0,)).window_s))


def default_bench(
    device_seed: int = DEFAULT_DEVICE_SEED, *, tolerance: float = 1e-6, frequencies_Hz: Sequence[float] | None = None
) -> Bench:
    """The default experiment: `MeanField` of a random network, preset ``tertilt2022``, output e0, inputs e2 and e6.

    How seed and electrodes were chosen is told in docs/decisions.md.
    """
    network = DopantNetwork.random(seed=device_seed, preset=DEFAULT_PRESET)
    return Bench(MeanField(network, tolerance=tolerance), frequencies_Hz=frequencies_Hz)
