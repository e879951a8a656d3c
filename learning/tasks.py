"""Boolean gates as tasks: input levels, wanted outputs, and when a gate counts as learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnpu_models.geometry import FloatArray
from inmateria.errors import InputError

PATTERNS = ("00", "01", "10", "11")
GATES: dict[str, tuple[int, int, int, int]] = {
    "AND": (0, 0, 0, 1),
    "OR": (0, 1, 1, 1),
    "NAND": (1, 1, 1, 0),
    "NOR": (1, 0, 0, 0),
    "XOR": (0, 1, 1, 0),
    "XNOR": (1, 0, 0, 1),
}
MARGIN_MIN = 0.2
SEPARATION_MIN_A = 0.5e-9
NOISE_FACTOR = 5.0


@dataclass(frozen=True)
class Score:
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
        Margin at least 0.2, separation at least 0.5 nA and at least five standard deviations of the noise.
    """

    separation_A: float
    margin: float
    correlation: float
    learned: bool


@dataclass(frozen=True)
class BooleanTask:
    """A two-input gate.

    Parameters
    ----------
    gate : str
        AND, OR, NAND, NOR, XOR or XNOR.
    swing_V : float or tuple of float
        Difference of the two logic levels, of both inputs or of each; they stand at +- half of it around each
        input's trained bias.

    Raises
    ------
    InputError
        For an unknown gate or a swing that is not positive.
    """

    gate: str
    swing_V: float | tuple[float, float] = 0.5

    def __post_init__(self) -> None:
        name = str(self.gate).upper()
        if name not in GATES:
            raise InputError("gate", self.gate, "is no gate", f"choose one of {', '.join(GATES)}")
        object.__setattr__(self, "gate", name)
        if not all(np.isfinite(swing) and swing > 0 for swing in self.swings_V):
            raise InputError("swing_V", self.swing_V, "must be a positive voltage", "0.5 suits the default device")

    @property
    def swings_V(self) -> tuple[float, float]:
        """Difference of the two logic levels of each input, V."""
        both = self.swing_V if isinstance(self.swing_V, tuple) else (self.swing_V, self.swing_V)
        return float(both[0]), float(both[1])

    @property
    def levels_V(self) -> tuple[tuple[float, float], ...]:
        """Level of each input for the patterns 00, 01, 10, 11, V."""
        first, second = self.swings_V
        return tuple((0.5 * a * first, 0.5 * b * second) for a in (-1, 1) for b in (-1, 1))

    @property
    def wanted(self) -> FloatArray:
        """0 or 1 for each pattern."""
        return np.array(GATES[self.gate], dtype=float)

    @property
    def targets_V(self) -> tuple[float, ...]:
        """Wanted normalised output: zero mean and unit rms, because the output stage takes the mean away."""
        centred = self.wanted - self.wanted.mean()
        return tuple(float(v) for v in centred / np.sqrt(np.mean(centred**2)))

    def score(self, currents_A: FloatArray, polarity: float = 1.0, noise_A: float = 0.0) -> Score:
        """Score four output currents (A, patterns 00, 01, 10, 11) with the standard deviation of their noise (A)."""
        outputs = polarity * np.asarray(currents_A, dtype=float)
        high, low = outputs[self.wanted > 0.5], outputs[self.wanted < 0.5]
        separation = float(high.min() - low.max())
        swing = float(np.ptp(outputs))
        margin = separation / swing if swing > 0 else -1.0
        spread = float(np.std(outputs))
        correlation = float(np.mean((outputs - outputs.mean()) * self.targets_V) / spread) if spread > 0 else 0.0
        return Score(separation, margin, correlation, bool(_learned(separation, swing, noise_A)))

    def fulfilled(self, currents_A: FloatArray, noise_A: float = 0.0) -> NDArray[np.bool_]:
        """Whether outputs (A, (..., 4)) make the gate, with either polarity, by the rule of `Score`; shape (...)."""
        outputs = np.asarray(currents_A, dtype=float)
        high, low = outputs[..., self.wanted > 0.5], outputs[..., self.wanted < 0.5]
        separation = np.maximum(high.min(axis=-1) - low.max(axis=-1), low.min(axis=-1) - high.max(axis=-1))
        return _learned(separation, np.ptp(outputs, axis=-1), noise_A)


def _learned(separation_A: float | FloatArray, swing_A: float | FloatArray, noise_A: float) -> NDArray[np.bool_]:
    """The rule of `Score.learned`."""
    enough = np.asarray(separation_A) >= max(SEPARATION_MIN_A, NOISE_FACTOR * noise_A)
    return np.asarray(enough & (np.asarray(separation_A) >= MARGIN_MIN * np.asarray(swing_A)))
