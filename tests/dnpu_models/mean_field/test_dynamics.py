"""The mean field in time: admittances, relaxation and transients against exact models and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.constants import BOLTZMANN_EV, ELEMENTARY_CHARGE
from dnpu_models.network.geometry import Electrode, Rectangle
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import InputError

from ...refused import refused

VOLTS = np.array([0.031, -0.052, 0.207, -0.104])
FREQUENCIES = np.array([0.0, 1e8, 3e9, 2e10, 1e11, 3e12])


def network(places_m: Any, **changes: Any) -> DopantNetwork:
    """Sites in a square of 60 nm with four electrodes and a made-up potential; nothing repels unless said."""
    places = np.array(places_m)
    side = 60e-9
    weights = np.random.default_rng(3).uniform(0.1, 1.0, (len(places), 4))
    settings: dict[str, Any] = {
        "acceptors_m": places,
        "donors_m": np.empty((0, 2)),
        "site_energies_eV": np.random.default_rng(4).normal(0.0, 0.02, len(places)),
        "electrodes": tuple(Electrode(*p) for p in ((0, side / 2), (side, side / 2), (side / 2, 0), (side / 2, side))),
        "shape": Rectangle(side, side),
        "temperature_K": 77.0,
        "localisation_m": 20e-9,
        "relative_permittivity": 1e9,
        "attempt_rate_Hz": 1e12,
        "unit_potentials": weights / weights.sum(axis=1, keepdims=True),
    }
    return DopantNetwork(**(settings | changes))


ONE = [[20e-9, 35e-9]]
APART = [[8e-9, 30e-9], [52e-9, 30e-9], [30e-9, 8e-9]]  # each reaches one electrode or more, none another site


@pytest.fixture(scope="module")
def device() -> MeanField:
    return MeanField(DopantNetwork.random(seed=1, acceptors=30, temperature_K=150.0))


@pytest.fixture(scope="module")
def setting() -> np.ndarray:
    return np.random.default_rng(5).uniform(-0.4, 0.4, 8)


@pytest.mark.parametrize("displacement", [True, False])
@pytest.mark.parametrize(("places", "changes"), [(ONE, {}), (APART, {"hop_max_m": 30e-9})])
def test_admittances_are_exact_where_no_pair_of_sites_is_correlated(
    places: Any, changes: dict[str, Any], displacement: bool
) -> None:
    net = network(places, **changes)
    exact = MasterEquation(net).admittances(VOLTS, FREQUENCIES, displacement=displacement)
    model = MeanField(net).admittances(VOLTS, FREQUENCIES, displacement=displacement)
    np.testing.assert_allclose(model, exact, rtol=0, atol=1e-8 * np.abs(exact).max())
    assert np.abs(exact.imag).max() > 1e-3 * np.abs(exact).max()  # or frequency was not seen


def test_admittances_approach_the_exact_ones_as_kt_grows() -> None:
    # With hops between sites the closure p_i (1 - p_j) is exact only where a hop is as likely as its reverse: the error
    # falls as (barrier/kT)^2 at least, 100 times from 2,000 to 20,000 K.
    apart = []
    for temperature in (2e3, 2e4):
        net = network([[20e-9, 35e-9], [36e-9, 24e-9]], temperature_K=temperature)
        exact = MasterEquation(net).admittances(VOLTS, FREQUENCIES)
        apart.append(np.abs(MeanField(net).admittances(VOLTS, FREQUENCIES) - exact).max() / np.abs(exact).max())
    assert apart[1] < 0.02 * apart[0]
    assert apart[1] < 1e-4


def test_one_site_relaxes_at_the_sum_of_its_rates() -> None:
    net = network(ONE)
    x = (VOLTS - net.site_energies_eV[0] - net.unit_potentials[0] @ VOLTS) / (BOLTZMANN_EV * 77.0)
    g = net.electrode_prefactors_Hz[0]
    total = (g * (np.exp(np.minimum(x, 0)) + np.exp(np.minimum(-x, 0)))).sum()
    assert MeanField(net).relaxation_times(VOLTS)[0] == pytest.approx(1 / total, rel=1e-10)


def test_kirchhoff_and_the_static_limit(device: MeanField, setting: np.ndarray) -> None:
    found = device.admittances(setting, FREQUENCIES)
    scale = np.abs(found).max(axis=(1, 2), keepdims=True)
    assert np.abs(found.sum(axis=1) / scale[:, 0]).max() < 1e-9  # no net current at any instant
    assert np.abs(found.sum(axis=2) / scale[:, 0]).max() < 1e-9  # a common voltage does nothing
    np.testing.assert_allclose(found[0], device.conductances(setting), rtol=0, atol=1e-10 * scale[0].max())
    # Without displacement charge stays inside, and the sum is what the sites take up.
    assert np.abs(device.admittances(setting, [2e10], displacement=False)[0].sum(axis=0)).max() > 1e-3 * scale[3].max()


def test_relaxation_rates_are_those_of_the_last_part_of_a_relaxation(device: MeanField, setting: np.ndarray) -> None:
    rates = device.relaxation_rates(setting)
    assert rates.real.max() < 0
    times = device.relaxation_times(setting)
    assert np.all(np.diff(times) <= 0)
    assert times[0] == pytest.approx(-1 / rates[0].real)
    p = device.solve(setting).occupations
    disturbed = np.clip(p + 1e-5 * np.random.default_rng(1).uniform(-1, 1, len(p)), 0, 1)
    late = np.array([0, 8, 9, 10]) * times[0]
    run = device.transient(late, np.tile(setting, (4, 1)), start=disturbed, relative_tolerance=1e-11)
    left = np.abs(run.occupations - p).max(axis=1)
    if abs(rates[0].imag) < 1e-6 * abs(rates[0].real):
        assert left[3] / left[2] == pytest.approx(np.exp(-1), rel=0.05)


def test_one_site_charges_exponentially() -> None:
    net = network(ONE)
    model = MeanField(net)
    settled, tau = model.solve(VOLTS), model.relaxation_times(VOLTS)[0]
    times = np.linspace(0, 5, 11) * tau
    run = model.transient(times, np.tile(VOLTS, (11, 1)), start=np.array([1.0]), relative_tolerance=1e-9)
    decay = np.exp(-times / tau)
    final = settled.occupations[0]
    np.testing.assert_allclose(run.occupations[:, 0], final + (1 - final) * decay, atol=1e-7)
    # Particles: dI/dp (p - p_end); displacement: e phi_k (p - p_end)/tau.
    x = (VOLTS - net.site_energies_eV[0] - net.unit_potentials[0] @ VOLTS) / (BOLTZMANN_EV * 77.0)
    both = net.electrode_prefactors_Hz[0] * (np.exp(np.minimum(x, 0)) + np.exp(np.minimum(-x, 0)))
    weight = ELEMENTARY_CHARGE * (1 - final) * (net.unit_potentials[0] / tau - both)
    exact = settled.currents_A + decay[:, None] * weight
    np.testing.assert_allclose(run.currents_A, exact, rtol=0, atol=1e-6 * np.abs(weight).max())


def test_a_switched_device_settles_and_conserves_charge(device: MeanField, setting: np.ndarray) -> None:
    longest = device.relaxation_times(setting)[0]
    times = longest * np.concatenate([[0, 1e-4], np.geomspace(1e-3, 3, 60), [30]])
    volts = np.tile(setting, (len(times), 1))
    volts[0] = 0.0  # switched on
    run = device.transient(times, volts)
    end = device.solve(setting, start=run.occupations[-1])
    assert np.abs(run.occupations[-1] - end.occupations).max() < 1e-6
    scale = np.abs(end.currents_A).max()
    np.testing.assert_allclose(run.currents_A[-1], end.currents_A, rtol=0, atol=1e-5 * scale)
    largest = np.abs(run.currents_A).max()
    assert largest > 1.5 * scale  # the charging current
    assert np.abs(run.currents_A.sum(axis=1)).max() < 1e-12 * largest  # with displacement none is stored
    # Particles that came in are in the sites; 2 % is for the trapezium rule.
    net = run.particle_currents_A.sum(axis=1)
    stored = ELEMENTARY_CHARGE * (run.occupations[-2].sum() - run.occupations[1].sum())
    brought = np.trapezoid(net[1:-1], times[1:-1])
    assert brought == pytest.approx(stored, rel=0.02)


def test_a_small_sine_is_answered_by_the_admittance(device: MeanField, setting: np.ndarray) -> None:
    frequency, amplitude, points = 3e9, 1e-5, 64
    t = np.arange(3 * points + 1) / points / frequency
    volts = np.tile(setting, (len(t), 1))
    volts[:, 2] += amplitude * np.sin(2 * np.pi * frequency * t)
    run = device.transient(t, volts, relative_tolerance=1e-9)
    last = slice(2 * points, 3 * points)
    # A polygon with corners on a sine is sinc^2(1/points) of it at the sine's own frequency.
    reference = np.exp(-2j * np.pi * frequency * t[last])
    phasor = 2 * (reference @ run.currents_A[last]) / points  # of exp(i omega t)
    given = 2 * (reference @ volts[last, 2]) / points
    exact = device.admittances(setting, [frequency])[0][:, 2]
    assert np.abs(phasor / given - exact).max() < 0.01 * np.abs(exact).max()
    assert np.abs(exact.imag).max() > 0.02 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("times", "field"),
    [([0.0], "times_s"), ([0.0, 0.0], "times_s"), ([0.0, np.nan], "times_s"), ([0.0, 1e-9, 2e-9], "voltages")],
)
def test_bad_times_are_refused(device: MeanField, times: list[float], field: str) -> None:
    with refused(field):
        device.transient(times, np.zeros((2, 8)))


def test_other_bad_input_is_refused(device: MeanField) -> None:
    for wrong in ([[1e9]], [-1.0], [np.inf]):
        with pytest.raises(InputError, match="frequencies_Hz"):
            device.admittances(np.zeros(8), wrong)
    for tolerance in (0.0, 1.0, np.nan):
        with pytest.raises(InputError, match="relative_tolerance"):
            device.transient([0, 1e-9], np.zeros((2, 8)), relative_tolerance=tolerance)
    for start in (np.zeros(3), np.full(30, np.nan)):
        with pytest.raises(InputError, match="start"):
            device.transient([0, 1e-9], np.zeros((2, 8)), start=start)
        with pytest.raises(InputError, match="start"):
            device.solve(np.zeros(8), start=start)
