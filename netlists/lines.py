"""Lines of a netlist as ngspice takes them: remarks out first, then continuations joined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from inmateria.errors import NetlistError

_REMARK = re.compile(r";|//|(?:^|[\s,])\$")
_FILE_NAME = re.compile(r"\s*\.(?:inc|lib)\w*\s*(?:\"[^\"]*\"|'[^']*'|[^\s;\"']+)", re.IGNORECASE)


class Line(NamedTuple):
    """A line with its continuations joined, and where it begins.

    Attributes
    ----------
    source : str
        ``deck``, or the path of an included file.
    number : int
        Of its first line there, from 1.
    text : str
        Without remarks.
    included : bool
        Whether it comes from a file that a deck includes.
    """

    source: str
    number: int
    text: str
    included: bool = False

    @property
    def where(self) -> str:
        """``deck line 3`` or ``/path/part.lib line 3``."""
        return f"{self.source} line {self.number}"


def without_remark(line: str) -> str:
    """A line without its remark, and without blanks around it.

    A remark begins with ``;``, ``//`` or a dollar sign behind a blank, a comma or nothing, wherever that stands, as
    in ngspice; but the name of an included file is one word, whatever it is made of between
    quotes, and with ``//`` without them.
    """
    if ";" in line or "$" in line or "//" in line:
        name = _FILE_NAME.match(line)
        remark = _REMARK.search(line, name.end() if name else 0)
        if remark is not None:
            line = line[: remark.start()]
    return line.strip()


def logical_lines(text: str, source: str = "deck", *, title: bool = True, included: bool = False) -> Iterator[Line]:
    r"""Lines with continuations (``+``, or ``\\`` at the end) joined and remarks left out.

    Parameters
    ----------
    text : str
        With any line ends.
    source : str, optional
        What the lines are of.
    title : bool, optional
        Whether the first line is a title: it comes first, as it is.
    included : bool, optional
        Whether they are of a file that a deck includes.

    Raises
    ------
    NetlistError
        If a continuation follows the title: ngspice crashes on a deck that has nothing else.
    """
    begin, parts, goes_on = 0, list[str](), False
    for number, raw in enumerate(unix(text).split("\n"), start=1):
        if number == 1 and title:
            yield Line(source, 1, raw.strip(), included)
            continue
        line = raw.strip()
        if not line or line[0] == "*":
            continue
        if ";" in line or "$" in line or "//" in line:
            line = without_remark(line)
            if not line:
                continue
        joined = line[0] == "+" or goes_on
        if line[0] == "+":
            if not parts and title:
                fix = "give the deck a first line as its title"
                raise NetlistError(f"{source} line {number}", line[:60], "continues the title", fix)
            if not parts and included:
                fix = "let it begin and end with whole lines"
                raise NetlistError(f"{source} line {number}", line[:60], "continues a line of another file", fix)
            line = line[1:].strip()
        goes_on = line.endswith("\\\\")
        if goes_on:
            line = line[:-2].rstrip()
        if joined and parts:
            parts.append(line)
            continue
        if parts:
            yield Line(source, begin, " ".join(parts), included)
        begin, parts = number, [line]
    if parts:
        yield Line(source, begin, " ".join(parts), included)


def unix(text: str) -> str:
    """A text whose lines end with a line feed only."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def element_words(text: str, nodes: int) -> list[str]:
    """An element's name and nodes, commas and parentheses around them left out, then its other words."""
    words, end = [], 0
    for match in _NODE_WORD.finditer(text):
        words.append(match[0])
        end = match.end()
        if len(words) == 1 + nodes:
            break
    return [*words, *text[end:].lstrip(" \t,)").split()]


_NODE_WORD = re.compile(r"[^\s,()]+")


def positional(text: str) -> list[str]:
    """Words of a line before its parameters: an instance and its nodes, a ``.subckt`` with name and pins.

    Parentheses around nodes are left out; an expression in braces or quotes is one word.
    """
    words = _WORD.findall(_EQUALS.sub("=", text))
    for k, word in enumerate(words):
        if "=" in word or word.lower() in ("params:", "param:"):
            return words[:k]
    return words


_EQUALS = re.compile(r"\s*=\s*")
_WORD = re.compile(r"(?:\{[^}]*\}|'[^']*'|[^\s,(){}'])+")
