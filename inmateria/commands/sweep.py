"""`inmateria sweep`: a design over a grid, into a store that goes on where it stopped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.choices import MeasureName
from circuits.homodyne.engines import EngineName
from inmateria.commands.frame import Frame, Json
from inmateria.commands.options import Scheduler, Workers
from inmateria.errors import InMateriaError
from inmateria.terminal.output import stderr, writing
from inmateria.terminal.progress import sweep_bar

if TYPE_CHECKING:
    import xarray as xr

    from analysis.designs.design import Design
    from analysis.sweeps.axes import Axis

FILES = ("map.png", "curve.png")
_PLANNED_SEEDS = 4
"""Settings that the planner looks at; each takes a few seconds."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """A design, its axes, what is measured, and on which processors."""

    design: Annotated[
        str | None, typer.Argument(help="File of a design (.toml); the default one if left out.", show_default=False)
    ] = None
    over: Annotated[
        list[str],
        typer.Option(
            help="An axis, KEY=FROM:TO:SCALE:POINTS (lin or log), such as dither.amplitude=1mV:100mV:log:12, "
            "or KEY=a,b,c. Give it once for each axis."
        ),
    ] = field(default_factory=list)
    seeds: Annotated[
        int | None,
        typer.Option(help="Repetitions: each seed draws its device (if random), setting or starts, and noise.", min=1),
    ] = None
    measure: Annotated[
        MeasureName,
        typer.Option(help="gradient of output or loss at frozen controls against the exact one, or learn."),
    ] = "gradient"
    engine: Annotated[
        EngineName, typer.Option(help="ngspice, its compiled twin, or the averaged loop (learn only).")
    ] = "twin"
    out: Annotated[
        Path | None, typer.Option(help="Folder for the store (sweep.zarr), figure and summary. There a sweep goes on.")
    ] = None
    scheduler: Scheduler = None
    workers: Workers = None
    check: Annotated[
        int | None, typer.Option(help="Points of a fast engine that ngspice computes again; 3 if left out.", min=0)
    ] = None
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compute points that failed once more.")] = False
    as_json: Json = False
    seed: Annotated[int | None, typer.Option(help="First of the seeds; the design's if left out.", min=0)] = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Measure a design at every point of a grid, on all processors or a cluster. Stopped or killed, it goes on.

    Exit 0 when done, also with failed points; 1 if every point failed. The store opens in xarray meanwhile.

    Example: inmateria sweep --over dither.amplitude=1mV:50mV:log:8 --over dither.spacing=5Hz,20Hz --seeds 3 --out map
    """
    from analysis.designs.design import Design
    from analysis.sweeps.design_sweep import design_axes, sweep_design
    from analysis.sweeps.store import FAILED
    from inmateria.commands.facts import SHOWN, STORE

    design = Design.from_values({}) if options.design is None else Design.from_toml(options.design)
    if options.seed is not None:
        design = design.changed({"seed": options.seed})
    frame.seed, measure, engine = design.seed, options.measure, options.engine
    axes = design_axes(design, options.over, options.seeds)
    store = None if frame.folder is None else frame.folder / STORE
    with sweep_bar(stderr, f"{measure}, {engine}") as progress:
        found = sweep_design(
            design, options.over, seeds=options.seeds, measure=measure, engine=engine, checks=options.check,
            store=store, scheduler=options.scheduler, workers=options.workers, retry_failed=options.retry_failed,
            progress=progress,
        )  # fmt: skip
    data, name = found.data, SHOWN[measure]
    points = int(data["status"].size)
    planned = _planned(design, axes, measure)
    summary: dict[str, Any] = {
        "success": found.failed < points,
        "measure": measure,
        "engine": engine,
        "design": {"file": options.design, "name": design.name, "sha256": design.digest},
        "axes": [{"key": a.key, "unit": a.unit, "values": list(a.values)} for a in axes],
        "points": points,
        "computed": found.computed,
        "failed": found.failed,
        "reasons": dict(Counter(data["reason"].values[data["status"].values == FAILED].tolist()).most_common(10)),
        "quantity": name,
        "best": _best(data, name, mean=measure == "learn"),
        "check": _check(data),
        "planned": planned,
        "noise_A2_per_Hz": float(data.attrs["noise_A2_per_Hz"]),
        "points_per_s": found.points_per_s,
        "computing_s": found.seconds,
    }
    if summary["success"]:
        _draw(data, name, planned, frame, mean=measure == "learn")
    summary["store"] = None if store is None else str(store)
    _tell(summary, frame)
    return frame.summary(summary)


def _draw(data: xr.Dataset, name: str, planned: list[dict[str, float]] | None, frame: Frame, *, mean: bool) -> None:
    """The figure, with what the planner would choose."""
    if frame.folder is None:
        return
    from analysis.plots.figure import save
    from analysis.plots.sweep import axes_of, plot_sweep

    amplitudes = None if planned is None else {row["spacing_Hz"]: row["amplitude_V"] for row in planned}
    picture = "map.png" if len(axes_of(data, name)) > 1 else "curve.png"
    with writing("out", frame.folder):
        save(plot_sweep(data, name, planned=amplitudes, mean=mean), frame.place(picture))


def _best(data: xr.Dataset, name: str, *, mean: bool) -> dict[str, Any] | None:
    """The point of the smallest median over the seeds, or of the largest mean."""
    import numpy as np

    from analysis.plots.sweep import over_seeds

    middle = over_seeds(data, name, mean=mean)
    if not np.any(np.isfinite(middle.values)):
        return None
    number = int(np.nanargmax(middle.values) if mean else np.nanargmin(middle.values))
    places = np.unravel_index(number, middle.shape) if middle.dims else ()
    where = {
        str(data[dim].attrs.get("key", dim)): data[dim].values[k] for dim, k in zip(middle.dims, places, strict=True)
    }
    return {"at": where, name: float(middle.values[places])}


def _check(data: xr.Dataset) -> dict[str, Any] | None:
    """How far ngspice was from the fast engine."""
    import numpy as np

    from analysis.sweeps.store import FAILED

    if "check_deviation" not in data:
        return None
    apart = data["check_deviation"].values
    done = apart[np.isfinite(apart)]
    return {
        "points": len(apart),
        "failed": int(np.count_nonzero(data["check_status"] == FAILED)),
        "deviation_max": float(done.max()) if done.size else None,
        "deviation_median": float(np.median(done)) if done.size else None,
    }


def _planned(design: Design, axes: tuple[Axis, ...], measure: MeasureName) -> list[dict[str, float]] | None:
    """What the planner would choose, where only amplitude and spacing (and seeds) were varied."""
    import numpy as np

    from analysis.sweeps.axes import SEED

    if measure != "gradient" or not {a.key for a in axes} <= {"dither.amplitude", "dither.spacing", SEED}:
        return None
    if "dither.amplitude" not in {a.key for a in axes} or design.dither.frequencies is not None:
        return None
    from analysis.sweeps.plan import planned_amplitudes

    try:
        with stderr.status("planning"):
            plans = planned_amplitudes(design, axes, most_seeds=_PLANNED_SEEDS)
    except InMateriaError:  # a sweep that is done is not lost over a mark on its figure
        return None
    return [
        {"spacing_Hz": s, "amplitude_V": float(np.mean(p.dither.amplitudes_V)), "error": p.error}
        for s, p in plans.items()
    ]


def _tell(summary: dict[str, Any], frame: Frame) -> None:
    """The result in words."""
    from analysis.designs.units import written

    grid = " x ".join(str(len(axis["values"])) for axis in summary["axes"])
    pace = f" at {summary['points_per_s']:.3g} points/s" if summary["computed"] else ""
    frame.say(
        f"{summary['points']} points ({grid}), {summary['computed']} computed now{pace}, {summary['failed']} failed",
    )
    for reason, count in list(summary["reasons"].items())[:3]:
        frame.say(f"  {count} times: {reason}", markup=False)
    best, units = summary["best"], {axis["key"]: axis["unit"] for axis in summary["axes"]}
    if best is not None:
        at = ", ".join(
            f"{key} {written(float(value), units[key]) if units.get(key) else value}"
            for key, value in best["at"].items()
        )
        value = best[summary["quantity"]]
        what = (
            f"learned from {100 * value:.0f} % of the seeds"
            if summary["measure"] == "learn"
            else f"smallest error of the gradient {100 * value:.3g} %"
        )
        frame.say(f"{what}{' at ' if at else ''}{at}")
    if summary["planned"]:
        chosen = min(summary["planned"], key=lambda row: row["error"])
        frame.say(
            f"the planner would choose {written(chosen['amplitude_V'], 'V')} at {written(chosen['spacing_Hz'], 'Hz')}, "
            f"and expects {100 * chosen['error']:.3g} %",
        )
    check = summary["check"]
    if check is not None and check["deviation_max"] is not None:
        frame.say(
            f"ngspice and {summary['engine']} differ by at most {100 * check['deviation_max']:.2g} % at "
            f"{check['points']} points",
        )
    if summary["store"]:
        frame.say(f"all of it is in {summary['store']}: xarray.open_zarr opens it")
