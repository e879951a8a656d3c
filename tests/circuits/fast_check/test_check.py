"""The whole check of a part at its place: healthy ones pass, planted faults are found, by each question that can."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from circuits.fast_check.check import FastCheck, Requirements, Tones, check_parts
from circuits.ngspice.engine import Engine
from circuits.parts.assembly import Placement
from inmateria.errors import NetlistError
from netlists.reader import Part, load_part
from netlists.user_part import user_part

from ...planted_faults import SUPPLIES_V, buffer, transimpedance

NO_TONES = Tones(1e3, {})
FOLLOWER = "X1 in out out opamp_op07_macro"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as one:
        yield one


def alone(
    engine: Engine,
    part: Part,
    asked: Requirements | None = None,
    tones: Tones = NO_TONES,
    **levels: tuple[float, float],
) -> FastCheck:
    """The check of one part with nothing behind it; a converter's `in` is a current."""
    nodes = {pin.name: pin.name for pin in part.pins}
    currents = {"in": levels.pop("current")} if "current" in levels else {}
    return check_parts(engine, {"one": Placement(part, {}, nodes)}, levels, currents, tones, asked)


def verdicts(found: FastCheck) -> dict[str, bool]:
    """Whether each question that was asked is answered well."""
    return {one.question: all(other.passed is True for other in found.of(one.question)) for one in found.findings}


def test_a_buffer_that_oscillates_is_found_by_its_margin_and_its_waveform(engine: Engine, tmp_path: Path) -> None:
    found = alone(engine, buffer(tmp_path, "10n"), **{"in": (0.0, 0.1)})
    assert verdicts(found) == {"operating point": True, "phase margin": False, "edge": False}
    (edge,) = found.of("edge")
    assert edge.figures["ripple_V"] == pytest.approx(15, abs=1)  # -7.5 to 7.5 V in plain ngspice at 20 ns
    assert edge.told.startswith("oscillates")
    assert not found.passed
    assert [loop.encircles for _, loop in found.loops] == [True]


def test_the_same_buffer_without_the_capacitor_passes_unless_more_margin_is_asked(
    engine: Engine, tmp_path: Path
) -> None:
    part = buffer(tmp_path, "10p")
    assert alone(engine, part, **{"in": (0.0, 0.1)}).passed
    strict = alone(engine, part, Requirements(phase_margin_deg=45.0), **{"in": (0.0, 0.1)})
    assert [one.question for one in strict.findings if one.passed is False] == ["phase margin"]


@pytest.mark.slow
def test_a_forgotten_feedback_capacitor_is_found_and_the_right_one_settles(engine: Engine, tmp_path: Path) -> None:
    edge_A = (1e-9, 4e-8)
    forgotten = alone(engine, transimpedance(tmp_path, ""), current=edge_A)
    said = verdicts(forgotten)
    assert not said["phase margin"]
    assert not said["edge"]
    assert forgotten.loops[0][1].phase_margin_deg < 2
    right = alone(engine, transimpedance(tmp_path, "3p"), current=edge_A)
    assert set(verdicts(right)) == {"operating point", "phase margin", "edge", "overload", "slew rate", "start-up"}
    assert right.passed
    (edge,) = right.of("edge")
    assert edge.figures["overshoot"] < 0.01
    assert edge.figures["settling_s"] == pytest.approx(1e7 * 3e-12 * 4.6, rel=0.2)  # ln 100 time constants of Rf Cf


def test_the_transistors_of_the_library_start_up_and_slow_parts_are_asked_for_ripple_only(engine: Engine) -> None:
    fast = alone(engine, load_part("limiter", "transistor"), **{"in": (0.0, 0.5)})
    assert fast.passed
    assert fast.of("start-up")[0].figures["off_V"] == pytest.approx(0.0, abs=1e-3)
    slow = alone(engine, load_part("lowpass", "macro"), **{"in": (0.0, 1.0)})
    assert slow.passed
    assert slow.of("edge")[0].told.startswith("slow on purpose (158 Hz)")  # 1 / (2 pi 1.01 ms)


def test_slew_rate_and_a_load_step_are_those_of_the_op_amp(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "f.lib").write_text(
        load_part("opamp_op07", "macro").text + "\n.subckt follow in out params: gain=1 vlimit=1\n"
        "Rg in 0 {1e6*gain*vlimit}\nX1 in out out opamp_op07_macro\n.ends\n"
    )
    found = alone(engine, user_part(tmp_path / "f.lib", load_part("limiter"), subckt="follow"), **{"in": (-5.0, 5.0)})
    assert found.passed
    edge = found.of("edge")[0].figures
    assert edge["slope_V_per_s"] == pytest.approx(0.3e6, rel=0.05)  # the OP07's 0.3 V/us, by points 42 ns apart
    assert edge["settling_s"] == pytest.approx(10 / 0.3e6, rel=0.1)


def test_a_sine_that_outruns_the_op_amp_is_found_and_ngspice_loses_its_amplitude(
    engine: Engine, tmp_path: Path
) -> None:
    """5 V at 20 kHz want 0.63 V/us; an OP07, whose file states nothing here, was seen to move at 0.3 V/us."""
    follower = f".subckt follow in out params: gain=1 vlimit=1\nRg in 0 {{1e6*gain*vlimit}}\n{FOLLOWER}\n.ends\n"
    (tmp_path / "f.lib").write_text(f"{load_part('opamp_op07', 'macro').text}\n{follower}")
    part = user_part(tmp_path / "f.lib", load_part("limiter"), subckt="follow")
    for frequency_Hz, follows in ((20e3, False), (5e3, True)):
        found = alone(engine, part, tones=Tones(frequency_Hz, {"in": 5.0}), **{"in": (0.0, 1.0)})
        (slew,) = found.of("slew rate")
        assert slew.passed is follows is found.passed
        assert slew.figures["needed_V_per_s"] == pytest.approx(2 * math.pi * frequency_Hz * 5.0, rel=0.01)
        assert slew.figures["slew_V_per_s"] == pytest.approx(0.3e6, rel=0.05)
        run = engine.run(
            f"sine\n{load_part('opamp_op07', 'macro').text}\nVin in 0 SIN(0 5 {frequency_Hz})\n{FOLLOWER}\n"
            f".tran {0.002 / frequency_Hz} {4 / frequency_Hz} {2 / frequency_Hz} {0.002 / frequency_Hz}\n.end\n"
        )
        reached = float(np.ptp(run["out"])) / 2
        assert reached == pytest.approx(5.0 if follows else 0.3e6 / (4 * frequency_Hz), rel=0.02)  # else a triangle


def test_a_part_without_slewing_in_its_equations_is_judged_by_its_data_sheet(engine: Engine) -> None:
    """The summing amplifier's OP07 behind one pole of 150 kHz: a dither of 1 V at 100 kHz."""
    part = load_part("dither_sum", "macro").with_defaults("large", amplitude=1.0)
    levels = {"ref": (1.0, 1.0), "scale": (0.0, 1.0), "bias": (0.0, 0.0), "signal": (0.0, 0.5)}
    for frequency_Hz, follows in ((100e3, False), (20e3, True)):
        found = alone(engine, part, tones=Tones(frequency_Hz, {"ref": 1.0}), **levels)
        (slew,) = found.of("slew rate")
        pole = math.hypot(1.0, frequency_Hz / 150e3)
        assert slew.figures["needed_V_per_s"] == pytest.approx(2 * math.pi * frequency_Hz * 1.0035 / pole, rel=1e-3)
        assert (slew.passed, slew.figures["slew_V_per_s"]) == (follows, 3e5)
        assert slew.references == ("one",)


def test_an_output_that_stays_where_an_overload_took_it_is_found(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "latch.lib").write_text(
        "* positive feedback beyond 3 V: a latch\n.subckt latch in out params: gain=1 vlimit=1\n"
        "B1 0 x I=1e-3*(10*tanh(0.1*V(in)*gain*vlimit)+8*max(V(x)-3,0)-8*max(V(x)-8,0))\nR1 x 0 1k\nC1 x 0 100p\n"
        "E1 out 0 x 0 1\n.ends\n"
    )
    found = alone(engine, user_part(tmp_path / "latch.lib", load_part("limiter"), subckt="latch"), **{"in": (0.0, 1.0)})
    (overload,) = found.of("overload")
    assert overload.passed is False
    assert "stays at" in overload.told


def test_an_output_beyond_its_supply_and_a_part_without_operating_point_are_found(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "huge.lib").write_text(
        ".subckt huge in out vcc vee params: gain=1 vlimit=1\nRs vcc vee 10k\nE1 out 0 in 0 {1e4*gain*vlimit}\n.ends\n"
    )
    part = user_part(tmp_path / "huge.lib", load_part("limiter"), supplies=SUPPLIES_V)
    (point,) = alone(engine, part, **{"in": (0.0, 1.0)}).findings
    assert (point.question, point.passed) == ("operating point", False)
    assert "beyond its supply of 15 V" in point.told
    (tmp_path / "none.lib").write_text(
        ".subckt none in out params: gain=1 vlimit=1\nV1 out 0 1\nV2 out 0 {2+0*gain*vlimit}\nB1 x 0 V=V(in)\n.ends\n"
    )
    (point,) = alone(engine, user_part(tmp_path / "none.lib", load_part("limiter")), **{"in": (0.0, 1.0)}).findings
    assert (point.question, point.passed) == ("operating point", False)


def test_a_subcircuit_that_is_nowhere_is_refused_with_its_name(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "lost.lib").write_text(".subckt lost in out params: gain=1 vlimit=1\nX1 in out nobody\n.ends\n")
    with pytest.raises(NetlistError, match="nobody"):
        alone(engine, user_part(tmp_path / "lost.lib", load_part("limiter")), **{"in": (0.0, 1.0)})
