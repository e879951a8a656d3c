"""A circuit that is no subcircuit, as one: some of its nodes become pins, and what drove them is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inmateria.errors import InputError
from inmateria.spelling import did_you_mean
from netlists.definitions import GROUND, Definitions, Subcircuit, define, spliced
from netlists.files import read_netlist
from netlists.lines import Line, logical_lines, positional

_KEPT = frozenset({".model", ".param", ".params", ".parameter", ".csparam", ".func", ".function", ".global"})
NAME = "circuit"
"""Of the subcircuit that is made."""


@dataclass(frozen=True)
class FlatCircuit:
    """A subcircuit as `user_part` takes one, made of a circuit by `flat_circuit`.

    Attributes
    ----------
    name : str
    external_nodes : tuple of str
        Its pins.
    text : str
        Its netlist.
    """

    name: str
    external_nodes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def is_whole_circuit(source: str | Path | Any) -> bool:
    """Whether elements stand outside of subcircuits in a source."""
    if hasattr(source, "external_nodes"):
        return False
    return any(line.text[:1].isalpha() for line in _definitions(source).outside)


def has_subcircuit(source: str | Path | Any) -> bool:
    """Whether a source is a subcircuit, or defines one."""
    return hasattr(source, "external_nodes") or bool(_definitions(source).subcircuits)


def flat_circuit(source: str | Path | Any, pins: Sequence[str]) -> FlatCircuit:
    """Make a subcircuit of a whole circuit, whose first line is a title.

    Parameters
    ----------
    source : path, or PySpice or InSpice Circuit
    pins : sequence of str
        Nodes that become pins. Voltage sources between one of them and ground are left out, and so are analyses.

    Raises
    ------
    InputError
        If the circuit has no such node.
    NetlistError
        If the file cannot be read, or is no netlist.
    """
    found = _definitions(source)
    wanted = tuple(name.lower() for name in pins)
    elements = [line for line in found.outside if line.text[:1].isalpha()]
    words = {word.lower() for line in elements for word in positional(line.text)[1:]}
    for name in wanted:
        if name not in words:
            fix = did_you_mean(name, words, "name nodes of the circuit")
            raise InputError("terminals", name, "is no node of the circuit", fix)
    lines = [f".subckt {NAME} {' '.join(wanted)}", *(line.text for line in elements if not _drives(line, wanted))]
    lines += [".ends", *_texts(found)]
    return FlatCircuit(NAME, wanted, "\n".join(lines))


def _definitions(source: Any) -> Definitions:
    if isinstance(source, str | Path):
        path = Path(source).expanduser().resolve()
        text, where, beside = read_netlist(path), str(source), path.parent
    else:
        text, where, beside = str(source), type(source).__name__, None
    begins = text.lstrip().lower()
    titled = not begins.startswith(".") or begins.startswith(".title")  # a library begins with a remark or a definition
    lines = list(logical_lines(text, where, title=titled))[titled:]
    return define(spliced((line for line in lines if line.text.lower() != ".end"), beside))


def _drives(line: Line, pins: Sequence[str]) -> bool:
    """Whether a line is a voltage source between a pin and ground."""
    nodes = {word.lower() for word in positional(line.text)[1:3]}
    return line.text[:1] in "vV" and bool(nodes & GROUND) and bool(nodes & set(pins))


def _texts(found: Definitions) -> Iterable[str]:
    """Subcircuits, models and parameters."""
    for item in found.items:
        if isinstance(item, Subcircuit):
            yield from (line.text for line in item.lines)
        elif item.text.split(maxsplit=1)[0].lower() in _KEPT:
            yield item.text
