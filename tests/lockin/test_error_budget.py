"""The error budget against the digital lock-in on a densely sampled record, and each term by itself."""

from dataclasses import replace

import numpy as np
import pytest

from inmateria.errors import InputError
from lockin.demodulate import gradient
from lockin.error_budget import TERMS, FrontEnd, Motion, Readout, error_budget
from lockin.filter_response import filtered_tone, noise_bandwidth_Hz
from lockin.plan import DitherPlan, plan_frequencies
from lockin.settings import LockInSettings
from lockin.theory import enbw_Hz
from lockin.third_order import free_tones, third_order_correction

from ..rc_filter import rc_filter

V = np.array([0.1, 0.2, -0.3])
EXACT_STEP = 1e-5
FILTERS = [
    LockInSettings(0.02, 24),
    LockInSettings(0.03, 12),
    LockInSettings(0.05, 6),
    LockInSettings(0.1, window="boxcar"),
    LockInSettings(0.13, window="hann"),
]


def curved(v):
    return 2.0 + np.tanh(3 * v[:, 0] + 1) + np.sin(2 * v[:, 1] * v[:, 2] + v[:, 0]) + 5 * v[:, 1] ** 3


def slopes(function, at):
    steps = EXACT_STEP * np.eye(at.size)
    return (function(at + steps) - function(at - steps)) / (2 * EXACT_STEP)


def dither(amplitude=0.1, spacing=10.0):
    tones = plan_frequencies(3, None, spacing).frequencies_Hz
    return DitherPlan(tones, (amplitude, 0.7 * amplitude, 1.3 * amplitude), (0.3, -1.0, 2.0))


@pytest.mark.parametrize("settings", FILTERS, ids=lambda s: f"{s.window}{s.filter_slope}")
@pytest.mark.parametrize("time_s", [0.2, 0.317])
def test_reading_is_what_a_lock_in_reads_of_the_record(settings, time_s):
    plan, degrees = dither(), [1.0, 2.0, -3.0]
    t = np.linspace(0.0, time_s, 50_001)
    measured = gradient(plan, t, curved(V + plan.waveform(t).T), settings, degrees)
    budget = error_budget(curved, V, Readout(plan, settings, time_s, phase=degrees), exact=slopes(curved, V))
    np.testing.assert_allclose(budget.reading, measured, atol=1e-5)
    assert set(budget.terms) == set(TERMS)
    np.testing.assert_allclose(sum(budget.terms.values()), budget.reading - budget.exact, atol=1e-12)


def test_front_end_and_stray_against_the_signal_filtered_in_time():
    """A pole before the mixer and a capacitor, both as a record has them: the pole by `rc_filter`."""
    plan, tau, stray = dither(0.05), 2e-4, 3e-4
    settings = LockInSettings(0.01, 24)
    end = FrontEnd(lambda f: 1.0 / (1.0 + 2j * np.pi * f * tau), (stray, 0.0, 2 * stray), offset=0.02, passed=0.003)
    t = np.linspace(0.0, 0.3, 300_001)
    waves = plan.waveform(t)
    capacitive = stray * np.gradient(waves[0], t, edge_order=2) + 2 * stray * np.gradient(waves[2], t, edge_order=2)
    signal = curved(V + waves.T) + capacitive
    seen = rc_filter(t, signal, tau, 1)
    budget = error_budget(curved, V, Readout(plan, settings, 0.3, end), exact=slopes(curved, V))
    constant = 2.0 * (0.02 + 0.003 * signal[:100_000].mean()) / np.array(plan.amplitudes_V)  # 0.1 s: whole periods
    np.testing.assert_allclose(budget.terms["offset"], constant, rtol=1e-6)
    np.testing.assert_allclose(budget.reading - constant, gradient(plan, t, seen, settings), atol=2e-4)
    theta = np.arctan(2 * np.pi * np.array(plan.frequencies_Hz) * tau)
    averaged = budget.exact + budget.terms["amplitude"]
    np.testing.assert_allclose(budget.terms["droop"], -(np.sin(theta) ** 2) * averaged, rtol=0.05, atol=1e-3)
    omega = 2 * np.pi * np.array(plan.frequencies_Hz)
    expected = omega * np.array([stray, 0, 2 * stray]) * np.sin(theta) * np.cos(theta)  # -Im H
    np.testing.assert_allclose(budget.terms["stray"], expected, rtol=1e-6)


def test_drift_and_pattern_step_against_the_record():
    plan, settings, time_s = dither(0.05, 40.0), LockInSettings(0.03, 12), 0.4
    rates = np.array([0.5, -0.3, 0.2])
    t = np.linspace(0.0, time_s, 100_001)
    step = ([0.0, 0.25, 0.26], np.array([[0, 0.2, 0], [0, 0.2, 0], [0, 0, 0.0]]))
    path = rates * (t[:, None] - time_s)
    jump = np.interp(t, step[0], step[1][:, 1])
    exact, readout = slopes(curved, V), Readout(plan, settings, time_s)
    for name, moved, motion in (
        ("drift", path, Motion(drift_V_per_s=rates)),
        ("leakage", np.stack([0 * t, jump, 0 * t], axis=1), Motion(patterns=step)),
    ):
        budget = error_budget(curved, V, readout, exact=exact, motion=motion)
        still = error_budget(curved, V, readout, exact=exact)
        measured = gradient(plan, t, curved(V + moved + plan.waveform(t).T), settings)
        size = np.linalg.norm(budget.terms[name])
        assert size > 0.05
        assert np.linalg.norm(still.reading - measured) > 0.9 * size  # without the term it would be wrong by its size
        assert np.linalg.norm(budget.reading - measured) < 0.01 * size


def test_noise_is_that_of_the_filter():
    plan, settings = dither(), LockInSettings(0.01, 18)
    budget = error_budget(curved, V, Readout(plan, settings, 1.0, psd=[1e-6, 2e-6, 4e-6]), exact=slopes(curved, V))
    expected = np.sqrt(2.0 * np.array([1e-6, 2e-6, 4e-6]) * enbw_Hz(settings)) / np.array(plan.amplitudes_V)
    np.testing.assert_allclose(budget.noise, expected, rtol=1e-6)
    np.testing.assert_allclose(budget.total**2, budget.systematic**2 + budget.noise**2)


@pytest.mark.parametrize("settings", FILTERS, ids=lambda s: f"{s.window}{s.filter_slope}")
def test_filter_in_closed_form(settings):
    """Against the impulse response summed by hand, at frequencies of both signs."""
    time_s, tau = 0.23, settings.time_constant
    u = np.linspace(0.0, time_s, 400_001)
    if settings.window == "rc":
        weight = u ** (settings.poles - 1) * np.exp(-u / tau) / tau**settings.poles
        weight /= [1.0, 1.0, 2.0, 6.0][settings.poles - 1]
    else:
        weight = (u < tau) / tau * (1.0 if settings.window == "boxcar" else 1.0 - np.cos(2 * np.pi * u / tau))
    for f in (0.0, 3.3, -47.0):
        summed = np.trapezoid(weight * np.exp(2j * np.pi * f * (time_s - u)), u)
        assert filtered_tone(settings, f, time_s) == pytest.approx(summed, abs=2e-5)
    assert noise_bandwidth_Hz(settings, time_s) == pytest.approx(0.5 * np.trapezoid(weight**2, u), rel=1e-4)


def test_bad_arguments_are_named():
    plan, settings = dither(), LockInSettings(0.1, window="boxcar")
    exact = slopes(curved, V)
    backward = Motion(patterns=([0.0, 0.0], np.zeros((2, 3))))
    with pytest.raises(InputError, match=r"^exact"):
        error_budget(curved, V, Readout(plan, settings, 0.2), exact=[1.0, 2.0])
    with pytest.raises(InputError, match=r"^patterns"):
        error_budget(curved, V, Readout(plan, settings, 0.2), exact=exact, motion=backward)
    for field, changes in (
        ("time_s", {"time_s": 0.05}),
        ("psd", {"psd": [np.nan] * 3}),
        ("transfer", {"front_end": FrontEnd(lambda f: np.nan * f)}),
        ("stray_F", {"front_end": FrontEnd(stray_F=(1.0, 2.0))}),
    ):
        with pytest.raises(InputError, match=f"^{field}"):
            error_budget(curved, V, Readout(plan, settings, **{"time_s": 0.2, **changes}), exact=exact)
    with pytest.raises(InputError, match="noise_psd"):
        FrontEnd(noise_psd=-1.0)


@pytest.mark.parametrize("correction", ["diagonal", "whole"])
@pytest.mark.parametrize(("settings", "tau"), [(FILTERS[0], 0.0), (FILTERS[3], 2e-4)], ids=["rc24", "boxcar"])
def test_corrected_reading_is_what_the_record_gives(correction, settings, tau):
    """When the filter is not settled yet, and behind a pole of 0.2 ms: every term of it at once."""
    tones = tuple(10.0 * mark for mark in free_tones(3, 20))
    plan, degrees = DitherPlan(tones, (0.1, 0.07, 0.13), (0.3, -1.0, 2.0)), -3.0
    turned = replace(settings, phase=degrees)
    t = np.linspace(0.0, 0.2, 200_001)
    seen = curved(V + plan.waveform(t).T)
    seen = rc_filter(t, seen, tau, 1) if tau else seen
    end = FrontEnd(lambda f: 1.0 / (1.0 + 2j * np.pi * f * tau))
    exact = slopes(curved, V)
    budget = error_budget(curved, V, Readout(plan, turned, 0.2, end, correction=correction), exact=exact)
    record = (plan, t, seen, turned)
    measured = gradient(*record) + third_order_correction(*record, correction)
    np.testing.assert_allclose(budget.reading, measured, atol=2e-4)
    raw = error_budget(curved, V, Readout(plan, turned, 0.2, end), exact=exact)
    assert np.linalg.norm(budget.terms["amplitude"]) < (0.1 if correction == "whole" else 0.8) * np.linalg.norm(
        raw.terms["amplitude"]
    )


def test_noise_and_drift_of_a_corrected_reading():
    plan = DitherPlan(tuple(10.0 * mark for mark in free_tones(3, 20)), (0.1, 0.07, 0.13))
    settings, end = LockInSettings(0.1, window="boxcar"), FrontEnd(noise_psd=0.5, offset=0.1)
    budgets = {
        correction: error_budget(
            curved, V, Readout(plan, settings, 0.1, end, psd=[1.0, 2.0, 3.0], correction=correction),
            exact=slopes(curved, V), motion=Motion([0.2, -0.1, 0.3]),
        )
        for correction in ("none", "diagonal", "whole")
    }  # fmt: skip
    white = np.array([1.0, 2.0, 3.0]) / 0.1 / np.array(plan.amplitudes_V) ** 2  # S / (T alpha^2)
    behind = 2.0 * 0.5 / 0.1 / np.array(plan.amplitudes_V) ** 2
    for correction, readings, mixers in (("none", 1, 1), ("diagonal", 10, 2), ("whole", 14, 1)):
        np.testing.assert_allclose(budgets[correction].noise ** 2, readings * white + mixers * behind)
    assert np.all(budgets["diagonal"].terms["offset"] == 0.0)
    np.testing.assert_array_equal(budgets["whole"].terms["offset"], budgets["none"].terms["offset"])
    t = np.linspace(0.0, 0.1, 50_001)
    path = np.array([0.2, -0.1, 0.3]) * (t[:, None] - 0.1)
    record = (plan, t, curved(V + path + plan.waveform(t).T) - curved(V + plan.waveform(t).T), settings)
    drift = gradient(*record) + third_order_correction(*record)
    np.testing.assert_allclose(budgets["whole"].terms["drift"], drift, atol=2e-3 * np.abs(drift).max())
    assert np.linalg.norm(drift - budgets["none"].terms["drift"]) > 1e-2 * np.linalg.norm(drift)


def test_a_corrected_reading_wants_free_tones():
    with pytest.raises(InputError, match="which a correction reads"):
        Readout(plan_frequencies(3, None, 10.0), FILTERS[3], 0.1, correction="whole")
