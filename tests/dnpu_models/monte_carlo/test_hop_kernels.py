"""The compiled trajectories: vector arithmetic, rates and bounds against what is written out plainly.

Statistical tests have fixed seeds and say how often they would fail for another seed if the code were right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray
from scipy import stats

from dnpu_models.interface import vectors
from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.monte_carlo import graph_kernel, row_kernel, vector_rates
from dnpu_models.monte_carlo.hop_tables import EMPTY, HopTables, code_of, hop_tables
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.monte_carlo.reference import direct_rates, direct_tables
from dnpu_models.monte_carlo.trajectory import Energies, Method, Trajectory
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import ConvergenceError
from inmateria.random_words import next_word, uniform

FALSE_ALARM = 1e-4
WIDTH, LANES, BLOCKS = vectors.WIDTH, vector_rates.LANES, vector_rates.BLOCKS

Array = NDArray[np.float64]


def random_state(network: DopantNetwork, seed: int, holes: float = 0.6) -> tuple[Array, NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    volts = rng.uniform(-0.6, 0.6, network.n_electrodes) * min(network.limit_V, 1.0)
    return volts, (rng.random(network.n_sites) < holes).astype(np.uint8)


def energies(network: DopantNetwork, volts: Array) -> Energies:
    return Energies.at(network, volts[None, :])


# --------------------------------------------------------------------------------------------- random words, vectors


def test_random_words_are_those_of_the_published_generator() -> None:
    # First outputs of xoshiro256++ from the state 1, 2, 3, 4: the authors' C code.
    words = np.array([1, 2, 3, 4], dtype=np.uint64)
    expected = [
        41943041,
        58720359,
        3588806011781223,
        3591011842654386,
        9228616714210784205,
        9973669472204895162,
    ]
    assert [int(next_word(words)) for _ in expected] == expected
    draws = np.array([uniform(words) for _ in range(1000)])
    assert draws.min() >= 0
    assert draws.max() < 1


@njit
def _rates(g: Any, k: Any, source: Any, energy: Any, own: Any, sign: Any, out: Any) -> Any:
    total = 0.0
    for at in range(0, g.size, 8):
        total += vector_rates.rates_at(g, k, source, energy, at, own, sign, out, at)  # type: ignore[call-arg]
    return total


def test_eight_rates_at_a_time_are_the_formula() -> None:
    rng = np.random.default_rng(0)
    count = 8000
    energy = np.concatenate([rng.normal(0, 200, 60), [0.0, -EMPTY, 1e-9, -1e-9]])
    source = rng.integers(0, len(energy), count).astype(np.uint32)
    g, k = rng.uniform(0, 1, count), rng.uniform(0, 30, count)
    for own in (0.0, 3.3, -170.0):
        out = np.empty(count)
        for sign in (1.0, -1.0):
            barrier = sign * (own - energy[source]) - k
            total = _rates(g, k, source, energy, own, sign, out)
            exact = g * np.exp(-np.clip(barrier, 0.0, vectors.LARGEST))
            np.testing.assert_allclose(out, exact, rtol=1e-13)
            assert total == pytest.approx(exact.sum(), rel=1e-13)


@njit
def _grow(bounds: Any, codes: Any, event: Any, caps: Any, sums: Any) -> None:
    vector_rates.fetch_codes(codes, event)
    vector_rates.grow_bounds(bounds, codes, event, caps, sums)


@njit
def _sum(bounds: Any, sums: Any) -> None:
    vector_rates.sum_bounds(bounds, sums)


@njit
def _raise(bounds: Any, sums: Any, rows: Any, rates: Any, factor: Any) -> None:
    vector_rates.raise_rows(bounds, sums, rows, 0, rates, factor)


@njit
def _add(sums: Any, upto: Any, lanes: Any) -> Any:
    return vector_rates.add_lanes(sums, upto, lanes)


@njit
def _pick(bounds: Any, upto: Any, lanes: Any, target: Any) -> Any:
    lane, rest = vector_rates.pick_lane(lanes, target)  # type: ignore[call-arg, misc]
    return row_kernel.find_row(bounds, upto, lane, rest)


@njit
def _pick_event(rates: Any, rest: Any) -> Any:
    return vector_rates.pick_event(rates, rest)


def exact_sums(bounds: Any) -> Array:
    """Sums of each group of vectors, lane by lane."""
    return np.asarray(bounds, dtype=float).reshape(-1, BLOCKS, LANES).sum(axis=1).ravel()


def test_bounds_grow_by_their_codes_and_never_beyond_the_caps() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(8, 256, (3, 256)).astype(np.uint8)
    codes[1] = np.maximum(np.arange(256), 8)
    codes[2, ::3] = 0
    caps = rng.uniform(0.5, 100, 256).astype(np.float32)
    for event in range(3):
        bounds = rng.uniform(0, 1, 256).astype(np.float32)
        bounds[::7] = 0.0
        growth = 1 + (1 + (codes[event] % 8) / 8) * 2.0 ** (codes[event] // 8 - 15.0)
        growth[codes[event] == 0] = 1.0
        growth[codes[event] == 255] = 2.0**64
        expected = np.minimum(bounds.astype(float) * growth, caps)
        sums = np.empty(2 * LANES, dtype=np.float32)
        _grow(bounds, codes, event, caps, sums)
        np.testing.assert_allclose(bounds, expected, rtol=1e-7)
        np.testing.assert_allclose(sums, exact_sums(bounds), rtol=2 * (vector_rates.SUM_MARGIN - 1))
        assert np.all(sums >= exact_sums(bounds))


def test_every_growth_has_a_code_that_is_no_smaller_and_hardly_larger() -> None:
    for exponent in np.concatenate([-np.logspace(-3, 3, 50), np.logspace(-7, 1.0, 400)]):
        code = int(code_of(exponent))
        growth = 1 + (1 + (code % 8) / 8) * 2.0 ** (code // 8 - 15.0) if code else 1.0
        exact = max(np.exp(exponent), 1.0)
        assert code == 0 or 8 <= code < 255
        assert exact * (1 + 6e-8) <= growth or exponent < 0  # a rounding of each growth is covered
        assert growth - 1 <= max(1.126 * (exact - 1) + 2e-6 * exact, 2.0**-14)
    assert code_of(45.0) == code_of(1e9) == vector_rates.LARGEST_CODE


def test_rows_are_raised_by_rates_and_sums_stay_above_them() -> None:
    rng = np.random.default_rng(4)
    bounds = (rng.exponential(1.0, 4 * LANES * BLOCKS) * 10.0 ** rng.uniform(-12, 0, 4 * LANES * BLOCKS)).astype("f4")
    sums = np.zeros(4 * LANES, dtype=np.float32)
    _sum(bounds, sums)
    for _ in range(100):
        rows = rng.choice(len(bounds), 8, replace=False)
        rates = rng.exponential(1.0, 8) * 10.0 ** rng.uniform(-12, 0, 8)
        before = bounds.astype(float)
        _raise(bounds, sums, rows, rates, 1.05)
        expected = before.copy()
        expected[rows] += 1.05 * rates
        assert np.all(bounds >= expected)
        np.testing.assert_allclose(bounds, expected, rtol=5e-7)
        assert np.all(sums >= exact_sums(bounds))
    np.testing.assert_allclose(sums, exact_sums(bounds), rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 3, 8, 11])
def test_rows_are_picked_in_proportion(groups: int) -> None:
    # A target between two running sums of the bounds, in the order lane, group, vector, belongs to one row; sums are
    # larger than the bounds, and what falls between is a rest that no rate of the row returned can exceed.
    rng = np.random.default_rng(2)
    bounds = rng.exponential(1.0, LANES * BLOCKS * groups).astype(np.float32)
    bounds[3::LANES] = 0.0  # a lane without anything is never picked
    bounds[5 * LANES : 6 * LANES] = 0.0
    sums = np.zeros(row_kernel.sum_words(len(bounds)), dtype=np.float32)
    upto, lanes = np.zeros(len(sums) + LANES), np.zeros(vector_rates.LANE_WORDS)
    _sum(bounds, sums)
    total = _add(sums, upto, lanes)
    assert total == pytest.approx(sums.sum(dtype=float), rel=1e-14)
    order = np.arange(len(bounds)).reshape(groups, BLOCKS, LANES)
    below = np.zeros(len(bounds))  # where a row begins along the targets
    at = 0.0
    for lane in range(LANES):
        for group in range(groups):
            inside = bounds[order[group, :, lane]].astype(float)
            below[order[group, :, lane]] = at + np.cumsum(inside) - inside
            at += float(sums[group * LANES + lane])
    vain = 0
    for target in rng.uniform(0, total, 4000):
        row, rest = _pick(bounds, upto, lanes, target)
        assert row % LANES != 3
        assert below[row] + rest == pytest.approx(target, rel=1e-12, abs=1e-12)
        assert rest >= -1e-12
        vain += rest >= bounds[row]
    assert vain <= 4  # of 4000, at 4e-6 each: more by chance in one of 1e9


def test_events_are_picked_in_proportion() -> None:
    rates = np.array([0.5, 0.0, 2.0, 0.0, 0.0, 1.0, 0.25, 0.0])
    upto = np.cumsum(rates)
    for rest in np.linspace(0, upto[-1] * (1 - 1e-12), 997):
        event, left = _pick_event(rates, rest)
        assert event == np.searchsorted(upto, rest, side="right")
        assert left == pytest.approx(rest - upto[event] + rates[event], abs=1e-12)


# ---------------------------------------------------------------------------------------------------- rates, bounds


def row_events(tables: HopTables, row: int) -> list[tuple[int, int]]:
    """The events (from, to) of a row, electrodes after sites; (-1, -1) pads."""
    n, k = tables.sites, int(tables.row_site[row])
    real = tables.prefactor[row * WIDTH : (row + 1) * WIDTH] > 0
    others = tables.source[row * WIDTH : (row + 1) * WIDTH].astype(int)
    pairs = [(int(i), k) if tables.row_sign[row] > 0 else (k, int(i)) for i in others]
    assert k < n or not real.any()
    return [pair if is_real else (-1, -1) for pair, is_real in zip(pairs, real, strict=True)]


CASES = [
    ("tertilt2022", {"acceptors": 60}),
    ("tertilt2022", {"acceptors": 60, "temperature_K": 20.0}),
    ("tertilt2022", {"acceptors": 9, "donors": 1}),
    ("kmc_dn", {}),
]


@pytest.mark.parametrize(("preset", "changes"), CASES)
def test_rows_hold_every_rate_once(preset: str, changes: dict[str, Any]) -> None:
    network = DopantNetwork.random(seed=5, preset=preset, **changes)
    tables = hop_tables(network)
    for seed, holes in enumerate((0.1, 0.5, 0.9)):
        volts, occupied = random_state(network, seed, holes)
        expected = direct_rates(network, volts, occupied) / network.attempt_rate_Hz
        base, v = energies(network, volts)
        work = row_kernel.workspace(tables, occupied)
        row_kernel.site_energies(tables, base, v, work.occupied, work.energy)
        found = np.zeros_like(expected)
        for row in range(tables.rows):
            total = row_kernel.row_rates(tables, row, work.occupied, work.energy, work.rates)
            events = row_events(tables, row)
            if total > 0:
                for rate, (a, b) in zip(work.rates, events, strict=False):
                    if a >= 0:
                        found[a, b] += rate
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-290)
        if network.n_sites <= graph_kernel.SITES:
            key = np.uint64(sum(1 << int(k) for k in np.nonzero(occupied)[0]))
            rates = np.zeros(WIDTH * tables.site_rows + len(tables.contact_rate))
            total = graph_kernel.state_rates(tables, base, v, key, occupied.copy(), np.zeros(tables.padded), rates)
            assert total == pytest.approx(expected.sum(), rel=1e-9)


@pytest.mark.parametrize("ramped", [False, True])
@pytest.mark.parametrize(("preset", "changes"), CASES)
def test_no_rate_ever_exceeds_its_bound(preset: str, changes: dict[str, Any], ramped: bool) -> None:
    # What makes the thinning exact. A run begins with true rates as bounds, so after 1 to 400 hops they have been grown
    # and tightened as in any other; the energies are compared too. Ramps move the voltages by 0.02 kT a hop or so.
    network = DopantNetwork.random(seed=6, preset=preset, **changes)
    tables = hop_tables(network)
    volts, occupied = random_state(network, 3)
    base, v = (a.copy() for a in energies(network, volts))
    work = row_kernel.workspace(tables, occupied)
    words = np.array([1, 2, 3, 4], dtype=np.uint64)
    rng = np.random.default_rng(4)
    weight = np.zeros((tables.sites, len(v)))
    per_hop = 1 / (direct_rates(network, volts, occupied).sum() / network.attempt_rate_Hz)
    tries = followed_hops = 0.0
    for stretch, hops in enumerate(rng.integers(1, 400, 40).tolist()):
        tally = row_kernel.Tally(
            np.zeros(row_kernel.CLOCK_WORDS), np.zeros(len(v), dtype=np.int64), np.zeros(tables.sites), np.zeros(len(v))
        )
        tally.clock[[row_kernel.STOP_AT, row_kernel.SAMPLE_AT]] = np.inf
        slope = (-1) ** stretch * rng.uniform(0, 0.02, len(v)) / per_hop if ramped else np.empty(0)
        base_slope = network.unit_potentials @ slope if ramped else np.empty(0)
        made = row_kernel.run_rows(tables, base, v, base_slope, slope, work, words, hops, ramped, weight, tally)
        assert made == hops
        if ramped:
            base += base_slope * tally.clock[row_kernel.TIME]
        rates = np.array(
            [row_kernel.row_rates(tables, row, work.occupied, work.energy, work.rates) for row in range(tables.rows)]
        )
        assert np.all(work.bound >= rates)
        tries, followed_hops = tries + float(tally.clock[row_kernel.TRIES]), followed_hops + hops
        followed = work.energy.copy()
        row_kernel.site_energies(tables, base, v, work.occupied, work.energy)
        np.testing.assert_allclose(followed[: tables.sites], work.energy[: tables.sites], atol=1e-7)
    # And the bounds are of use: after a hop their sum is 500 times the rates' on kmc_dn, and vain tries mend that.
    assert tries < 100 * followed_hops


def test_without_room_for_growth_all_bounds_are_computed_anew() -> None:
    network = DopantNetwork.random(seed=6, acceptors=60)
    tables = hop_tables(network, growth=False)
    assert tables.growth.shape[0] == 0
    volts, occupied = random_state(network, 3)
    words = np.array([1, 2, 3, 4], dtype=np.uint64)
    setting = energies(network, volts)
    trajectory = Trajectory(tables, setting, occupied, words, np.zeros((60, 8)), "rows")
    batch = trajectory.follow(500)
    assert batch.made == 500
    assert trajectory.tries_per_hop == 1.0  # nothing is ever drawn in vain
    with_growth = Trajectory(
        hop_tables(network), setting, occupied, np.array([1, 2, 3, 4], dtype=np.uint64), np.zeros((60, 8)), "rows"
    )
    with_growth.follow(500)
    assert with_growth.tries_per_hop > 1.2


def test_expected_currents_are_those_of_the_rates_written_out() -> None:
    network = DopantNetwork.random(seed=8, acceptors=50)
    tables, n, electrodes = hop_tables(network), 50, 8
    volts, occupied = random_state(network, 1)
    base, v = energies(network, volts)
    rates = direct_rates(network, volts, occupied) / network.attempt_rate_Hz
    inflow = rates[:, :n].sum(axis=0) - rates[:n, :].sum(axis=1)
    current = rates[n:, :].sum(axis=1) - rates[:, n:].sum(axis=0)
    weight = np.random.default_rng(2).normal(size=(n, electrodes))
    expected = current + inflow @ weight
    work = row_kernel.workspace(tables, occupied)
    row_kernel.site_energies(tables, base, v, work.occupied, work.energy)
    drift = np.zeros(electrodes)
    row_kernel.sample(tables, work, weight, drift)
    np.testing.assert_allclose(drift, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())
    graph = graph_kernel.graph(tables, electrodes)
    key = np.uint64(sum(1 << int(k) for k in np.nonzero(occupied)[0]))
    state = graph_kernel.state_of(graph, tables, base, v, key, weight)
    np.testing.assert_allclose(graph.drift[state], expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


# ----------------------------------------------------------------------------------------------------- distributions


def small() -> DopantNetwork:
    return DopantNetwork.random(seed=11, acceptors=8, donors=1, temperature_K=200.0)


@pytest.mark.parametrize("method", ["graph", "rows", "direct"])
def test_states_after_a_few_hops_are_those_of_the_jump_chain(method: Method) -> None:
    """4,000 runs of 12 hops from one state against the powers of the exact jump matrix: chi-square, false alarm 1e-4.

    Twelve hops in one run, so that bounds grow, are exceeded and tightened, and states are found again.
    """
    network, runs, hops = small(), 4000, 12
    volts, occupied = random_state(network, 5)
    transitions = MasterEquation(network).transitions(volts)
    jump = np.zeros((256, 256))
    np.add.at(jump, (transitions.start, transitions.end), transitions.rates_Hz)
    jump /= jump.sum(axis=1, keepdims=True)
    begin = int(sum(1 << int(k) for k in np.nonzero(occupied)[0]))
    expected = np.linalg.matrix_power(jump, hops)[begin] * runs
    tables: Any = direct_tables(network) if method == "direct" else hop_tables(network)
    words = np.array([7, 8, 9, 10], dtype=np.uint64)
    weight = np.zeros((8, 8))
    counts = np.zeros(256)
    trajectory = Trajectory(tables, energies(network, volts), occupied, words, weight, method, keep=True)
    for _ in range(runs):
        trajectory.occupied[:] = occupied
        assert trajectory.follow(hops).made == hops
        counts[int(trajectory.occupied @ (1 << np.arange(8)))] += 1
    order = np.argsort(-expected)
    large = order[expected[order] >= 5]
    rest = order[expected[order] < 5]
    observed = np.append(counts[large], counts[rest].sum())
    wanted = np.append(expected[large], expected[rest].sum())
    keep = wanted > 0
    assert len(large) > 10
    assert counts[expected == 0].sum() == 0
    p = stats.chisquare(observed[keep], wanted[keep] * observed.sum() / wanted[keep].sum()).pvalue
    assert p > FALSE_ALARM


@pytest.mark.parametrize("method", ["graph", "rows"])
def test_errors_cover_at_the_stated_rate(method: Method) -> None:
    # Rates as well as counts: of 120 runs each, how many 95 % t intervals hold the exact current is binomial; over two
    # electrodes and two estimates 1e-4 in all.
    network, runs = small(), 120
    volts, _ = random_state(network, 5)
    truth = MasterEquation(network).currents(volts)
    result = KineticMonteCarlo(network).estimate(np.tile(volts, (runs, 1)), seed=3, hops=40_000, method=method)
    strong = np.argsort(-np.abs(truth))[:2]
    limit = stats.t.ppf(0.975, result.batches - 1)
    low, high = stats.binom.ppf([FALSE_ALARM / 8, 1 - FALSE_ALARM / 8], runs, 0.95)
    for value, stderr in ((result.value, result.stderr), (result.counted, result.counted_stderr)):
        for k in strong:
            covered = int((np.abs(value[:, k] - truth[k]) < limit * stderr[:, k]).sum())
            assert low <= covered <= high


def test_rates_are_the_better_estimate_on_a_large_network() -> None:
    network = DopantNetwork.random(seed=0)
    volts = np.random.default_rng(5).uniform(-0.6, 0.6, 8)
    result = KineticMonteCarlo(network).estimate(volts, seed=1, hops=100_000)
    gain = (result.counted_stderr**2).sum() / (result.stderr**2).sum()
    print(f"variance of counts over that of rates: {gain:.0f}")
    assert gain > 10
    assert abs(result.value.sum()) < 1e-9 * np.abs(result.value).max()  # their sum vanishes in every state
    apart = np.abs(result.value - result.counted) / result.counted_stderr
    assert stats.t.sf(apart.max(), 31) > FALSE_ALARM / 16


def test_until_stops_at_the_error_asked_for() -> None:
    network = DopantNetwork.random(seed=0)
    model = KineticMonteCarlo(network)
    volts = np.random.default_rng(5).uniform(-0.6, 0.6, (2, 8))
    result = model.estimate(volts, seed=1, until=0.004)
    largest = np.abs(result.value).argmax(axis=1)
    for k in range(2):
        assert result.stderr[k, largest[k]] <= 0.004 * abs(result.value[k, largest[k]])
    again = model.estimate(volts, seed=1, until=0.004, threads=2)
    np.testing.assert_array_equal(result.value, again.value)
    weak = np.abs(result.value[0])
    k = int(np.where(weak > 2e-9, weak, np.inf).argmin())
    sharper = model.estimate(volts[0], seed=1, until=0.01, electrode=k)
    assert sharper.stderr[k] <= 0.01 * abs(sharper.value[k])
    with pytest.raises(ConvergenceError, match=f"e{k} has .* more hops"):
        model.estimate(volts[0], seed=1, until=1e-4, electrode=k, hops=100_000)
