"""How long a gate stays that was learned: held with the integrators' gates closed, or left on to learn further.

Held, the controls drift as the integrators let them (`circuits.homodyne.holding`); left on, they go on at the rate and
the dither of the last sequence. Either way the task's own score of the device's static outputs says until when it is
still there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from circuits.homodyne import readings
from circuits.homodyne.averaged import check_averaged
from circuits.homodyne.engines import Averaged, LoopEngine, Ngspice, Twin, running
from circuits.homodyne.figures import check_known
from circuits.homodyne.holding import (
    left_on,
    measured_controls_V,
    outputs_A,
    predicted_controls_V,
    states_holding,
)
from circuits.homodyne.loop import HomodyneLoop
from inmateria.checks import FloatArray, positive
from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment
from learning.homodyne.results import Attempt
from learning.tasks.task import Score

LONGEST_S = 3600.0
"""How long a hold is looked at, by default."""
LOOK_V = 5e-3
"""How far a control moves between two looks, at most: a gate may be lost and come back within some 10 mV."""
LOOKS = (8, 400)
"""Least and largest number of looks."""
TIMES = 1000
"""Times at which the controls are asked for to place the looks, even ones and logarithmic ones."""
REFINED = 64
"""Looks inside the interval of the grid in which the gate is lost."""
SEQUENCES_WITH_DITHER = 20
"""How long a loop is left on, at most, in engines that follow the dither."""

Judge = Callable[[Score], bool]
"""Whether a score is still good enough."""


@dataclass(frozen=True, eq=False)
class Lasting:
    """How a learned gate lasts.

    Attributes
    ----------
    lasts_s : float
        The last look before the first at which it is no longer good enough; 0 if it never was, `looked_s` if it stays.
    looked_s : float
        How long was looked.
    time_s : ndarray, shape (m,)
        Of the looks, since learning ended.
    quality, separation_A : ndarray, shape (m,)
        Of the task's score then.
    controls_V : ndarray, shape (m, n_trained)
    source : str
        Where it comes from, in words.
    """

    lasts_s: float
    looked_s: float
    time_s: FloatArray
    quality: FloatArray
    separation_A: FloatArray
    controls_V: FloatArray
    source: str

    @property
    def moved_V(self) -> float:
        """How far a control went, at most, V."""
        return float(np.max(np.abs(self.controls_V - self.controls_V[0])))

    @property
    def stays(self) -> bool:
        """Whether the gate was there as long as was looked."""
        return self.lasts_s >= self.looked_s


def learned(score: Score) -> bool:
    """The task's own judgement."""
    return score.learned


def hold_learned(
    experiment: Experiment,
    attempt: Attempt,
    *,
    longest_s: float = LONGEST_S,
    good: Judge = learned,
    warming_K: float = 0.0,
    engine: LoopEngine | None = None,
) -> Lasting:
    """How long an attempt's gate is held.

    Parameters
    ----------
    experiment : Experiment
    attempt : Attempt
        Of it; its end is where holding begins.
    longest_s : float
        How long is looked, s.
    good : callable
        Which scores are good enough; by default those that the task calls learned.
    warming_K : float
        Change of temperature since learning ended: offsets drift.
    engine : Ngspice, optional
        Measured there, the integrators alone. By default predicted by the figures of the parts.

    Raises
    ------
    InputError
        For times that are not positive, another engine, or a prediction of integrators that have no figures.
    NetlistError, ConvergenceError, EngineError, Interrupted
        As a transient of ngspice.
    """
    positive("longest_s", longest_s, "s")
    loop, run = attempt.loop, attempt.run
    if engine is None:
        if not states_holding(loop):
            raise InputError("engine", None, "is required for integrators without figures", "give an Ngspice()")
        source = "by the parts' figures"

        def controls_at(time_s: FloatArray) -> FloatArray:
            return predicted_controls_V(loop, run, time_s)
    elif isinstance(engine, Ngspice):
        time, measured = measured_controls_V(loop, run, longest_s, engine)
        source = "integrators alone in ngspice"

        def controls_at(time_s: FloatArray) -> FloatArray:
            return np.stack([np.interp(time_s, time, column) for column in measured.T], axis=1)
    else:
        raise InputError("engine", engine.name, "runs no integrators alone", "give an Ngspice()")
    times = _looks_s(longest_s, controls_at)
    found = _judged(experiment, loop, times, controls_at(times), good, warming_K, source)
    if found.stays:
        return found
    lost = int(np.searchsorted(times, found.lasts_s, side="right"))
    inside = np.linspace(found.lasts_s, times[lost], REFINED + 1)
    fine = _judged(experiment, loop, inside, controls_at(inside), good, warming_K, source)
    return Lasting(
        fine.lasts_s, longest_s, times, found.quality, found.separation_A, found.controls_V, source
    )  # fmt: skip


def _looks_s(longest_s: float, controls_at: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """When to look, s: evenly along the way of the controls, on which alone the outputs depend."""
    even, early = np.linspace(0.0, longest_s, TIMES), longest_s * np.geomspace(1e-6, 0.1, TIMES)
    times = np.union1d(even, early)
    way = np.append(0.0, np.cumsum(np.max(np.abs(np.diff(controls_at(times), axis=0)), axis=1)))
    number = int(np.clip(np.ceil(way[-1] / LOOK_V), *LOOKS))
    return np.union1d(np.interp(np.linspace(0.0, way[-1], number + 1), way, times), [0.0, longest_s])


def leave_on(
    experiment: Experiment,
    attempt: Attempt,
    *,
    longest_s: float,
    good: Judge = learned,
    engine: str | LoopEngine | None = None,
    seed: int = 0,
) -> Lasting:
    """How long an attempt's gate stays while the loop goes on learning with the rate and dither of its end.

    Parameters
    ----------
    experiment, attempt, good
        As `hold_learned`.
    longest_s : float
        How long the loop goes on, in whole sequences; with engines that follow the dither `SEQUENCES_WITH_DITHER` at
        most.
    engine : str or LoopEngine, optional
        By default the averaged one, or else the twin, or else ngspice: the first that knows the loop.
    seed : int
        Draws noise, where the engine has any.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As the engine's `run`.
    """
    positive("longest_s", longest_s, "s")
    loop = attempt.loop
    with running(_engine_of(loop) if engine is None else engine) as simulator:
        sequences = max(1, int(np.ceil(longest_s / loop.sequence.period_s - 1e-9)))
        if simulator.has_dither:
            sequences = min(sequences, SEQUENCES_WITH_DITHER)
        going = left_on(loop, attempt.run, sequences)
        run = simulator.run(going, seed=seed)
        source = f"{simulator.name}, {sequences} sequences"
    ends = going.sequence.period_s * np.arange(1, sequences + 2)
    way = readings.controls_V(going, run)
    controls = np.stack([np.interp(ends, run.time_s, column) for column in way.T], axis=1)
    since = ends - ends[0]
    return _judged(experiment, loop, since, controls, good, 0.0, source)


def _engine_of(loop: HomodyneLoop) -> str:
    """The fastest engine that knows a loop."""
    for name, check in ((Averaged.name, check_averaged), (Twin.name, partial(check_known, engine=Twin.name))):
        with suppress(InputError):
            check(loop)
            return name
    return Ngspice.name


def _judged(
    experiment: Experiment, loop: HomodyneLoop, time_s: FloatArray, controls_V: FloatArray,
    good: Judge, warming_K: float, source: str,
) -> Lasting:  # fmt: skip
    """Score the static outputs at every look; the last before the first that is not good enough decides."""
    noise = experiment.bench.noise_A()
    scores = [
        experiment.task.score(row, loop.stage.polarity, noise) for row in outputs_A(loop, controls_V, warming_K)
    ]  # fmt: skip
    lost = [k for k, score in enumerate(scores) if not good(score)]
    return Lasting(
        float(time_s[max(lost[0] - 1, 0)] if lost else time_s[-1]),
        float(time_s[-1]),
        time_s,
        np.array([score.quality for score in scores]),
        np.array([score.separation_A for score in scores]),
        controls_V,
        source,
    )
