"""Kinetic Monte Carlo against things that cannot be wrong: rates written out, closed forms, the master
equation.

Statistical tests have fixed seeds; each says how often it would fail for another seed if the code were right.
Where nothing else is said, that is 1e-4, by Student's t of the batch means (31 degrees of freedom) and, for
several comparisons at once, Bonferroni's or Fisher's rule.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.monte_carlo.hop_tables import hop_tables
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.monte_carlo.reference import direct_rates
from dnpu_models.monte_carlo.sampling import ratio
from dnpu_models.monte_carlo.trajectory import Energies, Method, Trajectory
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.geometry import Disc, Electrode
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import ConvergenceError, InputError

from ...refused import refused
from ..small_networks import SIDE, small_network
from ..written_out import reference_rates

FALSE_ALARM = 1e-4

Array = NDArray[np.float64]


def stationary(generator: Array) -> Array:
    """Stationary distribution for rates [from, to]: Grassmann, Taksar and Heyman, without cancellation."""
    q = generator.copy()
    np.fill_diagonal(q, 0.0)
    for m in range(len(q) - 1, 0, -1):
        q[:m, m] /= q[m, :m].sum()
        q[:m, :m] += np.outer(q[:m, m], q[m, :m])
    p = np.ones(len(q))
    for m in range(1, len(q)):
        p[m] = p[:m] @ q[:m, m]
    return np.asarray(p / p.sum())


def exact(network: DopantNetwork, voltages: Array) -> tuple[Array, Array]:
    """Mean currents (A, into the device) and occupations from the master equation over all 2^N states."""
    n, electrodes = network.n_sites, network.n_electrodes
    states = list(itertools.product((0, 1), repeat=n))
    index = {state: k for k, state in enumerate(states)}
    generator = np.zeros((len(states), len(states)))
    current = np.zeros((len(states), electrodes))
    for state in states:
        rates = reference_rates(network, voltages, np.array(state))
        for a, b in zip(*np.nonzero(rates), strict=True):
            after = list(state)
            if a < n:
                after[a] = 0
            else:
                current[index[state], a - n] += rates[a, b]
            if b < n:
                after[b] = 1
            else:
                current[index[state], b - n] -= rates[a, b]
            generator[index[state], index[tuple(after)]] += rates[a, b]
    p = stationary(generator)
    return ELEMENTARY_CHARGE * p @ current, p @ np.array(states, dtype=float)


def t_probability(value: Array, stderr: Array, truth: Array, freedom: int) -> Array:
    """Two-sided probability of a deviation at least this large."""
    return np.asarray(2 * stats.t.sf(np.abs(value - truth) / stderr, freedom))


# ---------------------------------------------------------------------------------------- rates, detailed balance


def test_the_reference_has_the_rates_written_out() -> None:
    for preset, changes in (("tertilt2022", {"acceptors": 40, "temperature_K": 20.0}), ("kmc_dn", {})):
        network = DopantNetwork.random(seed=5, preset=preset, **changes)
        rng = np.random.default_rng(6)
        for holes in (0.1, 0.5, 0.9):
            occupied = (rng.random(network.n_sites) < holes).astype(np.uint8)
            volts = rng.uniform(-network.limit_V, network.limit_V, network.n_electrodes)
            expected = reference_rates(network, volts, occupied)
            rates = direct_rates(network, volts, occupied)
            np.testing.assert_allclose(rates, expected, rtol=1e-11, atol=1e-290 * network.attempt_rate_Hz)


def test_rates_obey_detailed_balance() -> None:
    # H = sum_i n_i f_i + 1/2 sum_ij (1 - n_i)(1 - n_j) K_ij has E_i as its difference between n_i = 1 and 0.
    network = small_network(4, 2)
    volts = np.full(3, 0.3)
    energy = {}
    rates = {}
    for state in itertools.product((0, 1), repeat=4):
        empty = 1 - np.array(state)
        f = network.fixed_energies_eV + 0.3
        energy[state] = state @ f + 0.5 * empty @ network.coulomb_eV @ empty - 0.3 * sum(state)
        rates[state] = reference_rates(network, volts, np.array(state))
    pairs = 0
    for state, out in rates.items():
        for a, b in zip(*np.nonzero(out), strict=True):
            after = list(state)
            if a < 4:
                after[a] = 0
            if b < 4:
                after[b] = 1
            back = rates[tuple(after)][b, a]
            step = (energy[tuple(after)] - energy[state]) / network.thermal_energy_eV
            assert np.log(out[a, b] / back) == pytest.approx(-step, abs=1e-9)
            pairs += 1
    assert pairs == 16 * 4 * 3 + 4 * 3 * 2**2  # every site with every electrode, and 12 ordered pairs, 4 states each


# --------------------------------------------------------------------------------------------- exact currents


def one_site() -> DopantNetwork:
    return small_network(
        1,
        0,
        acceptors_m=[[0.4 * SIDE, 0.5 * SIDE]],
        donors_m=np.empty((0, 2)),
        site_energies_eV=[0.005],
        electrodes=(Electrode(0, SIDE / 2), Electrode(SIDE, SIDE / 2)),
        unit_potentials=[[0.6, 0.4]],
    )


@pytest.mark.parametrize("bias", [0.002, 0.01, -0.03])
def test_one_site_between_two_electrodes(bias: float) -> None:
    network = one_site()
    volts = np.array([bias, 0.0])
    into = reference_rates(network, volts, np.array([0]))[1:, 0]
    out = reference_rates(network, volts, np.array([1]))[0, 1:]
    current = ELEMENTARY_CHARGE * (into[0] * out[1] - into[1] * out[0]) / (into.sum() + out.sum())
    result = KineticMonteCarlo(network).estimate(volts, seed=3, hops=1_000_000)
    assert np.sign(current) == np.sign(bias)
    p = t_probability(result.counted, result.counted_stderr, np.array([current, -current]), result.batches - 1)
    assert p.min() > FALSE_ALARM / 2
    assert result.counted_stderr[0] < 0.02 * abs(current)
    # One site has no fluctuations that its mean field does not know: the expected current is the same in both states.
    np.testing.assert_allclose(result.value, [current, -current], rtol=1e-9)
    # The state alternates, so the mean waiting times give the occupation exactly.
    assert result.occupations[0] == pytest.approx(into.sum() / (into.sum() + out.sum()), rel=1e-9)
    assert result.time_s == pytest.approx(500_000 * (1 / into.sum() + 1 / out.sum()), rel=1e-9)


@pytest.mark.parametrize("method", ["graph", "rows"])
def test_drawn_waiting_times_are_exponential_in_mean(method: Method) -> None:
    # The sum of 2 n alternating waits has mean n (1/a + 1/b) and variance n (1/a^2 + 1/b^2).
    network, n = one_site(), 100_000
    volts = np.array([0.01, 0.0])
    a = reference_rates(network, volts, np.array([0])).sum() / network.attempt_rate_Hz
    b = reference_rates(network, volts, np.array([1])).sum() / network.attempt_rate_Hz
    words, occupied = np.array([5, 6, 7, 8], dtype=np.uint64), np.zeros(1, dtype=np.uint8)
    energies = Energies.at(network, volts[None, :])
    trajectory = Trajectory(hop_tables(network), energies, occupied, words, np.zeros((1, 2)), method)
    made, time, _, held, *_ = trajectory.follow(2 * n, random_times=True)
    z = (time - n * (1 / a + 1 / b)) / np.sqrt(n * (1 / a**2 + 1 / b**2))
    z_held = (held[0] - n / b) / (np.sqrt(n) / b)
    assert made == 2 * n
    assert min(2 * stats.norm.sf(abs(z)), 2 * stats.norm.sf(abs(z_held))) > FALSE_ALARM / 2


@pytest.mark.parametrize("method", ["graph", "rows"])
def test_currents_agree_with_the_master_equation(method: Method) -> None:
    # 16 networks of 3 to 6 sites, 3 electrodes: Bonferroni over all currents, Fisher over the largest of each
    # network.
    smallest, logs, hops = 1.0, 0.0, 300_000
    cases = list(itertools.product((3, 4, 5, 6), (50.0, 77.0, 150.0, 300.0)))
    for k, (n_sites, temperature) in enumerate(cases):
        network = small_network(n_sites, 100 + k, temperature_K=temperature)
        volts = np.random.default_rng(k).uniform(-0.05, 0.05, 3)
        current, _ = exact(network, volts)
        assert abs(current.sum()) < 1e-9 * np.abs(current).max()
        result = KineticMonteCarlo(network).estimate(volts, seed=k, hops=hops, method=method)
        p = t_probability(result.value, result.stderr, current, result.batches - 1)
        smallest = min(smallest, float(p.min()))
        largest = np.abs(current).argmax()
        assert result.stderr[largest] < 0.05 * abs(current[largest])
        logs -= 2 * np.log(p[largest])
    assert smallest > FALSE_ALARM / (3 * len(cases))
    assert stats.chi2.sf(logs, 2 * len(cases)) > FALSE_ALARM
    assert stats.chi2.cdf(logs, 2 * len(cases)) > FALSE_ALARM  # nor too good to be true: stderr not too large


def test_occupations_agree_with_the_master_equation() -> None:
    network, volts, runs = small_network(5, 8), np.array([0.03, -0.02, 0.0]), 16
    _, truth = exact(network, volts)
    result = KineticMonteCarlo(network).estimate(np.tile(volts, (runs, 1)), seed=4, hops=20_000)
    mean, stderr = result.occupations.mean(axis=0), result.occupations.std(axis=0, ddof=1) / np.sqrt(runs)
    assert t_probability(mean, stderr, truth, runs - 1).min() > FALSE_ALARM / network.n_sites


def test_stderr_covers() -> None:
    # 200 runs: how many t intervals at 50 % and at 95 % hold the exact value is binomial; both ends, 1e-4 in
    # all.
    network, volts, runs = small_network(3, 12, temperature_K=150.0), np.array([0.03, -0.02, 0.01]), 200
    current, _ = exact(network, volts)
    result = KineticMonteCarlo(network).estimate(np.tile(volts, (runs, 1)), seed=9, hops=32 * 400)
    t = np.abs(result.value - current)[:, 0] / result.stderr[:, 0]
    for level in (0.5, 0.95):
        covered = int((t < stats.t.ppf(0.5 + level / 2, result.batches - 1)).sum())
        low, high = stats.binom.ppf([FALSE_ALARM / 4, 1 - FALSE_ALARM / 4], runs, level)
        assert low <= covered <= high


def test_a_ratio_of_batches_has_the_standard_error_of_a_mean() -> None:
    """Where all batches weigh alike it is that of their mean, s / sqrt(B) with B - 1 in s^2; three batches show it."""
    sums = np.array([[1.0, -2.0], [4.0, 0.5], [2.5, 3.0]])
    value, stderr = ratio(sums, np.full(3, 2.0))
    np.testing.assert_allclose(value, sums.mean(axis=0) / 2.0, rtol=1e-12)
    np.testing.assert_allclose(stderr, stats.sem(sums / 2.0), rtol=1e-12)


def test_the_errors_shrink_with_the_hops() -> None:
    model, volts = KineticMonteCarlo(small_network(4, 3)), np.array([0.05, 0.0, -0.05])
    few = model.estimate(volts, seed=1, hops=20_000).stderr
    many = model.estimate(volts, seed=1, hops=320_000).stderr
    # Each stderr is good to 13 %: a ratio of 4 by 18 %; 2 and 8 are more than 3.8 sigma away on each of 3
    # electrodes.
    assert np.all((few / many > 2) & (few / many < 8))


# ---------------------------------------------------------------------------------- equilibrium, conservation


@pytest.mark.parametrize("level", [0.0, 0.2])
def test_no_current_at_equal_voltages(level: float) -> None:
    network = DopantNetwork.random(seed=3, acceptors=30)
    result = KineticMonteCarlo(network).estimate(np.full(8, level), seed=7, hops=200_000)
    assert (result.counted_stderr > 1.1 * ELEMENTARY_CHARGE / result.time_s).sum() >= 4
    for value, stderr in ((result.value, result.stderr), (result.counted, result.counted_stderr)):
        assert t_probability(value, stderr, np.zeros(8), result.batches - 1).min() > FALSE_ALARM / 16


def test_charge_is_conserved_exactly() -> None:
    network = DopantNetwork.random(seed=2, acceptors=40)
    start = np.arange(40) % 2
    volts = np.random.default_rng(1).uniform(-1, 1, (3, 8))
    result = KineticMonteCarlo(network).estimate(volts, seed=5, hops=10_001, burn_in=0, initial=start)
    holes = result.counted * result.time_s[:, None] / ELEMENTARY_CHARGE
    np.testing.assert_allclose(holes, np.round(holes), atol=1e-6)
    stored = result.final.sum(axis=1, dtype=int) - start.sum()
    np.testing.assert_array_equal(np.round(holes).astype(int).sum(axis=1), stored)


def test_closed_system_is_boltzmann_distributed() -> None:
    # No electrode within reach: two holes on four sites; H as in the detailed balance above.
    sites = 1e-9 * np.array([[0, 0], [9, 2], [-3, 11], [12, 14]])
    network = small_network(
        4,
        0,
        acceptors_m=sites,
        site_energies_eV=[0.0, 0.004, -0.003, 0.006],
        donors_m=[[5e-9, 30e-9]],
        shape=Disc(1e-6),
        electrodes=(Electrode(1e-6, 0), Electrode(-1e-6, 0)),
        unit_potentials=np.full((4, 2), 0.5),
        hop_max_m=100e-9,
    )
    states = np.array([s for s in itertools.product((0, 1), repeat=4) if sum(s) == 2])
    empty = 1 - states
    energy = states @ network.fixed_energies_eV
    energy += 0.5 * np.einsum("si,ij,sj->s", empty, network.coulomb_eV, empty)
    weight = np.exp(-(energy - energy.min()) / network.thermal_energy_eV)
    truth = weight @ states / weight.sum()
    runs = 16
    model = KineticMonteCarlo(network)
    result = model.estimate(np.zeros((runs, 2)), seed=6, hops=20_000, initial=[1, 1, 0, 0])
    assert np.all(result.counted == 0)
    assert np.all(result.counted_stderr == 0)
    assert np.abs(result.value).max() < 1e-20
    np.testing.assert_array_equal(result.final.sum(axis=1), 2)
    mean, stderr = result.occupations.mean(axis=0), result.occupations.std(axis=0, ddof=1) / np.sqrt(runs)
    assert stderr.max() < 0.01
    assert t_probability(mean, stderr, truth, runs - 1).min() > FALSE_ALARM / 4


# ---------------------------------------------------------------------------------------- seeds, axes, errors


def test_the_seed_decides_everything() -> None:
    network = DopantNetwork.random(seed=1, acceptors=30)
    model, volts = KineticMonteCarlo(network), np.linspace(-0.5, 0.5, 8)
    first = model.estimate(volts, seed=11, hops=5000)
    again = KineticMonteCarlo(DopantNetwork.random(seed=1, acceptors=30)).estimate(volts, seed=11, hops=5000)
    other = model.estimate(volts, seed=12, hops=5000)
    for name in ("value", "stderr", "time_s", "occupations", "final"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.value, other.value)
    np.testing.assert_array_equal(model.currents(volts, 11, 5000), first.value)
    drawn = [model.estimate(volts, seed=np.random.default_rng(3), hops=5000).value for _ in range(2)]
    np.testing.assert_array_equal(*drawn)
    rng = np.random.default_rng(3)
    assert not np.array_equal(model.currents(volts, rng, 5000), model.currents(volts, rng, 5000))


def test_leading_axes_have_streams_of_their_own() -> None:
    network = small_network(4, 3)
    model, volts = KineticMonteCarlo(network), np.array([0.05, 0.0, -0.05])
    single = model.estimate(volts, seed=1, hops=2000)
    many = model.estimate(np.tile(volts, (2, 3, 1)), seed=1, hops=2000)
    assert many.value.shape == many.stderr.shape == (2, 3, 3)
    assert many.time_s.shape == (2, 3)
    assert many.occupations.shape == many.final.shape == (2, 3, 4)
    np.testing.assert_array_equal(many.value[0, 0], single.value)
    assert len(np.unique(many.time_s)) == 6
    assert model.estimate(np.empty((0, 3)), seed=1, hops=2000).value.shape == (0, 3)


def test_a_run_goes_on_from_the_final_occupation() -> None:
    model, volts = KineticMonteCarlo(small_network(4, 3)), np.array([0.05, 0.0, -0.05])
    first = model.estimate(volts, seed=1, hops=2000)
    kept = first.final.copy()
    model.estimate(volts, seed=2, hops=2000, initial=first.final, burn_in=0)
    np.testing.assert_array_equal(first.final, kept)


def test_progress_counts_hops() -> None:
    seen: list[tuple[int, int]] = []
    model = KineticMonteCarlo(small_network(3, 1))
    model.estimate(np.zeros((2, 3)), seed=1, hops=100, burn_in=50, batches=3, progress=lambda *now: seen.append(now))
    assert seen == [(done, 300) for done in (50, 83, 116, 150, 200, 233, 266, 300)]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("voltages", {"voltages": [0.0, np.nan, 0.0]}),
        ("voltages", {"voltages": [0.0, 1.1, 0.0]}),
        ("voltages", {"voltages": [0.0, 0.0]}),
        ("hops", {"hops": 0}),
        ("hops", {"hops": 31}),
        ("hops", {"hops": None}),
        ("until", {"until": 0.0}),
        ("until", {"until": 1}),
        ("until", {"until": np.nan}),
        ("electrode", {"until": 0.1, "electrode": 3}),
        ("batches", {"until": 0.1, "batches": 31}),
        ("threads", {"threads": 0}),
        ("method", {"method": "fast"}),
        ("batches", {"batches": 1}),
        ("burn_in", {"burn_in": -1}),
        ("seed", {"seed": -1}),
        ("initial", {"initial": [1, 0]}),
        ("initial", {"initial": [1, 0, 2]}),
        ("initial", {"initial": [1, 0, np.nan]}),
        ("initial", {"initial": ["1", "0", "0"]}),
        ("electrode", {"electrode": 3}),
    ],
)
def test_input_errors_name_the_field(field: str, arguments: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"voltages": np.zeros(3), "seed": 1, "hops": 1000}
    settings |= arguments
    with refused(field):
        KineticMonteCarlo(small_network(3, 1)).estimate(settings.pop("voltages"), **settings)


def test_a_trajectory_is_followed_further_and_further() -> None:
    model, volts = KineticMonteCarlo(small_network(4, 3)), np.array([0.05, 0.0, -0.05])
    one, two = (model.trajectory(volts, seed=1, initial=[1, 0, 1, 1]) for _ in range(2))
    parts = [one.follow(hops) for hops in (100, 300)]
    whole = two.follow(400)
    np.testing.assert_array_equal(one.occupied, two.occupied)
    np.testing.assert_array_equal(parts[0].charge + parts[1].charge, whole.charge)
    assert parts[0].time + parts[1].time == pytest.approx(whole.time, rel=1e-12)
    with refused("voltages"):
        model.trajectory(np.zeros((2, 3)), seed=1)
    with pytest.raises(InputError, match="choose graph, rows or direct"):
        model.trajectory(volts, seed=1, method="fast")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at most 64 sites"):
        KineticMonteCarlo(DopantNetwork.random(seed=0, acceptors=70)).trajectory(np.zeros(8), seed=1, method="graph")


def test_a_device_where_nothing_can_move_says_so() -> None:
    network = small_network(3, 1, hop_max_m=1e-12)
    with pytest.raises(ConvergenceError, match="stuck with 2 holes on 3 sites"):
        KineticMonteCarlo(network).estimate(np.zeros(3), seed=1, hops=100)


def test_the_model_is_frozen() -> None:
    model = KineticMonteCarlo(small_network(3, 1))
    with pytest.raises(AttributeError):
        model.network = small_network(3, 2)  # type: ignore[misc]
    assert model.terminals == ("e0", "e1", "e2")
    np.testing.assert_array_equal(model.limits_V, np.tile([-1.0, 1.0], (len(model.terminals), 1)))


def test_conductances_are_the_exact_difference_quotients() -> None:
    # z-scores of 3 x 3 entries and of two settings, Bonferroni: false alarm 1e-4 (Student, 31 + 31 degrees of freedom).
    network = small_network(6, 3, temperature_K=150.0)
    volts = np.array([[0.05, -0.03, 0.0], [0.0, 0.02, 0.995]])
    found = KineticMonteCarlo(network).estimate_conductances(volts, seed=4, hops=100_000)
    exact = MasterEquation(network)
    for m, setting in enumerate(volts):
        for k in range(3):
            up, down = setting.copy(), setting.copy()
            up[k], down[k] = min(up[k] + found.step_V, 1.0), max(down[k] - found.step_V, -1.0)
            truth = (exact.currents(up) - exact.currents(down)) / (up[k] - down[k])
            t = (found.value[m, :, k] - truth) / found.stderr[m, :, k]
            assert np.abs(t).max() < stats.t(62).isf(FALSE_ALARM / 36)
    np.testing.assert_array_equal(
        KineticMonteCarlo(network).conductances(volts[0], 1, 10_000),
        KineticMonteCarlo(network).estimate_conductances(volts[0], seed=1, hops=10_000).value,
    )
    with pytest.raises(InputError, match="step_V"):
        KineticMonteCarlo(network).estimate_conductances(volts[0], seed=1, step_V=0.0)
