"""A bank of lock-ins in ngspice at frozen controls, and its predicted error budget."""

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.gradients.bank_check import check_bank, predict_bank
from circuits.lockin.bank import LockInBank
from circuits.lockin.own_noise import Averaged
from circuits.signals.sources import Table
from dnpu_models.function.function_device import device_from_function
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import InputError
from lockin.demodulate import gradient
from lockin.plan import DitherPlan, plan_frequencies
from lockin.settings import LockInSettings
from lockin.third_order import free_tones, third_order_correction
from netlists.reader import load_part

N = 3


def network(seed=0):
    """A surrogate of three controls and one output, tens of nA, with many kinks."""
    rng = np.random.default_rng(seed)
    return ChipSurrogate(
        weights=(2.0 * rng.normal(size=(40, N)), 0.3 * rng.normal(size=(1, 40))),
        biases=(rng.normal(size=40), np.array([1.0])),
        voltage_min_V=np.full(N, -1.0),
        voltage_max_V=np.full(N, 1.0),
        amplification_A=20e-9,
    )


def bank(**changes):
    volts = np.array([0.0, 0.2, -0.1, 0.3])
    plan = plan_frequencies(N, None, 50.0, amplitude_V=0.05)
    rest = -float(network().currents(volts)[0])
    made = LockInBank(network(), 0, (1, 2, 3), volts, plan, LockInSettings(0.01, 24), gain=2.0, baseline_A=rest)
    return replace(made, **changes)


def test_prediction_is_what_ngspice_reads(engine):
    check = check_bank(bank(), engine, 0.12)
    assert check.budget.dominant == "amplitude"
    np.testing.assert_allclose(check.measured[0], check.budget.reading, atol=1e-3 * np.abs(check.budget.exact).max())


@pytest.mark.parametrize("level", ["ideal", "macro"])
def test_the_diagonal_is_taken_out_in_the_circuit(engine, level):
    """A sum of functions of one control each has no other third order: against the mathematics, and the budget."""
    tones = tuple(50.0 * mark for mark in free_tones(N, 20))
    plan = DitherPlan(tones, (0.3, 0.2, 0.25), (0.3, -1.0, 2.0))

    def currents(v):
        out = 2e-8 * (math.tanh(2.0 * v[1]) + math.sin(2.0 * v[2]) + v[3] ** 3)
        return np.array([-out, out, 0.0, 0.0])

    smooth = device_from_function(currents, [[-1.0, 1.0]] * (N + 1))
    volts = np.array([0.0, 0.2, -0.1, 0.3])
    settings, duration = LockInSettings(0.01, 24), 0.12
    built = LockInBank(
        smooth, 0, (1, 2, 3), volts, plan, settings, level, transimpedance_ohm=1e7, correction="diagonal",
        baseline_A=-float(smooth.currents(volts)[0]), points_per_cycle=72,
    )  # fmt: skip
    assert len(built.triples) == N
    read, raw = (one.gradient(one.run(engine, duration)) for one in (built, replace(built, correction="none")))
    time = np.linspace(0.0, duration, 20_001)
    moved = np.tile(volts, (time.size, 1))
    moved[:, 1:] += plan.waveform(time).T
    record = (plan, time, -smooth.currents(moved)[:, 0] - built.baseline_A, built.settings_as_built)
    exact = -smooth.conductances(volts)[0, 1:]
    size = np.linalg.norm(third_order_correction(*record, "diagonal"))
    assert size > 0.02 * np.linalg.norm(exact)
    if level == "ideal":
        expected = gradient(*record) + third_order_correction(*record, "diagonal")
        np.testing.assert_allclose(read, expected, atol=2e-3 * size)
        assert np.linalg.norm(read - exact) < 0.2 * size
    budget, of_raw = (predict_bank(one, engine, duration) for one in (built, replace(built, correction="none")))
    added = np.linalg.norm(of_raw.terms["offset"])
    assert (added > size) == (level == "macro")
    np.testing.assert_allclose(read - raw, budget.reading - of_raw.reading, atol=0.02 * (size + added))


def test_a_correction_wants_a_circuit_and_free_tones():
    with pytest.raises(InputError, match="has no circuit"):
        bank(correction="whole")
    with pytest.raises(InputError, match="which a correction reads"):
        bank(correction="diagonal")


@pytest.mark.parametrize(
    ("term", "changes"),
    [
        ("offset", {"parts": (load_part("mixer", "macro").with_defaults("test", offset=0.02),)}),
        ("stray", {"stray_F": (1e-11, 0.0, 2e-11), "settings": LockInSettings(0.01, 24, phase=20.0)}),
        ("ripple", {"settings": LockInSettings(0.004, 6), "baseline_A": 0.0}),
        ("settling", {"settings": LockInSettings(0.03, 24)}),
        ("drift", {"drift_V_per_s": (1.0, -0.8, 0.5)}),
        ("leakage", {"waves": {2: Table((0.0, 0.07, 0.075), (0.3, 0.3, 0.0))}}),
    ],
)
def test_every_term_is_predicted_where_it_dominates(engine, term, changes):
    tones = plan_frequencies(N, None, 50.0, amplitude_V=0.004)
    check = check_bank(bank(dither=tones, **changes), engine, 0.12)
    assert check.budget.dominant == term
    np.testing.assert_allclose(check.ratio, 1.0, atol=0.06)
    deviation = check.measured[0] - check.budget.exact
    assert np.linalg.norm(deviation - check.budget.systematic) < 0.06 * np.linalg.norm(deviation)


def test_noise(engine):
    """48 readings: their variance over the prediction is chi^2/48; outside 0.39 to 2.0 once in 10^5."""
    noisy = NoisyDevice(network(), NoiseSpectrum(1e-20, 1e-19, 10.0), (0,))
    made = bank(device=noisy, settings=LockInSettings(0.004, 18), points_per_cycle=12)
    check = check_bank(made, engine, 0.06, seeds=tuple(range(16)))
    scatter = (check.measured - check.budget.reading) / check.budget.noise
    assert 0.39 < np.mean(scatter**2) < 2.0


def test_macro_front_end(engine):
    """All real parts: their offset, gain and phase, found by .op and .ac, explain the reading to 2 %."""
    trimmed = load_part("transimpedance", "macro").with_defaults("trimmed", vos=1e-4)
    made = bank(level="macro", parts=(trimmed,), transimpedance_ohm=1e6, points_per_cycle=16)
    check = check_bank(made, engine, 0.12)
    assert check.budget.dominant == "offset"
    deviation = check.measured[0] - check.budget.exact
    assert np.linalg.norm(deviation - check.budget.systematic) < 0.02 * np.linalg.norm(deviation)


def test_bad_banks_are_refused(engine):
    with pytest.raises(InputError, match="voltages_V"):
        bank(voltages_V=np.array([0.1, 0.0, 0.0, 0.0]))
    with pytest.raises(InputError, match="dithered"):
        bank(dithered=(1, 2))
    with pytest.raises(InputError, match="window"):
        bank(settings=LockInSettings(0.1, window="boxcar"))
    with pytest.raises(InputError, match="stray_F"):
        bank(stray_F=(1.0, 2.0))
    with pytest.raises(InputError, match="duration_s"):
        bank().run(engine, -1.0)

    class Blind:
        terminals, limits_V, currents, kernel = network().terminals, network().limits_V, None, None

    with pytest.raises(InputError, match="device"):
        predict_bank(bank(device=Blind()), engine, 0.1)


def test_the_electronics_own_noise_is_in_the_budget(engine):
    """72 readings of macro lock-ins, no other noise: variance over prediction outside 0.42 to 1.91 once in 10^5."""
    made = bank(level="macro", transimpedance_ohm=1e6, settings=LockInSettings(0.004, 18), points_per_cycle=12)
    check = check_bank(made, engine, 0.06, seeds=tuple(range(24)), noise=True)
    scatter = (check.measured - check.measured.mean(axis=0)) / check.budget.noise
    assert 0.42 < np.sum(scatter**2) / (72 - N) < 1.91
    quiet = made.front_end(engine, noise=True, averaged=Averaged(10.0, 10.0))
    twice = made.front_end(engine, noise=True, averaged=Averaged(10.0, 20.0))
    np.testing.assert_allclose(twice.noise_psd, 2.0 * quiet.noise_psd, rtol=2e-3)  # heard for twice as long


def test_a_feedback_resistors_noise_is_johnsons(engine):
    """An ideal amplifier with 1 Mohm: 4kT/R at all tones, nothing behind ideal mixers but their filters' resistors."""
    part = load_part("transimpedance", "macro")
    quiet = {name: 0.0 for name in ("noise",) if name in part.defaults}
    made = bank(parts=(part.with_defaults("quiet", **quiet),), transimpedance_ohm=1e6)
    own = made.front_end(engine, noise=True).own_noise(np.array(made.dither.frequencies_Hz))
    johnson = 4.0 * 1.380649e-23 * 300.15 / 1e6
    assert np.all(own > 0.999 * johnson)
    assert np.all(own < 1.2 * johnson)
