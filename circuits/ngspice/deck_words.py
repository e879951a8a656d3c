"""Words of other programs that ngspice does not know: sources, parameters, devices, commands.

Each was tried on ngspice 39; docs/engine.md has the table. A word that changes a result without a word from ngspice
matters most; of one that ngspice refuses, its own message seldom says what to write.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import pairwise

from inmateria.errors import NetlistError
from netlists.lines import Line
from netlists.spice_numbers import is_number, read_as

_SOURCE = (
    (re.compile(r"\bpwl\s*\(?\s*file\s*=|\bwavefile\s*=|\bstimulus\b", re.I),
     "ngspice reads no waveform from a file here",
     "write its points as PWL(t1 v1 t2 v2 ...), which Python can print from the file"),
    (re.compile(r"\bpwl\s*\(?[^)]*\s\+[\d.]", re.I), "times relative to the one before are unknown to ngspice",
     "write each time of PWL from the start"),
    (re.compile(r"\bpwl\b.*\b(?:repeat|time_scale_factor|value_scale_factor|trigger)\b", re.I),
     "a PWL takes no such word in ngspice", "write the points out; r=0 behind the bracket repeats them"),
    (re.compile(r"\b[vi]\s*\(", re.I), "a V or I source takes no expression of voltages",
     "write a B source: B1 n 0 V=... or I=..."),
    (re.compile(r"\b(?:rser|cpar|rpar|load)\b", re.I), "a source has no such parameter in ngspice",
     "write the resistor or capacitor as an element of its own"),
)  # fmt: skip
_PASSIVE = re.compile(r"\b(rser|lser|rpar|cpar|rlshunt|tol|tolerance|pwr|irms|ipk|mfg|pn|v)\s*=", re.IGNORECASE)
_STRAY = frozenset({"rser", "lser", "rpar", "cpar", "rlshunt"})
_CONTROLLED = re.compile(r"\b(laplace|freq|chebyshev|delay)\b", re.IGNORECASE)
_COUNT_CYCLES = {"sin": 6, "sine": 6, "pulse": 7, "exp": 6}
_LTSPICE_DEVICES = frozenset(
    {"buf", "buf1", "inv", "and", "or", "xor", "schmitt", "schmtbuf", "schmtinv", "diffschmtbuf", "diffschmtinv",
     "diffschmitt", "dflop", "srflop", "varistor", "modulator", "modulate", "ota", "samplehold", "counter", "phasedet",
     "phidet"}
)  # fmt: skip
_COMMANDS = {
    ".step": "loop over the values from Python, or use inmateria's sweep",
    ".backanno": "leave it out, ngspice needs none",
    ".wave": "write the waveform from Python",
    ".machine": "write it as a Controller or as sources",
    ".net": "use .ac or .sp",
    ".ferret": "leave it out", ".loadbias": "use .nodeset or .ic", ".savebias": "leave it out",
    ".mc": "loop over random values from Python", ".wcase": "loop over the corners from Python",
    ".text": "leave it out", ".vector": "leave it out", ".stimulus": "write the source's PWL points",
    ".distribution": "draw the values from Python", ".aliases": "leave it out", ".endaliases": "leave it out",
}  # fmt: skip
_VDMOS = re.compile(r"\.model\s+\S+\s+vdmos(?:[np]\b|(?!\s*\()[^(]*\()", re.IGNORECASE)
_SWITCH = re.compile(r"\.model\s+\S+\s+(v|i)switch\b", re.IGNORECASE)


def foreign(line: Line, models: Collection[str]) -> Iterator[str]:
    """Refuse what ngspice does not know, with what to write; yields what it leaves out without a word.

    Parameters
    ----------
    line : Line
    models : collection of str
        Names of the deck's models, lower case.

    Raises
    ------
    NetlistError
    """
    text, kind = line.text, line.text[:1].lower()
    if kind in "vi":
        for pattern, problem, fix in _SOURCE:
            if pattern.search(text.split(None, 3)[-1]):
                raise NetlistError(line.where, text[:200], problem, fix)
        yield from _extra_arguments(line)
        _check_order(line)
    elif kind in "rcl":
        found = _PASSIVE.search(text)
        if found is not None:
            stray = found[1].lower() in _STRAY
            fix = "write it as an element of its own" if stray else "leave it out, it changes no voltage"
            raise NetlistError(line.where, text[:200], f"{found[1]}= is no parameter of ngspice's {text[0]}", fix)
    elif kind in "eg":
        found = _CONTROLLED.search(text)
        if found is not None:
            fix = "write the transfer function of R, C and B sources, or as XSPICE's s_xfer"
            raise NetlistError(line.where, text[:200], f"ngspice knows no {found[1].upper()}", fix)
    elif kind == "a":
        words = [word.lower() for word in text.split()]
        name = next((word for word in reversed(words) if "=" not in word), "")
        if name in _LTSPICE_DEVICES and name not in models:
            fix = "write it as a B source, such as V=u(V(in)-0.5)"
            raise NetlistError(line.where, text[:200], f"{name.upper()} is LTspice's own device", fix)
    elif kind == "u" and "(" in text[:80]:
        fix = "run the deck with dialect='pspice', or write B sources"
        raise NetlistError(line.where, text[:200], "is one of PSpice's digital devices", fix)
    elif kind == ".":
        _check_command(line)


def _check_command(line: Line) -> None:
    text = line.text
    words = text.split()
    first = words[0].lower()
    if first in _COMMANDS:
        raise NetlistError(line.where, text[:200], f"ngspice knows no {first}", _COMMANDS[first])
    if first == ".model":
        switch = _SWITCH.match(text)
        if switch is not None:
            name = "SW(Ron Roff Vt Vh)" if switch[1].lower() == "v" else "CSW(Ron Roff It Ih)"
            fix = f"write {name}: the threshold is the mean of on and off, the hysteresis half their distance"
            raise NetlistError(line.where, text[:200], f"{switch[1].upper()}SWITCH is PSpice's", fix)
        if _VDMOS.match(text):
            fix = "write VDMOS(nchan ...) or VDMOS(pchan ...), the bracket right behind the word"
            raise NetlistError(line.where, text[:200], "ngspice would never have read it", fix)
        if re.search(r"\bako\s*:", text, re.IGNORECASE):
            raise NetlistError(line.where, text[:200], "ngspice knows no AKO", "write the model out")
    elif first == ".tran":
        numbers = [word for word in re.split(r"[\s,]+", text)[1:] if re.match(r"[\d.{']", word)]
        if len(numbers) < 2:
            raise NetlistError(
                line.where, text[:200], "lacks a step or a stop time", "write .tran STEP STOP, e.g. .tran 5u 5m"
            )
        if is_number(numbers[0]) and read_as(numbers[0]) == 0.0:
            fix = f"write .tran STEP {numbers[1]}, with the step at which points are wanted"
            raise NetlistError(line.where, text[:200], "has a step of 0", fix)
        foreign_words = [word for word in words if word.lower() in ("startup", "steady", "nodiscard", "step")]
        if foreign_words:
            fix = "leave it out; ramp the supplies with PULSE or PWL"
            raise NetlistError(line.where, text[:200], f"{foreign_words[0]!r} is unknown to ngspice", fix)
    elif first == ".dc":
        check_sweep(line)
    elif first == ".temp" and len(words) > 2:
        raise NetlistError(line.where, text[:200], "lists several temperatures", "run the deck once for each")


def check_sweep(line: Line) -> None:
    """Refuse a sweep that never ends: ngspice takes a missing step for 0."""
    words = line.text.split()[1:]
    for k in range(0, len(words), 4):
        group = words[k : k + 4]
        if len(group) < 4:
            raise NetlistError(line.where, line.text[:200], "lacks a step", "write .dc SOURCE START STOP STEP")
        if all(is_number(word) for word in group[1:]):
            start, stop, step = (read_as(word) for word in group[1:])
            if step == 0.0 or (stop - start) * step < 0.0:
                fix = "give a step other than 0 towards the stop value"
                raise NetlistError(line.where, line.text[:200], f"has a step of {group[3]}", fix)


def _extra_arguments(line: Line) -> Iterator[str]:
    """LTspice counts cycles behind a waveform's last number; ngspice has the phase there, or nothing."""
    for match in re.finditer(r"\b(sine?|pulse|exp)\s*\(([^()]*)\)", line.text, re.IGNORECASE):
        count = len(match[2].replace(",", " ").split())
        if count > _COUNT_CYCLES[match[1].lower()]:
            meant = "LTspice's count of cycles is a phase to ngspice, or nothing"
            yield f"{line.where}: {match[1]}() has {count} numbers: {meant}"


def _check_order(line: Line) -> None:
    match = re.search(r"\bpwl\s*\(([^()]*)\)", line.text, re.IGNORECASE)
    if match is None:
        return
    words = match[1].replace(",", " ").split()[::2]
    if all(is_number(word) for word in words):
        times = [read_as(word) for word in words]
        for before, after in pairwise(times):
            if not after > before:
                fix = "write the times in rising order"
                raise NetlistError(line.where, line.text[:200], f"PWL goes from {before:g} s to {after:g} s", fix)
