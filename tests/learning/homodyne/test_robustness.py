"""What disturbances leave of a gate: margins against closed forms of a device of straight lines; what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.parts.levels import loop_fields
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from learning.homodyne.robustness import Disturbances, Disturbed, Robustness, robustness

from ...refused import refused
from .test_holding import SLOPE_S, Tilted, attempt_at, or_task

CONTROL_V = 0.05
"""Of control 1. With Tilted's outputs the margin is (0.2 V - 2 v1)/0.4 V."""


def margin(control_V: float) -> float:
    return (0.2 - 2 * control_V) / 0.4


class Warm(Tilted):
    """A Tilted whose control 1 counts for T/300 K."""

    def __init__(self, temperature_K: float = 300.0) -> None:
        super().__init__()
        self.temperature_K = temperature_K
        here, scale = self.function, np.where(np.arange(8) == 1, temperature_K / 300.0, 1.0)
        self.function = lambda v: here(v * scale)

    def at_temperature(self, temperature_K: float) -> Warm:
        return Warm(temperature_K)


def found_at(control_V: float, device: Any = None, **moved: float) -> Robustness:
    experiment, attempt = attempt_at([control_V, *[0.0] * 6], or_task(), device)
    return robustness(experiment, attempt, Disturbances(**moved))


def row(found: Robustness, name: str) -> Disturbed:
    return next(one for one in found.rows if one.name == name)


def test_drift_offset_and_temperature_cost_what_the_slopes_say() -> None:
    found = found_at(CONTROL_V, Warm(), drift=0.02, offset_V=2e-3, temperature_K=6.0)
    assert found.quality == pytest.approx(margin(CONTROL_V))
    assert row(found, "drift").worst == pytest.approx(margin(1.02 * CONTROL_V))
    assert max(row(found, "drift").quality) == pytest.approx(margin(0.98 * CONTROL_V))
    assert row(found, "offset").worst == pytest.approx(margin(CONTROL_V + 2e-3))
    assert row(found, "temperature").quality == pytest.approx([margin(0.98 * CONTROL_V), margin(1.02 * CONTROL_V)])
    assert found.worst.name == "offset"
    assert found.stays
    assert found.words().startswith("0.25 undisturbed; at worst under noise 0.25, drift of 2 % 0.2")
    assert "offset of 2 mV 0.24, temperature by 6 K 0.2" in found.words()


def test_noise_spreads_the_margin_by_its_own_law() -> None:
    """Of m = (I10 - I00)/(I11 - I00) to first order: sigma sqrt(1 + m^2 + (1 - m)^2)/(I11 - I00)."""
    experiment, attempt = attempt_at([CONTROL_V, *[0.0] * 6], or_task())
    found = row(robustness(experiment, attempt, Disturbances(noise=10.0)), "noise")
    m, sigma = margin(CONTROL_V), 10.0 * experiment.bench.noise_A()
    wanted = sigma * np.sqrt(1 + m**2 + (1 - m) ** 2) / (0.4 * SLOPE_S)
    assert np.std(found.quality) == pytest.approx(wanted, rel=0.3)  # of 128 draws: five standard errors
    assert np.mean(found.quality) == pytest.approx(m, abs=5 * wanted / np.sqrt(128))


def test_what_is_lost_is_counted() -> None:
    """0.5 % above the least margin, an offset of 2 mV on control 1 costs 1 %: half of all signs lose the gate."""
    found = found_at(0.059, offset_V=2e-3)
    assert row(found, "offset").kept == 0.5
    assert not found.stays
    assert found.facts()["offset"]["kept"] == 0.5
    assert "(50 % stay learned)" in found.words()
    assert {one.name for one in found.rows} == {"noise", "drift", "offset"}  # it knows no temperature


def test_the_summing_amplifiers_stand_before_the_electrodes() -> None:
    settings = loop_fields("macro", trimmed={"dither_sum": {"esum": 0.0, "offset": 2e-3}})
    experiment, attempt = attempt_at([CONTROL_V, *[0.0] * 6], or_task(), **settings)
    assert robustness(experiment, attempt).quality == pytest.approx(margin(CONTROL_V + 2e-3))


def test_a_mean_field_at_another_temperature_is_the_network_there() -> None:
    here, there = (DopantNetwork.random(seed=3, temperature_K=kelvin) for kelvin in (77.0, 82.0))
    volts = np.linspace(-0.1, 0.1, len(here.electrodes))
    moved = MeanField(here).at_temperature(82.0)
    assert moved.temperature_K == 82.0
    np.testing.assert_allclose(moved.currents(volts), MeanField(there).currents(volts), rtol=1e-9, atol=0.0)
    assert not np.allclose(moved.currents(volts), MeanField(here).currents(volts), rtol=1e-3, atol=0.0)


@pytest.mark.parametrize(
    ("moved", "field"),
    [({"drift": -0.1}, "drift"), ({"drift": 1.0}, "drift"), ({"offset_V": -1.0}, "offset_V"),
     ({"temperature_K": np.nan}, "temperature_K"), ({"noise": -1.0}, "noise")],
)  # fmt: skip
def test_disturbances_are_checked(moved: dict[str, float], field: str) -> None:
    with refused(field):
        Disturbances(**moved)


def test_random_currents_are_refused() -> None:
    experiment, attempt = attempt_at([0.0] * 7, or_task(), KineticMonteCarlo(DopantNetwork.random(seed=0)))
    with refused("device", KineticMonteCarlo.__name__):
        robustness(experiment, attempt)
