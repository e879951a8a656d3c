"""Where an attempt starts: the setting that an operator chooses by looking, and the slopes read there.

The slopes say how steep each control is, and with `rates` "auto" how fast each may go: a steep one gets a small share
of the rate, so that the loop does not hunt, see `circuits.homodyne.stability.stable_rates`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuits.homodyne import readings
from circuits.homodyne.engines import LoopEngine
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.stability import Stability, stable_rates
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.looks import Operator


@dataclass(frozen=True, eq=False)
class Start:
    """Where an attempt starts.

    Attributes
    ----------
    controls_V : ndarray, shape (n_trained,)
    polarity : float
    outputs_A : ndarray, shape (n_patterns,)
    looked : int
        Device evaluations used for looking, and for reading the slopes.
    found : int or None
        How many of them it took to the first setting that fulfils the task already, None without one.
    slopes : ndarray, shape (n_patterns, n_trained), or None
        d v(tia)/dw of each pattern as the lock-ins read it there, V/V; None before they did.
    """

    controls_V: FloatArray
    polarity: float
    outputs_A: FloatArray
    looked: int
    found: int | None
    slopes: FloatArray | None = None


def choose_start(experiment: Experiment, rng: np.random.Generator, *, take_found: bool = True) -> Start:
    """Look at random settings, follow the slopes of the most promising ones, return the best; see `looks`.

    The operator looks at `looks` settings, takes the `candidates` whose slopes promise the smallest loss, goes `moves`
    times where they say, half as far where the loss did not fall, and takes the best. A look that fulfils the task
    already ends the looking, and is followed alone.

    Parameters
    ----------
    experiment : Experiment
    rng : numpy.random.Generator
    take_found : bool
        Whether a setting that fulfils the task already may be the start. If not, none is looked at twice or gone to:
        for what is to show that the loop itself learns.

    Raises
    ------
    ConvergenceError
        If the device has no state at one of the settings.
    InputError
        If every setting fulfils the task, and none may be taken; if there is no room for starts.
    """
    task, settings = experiment.task, experiment.settings
    operator, patterns, noise_A = Operator(experiment), len(task.points), experiment.bench.noise_A()
    seen = operator.looks(experiment.random_controls(settings.looks, rng))
    there = [bool(task.fulfilled(look.outputs_A, noise_A)) for look in seen]
    found = patterns * (there.index(True) + 1) if any(there) else None
    if found is not None and take_found:
        used, seen = found, [seen[there.index(True)]]
    else:
        used, seen = patterns * len(seen), [look for look, fulfils in zip(seen, there, strict=True) if not fulfils]
    if not seen:
        raise InputError("looks", settings.looks, "every setting fulfils the task already", "there is nothing to learn")
    seen = sorted(seen, key=lambda look: operator.promise(look)[0])
    candidates = [(look, 1.0) for look in seen[: settings.candidates]]
    for _ in range(experiment.moves):
        for place, (look, share) in enumerate(candidates):
            moved = operator.look(operator.promise(look, share)[1], look.polarity)
            used += patterns
            fulfils = bool(task.fulfilled(moved.outputs_A, noise_A))
            better = moved.loss < look.loss and (take_found or not fulfils)
            candidates[place] = (moved, share) if better else (look, 0.5 * share)
            if fulfils and found is None:
                found = used
    best = min((look for look, _ in candidates), key=lambda look: look.loss)
    return Start(best.controls_V, best.polarity, best.outputs_A, used, found)


def read_start(loop: HomodyneLoop, engine: LoopEngine) -> tuple[FloatArray, FloatArray]:
    """What the opened circuit reads at a loop's start, pattern by pattern: v(tia), V, and its slopes, V/V.

    Each pattern is shown once, with real parts twice (`Experiment.reading_evaluations`), the dither turned over: what
    their offsets add, 2/alpha of them, is the same both times, and the slope half the difference.

    Returns
    -------
    tuple
        (n_patterns,) and (n_patterns, n_trained).

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `LoopEngine.run`.
    """
    opened = loop.opened(loop.start_V, loop.dither.amplitudes_V, "output", loop.points_per_cycle)
    signs = (1.0, -1.0) if loop.parts else (1.0,)
    outputs, slopes = [], []
    for levels, target in zip(loop.sequence.levels_V, loop.sequence.targets_V, strict=True):
        sequence = replace(loop.sequence, levels_V=(levels,), targets_V=(target,))
        shown = [replace(opened, sequence=sequence, dither_from=sign) for sign in signs]
        runs = [engine.run(one) for one in shown]
        outputs.append(np.mean([readings.outputs_V(one, run, 0)[0] for one, run in zip(shown, runs, strict=True)]))
        read = [readings.gradient(one, run) for one, run in zip(shown, runs, strict=True)]
        slopes.append(np.mean(np.array(signs)[:, None] * read, axis=0))
    return np.array(outputs), np.array(slopes)


def measured_loop(experiment: Experiment, start: Start, engine: LoopEngine) -> tuple[HomodyneLoop, FloatArray]:
    """The loop of a start as its own opened circuit measures it, and the slopes that it read, V/V.

    With parts the output stage is set by what its own transimpedance amplifier shows, offsets included; rates that are
    "auto" follow from the slopes. Errors as `read_start`.
    """
    loop = build_loop(experiment, start.controls_V, start.polarity, start.outputs_A)
    outputs_V, slopes = read_start(loop, engine)
    if loop.parts:
        loop = replace(loop, stage=loop.stage.measured_at(outputs_V))
    if experiment.settings.rates == "auto":
        loop = replace(loop, rates=stable_rates(loop, slopes))
    return loop, slopes


def stability_of(loop: HomodyneLoop, start: Start) -> Stability | None:
    """How far a loop is from hunting, by the slopes read at its start; None without, and of other losses."""
    if start.slopes is None or loop.loss != "squared":
        return None
    return Stability(loop, start.slopes)
