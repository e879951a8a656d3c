"""Over 200 malformed decks and parameter sets: each one clear error of ours, or a warning where it is only suspicious.

None may crash this process, hang, or give a number that is none. By hand, and by changes to a good deck that hypothesis
draws. Real ngspice always.
"""

from __future__ import annotations

import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuits.ngspice.engine import Engine
from circuits.ngspice.one_thread import on_one_thread
from inmateria.errors import (
    ConvergenceError,
    EngineCrashError,
    EngineError,
    EngineExitError,
    InMateriaError,
    InputError,
    NetlistError,
    SingularMatrixError,
    TrustWarning,
)

GOOD = "t\nV1 a 0 1\nR1 a 0 1k\n.op\n.end"
PIN3 = ".subckt x a b c\nR1 a b 1\nR2 b c 1\n.ends\n"


def with_line(line: str) -> str:
    return f"t\nV1 a 0 1\nR1 a 0 1k\n{line}\n.op\n.end"


def check_error(error: InMateriaError) -> None:
    """One line that names what it is about; a deck that reached ngspice is kept."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 1500
    assert error.field
    assert error.fix


def works(engine: Engine) -> bool:
    return abs(engine.run(GOOD)["v1#branch"][0] + 1e-3) < 1e-9


# -- by hand ---------------------------------------------------------------------------------------------------------

REFUSED = {
    # nothing, or no text
    "empty": ("", "empty"),
    "blank": ("\n\n\n", "empty"),
    "title only": ("title", "empty"),
    "comments only": ("t\n* a\n; b\n$ c", "empty"),
    "title, comment": ("t\n* comment\n\n", "empty"),
    "nul": ("t\nR1 a 0 \0\n.op\n.end", "NUL"),
    "surrogate": ("t\nR1 a 0 1 \udc80\n.op\n.end", "no character"),
    "continuation of the title": ("t\n+ V1 a 0 1\n.op\n.end", "continues the title"),
    "escape": (with_line("R2 a 0 \x1b1"), "control character"),
    "form feed": (with_line("R2 a 0 1\x0cR3 a 0 1"), "control character"),
    "carriage return": ("t\rV1 a 0 1\rR1 a 0 1\r.op\r.end\n.op", "control character"),
    "1 MB line": (with_line("R2 a 0 1 " + "x" * 1_000_000), "characters"),
    "1 MB continued": (with_line("R2 a 0 1\n" + "+ xxxxxxxxxx\n" * 100_000), "characters"),
    # unicode
    "greek nodes": ("t\nV1 α 0 1\nR1 α β 1k\nR2 β 0 1k\n.op\n.end", "no ASCII"),
    "ohm sign": (with_line("R2 a 0 1kΩ"), "no ASCII"),
    "micro sign": (with_line("C2 a 0 1µ"), "no ASCII"),
    "minus sign": (with_line("V2 b 0 \u22121"), "no ASCII"),
    "no-break space": (with_line("R2 a\u00a00 1"), "no ASCII"),
    "emoji": (with_line("R\U0001f600 a 0 1"), "no ASCII"),
    # pins and values
    "R one node": (with_line("R2 a"), "lacks"),
    "R no value": (with_line("R2 a 0"), "two nodes and a resistance"),
    "R name only": (with_line("R2"), "lacks"),
    "C one node": (with_line("C2 a"), "lacks"),
    "C no value": (with_line("C2 a 0"), "two nodes and a capacitance"),
    "L no value": (with_line("L2 a 0"), "inductance"),
    "V one node": (with_line("V2 a"), "lacks"),
    "I name only": (with_line("I2"), "lacks"),
    "D two pins": (with_line("D2 a 0"), "lacks"),
    "Q two pins": (with_line("Q2 a q"), "lacks"),
    "E two nodes": (with_line("E2 b 0"), "lacks"),
    "K one inductor": (with_line("K2 L1 1"), "lacks"),
    "equals sign": (with_line("R2=5"), "lacks"),
    "X too few": (with_line(PIN3 + "X1 a 0 x"), "2 nodes, x has 3 pins"),
    "X too many": (with_line(PIN3 + "X1 a b c d 0 x"), "5 nodes, x has 3 pins"),
    "X few, parameter": (with_line(PIN3 + "X1 a 0 x m = 1"), "2 nodes, x has 3 pins"),
    # values
    "R zero": (with_line("R2 a b 0"), "resistance of zero"),
    "R zero with unit": (with_line("R2 a b 0.0ohm"), "resistance of zero"),
    "R zero named": (with_line("R2 a b r=0"), "resistance of zero"),
    "R negative": (with_line("R2 a 0 -1k"), "negative resistance"),
    "R tiny negative": (with_line("R2 a 0 -1e-12"), "negative resistance"),
    "C negative": (with_line("C2 a 0 -1u"), "negative capacitance"),
    "L negative": (with_line("L2 a 0 -1m"), "negative inductance"),
    # names
    "node time": (with_line("R2 time 0 1"), "own name"),
    "node frequency": (with_line("R2 a Frequency 1"), "own name"),
    "node temper": (with_line("B2 temper 0 V=v(temper)"), "own name"),
    "node hertz": (with_line("C2 hertz 0 1"), "own name"),
    "node v-sweep": (with_line("R2 v-sweep 0 1"), "own name"),
    # ground
    "no ground": ("t\nV1 a b 1\nR1 a b 1\n.op\n.end", "no ground"),
    # commands
    "control quit": (with_line(".control\nquit\n.endc"), "runs commands"),
    "control shell": (with_line(".control\nshell touch {folder}/shelled\n.endc"), "runs commands"),
    "control upper": (with_line(".CONTROL\nshell touch {folder}/shelled\n.ENDC"), "runs commands"),
    "ng_script": ("*ng_script\nshell touch {folder}/shelled\nV1 a 0 1", "as commands"),
    "control in include": (with_line(".include {folder}/control.inc"), "runs commands"),
    # external
    "external dc": (with_line("V2 b 0 dc 0 external"), "crashes"),
    "external value": (with_line("V2 b 0 0 external"), "crashes"),
    "external first": (with_line("I2 b 0 external 0"), "crashes"),
    "external upper": (with_line("I2 b 0 EXTERNAL ac 1"), "crashes"),
    "external alone": (with_line("V2 b 0 external"), "nobody"),
    "external device": (with_line("Idevice0 b 0 external"), "nobody"),
    "external continued": (with_line("V2 b\n+ 0 external"), "nobody"),
    "external in include": (with_line(".include {folder}/external.inc"), "crashes"),
    "external deep": (with_line(".include {folder}/deep.inc"), "crashes"),
    # files
    "include missing": (with_line(".include /nowhere/x.lib"), "no such file"),
    "inc missing": (with_line(".inc nosuch.lib"), "no such file"),
    "include quoted": (with_line('.include "no such file.lib"'), "no such file"),
    "lib missing": (with_line(".lib /nowhere/x.lib tt"), "no such file"),
    "include folder": (with_line(".include {folder}"), "no such file"),
    "include itself": (with_line(".include {folder}/self.inc"), "includes itself"),
    "include in a ring": (with_line(".include {folder}/ring1.inc"), "includes itself"),
    "include long": (with_line(".include " + "x" * 5000), "no such file"),
    "missing in include": (with_line(".include {folder}/missing.inc"), "no such file"),
    # blocks
    "subckt open": (with_line(".subckt y a b\nR2 a b 1"), "no .ends"),
    "ends alone": (with_line(".ends"), "ends no subcircuit"),
    "ends twice": (with_line(PIN3 + ".ends"), "ends no subcircuit"),
    # what ngspice itself refuses
    "subckt recursive": (with_line(".subckt y a b\nX1 a b y\n.ends\nX1 a 0 y"), "unknown subckt"),
    "subckt unknown": (with_line("X1 a 0 nosuch"), "unknown subckt"),
    "model unknown": (with_line("D1 a 0 nosuch"), "nosuch"),
    "transistor's model unknown": (with_line("Q1 a a 0 nosuch"), "nosuch"),
    "device unknown": (with_line("~1 a 0 1"), "unknown device"),
    "card unknown": (with_line(".foo bar"), "foo"),
    "name twice": (with_line("R1 a 0 2"), "already exists"),
    "value no number": (with_line("V2 b 0 abc"), "abc"),
    "if open": (with_line(".if (1)\nR2 a 0 1"), "Mismatch"),
    "option no number": (with_line(".options reltol=abc"), "reltol"),
    "polynomial short": (with_line("E1 b 0 poly(2) a 0\nR2 b 0 1"), "poly"),
    "coupling to nothing": (with_line("L1 a 0 1\nK1 L1 L2 1"), "l2"),
    "tran no number": ("t\nV1 a 0 1\nR1 a 0 1\n.tran abc\n.end", "stop time"),
    "no analysis": ("t\nV1 a 0 1\nR1 a 0 1\n.end", "No job"),
    "no end": ("t\nV1 a 0 1\nR1 a 0 1\n.op", "missing"),
    "source shorted": (with_line("V2 a a 1"), "shorted"),
}

EXITS = {
    "parameter unknown": (with_line(".param x={y}\nR2 a 0 {x}"), r"(?i)undefined parameter"),
    "brace open": (with_line("R2 a 0 {1+"), r"(?i)closing"),
    "parameters in a ring": (with_line(".param x={y}\n.param y={x}\nR2 a 0 {x}"), "circular"),
}

UNSOLVED: dict[str, str] = {
    "sources in parallel": "V2 a 0 2",
    "sources in a ring": "V2 a b 1\nV3 b 0 1",
    "node floats": "C1 a b 1n\nC2 b c 1n",
    "current into a capacitor": "I1 0 b 1\nC1 b 0 1n",
    "node of nothing": "B2 b 0 V=v(zz)\nR2 b 0 1",
    "source of itself": "B2 b 0 V=v(b)+1\nR2 b 0 1",
    "inductor on a source": "L1 b 0 1\nV2 b 0 1",
    "no point": "R2 a b 1\nB1 b 0 I=sgn(v(b)-0.3)*1e6+1e3",
    "logarithm": "B2 b 0 V=ln(-v(a))\nR2 b 0 1",
    "root": "B2 b 0 V=sqrt(-v(a))\nR2 b 0 1",
    "division": "B2 b 0 V=1/(v(a)-v(a))\nR2 b 0 1",
    "overflow": "B2 b 0 V=exp(1000*v(a))\nR2 b 0 1",
}

ABSURD = ("division", "overflow")  # ngspice says nothing of these

SUSPICIOUS = {
    "1M": ("R2 a 0 1M", "0.001, milli"),
    "4.7M": ("R2 a 0 4.7M", "0.0047, milli"),
    "10Mohm": ("R2 a 0 10Mohm", "0.01, milli"),
    "r=1M": ("R2 a 0 r=1M", "0.001, milli"),
    "1F": ("C2 a 0 1F", "1e-15, femto"),
    "MHz": ("V2 b 0 sin(0 1 5MHz)\nR2 b 0 1", "0.005, milli"),
    "R zero inside": (".subckt y a b\nR1 a c 0\nR2 c b 1k\n.ends\nX1 a 0 y", "resistance of zero"),
    "model parameter unknown": ("D2 a 0 d\n.model d d nosuch=1", "nosuch"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    (path / "control.inc").write_text(f".control\nshell touch {path}/shelled\n.endc\n")
    (path / "external.inc").write_text("V9 q 0 dc 0 external\n")
    (path / "deep.inc").write_text(".include external.inc\n")
    (path / "self.inc").write_text(f".include {path}/self.inc\n")
    (path / "ring1.inc").write_text(".include ring2.inc\n")
    (path / "ring2.inc").write_text(".include ring1.inc\n")
    (path / "missing.inc").write_text("R9 a 0 1\n.include nosuch.inc\n")
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_deck_is_refused(engine: Engine, folder: Path, tmp_path: Path, name: str) -> None:
    deck, words = REFUSED[name]
    with pytest.raises(NetlistError, match=words) as caught:
        engine.run(deck.replace("{folder}", str(folder)), folder=tmp_path)
    check_error(caught.value)
    assert not (folder / "shelled").exists()


@pytest.mark.parametrize("name", EXITS)
def test_a_deck_that_ends_ngspice_is_refused_and_the_next_one_runs(engine: Engine, tmp_path: Path, name: str) -> None:
    deck, words = EXITS[name]
    with pytest.raises(EngineExitError, match=words) as caught:
        engine.run(deck, folder=tmp_path)
    check_error(caught.value)
    assert "ControlledExit(1)" in str(caught.value)
    assert isinstance(caught.value, NetlistError)
    assert isinstance(caught.value, EngineError)
    assert caught.value.deck is not None
    assert caught.value.deck.read_text() == on_one_thread(deck)
    assert works(engine)


@pytest.mark.parametrize("name", UNSOLVED)
def test_a_circuit_without_solution_has_no_result(engine: Engine, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConvergenceError) as caught:
        engine.run(with_line(UNSOLVED[name]), folder=tmp_path)
    check_error(caught.value)
    assert "no voltage or current" in str(caught.value) if name in ABSURD else caught.value.words
    assert caught.value.deck is not None


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_what_is_only_suspicious_is_a_warning(engine: Engine, name: str) -> None:
    line, words = SUSPICIOUS[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = engine.run(with_line(line))
    assert any(issubclass(w.category, TrustWarning) and words in str(w.message) for w in caught)
    assert result["a"] == pytest.approx([1.0])
    assert any(words in doubt for doubt in result.trust.doubts)


def test_a_floating_node_does_not_search_for_ever(engine: Engine) -> None:
    """ngspice's last resort, a transient, never ends on this one."""
    deck = "t\nV1 a 0 1\nR1 a 0 1\nC1 a b 1n\nC2 b c 1n\n.tran 10u 1m\n.end"
    with pytest.raises(SingularMatrixError) as caught:
        engine.run(deck)
    assert caught.value.node == "c"
    check_error(caught.value)
    assert works(engine)


@pytest.mark.parametrize(
    "line",
    [
        ".func f(x)={f(x)}\nR2 a 0 {f(1)}",  # calls itself
        "B2 b 0 V=" + "+".join(["v(a)"] * 100_000) + "\nR2 b 0 1",  # 0.5 MB of a sum
    ],
)
def test_a_deck_that_crashes_ngspice_crashes_nothing_else(engine: Engine, tmp_path: Path, line: str) -> None:
    with pytest.raises(EngineCrashError, match="SIGSEGV") as caught:
        engine.run(with_line(line), folder=tmp_path)
    assert caught.value.value == signal.Signals.SIGSEGV.name
    check_error(caught.value)
    assert works(engine)


# -- drawn -----------------------------------------------------------------------------------------------------------

BASE = """amplifier
V1 in 0 dc 0 ac 1
V2 vcc 0 12
R1 in base 10k
R2 vcc base 100k
R3 vcc out 2.2k
Q1 out base em npn1
R4 em 0 470
C1 em 0 10u
X1 out load divider
.model npn1 npn bf=120
.subckt divider a b
R1 a b 1k
R2 b 0 1k
.ends
.op
.end"""

JUNK = st.sampled_from(
    ["", "-1", "0", "1e400", "nan", "1M", "abc", "α", "v(", "{", "external", "time", "0", "1e-400", "=", "\x07", "gnd"]
)


@st.composite
def changed_decks(draw: st.DrawFn) -> str:
    """The deck above with one to three words or lines dropped, doubled, swapped, cut or made junk."""
    lines = BASE.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        words = lines[at].split(" ")
        word = draw(st.integers(0, len(words) - 1))
        change = draw(st.sampled_from(["drop word", "junk word", "drop line", "double line", "swap", "cut", "text"]))
        if change == "drop word":
            lines[at] = " ".join(words[:word] + words[word + 1 :])
        elif change == "junk word":
            lines[at] = " ".join([*words[:word], draw(JUNK), *words[word + 1 :]])
        elif change == "drop line":
            del lines[at]
        elif change == "double line":
            lines.insert(at, lines[at])
        elif change == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif change == "cut":
            lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
        else:
            lines[at] = draw(st.text(max_size=20))
        if not lines:
            return ""
    return "\n".join(lines)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(deck=changed_decks())
def test_a_changed_deck_gives_numbers_or_one_clear_error(engine: Engine, tmp_path: Path, deck: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        try:
            vectors = engine.run(deck, folder=tmp_path)
        except (InputError, NetlistError, ConvergenceError, EngineError) as error:
            check_error(error)
            return
    assert vectors
    assert all(np.all(np.isfinite(values)) for values in vectors.values())


def test_the_engine_is_sound_after_all_that(engine: Engine) -> None:
    assert works(engine)


NO_TIME = st.sampled_from([0.0, -1.0, float("nan"), float("inf"), -1e-9])
BAD = {
    "stop_s": st.one_of(NO_TIME, st.floats(0, 1e-5), st.floats(1e5, 1e30)),
    "max_step_s": st.one_of(NO_TIME, st.floats(1e-3, 1e3), st.floats(1e-300, 1e-13)),
    "save": st.one_of(st.just([]), st.text(), st.lists(st.text("\n\t ()α", min_size=1), min_size=1), st.just([1])),
    "corners_s": st.lists(NO_TIME.filter(lambda t: t != 0), min_size=1),
    "grids_s": st.sampled_from([[(0, 0, 1)], [(1e-4, 0, 5)], [(0, 1e-3, 0)], [(0, np.nan, 3)], [(-1, 1, 2)]]),
    "deck": st.sampled_from([None, 5, b"t\nR1 a 0 1", ["t"], ""]),
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_impossible_parameter_is_refused(engine: Engine, data: st.DataObject) -> None:
    arguments: dict[str, Any] = {"deck": "t\nV1 a 0 1\nR1 a 0 1k", "stop_s": 1e-3, "max_step_s": 1e-5, "save": ["v(a)"]}
    name = data.draw(st.sampled_from(sorted(BAD)))
    arguments[name] = data.draw(BAD[name])
    deck = arguments.pop("deck")
    with pytest.raises((InputError, NetlistError)) as caught:
        engine.transient(deck, **arguments)
    check_error(caught.value)
