"""Perturbation codes: orthogonal, of one norm, and read as the lock-in reads them."""

import math

import numpy as np
import pytest

from lockin.demodulate import gradient
from lockin.perturbation import CODES, Perturbation
from lockin.settings import LockInSettings

from ..refused import refused

DETERMINISTIC = [code for code in CODES if code != "random"]


@pytest.mark.parametrize("parameters", [1, 2, 3, 9, 64, 220])
@pytest.mark.parametrize("hold", [1, 3])
@pytest.mark.parametrize("code", DETERMINISTIC)
def test_orthogonal_over_a_period_with_the_norm_that_was_asked_for(code, hold, parameters):
    norm = 0.02
    perturbation = Perturbation(code, parameters, norm, hold)
    assert perturbation.period is not None
    values = perturbation.at(0, perturbation.period)
    products = values.T @ values / perturbation.period
    assert products == pytest.approx(np.eye(parameters) * norm**2 / parameters, abs=1e-12 * norm**2)
    assert np.mean(values, axis=0) == pytest.approx(np.zeros(parameters), abs=1e-12 * norm)  # drift looks like none
    assert np.max(np.abs(values)) <= perturbation.peak * (1 + 1e-12)
    again = perturbation.at(7 * perturbation.period, 2)
    assert again == pytest.approx(values[:2], abs=1e-12 * norm)


@pytest.mark.parametrize("code", ["sine", "walsh"])
def test_no_shorter_time_will_do(code):
    """The period that is told is the shortest multiple of `hold` after which all products and all means vanish."""
    perturbation = Perturbation(code, 5, 1.0, 2)
    values = perturbation.at(0, perturbation.period)
    for steps in range(2, perturbation.period, 2):
        products = values[:steps].T @ values[:steps] / steps - np.eye(5) / 5
        assert max(np.max(np.abs(products)), np.max(np.abs(values[:steps].mean(axis=0)))) > 1e-3


def test_products_of_two_tones_meet_no_tone():
    """Curvature of the cost leaks into no slope: <theta~_i theta~_j theta~_k> = 0 for the sine code."""
    values = Perturbation("sine", 6, 1.0).at(0, 24)
    triples = np.einsum("ni,nj,nk->ijk", values, values, values) / 24
    assert triples == pytest.approx(np.zeros((6, 6, 6)), abs=1e-14)


def test_random_signs():
    """Correlations of 20 x 20 pairs in 40,000 steps: the largest of 190 exceeds 5.2 sigma once in 2.6e4 runs."""
    steps, parameters = 40_000, 20
    values = Perturbation("random", parameters, math.sqrt(parameters), 1, seed=3).at(0, steps)
    assert set(np.unique(values)) == {-1.0, 1.0}
    products = values.T @ values / steps - np.eye(parameters)
    assert np.max(np.abs(products)) < 5.2 / math.sqrt(steps)
    assert np.max(np.abs(values.mean(axis=0))) < 5.2 / math.sqrt(steps)
    serial = np.mean(values[1:] * values[:-1], axis=0)
    assert np.max(np.abs(serial)) < 5.2 / math.sqrt(steps)


def test_random_signs_can_be_asked_for_at_any_step_and_differ_between_seeds():
    code = Perturbation("random", 130, 1.0, 4, seed=1)
    whole = code.at(0, 100)
    assert np.array_equal(code.at(57, 6), whole[57:63])
    assert np.array_equal(whole[0], whole[3])
    assert not np.array_equal(whole[3], whole[4])
    other = Perturbation("random", 130, 1.0, 4, seed=2).at(0, 100)
    agree = np.mean(whole[::4] == other[::4])
    assert abs(agree - 0.5) < 4.5 * 0.5 / math.sqrt(25 * 130)  # false alarm 7e-6


def test_the_sine_code_is_homodyne_gradient_extraction():
    """Product and mean of the code, and the lock-in on the same record, are the same reading up to the norm: g / P."""
    parameters, step_s = 5, 1e-3
    perturbation = Perturbation("sine", parameters, 1e-4)
    values = perturbation.at(0, perturbation.period)
    slopes = np.array([1.0, -2.0, 0.3, 4.0, -0.5])
    signal = 0.7 + values @ slopes
    by_code = np.mean(signal[:, None] * values, axis=0) / perturbation.norm**2
    plan = perturbation.dither(step_s)
    time = step_s * np.arange(perturbation.period + 1)
    period_s = step_s * perturbation.period
    record = np.append(signal, signal[0])
    by_lockin = gradient(plan, time, record, LockInSettings(time_constant=period_s, window="boxcar"))
    assert by_code * parameters == pytest.approx(slopes, rel=1e-9)
    assert by_lockin == pytest.approx(slopes, rel=1e-9)
    assert plan.common_period_s == pytest.approx(period_s)


@pytest.mark.parametrize("code", CODES)
def test_waveform_is_the_code_in_time(code):
    perturbation = Perturbation(code, 7, 0.3, 2, seed=5)
    times = 1e-3 * (np.arange(50) + 1e-6)
    expected = perturbation.at(0, 50)
    assert perturbation.waveform(times, 1e-3) == pytest.approx(expected, abs=1e-5)
    between = perturbation.waveform(times + 0.4e-3, 1e-3)
    if code == "sine":
        assert np.max(np.abs(between - expected)) > 1e-3
    else:
        assert np.array_equal(between, expected)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("code", {"code": "hadamard"}),
        ("parameters", {"parameters": 0}),
        ("norm", {"norm": 0.0}),
        ("norm", {"norm": math.nan}),
        ("hold", {"hold": 1.5}),
        ("seed", {"seed": -1}),
    ],
)
def test_bad_codes(field, values):
    with refused(field):
        Perturbation(**{"code": "walsh", "parameters": 3, "norm": 0.1, **values})


def test_bad_questions():
    perturbation = Perturbation("walsh", 3, 0.1)
    for ask, field in [
        (lambda: perturbation.at(-1), "first"),
        (lambda: perturbation.dither(1e-3), "code"),
        (lambda: perturbation.waveform([-1.0], 1e-3), "time_s"),
        (lambda: perturbation.waveform([1.0], 0.0), "step_s"),
    ]:
        with refused(field):
            ask()
