"""The reader: headers as data, instances, numbers, and what it says about bad input."""

import math
import re
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from circuits.parts.levels import LOOP_PARTS
from inmateria.errors import EngineError, InputError, NetlistError
from netlists.check import run_deck, run_deck_file
from netlists.reader import available, library, load_part, parse_part
from netlists.spice_numbers import format_number, parse_number

FOLDER = Path(str(files("netlists")))
INTERFACES = {  # pins in order and parameters: other rooms and users' files rely on them
    "dither_sum": ("bias signal ref scale out", {"amplitude": 0.01}),
    "transimpedance": ("in out", {"rf": 1e7}),
    "gain_offset": ("in offset out", {"gain": 1.0}),
    "limiter": ("in out", {"gain": 1.0, "vlimit": 1.0}),
    "variable_gain": ("in control out", {"gain": 1.0, "vscale": 1.0}),
    "difference": ("a b out", {"gain": 1.0}),
    "squared_error": ("error gate out", {"vscale": 1.0}),
    "hinge": ("error side gate out", {"margin": 1.0, "knee": 0.05}),
    "mixer": ("a b out", {"gain": 1.0, "vscale": 1.0}),
    "lowpass": ("in out", {"tau": 1e-3}),
    "integrator": (
        "in gate out",
        {"rate": 1.0, "vmin": -1.0, "vmax": 1.0, "v0": 0.0, "tclamp": 1e-6},
    ),
    "track_hold": ("in gate out", {"tau": 1e-5}),
    "device_leads": ("in out neighbour", {"r": 50.0, "c": 1e-10, "cm": 1e-12}),
    "oscillator": ("sine cosine", {"frequency": 1e3, "amplitude": 1.0, "phase": 0.0}),
    "switching_mixer": ("a b out", {"gain": 1.0, "knee": 1e-3}),
    "lowpass_sallen_key": ("in out", {"f0": 1e3, "q": 0.5}),
    "absolute_error": ("error gate out", {"gain": 1.0, "knee": 0.01}),
    "blanked_highpass": ("in blank out", {"gain": 1.0, "tau": 1e-3, "charge": 1e-5}),
    "sigmoid": ("in out", {"gain": 1.0, "height": 1.0, "middle": 0.0, "bottom": 0.0}),
}
HELPERS = {
    "opamp_tl072": "inp inn out", "opamp_op07": "inp inn out", "output_stage": "drive out", "rlc_layer": "in out",
    "comparator": "inp inn out", "analog_switch": "a b control",
}  # fmt: skip
COMPONENTS = {  # of level board: what one buys, and the inverter before what only inverts
    "opamp_tl072": "inp inn vp vn out", "opamp_op07": "inp inn vp vn out", "multiplier_ad633": "x1 x2 y1 y2 z vp vn w",
    "switch_dg419": "no nc d control vp vn", "vca_2180": "in ec out vp vn", "clamp_bav199": "a k",
    "diode_1n4148": "a k", "rails": "vp vn", "inverter": "in vp vn out",
}  # fmt: skip
BOARD = (
    "difference", "dither_sum", "integrator", "limiter", "lowpass", "mixer", "squared_error", "switching_mixer",
    "transimpedance", "variable_gain",
)  # fmt: skip
TRANSISTOR = ("integrator", "limiter", "mixer", "rlc_layer", "sigmoid")
WITHOUT_MACRO = ("rlc_layer", "sigmoid")
OTHER_DEFAULTS = {("macro", "integrator", "tclamp"), ("macro", "switching_mixer", "knee"),
                  ("transistor", "integrator", "tclamp"),
                  ("board", "integrator", "rate")}  # fmt: skip
MISSING = {
    ("board", "integrator", "tclamp"),
    ("board", "switching_mixer", "knee"),
}  # diodes and a switch set them there
FIGURES = {  # op-amp figures that stand in other parts' files, times the noise gain there
    "difference": ("opamp_op07", {"vos": 1, "noise": 1, "gbw": 1}),
    "gain_offset": ("opamp_op07", {"vos": 1, "noise": 1, "gbw": 1}),
    "dither_sum": ("opamp_op07", {"offset vos": 4, "noise": 4, "bandwidth gbw": 0.25}),
    "limiter": ("opamp_op07", {"offset vos": 2, "noise": 2, "bandwidth gbw": 0.5}),
    "squared_error": ("opamp_op07", {"vos": 1}),
    "transimpedance": ("opamp_tl072", {"vos": 1, "ibias": 1}),
    "lowpass": ("opamp_op07", {"vos": 1, "ibias": 1}),
    "blanked_highpass": ("opamp_op07", {"vos": 1, "ibias": 1, "noise": 1, "gbw": 1}),
    "lowpass_sallen_key": ("opamp_tl072", {"vos": 1, "ibias": 1}),
    "integrator": ("opamp_op07", {"vos": 1, "ibias": 1}),
    "hinge": ("opamp_tl072", {"offset vos": 1, "vos": 2, "noise": 2, "bandwidth gbw": 0.5}),
    "absolute_error": ("opamp_tl072", {"offset vos": 1, "vos": 1, "noise": 2, "bandwidth gbw": 0.5}),
}
BOARD_FIGURES = {  # figures of components that stand in the files of circuits made of them
    "difference": {"opamp_op07": ("vos",)},
    "dither_sum": {"multiplier_ad633": ("xos", "yos"), "opamp_op07": ("vos",)},
    "integrator": {"opamp_op07": ("vos", "ibias")},
    "inverter": {"opamp_op07": ("vos",)},
    "limiter": {"opamp_op07": ("vos",)},
    "lowpass": {"opamp_op07": ("vos", "ibias")},
    "mixer": {"multiplier_ad633": ("xos", "yos", "offset")},
    "squared_error": {"multiplier_ad633": ("xos", "yos", "offset"), "opamp_op07": ("vos",)},
    "switching_mixer": {"opamp_op07": ("vos",)},
    "transimpedance": {"opamp_tl072": ("vos", "ibias")},
    "variable_gain": {"vca_2180": ("egain", "eslope", "ios"), "opamp_op07": ("vos",)},
}
GOOD = """* part: amp
* level: mine
* summary: An amplifier,
*    in two lines.
* equation: V(out) = g * V(in)
* pin in: input, V
* pin out: output, V
* param g [V/V] = 1e3 : gain: of the input
* param rin [ohm] = 1e6 : input resistance
* note: first
* note: second
* source: definition

.subckt helper a
R1 a 0 1
.ends
.SUBCKT amp_mine in out
+ params: g = 1k
+ rin={1meg}
* a remark, not a header: entry
E1 out 0 in 0 {g}
R1 in 0 {rin}
.ends
"""


@pytest.mark.parametrize("name", sorted(INTERFACES))
def test_interface_is_the_agreed_one(name):
    part = load_part(name, "ideal")
    pins, defaults = INTERFACES[name]
    assert part.subckt == f"{name}_ideal"
    assert [pin.name for pin in part.pins] == pins.split()
    assert part.defaults == defaults


def test_available_lists_every_file_and_each_has_a_deck():
    wanted = [(name, "ideal") for name in INTERFACES]
    macro = [name for name in (*INTERFACES, *HELPERS) if name not in WITHOUT_MACRO]
    wanted += [(name, "macro") for name in macro] + [(name, "transistor") for name in TRANSISTOR]
    wanted += [(name, "board") for name in (*BOARD, *COMPONENTS)]
    assert available() == tuple(sorted(wanted, key=lambda part: (part[1], part[0])))
    for name, level in available():
        assert (FOLDER / level / f"{name}.cir").is_file()


@pytest.mark.parametrize(("name", "level"), [part for part in available() if part[1] != "ideal"])
def test_other_levels_take_the_ideal_parts_place(name, level):
    """With the same pins; at level board the supplies are pins before the last one."""
    part = load_part(name, level)
    assert part.subckt == f"{name}_{level}"
    helpers = COMPONENTS if level == "board" else HELPERS
    if name in helpers:
        assert [pin.name for pin in part.pins] == helpers[name].split()
        return
    pins, known = INTERFACES[name]
    *before, last = pins.split()
    assert [pin.name for pin in part.pins] == [*before, *(["vp", "vn"] if level == "board" else []), last]
    defaults = {key: value for key, value in known.items() if (level, name, key) not in MISSING}
    assert list(part.defaults)[: len(defaults)] == list(defaults)
    for key, value in defaults.items():
        if (level, name, key) not in OTHER_DEFAULTS:
            assert part.defaults[key] == value


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_op_amp_figures_agree_with_the_op_amp(name):
    opamp, figures = FIGURES[name]
    for key, times in figures.items():
        here, there = (key.split() * 2)[:2]
        assert load_part(name, "macro").defaults[here] == pytest.approx(
            times * load_part(opamp, "macro").defaults[there], rel=1e-9
        )
        for stated in ("drifts", "maxima"):  # what the op-amp's data sheet says of it, its user says too
            ours, its = (
                {one.name: one.default for one in getattr(load_part(n, "macro"), stated)} for n in (name, opamp)
            )
            assert ours.get(here, 0.0) == pytest.approx(times * its.get(there, 0.0), rel=1e-9)


@pytest.mark.parametrize("name", sorted(BOARD_FIGURES))
def test_figures_of_a_boards_circuit_are_those_of_its_components(name):
    part = load_part(name, "board")
    for component, figures in BOARD_FIGURES[name].items():
        used = load_part(component, "board")
        for figure in figures:
            assert part.defaults[figure] == used.defaults[figure]
            for stated in ("drifts", "maxima"):
                ours, its = ({one.name: one.default for one in getattr(p, stated)} for p in (part, used))
                assert ours.get(figure) == its.get(figure)


@pytest.mark.parametrize("name", [*BOARD, "inverter"])
def test_a_boards_circuit_is_limited_by_the_narrowest_of_its_components(name):
    part = load_part(name, "board")
    used = [{one.name: one.default for one in load_part(n, "board").limits} for n in part.uses]
    limits = {one.name: one.default for one in part.limits}
    for limit, narrowest in (("supply_min", max), ("supply_max", min), ("input_headroom", max)):
        assert limits[limit] == narrowest(of[limit] for of in used if limit in of)
    for limit in ("current", "load", "slew"):  # of the component at its output, which is one of them
        assert limits[limit] in [of[limit] for of in used if limit in of]


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_what_one_buys_is_named_with_maker_package_and_class(name):
    part = load_part(name, "board")
    if name == "inverter":  # a circuit, as the blocks are
        assert part.component == ""
        assert not any(load_part(block, "board").component for block in BOARD)
        return
    number, maker, package, price = (text.strip() for text in part.component.split(";"))
    assert number
    assert maker
    assert package
    assert re.fullmatch("class [A-D]", price)


def test_offsets_of_the_loops_macro_parts_drift_and_all_amplifiers_have_limits():
    macro = {name for name, level in available() if level == "macro"}
    for part in (load_part(name, "macro") for name in LOOP_PARTS if name in macro - {"device_leads"}):
        drifting = {"vos", "offset", "xos", "yos", "ios", "ron"} & set(part.defaults)
        assert drifting == {one.name for one in part.drifts}
        limits = {one.name: one.default for one in part.limits}
        assert set(limits) == {"supply_min", "supply_max", "input_headroom", "current", "load"} | (
            {"slew"} if part.name != "variable_gain" else set()
        )
        assert part.headroom < limits["supply_min"] < 15.0 < limits["supply_max"]  # type: ignore[operator]


def test_parts_place_exactly_the_parts_they_name():
    for name, level in available():
        part = load_part(name, level)
        placed = set(re.findall(rf"\b(\w+)_{level}\b", part.text[part.text.index(".subckt") :])) - {name}
        assert placed == set(part.uses)


@pytest.mark.parametrize(("name", "level"), available())
def test_header_describes_everything(name, level):
    part = load_part(name, level)
    for text in (part.summary, part.equation, part.source, *part.notes):
        assert len(text) > 9
    assert all(pin.description for pin in part.pins)
    assert all(parameter.unit and parameter.description for parameter in part.parameters)
    for parameter in part.parameters:  # each default stands in the file once more, in the .subckt line
        assert re.search(rf"^\.subckt .*(\n\+.*)?\b{parameter.name}=", part.text, re.MULTILINE)


@pytest.mark.parametrize(("name", "level"), available())
def test_expressions_in_b_sources_hold_one_name_per_brace(name, level):
    # ngspice 39 drops the braces of an expression there: {a-b}*c is read as a-b*c
    lines = [line for line in load_part(name, level).text.splitlines() if line.startswith("B")]
    for braces in re.findall(r"\{([^}]*)\}", " ".join(lines)):
        assert re.fullmatch(r"\w+", braces)


def test_part_is_read_once():
    assert load_part("mixer", "ideal") is load_part("mixer", "ideal")


def test_parse_of_a_users_part():
    part = parse_part(GOOD, "amp.lib")
    assert (part.name, part.level, part.subckt) == ("amp", "mine", "amp_mine")
    assert part.summary == "An amplifier, in two lines."
    assert part.notes == ("first", "second")
    assert part.parameters[0].unit == "V/V"
    assert part.parameters[0].description == "gain: of the input"
    assert part.defaults == {"g": 1e3, "rin": 1e6}
    assert part.text == GOOD
    assert part.component == ""
    bought = parse_part(GOOD.replace("* note: first", "* component: LM358P; any; DIP-8; class A"), "amp.lib")
    assert bought.component == "LM358P; any; DIP-8; class A"


def test_limits_drifts_and_largest_values_are_read():
    more = "* limit load [ohm] = 2e3 : least\n* drift rin [ohm/K] = 3 : typical\n* most rin [ohm] = 2e6 : data sheet\n"
    part = parse_part(GOOD.replace("* note: first\n", f"{more}* note: first\n"), "amp.lib")
    told = [[(one.name, one.default, one.unit) for one in found] for found in (part.limits, part.drifts, part.maxima)]
    assert told == [[("load", 2e3, "ohm")], [("rin", 3.0, "ohm/K")], [("rin", 2e6, "ohm")]]


def test_headroom_is_a_parts_own_or_that_of_its_opamp():
    assert load_part("mixer", "macro").headroom == 4.0
    assert load_part("transimpedance", "macro").headroom == load_part("opamp_tl072", "macro").defaults["headroom"]
    assert load_part("mixer", "ideal").headroom is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("* source: definition\n", "", "header has no 'source'"),
        ("* part: amp\n", "* part: amp\n* part: amp\n", "gives 'part' twice"),
        ("* note: second", "* remark: second", "is no header entry"),
        ("* note: second", "* component: one\n* component: two", "gives 'component' twice"),
        ("* note: second", "* param x = 3 : no unit", "is no header entry"),
        ("= 1e3 :", "= 1e4 :", "differs from the .subckt line's 1000.0"),
        ("= 1e3 :", "= 1k :", "is not a plain number"),
        ("= 1e3 :", "= nan :", "is not a plain number"),
        ("g = 1k", "g={2*500}", "is not a number"),
        ("* pin out: output, V\n", "", "differ from the .subckt line's ['in', 'out']"),
        ("amp_mine in out", "amp_mine out in", "differ from the .subckt line's ['out', 'in']"),
        ("* param rin [ohm] = 1e6 : input resistance\n", "", "differ from the .subckt line's ['g', 'rin']"),
        ("{rin}\n.ends\n", "{rin}\n", "do not pair"),
        ("* note: second", "* drift rin [ohm/K] = 1k : typical", "is not a plain number"),
        ("* note: second", "* drift rout [ohm/K] = 1 : typical", "is no parameter of the part"),
        ("* note: second", "* drift rin [ohm] = 1 : typical", "give it in [ohm/K]"),
        ("* note: second", "* most rin [ohm] = 1e5 : data sheet", "must be positive and at least 1e+06"),
        ("* note: second", "* limit supply [V] = 8 : data sheet", "is no limit that is known"),
        ("* note: second", "* limit load [V] = 8 : data sheet", "give it in [ohm]"),
        ("* note: second", "* limit load [ohm] = 1 : a\n* limit load [ohm] = 2 : b", "gives limit load twice"),
    ],
)
def test_malformed_part_is_refused(old, new, message):
    assert GOOD.count(old) == 1
    with pytest.raises(NetlistError, match=re.escape(message)) as caught:
        parse_part(GOOD.replace(old, new), "amp.lib")
    assert "amp.lib" in str(caught.value)


def test_part_without_subcircuit_is_refused():
    with pytest.raises(NetlistError, match=r"no \.subckt"):
        parse_part(GOOD[: GOOD.index(".subckt")], "amp.lib")


def _using(name):
    text = GOOD.replace("* level: mine", f"* level: ideal\n* uses: {name}").replace("amp_mine", "amp_ideal")
    return parse_part(text, "amp.lib")


def test_library_holds_each_needed_part_once():
    inner, outer = (
        load_part("lowpass"),
        _using("lowpass"),
    )
    assert outer.uses == ("lowpass",)
    text = library([outer, inner, outer])
    assert text.count(".subckt lowpass_ideal") == 1
    assert text.count(".SUBCKT amp_ideal") == 1
    assert text.index(".subckt lowpass_ideal") < text.index(".SUBCKT amp_ideal")
    assert outer.library == library([outer])
    assert inner.library.strip() == inner.text.strip()


def test_library_refuses_what_cannot_be_put_together():
    part = _using("nothing")
    with pytest.raises(InputError, match="does not exist at level 'ideal'"):
        _ = part.library
    with pytest.raises(NetlistError, match="two different subcircuits"):
        library([load_part("mixer"), replace(load_part("mixer"), text="another")])
    with pytest.raises(NetlistError, match="is no header entry"):
        _using("two words")


def test_library_refuses_a_circle(monkeypatch):
    first = _using("other")
    other = replace(first, subckt="other_ideal", uses=("amp",))
    monkeypatch.setattr("netlists.reader.load_part", lambda name, level: {"other": other, "amp": first}[name])
    with pytest.raises(NetlistError, match="amp_ideal -> other_ideal -> amp_ideal"):
        _ = first.library


def test_with_defaults_makes_another_part():
    part = parse_part(GOOD, "amp.lib")
    other = part.with_defaults("trimmed", g=-2.5)
    assert other.subckt == "amp_mine_trimmed"
    again = parse_part(other.text.replace(".subckt helper a\nR1 a 0 1\n.ends", ""), "other")
    assert (again.subckt, again.defaults) == (other.subckt, other.defaults)
    assert other.defaults == {"g": -2.5, "rin": 1e6}
    assert part.defaults["g"] == 1e3
    assert library([part, other]).lower().count(".subckt amp_mine") == 2
    with pytest.raises(InputError, match="use one of: g, rin"):
        part.with_defaults("x", gain=1.0)
    with pytest.raises(InputError, match="cannot stand in a name"):
        part.with_defaults("a b", g=1.0)
    with pytest.raises(InputError, match="finite"):
        part.with_defaults("x", g=math.nan)


def test_unknown_part_and_level_name_what_there_is():
    with pytest.raises(InputError, match="did you mean 'integrator'"):
        load_part("integrater")
    with pytest.raises(InputError, match="use one of: board, ideal"):
        load_part("integrator", "imaginary")


def test_instance_orders_pins_and_writes_numbers():
    part = load_part("integrator")
    nodes = {"out": "w1", "gate": "on", "in": "x1.g#2"}
    assert part.instance("w1", nodes) == "Xw1 x1.g#2 on w1 integrator_ideal"
    assert (
        part.instance("Xw1", nodes, vmin=-0.25, rate=np.float64(1e-5))
        == "Xw1 x1.g#2 on w1 integrator_ideal vmin=-0.25 rate=1e-05"
    )


@pytest.mark.parametrize(
    ("ref", "nodes", "params", "message"),
    [
        ("1", {"in": "a", "out": "b"}, {}, "pin 'gate' is missing"),
        ("1", {"in": "a", "gate": "1", "out": "b", "ot": "c"}, {}, "did you mean 'out'"),
        ("1", {"in": "a b", "gate": "1", "out": "b"}, {}, "cannot name a node"),
        ("1", {"in": 3, "gate": "1", "out": "b"}, {}, "cannot name a node"),
        ("w 1", {"in": "a", "gate": "1", "out": "b"}, {}, "cannot name an instance"),
        ("", {"in": "a", "gate": "1", "out": "b"}, {}, "cannot name an instance"),
        ("1", {"in": "a", "gate": "1", "out": "b"}, {"v_max": 1.0}, "did you mean 'vmax'"),
        ("1", {"in": "a", "gate": "1", "out": "b"}, {"rate": math.nan}, "rate = nan: is not finite"),
        ("1", {"in": "a", "gate": "1", "out": "b"}, {"rate": "1k"}, "rate = '1k': is not a number"),
    ],
)
def test_bad_instance_is_refused(ref, nodes, params, message):
    with pytest.raises(InputError, match=re.escape(message)):
        load_part("integrator").instance(ref, nodes, **params)


@pytest.mark.parametrize(
    "value",
    [0.0, -0.0, 1.0, -1e-5, 1e7, 1 / 3, math.pi * 1e-12, 1e22, 5e-324, 1.7976931348623157e308],
)
def test_numbers_survive_the_round_trip(value):
    text = format_number(value)
    assert float(text) == value
    assert parse_number(text) == value
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?", text)


def test_format_number_examples():
    assert format_number(1e-5) == "1e-05"
    assert format_number(np.float64(0.01)) == "0.01"
    assert format_number(3) == "3.0"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, True, "1", None, 1j, 10**400])
def test_format_number_refuses(value):
    with pytest.raises(InputError) as refused:
        format_number(value)
    assert refused.value.field == "x"
    assert refused.value.fix.startswith("give")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1meg", 1e6),
        ("1M", 1e-3),
        ("4.7kohm", 4.7e3),
        ("10uF", 10e-6),
        ("-.5", -0.5),
        ("1e-3", 1e-3),
        ("2T", 2e12),
        ("5V", 5.0),
    ],
)
def test_parse_number_follows_spice(text, value):
    assert parse_number(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["", "k", "1+1", "{a}", "nan", "1e999"])
def test_parse_number_refuses(text):
    with pytest.raises(InputError, match="is not a SPICE number"):
        parse_number(text)


def test_ngspice_reads_an_instance_line_as_meant(tmp_path):
    part = load_part("difference")
    gain = -0.12345678901234567
    line = part.instance("d", {"a": "n.1#b", "b": "0", "out": "o"}, gain=gain)
    deck = tmp_path / "deck.cir"
    deck.write_text(f"deck\n{part.text}V1 n.1#b 0 1\n{line}\n.control\nset numdgt=16\nop\nprint v(o)\nquit 0\n.endc\n")
    found = re.search(r"v\(o\) = (\S+)", run_deck_file(deck).output)
    assert found is not None
    assert float(found[1]) == pytest.approx(gain, rel=1e-14)


def test_run_deck_says_what_is_wrong(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        run_deck("nothing")
    with pytest.raises(InputError, match="is no file"):
        run_deck_file(tmp_path / "nothing.cir")
    with pytest.raises(InputError, match="timeout"):
        run_deck("mixer", timeout=0.0)

    def slow(*args, **kwargs):
        raise subprocess.TimeoutExpired("ngspice", kwargs["timeout"])

    monkeypatch.setattr(subprocess, "run", slow)
    with pytest.raises(EngineError, match="did not end within 3 s"):
        run_deck("mixer", timeout=3)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="apt install ngspice"):
        run_deck("mixer")
