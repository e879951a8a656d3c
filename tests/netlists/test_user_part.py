"""A user's own subcircuit takes a part's place, or it is said why not."""

from pathlib import Path

import numpy as np
import pytest

from circuits.ngspice.engine import Engine
from inmateria.errors import InputError, NetlistError
from netlists import reader
from netlists.reader import load_part
from netlists.user_part import user_part

MULTIPLIER = """a user's bench, whose own sources and analyses are left out
Vtest a 0 1
.include parts/core.lib
.param unity=1
.SUBCKT MYMULT X Y W
+ VCC VEE GND params: GAIN=2
+ vscale=10
Xcore x y w gnd core_2 k={gain/vscale}
Rcc vcc gnd 1meg
Ree vee gnd 1meg
.ENDS
.tran 1u 1m
.end
"""
CORE = ".subckt core_2 a b c ref k=1\nBc c ref V={k}*V(a,ref)*V(b,ref)\n.ends\n"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "core.lib").write_text(CORE)
    path = tmp_path / "mymult.cir"
    path.write_text(MULTIPLIER)
    return path


WIRED = {"pins": {"a": "X", "b": "y", "out": "w"}, "supplies": {"VCC": 15.0, "vee": -15.0, "gnd": 0.0}}


def test_it_does_what_the_user_wrote(library: Path, engine: Engine) -> None:
    part = user_part(library, load_part("mixer"), **WIRED)
    assert part.level == "user"
    assert part.defaults == load_part("mixer").defaults
    nodes = {"a": "p", "b": "q", "out": "r"}
    deck = "\n".join(
        ["own part", part.text, "Vp p 0 3", "Vq q 0 -4", part.instance("1", nodes, gain=5.0, vscale=10.0),
         part.instance("2", {**nodes, "out": "s"}), "Rr r 0 1k", "Rs s 0 1k", ".op", ".end"]
    )  # fmt: skip
    found = engine.run(deck)
    np.testing.assert_allclose([found["r"][0], found["s"][0]], [-6.0, -12.0], rtol=1e-9)


def test_a_subcircuit_of_pyspice(engine: Engine) -> None:
    from PySpice.Spice.Netlist import SubCircuit

    own = SubCircuit("pole", "in", "out")
    own.R(1, "in", "x", 1000)
    own.C(1, "x", own.gnd, 1e-6)
    own.VCVS(1, "out", own.gnd, "x", own.gnd, voltage_gain=1)
    part = user_part(own, load_part("lowpass"), fixed={"tau": 1e-3})
    line = part.instance("1", {"in": "a", "out": "b"}, tau=1e-3)
    deck = "\n".join(["own pole", part.text, "Va a 0 dc 0 ac 1", line, "Rb b 0 1k"])
    found = engine.run(f"{deck}\n.ac lin 1 159.15494309189535 159.15494309189535\n.end")
    assert abs(found["b"][0]) == pytest.approx(np.sqrt(0.5), rel=1e-6)
    with pytest.raises(InputError, match=r"tau.*built in"):
        part.instance("1", {"in": "a", "out": "b"}, tau=2e-3)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"pins": {"a": "x", "b": "y"}}, "mymult pins", "have no 'out'"),
        ({"pins": {"a": "x", "b": "x", "out": "w"}}, "pins", "both"),
        ({"pins": {"a": "x", "b": "y", "out": "w", "c": "gnd"}}, "pins", "choose from a, b, out"),
        ({"supplies": {"vcc": 15.0, "vee": -15.0}}, "mymult pins", "'gnd' is connected to nothing"),
        ({"supplies": {**WIRED["supplies"], "vdd": 5.0}}, "supplies", "unknown to mymult"),
        ({"supplies": {**WIRED["supplies"], "w": 5.0}}, "supplies", "is the pin 'out'"),
        ({"fixed": {"gain": 2.0}}, "fixed", "has that parameter"),
        ({"fixed": {"tau": 2.0}}, "fixed", "unknown to mixer"),
        ({"subckt": "mymul"}, "subckt", "did you mean 'mymult'"),
    ],
)
def test_what_does_not_match_is_explained(library: Path, change: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        user_part(library, load_part("mixer"), **{**WIRED, **change})  # type: ignore[arg-type]
    assert caught.value.field.startswith(field)
    assert words in str(caught.value)


def test_a_missing_parameter_is_explained(tmp_path: Path) -> None:
    (tmp_path / "p.lib").write_text(".subckt pole in out\nE1 out 0 in 0 1\n.ends\n")
    with pytest.raises(InputError, match=r"lack 'tau'.*fixed=\{'tau': 0.001\}"):
        user_part(tmp_path / "p.lib", load_part("lowpass"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("R1 a 0 1\n", "no .subckt"),
        (".subckt a b c\nR1 b c 1\n", "no .ends"),
        (".ends\n", "ends no subcircuit"),
        (".subckt\n.ends\n", "no name"),
        ('.include "nowhere.lib"\n.subckt a b c\n.ends\n', "no such file"),
        ("", "no .subckt"),
    ],
)
def test_files_that_are_no_parts(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "p.lib"
    path.write_text(text)
    with pytest.raises(NetlistError, match=words):
        user_part(path, load_part("lowpass"))


def test_two_that_nobody_uses_are_listed(tmp_path: Path) -> None:
    (tmp_path / "p.lib").write_text(".subckt a in out\n.ends\n.subckt b in out\n.ends\n")
    with pytest.raises(InputError, match="several: a, b"):
        user_part(tmp_path / "p.lib", load_part("lowpass"))
    with pytest.raises(NetlistError, match="No such file"):
        user_part(tmp_path / "q.lib", load_part("lowpass"))


def test_a_file_that_two_parts_include_is_included_once(tmp_path):
    """Of two vendor files each with the op-amp they are made of; ngspice warned of its second definition."""
    (tmp_path / "opamp.lib").write_text(".subckt follower a b\nE1 b 0 a 0 1\n.ends\n", encoding="utf-8")
    parts = []
    for name, like in (("one", "limiter"), ("two", "gain_offset")):
        pins = " ".join(pin.name for pin in load_part(like).pins)
        values = " ".join(f"{k}={v:g}" for k, v in load_part(like).defaults.items())
        text = f".include opamp.lib\n.subckt {name} {pins} params: {values}\nX1 in out follower\n.ends\n"
        (tmp_path / f"{name}.lib").write_text(text, encoding="utf-8")
        parts.append(user_part(tmp_path / f"{name}.lib", load_part(like)))
    assert reader.library(parts).count(".subckt follower") == 1
    assert reader.library(parts[1:]).count(".subckt follower") == 1


def test_a_parameter_that_it_sets_inside_is_its_own_too(tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "m.lib"
    path.write_text(".subckt m a b out\n.param gain=2 vscale=5\nB1 out 0 V={gain/vscale}*V(a)*V(b)\n.ends\n")
    part = user_part(path, load_part("mixer"))
    x = part.instance("1", {"a": "p", "b": "q", "out": "r"}, gain=5.0, vscale=10.0)
    found = engine.run("\n".join(["own part", part.text, "Vp p 0 3", "Vq q 0 -4", x, "Rr r 0 1k", ".op", ".end"]))
    assert found["r"][0] == pytest.approx(-6.0)
