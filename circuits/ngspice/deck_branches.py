"""Lines between ``.if`` and ``.endif``, of which ngspice takes some whatever the condition is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from inmateria.errors import NetlistError
from netlists.definitions import nesting
from netlists.lines import Line, positional

_WORD = re.compile(r"\.[a-z]+", re.IGNORECASE)
_PARAMETER = "write one line with the condition in it: .param r={c==1 ? 1k : 3k}"
_ALWAYS = {
    ".param": ("the last .param counts", _PARAMETER),
    ".csparam": ("the last .csparam counts", _PARAMETER),
    ".func": ("the last .func counts", "write one with the condition in it: .func f(x) {c==1 ? x : 3*x}"),
    ".opt": ("options count always", "set them outside, or leave the choice to Python"),
    ".global": (".global counts always", "write it outside"),
    ".save": (".save counts always", "write it outside"),
}
"""What ngspice takes of a branch that does not hold. Elements, models, analyses, ``.ic``, ``.nodeset`` and ``.temp``
follow the condition."""


def check_branches(lines: Iterable[Line]) -> Iterator[str]:
    """Refuse definitions in branches of which ngspice takes another one than the condition says; yields doubts.

    Parameters
    ----------
    lines : iterable of Line
        All that ngspice is given, in order: a branch may hold a line that includes a file.

    Raises
    ------
    NetlistError
        With what to write.
    """
    depth = 0
    scope: tuple[str, ...] = ()  # names of the subcircuits around a line
    branched: dict[tuple[str, ...], bool] = {}
    models: dict[tuple[str, ...], str] = {}
    for line in lines:
        if line.text[:1] != ".":
            continue
        if line.text[:6].lower() == ".model":
            if depth == 0:
                name = (*scope, *line.text.split(maxsplit=2)[1:2])
                if models.setdefault(name, line.text) != line.text:
                    yield f"{line.where}: {name[-1]} has two .model lines; ngspice takes the first one"
            continue
        match = _WORD.match(line.text)
        word = "" if match is None else match[0].lower()
        step = nesting(line)
        if word == ".if":
            depth += 1
        elif word == ".endif":
            depth -= 1
        elif step > 0:
            scope = (*scope, positional(line.text)[1].lower())
            if scope in branched and (depth > 0 or branched[scope]):
                problem = f"of {scope[-1]} ngspice takes the first definition, whatever the condition of its .if"
                fix = "write the .if inside of it, or give each its own name and write the .if around the X lines"
                raise NetlistError(line.where, line.text[:200], problem, fix)
            branched[scope] = depth > 0
        elif step < 0:
            scope = scope[:-1]
        elif depth > 0:
            taken = next((found for start, found in _ALWAYS.items() if word.startswith(start)), None)
            if taken is not None:
                problem, fix = f"stands in an .if: {taken[0]}, whatever the condition", taken[1]
                raise NetlistError(line.where, line.text[:200], problem, fix)
