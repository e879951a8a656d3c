"""A netlist in the loop and in a bank of lock-ins: its gradients, its time constants, what is recorded and exported."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from circuits.homodyne import readings
from circuits.homodyne.closed_deck import closed_deck
from circuits.homodyne.engines import Ngspice
from circuits.homodyne.export import standalone_deck
from circuits.lockin.bank import LockInBank
from circuits.ngspice.engine import Engine
from circuits.user_device.user_device import UserDevice, user_device
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment
from learning.homodyne.gradients import central_difference, probe_loop, spice_lock_in
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import learn
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from tests.toys import BRIDGE

GATED = """.subckt gated out a b c
Ba a out I={g}*(v(a)-v(out))*(1+tanh((v(b)+v(c))/0.3))/2
.ends
"""
G = 100e-9


@njit
def evaluate(t, v, params, state, out):  # type: ignore[no-untyped-def]
    out[1] = params[0] * (v[1] - v[0]) * 0.5 * (1.0 + np.tanh((v[2] + v[3]) / 0.3))
    out[2] = out[3] = 0.0
    out[0] = -out[1]


@njit
def advance(dt, v, params, state):  # type: ignore[no-untyped-def]
    pass


class Gated:
    """The same as a function: one channel with two gates."""

    terminals = ("out", "a", "b", "c")
    limits_V = np.tile([-1.0, 1.0], (4, 1))

    def currents(self, voltages: Any) -> Any:
        out, a, b, c = np.moveaxis(np.asarray(voltages, dtype=float), -1, 0)
        current = G * (a - out) * 0.5 * (1.0 + np.tanh((b + c) / 0.3))
        return np.stack([-current, current, 0 * a, 0 * a], axis=-1)

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        conductances = np.zeros((4, 4))
        return SteppableKernel(evaluate, advance, np.array([G]), np.zeros(1), conductances)


def made(folder: Path, text: str, **options: Any) -> UserDevice:
    path = folder / "mine.lib"
    path.write_text(text, encoding="utf-8")
    return user_device(path, **options)


@pytest.fixture
def bridge(tmp_path: Path) -> Bench:
    return Bench(made(tmp_path, BRIDGE), 0, (1, 2))


def test_the_lock_ins_read_its_gradient(bridge: Bench, engine: Engine) -> None:
    controls = np.array([0.55, -0.4, 0.3, 0.1, -0.2])
    measured, _, run, loop = spice_lock_in(bridge, engine, controls, 0.005)
    exact = central_difference(bridge, controls)
    assert np.linalg.norm(measured - exact) < 2e-3 * np.linalg.norm(exact)
    np.testing.assert_allclose(-run.device_A[:, 0] * loop.stage.transimpedance_ohm, run["v(tia)"], atol=1e-9)
    assert not any(name.startswith("i(") for name in run.values)


def test_netlist_and_function_are_the_same_device(tmp_path: Path, engine: Engine) -> None:
    netlist = made(tmp_path, GATED.format(g=G), limits_V=(-1.0, 1.0))
    runs = []
    for device in (netlist, Gated()):
        bench = Bench(device, 0, (1, 2))  # type: ignore[arg-type]
        _, _, run, _ = spice_lock_in(bench, engine, [0.4, 0.15, -0.1], 0.01)
        runs.append(run)
    own, told = runs
    np.testing.assert_allclose(own.time_s, told.time_s, rtol=1e-12)
    for name in told.values:
        scale = np.abs(told[name]).max()
        np.testing.assert_allclose(own[name], told[name], atol=1e-6 * max(scale, 1e-3), err_msg=name)
    np.testing.assert_allclose(own.device_A, told.device_A, atol=1e-6 * np.abs(told.device_A).max())


def test_its_time_constant_is_in_the_reading(tmp_path: Path, engine: Engine) -> None:
    """Behind a pole tau the part in phase with the dither is G/(1 + (w tau)^2); the function alone has G."""
    tau = 1e-3
    text = f".subckt lag out a b\nR1 a n 1meg\nC1 n 0 {tau / 1e6}\nB1 0 out I=1e-7*v(n)\nR2 b out 100meg\n.ends\n"
    bench = Bench(made(tmp_path, text, limits_V=(-1.0, 1.0)), 0, (1,))
    measured, _, _, loop = spice_lock_in(bench, engine, [0.3, 0.1], 0.005, points_per_cycle=96)
    slow = 1e-7 / (1 + (2 * np.pi * loop.dither.frequencies_Hz[0] * tau) ** 2)
    np.testing.assert_allclose(measured, [slow, 1e-8], rtol=3e-3)


def test_it_begins_settled(tmp_path: Path, engine: Engine) -> None:
    """A pole of 100 s would need minutes; the first point of the run is at rest already."""
    text = ".subckt slow out a b\nR1 a n 100meg\nC1 n 0 1u\nB1 0 out I=1e-7*v(n)\nR2 b out 100meg\n.ends\n"
    bench = Bench(made(tmp_path, text, limits_V=(-1.0, 1.0)), 0, (1,))
    loop = probe_loop(bench, np.array([0.4, 0.1]), 0.005)
    run = Ngspice(engine).run(loop)
    at_rest = float(bench.currents_A(np.array([0.4, 0.1])))
    window = run.time_s > 0.5 * run.time_s[-1]
    np.testing.assert_allclose(np.mean(-run.device_A[window, 0]), at_rest, rtol=1e-3)


def test_larger_currents_with_another_amplifier(tmp_path: Path, engine: Engine) -> None:
    """A thousandfold of all currents, read by a thousandth of the resistance, is the same loop."""
    big = GATED.format(g=1e3 * G)
    devices = [
        made(tmp_path, GATED.format(g=G), limits_V=(-1.0, 1.0)),
        made(tmp_path, big, limits_V=(-1.0, 1.0), transimpedance_ohm=1e4),
    ]
    found = []
    for device in devices:
        bench = Bench(device, 0, (1, 2))
        experiment = Experiment(bench, bench.task("AND"), HgeSettings(sequences=3, restarts=1, looks=4))
        attempt = learn(experiment, rng=np.random.default_rng(4), engine=engine).best
        found.append((readings.controls_V(attempt.loop, attempt.run)[-1], attempt.final_A))
    (small_V, small_A), (big_V, big_A) = found
    np.testing.assert_allclose(big_V, small_V, atol=1e-6)
    np.testing.assert_allclose(big_A, 1e3 * small_A, rtol=1e-4)


def test_a_bank_of_lock_ins(bridge: Bench, engine: Engine) -> None:
    volts = np.array([0.0, 0.55, -0.4, 0.3, 0.1, -0.2])
    plan = DitherPlan((230.0, 310.0), (0.005, 0.005))
    bank = LockInBank(bridge.device, 0, (1, 2), volts, plan, LockInSettings(time_constant=0.01, filter_slope=24))
    run = bank.run(engine, 0.15)
    exact = -bridge.device.conductances(volts)[0, [1, 2]]
    np.testing.assert_allclose(bank.gradient(run), exact, rtol=5e-3)
    assert run.device_A.shape == (len(run.time_s), 6)


def test_noise_is_added_to_it(tmp_path: Path, engine: Engine) -> None:
    """The same seed adds the same currents to a netlist as to the function; v(tia) shows device and noise together."""
    spectrum = NoiseSpectrum(1e-23)
    runs = []
    for device in (made(tmp_path, GATED.format(g=G), limits_V=(-1.0, 1.0)), Gated()):
        bench = Bench(NoisyDevice(device, spectrum, (0,)), 0, (1, 2))  # type: ignore[arg-type]
        _, _, run, _ = spice_lock_in(bench, engine, [0.4, 0.15, -0.1], 0.01, seed=5)
        runs.append(run)
    own, told = runs
    assert np.std(np.diff(told.device_A[:, 0])) > 1e-11
    np.testing.assert_allclose(own.device_A[:, 0], told.device_A[:, 0], atol=1e-6 * np.abs(told.device_A).max())
    np.testing.assert_allclose(own["v(tia)"][1:], -1e7 * own.device_A[1:, 0], atol=1e-6)


def test_what_the_netlist_draws_has_the_seed_of_the_run(tmp_path: Path, engine: Engine) -> None:
    text = ".subckt drawn out a\nR1 a out 100meg\nVn n 0 dc 0 trrandom(2 1m 0 1 0)\nBn 0 out I=1e-10*v(n)\n.ends\n"
    device = made(tmp_path, text, limits_V=(-1.0, 1.0))
    assert device.random
    loop = probe_loop(Bench(device, 0, (1,)), np.array([0.3]), 0.005)
    first, again, other = (Ngspice(engine).run(loop, seed=seed)["v(tia)"] for seed in (3, 3, 2**32 - 5))
    assert np.std(first) > 5e-4
    np.testing.assert_array_equal(first, again)
    assert np.std(first[: len(other)] - other[: len(first)]) > 5e-4


def test_another_temperature_is_refused(bridge: Bench, engine: Engine) -> None:
    loop = probe_loop(bridge, np.zeros(5), 0.005)
    with pytest.raises(InputError, match="as warm"):
        Ngspice(engine).run(replace(loop, temperature_K=320.0))


def test_it_learns_and_is_exported(bridge: Bench, engine: Engine, tmp_path: Path) -> None:
    """XOR in ngspice; the deck with the netlist in it learns again in plain ngspice."""
    experiment = Experiment(bridge, bridge.task("XOR"), HgeSettings(sequences=15, restarts=3))
    result = learn(experiment, rng=np.random.default_rng(21), engine=engine)
    assert result.success
    best = result.best
    gap_V = best.final.separation_A * best.loop.stage.transimpedance_ohm
    deck = closed_deck(best.loop, best.run, None, separation_V=gap_V)
    assert "bridge_as_device" in deck
    assert_passes(deck, tmp_path)


def test_a_recorded_run_is_exported_without_it(tmp_path: Path, engine: Engine) -> None:
    bench = Bench(made(tmp_path, GATED.format(g=G), limits_V=(-1.0, 1.0)), 0, (1, 2))
    loop = probe_loop(bench, np.array([0.4, 0.15, -0.1]), 0.01)
    deck = standalone_deck(loop, Ngspice(engine).run(loop))
    assert "gated" not in deck
    assert_passes(deck, tmp_path)


def assert_passes(deck: str, folder: Path) -> None:
    """Plain ngspice runs the deck, and it finds itself right."""
    (folder / "deck.cir").write_text(deck, encoding="utf-8")
    done = subprocess.run(["ngspice", "-b", "deck.cir"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "PASS" in done.stdout
