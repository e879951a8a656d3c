"""The closed loop of homodyne gradient extraction: a device, its dither, lock-ins and integrators as one circuit.

Signal path (every block a part of `netlists`, levels chosen per part):

    control w_k -+-> dither_sum -> electrode k   device   electrode out -> transimpedance -> v(tia)
    pattern   ---+   alpha_k(t) sin(2 pi f_k t + phi_k)
    v(tia) - baseline -> variable_gain (automatic) -> y -> y - target -> squared, gated: loss E (or another: `losses`)
    E x sin(2 pi f_k t + phi_k) -> low-pass -> averager -> limiter -> integrator -> w_k

The lock-in's low-pass is followed by a slow pole that averages over the sequence of patterns, so that the limiter sees
the slope of the whole loss, g_k ~ mean over the patterns of dE/dw_k, and not one pattern's:

    dw_k/dt = -(r_k rate(t)/period) V_step tanh(learning_rate g_k / V_step)

Small slopes move w_k by r_k learning_rate g_k per sequence, large ones by no more than r_k V_step: slopes differ by
orders of magnitude over a device's settings, and the limiter is what electronics does about it. They differ as much
from control to control: the share r_k of the rate (`rates`) is each integrator's own resistor, and
`circuits.homodyne.stability` says which shares keep the loop from hunting.

Two slow integrators make the output stage independent of the device's background and scale: the baseline follows the
mean of v(tia) over the windows, and the gain control c (the gain is e^c) drives the mean of y^2 to level^2. With both
settled the descent direction on the mean squared error is that of the correlation of output and target.

`chopped`, the dither's sign changes from window to window, and a switch behind each mixer changes it back:

    E x sin(2 pi f_k t + phi_k) -> x chop -> low-pass ...       chop = (-1)^(pass + pattern)

What does not come from the dither, the mixers' offsets and what feeds through them, is thereby of changing sign behind
the switch, and cancels over two passes.

With `leads` a cable stands between the electronics (node el_k) and each electrode (node pad_k).

Opened (`opened`), the same front end is driven by fixed controls and the integrators only read: each ends at the
lock-in's estimate of the mean of dE/dw_k, or of d v(tia)/dw_k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from circuits.homodyne.options import LoopOptions, check_rates
from circuits.parts.chosen import chosen_part
from circuits.parts.component_errors import with_errors
from circuits.parts.losses import LOSS_PARTS, Loss, make_loss
from circuits.signals.patterns import PatternSequence
from circuits.signals.sources import Drive, Sine, Table
from dnpu_models.interface.device import InNetlists, Steppable
from inmateria.checks import FloatArray, count, positive
from inmateria.errors import InputError
from lockin.plan import DitherPlan
from netlists.reader import Part

Mode = Literal["learn", "loss", "output"]
Peaks = float | Sequence[float]
"""Peak dither of all controls or of each, V."""
POINTS_PER_CYCLE_MIN = 8
READING_V = 10.0
"""Rails of the reading integrators: what an op-amp can do."""
CHOP_EDGE = 1e-3
"""Of the time in which the inputs move, the part in which the sign of a chopped dither changes."""
OFFSET_V = 0.05
"""Largest offset behind a mixer that a reading has room for: the limit of an AD633."""


def opened_errors(errors: Mapping[str, float]) -> dict[str, float]:
    """The component errors of a closed loop that an opened one has, too: it has no averagers and no limiters."""
    return {name: error for name, error in errors.items() if not name.startswith(("avg", "lim"))}


@dataclass(frozen=True)
class OutputStage:
    """From the output electrode to the normalised output y.

    Parameters
    ----------
    transimpedance_ohm : float
        v(tia) = R I, I the current out of the device.
    polarity : float
        +1 or -1.
    level_V : float
        Root mean square that the automatic gain gives y over a sequence.
    baseline_V, gain_log : float
        Starting values of the two integrators: the baseline, and c with gain e^c.
    baseline_rate, gain_rate : float
        Fraction of the deviation that each takes back per sequence; 0 holds it.
    gain_limits : tuple of float
        Rails of c.
    """

    transimpedance_ohm: float = 1e7
    polarity: float = 1.0
    level_V: float = 1.0
    baseline_V: float = 0.0
    gain_log: float = 0.0
    baseline_rate: float = 0.5
    gain_rate: float = 0.5
    gain_limits: tuple[float, float] = (-3.0, 6.0)

    def __post_init__(self) -> None:
        if self.polarity not in (1.0, -1.0):
            raise InputError("polarity", self.polarity, "is no polarity", "give +1 or -1")
        positive("transimpedance_ohm", self.transimpedance_ohm, "ohm")
        positive("level_V", self.level_V, "V")

    @property
    def reach_V(self) -> float:
        """Rails of the baseline: what 400 nA give at 1e7 ohm, and more at less."""
        return 4.0

    def measured_at(self, outputs_V: FloatArray) -> OutputStage:
        """The same stage with baseline and gain set as an operator sets them before a run: from v(tia) per pattern."""
        spread = float(np.std(outputs_V))
        gain = np.log(self.level_V / max(spread, 1e-12))
        gain_log = float(np.clip(gain, *self.gain_limits)) if spread else self.gain_log
        return replace(self, baseline_V=float(np.mean(outputs_V)), gain_log=gain_log)


@dataclass(frozen=True, eq=False)
class HomodyneLoop(LoopOptions):
    """Device, pattern sequence, dither, lock-ins and integrators.

    Parameters
    ----------
    device : Device
        With a `kernel`, or a netlist.
    output : int
        Terminal whose current is the output; held at 0 V by the transimpedance amplifier.
    inputs : tuple of int
        Terminals that get the pattern's levels, on top of their trained bias.
    trained : tuple of int
        Terminals whose voltage is trained, each with its own tone.
    start_V : ndarray, shape (n_trained,)
        Control voltages at the start.
    dither : DitherPlan
        One tone per trained terminal; peak amplitudes.
    sequence : PatternSequence
    rates : float or sequence of float
        Shares r_k of the rate, of all controls or of each, in (0, 1].
    stage : OutputStage
    filter_s, filter_poles : float, int
        Low-pass after each mixer; by default its time constant is a tenth of a window.
    averaged_sequences : float
        Time constant of the averager, in sequences.
    windows : int
        How many windows of each pattern an opened loop reads the mean of; chopped, of each sign.
    points_per_cycle : float
        Time-points per cycle of the highest tone.
    fixed_V : mapping
        Voltage of terminals that are neither trained nor the output; 0 V by default.
    mode : {"learn", "loss", "output"}
        Closed loop, or opened: reading the slope of the loss, or of v(tia).
    anneal_from, dither_from : float
        Scales of rate and dither in the first sequence, as `anneal_to`: below 1 for a loop that goes on. An
        opened loop's stay as they are; -1 turns its dither over.
    sequences, learning_rate, step_V, anneal_to, dither_to, parts, multiplier_V, loss, chopped, leads,
    component_errors, temperature_K
        As `LoopOptions`.

    Raises
    ------
    InputError
        As `LoopOptions`; for wrong terminals, a dither that leaves the device's range, colliding tones, a step too
        coarse for the highest tone.
    """

    device: Steppable | InNetlists
    output: int
    inputs: tuple[int, ...]
    trained: tuple[int, ...]
    start_V: FloatArray
    dither: DitherPlan
    sequence: PatternSequence
    rates: float | Sequence[float] = 1.0
    stage: OutputStage = field(default_factory=OutputStage)
    filter_s: float = field(default=None)  # type: ignore[assignment]
    filter_poles: int = 1
    averaged_sequences: float = 1.0
    windows: int = 1
    points_per_cycle: float = 10.0
    fixed_V: Mapping[int, float] = field(default_factory=dict)
    mode: Mode = "learn"
    anneal_from: float = 1.0
    dither_from: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        count("windows", self.windows)
        terminals = len(self.device.terminals)
        start = np.array(self.start_V, dtype=float)
        object.__setattr__(self, "start_V", start)
        if self.filter_s is None:
            object.__setattr__(self, "filter_s", 0.1 * self.sequence.window_s)
        used = (self.output, *self.trained)
        if len(set(used)) != len(used) or not all(0 <= k < terminals for k in (*used, *self.inputs)):
            problem = f"terminals must differ and lie in 0..{terminals - 1}"
            raise InputError("trained", self.trained, problem, "change them")
        if self.output in self.inputs or len(set(self.inputs)) != self.sequence.inputs:
            problem = f"{self.sequence.inputs} inputs beside the output are required"
            raise InputError("inputs", self.inputs, problem, "change it")
        if start.shape != (len(self.trained),) or self.dither.n != len(self.trained):
            problem = f"{len(self.trained)} trained terminals need as many values"
            raise InputError("start_V", start.shape, problem, "check it")
        if not np.all(np.isfinite(start)):
            raise InputError("start_V", start.tolist(), "must be finite", "check it")
        check_rates(self.rates, len(self.trained))
        _ = self.error_function
        highest, longest = max(self.dither.frequencies_Hz), self.sequence.window_s
        if self.points_per_cycle < POINTS_PER_CYCLE_MIN:
            told = f"the highest tone of {highest:g} Hz ({self.points_per_cycle:.3g} points a cycle)"
            fix = f"take at most {1 / (POINTS_PER_CYCLE_MIN * highest):.3g} s"
            raise InputError("max_step_s", self.max_step_s, f"is too coarse for {told}", fix)
        low, high = self.control_limits_V
        if np.any(low >= high):
            problem = f"dither and logic swing leave no room within {self.range_of(int(np.argmax(low - high)))}"
            raise InputError("amplitude", max(self.dither.amplitudes_V), problem, "lower the amplitude or the swing")
        outside = (start < low - 1e-12) | (start > high + 1e-12)
        if np.any(outside):
            k = int(np.nonzero(outside)[0][0])
            problem = f"leaves no room for dither and logic swing within {self.range_of(k)}"
            raise InputError(f"start_V[{k}]", float(start[k]), problem, f"stay within {low[k]:.4g} to {high[k]:.4g} V")
        self.dither.check(0.5 / longest)
        cycles = np.array(self.dither.frequencies_Hz) * longest
        if np.max(np.abs(cycles - np.round(cycles))) > 1e-6:
            problem = "is no whole number of cycles of every tone, so their references are not orthogonal"
            raise InputError("window_s", longest, problem, "take multiples of the tones' common period")

    @property
    def shown(self) -> int:
        """How often the sequence is shown: before, while and after learning; opened `windows` times, chopped twice."""
        return self.sequences + 2 if self.mode == "learn" else self.windows * (1 + self.chopped)

    @property
    def listened_s(self) -> float:
        """How long the windows are open over which slopes are read, s: of a pass, or all of an opened loop."""
        return self.sequence.listening_s * (1 if self.mode == "learn" else self.shown)

    @property
    def max_step_s(self) -> float:
        """Largest time step, s."""
        return 1.0 / (self.points_per_cycle * max(self.dither.frequencies_Hz))

    @property
    def stop_s(self) -> float:
        """Length of the transient, s: measuring, learning, measuring; or what is shown and the filters' tail."""
        return self.shown * self.sequence.period_s + (0.0 if self.mode == "learn" else self._tail_s)

    @property
    def _tail_s(self) -> float:
        return 12 * self.filter_poles * self.filter_s

    @cached_property
    def control_limits_V(self) -> tuple[FloatArray, FloatArray]:
        """Rails of the integrators, each (n_trained,): what the device allows less dither and logic swing.

        Less two time steps at the limiter's speed, too: inside a time step the device is told a control on a straight
        line through its last values, and a measured chip knows nothing of voltages outside its ranges. The summing
        amplifiers' own errors (gain, offset, size of the dither) are allowed for.
        """
        lowest, highest = np.asarray(self.device.limits_V)[list(self.trained)].T
        ahead = 2 * self.step_V * self.max_step_s / self.sequence.period_s if self.mode == "learn" else 0.0
        gain, offset, peak = self._summing
        kept_free = peak + ahead
        low, high = (lowest + kept_free - offset) / gain, (highest - kept_free - offset) / gain
        for position, terminal in enumerate(self.trained):
            if terminal in self.inputs:
                levels = [pattern[self.inputs.index(terminal)] for pattern in self.sequence.levels_V]
                high[position] -= max(0.0, *levels)
                low[position] -= min(0.0, *levels)
        return low, high

    @property
    def _summing(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of each electrode's summing amplifier: gain, offset (V) and peak of the dither (V), feedthrough included."""
        part = self.part("dither_sum")
        rows = []
        for k, peak in enumerate(self.dither.amplitudes_V):
            known = {**part.defaults, **with_errors(f"sum{k}", part, {"amplitude": peak}, self.component_errors)}
            names = ("esum", "offset", "escale", "yfeed", "xos", "xfeed", "yos")
            error, offset, scale, *feeds = (known.get(name, 0.0) for name in names)
            size = 1.0 + scale + feeds[0] + feeds[1] + (abs(feeds[2]) + abs(feeds[3])) / self.multiplier_V
            rows.append((1.0 + error, offset, known["amplitude"] * size))
        gain, offsets, peaks = np.array(rows).T
        return gain, offsets, peaks

    def range_of(self, position: int) -> str:
        """The device's range at a trained terminal, in words."""
        terminal = self.trained[position]
        low, high = np.asarray(self.device.limits_V)[terminal]
        return f"{self.device.terminals[terminal]}'s range of {low:.4g} to {high:.4g} V"

    def opened(
        self,
        controls_V: FloatArray,
        amplitude_V: Peaks,
        mode: Mode,
        points_per_cycle: float = 24.0,
        windows: int = 1,
    ) -> HomodyneLoop:
        """The same circuit with frozen controls and the stated dither amplitude (or amplitudes), reading slopes.

        They are the mean over this many windows of each pattern.
        """
        peaks = tuple(float(peak) for peak in np.broadcast_to(amplitude_V, self.dither.n))
        plan = DitherPlan(self.dither.frequencies_Hz, peaks, self.dither.phases_rad)
        return replace(
            self,
            start_V=np.asarray(controls_V, dtype=float),
            dither=plan,
            mode=mode,
            component_errors=opened_errors(self.component_errors),
            stage=replace(self.stage, baseline_rate=0.0, gain_rate=0.0),
            points_per_cycle=points_per_cycle,
            windows=windows,
            anneal_from=1.0,
            dither_from=1.0,
        )

    def part(self, name: str) -> Part:
        """The part that stands in this place of the circuit."""
        return chosen_part(self.parts, name)

    @property
    def has_amplifiers(self) -> bool:
        """Whether any part is more than an equation: such a one can oscillate between the steps of a learning run."""
        return any(part.level != "ideal" for part in self.parts.values())

    @cached_property
    def error_function(self) -> Loss:
        """The loss as an equation."""
        return make_loss(self.loss, self.part(LOSS_PARTS[self.loss]), self.sequence.targets_V)

    def loss_values(self, outputs_V: FloatArray) -> FloatArray:
        """E at v(tia) of `outputs_V` (V, (..., n_patterns)), with the starting baseline and gain: V, same shape."""
        y = self.stage.polarity * np.exp(self.stage.gain_log) * (np.asarray(outputs_V) - self.stage.baseline_V)
        return self.error_function.value(y, np.array(self.sequence.targets_V))

    def loss_slopes(self, outputs_V: FloatArray) -> FloatArray:
        """dE/d v(tia) at v(tia) of `outputs_V` (V, (..., n_patterns)), as `loss_values`: V/V, same shape."""
        stage = self.stage
        gain = stage.polarity * np.exp(stage.gain_log)
        y = gain * (np.asarray(outputs_V) - stage.baseline_V)
        return np.asarray(gain * self.error_function.slope(y, np.array(self.sequence.targets_V)))

    # -- waveforms -------------------------------------------------------------------------------------------------

    @cached_property
    def envelope(self) -> Table:
        """Scale of the dither over time: off, falling in steps from `dither_from` to `dither_end`, off."""
        falling = self._falling(self.dither_from, self.dither_end)
        if not self.chopped:
            return falling
        slots = self.sequence.slot_s * np.arange(0.5, self.shown * self.sequence.patterns)
        return self._by_slots((falling.at(slots) * self.chop_signs).tolist())

    @cached_property
    def learning(self) -> Table:
        """Scale of the integrators' rate over time: off, falling in steps from `anneal_from` to `anneal_to`, off."""
        return self._falling(self.anneal_from, self.anneal_to)

    def _falling(self, start: float, end: float) -> Table:
        """A scale that is 0 before and after learning, and falls in equal steps, one a sequence; still if opened."""
        if self.mode != "learn":
            return Table((0.0, self.stop_s), (start, start))
        period, ramp = self.sequence.period_s, self.sequence.ramp_s
        scales = np.linspace(start, end, self.sequences) if self.sequences > 1 else np.array([start])
        times, values = [0.0], [0.0]
        before = 0.0
        for k, scale in enumerate([*scales, 0.0]):
            times += [(k + 1) * period, (k + 1) * period + ramp]
            values += [before, float(scale)]
            before = float(scale)
        return Table(tuple(times), tuple(values))

    @property
    def chop_signs(self) -> FloatArray:
        """Sign of the dither in every window, (-1)^(pass + pattern); 1 unless the loop is chopped.

        So half the windows of a pass have each sign, or as nearly as may be, and each pattern has both in two passes.
        """
        number = np.arange(self.shown * self.sequence.patterns)
        odd = number // self.sequence.patterns + number % self.sequence.patterns
        return np.where(self.chopped & (odd % 2 == 1), -1.0, 1.0)

    @cached_property
    def flip_s(self) -> float:
        """When the sign changes once more in a chopped, opened loop's tail, s.

        Behind the switches a mixer's offset V contributes V (int chop dt - chop(end) sum tau) to a reading, as the
        low-passes keep their last input; the time is chosen so that this is zero.
        """
        spans = np.diff(self._changes_s, prepend=0.0, append=self.shown * self.sequence.period_s)
        last, so_far = self.chop_signs[-1], float(spans @ self.chop_signs)
        kept = self.filter_poles * self.filter_s
        return float(self.stop_s - 0.5 * (self._tail_s + kept + last * so_far))

    @property
    def _changes_s(self) -> FloatArray:
        """When another window's sign takes over, s: while the inputs move, when nobody listens."""
        return np.arange(1.0, len(self.chop_signs)) * self.sequence.slot_s + 0.5 * self.sequence.ramp_s

    @cached_property
    def chop(self) -> Table:
        """Sign of the dither over time, a logic signal."""
        at, signs = self._changes_s, self.chop_signs
        if self.mode != "learn":
            at, signs = np.append(at, self.flip_s), np.append(signs, -signs[-1])
        half = 0.5 * CHOP_EDGE * self.sequence.ramp_s
        times = np.column_stack([at - half, at + half]).ravel()
        return Table((0.0, *times.tolist()), (float(signs[0]), *np.repeat(signs, 2)[1:-1].tolist()))

    def _by_slots(self, values: list[float]) -> Table:
        """A waveform that goes to another value while the inputs move."""
        times, points, before = [], [], values[0]
        for number, value in enumerate(values):
            times += [number * self.sequence.slot_s, number * self.sequence.slot_s + self.sequence.ramp_s]
            points += [before, value]
            before = value
        return Table(tuple(times), tuple(points))

    @cached_property
    def start_terminals_V(self) -> FloatArray:
        """Terminal voltages at time 0 without dither, V."""
        volts = np.zeros(len(self.device.terminals))
        for terminal, value in self.fixed_V.items():
            volts[terminal] = value
        volts[list(self.trained)] = self.start_V
        for which, terminal in enumerate(self.inputs):
            volts[terminal] += self.sequence.level_table(which).values[0]
        return volts

    @cached_property
    def drive(self) -> Drive:
        """The known part of the terminal voltages."""
        plan = self.dither
        sines = {
            terminal: [Sine(plan.amplitudes_V[k], plan.frequencies_Hz[k], plan.phases_rad[k], self.envelope)]
            for k, terminal in enumerate(self.trained)
        }
        waves = {terminal: [(1.0, self.sequence.level_table(w))] for w, terminal in enumerate(self.inputs)}
        return Drive(sines, waves)

    # -- time-points -------------------------------------------------------------------------------------------------

    @property
    def corners_s(self) -> tuple[float, ...]:
        """Corners of all waveforms, s: ramps, and the edges of the gate."""
        sequence = self.sequence
        half = 0.5 * sequence.edge_s
        corners: list[float] = []
        for number in range(self.shown):
            for start, stop in sequence.windows(number):
                slot = start - half - sequence.ramp_s - sequence.wait_s
                corners += [slot, slot + sequence.ramp_s, start - half, start + half, stop - half, stop + half]
        if self.chopped:
            corners += self.chop.times_s
        return tuple(sorted(float(t) for t in corners if t > 0))

    @property
    def window_steps(self) -> int:
        """Steps in one window: even, so that the references stay orthogonal on the points."""
        cycles = max(self.dither.frequencies_Hz) * self.sequence.window_s
        return int(np.ceil(cycles * self.points_per_cycle * (1 - 1e-12)))

    @property
    def grids_s(self) -> tuple[tuple[float, float, int], ...]:
        """Start (s), stop (s) and steps of even time-points: the edges of the gate, and the windows."""
        half = 0.5 * self.sequence.edge_s
        edge_steps = 2 * int(np.ceil(half / self.max_step_s))
        grids: list[tuple[float, float, int]] = []
        for number in range(self.shown):
            for start, stop in self.sequence.windows(number).tolist():
                grids += [(start - half, start + half, edge_steps), (start, stop, self.window_steps)]
                grids += [(stop - half, stop + half, edge_steps)]
        return tuple(grids)

    # -- values of parts ---------------------------------------------------------------------------------------------

    @property
    def control_rates(self) -> FloatArray:
        """Share of the rate that each control has, (n_trained,)."""
        return np.broadcast_to(np.asarray(self.rates, dtype=float), len(self.trained)).copy()

    @property
    def average_s(self) -> float:
        """Time constant of the averager, s."""
        return self.averaged_sequences * self.sequence.period_s

    @property
    def channel_gains(self) -> FloatArray:
        """Gain behind each lock-in: (2/alpha_k) over the windows' share, times the learning rate in the closed loop.

        The averager sees the lock-in's mean over the whole period, the slope is its mean over the windows.
        """
        per_slope = 2.0 / np.array(self.dither.amplitudes_V) / self.listened_s
        return np.asarray(per_slope * (self.learning_rate * self.sequence.period_s if self.mode == "learn" else 1.0))

    @property
    def reading_scale(self) -> float:
        """Slope (V/V) that 1 V of a reading integrator stands for in an opened loop: its rails lie above any slope.

        And above what offsets of real parts may add to it: 2/alpha of them.
        """
        span = 10.0
        if self.mode == "loss":
            span *= 4.0 * float(np.exp(self.stage.gain_log))
        if self.parts:
            span += 2.0 / min(self.dither.amplitudes_V) * OFFSET_V
        return span / READING_V
