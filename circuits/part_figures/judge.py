"""A vendor's model, judged: whether and in which dialect it runs, and whether it has its data sheet's figures.

A model that is better than its part is the more dangerous one: a design that it passes need not work. So figures agree
within a share either way, but for those of which a sample may have less, such as an offset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from circuits.ngspice.engine import Engine
from circuits.part_figures.bench import PartBench
from circuits.part_figures.figure import Curve, Figure, Kind, Measured
from circuits.part_figures.kinds import KINDS
from inmateria.checks import positive
from inmateria.errors import ConvergenceError, EngineError, InputError, NetlistError
from inmateria.spelling import did_you_mean
from netlists.reader import Part, Pin, load_part
from netlists.user_part import subcircuit_pins, user_part

COLD_HOT_C = (-40.0, 125.0)
"""Temperatures, degC, at which a part has to find its operating point, too."""

_TRIED = ("pspice", "ltspice", "hspice")
_WRONG_SCALE = 0.2
"""Error of a multiplier's scale beyond which it is another multiplier."""
_NO_NOISE = 1e-10
"""V/rtHz that no part's noise is below."""
_ENDLESS_SLEW = 1e9
"""V/s beyond which a slew rate is none."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One figure.

    Attributes
    ----------
    figure : Figure
    measured : float
        NaN where it could not be measured.
    reason : str
        Why not.
    stated : float or None
        What the data sheet says.
    agrees : bool or None
        None where nothing is stated.
    told : str
        In words.
    """

    figure: Figure
    measured: float
    reason: str
    stated: float | None
    agrees: bool | None
    told: str


@dataclass(frozen=True)
class Judgement:
    """What was found of a model.

    Attributes
    ----------
    part : Part
        As measured, its supplies inside.
    kind : Kind
    wiring : mapping of str to str
        The file's pin for each of the kind's, and for each supply, such as ``15 V``.
    dialect : str or None
        In which ngspice reads it; None for its own.
    figures : tuple of Judged
    faults : tuple of str
        What speaks against the model, whatever its data sheet says.
    doubts : tuple of str
        What is only suspicious in its file.
    compared : mapping of str to Measured
        The same of our parts of level macro.
    curves : tuple of Curve
        What was recorded of the model on the way.
    """

    part: Part
    kind: Kind
    wiring: Mapping[str, str]
    dialect: str | None
    figures: tuple[Judged, ...]
    faults: tuple[str, ...]
    doubts: tuple[str, ...]
    compared: Mapping[str, Measured]
    curves: tuple[Curve, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it and every stated figure agrees."""
        return not self.faults and all(one.agrees is not False for one in self.figures)


def judge_part(
    source: str | Path,
    kind: str,
    engine: Engine,
    *,
    subckt: str | None = None,
    section: str | None = None,
    pins: Mapping[str, str] | None = None,
    supplies: Mapping[str, float] | None = None,
    stated: Mapping[str, float] | None = None,
    within: float = 0.3,
    supply_V: float = 15.0,
    load_ohm: float = 1e4,
    dialect: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Judgement:
    """Measure a vendor's model and compare it with its data sheet and with our own part of level macro.

    Parameters
    ----------
    source : path
    kind : str
        A name of `KINDS`.
    engine : Engine
    subckt, section : str, optional
        As of `user_part`.
    pins : mapping of str to str, optional
        The file's pin for each of the kind's pins; left out, they are found by usual names, or by the usual order.
    supplies : mapping of str to float, optional
        Voltage at each further pin, V; left out, plus and minus `supply_V` at pins of usual names or places.
    stated : mapping of str to float, optional
        The data sheet's figures by name, in the figure's unit.
    within : float, optional
        Share by which a figure may differ from the data sheet's.
    supply_V, load_ohm : float, optional
    dialect : str, optional
        Left out, ngspice's own and then others are tried until it runs.
    progress : callable, optional
        Called as progress(done, count) before each measurement.

    Raises
    ------
    InputError
        If an argument is wrong, or pins cannot be told.
    NetlistError
        If the file cannot be read or is no netlist, with what it is.
    """
    if kind not in KINDS:
        raise InputError(
            "kind", kind, "is none that can be judged", did_you_mean(kind, KINDS, f"use {', '.join(KINDS)}")
        )
    found = KINDS[kind]
    positive("within", within, "of the figure")
    positive("supply_V", supply_V, "V")
    positive("load_ohm", load_ohm, "ohm")
    sheet = dict(stated or {})
    names = [figure.name for figure in found.figures]
    for name, value in sheet.items():
        if name not in names:
            raise InputError(
                "stated", name, f"is no figure of a {kind}", did_you_mean(name, names, f"use {', '.join(names)}")
            )
        positive(f"stated[{name!r}]", value, found.figures[names.index(name)].unit)
    there = subcircuit_pins(source, subckt, section, tuple((pins or {}).values()))
    wiring, tied = _wired(found, there, dict(pins or {}), dict(supplies or {}), supply_V)
    if kind in ("opamp", "multiplier") and tied and min(tied.values()) * max(tied.values()) >= 0.0:
        fix = "give both signs, such as 2.5 and -2.5 V for a single supply of 5 V"
        raise InputError("supplies", dict(tied), "do not lie on both sides of 0 V, about which is measured", fix)
    like = Part(
        name=kind, level="user", summary=found.name, equation="", source="", parameters=(), subckt=kind, text="",
        pins=tuple(Pin(name, what) for name, what in found.pins.items()),
    )  # fmt: skip
    part = user_part(source, like, subckt=subckt, section=section, pins=wiring, supplies=tied)
    rails = max((abs(volts) for volts in tied.values()), default=supply_V)
    bench = PartBench(part, engine, rails, load_ohm)
    tell = progress or (lambda done, count: None)
    count = 2 + len(found.compared)
    tell(0, count)
    bench, measured, faults = _measured(found, bench, dialect)
    tell(1, count)
    if measured.figures:
        faults += _faults(found, bench, measured.figures, tied)
    compared = {}
    for k, name in enumerate(found.compared):
        tell(2 + k, count)
        compared[name] = found.measure(PartBench(load_part(name, "macro"), engine, supply_V, load_ohm))
    figures = []
    for figure in found.figures:
        value = measured.figures.get(figure.name, math.nan)
        reason = measured.reasons.get(figure.name, "it does not run")
        figures.append(_judged(figure, value, reason, sheet.get(figure.name), within))
    named = {**wiring, **{f"{volts:g} V": pin for pin, volts in tied.items()}}
    doubts = () if not measured.figures else tuple(bench.doubts())
    return Judgement(
        part, found, named, bench.dialect, tuple(figures), tuple(faults), doubts, compared, tuple(measured.curves)
    )


def _wired(
    kind: Kind, there: tuple[str, ...], pins: dict[str, str], supplies: dict[str, float], supply_V: float
) -> tuple[dict[str, str], dict[str, float]]:
    """The file's pin for each of the kind's, and the voltage at each other one."""
    pins = {name.lower(): pin.lower() for name, pin in pins.items()}
    supplies = {pin.lower(): volts for pin, volts in supplies.items()}
    volts = {"supply+": supply_V, "supply-": -supply_V, "ground": 0.0}
    left = [pin for pin in there if pin not in (*pins.values(), *supplies)]
    roles = [role for role in kind.aliases if role not in pins]
    by_name = _by_name(kind, left, roles)
    needed = [name for name in kind.pins if name not in pins]
    if all(name in by_name.values() for name in needed):
        found = by_name
    elif len(there) == len(kind.order) and not pins:
        found = {pin: role for pin, role in zip(there, kind.order, strict=True) if pin not in supplies}
    else:
        fix = "say pins=" + ",".join(f"{name}=PIN" for name in needed) + " (and supplies=PIN=15,PIN=-15)"
        raise InputError("pins", list(there), f"do not tell which is the {kind.name}'s {', '.join(needed)}", fix)
    for pin, role in found.items():
        if role in volts:
            supplies.setdefault(pin, volts[role])
        else:
            pins.setdefault(role, pin)
    return pins, supplies


def _by_name(kind: Kind, left: list[str], roles: list[str]) -> dict[str, str]:
    """Roles of pins with usual names; of two pins for one of the kind's own, the more usual name has it."""
    found: dict[str, str] = {}
    for role in roles:
        named = [pin for pin in kind.aliases[role] if pin in left and pin not in found]
        for pin in named[:1] if role in kind.pins else named:
            found[pin] = role
    return found


def _measured(kind: Kind, bench: PartBench, dialect: str | None) -> tuple[PartBench, Measured, list[str]]:
    """Figures in the first dialect in which the part runs; where it runs in none, the reason in ngspice's own."""
    tried = (dialect,) if dialect is not None else (None, *_TRIED)
    first: Exception | None = None
    for one in tried:
        at = replace(bench, dialect=one)
        try:
            return at, kind.measure(at), []
        except (NetlistError, ConvergenceError, EngineError) as error:
            first = first or error
    assert first is not None
    how = "in no dialect" if dialect is None else f"not as {dialect}"
    return (
        replace(bench, dialect=dialect),
        Measured(),
        [f"it runs {how}: {first}"],
    )


def _faults(kind: Kind, bench: PartBench, measured: Mapping[str, float], tied: Mapping[str, float]) -> list[str]:
    """What speaks against a model, whatever its data sheet says."""
    found: list[str] = []
    missing = [name for name, value in measured.items() if math.isnan(value) and (name != "supply_current" or tied)]
    if missing:
        found.append(f"could not be measured: {', '.join(missing)}")
    if measured.get("gain", 1.0) < 0.0:
        found.append("its gain is negative: are the inputs exchanged?")
    elif measured.get("gain", 1e9) < 100.0:
        found.append(f"its open-loop gain is {measured['gain']:.3g}")
    if abs(measured.get("scale_error", 0.0)) > _WRONG_SCALE:
        gain = 1.0 + measured["scale_error"]
        found.append(f"its output is {gain:.3g} times the product over 10 V")
    if measured.get("swing", 0.0) > 1.01 * bench.supply_V:
        found.append(f"its output goes to {measured['swing']:.3g} V, beyond its supplies of {bench.supply_V:g} V")
    if measured.get("swing", math.inf) <= 0.0:
        found.append("its output does not move to both sides")
    if measured.get("slew", 0.0) > _ENDLESS_SLEW:
        found.append("it has no slew rate")
    if measured.get("bandwidth", 0.0) == math.inf:
        found.append("it has no bandwidth")
    if measured.get("noise", 1.0) < _NO_NOISE:
        found.append("it has next to no noise")
    if tied and measured.get("supply_current", 1.0) < 1e-9:
        found.append("it takes no supply current")
    if measured.get("phase_margin", 90.0) <= 0.0:
        found.append(f"as a follower it oscillates: its phase margin is {measured['phase_margin']:.3g} degrees")
    for celsius in COLD_HOT_C:
        at = replace(bench, celsius=celsius)
        try:
            kind.measure(at)
        except (NetlistError, ConvergenceError, EngineError) as error:
            found.append(f"at {celsius:g} degC it does not run: {error}")
    return found


def _judged(figure: Figure, measured: float, reason: str, stated: float | None, within: float) -> Judged:
    if math.isnan(measured):
        return Judged(figure, measured, reason, stated, None if stated is None else False, f"not measured: {reason}")
    if stated is None:
        return Judged(figure, measured, "", None, None, "")
    size = abs(measured)
    if size > stated * (1.0 + within):
        return Judged(figure, measured, "", stated, False, "more than stated")
    if figure.sense == "most":
        told = "agrees" if size > 0.1 * stated else "the model has next to none: give the part's by its figures"
        return Judged(figure, measured, "", stated, True, told)
    if size < stated * (1.0 - within):
        return Judged(figure, measured, "", stated, False, "less than stated")
    return Judged(figure, measured, "", stated, True, "agrees")
