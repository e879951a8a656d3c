"""Gradients along a path are of the loop's own parts, at the dither that stood at each instant, of loss and output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.gradients.path_check import PathCheck, check_path, standing_at
from circuits.homodyne.engines import Twin
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.offsets import offset_bias
from circuits.parts.levels import loop_fields
from circuits.signals.transient import Transient
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.gradients import probe_loop
from learning.homodyne.settings import HgeSettings

from ..conftest import START


@pytest.fixture(scope="module")
def macro(small_bench: Bench) -> tuple[Experiment, HomodyneLoop, Transient]:
    settings = HgeSettings(
        amplitude_V=0.02, sequences=3, dither_to=0.1, component_errors={"mix1.offset": 15e-3}, **loop_fields("macro")
    )
    experiment = Experiment(small_bench, small_bench.task("AND"), settings)
    loop = build_loop(experiment, START, 1.0, small_bench.outputs_A(START, experiment.task))
    return experiment, loop, Twin().run(loop)


@pytest.fixture(scope="module")
def check(macro: tuple[Experiment, HomodyneLoop, Transient]) -> PathCheck:
    return check_path(*macro, Twin(), samples=3)


def test_each_instant_has_the_dither_that_stood_there(check: PathCheck) -> None:
    np.testing.assert_allclose(check.dither_V, [0.02, 0.011, 0.002])
    assert (check.sequences, check.patterns) == ((0, 1, 3), (0, 1, 2))
    assert (check.engine, check.parts) == ("twin", "the loop's own parts (macro)")
    assert {one.attrs["units"] for one in check.output.exact} == {"S"}
    assert {one.attrs["units"] for one in check.loss.exact} == {"V/V"}


def test_offsets_of_its_own_parts_weigh_more_as_the_dither_falls(
    check: PathCheck, macro: tuple[Experiment, HomodyneLoop, Transient]
) -> None:
    """The offsets behind the mixers add (2/alpha) V_off in closed form: ten times as much at a tenth of the dither."""
    experiment, loop, run = macro
    for k, instant in enumerate((1.0, 2.0, 4.0)):
        at = standing_at(loop, run, instant)
        levels = experiment.task.levels_V[k]
        probe = probe_loop(experiment.bench, at.start_V, at.dither.amplitudes_V, levels, like=loop)
        bias = offset_bias(probe) / probe.stage.transimpedance_ohm
        deviation = np.asarray(check.output.measured[k]) - np.asarray(check.output.exact[k])
        # a mixer's offset, 5 mV, against what its low-passes and the reading integrator add: all in the figures
        np.testing.assert_allclose(deviation, bias, atol=0.05 * np.abs(bias).max())
        assert bias[1] > 2.5 * bias[0] > 0.0  # the board's own component
    sizes = [np.linalg.norm(np.asarray(a) - np.asarray(b))
             for a, b in zip(check.output.measured, check.output.exact, strict=True)]  # fmt: skip
    np.testing.assert_allclose(sizes[2] / sizes[0], 10.0, rtol=0.05)


def test_the_loss_is_meant_where_baseline_and_gain_stood(macro: tuple[Experiment, HomodyneLoop, Transient]) -> None:
    _, loop, run = macro
    at = standing_at(loop, run, 4.0)
    row = int(np.searchsorted(run.time_s, 4.0 * loop.sequence.period_s))
    assert (at.stage.baseline_V, at.stage.gain_log) == (run["v(baseline)"][row], run["v(gainlog)"][row])
    assert at.stage.baseline_V != loop.stage.baseline_V
    assert at.dither.amplitudes_V == pytest.approx((0.002,) * 4)


def test_rails_leave_room_for_what_the_summing_amplifiers_add(small_bench: Bench) -> None:
    """At the rails, with all errors of their parts and the whole dither, the electrodes stay in the device's range."""
    errors = {"sum0.esum": 0.02, "sum1.offset": 4.8e-3, "sum2.amplitude": 0.2, "sum3.esum": -0.02}
    settings = HgeSettings(amplitude_V=0.05, sequences=1, component_errors=errors, **loop_fields("macro"))
    experiment = Experiment(small_bench, small_bench.task("AND"), settings)
    loop = build_loop(experiment, START, 1.0, small_bench.outputs_A(START, experiment.task))
    for rail in loop.control_limits_V:
        run = Twin().run(replace(loop.opened(rail, loop.dither.amplitudes_V, "loss")))
        reached = np.array([run[f"v(el{k})"] for k in loop.trained])
        limits = np.asarray(small_bench.device.limits_V)[list(loop.trained)]
        assert np.all(reached >= limits[:, :1])
        assert np.all(reached <= limits[:, 1:])
        edge = np.minimum(reached.min(axis=1) - limits[:, 0], limits[:, 1] - reached.max(axis=1))
        assert np.all(edge < 2e-3)  # no more room than is needed: the steps ahead, and what the dither's peak misses
