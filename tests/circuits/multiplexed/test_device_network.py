"""Devices wired together and trained in one transient: statics, the descent's path, wiring, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from circuits.multiplexed import netlist
from circuits.multiplexed.device_network import DeviceNetwork, Wire, layered_wires, measured_network
from circuits.multiplexed.loop import MultiplexedLoop
from circuits.multiplexed.run import run_multiplexed
from circuits.ngspice.engine import Engine
from circuits.user_device.user_device import UserDevice, user_device
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import InputError
from learning.multiplexed.descent import MgdSettings, MultiplexedDescent
from lockin.perturbation import Perturbation

from ...refused import refused
from ...toys import random_chip

Array = NDArray[np.float64]
INPUTS = 0.3 * np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = np.array([[-0.5], [0.5], [0.5], [-0.5]])


def chip(seed: int) -> ChipSurrogate:
    return random_chip(4, 12, 12, 1, seed=seed, scale=1.5)


def network_of(**fields: Any) -> DeviceNetwork:
    """Two devices that see both inputs, one that sees both of them."""
    wires = layered_wires((2, 1), 2, (1, 3))
    return replace(measured_network([chip(k) for k in range(3)], wires, 0, share=1.0), **fields)


def loop_of(code: Any, *, norm: float = 0.1, hold: int = 1, **fields: Any) -> MultiplexedLoop:
    start = np.append(np.random.default_rng(5).uniform(-0.4, 0.4, 12), [0.1, -0.1, 0.2])
    settings: dict[str, Any] = {"steps": 200, "eta": 0.02, "tau_x": 10, "tau_theta": 40, "tau_hp": 20.0} | fields
    return MultiplexedLoop(network_of(), Perturbation(code, 15, norm, hold, seed=2), INPUTS, TARGETS, start, **settings)


@pytest.mark.parametrize("code", ["sine", "random"])
def test_outputs_are_those_of_the_devices(engine: Engine, code: str) -> None:
    loop = loop_of(code, norm=1e-6, eta=1e-12, steps=80)
    found = run_multiplexed(loop, engine).outputs_by_pattern()
    wanted = loop.network.static_outputs(loop.start_V, INPUTS)
    assert np.ptp(wanted) > 0.02
    assert np.max(np.abs(found - wanted)) < 2e-6


@pytest.mark.parametrize(
    ("code", "hold", "settings"),
    [
        ("random", 1, {"steps": 250, "eta": 0.005}),
        ("sine", 32, {"steps": 2500, "tau_x": 1920, "eta": 0.002, "tau_theta": 200, "tau_hp": 50.0}),
    ],
)
def test_path_is_that_of_the_descent(engine: Engine, code: Any, hold: int, settings: dict[str, Any]) -> None:
    """The devices' static currents in the compiled trainer's own loop, against the circuit around them."""
    loop = loop_of(code, hold=hold, **settings)
    assert_takes_the_path(loop, loop.network, engine)


def assert_takes_the_path(loop: MultiplexedLoop, known: DeviceNetwork, engine: Engine) -> None:
    """The circuit's parameters are those of the compiled trainer that asks `known` for static outputs."""
    code = loop.perturbation
    asked = {name: getattr(loop, name) for name in ("eta", "tau_x", "tau_theta", "tau_hp", "blank")}

    def cost(theta: Array, presentation: int) -> float:
        pattern = presentation % 4
        output = known.static_outputs(theta, INPUTS[pattern : pattern + 1])
        return float(np.mean((output[0] - TARGETS[pattern]) ** 2))

    twin = MultiplexedDescent(
        cost, loop.start_V, MgdSettings(code=code.code, norm=0.1, tau_p=code.hold, mode="analog", seed=2, **asked)
    )
    wanted = []
    for _ in range(loop.steps):
        twin.run(1)
        wanted.append(twin.theta - loop.start_V)
    run = run_multiplexed(loop, engine)
    times = np.arange(1, loop.steps + 1) * loop.step_s
    found = np.stack([np.interp(times, run.time_s, p) for p in run.parameters.T], axis=1) - loop.start_V
    assert np.max(np.abs(wanted)) > 0.02
    assert np.max(np.abs(found - np.array(wanted))) < 0.02 * np.max(np.abs(wanted))


@njit
def conduct(t: float, voltages: Array, params: Array, state: Array, out: Array) -> None:
    """A current out of terminal 0 that is a product of two others' voltages, A."""
    out[:] = 0.0
    out[0] = -params[0] * (voltages[1] - voltages[3]) * (1.0 + voltages[2])


@njit
def stand_still(dt: float, voltages: Array, params: Array, state: Array) -> None:
    """Nothing changes."""


class Product:
    """A device whose kernel is made of compiled Python only, as a user's own is."""

    terminals = ("out", "a", "b", "c")
    limits_V = np.array([[-0.1, 0.1], [-2.0, 2.0], [-2.0, 2.0], [-2.0, 2.0]])

    def currents(self, voltages: Array) -> Array:
        out = np.zeros(np.shape(voltages))
        out[..., 0] = -1e-8 * (voltages[..., 1] - voltages[..., 3]) * (1.0 + voltages[..., 2])
        return out

    def kernel(self, voltages: Array, *, seed: int = 0) -> SteppableKernel:
        return SteppableKernel(conduct, stand_still, np.array([1e-8]), np.zeros(1), np.zeros((4, 4)))


WIRES = (Wire(0, 1, input=0), Wire(0, 3, input=1), Wire(1, 2, source=0))
PRODUCT_START = np.array([0.1, -0.2, 0.3, 0.2, 0.1, -0.1, 0.2, 0.1])


def product_netlist(folder: Path, **options: Any) -> UserDevice:
    """`Product` as a netlist."""
    path = folder / "product.lib"
    path.write_text(".subckt product out a b c\nB1 0 out I=1e-8*(v(a)-v(c))*(1+v(b))\nR1 a 0 1g\n.ends\n")
    return user_device(path, limits_V=Product.limits_V, **options)


def test_netlists_take_the_path_of_the_descent(engine: Engine, tmp_path: Path) -> None:
    """Devices that stand in the circuit as netlists, against static outputs of the same function."""
    own = product_netlist(tmp_path)
    known, network = (measured_network([device] * 2, WIRES, 0) for device in (Product(), own))
    np.testing.assert_allclose(network.scales_A, known.scales_A, rtol=1e-9)
    start = PRODUCT_START
    asked = {"eta": 0.005, "tau_x": 10, "tau_theta": 40, "tau_hp": 5.0, "blank": 1}
    loop = MultiplexedLoop(
        network, Perturbation("random", 8, 0.1, 1, seed=2), INPUTS, TARGETS, start, steps=100, **asked
    )
    assert_takes_the_path(loop, known, engine)
    with pytest.raises(InputError, match="of one kind"):
        netlist.cosimulation(replace(loop, network=replace(network, devices=(own, Product()))))


def test_noise_is_added_to_netlists(engine: Engine, tmp_path: Path) -> None:
    """What is drawn at each device's output goes on to the next device and to the network's output at once."""
    own = product_netlist(tmp_path)
    noisy = NoisyDevice(own, NoiseSpectrum(white_A2_per_Hz=1e-23), (0,))
    network = replace(measured_network([own] * 2, WIRES, 0), devices=(noisy, noisy))
    code = Perturbation("random", 8, 1e-9)
    loop = MultiplexedLoop(network, code, INPUTS, TARGETS, PRODUCT_START, steps=40, eta=1e-18)
    first, again, other = (run_multiplexed(loop, engine, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.outputs, again.outputs)
    assert np.std(np.interp(first.time_s, other.time_s, other.outputs[:, 0]) - first.outputs[:, 0]) > 0.01
    drawn = first.transient.device_A[:, -10:-2].reshape(-1, 2, 4)[..., 0]  # sources come first, the stages last
    assert np.all(np.std(drawn, axis=0) > 0.05 * network.scales_A)
    theta = PRODUCT_START[:6].reshape(2, 3)
    phase = first.time_s / loop.step_s % 10
    heard = (phase > 1.0) & (phase < 9.9)
    levels = INPUTS[(first.time_s[heard] / loop.step_s / 10).astype(int) % 4]
    volts = np.zeros((2, len(levels), 4))
    volts[:, :, 1:] = theta[:, None]
    volts[0, :, [1, 3]] += levels.T
    for d in range(2):
        current = -(Product().currents(volts[d])[:, 0] + drawn[heard, d])
        signal = (current - network.centres_A[d]) / network.scales_A[d] + PRODUCT_START[6 + d]
        volts[1, :, 2] = theta[1, 1] + network.swing_V * np.tanh(signal)
    np.testing.assert_allclose(first.outputs[heard, 0], np.tanh(signal), atol=1e-6)


def test_netlists_are_as_warm_as_their_circuit(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "warm.lib"
    path.write_text(".subckt warm out a b c\nR1 a out 1meg tc1=10m\nR2 b out 1meg\nR3 c out 1meg\n.ends\n")
    warm = user_device(path, limits_V=(-1.0, 1.0), temperature_K=320.15)
    network = measured_network([warm] * 2, WIRES, 0)
    code = Perturbation("random", 8, 1e-9)
    loop = MultiplexedLoop(network, code, INPUTS, TARGETS, PRODUCT_START, steps=40, eta=1e-12)
    with pytest.raises(InputError, match="as warm"):
        netlist.deck(loop)
    loop = replace(loop, temperature_K=320.15)
    assert ".temp 47" in netlist.deck(loop)
    wanted = network.static_outputs(PRODUCT_START, INPUTS)
    np.testing.assert_allclose(run_multiplexed(loop, engine).outputs_by_pattern(), wanted, atol=1e-6)


def test_own_devices_need_no_c_functions() -> None:
    """What is told to them and what they answer, at the middle of each pattern's time; ngspice plays no part."""
    network = measured_network([Product()] * 2, (Wire(0, 1, input=0), Wire(0, 3, input=1), Wire(1, 2, source=0)), 0)
    start = np.array([0.1, -0.2, 0.3, 0.2, 0.1, -0.1, 0.2, 0.1])
    loop = MultiplexedLoop(network, Perturbation("random", 8, 1e-9), INPUTS, TARGETS, start, tau_x=10)
    cosimulation = netlist.cosimulation(loop)
    kernel = cosimulation.kernel
    assert kernel.c_functions is None
    out, wanted = np.zeros(len(cosimulation.nodes)), network.static_outputs(start, INPUTS)
    assert np.ptp(wanted) > 0.02
    for pattern in range(4):
        kernel.evaluate.py_func((10 * pattern + 5.5) * loop.step_s, out, kernel.params, kernel.state, out)
        current = -out[cosimulation.nodes.index("el1_0")]
        found = np.tanh((current - network.centres_A[1]) / network.scales_A[1] + start[-1])
        assert found == pytest.approx(wanted[pattern, 0], abs=1e-7)


def test_steps_are_bounded(engine: Engine) -> None:
    loop = loop_of("random", steps=120, eta=1e3, largest=1e-3)
    run = run_multiplexed(loop, engine)
    speed = np.abs(np.diff(run.parameters, axis=0)) / np.diff(run.time_s)[:, None] * loop.step_s
    assert np.max(speed) == pytest.approx(1e-3, rel=1e-3)
    low, high = loop.rails_V
    assert np.all(run.parameters > low - 1e-3)
    assert np.all(run.parameters < high + 1e-3)


def test_rails_keep_every_electrode_in_its_range() -> None:
    loop = loop_of("random", norm=0.1)
    low, high = loop.rails_V
    network = network_of()
    assert low[network.number(0, 2)] == pytest.approx(-1.0 + 0.01 + loop.perturbation.peak)
    assert high[network.number(0, 1)] == pytest.approx(1.0 - 0.01 - loop.perturbation.peak - 0.3)
    assert low[network.number(2, 3)] == pytest.approx(-1.0 + 0.01 + loop.perturbation.peak + network.swing_V)
    assert high[-1] == 10.0


def test_layers_are_wired_in_order() -> None:
    wires = layered_wires((4, 2, 1), 2, (1, 3, 4))
    assert len(wires) == 4 * 2 + 2 * 3 + 1 * 2
    assert {w.source for w in wires if w.device == 4} == {0, 1, 2}
    assert {w.source for w in wires if w.device == 5} == {3, 0, 1}
    assert [w.source for w in wires if w.device == 6] == [4, 5]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"devices": ()}, "devices"),
        ({"output": 5}, "output"),
        ({"scales_A": np.zeros(3)}, "scales_A"),
        ({"centres_A": np.zeros(2)}, "centres_A"),
        ({"swing_V": -1.0}, "swing_V"),
        ({"read": (3,)}, "read"),
        ({"wires": (Wire(0, 0, input=0),)}, "wires"),
        ({"wires": (Wire(0, 1, input=1),)}, "wires"),
        ({"wires": (Wire(1, 1, source=1), Wire(0, 1, input=0))}, "wires"),
        ({"wires": (Wire(0, 1, input=0), Wire(0, 1, input=0))}, "wires"),
    ],
)
def test_network_refuses(fields: dict[str, Any], field: str) -> None:
    with refused(field):
        network_of(**fields)


def test_wires_and_layers_are_checked() -> None:
    with pytest.raises(InputError, match="one origin"):
        Wire(0, 1)
    with pytest.raises(InputError, match="do not take"):
        layered_wires((2, 1), 3, (1, 2))
    with pytest.raises(InputError, match="without devices"):
        layered_wires((2, 0), 2, (1, 2))


def test_devices_of_different_kinds_are_refused() -> None:
    loop = loop_of("random")
    mixed = replace(
        network_of(), devices=(chip(0), chip(1), NoisyDevice(chip(2), NoiseSpectrum(white_A2_per_Hz=1e-24)))
    )
    with pytest.raises(InputError, match="different kinds"):
        netlist.cosimulation(replace(loop, network=mixed))
