"""What a netlist defines: its subcircuits, and the lines outside of them."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from inmateria.errors import NetlistError
from netlists.files import present_folder, stamp
from netlists.includes import Include, included, whole_lines
from netlists.lines import Line, positional

_BEGIN, _END = (".subckt", ".macro"), (".ends", ".eom")
GROUND = frozenset({"0", "gnd"})
"""Names that ngspice takes for node 0 wherever they stand, pins of subcircuits too."""
_WHOLE = "write the subcircuit in one file, from its .subckt to its .ends"
_LIBRARIES = 16
"""Included files whose definitions stay in memory."""


@dataclass(frozen=True, slots=True)
class Call:
    """A line that places a subcircuit.

    Attributes
    ----------
    line : Line
    name : str
        The subcircuit's, lower case.
    nodes : tuple of str
        Lower case.
    """

    line: Line
    name: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Subcircuit:
    """An outermost subcircuit, from its ``.subckt`` line to its end.

    Attributes
    ----------
    lines : tuple of Line
    """

    lines: tuple[Line, ...]

    @cached_property
    def head(self) -> tuple[str, ...]:
        """Its name and pins, lower case."""
        return tuple(word.lower() for word in positional(self.lines[0].text)[1:])

    @cached_property
    def name(self) -> str:
        """Its name, lower case."""
        match = _NAMED.match(self.lines[0].text)
        return "" if match is None else match[1].lower()

    @property
    def pins(self) -> tuple[str, ...]:
        """Its pins, lower case."""
        return self.head[1:]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The defaults on its ``.subckt`` line as they stand there, by lower-case name."""
        return parameters(self.lines[0].text)

    @cached_property
    def own_parameters(self) -> dict[str, str]:
        """What a ``.param`` inside of it sets, by lower-case name; a call may set that too."""
        lines = (line.text for line in self.inside.outside if line.text[:6].lower() == ".param")
        return {name: value for text in lines for name, value in parameters(text).items()}

    @cached_property
    def inside(self) -> Definitions:
        """What stands between its ``.subckt`` line and its end: only there its own subcircuits are known."""
        return define(self.lines[1:-1])

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """The subcircuits that it places, those inside of it too."""
        own = (one for alike in self.inside.subcircuits.values() for one in alike)
        return (*self.inside.calls, *(call for one in own for call in one.calls))


@dataclass(frozen=True, eq=False)
class Definitions:
    """A netlist in the order of its lines.

    Attributes
    ----------
    items : tuple of Line or Subcircuit
    doubts : tuple of str
        About the files that it includes.
    """

    items: tuple[Line | Subcircuit, ...]
    doubts: tuple[str, ...] = ()

    @cached_property
    def outside(self) -> tuple[Line, ...]:
        """Lines outside of subcircuits."""
        return tuple(item for item in self.items if isinstance(item, Line))

    @cached_property
    def subcircuits(self) -> dict[str, list[Subcircuit]]:
        """Subcircuits by name; several of one name stand in the branches of an ``.if``, or the first one counts."""
        found: dict[str, list[Subcircuit]] = {}
        for item in self.items:
            if isinstance(item, Subcircuit):
                found.setdefault(item.name, []).append(item)
        return found

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """The subcircuits that are placed outside of others."""
        return tuple(calls(self.outside))

    @cached_property
    def models(self) -> dict[str, list[Line]]:
        """Its ``.model`` lines outside of subcircuits by lower-case name; ``nch.3``, a bin of ``nch``, by both."""
        found: dict[str, list[Line]] = {}
        for line in self.outside:
            for name in _model_names(line):
                found.setdefault(name, []).append(line)
        return found

    @cached_property
    def other_lines(self) -> tuple[Line, ...]:
        """Lines outside of subcircuits but for those of models."""
        return tuple(line for line in self.outside if not _is_model(line))

    def lines_with(self, used: Container[Subcircuit], words: Container[str]) -> Iterator[Line]:
        """Lines outside of subcircuits, of models only those among some words, and lines of some subcircuits."""
        for item in self.items:
            if isinstance(item, Subcircuit):
                if item in used:
                    yield from item.lines
            elif not _is_model(item) or any(name in words for name in _model_names(item)):
                yield item

    @property
    def lines(self) -> Iterator[Line]:
        """All lines, those of subcircuits too."""
        for item in self.items:
            yield from (item,) if isinstance(item, Line) else item.lines


def define(lines: Iterable[Line]) -> Definitions:
    """Tell the outermost subcircuits from the rest.

    Raises
    ------
    NetlistError
        If ``.subckt`` and ``.ends`` do not pair, or a subcircuit has no name.
    """
    items: list[Line | Subcircuit] = []
    inside: list[Line] = []
    depth = 0
    for line in lines:
        step = 0 if line.text[:1] != "." else nesting(line)
        if step == 0:
            (inside if depth else items).append(line)
            continue
        depth += step
        if depth < 0:
            fix = _WHOLE if line.included else "remove it, or write its .subckt"
            raise NetlistError(line.where, line.text[:200], "ends no subcircuit", fix)
        if step > 0 and len(line.text.split(maxsplit=1)) < 2:
            raise NetlistError(line.where, line.text[:200], "has no name", "write .subckt NAME pins ...")
        inside.append(line)
        if depth == 0:
            items.append(Subcircuit(tuple(inside)))
            inside = []
    if inside:
        fix = _WHOLE if inside[0].included else "end it with .ends"
        raise NetlistError(inside[0].where, inside[0].text[:200], "has no .ends", fix)
    return Definitions(tuple(items))


def included_definitions(include: Include, *, plain_lib: bool = False) -> Definitions:
    """What an included file defines, with the files that it includes; kept until one of them changes.

    Raises
    ------
    NetlistError
        As `define`, and if a file is missing, is no netlist, or includes itself.
    """
    key = (include, plain_lib, present_folder(), os.environ.get("NGSPICE_INPUT_DIR"))
    kept = _kept.get(key)
    if kept is not None and all(_unchanged(path, seen) for path, seen in kept[1].items()):
        return kept[0]
    with _no_collection():
        lines, read, doubts = whole_lines(include, plain_lib=plain_lib)
        found = replace(define(lines), doubts=tuple(doubts))
    _kept.pop(key, None)
    while len(_kept) >= _LIBRARIES:
        _kept.pop(next(iter(_kept)), None)
    _kept[key] = found, read
    return found


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage: a library's lines stay, and to walk a million of them again and again takes a fourth more."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def spliced(lines: Iterable[Line], beside: Path | None = None) -> Iterator[Line]:
    """Lines with those of the files that they include in their place.

    Raises
    ------
    NetlistError
        As `included_definitions`.
    """
    for line in lines:
        found = included(line, beside)
        if found is None:
            yield line
        else:
            yield from included_definitions(found).lines


def words_of(lines: Iterable[Line]) -> frozenset[str]:
    """Words of the elements among some lines, lower case: names of models are some of them."""
    return frozenset(word for line in lines if line.text[:1].isalpha() for word in _WORDS.findall(line.text.lower()))


def _is_model(line: Line) -> bool:
    return line.text[:6].lower() == ".model"


def _model_names(line: Line) -> tuple[str, ...]:
    """Names by which elements may mean a ``.model`` line; none for other lines."""
    match = _NAMED.match(line.text) if _is_model(line) else None
    if match is None:
        return ()
    name = match[1].lower()
    base, point, number = name.rpartition(".")
    return (name, base) if point and number.isdigit() else (name,)


def nesting(line: Line) -> int:
    """1 for a line that begins a subcircuit, -1 for one that ends one, else 0."""
    if line.text[:2].lower() not in (".s", ".m", ".e"):
        return 0
    word = line.text.split(maxsplit=1)[0].lower()
    return (word in _BEGIN) - (word in _END)


def calls(lines: Iterable[Line]) -> Iterator[Call]:
    """The subcircuits that some lines place."""
    for line in lines:
        if line.text[:1] in ("x", "X"):
            words = [word.lower() for word in positional(line.text)[1:]]
            if words:
                yield Call(line, words[-1], tuple(words[:-1]))


def reached(placed: Iterable[Call], within: Sequence[Definitions]) -> list[Subcircuit]:
    """The subcircuits that some lines place, and all that these place, each once.

    Parameters
    ----------
    placed : iterable of Call
    within : sequence of Definitions
        Where they are looked for: all of a name, as any branch of an ``.if`` may hold.
    """
    found: dict[Subcircuit, None] = {}
    names: set[str] = set()
    left = [call.name for call in placed]
    while left:
        name = left.pop()
        if name in names:
            continue
        names.add(name)
        for definitions in within:
            for one in definitions.subcircuits.get(name, ()):
                found[one] = None
                left += [call.name for call in one.calls]
    return list(found)


def parameters(text: str) -> dict[str, str]:
    """Parameters of a line by lower-case name, with their values as they stand there, blanks left out."""
    return {match[1].lower(): match[2].strip() for match in _PARAMETER.finditer(text)}


def without_parameters(text: str) -> str:
    """What is left of a line without its parameters."""
    return _PARAMETER.sub(" ", text)


_NAMED = re.compile(r"\S+[\s,(]+([^\s,(){}']+)")
_WORDS = re.compile(r"[^\s,(){}'=]+")
_PARAMETER = re.compile(r"([\w.]+)\s*=\s*(\{[^}]*\}|'[^']*'|\"[^\"]*\"|[^\s,]+)")
_kept: dict[object, tuple[Definitions, dict[Path, tuple[int, int]]]] = {}


def _unchanged(path: Path, seen: tuple[int, int]) -> bool:
    try:
        return stamp(path) == seen
    except OSError:
        return False
