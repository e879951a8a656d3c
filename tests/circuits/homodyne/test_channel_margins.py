"""A channel's margins are those of Nyquist's curve where there is one, and where the engines' loops begin to hunt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from circuits.homodyne.channel_margins import ChannelMargin, LoopMargins, loop_margins
from circuits.homodyne.engines import Averaged, LoopEngine, Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.homodyne.stability import MARGINS, Stability
from circuits.ngspice.engine import Engine
from circuits.signals.patterns import PatternSequence
from lockin.plan import DitherPlan, plan_frequencies

from ...toys import Linear
from .test_stability import SLOPES, loop_at, passes, stability

ALL_THE_TIME = PatternSequence(((0.0,),), (0.05,), 0.1, 1e-7, 1e-7, 1e-7)
"""One pattern, listened to all the time: the equations stand still."""


def one_channel(rate: float, *, poles: int = 1, filter_s: float = 0.03, averaged: float = 1.0) -> HomodyneLoop:
    """A loop of one control, whose loss has the curvature 2 s^2 = 0.5 /V."""
    loop = loop_at(rate, sequence=ALL_THE_TIME, averaged_sequences=averaged, filter_s=filter_s, filter_poles=poles)
    return replace(
        loop, device=Linear((0.0, 5e-8)), trained=(1,), start_V=np.zeros(1),
        dither=plan_frequencies(1, None, 40.0, amplitude_V=1e-3),
    )  # fmt: skip


def margins(loop: HomodyneLoop) -> LoopMargins:
    slopes = SLOPES[: loop.dither.n]
    return loop_margins(Stability(loop, np.tile(slopes, (loop.sequence.patterns, 1))))


def nyquist(lag: Callable[[float], complex], gain: float) -> tuple[float, float, float]:
    """Gain margin, phase margin (deg) and crossover (Hz) of L(s) = gain lag(s)/s, whose size and phase fall."""

    def ratio(omega: float) -> complex:
        return gain * lag(omega) / (1j * omega)

    crossover = brentq(lambda omega: abs(ratio(omega)) - 1.0, 1e-3 * gain, 1e2 * gain, rtol=1e-12)
    # the phase falls from -90 deg on: -180 deg is where L is real and negative for the first time
    trial = np.geomspace(1e-3, 1e5, 20_000)
    phase = np.unwrap(np.angle([ratio(omega) for omega in trial]))
    opposite = np.interp(np.pi, -phase, trial)
    return 1.0 / abs(ratio(opposite)), 180.0 + float(np.degrees(np.angle(ratio(crossover)))), crossover / (2 * np.pi)


@pytest.mark.parametrize("eta", [0.05, 0.4, 1.0])
@pytest.mark.parametrize(
    ("poles", "filter_s", "averaged"), [(1, 0.03, 1.0), (1, 0.1, 1.0), (2, 0.02, 0.5), (3, 0.05, 2)]
)
def test_one_channel_that_is_heard_all_the_time_in_closed_form(
    eta: float, poles: int, filter_s: float, averaged: float
) -> None:
    """L = K/(s (1 + s tau)^poles (1 + s tau_a)); of one pole the gain margin is (1/tau + 1/tau_a)/K."""
    loop = one_channel(eta, poles=poles, filter_s=filter_s, averaged=averaged)
    gain = eta * 2 * SLOPES[0] ** 2 / loop.sequence.period_s

    def lag(omega: float) -> complex:
        return 1.0 / ((1 + 1j * omega * filter_s) ** poles * (1 + 1j * omega * loop.average_s))

    expected_gain, expected_deg, expected_Hz = nyquist(lag, gain)
    if poles == 1:
        assert expected_gain == pytest.approx((1 / filter_s + 1 / loop.average_s) / gain, rel=1e-6)
        angles = np.arctan(2 * np.pi * expected_Hz * np.array([filter_s, loop.average_s]))
        assert expected_deg == pytest.approx(90 - np.degrees(angles.sum()), abs=1e-6)
    (found,) = margins(loop).channels
    assert found.gain_margin == pytest.approx(expected_gain, rel=2e-3)
    assert found.phase_margin_deg == pytest.approx(expected_deg, abs=0.05)
    assert found.crossover_Hz == pytest.approx(expected_Hz, rel=2e-3)
    assert found.time_constant_s == pytest.approx(1 / gain, rel=1e-5)
    assert found.margin_dB == pytest.approx(20 * np.log10(expected_gain), abs=0.02)


def test_beyond_the_closed_form_the_margin_is_what_the_rate_has_to_fall_to() -> None:
    loop = one_channel(50.0)
    gain = 50.0 * 2 * SLOPES[0] ** 2 / loop.sequence.period_s
    (found,) = margins(loop).channels
    assert found.gain_margin == pytest.approx((1 / loop.filter_s + 1 / loop.average_s) / gain, rel=2e-3)
    assert found.margin_dB < -10.0
    assert np.isnan(found.phase_margin_deg)


def test_another_channel_that_hears_the_same_output_is_closed_meanwhile() -> None:
    """With F = 1/((1 + s tau)(1 + s tau_a)) and K_j = eta 2 s_j^2/period, L_1 = K_1 F/(s + K_2 F)."""
    loop = replace(loop_at(3.0, sequence=ALL_THE_TIME), rates=(1.0, 0.7))
    tau, tau_a = loop.filter_s, loop.average_s
    first, second = 3.0 * 2 * SLOPES**2 / loop.sequence.period_s * np.array([1.0, 0.7])

    def lag(omega: float) -> complex:
        s = 1j * omega
        closed = 1.0 / ((1 + s * tau) * (1 + s * tau_a))
        return closed * s / (s + second * closed)

    def ratio(omega: float) -> complex:
        return first * lag(omega) / (1j * omega)

    found = margins(loop).channels[0]
    # both swing as one, so that the sum of their gains has the limit of the one channel's
    limit = 1 / tau + 1 / tau_a
    assert found.gain_margin == pytest.approx((limit - second) / first, rel=2e-3)
    # K_1 > K_2: |L_1| begins at K_1/K_2 > 1 and falls to 1 once
    omega = brentq(lambda w: abs(ratio(w)) - 1.0, 1e-2 * first, 1e2 * first, rtol=1e-12)
    assert found.phase_margin_deg == pytest.approx(180.0 + np.degrees(np.angle(ratio(omega))), abs=0.05)
    assert found.crossover_Hz == pytest.approx(omega / (2 * np.pi), rel=2e-3)


def test_a_phase_of_either_sign_leaves_the_same_moduli() -> None:
    found = stability(loop_at(8.0, servo=0.5))
    lags, leads = (found.multipliers(np.array([np.exp(sign * 0.7j), 1.0])) for sign in (-1, 1))
    np.testing.assert_allclose(np.sort(np.abs(lags)), np.sort(np.abs(leads)), atol=1e-9)
    assert np.max(np.abs(np.sort(np.abs(lags)) - np.sort(np.abs(found.multipliers())))) > 1e-3


UNLIKE = np.array([[0.5, 0.3], [0.2, -0.4]])
"""Slopes of two patterns that depend on the controls in different ways, V/V."""


def written_out(loop: HomodyneLoop, slopes: np.ndarray, factors: np.ndarray, passes_: int) -> np.ndarray:
    """(w, m, a, b, c) of two channels after each pass, from the equations as they are documented, by Runge-Kutta."""
    sequence, stage, n = loop.sequence, loop.stage, 2
    gain, heard_s = stage.polarity * np.exp(stage.gain_log), sequence.patterns * sequence.window_s
    rates = factors * loop.control_rates * loop.learning_rate / heard_s

    def slope(x: np.ndarray, pattern: int | None) -> np.ndarray:
        w, m, a, b, c = x[:n], x[n : 2 * n], x[2 * n : 3 * n], x[-2], x[-1]
        heard, b_slope, c_slope = np.zeros(n, dtype=complex), 0.0j, 0.0j
        if pattern is not None:
            target, s = sequence.targets_V[pattern], slopes[pattern]
            y = gain * (s @ w - b) + target * c
            heard = 2 * gain * s * y
            b_slope = stage.baseline_rate / heard_s * (s @ w - b)
            c_slope = -2 * stage.gain_rate / (heard_s * stage.level_V**2) * target * y
        return np.concatenate([-rates * a, (heard - m) / loop.filter_s, (m - a) / loop.average_s, [b_slope, c_slope]])

    x = np.array([1.0, -0.4, 0, 0, 0, 0, 0.1, 0.2], dtype=complex)
    sizes = []
    for _ in range(passes_):
        for pattern in range(sequence.patterns):
            for heard, span in ((None, sequence.slot_s - sequence.window_s), (pattern, sequence.window_s)):
                x = solve_ivp(lambda _, x, p=heard: slope(x, p), (0.0, span), x, rtol=1e-9, atol=1e-12).y[:, -1]
        sizes.append(x.copy())
    return np.array(sizes)


@pytest.mark.parametrize("servo", [0.0, 0.5])
def test_patterns_in_turn_are_as_stable_as_the_equations_written_out(servo: float) -> None:
    """Two patterns, waits between, servos: no Nyquist curve, so the equations are integrated beside each edge."""
    stage = OutputStage(baseline_rate=servo, gain_rate=servo, gain_log=0.3, level_V=0.1)
    loop = loop_at(3.0, rates=(1.0, 0.6), stage=stage)
    found = loop_margins(Stability(loop, UNLIKE)).channels[0]
    assert 1.0 < found.gain_margin < MARGINS[1]
    assert 0.0 < found.phase_margin_deg < 180.0
    turned = np.exp(-1j * np.radians(found.phase_margin_deg * np.array([0.9, 1.1])))
    for (inside, outside), kind in (
        ((0.95 * found.gain_margin, 1.05 * found.gain_margin), "gain"),
        (tuple(turned), "phase"),
    ):
        for factor, grows in ((inside, False), (outside, True)):
            assert grows_written_out(loop, UNLIKE, np.array([factor, 1.0])) == grows, (kind, factor)


def grows_written_out(loop: HomodyneLoop, slopes: np.ndarray, factors: np.ndarray) -> bool:
    """Whether the steps of the controls grow: what stands still, or creeps, is not in them."""
    states = written_out(loop, slopes, factors, 60)
    steps = np.abs(np.diff(states[:, :2], axis=0)).sum(axis=1)
    return bool(np.max(steps[-10:]) > np.max(steps[20:30]))


def test_a_channel_that_steadies_another_may_not_fall_far_either() -> None:
    """Slopes of two patterns where e2 undoes what e1 does too much of: without it the loop hunts."""
    slopes = np.array([[-0.3, 0.3], [0.9, 0.2]])
    stage = OutputStage(baseline_rate=0.5, gain_rate=0.0, gain_log=0.3)
    loop = loop_at(8.7, rates=(0.24, 0.73), stage=stage)
    found = loop_margins(Stability(loop, slopes))
    steady = found.channels[1]
    assert 0.0 < steady.lower_margin < 1.0 < steady.gain_margin
    assert found.channels[0].lower_margin == 0.0
    for share, grows in ((1.15, False), (0.85, True)):
        assert grows_written_out(loop, slopes, np.array([1.0, share * steady.lower_margin])) == grows
    assert "hunts, too, at" in steady.words()


def modes(values: np.ndarray, count: int) -> np.ndarray:
    """Factors that a sum of so many modes changes by in a pass: x[n] from the values before it, least squares."""
    before = np.stack([values[count - 1 - j : len(values) - 1 - j] for j in range(count)], axis=1)
    return np.roots(np.append(1.0, -np.linalg.lstsq(before, values[count:], rcond=None)[0]))


def modulus_a_pass(swings: np.ndarray) -> float:
    """Factor that a pair of modes changes by in a pass."""
    return float(np.max(np.abs(modes(swings, 2))))


def still_loop(**changes: object) -> HomodyneLoop:
    """A loop of two channels of 0.5 and 0.3 V/V that only its start moves; its tones are fast beside its low-passes.

    Slow ones leave ripple, e^2 sin theta and the like, which drives the loop by as much as its start does.
    """
    still = PatternSequence(((0.0,), (0.0,)), (0.0, 0.0), 0.025, 0.00125, 0.00125, 12.5e-6)
    dither = DitherPlan((1600.0, 1840.0), (1e-3, 1e-3))
    return loop_at(8.0, sequence=still, rates=(0.5, 0.5), dither=dither, **changes)


def at_factor(loop: HomodyneLoop, channel: int, factor: float) -> HomodyneLoop:
    """The loop with one channel's rate times a factor; shares stay at 1 at most."""
    rates = np.array(loop.control_rates)
    rates[channel] *= factor
    over = max(1.0, float(np.max(rates)))
    return replace(loop, rates=tuple(rates / over), learning_rate=over * loop.learning_rate)


@pytest.mark.parametrize("kind", [Twin, Averaged])
@pytest.mark.parametrize("channel", [0, 1])
def test_an_engines_loop_dies_away_as_predicted_and_swings_up_beyond_a_channels_margin(
    kind: type[LoopEngine], channel: int
) -> None:
    base = still_loop()
    margin = margins(base).channels[channel].gain_margin
    assert 1.0 < margin < MARGINS[1]
    for factor, grows in ((1.0, False), (0.95 * margin, False), (1.08 * margin, True)):
        loop = at_factor(base, channel, factor)
        swings = (passes(loop, kind().run(loop)) @ SLOPES)[10:]
        measured, found = modulus_a_pass(swings), margins(loop)
        values = found.stability.multipliers()
        predicted = float(np.max(np.abs(values[np.abs(values - 1.0) > 1e-3])))
        assert measured == pytest.approx(predicted, rel=1e-3), factor
        assert [measured > 1.0, found.least_dB < 0.0, found.stability.doubt is not None] == [grows] * 3


@pytest.mark.parametrize("kind", [Twin, Averaged])
def test_baseline_and_gain_that_follow_are_in_the_margin(kind: type[LoopEngine]) -> None:
    """Two patterns of their own outputs: the pair that swings is found among the four modes of the output's way."""
    stage = OutputStage(baseline_rate=0.5, gain_rate=0.5, level_V=0.05)  # the level that the targets have
    base = loop_at(5.0, rates=(0.5, 0.5), stage=stage, dither=DitherPlan((1600.0, 1840.0), (1e-3, 1e-3)))
    held = replace(base, stage=replace(stage, baseline_rate=0.0, gain_rate=0.0))
    margin = margins(base).channels[0].gain_margin
    assert margin > 1.5 * margins(held).channels[0].gain_margin, "the servos would not show"
    for factor, grows in ((0.95 * margin, False), (1.08 * margin, True)):
        loop = at_factor(base, 0, factor)
        found = modes((passes(loop, kind().run(loop)) @ SLOPES)[6:], 4)
        predicted = margins(loop).stability.multipliers()
        pairs = [values[np.argmax(values.imag)] for values in (found, predicted)]
        assert abs(pairs[0] - pairs[1]) < 5e-3
        assert [abs(pair) > 1.0 for pair in pairs] == [grows] * 2


def test_ngspice_begins_to_hunt_where_the_channel_says(engine: Engine) -> None:
    base = still_loop(sequences=25)
    margin = margins(base).channels[0].gain_margin
    for factor in (0.95, 1.08):
        loop = at_factor(base, 0, factor * margin)
        swings = (passes(loop, Ngspice(engine).run(loop)) @ SLOPES)[10:]
        values = margins(loop).stability.multipliers()
        predicted = float(np.max(np.abs(values[np.abs(values - 1.0) > 1e-3])))
        measured = modulus_a_pass(swings)
        assert measured == pytest.approx(predicted, rel=1e-3)
        assert (measured > 1.0) == (factor > 1.0)


def test_a_channel_that_is_too_fast_is_the_one_that_has_to_fall() -> None:
    base = still_loop()
    sound = margins(base)
    assert sound.least_dB > 0.0
    for channel in (0, 1):
        found = margins(at_factor(base, channel, 100.0))
        fault, other = found.channels[channel], found.channels[1 - channel]
        # the same edge seen from beyond it
        assert 100.0 * fault.gain_margin == pytest.approx(sound.channels[channel].gain_margin, rel=2e-3)
        assert fault.margin_dB < -20.0
        assert other.gain_margin == 0.0
        assert other.margin_dB == -np.inf
        assert np.isnan(fault.phase_margin_deg)
        assert found.tightest is fault
        assert found.decay_s == np.inf
        assert "has to fall" in found.verdict(0.0)
        assert "whatever" in other.words()


def test_what_nothing_depends_on_has_every_margin() -> None:
    loop, slopes = still_loop(), np.tile(SLOPES * [1.0, 0.0], (2, 1))
    flat = loop_margins(Stability(loop, slopes)).channels[1]
    assert flat == ChannelMargin("e2", 0.5, MARGINS[1], 180.0, pytest.approx(np.nan, nan_ok=True), 0.0, np.inf)
    assert "180 deg or more" in flat.words()
    assert "over 100 dB" in flat.words()


def test_two_channels_that_are_both_too_fast_are_stilled_by_none_alone() -> None:
    loop = replace(still_loop(), rates=1.0, learning_rate=1e3)
    found = margins(loop)
    assert [one.gain_margin for one in found.channels] == [0.0, 0.0]
    assert found.tightest.name == "e1"
    assert "by no rate alone" in found.verdict(0.0)


def test_the_slowest_decay_and_what_stands_still_in_closed_form() -> None:
    """Two controls and one output: one direction is flat; a small gain K alone decays in 1/K, the lags are far away."""
    loop = loop_at(0.5, sequence=ALL_THE_TIME, filter_s=1e-4, averaged_sequences=1e-3)
    found = margins(loop)
    gain = 0.5 * 2 * float(SLOPES @ SLOPES) / loop.sequence.period_s
    assert found.decay_s == pytest.approx(1 / gain, rel=2e-3)
    # the flat direction, and both servos, which are held
    assert found.still == 3
    progress: list[tuple[int, int]] = []
    loop_margins(found.stability, lambda done, count: progress.append((done, count)))
    assert progress == [(0, 2), (1, 2), (2, 2)]
