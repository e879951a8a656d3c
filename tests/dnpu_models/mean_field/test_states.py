"""Several stationary states: found, told apart, and their stability."""

from __future__ import annotations

import numpy as np
import pytest

from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.constants import BOLTZMANN_EV, COULOMB_EV_M
from dnpu_models.network.geometry import Electrode, Rectangle
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import InputError

KT = BOLTZMANN_EV * 77.0


def pair(permittivity: float) -> DopantNetwork:
    """Two sites 2 nm apart that exchange no hole, alike to two electrodes, with room for one hole."""
    repulsion = COULOMB_EV_M / permittivity / 2e-9
    return DopantNetwork(
        acceptors_m=np.array([[15e-9, 14e-9], [15e-9, 16e-9]]),
        donors_m=np.empty((0, 2)),
        site_energies_eV=np.full(2, 0.5 * repulsion),
        electrodes=(Electrode(0, 15e-9), Electrode(30e-9, 15e-9)),
        shape=Rectangle(30e-9, 30e-9),
        temperature_K=77.0,
        localisation_m=20e-9,
        relative_permittivity=permittivity,
        attempt_rate_Hz=1e12,
        hop_min_m=3e-9,
        unit_potentials=np.full((2, 2), 0.5),
    )


def test_a_pair_of_sites_has_two_stable_states_and_one_between() -> None:
    # By symmetry (1/2, 1/2) is stationary; it is unstable if C/kT > 4. In the others p_1 + p_2 = 1 and
    # ln(p/(1 - p)) = -(E/kT) with E = C/2 - C (1 - p_2), hence p_1 = x with ln(x/(1 - x)) = (C/kT)(x - 1/2).
    network = pair(10.0)
    states = MeanField(network).stationary_states(np.zeros(2), starts=12, seed=1)
    assert [state.stable for state in states] == [True, True, False]
    coupling = network.coulomb_eV[0, 1] / KT
    assert coupling > 4
    for state in states:
        x = state.occupations
        assert x.sum() == pytest.approx(1, abs=1e-9)
        np.testing.assert_allclose(np.log(x / (1 - x)), coupling * (x - 0.5), rtol=1e-6, atol=1e-6)
        assert (state.slowest_Hz < 0) == state.stable
        assert state.imbalance < 1e-12
        assert np.abs(state.currents_A).max() < 1e-9 * 1.6e-19 * 1e12  # in equilibrium, whatever the state
    np.testing.assert_allclose(states[0].occupations, states[1].occupations[::-1], atol=1e-9)
    np.testing.assert_allclose(states[2].occupations, 0.5, atol=1e-9)
    assert sum(state.found for state in states) == 13  # twelve random starts and the state at rest
    assert min(state.found for state in states[:2]) > 0
    # The true pair has one stationary state, the mean of the two.
    np.testing.assert_allclose(MasterEquation(network).site_occupations(np.zeros(2)), 0.5, atol=1e-9)


def test_a_device_with_two_sites_side_by_side_has_two_states() -> None:
    # Device 10: acceptors 7 and 173 are 0.4 nm apart and exchange no hole; the fourth of its settings.
    model = MeanField(DopantNetwork.random(seed=10, temperature_K=150.0))
    volts = np.random.default_rng(10).uniform(-1, 1, (6, 8))[3]
    states = model.stationary_states(volts, starts=12)
    assert [state.stable for state in states] == [True, True, False]
    one, other, between = (state.occupations[[7, 173]] for state in states)
    assert np.abs(one - other).min() > 0.8
    assert np.all((between > np.minimum(one, other)) & (between < np.maximum(one, other)))
    apart = np.abs(states[0].currents_A - states[1].currents_A).max()
    assert 1e-10 < apart < 1e-9
    assert states[2].slowest_Hz > 0
    for state in states:
        assert abs(state.currents_A.sum()) < 1e-9 * np.abs(state.currents_A).max()


def test_weak_repulsion_leaves_one_state() -> None:
    network = pair(30.0)
    assert network.coulomb_eV[0, 1] / KT < 4
    states = MeanField(network).stationary_states([0.01, -0.01], starts=12)
    assert len(states) == 1
    assert states[0].stable
    assert states[0].found == 13
    np.testing.assert_allclose(states[0].currents_A, MeanField(network).currents([0.01, -0.01]), rtol=1e-8)


def test_starts_can_be_given_and_bad_ones_are_refused() -> None:
    model = MeanField(pair(10.0))
    states = model.stationary_states(np.zeros(2), starts=[[1.0, 0.0]])
    assert len(states) == 1
    assert states[0].occupations[0] > 0.9
    for starts in (0, [[1.0]], [[2.0, 0.0]], [[np.nan, 0.0]]):
        with pytest.raises(InputError, match="starts"):
            model.stationary_states(np.zeros(2), starts=starts)
