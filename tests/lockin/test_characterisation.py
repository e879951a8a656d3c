"""The data sheet of the digital lock-in, against closed forms; the figures' own arithmetic, against known curves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import gammaincinv

from lockin.characterisation import (
    INTERFERENCE,
    TOLERATED,
    Characterisation,
    Digital,
    _curvature,
    bandwidth_Hz,
    characterise,
    rolloff_dB_per_octave,
    settling_s,
)
from lockin.settings import LockInSettings

from ..refused import refused

TAU, F = 10e-3, 1000.0
ENBW = {6: 1 / 4, 12: 1 / 8, 18: 3 / 32, 24: 5 / 64}


@pytest.fixture(scope="module")
def sheets() -> dict[int, Characterisation]:
    return {slope: characterise(LockInSettings(TAU, slope), F) for slope in ENBW}


@pytest.mark.parametrize("slope", ENBW)
def test_filter_is_that_of_the_textbook(sheets: dict[int, Characterisation], slope: int) -> None:
    """ENBW (as the integral of |H|^2) and settling within 0.1 %, roll-off within 0.1 dB, |H|^2 within 0.2 %."""
    sheet, poles = sheets[slope], slope // 6
    assert sheet.enbw_times_tau == pytest.approx(ENBW[slope], rel=1e-3)
    assert sheet.settle99_over_tau == pytest.approx(gammaincinv(poles, 0.99), rel=1e-3)
    assert sheet.rolloff_dB_per_octave == pytest.approx(20 * poles * math.log10(2), abs=0.1)
    exact = (1 + (2 * math.pi * sheet.offset_Hz * TAU) ** 2) ** -poles
    inside = sheet.offset_Hz * TAU < 5  # beyond, straight lines between the samples cost up to 0.3 % of |H|^2
    np.testing.assert_allclose(sheet.transfer[inside], exact[inside], rtol=2e-3)
    assert sheet.offset_Hz.min() < -5 / TAU
    assert sheet.offset_Hz.max() > 5 / TAU


@pytest.mark.parametrize("slope", ENBW)
def test_readings_are_exact(sheets: dict[int, Characterisation], slope: int) -> None:
    sheet = sheets[slope]
    assert sheet.gain_error < 1e-6
    assert sheet.phase_error_deg < 1e-6
    assert sheet.zero == 0.0
    assert sheet.linearity < 1e-12
    assert sheet.overloads == ()
    assert min(sheet.harmonic_rejection_dB.values()) > 120
    assert sheet.image_rejection_dB > 100


@pytest.mark.parametrize("slope", ENBW)
def test_dynamic_reserve_is_what_the_filter_lets_through(sheets: dict[int, Characterisation], slope: int) -> None:
    """The interfering sine's products with the reference lie 0.375 f and 2.375 f off; within 0.5 dB of their sum."""
    sheet, poles = sheets[slope], slope // 6
    products = np.array([INTERFERENCE - 1, INTERFERENCE + 1]) * F
    through = np.sum((1 + (2 * math.pi * products * TAU) ** 2) ** (-poles / 2))
    # x of a sine of rms A is A LPF[...]: peaks of the two products A each
    assert sheet.reserve_reached
    assert sheet.reserve_dB == pytest.approx(20 * math.log10(TOLERATED / through), abs=0.5)


def test_square_mixer_responds_to_odd_harmonics_as_one_over_n() -> None:
    sheet = characterise(LockInSettings(TAU, 24, mixer="square"), F)
    assert sheet.harmonic_response[3] == pytest.approx(1 / 3, rel=1e-6)
    assert sheet.harmonic_response[5] == pytest.approx(1 / 5, rel=1e-6)
    assert sheet.harmonic_rejection_dB[3] == pytest.approx(9.542, abs=1e-3)
    assert max(sheet.harmonic_response[2], sheet.harmonic_response[4]) < 1e-6
    assert sheet.gain_error < 1e-6


class Crooked(Digital):
    """A lock-in with known faults: gain, phase, quadrature, offset, curvature, clipping."""

    def traces(self, settings, frequency_Hz, signals, duration_s, arms="xy"):  # type: ignore[no-untyped-def]
        found = []
        for x, y in super().traces(settings, frequency_Hz, signals, duration_s, arms):
            turned = x * math.cos(0.02) + y * math.sin(0.02)  # y's axis is 0.02 rad off
            found.append((1.03 * x + 0.004 * x**2 + 0.001, 1.03 * (turned * 0 + y + 0.02 * x) - 0.002))
        return found


def test_known_faults_are_found() -> None:
    """y reads 2 % of x: image e/2 (relative), phase errors up to 0.02 rad; x is bent by 0.004 x^2."""
    sheet = characterise(LockInSettings(TAU, 12), F, Crooked(), full_scale=2.0)
    assert sheet.zero == pytest.approx(math.hypot(0.001, 0.002), rel=1e-9)
    assert sheet.linearity == pytest.approx(0.004 * 2.0 / 8, rel=1e-3)  # a parabola's best line is off by c L^2 / 8
    assert sheet.gain_error == pytest.approx(0.03 + 0.004 * 2 + 0.0005, rel=0.2)
    assert 0.8 < sheet.phase_error_deg < 1.5
    assert sheet.image_rejection_dB == pytest.approx(-20 * math.log10(0.01), abs=1.0)


def test_arithmetic_of_the_figures() -> None:
    f = np.geomspace(0.01, 1000.0, 200)
    power = 1 / (1 + f**2)
    assert bandwidth_Hz(f, power) == pytest.approx(math.pi / 2, rel=1e-5)
    assert rolloff_dB_per_octave(f, f**-5.0) == pytest.approx(50 * math.log10(2), rel=1e-9)
    time = np.linspace(0, 20, 20001)
    ringing = 1 - np.exp(-0.5 * time) * np.cos(3 * time)
    settled = settling_s(time, ringing)
    assert np.all(np.abs(ringing[time > settled + 1e-3] - 1) < 0.0101)
    assert abs(np.interp(settled, time, ringing) - 1) == pytest.approx(0.01, abs=1e-4)
    levels = np.array([0, 0.1, 0.25, 0.5, 0.75, 1.0])
    assert _curvature(levels, 3 * levels + 1) < 1e-15
    assert _curvature(levels, levels + 0.08 * levels * (1 - levels)) == pytest.approx(0.01, rel=1e-9)


@pytest.mark.parametrize(
    ("field", "settings", "frequency"),
    [
        ("settings", LockInSettings(TAU, window="hann"), F),
        ("settings", LockInSettings(TAU, harmonic=2), F),
        ("settings", LockInSettings(TAU, phase=1.0), F),
        ("time_constant", LockInSettings(1e-3), F),
        ("time_constant", LockInSettings(1.0), F),
        ("frequency_Hz", LockInSettings(TAU), -1.0),
    ],
)
def test_what_is_not_characterised_is_refused_by_name(field: str, settings: LockInSettings, frequency: float) -> None:
    with refused(field):
        characterise(settings, frequency)
