"""A netlist as the device: its currents and conductances, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySpice.Spice.Netlist import Circuit, SubCircuit

from circuits.homodyne.engines import engine_named
from circuits.user_device.user_device import UserDevice, user_device
from dnpu_models.interface.conformance import check_device
from dnpu_models.interface.device import kernel_of
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from inmateria.errors import ConvergenceError, InputError, NetlistError
from learning.bench.bench import Bench
from learning.homodyne.gradients import probe_loop
from learning.physics_aware.device_system import DeviceSystem
from tests.toys import BRIDGE

STAR = """* star.lib
.subckt star OUT a b vdd params: r=1meg
Ra a n {r}
Rb b n {2*r}
Ro n OUT {r}
Rs n vdd {4*r}
.ends
"""
LIMITS = (-1.0, 1.0)


def written(folder: Path, text: str, name: str = "device.lib") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def star(tmp_path: Path) -> UserDevice:
    return user_device(written(tmp_path, STAR), limits_V=LIMITS, supplies={"vdd": 0.5}, inputs=["A"])


def test_a_star_of_resistors_is_what_a_star_is(star: UserDevice) -> None:
    """At the centre V_n = sum(g V) / sum(g); then I_j = g_j (V_j - V_n) and dI_j/dV_k = g_j (d_jk - g_k / sum(g))."""
    assert star.terminals == ("out", "a", "b")
    assert (star.output, star.inputs) == ("out", ("a",))
    g, supply = np.array([1e-6, 1e-6, 0.5e-6]), 0.25e-6
    total = g.sum() + supply
    volts = np.random.default_rng(0).uniform(-1, 1, (2, 120, 3))  # more settings than one run takes
    centre = (volts @ g + supply * 0.5) / total
    np.testing.assert_allclose(star.currents(volts), g * (volts - centre[..., None]), atol=1e-15, rtol=1e-9)
    path = volts.reshape(-1, 3)
    np.testing.assert_allclose(star.follow(path), star.currents(path), atol=1e-17, rtol=1e-9)
    exact = np.diag(g) - np.outer(g, g) / total
    np.testing.assert_allclose(star.conductances(volts[0, :60]), np.broadcast_to(exact, (60, 3, 3)), rtol=1e-9)


def test_a_diode_at_another_temperature(tmp_path: Path) -> None:
    """I = I_s (exp(V/(n V_t)) - 1), with I_s as SPICE scales it, and the conductance (I + I_s)/(n V_t).

    I_s(T) = I_s ((T/T_0)^XTI exp((T/T_0 - 1) E_g/V_t))^(1/n); across the diode ngspice has its gmin of 1e-12 S.
    """
    path = written(tmp_path, ".subckt one out a\nD1 a out d\n.ends\n.model d D(is=1e-12 n=1.5)\n")
    device = user_device(path, limits_V=(-0.5, 0.5), temperature_K=330.0)
    boltzmann_V, emission, ratio = 8.617333e-5 * 330.0, 1.5, 330.0 / 300.15
    saturation = 1e-12 * (ratio**3 * np.exp((ratio - 1) * 1.11 / boltzmann_V)) ** (1 / emission)
    volts = np.array([[0.0, 0.1], [0.0, 0.45], [0.0, -0.1]])
    into = saturation * np.expm1(volts[:, 1] / (emission * boltzmann_V))
    found = device.currents(volts)
    np.testing.assert_allclose(found[:, 1], into + 1e-12 * volts[:, 1], rtol=2e-4, atol=2e-16)
    np.testing.assert_allclose(found.sum(axis=1), 0.0, atol=1e-18)
    slope = (into[:2] + saturation) / (emission * boltzmann_V) + 1e-12
    np.testing.assert_allclose(device.conductances(volts[:2])[:, 1, 1], slope, rtol=2e-4)


def test_it_is_a_device(tmp_path: Path) -> None:
    findings = check_device(user_device(written(tmp_path, BRIDGE)), tolerance=1e-6)
    told = {finding.check: finding for finding in findings}
    assert not told.pop("Kirchhoff").passed, "the bridge's amplifier takes its current from ground"
    assert all(finding.passed for finding in told.values()), list(map(str, findings))
    assert "conductances" in told


def test_a_slow_netlist_rests_where_its_static_state_is(tmp_path: Path) -> None:
    path = written(tmp_path, ".subckt slow out a\nR1 a n 1meg\nC1 n 0 1\nRo n m 1meg\nR2 m out 2meg\n.ends\n")
    inside = user_device(path, limits_V=LIMITS).settled_V([0.0, 0.8], "xdevice")
    assert {name.rpartition(".")[2]: pytest.approx(v) for name, v in inside.items()} == {"n": 0.6, "m": 0.4}


def test_the_setting_without_a_solution_is_named(tmp_path: Path) -> None:
    text = ".subckt odd out a\nR1 a out 1k\nB1 n 0 I=u(v(a)-0.3)*(sgn(v(n)-0.3)*1e6)\nR2 n 0 1k\n.ends\n"
    device = user_device(written(tmp_path, text), limits_V=LIMITS)
    assert device.currents([0.0, 0.2])[1] == pytest.approx(2e-4)
    with pytest.raises(ConvergenceError, match=r"0, 0\.5") as found:
        device.currents([[0.0, 0.2], [0.0, 0.5], [0.0, 0.1]])
    assert found.value.field == "voltages"


# -- what the file says, and what is refused -------------------------------------------------------------------------


def test_remarks_are_enough(tmp_path: Path) -> None:
    said = "* device subckt: star\n* device output: out\n* device inputs: b, a\n* device limits: -1 1\n"
    said += "*Device limits A: 0 500m\n* device supply VDD: 1.5\n* device transimpedance: 10k\n"
    device = user_device(written(tmp_path, said + STAR + STAR.replace("star", "other")))
    assert (device.output, device.inputs, device.transimpedance_ohm) == ("out", ("b", "a"), 1e4)
    np.testing.assert_array_equal(device.limits_V, [[-1, 1], [0, 0.5], [-1, 1]])
    assert "Vsupply_vdd supply_vdd 0 1.5" in device.netlist.text


@pytest.mark.parametrize(
    ("remark", "said"),
    [
        ("* device limit: -1 1", "did you mean 'limits'"),
        ("* device limits: -1", "device limits: -1 1"),
        ("* device limits: low high", "device limits: -1 1"),
        ("* device supply: 5", "device supply vdd"),
        ("* device output: out a", "device output: out"),
        ("* device output a: out", "device output: out"),
    ],
)
def test_a_remark_that_is_none(remark: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(NetlistError, match=said):
        user_device(written(tmp_path, f"{remark}\n{STAR}"), limits_V=LIMITS, supplies={"vdd": 1.0})


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"limits_V": None}, "limits_V", "device limits: -1 1"),
        ({"limits_V": {"out": LIMITS}}, "limits_V", "a, b"),
        ({"limits_V": (1.0, -1.0)}, "limits_V", "lower voltage first"),
        ({"limits_V": (0.1, 1.0)}, "limits_V", "include 0 V"),
        ({"output": "ouz"}, "output", "did you mean 'out'"),
        ({"inputs": ["a", "out"]}, "inputs", "name each once"),
        ({"inputs": ["a", "vdd"]}, "inputs", "no pin"),
        ({"supplies": {"vdd": 1.0, "a": 0.0, "b": 0.0}}, "pins", "fewer supplies"),
        ({"supplies": {"vcc": 1.0}}, "supplies", "unknown"),
        ({"temperature_K": 0.0}, "temperature_K", "positive"),
        ({"transimpedance_ohm": -1.0}, "transimpedance_ohm", "positive"),
    ],
)
def test_what_cannot_be_a_device(change: dict[str, Any], field: str, said: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"limits_V": LIMITS, "supplies": {"vdd": 1.0}, **change}
    with pytest.raises(InputError, match=said) as found:
        user_device(written(tmp_path, STAR), **options)
    assert found.value.field.startswith(field)


def test_what_a_netlist_lacks_is_said(star: UserDevice) -> None:
    with pytest.raises(InputError, match="let ngspice run the whole circuit"):
        kernel_of(star, np.zeros(3))
    for device in (star, NoisyDevice(star, NoiseSpectrum(1e-24), (0,))):
        loop = probe_loop(Bench(device, 0, (1,)), np.array([0.1, 0.2]), 0.005)
        for engine in ("twin", "averaged"):
            with pytest.raises(InputError, match="use engine='ngspice'"):
                engine_named(engine).run(loop)


def test_a_layer_of_netlists(tmp_path: Path) -> None:
    """Physics-aware training asks for outputs and c^T df/dV; both against differences of the currents."""
    device = user_device(written(tmp_path, BRIDGE))
    layer = DeviceSystem(device, nodes=2, output=0, electrodes=(1, 2, 3))
    rng = np.random.default_rng(3)
    values, cotangents = rng.uniform(-0.5, 0.5, (4, 6)), rng.normal(size=(4, 2))
    volts = np.zeros((4, 2, 6))
    volts[..., 1:4] = values.reshape(4, 2, 3)
    np.testing.assert_allclose(layer.respond(values), -1e8 * device.currents(volts)[..., 0], rtol=1e-9)
    steps = 1e-6 * np.eye(6)
    change = [np.sum(cotangents * (layer.respond(values + s) - layer.respond(values - s)), axis=1) for s in steps]
    np.testing.assert_allclose(layer.vector_jacobian(values, cotangents).T, np.array(change) / 2e-6, atol=1e-4)


FLAT = """a whole circuit
V1 a 0 dc 1
R1 a n 1meg
R2 n 0 {r}
R3 n out 2meg
X1 b n four
Vref ref 0 0.5
Rref ref n 4meg
.param r=1meg
.subckt four p q
R1 p q 4meg
.ends
.tran 1u 1m
.end
"""


def pyspice_circuit() -> Circuit:
    circuit = Circuit("a whole circuit")
    circuit.V("1", "a", circuit.gnd, 1)
    for name, *nodes, ohm in (("1", "a", "n", 1e6), ("2", "n", circuit.gnd, 1e6), ("3", "n", "out", 2e6)):
        circuit.R(name, *nodes, ohm)
    circuit.R("4", "b", "n", 4e6)
    circuit.V("ref", "ref", circuit.gnd, 0.5)
    circuit.R("ref", "ref", "n", 4e6)
    return circuit


@pytest.mark.parametrize("form", ["file", "file with remarks", "PySpice"])
def test_a_whole_circuit(form: str, tmp_path: Path) -> None:
    """What drove terminals is left out, what drives other nodes is not: V_n = sum(g V) / sum(g) over six of them."""
    options: dict[str, Any] = {"terminals": ("OUT", "a", "b"), "limits_V": LIMITS}
    source: Any = pyspice_circuit() if form == "PySpice" else written(tmp_path, FLAT, "whole.cir")
    if form == "file with remarks":
        source.write_text("*\n* device terminals: out, a, b\n* device limits: -1 1\n" + FLAT.partition("\n")[2])
        options = {}
    device = user_device(source, **options)
    assert device.terminals == ("out", "a", "b")
    volts, g = np.array([0.1, 0.7, -0.4]), np.array([0.5e-6, 1e-6, 0.25e-6])
    centre = (volts @ g + 0.5 * 0.25e-6) / (g.sum() + 1e-6 + 0.25e-6)
    np.testing.assert_allclose(device.currents(volts), g * (volts - centre), rtol=1e-9)


def test_a_whole_circuit_wants_its_terminals_named(tmp_path: Path) -> None:
    path = written(tmp_path, FLAT.replace(".subckt", ".model x R\n*").replace(".ends", "*").replace("X1", "R4"))
    with pytest.raises(InputError, match="device terminals: out, a"):
        user_device(path, limits_V=LIMITS)
    with pytest.raises(InputError, match="no node of the circuit"):
        user_device(path, limits_V=LIMITS, terminals=("out", "z"))


def test_a_subcircuit_of_pyspice() -> None:
    one = SubCircuit("one", "out", "a")
    one.R("1", "a", "out", 1e6)
    np.testing.assert_allclose(user_device(one, limits_V=LIMITS).currents([0.0, 0.3]), [-0.3e-6, 0.3e-6], rtol=1e-9)
