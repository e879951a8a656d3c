"""Sweeps of a design, or of any function: what a user calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from analysis.choices import MeasureName
from analysis.designs.design import Design
from analysis.designs.experiment import bench_of
from analysis.sweeps.axes import Axis, check_axes, make_axes, seed_axis
from analysis.sweeps.measures import GradientMeasure, design_at, make_measure
from analysis.sweeps.runner import Sweep, SweepProgress, SweepResult, run_sweep
from analysis.sweeps.store import Variable
from circuits.homodyne.engines import engine_kind
from inmateria.errors import InputError

CHECKS = 3
"""Points of a fast engine that ngspice computes again, where nothing was said."""
UNUSED = ("name", "tolerances", "corners", "criteria", "verify")
"""Parts of a design that say what a verification does."""
Over = Mapping[str, Any] | Sequence[str] | str


def sweep(
    what: Design | str | Path | Callable[[dict[str, Any]], Mapping[str, Any]],
    over: Over,
    *,
    seeds: int | None = None,
    measure: MeasureName = "gradient",
    engine: str = "twin",
    variables: Mapping[str, str | Variable] | None = None,
    coords: Mapping[str, Sequence[str]] | None = None,
    store: str | Path | None = None,
    checks: int | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: SweepProgress | None = None,
) -> xr.Dataset:
    """Measure something at every point of a grid, on several processes; a stored sweep goes on where it stopped.

    Parameters
    ----------
    what : Design, path of a design, or callable
        A function gets a point's coordinates as a dict and returns numbers by name.
    over : mapping of keys to values, or texts such as ``"dither.amplitude=1mV:100mV:log:12"``
        One axis each. Numbers are in SI units, texts carry theirs.
    seeds : int, optional
        Repetitions: an axis ``seed`` of 0 to `seeds` - 1. See `analysis.sweeps.measures` for what follows from it.
    measure : {"gradient", "loss-gradient", "learn"}
        Of a design.
    engine : {"twin", "ngspice", "averaged"}
        Of a design; a gradient is not read by the averaged loop.
    variables : dict, optional
        What a function returns: names to units ("1" for a plain number), or to `Variable` for arrays.
    coords : dict, optional
        Labels of the dimensions of a function's arrays.
    store : path, optional
        Folder of a zarr store, such as ``"sweep.zarr"``; without one the results are in memory only.
    checks : int, optional
        How many points of a fast engine ngspice computes again, for the deviation; 3 by default.
    scheduler : str, optional
        Address of a dask scheduler; local processes if left out.
    workers : int, optional
        Local processes; one a processor by default.
    retry_failed : bool
        Whether points that failed before are computed again.
    progress : callable, optional
        Called as progress(points done, points failed, points in all).

    Returns
    -------
    Dataset
        Over the axes (dots in a key become underscores): the measure's values; ``status`` (1 done, 2 failed),
        ``reason``, ``seconds``, ``host``.

    Raises
    ------
    InputError
        For keys, values, units, or combinations that cannot be; a store of another sweep; a scheduler that does not
        answer.
    EngineError, Interrupted
        As `analysis.sweeps.runner.run_sweep`.
    """
    options: dict[str, Any] = {
        "store": store, "scheduler": scheduler, "workers": workers, "retry_failed": retry_failed, "progress": progress,
    }  # fmt: skip
    if isinstance(what, Design | str | Path):
        design = what if isinstance(what, Design) else Design.from_toml(what)
        return sweep_design(design, over, seeds=seeds, measure=measure, engine=engine, checks=checks, **options).data
    if not callable(what):
        raise InputError("what", what, "is neither a design nor a function", "give a design, its file or a function")
    if not variables:
        raise InputError("variables", variables, "does not say what the function returns", "give e.g. {'error': '1'}")
    axes = make_axes(over, lambda _key: "")
    axes = axes if seeds is None else (*axes, seed_axis(seeds))
    check_axes(axes)
    returned = {name: v if isinstance(v, Variable) else Variable(v) for name, v in variables.items()}
    named = {"measure": getattr(what, "__qualname__", type(what).__name__)}
    return run_sweep(Sweep(what, axes, returned, coords or {}, identity=named), **options).data


def design_axes(design: Design, over: Over, seeds: int | None = None) -> tuple[Axis, ...]:
    """The axes of a design's sweep, each of their values taken by the design.

    Raises
    ------
    InputError
        For what is no key or no value of it.
    """
    axes = make_axes(over, design.unit_of)
    if seeds is not None:
        axes = (*axes, seed_axis(seeds, design.seed))
    if not axes:
        raise InputError("over", None, "is missing", "name an axis, such as dither.amplitude=1mV:100mV:log:12")
    check_axes(axes)
    for axis in axes:
        section = axis.key.partition(".")[0]
        if section in UNUSED:
            raise InputError("over", axis.key, f"[{section}] changes nothing that a sweep measures", "vary another key")
        for value in axis.values:
            design.changed({axis.key: axis.kind(value)})
    return axes


def sweep_design(
    design: Design,
    over: Over,
    *,
    seeds: int | None = None,
    measure: MeasureName = "gradient",
    engine: str = "twin",
    checks: int | None = None,
    **options: Any,
) -> SweepResult:
    """`sweep` of a design, with how it went."""
    folder = design._folder.resolve()  # a worker may be elsewhere
    design = Design.from_values(design.model_dump(exclude_unset=True), folder)
    axes = design_axes(design, over, seeds)
    measured = make_measure(measure, design, engine)
    wanted = (0 if engine == "ngspice" else CHECKS) if checks is None else checks
    if wanted < 0:
        raise InputError("check", checks, "is no number of points", "give 0 or more")
    if engine == "ngspice" and wanted:
        raise InputError("check", checks, "would compare ngspice with itself", "leave it out")
    if not any(axis.key.startswith("electronics") for axis in axes):  # parts differ from point to point there
        design.check_engine(engine)
    names = _control_names(design, axes)
    identity = {"measure": measure, "engine": engine, **design.identity}
    noise = measured.noise_A2_per_Hz if isinstance(measured, GradientMeasure) else design.noise.density
    attrs = {"noise_A2_per_Hz": noise if engine_kind(engine).has_dither else 0.0, "design_folder": str(folder)}
    planned = Sweep(
        measured, axes, measured.variables, {"control": list(names)}, measured.check, measured.check_variables, wanted,
        identity, attrs,
    )  # fmt: skip
    return run_sweep(planned, **options)


def _control_names(design: Design, axes: tuple[Axis, ...]) -> tuple[str, ...]:
    """Names of the controls: those of the first point; a point with others fails.

    Raises
    ------
    InputError
        If the devices of the first and of the last point are none: then nothing will come of the others either.
    """
    for which in (0, -1):
        point = {axis.key: axis.kind(axis.values[which]) for axis in axes}
        try:
            return bench_of(design_at(design, point)).names
        except InputError:
            if which == -1:
                raise
    raise AssertionError  # the loop returns or raises
