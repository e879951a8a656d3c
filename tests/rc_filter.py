"""RC poles on any record: the lock-in's own low-pass behind a reference that stands at 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lockin.filters import rc_means


def rc_filter(time_s: ArrayLike, signal: ArrayLike, tau_s: float, poles: int) -> NDArray[np.float64]:
    """The signal behind equal, buffered poles, empty at the first sample: H(s) = 1 / (1 + s tau)^n."""
    time, values = np.asarray(time_s, dtype=float), np.asarray(signal, dtype=float)
    return rc_means(time, values, np.zeros(1), np.array([0.5 * np.pi]), tau_s, poles, trace=True)[0]
