"""The mean field as a device in a circuit: followed along a waveform, without Python.

The stationary state F = 0 is followed by a quasi-Newton iteration with a kept inverse Jacobian; currents are corrected
by the adjoint of the remaining imbalance, I_k + lambda_k . F, lambda_k = -(dF/dp)^-T dI_k/dp, so that their error is of
second order in what is left: a fraction theta of the correction, measured wherever there is a second iteration.

Everything a call needs lies in two flat float64 arrays, `params` (constant) and `state`, in the order in which
`evaluate` takes them apart.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, c_function, evaluate_at
from dnpu_models.mean_field.chord import MAX_CHORD, broyden
from dnpu_models.mean_field.kernel import CAREFUL, MAX_RELAXATION, Hops, Work, imbalance, jacobian, move, relax

# header of `params`
N_SITES, N_ELECTRODES, N_PAIRS, N_LEADS, TOLERANCE, THERMAL_V, CURRENT_A, HEADER = range(8)
# header of `state`: whether a factorisation is there, counters, then arrays
READY, SOLVES, ITERATIONS, REFRESHES, FAILED, EXCESS, THETA, UNMEASURED, STATE_HEADER = range(9)

REFRESH_COST = 60.0
"""A Jacobian with its inverse costs about this many iterations: it is renewed when as many were spent on its age."""
SAFETY, LEAST_THETA, BRISK = 5.0, 0.1, 0.1
"""theta (`batch`) is taken times `SAFETY`, and as `LEAST_THETA` at least; a correction counts as the part `BRISK` of
the one before it at least."""
KEEP, MEASURE = 0.95, 8
"""Of theta, what is kept when it is measured again; solutions after which it has to be, by a second iteration."""
MAX_REFRESH = 6
"""Jacobians per solution before the kernel relaxes from where it stands."""


@njit(cache=True, nogil=True)
def state_size(n, electrodes, pairs, leads):
    """Length of `state` for `evaluate`."""
    return STATE_HEADER + 4 * n + 5 * electrodes + n * n + 2 * n * electrodes + 5 * (pairs + leads) + MAX_CHORD * n


@njit(cache=True, nogil=True)
def state_size_of(params):
    """The same of a device whose `params` are given."""
    return state_size(int(params[N_SITES]), int(params[N_ELECTRODES]), int(params[N_PAIRS]), int(params[N_LEADS]))


# Both become part of `evaluate`: handed back by a call, so many arrays took 4 % of its time.


@njit(inline="always")
def equations_of(params):
    """Hops, fixed energies, unit potentials and Coulomb energies, as they lie in `params`."""
    n = int(params[N_SITES])
    electrodes = int(params[N_ELECTRODES])
    pairs = int(params[N_PAIRS])
    leads = int(params[N_LEADS])
    at = HEADER
    first = params[at : at + n + 1].view(np.int64)
    at += n + 1
    pair_i = params[at : at + pairs].view(np.uint64)
    at += pairs
    pair_j = params[at : at + pairs].view(np.uint64)
    at += pairs
    pair_g = params[at : at + pairs]
    at += pairs
    pair_c = params[at : at + pairs]
    at += pairs
    lead_i = params[at : at + leads].view(np.uint64)
    at += leads
    lead_k = params[at : at + leads].view(np.uint64)
    at += leads
    lead_g = params[at : at + leads]
    at += leads
    fixed = params[at : at + n]
    at += n
    phi = params[at : at + n * electrodes].reshape(n, electrodes)
    at += n * electrodes
    coulomb = params[at : at + n * n].reshape(n, n)
    return Hops(first, pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g), fixed, phi, coulomb


@njit(inline="always")
def _followed(params, state):
    """Arrays of `state`: those of sites and of electrodes, (dF/dp)^-1, dp/dV, the adjoint, scratch, steps."""
    n = int(params[N_SITES])
    electrodes = int(params[N_ELECTRODES])
    entries = int(params[N_PAIRS]) + int(params[N_LEADS])
    sites = state[STATE_HEADER : STATE_HEADER + 4 * n].reshape(4, n)
    at = STATE_HEADER + 4 * n
    ends = state[at : at + 5 * electrodes].reshape(5, electrodes)
    at += 5 * electrodes
    inverse = state[at : at + n * n].reshape(n, n)
    at += n * n
    shift = state[at : at + n * electrodes].reshape(n, electrodes)
    at += n * electrodes
    adjoint = state[at : at + n * electrodes].reshape(electrodes, n)
    at += n * electrodes
    scratch = state[at : at + 5 * entries].reshape(5, entries)
    work = Work(scratch[0], scratch[1], scratch[2].view(np.int64), scratch[3], scratch[4])
    at += 5 * entries
    steps = state[at : at + MAX_CHORD * n].reshape(MAX_CHORD, n)
    return sites, ends, inverse, shift, adjoint, work, steps


@njit(cache=True, nogil=True, error_model="numpy")
def _linearise(hops, coulomb, phi, p, work, inverse, shift, adjoint, state):
    """Renew the inverse Jacobian and what follows from it."""
    rate_p, rate_v, current_p, _ = jacobian(hops, coulomb, phi, p, work)
    inverse[:, :] = np.linalg.inv(rate_p)
    shift[:, :] = -np.dot(inverse, rate_v)
    adjoint[:, :] = -np.dot(current_p, inverse)
    state[READY] = 1.0
    state[EXCESS] = 0.0
    state[REFRESHES] += 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate(t, voltages, params, state, out):
    """Stationary currents (A, into the device) at the terminal `voltages` (V), by following the last solution.

    Quasi-static: `t` does not matter, and the result does not depend on the path within the tolerance, which is a
    fraction of the largest current. Writes NaN where `relax` finds no stationary state either.
    """
    hops, fixed, phi, coulomb = equations_of(params)
    sites, ends, inverse, shift, adjoint, work, steps = _followed(params, state)
    p, rate, energy, bare = sites[0], sites[1], sites[2], sites[3]
    v_last, volts, current, correction, corrected = ends[0], ends[1], ends[2], ends[3], ends[4]
    if not np.all(np.isfinite(voltages)):  # linear algebra would raise, and an exception is lost in a callback
        state[FAILED] += 1.0
        out[:] = np.nan
        return
    for k in range(volts.size):
        volts[k] = voltages[k] / params[THERMAL_V]
    if state[READY] > 0.0 and np.all(volts == v_last):  # asked again: the same answer, to the last bit
        for k in range(volts.size):
            out[k] = corrected[k] * params[CURRENT_A]
        return
    bare[:] = fixed + np.dot(phi, volts)
    way, p_last = volts - v_last, p.copy()
    if state[READY] > 0.0:  # predict: p + dp/dV (V - V_last)
        move(p, np.dot(shift, way))
    v_last[:] = volts
    state[SOLVES] += 1.0
    state[UNMEASURED] += 1.0
    chord = 0
    refreshes = 0
    before = 0.0
    while True:
        imbalance(hops, coulomb, bare, volts, p, energy, rate, current, work)
        stale = state[READY] == 0.0 or state[EXCESS] > REFRESH_COST
        done = False
        if state[READY] > 0.0:
            largest = np.max(np.abs(current))
            correction[:] = np.dot(adjoint, rate)
            miss = np.max(np.abs(correction))
            if before > 0.0:
                moved = 0.0
                for k in range(current.size):
                    moved = max(moved, abs(current[k] + correction[k] - corrected[k]))
                state[THETA] = max(moved / before, KEEP * state[THETA])
                state[UNMEASURED] = 0.0
            theta = min(max(SAFETY * state[THETA], LEAST_THETA), 1.0) if state[UNMEASURED] < MEASURE else 1.0
            done = theta * max(miss, BRISK * before) <= params[TOLERANCE] * largest + 1e-16
            if not done:
                stale = stale or chord >= MAX_CHORD or (before > 0.0 and miss > 2.0 * before) or not np.isfinite(miss)
            before = miss
            corrected[:] = current + correction
        if stale and not done:
            if refreshes >= MAX_REFRESH or not np.isfinite(np.max(np.abs(rate))):
                if not np.isfinite(np.max(np.abs(rate))):
                    p[:] = 0.5
                relaxed = relax(hops, coulomb, bare, volts, p, rate, current, work, CAREFUL, MAX_RELAXATION)
                if relaxed < 0 or refreshes > MAX_REFRESH:
                    state[FAILED] += 1.0
                    state[READY] = 0.0
                    out[:] = np.nan
                    return
            _linearise(hops, coulomb, phi, p, work, inverse, shift, adjoint, state)
            refreshes += 1
            chord = 0
            before = 0.0
        step = -np.dot(inverse, rate)
        broyden(steps, chord, step)
        move(p, step)
        if done:
            break
        chord += 1
        state[ITERATIONS] += 1.0
        if chord > 2:
            state[EXCESS] += 1.0
    square = np.dot(way, way)
    if square > 0.0:
        for i in range(p.size):  # the tangent through both solutions, changed least
            wrong = p[i] - p_last[i]
            for k in range(way.size):
                wrong -= shift[i, k] * way[k]
            wrong /= square
            for k in range(way.size):
                shift[i, k] += wrong * way[k]
    for k in range(volts.size):
        out[k] = corrected[k] * params[CURRENT_A]


@njit(cache=True, nogil=True)
def follow(voltages, params, state, out):
    """`evaluate` for one row of `voltages` after the other, each starting from the one before."""
    for m in range(voltages.shape[0]):
        evaluate(0.0, voltages[m], params, state, out[m])


@c_function(DEVICE_SIGNATURE)
def c_evaluate(t, voltages, params, n_params, state, n_state, out):
    """`evaluate` as a C function; here, and not made where it is used, so that it is compiled once and kept on disk."""
    evaluate_at(evaluate, t, voltages, params, n_params, state, n_state, out)
