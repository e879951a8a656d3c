"""`inmateria stability`: gain and phase margin of every channel of a design's learning loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.commands.frame import Frame, Json
from inmateria.commands.options import Engine, Out
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, stages

if TYPE_CHECKING:
    import xarray as xr

    from circuits.homodyne.channel_margins import LoopMargins
    from learning.homodyne.start import Start

FILES = ("stability.nc", "stability.png")


@dataclass(frozen=True, kw_only=True)
class Options:
    """A design, where its slopes are read, what is asked, and where to."""

    design: Annotated[str, typer.Argument(help="File of a design (.toml); inmateria init writes one.")]
    margin_min: Annotated[
        float, typer.Option(help="Gain margin, dB, that every channel, and all together, must have at least.")
    ] = 0.0
    engine: Engine = "ngspice"
    out: Out = None
    as_json: Json = False
    seed: Annotated[int | None, typer.Option(help="In place of the design's.", min=0)] = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Tell how far the learning loop is from hunting, before it learns: each channel's gain and phase margin.

    The lock-ins read the slopes at the start that learn --design would choose. A channel's gain margin is the factor
    by which its rate alone may grow until the loop, all other channels closed, swings ever further from pass to pass;
    its phase margin how far its integrator may lag; linear about the wanted outputs, nominal components.

    Exit 0 if every gain margin is what is asked, 1 if not. With --out: summary.json, a figure and its data.

    Example: inmateria stability design.toml --margin-min 3
    """
    import numpy as np

    from analysis.designs.design import Design
    from circuits.homodyne.channel_margins import loop_margins
    from circuits.homodyne.engines import engine_named
    from circuits.homodyne.stability import Stability
    from inmateria.commands.experiment import from_design, planned_loop
    from inmateria.commands.facts import margins_facts
    from learning.homodyne.start import choose_start, measured_loop

    if not math.isfinite(options.margin_min):
        raise InputError("margin_min", options.margin_min, "is no gain margin", "give decibels, e.g. 3")
    design = Design.from_toml(options.design)
    if options.seed is not None:
        design = design.changed({"seed": options.seed})
    frame.seed = design.seed
    if design.learning.loss != "squared":
        problem = "has no curvature that slopes tell, and with it no margin"
        raise InputError("learning.loss", design.learning.loss, problem, 'take "squared"')
    experiment = from_design(design)
    planned_loop(experiment, options.engine)  # refuses what no run could begin with
    with (
        frame.keeping(), stages(stderr) as progress, compilation_told(stderr),
        engine_named(options.engine, frame.folder) as engine,
    ):  # fmt: skip
        progress("looking for a start", 0, 1)
        start = choose_start(experiment, np.random.default_rng(design.seed))
        progress("reading the slopes there", 0, 1)
        loop, slopes = measured_loop(experiment, start, engine)
        found = loop_margins(
            Stability(loop, slopes), lambda done, count: progress("margins of the channels", done, count)
        )
        about = engine.version()
    frame.write_dataset("stability.nc", _dataset(found))
    frame.write_figures(_figures)
    below = found.below(options.margin_min)
    _tell(found, options.margin_min, experiment.task.name, frame)
    told = {"file": options.design, "name": design.name, "sha256": design.digest}
    return frame.summary(
        {
            "success": not below,
            "margin_min_dB": options.margin_min,
            "below": below,
            "design": told,
            "task": experiment.task.name,
            "engine": options.engine,
            "ngspice": about,
            "start": _start_facts(start, [one.name for one in found.channels]),
            **margins_facts(found),
        }
    )


def _start_facts(start: Start, names: list[str]) -> dict[str, Any]:
    """Where the slopes were read."""
    return {
        "controls_V": dict(zip(names, start.controls_V.tolist(), strict=True)),
        "polarity": start.polarity,
        "outputs_A": start.outputs_A.tolist(),
    }


def _tell(found: LoopMargins, least_dB: float, task: str, frame: Frame) -> None:
    """A line a channel, and what it comes to."""
    from circuits.homodyne.channel_margins import TOGETHER

    below, stability, width = found.below(least_dB), found.stability, max(len(one.name) for one in found.channels)
    for one in found.channels:
        mark = "[red]FAIL[/]" if one.name in below else "[green]pass[/]"
        frame.say(f"{mark} {one.name:{width}s}  {one.words()}")
    mark = "[red]FAIL[/]" if TOGETHER in below else "[green]pass[/]"
    frame.say(f"{mark} {TOGETHER}: {found.words()}")
    frame.say(f"{task}: {found.verdict(least_dB)}", markup=False)
    if stability.doubt is not None:
        stderr.print(f"doubt: {stability.doubt}", markup=False)


def _dataset(found: LoopMargins) -> xr.Dataset:
    """Margins of every channel, and where the multipliers go as the tightest one's rate grows."""
    import numpy as np
    import xarray as xr

    factors, values = found.locus()
    return xr.Dataset(
        {
            "margin_dB": ("channel", [one.margin_dB for one in found.channels], {"units": "dB"}),
            "phase_margin_deg": ("channel", [one.phase_margin_deg for one in found.channels], {"units": "deg"}),
            "multiplier_real": (("factor", "mode"), np.real(values), {"units": "1"}),
            "multiplier_imag": (("factor", "mode"), np.imag(values), {"units": "1"}),
        },
        {"channel": [one.name for one in found.channels], "factor": factors},
        {"tightest": found.tightest.name, "margin_dB": found.stability.margin_dB},
    )


def _figures(data: xr.Dataset) -> dict[str, Any]:
    from analysis.plots.stability import plot_margins

    return {"stability.png": plot_margins(data)}
