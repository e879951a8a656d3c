"""The network: what it refuses, what it computes, and that it is the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dnpu_models.network.constants import BOLTZMANN_EV, COULOMB_EV_M
from dnpu_models.network.geometry import Disc, Electrode, Rectangle
from dnpu_models.network.network import PRESETS, DopantNetwork
from inmateria.errors import InputError

from ...refused import refused
from ..small_networks import THREE_SIDE as SIDE
from ..small_networks import three_sites as build


def test_distances_energies_and_prefactors() -> None:
    network = build(hop_min_m=6e-9, hop_max_m=28e-9)
    k = COULOMB_EV_M / 10.0
    assert k == pytest.approx(0.144e-9, rel=1e-2)  # 1.44 eV nm in vacuum
    assert network.n_sites == 3
    assert network.n_electrodes == 2
    assert network.distances_m[0, 1] == pytest.approx(5e-9)
    assert network.distances_m[0, 2] == pytest.approx(30e-9)
    assert network.coulomb_eV[0, 1] == pytest.approx(k / 5e-9)
    np.testing.assert_array_equal(np.diag(network.coulomb_eV), 0)
    np.testing.assert_array_equal(network.coulomb_eV, network.coulomb_eV.T)
    assert network.fixed_energies_eV[0] == pytest.approx(k / 30e-9)
    assert network.thermal_energy_eV == pytest.approx(77 * BOLTZMANN_EV)
    # 0-1 is too short, 0-2 too long, 1-2 (27.3 nm) allowed.
    r = np.hypot(27e-9, 4e-9)
    expected = np.zeros((3, 3))
    expected[1, 2] = expected[2, 1] = 1e12 * np.exp(-2 * r / 10e-9)
    np.testing.assert_allclose(network.hop_prefactors_Hz, expected, rtol=1e-12)
    reach = np.hypot([10e-9, 13e-9, 40e-9], [15e-9, 11e-9, 15e-9])
    np.testing.assert_allclose(network.electrode_distances_m[:, 0], reach, rtol=1e-12)
    # An electrode has no shortest hop, but the longest.
    wanted = np.where(reach <= 28e-9, 1e12 * np.exp(-2 * reach / 10e-9), 0)
    np.testing.assert_allclose(network.electrode_prefactors_Hz[:, 0], wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("acceptors_m", np.empty((0, 2)), "empty device"),
        ("acceptors_m", [[1e-8, 1e-8], [1e-8, 1e-8], [2e-8, 1e-8]], "overlap"),
        ("acceptors_m", [[1e-8, 1e-8], [2e-8, 1e-8], [6e-8, 1e-8]], "acceptor 2 lies outside"),
        ("acceptors_m", [[1e-8, 1e-8, 0], [2e-8, 1e-8, 0], [3e-8, 1e-8, 0]], "not the shape"),
        ("donors_m", [[10e-9, 10e-9]], "donor lies on an acceptor"),
        ("site_energies_eV", [0.0, 0.0], "not the shape"),
        ("electrodes", (), "needs electrodes"),
        ("temperature_K", 0.0, "positive"),
        ("localisation_m", -1e-9, "positive"),
        ("relative_permittivity", 0.0, "positive"),
        ("attempt_rate_Hz", 0.0, "positive"),
        ("limit_V", 0.0, "positive"),
        ("hop_min_m", -1e-9, "negative"),
        ("unit_potentials", [[0.5, 0.5]], "not the shape"),
    ],
)
def test_what_a_network_refuses(field: str, value: Any, problem: str) -> None:
    with refused(field, problem):
        build(**{field: value})


def test_hop_lengths_have_to_be_in_order() -> None:
    with pytest.raises(InputError, match="hop_min_m"):
        build(hop_min_m=2e-9, hop_max_m=1e-9)


def test_point_contacts_need_explicit_potentials() -> None:
    with pytest.raises(InputError, match="point contact"):
        build(unit_potentials=None)


def test_overlapping_electrodes() -> None:
    wide = (Electrode(0, SIDE / 2, 20e-9), Electrode(0, SIDE / 2 + 10e-9, 20e-9))
    with pytest.raises(InputError, match="touch or overlap"):
        build(electrodes=wide, unit_potentials=None)


@pytest.mark.parametrize("build_shape", [lambda: Disc(0.0), lambda: Disc(-1.0), lambda: Rectangle(1.0, np.nan)])
def test_shapes_have_positive_lengths(build_shape: Any) -> None:
    with pytest.raises(InputError, match="positive"):
        build_shape()


@pytest.mark.parametrize("arguments", [(np.nan, 0.0, 1.0), (0.0, 0.0, -1.0)])
def test_electrodes_are_finite(arguments: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match=r"finite|negative") as caught:
        Electrode(*arguments)
    assert caught.value.field in ("x_m", "y_m", "width_m")


def test_random_network_refuses_what_it_does_not_know() -> None:
    with pytest.raises(InputError, match="choose one of tertilt2022, kmc_dn"):
        DopantNetwork.random(seed=0, preset="tertilt2021")
    with pytest.raises(InputError, match="no field of a preset"):
        DopantNetwork.random(seed=0, temperature=77)
    for changes in ({"acceptors": 0}, {"acceptors": 10.5}, {"donors": -1}):
        with pytest.raises(InputError, match="whole number"):
            DopantNetwork.random(seed=0, **changes)
    with pytest.raises(InputError, match="temperature_K"):
        DopantNetwork.random(seed=0, acceptors=4, temperature_K=0.0)


def test_the_seed_decides_the_network() -> None:
    first, again, other = (DopantNetwork.random(seed=seed, acceptors=20) for seed in (4, 4, 5))
    for name in ("acceptors_m", "donors_m", "site_energies_eV", "unit_potentials"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))
    assert first.preset == "tertilt2022, changed: acceptors"
    assert first.seed == 4


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_what_they_say(preset: str) -> None:
    network, recipe = DopantNetwork.random(seed=1, preset=preset), PRESETS[preset]
    assert network.n_sites == recipe.acceptors
    assert len(network.donors_m) == recipe.donors
    assert network.n_electrodes == 8
    assert np.all(network.shape.contains(network.acceptors_m))
    np.testing.assert_allclose(network.unit_potentials.sum(axis=1), 1.0, atol=1e-9)
    assert network.limit_V == recipe.limit_V
    assert network.preset == preset


def test_units_of_kmc_dn() -> None:
    network = DopantNetwork.random(seed=1, preset="kmc_dn")
    r = 30**-0.5
    assert network.thermal_energy_eV == pytest.approx(1.0)
    assert network.coulomb_eV[0, 1] * network.distances_m[0, 1] == pytest.approx(100 * r)
    assert network.localisation_m == pytest.approx(0.25 * r)


def test_arrays_are_frozen_and_owned() -> None:
    mine = np.array([0.0, 0.1, -0.1])
    network = build(site_energies_eV=mine)
    mine[0] = 9.0
    assert network.site_energies_eV[0] == 0.0
    for name in ("acceptors_m", "donors_m", "site_energies_eV", "unit_potentials"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(network, name)[0] = 1.0
    with pytest.raises(AttributeError):
        network.temperature_K = 300.0  # type: ignore[misc]
    solved = DopantNetwork.random(seed=1, acceptors=4).unit_potentials
    assert not solved.flags.writeable


def test_voltages_are_checked() -> None:
    network = build(limit_V=1.0)
    assert network.check_voltages([0, 1]).dtype == float
    assert network.check_voltages(np.zeros((4, 3, 2))).shape == (4, 3, 2)
    for volts, problem in (
        (0.0, "not the shape"),
        ([0.0], "not the shape"),
        ([0.0, np.nan], "finite"),
        ([0.0, -1.01], "limit"),
    ):
        with pytest.raises(InputError, match=problem):
            network.check_voltages(volts)


@pytest.mark.parametrize("centre", [0.3, np.pi - 0.02], ids=["plain", "across the jump of the angle"])
def test_a_contact_of_a_disc_is_an_arc_of_its_own_length(centre: float) -> None:
    """Beyond the arc's end by an angle d the nearest point is that end: on the rim a chord, 2 R sin(d / 2), away."""
    radius, width = 75e-9, 40e-9
    electrode = Electrode(radius * np.cos(centre), radius * np.sin(centre), width)
    half = 0.5 * width / radius
    beyond = np.array([-1.0, -0.2, 0.01, 0.3, 1.2])
    angles = centre + np.sign(beyond) * half + beyond
    rim = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    expected = 2.0 * radius * np.sin(0.5 * np.abs(beyond))
    np.testing.assert_allclose(Disc(radius).distance(rim, electrode), expected, rtol=1e-9)
    inside = centre + half * np.array([-0.99, 0.0, 0.99])  # under the arc the way is along the radius
    points = 0.6 * radius * np.column_stack([np.cos(inside), np.sin(inside)])
    np.testing.assert_allclose(Disc(radius).distance(points, electrode), 0.4 * radius, rtol=1e-9)


def test_a_contact_of_a_rectangle_is_a_stretch_of_its_side() -> None:
    electrode = Electrode(30e-9, 0.0, 20e-9)  # from 20 to 40 nm
    points = np.array([[20e-9, 5e-9], [40e-9, 5e-9], [43e-9, 4e-9], [17e-9, 4e-9]])
    np.testing.assert_allclose(Rectangle(60e-9, 50e-9).distance(points, electrode), 5e-9, rtol=1e-9)
