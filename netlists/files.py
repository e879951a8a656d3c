"""Text of a netlist's file, whatever program saved it; a file that is no netlist is told by what it is."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from inmateria.errors import NetlistError

LARGEST = 500_000_000
"""Bytes of the largest file that is read."""

_KEPT = 16
"""Files whose text and lines stay in memory; a file that changes is read again."""

_LOOKED_AT = 4096
"""Bytes at a file's beginning by which it is told what it is."""

_OTHERS = tuple(
    (re.compile(pattern, re.IGNORECASE), what, fix)
    for pattern, what, fix in (
        (rb"\*+\s*LTspice Encrypted", "is encrypted for LTspice", "ask its vendor for a plain one"),
        (rb"\s*<(!DOCTYPE|html|head|\?xml)", "is a web page", "download the file itself, e.g. by its 'raw' link"),
        (rb"PK\x03\x04", "is a ZIP archive", "unpack it"),
        (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "is a compressed archive", "unpack it"),
        (rb"%PDF", "is a PDF", "take the netlist that belongs to it"),
        (rb"Version 4\r?\nSHEET", "is an LTspice schematic", "export its netlist (View, SPICE Netlist)"),
        (rb"Version 4\r?\nSymbolType", "is an LTspice symbol", "give the model's file that it names"),
        (rb"\s*\(kicad_sch", "is a KiCad schematic", "export it as a SPICE netlist"),
        (rb"\s*\|?.*?\[IBIS Ver\]", "is an IBIS model", "take a SPICE model"),
        (rb"\x7fELF|MZ[^ -~]|\xcf\xfa\xed\xfe", "is a program", "take a SPICE model"),
    )
)
_ENCRYPTED = re.compile(
    r"^\s*(?:(?:\*+\s*)?\$?CDNENC\w*START|\*\*?\$ENCRYPTED|\.prot\w*\s+(?:freelib|custom|\d)|\*\s*LTspice Encrypted)",
    re.IGNORECASE | re.MULTILINE,
)


def stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does: its time (ns) and its size in bytes.

    Raises
    ------
    OSError
        If there is no such file.
    """
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


def present_folder() -> str | None:
    """The folder from which relative names count; None where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def read_netlist(path: Path) -> str:
    """Text of a netlist's file: UTF-8 with or without mark, UTF-16, or else Latin-1.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    NetlistError
        If it cannot be read, is encrypted, or is no netlist.
    """
    try:
        changed = stamp(path)
        if changed[1] > LARGEST:
            raise NetlistError("file", str(path), f"is larger than {LARGEST} bytes", "give the subcircuit's own file")
        return _read(path, changed)
    except OSError as error:
        raise NetlistError("file", str(path), f"cannot be read ({error.strerror})", "check the path") from None


@lru_cache(maxsize=_KEPT)
def _read(path: Path, changed: tuple[int, int]) -> str:
    raw = path.read_bytes()
    for pattern, what, fix in _OTHERS:
        if pattern.match(raw[:_LOOKED_AT]):
            raise NetlistError("file", str(path), f"{what}, no netlist", fix)
    text = _decoded(raw)
    if "\0" in text:
        raise NetlistError("file", str(path), "is no text", "give a SPICE netlist")
    found = _ENCRYPTED.search(text)
    if found is not None:
        problem = f"is encrypted for another program ({found[0].strip()!r})"
        raise NetlistError("file", str(path), problem, "ask its vendor for a plain one")
    return text


def _decoded(raw: bytes) -> str:
    """Text of a file; UTF-16 without a mark is told by its zero bytes: ASCII has one in each second place."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    first = raw[:_LOOKED_AT]
    if first.count(0) > len(first) // 4:
        return raw.decode("utf-16-be" if first[:1] == b"\0" else "utf-16-le", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
