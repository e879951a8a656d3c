"""What a way of learning shows for what it used: the best loss so far against device evaluations.

The loss is that of `learning.settled_loss`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inmateria.checks import FloatArray


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
