"""Newton's tolerances follow from what a deck contains."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuits.ngspice.engine import OPTIONS
from circuits.parts.preamble import LOOSE, LOOSER, options_of, preamble
from netlists.reader import Part, available, library, load_part
from netlists.user_part import user_part

BODIES = {
    "diode": "D1 a out DX\n.model DX D",
    "bipolar": "q1 out a 0 QX\n.model QX NPN",
    "jfet": "  J1 out a 0 JX\n.model JX PJF",
    "mosfet": "m1 out a b 0 MX\n.model MX NMOS",
    "resistors alone": "R1 a out 1k\nR2 out b 1k",
}


def own_mixer(folder: Path, body: str) -> Part:
    path = folder / "own.lib"
    path.write_text(f".subckt own a b out params: gain=1 vscale=1\n{body}\n.ends\n", encoding="utf-8")
    return user_part(path, load_part("mixer"))


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_an_own_part_loosens_them_whatever_it_holds(tmp_path: Path, body: str) -> None:
    part = own_mixer(tmp_path, body)
    assert options_of([load_part("lowpass"), part]) == LOOSER
    assert preamble([part]) == f"{library([part])}{LOOSER}\n.temp 27\n"


@pytest.mark.parametrize(("name", "level"), available())
def test_of_the_library_op_amps_loosen_them_and_transistors_more(name: str, level: str) -> None:
    diodes = level == "board" and name in ("clamp_bav199", "diode_1n4148", "integrator", "limiter")
    wanted = {"ideal": OPTIONS, "macro": LOOSE, "transistor": LOOSER, "board": LOOSER if diodes else LOOSE}[level]
    assert options_of([load_part(name, level)]) == wanted


def test_no_part_needs_nothing() -> None:
    assert options_of([]) == OPTIONS
