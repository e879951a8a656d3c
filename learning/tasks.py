"""Boolean gates as tasks: input levels, wanted outputs, and when a gate counts as learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    swing_V : float
        Difference of the two logic levels; they stand at +- half of it around each input's trained bias.

    Raises
    ------
    InputError
        For an unknown gate or a swing that is not positive.
    """

    gate: str
    swing_V: float = 0.5

    def __post_init__(self) -> None:
        name = str(self.gate).upper()
        if name not in GATES:
            raise InputError("gate", self.gate, "is no gate", f"choose one of {', '.join(GATES)}")
        object.__setattr__(self, "gate", name)
        if not (np.isfinite(self.swing_V) and self.swing_V > 0):
            raise InputError("swing_V", self.swing_V, "must be a positive voltage", "0.5 suits the default device")

    @property
    def levels_V(self) -> tuple[tuple[float, float], ...]:
        """Level of each input for the patterns 00, 01, 10, 11, V."""
        low, high = -0.5 * self.swing_V, 0.5 * self.swing_V
        return tuple((a, b) for a in (low, high) for b in (low, high))

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
        enough = separation >= max(SEPARATION_MIN_A, NOISE_FACTOR * noise_A)
        return Score(separation, margin, correlation, bool(enough and margin >= MARGIN_MIN))
