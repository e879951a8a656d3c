"""`inmateria lockin`: the data sheet of a lock-in, realised digitally or as a netlist, at all four slopes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inmateria.commands.frame import Frame, Json
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted
from lockin.choices import Mixer

if TYPE_CHECKING:
    import xarray as xr

    from circuits.choices import LevelName
    from lockin.characterisation import Characterisation
    from lockin.settings import LockInSettings

FILES = ("lockin.nc", "lockin.png")
SHOWN_DB = 150.0
"""Rejections above are shown as such: what limits them are rounding and the last of settling."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """A lock-in, and how it is realised."""

    realisation: Annotated[
        Literal["digital", "ideal", "macro"],
        typer.Option(help="digital, or a netlist of ideal parts or of real parts' macro models."),
    ] = "digital"
    time_constant: Annotated[float, typer.Option(help="Time constant of each pole, s.")] = 0.01
    frequency: Annotated[float, typer.Option(help="Reference frequency, Hz.")] = 1000.0
    mixer: Annotated[Mixer, typer.Option(help="sine, or a switching (square-wave) mixer.")] = "sine"
    full_scale: Annotated[float, typer.Option(help="Largest test signal, V rms.")] = 1.0
    as_json: Json = False
    out: Annotated[Path | None, typer.Option(help="Folder for the curves (lockin.nc), figure and summary.")] = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Measure a lock-in's data sheet at 6 to 24 dB/octave: bandwidth, settling, rejections, offset, dynamic reserve.

    Example: inmateria lockin --realisation ideal --out lockin
    """
    from analysis.plots.lockin import plot_lockin
    from lockin.characterisation import at_slope
    from lockin.settings import LockInSettings

    settings = LockInSettings(options.time_constant, mixer=options.mixer)
    with frame.keeping():
        if options.realisation == "digital":
            sheets = _digital(settings, options.frequency, options.full_scale)
        else:
            sheets = _netlist(settings, options.frequency, options.full_scale, options.realisation, frame.folder)
    frame.write_dataset("lockin.nc", _dataset(sheets, options.realisation))
    frame.write_figures(lambda data: {"lockin.png": plot_lockin(data)})
    _tell(sheets, settings, frame)
    return frame.summary(
        {
            "realisation": options.realisation,
            "settings": {
                "time_constant": options.time_constant,
                "frequency_Hz": options.frequency,
                "mixer": options.mixer,
                "full_scale_rms": options.full_scale,
            },
            "slopes": {str(slope): figures(sheet) for slope, sheet in sheets.items()},
            "textbook": {str(slope): textbook(at_slope(settings, slope)) for slope in sheets},
        }
    )


def figures(sheet: Characterisation) -> dict[str, Any]:
    """Figures of one slope; a rejection of nothing at all is None."""
    return {
        "enbw_times_tau": sheet.enbw_times_tau,
        "settle99_over_tau": sheet.settle99_over_tau,
        "rolloff_dB_per_octave": sheet.rolloff_dB_per_octave,
        "gain_error": sheet.gain_error,
        "phase_error_deg": sheet.phase_error_deg,
        "harmonic_rejection_dB": sheet.harmonic_rejection_dB,
        "harmonic_response": sheet.harmonic_response,
        "image_rejection_dB": sheet.image_rejection_dB,
        "offset_rms": sheet.zero,
        "linearity": sheet.linearity,
        "dynamic_reserve_dB": sheet.reserve_dB,
        "dynamic_reserve_is_a_bound": not sheet.reserve_reached,
        "overloads": list(sheet.overloads),
    }


def textbook(settings: LockInSettings) -> dict[str, float]:
    """Closed forms for equal poles."""
    from lockin.theory import enbw_Hz, settling_time

    tau = settings.time_constant
    return {
        "enbw_times_tau": enbw_Hz(settings) * tau,
        "settle99_over_tau": settling_time(settings, 0.99) / tau,
        "rolloff_dB_per_octave": 20.0 * settings.poles * math.log10(2.0),
    }


def _digital(settings: LockInSettings, frequency: float, full_scale: float) -> dict[int, Characterisation]:
    from circuits.lockin.characterisation import SLOPES
    from lockin.characterisation import at_slope, characterise

    sheets = {}
    with compilation_told(stderr), counted(stderr, "slopes", len(SLOPES)) as tick:
        for slope in SLOPES:
            sheets[slope] = characterise(at_slope(settings, slope), frequency, full_scale=full_scale)
            tick()
    return sheets


def _netlist(
    settings: LockInSettings, frequency: float, full_scale: float, level: LevelName, folder: Path | None
) -> dict[int, Characterisation]:
    from circuits.lockin.characterisation import characterise_lockin
    from circuits.ngspice.engine import Engine
    from netlists.reader import load_part

    for part in ("mixer" if settings.mixer == "sine" else "switching_mixer", "lowpass"):
        try:
            load_part(part, level)
        except InputError as error:  # before ngspice is started
            raise InputError("realisation", level, f"has no part {part!r}", error.fix) from None
    with Engine(folder=folder) as engine, stderr.status("starting ngspice") as line:

        def told(phase: str, simulated_s: float, wall_s: float) -> None:
            line.update(f"ngspice: {simulated_s:.3g} s simulated in {wall_s:.0f} s" if simulated_s else phase)

        return characterise_lockin(settings, frequency, engine, level, full_scale=full_scale, progress=told)


def _dataset(sheets: dict[int, Characterisation], realisation: str) -> xr.Dataset:
    """Curves and figures over the slope."""
    import numpy as np
    import xarray as xr

    from inmateria.versions import versions

    first = next(iter(sheets.values()))
    values = list(sheets.values())

    def known(units: str, text: str, dims: Any, array: Any) -> tuple[Any, ...]:
        return dims, np.array(array, dtype=float), {"units": units, "long_name": text}

    return xr.Dataset(
        {
            "transfer": known("1", "|H|^2 of the filter", ("slope", "offset_Hz"), [s.transfer for s in values]),
            "step": known("1", "reading over final reading", ("slope", "step_s"), [s.step for s in values]),
            "enbw_Hz": known("Hz", "equivalent noise bandwidth", "slope", [s.enbw_Hz for s in values]),
            "settle99_s": known("s", "settling time to 99 %", "slope", [s.settle99_s for s in values]),
            "rolloff_dB_per_octave": known("dB", "roll-off", "slope", [s.rolloff_dB_per_octave for s in values]),
            "harmonic_response": known(
                "1", "reading of a harmonic over that of the fundamental", ("slope", "harmonic"),
                [list(s.harmonic_response.values()) for s in values],
            ),
            "image_response": known("1", "image over signal", "slope", [s.image_response for s in values]),
            "offset_rms": known("V", "reading without a signal, rms", "slope", [s.zero for s in values]),
            "linearity": known("1", "largest deviation from a line, of full scale", "slope",
                               [s.linearity for s in values]),
            "gain_error": known("1", "error of the magnitude", "slope", [s.gain_error for s in values]),
            "phase_error_deg": known("degree", "error of theta", "slope", [s.phase_error_deg for s in values]),
            "reserve_dB": known("dB", "dynamic reserve", "slope", [s.reserve_dB for s in values]),
        },
        coords={
            "slope": ("slope", list(sheets), {"units": "dB/octave"}),
            "offset_Hz": ("offset_Hz", first.offset_Hz, {"units": "Hz", "long_name": "distance from the reference"}),
            "step_s": ("step_s", first.step_time_s, {"units": "s", "long_name": "time after switching on"}),
            "harmonic": list(first.harmonic_response),
        },
        attrs={
            **{f"version_{k}": v for k, v in versions().items()},
            "realisation": realisation,
            "mixer": first.settings.mixer,
            "frequency_Hz": first.frequency_Hz,
            "time_constant_s": first.settings.time_constant,
            "full_scale_rms": first.full_scale,
        },
    )  # fmt: skip


def _decibels(value: float) -> str:
    return f"> {SHOWN_DB:.0f}" if value > SHOWN_DB else f"{value:.1f}"


def _tell(sheets: dict[int, Characterisation], settings: LockInSettings, frame: Frame) -> None:
    """The table for people: a column for each slope, the textbook's value in brackets."""
    from rich.table import Table

    from lockin.characterisation import at_slope

    first = next(iter(sheets.values()))
    frame.say(
        f"lock-in, {first.realisation}: reference {first.frequency_Hz:g} Hz, time constant τ = "
        f"{settings.time_constant:g} s, {settings.mixer} mixer, full scale {first.full_scale:g} V rms",
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for slope in sheets:
        table.add_column(f"{slope} dB/oct", justify="right", no_wrap=True)
    books = {slope: textbook(at_slope(settings, slope)) for slope in sheets}

    def row(name: str, *cells: str) -> None:
        table.add_row(name, *cells)

    for name, key, digits in (
        ("ENBW × τ", "enbw_times_tau", 4),
        ("settling to 99 % / τ", "settle99_over_tau", 2),
        ("roll-off (dB/octave)", "rolloff_dB_per_octave", 2),
    ):
        row(name, *(f"{figures(sheet)[key]:.{digits}f}" for sheet in sheets.values()))
        row("  closed form", *(f"{books[slope][key]:.{digits}f}" for slope in sheets))
    row("gain error", *(f"{s.gain_error:.2g}" for s in sheets.values()))
    row("phase error (degrees)", *(f"{s.phase_error_deg:.2g}" for s in sheets.values()))
    for n in first.harmonic_response:
        row(f"rejection of harmonic {n} (dB)", *(_decibels(s.harmonic_rejection_dB[n]) for s in sheets.values()))
    row("image rejection (dB)", *(_decibels(s.image_rejection_dB) for s in sheets.values()))
    row("offset (V rms)", *(f"{s.zero:.2g}" for s in sheets.values()))
    row("linearity (of full scale)", *(f"{s.linearity:.2g}" for s in sheets.values()))
    row(
        "dynamic reserve (dB)",
        *(f"{'' if s.reserve_reached else '≥ '}{s.reserve_dB:.1f}" for s in sheets.values()),
    )
    frame.answer.print(table)
    for slope, sheet in sheets.items():
        if sheet.overloads:
            frame.say(f"{slope} dB/oct: overloaded at full scale: {', '.join(sheet.overloads)}")
    if frame.folder is not None:
        frame.say(f"curves and figure are in {frame.folder}")
