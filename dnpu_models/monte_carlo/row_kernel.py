"""Compiled trajectories of large networks: exact hops by thinning over rows of events.

Every row (see `hop_tables`) has an upper bound B of its total rate R. A step draws a row in proportion to the bounds
and computes the row's true rates: with probability R/B one of them happens, else the bound falls to R and the step is
repeated. Each try takes the time 1/(sum of all bounds) in the mean. That is thinning (P. A. W. Lewis and G. S.
Shedler, Nav. Res. Logist. Q. 26, 403, 1979), which leaves the law of the process as it is. After an event all bounds
grow by what the shift of the energies can do at most, which was tabulated; the few rows that the event itself touches
are computed anew. So six or so rows of 8 to 20 rates are computed for a hop, of 130 rows with 1400 rates.

The bounds are float32, rounded up; selection works on their exact values in float64, and true rates are float64.
A bound can be too large, never too small: only speed is at stake.

Voltages may rise or fall linearly in time. Then a bound has to hold until the end of a slice of time, in which no
barrier changes by more than `SLICE` kT: true rates are those of the moment, a row just computed gets the bound
R exp(SLICE), and all bounds grow by that factor when the next slice begins. That too is exact.

Energies x_k of holes are kept for all sites; those of empty sites are lowered by `EMPTY`, so that an empty source
gives the rate exp(-700) = 0 without a question. They are kept by addition and computed from scratch every `RENEW` hops:
each addition errs by at most 2^-35 kT.
"""

# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated, has-type, assignment"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnpu_models.interface.vectors import WIDTH
from dnpu_models.monte_carlo.hop_tables import HopTables
from dnpu_models.monte_carlo.vector_rates import (
    BLOCKS,
    LANES,
    add_scaled,
    fetch_codes,
    grow_bounds,
    lanes_above,
    lowest_bit,
    pick_lane,
    rates_from,
    rates_into,
    sum_lanes,
)
from inmateria.checks import FloatArray
from inmateria.random_words import uniform

RENEW = 1 << 16
EMPTY = 131072.0
FLOOR = 2.0**-63
"""Bounds are at least this fraction of a row's cap: then the largest growth, 2^64, takes them there, as any beyond it
should."""
IMPOSSIBLE = 1e-300
"""Padded pairs have the rate 0, empty sources at most exp(-700)."""
SLICE = 0.05
"""How far a barrier may move in a slice of time, kT: costs 5 % more tries, and a pass over all bounds a slice."""
PATIENCE = 64
"""After so many vain tries in a row for each block of rows, one event is drawn from all rates, computed."""

_UP = 1.0 + 2e-7
_GROUP = LANES * BLOCKS

# words of a clock
TIME, STOP_AT, SAMPLE_AT, SAMPLE_EVERY, SAMPLES, TRIES, CLOCK_WORDS = range(7)
FOREVER = 1 << 62
"""More hops than will ever be made, for a trajectory that stops at a time."""


class Workspace(NamedTuple):
    """State of a trajectory and scratch space; made anew for each."""

    occupied: NDArray[np.uint8]  # (n_sites,)
    energy: FloatArray  # (padded,)
    bound: NDArray[np.float32]  # (rows,)
    sums: FloatArray  # (groups of rows + 1, LANES): of each group, and of all
    rates: FloatArray  # (longest row or contact,)
    since: FloatArray  # (n_sites,)
    inflow: FloatArray  # (padded,)
    lead_current: FloatArray  # (n_electrodes,)


class Tally(NamedTuple):
    """What a trajectory adds up."""

    clock: FloatArray  # (CLOCK_WORDS,): time in 1/nu_0, its end, next sample, time between samples, samples, tries
    charge: NDArray[np.int64]  # (n_electrodes,): holes that came in less those that left
    held: FloatArray  # (n_sites,): time with a hole
    drift: FloatArray  # (n_electrodes,): sum over the samples of the weighted rates; see `sample`


def workspace(tables: HopTables, occupied: NDArray[np.uint8], electrodes: int) -> Workspace:
    """Scratch space for a trajectory whose state is `occupied`; it is changed in place."""
    longest = max(int(np.diff(tables.near).max(initial=1)) * WIDTH, electrodes)
    return Workspace(
        occupied=occupied,
        energy=np.zeros(tables.padded),
        bound=np.zeros(tables.rows, dtype=np.float32),
        sums=np.zeros((tables.rows // _GROUP + 1) * LANES),
        rates=np.zeros(longest + WIDTH),
        since=np.zeros(tables.sites),
        inflow=np.zeros(tables.padded),
        lead_current=np.zeros(electrodes),
    )


# Compiled functions get plain arrays: reaching into a tuple costs a reference count, an atomic operation, each time.


@njit(cache=True, nogil=True)
def group_count(rows):
    """Groups of rows whose sums are kept apart."""
    return rows // _GROUP


@njit(cache=True, nogil=True)
def _boltzmann(barrier):
    return np.exp(-barrier) if barrier > 0.0 else 1.0


@njit(cache=True, nogil=True)
def _pairs_into(prefactor, pair_coulomb, source, energy, own, first, last, rates):
    """Rates of the pairs in vectors first:last into an empty site of energy `own`; returns their sum."""
    total = 0.0
    for vector in range(first, last):
        at = vector * WIDTH
        total += rates_into(prefactor, pair_coulomb, source, energy, at, own, rates, at - first * WIDTH)
    return total


@njit(cache=True, nogil=True)
def _leads(start, electrode, lead_rate, c, x, sign, v, rates):
    """Rates of contact c's leads for a hole of energy x that leaves (sign 1) or enters (-1); returns their sum."""
    total = 0.0
    first = start[c]
    for m in range(first, start[c + 1]):
        rate = lead_rate[m] * _boltzmann(sign * (v[electrode[m]] - x))
        rates[m - first] = rate
        total += rate
    return total


@njit(cache=True, nogil=True)
def _bound(rate, cap):
    return np.float32(max(rate * _UP, FLOOR * np.float64(cap)))


@njit(cache=True, nogil=True)
def row_rates(tables, row, occupied, energy, v, rates):
    """Rates of a row's events into `rates`; returns their sum (0 where the state does not allow the row)."""
    t = tables
    if row < t.leaving:
        k = row if row < t.padded else row - t.padded
        if k >= t.sites or occupied[k] != 0:
            return 0.0
        first = t.near[k] if row < t.padded else t.far[k]
        last = t.far[k] if row < t.padded else t.near[k + 1]
        return _pairs_into(t.prefactor, t.pair_coulomb, t.source, energy, energy[k] + EMPTY, first, last, rates)
    leaves = row < t.entering
    c = row - t.leaving if leaves else row - t.entering
    if c >= t.contact_site.size or (occupied[t.contact_site[c]] != 0) != leaves:
        return 0.0
    x = energy[t.contact_site[c]] + (0.0 if leaves else EMPTY)
    return _leads(t.contact_start, t.contact_electrode, t.contact_rate, c, x, 1.0 if leaves else -1.0, v, rates)


@njit(cache=True, nogil=True)
def site_energies(tables, base, occupied, energy):
    """Energies of all sites from scratch, empty ones lowered."""
    for k in range(tables.sites):
        energy[k] = base[k]
    for j in range(tables.sites):
        if occupied[j] == 0:
            for k in range(tables.sites):
                energy[k] -= tables.coulomb[j, k]
    for j in range(tables.sites):
        if occupied[j] == 0:
            energy[j] -= EMPTY


@njit(cache=True, nogil=True)
def _renew_bounds(tables, v, work, ahead):
    """Bounds from scratch: the true rates, times `ahead`. Returns the total rate."""
    occupied, energy, bound, rates = work.occupied, work.energy, work.bound, work.rates
    near, far, source, cap = tables.near, tables.far, tables.source, tables.cap
    prefactor, pair_coulomb = tables.prefactor, tables.pair_coulomb
    contact_site, start = tables.contact_site, tables.contact_start
    lead, lead_rate = tables.contact_electrode, tables.contact_rate
    leaving, entering = tables.leaving, tables.entering
    bound[:] = np.float32(0.0)
    total = 0.0
    for k in range(tables.sites):
        if occupied[k] == 0:
            own = energy[k] + EMPTY
            rate = _pairs_into(prefactor, pair_coulomb, source, energy, own, near[k], far[k], rates)
            bound[k] = _bound(rate * ahead, cap[k])
            total += rate
            row = tables.padded + k
            rate = _pairs_into(prefactor, pair_coulomb, source, energy, own, far[k], near[k + 1], rates)
            bound[row] = _bound(rate * ahead, cap[row])
            total += rate
    for c in range(contact_site.size):
        k = contact_site[c]
        held = occupied[k] != 0
        row = leaving + c if held else entering + c
        x = energy[k] if held else energy[k] + EMPTY
        rate = _leads(start, lead, lead_rate, c, x, 1.0 if held else -1.0, v, rates)
        bound[row] = _bound(rate * ahead, cap[row])
        total += rate
    return total


@njit(cache=True, nogil=True)
def _raise_bounds(bound, cap, factor):
    for row in range(bound.size):
        bound[row] = min(bound[row] * factor, cap[row])


@njit(cache=True, nogil=True)
def _choose_exactly(tables, v, work, target):
    """The row in which `target` falls along all true rates, and what is left of it there."""
    chosen, rest = -1, 0.0
    for row in range(tables.rows):
        if work.bound[row] > 0.0:
            rate = row_rates(tables, row, work.occupied, work.energy, v, work.rates)
            if rate > 0.0:
                chosen, rest = row, min(target, rate)
                if target < rate:
                    break
                target -= rate
    row_rates(tables, chosen, work.occupied, work.energy, v, work.rates)
    return chosen, rest


@njit(cache=True, nogil=True)
def _range(base_slope, v_slope):
    """Fastest change of any difference of energies."""
    return max(base_slope.max(), v_slope.max()) - min(base_slope.min(), v_slope.min())


@njit(cache=True, nogil=True)
def sample(tables, v, work, weight, drift):
    """Add the expected currents in the present state to `drift`, of each electrode's cut or of a better one.

    With r_e the rate of event e,   drift_k += I_k + sum_i weight_ik F_i,   I_k = sum over leads of r(in) - r(out),
    F_i = sum of r over events that bring a hole to site i, less those that take one. In the mean F_i vanishes, so any
    weights leave the mean as it is.
    """
    inflow, current, energy, rates, occupied = work.inflow, work.lead_current, work.energy, work.rates, work.occupied
    near, source, prefactor, pair_coulomb = tables.near, tables.source, tables.prefactor, tables.pair_coulomb
    contact_site, start = tables.contact_site, tables.contact_start
    lead, lead_rate = tables.contact_electrode, tables.contact_rate
    for k in range(inflow.size):
        inflow[k] = 0.0
    for electrode in range(current.size):
        current[electrode] = 0.0
    for k in range(tables.sites):
        if occupied[k] == 0:
            own = energy[k] + EMPTY
            total = 0.0
            for vector in range(near[k], near[k + 1]):
                at = vector * WIDTH
                total += rates_into(prefactor, pair_coulomb, source, energy, at, own, rates, 0)
                for lane in range(WIDTH):
                    inflow[source[at + lane]] -= rates[lane]
            inflow[k] += total
    for c in range(contact_site.size):
        k = contact_site[c]
        sign = 1.0 if occupied[k] != 0 else -1.0
        x = energy[k] if occupied[k] != 0 else energy[k] + EMPTY
        inflow[k] -= sign * _leads(start, lead, lead_rate, c, x, sign, v, rates)
        for m in range(start[c], start[c + 1]):
            current[lead[m]] -= sign * rates[m - start[c]]
    for k in range(tables.sites):
        for electrode in range(current.size):
            current[electrode] += weight[k, electrode] * inflow[k]
    for electrode in range(current.size):
        drift[electrode] += current[electrode]


# Phases of a hop; they become parts of `run_rows`. The last, new bounds for the rows that the hop has touched, stays
# there: as a function that takes its arrays out of `tables` and `work` it costs 5 % (1.07 -> 1.12 us a hop), by the
# reference counts, and passed one by one they are sixteen arguments.


@njit(inline="always")
def _add_bounds(bound, groups, sums):
    """Sums of the bounds, lane by lane, of each group of rows and of all; returns the total."""
    for group in range(groups):
        sum_lanes(bound, group * _GROUP, sums, group * LANES)
    total = 0.0
    for lane in range(LANES):
        value = 0.0
        for group in range(groups):
            value += sums[group * LANES + lane]
        sums[groups * LANES + lane] = value
        total += value
    return total


@njit(inline="always")
def _find_row(bound, groups, sums, lane, rest):
    """Row of a lane in which `rest` falls along the bounds, its group, and what is left of `rest` there."""
    group = 0
    while group < groups - 1 and rest >= sums[group * LANES + lane]:
        rest -= sums[group * LANES + lane]
        group += 1
    row = group * _GROUP + lane
    last = row + (BLOCKS - 1) * LANES
    while row < last and rest >= bound[row]:
        rest -= bound[row]
        row += LANES
    return row, group, rest


@njit(inline="always")
def _find_event(rates, count, rest):
    """The event of a row in which `rest` falls along its true rates."""
    chosen = 0
    while chosen < count - 1 and rest >= rates[chosen]:
        rest -= rates[chosen]
        chosen += 1
    while chosen > 0 and rates[chosen] < IMPOSSIBLE:  # rounding led past the last event
        chosen -= 1
    return chosen


@njit(cache=True, nogil=True)
def run_rows(tables, base, v, base_slope, v_slope, work, words, hops, random_times, weight, tally):
    """Follow one trajectory for `hops` hops, or until ``clock[STOP_AT]`` if times are random.

    Parameters
    ----------
    tables : HopTables
    base : ndarray (n_sites,)
        At the start: site energies with every acceptor occupied, electrodes included, in kT; with all others
        within +-`EMPTY`/4.
    v : ndarray (n_electrodes,)
        Electrode energies, in kT.
    base_slope, v_slope : ndarray
        How they rise in a time of 1/nu_0, (n_sites,) and (n_electrodes,), or empty if they do not; `v` advances
        in place. Slopes need random times and an end.
    work : Workspace
        State and scratch; advances.
    words : ndarray (4,) of uint64
        State of the random generator; advances.
    hops : int
    random_times : bool
        Draw exponential waiting times (a trajectory in time), or add their means.
    weight : ndarray (n_sites, n_electrodes)
        See `sample`.
    tally : Tally
        Added to. A sample is taken every ``clock[SAMPLE_EVERY]`` in time (never if ``clock[SAMPLE_AT]`` is infinite, as
        it has to be under slopes).

    Returns
    -------
    int
        Hops made: fewer than `hops` if the end came first, or no event was possible any more.
    """
    occupied, energy, bound, rates, sums, since = (
        work.occupied, work.energy, work.bound, work.rates, work.sums, work.since,
    )  # fmt: skip
    clock, charge, held = tally.clock, tally.charge, tally.held
    sites, padded, leaving, entering = tables.sites, tables.padded, tables.leaving, tables.entering
    near, far, source, back_row = tables.near, tables.far, tables.source, tables.back_row
    prefactor, pair_coulomb, coulomb = tables.prefactor, tables.pair_coulomb, tables.coulomb
    contact_of, contact_site, contact_start = tables.contact_of, tables.contact_site, tables.contact_start
    lead, lead_rate, cap, growth = tables.contact_electrode, tables.contact_rate, tables.cap, tables.growth
    pairs, bounded = source.size, growth.shape[0] > 0
    groups = tables.rows // _GROUP
    patience = PATIENCE * tables.rows // LANES
    ramped = base_slope.size > 0
    ahead, slice_end, slice_length = 1.0, clock[STOP_AT], np.inf
    begin, slope = clock[TIME], np.zeros(padded)
    if ramped:
        slope[:sites] = base_slope
        ahead = np.exp(SLICE)
        slice_length = SLICE / max(_range(base_slope, v_slope), 1e-300)
        slice_end = min(clock[STOP_AT], clock[TIME] + slice_length)
    for k in range(sites):
        since[k] = clock[TIME]
    site_energies(tables, base, occupied, energy)
    _renew_bounds(tables, v, work, ahead)
    made = 0
    while made < hops:
        if made % RENEW == RENEW - 1:
            site_energies(tables, base, occupied, energy)
            add_scaled(energy, slope, clock[TIME] - begin)
            _renew_bounds(tables, v, work, ahead)
        total = _add_bounds(bound, groups, sums)
        vain = 0
        over = False  # the slice is over, before any event
        while True:
            if not total > 0.0:
                break
            wait = 1.0 / total
            if random_times:
                wait *= -np.log1p(-uniform(words))
            over = clock[TIME] + wait >= slice_end
            if over:
                wait = slice_end - clock[TIME]
            clock[TIME] = slice_end if over else clock[TIME] + wait
            clock[TRIES] += 1.0
            while clock[TIME] >= clock[SAMPLE_AT]:
                sample(tables, v, work, weight, tally.drift)
                clock[SAMPLES] += 1.0
                clock[SAMPLE_AT] += clock[SAMPLE_EVERY]
            if ramped:
                add_scaled(energy, slope, wait)
                for electrode in range(v.size):
                    v[electrode] += v_slope[electrode] * wait
            if over:
                break
            lane, rest = pick_lane(sums, groups * LANES, uniform(words) * total)
            row, group, rest = _find_row(bound, groups, sums, lane, rest)
            if not bound[row] > 0.0:  # rounding led past the last row
                continue
            if row < padded:
                rate = _pairs_into(
                    prefactor, pair_coulomb, source, energy, energy[row] + EMPTY, near[row], far[row], rates
                )
            elif row < leaving:
                k = row - padded
                rate = _pairs_into(
                    prefactor, pair_coulomb, source, energy, energy[k] + EMPTY, far[k], near[k + 1], rates
                )
            elif row < entering:
                c = row - leaving
                rate = _leads(contact_start, lead, lead_rate, c, energy[contact_site[c]], 1.0, v, rates)
            else:
                c = row - entering
                rate = _leads(contact_start, lead, lead_rate, c, energy[contact_site[c]] + EMPTY, -1.0, v, rates)
            if rest < rate:
                break
            vain += 1
            if vain > patience:
                vain = 0
                if ramped:  # rates change while one waits, so they cannot be drawn from as they are
                    _renew_bounds(tables, v, work, ahead)
                    over = True
                    break
                total = _renew_bounds(tables, v, work, 1.0)
                if not total > 0.0:
                    break
                wait = 1.0 / total
                if random_times:
                    wait *= -np.log1p(-uniform(words))
                over = clock[TIME] + wait >= slice_end
                clock[TIME] = slice_end if over else clock[TIME] + wait
                if not over:
                    row, rest = _choose_exactly(tables, v, work, uniform(words) * total)
                break
            tight = min(_bound(rate * ahead, cap[row]), bound[row])
            change = np.float64(tight) - np.float64(bound[row])
            bound[row] = tight
            sums[group * LANES + lane] += change
            sums[groups * LANES + lane] += change
            total += change
        if over:
            if clock[TIME] >= clock[STOP_AT]:
                break
            if clock[TIME] >= slice_end:  # else the bounds are new
                slice_end = min(clock[STOP_AT], clock[TIME] + slice_length)
                _raise_bounds(bound, cap, np.float32(ahead * _UP))
            continue
        if not total > 0.0:
            break
        if row < padded:
            count = (far[row] - near[row]) * WIDTH
        elif row < leaving:
            count = (near[row - padded + 1] - far[row - padded]) * WIDTH
        else:
            c = row - leaving if row < entering else row - entering
            count = contact_start[c + 1] - contact_start[c]
        chosen = _find_event(rates, count, rest)
        arrived, left, event = -1, -1, 0
        if row < leaving:
            arrived = row if row < padded else row - padded
            event = (near[arrived] if row < padded else far[arrived]) * WIDTH + chosen
            left = np.int64(source[event])
            if bounded:
                fetch_codes(growth, event)
            for k in range(padded):
                energy[k] += coulomb[arrived, k] - coulomb[left, k]
        elif row < entering:
            c = row - leaving
            left = contact_site[c]
            event = pairs + sites + left
            charge[lead[contact_start[c] + chosen]] -= 1
            if bounded:
                fetch_codes(growth, event)
            for k in range(padded):
                energy[k] -= coulomb[left, k]
        else:
            c = row - entering
            arrived = contact_site[c]
            event = pairs + arrived
            charge[lead[contact_start[c] + chosen]] += 1
            if bounded:
                fetch_codes(growth, event)
            for k in range(padded):
                energy[k] += coulomb[arrived, k]
        if bounded:
            grow_bounds(bound, growth, event, cap)
        if left >= 0:
            occupied[left] = 0
            energy[left] -= EMPTY
            held[left] += clock[TIME] - since[left]
        if arrived >= 0:
            occupied[arrived] = 1
            energy[arrived] += EMPTY
            since[arrived] = clock[TIME]
        made += 1
        if not bounded:
            _renew_bounds(tables, v, work, ahead)
            continue
        if left >= 0:  # the rows of a site whose hole has just left
            own = energy[left] + EMPTY
            rate = _pairs_into(prefactor, pair_coulomb, source, energy, own, near[left], far[left], rates)
            bound[left] = _bound(rate * ahead, cap[left])
            rate = _pairs_into(prefactor, pair_coulomb, source, energy, own, far[left], near[left + 1], rates)
            bound[padded + left] = _bound(rate * ahead, cap[padded + left])
            c = contact_of[left]
            if c >= 0:
                bound[leaving + c] = np.float32(0.0)
                rate = _leads(contact_start, lead, lead_rate, c, own, -1.0, v, rates)
                bound[entering + c] = _bound(rate * ahead, cap[entering + c])
        if arrived >= 0:  # the rows of a site that has just got a hole, and what it adds to its empty neighbours'
            bound[arrived] = np.float32(0.0)
            bound[padded + arrived] = np.float32(0.0)
            c = contact_of[arrived]
            if c >= 0:
                bound[entering + c] = np.float32(0.0)
                rate = _leads(contact_start, lead, lead_rate, c, energy[arrived], 1.0, v, rates)
                bound[leaving + c] = _bound(rate * ahead, cap[leaving + c])
            own = energy[arrived] - EMPTY  # empty neighbours' energies are lowered; others are shut out
            for vector in range(near[arrived], near[arrived + 1]):
                at = vector * WIDTH
                rates_from(prefactor, pair_coulomb, source, energy, at, own, rates, 0)
                lanes = lanes_above(rates, 0, IMPOSSIBLE)  # few: most neighbours hold a hole
                while lanes != 0:
                    q = lowest_bit(lanes)
                    lanes &= lanes - 1
                    touched = back_row[at + q]
                    more = np.float32((np.float64(bound[touched]) + rates[q] * ahead) * _UP)
                    bound[touched] = min(more, cap[touched])
    if made < hops and clock[STOP_AT] < np.inf:  # also where no event is possible
        clock[TIME] = clock[STOP_AT]
    for k in range(sites):
        if occupied[k] != 0:
            held[k] += clock[TIME] - since[k]
    return made
