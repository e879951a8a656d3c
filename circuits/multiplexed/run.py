"""What a transient of multiplexed gradient descent left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuits.signals.transient import Transient
from inmateria.checks import FloatArray

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class MultiplexedRun:
    """What a run of `MultiplexedLoop` recorded.

    Attributes
    ----------
    time_s : ndarray, shape (n,)
    parameters : ndarray, shape (n, P)
        Without their perturbation.
    cost : ndarray, shape (n,)
    outputs : ndarray, shape (n, n_outputs)
    transient : Transient
        The run as the engine returned it.
    """

    time_s: FloatArray
    parameters: FloatArray
    cost: FloatArray
    outputs: FloatArray
    transient: Transient
