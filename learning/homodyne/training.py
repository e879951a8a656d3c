"""Homodyne gradient extraction as a trainer: restarts of the closed loop until a task is learned.

One attempt: an operator looks at a few random settings (dither off, each pattern once), takes the one whose outputs
correlate best with the wanted ones, of those where the outputs move enough, sets polarity, baseline and gain of the
output stage by it, and lets the circuit learn. A setting that fulfils the task already is never taken. The attempt is
judged by the outputs that stand at the end of the same transient, with dither and learning off. An attempt whose device
or circuit gives no number somewhere has failed, and the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from circuits import Engine, HomodyneLoop, OutputStage, Transient
from circuits.homodyne.loop import Peaks
from circuits.ngspice.engine import Progress
from circuits.parts.losses import LossName
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError, InputError
from learning.bench.bench import Bench
from learning.searches.search import Trace, settled_loss
from learning.tasks.task import SEPARATION_MIN_A, Score, Task
from netlists import Part

EngineName = Literal["ngspice", "twin", "averaged"]
TrainingProgress = Callable[[int, str, float, float], None]
"""Called as progress(attempt, phase, simulated fraction, wall seconds of the attempt)."""


@dataclass(frozen=True)
class HgeSettings:
    """How the loop learns.

    Parameters
    ----------
    amplitude_V : float or tuple of float
        Peak dither at the start, of all controls or of each.
    sequences : int
        Passes through the patterns per attempt.
    learning_rate : float
        V per (V/V) and sequence.
    step_V : float
        Largest step of a control per sequence, V.
    anneal_to : float
        Dither at the end, as a fraction.
    looks : int
        Random settings looked at before an attempt.
    spread : float
        Settings are drawn uniformly from the middle of each control's range, this fraction of it.
    least_rms_A : float
        Smallest rms of the outputs that the automatic gain brings to its level. Outputs that move less stay small
        behind the gain, so the loss asks for larger ones; and starts where they move more are preferred.
    restarts : int
        Attempts at most.
    max_step_s : float, optional
        Largest time step; by default 10 points per cycle of the highest tone.
    parts, multiplier_V
        Electronics other than ideal, as `HomodyneLoop` takes them; see `circuits.loop_fields`.
    loss, leads, component_errors
        What the loop descends, whether leads stand before the electrodes, and how its components deviate, as
        `HomodyneLoop` takes them.
    """

    amplitude_V: Peaks = 0.01
    sequences: int = 30
    learning_rate: float = 0.1
    step_V: float = 0.05
    anneal_to: float = 0.1
    looks: int = 16
    spread: float = 0.6
    least_rms_A: float = SEPARATION_MIN_A
    restarts: int = 20
    max_step_s: float | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    multiplier_V: float = 1.0
    loss: LossName = "squared"
    leads: bool = False
    component_errors: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("amplitude_V", "learning_rate", "step_V", "least_rms_A"):
            value = getattr(self, name)
            if not np.all(np.isfinite(value) & (np.asarray(value) > 0)):
                raise InputError(name, value, "must be positive", "change it")
        for name in ("sequences", "looks", "restarts"):
            if getattr(self, name) < 1:
                raise InputError(name, getattr(self, name), "must be at least 1", "raise it")
        for name in ("anneal_to", "spread"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(name, getattr(self, name), "must lie in (0, 1]", "change it")


@dataclass(frozen=True, eq=False)
class Start:
    """Where an attempt starts.

    Attributes
    ----------
    controls_V : ndarray, shape (n_trained,)
    polarity : float
    outputs_A : ndarray, shape (n_patterns,)
    looked : int
        Device evaluations used for looking.
    found : int or None
        How many of them it took to the first setting that fulfils the task without learning; such are left out.
    """

    controls_V: FloatArray
    polarity: float
    outputs_A: FloatArray
    looked: int
    found: int | None


@dataclass(frozen=True, eq=False)
class Attempt:
    """One start of the loop.

    Attributes
    ----------
    loop : HomodyneLoop
    run : Transient
    initial_A, final_A : ndarray, shape (n_patterns,)
        Output currents before and after, dither off, as the circuit measured them.
    initial, final : Score
    device_evaluations : int
        Pattern presentations: each pattern for every setting looked at, and every window of the transient.
    start : Start
    """

    loop: HomodyneLoop
    run: Transient
    initial_A: FloatArray
    final_A: FloatArray
    initial: Score
    final: Score
    device_evaluations: int
    start: Start

    @property
    def controls_V(self) -> FloatArray:
        """Control voltages at the end, V."""
        return np.asarray(self.loop.controls_V(self.run)[-1])

    def loss(self, sequence: int) -> float:
        """Mean loss over the windows of a sequence, V."""
        return float(np.mean(self.loop.window_means(self.run.time_s, self.run["v(loss)"], sequence)))


@dataclass(frozen=True, eq=False)
class FailedAttempt:
    """One start of the loop that did not get to its end: the device or the circuit gave no number somewhere.

    Attributes
    ----------
    number : int
        Attempts before it.
    error : ConvergenceError
        Why.
    device_evaluations : int
        Pattern presentations, as if it had gone to its end.
    start : Start or None
        None if it failed while settings were looked at.
    """

    number: int
    error: ConvergenceError
    device_evaluations: int
    start: Start | None

    @property
    def reason(self) -> str:
        """Why it failed, in one line."""
        return " ".join(str(self.error).split())


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """All attempts at a task; the last one decides.

    Attributes
    ----------
    task, bench, settings, engine
        What was run.
    attempts : tuple of Attempt
        Those that got to their end.
    failed : tuple of FailedAttempt
        Those that did not.
    """

    task: Task
    bench: Bench
    settings: HgeSettings
    engine: str
    attempts: tuple[Attempt, ...] = field(default_factory=tuple)
    failed: tuple[FailedAttempt, ...] = field(default_factory=tuple)

    @property
    def success(self) -> bool:
        """Whether the last attempt learned the task."""
        return bool(self.attempts) and self.attempts[-1].final.learned

    @property
    def best(self) -> Attempt:
        """The attempt that ended best."""
        return max(self.attempts, key=lambda a: (a.final.learned, a.final.quality))

    @property
    def starts(self) -> int:
        """Attempts begun, failed ones included."""
        return len(self.attempts) + len(self.failed)

    @property
    def in_order(self) -> tuple[Attempt | FailedAttempt, ...]:
        """All attempts, failed ones included, as they were made."""
        found: list[Attempt | FailedAttempt] = list(self.attempts)
        for failure in self.failed:
            found.insert(failure.number, failure)
        return tuple(found)

    @property
    def device_evaluations(self) -> int:
        """Pattern presentations of all attempts."""
        return sum(a.device_evaluations for a in self.in_order)

    @property
    def physical_s(self) -> float:
        """Time all presentations took on the bench's clock, s."""
        return self.device_evaluations * self.bench.slot_s


def choose_start(bench: Bench, task: Task, settings: HgeSettings, rng: np.random.Generator) -> Start:
    """Look at random settings; return the most promising.

    Raises
    ------
    InputError
        If no setting was found that does not fulfil the task already.
    """
    best: tuple[tuple[bool, float], FloatArray, float, FloatArray] | None = None
    used, patterns = 0, len(task.points)
    found: int | None = None
    for batch in range(20):  # more than one where too many settings fulfil the task
        settings_V = np.stack([bench.random_controls(settings.spread, rng) for _ in range(settings.looks)])
        for controls, outputs in zip(settings_V, bench.many_outputs_A(settings_V, task), strict=True):
            if batch and best is not None:
                break
            used += patterns
            if task.fulfilled(outputs, bench.noise_A()):
                found = used if found is None else found
                continue
            correlation = task.correlation(outputs)
            promise = bool(np.std(outputs) >= settings.least_rms_A), abs(correlation)
            if best is None or promise > best[0]:
                best = promise, controls, 1.0 if correlation >= 0 else -1.0, outputs
        if best is not None:
            break
    if best is None:
        raise InputError("looks", settings.looks, "every setting fulfils the task already", "there is nothing to learn")
    return Start(*best[1:], used, found)


def build_loop(
    bench: Bench,
    task: Task,
    settings: HgeSettings,
    controls_V: FloatArray,
    polarity: float,
    outputs_A: FloatArray,
) -> HomodyneLoop:
    """The closed loop for a task, its output stage set by the outputs (A) at the start."""
    stage = OutputStage(polarity=polarity)
    lowest, _ = stage.gain_limits
    highest = float(np.log(stage.level_V / (stage.transimpedance_ohm * settings.least_rms_A)))
    stage = replace(stage, gain_limits=(lowest, highest))
    loop = HomodyneLoop(
        device=bench.device,
        output=bench.output,
        inputs=bench.inputs,
        trained=bench.trained,
        start_V=controls_V,
        dither=bench.plan(settings.amplitude_V),
        sequence=bench.sequence(task.levels_V, task.targets_V),
        sequences=settings.sequences,
        learning_rate=settings.learning_rate,
        step_V=settings.step_V,
        anneal_to=settings.anneal_to,
        stage=stage.measured_at(np.asarray(outputs_A) * stage.transimpedance_ohm),
        parts=settings.parts,
        multiplier_V=settings.multiplier_V,
        loss=settings.loss,
        leads=settings.leads,
        component_errors=settings.component_errors,
    )
    if settings.max_step_s is None:
        return loop
    if not settings.max_step_s > 0:
        raise InputError("max_step_s", settings.max_step_s, "must be a positive time in seconds", "change it")
    return replace(loop, points_per_cycle=1.0 / (settings.max_step_s * max(loop.dither.frequencies_hz)))


def transient(
    loop: HomodyneLoop,
    engine: EngineName,
    ngspice: Engine | None = None,
    *,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Transient:
    """One run of a loop by an engine; `ngspice` is the running one, where that is meant.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `HomodyneLoop.run`, `twin` and `averaged`.
    """
    if engine == "ngspice":
        assert ngspice is not None
        return loop.run(ngspice, progress=progress, folder=folder)
    return loop.twin() if engine == "twin" else loop.averaged()


def as_measured(loop: HomodyneLoop, engine: EngineName, ngspice: Engine | None = None) -> HomodyneLoop:
    """The loop with its output stage set by what its own transimpedance amplifier shows at the start, offsets included.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `transient`.
    """
    opened = loop.opened(loop.start_V, loop.dither.amplitudes_v, "output", loop.points_per_cycle)
    outputs_V = opened.outputs_V(transient(opened, engine, ngspice), 0)
    return replace(loop, stage=loop.stage.measured_at(outputs_V))


def learn(
    bench: Bench,
    task: Task,
    settings: HgeSettings | None = None,
    *,
    rng: np.random.Generator,
    engine: EngineName = "ngspice",
    progress: TrainingProgress | None = None,
    on_attempt: Callable[[Attempt | FailedAttempt], None] | None = None,
    folder: Path | None = None,
    device_evaluations: int | None = None,
) -> TrainingResult:
    """Learn a task by homodyne gradient extraction, restarting until it is learned.

    Parameters
    ----------
    bench : Bench
    task : Task
    settings : HgeSettings, optional
    rng : numpy.random.Generator
        Decides the starts.
    engine : {"ngspice", "twin", "averaged"}
        The circuit in ngspice, its compiled twin, or the loop averaged over its dither.
    progress, on_attempt : callable, optional
    folder : Path, optional
        Where a failing deck is kept.
    device_evaluations : int, optional
        Budget: no attempt begins that might need more than is left of it.

    Returns
    -------
    TrainingResult

    Raises
    ------
    InputError, NetlistError, EngineError, Interrupted
        As `HomodyneLoop`; on Ctrl-C ``partial`` is the pair of the loop and its Transient so far.
    ConvergenceError
        If every attempt failed: the last one's. Else they are in the result's `failed`.
    """
    settings = HgeSettings() if settings is None else settings
    if engine not in get_args(EngineName):
        raise InputError("engine", engine, "is unknown", "choose ngspice, twin or averaged")
    result = TrainingResult(task, bench, settings, engine)
    ngspice = Engine() if engine == "ngspice" else None
    try:
        for number in range(settings.restarts):
            if device_evaluations is not None:
                left = device_evaluations - result.device_evaluations
                if left < len(task.points) * (settings.looks + settings.sequences + 2):
                    break
            attempt = _attempt(bench, task, settings, number, rng, engine, ngspice, progress, folder)
            if isinstance(attempt, FailedAttempt):
                result = replace(result, failed=(*result.failed, attempt))
            else:
                result = replace(result, attempts=(*result.attempts, attempt))
            if on_attempt is not None:
                on_attempt(attempt)
            if result.success:
                break
    finally:
        if ngspice is not None:
            ngspice.close()
    if result.failed and not result.attempts:
        raise _all_failed(result.failed)
    return result


def _attempt(
    bench: Bench, task: Task, settings: HgeSettings, number: int, rng: np.random.Generator, engine: EngineName,
    ngspice: Engine | None, progress: TrainingProgress | None, folder: Path | None,
) -> Attempt | FailedAttempt:  # fmt: skip
    """Choose a start, let the circuit learn from there, judge."""
    start: Start | None = None
    try:
        start = choose_start(bench, task, settings, rng)
        loop = build_loop(bench, task, settings, start.controls_V, start.polarity, start.outputs_A)
        if settings.parts:
            loop = as_measured(loop, engine, ngspice)

        def report(phase: str, simulated: float, wall: float) -> None:
            if progress is not None:
                progress(number, phase, simulated / loop.stop_s, wall)

        if ngspice is None:
            report(engine, 0.0, 0.0)
        try:
            run = transient(loop, engine, ngspice, progress=report, folder=folder)
        except KeyboardInterrupt as interruption:
            if getattr(interruption, "partial", None) is not None:
                interruption.partial = (loop, interruption.partial)  # type: ignore[attr-defined]
            raise
    except ConvergenceError as error:
        patterns = len(task.points)
        used = patterns * settings.looks if start is None else start.looked + patterns * (settings.sequences + 2)
        return FailedAttempt(number, error, used, start)
    return judge(bench, task, loop, run, start)


def _all_failed(failed: tuple[FailedAttempt, ...]) -> ConvergenceError:
    """The last attempt's error; where there were others, with a word on them."""
    last = failed[-1].error
    if len(failed) == 1:
        return last
    problem = f"{last.problem} in the last of {len(failed)} attempts, all of which failed"
    error = type(last)(last.field, last.value, problem, last.fix)
    error.node, error.time_s, error.words, error.deck = last.node, last.time_s, last.words, last.deck
    return error


def judge(bench: Bench, task: Task, loop: HomodyneLoop, run: Transient, start: Start) -> Attempt:
    """Score a finished transient by what the circuit measured before and after learning."""
    scale = loop.stage.transimpedance_ohm
    initial = loop.outputs_V(run, 0) / scale
    final = loop.outputs_V(run, loop.sequences + 1) / scale
    noise, polarity = bench.noise_A(), loop.stage.polarity
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


def training_trace(result: TrainingResult) -> Trace:
    """Best loss so far against evaluations: of the looks together, then of every sequence's window means.

    While learning the windows hold the mean over the dither, which is what an operator sees.
    """
    targets, least = np.array(result.task.targets_V), result.settings.least_rms_A
    evaluations, losses, before = [], [], 0
    for attempt in result.in_order:
        if isinstance(attempt, FailedAttempt):
            before += attempt.device_evaluations
            continue
        loop, patterns = attempt.loop, len(targets)
        scale = loop.stage.transimpedance_ohm
        for number in range(loop.sequences + 2):
            outputs = loop.outputs_V(attempt.run, number) / scale
            evaluations.append(before + attempt.start.looked + patterns * (number + 1))
            losses.append(settled_loss(outputs, targets, loop.stage.polarity, least))
        before += attempt.device_evaluations
    return Trace(np.array(evaluations), np.minimum.accumulate(losses), result.bench.slot_s)


def evaluations_to_first(result: TrainingResult) -> int | None:
    """Device evaluations until the task is there for the first time; None if it never is.

    An operator who wants the task, not learning, ends the search at the first look that fulfils it; while the circuit
    learns, a sequence whose window means fulfil it is confirmed with the dither off, each pattern once.
    """
    task, bench, patterns, used = result.task, result.bench, len(result.task.points), 0
    noise = bench.noise_A()
    for attempt in result.in_order:
        if attempt.start is not None and attempt.start.found is not None:
            return used + attempt.start.found
        if isinstance(attempt, FailedAttempt):
            used += attempt.device_evaluations
            continue
        used += attempt.start.looked
        loop, run = attempt.loop, attempt.run
        controls, scale, polarity = loop.controls_V(run), loop.stage.transimpedance_ohm, loop.stage.polarity
        for number in range(loop.sequences + 2):
            used += patterns
            if not task.score(loop.outputs_V(run, number) / scale, polarity, noise).learned:
                continue
            if number == loop.sequences + 1:  # the dither is off already
                return used
            used += patterns
            row = min(int(np.searchsorted(run.time_s, (number + 1) * loop.sequence.period_s)), len(run.time_s) - 1)
            if task.score(bench.outputs_A(controls[row], task), polarity, noise).learned:
                return used
    return None
