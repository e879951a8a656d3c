"""`inmateria part`: a vendor's model, judged against its data sheet."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.commands.frame import Frame, Json
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import stages

if TYPE_CHECKING:
    import xarray as xr

    from circuits.part_figures.judge import Judgement

FILES = ("part.nc", "part.png")

_DECIBEL = re.compile(r"([+-]?[\d.]+)\s*dB", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Options:
    """A model's file, what it is, and what its data sheet says."""

    file: Annotated[Path, typer.Argument(help="The model's file (.lib, .cir, .sub).")]
    kind: Annotated[str, typer.Option("--as", help="What it is: opamp, multiplier, comparator, switch.")]
    subckt: Annotated[str | None, typer.Option(help="Which subcircuit of the file.")] = None
    section: Annotated[str | None, typer.Option(help="Which section (.lib NAME) of the file.")] = None
    pins: Annotated[str | None, typer.Option(help="The file's pins, such as inp=1,inn=2,out=5.")] = None
    supplies: Annotated[str | None, typer.Option(help="Voltages at the other pins, such as 3=15,4=-15.")] = None
    sheet: Annotated[
        list[str], typer.Option("--expect", help="The data sheet's figure, such as gbw=600kHz; repeat it.")
    ] = field(default_factory=list)
    within: Annotated[float, typer.Option(help="Share by which a figure may differ from the data sheet's.")] = 0.3
    supply: Annotated[float, typer.Option(help="Supplies, plus and minus, V.")] = 15.0
    load: Annotated[float, typer.Option(help="Load at the output, ohm.")] = 1e4
    dialect: Annotated[
        str | None, typer.Option(help="Whose language the file is: pspice, ltspice, hspice; tried, if left out.")
    ] = None
    out: Annotated[
        Path | None, typer.Option(help="Folder for part.png, part.nc (its curves), summary.json, decks that fail.")
    ] = None
    as_json: Json = False


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Judge a vendor's model: its figures beside its data sheet's and our own part's, and its dialect.

    Exit 0 if nothing speaks against it and each stated figure agrees, 1 if not. The figures' names are in the table.

    Example: inmateria part op07.lib --as opamp --expect gbw=600kHz
    """
    from circuits.ngspice.engine import Engine
    from circuits.part_figures.judge import judge_part
    from inmateria.commands.experiment import si_number

    pins = {name: pin for name, pin in _pairs("pins", options.pins, "inp=1,inn=2,out=5")}
    given = _pairs("supplies", options.supplies, "3=15,4=-15")
    supplies = {pin: si_number("supplies", text, "V") for pin, text in given}
    stated = _stated(options)
    with frame.keeping(), stages(stderr) as progress, Engine(folder=frame.folder) as engine:
        found = judge_part(
            options.file,
            options.kind,
            engine,
            subckt=options.subckt,
            section=options.section,
            pins=pins,
            supplies=supplies,
            stated=stated,
            within=options.within,
            supply_V=options.supply,
            load_ohm=options.load,
            dialect=options.dialect,
            progress=lambda done, count: progress("figures", done, count),
        )
    _tell(found, frame)
    if found.curves:
        frame.write_dataset("part.nc", _dataset(found, options.file.name))
        frame.write_figures(_figures)
    return frame.summary(_document(found, options))


def _dataset(found: Judgement, name: str) -> xr.Dataset:
    """Every curve of the model and of our parts, each over an axis of its own."""
    import xarray as xr

    curves = [(name, one) for one in found.curves]
    curves += [(f"our {part}", one) for part, measured in found.compared.items() for one in measured.curves]
    variables = {}
    for k, (part, curve) in enumerate(curves):
        said = {
            "part": part, "curve": curve.name, "x_label": curve.x_label, "y_label": curve.y_label,
            "logarithmic": curve.logarithmic,
        }  # fmt: skip
        variables[f"curve_{k}"] = xr.DataArray(curve.y, {f"axis_{k}": curve.x}, attrs=said)
    return xr.Dataset(variables)


def _figures(data: xr.Dataset) -> dict[str, Any]:
    from analysis.plots.part import plot_part

    return {"part.png": plot_part(data)}


def _pairs(field: str, text: str | None, example: str) -> list[tuple[str, str]]:
    """``NAME=VALUE`` pairs between commas."""
    found = []
    for word in (text or "").split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        if word.strip():
            if not (name and equals and value):
                raise InputError(field, text, f"{word.strip()!r} is no pair", f"write for example {example}")
            found.append((name, value))
    return found


def _stated(options: Options) -> dict[str, float]:
    """The data sheet's figures, each in its figure's unit."""
    from analysis.designs.units import quantity
    from circuits.part_figures.kinds import KINDS

    units = {one.name: one.unit for kind in KINDS.values() if kind.name == options.kind for one in kind.figures}
    found = {}
    for text in options.sheet:
        for name, value in _pairs("expect", text, "gbw=600kHz"):
            unit = {"V/V": "1", "V/rtHz": "V/Hz^0.5"}.get(units.get(name, "1"), units.get(name, "1"))
            known = name in units
            if (decibel := _DECIBEL.fullmatch(value)) is not None and unit == "1":
                found[name] = 10.0 ** (float(decibel[1]) / 20.0)
            else:
                value = value.replace("rtHz", "Hz^0.5")
                found[name] = quantity(f"expect {name}", value, unit) if known else 1.0  # `judge_part` refuses it
    return found


def _document(found: Judgement, options: Options) -> dict[str, Any]:
    return {
        "success": found.passed,
        "file": str(options.file),
        "kind": found.kind.name,
        "subckt": found.part.subckt,
        "pins": dict(found.wiring),
        "dialect": found.dialect,
        "faults": list(found.faults),
        "doubts": list(found.doubts),
        "figures": [
            {
                "name": one.figure.name,
                "unit": one.figure.unit,
                "description": one.figure.description,
                "measured": one.measured,
                "reason": one.reason or None,
                "stated": one.stated,
                "agrees": one.agrees,
                "ours": {name: measured.figures[one.figure.name] for name, measured in found.compared.items()},
            }
            for one in found.figures
        ],
    }


def _tell(found: Judgement, frame: Frame) -> None:
    """The figures as a table, then what speaks against the model."""
    from analysis.designs.units import written

    def cell(value: float | None, unit: str) -> str:
        if value is None or value != value:
            return "-"
        return written(value, {"V/V": "1"}.get(unit, unit), 4)

    pins = ", ".join(f"{name}={pin}" for name, pin in found.wiring.items())
    frame.say(f"pins {pins}; read as {found.dialect or 'ngspice'}", markup=False)
    names = list(found.compared)
    rows = [["figure", "measured", "data sheet", *(f"our {name}" for name in names), "verdict"]]
    for one in found.figures:
        ours = [cell(found.compared[name].figures[one.figure.name], one.figure.unit) for name in names]
        measured, stated = cell(one.measured, one.figure.unit), cell(one.stated, one.figure.unit)
        verdict = f"{'FAIL: ' if one.agrees is False else ''}{one.told}"
        rows.append([one.figure.name, measured, stated, *ours, verdict])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        frame.say("  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip(), markup=False)
    for doubt in found.doubts:
        frame.say(f"doubt: {doubt}", markup=False)
    for fault in found.faults:
        frame.say(f"FAIL: {fault}", markup=False)
    bad = len(found.faults) + sum(one.agrees is False for one in found.figures)
    speaks = {0: "nothing speaks", 1: "1 thing speaks"}.get(bad, f"{bad} things speak")
    frame.say(f"{speaks} against this model")
