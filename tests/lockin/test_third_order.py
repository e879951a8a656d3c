"""The gradient without its third-order error: exact for a cubic, of fifth order for anything smooth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from inmateria.errors import InputError
from lockin.averages import common_period_average
from lockin.choices import Correction
from lockin.demodulate import gradient
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from lockin.third_order import (
    corrected_gradient,
    corrected_noise,
    dither_hessian,
    free_tones,
    overlaps,
    references,
    third_order_correction,
)

Array = NDArray[np.float64]
MARKS = (200, 201, 204, 213, 232, 271, 312)
POINTS = 4096
WINDOW = LockInSettings(1.0, window="boxcar")


def plan(amplitude_V: float, n: int = 7) -> DitherPlan:
    phases = np.random.default_rng(5).uniform(-np.pi, np.pi, n)
    return DitherPlan(tuple(map(float, MARKS[:n])), (amplitude_V,) * n, tuple(phases.tolist()))


def recorded(function: Callable[[Array], Array], dither: DitherPlan) -> tuple[Array, Array]:
    """One common period of a static function of the dither."""
    time = np.arange(POINTS + 1) / POINTS
    angles = 2 * np.pi * np.outer(time, dither.frequencies_Hz) + np.asarray(dither.phases_rad)
    return time, function(np.asarray(dither.amplitudes_V) * np.sin(angles))


def cubic(seed: int) -> tuple[Callable[[Array], Array], Array, Array]:
    """A full cubic of seven inputs, its gradient and its Hessian at 0."""
    rng = np.random.default_rng(seed)
    g, h, t = rng.standard_normal(7), rng.standard_normal((7, 7)), rng.standard_normal((7, 7, 7))
    h = h + h.T
    t = sum(np.transpose(t, order) for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)))

    def function(x: Array) -> Array:
        second = 0.5 * np.einsum("mi,ij,mj->m", x, h, x)
        return np.asarray(0.3 + x @ g + second + np.einsum("mi,mj,mk,ijk->m", x, x, x, t, optimize=True) / 6.0)

    return function, g, h


def smooth(x: Array) -> Array:
    """Tanh layers: derivatives of every order."""
    rng = np.random.default_rng(2)
    hidden = np.tanh(x @ rng.standard_normal((7, 12)) * 2.0 + rng.standard_normal(12))
    return np.asarray(np.tanh(hidden @ rng.standard_normal(12) * 0.4))


def smooth_gradient() -> Array:
    """By differences of sixth order, to 1e-9."""
    step = 1e-3
    shifts = [(1, 0.75), (2, -0.15), (3, 1 / 60)]
    return np.array(
        [
            sum(w * (smooth(k * step * row[None]) - smooth(-k * step * row[None]))[0] for k, w in shifts) / step
            for row in np.eye(7)
        ]
    )


@pytest.mark.parametrize("correction", ["none", "diagonal", "whole"])
def test_one_reference_reads_what_all_readings_together_do(correction: Correction) -> None:
    dither = plan(0.03)
    time, values = recorded(smooth, dither)
    record = (dither, time, values, WINDOW)
    expected = gradient(*record) + third_order_correction(*record, correction)
    found = common_period_average(smooth, np.zeros(7), dither, correction=correction)
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())
    theta = np.random.default_rng(0).uniform(0.0, 2 * np.pi, 5)  # the sum of sines that the module's head has
    sums = {"none": np.zeros(5), "diagonal": 3 * np.sin(3 * theta)}
    pairs = [[np.sin(a + 2 * b) + np.sin(a - 2 * b) for b in theta if b != a] for a in theta]
    sums["whole"] = sums["diagonal"] + np.sum(pairs, axis=1)
    written = references(np.sin(theta)[None], correction)[0]
    np.testing.assert_allclose(written, np.sin(theta) + sums[correction], atol=1e-13)


@pytest.mark.parametrize("seed", [0, 1])
def test_of_a_cubic_nothing_is_left(seed: int) -> None:
    function, g, h = cubic(seed)
    dither = plan(0.3)
    time, values = recorded(function, dither)
    raw = gradient(dither, time, values, WINDOW)
    assert np.max(np.abs(raw - g)) > 0.1
    np.testing.assert_allclose(corrected_gradient(dither, time, values, WINDOW), g, atol=1e-11)
    np.testing.assert_allclose(dither_hessian(dither, time, values, WINDOW), h, atol=1e-11)


def test_the_error_falls_with_the_third_power_of_the_amplitude_or_faster() -> None:
    """Relative errors of a smooth function: 8 times a halving at least, 4 without the correction."""
    exact, errors = smooth_gradient(), []
    for amplitude in (0.04, 0.02, 0.01):
        dither = plan(amplitude)
        time, values = recorded(smooth, dither)
        raw = gradient(dither, time, values, WINDOW)
        both = (raw, raw + third_order_correction(dither, time, values, WINDOW))
        errors.append([np.linalg.norm(read - exact) / np.linalg.norm(exact) for read in both])
    raw_ratio, corrected_ratio = np.array(errors[:-1]).T / np.array(errors[1:]).T
    np.testing.assert_allclose(raw_ratio, 4.0, rtol=0.1)
    assert np.all(corrected_ratio > 7.5)
    assert errors[1][1] < 0.1 * errors[1][0]


def test_noise_grows_as_stated() -> None:
    """1050 readings of white noise each: the ratio of variances is within 27 % but for one seed in 10^5."""
    rng, dither = np.random.default_rng(1), plan(1.0)
    time = np.arange(POINTS + 1) / POINTS
    raw, corrected = [], []
    for _ in range(150):
        values = rng.standard_normal(POINTS + 1)
        values[-1] = values[0]
        raw.append(gradient(dither, time, values, WINDOW))
        corrected.append(raw[-1] + third_order_correction(dither, time, values, WINDOW))
    assert corrected_noise(7) == pytest.approx(np.sqrt(22.0))
    np.testing.assert_allclose(np.var(corrected) / np.var(raw), 22.0, rtol=0.27)


def test_tones_that_are_free_and_tones_that_are_not() -> None:
    assert overlaps(MARKS) == []
    assert free_tones(7) == MARKS
    # Free of third-order products among themselves, but not of the second order's: 2 x 150 + 282 = 2 x 291.
    assert ((2, 0, 0, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0, 2)) in overlaps((150, 152, 162, 190, 259, 282, 291))
    found = overlaps((10, 12, 30))  # 3 f0 is f2
    assert ((3, 0, 0), (0, 0, 1)) in found
    assert ((0, 0, 1), (3, 0, 0)) in found
    assert ((1, 2, 0), (0, -1, 2)) not in found
    assert overlaps((1,)) == []


def test_one_tone_alone() -> None:
    dither = DitherPlan((5.0,), (0.2,), (0.4,))
    time, values = recorded(lambda x: np.asarray(x[:, 0] + x[:, 0] ** 2 + x[:, 0] ** 3), dither)
    corrected = gradient(dither, time, values, WINDOW) + third_order_correction(dither, time, values, WINDOW)
    np.testing.assert_allclose(corrected, [1.0], atol=1e-12)
    np.testing.assert_allclose(dither_hessian(dither, time, values, WINDOW), [[2.0]], atol=1e-12)


def test_records_that_are_too_coarse_are_refused() -> None:
    dither = plan(0.1)
    time = np.linspace(0.0, 1.0, 1001)
    with pytest.raises(InputError, match="take more than 1872"):
        third_order_correction(dither, time, np.sin(time), WINDOW)
    with pytest.raises(InputError, match="multiples"):
        overlaps((1, 0))
