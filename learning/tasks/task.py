"""What a task is: patterns at the inputs, the target output for each, and a score that says when it is learned.

A task's inputs are points with coordinates from -1 to 1. At a device they become levels around each input's trained
bias: half its logic swing times the coordinate. The loop sees `levels_V` and `targets_V`; trainers and
baselines ask `score`. Points held out from training are measured once, at the end, and told beside the result.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, ClassVar, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray, positive
from inmateria.errors import InputError
from learning.choices import Polarity

NOISE_FACTOR = 10.0
"""Least difference of outputs that counts, in standard deviations of a window's noise: a threshold halfway then
misreads one window in 3.5 million, by 1 - Phi(5)."""
POLARITIES: tuple[Polarity, ...] = get_args(Polarity)
Points = tuple[tuple[float, ...], ...]


class Score(Protocol):
    """How well outputs realise a task."""

    @property
    def learned(self) -> bool:
        """Whether the task counts as learned."""

    @property
    def quality(self) -> float:
        """What attempts are ranked by: larger is better."""

    @property
    def correlation(self) -> float:
        """Pearson correlation of outputs (after polarity) and targets."""

    @property
    def separation_A(self) -> float:
        """The difference of currents that carries the answer, A."""

    def facts(self) -> dict[str, float]:
        """The score's own figures, by name."""

    def words(self) -> str:
        """The score in a few words."""


AnyTask = TypeVar("AnyTask", bound="Task")


class Task(ABC):
    """Patterns, target outputs, score.

    Attributes
    ----------
    name : str
    points : tuple of tuple of float
        Each pattern's inputs, from -1 to 1.
    targets : tuple of float
        Wanted output for each pattern, in any unit.
    swing_V : float or tuple of float
        Difference of input levels that the coordinates -1 and 1 stand for, of all inputs or of each. Twice as many
        swings as inputs, or more, show each input at as many terminals: all inputs, then all inputs again.
    test_points, test_targets
        Held-out points, not shown in training, within the range of those that are (the rails of the controls leave
        room for their levels); none for gates.
    polarity : {"free", "fixed"}
        Whether less current may stand for a higher target, if that suits a setting better, as an output stage can turn
        its signal over; "fixed": more current always stands for a higher target. With a free polarity a gate and its
        inverse are one task.
    """

    name: str
    points: Points
    targets: tuple[float, ...]
    swing_V: float | tuple[float, ...]
    test_points: Points = ()
    test_targets: tuple[float, ...] = ()
    polarity: Polarity = "free"
    swing_share: ClassVar[float] = 0.4
    """Swing of an input that suits the task, as a fraction of its range."""
    training: ClassVar[Mapping[str, Any]] = {"looks": 64, "sequences": 60, "spread": 0.45}
    """Settings of the trainer that suit the task, where they are not the default ones."""

    @abstractmethod
    def score(self, currents_A: FloatArray, polarity: float = 1.0, noise_A: float = 0.0) -> Score:
        """Score the patterns' output currents (A), noise of standard deviation `noise_A`."""

    def fulfilled(self, currents_A: FloatArray, noise_A: float = 0.0) -> NDArray[np.bool_]:
        """Whether outputs (A, (..., n_patterns)) are the task learned, with a polarity that is allowed; shape (...)."""
        outputs = np.asarray(currents_A, dtype=float)
        flat = outputs.reshape(-1, outputs.shape[-1])
        found = [any(self.score(row, sign, noise_A).learned for sign in self.signs) for row in flat]
        return np.array(found, dtype=bool).reshape(outputs.shape[:-1])

    def test_facts(
        self, currents_A: FloatArray, test_currents_A: FloatArray, polarity: float = 1.0
    ) -> dict[str, float]:
        """How well held-out points do, with what was fitted on the training points: figures by name."""
        return {}

    # -- derived ---------------------------------------------------------------------------------------------------

    @property
    def signs(self) -> tuple[float, ...]:
        """Signs that the outputs may be read with."""
        return (1.0,) if self.polarity == "fixed" else (1.0, -1.0)

    def sign(self, currents_A: FloatArray) -> float:
        """The sign that suits the patterns' outputs (A) best."""
        return -1.0 if self.polarity == "free" and self.correlation(currents_A) < 0 else 1.0

    @property
    def target_values(self) -> FloatArray:
        """`targets` as an array."""
        return np.array(self.targets)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self.points[0])

    @property
    def swings_V(self) -> tuple[float, ...]:
        """Swing at each terminal that shows an input, V."""
        return self.swing_V if isinstance(self.swing_V, tuple) else (self.swing_V,) * self.inputs

    @property
    def patterns(self) -> tuple[str, ...]:
        """A name for each pattern."""
        digits = len(str(len(self.points) - 1))
        return tuple(f"{k:0{digits}d}" for k in range(len(self.points)))

    @property
    def levels_V(self) -> Points:
        """Level at each terminal that shows an input, for each pattern, V."""
        return self._levels(self.points)

    @property
    def test_levels_V(self) -> Points:
        """The same for each held-out point, V."""
        return self._levels(self.test_points)

    @property
    def targets_V(self) -> tuple[float, ...]:
        """Wanted normalised output: zero mean and unit rms, because the output stage takes the mean away."""
        centred = self.target_values - self.target_values.mean()
        return tuple(float(v) for v in centred / np.sqrt(np.mean(centred**2)))

    def _levels(self, points: Points) -> Points:
        swings = self.swings_V
        return tuple(tuple(0.5 * x * s for x, s in zip(cycle(point), swings, strict=False)) for point in points)

    def correlation(self, currents_A: FloatArray) -> float:
        """Pearson correlation of outputs and targets; 0 where nothing moves."""
        outputs = np.asarray(currents_A, dtype=float)
        spread = float(np.std(outputs))
        return float(np.mean((outputs - outputs.mean()) * self.targets_V) / spread) if spread > 0 else 0.0

    def _take_points(self) -> None:
        """Turn points and targets of either set into tuples of floats; for the constructors."""
        for points, targets in (("points", "targets"), ("test_points", "test_targets")):
            object.__setattr__(self, points, as_points(points, getattr(self, points)))
            object.__setattr__(self, targets, as_values(targets, getattr(self, targets)))

    def _check_points(self) -> None:
        """Refuse points, swings and polarities that are none; for the constructors."""
        if self.polarity not in POLARITIES:
            raise InputError("polarity", self.polarity, "is none", f"choose {' or '.join(POLARITIES)}")
        for field, points, wanted in (
            ("points", self.points, self.targets),
            ("test_points", self.test_points, self.test_targets),
        ):
            if len(points) != len(wanted):
                raise InputError(field, len(points), f"need as many targets, not {len(wanted)}", "check both")
            if any(len(point) != self.inputs for point in points):
                raise InputError(field, self.name, "have different numbers of inputs", "make them equal")
            if points and not np.all(np.abs(np.asarray(points)) <= 1.0 + 1e-12):
                raise InputError(
                    field, self.name, "must lie between -1 and 1", "scale them; swing_V makes volts of them"
                )
        if self.test_points:
            train, test = np.asarray(self.points), np.asarray(self.test_points)
            if np.any(test < train.min(axis=0) - 1e-12) or np.any(test > train.max(axis=0) + 1e-12):
                raise InputError(
                    "test_points", self.name, "lie beyond the range of the training points", "train there too"
                )
        if not np.all(np.isfinite(self.target_values)) or np.ptp(self.target_values) <= 0:
            raise InputError("targets", self.name, "must be finite and differ", "check the targets")
        if not self.swings_V or len(self.swings_V) % self.inputs:
            problem = f"{self.inputs} inputs need a swing each, or as often as they are shown"
            raise InputError("swing_V", self.swing_V, problem, "give one or as many")
        for swing in self.swings_V:
            positive("swing_V", swing, "V")


def at_swing(task: AnyTask, swing_V: float | tuple[float, ...]) -> AnyTask:
    """The same task with other voltages."""
    return replace(task, swing_V=swing_V)  # type: ignore[type-var]


def with_polarity(task: AnyTask, polarity: Polarity) -> AnyTask:
    """The same task with another rule of polarity."""
    return replace(task, polarity=polarity)  # type: ignore[type-var]


def enough_A(noise_A: float) -> float:
    """Least difference of currents that counts at this noise, A; without noise the least that is none."""
    return max(NOISE_FACTOR * noise_A, sys.float_info.min)


def apart(difference_A: float, noise_A: float) -> str:
    """A difference of outputs in words, with what is wrong if it drowns in the noise."""
    told = f"{1e9 * difference_A:.2f} nA"
    drowns = 0 <= difference_A < enough_A(noise_A)
    return f"{told}, which the noise of a window ({1e12 * noise_A:.1f} pA) hides" if drowns else told


def as_points(field: str, values: Any) -> Points:
    """Points from an array (n, n_inputs), or (n,) for one input.

    Raises
    ------
    InputError
        If it is no such array of finite numbers.
    """
    try:
        table = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(field, type(values).__name__, "is no table of numbers", "give (n, n_inputs)") from None
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or table.shape[1] < 1 or not np.all(np.isfinite(table)):
        raise InputError(field, np.shape(values), "is no table of finite numbers", "give (n, n_inputs)")
    return tuple(tuple(map(float, row)) for row in table)


def as_values(field: str, values: Any) -> tuple[float, ...]:
    """A row of finite numbers.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        row = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(field, type(values).__name__, "is no row of numbers", "give as many as points") from None
    if row.ndim != 1 or not np.all(np.isfinite(row)):
        raise InputError(field, np.shape(values), "is no row of finite numbers", "give as many as points")
    return tuple(map(float, row))


def random_points(rng: np.random.Generator, inputs: int, wanted: Sequence[Any], count: int) -> FloatArray:
    """`count` points, uniform in the cube, as many of each class: `wanted` holds a predicate on (n, inputs) for each.

    Classes take turns, so that neighbouring patterns differ.
    """
    chosen = np.empty((count, inputs))
    for which, belongs in enumerate(wanted):
        places = np.arange(which, count, len(wanted))
        found = np.empty((0, inputs))
        while len(found) < len(places):
            drawn = rng.uniform(-1, 1, (16 * count, inputs))
            found = np.concatenate([found, drawn[belongs(drawn)]])
        chosen[places] = found[: len(places)]
    return chosen
