"""Compiled trajectories of the hopping model: state, rates and the direct method of Gillespie.

All energies are in units of kT, all rates in units of nu_0. With x_k the energy of a hole on site k and K_ij
the Coulomb energy of a pair, a hole on i hops to an empty j at the rate

    g_ij min(1, exp(-(x_j - x_i - K_ij))),   g_ij = exp(-2 r_ij/a),

and between a site and an electrode of energy v at g min(1, exp(-dE)) with dE = v - x or x - v. One hop
changes all energies: x_k += K_jk - K_ik. They are kept by addition, and computed from scratch every `RENEW`
hops and at the start of every run. Each addition errs by at most 2^-52 |x|: below 2e-8 kT for energies of
1000 kT even if all errors had one sign, 1e-10 kT as a random walk.

Most of the time goes into summing the rates of pairs. Where all energies lie within `FACTORED_SPAN` of each
other, the sum is taken over min(g, g exp(K_ij) exp(-x_j) exp(x_i)), one exponential a site instead of one a
pair; a wider span would overflow. Both ways are the same to 1e-12; the caller decides.

Method: D. T. Gillespie, J. Phys. Chem. 81, 2340 (1977); A. B. Bortz, M. H. Kalos and J. L. Lebowitz, J.
Comput. Phys. 17, 10 (1975). Random numbers: xoshiro256++ (D. Blackman and S. Vigna, ACM Trans. Math. Softw.
47, 36, 2021), four uint64 words.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnpu_models.geometry import FloatArray

RENEW = 1 << 16
FACTORED_SPAN = 650.0

_SUM = {"reassoc", "contract", "nsz"}  # sums may be reordered; infinities and NaN keep their meaning
_LOG2_E = 1.4426950408889634
_LN_2_HIGH = 6.93147180369123816490e-01  # ln 2 = high + low, and n * high is exact (as in fdlibm)
_LN_2_LOW = 1.90821492927058770002e-10
_LARGEST = 745.2  # exp(-745.2) is 0 in double precision
_HALVES = np.append(np.exp2(-np.arange(1075.0)), 0.0)


class Tables(NamedTuple):
    """What does not change during a run: neighbours by destination, electrodes by site, Coulomb matrix.

    Indices are unsigned: with signed ones Numba tests for negative values, and sums take four times as long.
    """

    pair_start: NDArray[np.uint64]  # (n_sites + 1,): destination j has pairs pair_start[j]:pair_start[j + 1]
    pair_source: NDArray[np.uint64]  # (n_pairs,): source i
    pair_rate: FloatArray  # (n_pairs,): g_ij
    pair_coulomb: FloatArray  # (n_pairs,): K_ij/kT
    pair_factor: FloatArray  # (n_pairs,): g_ij exp(K_ij/kT), used if factored
    contact_start: NDArray[np.uint64]  # (n_sites + 1,)
    contact_site: NDArray[np.uint64]  # (n_contacts,)
    contact_electrode: NDArray[np.uint64]  # (n_contacts,)
    contact_rate: FloatArray  # (n_contacts,): g
    coulomb: FloatArray  # (n_sites, n_sites): K_ij/kT, zero diagonal


@njit(cache=True)
def next_word(words):
    """Next 64 random bits of xoshiro256++; `words` (4,) uint64 advances."""
    total = words[0] + words[3]
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + words[0]
    shifted = words[1] << np.uint64(17)
    words[2] ^= words[0]
    words[3] ^= words[1]
    words[1] ^= words[2]
    words[0] ^= words[3]
    words[2] ^= shifted
    words[3] = (words[3] << np.uint64(45)) | (words[3] >> np.uint64(19))
    return result


@njit(cache=True)
def uniform(words):
    """Uniform number in [0, 1) with 53 random bits."""
    return np.float64(next_word(words) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def renew_energies(tables, base, occupied, x):
    """Fill `x` with the site energies from scratch: base_k - sum over empty j of K_jk."""
    for k in range(x.size):
        x[k] = base[k]
    for j in range(x.size):
        if occupied[j] == 0:
            for k in range(x.size):
                x[k] -= tables.coulomb[j, k]


@njit(cache=True, fastmath={"contract"})
def boltzmann(barrier):
    """min(1, exp(-barrier)), to 3e-16, without a branch, so that loops over it run in vector registers.

    exp(-b) = 2^-n exp(-r) with |r| <= ln(2)/2, exp(-r) by its Taylor series to r^13; exactly 1 for barrier <=
    0.
    """
    b = min(max(barrier, 0.0), _LARGEST)
    n = np.int32(b * _LOG2_E + 0.5)
    r = (b - n * _LN_2_HIGH) - n * _LN_2_LOW
    p = 1 / 479001600 - r * (1 / 6227020800)
    p = 1 / 39916800 - r * p
    p = 1 / 3628800 - r * p
    p = 1 / 362880 - r * p
    p = 1 / 40320 - r * p
    p = 1 / 5040 - r * p
    p = 1 / 720 - r * p
    p = 1 / 120 - r * p
    p = 1 / 24 - r * p
    p = 1 / 6 - r * p
    p = 0.5 - r * p
    p = 1.0 - r * p
    p = 1.0 - r * p
    return p * _HALVES[np.uint64(n)]


@njit(cache=True)
def pair_hop_rate(tables, p, j, x):
    """Rate of pair number p, from the (occupied) source into the (empty) site j, in nu_0."""
    return tables.pair_rate[p] * boltzmann(x[j] - x[tables.pair_source[p]] - tables.pair_coulomb[p])


@njit(cache=True, fastmath=_SUM)
def _sum_pairs(first, last, source, rate, coulomb, present, x, own):
    # Rates of the pairs first:last into one empty site of energy `own`; the same as pair_hop_rate, in vector
    # form.
    total = 0.0
    for p in range(first, last):
        i = source[p]
        total += present[i] * (rate[p] * boltzmann(own - x[i] - coulomb[p]))
    return total


@njit(cache=True, fastmath=_SUM)
def _sum_factored(first, last, source, rate, factor, into, out):
    # The same from exp(-x) of the empty site and exp(x) of the sources, 0 for an empty source.
    total = 0.0
    for p in range(first, last):
        total += min(rate[p], factor[p] * into * out[source[p]])
    return total


@njit(cache=True)
def _contact_rates(site, electrode, rate, present, x, v, out):
    # Rates of all contacts, in two plain loops: only those are turned into vector instructions.
    for c in range(out.size):
        k = site[c]
        into_electrode = v[electrode[c]] - x[k]
        out[c] = into_electrode if present[k] != 0.0 else -into_electrode
    for c in range(out.size):
        out[c] = rate[c] * boltzmann(out[c])


@njit(cache=True)
def sum_rates(tables, factored, present, x, v, out, contacts, rows):
    """Sum the rates of all events by site into `rows` and return the total; `contacts` keeps each contact's.

    The events of an empty site: a hole comes from a neighbour or an electrode. Those of an occupied site: its
    hole leaves to an electrode (hops to other sites are counted where they arrive). `out` (n_sites,) is
    scratch.
    """
    start, source, rate = tables.pair_start, tables.pair_source, tables.pair_rate
    coulomb, factor, contact_start = tables.pair_coulomb, tables.pair_factor, tables.contact_start
    _contact_rates(tables.contact_site, tables.contact_electrode, tables.contact_rate, present, x, v, contacts)
    if factored:
        for k in range(x.size):
            out[k] = np.exp(x[k]) if present[k] != 0.0 else 0.0
    total = 0.0
    for k in range(x.size):
        row = 0.0
        for c in range(contact_start[k], contact_start[k + 1]):
            row += contacts[c]
        if present[k] == 0.0:
            if factored:
                row += _sum_factored(start[k], start[k + 1], source, rate, factor, np.exp(-x[k]), out)
            else:
                row += _sum_pairs(start[k], start[k + 1], source, rate, coulomb, present, x, x[k])
        rows[k] = row
        total += row
    return total


@njit(cache=True)
def choose(tables, present, x, contacts, rows, target):
    """Event at `target` in [0, total) along all rates: (site, pair or -1, contact or -1).

    Where rounding leaves `target` beyond the last event, the last event that can happen is taken.
    """
    site = -1
    for k in range(x.size):
        if rows[k] > 0.0:
            site = k
            if target < rows[k]:
                break
            target -= rows[k]
    pair = np.int64(-1)
    contact = np.int64(-1)
    if present[site] == 0.0:
        for p in range(tables.pair_start[site], tables.pair_start[site + 1]):
            if present[tables.pair_source[p]] != 0.0:
                rate = pair_hop_rate(tables, p, site, x)
                if rate > 0.0:
                    pair = np.int64(p)
                    if target < rate:
                        return site, pair, contact
                    target -= rate
    for c in range(tables.contact_start[site], tables.contact_start[site + 1]):
        rate = contacts[c]
        if rate > 0.0:
            pair = np.int64(-1)
            contact = np.int64(c)
            if target < rate:
                return site, pair, contact
            target -= rate
    return site, pair, contact


@njit(cache=True)
def run_hops(tables, base, v, factored, occupied, words, hops, random_times, charge, held):
    """Follow one trajectory for `hops` hops.

    Parameters
    ----------
    tables : Tables
    base : ndarray (n_sites,)
        Site energies with every acceptor occupied, electrodes included, in kT.
    v : ndarray (n_electrodes,)
        Electrode energies, in kT, from the same zero.
    factored : bool
        Whether energies lie close enough for the faster sums; see the module's docstring. They have to be
        centred on 0.
    occupied : ndarray (n_sites,) of uint8
        State; advances.
    words : ndarray (4,) of uint64
        State of the random generator; advances.
    hops : int
    random_times : bool
        Draw exponential waiting times (a trajectory in time), or add their means, given the states passed:
        the same expectation with less scatter, and the same law of the sequence of states.
    charge : ndarray (n_electrodes,) of int64
        Holes that came in through each electrode less those that left; added to.
    held : ndarray (n_sites,)
        Time in 1/nu_0 for which each site held a hole; added to.

    Returns
    -------
    (int, float)
        Hops made (fewer than `hops` if no event was possible any more) and the time passed in 1/nu_0.
    """
    n = occupied.size
    x = np.empty(n)
    rows = np.empty(n)
    out = np.empty(n)
    contacts = np.empty(tables.contact_rate.size)
    since = np.zeros(n)
    present = occupied.astype(np.float64)
    time = 0.0
    made = 0
    while made < hops:
        if made % RENEW == 0:
            for k in range(n):
                occupied[k] = np.uint8(present[k])
            renew_energies(tables, base, occupied, x)
        total = sum_rates(tables, factored, present, x, v, out, contacts, rows)
        if not total > 0.0:
            break
        waited = 1.0 / total
        if random_times:
            waited *= -np.log1p(-uniform(words))
        time += waited
        site, pair, contact = choose(tables, present, x, contacts, rows, uniform(words) * total)
        row = tables.coulomb[site]
        if pair >= 0:
            source = tables.pair_source[pair]
            source_row = tables.coulomb[source]
            present[source] = 0.0
            present[site] = 1.0
            held[source] += time - since[source]
            since[site] = time
            for k in range(n):
                x[k] += row[k] - source_row[k]
        elif present[site] != 0.0:
            present[site] = 0.0
            charge[tables.contact_electrode[contact]] -= 1
            held[site] += time - since[site]
            for k in range(n):
                x[k] -= row[k]
        else:
            present[site] = 1.0
            charge[tables.contact_electrode[contact]] += 1
            since[site] = time
            for k in range(n):
                x[k] += row[k]
        made += 1
    for k in range(n):
        occupied[k] = np.uint8(present[k])
        if occupied[k]:
            held[k] += time - since[k]
    return made, time


@njit(cache=True)
def all_rates(tables, base, v, factored, occupied):
    """Rates of all events, [from, to], electrodes after sites, in nu_0; and their total by `sum_rates`.

    For checks: the same functions as in `run_hops`, one event at a time.
    """
    n = occupied.size
    x = np.empty(n)
    rows = np.empty(n)
    out = np.empty(n)
    contacts = np.empty(tables.contact_rate.size)
    present = occupied.astype(np.float64)
    renew_energies(tables, base, occupied, x)
    total = sum_rates(tables, factored, present, x, v, out, contacts, rows)
    rates = np.zeros((n + v.size, n + v.size))
    for k in range(n):
        holds = occupied[k] != 0
        if not holds:
            for p in range(tables.pair_start[k], tables.pair_start[k + 1]):
                if occupied[tables.pair_source[p]]:
                    rates[tables.pair_source[p], k] = pair_hop_rate(tables, p, k, x)
        for c in range(tables.contact_start[k], tables.contact_start[k + 1]):
            e = n + np.int64(tables.contact_electrode[c])
            if holds:
                rates[k, e] = contacts[c]
            else:
                rates[e, k] = contacts[c]
    return rates, total
