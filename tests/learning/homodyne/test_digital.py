"""Homodyne descent by a computer with converters: what it reads, where it goes; ngspice agrees to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuits.ngspice.engine import Engine
from circuits.user_device.user_device import user_device
from dnpu_models.function.function_device import FunctionDevice
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.homodyne.digital import DigitalLoop
from learning.homodyne.experiment import Experiment
from learning.homodyne.gradients import central_difference
from learning.homodyne.settings import HgeSettings
from learning.settled_loss import settled_loss, settled_loss_slopes

from ...toys import Linear, random_chip

SLOPES_S = np.array([0.0, 5e-8, 3e-8, -2e-8])


def experiment(device: Any, *, sequences: int = 2, amplitude_V: float = 0.01) -> Experiment:
    bench = Bench(device, 0, (1, 3))
    return Experiment(bench, bench.task("XOR"), HgeSettings(sequences=sequences, amplitude_V=amplitude_V))


def linear(**options: Any) -> DigitalLoop:
    device = Linear(tuple(SLOPES_S))
    return DigitalLoop(experiment(device), [0.1, -0.2, 0.05], **{"adc_bits": None, "dac_bits": None, **options})


@pytest.mark.parametrize("outputs_nA", [[1.0, 4.0, 3.0, 1.5], [0.1, 0.3, 0.2, 0.15]])
@pytest.mark.parametrize("polarity", [1.0, -1.0])
def test_slopes_of_the_loss_are_its_difference_quotients(outputs_nA: list[float], polarity: float) -> None:
    """Below and above the least rms of 0.5 nA, where the loss asks for larger outputs."""
    outputs, targets, steps = np.array(outputs_nA) * 1e-9, np.array([-1.0, 1.0, 1.0, -1.0]), 1e-14 * np.eye(4)

    def loss(values: Any) -> float:
        return settled_loss(values, targets, polarity, 0.5e-9)

    quotients = [(loss(outputs + step) - loss(outputs - step)) / 2e-14 for step in steps]
    slopes = settled_loss_slopes(outputs, targets, polarity, 0.5e-9)
    np.testing.assert_allclose(slopes, quotients, atol=1e-6 * np.max(np.abs(quotients)))


@pytest.mark.parametrize("latency_s", [0.0, 0.4e-3, 2e-3])
def test_a_linear_device_is_read_exactly_whatever_the_latency(latency_s: float) -> None:
    found = linear(latency_s=latency_s).run()
    np.testing.assert_allclose(found.slopes_S, np.broadcast_to(SLOPES_S[1:], (2, 4, 3)), rtol=1e-9)


def test_a_latency_that_is_not_known_turns_the_phase() -> None:
    """By 2 pi f times the delay: the reading in phase falls with the cosine, below zero from a quarter cycle on."""
    loop = linear(latency_s=2e-3, assumed_latency_s=0.0)
    tones = np.array(loop.experiment.bench.plan(0.01).frequencies_Hz)
    expected = SLOPES_S[1:] * np.cos(2 * np.pi * tones * 2e-3)
    np.testing.assert_allclose(loop.run().slopes_S, np.broadcast_to(expected, (2, 4, 3)), rtol=1e-9)


def test_converters_too_coarse_for_the_dither_read_nothing() -> None:
    """Five bits over 2 V are steps of 62.5 mV; controls and levels stand on steps, and 10 mV of dither are lost."""
    device = experiment(Linear(tuple(SLOPES_S)))
    coarse, fine = (DigitalLoop(device, [0.0, 0.0, 0.0], dac_bits=bits).run().slopes_S for bits in (5, 16))
    np.testing.assert_allclose(coarse, 0.0, atol=1e-20)
    np.testing.assert_allclose(fine, np.broadcast_to(SLOPES_S[1:], fine.shape), rtol=0.02)


@pytest.mark.parametrize(
    "options", [{}, {"adc_bits": 9, "dac_bits": 10, "latency_s": 1.7e-3}, {"latency_s": 1e-3, "assumed_latency_s": 0.0}]
)
def test_ngspice_goes_the_same_way_to_the_last_bit(engine: Engine, options: dict[str, Any]) -> None:
    chip = random_chip(3, 8, 1, seed=5)
    loop = DigitalLoop(experiment(chip, sequences=3), [0.1, -0.2, 0.3], adc_range_V=0.5, **options)
    alone, circuit = loop.run(), loop.run(engine)
    np.testing.assert_array_equal(circuit.controls_V, alone.controls_V)
    np.testing.assert_array_equal(circuit.slopes_S, alone.slopes_S)
    assert np.ptp(alone.controls_V, axis=0).max() > 1e-3
    assert circuit.transient is not None
    assert circuit.transient.complete


def test_a_netlist_is_read_as_its_differences(engine: Engine, tmp_path: Path) -> None:
    """It stands in the deck; behind 20 us of its own it has settled by the next tick."""
    path = tmp_path / "mine.lib"
    text = ".subckt mine out a b c\nR1 a m 1k\nC1 m 0 20n\nB1 m out I=1e-6*v(m)*(1+0.3*v(b))\nR2 c out 1meg\n.ends\n"
    path.write_text(text, encoding="utf-8")
    bench = Bench(user_device(path, output="out", inputs=["a", "c"], limits_V=(-1.0, 1.0)), 0, (1, 3))
    settings = Experiment(bench, bench.task("XOR"), HgeSettings(sequences=1))
    controls = np.array([0.1, -0.2, 0.3])
    found = DigitalLoop(settings, controls, adc_range_V=10.0).run(engine)
    assert found.limited == 0
    for slopes, levels in zip(found.slopes_S[0], settings.task.levels_V, strict=True):
        np.testing.assert_allclose(slopes, central_difference(bench, controls, levels), rtol=2e-3, atol=1e-9)


def test_noise_scatters_as_its_density_says() -> None:
    """The variance of a slope is S/(a^2 T) in a window of T; its estimate within five of its own errors."""
    density, amplitude_V = 1e-23, 0.01
    device = Linear(tuple(SLOPES_S))
    settings = experiment(device, sequences=200, amplitude_V=amplitude_V)
    loop = DigitalLoop(settings, [0.1, -0.2, 0.05], adc_bits=None, dac_bits=None)
    found = loop.run(noise_A2_per_Hz=density, seed=3)
    window_s = settings.bench.plan(amplitude_V).common_period_s
    expected = np.sqrt(density / window_s) / amplitude_V
    error = found.slopes_S - SLOPES_S[1:]
    assert np.std(error) == pytest.approx(expected, rel=5 / np.sqrt(2 * error.size))


def test_it_learns() -> None:
    """A settled AND from a start that is none."""
    chip = random_chip(3, 8, 1, seed=5)
    bench = Bench(chip, 0, (1, 3))
    fit = Experiment(bench, bench.task("AND"), HgeSettings(sequences=30, rates=1.0))
    start = np.array([0.0, 0.0, 0.0])
    before = bench.outputs_A(start, fit.task)
    polarity = 1.0 if fit.task.correlation(before) > 0 else -1.0
    found = DigitalLoop(fit, start, polarity, adc_range_V=0.5).run()
    after = bench.outputs_A(found.controls_V[-1], fit.task)
    targets = np.array(fit.task.targets_V)
    losses = [settled_loss(outputs, targets, polarity, 0.5e-9) for outputs in (before, after)]
    assert losses[1] < 0.5 * losses[0]


def test_samples_beyond_the_range_are_told(engine: Engine) -> None:
    """The same number of them with and without ngspice; the tick after the last pass has one more at most."""
    loop = linear(adc_range_V=0.02, adc_bits=12)
    alone, circuit = loop.run(), loop.run(engine)
    assert 0 < alone.limited < 2 * loop.pass_ticks
    assert abs(circuit.limited - alone.limited) <= 2


def test_impossible_loops_are_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match="whole multiple of the tones' spacing"):
        linear(rate_Hz=1003.0)
    with pytest.raises(InputError, match="start_V"):
        DigitalLoop(experiment(Linear(tuple(SLOPES_S))), [0.1, 0.2])
    with pytest.raises(InputError, match="NoisyDevice"):
        linear().run(engine, noise_A2_per_Hz=1e-23)


def test_a_netlist_as_warm_as_the_experiment_with_noise_added(tmp_path: Path, engine: Engine) -> None:
    """1 Mohm of 1 %/K at 320 K, and a current that is drawn at each point, the same with the same seed."""
    path = tmp_path / "warm.lib"
    path.write_text(".subckt warm out a b c\nR1 a out 1meg tc1=10m\nR2 b out 2meg\nR3 c out 4meg\n.ends\n")
    device = user_device(path, limits_V=(-1.0, 1.0), temperature_K=320.15)
    start, runs = [0.1, -0.2, 0.05], []
    for seed, noisy in ((0, False), (1, True), (1, True), (2, True)):
        used: Any = NoisyDevice(device, NoiseSpectrum(1e-20), (0,)) if noisy else device
        bench = Bench(used, 0, (1, 3))
        settings = HgeSettings(sequences=1, temperature_K=320.15)
        made = Experiment(bench, bench.task("XOR"), settings)
        loop = DigitalLoop(made, start, adc_bits=None, dac_bits=None, transimpedance_ohm=1e5)
        runs.append(loop.run(engine, seed=seed).slopes_S)
    quiet, first, again, other = runs
    np.testing.assert_allclose(quiet, np.broadcast_to([1e-6 / 1.2, 0.5e-6, 0.25e-6], quiet.shape), rtol=1e-6)
    np.testing.assert_array_equal(first, again)
    assert np.std(first - quiet) > 1e-9
    assert np.std(first - other) > 1e-9


def test_steps_are_no_longer_than_the_experiment_asks(engine: Engine) -> None:
    made = experiment(Linear(tuple(SLOPES_S)), sequences=1)
    for asked, longest in ((2e-4, 2e-4), (None, 1e-3)):
        short = replace(made, settings=replace(made.settings, max_step_s=asked))
        transient = DigitalLoop(short, [0.1, -0.2, 0.05]).run(engine).transient
        assert transient is not None
        assert 0.5 * longest < np.max(np.diff(transient.time_s)) <= longest * (1 + 1e-9)


def test_each_control_has_its_own_rate() -> None:
    made = experiment(random_chip(4, 12, 12, 1, seed=3, scale=1.5), sequences=1)
    start, moved = np.array([0.1, -0.2, 0.05, 0.3]), []
    for rates in (1.0, (1.0, 0.5, 0.25, 0.1)):
        own = replace(made, settings=replace(made.settings, rates=rates))
        found = DigitalLoop(own, start, adc_bits=None, dac_bits=None).run()
        moved.append(found.controls_V[-1] - start)
    np.testing.assert_allclose(moved[1], moved[0] * [1.0, 0.5, 0.25, 0.1], rtol=1e-9)
    assert np.all(np.abs(moved[0]) > 0)


def test_rates_by_slopes_keep_the_descent_from_overshooting() -> None:
    """One control is a hundred times as steep as the others: one rate makes the loss rise, own ones never."""

    def currents(volts: FloatArray) -> FloatArray:
        return np.array([0, 0, 0, 0, -(2e-9 * volts[0] + 40e-9 * volts[1] * volts[3] + 400e-9 * volts[2] * volts[1])])

    names = tuple(f"e{k}" for k in range(5))
    bench = Bench(FunctionDevice(currents, names, np.tile([-1.0, 1.0], (5, 1)), "e4"), 4, (1, 3))  # type: ignore[arg-type]
    losses = {}
    for rates in (1.0, "auto"):
        settings = HgeSettings(sequences=12, rates=rates, amplitude_V=1e-3, step_V=10.0, anneal_to=1.0)  # type: ignore[arg-type]
        made = Experiment(bench, bench.task("XOR"), settings)
        found = DigitalLoop(made, [0.1, 0.0, 0.002, 0.0], -1.0, adc_bits=None, dac_bits=None).run()
        targets = np.array(made.task.targets_V)
        losses[rates] = [settled_loss(row, targets, -1.0, made.settings.least_rms_A) for row in found.outputs_A]
    assert np.all(np.diff(losses["auto"]) < 1e-9)
    assert losses["auto"][-1] < losses["auto"][0]
    assert np.any(np.diff(losses[1.0]) > 0)
