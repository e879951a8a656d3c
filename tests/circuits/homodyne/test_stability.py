"""The margin before a run is where the engines' own loops begin to hunt; what a run says of its end is what it did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuits.homodyne import netlist, readings
from circuits.homodyne.engines import Averaged, Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.homodyne.settling import settling
from circuits.homodyne.stability import SPARE, Stability, stable_rates
from circuits.ngspice.engine import Engine
from circuits.parts.levels import loop_fields
from circuits.signals.patterns import PatternSequence
from circuits.signals.transient import Transient
from learning.bench.bench import default_bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import choose_start, read_start
from lockin.plan import DitherPlan, plan_frequencies
from lockin.theory import stability_limit

from ...refused import refused
from ...toys import Linear
from .test_loop_by_hand import TwoTanh

SLOPES = np.array([0.5, 0.3])
"""d v(tia)/dw of `Linear` at 1e7 ohm, V/V, whatever the pattern."""


def loop_at(rate: float, *, servo: float = 0.0, **changes: object) -> HomodyneLoop:
    """A loop on a linear device, slow beside its tones; it starts 1 mV beside where it should be, limiters far away."""
    loop = HomodyneLoop(
        device=Linear(),
        output=0,
        inputs=(1,),
        trained=(1, 2),
        start_V=np.array([1e-3, 0.0]),
        dither=plan_frequencies(2, None, 40.0, amplitude_V=1e-3),
        sequence=PatternSequence(((-0.1,), (0.1,)), (-0.05, 0.05), 0.025, 0.00125, 0.00125, 12.5e-6),
        sequences=40,
        learning_rate=rate,
        step_V=1.0,
        anneal_to=1.0,
        filter_s=0.03,
        stage=OutputStage(baseline_rate=servo, gain_rate=0.0),
    )
    return replace(loop, **changes)  # type: ignore[arg-type]


def stability(loop: HomodyneLoop) -> Stability:
    return Stability(loop, np.tile(SLOPES, (loop.sequence.patterns, 1)))


def passes(loop: HomodyneLoop, run: Transient) -> np.ndarray:
    """Controls at the ends of the passes."""
    ends = loop.sequence.period_s * np.arange(1, loop.sequences + 2)
    return np.stack([np.interp(ends, run.time_s, w) for w in readings.controls_V(loop, run).T], axis=1)


def test_curvature_and_margin_in_closed_form() -> None:
    """One long pattern without idle time or servos, and a low-pass as slow as the averager: eta lambda tau < 2."""
    loop = loop_at(1.0, sequence=PatternSequence(((0.0,),), (0.05,), 0.1, 1e-6, 1e-6, 1e-6), averaged_sequences=1.0)
    loop = replace(loop, filter_s=loop.average_s)
    found = stability(loop)
    np.testing.assert_allclose(found.curvatures_per_V, 2 * SLOPES**2, rtol=1e-12)
    curvature = 2 * SLOPES @ SLOPES  # of the steepest direction; the other one is flat
    eta_lambda_tau = curvature * loop.average_s / loop.sequence.period_s
    assert found.gain_margin == pytest.approx(stability_limit(2) / eta_lambda_tau, rel=2e-3)
    assert found.margin_dB == pytest.approx(20 * np.log10(found.gain_margin))
    # each control's share counts as its rate does: half of both is twice the margin
    assert stability(replace(loop, rates=0.5)).gain_margin == pytest.approx(2 * found.gain_margin, rel=2e-3)
    one_flat = stability(replace(loop, rates=(1.0, 1e-3))).gain_margin
    assert one_flat == pytest.approx(stability_limit(2) / (2 * (0.25 + 0.09e-3)), rel=2e-3)


@pytest.mark.parametrize("engine", [Twin, Averaged])
@pytest.mark.parametrize("servo", [0.0, 0.5])
def test_a_loop_swings_up_just_beyond_its_margin_and_dies_away_just_within(engine: type[Twin], servo: float) -> None:
    # nothing but the start moves it: what a servo hears of the patterns would
    still = PatternSequence(((0.0,), (0.0,)), (0.0, 0.0), 0.025, 0.00125, 0.00125, 12.5e-6)
    limit = stability(loop_at(1.0, servo=servo, sequence=still)).gain_margin
    for factor, grows in ((0.95, False), (1.1, True)):
        loop = loop_at(factor * limit, servo=servo, sequence=still)
        swing = np.abs(passes(loop, engine().run(loop)) @ SLOPES)
        a_pass = (np.max(swing[-11:]) / np.max(swing[10:21])) ** (1 / 20)
        found = stability(loop)
        verdicts = [bool(a_pass > 1), found.multiplier > 1 + 1e-6, found.doubt is not None]
        assert verdicts == [grows] * 3


@pytest.mark.parametrize("engine", [Twin, Averaged])
def test_the_limit_of_a_curved_device_is_where_its_loop_begins_to_hunt(engine: type[Twin]) -> None:
    """About the outputs it is to have: half a millivolt dies away at 0.9 of the limit, and grows at 1.1."""
    device, at = TwoTanh(), np.array([-0.1, 0.2])
    sequence = PatternSequence(((0.0,), (0.3,)), (0.0, 0.0), 0.1, 0.005, 0.005, 5e-5)
    volts = np.array([[0.0, at[0] + level, at[1]] for (level,) in sequence.levels_V])
    outputs_V = -1e7 * device.currents(volts)[:, 0]
    stage = OutputStage(baseline_rate=0.0, gain_rate=0.0).measured_at(outputs_V)
    targets = np.exp(stage.gain_log) * (outputs_V - stage.baseline_V)
    loop = HomodyneLoop(
        device, 0, (1,), (1, 2), at + np.array([5e-4, 0.0]), DitherPlan((110.0, 130.0), (2e-3, 2e-3)),
        replace(sequence, targets_V=tuple(targets.tolist())), sequences=24, step_V=1.0, anneal_to=1.0, stage=stage,
    )  # fmt: skip
    slopes = -1e7 * np.stack([device.conductances(v)[0, 1:] for v in volts])
    limit = Stability(loop, slopes).gain_margin
    for factor, grows in ((0.9, False), (1.1, True)):
        one = replace(loop, learning_rate=factor * limit * loop.learning_rate)
        swing = np.abs(np.diff((passes(one, engine().run(one)) - at) @ slopes[0]))
        assert bool(np.max(swing[-6:]) > np.max(swing[:6])) == grows
        assert (Stability(one, slopes).doubt is not None) == grows


def test_curvatures_are_those_that_lock_ins_measure() -> None:
    """Along the electrodes beside the output, which no limit stated for the whole loop had held: by two readings."""
    bench = default_bench()
    experiment = Experiment(bench, bench.task("XOR"), HgeSettings(amplitude_V=2e-4, looks=4, moves=0))
    start = choose_start(experiment, np.random.default_rng(3))
    loop = build_loop(experiment, start.controls_V, start.polarity, start.outputs_A)
    stage = loop.stage
    y = stage.polarity * np.exp(stage.gain_log) * (stage.transimpedance_ohm * start.outputs_A - stage.baseline_V)
    there = replace(loop, sequence=replace(loop.sequence, targets_V=tuple(y.tolist())))  # the outputs are as wanted
    _, slopes = read_start(there, Twin())
    stated = Stability(there, slopes).curvatures_per_V
    for k, step in ((0, 2e-4), (6, 2e-4)):
        gradients = []
        for sign in (1.0, -1.0):
            at = start.controls_V + sign * step * np.eye(7)[k]
            opened = replace(there, start_V=at).opened(at, 2e-4, "loss", there.points_per_cycle)
            gradients.append(readings.gradient(opened, Twin().run(opened))[k])
        assert (gradients[0] - gradients[1]) / (2 * step) == pytest.approx(stated[k], rel=5e-3)
    assert stated[0] > 1000 * np.median(stated)


def test_shares_of_the_rate_are_in_all_engines(engine: Engine) -> None:
    loop = loop_at(0.5, rates=(1.0, 0.1), sequences=6)
    alone = {"ngspice": Ngspice(engine), "twin": Twin(), "averaged": Averaged()}
    ends = {name: passes(loop, one.run(loop))[-1] - loop.start_V for name, one in alone.items()}
    for name, moved in ends.items():
        # both hear one error, so that they go in the proportion of their slopes times their shares
        assert moved[1] / moved[0] == pytest.approx(0.1 * SLOPES[1] / SLOPES[0], rel=0.01), name
        np.testing.assert_allclose(moved, ends["twin"], rtol=5e-3)
    for level in ("ideal", "macro"):
        built = replace(loop, **loop_fields(level))  # type: ignore[arg-type]
        placed = netlist.placements(built)
        rates = [abs(placed[f"w{k}"].values["rate"]) * loop.sequence.period_s for k in range(2)]
        np.testing.assert_allclose(rates, [1.0, 0.1])


def test_a_run_says_what_hunted_and_how_far_it_would_still_go() -> None:
    loop = loop_at(0.5, sequences=12, anneal_to=0.5)
    period, scales = loop.sequence.period_s, np.linspace(1.0, 0.5, 12)
    n = np.arange(13)
    swings = 0.02 + 3e-3 * (-1.0) ** n
    drifts = 0.1 - 4e-3 * np.append(0.0, np.cumsum(scales))
    time = np.append(0.0, period * (n + 1.0))
    run = Transient(
        time, {"v(w0)": np.append(0.02, swings), "v(w1)": np.append(0.1, drifts)}, np.zeros((14, 3)), True, {}, (), ""
    )
    found = settling(loop, run)
    np.testing.assert_allclose(found.hunting, [1.0, 0.0])
    np.testing.assert_allclose(found.drift_V, [0.0, -4e-3], atol=2e-4)
    assert found.cycle_V[0] == pytest.approx(3e-3, rel=0.05)
    assert found.cycle_V[1] < 1e-12
    assert found.names == ("e1", "e2")
    assert "e1: 100 %" in found.words()
    assert found.facts()["still_moving_V_per_pass"]["e2"] == pytest.approx(-4e-3)


def test_what_is_no_share_and_no_slope_is_refused() -> None:
    for rates in (0.0, 1.5, (1.0, -0.1), (1.0, 1.0, 1.0), (), float("nan")):
        with refused("rates"):
            loop_at(0.1, rates=rates)
    with refused("slopes"):
        Stability(loop_at(0.1), SLOPES)
    with refused("loss"):
        stability(loop_at(0.1, loss="absolute"))


def test_stable_rates_leave_the_margin_and_no_more() -> None:
    loop, slopes = loop_at(20.0), np.tile(SLOPES, (2, 1))
    rates = np.array(stable_rates(loop, slopes))
    assert rates[0] / rates[1] == pytest.approx((SLOPES[1] / SLOPES[0]) ** 2)
    assert Stability(replace(loop, rates=tuple(rates)), slopes).gain_margin == pytest.approx(SPARE, rel=2e-3)
    # what grows beyond all numbers hunts, too
    assert Stability(loop_at(1.0), 1e9 * slopes).doubt is not None
    assert max(stable_rates(loop, 1e3 * slopes)) < 1e-3 * max(rates)
    # one that is stable as it is keeps its rates, and so does a control that nothing depends on
    assert stable_rates(loop_at(0.01), slopes) == (1.0, 1.0)
    assert stable_rates(loop, slopes * [1.0, 0.0])[1] == 1.0
