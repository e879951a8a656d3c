"""What a stochastic model returns: a value, how far it may be off, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray


@dataclass(frozen=True, eq=False)
class Estimate:
    """Currents estimated from trajectories; leading axes as in the voltages that were asked.

    Attributes
    ----------
    value : ndarray, shape (..., n_electrodes)
        Mean currents, A, positive into the device: by rates or by counts, whichever has the smaller error.
    stderr : ndarray, shape (..., n_electrodes)
        Standard error of each, A. From batch means, so (value - truth)/stderr follows Student's t with
        `batches - 1` degrees of freedom, not a normal distribution: with 32 batches a 95 % interval is
        +-2.04 stderr, a 99.9 % interval +-3.63.
    counted, counted_stderr : ndarray, shape (..., n_electrodes)
        The same by counting holes.
    batches : int
        Batches behind each standard error.
    hops : ndarray of int, shape (...)
        Hops counted, burn-in left out.
    time_s : ndarray, shape (...)
        Simulated time of the counted hops, s.
    occupations : ndarray, shape (..., n_sites)
        Fraction of that time for which each site held a hole.
    final : ndarray of uint8, shape (..., n_sites)
        Occupation (0 or 1) after the last hop; can be given as `initial` of a further run.
    """

    value: FloatArray
    stderr: FloatArray
    counted: FloatArray
    counted_stderr: FloatArray
    batches: int
    hops: NDArray[np.int64]
    time_s: FloatArray
    occupations: FloatArray
    final: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ConductanceEstimate:
    """Difference quotients estimated from trajectories; leading axes as in the voltages that were asked.

    Attributes
    ----------
    value, stderr : ndarray, shape (..., n_electrodes, n_electrodes)
        (I_j(V_k + h) - I_j(V_k - h))/(2 h) and its standard error, S.
    step_V : float
        h.
    """

    value: FloatArray
    stderr: FloatArray
    step_V: float
