"""Every deck passes as shipped, and fails when its part is spoilt in any of many ways."""

import os
import re
import tempfile
from importlib.resources import files
from pathlib import Path

import pytest

from inmateria.errors import EngineError, InputError
from netlists.check import run_deck, run_deck_file
from netlists.reader import available, load_part

FOLDER = Path(str(files("netlists")))
PARTS = [pytest.param(name, level, id=f"{level}-{name}") for name, level in available()]


FIRST = {  # whose mutants are all run; of the others one in SAMPLE, all with INMATERIA_ALL_MUTANTS=1
    "difference", "dither_sum", "gain_offset", "hinge", "integrator", "limiter", "lowpass", "mixer", "squared_error",
    "track_hold", "transimpedance", "variable_gain",
}  # fmt: skip
SAMPLE = 1 if os.environ.get("INMATERIA_ALL_MUTANTS") == "1" else 4
COMMUTE = {  # parts whose first two pins may be exchanged
    ("ideal", "mixer"), ("ideal", "dither_sum"), ("ideal", "hinge"), ("ideal", "integrator"), ("macro", "integrator"),
    ("macro", "dither_sum"), ("macro", "hinge"), ("transistor", "mixer"), ("transistor", "integrator"),
    ("board", "dither_sum"),
}  # fmt: skip


def _body(text: str) -> tuple[str, str]:
    """Split a part into header and what ngspice reads."""
    start = text.index(".subckt")
    return text[:start], text[start:]


def _mutants() -> list[object]:
    """Wrong variants of every part: defaults, unwired parameters, dead or swapped pins, an empty part."""
    cases, others = [], []
    for name, level in available():
        part = load_part(name, level)
        header, body = _body(part.text)
        line = re.match(r".*(?:\n\+.*)*", body)[0]
        rest = body[len(line) + 1 :]
        variants = {}
        for parameter in part.parameters:
            wrong = parameter.default * 1.25 if parameter.default else 0.1
            variants[f"default-{parameter.name}"] = (
                re.sub(rf"\b{parameter.name}=\S+", f"{parameter.name}={wrong!r}", line) + "\n" + rest
            )
            literal = re.sub(
                r"\{[^}]*\}",
                lambda m, p=parameter: re.sub(rf"\b{p.name}\b", f"({p.default!r})", m[0]),
                rest,
            )
            assert literal != rest
            variants[f"unwired-{parameter.name}"] = line + "\n" + literal
        for pin in part.pins[:-1]:
            dead = re.sub(rf"V\({pin.name}\)", "0.123", rest)
            if dead != rest:
                variants[f"dead-{pin.name}"] = line + "\n" + dead
        first, second = part.pins[0].name, part.pins[1].name
        if (level, name) not in COMMUTE:
            swapped = re.sub(rf" {first} {second}\b", f" {second} {first}", line)
            assert swapped != line
            variants["swapped"] = swapped + "\n" + rest
        out = part.pins[-1].name
        variants["empty"] = line + f"\n.ends {part.subckt}\n"
        variants["renamed"] = body.replace(part.subckt, "someone_else")
        variants["singular"] = line + f"\nVzz {out} 0 0.7\nVzy {out} 0 0.6\n" + rest
        found = [pytest.param(name, level, header + v, id=f"{level}-{name}-{k}") for k, v in variants.items()]
        (cases if level == "ideal" and name in FIRST else others).extend(found)
    return cases + others[::SAMPLE]


SIGNS = [
    ("dither_sum", "V(bias)+V(signal)", "V(bias)-V(signal)"),
    ("dither_sum", "V(scale)*V(ref)", "V(ref)"),
    ("transimpedance", "Vsense in 0 0", "Vsense in 0 1m"),
    ("transimpedance", "Vsense {rf}", "Vsense -{rf}"),
    ("gain_offset", "V(in)-V(offset)", "V(in)+V(offset)"),
    ("gain_offset", "{gain}*V(in)-V(offset)", "{gain}*(V(in)-V(offset))"),
    ("difference", "a b {gain}", "b a {gain}"),
    ("squared_error", "V(error)*V(error)", "V(error)"),
    ("squared_error", "V(error)*V(error)", "V(error)*abs(V(error))"),
    ("hinge", "{margin}-V(side)", "{margin}+V(side)"),
    ("hinge", "ln(1+exp(min(V(x),30)))+max(V(x)-30,0)", "ln(1+exp(V(x)))"),
    ("hinge", "ln(1+exp(min(V(x),30)))+max(V(x)-30,0)", "max(V(x),0)"),
    ("mixer", "V(a)*V(b)", "abs(V(a)*V(b))"),
    ("mixer", "V(a)*V(b)", "(V(a)+1m)*V(b)"),
    ("lowpass", "Gin 0 x", "Gin x 0"),
    ("lowpass", "Gin 0 x in 0 1", "Gin 0 x in 0 1\nRload in 0 1e9"),
    ("lowpass", "ic=0", "ic=0.1"),
    ("lowpass", "Eout out 0 x 0 1", "Rout out x 1"),
    ("integrator", "Bin 0 x I={slope}", "Bin 0 x I=-{slope}"),
    ("integrator", "-(abs(V(x))", "+(abs(V(x))"),
    ("integrator", "? {gclamp}*(V(x)-(V(x) > 0 ? 0.5 : -0.5)) : 0", "? 0 : 0"),
    ("integrator", "abs(V(x)) > 0.5", "V(x) > 0.5"),
    ("integrator", "ic={x0}", "ic=0"),
    ("integrator", "+(time > 0 ? 0 : I(Vservo))", ""),
    ("integrator", "time > 0 ? 0 : I(Vservo)", "I(Vservo)"),
    ("integrator", "Cx x 0 1", "Rleak x 0 100\nCx x 0 1"),
    ("limiter", "tanh({slope}*V(in))", "({slope}*V(in))"),
    ("limiter", "tanh({slope}*V(in))", "atan({slope}*V(in))"),
    ("variable_gain", "exp(V(control)/{vscale})", "(1+V(control)/{vscale})"),
    ("variable_gain", "exp(V(control)/{vscale})", "exp(-V(control)/{vscale})"),
    ("track_hold", "V(in)-V(x)", "V(x)-V(in)"),
    ("track_hold", "max(V(gate),0)", "V(gate)"),
    ("track_hold", "max(V(gate),0)", "(V(gate) > 0.1 ? 1 : 0)"),
    ("track_hold", "Rleak x 0 1e12", "Rleak x 0 1e4"),
    ("track_hold", "Rleak x 0 1e12", "Rleak x 0 1e12\nRload in 0 1e9"),
]
ELSEWHERE = [  # the same at other levels, and for the parts that came later
    ("mixer", "macro", "(V(a)+{xos})*(V(b)+{yos})", "abs((V(a)+{xos})*(V(b)+{yos}))"),
    ("mixer", "macro", "abs(k)*noise", "noise"),
    ("opamp_tl072", "macro", "V(n)-V(inn)", "V(inn)-V(n)"),
    ("opamp_op07", "macro", "tanh({gm}*(V(n)-V(inn)))", "({gm}*(V(n)-V(inn)))"),
    ("output_stage", "macro", "{top}*sgn(V(drive))", "{top}"),
    ("transimpedance", "macro", "R2 s out 10k", "R2 s out 10.1k"),
    ("transimpedance", "macro", "X2 0 s out", "X2 s 0 out"),
    ("integrator", "macro", "-{gin}*V(in)", "{gin}*V(in)"),
    ("integrator", "macro", "+min(V(out)-{vmin},0)", ""),
    ("lowpass", "macro", "X1 x out out", "X1 out x out"),
    ("track_hold", "macro", "max(V(gate),0)", "V(gate)"),
    ("switching_mixer", "ideal", "tanh(V(b)/{knee})", "V(b)/{knee}"),
    ("oscillator", "ideal", "{phase+90}", "{phase-90}"),
    ("oscillator", "macro", "sin(3*({w}*time+{u1}))", "sin(2*({w}*time+{u1}))"),
    ("lowpass_sallen_key", "ideal", "C1 x out", "C1 x 0"),
    ("absolute_error", "ideal", "V(error)*V(error)", "V(error)"),
    ("device_leads", "ideal", "C2 out neighbour", "C2 in neighbour"),
    ("sigmoid", "ideal", "tanh({slope}*V(in)", "atan({slope}*V(in)"),
    ("sigmoid", "transistor", "Eout out g vcc c1", "Eout out g vcc c2"),
    ("sigmoid", "transistor", "Ein b 0 in m", "Ein b 0 m in"),
    ("blanked_highpass", "ideal", "(1-V(blank))*", ""),
    ("blanked_highpass", "ideal", "Cc c 0 {tau} ic=0", "Cc c 0 {tau} ic=0.1"),
    ("blanked_highpass", "macro", "max(V(blank),0)", "V(blank)"),
    ("mixer", "transistor", "Q5 o1 p2 c1", "Q5 o1 p1 c1"),
    ("limiter", "transistor", "Eout out 0 c2 c1", "Eout out 0 c1 c2"),
    ("integrator", "transistor", "Q5 x n1 n2", "Q5 x n2 n1"),
    ("rlc_layer", "transistor", "L1 a b {l}", "L1 a 0 {l}"),
    ("rlc_layer", "transistor", "C1 b 0", "C1 a 0"),
    ("opamp_op07", "board", "V(n)-V(inn)+", "V(inn)-V(n)+"),
    (
        "opamp_op07",
        "board",
        "tanh({gm}*(V(n)-V(inn)+{psr}*(V(vp)-V(vn)-30)))",
        "({gm}*(V(n)-V(inn)+{psr}*(V(vp)-V(vn)-30)))",
    ),
    ("opamp_op07", "board", "V(vp)-V(vn)-30", "V(vp)+V(vn)-30"),
    ("opamp_op07", "board", "V(vp)-V(vn)-30", "V(vp)-V(vn)"),
    ("opamp_op07", "board", "-max(V(vn)+{headroom}-V(x),0)*(V(vn)+{headroom}-V(x))", ""),
    ("opamp_op07", "board", "In inn 0", "In 0 inn"),
    ("opamp_op07", "board", "Bp vp 0", "Bp 0 vp"),
    (
        "opamp_op07",
        "board",
        "Bn 0 vn I={iq}+max(min({gout}*(V(out)-V(x))",
        "Bn 0 vn I={iq}+max(min({gout}*(V(x)-V(out))",
    ),
    ("opamp_tl072", "board", "Io inp n", "Io n inp"),
    ("opamp_tl072", "board", "Ip inp 0", "Ip 0 inp"),
    ("opamp_tl072", "board", "+{psr}*", "-{psr}*"),
    ("opamp_tl072", "board", "Bn 0 vn", "Bn 0 vp"),
    ("opamp_tl072", "board", "Bp vp 0 I={iq}+max(min({gout}*(V(x)-V(out)),{imax}),0)", "Bp vp 0 {iq}"),
    ("opamp_tl072", "board", "ic={vstart}", "ic=0"),
    ("multiplier_ad633", "board", "(V(x1,x2)+{xos})", "(V(x2,x1)+{xos})"),
    ("multiplier_ad633", "board", "(V(y1,y2)+{yos})", "(V(y1)+{yos})"),
    ("multiplier_ad633", "board", "(V(x1,x2)+{xos})*(V(y1,y2)+{yos})", "abs((V(x1,x2)+{xos})*(V(y1,y2)+{yos}))"),
    ("multiplier_ad633", "board", "-{kx}*V(x1,x2)*V(x1,x2)", "+{kx}*V(x1,x2)*V(x1,x2)"),
    ("multiplier_ad633", "board", "-{ky}*V(y1,y2)*V(y1,y2)", ""),
    ("multiplier_ad633", "board", "+{xfeed}*V(x1,x2)", "-{xfeed}*V(x1,x2)"),
    ("multiplier_ad633", "board", "+V(n)+V(z)", "+V(n)-V(z)"),
    ("multiplier_ad633", "board", "-max(V(vn)+{headroom}-V(m),0)", "+max(V(vn)+{headroom}-V(m),0)"),
    ("multiplier_ad633", "board", "Io 0 n", "Io n 0"),
    ("multiplier_ad633", "board", "Bn 0 vn I={iq}+", "Bn 0 vn I="),
    ("switch_dg419", "board", "exp({depth}*(1-V(y)))", "exp({depth}*V(y))"),
    ("switch_dg419", "board", "I=V(d,nc)", "I=V(nc,d)"),
    ("switch_dg419", "board", "Cq y d", "Cq y 0"),
    ("switch_dg419", "board", "Cq y d {charge}", "Cq y d {charge}\nCd d 0 100p"),
    ("switch_dg419", "board", "Ileak d vn", "Ileak vn d"),
    ("switch_dg419", "board", "Ileak d vn", "Ileak d 0"),
    ("switch_dg419", "board", "Iq vp vn", "Iq vn vp"),
    ("vca_2180", "board", "Bo out 0", "Bo 0 out"),
    ("vca_2180", "board", "V(ec)/", "-V(ec)/"),
    ("vca_2180", "board", "(temper+273.15)", "(300.15)"),
    ("vca_2180", "board", "(temper+273.15)),10)", "(temper+273.15)),11)"),
    ("vca_2180", "board", "max(V(out)-V(vp)+1,0)-max(V(vn)+1-V(out),0)", "max(V(out)-V(vp)+1,0)"),
    ("vca_2180", "board", "max(V(out)-V(vp)+1,0)-max(V(vn)+1-V(out),0)", "max(V(out)-14,0)-max(V(vn)+1-V(out),0)"),
    ("vca_2180", "board", "+ 0.01),-0.01)", "+ 0.01),-0.02)"),
    ("vca_2180", "board", "+I(Vn)", ""),
    ("vca_2180", "board", "Vos v 0 {vos}", "Vos v 0 -{vos}"),
    ("vca_2180", "board", "Iq vp vn", "Iq vn vp"),
    ("clamp_bav199", "board", "is=2e-13", "is=2.5e-13"),
    ("clamp_bav199", "board", "rs=1", "rs=1.25"),
    ("clamp_bav199", "board", "xti=3", "xti=2"),
    ("clamp_bav199", "board", "eg=1.11", "eg=1.2"),
    ("diode_1n4148", "board", "n=1.75", "n=1.8"),
    ("diode_1n4148", "board", "xti=3", "xti=3.75"),
    ("diode_1n4148", "board", "rs=0.6", "rs=0.6 bv=5"),
    ("transimpedance", "board", "R2 s out 10k", "R2 s out 10.1k"),
    ("transimpedance", "board", "X2 0 s", "X2 s 0"),
    ("transimpedance", "board", "Cf in m", "Cf in 0"),
    ("lowpass", "board", "X1 x out vp vn out", "X1 out x vp vn out"),
    ("lowpass", "board", "C1 x 0", "C1 x out"),
    ("lowpass", "board", "ic=0", "ic=0.1"),
    ("difference", "board", "R2 p 0 {r2}", "R2 p 0 {r}"),
    ("difference", "board", "{e96(gain*r)}", "{gain*r}"),
    ("difference", "board", "X1 p n vp vn", "X1 p n vn vp"),
    ("mixer", "board", "X1 a 0 b 0 z", "X1 0 a b 0 z"),
    ("mixer", "board", "X1 a 0 b 0 z", "X1 a 0 b 0 0"),
    ("mixer", "board", "{e96(max(1e4*(k-1),1e-3))}", "{max(1e4*(k-1),1e-3)}"),
    ("mixer", "board", "R2 out z 10k", "R2 out z 10.1k"),
    ("switching_mixer", "board", "Xs a 0 p b", "Xs 0 a p b"),
    ("switching_mixer", "board", "X1 p n", "X1 n p"),
    ("switching_mixer", "board", "R1 a n 10k", "R1 a n 10.1k"),
    ("squared_error", "board", "Xs w 0 d gate", "Xs 0 w d gate"),
    ("squared_error", "board", "X1 error 0 error 0 z", "X1 error 0 0 error z"),
    ("squared_error", "board", "X2 d out vp", "X2 out d vp"),
    ("squared_error", "board", "{e96(max(1e4*(10/vscale-1),1e-3))}", "{max(1e4*(10/vscale-1),1e-3)}"),
    ("limiter", "board", "XD2 d s", "XD2 s d"),
    ("limiter", "board", "XD1 s d diode_1n4148_board\n", ""),
    ("limiter", "board", "R3 d t 100k", "R3 d t 101k"),
    ("limiter", "board", "X1 in n", "X1 n in"),
    ("dither_sum", "board", "X1 scale 0 ref 0 0", "X1 0 scale ref 0 0"),
    ("dither_sum", "board", "R2 signal s 10k", "R2 signal s 10.1k"),
    ("dither_sum", "board", "R5 a t 10k", "R5 a t 10.1k"),
    ("dither_sum", "board", "e96(1e3/amplitude)*", "1e3/amplitude*"),
    ("variable_gain", "board", "R3 ec 0 200", "R3 ec 0 205"),
    ("variable_gain", "board", "R4 o out 20k", "R4 o out 20.5k"),
    ("variable_gain", "board", "X2 0 o vp", "X2 o 0 vp"),
    ("integrator", "board", "Xs s 0 d gate", "Xs 0 s d gate"),
    ("integrator", "board", "XD1 u s", "XD1 s u"),
    ("integrator", "board", "XD2 s l clamp_bav199_board\n", ""),
    ("integrator", "board", "R5 l vp", "R5 l vn"),
    ("integrator", "board", "ic={v0}", "ic=0"),
    ("integrator", "board", "Cparabsorb b s", "Cparabsorb b 0"),
    ("integrator", "board", "V(out)-V(s)-{v0}", "V(out)-{v0}"),
    ("rails", "board", "Vn 0 n", "Vn n 0"),
    ("rails", "board", "Rn n vn", "Rn n vp"),
    ("rails", "board", "Cn 0 vn {c}", "Cn 0 vp {c}"),
    ("rails", "board", "Cp vp 0 {c} ic={vsupply}", "Cp vp 0 {c} ic=0"),
    ("inverter", "board", "X1 0 s vp vn out", "X1 s 0 vp vn out"),
    ("inverter", "board", "R1 in s {r}", "R1 in s {r*(1+tolerance)}"),
    ("inverter", "board", "X1 0 s vp vn out", "X1 0 s vn vp out"),
    ("inverter", "board", "R2 s out {r*(1+tolerance)}", "R2 s out {r*(1+tolerance)}\nRload in 0 1meg"),
]


@pytest.mark.parametrize(("name", "level"), PARTS)
def test_deck_passes(name, level):
    result = run_deck(name, level)
    assert result.passed, result.output
    assert "PASS" in result.output
    assert (result.name, result.level) == (name, level)


def _span(name: str, level: str) -> tuple[float, float]:
    """Between which temperatures a part's figures hold, degC."""
    stated = {one.name: one.default - 273.15 for one in load_part(name, level).limits}
    return round(stated.get("coldest", -40.0), 9), round(stated.get("hottest", 125.0), 9)


@pytest.mark.parametrize(("name", "level"), PARTS)
def test_deck_passes_over_temperature(name, level):
    """From -40 to 125 degC, or between the temperatures that the header states."""
    for celsius in _span(name, level):
        result = run_deck(name, level, celsius=celsius)
        assert result.passed, result.output
        assert f"TEMP = {celsius:f}" in result.output


def test_headers_name_the_parts_whose_figures_end_before_125_degC_or_below_27():
    """All of transistors: what they are biased by goes with V_BE, what they leak with exp(-1.1 V/V_T)."""
    ends = {(level, name): _span(name, level) for name, level in available()}
    found = {place: span for place, span in ends.items() if span != (-40.0, 125.0)}
    assert found == {
        ("transistor", "integrator"): (0.0, 110.0),
        ("transistor", "limiter"): (-10.0, 125.0),
        ("transistor", "mixer"): (-40.0, 110.0),
        ("transistor", "sigmoid"): (-20.0, 125.0),
    }
    for (level, name), (coldest, hottest) in found.items():
        for celsius in {coldest - 25.0} if coldest > -40.0 else {hottest + 15.0}:
            assert not run_deck(name, level, celsius=celsius).passed  # the end is one


def test_no_temperature():
    with pytest.raises(InputError, match="celsius"):
        run_deck("mixer", celsius=-300.0)


def _run_spoilt(tmp_path, name, level, text):
    for used in load_part(name, level).uses:
        (tmp_path / f"{used}.lib").write_text(load_part(used, level).text)
    (tmp_path / f"{name}.lib").write_text(text)
    deck = tmp_path / f"{name}.cir"
    deck.write_text((FOLDER / level / f"{name}.cir").read_text())
    return run_deck_file(deck)


@pytest.mark.parametrize(("name", "level", "text"), _mutants())
def test_deck_fails_on_mutant(tmp_path, name, level, text):
    result = _run_spoilt(tmp_path, name, level, text)
    assert not result.passed, result.output
    assert "PASS" not in result.output


@pytest.mark.parametrize(("name", "old", "new"), SIGNS)
def test_deck_fails_on_wrong_equation(tmp_path, name, old, new):
    header, body = _body(load_part(name).text)
    assert body.count(old) == 1
    result = _run_spoilt(tmp_path, name, "ideal", header + body.replace(old, new))
    assert not result.passed, result.output


@pytest.mark.parametrize(("name", "level", "old", "new"), ELSEWHERE)
def test_deck_fails_on_wrong_circuit(tmp_path, name, level, old, new):
    header, body = _body(load_part(name, level).text)
    assert body.count(old) == 1
    result = _run_spoilt(tmp_path, name, level, header + body.replace(old, new))
    assert not result.passed, result.output


@pytest.mark.parametrize(("name", "level"), PARTS)
def test_deck_fails_without_its_part(tmp_path, name, level):
    deck = tmp_path / f"{name}.cir"
    deck.write_text((FOLDER / level / f"{name}.cir").read_text())
    assert run_deck_file(deck).exit_code > 0


def test_a_temporary_folder_that_takes_no_file_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(EngineError, match=r"TMPDIR = .*gone'?: takes no files"):
        run_deck("integrator")
