"""How much of a correction is kept: the least mean square error, and noise that is read and not assumed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm

from inmateria.errors import InputError
from lockin.demodulate import gradient
from lockin.kept_correction import kept_correction, kept_share
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from lockin.third_order import correction_and_quadrature, free_tones, third_order_correction

Array = NDArray[np.float64]
POINTS = 1024
WINDOW = LockInSettings(1.0, window="boxcar")


def plan(amplitude_V: float = 0.2) -> DitherPlan:
    return DitherPlan(free_tones(3, 20), (amplitude_V,) * 3, (0.4, -1.0, 2.0))


def cubic(x: Array) -> Array:
    """Bias 0.3 alpha^2 in the first control, 0.2 in the second, none in the third."""
    return np.asarray(x[:, 0] + 0.4 * x[:, 0] ** 3 + 0.4 * x[:, 1] * x[:, 0] ** 2 + x[:, 2] + x[:, 2] ** 2)


def recorded(windows: int = 1, noise: float = 0.0, rng: np.random.Generator | None = None) -> tuple[Array, Array]:
    time = np.arange(windows * POINTS + 1) / POINTS
    values = cubic(plan().waveform(time).T)
    return time, values if rng is None else values + noise * rng.standard_normal(values.size)


def test_the_share_makes_the_mean_square_error_least() -> None:
    """Of w = c^2/(c^2 + s^2) no neighbour is better; with c unknown the risk is what the module states."""
    c, s = 0.7, 0.4
    shares = np.linspace(0.0, 1.0, 10_001)
    best = shares[np.argmin(shares**2 * s**2 + (1.0 - shares) ** 2 * c**2)]
    assert best == pytest.approx(c**2 / (c**2 + s**2), abs=1e-4)

    def risk(true: float) -> float:
        def squared(read: float) -> float:
            return float((kept_share(read, 1.0) * read - true) ** 2 * norm.pdf(read - true))

        ends = [-10.0, -1.0, 1.0, max(2.0, true), true + 10.0]
        return sum(quad(squared, a, b)[0] for a, b in pairwise(ends))

    assert risk(0.0) == pytest.approx(0.333, abs=1e-3)
    assert risk(2.35) == pytest.approx(1.491, abs=1e-3)
    assert max(risk(true) for true in (1.5, 2.0, 3.0, 4.0)) < 1.4912
    assert risk(30.0) == pytest.approx(1.0, abs=0.01)
    np.testing.assert_array_equal(kept_share([0.0, 0.0, 2.0], [0.0, 1.0, 0.0]), [0.0, 0.0, 1.0])


def test_without_noise_all_is_kept_and_nothing_left() -> None:
    found = kept_correction(plan(), *recorded(), WINDOW)
    np.testing.assert_allclose(found.raw - [1.0, 0.0, 1.0], [0.012, 0.008, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.kept[:2], 1.0)
    np.testing.assert_allclose(found.gradient, [1.0, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(found.scaled(-2.0).gradient, -2.0 * found.gradient)


@pytest.mark.parametrize(("noise", "windows"), [(0.001, 1), (0.1, 1), (0.1, 4)])
def test_mean_square_error_of_noisy_records(noise: float, windows: int) -> None:
    """400 records: standard errors of mean squares are at most 7 %; four of them, 28 %, are allowed for.

    Corrections far above their noise (10 and 15 times) are kept, those below it cost half of what they do whole.
    """
    rng, exact, errors, found = np.random.default_rng(3), np.array([1.0, 0.0, 1.0]), [], []
    for _ in range(400):
        time, values = recorded(windows, noise, rng)
        kept = kept_correction(plan(), time, values, WINDOW, windows)
        found.append((kept.correction, kept.noise))
        errors.append([kept.raw - exact, kept.raw + kept.correction - exact, kept.gradient - exact])
    raw, whole, kept_errors = np.sum(np.mean(np.square(errors), axis=0), axis=1)
    corrections, noises = np.array(found).transpose(1, 0, 2)
    spread = np.sqrt(2.0 * noise**2 / POINTS / 0.04 * (9 + 4) / windows)  # 3 f thrice, four pairs
    np.testing.assert_allclose(np.std(corrections, axis=0), spread, rtol=0.15)
    np.testing.assert_allclose(np.sqrt(np.mean(noises**2, axis=0)), spread, rtol=0.15)
    if noise == 0.001:
        assert kept_errors < 1.1 * whole < 0.05 * raw
    else:
        sigma = 3.0 * 2.0 * noise**2 / POINTS / 0.04  # of three raw readings, which no share changes
        assert kept_errors - sigma < 0.5 * 1.28 * (whole - sigma)


def test_the_windows_are_those_before_the_end() -> None:
    """A cubic that grows from window to window: the gradient is of the last, the correction the mean."""
    time = np.arange(3 * POINTS + 1) / POINTS
    size = 1.0 + np.minimum(np.floor(time), 2.0)
    x = plan().waveform(time)[0]
    found = kept_correction(plan(), time, x + size * x**3, WINDOW, 2)
    np.testing.assert_allclose(found.raw[0], 1.0 + 3.0 * 0.75 * 0.04, rtol=1e-3)
    np.testing.assert_allclose(found.correction[0], -2.5 * 0.75 * 0.04, rtol=1e-2)


def test_quadrature_of_a_static_device_is_empty_and_noise_fills_it() -> None:
    _, quadrature = correction_and_quadrature(plan(), *recorded(), WINDOW)
    assert np.all(quadrature < 1e-13)
    shift = LockInSettings(1.0, window="boxcar", phase=90.0)  # at 3 f a quarter turn thrice: the sine is in quadrature
    correction, quadrature = correction_and_quadrature(plan(), *recorded(), shift, "diagonal")
    assert np.all(np.abs(correction) < 1e-13)
    assert quadrature[0] == pytest.approx(0.012)


def test_a_delay_is_calibrated_out_of_the_correction_too() -> None:
    """A pure delay turns a product by its own frequency: each tone's phase as often as the product counts it."""
    delay = 1e-3
    time = np.arange(4 * POINTS + 1) / POINTS
    one = DitherPlan((20.0,), (0.2,), (0.4,))
    values = 0.4 * (one.waveform(time - delay)[0]) ** 3
    settings = LockInSettings(1.0, window="boxcar", phase=float(np.degrees(-2 * np.pi * 20.0 * delay)))
    total = gradient(one, time, values, settings) + third_order_correction(one, time, values, settings)
    np.testing.assert_allclose(total, 0.0, atol=1e-6)
    assert np.abs(third_order_correction(one, time, values, WINDOW) + gradient(one, time, values, WINDOW)) > 1e-4


def test_what_cannot_be_averaged_is_refused() -> None:
    time, values = recorded(2)
    with pytest.raises(InputError, match="boxcar"):
        kept_correction(plan(), time, values, LockInSettings(0.1), 2)
    with pytest.raises(InputError, match="take fewer"):
        kept_correction(plan(), time, values, WINDOW, 3)
    with pytest.raises(InputError, match="whole number"):
        kept_correction(plan(), time, values, WINDOW, 0)
