"""Checks of a deck before ngspice sees it: what would crash the process, run a command, or mean something else.

Each rule stands for something seen on ngspice 39 to 47 (docs/engine.md): most of these decks run, and give a result.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from circuits.ngspice.deck_branches import check_branches
from circuits.ngspice.deck_expressions import check_braces, functions, powers
from circuits.ngspice.deck_values import check_values, small_units
from circuits.ngspice.deck_words import check_sweep, foreign
from inmateria.errors import InputError, NetlistError
from inmateria.spelling import did_you_mean
from netlists.definitions import (
    GROUND,
    Call,
    Definitions,
    Subcircuit,
    calls,
    define,
    included_definitions,
    parameters,
    reached,
    without_parameters,
    words_of,
)
from netlists.includes import included
from netlists.lines import Line, element_words, logical_lines, positional, unix
from netlists.spice_numbers import is_number, parse_number

LONGEST_LINE = 1_000_000
"""Characters of a line with its continuations."""

MOST_POINTS = 1e9
"""Time-points that a run may plan."""

_SHOWN = 3
"""Doubts of one included file or subcircuit that are told in full."""

_DEFINED_FUNCTION = re.compile(r"\.(?:func|param)\w*\s+([a-z_]\w*)\s*\(", re.IGNORECASE)
_EXTERNAL = re.compile(r"\bexternal\b", re.IGNORECASE)
_SOURCE_VALUE = re.compile(r"[+-]?[\d.]|(dc|ac|sin|sine|pulse|pwl|exp)\b", re.IGNORECASE)
_ANALYSIS = re.compile(r"\.(tran|ac|dc|op|noise|tf|pz|sens|disto|end|control)\b", re.IGNORECASE)
_FIX_EXTERNAL = (
    "write '<name> <node> <node> external' and nothing else; a CoSimulation or a Controller serves such sources"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COMMANDS = re.compile(r"\.(control|endc|exec)", re.IGNORECASE)
_DIGITAL_MODEL = re.compile(r"\.model[\s,]+[^\s,]+[\s,]+['\"]?(d_\w+)", re.IGNORECASE)
_DIGITAL = frozenset(
    {"d_and", "d_nand", "d_or", "d_nor", "d_xor", "d_xnor", "d_inverter", "d_buffer", "d_dff", "d_jkff", "d_tff",
     "d_srff", "d_dlatch", "d_srlatch", "d_state", "d_source", "d_ram", "d_osc", "d_pwm", "d_fdiv", "d_open_c",
     "d_open_e", "d_to_real", "d_pulldown", "d_pullup", "d_tristate", "d_lut", "d_genlut"}
)  # fmt: skip
_COUNT = {"r": 4, "c": 4, "l": 4, "v": 3, "i": 3, "b": 4, "e": 4, "f": 4, "g": 4, "h": 4, "d": 4, "k": 4,
          "q": 5, "j": 5, "m": 5, "z": 5, "s": 5, "w": 5, "t": 5, "x": 2}  # fmt: skip
_NEED = {"r": "two nodes and a resistance", "c": "two nodes and a capacitance", "l": "two nodes and an inductance"}
_QUANTITY = {"r": "resistance", "c": "capacitance", "l": "inductance"}
_NODES = dict.fromkeys("rclvibefghd", 2) | dict.fromkeys("qjmz", 3) | {"s": 4, "t": 4, "w": 2}
_RESERVED = frozenset({"time", "frequency", "temper", "hertz", "v-sweep", "i-sweep", "temp-sweep", "res-sweep"})
_RANDOM_SEED = re.compile(r"\.opt\w*\s.*\bseed\s*=\s*random\b", re.IGNORECASE)
_TRNOISE = re.compile(r"\btrnoise\b", re.IGNORECASE)
_NAMED_VDMOS = re.compile(r"\.model\s+\S*vdmos\S*\s+vdmos\b", re.IGNORECASE)


def check_request(
    stop_s: float,
    max_step_s: float,
    save: Sequence[str],
    corners_s: Sequence[float],
    grids_s: Sequence[tuple[float, float, int]],
) -> None:
    """Refuse times and names that no transient can have.

    Raises
    ------
    NetlistError, InputError
        With the argument's name.
    """
    if not (0 < max_step_s < stop_s < math.inf):
        raise NetlistError("max_step_s", max_step_s, f"must lie between 0 and the stop time {stop_s:g} s", "change it")
    if stop_s / max_step_s > MOST_POINTS:
        problem = f"asks for {stop_s / max_step_s:.3g} time-points"
        raise NetlistError("max_step_s", max_step_s, problem, "take a longer step or less time")
    if isinstance(save, str):
        raise InputError("save", save, "is no list of vectors", "give e.g. ['v(out)', 'i(vin)']")
    for name in save:
        if not isinstance(name, str) or not re.fullmatch(r"[!-~]+", name):
            raise InputError("save", name, "is no vector's name", "give e.g. 'v(out)' or 'i(vin)'")
    for t in corners_s:
        if not 0 <= t < math.inf:
            raise InputError("corners_s", t, "is no time of a run", "give seconds from 0 on")
    for start, stop, steps in grids_s:
        if not (0 <= start < stop < math.inf and 1 <= steps < math.inf):
            fix = "give start < stop in s and one step or more"
            raise InputError("grids_s", (start, stop, steps), "is no grid", fix)


@dataclass(frozen=True)
class CheckedDeck:
    """A deck that may be run.

    Attributes
    ----------
    text : str
        What ngspice is given: remarks out, continuations joined, in place of included files what is used of them, so
        that it reads what was checked.
    doubts : tuple of str
        What is only suspicious, one sentence each.
    """

    text: str
    doubts: tuple[str, ...]


def check_circuit(
    circuit: str, cards: Sequence[str], external: frozenset[str] = frozenset(), *, letters: str | None = None
) -> CheckedDeck:
    """Check a circuit and the lines that the engine writes behind it, as `check_deck` does.

    Parameters
    ----------
    circuit : str
        From its title on, without analysis, ``.control`` or ``.end``: ngspice would run both analyses into one record,
        or stop reading.
    cards : sequence of str
    external, letters
        As `check_deck` takes them.

    Raises
    ------
    NetlistError
        With the line.
    """
    lines = _read(circuit)
    count = unix(circuit.rstrip("\n")).count("\n") + 1
    more = logical_lines("\n".join(cards), title=False)
    return _checked([*lines, *(line._replace(number=count + line.number) for line in more)], external, letters, count)


def check_deck(deck: str, external: frozenset[str] = frozenset(), *, letters: str | None = None) -> CheckedDeck:
    """Refuse decks that would take the process down, run commands, or mean something else than what they say.

    Parameters
    ----------
    deck : str
    external : frozenset of str
        Names (lower case) of the external sources that a co-simulation serves.
    letters : str, optional
        Of the dialect in which ngspice reads it (`dialects.letters`), none for its own: words of other programs are
        then told; in any dialect, what it takes for something else.

    Raises
    ------
    NetlistError
        With the line, of a file too, and what to write instead.
    """
    return _checked(_read(deck), external, letters)


def _checked(whole: Sequence[Line], external: frozenset[str], letters: str | None, of_circuit: int = 0) -> CheckedDeck:
    """Check a deck of whose lines the first ones are a circuit, which may hold no analysis."""
    title, *lines = whole
    if not lines:
        raise NetlistError("deck", title.text[:60], "is empty", "give a title line and a circuit")
    _check_title(title)
    lines = _until_end(lines)
    for line in lines:
        if line.number <= of_circuit:
            _refuse_analysis(line)
        _check_commands(line)
        _check_external(line, external)
    own, placed = _opened(lines, plain_lib=bool(letters))
    libraries = list(placed.values())
    for library in libraries:
        _check_library(library)
    if of_circuit:
        for library in libraries:
            for line in library.other_lines:
                _refuse_analysis(line)
    circuit = define(own)
    outside = (call for library in libraries for call in library.calls)
    used = reached([*calls(own), *outside], libraries)  # of the deck's own subcircuits all are looked at
    vocabulary = _vocabulary(circuit, libraries, letters or "")
    doubts = [doubt for library in libraries for doubt in library.doubts]
    for item in circuit.items:
        inside = isinstance(item, Subcircuit)
        for line in item.lines if isinstance(item, Subcircuit) else (item,):
            doubts += _check_line(line, vocabulary, inside=inside)
    words = frozenset().union(words_of(circuit.lines), *map(_words_of, libraries), *map(_words_of, used))
    for library in libraries:
        models = frozenset(name for name in words if name in library.models)
        doubts += _doubts_of(library, models, vocabulary.named_in(library))
    for one in used:
        doubts += _doubts_of(one, frozenset(), vocabulary.named_in(one))
    _check_ground([*own, *(line for library in libraries for line in library.outside), *_lines(used)])
    _check_pins([circuit, *libraries], used)
    given = [title, *_spliced(lines, placed, frozenset(used), words)]
    doubts += check_branches(given[1:])
    return CheckedDeck(_text(given), tuple(dict.fromkeys(doubts)))


def _refuse_analysis(line: Line) -> None:
    if line.text[:1] == "." and _ANALYSIS.match(line.text):
        fix = "leave it out; Engine.run takes whole decks"
        raise NetlistError(line.where, line.text[:200], "is the engine's to write", fix)


def _check_title(title: Line) -> None:
    """Refuse a title that is run or included, or is part of the circuit: ngspice takes the first line for it."""
    fix = "give the deck a first line as its title"
    if title.text.lower().startswith("*ng_script"):
        raise NetlistError(title.where, title.text, "makes ngspice run the lines as commands", "give another title")
    if title.text.startswith(".") and not title.text.lower().startswith(".title"):
        raise NetlistError(title.where, title.text[:200], "stands in the place of the title", fix)
    words = title.text.split()
    kind = title.text[:1].lower()
    if kind in _QUANTITY and len(words) == 4 and (is_number(words[3]) or words[3][0] in "{'"):
        raise NetlistError(title.where, title.text[:200], "stands in the place of the title", fix)
    if kind in "vi" and len(words) > 3 and _SOURCE_VALUE.match(words[3]) and any(w in GROUND for w in words[1:3]):
        raise NetlistError(title.where, title.text[:200], "stands in the place of the title", fix)


def _until_end(lines: Sequence[Line]) -> list[Line]:
    """Lines up to ``.end``: ngspice reads no more."""
    found: list[Line] = []
    for line in lines:
        found.append(line)
        if line.text.lower() == ".end":
            break
    return found


def _opened(lines: Sequence[Line], *, plain_lib: bool) -> tuple[list[Line], dict[Line, Definitions]]:
    """The deck's own lines but for those that include a file, and what each of these defines, in their order."""
    own: list[Line] = []
    libraries: dict[Line, Definitions] = {}
    for line in lines:
        found = included(line, None, plain_lib=plain_lib)
        if found is None:
            own.append(line)
        else:
            libraries[line] = included_definitions(found, plain_lib=plain_lib)
    return own, libraries


def _spliced(
    lines: Iterable[Line], libraries: Mapping[Line, Definitions], used: frozenset[Subcircuit], words: frozenset[str]
) -> Iterable[Line]:
    """Lines with those of included files in their place.

    Of a library only those subcircuits that are used, as ngspice 39 ends itself over more than 4000, and those models
    that are among the words of elements.
    """
    for line in lines:
        if line in libraries:
            yield from libraries[line].lines_with(used, words)
        else:
            yield line


def _text(lines: Iterable[Line]) -> str:
    """The deck for ngspice: each line at its number as long as nothing is included, so that its messages have it."""
    written: list[str] = []
    for line in lines:
        if not line.included:
            written += ["*"] * (line.number - 1 - len(written))
        written.append(line.text)
    return "\n".join([*written, ""])


@lru_cache(maxsize=256)
def _doubts_of(block: Definitions | Subcircuit, models: frozenset[str], vocabulary: _Vocabulary) -> list[str]:
    """Doubts about an included file's lines outside of subcircuits, with some of its models, or about a subcircuit.

    They are cut to what is read.

    Raises
    ------
    NetlistError
        As `check_deck`.
    """
    if isinstance(block, Definitions):
        lines = (*block.other_lines, *dict.fromkeys(line for name in models for line in block.models[name]))
    else:
        lines = block.lines
    doubts = list(dict.fromkeys(found for line in lines for found in _check_line(line, vocabulary, inside=True)))
    if len(doubts) <= _SHOWN + 1:
        return doubts
    return [*doubts[:_SHOWN], f"{lines[0].source}: {len(doubts) - _SHOWN} more lines are as suspicious"]


def _lines(used: Iterable[Subcircuit]) -> Iterable[Line]:
    return (line for one in used for line in one.lines)


def check_sources(deck: str, names: Iterable[str]) -> None:
    """Refuse names (lower case) of sources that do not stand in the deck as external ones.

    Raises
    ------
    InputError
        With the name.
    """
    standing = {
        words[0].lower() for line in _read(deck) if (words := line.text.split()) and _EXTERNAL.search(line.text)
    }
    for name in names:
        if name not in standing:
            raise InputError(
                "outputs", name, "is no external source of the deck", f"write '{name} node 0 external' there"
            )


def stop_times(deck: str) -> list[float]:
    """Stop times (s) of the deck's transients, as far as they are numbers."""
    found = []
    for line in logical_lines(deck):
        words = line.text.split()
        if len(words) > 2 and words[0].lower() == ".tran":
            with suppress(InputError):
                found.append(parse_number(words[2]))
    return found


def last_point(stop_s: float) -> float:
    """Where the last step is made to end: four roundings before the stop time, which ngspice takes for the same.

    See `callbacks.next_step`.
    """
    return float(stop_s) * (1 - 4 * sys.float_info.epsilon)


def _read(deck: str) -> list[Line]:
    """The deck's lines, its title first; refused is what is no text that ngspice reads as it stands."""
    if not isinstance(deck, str):
        raise InputError("deck", type(deck).__name__, "is no text", "give a SPICE deck as a string")
    if "\0" in deck:
        raise NetlistError("deck", "NUL byte", "is no text", "give a SPICE deck")
    try:
        deck.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NetlistError("deck", deck[error.start], "is no character", "give a SPICE deck") from None
    for number, line in enumerate(deck.split("\n"), start=1):
        strange = _CONTROL.search(line.removesuffix("\r"))
        if strange:
            raise NetlistError(f"deck line {number}", strange.group(), "is a control character", "remove it")
    lines = list(logical_lines(deck))
    for logical in lines:
        if len(logical.text) > LONGEST_LINE:
            problem = f"has {len(logical.text)} characters"
            raise NetlistError(logical.where, logical.text[:40], problem, f"keep a line below {LONGEST_LINE}")
    return lines


def _check_commands(line: Line) -> None:
    """Refuse command blocks, as ``shell`` and ``quit`` would run, and digital models that are not known to run nothing.

    ngspice 44 and 47 have d_process, which starts any program, and d_cosim, which loads any library.
    """
    if line.text[:1] != ".":
        return
    if _COMMANDS.match(line.text):
        fix = "leave the block out; plain 'ngspice -b' runs it"
        raise NetlistError(line.where, line.text[:200], "runs commands of ngspice", fix)
    model = _DIGITAL_MODEL.match(line.text)
    if model is not None and model[1].lower() not in _DIGITAL:
        fix = f"take another: {', '.join(sorted(_DIGITAL))}"
        raise NetlistError(line.where, line.text[:200], f"{model[1]} may run programs", fix)


def _check_external(line: Line, external: frozenset[str]) -> None:
    """Refuse external sources that crash ngspice 38 to 40, or that nobody serves."""
    if line.text[:1] not in "vViI" or not _EXTERNAL.search(line.text):
        return
    words = line.text.split()
    if len(words) != 4 or words[3].lower() != "external":
        raise NetlistError(line.where, line.text[:200], "crashes ngspice 38-40", _FIX_EXTERNAL)
    if line.included or words[0].lower() not in external:
        raise NetlistError(line.where, line.text[:200], "nobody gives this source a value", _FIX_EXTERNAL)


@lru_cache(maxsize=64)
def _check_library(library: Definitions) -> None:
    """Refuse commands and external sources anywhere in an included file; each library is looked through once."""
    for line in library.lines:
        _check_commands(line)
        _check_external(line, frozenset())


@dataclass(frozen=True)
class _Vocabulary:
    """Names that a deck and its files give a meaning, and the dialect's letters."""

    models: frozenset[str]
    functions: frozenset[str]
    letters: str

    def named_in(self, block: Definitions | Subcircuit) -> _Vocabulary:
        """The same without models that no element of a block names, so that it is checked once for all decks."""
        return replace(self, models=self.models & _words_of(block))


@lru_cache(maxsize=256)
def _words_of(block: Definitions | Subcircuit) -> frozenset[str]:
    return words_of(block.other_lines if isinstance(block, Definitions) else block.lines)


def _vocabulary(circuit: Definitions, libraries: Sequence[Definitions], letters: str) -> _Vocabulary:
    named = [_named(tuple(circuit.lines)), *(_named_in(library) for library in libraries)]
    models = frozenset().union(*(found[0] for found in named))
    return _Vocabulary(models, frozenset().union(*(found[1] for found in named)), letters)


@lru_cache(maxsize=64)
def _named_in(library: Definitions) -> tuple[frozenset[str], frozenset[str]]:
    return _named(tuple(library.lines))


def _named(lines: Iterable[Line]) -> tuple[frozenset[str], frozenset[str]]:
    """Names of models and of functions that some lines define, lower case."""
    models, functions = set(), set()
    for line in lines:
        if line.text[:1] == ".":
            words = line.text.split(maxsplit=2)
            if words[0].lower() == ".model" and len(words) > 1:
                models.add(words[1].lower())
            elif (defined := _DEFINED_FUNCTION.match(line.text)) is not None:
                functions.add(defined[1].lower())
    return frozenset(models), frozenset(functions)


def _check_line(line: Line, vocabulary: _Vocabulary, *, inside: bool) -> Iterable[str]:
    """Check one line; yields doubts. Inside a subcircuit or a file a vendor may mean odd values."""
    yield from _check_element(line, inside=inside)
    yield from small_units(line)
    if line.text[:1].lower() in "vi" and _TRNOISE.search(line.text):
        yield f"{line.where}: no seed repeats the numbers of TRNOISE; noise_currents(..., seed=) has some that it does"
    if _RANDOM_SEED.match(line.text):
        yield f"{line.where}: seed=random takes the time of the day; leave it out and give the run a seed"
    if _NAMED_VDMOS.match(line.text):
        problem = "ngspice hangs on a power MOS transistor's model so named"
        raise NetlistError(line.where, line.text[:200], problem, "give it a name without 'vdmos'")
    check_values(line, vocabulary.models, vocabulary.letters)
    if not vocabulary.letters:
        yield from foreign(line, vocabulary.models)
    elif line.text[:3].lower() == ".dc":
        check_sweep(line)
    if line.text[:1].lower() in "begrcl" or line.text[:6].lower() in (".param", ".func", ".func "):
        yield from functions(line, vocabulary.functions, vocabulary.letters)
        yield from powers(line, vocabulary.letters)
    if line.text[:1].lower() in "beg":
        check_braces(line)


def _check_element(line: Line, *, inside: bool) -> Iterable[str]:
    """Check one line of the deck; yields what is only suspicious. Inside a subcircuit a vendor may mean odd values."""
    if not line.text.isascii():
        strange = next(c for c in line.text if not c.isascii())
        problem = "is no ASCII: ngspice makes one node of all such names"
        raise NetlistError(line.where, strange, problem, "write 'u' for micro, 'Ohm'")
    kind = line.text[:1].lower()
    if kind not in _COUNT:
        return
    words = element_words(line.text, _NODES.get(kind, 0))
    if len(words) < _COUNT[kind]:
        need = _NEED.get(kind, "more nodes or values")
        raise NetlistError(line.where, line.text[:200], f"{words[0]} lacks something", f"give it {need}")
    for node in words[1 : 1 + _NODES.get(kind, 0)]:
        if node.lower() in _RESERVED:
            raise NetlistError(line.where, node, "is ngspice's own name, not a node's", "rename the node")
    if kind in _QUANTITY:
        yield from _check_value(line, words, kind, inside=inside)


def _check_value(line: Line, words: list[str], kind: str, *, inside: bool) -> Iterable[str]:
    text = words[3].partition("=")[2] if words[3].lower().startswith(f"{kind}=") else words[3]
    try:
        value = parse_number(text)
    except InputError:  # an expression, or a model
        return
    if value > 0 or (value == 0 and kind != "r"):
        return
    quantity = _QUANTITY[kind]
    problem = f"is a {quantity} of zero" if value == 0 else f"is a negative {quantity}"
    if inside:
        yield f"{line.where}: '{text}' {problem}"
        return
    fix = "ngspice takes 1e-3 or 1e-12 Ohm, by version: join the nodes" if value == 0 else "write it as a B source"
    raise NetlistError(line.where, line.text[:200], f"'{text}' {problem}", fix)


def _check_ground(lines: Iterable[Line]) -> None:
    """Refuse a circuit in which no line names node 0."""
    for line in lines:
        if line.text[:1].isalpha() and any(word.lower() in GROUND for word in element_words(line.text, 9)[1:]):
            return
    raise NetlistError("deck", "", "has no ground", "call one node 0")


def _check_pins(netlists: Sequence[Definitions], used: Sequence[Subcircuit]) -> None:
    """Refuse a call with another number of nodes than the subcircuit has pins, or a pin that is node 0 by its name.

    ngspice takes a pin called ``0`` or ``gnd`` for node 0, and one of a ``.global`` node's name for that node: what the
    call connects to it, it ignores.
    """
    nodes = {"0": "0", "gnd": "0"}
    for netlist in netlists:
        for line in netlist.outside:
            if line.text[:7].lower() == ".global":
                nodes |= {word.lower(): word.lower() for word in line.text.split()[1:]}
    for call, called in _placed(netlists, used):
        pins, instance = called.pins, call.line.text.split(maxsplit=1)[0]
        if len(call.nodes) != len(pins):
            problem = f"{instance} has {len(call.nodes)} nodes, {call.name} has {len(pins)} pins"
            raise NetlistError(call.line.where, call.line.text[:200], problem, f"give nodes for: {' '.join(pins)}")
        _check_call(call, called)
        for pin, node in zip(pins, call.nodes, strict=True):
            if pin in nodes and nodes.get(node, node) != nodes[pin]:
                problem = (
                    f"{node!r} at {call.name}'s pin {pin!r} is ignored: ngspice takes that name for node {nodes[pin]}"
                )
                fix = f"rename the pin in its .subckt, or connect it to {nodes[pin]}"
                raise NetlistError(call.line.where, call.line.text[:200], problem, fix)


def _placed(netlists: Sequence[Definitions], used: Sequence[Subcircuit]) -> Iterable[tuple[Call, Subcircuit]]:
    """Each call, in subcircuits of any depth too, with what it places: the innermost subcircuit of that name.

    Left out is a call of a name that several netlists define, or none: ngspice tells of both.
    """

    def of(calls: Iterable[Call], scopes: tuple[Sequence[Definitions], ...]) -> Iterable[tuple[Call, Subcircuit]]:
        for call in calls:
            for scope in scopes:
                found = [one for netlist in scope for one in netlist.subcircuits.get(call.name, ())]
                if len(found) == 1:
                    yield call, found[0]
                if found:
                    break

    def within(block: Subcircuit, scopes: tuple[Sequence[Definitions], ...]) -> Iterable[tuple[Call, Subcircuit]]:
        inner = ([block.inside], *scopes)
        yield from of(block.inside.calls, inner)
        for alike in block.inside.subcircuits.values():
            for one in alike:
                yield from within(one, inner)

    for netlist in netlists:
        yield from of(netlist.calls, (netlists,))
    own = (one for alike in netlists[0].subcircuits.values() for one in alike)
    for block in (*own, *used):
        yield from within(block, (netlists,))


def _check_call(call: Call, called: Subcircuit) -> None:
    """Refuse parameters that the subcircuit does not have, and words that belong to none: ngspice ignores both."""
    if call.line.included:
        return  # kits hand on what only other programs know
    given = parameters(call.line.text)
    for name in given:
        if name not in called.parameters and name not in called.own_parameters and name != "m":
            known = ", ".join(called.parameters) or "none"
            fix = did_you_mean(name, list(called.parameters), f"it has {known}")
            raise NetlistError(call.line.where, call.line.text[:200], f"{call.name} has no parameter {name!r}", fix)
    stray = without_parameters(" ".join(call.line.text.split()[1:]))
    left = [word for word in stray.split() if word.lower() not in ("params:", "param:")]
    count = len(call.nodes) + 1
    words = positional(" ".join(["x", *left]))[1:]
    if given and len(words) > count:
        problem = f"{words[count]!r} belongs to no parameter: ngspice ignores it"
        raise NetlistError(call.line.where, call.line.text[:200], problem, "write a value without blanks, or in braces")
