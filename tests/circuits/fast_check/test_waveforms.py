"""What is said of waveforms that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from circuits.fast_check.waveforms import NEAR, settling

T = np.linspace(0.0, 1.0, 20_001)


def test_an_exponential_settles_after_its_time_constant_times_the_logarithm_of_what_is_near() -> None:
    found = settling(T, 2.0 - 2.0 * np.exp(-T / 0.05), 0.0, 1.0)
    assert found.settling_s == pytest.approx(0.05 * np.log(1 / NEAR), rel=5e-3)
    assert found.overshoot < 1e-6
    assert not found.oscillates
    assert found.slope_V_per_s == pytest.approx(2.0 / 0.05, rel=5e-3)  # between points a 4000th apart
    assert found.slew_V_per_s == pytest.approx(0.8 * 2.0 / (0.05 * np.log(9.0)), rel=1e-2)


@pytest.mark.parametrize("damping", [0.2, 0.4])
def test_two_poles_overshoot_by_what_their_damping_says(damping: float) -> None:
    w = 2 * np.pi * 40
    wd = w * np.sqrt(1 - damping**2)
    v = 1 - np.exp(-damping * w * T) * (np.cos(wd * T) + damping / np.sqrt(1 - damping**2) * np.sin(wd * T))
    found = settling(T, v, 0.0, 1.0)
    assert found.overshoot == pytest.approx(np.exp(-np.pi * damping / np.sqrt(1 - damping**2)), rel=1e-2)
    assert not found.oscillates


@pytest.mark.parametrize(("growth", "oscillates"), [(0.0, True), (3.0, True), (-0.5, True), (-8.0, False)])
def test_ripple_counts_as_an_oscillation_if_it_does_not_halve_from_quarter_to_quarter(
    growth: float, oscillates: bool
) -> None:
    found = settling(T, 0.3 * T + 0.1 * np.exp(growth * T) * np.sin(2 * np.pi * 100 * T), 0.0, 1.0)
    assert found.oscillates is oscillates
    if oscillates:
        assert found.ripple_Hz == pytest.approx(100, abs=5)


def test_a_slow_ramp_and_a_constant_have_no_ripple_and_what_jumps_late_has_not_settled() -> None:
    assert settling(T, 5.0 * T, 0.0, 1.0).ripple_V < 1e-9
    still = settling(T, np.full_like(T, 3.0), 0.0, 1.0)
    assert (still.settling_s, still.overshoot, still.oscillates) == (0.0, 0.0, False)
    assert settling(T, np.where(T < 0.8, 0.0, 1.0), 0.0, 1.0).settling_s == np.inf
