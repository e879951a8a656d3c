"""Kinetic Monte Carlo against exact results, as in docs/physics_checks.md, on a subset that takes seconds.

The code is that of docs/studies/master_equation_check.py and variable_range_hopping.py. Seeds are fixed; each test says
how often it would fail for other seeds if the code were right.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from dnpu_models.mean_field.model import MeanField

STUDIES = Path(__file__).resolve().parents[2] / "docs" / "studies"


def study(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"study_{name}", STUDIES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


check = study("master_equation_check")
hopping = study("variable_range_hopping")


def test_random_networks_agree_with_the_master_equation() -> None:
    # 7 networks of 8 to 10 sites, 24 to 220 K, 12 runs each. Per network Hotelling's T^2 over its electrodes, by rates
    # and by counts; then Fisher's rule over the networks, which are independent: false alarm 1e-5 for each of the two.
    found = check.open_networks(7, 12, verbose=False, most_sites=10)
    temperatures = [network[1] for network in found["used"]]
    assert not found["left_out"]
    assert min(temperatures) < 30
    assert max(temperatures) > 200
    for name in ("rates", "counts"):
        p = np.array(found[f"p_{name}"])
        assert stats.chi2.sf(-2 * np.log(p).sum(), 2 * len(p)) > 1e-5
        # The batches' own errors: Student's t and Bonferroni's rule, 1e-5.
        z = np.concatenate(found[f"all_{name}"])
        assert 2 * stats.t.sf(np.abs(z).max(), check.BATCHES - 1) * len(z) > 1e-5
    z = np.concatenate(found["one_counts, bare"])
    assert stats.kstest(z, stats.t(check.BATCHES - 1).cdf).pvalue > 1e-5


@pytest.mark.parametrize("method", ["graph", "rows", "direct"])
def test_all_states_of_a_closed_system_have_their_boltzmann_weight(method: str) -> None:
    # 10 sites, 5 holes: chi-square over all 252 states with the exact covariance of the time average, false alarm 1e-5;
    # of 30 runs of 60,000 hops in the study the probabilities are uniform.
    network, hops = check.closed_network(), 25_000
    states, p, rates = check.boltzmann(network, 5)
    assert len(states) == 252
    share = check.occupation(network, states, method, hops, seed=11)
    cov = check.covariance(p, rates) / hops
    probability = check.chi_square(share - p, cov)
    assert 1e-5 < probability < 1 - 1e-5  # nor too good: the errors are not too large
    # It has the power to see a wrong law: the weights of half the interaction are refused.
    weaker = check.boltzmann(check.closed_network(relative_permittivity=20.0), 5)[1]
    assert check.chi_square(share - weaker, cov) < 1e-12


def test_linear_response_without_coulomb_is_a_network_of_resistors() -> None:
    # Written for the study of variable-range hopping; here the models' own conductances are held against it.
    for kt in (0.05 * hopping.BAND_EV, 0.2 * hopping.BAND_EV):
        network = hopping.sample(1, 60, kt)
        resistors = hopping.Resistors(network)
        ohmic, activation = resistors.solve(kt, cut=False)
        expected = ohmic * np.array([[1, -1], [-1, 1]])
        np.testing.assert_allclose(MeanField(network).conductances(np.zeros(2)), expected, rtol=1e-5)
        assert resistors.solve(kt)[0] == pytest.approx(ohmic, rel=1e-3)
        step = 1e-4
        (above, _), (below, _) = (resistors.solve(kt * (1 + d), cut=False) for d in (step, -step))
        slope = (np.log(above * (1 + step)) - np.log(below * (1 - step))) / (2 * step)
        assert activation == pytest.approx(slope, rel=1e-6)
