"""Homodyne gradient extraction as a trainer: restarts of the closed loop until a task is learned.

One attempt: an operator looks at a few random settings with the dither on, follows the slopes of the most promising
ones a few times and takes the best (`start`, `looks`), sets polarity, baseline and gain of the output stage by it, lets
the lock-ins read the slopes there, from which rates and stability margin follow, and lets the circuit learn. A setting
that fulfils the task already is taken at once, and improved. The attempt is judged by the outputs that stand at the end
of the same transient, with dither and learning off. An attempt whose device or circuit gives no number somewhere has
failed, and the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from circuits.homodyne import readings
from circuits.homodyne.engines import LoopEngine, running
from circuits.homodyne.loop import HomodyneLoop
from circuits.signals.transient import Transient
from inmateria.errors import ConvergenceError
from learning.homodyne.experiment import Experiment
from learning.homodyne.results import Attempt, FailedAttempt, TrainingResult
from learning.homodyne.start import Start, choose_start, measured_loop

TrainingProgress = Callable[[int, str, float, float], None]
"""Called as progress(attempt, phase, simulated fraction, wall seconds of the attempt)."""

StartTold = Callable[[int, HomodyneLoop, Start], None]
"""Called as told(attempt, loop, start) before the loop learns."""


def as_measured(loop: HomodyneLoop, engine: LoopEngine) -> HomodyneLoop:
    """The loop with its output stage set by what its own transimpedance amplifier shows at the start, offsets included.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `LoopEngine.run`.
    """
    opened = loop.opened(loop.start_V, loop.dither.amplitudes_V, "output", loop.points_per_cycle)
    outputs_V = readings.outputs_V(opened, engine.run(opened), 0)
    return replace(loop, stage=loop.stage.measured_at(outputs_V))


def learn(
    experiment: Experiment,
    *,
    rng: np.random.Generator,
    engine: str | LoopEngine = "ngspice",
    progress: TrainingProgress | None = None,
    on_start: StartTold | None = None,
    on_attempt: Callable[[Attempt | FailedAttempt], None] | None = None,
    folder: Path | None = None,
    device_evaluations: int | None = None,
    take_found: bool = True,
) -> TrainingResult:
    """Learn a task by homodyne gradient extraction, restarting until it is learned.

    Parameters
    ----------
    experiment : Experiment
    rng : numpy.random.Generator
        Decides the starts.
    engine : {"ngspice", "twin", "averaged"} or LoopEngine
        The circuit in ngspice, its compiled twin, or the loop averaged over its dither; or an engine of
        `circuits.homodyne.engines`, which stays open.
    progress, on_attempt : callable, optional
    on_start : callable, optional
        Called as on_start(attempt, loop, start) when the slopes have been read, before the loop learns: `stability_of`
        tells its margin.
    folder : Path, optional
        Where an engine that is named keeps failing decks.
    device_evaluations : int, optional
        Budget: no attempt begins that might need more than is left of it.
    take_found : bool
        As `choose_start`: whether an attempt may begin where the task is fulfilled already.

    Returns
    -------
    TrainingResult

    Raises
    ------
    InputError, NetlistError, EngineError, Interrupted
        As `HomodyneLoop` and the engine; on Ctrl-C ``partial`` is the pair of the loop and its Transient so far.
    ConvergenceError
        If every attempt failed: the last one's. Else they are in the result's `failed`.
    """
    with running(engine, folder) as simulator:
        result = TrainingResult(experiment, simulator.name)
        for number in range(experiment.settings.restarts):
            if device_evaluations is not None:
                left = device_evaluations - result.device_evaluations
                if left < experiment.attempt_evaluations:
                    break
            attempt = _attempt(experiment, number, rng, simulator, progress, on_start, take_found)
            if isinstance(attempt, FailedAttempt):
                result = replace(result, failed=(*result.failed, attempt))
            else:
                result = replace(result, attempts=(*result.attempts, attempt))
            if on_attempt is not None:
                on_attempt(attempt)
            if result.success:
                break
    if result.failed and not result.attempts:
        raise _all_failed(result.failed)
    return result


def _attempt(
    experiment: Experiment, number: int, rng: np.random.Generator, engine: LoopEngine,
    progress: TrainingProgress | None, on_start: StartTold | None, take_found: bool = True,
) -> Attempt | FailedAttempt:  # fmt: skip
    """Choose a start, let the circuit learn from there, judge."""
    start: Start | None = None
    loop: HomodyneLoop | None = None
    try:
        start = choose_start(experiment, rng, take_found=take_found)
        start = replace(start, looked=start.looked + experiment.reading_evaluations)
        loop, slopes = measured_loop(experiment, start, engine)
        start = replace(start, slopes=slopes)
        if on_start is not None:
            on_start(number, loop, start)
        stop_s = loop.stop_s

        def report(phase: str, simulated: float, wall: float) -> None:
            if progress is not None:
                progress(number, phase, simulated / stop_s, wall)

        run = engine.run(loop, progress=report)
    except KeyboardInterrupt as interruption:
        partial = getattr(interruption, "partial", None)
        if partial is not None:  # of a reading at the start nothing is kept
            interruption.partial = None if loop is None else (loop, partial)  # type: ignore[attr-defined]
        raise
    except ConvergenceError as error:
        patterns, settings = len(experiment.task.points), experiment.settings
        used = experiment.looking_evaluations if start is None else start.looked + patterns * (settings.sequences + 2)
        return FailedAttempt(number, error, used, start)
    return judge(experiment, loop, run, start)


def _all_failed(failed: tuple[FailedAttempt, ...]) -> ConvergenceError:
    """The last attempt's error; where there were others, with a word on them."""
    last = failed[-1].error
    if len(failed) == 1:
        return last
    problem = f"{last.problem} in the last of {len(failed)} attempts, all of which failed"
    error = type(last)(last.field, last.value, problem, last.fix)
    error.node, error.time_s, error.words, error.deck = last.node, last.time_s, last.words, last.deck
    return error


def judge(experiment: Experiment, loop: HomodyneLoop, run: Transient, start: Start) -> Attempt:
    """Score a finished transient by what the circuit measured before and after learning."""
    scale = loop.stage.transimpedance_ohm
    initial = readings.outputs_V(loop, run, 0) / scale
    final = readings.outputs_V(loop, run, loop.sequences + 1) / scale
    task, noise, polarity = experiment.task, experiment.bench.noise_A(), loop.stage.polarity
    return Attempt(
        loop,
        run,
        initial,
        final,
        task.score(initial, polarity, noise),
        task.score(final, polarity, noise),
        start.looked + len(task.points) * (loop.sequences + 2),
        start,
    )
