"""The averaged loop: its averages are the dither's, its paths the twin's, and what has no average is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from circuits.homodyne import readings
from circuits.homodyne.engines import Averaged, Twin
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.homodyne.netlist import components
from circuits.parts.component_errors import Tolerances, draw_errors
from circuits.parts.levels import loop_fields
from circuits.signals.patterns import PatternSequence
from circuits.signals.transient import Transient
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate
from dnpu_models.surrogate.many import ROOM, ROWS, pieces, scratch_size
from inmateria.errors import InputError
from learning.bench.bench import Bench, default_bench
from learning.homodyne.experiment import Experiment
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import choose_start, measured_loop
from learning.homodyne.training import learn
from lockin.averages import common_period_average
from lockin.plan import plan_frequencies
from netlists.reader import load_part

from ...toys import random_chip

Array = NDArray[np.float64]


@cache
def chip(width: int = 40, kinks: float = 0.1) -> ChipSurrogate:
    return random_chip(4, width, width, width, 1, seed=3, scale=np.sqrt(2), kinks=kinks)


@cache
def quadratic_kernel(drift: bool) -> tuple[Any, Any]:
    @njit
    def evaluate(t, voltages, params, state, out):  # type: ignore[no-untyped-def]
        out[:] = 0.0
        for k in range(voltages.size):
            out[0] -= params[k] * voltages[k] * (1.0 + voltages[k] + 0.5 * voltages[2]) * (1.0 + state[0])

    @njit
    def advance(dt, voltages, params, state):  # type: ignore[no-untyped-def]
        state[0] += 100.0 * dt if drift else 0.0

    return evaluate, advance


@dataclass(frozen=True)
class Quadratic:
    """Output current of second order in the voltages; with `drift` it grows with time."""

    drift: bool = False
    terminals: tuple[str, ...] = ("e0", "e1", "e2")

    @property
    def limits_V(self) -> Array:
        return np.tile([-1.0, 1.0], (3, 1))

    def currents(self, voltages: Any) -> Array:
        volts = np.asarray(voltages, dtype=float)
        result = np.zeros_like(volts)
        result[..., 0] = -np.sum([0.0, 5e-8, 3e-8] * volts * (1 + volts + 0.5 * volts[..., 2:]), axis=-1)
        return result

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        params = np.array([0.0, 5e-8, 3e-8])
        return SteppableKernel(*quadratic_kernel(self.drift), params, np.zeros(1), np.zeros((3, 3)))


def loop_of(device: Any, **changes: Any) -> HomodyneLoop:
    trained = tuple(range(1, len(device.terminals)))
    settings: dict[str, Any] = {
        "device": device,
        "output": 0,
        "inputs": (1,),
        "trained": trained,
        "start_V": np.linspace(0.1, -0.2, len(trained)),
        "dither": plan_frequencies(len(trained), None, 40.0, amplitude_V=0.01),
        "sequence": PatternSequence(((-0.1,), (0.1,)), (-1.0, 1.0), 0.025, 0.00125, 0.00125, 12.5e-6),
        "sequences": 6,
        "learning_rate": 0.02,
        "stage": OutputStage(baseline_V=0.03, gain_log=4.0),
    }
    return HomodyneLoop(**{**settings, **changes})


def deviation(loop: HomodyneLoop, run: Transient, reference: Transient) -> float:
    wanted, found = readings.controls_V(loop, reference), readings.controls_V(loop, run)
    there = [np.interp(reference.time_s, run.time_s, found[:, k]) for k in range(found.shape[1])]
    return float(np.max(np.abs(np.stack(there, axis=1) - wanted)) / np.max(np.ptp(wanted, axis=0)))


@pytest.mark.parametrize(("amplitude", "changing"), [(0.0, False), (0.01, True), (0.3, True)])
def test_pieces_are_the_network(amplitude: float, changing: bool) -> None:
    device, rng = chip(), np.random.default_rng(0)
    for _ in range(5):
        volts = rng.uniform(-0.6, 0.6, 5) + amplitude * rng.uniform(-1, 1, (ROWS, 5))
        volts[:, 0] = 0.0
        wanted, found = device.currents(volts).T, np.empty((5, ROWS))
        scratch = np.zeros(scratch_size(4, 48))
        done = pieces(np.ascontiguousarray(volts.T), 0, ROWS, device._params, found, scratch, scratch.view(np.int64))
        assert done or amplitude == 0.3  # more than ROOM of 120 neurons change: the caller asks one by one
        if done:
            assert np.max(np.abs(found - wanted)) < 1e-12 * np.max(np.abs(wanted))
            assert changing or np.ptp(found[0]) == 0.0
    assert ROOM < 120


def test_pieces_know_their_range() -> None:
    volts, found = np.zeros((5, 3)), np.zeros((5, 3))
    for wrong in (1.1, np.nan):
        volts[2, 1] = wrong
        scratch = np.zeros(scratch_size(4, 48))
        assert pieces(volts, 0, 3, chip()._params, found, scratch, scratch.view(np.int64))
        assert np.all(np.isnan(found))


@pytest.mark.parametrize("make", [chip, Quadratic])
def test_an_opened_loop_reads_the_average_over_the_dither(make: Callable[[], Any]) -> None:
    loop = loop_of(make())
    amplitude = 0.05
    opened = loop.opened(loop.start_V, amplitude, "output")
    levels = np.array(loop.sequence.levels_V)[:, 0]

    def response(settings: Array, level: float) -> Array:
        volts = np.insert(settings, 0, 0.0, axis=1)
        volts[:, 1] += level
        return np.asarray(-1e7 * loop.device.currents(volts)[:, 0])

    wanted = np.mean(
        [common_period_average(lambda v, x=level: response(v, x), loop.start_V, opened.dither, 24) for level in levels],
        axis=0,
    )
    found = readings.gradient(opened, Averaged().run(opened))
    # Other sample times than the truth's: the aliases of the network's kinks differ.
    assert np.max(np.abs(found - wanted)) < (1e-3 if make is chip else 1e-4) * np.max(np.abs(wanted))


@pytest.mark.parametrize("poles", [1, 2])
@pytest.mark.parametrize("make", [chip, Quadratic])
def test_the_path_is_the_twins(make: Callable[[], Any], poles: int) -> None:
    # With 20 points a cycle of the two slow tones the twin is off its own half step by 0.011, with 80 by 0.001.
    points = 20.0 if make is chip else 80.0
    loop = loop_of(make(), filter_poles=poles, filter_s=0.0025 / poles, points_per_cycle=points)
    twin, averaged = Twin().run(loop), Averaged().run(loop)
    assert np.max(np.ptp(readings.controls_V(loop, twin), axis=0)) > 0.05
    assert deviation(loop, averaged, twin) < 0.02  # seen: 0.008, 0.016 (two poles)
    for sequence in (0, 3, 7):
        assert np.allclose(
            readings.outputs_V(loop, averaged, sequence), readings.outputs_V(loop, twin, sequence), atol=2e-3
        )
    for name in ("v(baseline)", "v(gainlog)"):
        assert averaged[name][-1] == pytest.approx(twin[name][-1], rel=0.01)
    first, last = (readings.window_means(loop, r.time_s, r["v(loss)"], 6).mean() for r in (averaged, twin))
    assert first == pytest.approx(last, rel=0.03 if make is chip else 0.04)  # seen: 0.032 of 5 mV


def test_real_parts_are_the_twins_too() -> None:
    """Offsets, gains and time constants that differ from channel to channel, large enough to matter."""
    trimmed = {"mixer": {"offset": 1e-3}}
    loop = loop_of(chip(), filter_s=0.0025, points_per_cycle=20.0, **loop_fields("macro", trimmed=trimmed))
    errors = draw_errors(components(loop), Tolerances(0.05, 0.3, 1.0), np.random.default_rng(0))
    real = replace(loop, component_errors=errors)
    twin, averaged = Twin().run(real), Averaged().run(real)
    ideal = Twin().run(replace(loop, parts={}, multiplier_V=1.0))
    changed = deviation(real, ideal, twin)
    assert changed > 0.2
    assert deviation(real, averaged, twin) < 0.1 * changed  # seen: 0.022 of 0.35
    np.testing.assert_allclose(readings.outputs_V(real, averaged, 7), readings.outputs_V(real, twin, 7), atol=2e-3)
    for name in ("v(baseline)", "v(gainlog)", "v(loss)"):
        first, last = (readings.window_means(real, run.time_s, run[name], 6).mean() for run in (averaged, twin))
        assert first == pytest.approx(last, rel=0.03, abs=2e-3)


def test_the_path_on_a_mean_field_is_the_twins() -> None:
    """Steep controls' harmonics and beats weigh on what flat ones read; averages over phases alone were 39 % off."""
    bench, rng = default_bench(1309, tolerance=1e-5), np.random.default_rng(1309)
    experiment = Experiment(bench, bench.task("AND"), HgeSettings(sequences=4))
    loop, _ = measured_loop(experiment, choose_start(experiment, rng), Averaged())
    assert deviation(loop, Averaged().run(loop), Twin().run(loop)) < 0.03


def test_a_wide_dither_asks_one_by_one_and_is_still_right() -> None:
    loop = loop_of(chip(), dither=plan_frequencies(4, None, 40.0, amplitude_V=0.25), sequences=2)
    twin = Twin().run(replace(loop, points_per_cycle=20.0))
    assert deviation(loop, Averaged().run(loop), twin) < 0.03


def test_what_has_no_average_is_refused() -> None:
    noisy = NoisyDevice(chip(), NoiseSpectrum.published())
    network = DopantNetwork.random(seed=0, preset="kmc_dn")
    with pytest.raises(InputError, match="random"):
        Averaged().run(loop_of(noisy))
    with pytest.raises(InputError, match="random"):
        Averaged().run(loop_of(KineticMonteCarlo(network)))
    with pytest.raises(InputError, match="changes with time"):
        Averaged().run(loop_of(Quadratic(drift=True)))
    with pytest.raises(InputError, match="parts"):
        Averaged().run(loop_of(chip(), parts={"mixer": load_part("mixer", level="transistor")}))
    with pytest.raises(InputError, match="points"):
        Averaged(points=0).run(loop_of(chip()))


def test_an_average_has_no_tones_to_demodulate() -> None:
    loop = loop_of(Quadratic())
    opened = loop.opened(loop.start_V, 0.01, "output")
    with pytest.raises(InputError, match="no tones"):
        readings.digital_gradient(opened, Averaged().run(opened))
    # The twin's record has them. Its last window, at 0.2 and -0.2 V: 1e7 Ohm times the derivatives of the current.
    exact = [0.5 * (1 + 2 * 0.2 - 0.5 * 0.2), 0.25 * 0.2 + 0.3 * (1 - 3 * 0.2)]
    assert np.allclose(readings.digital_gradient(opened, Twin().run(opened)), exact, rtol=1e-4)


def test_a_gate_is_learned_alike() -> None:
    bench = Bench(chip(), 0, (1, 3))
    settings = HgeSettings(restarts=1, sequences=8)
    results = [
        learn(Experiment(bench, bench.task("AND"), settings), rng=np.random.default_rng(2), engine=engine)
        for engine in ("twin", "averaged")
    ]
    twin, averaged = (r.attempts[0] for r in results)
    assert np.allclose(averaged.initial_A, twin.initial_A, rtol=1e-4, atol=1e-13)
    assert averaged.final.correlation == pytest.approx(twin.final.correlation, abs=0.02)
    assert averaged.device_evaluations == twin.device_evaluations
    with pytest.raises(InputError, match="averaged"):
        learn(Experiment(bench, bench.task("AND"), settings), rng=np.random.default_rng(2), engine="fast")
