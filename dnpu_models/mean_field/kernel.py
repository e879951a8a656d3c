"""Compiled equations of the mean field: balance of every site, its Jacobian, and how both are solved.

All energies are in units of kT, voltages in kT/e, rates in nu_0, currents in e nu_0, so that numbers are of order one.
With p_i the mean occupation of site i, E_i the Hartree energy and C_ij = K/(r_ij kT),

    E_i = f_i + sum_k phi_ik V_k - sum_{j != i} C_ij (1 - p_j),
    x_ij = (E_j - C_ij p_i) - (E_i - C_ij p_j)                 (a hole does not repel itself),
    J_ij = g_ij [ p_i (1 - p_j) min(1, e^-x_ij) - p_j (1 - p_i) min(1, e^x_ij) ],
    J_ik = g_ik [ p_i min(1, e^-(V_k - E_i)) - (1 - p_i) min(1, e^(V_k - E_i)) ]   (site to electrode k),
    dp_i/dt = F_i = -sum_j J_ij - sum_k J_ik,                  I_k = -sum_i J_ik   (into the device).

`relax` follows dp/dt = F to a stationary state; `chord` improves one that is nearly right with a kept factorisation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from inmateria.checks import FloatArray

MAX_BRISK = 60
"""Steps of a brisk relaxation before it is done carefully; 15 are usual."""
MAX_RELAXATION = 1000
"""Steps of the relaxation before it is given up."""
SETTLED = 1e-11
"""Change of an occupation that counts as none."""

_LOG2E = 1.4426950408889634
_LN2 = 0.6931471805599453
BRISK = 0.3
"""Change of an occupation that a step of the relaxation aims at, at first."""
CAREFUL = 0.15
"""... where that has not led to an end."""
LEAVING = 0.4
"""Largest growth rate of an occupation's deviation from an unstable state, times the step."""
_ROUGH = 1e-12  # part of a hop's direct derivatives below which those by its barrier are left out while relaxing
_EXACT = 1e-18  # ... and else


class Hops(NamedTuple):
    """Possible hops; pairs of sites stand in the order of their first site."""

    first: FloatArray  # (n_sites + 1) of int64: pairs first[i] to first[i + 1] begin at site i
    pair_i: FloatArray  # of uint64, the first site, as what follows for every pair
    pair_j: FloatArray  # of uint64, the second site
    pair_g: FloatArray
    pair_c: FloatArray
    lead_i: FloatArray  # of uint64, the site, as what follows for every pair of a site and an electrode
    lead_k: FloatArray  # of uint64
    lead_g: FloatArray


class Work(NamedTuple):
    """Scratch, an entry for each pair and lead; barriers and Boltzmann factors are what `jacobian` needs."""

    barrier: FloatArray
    boltzmann: FloatArray
    bits: FloatArray  # int64
    forth: FloatArray
    back: FloatArray


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def exp_of_negative(x, bits):
    """Replace x <= 0 by exp(x), within 1e-14 relative; written so that the compiler vectorises it.

    exp(x) = 2^k e^f with k = round(x log2 e) and |f| <= ln(2)/2; the polynomial is Taylor's up to f^13/13!.
    """
    for m in range(x.size):
        y = max(x[m], -700.0) * _LOG2E
        k = np.floor(y + 0.5)
        f = (y - k) * _LN2
        s = f * (1.0 / 6227020800.0) + 1.0 / 479001600.0
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


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_product(out, matrix, x):
    """Add x . matrix to `out`, four rows at a time: as fast as BLAS, without its threads."""
    rows = x.size // 4 * 4
    for m in range(0, rows, 4):
        a, b, c, d = x[m], x[m + 1], x[m + 2], x[m + 3]
        p, q, r, s = matrix[m], matrix[m + 1], matrix[m + 2], matrix[m + 3]
        for k in range(out.size):
            out[k] += a * p[k] + b * q[k] + c * r[k] + d * s[k]
    for m in range(rows, x.size):
        a, p = x[m], matrix[m]
        for k in range(out.size):
            out[k] += a * p[k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _pairs(pair_i, pair_j, pair_c, energy, p, x, forth, back):
    """Barriers of the pairs and p_i (1 - p_j), p_j (1 - p_i); one loop: those of single sites are short."""
    for m in range(pair_i.size):
        i, j = pair_i[m], pair_j[m]
        q, r = p[i], p[j]
        x[m] = energy[j] - energy[i] + pair_c[m] * (r - q)
        forth[m] = q * (1.0 - r)
        back[m] = r * (1.0 - q)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _leads(lead_i, lead_k, energy, volts, p, x, forth, back):
    """The same of the leads: a reservoir always gives and always takes."""
    for m in range(lead_i.size):
        i = lead_i[m]
        x[m] = volts[lead_k[m]] - energy[i]
        forth[m] = p[i]
        back[m] = 1.0 - p[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _minus_size(x, out):
    for m in range(x.size):
        out[m] = -abs(x[m])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _fluxes(g, x, boltzmann, forth, back):
    """Replace `forth` by the fluxes."""
    for m in range(g.size):
        up = boltzmann[m] if x[m] > 0.0 else 1.0
        down = 1.0 if x[m] > 0.0 else boltzmann[m]
        forth[m] = g[m] * (forth[m] * up - back[m] * down)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _sums(first, pair_j, lead_i, lead_k, flux, rate, current):
    rate[:] = 0.0
    current[:] = 0.0
    for i in range(rate.size):
        out = 0.0
        for m in range(first[i], first[i + 1]):
            out += flux[m]
            rate[pair_j[m]] += flux[m]
        rate[i] -= out
    pairs = pair_j.size
    for m in range(lead_i.size):
        rate[lead_i[m]] -= flux[pairs + m]
        current[lead_k[m]] -= flux[pairs + m]


@njit(cache=True, nogil=True, error_model="numpy")
def balance(hops, energy, volts, p, rate, current, work):
    """Fill `rate` with F_i, `current` with the currents into the device and `work` with barriers and factors.

    The loops stand in functions of their own: then the compiler sees that they can be vectorised.
    """
    first, pair_i, pair_j, pair_g, pair_c, lead_i, lead_k, lead_g = hops
    x, boltzmann, bits, forth, back = work
    pairs = pair_j.size
    _pairs(pair_i, pair_j, pair_c, energy, p, x, forth, back)
    _leads(lead_i, lead_k, energy, volts, p, x[pairs:], forth[pairs:], back[pairs:])
    _minus_size(x, boltzmann)
    exp_of_negative(boltzmann, bits)
    _fluxes(pair_g, x, boltzmann, forth, back)
    _fluxes(lead_g, x[pairs:], boltzmann[pairs:], forth[pairs:], back[pairs:])
    _sums(first, pair_j, lead_i, lead_k, forth, rate, current)


@njit(inline="always")
def imbalance(hops, coulomb, bare, volts, p, energy, rate, current, work):
    """`balance` at the occupations `p`; fills `energy` too: `bare`, without the holes' Coulomb term, and that term.

    Becomes part of its callers: a call with so many arrays takes 5 % of the time of an iteration.
    """
    energy[:] = bare
    add_product(energy, coulomb, p)
    balance(hops, energy, volts, p, rate, current, work)


@njit(inline="always")
def move(p, step):
    """Add `step` to the occupations, which stay between 0 and 1."""
    for i in range(p.size):
        p[i] = min(max(p[i] + step[i], 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def slopes(hops, p, work, by_x, by_i, by_j):
    """Derivatives of every flux, pairs first, by its barrier x, p_i and p_j, from what `balance` left in `work`."""
    first, _, pair_j, pair_g, pair_c, lead_i, _, lead_g = hops
    barrier, factor = work.barrier, work.boltzmann
    pairs = pair_j.size
    for i in range(p.size):
        for m in range(first[i], first[i + 1]):
            j = pair_j[m]
            uphill = barrier[m] > 0.0
            boltzmann = factor[m]
            up = pair_g[m] * (boltzmann if uphill else 1.0)
            down = pair_g[m] * (1.0 if uphill else boltzmann)
            by_x[m] = -p[i] * (1.0 - p[j]) * up if uphill else -p[j] * (1.0 - p[i]) * down
            # x depends on p_i and p_j through pair_c, on all others through the energies
            by_i[m] = (1.0 - p[j]) * up + p[j] * down - by_x[m] * pair_c[m]
            by_j[m] = -p[i] * up - (1.0 - p[i]) * down + by_x[m] * pair_c[m]
    for m in range(lead_i.size):
        q = p[lead_i[m]]
        boltzmann = factor[pairs + m]
        by_x[pairs + m] = -lead_g[m] * boltzmann * (q if barrier[pairs + m] > 0.0 else 1.0 - q)
        by_i[pairs + m] = lead_g[m] * (boltzmann + 1.0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def rate_by_p(hops, coulomb, by_x, by_i, by_j, negligible, rate_p):
    """Fill `rate_p` with dF/dp = dF/dp at fixed energies + dF/dE . C, from the `slopes`; see `_ROUGH`."""
    n = coulomb.shape[0]
    first, _, pair_j, _, _, lead_i, _, _ = hops
    pairs = pair_j.size
    rate_p[:] = 0.0
    for i in range(n):
        here, own = rate_p[i], coulomb[i]
        for m in range(first[i], first[i + 1]):
            j = pair_j[m]
            if -by_x[m] > negligible * min(by_i[m], -by_j[m]):
                there, other, slope = rate_p[j], coulomb[j], by_x[m]
                for k in range(n):
                    change = slope * (own[k] - other[k])
                    here[k] += change
                    there[k] -= change
            rate_p[i, i] -= by_i[m]
            rate_p[i, j] -= by_j[m]
            rate_p[j, i] += by_i[m]
            rate_p[j, j] += by_j[m]
    for m in range(lead_i.size):
        i = lead_i[m]
        here, own, slope = rate_p[i], coulomb[i], by_x[pairs + m]
        for k in range(n):
            here[k] += slope * own[k]
        rate_p[i, i] -= by_i[pairs + m]


@njit(cache=True, nogil=True, error_model="numpy")
def jacobian(hops, coulomb, phi, p, work):
    """Derivatives of the balance, from what `balance` left in `work`.

    Returns ``(dF/dp (n, n), dF/dV (n, k), dI/dp (k, n), dI/dV (k, k))`` for n sites and k electrodes.
    """
    n, electrodes = phi.shape
    first, _, pair_j, _, _, lead_i, lead_k, _ = hops
    pairs = pair_j.size
    by_x = np.empty(work.barrier.size)
    by_i = np.empty(work.barrier.size)
    by_j = np.empty(pairs)
    slopes(hops, p, work, by_x, by_i, by_j)
    rate_p = np.empty((n, n))
    rate_by_p(hops, coulomb, by_x, by_i, by_j, _EXACT, rate_p)
    rate_v = np.zeros((n, electrodes))
    current_p = np.zeros((electrodes, n))
    current_v = np.zeros((electrodes, electrodes))
    for i in range(n):
        for m in range(first[i], first[i + 1]):
            j = pair_j[m]
            for k in range(electrodes):
                change = by_x[m] * (phi[i, k] - phi[j, k])
                rate_v[i, k] += change
                rate_v[j, k] -= change
    for lead in range(lead_i.size):
        i = lead_i[lead]
        k = lead_k[lead]
        slope = by_x[pairs + lead]  # of the flux i -> k by x = V_k - E_i
        current_p[k, i] -= by_i[pairs + lead]
        rate_v[i, k] -= slope
        current_v[k, k] -= slope
        for m in range(n):
            current_p[k, m] += slope * coulomb[i, m]
        for m in range(electrodes):
            rate_v[i, m] += slope * phi[i, m]
            current_v[k, m] += slope * phi[i, m]
    return rate_p, rate_v, current_p, current_v


@njit(cache=True, nogil=True, error_model="numpy")
def relax(hops, coulomb, bare, volts, p, rate, current, work, wanted, limit):
    """Follow dp/dt = F(p) from `p` to its end, by implicit Euler steps that grow as the relaxation dies.

    The steps stay short while occupations move: Newton's method alone can cycle around a kink of the rates. Leaves the
    stationary occupations in `p`, the imbalance in `rate`, currents in `current`; `bare` is the energy without the
    holes' Coulomb term; `wanted` is the change of an occupation that a step aims at, `limit` the most steps.
    Returns the number of Jacobians, negative if it did not end.
    """
    n = p.size
    dt = 1.0
    energy = np.empty(n)
    imbalance(hops, coulomb, bare, volts, p, energy, rate, current, work)
    by_x = np.empty(work.barrier.size)
    by_i = np.empty(work.barrier.size)
    by_j = np.empty(hops.pair_j.size)
    system = np.empty((n, n))
    previous = np.zeros(n)
    size_before = 0.0
    speed_before = 0.0
    careful = 0
    for count in range(1, limit + 1):
        slopes(hops, p, work, by_x, by_i, by_j)
        rate_by_p(hops, coulomb, by_x, by_i, by_j, _ROUGH, system)
        for i in range(n):
            system[i, i] -= 1.0 / dt
        step = np.linalg.solve(system, -rate)
        largest = np.max(np.abs(step))
        if not np.isfinite(largest):
            return -count
        if largest > wanted + 0.4 and dt > 1e-6:
            dt *= 0.2
            continue
        move(p, step)
        imbalance(hops, coulomb, bare, volts, p, energy, rate, current, work)
        if dt > 1e6 and (largest < SETTLED or (largest < 1e-7 and np.max(np.abs(rate)) < 1e-15)):
            return count
        size = np.sqrt(np.dot(step, step))
        turn = np.dot(step, previous) / max(size * size_before, 1e-300)
        growth = min(max(wanted / max(largest, 1e-300), 0.3), 1000.0 if wanted > CAREFUL and largest < 1e-2 else 10.0)
        if largest > 1e-7 and turn < -0.2:
            # Just past a fold the flow creeps through a bottleneck, where long steps would only jump to and fro.
            growth = min(0.1, 1e4 / dt)
            careful = 20
        elif careful > 0:
            growth = min(growth, 1.2)
            careful -= 1
        speed = size / dt
        if largest > 1e-7 and turn > 0.5 and speed > speed_before:
            # Leaving an unstable state along an eigenvector, a step of implicit Euler multiplies the speed by
            # 1/(1 - lambda dt): beyond lambda dt = 1 it would turn round and lead back, again and again.
            growth = min(growth, LEAVING / (1.0 - speed_before / speed))
        dt = min(dt * growth, 1e14)
        previous[:] = step
        size_before = size
        speed_before = speed
    return -limit
