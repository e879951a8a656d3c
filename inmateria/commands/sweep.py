"""`inmateria sweep`: a design over a grid, into a store that goes on where it stopped."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from analysis.designs.design import Design
from analysis.designs.units import written
from analysis.plots.sweep import axes_of, over_seeds, plot_sweep
from analysis.sweeps.axes import SEED, Axis
from analysis.sweeps.design_sweep import design_axes, points_of, sweep_design
from analysis.sweeps.store import FAILED
from inmateria.commands.facts import SHOWN, STORE
from inmateria.commands.results import Results
from inmateria.errors import InMateriaError
from inmateria.terminal.output import stderr, writing
from inmateria.terminal.progress import sweep_bar

_PLANNED_SEEDS = 4
"""Settings that the planner looks at; each takes a few seconds."""


def run_sweep_command(
    design: Design,
    *,
    file: str | None,
    over: list[str],
    seeds: int | None,
    measure: str,
    engine: str,
    scheduler: str | None,
    workers: int | None,
    check: int | None,
    retry_failed: bool,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Sweep, tell, return the document.

    Raises
    ------
    InputError, EngineError, Interrupted
        As `analysis.sweeps.design_sweep.sweep_design`.
    """
    begin = time.perf_counter()
    axes = design_axes(design, over, seeds)
    points = points_of(axes)
    store = None if folder is None else folder / STORE
    with sweep_bar(stderr, f"{measure}, {engine}") as progress:
        found = sweep_design(
            design, over, seeds=seeds, measure=measure, engine=engine, checks=check, store=store, scheduler=scheduler,
            workers=workers, retry_failed=retry_failed, progress=progress,
        )  # fmt: skip
    data, name = found.data, SHOWN[measure]
    planned = _planned(design, axes, measure)
    summary: dict[str, Any] = {
        "success": found.failed < points,
        "measure": measure,
        "engine": engine,
        "design": {"file": file, "name": design.name, "sha256": design.digest},
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
    results = Results("sweep", design.seed, folder, {})
    if folder is not None and found.failed < points:
        from analysis.plots.figure import save

        amplitudes = None if planned is None else {row["spacing_Hz"]: row["amplitude_V"] for row in planned}
        picture = "map.png" if len(axes_of(data, name)) > 1 else "curve.png"
        with writing("out", folder):
            figure = plot_sweep(data, name, planned=amplitudes, mean=measure == "learn")
            save(figure, results._place(folder, picture))
    summary["store"] = None if store is None else str(store)
    summary["wall_s"] = time.perf_counter() - begin
    _tell(summary, answer)
    return results.write_summary(summary)


def _best(data: xr.Dataset, name: str, *, mean: bool) -> dict[str, Any] | None:
    """The point of the smallest median over the seeds, or of the largest mean."""
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


def _planned(design: Design, axes: tuple[Axis, ...], measure: str) -> list[dict[str, float]] | None:
    """What the planner would choose, where only amplitude and spacing (and seeds) were varied."""
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


def _tell(summary: dict[str, Any], answer: Console) -> None:
    """The result in words."""
    grid = " x ".join(str(len(axis["values"])) for axis in summary["axes"])
    pace = f" at {summary['points_per_s']:.3g} points/s" if summary["computed"] else ""
    answer.print(
        f"{summary['points']} points ({grid}), {summary['computed']} computed now{pace}, {summary['failed']} failed",
        highlight=False,
    )
    for reason, count in list(summary["reasons"].items())[:3]:
        answer.print(f"  {count} times: {reason}", highlight=False, markup=False)
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
        answer.print(f"{what}{' at ' if at else ''}{at}", highlight=False)
    if summary["planned"]:
        chosen = min(summary["planned"], key=lambda row: row["error"])
        answer.print(
            f"the planner would choose {written(chosen['amplitude_V'], 'V')} at {written(chosen['spacing_Hz'], 'Hz')}, "
            f"and expects {100 * chosen['error']:.3g} %",
            highlight=False,
        )
    check = summary["check"]
    if check is not None and check["deviation_max"] is not None:
        answer.print(
            f"ngspice and {summary['engine']} differ by at most {100 * check['deviation_max']:.2g} % at "
            f"{check['points']} points",
            highlight=False,
        )
    if summary["store"]:
        answer.print(f"all of it is in {summary['store']}: xarray.open_zarr opens it", highlight=False)
