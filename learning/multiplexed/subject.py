"""What multiplexed descent asks of a network that it trains, and what one look at its progress holds."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from inmateria.checks import FloatArray
from learning.multiplexed.descent import Cost


class Look(NamedTuple):
    """What all samples say of parameters."""

    cost: float
    accuracy: float
    test_accuracy: float
    """NaN where no samples are held out."""


class Subject(Protocol):
    """A network on its samples."""

    @property
    def cost(self) -> Cost:
        """What is minimised."""

    @property
    def start(self) -> FloatArray:
        """Parameters to begin with, (P,)."""

    def look(self, theta: FloatArray) -> Look:
        """See all samples."""

    def gradient(self, theta: FloatArray) -> FloatArray:
        """Exact gradient of the cost of all samples, or of many, (P,)."""
