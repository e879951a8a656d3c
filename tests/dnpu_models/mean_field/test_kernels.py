"""The mean field's compiled pieces: rows of hops, fluxes in vectors, the inverse; each against what it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from dnpu_models.interface.vectors import WIDTH
from dnpu_models.mean_field.inverse import inverse
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork

from ..written_out import reference_rates


@pytest.mark.parametrize("sites", [30, 200])
def test_every_hop_stands_once_in_full_rows(sites: int) -> None:
    network = DopantNetwork.random(seed=1, acceptors=sites)
    hops = MeanField(network, warn=False)._equations.hops
    assert np.all(np.diff(hops.first) % WIDTH == 0)
    site = np.repeat(np.arange(sites), np.diff(hops.first))
    found = np.zeros((sites + network.n_electrodes,) * 2)
    np.add.at(found, (site, hops.to), hops.g)
    found += found.T
    np.testing.assert_allclose(found[:sites, :sites], network.hop_prefactors_Hz / network.attempt_rate_Hz)
    np.testing.assert_allclose(found[:sites, sites:], 2 * network.electrode_prefactors_Hz / network.attempt_rate_Hz)
    if sites == 200:  # what rows are filled with costs time
        assert np.mean(hops.g == 0) < 0.1


def test_fluxes_are_those_of_rates_written_out() -> None:
    """Of a state in which every site is full or empty the mean field knows all."""
    network = DopantNetwork.random(seed=2, acceptors=40)
    model = MeanField(network, warn=False)
    rng = np.random.default_rng(4)
    for _ in range(5):
        volts, full = rng.uniform(-0.5, 0.5, 8), rng.uniform(size=40) < 0.7
        rates = reference_rates(network, volts, full)
        rate, current = model._equations.balance(volts / network.thermal_energy_eV, full.astype(float))
        gained = (rates.sum(axis=0) - rates.sum(axis=1)) / network.attempt_rate_Hz
        np.testing.assert_allclose(rate, gained[:40], rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(current, -gained[40:], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("size", [1, 3, 8, 30, 101])
def test_inverse(size: int) -> None:
    rng = np.random.default_rng(size)
    rates = rng.exponential(size=(size, size)) * (rng.uniform(size=(size, size)) < 0.3)
    matrix = rates - np.diag(rates.sum(axis=0) + 0.01)
    found, known = inverse(matrix), np.linalg.inv(matrix)
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-11 * np.abs(known).max())
    # without exchange of rows elimination would divide by 0
    turned = np.ascontiguousarray(matrix[::-1])
    np.testing.assert_allclose(inverse(turned), known[:, ::-1], rtol=0, atol=1e-11 * np.abs(known).max())


def test_no_inverse_is_no_number() -> None:
    assert not np.all(np.isfinite(inverse(np.ones((5, 5)))))
    assert not np.all(np.isfinite(inverse(np.full((5, 5), np.nan))))
