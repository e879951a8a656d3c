"""Compiled trajectories of large networks: exact hops by thinning over rows of events.

Every row (see `hop_tables`) has an upper bound B of its total rate R. A step draws a row in proportion to the bounds
and computes the row's true rates: with probability R/B one of them happens, else the bound falls to R and the step is
repeated. Each try takes the time 1/(sum of all bounds) in the mean. That is thinning (P. A. W. Lewis and G. S.
Shedler, Nav. Res. Logist. Q. 26, 403, 1979), which leaves the law of the process as it is. After an event all bounds
grow by what the shift of the energies can do at most, which was tabulated; the few rows that the event itself touches
are computed anew. So ten or so rows of eight rates are computed for a hop, of 260 rows with 1400 rates.

A step has no branches but the one on its outcome: a processor that guesses a branch wrong loses as much time as eight
rates take. Hence rows of one vector, of one kind for sites and electrodes, running sums that are compared with all at
once, and sums that stay as they are while bounds fall in vain tries (until `FALLEN`): what falls between the two, or
into the margin of sums in single precision, is one more try in vain.

The bounds are float32, rounded up; selection works on their exact values in float64, and true rates are float64.
Bounds and sums can be too large, never too small: only speed is at stake.

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
from dnpu_models.monte_carlo.hop_tables import EMPTY, HopTables
from dnpu_models.monte_carlo.vector_rates import (
    BLOCKS,
    LANE_WORDS,
    LANES,
    SUM_MARGIN,
    add_lanes,
    add_scaled,
    fetch_codes,
    grow_bounds,
    pick_event,
    pick_group,
    pick_in_column,
    pick_lane,
    raise_rows,
    rates_at,
    shift_energies,
    sum_bounds,
)
from inmateria.checks import FloatArray
from inmateria.random_words import uniform

RENEW = 1 << 16
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
_SUM_MARGIN = np.float32(SUM_MARGIN)
_GROUP = LANES * BLOCKS

# words of a clock
TIME, STOP_AT, SAMPLE_AT, SAMPLE_EVERY, SAMPLES, TRIES, CLOCK_WORDS = range(7)
FALLEN = 0.5
"""When bounds have fallen by this fraction of their sum in vain tries, they are added up again."""
FOREVER = 1 << 62
"""More hops than will ever be made, for a trajectory that stops at a time."""


class Workspace(NamedTuple):
    """State of a trajectory and scratch space; made anew for each."""

    occupied: NDArray[np.uint8]  # (n_sites,)
    energy: FloatArray  # (padded,)
    bound: NDArray[np.float32]  # (rows,)
    sums: NDArray[np.float32]  # (groups of rows, rounded up to 8, LANES): of each group's bounds, lane by lane
    upto: FloatArray  # (groups as in `sums` + 1, LANES): running sums over the groups
    lanes: FloatArray  # (LANE_WORDS,): running sums over the lanes
    rates: FloatArray  # (WIDTH,)
    since: FloatArray  # (n_sites,)
    inflow: FloatArray  # (padded,)


class Tally(NamedTuple):
    """What a trajectory adds up."""

    clock: FloatArray  # (CLOCK_WORDS,): time in 1/nu_0, its end, next sample, time between samples, samples, tries
    charge: NDArray[np.int64]  # (n_electrodes,): holes that came in less those that left
    held: FloatArray  # (n_sites,): time with a hole
    drift: FloatArray  # (n_electrodes,): sum over the samples of the weighted rates; see `sample`


@njit(cache=True, nogil=True)
def sum_words(rows):
    """Length of the sums of the groups of so many rows: columns are read eight at a time."""
    return -(-rows // (_GROUP * BLOCKS)) * BLOCKS * LANES


def workspace(tables: HopTables, occupied: NDArray[np.uint8]) -> Workspace:
    """Scratch space for a trajectory whose state is `occupied`; it is changed in place."""
    return Workspace(
        occupied=occupied,
        energy=np.zeros(tables.padded),
        bound=np.zeros(tables.rows, dtype=np.float32),
        sums=np.zeros(sum_words(tables.rows), dtype=np.float32),
        upto=np.zeros(sum_words(tables.rows) + LANES),
        lanes=np.zeros(LANE_WORDS),
        rates=np.zeros(WIDTH),
        since=np.zeros(tables.sites),
        inflow=np.zeros(tables.padded),
    )


# Compiled functions get plain arrays: reaching into a tuple costs a reference count, an atomic operation, each time.


@njit(cache=True, nogil=True)
def _bound(rate, cap):
    return np.float32(max(rate * _UP, FLOOR * np.float64(cap)))


@njit(cache=True, nogil=True)
def row_rates(tables, row, occupied, energy, rates):
    """Rates of a row's events into `rates`; returns their sum (0 where the state does not allow the row)."""
    t, site = tables, tables.row_site[row]
    if site >= t.sites or (occupied[site] == 0) != (t.row_sign[row] > 0.0):
        return 0.0
    own = energy[site] + t.row_lift[row]
    return rates_at(t.prefactor, t.pair_coulomb, t.source, energy, row * WIDTH, own, t.row_sign[row], rates, 0)


@njit(cache=True, nogil=True)
def site_energies(tables, base, v, occupied, energy):
    """Energies of all sites from scratch, empty ones lowered, and of the electrodes."""
    for k in range(tables.sites):
        energy[k] = base[k]
    for j in range(tables.sites):
        if occupied[j] == 0:
            for k in range(tables.sites):
                energy[k] -= tables.coulomb[j, k]
    for j in range(tables.sites):
        if occupied[j] == 0:
            energy[j] -= EMPTY
    for electrode in range(v.size):
        energy[tables.sites + electrode] = v[electrode]


@njit(cache=True, nogil=True)
def _renew_bounds(tables, work, ahead):
    """Bounds from scratch: the true rates, times `ahead`. Returns the total rate."""
    row_site, row_sign, row_lift, cap = tables.row_site, tables.row_sign, tables.row_lift, tables.cap
    prefactor, pair_coulomb, source = tables.prefactor, tables.pair_coulomb, tables.source
    occupied, energy, bound, rates = work.occupied, work.energy, work.bound, work.rates
    total = 0.0
    for row in range(bound.size):
        bound[row] = 0.0
        site = row_site[row]
        if site < occupied.size and (occupied[site] == 0) == (row_sign[row] > 0.0):
            own = energy[site] + row_lift[row]
            rate = rates_at(prefactor, pair_coulomb, source, energy, row * WIDTH, own, row_sign[row], rates, 0)
            bound[row] = _bound(rate * ahead, cap[row])
            total += rate
    sum_bounds(bound, work.sums)
    return total


@njit(cache=True, nogil=True)
def _raise_bounds(bound, cap, factor, sums):
    for row in range(bound.size):
        bound[row] = min(bound[row] * factor, cap[row])
    sum_bounds(bound, sums)


@njit(cache=True, nogil=True)
def _choose_exactly(tables, work, target):
    """The row in which `target` falls along all true rates, and what is left of it there."""
    chosen, rest = -1, 0.0
    for row in range(tables.rows):
        rate = row_rates(tables, row, work.occupied, work.energy, work.rates)
        if rate > 0.0:
            chosen, rest = row, min(target, rate)
            if target < rate:
                break
            target -= rate
    row_rates(tables, chosen, work.occupied, work.energy, work.rates)
    return chosen, rest


@njit(cache=True, nogil=True)
def _range(base_slope, v_slope):
    """Fastest change of any difference of energies."""
    return max(base_slope.max(), v_slope.max()) - min(base_slope.min(), v_slope.min())


@njit(cache=True, nogil=True)
def sample(tables, work, weight, drift):
    """Add the expected currents in the present state to `drift`, of each electrode's cut or of a better one.

    With r_e the rate of event e,   drift_k += I_k + sum_i weight_ik F_i,   I_k = sum over leads of r(in) - r(out),
    F_i = sum of r over events that bring a hole to site i, less those that take one. In the mean F_i vanishes, so any
    weights leave the mean as it is.
    """
    row_site, row_sign, row_lift, sites = tables.row_site, tables.row_sign, tables.row_lift, tables.sites
    prefactor, pair_coulomb, source = tables.prefactor, tables.pair_coulomb, tables.source
    occupied, energy, inflow, rates = work.occupied, work.energy, work.inflow, work.rates
    for place in range(inflow.size):
        inflow[place] = 0.0
    for row in range(row_site.size):
        site, sign = row_site[row], row_sign[row]
        if site < sites and (occupied[site] == 0) == (sign > 0.0):
            own = energy[site] + row_lift[row]
            total = rates_at(prefactor, pair_coulomb, source, energy, row * WIDTH, own, sign, rates, 0)
            inflow[site] += sign * total
            for event in range(WIDTH):
                inflow[source[row * WIDTH + event]] -= sign * rates[event]
    for electrode in range(drift.size):
        drift[electrode] -= inflow[sites + electrode]
    for k in range(sites):
        for electrode in range(drift.size):
            drift[electrode] += weight[k, electrode] * inflow[k]


# Phases of a hop; they become parts of `run_rows`. The last, new bounds for the rows that the hop has touched, stays
# there: as a function that takes its arrays out of `tables` and `work` it costs 5 % (1.07 -> 1.12 us a hop), by the
# reference counts, and passed one by one they are sixteen arguments.


@njit(inline="always")
def find_row(bound, upto, lane, rest):
    """Row of a lane in which `rest` falls along the bounds, and what is left of it there.

    A group's sum is larger than its bounds: it was rounded up, and bounds have fallen since. Beyond them all the
    rest is no less than the bound of the row returned, as if that row were tried in vain.
    """
    group, last = 0, upto.size // LANES - 1 - BLOCKS
    while group < last and rest >= upto[(group + BLOCKS) * LANES + lane]:
        group += BLOCKS
    step, rest = pick_group(upto, group * LANES + lane, rest)
    first = min(group + step, bound.size // _GROUP - 1) * _GROUP + lane
    step, rest = pick_in_column(bound, first, rest)
    return first + step * LANES, rest


@njit(inline="always")
def _raise_bound(bound, sums, row, value):
    """Set a row's bound to a larger value."""
    sums[row // _GROUP * LANES + row % LANES] += (value - bound[row]) * _SUM_MARGIN
    bound[row] = value


@njit(inline="always")
def _find_event(rates, rest):
    """The event of a row in which `rest` falls along its true rates."""
    chosen, _ = pick_event(rates, rest)
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
    occupied, energy, bound, rates, sums, upto, lanes, since = (
        work.occupied, work.energy, work.bound, work.rates, work.sums, work.upto, work.lanes, work.since,
    )  # fmt: skip
    clock, charge, held = tally.clock, tally.charge, tally.held
    sites, padded, site_rows = tables.sites, tables.padded, tables.site_rows
    first_row, contact_row, back_row = tables.first_row, tables.contact_row, tables.back_row
    row_site, row_sign, row_lift = tables.row_site, tables.row_sign, tables.row_lift
    source, prefactor, pair_coulomb = tables.source, tables.prefactor, tables.pair_coulomb
    coulomb, cap, growth = tables.coulomb, tables.cap, tables.growth
    bounded = growth.shape[0] > 0
    patience = PATIENCE * tables.rows // LANES
    ramped = base_slope.size > 0
    ahead, slice_end, slice_length = 1.0, clock[STOP_AT], np.inf
    begin, slope = clock[TIME], np.zeros(padded)
    if ramped:
        slope[:sites] = base_slope
        slope[sites : sites + v.size] = v_slope
        ahead = np.exp(SLICE)
        slice_length = SLICE / max(_range(base_slope, v_slope), 1e-300)
        slice_end = min(clock[STOP_AT], clock[TIME] + slice_length)
    for k in range(sites):
        since[k] = clock[TIME]
    site_energies(tables, base, v, occupied, energy)
    _renew_bounds(tables, work, ahead)
    made = 0
    while made < hops:
        if made % RENEW == RENEW - 1:
            site_energies(tables, base, v, occupied, energy)
            add_scaled(energy, slope, clock[TIME] - begin)
            _renew_bounds(tables, work, ahead)
        total = add_lanes(sums, upto, lanes)
        vain, fallen = 0, 0.0
        over = False  # the slice is over, before any event
        while total > 0.0:
            wait = 1.0 / total
            if random_times:
                wait *= -np.log1p(-uniform(words))
            over = clock[TIME] + wait >= slice_end
            if over:
                wait = slice_end - clock[TIME]
            clock[TIME] = slice_end if over else clock[TIME] + wait
            clock[TRIES] += 1.0
            while clock[TIME] >= clock[SAMPLE_AT]:
                sample(tables, work, weight, tally.drift)
                clock[SAMPLES] += 1.0
                clock[SAMPLE_AT] += clock[SAMPLE_EVERY]
            if ramped:
                add_scaled(energy, slope, wait)
            if over:
                break
            lane, rest = pick_lane(lanes, uniform(words) * total)
            row, rest = find_row(bound, upto, lane, rest)
            own = energy[row_site[row]] + row_lift[row]
            rate = rates_at(prefactor, pair_coulomb, source, energy, row * WIDTH, own, row_sign[row], rates, 0)
            if rest < rate and rate > IMPOSSIBLE:
                break
            tight = min(_bound(rate * ahead, cap[row]), bound[row])
            fallen += np.float64(bound[row]) - np.float64(tight)
            bound[row] = tight
            vain += 1
            if fallen > FALLEN * total:
                fallen = 0.0
                sum_bounds(bound, sums)
                total = add_lanes(sums, upto, lanes)
            if vain > patience:
                vain = 0
                total = _renew_bounds(tables, work, ahead)
                if ramped:  # rates change while one waits, so they cannot be drawn from as they are
                    over = True
                    break
                if not total > 0.0:
                    break
                wait = 1.0 / total
                if random_times:
                    wait *= -np.log1p(-uniform(words))
                over = clock[TIME] + wait >= slice_end
                clock[TIME] = slice_end if over else clock[TIME] + wait
                if not over:
                    row, rest = _choose_exactly(tables, work, uniform(words) * total)
                break
        if over:
            if clock[TIME] >= clock[STOP_AT]:
                break
            if clock[TIME] >= slice_end:  # else the bounds are new
                slice_end = min(clock[STOP_AT], clock[TIME] + slice_length)
                _raise_bounds(bound, cap, np.float32(ahead * _UP), sums)
            continue
        if not total > 0.0:
            break
        event = row * WIDTH + _find_event(rates, rest)
        other = np.int64(source[event])
        into = row_sign[row] > 0.0
        arrived, left = (row_site[row], other) if into else (other, row_site[row])
        if row >= site_rows:
            charge[other - sites] += 1 if into else -1
            event = (WIDTH - 1) * site_rows + row
        if bounded:
            fetch_codes(growth, event)
        shift_energies(energy, coulomb, min(arrived, sites), min(left, sites))
        made += 1
        if left < sites:
            occupied[left] = 0
            energy[left] -= EMPTY
            held[left] += clock[TIME] - since[left]
            bound[contact_row[left]] = np.float32(0.0)
        if arrived < sites:
            occupied[arrived] = 1
            energy[arrived] += EMPTY
            since[arrived] = clock[TIME]
            for touched in range(first_row[arrived], first_row[arrived + 1]):
                bound[touched] = np.float32(0.0)
            bound[contact_row[arrived] + 1] = np.float32(0.0)
        if not bounded:
            _renew_bounds(tables, work, ahead)
            continue
        grow_bounds(bound, growth, event, cap, sums)
        if left < sites:  # the rows of a site whose hole has just left
            own = energy[left] + EMPTY
            for touched in range(first_row[left], first_row[left + 1]):
                rate = rates_at(prefactor, pair_coulomb, source, energy, touched * WIDTH, own, 1.0, rates, 0)
                _raise_bound(bound, sums, touched, _bound(rate * ahead, cap[touched]))
            touched = contact_row[left] + 1
            rate = rates_at(prefactor, pair_coulomb, source, energy, touched * WIDTH, own, 1.0, rates, 0)
            _raise_bound(bound, sums, touched, _bound(rate * ahead, cap[touched]))
        if arrived < sites:  # the rows of a site that has just got a hole, and what it adds to its empty neighbours'
            touched, own = contact_row[arrived], energy[arrived]
            rate = rates_at(prefactor, pair_coulomb, source, energy, touched * WIDTH, own, -1.0, rates, 0)
            _raise_bound(bound, sums, touched, _bound(rate * ahead, cap[touched]))
            own -= EMPTY  # empty neighbours' energies are lowered; others are shut out
            for here in range(first_row[arrived], first_row[arrived + 1]):
                at = here * WIDTH
                rates_at(prefactor, pair_coulomb, source, energy, at, own, -1.0, rates, 0)
                raise_rows(bound, sums, back_row, at, rates, ahead)
    if ramped:
        for electrode in range(v.size):
            v[electrode] += v_slope[electrode] * (clock[TIME] - begin)
    if made < hops and clock[STOP_AT] < np.inf:  # also where no event is possible
        clock[TIME] = clock[STOP_AT]
    for k in range(sites):
        if occupied[k] != 0:
            held[k] += clock[TIME] - since[k]
    return made
