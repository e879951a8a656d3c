"""Noise: the spectrum follows its law, the generator has exactly the stated joint law, a noisy device stays a device.

False-alarm rate of each statistical statement: 1e-5 for a new seed; the seeds are fixed.
"""

from __future__ import annotations

import copy
import math
import pickle
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray
from scipy import integrate, stats

from dnpu_models.interface.device import has_exact_slopes
from dnpu_models.noise import kernel as noise_kernel
from dnpu_models.noise.noisy_device import NoisyDevice, OpenCircuit, noise_source
from dnpu_models.noise.spectrum import NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import InputError

from ...toys import random_chip

Array = NDArray[np.float64]
FALSE_ALARM = 1e-5
WHITE = NoiseSpectrum.published()
BOTH = NoiseSpectrum.published(corner_Hz=2e3, band_Hz=(1.0, 1e4))
FLICKER = NoiseSpectrum(0.0, 1e-23, 1e3, 1.2, band_Hz=(1.0, 1e4))


def variance_agrees(values: Array, variance: float, tests: int = 1) -> bool:
    """Whether independent normal values of mean 0 have this variance, one of several tests."""
    ratio = np.sum(values**2) / variance
    p = 0.5 * FALSE_ALARM / tests
    return bool(stats.chi2.ppf(p, values.size) < ratio < stats.chi2.isf(p, values.size))


# -- the spectrum ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corner", [0.0, 30.0, 5e3])
def test_the_measured_density_is_met_and_the_corner_is_where_both_parts_are_equal(corner: float) -> None:
    spectrum = NoiseSpectrum.published(corner_Hz=corner, exponent=1.1)
    assert spectrum.density(1e3) == pytest.approx(1e-5 * 1e-18, rel=1e-14)  # 1e-5 nA^2/Hz
    assert spectrum.density(1e9) == pytest.approx(spectrum.white_A2_per_Hz, rel=1e-4)
    if corner:
        assert spectrum.density(corner) == pytest.approx(2 * spectrum.white_A2_per_Hz, rel=1e-14)


@pytest.mark.parametrize("exponent", [0.5, 0.8, 1.0, 1.3, 1.5])
@pytest.mark.parametrize("decades", [0.3, 1.0, 2.2, 6.0])
def test_the_sum_of_lorentzians_follows_the_law_within_a_hundredth_of_a_decibel(
    exponent: float, decades: float
) -> None:
    band = (3.0, 3.0 * 10**decades)
    spectrum = NoiseSpectrum(0.0, 1e-23, 1e3, exponent, band)
    f = np.geomspace(*band, 3001)
    ripple = 10 * np.log10(spectrum.generated_density(f) / spectrum.density(f))
    assert np.max(np.abs(ripple)) < 0.01


def test_far_from_its_ends_the_ladder_has_the_ripple_of_an_endless_one() -> None:
    """The transform of 1/cosh is 1/cosh: two rungs a decade leave 2/cosh(pi^2/D) = 7.6e-4 on 1/f."""
    spectrum = NoiseSpectrum(0.0, 1e-23, band_Hz=(1e-3, 1e7))
    corners, _ = spectrum.lorentzians
    spacing = np.log(corners[1] / corners[0])
    assert spacing == pytest.approx(np.log(10) / 2, rel=1e-12)
    f = np.geomspace(100.0, 1000.0, 2001)
    ratio = spectrum.generated_density(f) / spectrum.density(f)
    assert 0.5 * np.ptp(ratio) == pytest.approx(2 / np.cosh(np.pi**2 / spacing), rel=0.01)


def test_densities_are_one_sided() -> None:
    """The integral over positive frequencies is the variance of the processes."""
    spectrum = NoiseSpectrum(0.0, 1e-23, 1e3, 0.9, (10.0, 1e3))
    in_logarithm = lambda u: float(spectrum.generated_density(math.exp(u))) * math.exp(u)  # noqa: E731
    total, _ = integrate.quad(in_logarithm, math.log(1e-6), math.log(1e10), limit=400, epsrel=1e-10, epsabs=0.0)
    assert total == pytest.approx(np.sum(spectrum.lorentzians[1] ** 2), rel=1e-5)


def test_a_bandwidth_halves_the_density_at_its_frequency() -> None:
    spectrum = NoiseSpectrum.published(corner_Hz=1e3, bandwidth_Hz=5e3)
    wide = NoiseSpectrum.published(corner_Hz=1e3)
    for which in ("density", "generated_density"):
        assert getattr(spectrum, which)(5e3) == pytest.approx(0.5 * getattr(wide, which)(5e3), rel=1e-14)


# -- the generator ---------------------------------------------------------------------------------------------------


@njit
def _deficits(x: Array, out: Array) -> None:
    for k in range(x.size):
        out[k] = noise_kernel.tanh_deficit(x[k], -math.expm1(-x[k]))


@njit
def _normals(words: Any, out: Array) -> None:
    noise_kernel.fill_normals(words, out)


def test_the_variance_of_a_mean_between_known_ends_keeps_its_digits() -> None:
    x = np.concatenate([np.geomspace(1e-12, 700.0, 200), [0.8, np.nextafter(0.8, 1)]])
    found = np.empty_like(x)
    _deficits(x, found)
    getcontext().prec = 60
    for value, got in zip(x.tolist(), found.tolist(), strict=True):
        small = (-Decimal(value)).exp()
        exact = 1 - (1 - small) / (1 + small) / (Decimal(value) / 2)
        assert float(Decimal(got) / exact - 1) == pytest.approx(0.0, abs=5e-15)


def test_normal_deviates() -> None:
    """Chi-square over 500 cells of equal probability, counts in the tails, and no correlation with the next two."""
    words = np.random.SeedSequence(11).generate_state(4, np.uint64).astype(np.uint64)
    z = np.empty(2_000_000)
    _normals(words, z)
    counts = np.histogram(stats.norm.cdf(z), bins=np.linspace(0, 1, 501))[0]
    assert FALSE_ALARM / 2 < stats.chisquare(counts).pvalue < 1 - FALSE_ALARM / 2
    for level in (3.0, 4.0, 4.5):
        expected = 2 * stats.norm.sf(level) * z.size
        found = int(np.sum(np.abs(z) > level))
        assert stats.poisson.cdf(found, expected) > FALSE_ALARM / 6
        assert stats.poisson.sf(found - 1, expected) > FALSE_ALARM / 6
    bound = stats.norm.isf(FALSE_ALARM / 8)
    for a, b in ((z[:-1], z[1:]), (z[:-2], z[2:]), (z[:-1] ** 2 - 1, z[1:] ** 2 - 1), (z[::2] ** 2 - 1, z[1::2])):
        assert abs(np.sum(a * b)) < bound * np.std(a * b) * math.sqrt(a.size)


def covariance_of_means(spectrum: NoiseSpectrum, steps: Array) -> Array:
    """Closed form, from the autocovariance s^2 exp(-r |t|) integrated over two steps."""
    ends = np.cumsum(steps)
    starts = ends - steps
    result = np.diag(0.5 * spectrum.white_A2_per_Hz / steps)
    for corner, deviation in zip(*spectrum.lorentzians, strict=True):
        x = 2 * np.pi * corner * steps
        a = -np.expm1(-x) / x
        gaps = 2 * np.pi * corner * (starts[None, :] - ends[:, None])  # from the end of one to the start of another
        across = np.outer(a, a) * np.exp(-np.clip(gaps, 0.0, None))
        both = np.triu(across, 1)
        series = 1 - x / 3 + x**2 / 12 - x**3 / 60 + x**4 / 360 - x**5 / 2520
        within = np.where(x < 1e-2, series, 2 * (x + np.expm1(-x)) / x**2)
        result += deviation**2 * (both + both.T + np.diag(within))
    return np.asarray(result)


@pytest.mark.parametrize("spectrum", [WHITE, BOTH, FLICKER], ids=["white", "both", "flicker"])
def test_means_over_uneven_steps_have_their_joint_law(spectrum: NoiseSpectrum) -> None:
    """Whitened with the closed-form covariance, steps over seven decades give independent deviates of unit variance."""
    steps = 10.0 ** np.random.default_rng(5).uniform(-7.0, 0.0, 24)
    draws = np.stack([spectrum.step_means(steps, seed=k) for k in range(3000)])
    covariance = covariance_of_means(spectrum, steps)
    scale = np.sqrt(np.diag(covariance))
    root = np.linalg.cholesky(covariance / np.outer(scale, scale))
    z = np.linalg.solve(root, (draws / scale).T)
    assert variance_agrees(z, 1.0)
    assert all(variance_agrees(row, 1.0, len(z)) for row in z)
    assert all(variance_agrees(draws[:, k], scale[k] ** 2, len(z)) for k in range(len(z)))
    pairs = np.tril(z @ z.T, -1) / math.sqrt(z.shape[1])
    assert np.max(np.abs(pairs)) < stats.norm.isf(FALSE_ALARM / z.shape[0] ** 2)
    assert abs(np.sum(z)) < stats.norm.isf(FALSE_ALARM / 2) * math.sqrt(z.size)


def test_a_mean_over_a_step_is_that_of_its_parts() -> None:
    """The closed form itself: the covariance of a coarse grid is the weighted sum of that of a fine one."""
    fine = 10.0 ** np.random.default_rng(2).uniform(-5.0, -2.0, 12)
    groups = np.repeat(np.arange(4), 3)
    coarse = np.bincount(groups, fine)
    weights = (groups[None, :] == np.arange(4)[:, None]) * fine / coarse[:, None]
    np.testing.assert_allclose(
        weights @ covariance_of_means(BOTH, fine) @ weights.T, covariance_of_means(BOTH, coarse), rtol=1e-9
    )


@pytest.mark.parametrize("spectrum", [WHITE, BOTH], ids=["white", "both"])
def test_welch_periodogram_of_a_long_record(spectrum: NoiseSpectrum) -> None:
    """Each bin against the stated law S(f), seen through the mean over a step: sum over images S(f + k/h) sinc^2.

    1000 windows without overlap: a bin has a relative error of 3.2 %, the mean of all of 0.3 %. Hann's leakage on 1/f
    is below 1/j^2 at bin j: bins from 20 on.
    """
    h, length, windows = 1e-4, 512, 1000
    record = spectrum.step_means(np.full(length * windows, h), seed=1).reshape(windows, length)
    weight = stats.cosine.pdf(np.linspace(-np.pi, np.pi, length, endpoint=False))
    power = np.abs(np.fft.rfft(record * weight, axis=1)) ** 2 * 2 * h / np.sum(weight**2)
    bins = np.arange(20, length // 2 - 5)
    f = bins / (length * h)
    images = np.arange(-200, 201) / h
    shifted = np.abs(f[:, None] + images)
    law = np.sum(spectrum.generated_density(shifted) * np.sinc(shifted * h) ** 2, axis=1)
    near = f < 0.02 / h
    np.testing.assert_allclose(law[near], spectrum.density(f[near]), rtol=0.005)  # the stated law, where sinc is 1
    ratio = power[:, bins].mean(axis=0) / law
    p = 0.5 * FALSE_ALARM / len(bins)
    assert np.max(ratio) < stats.gamma.isf(p, windows, scale=1 / windows)
    assert np.min(ratio) > stats.gamma.ppf(p, windows, scale=1 / windows)
    # Next bins of a Hann window correlate by 4/9 in power, those after by 1/36: the mean's variance is 1.94 times it.
    assert abs(ratio.mean() - 1) < stats.norm.isf(FALSE_ALARM / 2) * math.sqrt(1.944 / (windows * len(bins)))


# -- values at points ------------------------------------------------------------------------------------------------


def test_on_even_steps_a_point_has_the_mean_of_its_step() -> None:
    steps = np.full(1000, 1e-4)
    means, points = WHITE.step_means(steps, seed=3), WHITE.points(steps, seed=3)
    np.testing.assert_allclose(points, means, rtol=1e-9, atol=1e-9 * np.std(means))


@pytest.mark.parametrize("bandwidth", [np.inf, 3e4])
def test_trapezoids_over_uneven_points_integrate_the_noise(bandwidth: float) -> None:
    """Integral of the points + (H/2) v = integral of the means, H the span, at each of 3000 points of uneven steps."""
    spectrum = NoiseSpectrum.published(corner_Hz=500.0, bandwidth_Hz=bandwidth)
    steps = 10.0 ** np.random.default_rng(8).uniform(-8.0, -4.0, 3000)
    steps[1000:1200] = 1e-7  # a stretch of short steps, longer than the step before
    means, points = spectrum.step_means(steps, seed=4), spectrum.points(steps, seed=4)
    least = 1 / (np.pi * bandwidth)
    span = max(float(steps[0]), least)
    spans = [span]
    for step in steps[1:]:
        span = max(float(step), span - float(step), least)
        spans.append(span)
    trapezoids = np.concatenate([[0.0], np.cumsum(0.5 * steps[1:] * (points[1:] + points[:-1]))])
    found = trapezoids + 0.5 * np.array(spans) * points
    wanted = found[0] + np.concatenate([[0.0], np.cumsum(steps[1:] * means[1:])])
    np.testing.assert_allclose(found, wanted, atol=1e-11 * np.max(np.abs(wanted)))


def test_a_bandwidth_gives_the_same_variance_whatever_the_steps() -> None:
    """S pi B/2, from the first point on, for steps far below and up to the time constant's double."""
    spectrum = NoiseSpectrum.published(bandwidth_Hz=1e4)
    steps = 10.0 ** np.random.default_rng(1).uniform(-8.0, math.log10(1 / (np.pi * 1e4)), 40)
    draws = np.stack([spectrum.points(steps, seed=k) for k in range(3000)])
    for k in (0, 1, 10, 39):
        assert variance_agrees(draws[:, k], 1e-23 * np.pi * 1e4 / 2, 4)


# -- the device ------------------------------------------------------------------------------------------------------


def stepped(device: Any, times: Array, *, seed: int = 0, detours: bool = False) -> Array:
    """Currents at accepted points, (n, n_terminals); with detours also asked for other times, and asked again."""
    volts = np.zeros(len(device.terminals))
    kernel = device.kernel(volts, seed=seed)
    state, out, now = kernel.state.copy(), np.zeros(len(volts)), 0.0
    rows = []
    for t in times:
        if detours:
            kernel.evaluate(now, volts, kernel.params, state, out)
            kernel.evaluate(now + 5 * (t - now), volts, kernel.params, state, out)
            kernel.evaluate(now + 1e-3 * (t - now), volts, kernel.params, state, out)
        kernel.evaluate(t, volts, kernel.params, state, out)
        rows.append(out.copy())
        kernel.advance(t - now, volts, kernel.params, state)
        now = t
    return np.array(rows)


def test_currents_do_not_depend_on_how_often_and_for_which_times_they_are_asked() -> None:
    times = np.cumsum(10.0 ** np.random.default_rng(0).uniform(-6, -4, 200))
    plain = stepped(noise_source(BOTH), times, seed=2)
    np.testing.assert_array_equal(stepped(noise_source(BOTH), times, seed=2, detours=True), plain)
    np.testing.assert_allclose(plain[:, 0], BOTH.points(np.diff(times, prepend=0.0), seed=2), rtol=1e-7, atol=1e-17)


def test_seeds_and_terminals_are_independent() -> None:
    times = 1e-4 * np.arange(1, 20_001)
    first = stepped(noise_source(WHITE, ("a", "b")), times, seed=0)
    again = stepped(noise_source(WHITE, ("a", "b")), times, seed=0)
    other = stepped(noise_source(WHITE, ("a", "b")), times, seed=1)
    np.testing.assert_array_equal(first, again)
    rows = np.concatenate([first, other], axis=1).T
    assert all(variance_agrees(row, 1e-23 / (2 * 1e-4), 4) for row in rows)
    bound = stats.norm.isf(FALSE_ALARM / 12) / math.sqrt(len(times))
    assert np.max(np.abs(np.tril(np.corrcoef(rows), -1))) < bound


def test_returned_noise_obeys_kirchhoffs_law() -> None:
    device = NoisyDevice(OpenCircuit(("a", "b", "c")), BOTH, (0, 2), returned=1)
    currents = stepped(device, 1e-4 * np.arange(1, 101))
    np.testing.assert_allclose(currents.sum(axis=1), 0.0, atol=1e-14 * np.max(np.abs(currents)))
    assert np.min(np.std(currents, axis=0)) > 0
    density = device.noise_psd(np.zeros(3), [1e2, 1e3])
    assert density.shape == (2, 3, 3)
    np.testing.assert_allclose(density.sum(axis=1), 0.0, atol=1e-36)
    np.testing.assert_allclose(density[:, 0, 0], BOTH.generated_density([1e2, 1e3]))
    np.testing.assert_allclose(density[:, 1, 1], 2 * density[:, 0, 0])


@pytest.fixture(scope="module")
def chip() -> ChipSurrogate:
    return random_chip(3, 20, 20, 1, seed=0, kinks=0.0, amplification_A=1e-8)


def test_a_noisy_device_is_the_device_with_noise_where_it_was_measured(chip: ChipSurrogate) -> None:
    noisy = NoisyDevice(chip, WHITE)
    assert hasattr(noisy, "kernel")
    assert has_exact_slopes(noisy)
    assert noisy.noisy == chip.measured == noisy.measured
    assert noisy.terminals == chip.terminals
    np.testing.assert_array_equal(noisy.limits_V, chip.limits_V)
    volts = np.array([[0.0, 0.3, -0.2, 0.8], [0.0, 0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(noisy.currents(volts), chip.currents(volts))
    np.testing.assert_array_equal(noisy.conductances(volts), chip.conductances(volts))
    for twin in (copy.deepcopy(noisy), pickle.loads(pickle.dumps(noisy))):
        np.testing.assert_array_equal(twin.currents(volts), chip.currents(volts))
    kernel = noisy.kernel(volts[0], seed=3)
    np.testing.assert_array_equal(kernel.conductances_S, chip.conductances(volts[0]))


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NoiseSpectrum(-1e-23), "white_A2_per_Hz = -1e-23: is negative; give 0 or more, in A^2/Hz"),
        (lambda: NoiseSpectrum(float("nan")), "white_A2_per_Hz = nan: is not finite"),
        (lambda: NoiseSpectrum("much"), "white_A2_per_Hz = 'much': is not a number"),  # type: ignore[arg-type]
        (lambda: NoiseSpectrum(0.0, 1e-23, 0.0), "flicker_Hz = 0.0: is not a finite positive number"),
        (lambda: NoiseSpectrum(0.0, 1e-23, exponent=2.0), "exponent = 2.0: lies outside 0.5 to 1.5"),
        (lambda: NoiseSpectrum(0.0, 1e-23, band_Hz=(10.0, 1.0)), "band_Hz = (10.0, 1.0): is no band"),
        (lambda: NoiseSpectrum(0.0, 1e-23, band_Hz=(1.0,)), "band_Hz = (1,): has not the shape (2)"),  # type: ignore[arg-type]
        (lambda: NoiseSpectrum(1e-23, bandwidth_Hz=0.0), "bandwidth_Hz = 0.0: is not a finite positive number"),
        (lambda: NoiseSpectrum.published(corner_Hz=-1.0), "corner_Hz = -1.0: is negative"),
        (lambda: NoiseSpectrum.measured(1e-23, -5.0), "frequency_Hz = -5.0: is not a finite positive number"),
        (lambda: WHITE.density([0.0]), "frequencies_Hz = [0.0]: are no positive frequencies"),
        (lambda: WHITE.step_means([1e-3, 0.0]), "are no list of positive times"),
        (lambda: WHITE.points([1e-3], seed=-1), "seed = -1: is not a whole number of at least 0"),
        (lambda: NoisyDevice(OpenCircuit(("a", "b")), WHITE), "noisy = None: the device has no measured terminal"),
        (lambda: NoisyDevice(OpenCircuit(("a", "b")), WHITE, (2,)), "noisy = 2: is not a whole number from 0 to 1"),
        (lambda: NoisyDevice(OpenCircuit(("a", "b")), WHITE, (0,), returned=0), "are no different terminals"),
        (lambda: NoisyDevice(OpenCircuit(("a", "b")), WHITE, ()), "are no different terminals"),
    ],
)
def test_bad_input_is_refused_in_one_clear_line(make: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shot_noise_of_a_current() -> None:
    """Full shot noise of 1 nA is 3.204e-28 A^2/Hz, of either sign."""
    for current in (1e-9, -1e-9):
        np.testing.assert_allclose(NoiseSpectrum.shot(current).density([1.0, 1e4]), 3.204353268e-28, rtol=1e-9)
    assert NoiseSpectrum.shot(1e-9, fano=0.5).white_A2_per_Hz == 0.5 * NoiseSpectrum.shot(1e-9).white_A2_per_Hz
    with pytest.raises(InputError, match="current_A"):
        NoiseSpectrum.shot(float("nan"))
    with pytest.raises(InputError, match="fano"):
        NoiseSpectrum.shot(1e-9, fano=0.0)
