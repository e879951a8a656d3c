"""A device's kernel that tells its conductances, too: `circuits.ngspice.implicit` lays down what its outputs are.

params: terminals n, scales of currents (A) and conductances (S), step of the differences (V), then the device's own.
state: 3 n words of scratch, then the device's own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from numba import njit

HEADER = 4
SCRATCH = 3


@lru_cache(maxsize=8)
def implicit_functions(inner_evaluate: Any, inner_advance: Any) -> tuple[Any, Any]:
    """`evaluate` and `advance` around a device's."""

    @njit
    def evaluate(t, voltages, params, state, out):  # type: ignore[no-untyped-def]
        n, scale_A, scale_S = int(params[0]), params[1], params[2]
        base, moved, volts = state[:n], state[n : 2 * n], state[2 * n : 3 * n]
        own, inside = params[HEADER:], state[SCRATCH * n :]
        volts[:] = voltages[:n]
        inner_evaluate(t, volts, own, inside, base)
        out[:n] = 0.0
        for j in range(n):
            out[n + j] = -base[j] / scale_A
        for k in range(n):
            step = -params[3] if voltages[k] > 0.0 else params[3]  # not out of the device's range
            volts[k] = voltages[k] + step
            inner_evaluate(t, volts, own, inside, moved)
            volts[k] = voltages[k]
            for j in range(n):
                slope = (moved[j] - base[j]) / step
                out[n + j] += slope * voltages[k] / scale_A
                out[(2 + j) * n + k] = -slope / scale_S

    @njit
    def advance(dt, voltages, params, state):  # type: ignore[no-untyped-def]
        n = int(params[0])
        inner_advance(dt, voltages[:n], params[HEADER:], state[SCRATCH * n :])

    return evaluate, advance
