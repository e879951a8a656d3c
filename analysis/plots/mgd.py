"""Figures of multiplexed gradient descent: cost, accuracy and angle of many runs, and the angle against time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from analysis.plots.figure import Figure, new_figure
from analysis.verification.yields import Yield
from inmateria.checks import FloatArray
from learning.multiplexed.training import SOLVED_COST

_THIN = 60  # runs drawn one by one; more are shown by their quantiles only


def plot_descent(runs: xr.Dataset, title: str, baselines: Mapping[str, FloatArray] | None = None) -> Figure:
    """Cost, accuracy and angle against steps: each run thin, the median thick.

    Parameters
    ----------
    runs : Dataset
        Of `learning.train_many`.
    title : str
    baselines : mapping of str to ndarray, optional
        Accuracies that stand beside, by name: one number each, or one for each step.
    """
    figure = new_figure(figsize=(11, 3.6))
    axes = figure.subplots(1, 3)
    accuracy = "test_accuracy" if bool(np.isfinite(runs.test_accuracy).any()) else "accuracy"
    steps = runs.step.values
    for axis, name, label in (
        (axes[0], "cost", "mean squared error, all samples"),
        (axes[1], accuracy, accuracy.replace("_", " ")),
        (axes[2], "angle_deg", "angle of the way to the descent (degrees)"),
    ):
        values = runs[name].values
        if len(values) <= _THIN:
            axis.plot(steps, values.T, color="tab:blue", lw=0.6, alpha=0.4)
        else:
            low, high = (_quantile(_held(values), share) for share in (0.1, 0.9))
            axis.fill_between(steps, low, high, color="tab:blue", alpha=0.25, lw=0, label="10 to 90 %")
        axis.plot(steps, _median(_held(values)), color="tab:blue", lw=2, label="median")
        axis.set_xlabel("steps")
        axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 4))
        axis.set_ylabel(label)
    axes[0].set_yscale("log")
    if runs.attrs.get("task", "").startswith("parity"):
        axes[0].axhline(SOLVED_COST, color="k", ls=":", lw=1, label="solved")
    for name, value in (baselines or {}).items():
        line = np.broadcast_to(np.asarray(value, dtype=float), steps.shape)
        axes[1].plot(steps, line, ls="--", lw=1.2, label=name)
    axes[0].legend(fontsize=7)
    axes[1].legend(fontsize=7)
    axes[2].axhline(90, color="k", ls=":", lw=1)
    figure.suptitle(title, fontsize=10)
    return figure


def plot_gradient_angle(curves: xr.Dataset, title: str) -> Figure:
    """Angle of the accumulated G to the gradient against steps, for each code; the law of moments for random signs.

    Parameters
    ----------
    curves : Dataset
        Of `learning.multiplexed.gradient_angles`: ``angle_deg`` over code, run and step; attribute ``parameters``.
    title : str
    """
    figure = new_figure(figsize=(6, 4))
    axis: Any = figure.subplots()
    steps = curves.step.values
    for code in curves.code.values:
        middle = _median(curves.angle_deg.sel(code=code).values)
        axis.loglog(steps, np.maximum(middle, 1e-6), "o-", ms=3, label=str(code))
    law = np.degrees(np.arccos(1.0 / np.sqrt(1.0 + (float(curves.attrs["parameters"]) - 1.0) / steps)))
    axis.loglog(steps, law, "k:", lw=1, label="random signs, law of moments")
    axis.set(xlabel="integration time (steps)", ylabel="angle to the gradient (degrees)")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=7)
    return figure


def _held(values: FloatArray) -> FloatArray:
    """Runs that ended early stay where they ended."""
    filled = values.copy()
    for k in range(1, filled.shape[1]):
        gone = ~np.isfinite(filled[:, k])
        filled[gone, k] = filled[gone, k - 1]
    return filled


def _quantile(values: FloatArray, share: float) -> FloatArray:
    """Quantile over runs; NaN where no run has a value."""
    seen = np.isfinite(values).any(axis=0)
    found = np.full(values.shape[1], np.nan)
    found[seen] = np.nanquantile(values[:, seen], share, axis=0)
    return found


def _median(values: FloatArray) -> FloatArray:
    return _quantile(values, 0.5)


def plot_shares(shares: Mapping[str, Mapping[str, list[tuple[float, Yield]]]], title: str) -> Figure:
    """Share of runs that solved the task against the size of each imperfection, with 95 % intervals.

    Parameters
    ----------
    shares : mapping
        Imperfection to code to list of (size, share of runs that solved it).
    title : str
    """
    figure = new_figure(figsize=(3.0 * len(shares), 3.2))
    axes = np.atleast_1d(figure.subplots(1, len(shares), sharey=True))
    for axis, (name, codes) in zip(axes, shares.items(), strict=True):
        for code, points in codes.items():
            sizes = [size for size, _ in points]
            share = np.array([one.share for _, one in points])
            bars = np.array([(one.share - one.low, one.high - one.share) for _, one in points]).T
            axis.errorbar(sizes, share, np.maximum(bars, 0.0), fmt="o-", ms=3, capsize=2, label=code)
        smallest = min(size for points in codes.values() for size, _ in points if size > 0)
        axis.set_xscale("symlog", linthresh=smallest)
        axis.set_xlabel(name.replace("_", " "))
    axes[0].set_ylim(0, 1)
    axes[0].set_ylabel("share of runs solved")
    axes[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    return figure
