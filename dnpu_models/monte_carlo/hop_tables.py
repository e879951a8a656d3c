"""A network's hops as compiled trajectories want them: rows of sources by destination, contacts, bounds on growth.

Energies are in units of kT, rates in nu_0. Every event belongs to one *row*, which has a bound on its rate:

    near row of site j     hops into the empty site j from its 8 strongest neighbours,
    far row of site j      hops into it from all others,
    leaving row of c       the hole on contact site c leaves to an electrode,
    entering row of c      a hole enters the empty contact site c.

One event shifts all energies, x_k += d_k, with d_k = K_bk - K_ak for a hole that went from a to b. A rate
g min(1, exp(x_i - x_j + K_ij)) then grows by no more than exp(d_i - d_j), or not at all if that is below 1. So for each
event and row

    growth = exp max(0, max_i d_i - d_j)   (i over the row's sources),   exp max(0, d_c) and exp max(0, -d_c)

bounds how much the row's rate can grow, whatever the state. It is kept as a code of one byte, rounded up, see
`vector_rates.grow_bounds`.
"""

# mypy: disable-error-code="no-untyped-def, arg-type"
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnpu_models.interface.vectors import WIDTH
from dnpu_models.monte_carlo.vector_rates import BLOCKS, LANES, LARGEST_CODE
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray

GROWTH_BYTES = 1 << 29
"""Bounds on growth take a byte an event and row; above this limit there are none (about 900 sites)."""

_MARGIN = 1.0 + 1e-6  # float32 rounds a bound by 6e-8 at each growth


class HopTables(NamedTuple):
    """What does not change during a run.

    Attributes
    ----------
    sites, padded : int
        Number of sites, and the same rounded up so that at least one place is free: its index pads rows.
    leaving, entering, rows : int
        Number of the first leaving and entering row, and of all rows (rounded up).
    near, far : ndarray of int64, shapes (n_sites + 1,), (n_sites,)
        Sources of site j: vectors ``near[j]:far[j]`` and ``far[j]:near[j + 1]`` of `WIDTH` pairs each.
    source : ndarray of uint32, shape (n_pairs,)
    prefactor, pair_coulomb : ndarray, shape (n_pairs,)
        g_ij and K_ij/kT; g = 0 pads.
    back_row : ndarray of int64, shape (n_pairs,)
        Row of the reverse hop, from the pair's destination into its source.
    contact_of : ndarray of int64, shape (padded,)
        Contact number of a site, or -1.
    contact_site, contact_start : ndarray of int64, shapes (n_contacts,), (n_contacts + 1,)
    contact_electrode : ndarray of int64, shape (n_leads,)
    contact_rate : ndarray, shape (n_leads,)
    coulomb : ndarray, shape (n_sites, padded)
        K_ij/kT, zero on the diagonal.
    cap : ndarray of float32, shape (rows,)
        The sum of a row's prefactors: no rate is larger.
    growth : ndarray of uint8, shape (n_pairs + 2 n_sites, rows) or (0, rows)
        Codes by event: pairs, then holes that enter a site, then holes that leave it.
    """

    sites: int
    padded: int
    leaving: int
    entering: int
    rows: int
    near: NDArray[np.int64]
    far: NDArray[np.int64]
    source: NDArray[np.uint32]
    prefactor: FloatArray
    pair_coulomb: FloatArray
    back_row: NDArray[np.int64]
    contact_of: NDArray[np.int64]
    contact_site: NDArray[np.int64]
    contact_start: NDArray[np.int64]
    contact_electrode: NDArray[np.int64]
    contact_rate: FloatArray
    coulomb: FloatArray
    cap: NDArray[np.float32]
    growth: NDArray[np.uint8]


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def hop_tables(network: DopantNetwork, *, growth: bool = True) -> HopTables:
    """Tables of a network; without bounds on growth if they would be too large, or are not wanted."""
    n, padded = network.n_sites, _up(network.n_sites + 1, LANES)
    rates = network.hop_prefactors_Hz / network.attempt_rate_Hz
    coulomb = np.zeros((n, padded))
    coulomb[:, :n] = network.coulomb_eV / network.thermal_energy_eV
    near, far = np.zeros(n + 1, dtype=np.int64), np.zeros(n, dtype=np.int64)
    sources: list[NDArray[Any]] = []
    for j in range(n):
        neighbours = np.nonzero(rates[j])[0]
        neighbours = neighbours[np.argsort(-rates[j, neighbours], kind="stable")]
        vectors = _up(len(neighbours), WIDTH) // WIDTH
        sources.append(np.concatenate([neighbours, np.full(vectors * WIDTH - len(neighbours), n)]))
        near[j + 1] = near[j] + vectors
        far[j] = min(near[j] + 1, near[j + 1])
    source = np.concatenate(sources).astype(np.int64)
    destination = np.repeat(np.arange(n), np.diff(near) * WIDTH)
    real = source < n
    prefactor, pair_coulomb = np.zeros(len(source)), np.zeros(len(source))
    prefactor[real] = rates[destination[real], source[real]]
    pair_coulomb[real] = coulomb[destination[real], source[real]]
    place = np.full((n, n + 1), -1)
    place[destination[real], source[real]] = np.nonzero(real)[0]
    back = np.where(real, place[np.minimum(source, n - 1), destination], 0)
    in_near = back < far[np.minimum(source, n - 1)] * WIDTH
    back_row = np.where(real, np.where(in_near, source, padded + source), n)  # row n is free: it belongs to no site
    leads = network.electrode_prefactors_Hz / network.attempt_rate_Hz
    contact_site = np.nonzero((leads > 0).any(axis=1))[0]
    site, electrode = np.nonzero(leads)
    contact_of = np.full(padded, -1, dtype=np.int64)
    contact_of[contact_site] = np.arange(len(contact_site))
    contact_start = np.searchsorted(contact_of[site], np.arange(len(contact_site) + 1)).astype(np.int64)
    leaving = 2 * padded
    entering = leaving + _up(max(len(contact_site), 1), LANES)
    rows = _up(entering + (entering - leaving), LANES * BLOCKS)
    cap = np.zeros(rows)
    for j in range(n):
        cap[j] = prefactor[near[j] * WIDTH : far[j] * WIDTH].sum()
        cap[padded + j] = prefactor[far[j] * WIDTH : near[j + 1] * WIDTH].sum()
    for c, k in enumerate(contact_site):
        cap[leaving + c] = cap[entering + c] = leads[k].sum()
    tables = HopTables(
        sites=n,
        padded=padded,
        leaving=leaving,
        entering=entering,
        rows=rows,
        near=near,
        far=far,
        source=source.astype(np.uint32),
        prefactor=prefactor,
        pair_coulomb=pair_coulomb,
        back_row=back_row.astype(np.int64),
        contact_of=contact_of,
        contact_site=contact_site.astype(np.int64),
        contact_start=contact_start,
        contact_electrode=electrode.astype(np.int64),
        contact_rate=leads[site, electrode],
        coulomb=coulomb,
        cap=(cap * _MARGIN).astype(np.float32),
        growth=np.zeros((0, rows), dtype=np.uint8),
    )
    events = len(source) + 2 * n
    if not growth or events * rows > GROWTH_BYTES:
        return tables
    codes = np.zeros((events, rows), dtype=np.uint8)
    _fill_growth(tables, destination, codes)
    return tables._replace(growth=codes)


@njit(cache=True)
def _code(exponent):
    """Code of exp(exponent), rounded up, with a margin; beyond 1.8e6 the largest one, see `row_kernel.FLOOR`."""
    if not exponent > 0.0:
        return np.uint8(0)
    value = np.exp(min(exponent, 45.0)) * _MARGIN - 1.0 + 2.0**-11
    high = 0
    while value * 2.0 ** (11 - high) >= 2.0:
        high += 1
    low = np.int64(np.ceil((value * 2.0 ** (11 - high) - 1.0) * 8.0))  # 8 carries over
    return np.uint8(min(8 * high + low, LARGEST_CODE))


@njit(cache=True)
def _fill_growth(tables, destination, codes):
    pairs = tables.source.size
    n = tables.sites
    shift = np.zeros(n)
    for event in range(codes.shape[0]):
        if event < pairs:
            source = np.int64(tables.source[event])
            if source >= n:
                continue
            for k in range(n):
                shift[k] = tables.coulomb[destination[event], k] - tables.coulomb[source, k]
        elif event < pairs + n:
            for k in range(n):
                shift[k] = tables.coulomb[event - pairs, k]
        else:
            for k in range(n):
                shift[k] = -tables.coulomb[event - pairs - n, k]
        for j in range(n):
            for row in range(2):
                first = tables.near[j] if row == 0 else tables.far[j]
                last = tables.far[j] if row == 0 else tables.near[j + 1]
                most = 0.0
                for p in range(first * WIDTH, last * WIDTH):
                    if tables.source[p] < n:
                        most = max(most, shift[np.int64(tables.source[p])] - shift[j])
                codes[event, row * tables.padded + j] = _code(most)
        for c in range(tables.contact_site.size):
            moved = shift[tables.contact_site[c]]
            codes[event, tables.leaving + c] = _code(max(0.0, moved))
            codes[event, tables.entering + c] = _code(max(0.0, -moved))
