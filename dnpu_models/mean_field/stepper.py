"""The mean field as a device in a circuit: followed along a waveform, without Python.

The stationary state F = 0 is followed by a quasi-Newton iteration with a kept inverse Jacobian; currents are corrected
by the adjoint of the remaining imbalance, I_k + lambda_k . F, lambda_k = -(dF/dp)^-T dI_k/dp, so that their error is of
second order in what is left: a fraction theta of the correction, measured wherever there is a second iteration.

Everything a call needs lies in two flat float64 arrays, `params` (constant) and `state`, in the order in which
`evaluate` takes them apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, c_function, evaluate_at
from dnpu_models.mean_field.chord import MAX_CHORD, broyden
from dnpu_models.mean_field.equations import RateEquations
from dnpu_models.mean_field.kernel import (
    CAREFUL,
    MAX_RELAXATION,
    Hops,
    Work,
    add_product,
    imbalance,
    linearised,
    move,
    relax,
)
from dnpu_models.mean_field.vector_fluxes import add_fluxes
from inmateria.checks import FloatArray

# header of `params`
N_SITES, N_ELECTRODES, N_HOPS, TOLERANCE, THERMAL_V, CURRENT_A, HEADER = range(7)
# header of `state`: whether a factorisation is there, counters, then arrays, occupations of the nodes first
READY, SOLVES, ITERATIONS, REFRESHES, FAILED, EXCESS, THETA, UNMEASURED, SINCE, USUAL, STATE_HEADER = range(11)

SINGLE = 1e-6
"""Tolerance from which on single precision tells well enough what holes that moved do to the energies."""
REFRESH_COST = 60.0
"""A Jacobian with its inverse costs about this many iterations: it is renewed when as many were spent on its age."""
FRESH = 8
"""Solutions behind a Jacobian's first that tell how many iterations are needed even so."""
SAFETY, LEAST_THETA, BRISK = 5.0, 0.1, 0.1
"""theta (`batch`) is taken times `SAFETY`, and as `LEAST_THETA` at least; a correction counts as the part `BRISK` of
the one before it at least."""
KEEP, MEASURE = 0.95, 8
"""Of theta, what is kept when it is measured again; solutions after which it has to be, by a second iteration."""
MAX_REFRESH = 6
"""Jacobians per solution before the kernel relaxes from where it stands."""


def _words(array: NDArray[Any]) -> FloatArray:
    """An array's bytes as float64, filled up with zeros."""
    content = array.tobytes()
    return np.frombuffer(content + b"\0" * (-len(content) % 8))


def params_of(equations: RateEquations, tolerance: float) -> FloatArray:
    """`params` of rate equations."""
    hops, (n, electrodes), coulomb = equations.hops, equations.phi.shape, equations.coulomb
    header = [n, electrodes, len(hops.to), tolerance, equations.thermal_V, equations.current_A]
    arrays = (*hops, equations.fixed, equations.phi, coulomb, coulomb.astype(np.float32))
    return np.concatenate([np.array(header, dtype=float), *(_words(array) for array in arrays)])


def start_state(params: FloatArray, volts: FloatArray, p: FloatArray, more: int) -> FloatArray:
    """`state` at the sites' occupations `p` and voltages in kT/e, with room for `more` words behind it."""
    state = np.zeros(state_size_of(params) + more)
    nodes = len(p) + len(volts)
    state[STATE_HEADER : STATE_HEADER + len(p)] = p
    state[STATE_HEADER + len(p) : STATE_HEADER + nodes] = 0.5
    ends = STATE_HEADER + 4 * nodes
    state[ends : ends + len(volts)] = volts
    return state


@njit(cache=True, nogil=True)
def state_size_of(params):
    """Length of `state` for `evaluate`."""
    n, electrodes, hops = int(params[N_SITES]), int(params[N_ELECTRODES]), int(params[N_HOPS])
    of_sites = 4 + 2 + 2 * electrodes + MAX_CHORD
    return STATE_HEADER + of_sites * n + 9 * electrodes + 2 * hops + (n * n + 1) // 2


# Both become part of `evaluate`: handed back by a call, so many arrays took 4 % of its time.


@njit(inline="always")
def equations_of(params):
    """Hops, fixed energies, unit potentials, and Coulomb energies in double and in single precision."""
    n = int(params[N_SITES])
    electrodes = int(params[N_ELECTRODES])
    hops = int(params[N_HOPS])
    at = HEADER
    first = params[at : at + n + 1].view(np.int64)
    at += n + 1
    to = params[at : at + hops // 2].view(np.uint32)
    at += hops // 2
    g = params[at : at + hops]
    at += hops
    c = params[at : at + hops]
    at += hops
    fixed = params[at : at + n]
    at += n
    phi = params[at : at + n * electrodes].reshape(n, electrodes)
    at += n * electrodes
    coulomb = params[at : at + n * n].reshape(n, n)
    at += n * n
    coulomb_single = params[at : at + (n * n + 1) // 2].view(np.float32)[: n * n].reshape(n, n)
    return Hops(first, to, g, c), fixed, phi, coulomb, coulomb_single


@njit(inline="always")
def _followed(params, state):
    """Arrays of `state`: of nodes, of electrodes and of sites; dp/dV, the adjoint, (dF/dp)^-1, transposed; the rest."""
    n = int(params[N_SITES])
    electrodes = int(params[N_ELECTRODES])
    hops = int(params[N_HOPS])
    at = STATE_HEADER
    nodes = state[at : at + 4 * (n + electrodes)].reshape(4, n + electrodes)
    at += 4 * (n + electrodes)
    ends = state[at : at + 5 * electrodes].reshape(5, electrodes)
    at += 5 * electrodes
    held = state[at : at + 2 * n].reshape(2, n)
    at += 2 * n
    shift = state[at : at + n * electrodes].reshape(electrodes, n)
    at += n * electrodes
    adjoint = state[at : at + n * electrodes].reshape(n, electrodes)
    at += n * electrodes
    inverse = state[at : at + (n * n + 1) // 2].view(np.float32)[: n * n].reshape(n, n)
    at += (n * n + 1) // 2
    work = Work(state[at : at + hops], state[at + hops : at + 2 * hops])
    at += 2 * hops
    steps = state[at : at + MAX_CHORD * n].reshape(MAX_CHORD, n)
    return nodes, ends, held, shift, adjoint, inverse, work, steps


@njit(cache=True, nogil=True, error_model="numpy")
def _linearise(equations, p, bare, energy, rate, work, held, shift, adjoint, inverse):
    """Renew the inverse Jacobian, what follows from it, and what single precision counts from."""
    hops, coulomb, phi = equations
    n = coulomb.shape[0]
    imbalance(hops, coulomb, bare, p, energy, rate, work)
    held[0] = p[:n]
    held[1] = energy[:n] - bare[:n]
    found, tangent, back = linearised(hops, coulomb, phi, p, work)
    inverse[:, :] = found.T
    shift[:, :] = tangent.T
    adjoint[:, :] = back.T


@njit(inline="always")
def _imbalance_since(hops, coulomb, bare, p, held, energy, rate, work):
    """`imbalance` from the energies at `held` and, in single precision, what holes that moved since do to them."""
    n = coulomb.shape[0]
    change, moved = np.zeros(n, np.float32), np.empty(n, np.float32)
    for i in range(n):
        moved[i] = p[i] - held[0, i]
    add_product(change, coulomb, moved)
    energy[:] = bare
    for i in range(n):
        energy[i] += held[1, i] + change[i]
    rate[:] = 0.0
    add_fluxes(hops.first, hops.to, hops.g, hops.c, energy, p, rate, work.barrier, work.factor)


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate(t, voltages, params, state, out):
    """Stationary currents (A, into the device) at the terminal `voltages` (V), by following the last solution.

    Quasi-static: `t` does not matter, and the result does not depend on the path within the tolerance, which is a
    fraction of the largest current. Writes NaN where `relax` finds no stationary state either.
    """
    hops, fixed, phi, coulomb, coulomb_single = equations_of(params)
    nodes, ends, held, shift, adjoint, inverse, work, steps = _followed(params, state)
    p, rate, energy, bare = nodes[0], nodes[1], nodes[2], nodes[3]
    v_last, volts, current, correction, corrected = ends[0], ends[1], ends[2], ends[3], ends[4]
    n, single = fixed.size, params[TOLERANCE] >= SINGLE
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
    bare[:n] = fixed + np.dot(phi, volts)
    bare[n:] = volts
    way, p_last, step, push, short = (
        volts - v_last,
        p[:n].copy(),
        np.zeros(n),
        np.empty(n, np.float32),
        np.empty(n, np.float32),
    )
    if state[READY] > 0.0:  # predict: p + dp/dV (V - V_last)
        add_product(step, shift, way)
        move(p, step)
    v_last[:] = volts
    state[SOLVES] += 1.0
    state[UNMEASURED] += 1.0
    chord = 0
    refreshes = 0
    before = 0.0
    while True:
        if single and state[READY] > 0.0:
            _imbalance_since(hops, coulomb_single, bare, p, held, energy, rate, work)
        else:
            imbalance(hops, coulomb, bare, p, energy, rate, work)
        stale = state[READY] == 0.0 or state[EXCESS] > REFRESH_COST
        done = False
        if state[READY] > 0.0:
            for k in range(current.size):
                current[k] = -rate[n + k]
            largest = np.max(np.abs(current))
            correction[:] = 0.0
            add_product(correction, adjoint, rate[:n])
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
                relaxed = relax(hops, coulomb, bare, p, rate, work, CAREFUL, MAX_RELAXATION)
                if relaxed < 0 or refreshes > MAX_REFRESH:
                    state[FAILED] += 1.0
                    state[READY] = 0.0
                    out[:] = np.nan
                    return
            _linearise((hops, coulomb, phi), p, bare, energy, rate, work, held, shift, adjoint, inverse)
            state[READY] = 1.0
            state[EXCESS], state[SINCE], state[USUAL] = 0.0, 0.0, 0.0
            state[REFRESHES] += 1.0
            refreshes += 1
            chord = 0
            before = 0.0
        for i in range(n):
            short[i] = -rate[i]
        push[:] = 0.0
        add_product(push, inverse, short)
        step[:] = push
        broyden(steps, chord, step)
        move(p, step)
        if done:
            break
        chord += 1
        state[ITERATIONS] += 1.0
    if state[SINCE] > FRESH:
        state[EXCESS] = max(state[EXCESS] + chord - state[USUAL], 0.0)
    elif state[SINCE] > 0.0:
        state[USUAL] += chord / FRESH
    state[SINCE] += 1.0
    square = np.dot(way, way)
    if square > 0.0:  # the tangent through both solutions, changed least
        step[:] = p_last - p[:n]
        add_product(step, shift, way)
        for k in range(way.size):
            for i in range(n):
                shift[k, i] -= step[i] * (way[k] / square)
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
