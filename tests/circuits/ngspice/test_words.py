"""Words that ngspice takes for something else: refused or doubted, in decks and included files, with what to write."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from circuits.ngspice.deck_checks import check_deck
from circuits.ngspice.engine import Engine
from inmateria.errors import NetlistError, TrustWarning
from netlists.spice_numbers import is_number, read_as


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made


def deck(lines: str) -> str:
    return f"t\nVp p 0 -4\nR1 n 0 1k\nRp p 0 1k\n{lines}\n.op\n.end\n"


def doubts(engine: Engine, lines: str) -> tuple[float, tuple[str, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        found = engine.run(deck(lines))
    return float(found["n"][0]), found.trust.doubts


# -- values ----------------------------------------------------------------------------------------------------------

MISREAD = {"4k7": 4000.0, "2R2": 2.0, "1M5": 1e-3, "0R5": 0.0, "4,7k": 7000.0, "1,000": 0.0, "3k3ohm": 3000.0,
           "1.5.2k": 1.5, "1_000": 1.0, "0x10": 0.0, "1k+2k": 2000.0, "1e3x5": 1000.0}  # fmt: skip


@pytest.mark.parametrize("value", MISREAD)
def test_a_value_that_ngspice_reads_otherwise(value: str, tmp_path: Path) -> None:
    with pytest.raises(NetlistError, match=f"as {MISREAD[value]:g};"):
        check_deck(deck(f"R2 n p {value}"))
    # ngspice itself, asked for what it takes the value for: it takes 1 mOhm for 0, from 44 on 1e-12 Ohm.
    text = f"t\nI1 0 n 1\nR1 n 0 {value}\n.control\nop\nprint v(n)\n.endc\n.end\n"
    (tmp_path / "t.cir").write_text(text)
    said = subprocess.run(["ngspice", "-b", "t.cir"], cwd=tmp_path, capture_output=True, text=True).stdout
    taken = float(said.split("v(n) =")[1].split()[0])
    meant = [MISREAD[value]] if MISREAD[value] else [1e-3, 1e-12]
    assert any(taken == pytest.approx(one, rel=1e-6) for one in meant)


@pytest.mark.parametrize(
    "line",
    ["C2 n 0 4u7", "L2 n p 1m5", "V2 n 0 4V7", "V2 n 0 DC 4,7", "I2 n 0 1u5", "V2 n 0 SIN(0 1 1k5)", "E2 n 0 p 0 1k5",
     "R2 n 0 R=4k7", "R2 n 0 1k TC=1m5", "X2 n 0 r q=4k7\n.subckt r a b q=1\nR1 a b {q}\n.ends", ".param q=4k7",
     "D1 n 0 d\n.model d d(is=1p5)", ".ic v(n)=1V5", "B2 n 0 I=V(p)/4k7"],
)  # fmt: skip
def test_wherever_a_value_stands(line: str) -> None:
    with pytest.raises(NetlistError, match="ngspice reads"):
        check_deck(deck(line))


@pytest.mark.parametrize(
    "line",
    ["R2 n p 4.7k", "R2 n p 1meg", "R2 n p 10MegOhm", "R2 n p {4.7k*2}", "R2 n p '4.7k'", "R2 n p 1e-3", "R2 n p 1d3",
     "R2 n p 1K5\n.model 1K5 r rsh=1", "R2 n p r=1k tc=0.01,0.02", "D1 n p 1N4148\n.model 1N4148 d(is=1e-14,n=1.5)",
     "V2 n 0 DC 1 AC 1 0 SIN(0,1,1k)", "Q1 n p 0 2N3904 1.5\n.model 2N3904 npn(bf=100)", "B2 n 0 I=V(p)/4.7k+1e-3",
     "R2 n 4k7 1k\nR3 4k7 0 1k", "M1 n p 0 0 m w=1u l=0.5u\n.model m nmos(level=1 version=4.5.0)",
     ".param a=1e-3 b={2*a+1.5e-6}", "E2 n 0 POLY(2) (p,0) (n,0) 0 1 2.5m", "V2 n 0 PWL(0 0 1m 1 2m,3)",
     "B2 n 0 I=V(4k7)*1u\nR3 4k7 0 1k", "R2 n p 1kohm", "C2 n p 10uF"],
)  # fmt: skip
def test_good_values_pass(line: str) -> None:
    assert check_deck(deck(line)).doubts == ()


@pytest.mark.parametrize(
    ("line", "value", "read"),
    [
        (".param q=1M\nR2 n p {q}", "1M", "0.001, milli"),
        ("X2 n p r q=2M\n.subckt r a b q=1\nR1 a b {q}\n.ends", "2M", "0.002, milli"),
        ("X2 n p r\n.subckt r a b q=2M\nR1 a b {q}\n.ends", "2M", "0.002, milli"),
        ("V2 n 0 SIN(0 1 1M)", "1M", "0.001, milli"),
        ("V2 n 0 SIN(0 1 5MHz)", "5MHz", "0.005, milli"),
        ("I2 n 0 DC 1M", "1M", "0.001, milli"),
        ("B2 n 0 I=V(p)/1M", "1M", "0.001, milli"),
        ("E2 n 0 p 0 1M", "1M", "0.001, milli"),
        ("R2 n p {1M*2}", "1M", "0.001, milli"),
        ("S2 n p p 0 s\n.model s SW(roff=1MOhm)", "1MOhm", "0.001, milli"),
        (".ac dec 10 1 1M", "1M", "0.001, milli"),
        (".func f(x) {x*1M}", "1M", "0.001, milli"),
        ("C2 n 0 1e-12F", "1e-12F", "1e-27, femto"),
        (".param c=1F", "1F", "1e-15, femto"),
    ],
)
def test_a_capital_m_or_f_is_doubted_wherever_a_value_stands(line: str, value: str, read: str) -> None:
    (said,) = check_deck(deck(line)).doubts
    assert f"{value!r} is read as {read}" in said


@pytest.mark.parametrize(
    "line",
    ["R2 n 1M 1k\nR3 1M 0 1k", "V2 n 0 SIN(0 1 1MEG)", "R2 n p 1Meg", "C2 n 0 10PF", "B2 n 0 I=V(1M)*1u\nR3 1M 0 1k",
     "D2 n p 1N5F\n.model 1N5F D(is=1e-14)", "X2 n p A4M\n.subckt A4M a b\nR1 a b 1k\n.ends", "C2 n 0 1.5MF3\n"
     ".model 1.5MF3 c", ".model m D(IS=1E-14 N=1.5)"],
)  # fmt: skip
def test_no_other_capital_is(line: str) -> None:
    assert check_deck(deck(line)).doubts == ()


@pytest.mark.parametrize(
    "line",
    [".model m nmos version=4.5.0 level=14", ".model m nmos(version=4.5.0 level=14)", "X2 n p r version=1.2.3 q=1k\n"
     ".subckt r a b version=1.2.3 q=1\nR1 a b {q}\n.ends"],
)  # fmt: skip
def test_a_version_is_no_number_as_first_parameter_either(line: str) -> None:
    assert check_deck(deck(line)).doubts == ()


def test_numbers() -> None:
    assert read_as("1d3") == read_as("1E3") == read_as("1k") == 1000.0
    assert [is_number(text) for text in ("1meg", "1m5", "k")] == [True, False, False]


# -- powers and limit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ("B2 n 0 V=V(p)**3", 64.0),
        ("B2 n 0 V=V(p)^3", 64.0),
        ("B2 n 0 V=pow(V(p),3)", 64.0),
        ("B2 n 0 V=(V(p)-1)**3", 125.0),
        ("B2 n 0 V=pwr(V(p),2)", -16.0),
        ("E2 n 0 value={V(p)**3}", 64.0),
        (".func cube(x) {x**3}\nB2 n 0 V=cube(V(p))", 64.0),
        ("B2 n 0 V=(-4)**3", 64.0),
    ],
)
def test_a_power_of_what_may_be_negative_is_doubted(engine: Engine, lines: str, value: float) -> None:
    found, said = doubts(engine, lines)
    assert found == pytest.approx(value)
    assert len(said) == 1
    assert "of the base" in said[0]


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ("B2 n 0 V=V(p)**2", 16.0),
        ("B2 n 0 V=abs(V(p))**3", 64.0),
        ("B2 n 0 V=2**3", 8.0),
        ("B2 n 0 V=pwr(V(p),3)", -64.0),
        ("B2 n 0 V=exp(V(p))**0.5", 0.1353352832366127),
        (".param q=3\nB2 n 0 V=q**3", 27.0),
        ("B2 n 0 V=V(p)*V(p)*V(p)", -64.0),
    ],
)
def test_other_powers_are_not(engine: Engine, lines: str, value: float) -> None:
    found, said = doubts(engine, lines)
    assert found == pytest.approx(value)
    assert said == ()


@pytest.mark.parametrize(
    ("expression", "grouped", "value"),
    [
        ("{V(p)+2}*3", "(V(p)+2)*3", -6.0),
        ("V(p)*{q+1}", "V(p)*(q+1)", -12.0),
        ("{q+1}*V(p)", "(q+1)*V(p)", -12.0),
        ("V(p)/{2*q}", "V(p)/(2*q)", -1.0),
        ("-{q+1}", "-(q+1)", -3.0),
        ("'V(p)+2'*3", "(V(p)+2)*3", -6.0),
        ("{2*q}**2", "(2*q)**2", 16.0),
    ],
)
def test_braces_do_not_group(engine: Engine, expression: str, grouped: str, value: float) -> None:
    with pytest.raises(NetlistError, match=r"is no group.*; write \("):
        engine.run(deck(f".param q=2\nB2 n 0 V={expression}"))
    assert doubts(engine, f".param q=2\nB2 n 0 V={grouped}")[0] == pytest.approx(value)


@pytest.mark.parametrize(
    ("expression", "value"), [("{q}*V(p)", -8.0), ("{2*q}*V(p)", -16.0), ("{V(p)+q}", -2.0), ("V(p)+{q+1}", -1.0),
                              ("V(p)/{q}", -2.0), ("{q*(1+q)}*V(p)", -24.0), ("V(p)*{1e-3}", -4e-3)]
)  # fmt: skip
def test_braces_that_need_not_are_taken(engine: Engine, expression: str, value: float) -> None:
    assert doubts(engine, f".param q=2\nB2 n 0 V={expression}") == (pytest.approx(value), ())


def test_a_limit_of_three_arguments_is_refused_but_not_a_function_of_the_decks_own(engine: Engine) -> None:
    with pytest.raises(NetlistError, match=r"no clamp.*write min\(max"):
        engine.run(deck("B2 n 0 V=limit(V(p),-3,3)"))
    own = ".func limit(x,a,b) {min(max(x,a),b)}\nB2 n 0 V=limit(V(p),-3,3)"
    assert doubts(engine, own) == (-3.0, ())


@pytest.mark.parametrize("call", ["gauss(1,0.1,1)", "agauss(1,0.1,1)", "unif(1,0.1)", "aunif(1,0.1)"])
def test_a_value_that_the_deck_draws_is_the_same_in_each_run(engine: Engine, call: str) -> None:
    first, told = doubts(engine, f"B2 n 0 V={call}")
    assert (first, told) == (doubts(engine, f"B2 n 0 V={call}")[0], ())
    assert first != 1.0


def test_a_limit_of_two_arguments_is_doubted(engine: Engine) -> None:
    """As a value that it draws it is not told as such: whoever writes it wants a clamp."""
    value, (doubt,) = doubts(engine, "B2 n 0 V=limit(1,0.1)")
    assert value in (0.9, 1.1)
    assert "x + d or x - d in ngspice, by chance" in doubt


# -- pins that are nodes by their names ------------------------------------------------------------------------------


@pytest.mark.parametrize("pin", ["GND", "gnd", "gNd", "0"])
def test_a_pin_of_grounds_name_is_tied_to_ground(engine: Engine, pin: str) -> None:
    load = f".subckt load a {pin}\nR1 a {pin} 1k\n.ends\n"
    with pytest.raises(NetlistError, match=r"'p' at load's pin '(gnd|0)' is ignored"):
        engine.run(deck(f"{load}V2 m 0 1\nX1 m p load"))
    assert engine.run(deck(f"{load}V2 n 0 1\nX1 n GND load"))["v2#branch"][0] == pytest.approx(-2e-3)


def test_a_pin_of_a_global_nodes_name(engine: Engine) -> None:
    lines = ".global vdd\nV2 vdd 0 1\n.subckt load a vdd\nR1 a vdd 1k\n.ends\nX1 n {} load"
    with pytest.raises(NetlistError, match="takes that name for node vdd"):
        engine.run(deck(lines.format("p")))
    assert engine.run(deck(lines.format("vdd")))["n"][0] == pytest.approx(0.5)


NESTED = ".subckt outer a b\n.subckt load c {pin}\nR1 c {pin} 1k\n.ends\nX1 {nodes} load\n.ends\nX1 n p outer"


def test_pins_of_subcircuits_inside_subcircuits(engine: Engine) -> None:
    """The same rules hold there, and a name means the innermost subcircuit that has it."""
    with pytest.raises(NetlistError, match=r"line 9 .*'b' at load's pin 'gnd' is ignored"):
        engine.run(deck(NESTED.format(pin="GND", nodes="a b")))
    with pytest.raises(NetlistError, match=r"has 3 nodes, load has 2 pins"):
        engine.run(deck(NESTED.format(pin="d", nodes="a b b")))
    outside = ".subckt load a b c\nR1 a c 1k\nR2 b c 1k\n.ends\n"
    assert engine.run(deck(outside + NESTED.format(pin="d", nodes="a b")))["n"][0] == pytest.approx(-2.0)


# -- branches --------------------------------------------------------------------------------------------------------

IF = ".param c={c}\n.if (c==1)\n{one}\n.else\n{other}\n.endif\n{rest}"
LOAD = ".subckt load a b\nR1 a b {}\n.ends"
TAKEN = {  # what stands in the branches, what is done with it, and the branch that ngspice takes
    "subcircuits": ((LOAD.format("1k"), LOAD.format("3k")), "X1 n p load", 1),
    "parameters": ((".param r=1k", ".param r=3k"), "R2 n p {r}", 2),
    "functions": ((".func f(x) {x}", ".func f(x) {3*x}"), "R2 n p {f(1k)}", 2),
    "options": (("* none", ".options temp=227"), "R2 n p 1k tc=0.01", 2),
    "globals": (("* none", ".global p"), ".subckt load a\nR1 a p 1k\n.ends\nX1 n load\nRq q 0 1k", 2),
}
CHOSEN = {
    "elements": (("R2 n p 1k", "R2 n p 3k"), ""),
    "models": ((".model m r r=1k", ".model m r r=3k"), "R2 n p m"),
    "temperatures": (("* none", ".temp 227"), "R2 n p 1k tc=0.01"),
    "calls": (
        ("X1 n p l1", "X1 n p l3"),
        f"{LOAD.format('1k').replace('load', 'l1')}\n{LOAD.format('3k').replace('load', 'l3')}",
    ),
}


def in_plain_ngspice(lines: str, folder: Path) -> float:
    (folder / "t.cir").write_text(deck(lines).replace(".op", ".control\nop\nprint v(n)\n.endc"))
    said = subprocess.run(["ngspice", "-b", "t.cir"], cwd=folder, capture_output=True, text=True).stdout
    return float(said.split("v(n) =")[1].split()[0])


@pytest.mark.parametrize("what", TAKEN)
def test_a_branch_that_counts_whatever_the_condition_is_refused(what: str, tmp_path: Path) -> None:
    branches, rest, taken = TAKEN[what]
    texts = [IF.format(c=c, one=branches[0], other=branches[1], rest=rest) for c in (1, 2)]
    alone = in_plain_ngspice(f"{branches[taken - 1]}\n{rest}", tmp_path)
    for text in texts:  # ngspice itself takes the same one
        assert in_plain_ngspice(text, tmp_path) == pytest.approx(alone)
        with pytest.raises(NetlistError, match="whatever the condition"):
            check_deck(deck(text))
    (tmp_path / "m.lib").write_text(texts[0])
    with pytest.raises(NetlistError, match=r"m.lib line .*whatever the condition"):
        check_deck(deck(f".include {tmp_path}/m.lib"))


@pytest.mark.parametrize("what", CHOSEN)
def test_other_branches_follow_the_condition(engine: Engine, what: str) -> None:
    (one, other), rest = CHOSEN[what]
    found = [doubts(engine, IF.format(c=c, one=one, other=other, rest=rest)) for c in (1, 2)]
    assert found == [(pytest.approx(-2.0), ()), (pytest.approx(-1.0), ())]


def test_what_to_write_instead_does_it(engine: Engine) -> None:
    inside = ".subckt load a b c=1\n.if (c==1)\nR1 a b 1k\n.else\nR1 a b 3k\n.endif\n.ends\nX1 n p load c={c}"
    by_value = "R2 n p {{r}}\n.param c={c} r={{c==1 ? 1k : 3k}}"
    by_function = "R2 n p {{f(1k)}}\n.param c={c}\n.func f(x) {{c==1 ? x : 3*x}}"
    for text in (inside.replace("c={c}", "c={{c}}").replace("{{c}}", "{c}"), by_value, by_function):
        assert [doubts(engine, text.format(c=c)) for c in (1, 2)] == [
            (pytest.approx(-2.0), ()),
            (pytest.approx(-1.0), ()),
        ]


def test_a_file_that_a_branch_includes(tmp_path: Path) -> None:
    for name, r in (("one", "1k"), ("other", "3k")):
        (tmp_path / f"{name}.lib").write_text(f".param r={r}\n")
    text = IF.format(c=1, one=f".include {tmp_path}/one.lib", other=f".include {tmp_path}/other.lib", rest="R2 n p {r}")
    with pytest.raises(NetlistError, match=r"one.lib line 1 .*the last .param counts"):
        check_deck(deck(text))


def test_two_models_of_one_name_are_doubted(engine: Engine) -> None:
    """ngspice takes the first; the same line twice, as files that include the same one have it, is no matter."""
    found, (said,) = doubts(engine, "R2 n p m\n.model m r r=1k\n.model m r r=3k")
    assert found == pytest.approx(-2.0)
    assert "m has two .model lines" in said
    assert doubts(engine, "R2 n p m\n.model m r r=1k\n.model m r r=1k") == (pytest.approx(-2.0), ())


# -- other programs' words -------------------------------------------------------------------------------------------

FOREIGN = {
    "V2 n 0 PWL file=wave.txt": "PWL\\(t1 v1",
    "V2 n 0 wavefile=x.wav": "PWL\\(t1 v1",
    "V2 n 0 STIMULUS=x": "PWL\\(t1 v1",
    "V2 n 0 PWL(0 0 +.5m 1 +.4m 3)": "each time of PWL from the start",
    "V2 n 0 PWL(0 0 1m 1 0.5m 2)": "rising order",
    "V2 n 0 PWL repeat forever (0 0 1m 1) endrepeat": "r=0",
    "V2 n 0 DC {V(p)*2}": "B source",
    "I2 n 0 value={V(p)*2}": "B source",
    "V2 n 0 4 Rser=1k": "element of its own",
    "I2 n 0 1m load": "element of its own",
    "C2 n 0 1u Rser=1": "element of its own",
    "L2 n 0 1u Rpar=1": "element of its own",
    "R2 n 0 1k tol=1": "leave it out",
    "C2 n 0 1u V=50 Irms=0": "leave it out",
    "B2 n 0 V=IF(V(p)>0,1,2)": "condition \\? a : b",
    "B2 n 0 V=table(V(p),0,0,10,20)": "pwl\\(",
    "B2 n 0 V=idt(V(p))": "capacitor",
    "B2 n 0 V=delay(V(p),1m)": "lossless line",
    "B2 n 0 V=white(1)": "TRNOISE",
    "E2 n 0 LAPLACE {V(p)} = {1/(1+s*1e-3)}": "s_xfer",
    "E2 n 0 FREQ {V(p)} = (0,0,0)(1k,-3,-45)": "s_xfer",
    "A1 p 0 0 0 0 n 0 0 BUF": "LTspice's own device",
    "A1 0 n 0 0 0 p 0 0 OTA g=1m": "LTspice's own device",
    "U1 inv() dd 0 n p d_gate io": "dialect='pspice'",
    "S1 n 0 p 0 sw\n.model sw VSWITCH(Ron=1 Roff=1g Von=1 Voff=0)": "SW\\(Ron Roff Vt Vh\\)",
    "D1 n 0 d2\n.model d1 D(is=1e-14)\n.model d2 AKO:d1 (n=2)": "write the model out",
    ".step param q 1 2 1": "from Python",
    ".backanno": "leave it out",
    ".tran 5m": "\\.tran STEP STOP",
    ".tran 0 5m": "the step at which points are wanted",
    ".tran 1u 5m startup": "PULSE or PWL",
    ".dc Vp 0 1": "\\.dc SOURCE START STOP STEP",
    ".dc Vp 0 1 0": "a step other than 0",
    ".dc Vp 0 1 -0.1": "a step other than 0",
    ".temp 27 50": "once for each",
    ".lib models.lib": "begins a section",
}


@pytest.mark.parametrize("lines", FOREIGN)
def test_a_foreign_word_is_refused_with_what_to_write(lines: str) -> None:
    with pytest.raises(NetlistError, match=FOREIGN[lines]):
        check_deck(deck(lines))


@pytest.mark.parametrize("lines", [line for line in FOREIGN if line[0] in "ABERLCDVIU" and "models.lib" not in line])
def test_it_is_refused_in_an_included_file_too_with_file_and_line(lines: str, tmp_path: Path) -> None:
    (tmp_path / "m.lib").write_text(f"* remark\n{lines}\n")
    with pytest.raises(NetlistError, match=FOREIGN[lines]) as caught:
        check_deck(deck(f".include {tmp_path}/m.lib"))
    assert f"{tmp_path}/m.lib line " in str(caught.value)


@pytest.mark.parametrize("lines", [line for line in FOREIGN if line[0] in "BEASU" and "A1 0" not in line])
def test_ngspice_does_refuse_it(lines: str, tmp_path: Path) -> None:
    """Where this stops being so in a later ngspice, the rule has to go."""
    (tmp_path / "t.cir").write_text(deck(lines).replace(".op", ".control\nop\nprint v(n)\n.endc"))
    said = subprocess.run(["ngspice", "-b", "t.cir"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "v(n) =" not in said


def test_more_numbers_than_a_waveform_has_are_doubted(engine: Engine) -> None:
    assert "count of cycles" in doubts(engine, "V2 n 0 SIN(0 1 1k 0 0 0 2)")[1][0]


# -- included files --------------------------------------------------------------------------------------------------


def test_what_is_not_used_of_a_library_is_neither_checked_nor_given_to_ngspice(engine: Engine, tmp_path: Path) -> None:
    """Of 4001 subcircuits with parameters ngspice 39 ends itself; and a doubt about another part helps nobody."""
    other = "".join(f".subckt other{k} a b q=1\nR1 a b 4k7\n.ends\n" for k in range(4001))
    own = ".subckt mine a b\nX1 a b inner\n.ends\n.subckt inner a b\nR1 a b 1k\n.ends\n"
    (tmp_path / "big.lib").write_text(other + own)
    found = engine.run(deck(f".include {tmp_path}/big.lib\nX1 p n mine"))
    assert found["n"][0] == pytest.approx(-2.0)
    assert found.trust.doubts == ()
    with pytest.raises(NetlistError, match=r"big.lib line 2 = 'R1 a b 4k7'"):
        engine.run(deck(f".include {tmp_path}/big.lib\nX1 p n other0"))


def test_models_that_nothing_uses_are_neither(engine: Engine, tmp_path: Path) -> None:
    """The others are named by an element, in a subcircuit too, by a call's value, or as what a bin is one of."""
    (tmp_path / "big.lib").write_text(
        ".model bad d nosuch=1 is=1k5\n.model direct r r=1k\n.model Inside r r=1k\n.model handed r r=1k\n"
        ".model nch.1 nmos(level=14 lmin=0.1u lmax=10u wmin=0.1u wmax=100u)\n"
        ".subckt s a b kind=x\nR1 a m INSIDE\nR2 m b kind\n.ends\n"
    )
    line = f".include {tmp_path}/big.lib\nR2 n m direct\nX1 m p s kind=handed\nM1 n 0 0 0 nch w=1u l=1u"
    checked = check_deck(deck(line))
    assert [
        name for name in ("bad", "direct", "Inside", "handed", "nch.1") if f".model {name}" not in checked.text
    ] == ["bad"]
    assert checked.doubts == ()
    with pytest.raises(NetlistError, match=r"big.lib line 1 = .*ngspice reads '1k5'"):
        check_deck(deck(f"{line}\nD1 n p bad"))
    found = engine.run(deck(f".include {tmp_path}/big.lib\nR2 n p direct"))
    assert (found["n"][0], found.trust.doubts) == (pytest.approx(-2.0), ())


def test_the_doubts_about_one_file_are_few(tmp_path: Path) -> None:
    (tmp_path / "m.lib").write_text("".join(f"R{k + 2} n 0 1M\n" for k in range(50)))
    said = check_deck(deck(f".include {tmp_path}/m.lib")).doubts
    assert len(said) == 4
    assert said[-1].endswith("m.lib: 47 more lines are as suspicious")


def test_a_section_of_a_kit_that_takes_another_of_the_same_file(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "kit.lib").write_text(
        ".lib tt\n.lib kit.lib shared\n.param r=1k\n.endl\n.lib ss\n.param r=3k\n.endl\n"
        ".lib shared\n.subckt load a b\nR1 a b {r}\n.ends\n.endl\n"
    )
    assert engine.run(deck(f'.lib "{tmp_path}/kit.lib" TT\nX1 p n load'))["n"][0] == pytest.approx(-2.0)


def test_a_library_that_ends_with_end_may_be_included(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "m.lib").write_text("R2 n p 1k\n.END\n")
    circuit = f"t\nVp p 0 PWL(0 0 1m 1)\nR1 n 0 1k\n.include {tmp_path}/m.lib"
    assert engine.transient(circuit, stop_s=1e-3, max_step_s=1e-5, save=["v(n)"]).values["v(n)"][-1] == pytest.approx(
        0.5
    )


@pytest.mark.parametrize("folder", ["mueller", "müller", "a;b", "a $ b", "a b", "a//b"])
def test_any_folder(engine: Engine, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "m.lib").write_bytes("R2 n p 1k ; µ\n".encode("utf-16"))
    assert engine.run(deck(f'.include "{tmp_path}/{folder}/m.lib"'))["n"][0] == pytest.approx(-2.0)


# -- what a reader who tried to break it found -----------------------------------------------------------------------

DIVIDER = "t\nV1 in 0 4\nR1 in out 1k\n{}\n.op\n.end"


@pytest.mark.parametrize("title", [".include {}", ".lib {} tt", ".INC {}", ".option temp=127", ".end in the middle"])
def test_a_title_that_is_a_command_is_refused(engine: Engine, tmp_path: Path, title: str) -> None:
    """ngspice includes a file that the title names, and would run what no check has seen."""
    (tmp_path / "evil.lib").write_text(f"R3 out 0 1k\n.control\nshell touch {tmp_path}/ran\n.endc\n")
    with pytest.raises(NetlistError, match="stands in the place of the title"):
        engine.run(DIVIDER.replace("t", title.format(tmp_path / "evil.lib"), 1).format("R2 out 0 1k"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("title", ["R3 out 0 1k", "V1 in 0 5", "V1 in 0 DC 5", "C1 a b {c}", "V1 0 in SIN(0 1 1k)"])
def test_a_title_that_is_an_element_is_refused(title: str) -> None:
    with pytest.raises(NetlistError, match="first line as its title"):
        check_deck(f"{title}\nR1 in 0 1k\n.op\n.end")


TITLES = ("a divider", "Vier in 0 Sekunden", "RC low-pass of 1 kHz", ".title from PySpice", "", "* rc")


@pytest.mark.parametrize("title", TITLES)
def test_other_titles_are_not(title: str) -> None:
    check_deck(f"{title}\nV1 in 0 1\nR1 in 0 1k\n.op\n.end")


@pytest.mark.parametrize("word", [".control", ".controls", ".control_x", ".CONTROL", ".endcx", ".exec"])
def test_every_word_that_begins_a_command_block_is_refused(engine: Engine, tmp_path: Path, word: str) -> None:
    block = f"{word}\nshell touch {tmp_path}/ran {tmp_path}/a {tmp_path}/b {tmp_path}/c\n.endc"
    (tmp_path / "m.lib").write_text(f"{block}\nR2 out 0 1k\n")
    for lines in (f"R2 out 0 1k\n{block}", f".include {tmp_path}/m.lib"):
        with pytest.raises(NetlistError, match="runs commands"):
            engine.run(DIVIDER.format(lines))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "model",
    [".model p d_process (process_file={})", ".MODEL p D_PROCESS(process_file={})", ".model p\n+ d_cosim simulation={}",
     ".model p,d_process,process_file={}", '.model p "d_process" process_file={}', ".model p d_later(file={})"],
)  # fmt: skip
def test_a_model_that_may_run_a_program_is_refused(engine: Engine, tmp_path: Path, model: str) -> None:
    """ngspice 44 did run it from a deck given to the engine; even where nothing uses the model, it is no library's."""
    program = tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    placed = (
        "V2 c 0 PULSE(0 5 0 1n 1n 1u 2u)\nA0 [c] [k] adc\n.model adc adc_bridge\nA1 [k] k null [q] p\nR2 out 0 1k\n"
    )
    lines = model.format(f'"{program}"')
    (tmp_path / "m.lib").write_text(f".subckt unused a\n{lines}\nR1 a 0 1\n.ends\n")
    for text in (placed + lines, f"{placed}.include {tmp_path}/m.lib"):
        with pytest.raises(NetlistError, match="may run programs"):
            engine.run(DIVIDER.format(text))
    assert not (tmp_path / "ran").exists()


def test_digital_models_that_compute_only_are_taken() -> None:
    check_deck(DIVIDER.format("A1 [in] [k] adc\n.model adc adc_bridge\nA2 k q inv\n.model inv d_inverter\nR2 out 0 1k"))


def test_a_circuit_in_an_included_file_finds_its_subcircuits(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "circuit.net").write_text("V1 in 0 4\nX1 in out d\nR2 out 0 1k\n.include parts.lib\n")
    (tmp_path / "parts.lib").write_text(".subckt d a b\nX1 a b e\n.ends\n.subckt e a b\nR1 a b 3k\n.ends\n")
    assert engine.run(f"t\n.include {tmp_path}/circuit.net\n.op\n.end")["out"][0] == pytest.approx(1.0)


@pytest.mark.parametrize("line", ["R2 out,0 1k", "R2 (out 0) 1k", "R2 out, 0, 1k", "R2 out 0 1k m=1"])
def test_nodes_between_commas_and_parentheses(engine: Engine, line: str) -> None:
    assert engine.run(DIVIDER.format(line))["out"][0] == pytest.approx(2.0)


def test_a_path_with_two_slashes(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "m.lib").write_text("R2 out 0 1k\n")
    assert engine.run(DIVIDER.format(f".include {tmp_path}//m.lib // remark"))["out"][0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "text", [".subckt d a b\nR1 a b 1k\n", "R1 a b 1k\n.ends\n", ".subckt d a b\nR1 a b 1k\n.end\n"]
)
def test_a_subcircuit_of_two_files(tmp_path: Path, text: str) -> None:
    """ngspice takes files for pieces of one text; where such a piece is left out or read alone, nothing fits."""
    (tmp_path / "m.lib").write_text(text)
    with pytest.raises(NetlistError, match=r"m.lib line .*write the subcircuit in one file"):
        check_deck(DIVIDER.format(f".include {tmp_path}/m.lib\n.ends"))


def test_lines_that_go_on_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "m.lib").write_text("+ 1k\n")
    with pytest.raises(NetlistError, match=r"m.lib line 1.*continues a line of another file"):
        check_deck(DIVIDER.format(f"R2 out 0\n.include {tmp_path}/m.lib"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("R2 out 0 1k 1%", "second number"),
        ("R2 out 0 10k 0.25W", "second number"),
        ("C2 out 0 100n 50V", "second number"),
        ("L2 out in 100m 2A", "second number"),
        ("E2 out 0 in 0 1,5", "reads '1,5'"),
        ("G2 0 out in 0 0,001", "reads '0,001'"),
        ("D2 out 0 dm\n.model dm D(IS=1,5e-12 N=1)", "reads '1,5e-12'"),
        (".options temp=77,5", "reads '77,5'"),
        ("V2 out 0 SIN(0 2,5 1k)", "reads '2,5'"),
        (".param a=3k, b=1k", "ngspice hangs"),
        ("X2 out 0 d res=7k\n.subckt d a b r=1k\nR1 a b {r}\n.ends", "no parameter 'res'"),
        ("X2 out 0 d r=3 k\n.subckt d a b r=1k\nR1 a b {r}\n.ends", "'k' belongs to no parameter"),
    ],
)
def test_what_ngspice_would_take_otherwise_or_ignore(line: str, words: str) -> None:
    with pytest.raises(NetlistError, match=words):
        check_deck(DIVIDER.format(line))


@pytest.mark.parametrize(
    "line",
    ["V2 out 0 SIN(0, 2.5, 1k)", "V2 out 0 SIN(0,2.5,1k)", ".param a={min(1,2)} b=1k", "R2 out 0 rm 1k\n.model rm r",
     "X2 out 0 d r = { 1k / 2 } m=2\n.subckt d a b r=1k\nR1 a b {r}\n.ends", "C2 out 0 1u ic=0",
     "X2 out 0 d r=3k\n.subckt d a b\n.param r=1k\nR1 a b {r}\n.ends",
     "E2 out 0 POLY(2) in 0 out 0 0 1,5",
     "X2 out 0 d params: r=1k\n.subckt d a b params: r=1k\nR1 a b {r}\n.ends", "G2 out 0 in 0 1.5m"],
)  # fmt: skip
def test_what_looks_like_it_passes(line: str) -> None:
    check_deck(DIVIDER.format(line))


def test_what_follows_the_end_is_not_read(engine: Engine) -> None:
    assert engine.run(DIVIDER.format("R2 out 0 1k") + "\nRegards, R.\nR3 out 0 1k")["out"][0] == pytest.approx(2.0)


def test_a_sweep_without_step_is_refused_in_any_dialect() -> None:
    with pytest.raises(NetlistError, match="lacks a step"):
        check_deck("t\nV1 in 0 1\nR1 in 0 1\n.dc V1 0 1\n.end", letters="psa")


@pytest.mark.parametrize(
    "words", ["vdmosn ( vto=2 )", "vdmosp(vto=2)", "vdmos nchan ( vto=2 )", "vdmos pchan(vto=2)", "vdmos vto=2 (kp=1)"]
)
def test_models_of_power_transistors_that_hang_ngspice_are_refused(words: str) -> None:
    """Seen on ngspice 39: each is never read to its end. Those below it runs."""
    with pytest.raises(NetlistError, match="would never have read it"):
        check_deck(deck(f".model vm {words}\nM1 n p 0 vm"))


@pytest.mark.parametrize(
    "words", ["vdmos(nchan vto=2)", "VDMOS (vto=2 pchan)", "vdmos nchan vto=2", "vdmos", "vdmos(nchan) vto=2"]
)
def test_models_of_power_transistors_that_run_do(words: str, engine: Engine) -> None:
    assert doubts(engine, f".model vm {words}\nM1 n p 0 vm")[0] == pytest.approx(0.0, abs=1e-6)
