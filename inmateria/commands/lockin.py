"""`inmateria lockin`: the data sheet of a lock-in, realised digitally or as a netlist, at all four slopes."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from circuits.lockin.characterisation import SLOPES, characterise_lockin
from circuits.ngspice.engine import Engine
from inmateria.commands.results import Results
from inmateria.errors import InputError, Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted
from inmateria.versions import versions
from lockin.characterisation import Characterisation, at_slope, characterise
from lockin.choices import Mixer
from lockin.settings import LockInSettings
from lockin.theory import enbw_Hz, settling_time
from netlists.reader import load_part

SHOWN_DB = 150.0
"""Rejections above are shown as such: what limits them are rounding and the last of settling."""


def run_lockin(
    realisation: str,
    *,
    time_constant: float,
    frequency: float,
    mixer: Mixer,
    full_scale: float,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Measure all four slopes and return the document.

    Raises
    ------
    InputError
        For a time constant that is too short or too long for the reference, and levels without the parts.
    """
    begin = time.perf_counter()
    settings = LockInSettings(time_constant, mixer=mixer)
    results = Results("lockin", None, folder, {})
    try:
        if realisation == "digital":
            sheets = _digital(settings, frequency, full_scale)
        else:
            sheets = _netlist(settings, frequency, full_scale, realisation)
    except KeyboardInterrupt:
        raise Interrupted("run", "Ctrl-C", "stopped by Ctrl-C", "run the command again") from None
    results.write_dataset("lockin.nc", _dataset(sheets, realisation))

    def draw(data: xr.Dataset) -> dict[str, Any]:
        from analysis.plots.lockin import plot_lockin

        return {"lockin.png": plot_lockin(data)}

    results.write_figures(draw)
    summary = {
        "realisation": realisation,
        "settings": {
            "time_constant": time_constant,
            "frequency_Hz": frequency,
            "mixer": mixer,
            "full_scale_rms": full_scale,
        },
        "slopes": {str(slope): figures(sheet) for slope, sheet in sheets.items()},
        "textbook": {str(slope): textbook(at_slope(settings, slope)) for slope in sheets},
        "wall_s": time.perf_counter() - begin,
    }
    _tell(sheets, settings, folder, answer)
    return results.write_summary(summary)


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
    tau = settings.time_constant
    return {
        "enbw_times_tau": enbw_Hz(settings) * tau,
        "settle99_over_tau": settling_time(settings, 0.99) / tau,
        "rolloff_dB_per_octave": 20.0 * settings.poles * math.log10(2.0),
    }


def _digital(settings: LockInSettings, frequency: float, full_scale: float) -> dict[int, Characterisation]:
    sheets = {}
    with compilation_told(stderr), counted(stderr, "slopes", len(SLOPES)) as tick:
        for slope in SLOPES:
            sheets[slope] = characterise(at_slope(settings, slope), frequency, full_scale=full_scale)
            tick()
    return sheets


def _netlist(settings: LockInSettings, frequency: float, full_scale: float, level: str) -> dict[int, Characterisation]:
    for part in ("mixer" if settings.mixer == "sine" else "switching_mixer", "lowpass"):
        try:
            load_part(part, level)
        except InputError as error:  # before ngspice is started
            raise InputError("realisation", level, f"has no part {part!r}", error.fix) from None
    with Engine() as engine, stderr.status("starting ngspice") as line:

        def told(phase: str, simulated_s: float, wall_s: float) -> None:
            line.update(f"ngspice: {simulated_s:.3g} s simulated in {wall_s:.0f} s" if simulated_s else phase)

        return characterise_lockin(settings, frequency, engine, level, full_scale=full_scale, progress=told)


def _dataset(sheets: dict[int, Characterisation], realisation: str) -> xr.Dataset:
    """Curves and figures over the slope."""
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


def _tell(sheets: dict[int, Characterisation], settings: LockInSettings, folder: Path | None, answer: Console) -> None:
    """The table for people: a column for each slope, the textbook's value in brackets."""
    first = next(iter(sheets.values()))
    answer.print(
        f"lock-in, {first.realisation}: reference {first.frequency_Hz:g} Hz, time constant τ = "
        f"{settings.time_constant:g} s, {settings.mixer} mixer, full scale {first.full_scale:g} V rms",
        highlight=False,
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
    answer.print(table, highlight=False)
    for slope, sheet in sheets.items():
        if sheet.overloads:
            answer.print(f"{slope} dB/oct: overloaded at full scale: {', '.join(sheet.overloads)}", highlight=False)
    if folder is not None:
        answer.print(f"curves and figure are in {folder}", highlight=False)
