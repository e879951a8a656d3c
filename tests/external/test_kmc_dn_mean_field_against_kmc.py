"""The mean field against kinetic Monte Carlo, which makes no approximation, on random settings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork

SETTINGS = 20
HOPS = 300_000


@pytest.mark.slow
def test_mean_field_against_kmc_on_random_settings() -> None:
    # 6.6e6 hops, 40 s on a free core. A trajectory begins at the rounded occupation of the mean field, in the middle of
    # the typical states, and forgets it: counting starts after 30,000 hops, 150 per site.
    network = DopantNetwork.random(seed=0, preset="tertilt2022")
    mean_field, monte_carlo = MeanField(network), KineticMonteCarlo(network)
    volts = np.random.default_rng(2022).uniform(-1, 1, (SETTINGS, network.n_electrodes))
    model, truth, stderr, sharp = (np.empty(volts.shape) for _ in range(4))
    for k, setting in enumerate(volts):
        solution = mean_field.solve(setting)
        start = np.round(solution.occupations)
        result = monte_carlo.estimate(setting, seed=k, hops=HOPS, burn_in=HOPS // 10, initial=start)
        model[k], truth[k], stderr[k] = solution.currents_A, result.counted, result.counted_stderr
        sharp[k] = result.value
    large = np.abs(truth) > 1e-9
    within = np.abs(model - truth) <= 0.05 * np.abs(truth) + 2 * stderr
    apart = (np.abs(model - truth) / np.abs(truth))[large]
    print(
        f"{within[large].sum()} of {large.sum()} currents above 1 nA within 5 % + 2 standard errors "
        f"({100 * within[large].mean():.1f} %); median difference {100 * np.median(apart):.2f} %, "
        f"median standard error {100 * np.median((stderr / np.abs(truth))[large]):.2f} %"
    )
    assert large.sum() > 0.9 * SETTINGS * network.n_electrodes
    # Seeds are fixed, so this repeats bit by bit on one kind of processor. The criterion is met by counts, whose error
    # helps (151 or 152 of 159 with two sets of random numbers): with the currents by rates, known to 0.2 %, it is the
    # mean field's own error that is seen, and 93 % lie within 5 %.
    own = np.abs(model - sharp)[large] / np.abs(sharp)[large]
    print(
        f"within 5 % of the currents by rates: {100 * (own <= 0.05).mean():.1f} %; median {100 * np.median(own):.2f} %"
    )
    assert (own <= 0.05).mean() >= 0.9
    assert np.median(own) <= 0.02
    # "95 % of the currents lie within": refused if as few as these would be a surprise of 1 in 1000.
    assert stats.binom.cdf(within[large].sum(), large.sum(), 0.95) > 1e-3
    assert np.median(apart) <= 0.02
    for electrode in range(network.n_electrodes):
        assert np.corrcoef(model[:, electrode], truth[:, electrode])[0, 1] > 0.999
    # Monte Carlo's own currents sum to zero within what its holes stored: nothing is lost between electrodes.
    assert np.all(np.abs(truth.sum(axis=1)) <= 6 * np.sqrt((stderr**2).sum(axis=1)))
