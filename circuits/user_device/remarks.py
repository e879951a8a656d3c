"""What a file's remarks say of the device in it, so that the file alone is enough for the command line.

* device subckt: mesh
* device section: typical
* device terminals: out, a, b, c
* device output: out
* device inputs: a, b
* device limits: -1 1
* device limits c: 0 2.5
* device supply vdd: 1.8
* device transimpedance: 1e4
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inmateria.errors import NetlistError
from inmateria.spelling import did_you_mean
from netlists.files import read_netlist
from netlists.spice_numbers import parse_number

_REMARK = re.compile(r"\*\s*device\s+(\w+)(?:\s+([\w.#+-]+))?\s*:\s*(.*?)\s*$", re.IGNORECASE)
_EXAMPLES = {
    "subckt": "* device subckt: NAME",
    "section": "* device section: NAME",
    "terminals": "* device terminals: out, a, b",
    "output": "* device output: out",
    "inputs": "* device inputs: a, b",
    "limits": "* device limits: -1 1",
    "supply": "* device supply vdd: 1.8",
    "transimpedance": "* device transimpedance: 1e7",
}


@dataclass
class Remarks:
    """What is said; None or empty where nothing is. `limits_V` has the pair of all terminals under the empty name."""

    subckt: str | None = None
    section: str | None = None
    terminals: tuple[str, ...] = ()
    output: str | None = None
    inputs: tuple[str, ...] = ()
    limits_V: dict[str, tuple[float, float]] | None = None
    supplies: dict[str, float] = field(default_factory=dict)
    transimpedance_ohm: float | None = None


def remarks_of(source: str | Path | Any) -> Remarks:
    """Read the remarks of a file; of a netlist that is no file nothing is said.

    Raises
    ------
    NetlistError
        For a file that cannot be read, or a remark that is none, with what to write.
    """
    if not isinstance(source, str | Path):
        return Remarks()
    said = Remarks()
    for line in read_netlist(Path(source).expanduser()).splitlines():
        if (found := _REMARK.match(line.strip())) is not None:
            _take(said, found[1].lower(), (found[2] or "").lower(), found[3], line.strip())
    return said


def _take(said: Remarks, key: str, name: str, text: str, line: str) -> None:
    """Put one remark where it belongs."""
    if key not in _EXAMPLES:
        fix = did_you_mean(key, _EXAMPLES, f"choose from {', '.join(_EXAMPLES)}")
        raise NetlistError("device", line, f"{key!r} says nothing of a device", fix)
    words = text.replace(",", " ").split()
    try:
        if (name != "" and key not in ("limits", "supply")) or (key == "supply" and name == ""):
            raise ValueError
        if key == "subckt":
            (said.subckt,) = words
        elif key == "section":
            (said.section,) = words
        elif key == "output":
            (said.output,) = words
        elif key == "inputs":
            said.inputs = tuple(words)
        elif key == "terminals":
            said.terminals = tuple(words)
        elif key == "limits":
            low, high = map(parse_number, words)
            said.limits_V = {**(said.limits_V or {}), name: (low, high)}
        elif key == "supply":
            (said.supplies[name],) = map(parse_number, words)
        else:
            (said.transimpedance_ohm,) = map(parse_number, words)
    except ValueError as error:
        raise NetlistError("device", line, "is no remark on a device", f"write {_EXAMPLES[key]!r}") from error
