"""The lines of a deck, and those of the files it includes: ngspice crashes on a file that includes itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inmateria.errors import NetlistError

LARGEST_FILE = 50_000_000
"""Bytes of an included file beyond which it is not looked into."""

_INCLUDE = re.compile(r"\.(?:include|inc)\s+(?P<path>.+)|\.lib\s+(?P<lib>\"[^\"]*\"|'[^']*'|\S+)\s+\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """A line with its continuations joined, and where it begins.

    Attributes
    ----------
    where : str
        ``deck line 3`` or ``/path/part.lib line 3``.
    text : str
        Without the comment at its end.
    included : bool
        Whether it comes from a file.
    """

    where: str
    text: str
    included: bool = False


def without_comment(line: str) -> str:
    """A line without what follows ``;`` or a dollar sign between blanks, and without blanks around it."""
    if "$" in line:
        line = re.split(r"(?:^|\s)\$(?:\s|$)", line, maxsplit=1)[0]
    return line.partition(";")[0].strip()


def logical_lines(text: str, source: str = "deck", *, title: bool = True, included: bool = False) -> Iterator[Line]:
    """Lines with continuations joined, comments left out; the first one is the title, where there is one.

    Raises
    ------
    NetlistError
        If a continuation follows the title: ngspice crashes on a deck that has nothing else.
    """
    where, parts = "", list[str]()
    for number, raw in enumerate(text.split("\n"), start=1):
        if number == 1 and title:
            yield Line(f"{source} line 1", raw.strip(), included)
            continue
        line = without_comment(raw)
        if not line or line.startswith("*"):
            continue
        if line.startswith("+"):
            if not parts and title:
                fix = "give the deck a first line as its title"
                raise NetlistError(f"{source} line {number}", line[:60], "continues the title", fix)
            parts.append(line[1:].strip())
            continue
        if parts:
            yield Line(where, " ".join(parts), included)
        where, parts = f"{source} line {number}", [line]
    if parts:
        yield Line(where, " ".join(parts), included)


def included_lines(lines: list[Line]) -> list[Line]:
    """Lines of all files that `lines` include, at any depth.

    Raises
    ------
    NetlistError
        If a file is missing, cannot be read, or includes itself.
    """
    found: list[Line] = []
    for line in lines:
        _follow(line, (), found)
    return found


def _follow(line: Line, above: tuple[Path, ...], found: list[Line]) -> None:
    match = _INCLUDE.match(line.text) if line.text.startswith(".") else None
    if match is None:
        return
    name = (match["path"] or match["lib"]).strip().strip("\"'")
    path = _resolve(name, above[-1].parent if above else None)
    if path is None:
        raise NetlistError(line.where, line.text[:200], "there is no such file", "give the path of a file")
    if path in above:
        raise NetlistError(line.where, line.text[:200], "the file includes itself", "remove the line")
    try:
        if path.stat().st_size > LARGEST_FILE:
            return
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise NetlistError(line.where, line.text[:200], f"cannot be read ({error.strerror})", "give a file") from None
    for inner in logical_lines(text.replace("\r\n", "\n"), str(path), title=False, included=True):
        found.append(inner)
        _follow(inner, (*above, path), found)


def _resolve(name: str, beside: Path | None) -> Path | None:
    """The file as ngspice finds it: beside the including one, in the present folder, in NGSPICE_INPUT_DIR."""
    given = Path(os.path.expandvars(os.path.expanduser(name)))
    folders = [beside, Path.cwd(), os.environ.get("NGSPICE_INPUT_DIR")]
    for folder in folders:
        if folder is not None:
            try:
                candidate = Path(folder, given)
                if candidate.is_file():
                    return candidate.resolve()
            except (OSError, ValueError):  # a name too long, or with a NUL byte
                return None
    return None
