"""Homodyne gradient extraction as a trainer: restarts of the closed loop until a gate is learned.

One attempt: an operator looks at a few random settings (dither off, each pattern once), takes the one whose outputs
correlate best with the wanted ones, of those where the outputs move enough, sets polarity, baseline and gain of the
output stage by it, and lets the circuit learn. A setting that fulfils the gate already is never taken. The attempt is
judged by the outputs that stand at the end of the same transient, with dither and learning off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from circuits import Engine, HomodyneLoop, OutputStage, Transient
from circuits.losses import LossName
from dnpu_models.geometry import FloatArray
from inmateria.errors import InputError
from learning.bench import Bench
from learning.tasks import SEPARATION_MIN_A, BooleanTask, Score
from netlists import Part

EngineName = Literal["ngspice", "twin", "averaged"]
TrainingProgress = Callable[[int, str, float, float], None]
"""Called as progress(attempt, phase, simulated fraction, wall seconds of the attempt)."""


@dataclass(frozen=True)
class HgeSettings:
    """How the loop learns.

    Parameters
    ----------
    amplitude_V : float
        Peak dither at the start.
    sequences : int
        Passes through the four patterns per attempt.
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
    loss, leads
        What the loop descends, and whether leads stand before the electrodes, as `HomodyneLoop` takes them.
    """

    amplitude_V: float = 0.01
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

    def __post_init__(self) -> None:
        for name in ("amplitude_V", "learning_rate", "step_V", "least_rms_A"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise InputError(name, value, "must be positive", "change it")
        for name in ("sequences", "looks", "restarts"):
            if getattr(self, name) < 1:
                raise InputError(name, getattr(self, name), "must be at least 1", "raise it")
        for name in ("anneal_to", "spread"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(name, getattr(self, name), "must lie in (0, 1]", "change it")


@dataclass(frozen=True, eq=False)
class Attempt:
    """One start of the loop.

    Attributes
    ----------
    loop : HomodyneLoop
    run : Transient
    initial_A, final_A : ndarray, shape (4,)
        Output currents before and after, dither off, as the circuit measured them.
    initial, final : Score
    device_evaluations : int
        Pattern presentations: four for every setting looked at, and every window of the transient.
    """

    loop: HomodyneLoop
    run: Transient
    initial_A: FloatArray
    final_A: FloatArray
    initial: Score
    final: Score
    device_evaluations: int

    @property
    def controls_V(self) -> FloatArray:
        """Control voltages at the end, V."""
        return np.asarray(self.loop.controls_V(self.run)[-1])

    def loss(self, sequence: int) -> float:
        """Mean loss over the windows of a sequence, V."""
        return float(np.mean(self.loop.window_means(self.run.time_s, self.run["v(loss)"], sequence)))


@dataclass(frozen=True, eq=False)
class GateResult:
    """All attempts at a gate; the last one decides."""

    task: BooleanTask
    bench: Bench
    settings: HgeSettings
    engine: str
    attempts: tuple[Attempt, ...] = field(default_factory=tuple)

    @property
    def success(self) -> bool:
        """Whether the last attempt learned the gate."""
        return bool(self.attempts) and self.attempts[-1].final.learned

    @property
    def best(self) -> Attempt:
        """The attempt with the largest margin at its end."""
        return max(self.attempts, key=lambda a: (a.final.learned, a.final.margin))


def choose_start(
    bench: Bench, task: BooleanTask, settings: HgeSettings, rng: np.random.Generator
) -> tuple[FloatArray, float, FloatArray, int]:
    """Look at random settings; return the most promising: controls (V), polarity, outputs (A), evaluations used.

    Raises
    ------
    InputError
        If no setting was found that does not fulfil the gate already.
    """
    best: tuple[tuple[bool, float], FloatArray, float, FloatArray] | None = None
    used = 0
    for _ in range(settings.looks * 20):
        if best is not None and used >= 4 * settings.looks:
            break
        controls = bench.random_controls(settings.spread, rng)
        outputs = bench.outputs_A(controls, task)
        used += 4
        if task.fulfilled(outputs, bench.noise_A()):
            continue
        correlation = task.score(outputs).correlation
        promise = bool(np.std(outputs) >= settings.least_rms_A), abs(correlation)
        if best is None or promise > best[0]:
            best = promise, controls, 1.0 if correlation >= 0 else -1.0, outputs
    if best is None:
        raise InputError("looks", settings.looks, "every setting fulfils the gate already", "there is nothing to learn")
    return best[1], best[2], best[3], used


def build_loop(
    bench: Bench,
    task: BooleanTask,
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
    )
    if settings.max_step_s is None:
        return loop
    if not settings.max_step_s > 0:
        raise InputError("max_step_s", settings.max_step_s, "must be a positive time in seconds", "change it")
    return replace(loop, points_per_cycle=1.0 / (settings.max_step_s * max(loop.dither.frequencies_hz)))


def as_measured(loop: HomodyneLoop, engine: Engine) -> HomodyneLoop:
    """The loop with its output stage set by what its own transimpedance amplifier shows at the start, offsets included.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError, Interrupted
        As `HomodyneLoop.run`.
    """
    opened = loop.opened(loop.start_V, max(loop.dither.amplitudes_v), "output", loop.points_per_cycle)
    outputs_V = opened.outputs_V(opened.run(engine), 0)
    return replace(loop, stage=loop.stage.measured_at(outputs_V))


def learn_gate(
    bench: Bench,
    task: BooleanTask,
    settings: HgeSettings | None = None,
    *,
    rng: np.random.Generator,
    engine: EngineName = "ngspice",
    progress: TrainingProgress | None = None,
    on_attempt: Callable[[Attempt], None] | None = None,
    folder: Path | None = None,
) -> GateResult:
    """Learn a gate by homodyne gradient extraction, restarting until it is learned.

    Parameters
    ----------
    bench : Bench
    task : BooleanTask
    settings : HgeSettings, optional
    rng : numpy.random.Generator
        Decides the starts.
    engine : {"ngspice", "twin", "averaged"}
        The circuit in ngspice, its compiled twin, or the loop averaged over its dither.
    progress, on_attempt : callable, optional
    folder : Path, optional
        Where a failing deck is kept.

    Returns
    -------
    GateResult

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `HomodyneLoop`; on Ctrl-C ``partial`` is the pair of the loop and its Transient so far.
    """
    settings = HgeSettings() if settings is None else settings
    if engine not in get_args(EngineName):
        raise InputError("engine", engine, "is unknown", "choose ngspice, twin or averaged")
    result = GateResult(task, bench, settings, engine)
    ngspice = Engine() if engine == "ngspice" else None
    try:
        for number in range(settings.restarts):
            controls, polarity, outputs, looked = choose_start(bench, task, settings, rng)
            loop = build_loop(bench, task, settings, controls, polarity, outputs)
            if settings.parts and ngspice is not None:
                loop = as_measured(loop, ngspice)

            def report(
                phase: str, simulated: float, wall: float, number: int = number, loop: HomodyneLoop = loop
            ) -> None:
                if progress is not None:
                    progress(number, phase, simulated / loop.stop_s, wall)

            try:
                if ngspice is None:
                    report(engine, 0.0, 0.0)
                    run = loop.twin() if engine == "twin" else loop.averaged()
                else:
                    run = loop.run(ngspice, progress=report, folder=folder)
            except KeyboardInterrupt as interruption:
                if getattr(interruption, "partial", None) is not None:
                    interruption.partial = (loop, interruption.partial)  # type: ignore[attr-defined]
                raise
            attempt = judge(bench, task, loop, run, looked)
            result = replace(result, attempts=(*result.attempts, attempt))
            if on_attempt is not None:
                on_attempt(attempt)
            if attempt.final.learned:
                break
    finally:
        if ngspice is not None:
            ngspice.close()
    return result


def judge(bench: Bench, task: BooleanTask, loop: HomodyneLoop, run: Transient, looked: int) -> Attempt:
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
        looked + 4 * (loop.sequences + 2),
    )
