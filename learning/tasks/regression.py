"""A target curve: the output current shall be an affine map of a function of the inputs.

Offset and scale of the current are free, as the loop's baseline and gain are; the map is fitted on the training points
(least squares) and used as it is on held-out points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.choices import Polarity
from learning.tasks.task import Points, Task, apart, as_points, as_values, enough_A

ERROR_MAX = 0.3


@dataclass(frozen=True)
class RegressionScore:
    """How well outputs follow a curve.

    Attributes
    ----------
    error : float
        Rms deviation of the fitted outputs from the targets, as a fraction of the targets' standard deviation:
        sqrt(1 - correlation^2), and 1 where the correlation (after polarity) is negative.
    separation_A : float
        Range of the fitted curve, A.
    correlation : float
        Pearson correlation of outputs (after polarity) and targets.
    learned : bool
        Error at most 0.3 (correlation at least 0.954), range at least ten standard deviations of the noise.
    noise_A : float
        Standard deviation of the outputs' noise, A.
    """

    error: float
    separation_A: float
    correlation: float
    learned: bool
    noise_A: float = 0.0

    @property
    def quality(self) -> float:
        """The correlation."""
        return self.correlation

    def facts(self) -> dict[str, float]:
        """Error, separation (A) and correlation."""
        return {"error": self.error, "separation_A": self.separation_A, "correlation": self.correlation}

    def words(self) -> str:
        """Error and range."""
        return f"error {self.error:.2f} of the curve's deviation, range {apart(self.separation_A, self.noise_A)}"


@dataclass(frozen=True)
class RegressionTask(Task):
    """Points and the wanted value at each.

    Parameters
    ----------
    name : str
    points : array_like, shape (n, n_inputs)
        From -1 to 1; (n,) for one input.
    targets : array_like, shape (n,)
        Wanted values, in any unit.
    swing_V : float or tuple of float
        Difference of input levels that -1 and 1 stand for.
    test_points, test_targets : array_like
        Held out from training.
    polarity : {"free", "fixed"}
        As `Task`.

    Raises
    ------
    InputError
        For shapes that do not fit, or targets that are all equal.
    """

    swing_share: ClassVar[float] = 0.25
    training: ClassVar[Mapping[str, Any]] = {"looks": 32, "sequences": 60}
    name: str
    points: Points
    targets: tuple[float, ...]
    swing_V: float | tuple[float, ...] = 0.5
    test_points: Points = ()
    test_targets: tuple[float, ...] = ()
    polarity: Polarity = "free"

    def __post_init__(self) -> None:
        self._take_points()
        self._check_points()

    def score(self, currents_A: FloatArray, polarity: float = 1.0, noise_A: float = 0.0) -> RegressionScore:
        """Score the patterns' output currents (A)."""
        outputs = polarity * np.asarray(currents_A, dtype=float)
        correlation = self.correlation(outputs)
        error = float(np.sqrt(max(0.0, 1.0 - correlation**2))) if correlation > 0 else 1.0
        reach = correlation * float(np.std(outputs)) * float(np.ptp(self.targets_V))
        learned = error <= ERROR_MAX and reach >= enough_A(noise_A)
        return RegressionScore(error, reach, correlation, bool(learned), noise_A)

    def test_facts(
        self, currents_A: FloatArray, test_currents_A: FloatArray, polarity: float = 1.0
    ) -> dict[str, float]:
        """Rms error on the held-out points by the training points' affine map, over their targets' deviation."""
        if not self.test_targets:
            return {}
        slope, offset = self.fit(currents_A)
        wanted = np.array(self.test_targets)
        deviation = slope * np.asarray(test_currents_A) + offset - wanted
        return {"error": float(np.sqrt(np.mean(deviation**2)) / np.std(wanted))}

    def fit(self, currents_A: FloatArray) -> tuple[float, float]:
        """Slope (1/A) and offset of the least-squares map from current to target; slope 0 where nothing moves."""
        outputs = np.asarray(currents_A, dtype=float)
        spread = float(np.std(outputs))
        slope = self.correlation(outputs) * float(np.std(self.target_values)) / spread if spread > 0 else 0.0
        return slope, float(self.target_values.mean() - slope * outputs.mean())


def bump(x: FloatArray) -> FloatArray:
    """The ready-made curve, cos(pi x): one maximum between two minima."""
    return np.asarray(np.cos(np.pi * np.asarray(x)[..., 0]))


def curve(
    function: Callable[[FloatArray], FloatArray] = bump,
    points: int = 16,
    test_points: int = 100,
    *,
    inputs: int = 1,
    name: str = "curve",
    seed: int = 0,
) -> RegressionTask:
    """A function of the inputs as a task.

    Parameters
    ----------
    function : callable
        From points (n, n_inputs) between -1 and 1 to values (n,).
    points, test_points : int
        One input: evenly spaced, both ends among the training points; more inputs: uniform, random. Training points
        are shown in random order.

    Raises
    ------
    InputError
        For too few points, or a function that does not return a value for each.
    """
    if points < 3 or test_points < 1:
        raise InputError("points", (points, test_points), "a curve needs three points and one to test", "raise it")
    rng = np.random.default_rng(seed)
    if inputs == 1:
        train = rng.permutation(np.linspace(-1, 1, points))[:, None]
        test = (np.arange(test_points)[:, None] + 0.5) / test_points * 2 - 1
    else:
        train = rng.uniform(-1, 1, (points, inputs))
        test = rng.uniform(train.min(axis=0), train.max(axis=0), (test_points, inputs))
    values = [np.asarray(function(x), dtype=float) for x in (train, test)]
    for x, y in zip((train, test), values, strict=True):
        if y.shape != (len(x),):
            raise InputError("function", y.shape, f"returned no value for each of {len(x)} points", "vectorise it")
    return RegressionTask(
        name, as_points("points", train), as_values("function", values[0]), 0.5,
        as_points("points", test), as_values("function", values[1]),
    )  # fmt: skip
