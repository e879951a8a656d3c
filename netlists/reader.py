"""Read a part's file: its comment header as data, checked against its ``.subckt`` line.

The header is the run of comment lines at the top of the file. A line ``* key: text`` opens an entry; a
comment line indented by three blanks or more continues it. Keys: ``part``, ``level``, ``summary``,
``equation``, ``source`` (each once), ``pin NAME`` and ``param NAME [unit] = default`` (one per pin and
parameter, in the order of the ``.subckt`` line), ``uses`` (any number: a part of the same level whose subcircuit this
one places), ``note`` (any number), and what a data sheet says beside typical figures: ``limit NAME [unit] = value``
(`LIMITS`), ``drift PARAM [unit/K] = value`` and ``most PARAM [unit] = value``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from inmateria.errors import InputError, NetlistError
from inmateria.spelling import did_you_mean
from netlists.lines import logical_lines
from netlists.spice_numbers import format_number, parse_number

_KEYS = ("part", "level", "summary", "equation", "source")
_COMPONENT = "component"
_FIGURE = re.compile(r"(param|limit|drift|most)\s+(\w+)\s*\[([^\]]*)\]\s*=\s*([^\s:]+)\s*:\s*(.+)", re.DOTALL)
_PIN = re.compile(r"pin\s+(\w+)\s*:\s*(.+)", re.DOTALL)
_TEXT = re.compile(r"(\w+)\s*:\s*(.+)", re.DOTALL)
_REF = re.compile(r"\w+", re.ASCII)
_NODE = re.compile(r"[\w.#]+", re.ASCII)
LIMITS = {
    "supply_min": "V",
    "supply_max": "V",
    "input_headroom": "V",
    "output_headroom": "V",
    "current": "A",
    "load": "ohm",
    "slew": "V/s",
    "coldest": "K",
    "hottest": "K",
}
"""What a part may limit: its supplies, how far inputs and output stay within them, its output's current, load and
slew rate; and between which temperatures its figures hold, where that is not all from -40 to 125 degC."""


SUPPLIES = {"vp": "vp", "vn": "vn"}
"""Pins for the supplies, of parts that have them, and the nodes where they are unless an instance says otherwise."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One terminal of a part.

    Attributes
    ----------
    name : str
        Its name in the ``.subckt`` line.
    description : str
        What it carries, with the unit.
    """

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a part, or what its data sheet says of one: a limit, a drift, a largest value.

    Attributes
    ----------
    name : str
        Its name in the ``.subckt`` line.
    default : float
        Value when an instance gives none, in `unit`; the value of a limit, a drift or a largest value.
    unit : str
        SI unit as the header writes it, such as ``'1/s'``.
    description : str
        What it sets.
    """

    name: str
    default: float
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class Part:
    """A subcircuit with its header as data.

    Attributes
    ----------
    name, level : str
        What it does (``'integrator'``) and at which realism (``'ideal'``).
    summary, equation, source : str
        One line on its use; the equation it obeys; where the equation and this form of it come from.
    pins : tuple of Pin
        Terminals in the order of the ``.subckt`` line.
    parameters : tuple of Parameter
        Parameters in the order of the ``.subckt`` line.
    subckt : str
        Name of the subcircuit.
    text : str
        The whole file, without the parts it uses; `library` is what goes into a deck.
    notes : tuple of str
        Limits of validity and what to know before use.
    fixed : tuple of str
        Parameters whose value is built in: an instance may ask for the default only.
    uses : tuple of str
        Names of the parts of the same level whose subcircuits this one places, such as its op-amp.
    limits, drifts, maxima : tuple of Parameter
        What its use is limited to (`LIMITS`); typical changes of parameters per K; their largest magnitudes.
    own : tuple of Part
        Parts of a user's or of another vendor's that it places in their stead; made by `using`.
    component : str
        What one buys where the part is a component: number, maker, package and price class, with semicolons between;
        empty where it is a circuit.
    """

    name: str
    level: str
    summary: str
    equation: str
    source: str
    pins: tuple[Pin, ...]
    parameters: tuple[Parameter, ...]
    subckt: str
    text: str
    notes: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    limits: tuple[Parameter, ...] = ()
    drifts: tuple[Parameter, ...] = ()
    maxima: tuple[Parameter, ...] = ()
    own: tuple[Part, ...] = ()
    component: str = ""

    @property
    def supplied(self) -> bool:
        """Whether its supplies are pins."""
        return SUPPLIES.keys() <= {pin.name for pin in self.pins}

    @property
    def headroom(self) -> float | None:
        """Supply less the largest output, V, as its file or that of a part it uses states it; None where none does."""
        if "headroom" in self.defaults:
            return self.defaults["headroom"]
        stated = [limit.default for limit in self.limits if limit.name == "output_headroom"]
        used = [part.headroom for part in (*(load_part(name, self.level) for name in self.uses), *self.own)]
        return max([*stated, *(one for one in used if one is not None)], default=None)

    @property
    def library(self) -> str:
        """Text of all parts this one needs, each once, then its own: what a deck includes once.

        Raises
        ------
        InputError, NetlistError
            If a needed part does not exist at this level, or parts need each other in a circle.
        """
        return library([self])

    @property
    def defaults(self) -> dict[str, float]:
        """Default of every parameter, in its own unit, as a new dict."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    def with_defaults(self, label: str, **params: float) -> Part:
        """The same part under another name with other defaults, such as an offset trimmed away.

        Parameters
        ----------
        label : str
            Put behind the subcircuit's name: letters, digits and '_'.
        **params : float
            New defaults, in the units of `parameters`.

        Returns
        -------
        Part
            Subcircuit ``SUBCKT_LABEL``, which may stand in one deck with the part it came from.

        Raises
        ------
        InputError
            If the label cannot stand in a name, or a parameter is unknown or its value not a finite number.
        """
        if not isinstance(label, str) or not _REF.fullmatch(label):
            raise InputError("label", label, "cannot stand in a name", "use letters, digits and '_'")
        subckt, text = f"{self.subckt}_{label}", self.text
        found = re.search(rf"^\.subckt\s+{re.escape(self.subckt)}\b.*(?:\n\+.*)*", text, re.MULTILINE | re.IGNORECASE)
        assert found is not None  # the part was parsed from this text
        line = found[0]
        for name, value in params.items():
            if name not in self.defaults:
                raise InputError(f"{self.subckt} parameter", name, "is unknown", _choose(name, self.defaults))
            number = format_number(value)
            line = re.sub(rf"\b{name}\s*=\s*\S+", f"{name}={number}", line)
            text = re.sub(
                rf"(^\*\s*param\s+{name}\s*\[.*?\]\s*=\s*)[^\s:]+", rf"\g<1>{number}", text, flags=re.MULTILINE
            )
        text = text.replace(found[0], line)
        text = _renamed(text, self.subckt, subckt)
        changed = tuple(replace(p, default=float(params.get(p.name, p.default))) for p in self.parameters)
        return replace(self, subckt=subckt, text=text, parameters=changed)

    def using(self, others: Mapping[str, Part]) -> Part:
        """The same part with others in place of those that it uses, such as a vendor's op-amp.

        A parameter that this part only hands on, and that the other one does not have or has built in, is none any
        more: what nobody hears cannot be asked for.

        Parameters
        ----------
        others : mapping of str to Part
            By the name of the used part, e.g. ``"opamp_op07"``, parts such as `netlists.user_part` makes of one's own
            file; names that this part does not use are left alone.

        Returns
        -------
        Part
            Of the same level, with a subcircuit of another name; the same part where nothing is replaced.
        """
        found = {name: others[name] for name in self.uses if name in others}
        if not found:
            return self
        lines = self.text.splitlines()
        for name, other in found.items():
            lines = [_placing(line, load_part(name, self.level).subckt, other) for line in lines]
        kept: list[Parameter] = []
        dropped: list[Parameter] = []
        before, after = _body(self.text), _body("\n".join(lines))
        for parameter in self.parameters:
            word = re.compile(rf"\b{parameter.name}\b")
            (dropped if word.search(before) and not word.search(after) else kept).append(parameter)
        text = "\n".join(lines) + "\n"
        for parameter in dropped:
            name = parameter.name
            text = re.sub(rf"(?<=\s){name}=\S+", "", text, flags=re.IGNORECASE)
            text = re.sub(rf"^\*\s*(?:param|drift|most)\s+{name}\b.*\n(?:\*   .*\n)*", "", text, flags=re.MULTILINE)
        text = re.sub(r"^\*\s*limit\b.*\n(?:\*   .*\n)*", "", text, flags=re.MULTILINE)
        subckt = "_".join([self.subckt, *(other.subckt for other in found.values())])
        return replace(
            self,
            subckt=subckt,
            text=_renamed(text, self.subckt, subckt),
            parameters=tuple(kept),
            limits=(),  # the other one's supplies and loads are its own model's affair
            drifts=tuple(one for one in self.drifts if one.name not in {gone.name for gone in dropped}),
            maxima=tuple(one for one in self.maxima if one.name not in {gone.name for gone in dropped}),
            uses=tuple(name for name in self.uses if name not in found),
            own=(*self.own, *found.values()),
        )

    def instance(self, ref: str, nodes: Mapping[str, str], **params: float) -> str:
        """Write the line that places this part in a netlist.

        Parameters
        ----------
        ref : str
            Name of the instance; an ``X`` is put before it unless it starts with one.
        nodes : mapping of str to str
            Net for every pin, by pin name, in any order; those of `SUPPLIES` may be left out.
        **params : float
            Parameters that differ from their defaults, in the units of `parameters`.

        Returns
        -------
        str
            The ``X`` line, without a line end.

        Raises
        ------
        InputError
            If a pin is missing or unknown, a name cannot stand in a netlist, a parameter is unknown or its
            value not a finite number.
        """
        names = [pin.name for pin in self.pins]
        nodes = {**(SUPPLIES if self.supplied else {}), **nodes}
        for name in nodes:
            if name not in names:
                raise InputError(f"{self.subckt} pin", name, "is unknown", _choose(name, names))
        for name in names:
            if name not in nodes:
                fix = f"connect all of: {', '.join(names)}"
                raise InputError(f"{self.subckt} pins", sorted(nodes), f"pin {name!r} is missing", fix)
            if not isinstance(nodes[name], str) or not _NODE.fullmatch(nodes[name]):
                field, fix = f"{self.subckt} node of pin {name!r}", "use letters, digits, '_', '.' and '#'"
                raise InputError(field, nodes[name], "cannot name a node in a B source", fix)
        if not isinstance(ref, str) or not _REF.fullmatch(ref):
            raise InputError("ref", ref, "cannot name an instance", "use letters, digits and '_'")
        values = []
        for name, value in params.items():
            if name not in self.defaults:
                raise InputError(f"{self.subckt} parameter", name, "is unknown", _choose(name, self.defaults))
            try:
                values.append(f"{name}={format_number(value)}")
            except InputError as error:
                raise InputError(f"{self.subckt} {name}", value, error.problem, error.fix) from error
            if name in self.fixed and not math.isclose(value, self.defaults[name], rel_tol=1e-9):
                problem = f"differs from {self.defaults[name]:g}, which is built in"
                raise InputError(f"{self.subckt} {name}", value, problem, "change the circuit's setting, or the part")
        head = ref if ref[0] in "xX" else f"X{ref}"
        return " ".join([head, *(nodes[name] for name in names), self.subckt, *values])


def available() -> tuple[tuple[str, str], ...]:
    """Name and level of every part that comes with the package, sorted by level, then name."""
    found = [
        (entry.name.removesuffix(".lib"), level.name)
        for level in files("netlists").iterdir()
        if level.is_dir()
        for entry in level.iterdir()
        if entry.name.endswith(".lib")
    ]
    return tuple(sorted(found, key=lambda item: (item[1], item[0])))


@cache
def load_part(name: str, level: str = "ideal") -> Part:
    """Read one of the package's parts; each file is read once.

    Parameters
    ----------
    name : str
        Name of the part, such as ``'integrator'``.
    level : str, optional
        Level of realism.

    Raises
    ------
    InputError
        If there is no such part.
    NetlistError
        If its file is malformed.
    """
    known = available()
    if (name, level) not in known:
        names = [part for part, at in known if at == level]
        if not names:
            levels = sorted({at for _, at in known})
            raise InputError("level", level, "is unknown", f"use one of: {', '.join(levels)}")
        raise InputError("part", name, f"does not exist at level {level!r}", _choose(name, names))
    path = files("netlists") / level / f"{name}.lib"
    part = parse_part(path.read_text(encoding="utf-8"), f"netlists/{level}/{name}.lib")
    if (part.name, part.level) != (name, level):
        fix = f"write part {name!r}, level {level!r}"
        raise NetlistError(str(path), (part.name, part.level), "header names another part", fix)
    return part


def library(parts: Iterable[Part]) -> str:
    """Text of several parts and of all they need, each subcircuit once and after those it places.

    Parameters
    ----------
    parts : iterable of Part
        Parts of one deck; the same one may come again.

    Returns
    -------
    str
        The text, with a line end.

    Raises
    ------
    InputError, NetlistError
        As `needed`, and for two different subcircuits of one name.
    """
    return _each_once("\n".join(part.text.strip() for part in needed(parts))) + "\n"


def needed(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Some parts and all that they place, each subcircuit once and after those it places.

    Raises
    ------
    InputError
        If a needed part does not exist at its level.
    NetlistError
        If parts need each other in a circle, or different parts have the same subcircuit name.
    """
    found: dict[str, Part] = {}

    def add(part: Part, above: tuple[str, ...]) -> None:
        if part.subckt in above:
            circle = " -> ".join([*above, part.subckt])
            raise NetlistError(f"{part.subckt} uses", part.uses, f"is a circle: {circle}", "break it")
        if part.subckt in found and found[part.subckt].text != part.text:
            fix = "name one of the subcircuits differently"
            raise NetlistError("parts", part.subckt, "is the name of two different subcircuits", fix)
        for below in (*(load_part(name, part.level) for name in part.uses), *part.own):
            add(below, (*above, part.subckt))
        found.setdefault(part.subckt, part)

    for part in parts:
        add(part, ())
    return tuple(found.values())


def _placing(line: str, old: str, other: Part) -> str:
    """A line of a subcircuit that places `old`, now placing another part; other lines as they are."""
    words = line.split()
    if not words or words[0][0] not in "xX" or old not in words:
        return line
    hears = set(other.defaults) - set(other.fixed)
    kept = [word for word in words if "=" not in word or word.partition("=")[0] in hears]
    return " ".join(other.subckt if word == old else word for word in kept)


def _body(text: str) -> str:
    """What stands between the ``.subckt`` line and its end, without comments."""
    lines = logical_lines(text, title=False)
    return "\n".join(line.text for line in lines if not line.text.lower().startswith(".subckt"))


def _renamed(text: str, old: str, new: str) -> str:
    """A subcircuit under another name."""
    return re.sub(rf"(^\.(?:subckt|ends)\s+){re.escape(old)}\b", rf"\g<1>{new}", text, flags=re.M | re.I)


def _each_once(text: str) -> str:
    """Parts that are made of one vendor's op-amp bring the same definitions; ngspice would warn of the second ones.

    Raises
    ------
    NetlistError
        If two different subcircuits have one name: ngspice would take the first one for both.
    """
    kept: list[str] = []
    seen: dict[str, str] = {}
    for block, name in _blocks(text.splitlines()):
        body = "\n".join(block)
        if name:
            if name in seen and seen[name] != body and name.startswith(".subckt"):
                fix = "rename one of them in its file"
                raise NetlistError("parts", name.split()[1], "is the name of two different subcircuits", fix)
            if seen.get(name) == body:
                continue
            seen[name] = body
        kept += block
    return "\n".join(kept)


def _blocks(lines: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    """Lines in blocks, each with what it defines: a subcircuit with its body, a line with its rest, or nothing.

    What stands between ``.if`` and ``.endif`` defines nothing for sure.
    """
    block: list[str] = []
    name, inside, branches = "", 0, 0
    for line in lines:
        words = line.lower().split(maxsplit=2)
        first = words[0] if words else ""
        if not inside and not line.startswith("+"):
            if block:
                yield block, name
            block, name = [], ""
            branches += (first == ".if") - (first == ".endif")
            if first in _DEFINING and len(words) > 1 and not branches:
                name = " ".join(words[:2] if first in (".subckt", ".model") else words)
        block.append(line)
        inside += (first == ".subckt") - (first == ".ends")
    if block:
        yield block, name


_DEFINING = (".include", ".inc", ".subckt", ".model", ".param", ".func")


def parse_part(text: str, origin: str) -> Part:
    """Read a part from the text of its file, such as a user's own.

    Parameters
    ----------
    text : str
        The whole file: header, then at least one ``.subckt``. With several, the part is the one named
        ``NAME_LEVEL``, else the first.
    origin : str
        Where the text comes from; named in errors.

    Raises
    ------
    NetlistError
        If a header entry is missing, given twice or malformed, if pins, parameters or defaults differ from
        those of the ``.subckt`` line, or if ``.ends`` is missing.
    """
    fields: dict[str, str] = {}
    pins: list[Pin] = []
    notes: list[str] = []
    uses: list[str] = []
    figures: dict[str, list[Parameter]] = {"param": [], "limit": [], "drift": [], "most": []}
    for entry in _header_entries(text):
        if match := _PIN.fullmatch(entry):
            pins.append(Pin(match[1], match[2]))
        elif match := _FIGURE.fullmatch(entry):
            found = Parameter(match[2], _header_value(match, origin), match[3].strip(), match[5])
            if found.name in (one.name for one in figures[match[1]]):
                raise NetlistError(origin, entry, f"header gives {match[1]} {match[2]} twice", "keep one")
            figures[match[1]].append(found)
        elif (match := _TEXT.fullmatch(entry)) and match[1] in (*_KEYS, _COMPONENT):
            if match[1] in fields:
                raise NetlistError(origin, entry, f"header gives {match[1]!r} twice", "keep one")
            fields[match[1]] = match[2]
        elif match and match[1] == "note":
            notes.append(match[2])
        elif match and match[1] == "uses" and _REF.fullmatch(match[2]):
            uses.append(match[2])
        else:
            fix = (
                "write '* KEY: text', '* uses: NAME', '* pin NAME: text' or '* param NAME [unit] = number: text'; like"
            )
            fix += " param: limit, drift, most"
            raise NetlistError(origin, entry, "is no header entry", fix)
    for key in _KEYS:
        if key not in fields:
            fix = f"add a line '* {key}: ...' on top"
            raise NetlistError(origin, sorted(fields), f"header has no {key!r}", fix)
    subckt, nodes, defaults = _subckt_line(text, f"{fields['part']}_{fields['level']}", origin)
    parameters = figures["param"]
    _agree("pins", [pin.name for pin in pins], nodes, origin)
    _agree("parameters", [parameter.name for parameter in parameters], list(defaults), origin)
    for parameter in parameters:
        if not math.isclose(parameter.default, defaults[parameter.name], rel_tol=1e-12, abs_tol=0.0):
            field, fix = f"{origin} default of {parameter.name}", "make header and .subckt line agree"
            problem = f"differs from the .subckt line's {defaults[parameter.name]!r}"
            raise NetlistError(field, parameter.default, problem, fix)
    for word in ("limit", "drift", "most"):
        for one in figures[word]:
            _check_stated(word, one, parameters, origin)
    return Part(
        name=fields["part"],
        level=fields["level"],
        summary=fields["summary"],
        equation=fields["equation"],
        source=fields["source"],
        pins=tuple(pins),
        parameters=tuple(parameters),
        subckt=subckt,
        text=text,
        notes=tuple(notes),
        uses=tuple(uses),
        limits=tuple(figures["limit"]),
        drifts=tuple(figures["drift"]),
        maxima=tuple(figures["most"]),
        component=fields.get(_COMPONENT, ""),
    )


def _check_stated(word: str, stated: Parameter, parameters: list[Parameter], origin: str) -> None:
    """Refuse a limit that is not in `LIMITS`, and a drift or largest value of no parameter or that contradicts it."""
    field = f"{origin} {word} {stated.name}"
    units = LIMITS if word == "limit" else {one.name: one.unit + "/K" * (word == "drift") for one in parameters}
    if stated.name not in units:
        what = "limit that is known" if word == "limit" else "parameter of the part"
        raise NetlistError(field, stated.name, f"is no {what}", _choose(stated.name, units))
    if stated.unit != units[stated.name]:
        raise NetlistError(field, stated.unit, "is another unit", f"give it in [{units[stated.name]}]")
    least = max((abs(one.default) for one in parameters if word == "most" and one.name == stated.name), default=0.0)
    if stated.default < least or stated.default == 0.0:
        raise NetlistError(field, stated.default, f"must be positive and at least {least:g}", "check it")


def _choose(name: object, names: Iterable[str]) -> str:
    """End an error with the names that would do, the closest one first where there is one."""
    options = list(names)
    if not options:
        return "leave it out, there are none"
    return did_you_mean(str(name), options, f"use one of: {', '.join(options)}")


def _header_entries(text: str) -> list[str]:
    """Join the leading comment lines into entries, each without its asterisk."""
    entries: list[str] = []
    for line in text.splitlines():
        if not line.startswith("*"):
            if line.strip():
                break
            continue
        body = line[1:]
        if body.startswith("   ") and entries:
            entries[-1] += " " + body.strip()
        elif body.strip():
            entries.append(body.strip())
    return entries


def _header_value(match: re.Match[str], origin: str) -> float:
    """Read the value of a header entry, a plain finite number."""
    try:
        value = float(match[4])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        fix = "write it like 1e-3, without a suffix"
        what = "default of" if match[1] == "param" else match[1]
        raise NetlistError(f"{origin} {what} {match[2]}", match[4], "is not a plain number", fix)
    return value


def _subckt_line(text: str, preferred: str, origin: str) -> tuple[str, list[str], dict[str, float]]:
    """Name, pins and defaults of the part's own ``.subckt`` line, continuation lines joined."""
    joined = [line.text for line in logical_lines(text, origin, title=False)]
    found = [line for line in joined if line.lower().startswith(".subckt")]
    if not found:
        raise NetlistError(origin, None, "has no .subckt line", "define the part as a subcircuit")
    if sum(line.lower().startswith(".ends") for line in joined) != len(found):
        raise NetlistError(origin, found[0], ".subckt and .ends do not pair", "end every .subckt with .ends")
    line = next((line for line in found if line.split()[1:2] == [preferred]), found[0])
    words = re.sub(r"\s*=\s*", "=", line).split()[1:]
    words = [word for word in words if word.lower() != "params:"]
    if not words:
        raise NetlistError(origin, line, ".subckt has no name", "write .subckt NAME pins ... params: ...")
    defaults: dict[str, float] = {}
    for word in words:
        if "=" in word:
            name, value = word.split("=", 1)
            try:
                defaults[name] = parse_number(value.strip("{}"))
            except InputError as error:
                fix = "write a number; put expressions in .param"
                raise NetlistError(f"{origin} default of {name}", value, "is not a number", fix) from error
    return words[0], [word for word in words[1:] if "=" not in word], defaults


def _agree(what: str, header: list[str], line: list[str], origin: str) -> None:
    """Refuse a header whose names or order differ from the ``.subckt`` line's."""
    if header != line:
        fix = "make them agree, in order"
        raise NetlistError(f"{origin} {what}", header, f"differ from the .subckt line's {line}", fix)
