"""Compiled trajectories of the hopping model: state, rates and the direct method of Gillespie.

All energies are in units of kT, all rates in units of nu_0. With x_k the energy of a hole on site k and K_ij the
Coulomb energy of a pair, a hole on i hops to an empty j at the rate

    g_ij min(1, exp(-(x_j - x_i - K_ij))),   g_ij = exp(-2 r_ij/a),

and between a site and an electrode of energy v at g min(1, exp(-dE)) with dE = v - x or x - v. One hop changes all
energies: x_k += K_jk - K_ik. They are kept by addition, and computed from scratch every `RENEW` hops, so that rounding
stays below 1e-9 kT.

Rates come in two ways with one result. `factored` computes exp(-x) of empty and exp(x) of occupied sites, one
exponential a site, and multiplies: rate = min(g, g exp(K_ij) exp(-x_j) exp(x_i)). It would overflow where energies span
more than about 650 kT; there each pair gets its own exponential. The caller chooses by the bound `FACTORED_SPAN`.

Method: D. T. Gillespie, J. Phys. Chem. 81, 2340 (1977); A. B. Bortz, M. H. Kalos and J. L. Lebowitz, J. Comput. Phys.
17, 10 (1975). Random numbers: xoshiro256++ (D. Blackman and S. Vigna, ACM TOMS 47, 36, 2021), four uint64 words.
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


class Tables(NamedTuple):
    """What does not change during a run: neighbours by destination, electrodes by site, Coulomb matrix.

    Indices are unsigned: with signed ones Numba tests for negative values, and sums take four times as long.
    """

    pair_start: NDArray[np.uint64]  # (n_sites + 1,): destination j has pairs pair_start[j]:pair_start[j + 1]
    pair_source: NDArray[np.uint64]  # (n_pairs,): source i
    pair_rate: FloatArray  # (n_pairs,): g_ij
    pair_coulomb: FloatArray  # (n_pairs,): K_ij/kT
    pair_factor: FloatArray  # (n_pairs,): g_ij exp(K_ij/kT), used when factored
    contact_start: NDArray[np.uint64]  # (n_sites + 1,)
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


@njit(cache=True)
def barrier_rate(g, barrier):
    """Rate over a barrier given in kT."""
    return g * np.exp(-barrier) if barrier > 0.0 else g


@njit(cache=True)
def pair_hop_rate(tables, factored, p, j, x, boltzmann):
    """Rate of pair number p, from the (occupied) source into the (empty) site j, in nu_0."""
    i = tables.pair_source[p]
    g = tables.pair_rate[p]
    if factored:
        return min(g, tables.pair_factor[p] * boltzmann[0, j] * boltzmann[1, i])
    return barrier_rate(g, x[j] - x[i] - tables.pair_coulomb[p])


@njit(cache=True)
def contact_hop_rate(tables, factored, c, k, holds, x, v, boltzmann, boltzmann_v):
    """Rate of contact number c: out of site k if it `holds` a hole, into it otherwise, in nu_0."""
    e = tables.contact_electrode[c]
    g = tables.contact_rate[c]
    if factored:
        if holds:
            return min(g, g * boltzmann[1, k] * boltzmann_v[0, e])
        return min(g, g * boltzmann[0, k] * boltzmann_v[1, e])
    return barrier_rate(g, v[e] - x[k] if holds else x[k] - v[e])


@njit(cache=True, fastmath=_SUM)
def _sum_factored(first, last, partner, rate, factor, own, other):
    # Sum of min(rate, factor * own * other) over entries first:last. An empty source has other = 0: no test is needed.
    total = 0.0
    for p in range(first, last):
        total += min(rate[p], factor[p] * own * other[partner[p]])
    return total


@njit(cache=True)
def _sum_pairs(first, last, source, rate, coulomb, occupied, x, own):
    total = 0.0
    for p in range(first, last):
        i = source[p]
        if occupied[i]:
            total += barrier_rate(rate[p], own - x[i] - coulomb[p])
    return total


@njit(cache=True)
def _sum_contacts(first, last, electrode, rate, v, sign, own):
    total = 0.0
    for c in range(first, last):
        total += barrier_rate(rate[c], sign * (own - v[electrode[c]]))
    return total


@njit(cache=True)
def sum_rates(tables, factored, occupied, x, v, boltzmann, boltzmann_v, rows):
    """Sum the rates of all events by site into `rows`; return the total. Event rates themselves are not kept.

    The events of an empty site: a hole comes from a neighbour or an electrode. Those of an occupied site: its hole
    leaves to an electrode (hops to other sites are counted where they arrive).
    """
    start, source, rate = tables.pair_start, tables.pair_source, tables.pair_rate
    coulomb, factor = tables.pair_coulomb, tables.pair_factor
    starts, electrode, rates = tables.contact_start, tables.contact_electrode, tables.contact_rate
    total = 0.0
    if factored:
        into, out = boltzmann[0], boltzmann[1]
        v_into, v_out = boltzmann_v[0], boltzmann_v[1]
        for k in range(x.size):
            if occupied[k]:
                into[k] = 0.0
                out[k] = np.exp(x[k])
            else:
                into[k] = np.exp(-x[k])
                out[k] = 0.0
        for k in range(x.size):
            if occupied[k]:
                row = _sum_factored(starts[k], starts[k + 1], electrode, rates, rates, out[k], v_into)
            else:
                row = _sum_factored(start[k], start[k + 1], source, rate, factor, into[k], out)
                row += _sum_factored(starts[k], starts[k + 1], electrode, rates, rates, into[k], v_out)
            rows[k] = row
            total += row
    else:
        for k in range(x.size):
            if occupied[k]:
                row = _sum_contacts(starts[k], starts[k + 1], electrode, rates, v, -1.0, x[k])
            else:
                row = _sum_pairs(start[k], start[k + 1], source, rate, coulomb, occupied, x, x[k])
                row += _sum_contacts(starts[k], starts[k + 1], electrode, rates, v, 1.0, x[k])
            rows[k] = row
            total += row
    return total


@njit(cache=True)
def choose(tables, factored, occupied, x, v, boltzmann, boltzmann_v, rows, target):
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
    pair = -1
    contact = -1
    if occupied[site] == 0:
        for p in range(tables.pair_start[site], tables.pair_start[site + 1]):
            if occupied[tables.pair_source[p]]:
                rate = pair_hop_rate(tables, factored, p, site, x, boltzmann)
                if rate > 0.0:
                    pair = np.int64(p)
                    if target < rate:
                        return site, pair, contact
                    target -= rate
    holds = occupied[site] != 0
    for c in range(tables.contact_start[site], tables.contact_start[site + 1]):
        rate = contact_hop_rate(tables, factored, c, site, holds, x, v, boltzmann, boltzmann_v)
        if rate > 0.0:
            pair = -1
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
        See the module's docstring.
    occupied : ndarray (n_sites,) of uint8
        State; advances.
    words : ndarray (4,) of uint64
        State of the random generator; advances.
    hops : int
    random_times : bool
        Draw exponential waiting times (an exact trajectory in time), or add their means, given the states passed: the
        same expectation with less scatter, and the same sequence of states in law.
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
    boltzmann = np.zeros((2, n))
    boltzmann_v = np.zeros((2, v.size))
    rows = np.empty(n)
    since = np.zeros(n)
    if factored:
        for e in range(v.size):
            boltzmann_v[0, e] = np.exp(-v[e])
            boltzmann_v[1, e] = np.exp(v[e])
    time = 0.0
    made = 0
    while made < hops:
        if made % RENEW == 0:
            renew_energies(tables, base, occupied, x)
        total = sum_rates(tables, factored, occupied, x, v, boltzmann, boltzmann_v, rows)
        if not total > 0.0:
            break
        waited = 1.0 / total
        if random_times:
            waited *= -np.log1p(-uniform(words))
        time += waited
        site, pair, contact = choose(
            tables, factored, occupied, x, v, boltzmann, boltzmann_v, rows, uniform(words) * total
        )
        if pair >= 0:
            source = tables.pair_source[pair]
            occupied[source] = 0
            occupied[site] = 1
            held[source] += time - since[source]
            since[site] = time
            row, row_out = tables.coulomb[site], tables.coulomb[source]
            for k in range(n):
                x[k] += row[k] - row_out[k]
        else:
            electrode = tables.contact_electrode[contact]
            row = tables.coulomb[site]
            if occupied[site]:
                occupied[site] = 0
                charge[electrode] -= 1
                held[site] += time - since[site]
                for k in range(n):
                    x[k] -= row[k]
            else:
                occupied[site] = 1
                charge[electrode] += 1
                since[site] = time
                for k in range(n):
                    x[k] += row[k]
        made += 1
    for k in range(n):
        if occupied[k]:
            held[k] += time - since[k]
    return made, time


@njit(cache=True)
def all_rates(tables, base, v, factored, occupied):
    """Rates of all events as a matrix (n_sites + n_electrodes, same), [from, to], in nu_0; and their total as summed.

    For checks: the same functions as in `run_hops`, one event at a time.
    """
    n = occupied.size
    x = np.empty(n)
    boltzmann = np.zeros((2, n))
    boltzmann_v = np.zeros((2, v.size))
    rows = np.empty(n)
    if factored:
        for e in range(v.size):
            boltzmann_v[0, e] = np.exp(-v[e])
            boltzmann_v[1, e] = np.exp(v[e])
    renew_energies(tables, base, occupied, x)
    total = sum_rates(tables, factored, occupied, x, v, boltzmann, boltzmann_v, rows)
    rates = np.zeros((n + v.size, n + v.size))
    for k in range(n):
        holds = occupied[k] != 0
        if not holds:
            for p in range(tables.pair_start[k], tables.pair_start[k + 1]):
                if occupied[tables.pair_source[p]]:
                    rates[tables.pair_source[p], k] = pair_hop_rate(tables, factored, p, k, x, boltzmann)
        for c in range(tables.contact_start[k], tables.contact_start[k + 1]):
            rate = contact_hop_rate(tables, factored, c, k, holds, x, v, boltzmann, boltzmann_v)
            e = n + tables.contact_electrode[c]
            if holds:
                rates[k, e] = rate
            else:
                rates[e, k] = rate
    return rates, total
