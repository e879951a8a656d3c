"""The master equation against things that cannot be wrong: closed forms, Boltzmann, conservation, Onsager, Nyquist.

The one statistical test (against kinetic Monte Carlo) has a fixed seed and says how often it would fail for another
one if the code were right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dnpu_models.interface.device import has_exact_slopes
from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.geometry import Disc, Electrode
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import ConvergenceError

from ...refused import refused
from ..small_networks import chain, small_network
from ..written_out import reference_rates

FALSE_ALARM = 1e-4
E = ELEMENTARY_CHARGE

Array = NDArray[np.float64]


def isolated(n_sites: int, seed: int, **changes: Any) -> DopantNetwork:
    """Sites in the middle of a disc, its electrodes out of reach."""
    points = np.random.default_rng(seed).uniform(-20e-9, 20e-9, (n_sites, 2))
    settings: dict[str, Any] = {
        "acceptors_m": points,
        "donors_m": [[5e-9, 30e-9]],
        "shape": Disc(1e-6),
        "electrodes": (Electrode(1e-6, 0), Electrode(-1e-6, 0)),
        "unit_potentials": 0.5 + np.outer(points[:, 0], [1, -1]) / 1e-7,
        "hop_max_m": 100e-9,
    }
    return small_network(n_sites, seed, **(settings | changes))


def occupations(n_sites: int) -> NDArray[np.int64]:
    return (np.arange(1 << n_sites)[:, None] >> np.arange(n_sites)) & 1


def total_energy(network: DopantNetwork, volts: Array, states: NDArray[np.int64]) -> Array:
    """H = sum_i n_i f_i + 1/2 sum_ij (1 - n_i)(1 - n_j) K_ij, whose difference on n_i is the energy of a hole on i."""
    empty = 1 - states
    energy = states @ (network.fixed_energies_eV + network.unit_potentials @ volts)
    return np.asarray(energy + 0.5 * np.einsum("si,ij,sj->s", empty, network.coulomb_eV, empty))


def gross_flow(model: MasterEquation, volts: Array) -> Array:
    """Holes per second through each electrode, in and out."""
    hops = model.transitions(volts)
    p = model.occupations_distribution(volts)
    return np.asarray((p[hops.start] * hops.rates_Hz) @ np.abs(hops.weights(displacement=False)))


# ------------------------------------------------------------------------------------------------- transitions


@pytest.mark.parametrize("temperature_K", [77.0, 300.0])
def test_transitions_are_those_written_out(temperature_K: float) -> None:
    network = small_network(5, 3, temperature_K=temperature_K, hop_max_m=35e-9)
    volts = np.array([0.2, -0.1, 0.05])
    hops = MasterEquation(network).transitions(volts)
    np.testing.assert_array_equal(hops.states, np.arange(32))
    after = occupations(5)
    for state, occupied in enumerate(after):
        mine = np.zeros((8, 8))
        here = hops.start == state
        mine[hops.source[here], hops.destination[here]] = hops.rates_Hz[here]
        np.testing.assert_allclose(mine, reference_rates(network, volts, occupied), rtol=1e-11)
        for u, v, end in zip(hops.source[here], hops.destination[here], hops.end[here], strict=True):
            expected = occupied.copy()
            if u < 5:
                expected[u] = 0
            if v < 5:
                expected[v] = 1
            np.testing.assert_array_equal(after[end], expected)


def test_generator_and_weights() -> None:
    network = small_network(4, 3)
    hops = MasterEquation(network).transitions(np.array([0.2, -0.1, 0.05]))
    q = hops.generator().toarray()
    assert q.shape == (16, 16)
    assert np.all(q - np.diag(np.diag(q)) >= 0)
    np.testing.assert_allclose(q.sum(axis=1), 0, atol=1e-14 * np.abs(q).max())
    entering = (hops.source == 4) & (hops.destination == 2)
    np.testing.assert_allclose(hops.weights()[entering], [[1, 0, 0] - network.unit_potentials[2]] * 8)
    np.testing.assert_array_equal(hops.weights(displacement=False)[entering], [[1, 0, 0]] * 8)
    between = (hops.source == 1) & (hops.destination == 2)
    expected = network.unit_potentials[1] - network.unit_potentials[2]
    np.testing.assert_allclose(hops.weights()[between], [expected] * 4)
    assert not hops.weights(displacement=False)[between].any()


# ---------------------------------------------------------------------------------------------------- one site


def one_site_rates(network: DopantNetwork, volts: Array) -> tuple[Array, Array]:
    """Rates from and to each electrode, written out."""
    kt = network.thermal_energy_eV
    energy = network.site_energies_eV[0] + network.unit_potentials[0] @ volts
    g = network.attempt_rate_Hz * np.exp(-2 * network.electrode_distances_m[0] / network.localisation_m)
    return g * np.minimum(1, np.exp(-(energy - volts) / kt)), g * np.minimum(1, np.exp(-(volts - energy) / kt))


@pytest.mark.parametrize("bias", [0.0, 0.002, 0.01, -0.03, 0.5])
def test_one_site_between_two_electrodes(bias: float) -> None:
    network = chain([0.005], unit_potentials=[[0.6, 0.4]])
    volts = np.array([bias, 0.0])
    into, out = one_site_rates(network, volts)
    total = into.sum() + out.sum()
    model = MasterEquation(network)
    expected = [out.sum() / total, into.sum() / total]
    np.testing.assert_allclose(model.occupations_distribution(volts), expected, rtol=1e-13)
    np.testing.assert_allclose(model.site_occupations(volts), [into.sum() / total], rtol=1e-13)
    current = E * (into[0] * out[1] - into[1] * out[0]) / total
    np.testing.assert_allclose(model.currents(volts), [current, -current], rtol=1e-12, atol=1e-13 * E * total)


def test_noise_of_one_site_with_all_holes_going_one_way() -> None:
    # Left to right at rates a and b: S = 2 e I [1 - 2 a b/((a + b)^2 + omega^2)] at each electrode; at f = 0 the
    # Fano factor (a^2 + b^2)/(a + b)^2, and its negative between the two.
    network = chain([0.005], unit_potentials=[[0.6, 0.4]])
    volts = np.array([0.6, 0.0])
    into, out = one_site_rates(network, volts)
    a, b = into[0], out[1]
    assert max(into[1], out[0]) < 1e-14 * min(a, b)
    model = MasterEquation(network)
    current = model.currents(volts)[0]
    assert current == pytest.approx(E * a * b / (a + b), rel=1e-12)
    f = np.array([0.0, 0.01, 0.1, 1.0, 10.0]) * (a + b)
    omega = 2 * np.pi * f
    s = model.noise_psd(volts, f, displacement=False)
    closed = 2 * E * current * (1 - 2 * a * b / ((a + b) ** 2 + omega**2))
    np.testing.assert_allclose(s[:, 0, 0], closed, rtol=1e-11)
    np.testing.assert_allclose(s[:, 1, 1], closed, rtol=1e-11)
    fano = (a**2 + b**2) / (a + b) ** 2
    np.testing.assert_allclose(s[0], 2 * E * current * fano * np.array([[1, -1], [-1, 1]]), rtol=1e-11)
    # Each entry at electrode 0 is followed by an exit at 1 after an exponential wait with rate b, then by a wait with
    # rate a: counting both as points of one renewal process gives the cross spectrum.
    wait_a, wait_b = a / (a + 1j * omega), b / (b + 1j * omega)
    with np.errstate(divide="ignore", invalid="ignore"):
        later = wait_b / (1 - wait_a * wait_b)  # exits after an entry, Fourier transform without the mean
        earlier = np.conj(wait_a / (1 - wait_a * wait_b))
    # dI_1(t + tau) dI_0(t): S_10 = -2 e I (later + earlier)
    np.testing.assert_allclose(s[1:, 1, 0], -2 * E * current * (later + earlier)[1:], rtol=1e-10)
    np.testing.assert_allclose(s[1:, 0, 1], s[1:, 1, 0].conj(), rtol=1e-12)


def test_displaced_noise_of_one_site() -> None:
    # An entry drives 0.4 e, an exit 0.6 e through either electrode: their spectra and the one between them, weighted;
    # far above all rates the shot noise of independent hops.
    network = chain([0.005], unit_potentials=[[0.6, 0.4]])
    volts = np.array([0.6, 0.0])
    into, out = one_site_rates(network, volts)
    a, b = into[0], out[1]
    model = MasterEquation(network)
    current = model.currents(volts)[0]
    f = np.array([0.1, 1.0, 1e9]) * (a + b)
    apart = model.noise_psd(volts, f, displacement=False)
    w = np.array([0.4, -0.6])  # an exit counts -1 at electrode 1
    together = np.einsum("j,fjk,k->f", w, apart, w)
    s = model.noise_psd(volts, f)
    np.testing.assert_allclose(s[:, 0, 0], together, rtol=1e-11)
    np.testing.assert_allclose(s[2, 0, 0].real, 2 * E * current * (0.4**2 + 0.6**2), rtol=1e-9)
    np.testing.assert_allclose(apart[2], 2 * E * current * np.eye(2), rtol=1e-9, atol=1e-9 * E * current)


# --------------------------------------------------------------------------------------------------- two sites


@pytest.mark.parametrize("bias", [0.3, 0.02, -0.02])
def test_two_sites_in_a_row(bias: float) -> None:
    # Four states, six of their rates closed by the directed-tree formula (Kirchhoff's matrix-tree theorem).
    network = chain([0.004, -0.003])
    volts = np.array([bias, 0.0])
    r = [reference_rates(network, volts, s) for s in occupations(2)]
    q = np.zeros((4, 4))  # 0 empty, 1 left, 2 right, 3 both
    q[0, 1], q[0, 2] = r[0][2, 0], r[0][3, 1]
    q[1, 0], q[1, 2], q[1, 3] = r[1][0, 2], r[1][0, 1], r[1][3, 1]
    q[2, 0], q[2, 1], q[2, 3] = r[2][1, 3], r[2][1, 0], r[2][2, 0]
    q[3, 1], q[3, 2] = r[3][1, 3], r[3][0, 2]
    laplacian = np.diag(q.sum(axis=1)) - q
    trees = [np.linalg.det(np.delete(np.delete(laplacian, s, 0), s, 1)) for s in range(4)]
    p = np.array(trees) / sum(trees)
    model = MasterEquation(network)
    np.testing.assert_allclose(model.occupations_distribution(volts), p, rtol=1e-9)
    current = E * (p[0] * q[0, 1] + p[2] * q[2, 3] - p[1] * q[1, 0] - p[3] * q[3, 2])
    np.testing.assert_allclose(model.currents(volts), [current, -current], rtol=1e-9)


# ------------------------------------------------------------------------------------------------- equilibrium


@pytest.mark.parametrize("level", [0.0, 0.3])
@pytest.mark.parametrize("temperature_K", [5.0, 77.0, 300.0])
def test_gibbs_distribution_at_equal_voltages(level: float, temperature_K: float) -> None:
    # Entry by entry, over more than 100 orders of magnitude at 5 K; what is left is the rounding of energies over kT.
    network = small_network(7, 5, temperature_K=temperature_K)
    volts, states = np.full(3, level), occupations(7)
    energy = total_energy(network, volts, states) - level * states.sum(axis=1)
    logs = -(energy - energy.min()) / network.thermal_energy_eV
    p = MasterEquation(network).occupations_distribution(volts)
    seen = logs > -600
    np.testing.assert_allclose(np.log(p[seen]), (logs - np.log(np.exp(logs).sum()))[seen], atol=3e-11)
    if temperature_K == 5:
        assert logs.min() < -230
    assert p.sum() == pytest.approx(1, rel=1e-12)


def test_no_current_at_equal_voltages() -> None:
    for n_sites, seed in [(3, 1), (6, 2), (8, 3)]:
        model = MasterEquation(small_network(n_sites, seed))
        volts = np.full(3, 0.2)
        assert np.all(np.abs(model.currents(volts)) < 1e-12 * E * gross_flow(model, volts))


def test_conductances_are_reciprocal_and_give_the_noise_at_equilibrium() -> None:
    # Onsager: G symmetric. Nyquist: S(0) = 4 k T G, with k T = e times thermal_energy_eV.
    for n_sites, seed, temperature in [(3, 1, 77.0), (6, 2, 77.0), (7, 4, 300.0)]:
        network = small_network(n_sites, seed, temperature_K=temperature)
        model = MasterEquation(network)
        volts = np.full(3, -0.1)
        g = model.conductances(volts)
        np.testing.assert_allclose(g, g.T, atol=1e-10 * np.abs(g).max())
        assert np.linalg.eigvalsh(g).min() > -1e-10 * np.abs(g).max()
        nyquist = 4 * E * network.thermal_energy_eV * g
        for displacement in (True, False):
            s = model.noise_psd(volts, [0.0, 1e-6], displacement=displacement)
            np.testing.assert_allclose(s[0], nyquist, atol=1e-9 * np.abs(nyquist).max())
            np.testing.assert_allclose(s[1], nyquist, atol=1e-9 * np.abs(nyquist).max())


def test_fluctuation_dissipation_theorem_at_all_frequencies() -> None:
    # S = 2 k T (Y + Y^H) at equilibrium: true of the currents with displacement, of which exp(i omega t) is the force.
    network = small_network(6, 2)
    model, volts = MasterEquation(network), np.full(3, 0.1)
    f = [0.0, 1e6, 1e8, 1e9, 1e10, 1e11, 1e13]
    y, s = model.admittances(volts, f), model.noise_psd(volts, f)
    np.testing.assert_allclose(y[0], model.conductances(volts), atol=1e-10 * np.abs(y[0]).max())
    assert np.abs(y[3].imag).max() > 1e-3 * np.abs(y[3]).max()
    expected = 2 * E * network.thermal_energy_eV * (y + y.conj().swapaxes(1, 2))
    scale = np.abs(s).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(s / scale, expected / scale, atol=1e-9)
    np.testing.assert_allclose(y / scale, y.swapaxes(1, 2) / scale, atol=1e-9 * np.abs(y / scale).max())  # Onsager
    bare = model.noise_psd(volts, f[-2:], displacement=False)
    assert np.abs(bare - s[-2:]).max() > 0.1 * np.abs(s[-2:]).max()  # counting alone would break it


def test_closed_system_is_boltzmann_distributed() -> None:
    network = isolated(10, 1, temperature_K=150.0)
    volts, states = np.array([0.1, -0.1]), occupations(10)
    five = states.sum(axis=1) == 5
    assert five.sum() == 252
    energy = total_energy(network, volts, states)
    weight = np.where(five, np.exp(-(energy - energy[five].min()) / network.thermal_energy_eV), 0.0)
    model = MasterEquation(network)
    p = model.occupations_distribution(volts, holes=5)
    np.testing.assert_allclose(p, weight / weight.sum(), rtol=1e-10)
    assert model.site_occupations(volts, holes=5).sum() == pytest.approx(5, rel=1e-12)
    full = model.occupations_distribution(volts, holes=10)
    assert full[-1] == 1
    s = model.noise_psd(volts, [0.0, 1e9, 1e10], holes=5)
    y = model.admittances(volts, [0.0, 1e9, 1e10], holes=5)
    fdt = 2 * E * network.thermal_energy_eV * (y + y.conj().swapaxes(1, 2))
    np.testing.assert_allclose(s, fdt, atol=1e-10 * np.abs(s).max())
    np.testing.assert_allclose(s[0], 0, atol=1e-10 * np.abs(s).max())  # no particle current, so none at f = 0
    assert not model.noise_psd(volts, [0.0, 1e9], holes=5, displacement=False).any()


# ---------------------------------------------------------------------------------------- far from equilibrium


def test_currents_add_up_to_zero() -> None:
    rng = np.random.default_rng(2)
    for n_sites in (2, 5, 8):
        model = MasterEquation(small_network(n_sites, n_sites))
        current = model.currents(rng.uniform(-0.5, 0.5, (3, 3)))
        assert np.all(np.abs(current.sum(axis=1)) < 1e-11 * np.abs(current).max(axis=1))


@pytest.mark.parametrize("panel", [128, 5])
def test_distribution_solves_the_equations(panel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Dense least squares on a mild problem; small panels take every path of the blocked elimination.
    monkeypatch.setattr("dnpu_models.master_equation.gth_elimination.PANEL", panel)
    monkeypatch.setattr("dnpu_models.master_equation.gth_elimination.ROWS", 3 * panel)
    model, volts = MasterEquation(small_network(7, 1, temperature_K=600.0)), np.array([0.05, -0.05, 0.1])
    q = model.transitions(volts).generator().toarray()
    system = np.vstack([q.T / np.abs(q).max(), np.ones(128)])
    expected = np.linalg.lstsq(system, np.append(np.zeros(128), 1.0), rcond=None)[0]
    np.testing.assert_allclose(model.occupations_distribution(volts), expected, rtol=1e-9, atol=1e-13)


def test_conductances_are_the_derivatives() -> None:
    model, volts, step = MasterEquation(small_network(6, 7)), np.array([0.21, -0.13, 0.05]), 1e-6
    shift = step * np.eye(3)
    differences = (model.currents(volts + shift) - model.currents(volts - shift)) / (2 * step)  # [k, j]
    g = model.conductances(volts)
    np.testing.assert_allclose(g, differences.T, atol=1e-7 * np.abs(g).max())
    np.testing.assert_allclose(g.sum(axis=0), 0, atol=1e-11 * np.abs(g).max())  # currents
    np.testing.assert_allclose(g.sum(axis=1), 0, atol=1e-11 * np.abs(g).max())  # a common voltage changes nothing
    assert np.abs(g - g.T).max() > 1e-2 * np.abs(g).max()


@pytest.mark.parametrize("displacement", [True, False])
def test_noise_is_that_of_the_resolvent(displacement: bool) -> None:
    # The textbook's form, dense: 2 e^2 [D + b R r + (b R r)^H], R without its stationary part.
    model, volts = MasterEquation(small_network(4, 9, temperature_K=200.0)), np.array([0.1, -0.1, 0.03])
    hops, p = model.transitions(volts), model.occupations_distribution(volts)
    w, q = hops.weights(displacement=displacement), hops.generator().toarray()
    flow = p[hops.start] * hops.rates_Hz
    into, leaving = np.zeros((16, 3)), np.zeros((16, 3))
    np.add.at(into, hops.end, flow[:, None] * w)
    np.add.at(leaving, hops.start, hops.rates_Hz[:, None] * w)
    mean = flow @ w
    np.testing.assert_allclose(E * mean, model.currents(volts), rtol=1e-9)
    frequencies = np.array([1e8, 1e9, 1e10, 1e12])
    for f, s in zip(frequencies, model.noise_psd(volts, frequencies, displacement=displacement), strict=True):
        resolvent = np.linalg.inv(2j * np.pi * f * np.eye(16) - q)
        after = (into - np.outer(p, mean)).T @ resolvent @ (leaving - mean)  # [k, j]
        expected = 2 * E**2 * ((w.T * flow) @ w + after.T + after.conj())
        np.testing.assert_allclose(s, expected, atol=1e-9 * np.abs(expected).max())


def test_spectra_are_hermitian_positive_and_conserve_charge() -> None:
    model, volts = MasterEquation(small_network(6, 8)), np.array([0.3, -0.2, 0.1])
    f = np.array([0.0, 1.0, 1e6, 1e9, 1e11, 1e14])
    s = model.noise_psd(volts, f)
    scale = np.abs(s).max(axis=(1, 2))
    np.testing.assert_array_equal(s, s.conj().swapaxes(1, 2))
    assert not np.diagonal(s, axis1=1, axis2=2).imag.any()
    assert np.all(np.linalg.eigvalsh(s).min(axis=1) > -1e-12 * scale)
    assert np.all(np.abs(s.sum(axis=2)).max(axis=1) < 1e-11 * scale)  # displaced currents: at every frequency
    bare = model.noise_psd(volts, f, displacement=False)
    assert np.abs(bare[:2].sum(axis=2)).max() < 1e-9 * scale[0]  # counted ones: in the limit of f = 0 only
    assert np.abs(bare[-1].sum(axis=1)).max() > 0.1 * np.abs(bare[-1]).max()
    np.testing.assert_allclose(bare[0], s[0], atol=1e-11 * scale[0])
    np.testing.assert_allclose(s[1], s[0], atol=1e-9 * scale[0])  # continuous at f = 0
    y = model.admittances(volts, f)
    np.testing.assert_allclose(y[1], model.conductances(volts), atol=1e-8 * np.abs(y[1]).max())
    assert np.all(np.abs(y.sum(axis=1)) < 1e-11 * np.abs(y).max(axis=(1, 2))[:, None])


def test_agrees_with_kinetic_monte_carlo() -> None:
    # 16 runs of one network of 7 sites; Student's t over runs, Bonferroni over 3 currents and 7 occupations: fails
    # for one seed in 1e4.
    network, volts, runs = small_network(7, 4, temperature_K=150.0), np.array([0.08, -0.05, 0.02]), 16
    model = MasterEquation(network)
    result = KineticMonteCarlo(network).estimate(np.tile(volts, (runs, 1)), seed=4, hops=40_000)
    for seen, truth in [(result.value, model.currents(volts)), (result.occupations, model.site_occupations(volts))]:
        t = (seen.mean(axis=0) - truth) / (seen.std(axis=0, ddof=1) / np.sqrt(runs))
        assert (2 * stats.t.sf(np.abs(t), runs - 1)).min() > FALSE_ALARM / 10
    spread = result.value.std(axis=0, ddof=1) / np.abs(result.value.mean(axis=0))
    assert spread.min() < 0.1


def test_rates_that_underflow_leave_the_reachable_states() -> None:
    # At 2 K a rise of 0.3 eV has exp(-1741): the site fills from the left for good.
    network = chain([-0.3], temperature_K=2.0, unit_potentials=[[0.6, 0.4]])
    model = MasterEquation(network)
    np.testing.assert_array_equal(model.occupations_distribution([0.0, 0.0]), [0, 1])
    np.testing.assert_array_equal(model.currents([0.0, 0.0]), [0, 0])
    np.testing.assert_array_equal(model.conductances([0.0, 0.0]), np.zeros((2, 2)))
    # One hole at either end of three sites, with a middle it never reaches: two states that nothing leaves.
    left_or_right = chain([-0.4, 0.3, -0.4], temperature_K=2.0)
    with pytest.raises(ConvergenceError, match="raise temperature_K"):
        MasterEquation(isolated_chain(left_or_right)).occupations_distribution([0.0, 0.0], holes=1)


def test_response_lost_in_rounding_is_refused() -> None:
    # At 5 K either the response obeys what it must, or an error is raised; and both happen.
    refused = 0
    for seed in range(8):
        model = MasterEquation(small_network(5, seed, temperature_K=5.0))
        volts = np.random.default_rng(seed).uniform(-0.02, 0.02, 3)
        current = model.currents(volts)
        assert abs(current.sum()) < 1e-10 * np.abs(current).max()
        try:
            g = model.conductances(volts)
        except ConvergenceError:
            refused += 1
        else:
            assert np.abs(g.sum(axis=0)).max() < 1e-5 * np.abs(g).max()
            assert np.abs(g.sum(axis=1)).max() < 1e-5 * np.abs(g).max()
    assert 0 < refused < 8


def isolated_chain(network: DopantNetwork) -> DopantNetwork:
    """The same sites, far from any electrode."""
    return isolated(
        network.n_sites,
        0,
        temperature_K=network.temperature_K,
        acceptors_m=network.acceptors_m,
        site_energies_eV=network.site_energies_eV,
        unit_potentials=np.full((network.n_sites, 2), 0.5),
        donors_m=np.empty((0, 2)),
        relative_permittivity=1000.0,
        hop_max_m=12e-9,
    )


# -------------------------------------------------------------------------------------------------- axes, errors


def test_leading_axes() -> None:
    model = MasterEquation(small_network(4, 3))
    volts = np.random.default_rng(1).uniform(-0.2, 0.2, (2, 3, 3))
    current, g, held = model.currents(volts), model.conductances(volts), model.site_occupations(volts)
    assert current.shape == (2, 3, 3)
    assert g.shape == (2, 3, 3, 3)
    assert held.shape == (2, 3, 4)
    np.testing.assert_array_equal(current[1, 2], model.currents(volts[1, 2]))
    np.testing.assert_array_equal(g[1, 2], model.conductances(volts[1, 2]))
    np.testing.assert_array_equal(held[1, 2], model.site_occupations(volts[1, 2]))
    assert model.currents(np.empty((0, 3))).shape == (0, 3)
    assert model.noise_psd(volts[0, 0], []).shape == (0, 3, 3)
    assert has_exact_slopes(model)
    assert model.terminals == ("e0", "e1", "e2")
    np.testing.assert_array_equal(model.limits_V, np.tile([-1.0, 1.0], (len(model.terminals), 1)))
    with pytest.raises(AttributeError):
        model.network = small_network(3, 2)  # type: ignore[misc]


def test_too_many_sites() -> None:
    assert MasterEquation(small_network(14, 1)).network.n_sites == 14
    with refused("n_sites", "KineticMonteCarlo"):
        MasterEquation(small_network(15, 1))


def test_stationary_states_that_are_not_unique() -> None:
    closed = MasterEquation(isolated(4, 1))
    for call in (closed.occupations_distribution, closed.currents, closed.conductances, closed.site_occupations):
        with refused("holes", "not unique"):
            call(np.zeros(2))
    # Two pairs of sites too far apart, without contacts and with contacts to one of them only.
    points = [[0.0, 0.0], [5e-9, 0.0], [60e-9, 0.0], [65e-9, 0.0]]
    apart = isolated(4, 1, acceptors_m=points, unit_potentials=np.full((4, 2), 0.5), hop_max_m=20e-9)
    with refused("acceptors_m", "not unique"):
        MasterEquation(apart).occupations_distribution(np.zeros(2), holes=2)
    half = isolated(
        4,
        1,
        acceptors_m=points,
        shape=Disc(70e-9),
        electrodes=(Electrode(70e-9, 0), Electrode(-70e-9, 0)),
        unit_potentials=np.full((4, 2), 0.5),
        hop_max_m=20e-9,
    )
    with refused("acceptors_m", "not unique"):
        MasterEquation(half).currents(np.zeros(2))


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("voltages", {"voltages": [0.0, np.nan, 0.0]}),
        ("voltages", {"voltages": [0.0, 1.1, 0.0]}),
        ("voltages", {"voltages": [0.0, 0.0]}),
        ("voltages", {"voltages": np.zeros((2, 3))}),
        ("frequencies_Hz", {"frequencies_Hz": 1.0}),
        ("frequencies_Hz", {"frequencies_Hz": [-1.0]}),
        ("frequencies_Hz", {"frequencies_Hz": [np.nan]}),
        ("frequencies_Hz", {"frequencies_Hz": [np.inf]}),
        ("holes", {"holes": 1}),
        ("holes", {"holes": 4}),
        ("holes", {"holes": -1}),
        ("holes", {"holes": 1.0}),
        ("holes", {"holes": True}),
    ],
)
def test_input_errors_name_the_field(field: str, arguments: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"voltages": np.zeros(3), "frequencies_Hz": [0.0]}
    settings |= arguments
    with refused(field):
        MasterEquation(small_network(3, 1)).noise_psd(**settings)
