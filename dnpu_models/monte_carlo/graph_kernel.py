"""Compiled trajectories of small networks: exact hops along a graph of states that were visited before.

A small network visits few states again and again (30 acceptors: 97 to 99.99 % of the hops end in one of the last ten
thousand). What a state needs is computed once, from scratch, and kept: its total rate, its likeliest events with
their running sums and, once taken, the state that each leads to, and its expected currents. A hop is then one random
number, a short search and one step along the graph. An event that was not kept is found by computing all rates again.
When the graph is full it is thrown away: it is a cache, and the process is exact whatever it holds.

A state is known by its occupation, one bit a site, so there are at most 64 sites.
"""

# mypy: disable-error-code="no-untyped-def, call-arg, assignment"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnpu_models.interface.vectors import WIDTH
from dnpu_models.monte_carlo.hop_tables import EMPTY, HopTables
from dnpu_models.monte_carlo.row_kernel import SAMPLES, STOP_AT, TIME, TRIES, site_energies
from dnpu_models.monte_carlo.vector_rates import rates_at
from inmateria.checks import FloatArray
from inmateria.random_words import uniform

SITES = 64
CAPACITY = 1 << 15
"""States kept; about 20 MB with eight electrodes."""
KEPT = 32
"""Events kept of a state."""
SHARE = 1e-3
"""Events below this fraction of the total rate are not kept."""


class Graph(NamedTuple):
    """Visited states. Times in 1/nu_0."""

    states: NDArray[np.int64]  # (2,): how many, and the number of the present one
    key: NDArray[np.uint64]  # (CAPACITY,): occupation
    table: NDArray[np.int32]  # (2 CAPACITY,): state by hash, -1 free
    total: FloatArray  # (CAPACITY,): total rate
    dwell: FloatArray  # (CAPACITY,): time spent, not yet tallied
    drift: FloatArray  # (CAPACITY, n_electrodes): expected currents, see `row_kernel.sample`
    events: NDArray[np.int32]  # (CAPACITY,): events kept
    upto: FloatArray  # (CAPACITY, KEPT): running sums of their rates
    target: NDArray[np.int32]  # (CAPACITY, KEPT): the states they lead to, -1 unknown
    event: NDArray[np.int32]  # (CAPACITY, KEPT): pair number, or number of pairs + lead
    occupied: NDArray[np.uint8]  # scratch, (n_sites,)
    energy: FloatArray  # scratch, (padded,)
    rates: FloatArray  # scratch, (n_pairs + n_leads,)
    inflow: FloatArray  # scratch, (padded,)


def graph(tables: HopTables, electrodes: int) -> Graph:
    """An empty graph."""
    return Graph(
        states=np.zeros(2, dtype=np.int64),
        key=np.zeros(CAPACITY, dtype=np.uint64),
        table=np.full(2 * CAPACITY, -1, dtype=np.int32),
        total=np.zeros(CAPACITY),
        dwell=np.zeros(CAPACITY),
        drift=np.zeros((CAPACITY, electrodes)),
        events=np.zeros(CAPACITY, dtype=np.int32),
        upto=np.zeros((CAPACITY, KEPT)),
        target=np.full((CAPACITY, KEPT), -1, dtype=np.int32),
        event=np.zeros((CAPACITY, KEPT), dtype=np.int32),
        occupied=np.zeros(tables.sites, dtype=np.uint8),
        energy=np.zeros(tables.padded),
        rates=np.zeros(WIDTH * tables.site_rows + tables.contact_rate.size),
        inflow=np.zeros(tables.padded),
    )


@njit(cache=True, nogil=True)
def _holds(key, site):
    return (key >> np.uint64(site)) & np.uint64(1) != np.uint64(0)


@njit(cache=True, nogil=True)
def state_rates(tables, base, v, key, occupied, energy, rates):
    """Rates of all events of a state, pairs (by `HopTables.source`) then leads; returns their sum.

    `occupied` (n_sites,) and `energy` (padded,) are scratch.
    """
    t = tables
    for k in range(t.sites):
        occupied[k] = 1 if _holds(key, k) else 0
    site_energies(t, base, v, occupied, energy)
    total = 0.0
    for j in range(t.sites):
        empty = not _holds(key, j)
        for row in range(t.first_row[j], t.first_row[j + 1]):
            at = row * WIDTH
            if empty:
                own = energy[j] + EMPTY
                total += rates_at(t.prefactor, t.pair_coulomb, t.source, energy, at, own, 1.0, rates, at)
            else:
                for lane in range(WIDTH):
                    rates[at + lane] = 0.0
    for c in range(t.contact_site.size):
        k = t.contact_site[c]
        for m in range(t.contact_start[c], t.contact_start[c + 1]):
            barrier = v[t.contact_electrode[m]] - energy[k]
            if not _holds(key, k):
                barrier = -(barrier - EMPTY)
            rate = t.contact_rate[m] * (np.exp(-barrier) if barrier > 0.0 else 1.0)
            rates[WIDTH * t.site_rows + m] = rate
            total += rate
    return total


@njit(cache=True, nogil=True)
def _expected_currents(tables, key, rates, inflow, weight, drift):
    """As `row_kernel.sample`, from all rates of a state."""
    t, pairs = tables, WIDTH * tables.site_rows
    inflow[:] = 0.0
    for k in range(drift.size):
        drift[k] = 0.0
    for j in range(t.sites):
        if not _holds(key, j):
            for p in range(t.first_row[j] * WIDTH, t.first_row[j + 1] * WIDTH):
                inflow[j] += rates[p]
                inflow[np.int64(t.source[p])] -= rates[p]
    for c in range(t.contact_site.size):
        k = t.contact_site[c]
        sign = -1.0 if _holds(key, k) else 1.0
        for m in range(t.contact_start[c], t.contact_start[c + 1]):
            inflow[k] += sign * rates[pairs + m]
            drift[t.contact_electrode[m]] += sign * rates[pairs + m]
    for electrode in range(drift.size):
        for k in range(t.sites):
            drift[electrode] += weight[k, electrode] * inflow[k]


@njit(cache=True, nogil=True)
def _hash(key, size):
    """Place of a key: the finaliser of splitmix64."""
    h = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((h ^ (h >> np.uint64(31))) & np.uint64(size - 1))


@njit(cache=True, nogil=True)
def state_of(g, tables, base, v, key, weight):
    """Number of the state `key`, added if it is new; -1 if there is no room."""
    place = _hash(key, g.table.size)
    while g.table[place] >= 0:
        if g.key[g.table[place]] == key:
            return np.int64(g.table[place])
        place = (place + 1) % g.table.size
    s = g.states[0]
    if s == g.key.size:
        return -1
    g.states[0] += 1
    g.table[place] = s
    g.key[s] = key
    total = state_rates(tables, base, v, key, g.occupied, g.energy, g.rates)
    g.total[s] = total
    g.dwell[s] = 0.0
    _expected_currents(tables, key, g.rates, g.inflow, weight, g.drift[s])
    kept = 0
    for e in range(g.rates.size):
        rate = g.rates[e]
        if rate > SHARE * total:
            if kept == KEPT and rate <= g.upto[s, KEPT - 1]:
                continue
            m = kept if kept < KEPT else KEPT - 1  # by insertion, largest first
            while m > 0 and g.upto[s, m - 1] < rate:
                g.upto[s, m] = g.upto[s, m - 1]
                g.event[s, m] = g.event[s, m - 1]
                m -= 1
            g.upto[s, m] = rate
            g.event[s, m] = e
            kept = min(kept + 1, KEPT)
    running = 0.0
    for m in range(kept):
        running += g.upto[s, m]
        g.upto[s, m] = running
        g.target[s, m] = -1
    g.events[s] = kept
    return s


@njit(cache=True, nogil=True)
def flush(g, tables, tally):
    """Tally the time spent in each state."""
    for s in range(g.states[0]):
        if g.dwell[s] > 0.0:
            tally.clock[SAMPLES] += g.dwell[s]
            for electrode in range(tally.drift.size):
                tally.drift[electrode] += g.dwell[s] * g.drift[s, electrode]
            for k in range(tables.sites):
                if _holds(g.key[s], k):
                    tally.held[k] += g.dwell[s]
            g.dwell[s] = 0.0


@njit(cache=True, nogil=True)
def _after(tables, key, event, charge):
    """The state that an event leads to, its charge counted."""
    pairs = WIDTH * tables.site_rows
    if event < pairs:
        low, high = 0, tables.sites  # the destination owns the vectors first_row[low]:first_row[low + 1]
        while high - low > 1:
            middle = (low + high) // 2
            if tables.first_row[middle] * WIDTH <= event:
                low = middle
            else:
                high = middle
        return key ^ (np.uint64(1) << np.uint64(low)) ^ (np.uint64(1) << np.uint64(tables.source[event]))
    m = event - pairs
    low, high = 0, tables.contact_site.size
    while high - low > 1:
        middle = (low + high) // 2
        if tables.contact_start[middle] <= m:
            low = middle
        else:
            high = middle
    k = tables.contact_site[low]
    charge[tables.contact_electrode[m]] += -1 if _holds(key, k) else 1
    return key ^ (np.uint64(1) << np.uint64(k))


@njit(cache=True, nogil=True)
def run_graph(g, tables, base, v, occupied, words, hops, random_times, weight, tally):
    """Follow one trajectory for `hops` hops, or until ``clock[STOP_AT]`` if times are random.

    Parameters
    ----------
    g : Graph
        Of this setting; grows.
    tables, base, v, words, hops, random_times, weight, tally
        As `row_kernel.run_rows`. All the time is sampled: ``clock[SAMPLES]`` counts it, and ``clock[TRIES]`` the
        states that were computed.
    occupied : ndarray (n_sites,) of uint8
        State; advances.

    Returns
    -------
    int
        Hops made: fewer than `hops` if the end came first, or no event was possible any more.
    """
    enter(g, tables, base, v, occupied, weight, tally)
    made = walk(g, tables, base, v, words, hops, random_times, weight, tally)
    flush(g, tables, tally)
    occupation(g, occupied)
    return made


@njit(cache=True, nogil=True)
def occupation(g, occupied):
    """The present state, written into `occupied`."""
    key = g.key[g.states[1]]
    for k in range(occupied.size):
        occupied[k] = 1 if _holds(key, k) else 0


@njit(cache=True, nogil=True)
def enter(g, tables, base, v, occupied, weight, tally):
    """Make `occupied` the present state."""
    key = np.uint64(0)
    for k in range(tables.sites):
        if occupied[k] != 0:
            key |= np.uint64(1) << np.uint64(k)
    _go_to(g, tables, base, v, key, weight, tally)


@njit(cache=True, nogil=True)
def _go_to(g, tables, base, v, key, weight, tally):
    """Make `key` the present state and return its number; a full graph is thrown away, its times tallied."""
    s = state_of(g, tables, base, v, key, weight)
    if s < 0:
        flush(g, tables, tally)
        g.states[0] = 0
        g.table[:] = -1
        s = state_of(g, tables, base, v, key, weight)
    g.states[1] = s
    return np.int64(s)


@njit(cache=True, nogil=True)
def walk(g, tables, base, v, words, hops, random_times, weight, tally):
    """Go on from the present state, as `run_graph`; times are left to be tallied."""
    total, events, upto, target, event, dwell = g.total, g.events, g.upto, g.target, g.event, g.dwell
    pairs, charge, clock = WIDTH * tables.site_rows, tally.charge, tally.clock
    lead = tables.contact_electrode
    s = g.states[1]
    made = 0
    time, end = 0.0, clock[STOP_AT] - clock[TIME]
    while made < hops and (total[s] > 0.0 or end < np.inf):
        wait = 1.0 / total[s] if total[s] > 0.0 else np.inf
        if random_times:
            wait *= -np.log1p(-uniform(words))
        if time + wait >= end:
            dwell[s] += end - time
            time = end
            break
        time += wait
        dwell[s] += wait
        u = uniform(words) * total[s]
        made += 1
        m = 0
        while m < events[s] and u >= upto[s, m]:
            m += 1
        if m < events[s] and target[s, m] >= 0:
            e = event[s, m]
            if e >= pairs:
                gained = g.key[s] < g.key[target[s, m]]  # the key grows when a bit is set
                charge[lead[e - pairs]] += 1 if gained else -1
            s = np.int64(target[s, m])
            continue
        e = np.int64(event[s, m]) if m < events[s] else _rare(g, tables, base, v, s, u)
        known = g.states[0]
        after = _go_to(g, tables, base, v, _after(tables, g.key[s], e, charge), weight, tally)
        if g.states[0] != known:
            clock[TRIES] += 1.0
        if m < events[s] and g.states[0] >= known:
            target[s, m] = after
        s = after
    g.states[1] = s
    clock[TIME] += time
    return made


@njit(cache=True, nogil=True)
def _rare(g, tables, base, v, s, u):
    """The event in which u falls along those of state s that were not kept."""
    state_rates(tables, base, v, g.key[s], g.occupied, g.energy, g.rates)
    if g.events[s] > 0:
        u -= g.upto[s, g.events[s] - 1]
    for m in range(g.events[s]):
        g.rates[g.event[s, m]] = 0.0
    chosen = -1
    for e in range(g.rates.size):
        if g.rates[e] > 0.0:
            chosen = e
            if u < g.rates[e]:
                break
            u -= g.rates[e]
    if chosen < 0:  # rounding led past the last event: all of them were kept
        chosen = np.int64(g.event[s, g.events[s] - 1])
    return chosen
