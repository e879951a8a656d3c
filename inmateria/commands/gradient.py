"""`inmateria gradient`: lock-in against exact gradient at one setting."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from analysis.gradients.compare import compare
from analysis.gradients.loop_budget import predict_loop
from analysis.gradients.path_check import loss_gradients
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.offsets import offset_bias
from circuits.ngspice.engine import Engine
from circuits.signals.transient import Transient
from dnpu_models.interface.device import has_exact_slopes
from inmateria.checks import FloatArray
from inmateria.commands.experiment import check_level, check_points, rehearsal
from inmateria.commands.results import Results
from inmateria.errors import InputError, Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.gradients import adjoint, monte_carlo_difference, spice_lock_in
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import as_measured
from lockin.error_budget import ErrorBudget

POINTS_PER_CYCLE = 24.0
DIFFERENCE_HOPS = 1_000_000
"""Of kinetic Monte Carlo, for each of the currents whose differences a lock-in is held against."""


def _controls(
    bench: Bench, loop: HomodyneLoop, of: str, at: list[float] | None, seed: int, peaks_V: FloatArray
) -> FloatArray:
    """The setting asked for, checked; or a random one."""
    count, names = len(bench.trained), ", ".join(bench.names)
    low, high = loop.control_limits_V
    if of == "output":  # no logic swing then
        low, high = bench.limits_V.T + np.stack([peaks_V, -peaks_V])
    if at is None:
        return np.clip(bench.random_controls(HgeSettings().spread, np.random.default_rng(seed)), low, high)
    if len(at) != count:
        raise InputError("at", at, f"has {len(at)} values for {count} controls", f"give one each for {names}")
    for k, value in enumerate(at):
        if not np.isfinite(value):
            raise InputError(f"at[{k}]", value, f"is no voltage for {bench.names[k]}", "give a finite number")
        if not low[k] <= value <= high[k]:
            raise InputError(
                f"at[{k}]",
                value,
                f"leaves no room for dither{'' if of == 'output' else ' and logic swing'} within {loop.range_of(k)}",
                f"stay within {low[k]:.4g} to {high[k]:.4g} V",
            )
    return np.array(at)


def _measure(
    experiment: Experiment, of: str, controls: FloatArray, points: float, ngspice: Engine | None, seed: int
) -> tuple[xr.DataArray, xr.DataArray, Transient, HomodyneLoop]:  # fmt: skip
    """The circuit's reading, the exact gradient, the transient and its loop."""
    bench, settings = experiment.bench, experiment.settings
    if of == "output":
        measured, _, run, loop = spice_lock_in(
            bench,
            ngspice,
            controls,
            settings.amplitude_V,
            points_per_cycle=points,
            seed=seed,
            parts=settings.parts,
            multiplier_V=settings.multiplier_V,
            errors=settings.component_errors,
        )
        if not has_exact_slopes(bench.device):
            return measured, monte_carlo_difference(bench, controls, seed=seed, hops=DIFFERENCE_HOPS), run, loop
        return measured, adjoint(bench, controls), run, loop
    amplitude_V = settings.amplitude_V
    own_step = replace(experiment, settings=replace(settings, max_step_s=None))
    closed = build_loop(own_step, controls, 1.0, bench.outputs_A(controls, experiment.task))
    if settings.parts:
        closed = as_measured(closed, "twin" if ngspice is None else "ngspice", ngspice)
    measured, ideal, run = loss_gradients(experiment, closed, controls, amplitude_V, ngspice, points_per_cycle=points)
    return measured, ideal, run, closed.opened(controls, amplitude_V, "loss", points)


def _told(budget: ErrorBudget) -> dict[str, Any]:
    """The budget as the document has it."""
    return {
        "predicted": budget.reading.tolist(),
        "terms": {name: values.tolist() for name, values in budget.terms.items()},
        "noise_std": budget.noise.tolist(),
        "dominant": max((name for name in budget.terms), key=lambda name: float(np.linalg.norm(budget.terms[name]))),
    }


def _print_budget(
    answer: Console, budget: ErrorBudget, names: tuple[str, ...], measured: FloatArray, scale: float, shown: str
) -> None:
    """Why: the terms that matter, beside the deviation that was measured."""
    sizes = {name: float(np.linalg.norm(values)) for name, values in budget.terms.items()}
    told = [name for name, size in sizes.items() if size > 1e-3 * max(sizes.values())]
    rows = [("", "measured", "predicted", *told, "noise")]
    for k, name in enumerate(names):
        cells = [measured[k] - budget.exact[k], budget.systematic[k], *(budget.terms[term][k] for term in told)]
        rows.append((name, *(f"{scale * cell:.3g}" for cell in cells), f"+-{scale * budget.noise[k]:.2g}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    answer.print(f"why ({shown}, lock-in less exact; noise of the published chip, not in this run):", highlight=False)
    for row in rows:
        answer.print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), highlight=False)


def run_gradient(
    experiment: Experiment,
    *,
    of: str,
    at: list[float] | None,
    seed: int,
    engine: str,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Measure, compare, report; return the document."""
    begin = time.perf_counter()
    bench, task, settings = experiment.bench, experiment.task, experiment.settings
    check_level(experiment, engine)
    if engine == "averaged":
        raise InputError("engine", engine, "leaves out what a gradient run measures", "choose ngspice or twin")
    planned = rehearsal(experiment)
    peaks, max_step_s = np.array(planned.dither.amplitudes_V), settings.max_step_s
    amplitude_V = float(peaks.max())
    controls = _controls(bench, planned, of, at, seed, peaks)
    points = POINTS_PER_CYCLE if max_step_s is None else planned.points_per_cycle
    opened = planned.opened(planned.start_V, peaks.tolist(), "loss", points)
    check_points(experiment, opened)
    about = None
    try:
        ours = Engine() if engine == "ngspice" else nullcontext()
        with ours as ngspice, stderr.status("reading the lock-ins"), compilation_told(stderr):
            if ngspice is not None:
                about = str(ngspice.about()["version"])
            measured, ideal, run, loop = _measure(experiment, of, controls, points, ngspice, seed)
            budget = None
            if has_exact_slopes(bench.device):
                moved = float(ideal.attrs.get("output_offset_V", 0.0))
                budget = predict_loop(bench, loop, np.asarray(ideal), ngspice, output_offset_V=moved)
    except KeyboardInterrupt:
        raise Interrupted("run", "Ctrl-C", "stopped by Ctrl-C", "run the command again") from None
    result = compare(measured, ideal)
    heard = float(np.mean(loop.window_means(run.time_s, run["v(loss)"], 0))) if of == "loss" else 0.0
    bias = offset_bias(loop, heard) / (loop.stage.transimpedance_ohm if of == "output" else 1.0)
    trimmed = compare(measured - bias, ideal)
    units = str(measured.attrs["units"])
    summary = {
        "of": of,
        "gate": task.name if of == "loss" else None,
        "controls": list(bench.names),
        "controls_V": controls.tolist(),
        "lockin": np.asarray(measured).tolist(),
        "ideal": np.asarray(ideal).tolist(),
        "ideal_stderr": ideal.attrs.get("stderr"),
        "units": units,
        "cosine": result.cosine,
        "relative_error": result.relative_error,
        "sign_agreement": result.sign_agreement,
        "budget": None if budget is None else _told(budget),
        "offset_bias": bias.tolist(),
        "cosine_without_offset": trimmed.cosine,
        "dither_V": amplitude_V,
        "frequencies_Hz": list(loop.dither.frequencies_Hz),
        "device": experiment.facts["device"],
        "design": experiment.facts["design"],
        "engine": engine,
        "level": experiment.facts["level"],
        "loss_function": settings.loss if of == "loss" else None,
        "ngspice": about,
        "simulated_s": loop.stop_s,
        "timepoints": int(run.statistics["points"]),
        "rejected": int(run.statistics.get("rejected", 0.0)),
    }
    results = Results("gradient", seed, folder, {"seed": seed, "of": of})
    results.write_waveforms(loop, run)
    results.write_deck(loop, run)

    scale, shown = (1e9, "nS") if units == "S" else (1.0, units)

    def draw(_dataset: xr.Dataset) -> dict[str, Any]:
        from analysis.plots import loop as plots
        from analysis.plots.budget import plot_budget

        title = f"gradient of the {of}, {1e3 * amplitude_V:g} mV"
        drawn = {"gradient.png": plots.plot_gradients([measured], [ideal], title)}
        if budget is not None:
            names, deviation = tuple(bench.names), np.asarray(measured) - np.asarray(ideal)
            drawn["budget.png"] = plot_budget(budget, names, deviation, scale=scale, units=shown, title=title)
        return drawn

    results.write_figures(draw)
    summary["wall_s"] = time.perf_counter() - begin
    content = results.write_summary(summary)
    for name, a, b in zip(bench.names, np.asarray(measured), np.asarray(ideal), strict=True):
        answer.print(f"{name}: lock-in {scale * a:9.4f} {shown}, exact {scale * b:9.4f} {shown}", highlight=False)
    answer.print(f"cosine {result.cosine:.6f}, relative error {100 * result.relative_error:.2f} %", highlight=False)
    if budget is not None:
        _print_budget(answer, budget, bench.names, np.asarray(measured), scale, shown)
    if np.any(bias):
        offsets = f"offsets add {scale * bias.min():.3g} to {scale * bias.max():.3g} {shown} by the parts' figures"
        answer.print(f"{offsets}; without them cosine {trimmed.cosine:.6f}", highlight=False)
    return content
