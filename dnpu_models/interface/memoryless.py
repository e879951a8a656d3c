"""The second function of devices and sources that remember nothing: what flows follows from voltages and time alone."""

# mypy: ignore-errors
from __future__ import annotations

from numba import njit

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, c_function


@njit(cache=True, nogil=True)
def advance(dt, voltages, params, state):
    """Nothing to advance."""


@c_function(DEVICE_SIGNATURE)
def c_advance(dt, voltages, params, n_params, state, n_state, out):
    """`advance` as a C function."""


C_ADVANCE = f"{__name__}:c_advance"
"""Where `SteppableKernel` finds it."""
