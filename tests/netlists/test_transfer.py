"""Linear parts against scipy.signal: `.ac` and `.tran` of decks of their own, run by plain ``ngspice -b``."""

import numpy as np
import pytest
from scipy import signal

from netlists.check import run_deck_file
from netlists.reader import load_part

OPAMPS = {name: load_part(f"opamp_{name}", "macro").defaults for name in ("op07", "tl072")}
TRIANGLE = ((0.0, 0.0), (1e-3, 0.4), (3e-3, -0.4), (4e-3, 0.0), (6e-3, 0.0))  # s, V


def _run(tmp_path, part, circuit, analysis, vector):
    """Rows of what `wrdata` keeps: frequency, real and imaginary part; or time and value."""
    data = tmp_path / "data.txt"
    control = f".control\nset wr_singlescale\nset numdgt=16\n{analysis}\nwrdata {data} {vector}\nquit 0\n.endc\n.end\n"
    deck = tmp_path / "deck.cir"
    deck.write_text(f"{part.name}\n{part.library}{circuit}\n.options reltol=1e-6\n{control}")
    result = run_deck_file(deck)
    assert result.passed, result.output
    return np.loadtxt(data).T


def _transfer(tmp_path, part, line, source, decades="1 100k"):
    frequency, real, imag = _run(tmp_path, part, f"{source}\n{line}", f"ac dec 10 {decades}", "v(out)")
    return frequency, real + 1j * imag


def _waveform(tmp_path, part, line, name="V1 in 0", scale=1.0, step="5u"):
    """Response to the triangle, from 0 V with uic; and the times."""
    points = " ".join(f"{t!r} {scale * v!r}" for t, v in TRIANGLE)
    return _run(tmp_path, part, f"{name} pwl({points})\n{line}", f"tran {step} 6m 0 {step} uic", "v(out)")


def _expected(system, time, scale=1.0):
    """What scipy's exact simulation of a linear system between the points makes of the triangle."""
    grid = np.linspace(0.0, TRIANGLE[-1][0], 6001)
    drive = scale * np.interp(grid, *np.array(TRIANGLE).T)
    return np.interp(time, grid, signal.lsim(system, drive, grid)[1])


def _response(system, frequency):
    return signal.freqs(np.atleast_1d(system.num), np.atleast_1d(system.den), worN=2 * np.pi * frequency)[1]


def _follower(name):
    """An op-amp as follower: A / (1 + A), A = gain / (1 + s gain / (2 pi gbw)); coefficients, highest power first."""
    figures = OPAMPS[name]
    return np.array([figures["gain"]]), np.array([figures["gain"] / (2 * np.pi * figures["gbw"]), 1 + figures["gain"]])


LINES = {"in": "in", "out": "out"}


@pytest.mark.parametrize("poles", [1, 4])
@pytest.mark.parametrize(("level", "tolerance"), [("ideal", 1e-9), ("macro", 1e-3)])
def test_lowpass_is_the_transfer_function(tmp_path, level, tolerance, poles):
    part, tau = load_part("lowpass", level), 2e-4
    nodes = ["in", *(f"m{k}" for k in range(1, poles)), "out"]
    clean = {} if level == "ideal" else {"ctol": 0.0, "vos": 0.0, "ibias": 0.0, "c": 1e-8}
    line = "\n".join(
        part.instance(str(k), {"in": nodes[k], "out": nodes[k + 1]}, tau=tau, **clean) for k in range(poles)
    )
    num, den = np.ones(1), np.ones(1)
    for _ in range(poles):
        den = np.polymul(den, [tau, 1.0])
        if level == "macro":
            above, below = _follower("op07")
            num, den = np.polymul(num, above), np.polymul(den, below)
    system = signal.TransferFunction(num, den)
    frequency, found = _transfer(tmp_path, part, line, "V1 in 0 dc 0 ac 1", "1 10k")
    wanted = _response(system, frequency)
    assert np.max(np.abs(found / wanted - 1)) < poles * tolerance
    corner = signal.TransferFunction([1.0], [tau, 1.0])
    time, output = _waveform(tmp_path, part, line)
    if poles == 1:
        assert np.max(np.abs(output - _expected(corner, time))) < (2e-5 if level == "ideal" else 3e-4)


@pytest.mark.parametrize("q", [0.5, 0.7071, 3.0])
@pytest.mark.parametrize("level", ["ideal", "macro"])
def test_sallen_key_is_the_transfer_function(tmp_path, level, q):
    part, f0 = load_part("lowpass_sallen_key", level), 1e3
    clean = {} if level == "ideal" else {"ctol": 0.0, "vos": 0.0, "ibias": 0.0}
    line = part.instance("1", LINES, f0=f0, q=q, **clean)
    w = 2 * np.pi * f0
    system = signal.TransferFunction([w**2], [1.0, w / q, w**2])
    frequency, found = _transfer(tmp_path, part, line, "V1 in 0 dc 0 ac 1", "1 10k")
    # at level macro the op-amp's pole shifts f0 and q by about q f0 / gbw, and its output resistance adds rout / r
    error = np.abs(found - _response(system, frequency))
    assert np.max(error) < (1e-9 if level == "ideal" else 2.5e-3 * max(q, 1) ** 2)
    time, output = _waveform(tmp_path, part, line)
    assert np.max(np.abs(output - _expected(system, time))) < (3e-5 if level == "ideal" else 2e-3)


@pytest.mark.parametrize("rate", [-300.0, 300.0])
@pytest.mark.parametrize("level", ["ideal", "macro", "transistor"])
def test_integrator_is_the_transfer_function(tmp_path, level, rate):
    part = load_part("integrator", level)
    clean = {
        "ideal": {},
        "macro": {"ctol": 0.0, "vos": 0.0, "ibias": 0.0, "c": 1e-7, "ron": 0.0, "ileak": 0.0, "qinj": 0.0},
        "transistor": {"mismatch": 0.0},
    }[level]
    tolerance = {"ideal": 1e-9, "macro": 1e-4, "transistor": 2e-2}[level]
    line = "Von on 0 1\n" + part.instance("1", {**LINES, "gate": "on"}, rate=rate, **clean)
    system = signal.TransferFunction([rate], [1.0, 0.0])
    if level == "macro":  # inverting integrator with a one-pole op-amp
        wt = 2 * np.pi * OPAMPS["op07"]["gbw"]
        system = signal.TransferFunction([rate], [1 / wt, 1 + abs(rate) / wt, 0.0])
    frequency, found = _transfer(tmp_path, part, line, "V1 in 0 dc 0 ac 1", "10 1k")
    assert np.max(np.abs(found / _response(system, frequency) - 1)) < tolerance
    time, output = _waveform(tmp_path, part, line)
    assert (
        np.max(np.abs(output - _expected(system, time))) < {"ideal": 1e-6, "macro": 3e-4, "transistor": 1.5e-2}[level]
    )


@pytest.mark.parametrize(("rf", "cf"), [(1e7, 1e-12), (1e6, 1e-10)])
def test_transimpedance_is_the_transfer_function(tmp_path, rf, cf):
    part = load_part("transimpedance", "macro")
    line = part.instance("1", LINES, rf=rf, cf=cf, vos=0.0, ibias=0.0)
    wt, input_F = 2 * np.pi * OPAMPS["tl072"]["gbw"], cf + part.defaults["cin"]
    first = np.array([rf * input_F / wt, rf * cf + 1 / wt, 1.0])  # feedback network and a one-pole op-amp
    system = signal.TransferFunction([rf], np.polymul(first, [2 / wt, 1.0]))  # then an inverter
    frequency, found = _transfer(tmp_path, part, line, "I1 0 in dc 0 ac 1")
    assert np.max(np.abs(found / _response(system, frequency) - 1)) < 1e-2
    slow = frequency < 1e3
    assert np.max(np.abs(found / _response(system, frequency) - 1)[slow]) < 1e-4
    time, output = _waveform(tmp_path, part, line, "I1 0 in", 1 / rf)
    assert np.max(np.abs(output - _expected(system, time, 1 / rf))) < 1e-4


def test_ideal_transimpedance_has_no_poles(tmp_path):
    part = load_part("transimpedance")
    line = part.instance("1", LINES, rf=1e6)
    _, found = _transfer(tmp_path, part, line, "I1 0 in dc 0 ac 1", "1 1g")
    assert np.max(np.abs(found / 1e6 - 1)) < 1e-12
