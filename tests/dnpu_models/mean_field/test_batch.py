"""Many settings of the mean field in one call, against each solved to the end by itself."""

from __future__ import annotations

import numpy as np
import pytest

from circuits.homodyne.equations import ask, device_calls
from dnpu_models.mean_field import batch
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def network() -> DopantNetwork:
    return DopantNetwork.random(seed=3, preset="tertilt2022", acceptors=60)


def asked(
    network: DopantNetwork, calls: list[FloatArray], which: int = 0, tolerance: float = TOLERANCE
) -> list[FloatArray]:
    """Currents (A) of every call in turn, each (terminals, settings), from one kernel, in double or single words."""
    kernel = MeanField(network, tolerance=tolerance).kernel(calls[0][:, 0])
    device, _alive = device_calls(kernel, len(calls[0]), which)
    answers = []
    for volts in calls:
        answers.append(np.empty(volts.shape))
        ask(device, 0.0, volts, answers[-1])
    return answers


def dithered(network: DopantNetwork, centre: FloatArray, settings: int, rng: np.random.Generator) -> FloatArray:
    """Settings (terminals, n) about a centre, all but the output moved by up to 10 mV."""
    volts = centre[:, None] + rng.uniform(-0.01, 0.01, (len(centre), settings))
    volts[0] = centre[0]
    return volts


def errors(network: DopantNetwork, volts: FloatArray, found: FloatArray) -> FloatArray:
    """Of each setting, as a fraction of its largest current."""
    exact = MeanField(network).currents(volts.T).T
    return np.asarray(np.abs(found - exact).max(axis=0) / np.abs(exact).max(axis=0))


@pytest.mark.parametrize("which", [0, 1], ids=["double", "single"])
def test_settings_about_moving_centres_are_within_the_tolerance(network: DopantNetwork, which: int) -> None:
    """Five patterns in turn, each centre on its way by 4 mV a pass, as the averaged loop asks."""
    rng = np.random.default_rng(5)
    centres = rng.uniform(-0.3, 0.3, (5, network.n_electrodes))
    calls = []
    for _ in range(6):
        for centre in centres:
            centre += rng.uniform(-0.004, 0.004, len(centre))
            calls.append(dithered(network, centre, 32, rng))
    off = np.concatenate([errors(network, v, i) for v, i in zip(calls, asked(network, calls, which), strict=True)])
    assert np.median(off) < 0.5 * TOLERANCE
    assert np.quantile(off, 0.95) < TOLERANCE
    assert off.max() < 20 * TOLERANCE  # near a fold of the stationary states


def test_a_tolerance_that_single_precision_does_not_reach_is_kept(network: DopantNetwork) -> None:
    rng = np.random.default_rng(9)
    volts = dithered(network, rng.uniform(-0.3, 0.3, network.n_electrodes), 32, rng)
    (found,) = asked(network, [volts], 1, 1e-9)
    assert np.quantile(errors(network, volts, found), 0.9) < 1e-9


def test_a_dithered_path_is_followed_within_the_tolerance(network: DopantNetwork) -> None:
    """Ten points a cycle of the highest of seven tones, as ngspice asks: against the path solved to the end."""
    tones = 2 * np.pi * np.array([0.0, 51, 57, 63, 69, 75, 81, 87])
    times = np.arange(1500) / 870.0
    volts = 0.01 * np.sin(times[:, None] * tones) + np.linspace(-0.2, 0.3, 8)
    found = MeanField(network, tolerance=TOLERANCE).follow(volts)
    exact = MeanField(network).currents(volts)
    off = np.abs(found - exact).max(axis=1) / np.abs(exact).max(axis=1)
    assert np.quantile(off, 0.99) < TOLERANCE
    assert off.max() < 5 * TOLERANCE


def test_more_settings_and_centres_than_are_solved_or_kept_together(network: DopantNetwork) -> None:
    rng = np.random.default_rng(6)
    centres = rng.uniform(-0.3, 0.3, (batch.CENTRES + 2, network.n_electrodes))
    calls = [dithered(network, centre, batch.TOGETHER + 5, rng) for centre in (*centres, centres[0])]
    for volts, found in zip(calls, asked(network, calls), strict=True):
        assert np.quantile(errors(network, volts, found), 0.9) < TOLERANCE


def test_settings_followed_by_nearly_the_same_ones(network: DopantNetwork) -> None:
    """A window done again where the controls went: the last solutions are taken further."""
    rng = np.random.default_rng(7)
    first = dithered(network, rng.uniform(-0.3, 0.3, network.n_electrodes), 32, rng)
    calls = [first, first + 3e-4, first]
    for volts, found in zip(calls, asked(network, calls), strict=True):
        assert np.quantile(errors(network, volts, found), 0.9) < TOLERANCE


def test_settings_that_are_no_voltages_give_no_current_and_spoil_nothing(network: DopantNetwork) -> None:
    rng = np.random.default_rng(8)
    good = dithered(network, rng.uniform(-0.3, 0.3, network.n_electrodes), 8, rng)
    bad = good.copy()
    bad[2, 3] = np.nan
    first, none, again = asked(network, [good, bad, good])
    assert not np.all(np.isfinite(none))
    assert errors(network, good, first).max() < 20 * TOLERANCE
    assert errors(network, good, again).max() < 20 * TOLERANCE
