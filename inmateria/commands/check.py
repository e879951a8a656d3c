"""`inmateria check`: a design's parts at resolved steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.commands.frame import Frame, Json
from inmateria.commands.options import Out
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import stages

if TYPE_CHECKING:
    import xarray as xr

    from circuits.fast_check.check import FastCheck

FILES = ("loop_gain.nc", "loop_gain.png")


@dataclass(frozen=True, kw_only=True)
class Options:
    """A design, and where to."""

    design: Annotated[str, typer.Argument(help="File of a design (.toml); inmateria init writes one.")]
    out: Out = None
    as_json: Json = False


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Check every distinct part of a design's loop at resolved steps, with its sources and loads in the circuit.

    Operating point, phase margin of each loop inside, an edge and a load step, overload and recovery, slew rate,
    start-up. Exit 0 if all is well, 1 if not. With --out: summary.json, the return ratios, a Bode plot of the smallest
    margin.

    Example: inmateria check design.toml
    """
    from analysis.designs.design import Design
    from analysis.designs.experiment import experiment_of
    from analysis.verification.fast import check_fast
    from inmateria.commands.facts import fast_facts
    from learning.homodyne.experiment import middle_loop

    design = Design.from_toml(options.design)
    with frame.keeping(), stages(stderr) as progress:
        found = check_fast(
            design,
            middle_loop(experiment_of(design)),
            lambda _, done, count: progress("parts", done, count),
            frame.folder,
        )
    if found is None:
        problem = "has no amplifiers: its parts are equations"
        raise InputError("electronics.level", design.electronics.level, problem, "choose macro or transistor")
    if found.loops:
        frame.write_dataset("loop_gain.nc", _dataset(found))
        frame.write_figures(_figures)
    _tell(found, frame)
    told = {"file": options.design, "name": design.name, "sha256": design.digest}
    return frame.summary({"success": found.passed, "design": told, "fast_check": fast_facts(found)})


def _dataset(found: FastCheck) -> xr.Dataset:
    """Return ratio of every loop, the smallest margin first."""
    import numpy as np
    import xarray as xr

    ratios = np.stack([loop.ratio for _, loop in found.loops])
    names = [f"{where[0]} {loop.name}" for where, loop in found.loops]
    margins = [loop.phase_margin_deg for _, loop in found.loops]
    return xr.Dataset(
        {
            "size": (("loop", "frequency_Hz"), np.abs(ratios), {"units": "1", "long_name": "return ratio, size"}),
            "phase_deg": (
                ("loop", "frequency_Hz"),
                np.degrees(np.unwrap(np.angle(ratios))),
                {"units": "deg", "long_name": "return ratio, phase"},
            ),
            "phase_margin_deg": ("loop", margins, {"units": "deg"}),
        },
        {"loop": names, "frequency_Hz": ("frequency_Hz", found.loops[0][1].frequency_Hz, {"units": "Hz"})},
    )


def _figures(data: xr.Dataset) -> dict[str, Any]:
    from analysis.plots.loop_gain import plot_loop_gain

    return {"loop_gain.png": plot_loop_gain(data)}


def _tell(found: FastCheck, frame: Frame) -> None:
    """The answers for people, each question's bad ones first."""
    marks = {True: "[green]pass[/]", False: "[red]FAIL[/]", None: "----"}
    for one in found.findings:
        places = one.references[0] + (f" and {len(one.references) - 1} more" if len(one.references) > 1 else "")
        frame.say(f"{marks[one.passed]} {places} ({one.part}), {one.question}: {one.told}")
    bad = sum(one.passed is False for one in found.findings)
    frame.say(f"{len(found.findings)} answers, {bad} bad" if bad else f"{len(found.findings)} answers, all good")
