"""Values as schematics have them, such as 4k7, of which ngspice reads another number."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from inmateria.errors import NetlistError
from netlists.lines import Line, element_words
from netlists.spice_numbers import is_number, read_as

_NODES = {"r": 3, "c": 3, "l": 3, "v": 3, "i": 3, "e": 5, "g": 5, "f": 4, "h": 4}
"""Words before the values: of other elements a value stands behind an equals sign only."""
_NUMBER_LIKE = re.compile(r"(?<![\w.$#@\\])(?:\d|\.\d)(?:[\w.]|(?<=[\d.][eEdD])[+-](?=\d))*")
_NO_VALUE = re.compile(
    r"\b[vi]\s*\([^)]*\)|\"[^\"]*\"|\b(?:version|file|filename|model|type)\s*=\s*\S+|\bpoly\b.*", re.IGNORECASE
)
_SUFFIX_FOR_POINT = re.compile(r"[+-]?\d+(?:meg|mil|[tgkmunpfr])\d+", re.IGNORECASE)
_BRACED = re.compile(r"\{[^}]*\}|'[^']*'")
_COMMA_VALUE = re.compile(r"[=\s]([+-]?\d[\d.]*,\d[\w.+-]*)")
_PARENTHESES = re.compile(r"\([^()]*\)|\{[^{}]*\}|'[^']*'|\"[^\"]*\"")
_PARAMETERS = re.compile(r"\w+\s*=\s*\S+")
_PARAMETER = re.compile(r"[\w.]+\s*=")
_MILLI = re.compile(r"(?<![\w.])[\d.]+(?:[eE][+-]?\d+)?M(?:[oO]hms?|OHMS?|[hH][zZ]|[VAFHWS])?(?!\w)")
_FEMTO = re.compile(r"(?<![\w.])[\d.]+(?:[eE][+-]?\d+)?F(?!\w)")
_WAVE = re.compile(r"\b(?:sin|sine|pulse|exp|sffm|am)\s*\(([^()]*)\)", re.IGNORECASE)
_BLANK = re.compile(r"\w\s+[\d.+-]")
_LISTED = (".param", ".params", ".tran", ".ac", ".dc", ".ic", ".nodeset", ".func", ".csparam")
_DECIMAL_COMMA = re.compile(r"[+-]?\d[\w.]*,[+-]?\d")


def check_values(line: Line, models: Collection[str], letters: str = "") -> None:
    """Refuse a value that ngspice reads another number from than the one that stands there.

    Parameters
    ----------
    line : Line
    models : collection of str
        Names of the deck's models, lower case: a resistor may have one in the place of its value.
    letters : str, optional
        Of the dialect: with ``lt``, R, C and L take 4k7 for 4.7k, and M for milli, as LTspice does.

    Raises
    ------
    NetlistError
        With what ngspice would take.
    """
    kind = line.text[:1].lower()
    words = element_words(line.text, _NODES[kind] - 1) if kind in _NODES else line.text.split()
    first = words[0].lower()
    if kind == ".":
        if first == ".model":
            _check_numbers(line, _parameters(line.text))
        elif first in _LISTED:
            _check_numbers(line, line.text[len(first) :])
        if first in (".model", ".options", ".option", ".opt", ".temp") and (comma := _COMMA_VALUE.search(line.text)):
            raise _misread(line, comma[1])
        if first.startswith(".param") and "," in _PARENTHESES.sub("", _PARENTHESES.sub("", line.text)):
            fix = "separate parameters by blanks"
            raise NetlistError(line.where, line.text[:200], "has a comma, at which ngspice hangs", fix)
        return
    if not kind.isalpha():
        return
    if kind in "rcl" and len(words) > 3 and not words[3].startswith(("{", "'", '"')) and "=" not in words[3]:
        value = words[3]
        taken = "lt" in letters and _SUFFIX_FOR_POINT.fullmatch(value)
        if not taken and value.lower() not in models and value[0] in "+-.0123456789" and not is_number(value):
            raise _misread(line, value, re.split(r"(?<![eEdD]),|(?<![eEdD])[+-]", value)[-1])
    if kind in "rcl":
        _check_alone(line, words, models)
    if kind in "efgh" and "poly" not in line.text.lower():
        comma = _COMMA_VALUE.search(" ".join(["", *words[_NODES[kind] :]]))
        if comma is not None:
            raise _misread(line, comma[1])
    if kind in "vi" and (wave := _WAVE.search(line.text)) and _BLANK.search(wave[1]):
        _check_decimal_commas(line, wave[1])
    if kind in _NODES:
        _check_numbers(line, " ".join(words[_NODES[kind] + (kind in "rcl" and "=" not in words[3]) :]))
    else:
        _check_numbers(line, _parameters(line.text))


def _parameters(text: str) -> str:
    """What follows from a line's first parameter on."""
    first = _PARAMETER.search(text)
    return "" if first is None else text[first.start() :]


def small_units(line: Line) -> Iterator[str]:
    """Doubts about values with a capital M or F, which are milli and femto to ngspice, whatever is meant.

    Parameters
    ----------
    line : Line
    """
    text = line.text
    if "M" not in text and "F" not in text:
        return
    kind = text[:1].lower()
    if kind in _NODES:
        text = " ".join(element_words(text, _NODES[kind] - 1)[_NODES[kind] :])
    elif text.lower().startswith((*_LISTED, ".noise")):
        text = text.partition(" ")[2]
    else:
        text = _parameters(text)
    text = _NO_VALUE.sub(" ", text)
    found = _MILLI.search(text)
    if found is not None:
        yield f"{line.where}: '{found[0]}' is read as {read_as(found[0]):g}, milli; write MEG for mega, or a small m"
    found = _FEMTO.search(text)
    if found is not None:
        yield f"{line.where}: '{found[0]}' is read as {read_as(found[0]):g}, femto; leave the unit out"


def _check_alone(line: Line, words: list[str], models: Collection[str]) -> None:
    """Refuse a second number on R, C and L, such as a tolerance: ngspice takes the last one for the value."""
    if len(words) > 4 and "=" not in words[3] and words[3].lower() not in models:
        text = _PARAMETERS.sub(" ", _BRACED.sub("_", " ".join(words[3:])))
        second = next((word for word in text.split()[1:] if word[0] in "+-.0123456789"), None)
        if second is not None:
            problem = f"has a second number: ngspice takes {second!r} for its value, {read_as(second):g}"
            raise NetlistError(line.where, line.text[:200], problem, "leave it out, or give it as a parameter")


def _check_numbers(line: Line, text: str) -> None:
    text = _NO_VALUE.sub(" ", text)
    for match in _NUMBER_LIKE.finditer(text):
        if not is_number(match[0]):
            raise _misread(line, match[0])
    if line.text[:1].lower() in "vi" and "(" not in text:
        _check_decimal_commas(line, _BRACED.sub(" ", text))


def _check_decimal_commas(line: Line, text: str) -> None:
    comma = _DECIMAL_COMMA.search(text)
    if comma is not None:
        raise _misread(line, comma[0])


def _misread(line: Line, value: str, taken: str | None = None) -> NetlistError:
    """The refusal of a value of which ngspice takes the beginning, or another part."""
    fix = "write 4.7k for 4k7, 1.5meg for 1M5, a point for a decimal comma, and braces around an expression"
    return NetlistError(line.where, line.text[:200], f"ngspice reads {value!r} as {read_as(taken or value):g}", fix)
