"""The files that a netlist includes, as ngspice finds them, and the sections that it takes of a library."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from inmateria.errors import NetlistError
from inmateria.spelling import did_you_mean
from netlists.files import read_netlist, stamp
from netlists.lines import Line, logical_lines

_INCLUDE = re.compile(
    r"\.(?P<word>inc|lib)\w*\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<plain>\S+))\s*(?P<section>\S*)",
    re.IGNORECASE,
)
_SECTION = re.compile(r"\.lib\s+(\S+)\s*$", re.IGNORECASE)
_SECTION_END = re.compile(r"\.endl\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Include:
    """A file that a line includes: the whole of it, or one section.

    Attributes
    ----------
    path : pathlib.Path
        Absolute, links followed.
    section : str
        Lower case; empty for the whole file.
    passed_over : pathlib.Path or None
        Another file of that name in the present folder, which ``ngspice -b`` would take.
    """

    path: Path
    section: str = ""
    passed_over: Path | None = field(default=None, compare=False)


def included(line: Line, beside: Path | None, *, plain_lib: bool = False) -> Include | None:
    """What a line includes, if it does.

    Parameters
    ----------
    line : Line
    beside : pathlib.Path or None
        Folder of the file in which it stands.
    plain_lib : bool, optional
        Whether ``.lib FILE`` without a section includes the file, as in LTspice and PSpice; ngspice does not know it.

    Raises
    ------
    NetlistError
        If there is no such file, or ``.lib`` has no section.
    """
    match = _INCLUDE.match(line.text) if line.text[:4].lower() in (".inc", ".lib") else None
    if match is None:
        return None
    name = next(word for word in (match["double"], match["single"], match["plain"]) if word is not None)
    library = match["word"].lower() == "lib"
    section = match["section"].strip("\"'").lower() if library else ""
    places = _places(name, beside)
    path = places[0] if places else None
    if library and not section and not plain_lib:
        if path is None:
            problem, fix = "begins a section outside of a library", "take the file by '.lib FILE SECTION'"
        else:
            problem, fix = "names no section", f'write .include "{name}" for the whole file'
        raise NetlistError(line.where, line.text[:200], problem, fix)
    if path is None:
        raise NetlistError(line.where, line.text[:200], "there is no such file", "give the path of a file")
    return Include(path, section, next((other for other in places[1:] if other != path), None))


def whole_lines(
    include: Include, *, plain_lib: bool = False
) -> tuple[list[Line], dict[Path, tuple[int, int]], list[str]]:
    """Lines of an included file with those of the files that it includes in their place, at any depth.

    Returns
    -------
    list of Line
    dict
        Every file that was read, and its `stamp`.
    list of str
        Doubts: which file was taken where there are two.

    Raises
    ------
    NetlistError
        If a file is missing, is no netlist, lacks the section, or includes itself.
    """
    found: list[Line] = []
    read: dict[Path, tuple[int, int]] = {}
    doubts: list[str] = []

    def place(inner: Include, above: tuple[Include, ...]) -> None:
        read[inner.path], beside = _stamp(inner.path), inner.path.parent
        for line in _lines_of(inner, read[inner.path]):
            if line.text[:1] != ".":
                found.append(line)
                continue
            below = included(line, beside, plain_lib=plain_lib)
            if below is None:
                found.append(line)
            elif below in (*above, inner):
                raise NetlistError(line.where, line.text[:200], "the file includes itself", "remove the line")
            else:
                if below.passed_over is not None and not _alike(below.path, below.passed_over):
                    other = f"'ngspice -b' would take {below.passed_over}, of the present folder"
                    doubts.append(f"{line.where}: {below.path} is taken, which stands beside it; {other}")
                    read[below.passed_over] = _stamp(below.passed_over)
                place(below, (*above, inner))

    place(include, ())
    return found, read, doubts


def files_read(path: Path, section: str | None = None) -> tuple[Path, ...]:
    """A netlist's file and all that it includes, each once, in the order in which they are first met.

    Parameters
    ----------
    path : pathlib.Path
    section : str, optional
        Of a library: what its other sections include does not count.

    Raises
    ------
    NetlistError
        As `whole_lines`.
    """
    return tuple(whole_lines(Include(path.expanduser().resolve(), (section or "").lower()))[1])


def sections(path: Path) -> list[str]:
    """Names of a library's sections, lower case, in their order; empty where it has none.

    Raises
    ------
    NetlistError
        If it cannot be read or is no netlist.
    """
    return list(dict.fromkeys(name for name, _ in _sections(logical_lines(read_netlist(path), title=False))))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        return stamp(path)
    except OSError as error:
        raise NetlistError("file", str(path), f"cannot be read ({error.strerror})", "check the path") from None


@lru_cache(maxsize=64)
def _lines_of(include: Include, changed: tuple[int, int]) -> tuple[Line, ...]:
    """Lines of a file or of one section of it, kept until the file changes."""
    lines = logical_lines(read_netlist(include.path), str(include.path), title=False, included=True)
    found: Iterable[Line] = lines if not include.section else _section(lines, include)
    return tuple(line for line in found if line.text.lower() != ".end")  # an included file's .end ends nothing else


def _sections(lines: Iterable[Line]) -> Iterator[tuple[str, list[Line] | None]]:
    """Names of sections, lower case, with what stands between ``.lib NAME`` and ``.endl``; None for one without end."""
    name, found = "", list[Line]()
    for line in lines:
        begin = _SECTION.match(line.text) if not name and line.text[:1] == "." else None
        if begin is not None:
            name, found = begin[1].strip("\"'").lower(), []
        elif name and line.text[:1] == "." and _SECTION_END.match(line.text):
            yield name, found
            name = ""
        elif name:
            found.append(line)
    if name:
        yield name, None


def _section(lines: Iterable[Line], include: Include) -> list[Line]:
    """Lines of a section: the first one of its name counts, as in ngspice."""
    names: dict[str, None] = {}
    for name, found in _sections(lines):
        if name == include.section:
            if found is None:
                raise NetlistError("section", name, f"of {include.path} has no .endl", "end it")
            return found
        names[name] = None
    fix = did_you_mean(include.section, names, f"choose from {', '.join(names)}") if names else "it has no sections"
    raise NetlistError("section", include.section, f"is not in {include.path}", fix)


def _places(name: str, beside: Path | None) -> list[Path]:
    """Where a file is: beside the including one, in the present folder, in NGSPICE_INPUT_DIR; the first one counts.

    ``ngspice -b`` looks in the present folder first, so that what a library means would depend on where it is run.
    """
    given = Path(os.path.expandvars(os.path.expanduser(name)))
    found = []
    for folder in (beside, Path("."), os.environ.get("NGSPICE_INPUT_DIR")):
        if folder is not None:
            try:
                candidate = Path(folder, given)
                if candidate.is_file():
                    found.append(candidate.resolve())
            except (OSError, ValueError):  # a name too long, or with a NUL byte
                return []
    return found if found or "\\" not in name else _places(name.replace("\\", "/"), beside)


def _alike(one: Path, other: Path) -> bool:
    """Whether two files hold the same; one that cannot be read does not."""
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False
