"""Generated decks that try to run a program or to write a file, by every way into ngspice: none does."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from circuits.ngspice.engine import Engine
from inmateria.errors import InMateriaError, TrustWarning

DECKS = 2000 if os.environ.get("INMATERIA_ALL_DECKS") == "1" else 100
PAYLOADS = (
    ".control\n{shell}\n.endc", ".controls\n{shell}\n.endc", ".exec {shell}",
    "*#{shell}", "*# {shell}", "*ng_script\n{shell}", "{shell}",
    "!touch {mark}", ".{shell}", ".csparam x={{{shell}}}", ".param x=`touch {mark}`",
    ".param x='{shell}'", ".measure op q param='shell(touch {mark})'", ".include |touch {mark}",
    '.include "`touch {mark}`"', ".include $(touch {mark})", ".lib |touch tt", ".lib `touch {mark}` tt",
    ".include /dev/fd/0", ".include /dev/stdin", "source {mark}", "pre_codemodel {mark}", "codemodel {program}",
    ".codemodel {program}", "pre_osdi {program}", ".osdi {program}", ".hdl {program}", ".print op v(n) > {mark}",
    ".plot op v(n) > {mark}", ".write {mark} all", "write {mark} all", ".save all > {mark}", ".op > {mark}",
    ".options rawfile={mark}", ".options logfile={mark} outfile={mark}", "echo x > {mark}", "set x=`touch {mark}`",
    ".set x=`touch {mark}`", ".global `touch {mark}`", ".temp `touch {mark}`", ".quit", "quit",
    "B9 q 0 V=shell(touch {mark})\nR9 q 0 1", ".func f(x) {{shell(touch {mark})}}",
    ".end\n.control\n{shell}\n.endc",
    'A9 [n] n null [q] pr\n.model pr d_process(process_file="{program}")',
    'A9 [n] [q] null pr\n.model pr d_cosim(simulation="{program}")', ".title\n.control\n{shell}\n.endc",
    ".model pr\n+ d_process\n+ process_file={program}\nA9 [n] n null [q] pr",
)  # fmt: skip
SHELL = "shell touch {mark} {mark} {mark} {mark}"
"""With as many words as an element has, so that no other rule is in the way."""
CIRCUIT = "V1 a 0 1\nR1 a n 1k\nR2 n 0 1k"


def disguised(text: str, rng: random.Random) -> str:
    """The same, as ngspice may read it too: other letters, blanks, continuations, remarks, line ends."""
    if rng.random() < 0.3:
        first, _, rest = text.partition(" ")
        text = "".join(rng.choice((c.upper(), c.lower())) for c in first) + " " * bool(rest) + rest
    if rng.random() < 0.2:
        text = "\n".join(f"{rng.choice(('', ' ', chr(9)))}{line}" for line in text.split("\n"))
    if rng.random() < 0.2:
        text = text.replace(" ", "\n+ ", 1)
    if rng.random() < 0.2:
        text += rng.choice((" ; remark", " $ remark", " // remark"))
    return text.replace("\n", "\r\n") if rng.random() < 0.1 else text


def placed(text: str, folder: Path, rng: random.Random) -> str:
    """A deck that has it as its title, in its circuit, behind its end, or in a file in one of several ways."""
    name, file = "part.lib", folder / "part.lib"
    where = rng.choice(("title", "deck", "end", "file", "nested", "section", "subcircuit", "unused"))
    if where == "title":
        return f"{text}\n{CIRCUIT}\n.op\n.end\n"
    if where == "deck":
        return f"t\n{CIRCUIT}\n{text}\n.op\n.end\n"
    if where == "end":
        return f"t\n{CIRCUIT}\n.op\n.end\n{text}\n"
    line = f".include {name}"
    if where == "nested":
        (folder / "outer.lib").write_text(f".include {name}\n")
        line = ".include outer.lib"
    elif where == "section":
        text, line = f".lib tt\n{text}\n.endl", f".lib {name} tt"
    elif where in ("subcircuit", "unused"):
        text = f".subckt s a\n{text}\nR1 a 0 1k\n.ends"
        line += "\nX1 n s" if where == "subcircuit" else ""
    file.write_text(f"{text}\n")
    return f"t\n{CIRCUIT}\n{line}\n.op\n.end\n"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(timeout_s=20) as made:
        yield made


def test_no_deck_runs_a_program_or_writes_a_file(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INMATERIA_ALL_DECKS=1 tries 2000 of them."""
    folder, kept = tmp_path / "decks", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    monkeypatch.chdir(folder)
    mark, program = folder / "mark", folder / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    (folder / ".spiceinit").write_text(f"shell touch {mark}\n")
    shell = SHELL.format(mark=mark)
    rng = random.Random(19)
    ran = 0
    for number in range(DECKS):
        text = disguised(PAYLOADS[number % len(PAYLOADS)].format(mark=mark, program=program, shell=shell), rng)
        deck = placed(text, folder, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)
            try:
                engine.run(deck, folder=kept)
                ran += 1
            except InMateriaError:
                pass
        there = {path.name for path in folder.iterdir()}
        assert there <= {".spiceinit", "program.sh", "part.lib", "outer.lib"}, deck
    assert ran > DECKS // 20  # of titles and remarks, and what stands behind the end
