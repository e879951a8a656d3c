"""What every search works against: a device whose evaluations are counted, and the best loss so far."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from inmateria.checks import FloatArray, count, positive
from learning.homodyne.experiment import Experiment
from learning.settled_loss import settled_loss
from learning.tasks.task import Score
from learning.trace import Trace


class SearchOver(Exception):
    """Raised by a meter when the task is learned or the budget used up; `search` catches it."""


@dataclass(frozen=True)
class SearchSettings:
    """The baselines' own figures; all that they share with the trainer stands in the experiment's `HgeSettings`.

    Parameters
    ----------
    probe_V : float
        Finite differences: change of a control. SPSA: amplitude of the perturbation of all at once.
    population : int
        Differential evolution: members.
    sigma : float
        CMA-ES: standard deviation of the first draws, as a share of each control's range.
    """

    probe_V: float = 0.01
    population: int = 25
    sigma: float = 0.2

    def __post_init__(self) -> None:
        positive("probe_V", self.probe_V, "V")
        count("population", self.population, 5)
        positive("sigma", self.sigma, "of the range")


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


@dataclass(eq=False)
class Meter:
    """Measures outputs and counts.

    Parameters
    ----------
    experiment : Experiment
        What is learned; of its settings the looks, the spread, and how descents step.
    settings : SearchSettings
    device_evaluations : int
        Budget.
    rng : numpy.random.Generator
        Noise of the readings.
    """

    experiment: Experiment
    settings: SearchSettings
    device_evaluations: int
    rng: np.random.Generator
    used: int = 0
    starts: int = 0
    best: tuple[tuple[bool, float], FloatArray, FloatArray, float, Score] | None = None
    evaluations: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bench, self.task = self.experiment.bench, self.experiment.task
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
        """The loss of measured outputs, by default with the best polarity that the task allows."""
        signs, least_rms_A = self.task.signs if polarity is None else (polarity,), self.experiment.least_rms_A
        return float(min(settled_loss(outputs_A, self.targets, sign, least_rms_A) for sign in signs))

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Random settings as the trainer draws its starts, V, (count, n_trained)."""
        return self.experiment.random_controls(count, rng)

    def look(self, rng: np.random.Generator) -> tuple[FloatArray, float]:
        """Start of a descent, chosen as the trainer does: of `looks` random settings the one with the best loss."""
        self.starts += 1
        least_rms_A = self.experiment.least_rms_A
        settings = self.draw(self.experiment.settings.looks, rng)
        outputs = self.measure_many(settings)
        signs = [self.task.sign(row) for row in outputs]
        promise = [
            (bool(np.std(row) >= least_rms_A), sign * self.task.correlation(row))
            for row, sign in zip(outputs, signs, strict=True)
        ]
        chosen = max(range(len(promise)), key=lambda k: promise[k])
        return settings[chosen], signs[chosen]

    def _note(self, controls: FloatArray, outputs: FloatArray) -> None:
        self.used += len(outputs)
        scored = [(self.task.score(outputs, sign, self.noise_A), sign) for sign in self.task.signs]
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
