"""Return ratios of closed circuits against closed forms, nodal equations, and a loop broken by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from circuits.fast_check.cells import Cell
from circuits.fast_check.loop_gain import LoopGain, from_injections
from circuits.ngspice.engine import Engine
from circuits.parts.assembly import Placement
from netlists.reader import Part, load_part, parse_part

from ...planted_faults import buffer

Complex = NDArray[np.complex128]
GBW_HZ, GAIN, ROUT_OHM = 3e6, 2e5, 100.0  # the TL072's macro model
SWEEP = ".ac dec 50 1 1e9"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as one:
        yield one


def follower(load_F: float) -> Part:
    """A TL072 as follower, with a capacitor at its output."""
    return parse_part(
        f"""* part: follower
* level: macro
* uses: opamp_tl072
* summary: a follower
* equation: V(out) = V(in)
* pin in: input
* pin out: output
* source: test
.subckt follower_macro in out
X1 in out out opamp_tl072_macro
CL out 0 {load_F!r}
.ends follower_macro
""",
        "test",
    )


def cell(part: Part, **currents: tuple[float, float]) -> Cell:
    nodes = {pin.name: pin.name for pin in part.pins}
    inputs = {name: (0.0, 0.0) for name in nodes if name not in ("out", *currents)}
    return Cell(Placement(part, {}, nodes), inputs, currents)


def loops(engine: Engine, one: Cell) -> dict[str, LoopGain]:
    """The return ratio at every wire."""
    found = {}
    for wire in one.opened.wires():
        inside = ".".join(("xpart", *wire.path)).lower()
        runs = [engine.run(one.deck(SWEEP, cut=wire, ac=ac)) for ac in ((1, 0), (0, 1))]
        found[wire.name] = from_injections(wire.name, *runs, f"{inside}.probe", f"v.{inside}.vprobe#branch")
    return found


def opamp(s: Complex) -> Complex:
    return GAIN / (1 + s * GAIN / (2 * np.pi * GBW_HZ))


@pytest.mark.parametrize("load_F", [10e-12, 1e-9, 10e-9])
def test_a_follower_with_a_capacitive_load_has_the_margin_of_its_closed_form(engine: Engine, load_F: float) -> None:
    found = loops(engine, cell(follower(load_F)))
    assert found["X1 in"].largest < 1e-6  # that wire comes from a source: nothing goes round through it
    loop = found["X1 out"]
    s = 2j * np.pi * loop.frequency_Hz
    expected = opamp(s) / (1 + s * ROUT_OHM * load_F)
    np.testing.assert_allclose(loop.ratio, expected, rtol=1e-4, atol=1e-9)
    fc = loop.crossover_Hz
    margin = 180 - np.degrees(np.arctan(fc * GAIN / GBW_HZ) + np.arctan(2 * np.pi * fc * ROUT_OHM * load_F))
    assert loop.phase_margin_deg == pytest.approx(margin, abs=0.05)
    assert not loop.encircles  # two poles never do


def test_a_follower_broken_by_an_inductor_and_a_capacitor_has_the_same_ratio(engine: Engine) -> None:
    loop = loops(engine, cell(follower(1e-9)))["X1 out"]
    deck = f"""broken by hand
{load_part("opamp_tl072", "macro").library}
Vin in 0 0
X1 in minus out opamp_tl072_macro
CL out 0 1e-9
Lbreak out minus 1e9
Cbreak minus drive 1e9
Vdrive drive 0 AC 1
{SWEEP}
.end"""
    by_hand = engine.run(deck)
    np.testing.assert_allclose(loop.ratio, -by_hand["out"] / by_hand["minus"], rtol=1e-4, atol=1e-9)


def test_the_transimpedance_has_the_ratio_of_its_nodes_and_its_documented_transfer(engine: Engine) -> None:
    part = load_part("transimpedance", "macro")
    one = cell(part, **{"in": (0.0, 0.0)})
    loop = loops(engine, one)["X1 m"]
    s = 2j * np.pi * loop.frequency_Hz
    rf, cf, cin = (part.defaults[name] for name in ("rf", "cf", "cin"))
    feedback, at_input = 1 / rf + s * cf, s * cin
    second = opamp(s)
    # nodes m and s of the inverter behind it, as a load: v(s) follows from i = (v(m) - v(s))/r = (v(s) - v(out))/r
    # with the second op-amp's output behind its own resistance
    r = 1e4
    matrix = np.empty((len(s), 2, 2), dtype=complex)  # unknown: v(s), v(out), of 1 V at m
    matrix[:, 0, 0], matrix[:, 0, 1] = 2 / r, -1 / r
    matrix[:, 1, 0], matrix[:, 1, 1] = -1 / r + second / ROUT_OHM, 1 / r + 1 / ROUT_OHM
    at_s = np.linalg.solve(matrix, np.broadcast_to(np.array([[1 / r], [0.0]]), (len(s), 2, 1)))[:, 0, 0]
    load = (1 - at_s) / r + feedback * at_input / (feedback + at_input)
    ratio = opamp(s) / (1 + ROUT_OHM * load) * feedback / (feedback + at_input)
    np.testing.assert_allclose(loop.ratio, ratio, rtol=1e-3, atol=1e-6)

    response = engine.run(one.deck(SWEEP, sources={"in": "DC 0 AC 1"}))
    wt, low = 2 * np.pi * GBW_HZ, loop.frequency_Hz < 1e5
    documented = rf / ((1 + s * rf * cf + s / wt * (1 + s * rf * (cf + cin))) * (1 + 2 * s / wt))
    np.testing.assert_allclose(response["out"][low], documented[low], rtol=5e-3)


@pytest.mark.parametrize(("load", "load_F", "margin_deg"), [("10n", 10e-9, -22.5), ("10p", 10e-12, 28.4)])
def test_a_buffer_of_two_poles_is_unstable_with_ten_nanofarad_and_stable_with_ten_picofarad(
    engine: Engine, tmp_path: Path, load: str, load_F: float, margin_deg: float
) -> None:
    found = loops(engine, cell(buffer(tmp_path, load)))
    own = {name: loop for name, loop in found.items() if len(loop.crossovers_Hz)}
    assert set(own) == {"Xuser.G1 out", "Xuser.E1 x", "Xuser.Bm y"}  # wherever the loop is cut it is the same one
    for loop in own.values():
        s = 2j * np.pi * loop.frequency_Hz
        expected = 1e5 / ((1 + s * 1e8 * 53.05e-12) * (1 + s * 1e5 * 1.99e-12) * (1 + s * 100 * load_F))
        np.testing.assert_allclose(loop.ratio, expected, rtol=1e-4, atol=1e-9)
        assert loop.phase_margin_deg == pytest.approx(margin_deg, abs=0.1)
        assert loop.encircles == (margin_deg < 0)
        assert (loop.gain_margin < 1) == (margin_deg < 0)


def test_the_gain_margin_of_three_equal_poles_is_eight_over_their_gain() -> None:
    f = np.logspace(-3, 3, 2001)
    for gain in (4.0, 7.9, 8.1, 20.0):
        loop = LoopGain("three poles", f, gain / (1 + 1j * f) ** 3)
        assert loop.gain_margin == pytest.approx(8 / gain, rel=1e-4)  # Routh: it oscillates from 8 on, at sqrt(3)
        assert loop.encircles == (gain > 8)
        assert (loop.phase_margin_deg < 0) == (gain > 8)
