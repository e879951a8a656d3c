"""Held perturbation codes and patterns as compiled sources: what ngspice asks for at every Newton iteration.

A code's value jumps from step to step. Here it moves in a straight line over a short ramp at the beginning of each, so
that Newton's method sees no jump:

    u_k(t) = before_k + (now_k - before_k) min(1, (t - t_n)/ramp),    t_n = n tau_p <= t < t_n + tau_p

Source k draws the current -scale u_k out of its node, 1 ohm to ground makes a voltage of it. Behind the code's sources
come those of inputs, targets and blanking, which are tables. (ngspice's own repeated PWL source walks through all
repetitions at every call: 0.07 us a step of the run, 0.7 ms a time-point after ten thousand.) The values follow from
the time alone, so that steps which ngspice takes back do no harm; `state` only remembers those of the present pattern.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numpy as np
from numba import njit

from circuits.signals.sources_kernel import drive_voltages
from dnpu_models.interface.pointers import DEVICE_SIGNATURE, c_function, evaluate_at
from lockin.codes import perturb

CODE, SOURCES, HOLD, SCALE, STEP_S, RAMP_S, KEY_HIGH, KEY_LOW, HEADER = range(9)
"""Words of `params`: number of the code, its sources, steps per pattern, volts at full value, s, s, halves of the key.

A packed `Drive` of the tables follows.
"""
PATTERN, STATE_HEADER = range(2)
"""Words of `state`: the pattern that the values are of (-1: none yet), then before and now of each source."""


@njit(cache=True)
def code_values(t, params, state, out):
    """Write the code at time t (s) to the first SOURCES of `out`, V."""
    count = int(params[SOURCES])
    hold = int(params[HOLD])
    pattern = max(math.floor(t / (params[STEP_S] * hold)), 0)
    before = state[STATE_HEADER : STATE_HEADER + count]
    now = state[STATE_HEADER + count : STATE_HEADER + 2 * count]
    if state[PATTERN] != pattern:
        key = (np.uint64(params[KEY_HIGH]) << np.uint64(32)) | np.uint64(params[KEY_LOW])
        nothing = params[:0]
        code = int(params[CODE])
        perturb(code, pattern, params[SCALE], nothing, key, now)
        perturb(code, max(pattern - 1, 0), params[SCALE], nothing, key, before)
        state[PATTERN] = pattern
    share = min((t - pattern * hold * params[STEP_S]) / params[RAMP_S], 1.0)
    for k in range(count):
        out[k] = before[k] + (now[k] - before[k]) * share


@njit(cache=True)
def evaluate(t, voltages, params, state, out):
    """Currents into the sources' nodes, A."""
    drive_voltages(params[HEADER:], t, out)
    if params[SOURCES] > 0:
        code_values(t, params, state, out)
    for k in range(out.size):
        out[k] = -out[k]


@c_function(DEVICE_SIGNATURE)
def c_evaluate(t, voltages, params, n_params, state, n_state, out):
    """`evaluate` as a C function."""
    evaluate_at(evaluate, t, voltages, params, n_params, state, n_state, out)
