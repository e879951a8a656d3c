"""Several devices on one bench: each sees all inputs, all controls are dithered at once and learn, in every engine."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from circuits.homodyne import readings
from circuits.homodyne.engines import engine_named
from circuits.homodyne.loop import HomodyneLoop
from dnpu_models.joined.joined_devices import JoinedDevices
from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.bench.devices import DeviceOptions, joined_bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import read_start

from ...toys import random_chip


@cache
def experiment() -> Experiment:
    """XOR on two chips of three controls each."""
    joined = JoinedDevices([random_chip(3, 12, 1, seed=seed, kinks=0.1) for seed in (1, 2)], 0)
    bench = Bench(joined, 0, joined.everywhere((1, 3)), copies=2, spacing_Hz=40.0)
    return Experiment(bench, bench.task("XOR"), HgeSettings(sequences=4, anneal_to=1.0, dither_to=1.0))


@cache
def loop() -> HomodyneLoop:
    bench, task = experiment().bench, experiment().task
    controls = 0.2 * np.random.default_rng(3).uniform(-1.0, 1.0, 6)
    return build_loop(experiment(), controls, 1.0, bench.outputs_A(controls, task))


def test_every_device_sees_all_inputs_around_its_own_biases():
    bench, task = experiment().bench, experiment().task
    assert bench.inputs == (1, 3, 4, 6)
    assert task.inputs == 2
    levels = np.array(task.levels_V)
    np.testing.assert_array_equal(levels[:, :2], levels[:, 2:])
    np.testing.assert_allclose(np.ptp(levels, axis=0), bench.swings_V(task.swing_share))
    controls = np.arange(6) / 20
    volts = np.stack([bench.terminal_voltages(controls, row) for row in task.levels_V])
    apart = [device.currents(volts[:, [0, *own]])[:, 0]
             for device, own in zip(bench.device.devices, ((1, 2, 3), (4, 5, 6)), strict=True)]  # fmt: skip
    np.testing.assert_allclose(bench.outputs_A(controls, task), -sum(apart), rtol=1e-12)


def test_one_output_tells_the_slopes_of_all_devices():
    """Lock-ins at the common output against each device's own exact slopes; the dither's error is second order."""
    small = replace(loop(), dither=experiment().bench.plan(1e-3))
    _, slopes = read_start(small, engine_named("twin"))
    exact = experiment().bench.slopes_S(small.start_V, experiment().task)
    found = slopes / experiment().bench.transimpedance_ohm
    np.testing.assert_allclose(found, exact, rtol=0, atol=0.02 * np.abs(exact).max())


@pytest.mark.parametrize(("engine", "bound"), [("twin", 0.01), ("averaged", 0.03)])
def test_the_engines_take_the_same_way(engine, bound):
    """As one ngspice transient, by the twin and averaged: the controls of both devices."""
    wanted = engine_named("ngspice").run(loop())
    found = engine_named(engine).run(loop())
    ways = [np.stack([np.interp(wanted.time_s, run.time_s, w) for w in readings.controls_V(loop(), run).T])
            for run in (wanted, found)]  # fmt: skip
    moved = np.ptp(ways[0], axis=1)
    assert np.all(moved > 1e-3)
    assert np.abs(ways[1] - ways[0]).max() < bound * moved.max()


def test_joined_as_asked_for():
    bench = joined_bench(Bench(random_chip(3, 4, 1, seed=0), 0, (2,)), DeviceOptions("meanfield"))
    assert bench.copies == 1
    one = Bench(random_chip(3, 4, 1, seed=0), 0, (2,))
    with pytest.raises(InputError, match="devices = 0"):
        joined_bench(one, DeviceOptions(count=0))
    with pytest.raises(InputError, match="does not divide 1 input"):
        replace(one, copies=2)
