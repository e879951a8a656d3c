"""The loss that the loop descends on once its output stage has settled, of output currents I.

With y = p (I - mean I) / max(rms, least_rms), p the polarity and t the targets (zero mean, rms 1),

    L = mean over the patterns of (y - t)^2,

which is 2 (1 - p correlation) where the outputs move enough.
"""

from __future__ import annotations

import numpy as np

from inmateria.checks import FloatArray


def normalised(outputs_A: FloatArray, polarity: float, least_rms_A: float) -> tuple[FloatArray, FloatArray]:
    """Outputs as the settled output stage gives them, y, and dy_p/dI_q, 1/A."""
    count = len(outputs_A)
    centred = outputs_A - np.mean(outputs_A)
    rms = float(np.std(centred))
    scale = max(rms, least_rms_A)
    slopes = np.eye(count) - 1.0 / count
    if rms > least_rms_A:  # the scale moves with the outputs: d rms/d I_q = centred_q / (count rms)
        slopes -= np.outer(centred, centred) / (count * rms**2)
    return polarity * centred / scale, polarity / scale * slopes


def settled_loss(outputs_A: FloatArray, targets: FloatArray, polarity: float, least_rms_A: float) -> float:
    """The loop's loss with settled output stage, see above."""
    y, _ = normalised(np.asarray(outputs_A), polarity, least_rms_A)
    return float(np.mean((y - targets) ** 2))


def settled_loss_slopes(outputs_A: FloatArray, targets: FloatArray, polarity: float, least_rms_A: float) -> FloatArray:
    """Derivative of `settled_loss` by each output, 1/A."""
    y, by_output = normalised(outputs_A, polarity, least_rms_A)
    return np.asarray(2.0 / len(y) * (y - targets) @ by_output)
