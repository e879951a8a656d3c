"""Included files: found, decoded, told what they are where they are no netlists, and taken by section."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from inmateria.errors import NetlistError
from netlists import files
from netlists.definitions import included_definitions
from netlists.files import read_netlist
from netlists.includes import Include, sections

SECTIONS = """* a kit: corners that take parts of the same file
R9 n 0 1
.lib tt
.lib 'kit.lib' shared
R1 n 0 1k
.endl tt
.lib FF
R1 n 0 3k
.endl
.lib shared
.model m1 nmos
.endl shared
.lib tt
R1 n 0 9k
.endl
"""


def texts(path: Path, section: str = "") -> list[str]:
    return [line.text for line in included_definitions(Include(path.resolve(), section)).lines]


def test_a_section_and_what_it_takes_of_its_own_file(tmp_path: Path) -> None:
    kit = tmp_path / "kit.lib"
    kit.write_text(SECTIONS)
    assert texts(kit, "tt") == [".model m1 nmos", "R1 n 0 1k"]  # the first one of its name, as in ngspice
    assert texts(kit, "ff") == ["R1 n 0 3k"]
    assert sections(kit) == ["tt", "ff", "shared"]


def test_a_section_that_is_not_there(tmp_path: Path) -> None:
    kit = tmp_path / "kit.lib"
    kit.write_text(SECTIONS)
    with pytest.raises(NetlistError, match=r"section = 'fs': is not in .*kit.lib; choose from tt, ff, shared"):
        texts(kit, "fs")
    with pytest.raises(NetlistError, match="begins a section outside of a library"):
        texts(kit)


def test_files_that_include_themselves(tmp_path: Path) -> None:
    (tmp_path / "a.lib").write_text(".include b.lib\n")
    (tmp_path / "b.lib").write_text(".include a.lib\n")
    with pytest.raises(NetlistError, match=r"b.lib line 1.*includes itself"):
        texts(tmp_path / "a.lib")
    (tmp_path / "c.lib").write_text(".lib tt\n.lib c.lib tt\n.endl\n")
    with pytest.raises(NetlistError, match=r"c.lib line 2.*includes itself"):  # ngspice never comes back from it
        texts(tmp_path / "c.lib", "tt")


def test_names_count_from_the_including_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.lib").write_text('.include "sub\\b.lib"\n')
    (tmp_path / "sub" / "b.lib").write_text(".inc c.lib ; remark\n")
    (tmp_path / "sub" / "c.lib").write_text("R1 a 0 1k\n.end\n")
    assert texts(tmp_path / "a.lib") == ["R1 a 0 1k"]


def test_a_file_of_that_name_in_the_present_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ngspice -b` takes that one, so that a library would mean something else in each folder."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.lib").write_text(".include b.lib\n")
    (tmp_path / "sub" / "b.lib").write_text("R1 a 0 1k\n")
    (tmp_path / "b.lib").write_text("R1 a 0 3k\n")
    monkeypatch.chdir(tmp_path)
    include = Include((tmp_path / "sub" / "a.lib").resolve())
    found = included_definitions(include)
    assert [line.text for line in found.lines] == ["R1 a 0 1k"]
    assert f"a.lib line 1: {tmp_path}/sub/b.lib is taken" in found.doubts[0]
    assert f"'ngspice -b' would take {tmp_path}/b.lib" in found.doubts[0]
    (tmp_path / "b.lib").write_text("R1 a 0 1k\n")
    os.utime(tmp_path / "b.lib", ns=(1, 1))
    assert included_definitions(include).doubts == ()  # the same, wherever it is taken from
    (tmp_path / "main.cir").write_text("t\nV1 n 0 1\nR2 n a 1k\n.include sub/a.lib\n.control\nop\nprint v(a)\n.endc\n")
    (tmp_path / "b.lib").write_text("R1 a 0 3k\n")
    said = subprocess.run(["ngspice", "-b", "main.cir"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "v(a) = 7.5" in said


def test_a_file_is_read_once_and_again_when_it_or_what_it_includes_changes(tmp_path: Path) -> None:
    (tmp_path / "a.lib").write_text(".include b.lib\n")
    inner = tmp_path / "b.lib"
    inner.write_text("R1 a 0 1k\n")
    include = Include((tmp_path / "a.lib").resolve())
    first = included_definitions(include)
    assert included_definitions(include) is first
    inner.write_text("R1 a 0 2k\n")
    os.utime(inner, ns=(1, 1))
    assert [line.text for line in included_definitions(include).lines] == ["R1 a 0 2k"]


GOOD = ".subckt µ a b\nR1 a b 1k\n.ends\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.lib"
    path.write_bytes(GOOD.encode(encoding))
    assert read_netlist(path) == GOOD


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"* LTspice Encrypted File\n* Begin:\n 5A 3C\n* End 1 2\n", "encrypted for LTspice"),
        (b".subckt m a b\n$CDNENCSTART\n2a9f\n$CDNENCFINISH\n.ends\n", "encrypted for another program"),
        (b".subckt m a b\n**$ENCRYPTED_LIB\n**$INTERFACE\n", "encrypted for another program"),
        (b"* HSPICE\n.PROT FREELIB\n$@#x\n.UNPROT\n", "encrypted for another program"),
        (b"<!DOCTYPE html><html><title>Sign in</title></html>\n", "web page"),
        (b"\n  <html>", "web page"),
        (b"PK\x03\x04abc", "ZIP"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"%PDF-1.7", "PDF"),
        (b"Version 4\nSHEET 1 880 680\n", "LTspice schematic"),
        (b"(kicad_sch (version 2023))", "KiCad schematic"),
        (b"[IBIS Ver] 4.0\n", "IBIS"),
        (b"R1 a 0 1k\n\0\0 b", "no text"),
    ],
)
def test_what_is_no_netlist_is_told_by_what_it_is(tmp_path: Path, raw: bytes, words: str) -> None:
    path = tmp_path / "m.lib"
    path.write_bytes(raw)
    with pytest.raises(NetlistError, match=words) as caught:
        read_netlist(path)
    assert str(path) in str(caught.value)


def test_a_file_beyond_all_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.lib").write_text("R1 a 0 1k\n")
    monkeypatch.setattr(files, "LARGEST", 5)
    with pytest.raises(NetlistError, match="larger than 5 bytes"):
        read_netlist(tmp_path / "m.lib")
    with pytest.raises(NetlistError, match="No such file"):
        read_netlist(tmp_path / "n.lib")
