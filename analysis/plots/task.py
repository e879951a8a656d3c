"""Figures of tasks and of methods side by side: classes in their input space, curves, loss against what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from analysis.plots.figure import Figure, new_figure
from inmateria.checks import FloatArray
from learning.tasks.classification import ClassificationTask
from learning.tasks.regression import RegressionTask
from learning.tasks.task import Task
from learning.trace import Trace


def plot_task(task: Task, outputs_A: FloatArray, test_A: FloatArray) -> Figure:
    """Output current over the inputs: training points (outlined by class) and held-out ones.

    Parameters
    ----------
    task : Task
    outputs_A, test_A : ndarray
        Output currents for the training points and for the held-out points (may be empty), A.
    """
    if isinstance(task, ClassificationTask) and task.inputs in (2, 3):
        return _plot_classes(task, outputs_A, test_A)
    if isinstance(task, RegressionTask) and task.inputs == 1:
        return _plot_curve(task, outputs_A, test_A)
    return _plot_outputs(task, outputs_A)


def _plot_classes(task: ClassificationTask, outputs_A: FloatArray, test_A: FloatArray) -> Figure:
    points, wanted = np.array(task.levels_V)[:, : task.inputs], task.target_values > 0.5
    shown, colours = points, 1e9 * np.asarray(outputs_A)
    if len(test_A):
        shown, colours = np.array(task.test_levels_V)[:, : task.inputs], 1e9 * np.asarray(test_A)
    span = np.percentile(colours, (2, 98))
    three = task.inputs == 3
    figure = new_figure(figsize=(7, 5.5))
    axis: Any = figure.add_subplot(projection="3d" if three else None)
    scale: dict[str, Any] = {"vmin": float(span[0]), "vmax": float(span[1]), "cmap": "viridis"}
    where = "held-out points" if len(test_A) else "training points"
    drawn = axis.scatter(*shown.T, c=colours, s=16, alpha=0.9 if three else 0.7, label=where, **scale)
    for which, marker, name in ((wanted, "o", "training, class 1"), (~wanted, "s", "training, class 0")):
        axis.scatter(
            *points[which].T, c=1e9 * np.asarray(outputs_A)[which], s=60, marker=marker,
            edgecolors="tab:red" if name.endswith("1") else "black", label=name, **scale,
        )  # fmt: skip
    axis.set(xlabel="input 1 (V)", ylabel="input 2 (V)")
    if three:
        axis.set_zlabel("input 3 (V)")
    else:
        axis.set_aspect("equal")
    figure.colorbar(drawn, ax=axis, label="output current (nA)", extend="both", shrink=0.8, pad=0.12 if three else 0.02)
    axis.set_title(task.name, fontsize=10)
    axis.legend(fontsize=7, loc="upper left")
    return figure


def _plot_curve(task: RegressionTask, outputs_A: FloatArray, test_A: FloatArray) -> Figure:
    figure = new_figure(figsize=(7, 4))
    axis = figure.subplots()
    points, slope_offset = np.array(task.levels_V)[:, 0], task.fit(outputs_A)
    order = np.argsort(points)
    axis.plot(points[order], task.target_values[order], "k:", label="target")
    axis.plot(points, slope_offset[0] * np.asarray(outputs_A) + slope_offset[1], "o", label="output, training points")
    if len(test_A):
        held = np.array(task.test_levels_V)[:, 0]
        rank = np.argsort(held)
        axis.plot(held[rank], (slope_offset[0] * np.asarray(test_A) + slope_offset[1])[rank], label="held-out points")
    axis.set(xlabel="input (V)", ylabel="output, fitted to the target")
    axis.set_title(task.name, fontsize=10)
    axis.legend(fontsize=8)
    return figure


def _plot_outputs(task: Task, outputs_A: FloatArray) -> Figure:
    figure = new_figure(figsize=(6, 4))
    axis = figure.subplots()
    axis.plot(task.target_values, 1e9 * np.asarray(outputs_A), "o")
    axis.set(xlabel="target", ylabel="output current (nA)")
    axis.set_title(task.name, fontsize=10)
    return figure


def plot_traces(traces: Mapping[str, Trace], title: str) -> Figure:
    """Best loss so far against device evaluations, with physical time on the upper axis."""
    figure = new_figure(figsize=(7, 4))
    axis = figure.subplots()
    for name, trace in traces.items():
        axis.step(trace.evaluations, trace.loss, where="post", marker="o", ms=2.5, label=name)
    axis.set_xscale("log")
    axis.set(xlabel="device evaluations (one pattern presented)", ylabel="best loss so far")
    axis.set_title(title, fontsize=10)
    if traces:
        slot_s = next(iter(traces.values())).slot_s
        upper = axis.secondary_xaxis("top", functions=(partial(np.multiply, slot_s), partial(np.multiply, 1 / slot_s)))
        upper.set_xlabel("physical time (s)")
        axis.legend(fontsize=8)
    return figure
