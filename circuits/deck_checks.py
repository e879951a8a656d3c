"""Checks of a deck before ngspice sees it: what would crash the process, or silently mean something else."""

from __future__ import annotations

import re

from inmateria.errors import NetlistError

_EXTERNAL = re.compile(r"\bexternal\b", re.IGNORECASE)
_ANALYSIS = re.compile(r"\.(tran|ac|dc|op|noise|tf|pz|sens|disto|end|control)\b", re.IGNORECASE)
_FIX_EXTERNAL = "write '<name> <node> <node> external' and nothing else; such sources come from a CoSimulation"


def logical_lines(deck: str) -> list[tuple[int, str]]:
    """Lines with continuations joined and comments left out, each with its first line number."""
    lines: list[tuple[int, str]] = []
    for number, raw in enumerate(deck.splitlines(), start=1):
        line = raw.strip()
        if number > 1 and (not line or line.startswith("*")):
            continue
        if line.startswith("+") and lines:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {line[1:].strip()}")
        else:
            lines.append((number, line))
    return lines


def check_circuit(deck: str) -> None:
    """Refuse a circuit that brings an analysis, ``.control`` or ``.end`` of its own: the engine writes them.

    Raises
    ------
    NetlistError
        With the line: ngspice would run both analyses into one record, or stop reading at ``.end``.
    """
    for number, line in logical_lines(deck)[1:]:
        if _ANALYSIS.match(line):
            raise NetlistError(
                f"deck line {number}", line, "is the engine's to write", "leave it out; Engine.run takes whole decks"
            )


def check_deck(deck: str, external: frozenset[str] = frozenset()) -> None:
    """Refuse decks that would take the process down or run without their device.

    Parameters
    ----------
    deck : str
    external : frozenset of str
        Names (lower case) of the external sources that a co-simulation serves.

    Raises
    ------
    NetlistError
        For an empty deck, NUL bytes, and external sources that are malformed or that nobody serves.
    """
    if "\0" in deck:
        raise NetlistError("deck", "NUL byte", "is no text", "give a SPICE deck")
    lines = logical_lines(deck)
    if len(lines) < 2:
        raise NetlistError("deck", deck[:60], "is empty", "give a title line and a circuit")
    for number, line in lines[1:]:
        if not _EXTERNAL.search(line.split("$")[0]) or line.startswith("."):
            continue
        words = line.split()
        if words[0][0].lower() not in "vi":
            continue
        if len(words) != 4 or words[3].lower() != "external":
            raise NetlistError(f"deck line {number}", line, "crashes ngspice 38-40", _FIX_EXTERNAL)
        if words[0].lower() not in external:
            raise NetlistError(f"deck line {number}", line, "nobody gives this source a value", _FIX_EXTERNAL)
