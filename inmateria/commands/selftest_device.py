"""The smallest steppable device, a resistor to ground: for `doctor`, and as an example of a kernel."""

from __future__ import annotations

import numpy as np
from numba import njit

from dnpu_models.interface.device import SteppableKernel


@njit(cache=True)
def evaluate(t, voltages, params, state, out):
    """I = G V."""
    out[0] = params[0] * voltages[0]


@njit(cache=True)
def advance(dt, voltages, params, state):
    """A resistor has no memory."""


def resistor_kernel(conductance_S: float) -> SteppableKernel:
    """Kernel of a conductance (S) to ground."""
    return SteppableKernel(evaluate, advance, np.array([conductance_S]), np.zeros(1), np.array([[conductance_S]]))
