"""Waveforms from an even table as compiled sources: what ngspice asks for at every Newton iteration.

    u_k(t) = table[n, k] + (table[n + 1, k] - table[n, k]) (t / T - n),    n = floor(t / T)

Source k draws the current -u_k out of its node; 1 ohm to ground makes a voltage of it. A look-up costs the same however
long the table is (ngspice's own PWL source walks along its points at every call).
"""

# mypy: ignore-errors
from __future__ import annotations

import math

from numba import njit

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, c_function, evaluate_at

PERIOD_S, HEADER = range(2)
"""Words of `params`: the time between two rows; the table follows, row by row."""


@njit(cache=True)
def evaluate(t, voltages, params, state, out):
    """Currents into the sources' nodes, A."""
    width = out.size
    place = max(t / params[PERIOD_S], 0.0)
    last = (params.size - HEADER) // width - 1
    row = min(math.floor(place), last)
    share = place - row
    at = HEADER + width * row
    for k in range(width):
        value = params[at + k]
        if row < last:
            value += (params[at + width + k] - value) * share
        out[k] = -value


@c_function(DEVICE_SIGNATURE)
def c_evaluate(t, voltages, params, n_params, state, n_state, out):
    """`evaluate` as a C function."""
    evaluate_at(evaluate, t, voltages, params, n_params, state, n_state, out)
