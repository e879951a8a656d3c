"""What a way of learning shows for what it used: the best loss so far against device evaluations.

The loss is what the loop descends on once its output stage has settled: with y = p (I - mean I) / max(rms, least_rms)

    L = mean over the patterns of (y - target)^2,

which is 2 (1 - p correlation) where the outputs move enough.
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


def settled_loss(outputs_A: FloatArray, targets: FloatArray, polarity: float, least_rms_A: float) -> float:
    """The loop's loss with settled output stage, see above."""
    centred = np.asarray(outputs_A) - np.mean(outputs_A)
    y = polarity * centred / max(float(np.std(centred)), least_rms_A)
    return float(np.mean((y - targets) ** 2))
