"""What the lock-ins of a loop read along its learning path, against the exact gradients there.

At each instant the controls, the baseline and the gain of the output stage are frozen where they stood, the parts are
the loop's own with their component errors, and the dither is the one that stood there. Two gradients are compared: of
the loss over all patterns, which is what the loop descends, and of the output current at one pattern, the patterns in
turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr

from analysis.gradients.compare import Comparison, compare
from circuits.homodyne import readings
from circuits.homodyne.engines import LoopEngine
from circuits.homodyne.loop import HomodyneLoop, Peaks
from circuits.signals.transient import Transient
from inmateria.checks import FloatArray
from learning.homodyne.experiment import Experiment
from learning.homodyne.gradients import adjoint, label, spice_lock_in

INSTANTS = 4
POINTS_PER_CYCLE = 12.0
"""Of the highest tone: readings within 5e-4 of those at 24 up to 20 mV, and 1.5e-3 at 100 mV, in half the time."""


@dataclass(frozen=True, eq=False)
class Slopes:
    """Gradients of one quantity at instants of a path.

    Attributes
    ----------
    measured, exact : tuple of DataArray
        As the circuit's lock-ins read them, and of the model: of the output current in S, of the loss in V/V.
    """

    measured: tuple[xr.DataArray, ...]
    exact: tuple[xr.DataArray, ...]

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The two of each instant, compared."""
        return tuple(compare(a, b) for a, b in zip(self.measured, self.exact, strict=True))

    @property
    def cosines(self) -> FloatArray:
        """Cosine at each instant."""
        return np.array([one.cosine for one in self.comparisons])

    @property
    def errors(self) -> FloatArray:
        """|read - exact|/|exact| at each instant."""
        return np.array([one.relative_error for one in self.comparisons])


@dataclass(frozen=True, eq=False)
class PathCheck:
    """Gradients at instants of a learning path, from the first with dither to the last.

    Attributes
    ----------
    output : Slopes
        d(output current)/dV at the pattern of each instant, S.
    loss : Slopes
        dE/dV, the mean over all patterns, V/V: what the loop descends.
    sequences : tuple of int
        Sequence after which each was taken.
    patterns : tuple of int
        Pattern that stood at the inputs for `output`.
    dither_V : tuple of float
        Peak dither at each instant; the largest where controls differ.
    engine : str
        What the lock-ins were read in.
    parts : str
        Whose parts they were, in words.
    timepoints : int
        Accepted time-points it took.
    """

    output: Slopes
    loss: Slopes
    sequences: tuple[int, ...]
    patterns: tuple[int, ...]
    dither_V: tuple[float, ...]
    engine: str
    parts: str
    timepoints: int


def parts_words(loop: HomodyneLoop) -> str:
    """What a loop's parts are, in words."""
    levels = sorted({part.level for part in loop.parts.values()})
    return f"the loop's own parts ({', '.join(levels)})" if levels else "ideal parts, as in the loop"


def instants_of(loop: HomodyneLoop, samples: int) -> FloatArray:
    """`samples` instants of learning in sequences, from its first to its last."""
    return np.linspace(1.0, loop.sequences + 1.0, samples)


def standing_at(loop: HomodyneLoop, run: Transient, sequence: float) -> HomodyneLoop:
    """The loop as it stands after a (broken) number of sequences: its controls, baseline, gain and dither the run's."""
    row = min(int(np.searchsorted(run.time_s, sequence * loop.sequence.period_s)), len(run.time_s) - 1)
    low, high = loop.control_limits_V
    scale = np.linspace(1.0, loop.dither_end, loop.sequences)[min(int(sequence), loop.sequences) - 1]
    stage = replace(loop.stage, baseline_V=float(run["v(baseline)"][row]), gain_log=float(run["v(gainlog)"][row]))
    controls = np.clip(readings.controls_V(loop, run)[row], low, high)
    return replace(loop, start_V=controls, dither=loop.dither.scaled(float(scale)), stage=stage)


def check_path(
    experiment: Experiment, loop: HomodyneLoop, run: Transient, engine: LoopEngine, *, samples: int = INSTANTS
) -> PathCheck:
    """Compare lock-in and exact gradients of loss and output at `samples` instants of a run.

    Parameters
    ----------
    experiment : Experiment
    loop, run
        An attempt's loop and transient.
    engine : LoopEngine
        One that has the dither, and equations of the loop's parts.
    samples : int
        Instants, from the start to the end of learning.

    Raises
    ------
    InputError, ConvergenceError, EngineError
        As the runs it makes.
    """
    instants = instants_of(loop, samples)
    patterns = tuple(k % loop.sequence.patterns for k in range(samples))
    output, loss, peaks, points = [], [], [], 0.0
    for instant, pattern in zip(instants, patterns, strict=True):
        at = standing_at(loop, run, float(instant))
        amplitudes_V, levels = at.dither.amplitudes_V, experiment.task.levels_V[pattern]
        read, _, transient, _ = spice_lock_in(
            experiment.bench, engine, at.start_V, amplitudes_V, levels, like=loop, points_per_cycle=POINTS_PER_CYCLE
        )
        output.append((read, adjoint(experiment.bench, at.start_V, levels)))
        points += transient.statistics["points"]
        *slopes, transient = loss_gradients(
            experiment, at, at.start_V, amplitudes_V, engine, points_per_cycle=POINTS_PER_CYCLE
        )
        loss.append(slopes)
        points += transient.statistics["points"]
        peaks.append(float(max(amplitudes_V)))
    measured, exact = zip(*output, strict=True)
    measured_loss, exact_loss = zip(*loss, strict=True)
    return PathCheck(
        Slopes(measured, exact),
        Slopes(measured_loss, exact_loss),
        tuple(round(float(i)) - 1 for i in instants),
        patterns,
        tuple(peaks),
        engine.name,
        parts_words(loop),
        int(points),
    )


def loss_gradients(
    experiment: Experiment,
    loop: HomodyneLoop,
    controls_V: FloatArray,
    dither_V: Peaks,
    engine: LoopEngine,
    *,
    points_per_cycle: float = 24.0,
    windows: int = 1,
    seed: int = 0,
) -> tuple[xr.DataArray, xr.DataArray, Transient]:
    """d(loss)/dw by the opened loop's lock-ins, and exactly; the output stage held where its starting values put it.

    Read is the mean over so many `windows` of each pattern; `seed` draws the device's noise, where it has any.

    The loss is E(y), y = polarity e^c (R I - baseline), for example (y - target)^2; exactly
    dE/dw_k = mean over patterns of E'(y) polarity e^c R dI/dw_k.

    Returns
    -------
    tuple
        Measured and exact gradient (V/V), and the transient. The exact one has the offset of the circuit's outputs (V)
        in its attributes.
    """
    bench, task = experiment.bench, experiment.task
    opened = loop.opened(controls_V, dither_V, "loss", points_per_cycle, windows)
    run = engine.run(opened, seed=seed)
    ohm = opened.stage.transimpedance_ohm
    outputs = bench.outputs_A(controls_V, task)
    # Offsets of real parts move the circuit's outputs, and with them the point at which the loss is meant.
    offset_V = float(np.mean(readings.outputs_V(opened, run, 0) - ohm * outputs)) if opened.parts else 0.0
    slopes = bench.slopes_S(controls_V, task)
    exact = np.mean(opened.loss_slopes(ohm * outputs + offset_V)[:, None] * ohm * slopes, axis=0)
    measured = label(bench, readings.gradient(opened, run), "lock-in on the loss", dither_V=dither_V)
    ideal = label(bench, exact, "adjoint", output_offset_V=offset_V)
    for array in (measured, ideal):
        array.attrs["units"] = "V/V"
    return measured, ideal, run
