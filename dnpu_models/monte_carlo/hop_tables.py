"""A network's hops as compiled trajectories want them: rows of eight events, bounds on their growth.

Energies are in units of kT, rates in nu_0. A *place* is a site, or an electrode, whose number follows the sites'.
Every event belongs to one *row* of eight, one vector, which has a bound on its rate:

    rows of site j         hops into the empty site j from its neighbours, the strongest first,
    leaving row of c       the hole on contact site c leaves to an electrode,
    entering row of c      a hole enters the empty contact site c.

A row has a site k and a sign s, and its events' rates are   g min(1, exp(-s (x_k - x_i) + K_ki))   with the energies x
of the site and of the other place; s = 1 where holes come into the site, -1 where they leave it.

One event shifts all energies, x_k += d_k, with d_k = K_bk - K_ak for a hole that went from a to b (K = 0 at
electrodes). A rate then grows by no more than exp(s (d_i - d_k)), or not at all if that is below 1. So for each event
and row

    growth = exp max(0, max_i s (d_i - d_k))   (i over the row's other places)

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
"""Bounds on growth take a byte an event and row; above this limit there are none (about 750 sites)."""
EMPTY = 131072.0
"""Energies of empty sites are lowered by this: an empty source then gives the rate exp(-700) = 0."""

_MARGIN = 1.0 + 1e-6  # float32 rounds a bound by 6e-8 at each growth


class HopTables(NamedTuple):
    """What does not change during a run.

    Attributes
    ----------
    sites, padded : int
        Number of sites, and of places, rounded up so that at least one is free: the last pads rows.
    site_rows, rows : int
        Number of the sites' rows, and of all (rounded up). Behind the sites' rows each contact has two, leaving and
        entering. The last two are free.
    first_row : ndarray of int64, shape (n_sites + 1,)
        Site j has the rows ``first_row[j]:first_row[j + 1]``.
    contact_row : ndarray of int64, shape (n_sites,)
        A contact site's leaving row, before its entering row; the free ones of other sites.
    row_site : ndarray of int64, shape (rows,)
    row_sign, row_lift : ndarray, shape (rows,)
        s, and what is to be added to the energy of the row's site: `EMPTY` if it is empty before the row's events.
    source : ndarray of uint32, shape (8 rows,)
        The other place of each event.
    prefactor, pair_coulomb : ndarray, shape (8 rows,)
        g and K/kT; g = 0 pads.
    back_row : ndarray of int64, shape (8 site_rows,)
        Row of the reverse hop, from the pair's destination into its source.
    contact_site, contact_start : ndarray of int64, shapes (n_contacts,), (n_contacts + 1,)
    contact_electrode : ndarray of int64, shape (n_leads,)
    contact_rate : ndarray, shape (n_leads,)
        The same leads by contact.
    coulomb : ndarray, shape (n_sites + 1, padded)
        K_ij/kT, zero on the diagonal, at electrodes and in the last row, which stands for them.
    cap : ndarray of float32, shape (rows,)
        The sum of a row's prefactors: no rate is larger.
    growth : ndarray of uint8, shape (n_pairs + 2 n_contacts, rows) or (0, rows)
        Codes by event: the sites' pairs, then one for each row of a contact.
    """

    sites: int
    padded: int
    site_rows: int
    rows: int
    first_row: NDArray[np.int64]
    contact_row: NDArray[np.int64]
    row_site: NDArray[np.int64]
    row_sign: FloatArray
    row_lift: FloatArray
    source: NDArray[np.uint32]
    prefactor: FloatArray
    pair_coulomb: FloatArray
    back_row: NDArray[np.int64]
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
    n, padded = network.n_sites, _up(network.n_sites + network.n_electrodes + 1, LANES)
    rates = network.hop_prefactors_Hz / network.attempt_rate_Hz
    leads = network.electrode_prefactors_Hz / network.attempt_rate_Hz
    coulomb = np.zeros((n + 1, padded))
    coulomb[:n, :n] = network.coulomb_eV / network.thermal_energy_eV
    first_row = np.zeros(n + 1, dtype=np.int64)
    first_row[1:] = np.cumsum(-(-(rates > 0).sum(axis=1) // WIDTH))
    site_rows = int(first_row[n])
    contact_site = np.nonzero((leads > 0).any(axis=1))[0]
    free = site_rows + 2 * len(contact_site)
    rows = _up(free + 2, LANES * BLOCKS)
    free = rows - 2
    contact_row = np.full(n, free, dtype=np.int64)
    contact_row[contact_site] = site_rows + 2 * np.arange(len(contact_site))
    row_site = np.full(rows, padded - 1, dtype=np.int64)
    row_site[:site_rows] = np.repeat(np.arange(n), np.diff(first_row))
    row_site[site_rows : site_rows + 2 * len(contact_site)] = np.repeat(contact_site, 2)
    row_sign = np.ones(rows)
    row_sign[site_rows : site_rows + 2 * len(contact_site) : 2] = -1.0
    source = np.full((rows, WIDTH), padded - 1, dtype=np.int64)
    prefactor, pair_coulomb = np.zeros((rows, WIDTH)), np.zeros((rows, WIDTH))
    back_row = np.full((site_rows, WIDTH), free, dtype=np.int64)
    row_of = np.full((n, n), free, dtype=np.int64)  # of the hop into a site from another

    def fill(row: int, others: NDArray[Any], strengths: FloatArray) -> None:
        source.reshape(-1)[row * WIDTH : row * WIDTH + len(others)] = others
        prefactor.reshape(-1)[row * WIDTH : row * WIDTH + len(others)] = strengths

    for j in range(n):
        neighbours = np.nonzero(rates[j])[0]
        neighbours = neighbours[np.argsort(-rates[j, neighbours], kind="stable")]
        fill(int(first_row[j]), neighbours, rates[j, neighbours])
        row_of[j, neighbours] = first_row[j] + np.arange(len(neighbours)) // WIDTH
    real = source[:site_rows] < n
    others, own = source[:site_rows][real], np.broadcast_to(row_site[:site_rows, None], real.shape)[real]
    pair_coulomb[:site_rows][real] = coulomb[own, others]
    back_row[real] = row_of[others, own]
    for c, k in enumerate(contact_site):
        electrodes = np.nonzero(leads[k])[0]
        for row in (site_rows + 2 * c, site_rows + 2 * c + 1):
            fill(row, n + electrodes, leads[k, electrodes])
    site, electrode = np.nonzero(leads)
    tables = HopTables(
        sites=n,
        padded=padded,
        site_rows=site_rows,
        rows=rows,
        first_row=first_row,
        contact_row=contact_row,
        row_site=row_site,
        row_sign=row_sign,
        row_lift=np.where(row_sign > 0, EMPTY, 0.0),
        source=source.astype(np.uint32).ravel(),
        prefactor=prefactor.ravel(),
        pair_coulomb=pair_coulomb.ravel(),
        back_row=back_row.ravel(),
        contact_site=contact_site.astype(np.int64),
        contact_start=np.searchsorted(site, np.append(contact_site, n)).astype(np.int64),
        contact_electrode=electrode.astype(np.int64),
        contact_rate=leads[site, electrode],
        coulomb=coulomb,
        cap=(prefactor.sum(axis=1) * _MARGIN).astype(np.float32),
        growth=np.zeros((0, rows), dtype=np.uint8),
    )
    events = WIDTH * site_rows + 2 * len(contact_site)
    if not growth or events * rows > GROWTH_BYTES:
        return tables
    codes = np.zeros((events, rows), dtype=np.uint8)
    _fill_growth(tables, codes)
    return tables._replace(growth=codes)


@njit(cache=True)
def code_of(exponent):
    """Code of exp(exponent), rounded up, with a margin; see `vector_rates.grow_bounds`, and `row_kernel.FLOOR`."""
    if not exponent > 0.0:
        return np.uint8(0)
    value = max(np.exp(min(exponent, 45.0)) * _MARGIN - 1.0, 2.0**-14)
    high = 1
    while value * 2.0 ** (15 - high) >= 2.0:
        high += 1
    low = np.int64(np.ceil((value * 2.0 ** (15 - high) - 1.0) * 8.0))  # 8 carries over
    return np.uint8(min(8 * high + low, LARGEST_CODE))


@njit(cache=True)
def _fill_growth(tables, codes):
    t = tables
    used = t.site_rows + 2 * t.contact_site.size
    shift = np.zeros(t.padded)
    for event in range(codes.shape[0]):
        pair = event < WIDTH * t.site_rows
        row = event // WIDTH if pair else t.site_rows + event - WIDTH * t.site_rows
        other = np.int64(t.source[event]) if pair else t.padded - 1
        if pair and other >= t.sites:
            continue  # pads
        into, out_of = t.row_site[row], min(other, t.sites)
        for k in range(t.sites):
            shift[k] = t.row_sign[row] * (t.coulomb[into, k] - t.coulomb[out_of, k])
        for other_row in range(used):
            most, moved = 0.0, shift[t.row_site[other_row]]
            for p in range(other_row * WIDTH, (other_row + 1) * WIDTH):
                if t.prefactor[p] > 0.0:
                    most = max(most, t.row_sign[other_row] * (shift[np.int64(t.source[p])] - moved))
            codes[event, other_row] = code_of(most)
