"""Boolean gates as tasks: input levels, target outputs, and when a gate counts as learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.choices import Polarity
from learning.tasks.gates import GATES
from learning.tasks.task import Points, Task, apart, enough_A

PATTERNS = ("00", "01", "10", "11")
MARGIN_MIN = 0.2


@dataclass(frozen=True)
class GateScore:
    """How well four outputs realise a gate.

    Attributes
    ----------
    separation_A : float
        min(high) - max(low) after polarity, A; negative where the gate is wrong.
    margin : float
        The separation as a fraction of the whole swing max - min of the outputs.
    correlation : float
        Pearson correlation of outputs (after polarity) and wanted levels.
    learned : bool
        Margin at least the task's `margin_min`, separation at least ten standard deviations of the noise.
    noise_A : float
        Standard deviation of the outputs' noise, A.
    """

    separation_A: float
    margin: float
    correlation: float
    learned: bool
    noise_A: float = 0.0

    @property
    def quality(self) -> float:
        """The margin."""
        return self.margin

    def facts(self) -> dict[str, float]:
        """Margin, separation (A) and correlation."""
        return {"margin": self.margin, "separation_A": self.separation_A, "correlation": self.correlation}

    def words(self) -> str:
        """Margin and separation."""
        return f"margin {self.margin:.2f} of the swing, separation {apart(self.separation_A, self.noise_A)}"


@dataclass(frozen=True)
class BooleanTask(Task):
    """A two-input gate.

    Parameters
    ----------
    gate : str
        AND, OR, NAND, NOR, XOR or XNOR.
    swing_V : float or tuple of float
        Difference of the two logic levels, of both inputs or of each; they stand at +- half of it around each
        input's trained bias.
    polarity : {"free", "fixed"}
        As `Task`.
    margin_min : float
        Least margin that counts as learned.

    Raises
    ------
    InputError
        For an unknown gate or polarity, a swing that is not positive, or a margin that is not from 0 to 1.
    """

    swing_share: ClassVar[float] = 0.25
    training: ClassVar[Mapping[str, Any]] = {}
    gate: str
    swing_V: float | tuple[float, ...] = 0.5
    name: str = field(init=False)
    targets: tuple[float, ...] = field(init=False)
    polarity: Polarity = "free"
    margin_min: float = MARGIN_MIN
    points: Points = field(init=False, default=((-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)))

    def __post_init__(self) -> None:
        name = str(self.gate).upper()
        if name not in GATES:
            raise InputError("gate", self.gate, "is no gate", f"choose one of {', '.join(GATES)}")
        object.__setattr__(self, "gate", name)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "targets", tuple(map(float, GATES[name])))
        if not 0 <= self.margin_min <= 1:
            raise InputError("margin_min", self.margin_min, "must lie from 0 to 1", "0.2 is usual")
        self._check_points()

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names of the patterns."""
        return PATTERNS

    def score(self, currents_A: FloatArray, polarity: float = 1.0, noise_A: float = 0.0) -> GateScore:
        """Score four output currents (A, patterns 00, 01, 10, 11), with the standard deviation of their noise (A)."""
        outputs = polarity * np.asarray(currents_A, dtype=float)
        high, low = outputs[self.target_values > 0.5], outputs[self.target_values < 0.5]
        separation = float(high.min() - low.max())
        swing = float(np.ptp(outputs))
        margin = separation / swing if swing > 0 else -1.0
        learned = bool(self._learned(separation, swing, noise_A))
        return GateScore(separation, margin, self.correlation(outputs), learned, noise_A)

    def fulfilled(self, currents_A: FloatArray, noise_A: float = 0.0) -> NDArray[np.bool_]:
        """Whether outputs (A, (..., 4)) make the gate by the rule of `GateScore`, as `Task.fulfilled`; shape (...)."""
        outputs = np.asarray(currents_A, dtype=float)
        high, low = outputs[..., self.target_values > 0.5], outputs[..., self.target_values < 0.5]
        separation = high.min(axis=-1) - low.max(axis=-1)
        if self.polarity == "free":
            separation = np.maximum(separation, low.min(axis=-1) - high.max(axis=-1))
        return self._learned(separation, np.ptp(outputs, axis=-1), noise_A)

    def _learned(
        self, separation_A: float | FloatArray, swing_A: float | FloatArray, noise_A: float
    ) -> NDArray[np.bool_]:
        """The rule of `GateScore.learned`."""
        enough = np.asarray(separation_A) >= enough_A(noise_A)
        return np.asarray(enough & (np.asarray(separation_A) >= self.margin_min * np.asarray(swing_A)))
