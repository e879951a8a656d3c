"""What a training gives: attempts, failed ones, and the trace over the device evaluations used."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from circuits.homodyne import readings
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.settling import Settling, settling
from circuits.homodyne.stability import Stability
from circuits.signals.transient import Transient
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError
from learning.homodyne.experiment import Experiment
from learning.homodyne.start import Start, stability_of
from learning.settled_loss import settled_loss
from learning.tasks.task import Score
from learning.trace import Trace


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

    @cached_property
    def stability(self) -> Stability | None:
        """As `stability_of` its loop and start."""
        return stability_of(self.loop, self.start)

    @cached_property
    def settling(self) -> Settling:
        """Which controls hunted, and how far the loop was from having converged at its end."""
        return settling(self.loop, self.run)

    @property
    def rest_words(self) -> str:
        """How far it was from hunting before it ran, and how it came to rest, in a line."""
        margin = "" if self.stability is None else f"gain margin {self.stability.margin_dB:.1f} dB; "
        return margin + self.settling.words()

    @property
    def controls_V(self) -> FloatArray:
        """Control voltages at the end, V."""
        return np.asarray(readings.controls_V(self.loop, self.run)[-1])

    def loss(self, sequence: int) -> float:
        """Mean loss over the windows of a sequence, V."""
        return float(np.mean(readings.window_means(self.loop, self.run.time_s, self.run["v(loss)"], sequence)))


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
    experiment : Experiment
    engine : str
    attempts : tuple of Attempt
        Those that got to their end.
    failed : tuple of FailedAttempt
        Those that did not.
    """

    experiment: Experiment
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
    def settling(self) -> Settling:
        """How the best attempt came to rest."""
        return self.best.settling

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
        return self.device_evaluations * self.experiment.bench.slot_s


def training_trace(result: TrainingResult) -> Trace:
    """Best loss so far against evaluations: of the looks together, then of every sequence's window means.

    While learning the windows hold the mean over the dither, which is what an operator sees.
    """
    experiment = result.experiment
    targets, least = np.array(experiment.task.targets_V), experiment.least_rms_A
    evaluations, losses, before = [], [], 0
    for attempt in result.in_order:
        if isinstance(attempt, FailedAttempt):
            before += attempt.device_evaluations
            continue
        loop, patterns = attempt.loop, len(targets)
        scale = loop.stage.transimpedance_ohm
        for number in range(loop.sequences + 2):
            outputs = readings.outputs_V(loop, attempt.run, number) / scale
            evaluations.append(before + attempt.start.looked + patterns * (number + 1))
            losses.append(settled_loss(outputs, targets, loop.stage.polarity, least))
        before += attempt.device_evaluations
    return Trace(np.array(evaluations), np.minimum.accumulate(losses), experiment.bench.slot_s)


def evaluations_to_first(result: TrainingResult) -> int | None:
    """Device evaluations until the task is there for the first time; None if it never is.

    An operator who wants the task, not learning, ends the search at the first look that fulfils it; while the circuit
    learns, a sequence whose window means fulfil it is confirmed with the dither off, each pattern once.
    """
    task, bench, used = result.experiment.task, result.experiment.bench, 0
    patterns = len(task.points)
    noise = bench.noise_A()
    for attempt in result.in_order:
        if attempt.start is not None and attempt.start.found is not None:
            return used + attempt.start.found
        if isinstance(attempt, FailedAttempt):
            used += attempt.device_evaluations
            continue
        used += attempt.start.looked
        loop, run = attempt.loop, attempt.run
        controls, scale, polarity = readings.controls_V(loop, run), loop.stage.transimpedance_ohm, loop.stage.polarity
        for number in range(loop.sequences + 2):
            used += patterns
            if not task.score(readings.outputs_V(loop, run, number) / scale, polarity, noise).learned:
                continue
            if number in (0, loop.sequences + 1):  # the dither is off already
                return used
            used += patterns
            row = min(int(np.searchsorted(run.time_s, (number + 1) * loop.sequence.period_s)), len(run.time_s) - 1)
            if task.score(bench.outputs_A(controls[row], task), polarity, noise).learned:
                return used
    return None
