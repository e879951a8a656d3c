"""Compiled equations of the mean field: balance of every site, its Jacobian, and the electrode currents.

All energies are in units of kT, voltages in kT/e, rates in nu_0, currents in e nu_0, so that numbers are of order one.
With p_i the mean occupation of site i, E_i the Hartree energy and C_ij = K/(r_ij kT),

    E_i = f_i + sum_k phi_ik V_k - sum_{j != i} C_ij (1 - p_j),
    x_ij = (E_j - C_ij p_i) - (E_i - C_ij p_j)                 (a hole does not repel itself),
    J_ij = g_ij [ p_i (1 - p_j) min(1, e^-x_ij) - p_j (1 - p_i) min(1, e^x_ij) ],
    J_ik = g_ik [ p_i min(1, e^-(V_k - E_i)) - (1 - p_i) min(1, e^(V_k - E_i)) ]   (site to electrode k),
    dp_i/dt = F_i = -sum_j J_ij - sum_k J_ik,                  I_k = -sum_i J_ik   (into the device).

The stationary state F = 0 is followed along a waveform by a quasi-Newton iteration with a kept inverse Jacobian;
currents are corrected by the adjoint of the remaining imbalance, I_k + lambda_k . F, lambda_k = -(dF/dp)^-T dI_k/dp,
so that their error is of second order in what is left. `evaluate` is the co-simulation kernel built on it.

Everything a call needs lies in two flat float64 arrays, `params` (constant) and `state`; `LAYOUT_*` below say where.
"""

from __future__ import annotations

import numpy as np
from numba import carray, cfunc, njit

from dnpu_models.pointers import DEVICE_SIGNATURE, as_float_pointer, load_float

# header of `params`
N_SITES, N_ELECTRODES, N_PAIRS, N_LEADS, TOLERANCE, THERMAL_V, CURRENT_A, HEADER = range(8)
# header of `state`: whether a factorisation is there, counters, then arrays
READY, SOLVES, ITERATIONS, REFRESHES, FAILED, EXCESS, STATE_HEADER = range(7)

MAX_CHORD = 16
"""Iterations with a kept Jacobian before it is computed anew."""
REFRESH_COST = 80.0
"""A Jacobian with its inverse costs about this many iterations: it is renewed when as many were spent on its age."""
MAX_REFRESH = 6
"""Jacobians per solution before the kernel relaxes from where it stands."""
MAX_RELAXATION = 1000
"""Steps of the relaxation before it is given up."""

_LOG2E = 1.4426950408889634
_LN2 = 0.6931471805599453


@njit(cache=True, error_model="numpy")
def _exp_of_negative(x, bits):
    """Replace x <= 0 by exp(x), within 1e-14 relative; written so that the compiler vectorises it.

    exp(x) = 2^k e^f with k = round(x log2 e) and |f| <= ln(2)/2; the polynomial is Taylor's up to f^13/13!.
    """
    for m in range(x.size):
        y = max(x[m], -700.0) * _LOG2E
        k = np.floor(y + 0.5)
        f = (y - k) * _LN2
        s = f / 6227020800.0 + 1.0 / 479001600.0
        s = s * f + 1.0 / 39916800.0
        s = s * f + 1.0 / 3628800.0
        s = s * f + 1.0 / 362880.0
        s = s * f + 1.0 / 40320.0
        s = s * f + 1.0 / 5040.0
        s = s * f + 1.0 / 720.0
        s = s * f + 1.0 / 120.0
        s = s * f + 1.0 / 24.0
        s = s * f + 1.0 / 6.0
        s = s * f + 0.5
        s = s * f + 1.0
        x[m] = s * f + 1.0
        bits[m] = (np.int64(k) + 1023) << 52
    scale = bits.view(np.float64)
    for m in range(x.size):
        x[m] *= scale[m]


@njit(cache=True, error_model="numpy")
def balance(
    pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g, energy, volts, p, rate, current, x, boltzmann, bits
):
    """Fill `rate` with F_i and `current` with the currents into the device; x, boltzmann, bits are scratch."""
    rate[:] = 0.0
    current[:] = 0.0
    pairs = pair_i.size
    for m in range(pairs):
        i = pair_i[m]
        j = pair_j[m]
        x[m] = energy[j] - energy[i] + pair_c[m] * (p[j] - p[i])
    for m in range(lead_i.size):
        x[pairs + m] = volts[lead_k[m]] - energy[lead_i[m]]
    for m in range(x.size):
        boltzmann[m] = -abs(x[m])
    _exp_of_negative(boltzmann, bits)
    for m in range(pairs):
        i = pair_i[m]
        j = pair_j[m]
        uphill = np.float64(x[m] > 0.0)  # a factor, not a branch: the sign is random
        up = 1.0 + uphill * (boltzmann[m] - 1.0)
        down = boltzmann[m] + uphill * (1.0 - boltzmann[m])
        flux = pair_g[m] * (p[i] * (1.0 - p[j]) * up - p[j] * (1.0 - p[i]) * down)
        rate[i] -= flux
        rate[j] += flux
    for m in range(lead_i.size):
        i = lead_i[m]
        b = boltzmann[pairs + m]
        uphill = np.float64(x[pairs + m] > 0.0)
        flux = lead_g[m] * (p[i] * (1.0 + uphill * (b - 1.0)) - (1.0 - p[i]) * (b + uphill * (1.0 - b)))
        rate[i] -= flux
        current[lead_k[m]] -= flux


@njit(cache=True, error_model="numpy")
def jacobian(pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g, coulomb, phi, energy, volts, p):
    """Derivatives of the balance.

    Returns ``(dF/dp (n, n), dF/dV (n, k), dI/dp (k, n), dI/dV (k, k))`` for n sites and k electrodes.
    """
    n = p.size
    electrodes = volts.size
    direct = np.zeros((n, n))  # dF/dp at fixed energies
    by_energy = np.zeros((n, n))  # dF/dE
    rate_v = np.zeros((n, electrodes))
    current_p = np.zeros((electrodes, n))
    current_e = np.zeros((electrodes, n))
    current_v = np.zeros((electrodes, electrodes))
    for m in range(pair_i.size):
        i = pair_i[m]
        j = pair_j[m]
        x = energy[j] - energy[i] + pair_c[m] * (p[j] - p[i])
        boltzmann = np.exp(-abs(x))
        if x > 0.0:
            up = pair_g[m] * boltzmann
            down = pair_g[m]
            by_x = -p[i] * (1.0 - p[j]) * up
        else:
            up = pair_g[m]
            down = pair_g[m] * boltzmann
            by_x = -p[j] * (1.0 - p[i]) * down
        # x depends on p_i and p_j through pair_c, on all others through the energies
        by_i = (1.0 - p[j]) * up + p[j] * down - by_x * pair_c[m]
        by_j = -p[i] * up - (1.0 - p[i]) * down + by_x * pair_c[m]
        direct[i, i] -= by_i
        direct[i, j] -= by_j
        direct[j, i] += by_i
        direct[j, j] += by_j
        by_energy[i, j] -= by_x
        by_energy[i, i] += by_x
        by_energy[j, j] += by_x
        by_energy[j, i] -= by_x
    for m in range(lead_i.size):
        i = lead_i[m]
        k = lead_k[m]
        x = volts[k] - energy[i]
        boltzmann = np.exp(-abs(x))
        by_p = lead_g[m] * (boltzmann + 1.0)
        by_x = -lead_g[m] * boltzmann * (p[i] if x > 0.0 else 1.0 - p[i])
        direct[i, i] -= by_p
        by_energy[i, i] += by_x
        rate_v[i, k] -= by_x
        current_p[k, i] -= by_p
        current_e[k, i] += by_x
        current_v[k, k] -= by_x
    rate_p = direct + np.dot(by_energy, coulomb)
    rate_v += np.dot(by_energy, phi)
    current_p += np.dot(current_e, coulomb)
    current_v += np.dot(current_e, phi)
    return rate_p, rate_v, current_p, current_v


@njit(cache=True, error_model="numpy")
def relax(
    pair_i,
    pair_j,
    pair_g,
    pair_c,
    lead_i,
    lead_k,
    lead_g,
    coulomb,
    phi,
    bare,
    volts,
    p,
    rate,
    current,
    x,
    boltzmann,
    bits,
):
    """Follow dp/dt = F(p) from `p` to its end, by implicit Euler steps that grow as the relaxation dies.

    The steps stay short while occupations move: Newton's method alone can cycle around a kink of the rates. Leaves the
    stationary occupations in `p`, the imbalance in `rate`, currents in `current`; `bare` is the energy without the
    holes' Coulomb term. Returns the number of Jacobians, negative if it did not end.
    """
    n = p.size
    dt = 1.0
    energy = bare + np.dot(coulomb, p)
    balance(pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g, energy, volts, p, rate, current, x, boltzmann, bits)
    previous = np.zeros(n)
    careful = 0
    for count in range(1, MAX_RELAXATION + 1):
        system = -jacobian(pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g, coulomb, phi, energy, volts, p)[0]
        for i in range(n):
            system[i, i] += 1.0 / dt
        step = np.linalg.solve(system, rate)
        largest = np.max(np.abs(step))
        if not np.isfinite(largest):
            return -count
        if largest > 0.5 and dt > 1e-6:
            dt *= 0.2
            continue
        for i in range(n):
            p[i] = min(max(p[i] + step[i], 0.0), 1.0)
        energy = bare + np.dot(coulomb, p)
        balance(
            pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g, energy, volts, p, rate, current, x, boltzmann, bits
        )
        if dt > 1e6 and (largest < 1e-11 or (largest < 1e-7 and np.max(np.abs(rate)) < 1e-15)):
            return count
        turn = np.dot(step, previous)
        growth = min(max(0.15 / max(largest, 1e-300), 0.3), 10.0)
        if largest > 1e-7 and turn < -0.2 * np.sqrt(np.dot(step, step) * np.dot(previous, previous)):
            # Just past a fold the flow creeps through a bottleneck, where long steps would only jump to and fro.
            growth = min(0.1, 1e4 / dt)
            careful = 20
        elif careful > 0:
            growth = min(growth, 1.2)
            careful -= 1
        dt = min(dt * growth, 1e14)
        previous[:] = step
    return -MAX_RELAXATION


@njit(cache=True)
def state_size(n, electrodes, pairs, leads):
    """Length of `state` for `evaluate`."""
    return STATE_HEADER + 4 * n + 4 * electrodes + n * n + 2 * n * electrodes + 3 * (pairs + leads) + MAX_CHORD * n


@njit(cache=True, error_model="numpy")
def evaluate(t, voltages, params, state, out):
    """Stationary currents (A, into the device) at the terminal `voltages` (V), by following the last solution.

    Quasi-static: `t` does not matter, and the result does not depend on the path within the tolerance, which is a
    fraction of the largest current. Writes NaN where no stationary state was found.
    """
    n = int(params[N_SITES])
    electrodes = int(params[N_ELECTRODES])
    pairs = int(params[N_PAIRS])
    leads = int(params[N_LEADS])
    at = HEADER
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

    at = STATE_HEADER
    p = state[at : at + n]
    at += n
    rate = state[at : at + n]
    at += n
    energy = state[at : at + n]
    at += n
    bare = state[at : at + n]
    at += n
    v_last = state[at : at + electrodes]
    at += electrodes
    volts = state[at : at + electrodes]
    at += electrodes
    current = state[at : at + electrodes]
    at += electrodes
    correction = state[at : at + electrodes]
    at += electrodes
    inverse = state[at : at + n * n].reshape(n, n)  # (dF/dp)^-1
    at += n * n
    shift = state[at : at + n * electrodes].reshape(n, electrodes)  # dp/dV
    at += n * electrodes
    adjoint = state[at : at + n * electrodes].reshape(electrodes, n)
    at += n * electrodes
    x = state[at : at + pairs + leads]
    at += pairs + leads
    boltzmann = state[at : at + pairs + leads]
    at += pairs + leads
    bits = state[at : at + pairs + leads].view(np.int64)
    at += pairs + leads
    steps = state[at : at + MAX_CHORD * n].reshape(MAX_CHORD, n)

    if not np.all(np.isfinite(voltages)):  # linear algebra would raise, and an exception is lost in a callback
        state[FAILED] += 1.0
        out[:] = np.nan
        return
    for k in range(electrodes):
        volts[k] = voltages[k] / params[THERMAL_V]
    bare[:] = fixed + np.dot(phi, volts)
    if state[READY] > 0.0:  # predict: p + dp/dV (V - V_last)
        p += np.dot(shift, volts - v_last)
        for i in range(n):
            p[i] = min(max(p[i], 0.0), 1.0)
    v_last[:] = volts
    state[SOLVES] += 1.0
    chord = 0
    refreshes = 0
    before = np.inf
    while True:
        energy[:] = bare + np.dot(coulomb, p)
        balance(
            pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g, energy, volts, p, rate, current, x, boltzmann, bits
        )
        stale = state[READY] == 0.0 or state[EXCESS] > REFRESH_COST
        if state[READY] > 0.0:
            largest = np.max(np.abs(current))
            correction[:] = np.dot(adjoint, rate)
            miss = np.max(np.abs(correction))
            if miss <= params[TOLERANCE] * largest + 1e-16:
                break
            stale = stale or chord >= MAX_CHORD or miss > 2.0 * before or not np.isfinite(miss)
            before = miss
        if stale:
            if refreshes >= MAX_REFRESH or not np.isfinite(np.max(np.abs(rate))):
                if not np.isfinite(np.max(np.abs(rate))):
                    p[:] = 0.5
                done = relax(
                    pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g, coulomb, phi, bare, volts, p, rate, current,
                    x, boltzmann, bits,
                )  # fmt: skip
                if done < 0 or refreshes > MAX_REFRESH:
                    state[FAILED] += 1.0
                    state[READY] = 0.0
                    out[:] = np.nan
                    return
                energy[:] = bare + np.dot(coulomb, p)
            rate_p, rate_v, current_p, _ = jacobian(
                pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g, coulomb, phi, energy, volts, p
            )
            inverse[:, :] = np.linalg.inv(rate_p)
            shift[:, :] = -np.dot(inverse, rate_v)
            adjoint[:, :] = -np.dot(current_p, inverse)
            state[READY] = 1.0
            state[EXCESS] = 0.0
            state[REFRESHES] += 1.0
            refreshes += 1
            chord = 0
            before = np.inf
        # Broyden's method from the kept inverse, in Kelley's form: only the steps of this solution are stored.
        step = -np.dot(inverse, rate)
        for m in range(1, chord):
            past = steps[m - 1]
            step += steps[m] * (np.dot(past, step) / np.dot(past, past))
        if chord > 0:
            past = steps[chord - 1]
            square = np.dot(past, past)
            step /= max(1.0 - np.dot(past, step) / square, 0.1)
        step *= min(1.0, 0.5 / max(np.max(np.abs(step)), 1e-300))
        steps[chord] = step
        for i in range(n):
            p[i] = min(max(p[i] + step[i], 0.0), 1.0)
        chord += 1
        state[ITERATIONS] += 1.0
        if chord > 2:
            state[EXCESS] += 1.0
    for k in range(electrodes):
        out[k] = (current[k] + correction[k]) * params[CURRENT_A]


@njit(cache=True)
def follow(voltages, params, state, out):
    """`evaluate` for one row of `voltages` after the other, each starting from the one before."""
    for m in range(voltages.shape[0]):
        evaluate(0.0, voltages[m], params, state, out[m])


@njit(cache=True)
def advance(dt, voltages, params, state):
    """Nothing to advance: the device is quasi-static far beyond any lock-in's band."""


@cfunc(DEVICE_SIGNATURE, cache=True)
def c_evaluate(t, voltages, params, n_params, state, n_state, out):
    """`evaluate` as a C function; here, and not made where it is used, so that it is compiled once and kept on disk."""
    terminals = int(load_float(state + 8 * n_state))
    evaluate(
        t,
        carray(as_float_pointer(voltages), terminals),
        carray(as_float_pointer(params), n_params),
        carray(as_float_pointer(state), n_state),
        carray(as_float_pointer(out), terminals),
    )


@cfunc(DEVICE_SIGNATURE, cache=True)
def c_advance(dt, voltages, params, n_params, state, n_state, out):
    """`advance` as a C function: nothing to do."""
