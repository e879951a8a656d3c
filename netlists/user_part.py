"""A user's own subcircuit as a part: pins and parameters are matched by name, and what does not match is explained."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inmateria.errors import InputError, NetlistError, TrustWarning
from inmateria.spelling import did_you_mean
from netlists.definitions import GROUND, Definitions, Subcircuit, define, included_definitions, reached
from netlists.includes import Include, sections
from netlists.lines import logical_lines
from netlists.reader import Part
from netlists.spice_numbers import format_number

_DEFINITIONS = frozenset(
    {".model", ".param", ".params", ".parameter", ".csparam", ".func", ".function", ".global"}
    | {".if", ".elseif", ".else", ".endif"}
)
_OPAMP = "opamp_"
"""How the names of op-amps begin."""


def user_part(
    source: str | Path | Any,
    like: Part,
    *,
    subckt: str | None = None,
    section: str | None = None,
    pins: Mapping[str, str] | None = None,
    supplies: Mapping[str, float] | None = None,
    fixed: Mapping[str, float] | None = None,
    dialect: str | None = None,
) -> Part:
    """Make a part that takes the place of `like` out of a user's own subcircuit.

    Parameters
    ----------
    source : path or PySpice SubCircuit
        A ``.lib`` or ``.cir`` file; of the latter only definitions are taken (``.subckt``, ``.model``, ``.param``,
        ``.func``, ``.include``), not its sources and analyses.
    like : Part
        The part whose place it takes, e.g. ``load_part("mixer")``: it says which pins and parameters there have to be.
    subckt : str, optional
        Which subcircuit of the file; needed if there are several that no other one uses.
    section : str, optional
        Which section (``.lib NAME`` to ``.endl``) of the file; needed where it has some.
    pins : mapping, optional
        Name of the subcircuit's pin for those pins of `like` that are called otherwise, e.g. ``{"out": "w"}``.
    supplies : mapping, optional
        Voltage (V) at each further pin, e.g. ``{"vcc": 15.0, "vee": -15.0, "gnd": 0.0}``. Where `like` has a parameter
        `vsupply`, a supply of plus or minus its default follows it.
    fixed : mapping, optional
        Values of those parameters of `like` that the subcircuit does not have because they are built in. A circuit that
        asks for another value is refused.
    dialect : str, optional
        Whose language the file is, where that is not ngspice's own: ``"pspice"``, ``"ltspice"``, ``"hspice"``.
        A deck with the part says so in a remark, and `Engine` reads it so, the whole of it.

    An op-amp's parameters are figures, not settings: those that the subcircuit lacks are its own. Only `vos`, which
    differs from sample to sample and is in no vendor's model, is put in series with its positive input, and `headroom`,
    by which overloads are told, stays that of `like` unless `fixed` says otherwise.

    Returns
    -------
    Part
        Of level ``"user"``, for `HomodyneLoop`'s ``parts`` or a deck of one's own.

    Raises
    ------
    InputError
        If pins or parameters do not match, with what there is and what would do.
    NetlistError
        If the file cannot be read or holds no such subcircuit.
    """
    found, origin = _definitions(source, section)
    named = {name.lower(): str(pin).lower() for name, pin in (pins or {}).items()}
    tied = {name.lower(): float(value) for name, value in (supplies or {}).items()}
    asked = subckt or (None if isinstance(source, str | Path) else source.name)
    chosen = _choose(found, asked, origin, {*(named.get(pin.name, pin.name) for pin in like.pins), *tied})
    kept = _kept(found, chosen)
    built_in = dict(fixed or {})
    wiring = _wiring(chosen, like, named, tied)
    supplied = {pin: _supply(value, like) for pin, value in tied.items()}
    around = {"vsupply"} & set(like.defaults) if any("vsupply" in value for value in supplied.values()) else set()
    offset: list[str] = []
    if like.name.startswith(_OPAMP):
        if "vos" not in (*chosen.parameters, *built_in):
            wiring = {pin: "plus" if net == "inp" else net for pin, net in wiring.items()}
            offset, around = ["Voffset plus inp {vos}"], {*around, "vos"}
        told: dict[str, float] = {
            name: like.defaults[name]
            for name in ("headroom", "vsupply")
            if name in like.defaults and name not in around
        }
        if tied and "vsupply" in told:
            told["vsupply"] = max(abs(value) for value in tied.values())
        built_in = {**told, **built_in}
        own = {*chosen.parameters, *built_in, *around}
        like = replace(like, parameters=tuple(p for p in like.parameters if p.name.lower() in own))
    # An op-amp's parameters are figures: those that it sets inside of itself are its own.
    settable = {*chosen.parameters, *([] if like.name.startswith(_OPAMP) else chosen.own_parameters)}
    _check_parameters(chosen, settable, like, built_in, around)
    defaults = {**like.defaults, **built_in}
    wrapper = f"{re.sub(r'[^0-9a-z_]', '_', chosen.name)}_as_{like.name}"
    passed = " ".join(f"{name}={{{name}}}" for name in like.defaults if name.lower() in settable)
    values = " ".join(f"{name}={format_number(value)}" for name, value in defaults.items())
    lines = [
        f".subckt {wrapper} {' '.join(pin.name for pin in like.pins)}" + (f" params: {values}" if values else ""),
        f"Xuser {' '.join(wiring[pin] for pin in chosen.pins)} {chosen.name} {passed}".rstrip(),
        *offset,
        *(f"V{wiring[pin]} {wiring[pin]} 0 {value}" for pin, value in supplied.items() if wiring[pin] != "0"),
        f".ends {wrapper}",
    ]
    return replace(
        like,
        level="user",
        summary=f"{chosen.name} of {origin}",
        source=origin,
        parameters=tuple(replace(parameter, default=defaults[parameter.name]) for parameter in like.parameters),
        subckt=wrapper,
        text="\n".join([*([f"* dialect: {dialect}"] if dialect else []), *kept, *lines, ""]),
        notes=(),
        fixed=tuple(built_in),
        uses=(),
        limits=(),  # like drifts and largest values those of another part, but for the offset around it
        drifts=tuple(one for one in like.drifts if one.name == "vos" and one.name in around),
        maxima=tuple(one for one in like.maxima if one.name == "vos" and one.name in around),
    )


def subcircuit_pins(
    source: str | Path | Any, subckt: str | None = None, section: str | None = None, named: Collection[str] = ()
) -> tuple[str, ...]:
    """Pins (lower case) of the subcircuit that `user_part` would take, of which some are `named`; the rest as there."""
    found, origin = _definitions(source, section)
    asked = subckt or (None if isinstance(source, str | Path) else source.name)
    return _choose(found, asked, origin, {name.lower() for name in named}).pins


def _wiring(chosen: Subcircuit, like: Part, named: Mapping[str, str], tied: Mapping[str, float]) -> dict[str, str]:
    """Net inside the wrapper for each pin of the user's subcircuit: a pin of `like`, or a supply."""
    own = [pin.name for pin in like.pins]
    _refuse_unknown("pins", named, own, like.name)
    wiring: dict[str, str] = {}
    for name in own:
        pin = named.get(name, name)
        if pin not in chosen.pins:
            problem, fix = f"have no {pin!r} for the {like.name}'s {name!r}", f"say pins={{{name!r}: ...}}"
            raise InputError(f"{chosen.name} pins", list(chosen.pins), problem, did_you_mean(pin, chosen.pins, fix))
        if pin in wiring:
            raise InputError("pins", pin, f"is both {wiring[pin]!r} and {name!r}", "give each its own")
        wiring[pin] = name
    for pin in chosen.pins:
        if pin in tied:
            if pin in wiring:
                raise InputError(f"supplies[{pin!r}]", tied[pin], f"is the pin {wiring[pin]!r}", "leave it out")
            net = f"supply_{re.sub(r'[^0-9a-z_]', '_', pin)}"
            alike = f"{net}_{len(wiring)}" if net in wiring.values() else net  # of v+ and v-
            wiring[pin] = "0" if tied[pin] == 0.0 else alike
        elif pin not in wiring:
            fix = f"say supplies={{{pin!r}: 15.0}} with its voltage, or which pin it is with pins=..."
            raise InputError(f"{chosen.name} pins", list(chosen.pins), f"{pin!r} is connected to nothing", fix)
    _refuse_unknown("supplies", tied, chosen.pins, chosen.name)
    for pin in GROUND.intersection(chosen.pins):
        if wiring[pin] != "0":
            problem = f"of {chosen.name} is node 0 to ngspice, whatever is connected to it"
            fix = f"rename it in its .subckt, or say supplies={{{pin!r}: 0.0}}"
            raise InputError("pin", pin, problem, fix)
    return wiring


def _supply(value: float, like: Part) -> str:
    """A supply as the wrapper has it: what `like` calls its supply, where it is that one, else a number."""
    usual = like.defaults.get("vsupply")
    if usual is not None and abs(value) == usual:
        return "{vsupply}" if value > 0.0 else "{-vsupply}"
    return format_number(value)


def _check_parameters(
    chosen: Subcircuit, settable: Collection[str], like: Part, built_in: Mapping[str, float], around: Collection[str]
) -> None:
    """Each parameter of `like` is one that a call may set, built in, or what the wrapper has around it."""
    _refuse_unknown("fixed", built_in, list(like.defaults), like.name)
    for name in like.defaults:
        if name.lower() in settable and name in built_in:
            raise InputError(f"fixed[{name!r}]", built_in[name], f"{chosen.name} has that parameter", "leave it out")
        if name.lower() not in (*settable, *built_in, *around):
            problem = f"lack {name!r}, which sets the {like.name}"
            fix = f"add it to the .subckt line, or say fixed={{{name!r}: {like.defaults[name]:g}}} if that is built in"
            raise InputError(f"{chosen.name} parameters", sorted(settable), problem, fix)


def _definitions(source: Any, section: str | None) -> tuple[Definitions, str]:
    """What a source defines, and where it is from.

    Raises
    ------
    InputError, NetlistError
        If it is no subcircuit, cannot be read, or defines none.
    """
    if not isinstance(source, str | Path):
        if not hasattr(source, "external_nodes"):  # PySpice's SubCircuit has; this room loads no PySpice
            raise InputError("source", source, "is no subcircuit", "give a path or a PySpice SubCircuit")
        found, origin = define(logical_lines(str(source), "subcircuit", title=False)), f"SubCircuit {source.name}"
    else:
        path, origin = Path(source).expanduser(), str(source)
        if section is None and (named := sections(path)):
            problem = f"holds sections: {', '.join(named)}"
            raise InputError("section", None, f"{origin} {problem}", "say which with section=...")
        found = included_definitions(Include(path.resolve(), (section or "").lower()))
        for doubt in found.doubts:
            warnings.warn(doubt, TrustWarning, stacklevel=3)
    if not found.subcircuits:
        raise NetlistError("part", origin, "has no .subckt line", "define the part as a subcircuit")
    return found, origin


def _kept(found: Definitions, chosen: Subcircuit) -> list[str]:
    """Lines that define something: the subcircuit, what it places, models and parameters; no source, no analysis."""
    needed = {*found.subcircuits[chosen.name]}
    needed |= set(reached([call for one in needed for call in one.calls], [found]))
    kept: list[str] = []
    for item in found.items:
        if isinstance(item, Subcircuit):
            kept += [line.text for line in item.lines] if item in needed else []
        elif item.text.split(maxsplit=1)[0].lower() in _DEFINITIONS:
            kept.append(item.text)
    return kept


def _choose(found: Definitions, name: str | None, origin: str, pins: Collection[str]) -> Subcircuit:
    """The subcircuit of that name, or the only one that no other one uses, or of these the only one with such pins."""
    names = list(found.subcircuits)
    if name is None:
        used = {call.name for blocks in found.subcircuits.values() for one in blocks for call in one.calls}
        used |= {call.name for call in found.calls}
        tops = [one for one in names if one not in used]
        if len(tops) != 1:
            tops = [one for one in tops if set(pins) <= set(found.subcircuits[one][0].pins)] or tops
        if len(tops) != 1:
            raise InputError("subckt", None, f"{origin} has several: {', '.join(names)}", "say which with subckt=...")
        name = tops[0]
    if name.lower() not in names:
        raise InputError("subckt", name, f"is not in {origin}", did_you_mean(name, names, f"choose from {names}"))
    first, *others = found.subcircuits[name.lower()]
    if any(other.pins != first.pins for other in others):
        raise NetlistError("part", first.name, f"stands in {origin} with different pins", "keep one of them")
    return first


def _refuse_unknown(field: str, given: Iterable[str], known: Iterable[str], owner: str) -> None:
    for name in given:
        if name not in known:
            raise InputError(field, name, f"is unknown to {owner}", f"choose from {', '.join(known) or 'nothing'}")
