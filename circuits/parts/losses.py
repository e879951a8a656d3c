"""Losses of the learning loop: the part that makes each, and its equation for the twin and for exact gradients.

With the normalised output y, the target t, and s = sign(t):

    squared     E = (y - t)^2                                 part squared_error
    absolute    E = sqrt((y - t)^2 + knee^2) - knee           part absolute_error
    hinge       E = knee ln(1 + exp((margin - s y)/knee))     part hinge, margin = smallest |t|

The hinge asks only that every output lie on its target's side and beyond the margin; the target outputs just do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from circuits.choices import LossName
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from netlists.reader import Part

LOSS_PARTS: dict[LossName, str] = {"squared": "squared_error", "absolute": "absolute_error", "hinge": "hinge"}
"""Part that makes each loss."""
SQUARED, ABSOLUTE, HINGE = range(len(LOSS_PARTS))


@njit(cache=True, error_model="numpy")
def loss_value(kind: int, y: float, target: float, margin: float, knee: float) -> float:
    """E(y), V; kind is SQUARED, ABSOLUTE or HINGE."""
    error = y - target
    if kind == SQUARED:
        return error * error
    if kind == ABSOLUTE:
        return math.sqrt(error * error + knee * knee) - knee
    x = (margin - math.copysign(1.0, target) * y) / knee
    return knee * (math.log1p(math.exp(min(x, 30.0))) + max(x - 30.0, 0.0))


@dataclass(frozen=True)
class Loss:
    """One loss with its constants.

    Attributes
    ----------
    name : {"squared", "absolute", "hinge"}
    margin_V, knee_V : float
        Where the hinge ends, and how wide its corner (or the absolute value's) is; 0 where there is none.
    """

    name: LossName
    margin_V: float = 0.0
    knee_V: float = 0.0

    @property
    def kind(self) -> int:
        """Number for `loss_value`."""
        return list(LOSS_PARTS).index(self.name)

    def value(self, y_V: FloatArray, targets_V: FloatArray) -> FloatArray:
        """E(y), V: `loss_value` of each element of `y_V` and `targets_V` (V)."""
        y, targets = np.asarray(y_V, dtype=float), np.asarray(targets_V, dtype=float)
        error = y - targets
        if self.name == "squared":
            return np.asarray(error**2)
        if self.name == "absolute":
            return np.asarray(np.hypot(error, self.knee_V) - self.knee_V)
        return np.asarray(self.knee_V * np.logaddexp(0.0, (self.margin_V - np.sign(targets) * y) / self.knee_V))

    def slope(self, y_V: FloatArray, targets_V: FloatArray) -> FloatArray:
        """dE/dy, V/V: of the same shape as `y_V` (V) and `targets_V` (V)."""
        y, targets = np.asarray(y_V, dtype=float), np.asarray(targets_V, dtype=float)
        error = y - targets
        if self.name == "squared":
            return np.asarray(2.0 * error)
        if self.name == "absolute":
            return np.asarray(error / np.hypot(error, self.knee_V))
        side = np.sign(targets)
        return np.asarray(-0.5 * side * (1.0 + np.tanh(0.5 * (self.margin_V - side * y) / self.knee_V)))


def make_loss(name: str, part: Part, targets_V: tuple[float, ...]) -> Loss:
    """The loss of a loop: its corner's width is the part's, its margin the smallest distance asked for.

    Raises
    ------
    InputError
        For an unknown loss, or a target of 0 V with a hinge, which wants two classes.
    """
    check_loss(name)
    if name == "squared":
        return Loss("squared")
    if name == "absolute":
        return Loss("absolute", knee_V=part.defaults["knee"])
    if not all(targets_V):
        raise InputError("loss", name, "a target of 0 V is on neither side", "use the squared or absolute loss")
    return Loss("hinge", min(map(abs, targets_V)), part.defaults["knee"])


def check_loss(name: str) -> None:
    """Refuse a loss that does not exist."""
    if name not in LOSS_PARTS:
        raise InputError("loss", name, "is unknown", f"choose from {', '.join(LOSS_PARTS)}")
