"""Lines of a netlist: what counts as a remark and as a continuation was found out of ngspice 39, and is tried again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from netlists.lines import logical_lines, positional, unix, without_remark

# One line or more behind a source of 4 V and 1 kohm: each means 1 kohm from n to ground, so 2 V.
RESISTOR = {
    "semicolon glued": "R2 n 0 1k;R3",
    "dollar between blanks": "R2 n 0 1k $ R3",
    "dollar glued to the right": "R2 n 0 1k $R3",
    "dollar behind a comma": "R2 n 0 1k,$ R3",
    "dollar behind a tab": "R2 n 0 1k\t$\tR3",
    "slashes": "R2 n 0 1k // R3",
    "slashes glued": "R2 n 0 1k//R3",
    "line of slashes": "R2 n 0 1k\n// R3 n 0 1k",
    "indented star": "R2 n 0 1k\n   * R3 n 0 1k",
    "continued": "R2 n 0\n+ 1k",
    "continued, indented": "R2 n 0\n   + 1k",
    "continued, glued": "R2 n 0\n+1k",
    "continued behind a blank line": "R2 n 0\n\n+ 1k",
    "continued behind a star": "R2 n 0\n* remark\n+ 1k",
    "continued behind a dollar": "R2 n 0\n$ remark\n+ 1k",
    "continued behind slashes": "R2 n 0\n// remark\n+ 1k",
    "remark, then continued": "R2 n 0 ; remark\n+ 1k",
    "two backslashes": "R2 n 0 \\\\\n 1k",
}


@pytest.mark.parametrize("name", RESISTOR)
def test_lines_are_those_of_ngspice(name: str, tmp_path: Path) -> None:
    lines = [line.text for line in logical_lines(RESISTOR[name], title=False)]
    assert [line.rstrip(",") for line in lines] == ["R2 n 0 1k"]
    circuit = f"V1 a 0 4\nR1 a n 1k\n{RESISTOR[name]}"
    deck = f"t\n{circuit}\n.control\nop\nif abs(v(n) - 2) < 1e-9\nquit 7\nend\nquit 1\n.endc\n.end\n"
    (tmp_path / "t.cir").write_text(deck)
    assert subprocess.run(["ngspice", "-b", "t.cir"], cwd=tmp_path, capture_output=True).returncode == 7


def test_a_line_knows_where_it_begins() -> None:
    title, first, second = logical_lines("title\n\n* remark\nR1 a\n; remark\n+ 0 1k\nR2 a 0 1k")
    assert (title.text, first.text, second.text) == ("title", "R1 a 0 1k", "R2 a 0 1k")
    assert (first.where, second.where) == ("deck line 4", "deck line 7")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_any_line_end(ends: str) -> None:
    assert [line.text for line in logical_lines(f"t{ends}R1 a 0{ends}+ 1k{ends}")] == ["t", "R1 a 0 1k"]
    assert unix(f"a{ends}b") == "a\nb"


@pytest.mark.parametrize("name", ["a;b.lib", "a $ b.lib", "a//b.lib"])
def test_the_quoted_name_of_a_file_is_one_word(name: str) -> None:
    assert without_remark(f'.include "{name}" ; remark') == f'.include "{name}"'
    assert without_remark(f".lib '{name}' tt $ remark") == f".lib '{name}' tt"


def test_words_before_the_parameters() -> None:
    assert positional("X1 (a b) my/part q = { 1 / 10 } r='2 * 3'") == ["X1", "a", "b", "my/part"]
    assert positional(".subckt OTHER-2 in+,in- PARAMS: a=1") == [".subckt", "OTHER-2", "in+", "in-"]
