"""A user's own subcircuit as a part: pins and parameters are matched by name, and what does not match is explained."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inmateria.errors import InputError, NetlistError
from inmateria.spelling import did_you_mean
from netlists.reader import Part
from netlists.spice_numbers import format_number

_DEFINITIONS = (".model", ".param", ".func", ".global")
_INCLUDES = (".include", ".inc", ".lib")
_LARGEST = 4_000_000
_OPAMP = "opamp_"
"""How the names of op-amps begin."""
_NAME = re.compile(r"\w+", re.ASCII)


@dataclass(frozen=True)
class _Subcircuit:
    """A ``.subckt`` line: its name, pins and parameters in order, lower case."""

    name: str
    pins: tuple[str, ...]
    parameters: tuple[str, ...]


def user_part(
    source: str | Path | Any,
    like: Part,
    *,
    subckt: str | None = None,
    pins: Mapping[str, str] | None = None,
    supplies: Mapping[str, float] | None = None,
    fixed: Mapping[str, float] | None = None,
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
    pins : mapping, optional
        Name of the subcircuit's pin for those pins of `like` that are called otherwise, e.g. ``{"out": "w"}``.
    supplies : mapping, optional
        Voltage (V) at each further pin, e.g. ``{"vcc": 15.0, "vee": -15.0, "gnd": 0.0}``. Where `like` has a parameter
        `vsupply`, a supply of plus or minus its default follows it.
    fixed : mapping, optional
        Values of those parameters of `like` that the subcircuit does not have because they are built in. A circuit that
        asks for another value is refused.

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
    text, origin = _text(source)
    blocks, kept = _definitions(text, origin)
    chosen = _choose(blocks, subckt or (None if isinstance(source, str | Path) else source.name), origin, text)
    named = {name.lower(): str(pin).lower() for name, pin in (pins or {}).items()}
    tied = {name.lower(): float(value) for name, value in (supplies or {}).items()}
    built_in = dict(fixed or {})
    wiring = _wiring(chosen, like, named, tied)
    supplied = {pin: _supply(value, like) for pin, value in tied.items()}
    around = {"vsupply"} & set(like.defaults) if any("vsupply" in value for value in supplied.values()) else set()
    offset: list[str] = []
    if like.name.startswith(_OPAMP):
        if "vos" not in (*chosen.parameters, *built_in):
            wiring = {pin: "plus" if net == "inp" else net for pin, net in wiring.items()}
            offset, around = ["Voffset plus inp {vos}"], {*around, "vos"}
        told = {name: like.defaults[name] for name in ("headroom", "vsupply") if name not in around}
        if tied and "vsupply" in told:
            told["vsupply"] = max(abs(value) for value in tied.values())
        built_in = {**told, **built_in}
        own = {*chosen.parameters, *built_in, *around}
        like = replace(like, parameters=tuple(p for p in like.parameters if p.name.lower() in own))
    _check_parameters(chosen, like, built_in, around)
    defaults = {**like.defaults, **built_in}
    wrapper = f"{chosen.name}_as_{like.name}"
    passed = " ".join(f"{name}={{{name}}}" for name in like.defaults if name.lower() in chosen.parameters)
    values = " ".join(f"{name}={format_number(value)}" for name, value in defaults.items())
    lines = [
        f".subckt {wrapper} {' '.join(pin.name for pin in like.pins)}" + (f" params: {values}" if values else ""),
        f"Xuser {' '.join(wiring[pin] for pin in chosen.pins)} {chosen.name} {passed}".rstrip(),
        *offset,
        *(f"Vsupply_{pin} supply_{pin} 0 {value}" for pin, value in supplied.items()),
        f".ends {wrapper}",
    ]
    return replace(
        like,
        level="user",
        summary=f"{chosen.name} of {origin}",
        source=origin,
        parameters=tuple(replace(parameter, default=defaults[parameter.name]) for parameter in like.parameters),
        subckt=wrapper,
        text="\n".join([*kept, *lines, ""]),
        notes=(),
        fixed=tuple(built_in),
        uses=(),
        limits=(),  # like drifts and largest values those of another part, but for the offset around it
        drifts=tuple(one for one in like.drifts if one.name == "vos" and one.name in around),
        maxima=tuple(one for one in like.maxima if one.name == "vos" and one.name in around),
    )


def _wiring(chosen: _Subcircuit, like: Part, named: Mapping[str, str], tied: Mapping[str, float]) -> dict[str, str]:
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
            wiring[pin] = f"supply_{pin}"
        elif pin not in wiring:
            fix = f"say supplies={{{pin!r}: 15.0}} with its voltage, or which pin it is with pins=..."
            raise InputError(f"{chosen.name} pins", list(chosen.pins), f"{pin!r} is connected to nothing", fix)
    _refuse_unknown("supplies", tied, chosen.pins, chosen.name)
    return wiring


def _supply(value: float, like: Part) -> str:
    """A supply as the wrapper has it: what `like` calls its supply, where it is that one, else a number."""
    usual = like.defaults.get("vsupply")
    if usual is not None and abs(value) == usual:
        return "{vsupply}" if value > 0.0 else "{-vsupply}"
    return format_number(value)


def _check_parameters(
    chosen: _Subcircuit, like: Part, built_in: Mapping[str, float], around: Collection[str] = ()
) -> None:
    """Each parameter of `like` is the subcircuit's own, built in, or what the wrapper has around it."""
    _refuse_unknown("fixed", built_in, list(like.defaults), like.name)
    for name in like.defaults:
        if name.lower() in chosen.parameters and name in built_in:
            raise InputError(f"fixed[{name!r}]", built_in[name], f"{chosen.name} has that parameter", "leave it out")
        if name.lower() not in (*chosen.parameters, *built_in, *around):
            problem = f"lack {name!r}, which sets the {like.name}"
            fix = f"add it to the .subckt line, or say fixed={{{name!r}: {like.defaults[name]:g}}} if that is built in"
            raise InputError(f"{chosen.name} parameters", list(chosen.parameters), problem, fix)


def _text(source: Any) -> tuple[str, str]:
    """Netlist text, and where it is from."""
    if not isinstance(source, str | Path):
        if not hasattr(source, "external_nodes"):  # PySpice's SubCircuit has; this room loads no PySpice
            raise InputError("source", source, "is no subcircuit", "give a path or a PySpice SubCircuit")
        return str(source), f"SubCircuit {source.name}"
    path = Path(source)
    try:
        if path.stat().st_size > _LARGEST:
            raise NetlistError("part", str(path), f"is larger than {_LARGEST} bytes", "give the subcircuit's own file")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise NetlistError("part", str(path), f"cannot be read ({error.strerror})", "check the path") from error
    return _with_absolute_includes(text, path.resolve().parent), str(path)


def _with_absolute_includes(text: str, folder: Path) -> str:
    """Includes are relative to the file, and the deck will lie elsewhere."""
    lines = []
    for line in text.splitlines():
        words = line.split(maxsplit=1)
        if len(words) == 2 and words[0].lower() in _INCLUDES:
            quoted = re.match(r"""(["'])(.*?)\1(.*)|(\S+)(.*)""", words[1])
            assert quoted is not None
            name, rest = (quoted[2], quoted[3]) if quoted[1] else (quoted[4], quoted[5])
            found = folder / name
            if not found.is_file():
                raise NetlistError("part", line.strip(), f"{found} does not exist", "put it beside the part")
            line = f'{words[0]} "{found}"{rest}'
        lines.append(line)
    return "\n".join(lines)


def _definitions(text: str, origin: str) -> tuple[list[_Subcircuit], list[str]]:
    """The outermost subcircuits, and all lines that define something."""
    joined = re.sub(r"\r?\n[ \t]*\+", " ", text).splitlines()
    found: list[_Subcircuit] = []
    kept: list[str] = []
    depth = 0
    for line in joined:
        words = line.split()
        first = words[0].lower() if words else ""
        if first == ".subckt":
            depth += 1
            if depth == 1:
                found.append(_head(line, origin))
        if depth or first in _DEFINITIONS or first in _INCLUDES:
            kept.append(line)
        if first == ".ends":
            depth -= 1
            if depth < 0:
                raise NetlistError("part", origin, "has an .ends without .subckt", "end every .subckt with one .ends")
    if depth:
        raise NetlistError("part", origin, "has a .subckt without .ends", "end every .subckt with .ends")
    if not found:
        raise NetlistError("part", origin, "has no .subckt line", "define the part as a subcircuit")
    return found, kept


def _head(line: str, origin: str) -> _Subcircuit:
    words = re.sub(r"\s*=\s*", "=", line.split(";")[0]).lower().split()[1:]
    words = [word for word in words if word not in ("params:", "params")]
    if not words or "=" in words[0] or not _NAME.fullmatch(words[0]):
        raise NetlistError("part", line.strip(), f".subckt of {origin} has no name", "write .subckt NAME pins ...")
    pins = tuple(word for word in words[1:] if "=" not in word)
    return _Subcircuit(words[0], pins, tuple(word.split("=")[0] for word in words[1:] if "=" in word))


def _choose(blocks: list[_Subcircuit], name: str | None, origin: str, text: str) -> _Subcircuit:
    """The subcircuit of that name, or the only one that no other one uses."""
    names = [block.name for block in blocks]
    if name is not None:
        if name.lower() not in names:
            raise InputError("subckt", name, f"is not in {origin}", did_you_mean(name, names, f"choose from {names}"))
        return blocks[names.index(name.lower())]
    used = {word for line in text.lower().splitlines() if line.lstrip().startswith("x") for word in line.split()[1:]}
    tops = [block for block in blocks if block.name not in used]
    if len(tops) != 1:
        raise InputError("subckt", None, f"{origin} has several: {', '.join(names)}", "say which with subckt=...")
    return tops[0]


def _refuse_unknown(field: str, given: Iterable[str], known: Iterable[str], owner: str) -> None:
    for name in given:
        if name not in known:
            raise InputError(field, name, f"is unknown to {owner}", f"choose from {', '.join(known) or 'nothing'}")
