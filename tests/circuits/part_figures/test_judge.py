"""Vendors' models, judged: five styles as they are met, our own parts as the rule, and models with faults."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from circuits.ngspice.engine import Engine
from circuits.part_figures.bench import PartBench
from circuits.part_figures.judge import Judgement, judge_part
from circuits.part_figures.kinds import KINDS
from inmateria.errors import InputError, NetlistError
from netlists.reader import load_part

MODELS = Path(__file__).parent / "models"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(folder=tmp_path_factory.mktemp("decks")) as made:
        yield made


def figures(found: Judgement) -> dict[str, float]:
    return {one.figure.name: one.measured for one in found.figures}


# -- our own parts: their headers say what must come out -------------------------------------------------------------


@pytest.mark.parametrize("name", ["opamp_op07", "opamp_tl072"])
def test_an_op_amp_of_known_figures(engine: Engine, name: str) -> None:
    part = load_part(name, "macro")
    stated, load = part.defaults, 1e6
    found = KINDS["opamp"].measure(PartBench(part, engine, 15.0, load)).figures
    assert found["offset"] == pytest.approx(stated["vos"], rel=1e-3)
    assert found["gain"] == pytest.approx(stated["gain"], rel=1e-3)
    assert found["gbw"] == pytest.approx(stated["gbw"], rel=2e-3)
    assert found["phase_margin"] == pytest.approx(90.0, abs=0.2)  # one pole
    assert found["slew"] == pytest.approx(stated["slew"], rel=0.02)
    assert found["swing"] == pytest.approx(15.0 - stated["headroom"], abs=0.1)
    assert found["noise"] == pytest.approx(stated["noise"], rel=1e-3)
    assert math.isnan(found["supply_current"])


def test_bias_currents_of_a_known_size(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "m.lib").write_text(
        ".subckt m inp inn out\nI1 inp 0 30n\nI2 inn 0 10n\nG1 0 x inp inn 1m\nR1 x 0 1e8\nC1 x 0 100p\n"
        "B1 out 0 V=min(max(V(x),-10),10)\n.ends\n"
    )
    found = figures(judge_part(tmp_path / "m.lib", "opamp", engine))
    assert found["bias"] == pytest.approx(20e-9, rel=1e-3)
    assert found["gain"] == pytest.approx(1e5, rel=1e-3)
    assert found["gbw"] == pytest.approx(1e-3 / (2 * math.pi * 100e-12), rel=1e-3)


def test_a_multiplier_of_known_figures(engine: Engine) -> None:
    part = load_part("mixer", "macro")
    stated = part.defaults
    found = KINDS["multiplier"].measure(PartBench(part, engine, 15.0, 1e6)).figures
    assert found["offset"] == pytest.approx(stated["offset"] + stated["xos"] * stated["yos"] / 10.0, rel=1e-3)
    # of a with b nulled: its feedthrough and the offset of b's input, over 10 V
    assert found["feedthrough_a"] == pytest.approx(stated["xfeed"] + stated["yos"] / 10.0, rel=0.02)
    assert found["feedthrough_b"] == pytest.approx(stated["yfeed"] + stated["xos"] / 10.0, rel=0.02)
    assert found["nonlinearity_a"] == pytest.approx(stated["xnonlin"], rel=0.1)
    assert found["nonlinearity_b"] == pytest.approx(stated["ynonlin"], rel=0.1)
    assert found["noise"] == pytest.approx(stated["noise"], rel=1e-3)
    assert found["bandwidth"] == pytest.approx(stated["bandwidth"], rel=1e-3)


@pytest.mark.parametrize("hysteresis", [0.0, 0.02])
def test_a_comparator_of_known_figures(engine: Engine, tmp_path: Path, hysteresis: float) -> None:
    """A model of its own: 3 mV of offset, ideal hysteresis in a ramp of 100 uV, 1 us by an RC whose half is ln 2."""
    part = load_part("comparator", "macro")
    (tmp_path / "c.lib").write_text(
        f"{part.text}\n.subckt mine inp inn vcc gnd out\nX1 inp inn out comparator_macro vos=3m delay=1u "
        f"hysteresis={hysteresis!r} high=3.3 gain=1e7\nR1 vcc gnd 1k\n.ends\n"
    )
    found = figures(judge_part(tmp_path / "c.lib", "comparator", engine, subckt="mine", supply_V=5.0, load_ohm=1e6))
    assert found["offset"] == pytest.approx(3e-3, abs=0.1e-3)
    # the loop runs away where its slope is 1: y (1 - y) = span 5 / (4 gain hysteresis)
    assert found["hysteresis"] == pytest.approx(hysteresis, abs=0.5e-3)
    assert found["bias"] == pytest.approx(1e-7, rel=1e-3)
    assert found["delay"] == pytest.approx(1e-6, rel=0.02)
    assert (found["low"], found["high"]) == pytest.approx((0.0, 3.3), abs=1e-3)
    assert found["supply_current"] == pytest.approx(5e-3, rel=1e-3)
    if not hysteresis:
        assert found["gain"] == pytest.approx(1e7, rel=0.03)


def test_a_switch_of_known_figures(engine: Engine) -> None:
    part = load_part("analog_switch", "macro")
    found = KINDS["switch"].measure(PartBench(part, engine, 15.0)).figures
    stated = part.defaults
    assert found["ron"] == pytest.approx(stated["ron"], rel=1e-3)
    assert found["roff"] == pytest.approx(stated["roff"], rel=0.01)
    assert found["threshold"] == pytest.approx(stated["threshold"], abs=0.011)  # the sweep's step
    assert abs(found["leak"]) == pytest.approx(stated["leak"], rel=1e-3)
    assert found["charge"] == pytest.approx(stated["charge"] / (1 + stated["charge"] / 1e-9), rel=0.01)  # over 1.06 nF
    # half of the current where y reaches ln(roff / (ron + 2000)) / ln(roff / ron): later than y = 1/2
    y = math.log(stated["roff"] / (stated["ron"] + 1e3)) / math.log(stated["roff"] / stated["ron"])
    assert found["delay"] == pytest.approx(-stated["delay"] / math.log(2) * math.log(1 - y), rel=0.1)


MULTIPLIER = (
    ".subckt vpm {pins} vp vn\nBc n 0 V={gain}*V({a})*V({b})/10\nR1 n o 1k\nC1 o 0 1n\nE1 q 0 o 0 1\nR2 q {out} 10\n"
    "R3 vp vn 10k\n.ends\n"
)


def test_a_multiplier_of_another_scale_or_sign_is_caught(engine: Engine, tmp_path: Path) -> None:
    for gain, fault in ((1.0, None), (-1.0, "-0.999 times the product"), (10.0, "9.99 times the product")):
        text = MULTIPLIER.format(pins="x y w", gain=gain, a="x", b="y", out="w")
        (tmp_path / "m.lib").write_text(text)
        found = judge_part(tmp_path / "m.lib", "multiplier", engine)
        assert any(fault in one for one in found.faults) if fault else not any("product" in one for one in found.faults)


def test_a_multiplier_with_differential_inputs_and_a_summing_input(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "m.lib").write_text(MULTIPLIER.format(pins="x1 x2 y1 y2 z w", gain=1.0, a="x1,x2", b="y1,y2", out="w"))
    found = judge_part(tmp_path / "m.lib", "multiplier", engine)
    assert dict(found.wiring)["out"] == "w"
    assert figures(found)["scale_error"] == pytest.approx(0.0, abs=0.01)


def test_supplies_called_plus_and_minus(engine: Engine, tmp_path: Path) -> None:
    """Both names are `supply_v_` with letters only."""
    body = "G1 0 x IN+ IN- 1m\nR1 x 0 1e8\nC1 x 0 100p\nB1 OUT 0 V=min(max(V(x),V(V-)+1),V(V+)-1)\nR2 V+ V- 10k\n"
    (tmp_path / "m.lib").write_text(f".subckt oo IN+ IN- V+ V- OUT\n{body}.ends\n")
    found = judge_part(tmp_path / "m.lib", "opamp", engine)
    assert figures(found)["swing"] == pytest.approx(14.0, rel=0.01)
    assert figures(found)["supply_current"] == pytest.approx(3e-3, rel=0.01)


def test_a_single_supply_is_refused_with_what_to_give(engine: Engine) -> None:
    with pytest.raises(InputError, match=r"such as 2\.5 and -2\.5 V"):
        judge_part(MODELS / "boyle.lib", "opamp", engine, supplies={"3": 5.0, "4": 0.0})


# -- five styles -----------------------------------------------------------------------------------------------------


def test_a_macromodel_after_boyle_runs_as_it_is(engine: Engine) -> None:
    """Hand figures: gm 188.5 uS into 100 ohm at its output over 30 pF, 15.16 uA charge 30 pF at 0.5 V/us."""
    found = judge_part(MODELS / "boyle.lib", "opamp", engine, stated={"gbw": 1e6, "slew": 15.16e-6 / 30e-12})
    assert found.passed
    assert found.dialect is None
    assert dict(found.wiring) == {"inp": "1", "inn": "2", "out": "5", "15 V": "3", "-15 V": "4"}
    assert {one.figure.name: one.told for one in found.figures if one.stated} == {"gbw": "agrees", "slew": "agrees"}
    assert figures(found)["supply_current"] == pytest.approx(30.0 / 18.16e3 + 15.16e-6, rel=0.01)


def test_behavioural_sources_of_pspice_run_as_pspice_and_their_faults_are_found(engine: Engine) -> None:
    found = judge_part(MODELS / "pspice_behavioural.lib", "opamp", engine)
    assert found.dialect == "pspice"
    measured = figures(found)
    assert measured["offset"] == pytest.approx(1e-3, rel=1e-3)
    assert measured["gbw"] == pytest.approx(3e6, rel=0.02)
    assert measured["slew"] == pytest.approx(1.3e7, rel=0.02)
    assert measured["supply_current"] == pytest.approx(30.0 / 20e3, rel=1e-3)
    assert not found.passed
    assert "it has next to no noise" in found.faults


def test_a_device_of_ltspice_runs_nowhere_and_is_named(engine: Engine) -> None:
    found = judge_part(MODELS / "ltspice_rser.lib", "opamp", engine)
    assert not found.passed
    assert "runs in no dialect" in found.faults[0]
    assert "OTA is LTspice's own device" in found.faults[0]
    assert all(math.isnan(value) for value in figures(found).values())
    assert {one.told for one in found.figures} == {"not measured: it does not run"}


def test_an_op_amp_of_transistors(engine: Engine) -> None:
    """Its pair's tail current of 20 uA charges 30 pF; each input's transistor has half of it, over 80."""
    found = judge_part(MODELS / "transistors.lib", "opamp", engine)
    assert found.passed
    measured = figures(found)
    assert measured["slew"] == pytest.approx(20e-6 / 30e-12, rel=0.15)
    assert abs(measured["bias"]) == pytest.approx(10e-6 / 80, rel=0.3)
    assert measured["gbw"] == pytest.approx(10e-6 / 0.02585 / (2 * math.pi * 30e-12), rel=0.15)


def test_an_encrypted_model_is_told_as_such(engine: Engine) -> None:
    with pytest.raises(NetlistError, match=r"encrypted\.lib': is encrypted for another program"):
        judge_part(MODELS / "encrypted.lib", "opamp", engine)


# -- broken ones -----------------------------------------------------------------------------------------------------

CORE = "G1 0 x {p} {n} 1m\nR1 x 0 1e8\nC1 x 0 100p\nRn inp inn 1e6\n"
BROKEN = {
    "inputs exchanged": (CORE.format(p="inn", n="inp") + "B1 out 0 V=min(max(V(x),-10),10)\nR2 vcc vee 10k",
                         "negative"),
    "no limits": (CORE.format(p="inp", n="inn") + "E1 out 0 x 0 1\nR2 vcc vee 10k", "beyond its supplies"),
    "no supply current": (CORE.format(p="inp", n="inn") + "B1 out 0 V=min(max(V(x),-10),10)\nR2 vcc 0 1e15\n"
                          "R3 vee 0 1e15", "no supply current"),
    "no noise": ("B1 x 0 V=1e5*V(inp,inn)\nB2 out 0 V=min(max(V(x),-10),10)\nR2 vcc vee 10k", "next to no noise"),
    "no gain": ("Rn inp 0 1e6\nE1 out 0 inp inn 2\nR2 vcc vee 10k", "open-loop gain is 2"),
    "three poles": (CORE.format(p="inp", n="inn") + "E1 y0 0 x 0 1\nR3 y0 y 1k\nC3 y 0 1n\nE2 z0 0 y 0 1\nR4 z0 z 1k\n"
                    "C4 z 0 1n\nB1 out 0 V=min(max(V(z),-10),10)\nR2 vcc vee 10k", "oscillates"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_caught(engine: Engine, tmp_path: Path, name: str) -> None:
    body, words = BROKEN[name]
    (tmp_path / "m.lib").write_text(f".subckt m inp inn vcc vee out\n{body}\n.ends\n")
    found = judge_part(tmp_path / "m.lib", "opamp", engine)
    assert not found.passed
    assert any(words in fault for fault in found.faults), found.faults


def test_why_a_figure_could_not_be_measured(engine: Engine, tmp_path: Path) -> None:
    """A follower without poles has no gain-bandwidth product; a comparator that stands still had a hysteresis of 0."""
    (tmp_path / "flat.lib").write_text(".subckt m inp inn out\nE1 out 0 inp inn 1e4\nR1 inp inn 1meg\n.ends\n")
    why = {one.figure.name: one.reason for one in judge_part(tmp_path / "flat.lib", "opamp", engine).figures}
    assert why["gbw"] == "its gain does not fall through 100 between 1 mHz and 10 GHz"
    assert why["phase_margin"] == "its gain does not fall through 1 between 1 mHz and 10 GHz"
    assert why["supply_current"] == "it has no supply pins"
    assert why["gain"] == ""
    (tmp_path / "still.lib").write_text(".subckt m inp inn out\nV1 out 0 3\nR1 inp inn 1meg\n.ends\n")
    still = judge_part(tmp_path / "still.lib", "comparator", engine)
    why = {one.figure.name: one.reason for one in still.figures}
    for name in ("offset", "hysteresis", "gain", "delay"):
        assert why[name] == "its output does not switch between inputs of -0.1 and 0.1 V"
    assert figures(still)["high"] == 3.0
    (tmp_path / "stuck.lib").write_text(".subckt m a b control\nR1 a b 100\nR2 control 0 1meg\n.ends\n")
    why = {one.figure.name: one.reason for one in judge_part(tmp_path / "stuck.lib", "switch", engine).figures}
    assert why["threshold"] == "it conducts the same at 0 and 5 V of control"


def test_what_was_recorded_is_what_the_figures_say(engine: Engine) -> None:
    """The open loop is one pole: 600 kHz over the frequency, -90 degrees; the swing is the transfer's end."""
    found = KINDS["opamp"].measure(PartBench(load_part("opamp_op07", "macro"), engine, 15.0))
    curves = {one.name: one for one in found.curves}
    gain, phase = curves["open-loop gain"], curves["open-loop phase"]
    k = int(np.argmin(np.abs(gain.x - 1e4)))
    assert gain.y[k] == pytest.approx(20 * math.log10(found.figures["gbw"] / gain.x[k]), abs=0.05)
    assert phase.y[k] == pytest.approx(-90.0, abs=0.5)
    transfer = curves["amplifier of gain -10"]
    assert min(-transfer.y.min(), transfer.y.max()) == found.figures["swing"]
    assert np.polyfit(transfer.x[15:26], transfer.y[15:26], 1)[0] == pytest.approx(-10.0, rel=1e-3)


def test_a_figure_that_differs_from_the_data_sheets_fails_either_way(engine: Engine) -> None:
    for gbw, told in ((3e6, "less than stated"), (3e5, "more than stated")):
        found = judge_part(MODELS / "boyle.lib", "opamp", engine, stated={"gbw": gbw, "offset": 1e-3})
        assert not found.passed
        assert next(one.told for one in found.figures if one.figure.name == "gbw") == told
        assert "next to none" in next(one.told for one in found.figures if one.figure.name == "offset")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "opampp"}, "did you mean 'opamp'"),
        ({"stated": {"gwb": 1e6}}, "did you mean 'gbw'"),
        ({"stated": {"gbw": -1.0}}, "stated"),
        ({"within": 0.0}, "within"),
        ({"pins": {"inp": "1"}}, "do not tell which is the opamp's inn, out"),
        ({"dialect": "ltspicee"}, "did you mean 'ltspice'"),
    ],
)
def test_wrong_arguments(engine: Engine, change: dict[str, object], words: str) -> None:
    arguments = {"kind": "opamp", **change}
    with pytest.raises(InputError, match=words):
        judge_part(MODELS / "boyle.lib", arguments.pop("kind"), engine, **arguments)  # type: ignore[arg-type]
