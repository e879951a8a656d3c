"""Sections of a report out of what runs, budgets, sweeps and samples left; each may be absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from analysis.gradients.compare import compare
from analysis.report import plots
from analysis.report.page import Block, Code, Figure, Section, Table, Text, Waves
from analysis.report.schematic import loop_schematic
from circuits.homodyne import netlist, readings
from circuits.homodyne.loop import HomodyneLoop
from circuits.signals.transient import Transient
from inmateria.errors import InputError
from learning.homodyne.results import Attempt
from learning.tasks.task import Task
from lockin.error_budget import ErrorBudget

_DRAWN = 600
"""Points of a curve over time."""
_SHOWN_PATTERNS = 8
"""More patterns than these are no truth table to be read: a figure has to do."""


def truth_table_section(task: Task, cases: Mapping[str, ArrayLike], *, threshold_A: float | None = None) -> Section:
    """Outputs of each pattern, case by case (before and after, or corners).

    Parameters
    ----------
    task : Task
    cases : mapping of str to array_like, shape (n_patterns,)
        Output currents, A.
    threshold_A : float, optional
        What tells high from low, A.
    """
    names = list(task.patterns)
    high = np.asarray(task.targets_V) > 0
    nano = {case: 1e9 * np.asarray(values, dtype=float) for case, values in cases.items()}
    threshold = None if threshold_A is None else 1e9 * threshold_A
    blocks: list[Block] = [
        Figure(
            plots.patterns(names, high.tolist(), nano, threshold=threshold),
            "Output of each pattern. Filled: target high; hollow: target low"
            + ("." if threshold is None else "; dotted: the threshold."),
        )
    ]
    if len(names) <= _SHOWN_PATTERNS:
        rows = [
            [name, "high" if high[k] else "low", *(signed(values[k]) for values in nano.values())]
            for k, name in enumerate(names)
        ]
        blocks.append(Table(["inputs", "target", *(f"{case} (nA)" for case in nano)], rows))
    return Section("Truth table", blocks)


def signed(value: float, digits: int = 2) -> str:
    """A number with so many digits behind the point, and a real minus."""
    return f"{value:.{digits}f}".replace("-", "−")


def learning_section(attempt: Attempt, task: Task) -> Section:
    """Loss, controls and outputs while an attempt learned."""
    loop, run = attempt.loop, attempt.run
    names = [loop.device.terminals[k] for k in loop.trained]
    passes = np.arange(loop.sequences + 2)
    chosen = np.unique(np.linspace(0, run.time_s.size - 1, _DRAWN).astype(int))
    controls = readings.controls_V(loop, run)[chosen]
    nano = 1e9 / loop.stage.transimpedance_ohm * np.array([readings.outputs_V(loop, run, int(k)) for k in passes])
    high = np.asarray(task.targets_V) > 0
    patterns = list(task.patterns)
    blocks: list[Block] = [
        Text(f"{attempt.rest_words[0].upper()}{attempt.rest_words[1:]}."),
        Figure(
            plots.curves(
                passes, {"loss": [attempt.loss(int(k)) for k in passes]},
                x_label="pass through the patterns", y_label="mean loss (V)", label="loss while learning", markers=True,
            ),
            "Mean loss of each pass; the first and the last are without learning.",
        ),
        Figure(
            plots.curves(
                run.time_s[chosen], {name: controls[:, k] for k, name in enumerate(names)},
                x_label="time (s)", y_label="control (V)", label="controls while learning",
            ),
            "Control voltages.",
        ),
    ]  # fmt: skip
    if len(patterns) <= _SHOWN_PATTERNS:
        lines = {name: nano[:, k] for k, name in enumerate(patterns)}
        low = [name for k, name in enumerate(patterns) if not high[k]]
        drawn = plots.curves(
            passes, lines, x_label="pass through the patterns", y_label="output (nA)", label="outputs while learning",
            dashed=low,
        )  # fmt: skip
        blocks.append(Figure(drawn, "Outputs; solid: target high, dashed: target low."))
    return Section("Learning", blocks)


def waveform_section(loop: HomodyneLoop, run: Transient, start_s: float, stop_s: float, caption: str = "") -> Section:
    """Electrodes, output and loss over a stretch of a run, zoomable.

    Raises
    ------
    InputError
        If the run has no two points there.
    """
    inside = (run.time_s >= start_s) & (run.time_s <= stop_s)
    if np.count_nonzero(inside) < 2:
        raise InputError("start_s", start_s, f"to {stop_s:g} s holds no points", "take a stretch of the run")
    terminals = loop.device.terminals
    electrodes = {terminals[k]: run[f"v({node})"][inside] for k, node in enumerate(netlist.nodes(loop))}
    panels = {
        "electrodes (V)": electrodes,
        "output (nA)": {"output": 1e9 / loop.stage.transimpedance_ohm * run["v(tia)"][inside]},
        "loss (V)": {"loss": run["v(loss)"][inside]},
    }
    return Section("Waveforms", [Waves(run.time_s[inside], panels, caption)])


def gradient_section(
    measured: Sequence[xr.DataArray], ideal: Sequence[xr.DataArray], of: str = "", note: str = ""
) -> Section:
    """Gradients (`of` something) read by the circuit against exact ones, and the last pair side by side; a `note`."""
    if not measured or len(measured) != len(ideal):
        raise InputError("measured", len(measured), f"does not pair with {len(ideal)} exact gradients", "give as many")
    scale, unit = (1e9, "nS") if measured[0].attrs.get("units") == "S" else (1.0, str(measured[0].attrs.get("units")))
    names = [str(name) for name in ideal[0]["control"].values]
    found = [compare(a, b) for a, b in zip(measured, ideal, strict=True)]
    cosines, errors = [c.cosine for c in found], [c.relative_error for c in found]
    read, exact = scale * np.asarray(measured[-1]), scale * np.asarray(ideal[-1])
    words = (
        f"Cosine {np.median(cosines):.5f} at the median, {min(cosines):.5f} at the worst of {len(found)}; "
        f"relative error {100 * np.median(errors):.2g} % at the median, {100 * max(errors):.2g} % at the worst."
    )
    return Section(
        f"Gradient{f' of the {of}' if of else ''}",
        [
            Text(f"{words} {note}".rstrip()),
            Figure(
                plots.against_ideal(
                    [scale * np.asarray(v) for v in ideal], [scale * np.asarray(v) for v in measured], names, unit
                ),
                "Components read by the lock-ins over the exact ones; dotted: equal.",
            ),
            Figure(
                plots.bars(names, {"lock-in": read, "exact": exact}, y_label=f"gradient ({unit})", label="gradient"),
                "The last of them, control by control.",
            ),
        ],
    )


def budget_section(
    budget: ErrorBudget,
    names: Sequence[str],
    measured: ArrayLike | None = None,
    *,
    scale: float = 1e9,
    unit: str = "nS",
) -> Section:
    """Why the reading differs from the exact gradient, by cause and control; `measured` deviations as dots."""
    size = float(np.linalg.norm(budget.exact))
    rows = [
        [name, f"{scale * share:.3g}", f"{100 * share / size:.2g} %"]
        for name, share in budget.shares().items()
        if share > 1e-4 * size
    ]
    return Section(
        "Error budget",
        [
            Figure(
                plots.budget_bars(budget, names, measured, scale, unit),
                "Predicted deviation by cause" + ("" if measured is None else ", and the one measured") + ".",
            ),
            Table(["cause", f"size ({unit})", "of the gradient"], rows, "Over all controls, largest first"),
        ],
    )


def sweep_section(
    values: xr.DataArray, marks: Mapping[str, tuple[Any, Any]] | None = None, caption: str = ""
) -> Section:
    """A quantity over the two dimensions of an array: first upwards, second to the right; logarithmic where evenly so.

    Parameters
    ----------
    values : DataArray
        Two dimensions with numbers as coordinates; ``attrs["units"]`` of array and coordinates are shown.
    marks : mapping of str to (x, y), optional
        Points, or lines of points, to be marked.
    """
    if values.ndim != 2:
        raise InputError("values", values.dims, "are not two dimensions", "take the median over the others")
    y, x = (str(dim) for dim in values.dims)
    log = "".join(sign for sign, dim in (("x", x), ("y", y)) if plots.evenly_logarithmic(values[dim].values))
    known = np.asarray(values)[np.isfinite(np.asarray(values))]
    if known.size and known.min() > 0 and known.max() > 10 * known.min():
        log += "v"
    shown = str(values.attrs.get("long_name", values.name or "value"))
    drawn = plots.field_map(
        values[x].values, values[y].values, np.asarray(values), x_label=_axis(values[x], x),
        y_label=_axis(values[y], y), value_label=_axis(values, shown), marks=marks or {}, log=log,
    )  # fmt: skip
    return Section("Sweep", [Figure(drawn, caption)])


def _axis(array: xr.DataArray, name: str) -> str:
    units = str(array.attrs.get("units", ""))
    return f"{name} ({units})" if units not in ("", "1") else name


def yield_section(
    share: ArrayLike,
    wanted: float,
    *,
    sensitivities: Mapping[str, float] | None = None,
    sensitivity_label: str = "correlation",
    sensitivity_note: str = "",
) -> Section:
    """How many attempts each board passes, and what that depends on.

    Parameters
    ----------
    share : array_like, shape (n_boards,)
        Attempts that each board passes, 0 to 1.
    wanted : float
        Share from which on a board is good.
    sensitivities : mapping of str to float, optional
        By component.
    sensitivity_label, sensitivity_note : str, optional
        Axis and caption.
    """
    values = np.asarray(share, dtype=float)
    drawn = plots.histogram(values, x_label="attempts that a board passes", limit=wanted, passed=values >= wanted)
    blocks: list[Block] = [Figure(drawn, "Boards by the share of attempts that they pass; dotted: what is wanted.")]
    if sensitivities:
        drawn = plots.ranking(list(sensitivities), list(sensitivities.values()), x_label=sensitivity_label)
        blocks.append(Figure(drawn, sensitivity_note or "What it depends on."))
    return Section("Yield", blocks)


def loop_section(loop: HomodyneLoop) -> Section:
    """The schematic of a loop."""
    wide, narrow = loop_schematic(loop)
    caption = (
        "Stages of the loop, shaded by the level of their parts; ×n: one for each control; dashed: the tones. Tones, "
        "patterns, targets, windows and supplies are ideal sources at every level; starts, presets of the output stage "
        "and verdicts are the program's."
    )
    return Section("Loop", [Figure(wide, caption, wide=True, narrow_svg=narrow)])


def reproduction_section(commands: Sequence[str], versions: Mapping[str, str], note: str = "") -> Section:
    """What to type to get the same, and with which versions."""
    blocks: list[Block] = [Text(note)] if note else []
    blocks.append(Code("\n".join(commands)))
    if versions:
        blocks.append(Table(["package", "version"], [[name, value] for name, value in versions.items()], "Versions"))
    return Section("Reproduce", blocks)
