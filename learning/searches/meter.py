"""What every search works against: a device whose evaluations are counted, and the trace of the best loss."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.tasks.task import SEPARATION_MIN_A, Score, Task


class SearchOver(Exception):
    """Raised by a meter when the task is learned or the budget used up; `search` catches it."""


@dataclass(frozen=True)
class SearchSettings:
    """What all baselines share with the trainer, and their own figures.

    Parameters
    ----------
    spread : float
        Settings are drawn from the middle of each control's range, this fraction of it.
    looks : int
        Random settings looked at before a descent starts from the best of them.
    steps : int
        Steps of one descent; then it starts anew.
    learning_rate, step_V, anneal_to, least_rms_A : float
        As in `HgeSettings`: steps are step_V tanh(learning_rate g / step_V), shrinking to `anneal_to` of it.
    probe_V : float
        Finite differences: change of a control. SPSA: amplitude of the perturbation of all at once.
    population : int
        Differential evolution: members.
    """

    spread: float = 0.6
    looks: int = 16
    steps: int = 30
    learning_rate: float = 0.1
    step_V: float = 0.05
    anneal_to: float = 0.1
    least_rms_A: float = SEPARATION_MIN_A
    probe_V: float = 0.01
    population: int = 25

    def __post_init__(self) -> None:
        for name in ("learning_rate", "step_V", "least_rms_A", "probe_V"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise InputError(name, value, "must be positive", "change it")
        for name, least in (("looks", 1), ("steps", 1), ("population", 5)):
            if getattr(self, name) < least:
                raise InputError(name, getattr(self, name), f"must be at least {least}", "raise it")
        for name in ("anneal_to", "spread"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(name, getattr(self, name), "must lie in (0, 1]", "change it")


@dataclass(frozen=True, eq=False)
class Trace:
    """Best loss so far against what it cost.

    Attributes
    ----------
    evaluations : ndarray of int
    loss : ndarray
        Best (smallest) loss among all measured settings up to there.
    slot_s : float
        Physical time of one evaluation.
    """

    evaluations: FloatArray
    loss: FloatArray
    slot_s: float

    @property
    def time_s(self) -> FloatArray:
        """Physical time, s."""
        return np.asarray(self.evaluations * self.slot_s)


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    method : str
    success : bool
    device_evaluations : int
    physical_s : float
    controls_V : ndarray
        The setting that ended the search, else the best one.
    outputs_A : ndarray
        As measured there.
    polarity : float
    score : Score
    starts : int
        Descents begun; 1 for methods without restarts.
    trace : Trace
    """

    method: str
    success: bool
    device_evaluations: int
    physical_s: float
    controls_V: FloatArray
    outputs_A: FloatArray
    polarity: float
    score: Score
    starts: int
    trace: Trace


def settled_loss(outputs_A: FloatArray, targets: FloatArray, polarity: float, least_rms_A: float) -> float:
    """The loop's loss with settled output stage, see above."""
    centred = np.asarray(outputs_A) - np.mean(outputs_A)
    y = polarity * centred / max(float(np.std(centred)), least_rms_A)
    return float(np.mean((y - targets) ** 2))


@dataclass(eq=False)
class Meter:
    """Measures outputs and counts.

    Parameters
    ----------
    bench, task
    settings : SearchSettings
    device_evaluations : int
        Budget.
    rng : numpy.random.Generator
        Noise of the readings.
    """

    bench: Bench
    task: Task
    settings: SearchSettings
    device_evaluations: int
    rng: np.random.Generator
    used: int = 0
    starts: int = 0
    best: tuple[tuple[bool, float], FloatArray, FloatArray, float, Score] | None = None
    evaluations: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.targets = np.array(self.task.targets_V)
        self.noise_A = self.bench.noise_A()
        self._levels = self.task.levels_V

    @property
    def limits_V(self) -> FloatArray:
        """Between which controls may lie, levels of the inputs allowed for, V, (n_trained, 2)."""
        limits: FloatArray = self.bench.limits_V.copy()
        for which, terminal in enumerate(self.bench.inputs):
            levels = [pattern[which] for pattern in self._levels]
            limits[self.bench.trained.index(terminal)] -= (min(0.0, *levels), max(0.0, *levels))
        return limits

    def measure(self, controls_V: FloatArray) -> FloatArray:
        """Outputs (A) of all patterns at a setting, with noise.

        Raises
        ------
        SearchOver
            If this setting is the task learned, or there are no evaluations left for it.
        ConvergenceError
            If the device finds no state.
        """
        outputs: FloatArray = self.measure_many(np.asarray(controls_V, dtype=float)[None])[0]
        return outputs

    def measure_many(self, controls_V: FloatArray) -> FloatArray:
        """`measure` for one setting after the other, (m, n_trained) -> (m, n_patterns); faster on slow devices."""
        patterns = len(self._levels)
        room = (self.device_evaluations - self.used) // patterns
        if room < 1:
            raise SearchOver
        controls = np.asarray(controls_V, dtype=float)[:room]
        currents = self.bench.many_outputs_A(controls, self.task)
        outputs = currents + self.noise_A * self.rng.standard_normal(currents.shape)
        for setting, row in zip(controls, outputs, strict=True):
            self._note(setting, row)
        if len(controls) < len(controls_V):
            raise SearchOver
        return outputs

    def loss(self, outputs_A: FloatArray, polarity: float | None = None) -> float:
        """The loss of measured outputs, with the better polarity by default."""
        signs = (1.0, -1.0) if polarity is None else (polarity,)
        return float(min(settled_loss(outputs_A, self.targets, sign, self.settings.least_rms_A) for sign in signs))

    def look(self, draw: np.random.Generator) -> tuple[FloatArray, float]:
        """Start of a descent, chosen as the trainer does: of `looks` random settings the one with the best loss."""
        self.starts += 1
        settings = np.stack(
            [self.bench.random_controls(self.settings.spread, draw) for _ in range(self.settings.looks)]
        )
        outputs = self.measure_many(settings)
        promise = [(bool(np.std(row) >= self.settings.least_rms_A), abs(self.task.correlation(row))) for row in outputs]
        chosen = max(range(len(promise)), key=lambda k: promise[k])
        return settings[chosen], 1.0 if self.task.correlation(outputs[chosen]) >= 0 else -1.0

    def _note(self, controls: FloatArray, outputs: FloatArray) -> None:
        self.used += len(outputs)
        scored = [(self.task.score(outputs, sign, self.noise_A), sign) for sign in (1.0, -1.0)]
        score, polarity = max(scored, key=lambda s: (s[0].learned, s[0].quality))
        rank = score.learned, score.quality
        if self.best is None or rank > self.best[0]:
            self.best = rank, controls.copy(), outputs, polarity, score
        loss = self.loss(outputs)
        if not self.losses or loss < self.losses[-1]:
            self.evaluations.append(self.used)
            self.losses.append(loss)
        if score.learned:
            raise SearchOver
