"""Two classes of points at the inputs: the output current shall be higher in class 1 than in class 0.

The decision is a threshold on the output. It is fitted on the training points (the one with the most of them right;
among those the one in the widest gap) and used as it is on held-out points.

The two ready-made tasks want an output with an extremum inside the input space:

    ring     two inputs:   class 1 on the ring 0.7 <= r <= 1, class 0 in the disc r <= 0.5
    sphere   three inputs: class 1 in the ball r <= 0.7, class 0 in the cube at r >= 0.9

with as many points of either class, uniform in area or volume. Between the classes is a gap, as in published rings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.choices import Polarity
from learning.tasks.task import Points, Task, apart, as_points, as_values, enough_A, random_points

ACCURACY_MIN = 0.9
RING = (0.5, 0.7)
"""Radius of the disc, and the ring's inner one."""
SPHERE = (0.7, 0.9)
"""Radius of the ball, and least radius of the points outside."""


@dataclass(frozen=True)
class ClassificationScore:
    """How well outputs tell two classes apart.

    Attributes
    ----------
    accuracy : float
        Fraction of the points on the right side of the threshold.
    threshold : float
        Fitted on these outputs, A, after polarity.
    separation_A : float
        Difference of the classes' mean outputs, A, after polarity.
    correlation : float
        Pearson correlation of outputs (after polarity) and classes.
    learned : bool
        Accuracy at least 0.9, separation at least ten standard deviations of the noise.
    noise_A : float
        Standard deviation of the outputs' noise, A.
    """

    accuracy: float
    threshold_A: float
    separation_A: float
    correlation: float
    learned: bool
    noise_A: float = 0.0

    @property
    def quality(self) -> float:
        """Accuracy, and correlation where it is equal."""
        return self.accuracy + 1e-3 * self.correlation

    def facts(self) -> dict[str, float]:
        """Accuracy, threshold (A), separation (A) and correlation."""
        return {
            "accuracy": self.accuracy,
            "threshold_A": self.threshold_A,
            "separation_A": self.separation_A,
            "correlation": self.correlation,
        }

    def words(self) -> str:
        """Accuracy and separation."""
        return (
            f"accuracy {self.accuracy:.2f}, difference of the classes' means {apart(self.separation_A, self.noise_A)}"
        )


def fit_threshold(outputs: FloatArray, classes: FloatArray) -> tuple[float, float]:
    """The threshold above which lies class 1: most points right, then the widest gap. Returns it and the accuracy."""
    order = np.argsort(outputs, kind="stable")
    values, ones = np.asarray(outputs)[order], np.asarray(classes)[order] > 0.5
    # Cut number k has k points below it: zeros below are right, and ones above.
    right = np.concatenate([[0], np.cumsum(~ones)]) + np.concatenate([np.cumsum(ones[::-1])[::-1], [0]])
    gaps = np.concatenate([[0.0], np.diff(values), [0.0]])
    gaps[0] = gaps[-1] = np.finfo(float).tiny  # beyond all points
    right = np.where(gaps > 0, right, -1)  # equal outputs cannot be cut
    cut = max(range(len(gaps)), key=lambda k: (right[k], gaps[k]))
    if 0 < cut < len(values):
        return float(0.5 * (values[cut - 1] + values[cut])), float(right[cut] / len(values))
    edge = values[0] if cut == 0 else values[-1]
    beyond = np.nextafter(edge, -np.inf if cut == 0 else np.inf)
    return float(beyond), float(right[cut] / len(values))


@dataclass(frozen=True)
class ClassificationTask(Task):
    """Points of two classes.

    Parameters
    ----------
    name : str
    points : array_like, shape (n, n_inputs)
        From -1 to 1.
    targets : array_like, shape (n,)
        0 or 1.
    swing_V : float or tuple of float
        Difference of input levels that -1 and 1 stand for.
    test_points, test_targets : array_like
        Held out from training.
    polarity : {"free", "fixed"}
        As `Task`.

    Raises
    ------
    InputError
        For shapes that do not fit, other classes than 0 and 1, or only one of them.
    """

    name: str
    points: Points
    targets: tuple[float, ...]
    swing_V: float | tuple[float, ...] = 0.5
    test_points: Points = ()
    test_targets: tuple[float, ...] = ()
    polarity: Polarity = "free"

    def __post_init__(self) -> None:
        self._take_points()
        for targets in ("targets", "test_targets"):
            if not set(getattr(self, targets)) <= {0.0, 1.0}:
                raise InputError(targets, self.name, "classes must be 0 and 1", "number them so")
        self._check_points()

    def score(self, currents_A: FloatArray, polarity: float = 1.0, noise_A: float = 0.0) -> ClassificationScore:
        """Score the patterns' output currents (A)."""
        outputs = polarity * np.asarray(currents_A, dtype=float)
        threshold, accuracy = fit_threshold(outputs, self.target_values)
        separation = float(outputs[self.target_values > 0.5].mean() - outputs[self.target_values < 0.5].mean())
        learned = accuracy >= ACCURACY_MIN and separation >= enough_A(noise_A)
        return ClassificationScore(accuracy, threshold, separation, self.correlation(outputs), bool(learned), noise_A)

    def test_facts(
        self, currents_A: FloatArray, test_currents_A: FloatArray, polarity: float = 1.0
    ) -> dict[str, float]:
        """Accuracy on the held-out points with the training points' threshold."""
        if not self.test_targets:
            return {}
        threshold, _ = fit_threshold(polarity * np.asarray(currents_A), self.target_values)
        told = polarity * np.asarray(test_currents_A) > threshold
        return {"accuracy": float(np.mean(told == (np.array(self.test_targets) > 0.5)))}


def ring(points: int = 24, test_points: int = 200, *, seed: int = 0) -> ClassificationTask:
    """Two inputs: a ring (class 1) around a disc (class 0)."""
    return _round("ring", 2, RING, outside=1.0, inner_class=0, counts=(points, test_points), seed=seed)


def sphere(points: int = 32, test_points: int = 200, *, seed: int = 0) -> ClassificationTask:
    """Three inputs: a ball (class 1) in a cube (class 0)."""
    return _round("sphere", 3, SPHERE, outside=np.sqrt(3), inner_class=1, counts=(points, test_points), seed=seed)


def _round(
    name: str, inputs: int, radii: tuple[float, float], *, outside: float, inner_class: int, counts: tuple[int, int],
    seed: int,
) -> ClassificationTask:  # fmt: skip
    for field, count in zip(("points", "test_points"), counts, strict=True):
        if count < 2:
            raise InputError(field, count, "two classes need a point each", "raise it")

    def inner(x: FloatArray) -> FloatArray:
        return np.asarray(np.linalg.norm(x, axis=1) <= radii[0])

    def outer(x: FloatArray) -> FloatArray:
        r = np.linalg.norm(x, axis=1)
        return np.asarray((r >= radii[1]) & (r <= outside))

    rng = np.random.default_rng(seed)
    train = random_points(rng, inputs, (inner, outer), counts[0])
    low, high = train.min(axis=0), train.max(axis=0)

    def within(x: FloatArray) -> FloatArray:
        return np.asarray(np.all((x >= low) & (x <= high), axis=1))  # where the rails allow all levels

    held = random_points(rng, inputs, [lambda x, f=f: f(x) & within(x) for f in (inner, outer)], counts[1])
    drawn = [train, held]
    classes = [np.where(np.arange(count) % 2 == 0, inner_class, 1 - inner_class) for count in counts]
    return ClassificationTask(name, *_pairs(drawn[0], classes[0]), 0.5, *_pairs(drawn[1], classes[1]))


def _pairs(points: FloatArray, classes: FloatArray) -> tuple[Points, tuple[float, ...]]:
    return as_points("points", points), as_values("targets", classes)
