"""Compiled equations of the mean field: balance of every site, its Jacobian, and how both are solved.

All energies are in units of kT, voltages in kT/e, rates in nu_0, currents in e nu_0, so that numbers are of order one.
With p_i the mean occupation of site i, E_i the Hartree energy and C_ij = K/(r_ij kT),

    E_i = f_i + sum_k phi_ik V_k - sum_{j != i} C_ij (1 - p_j),
    x_ij = (E_j - C_ij p_i) - (E_i - C_ij p_j)                 (a hole does not repel itself),
    J_ij = g_ij [ p_i (1 - p_j) min(1, e^-x_ij) - p_j (1 - p_i) min(1, e^x_ij) ],
    J_ik = g_ik [ p_i min(1, e^-(V_k - E_i)) - (1 - p_i) min(1, e^(V_k - E_i)) ]   (site to electrode k),
    dp_i/dt = F_i = -sum_j J_ij - sum_k J_ik,                  I_k = -sum_i J_ik   (into the device).

A reservoir always gives and always takes. So electrode k is a node like the sites, behind them, of energy V_k, C = 0,
occupation 1/2 and twice the rate: 2 g p_i (1 - 1/2) = g p_i, 2 g (1 - p_i)/2 = g (1 - p_i). What flows into that node
is -I_k. Arrays "of nodes" hold sites and electrodes.

`relax` follows dp/dt = F to a stationary state; `chord` improves one that is nearly right with a kept factorisation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnpu_models.interface.vectors import WIDTH
from dnpu_models.mean_field.inverse import inverse
from dnpu_models.mean_field.vector_fluxes import add_fluxes
from inmateria.checks import FloatArray

MAX_BRISK = 60
"""Steps of a brisk relaxation before it is done carefully; 15 are usual."""
MAX_RELAXATION = 1000
"""Steps of the relaxation before it is given up."""
SETTLED = 1e-11
"""Change of an occupation that counts as none."""

BRISK = 0.3
"""Change of an occupation that a step of the relaxation aims at, at first."""
CAREFUL = 0.15
"""... where that has not led to an end."""
LEAVING = 0.4
"""Largest growth rate of an occupation's deviation from an unstable state, times the step."""
REVERSED = -0.5
"""Cosine between two steps, below which the second leads back to the unstable state that the first was leaving."""
_ROUGH = 1e-12  # part of a hop's direct derivatives below which those by its barrier are left out while relaxing
_EXACT = 1e-18  # ... and else


class Hops(NamedTuple):
    """Possible hops, each once, in the row of a site at one of its ends.

    Rows are filled to multiples of `WIDTH` by hops of a site to itself, which move nothing.
    """

    first: NDArray[np.int64]
    """Row i begins at first[i] and ends before first[i + 1], (n_sites + 1,)."""
    to: NDArray[np.uint32]
    """The node at the other end."""
    g: FloatArray
    """Rate without the barrier's factor; of hops to an electrode, twice."""
    c: FloatArray


class Work(NamedTuple):
    """Of every hop, what `balance` leaves and `slopes` needs."""

    barrier: FloatArray
    factor: FloatArray


def rows_of(pairs: list[tuple[int, int, float, float]], leads: list[tuple[int, int, float]], sites: int) -> Hops:
    """`Hops` of pairs (i, j, g, c) of sites and leads (i, k, g) to electrodes.

    Site by site, in whose row the pairs with later sites stand is chosen so that the row is full, if that can be.
    """
    rows: list[list[tuple[int, float, float]]] = [[] for _ in range(sites)]
    for i, k, g in leads:
        rows[i].append((sites + k, 2.0 * g, 0.0))
    later: list[list[tuple[int, float, float]]] = [[] for _ in range(sites)]
    for i, j, g, c in pairs:
        later[min(i, j)].append((max(i, j), g, c))
    for i, row in enumerate(rows):
        lacking, many = -len(row) % WIDTH, len(later[i])
        own = lacking + (max(many // 2 - lacking, 0) // WIDTH) * WIDTH if lacking <= many else many
        row += later[i][:own]
        for j, g, c in later[i][own:]:
            rows[j].append((i, g, c))
        row += [(i, 0.0, 0.0)] * (-len(row) % WIDTH)
    to, g, c = (np.array(column) for column in zip(*[hop for row in rows for hop in row], strict=True))
    first = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Hops(first.astype(np.int64), to.astype(np.uint32), g.astype(float), c.astype(float))


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


@njit(inline="always")
def imbalance(hops, coulomb, bare, p, energy, rate, work):
    """Fill `rate` with what flows into each node at the occupations `p`, `energy` and `work`.

    `bare` are energies without the holes' Coulomb term.
    """
    n = coulomb.shape[0]
    energy[:] = bare
    add_product(energy[:n], coulomb, p[:n])
    rate[:] = 0.0
    add_fluxes(hops.first, hops.to, hops.g, hops.c, energy, p, rate, work.barrier, work.factor)


@njit(cache=True, nogil=True, error_model="numpy")
def balance(hops, coulomb, bare, p, energy, rate, work):
    """`imbalance`, to be called from Python."""
    imbalance(hops, coulomb, bare, p, energy, rate, work)


@njit(inline="always")
def move(p, step):
    """Add `step` to the occupations of the sites, which stay between 0 and 1."""
    for i in range(step.size):
        p[i] = min(max(p[i] + step[i], 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _slopes(hops, p, work, negligible, by_energy, by_p):
    """Derivatives of what flows into the nodes: by their energies, and by occupations at fixed energies.

    Fills (nodes, nodes) and as many rows of (rows, sites) as there are. A hop whose flux depends on its barrier less
    than by the part `negligible` of what it depends on the occupations is left out of the first.
    """
    first, to, g, c = hops
    barrier, factor = work
    rows, n = by_p.shape
    by_energy[:] = 0.0
    by_p[:] = 0.0
    for i in range(n):
        for m in range(first[i], first[i + 1]):
            j = to[m]
            uphill = barrier[m] > 0.0
            up = g[m] * (factor[m] if uphill else 1.0)
            down = g[m] * (1.0 if uphill else factor[m])
            by_x = -p[i] * (1.0 - p[j]) * up if uphill else -p[j] * (1.0 - p[i]) * down
            # x depends on p_i and p_j through c, on all others through the energies
            by_i = (1.0 - p[j]) * up + p[j] * down - by_x * c[m]
            by_j = -p[i] * up - (1.0 - p[i]) * down + by_x * c[m]
            if -by_x > negligible * min(by_i, -by_j):
                by_energy[i, i] += by_x
                by_energy[j, j] += by_x
                by_energy[i, j] -= by_x
                by_energy[j, i] -= by_x
            by_p[i, i] -= by_i
            if j < rows:
                by_p[j, i] += by_i
            if j < n:
                by_p[i, j] -= by_j
                by_p[j, j] += by_j


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _add_sparse_product(out, sparse, matrix):
    """Add sparse . matrix to `out`, whose rows may be fewer; most of `sparse` is 0."""
    n = matrix.shape[0]
    some, x = np.zeros(n + 3, np.int64), np.empty(n + 3)
    for i in range(out.shape[0]):
        count, row, here = 0, sparse[i], out[i]
        for k in range(n):
            some[count], x[count] = k, row[k]
            count += row[k] != 0.0
        x[count : count + 3] = 0.0
        some[count : count + 3] = 0
        for m in range(0, count, 4):
            a, b, c, d = x[m], x[m + 1], x[m + 2], x[m + 3]
            p, q, r, s = matrix[some[m]], matrix[some[m + 1]], matrix[some[m + 2]], matrix[some[m + 3]]
            for k in range(here.size):
                here[k] += a * p[k] + b * q[k] + c * r[k] + d * s[k]


@njit(cache=True, nogil=True, error_model="numpy")
def jacobian(hops, coulomb, phi, p, work):
    """Derivatives of the balance at the nodes' occupations `p`, from what `imbalance` left in `work`.

    Returns ``(dF/dp (n, n), dF/dV (n, k), dI/dp (k, n), dI/dV (k, k))`` for n sites and k electrodes.
    """
    n, electrodes = phi.shape
    by_energy, by_p = np.empty((n + electrodes, n + electrodes)), np.empty((n + electrodes, n))
    _slopes(hops, p, work, _EXACT, by_energy, by_p)
    _add_sparse_product(by_p, by_energy, coulomb)
    by_v = by_energy[:, n:].copy()  # electrodes' energies are their voltages
    _add_sparse_product(by_v, by_energy, phi)
    return by_p[:n].copy(), by_v[:n].copy(), (-by_p[n:]).copy(), (-by_v[n:]).copy()


@njit(cache=True, nogil=True, error_model="numpy")
def linearised(hops, coulomb, phi, p, work):
    """(dF/dp)^-1 (n, n), dp/dV (n, k) and the adjoint -(dI/dp) (dF/dp)^-1 (k, n), as `jacobian`."""
    rate_p, rate_v, current_p, _ = jacobian(hops, coulomb, phi, p, work)
    found = inverse(rate_p)
    return found, -np.dot(found, rate_v), -np.dot(current_p, found)


@njit(cache=True, nogil=True, error_model="numpy")
def relax(hops, coulomb, bare, p, rate, work, wanted, limit):
    """Follow dp/dt = F(p) from `p` to its end, by implicit Euler steps that grow as the relaxation dies.

    The steps stay short while occupations move: Newton's method alone can cycle around a kink of the rates. Leaves the
    stationary occupations of the nodes in `p`, the imbalance and minus the currents in `rate`; `bare` are energies of
    nodes without the holes' Coulomb term; `wanted` is the change of an occupation that a step aims at, `limit` the most
    steps. Returns the number of Jacobians, negative if it did not end.
    """
    n = coulomb.shape[0]
    dt = 1.0
    energy = np.empty(p.size)
    imbalance(hops, coulomb, bare, p, energy, rate, work)
    by_energy, system = np.empty((p.size, p.size)), np.empty((n, n))
    previous = np.zeros(n)
    size_before = 0.0
    speed_before = 0.0
    careful = 0
    leaving = False
    for count in range(1, limit + 1):
        _slopes(hops, p, work, _ROUGH, by_energy, system)
        _add_sparse_product(system, by_energy, coulomb)
        for i in range(n):
            system[i, i] -= 1.0 / dt
        step = np.linalg.solve(system, -rate[:n])
        largest = np.max(np.abs(step))
        if not np.isfinite(largest):
            return -count
        if largest > wanted + 0.4 and dt > 1e-6:
            dt *= 0.2
            continue
        size = np.sqrt(np.dot(step, step))
        turn = np.dot(step, previous) / max(size * size_before, 1e-300)
        if leaving and turn < REVERSED and dt > 1.0:
            # Behind a kink lambda is larger, and lambda dt beyond 1: taken, this step would lead back to the state.
            dt *= 0.3
            continue
        move(p, step)
        imbalance(hops, coulomb, bare, p, energy, rate, work)
        if dt > 1e6 and (largest < SETTLED or (largest < 1e-7 and np.max(np.abs(rate[:n])) < 1e-15)):
            return count
        growth = min(max(wanted / max(largest, 1e-300), 0.3), 1000.0 if wanted > CAREFUL and largest < 1e-2 else 10.0)
        if largest > 1e-7 and turn < -0.2:
            # Just past a fold the flow creeps through a bottleneck, where long steps would only jump to and fro.
            growth = min(0.1, 1e4 / dt)
            careful = 20
        elif careful > 0:
            growth = min(growth, 1.2)
            careful -= 1
        speed = size / dt
        leaving = largest > 1e-7 and turn > 0.5 and speed > speed_before
        if leaving:
            # Leaving an unstable state along an eigenvector, a step of implicit Euler multiplies the speed by
            # 1/(1 - lambda dt): beyond lambda dt = 1 it would turn round and lead back, again and again.
            growth = min(growth, LEAVING / (1.0 - speed_before / speed))
        dt = min(dt * growth, 1e14)
        previous[:] = step
        size_before = size
        speed_before = speed
    return -limit
