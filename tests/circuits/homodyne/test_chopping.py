"""A chopped loop: what comes from the dither is read as before, what does not cancels over two passes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from circuits.homodyne import readings
from circuits.homodyne.engines import Averaged, LoopEngine, Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.offsets import measured_bias, offset_bias
from circuits.ngspice.engine import Engine
from circuits.parts.levels import loop_fields
from inmateria.checks import FloatArray
from learning.bench.bench import Bench, default_bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.gradients import probe_loop
from learning.homodyne.settings import HgeSettings
from netlists.reader import load_part

from ...refused import refused
from ...toys import random_chip

AT = np.array([0.1, -0.2, 0.15, 0.05])
ERRORS = {"mix1.offset": 10e-3, "mix2.offset": -50e-3, "chop0.offset": -0.3e-3, "chop3.mismatch": 3e-3}


@cache
def bench() -> Bench:
    return Bench(random_chip(4, 12, 12, 1, seed=3, scale=np.sqrt(2)), 0, (1, 2))


def closed(level: str = "ideal", **options: object) -> HomodyneLoop:
    settings = HgeSettings(0.02, step_V=0.05, **loop_fields(level), **options)  # type: ignore[arg-type]
    experiment = Experiment(bench(), bench().task("AND"), settings)
    return build_loop(experiment, AT, 1.0, bench().outputs_A(AT, experiment.task))


def read(loop: HomodyneLoop, engine: LoopEngine) -> FloatArray:
    return readings.gradient(loop, engine.run(loop))


@pytest.mark.parametrize("mode", ["output", "loss"])
def test_ideal_lock_ins_read_the_same(mode: str, engine: Engine) -> None:
    plain, chopped = (closed(chopped=on).opened(AT, 0.02, mode, 12.0) for on in (False, True))  # type: ignore[arg-type]
    expected = read(plain, Twin())
    for one in (Ngspice(engine), Twin(), Averaged()):
        # 1 %: the averaged loop sees the gate's edges as jumps, and in mode "loss" beats of the tones differ
        np.testing.assert_allclose(read(chopped, one), expected, atol=0.01 * np.abs(expected).max())


def test_the_digital_lock_in_knows_the_sign() -> None:
    """Of as many windows: the time-points fall otherwise on the tones in each, which is 2e-3 here."""
    plain, chopped = (closed(chopped=on).opened(AT, 0.02, "output", 24.0, 1 if on else 2) for on in (False, True))
    expected, found = (readings.digital_gradient(loop, Twin().run(loop)) for loop in (plain, chopped))
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("heard_V", [0.0, 0.8])
def test_figures_and_measurement_agree_channel_by_channel(engine: Engine, heard_V: float) -> None:
    """And of 10 and 50 mV behind the mixers a fortieth at most is left: the switch's own 0.1 mV and its mismatch."""
    mixers = {name: error for name, error in ERRORS.items() if name.startswith("mix")}
    plain, chopped = (
        replace(closed(chopped=on), component_errors=errors, **loop_fields("macro"))
        .opened(AT, 0.02, "output", 12.0)
        for on, errors in ((False, mixers), (True, ERRORS))
    )  # fmt: skip
    figures, before = offset_bias(chopped, heard_V), offset_bias(plain, heard_V)
    measured = measured_bias(chopped, Ngspice(engine), heard_V)
    np.testing.assert_allclose(measured, figures, atol=2e-4 * np.abs(before).max())
    assert np.all(np.abs(figures[1:3]) < np.abs(before[1:3]) / 40)


def test_odd_patterns_cancel_too(engine: Engine) -> None:
    """Three windows a pass leave a sign over, which the tail takes back."""
    options = {"component_errors": ERRORS, **loop_fields("macro")}
    loop = replace(closed(chopped=True), **options)  # type: ignore[arg-type]
    three = replace(loop.sequence, levels_V=loop.sequence.levels_V[:3], targets_V=loop.sequence.targets_V[:3])
    opened = replace(loop, sequence=three).opened(AT, 0.02, "output", 12.0)
    assert opened.chop_signs.tolist() == [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]
    measured, unchopped = measured_bias(opened, Ngspice(engine)), 2 / 0.02 * 50e-3
    np.testing.assert_allclose(measured, offset_bias(opened), atol=2e-4 * unchopped)


@pytest.mark.parametrize("level", ["ideal", "macro"])
def test_engines_learn_alike(level: str, engine: Engine) -> None:
    loop = closed(level, chopped=True, sequences=4, component_errors=ERRORS if level == "macro" else {})
    times = np.linspace(0.0, loop.stop_s, 40)
    paths = []
    for one in (Ngspice(engine), Twin(), Averaged()):
        run = one.run(loop)
        paths.append(np.array([np.interp(times, run.time_s, w) for w in readings.controls_V(loop, run).T]))
    span = np.ptp(paths[0], axis=1).max()
    assert span > 0.05
    np.testing.assert_allclose(paths[1], paths[0], atol=0.02 * span)
    np.testing.assert_allclose(paths[2], paths[1], atol=0.03 * span)


def test_a_switch_of_ones_own_needs_a_chopped_loop() -> None:
    own = replace(load_part("switching_mixer", "macro"), level="user")
    with refused("parts['switching_mixer']", "chopped loop only"):
        HgeSettings(parts={"switching_mixer": own})
    HgeSettings(parts={"switching_mixer": own}, chopped=True)


def test_readings_that_cross_zero_settle(engine: Engine) -> None:
    """At vntol = 1e-12 the step of this circuit shrank to nothing where the second window opened."""
    at = np.array(
        [-0.2404613381614556, -0.14250650173969054, 0.3553232005145171, 0.4006784550535933, -0.26147421995262193,
         -0.18419130245020388, -0.1479025496680599]
    )  # fmt: skip
    like = HgeSettings(0.02, chopped=True, **(loop_fields("macro") | {"multiplier_V": 8.0}))
    loop = probe_loop(default_bench(0, tolerance=1e-5), at, 0.006, (0.25, 0.25), like=like, points_per_cycle=12.0)
    assert np.all(np.isfinite(read(loop, Ngspice(engine))))
