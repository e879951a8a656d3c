"""Figures of a learning run and of gradients; matplotlib is loaded when the first one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from analysis.plots.figure import PATTERNS, Figure, new_figure
from circuits.homodyne import readings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from analysis.gradients.path_check import PathCheck
    from learning.homodyne.results import Attempt


def plot_waveforms(dataset: xr.Dataset, *, start_s: float, stop_s: float) -> Figure:
    """Electrode voltages, output and loss over a stretch of the run."""
    figure = new_figure(figsize=(9, 6))
    axes = figure.subplots(3, 1, sharex=True)
    part = dataset.sel(time=slice(start_s, stop_s))
    for name in part["terminal"].values:
        axes[0].plot(part["time"], part["terminal_V"].sel(terminal=name), lw=0.7, label=str(name))
    axes[0].set_ylabel("electrodes (V)")
    axes[0].legend(ncols=8, fontsize=7, loc="upper right")
    current = part["transimpedance_V"] / dataset.attrs["transimpedance_ohm"] * 1e9
    axes[1].plot(part["time"], current, lw=0.7)
    axes[1].set_ylabel("output (nA)")
    axes[2].plot(part["time"], part["loss_V"], lw=0.7, color="tab:red")
    axes[2].set(xlabel="time (s)", ylabel="gated loss (V)")
    return figure


def plot_learning(attempt: Attempt) -> Figure:
    """Control voltages, loss per sequence and the four outputs over a learning run."""
    loop, run = attempt.loop, attempt.run
    figure = new_figure(figsize=(9, 8))
    axes = figure.subplots(3, 1, sharex=True)
    controls = readings.controls_V(loop, run)
    for k, terminal in enumerate(loop.trained):
        name = loop.device.terminals[terminal]
        axes[0].plot(run.time_s, controls[:, k], label=name + (" (input bias)" if terminal in loop.inputs else ""))
    axes[0].set_ylabel("control voltage (V)")
    axes[0].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    sequences = np.arange(loop.sequences + 2)
    ends = (sequences + 1) * loop.sequence.period_s
    scale = 1e9 / loop.stage.transimpedance_ohm
    outputs = np.array([readings.outputs_V(loop, run, int(s)) for s in sequences]) * scale
    losses = [attempt.loss(int(s)) for s in sequences]
    axes[1].plot(ends, losses, "o-", ms=3, color="tab:red")
    axes[1].set_ylabel("loss (V)")
    wanted = np.array(loop.sequence.targets_V) > 0
    for p in range(loop.sequence.patterns):
        style = "-" if wanted[p] else "--"
        label = f"{PATTERNS[p]} ({'high' if wanted[p] else 'low'})" if len(wanted) == len(PATTERNS) else None
        colour = None if label else ("tab:orange" if wanted[p] else "tab:blue")
        axes[2].plot(ends, outputs[:, p], style, label=label, color=colour)
    axes[2].set(xlabel="time (s)", ylabel="output current (nA)")
    if len(wanted) == len(PATTERNS):
        axes[2].legend(fontsize=7, ncols=4)
    return figure


def plot_truth_table(attempt: Attempt, gate: str) -> Figure:
    """The four outputs as measured before and after learning, with the threshold."""
    wanted = np.array(attempt.loop.sequence.targets_V) > 0
    figure = new_figure(figsize=(7, 3.5))
    axes = figure.subplots(1, 2)
    for axis, title, values in zip(axes, ("before", "after"), (attempt.initial_A, attempt.final_A), strict=True):
        nano = np.asarray(values) * 1e9
        for level, colour, name in ((True, "tab:orange", "target high"), (False, "tab:blue", "target low")):
            chosen = np.nonzero(wanted == level)[0]
            axis.plot(chosen, nano[chosen], "o", ms=10, color=colour, label=name)
        axis.set_xticks(range(len(nano)), PATTERNS[: len(nano)])
        axis.set_xlim(-0.5, len(nano) - 0.5)
        score = attempt.initial if title == "before" else attempt.final
        span = float(np.ptp(nano)) or 1.0
        axis.set_ylim(nano.min() - 0.4 * span, nano.max() + 0.3 * span)
        if score.separation_A > 0:
            high, low = (
                (nano[wanted], nano[~wanted]) if attempt.loop.stage.polarity > 0 else (nano[~wanted], nano[wanted])
            )
            axis.axhline(0.5 * (high.min() + low.max()), color="k", ls=":", label="threshold")
        axis.legend(fontsize=7, loc="upper center", ncols=3)
        sign = "" if attempt.loop.stage.polarity > 0 else ", inverted output stage"
        axis.set_title(f"{gate} {title}: margin {score.quality:.2f}{sign}", fontsize=9)
        axis.set(xlabel="inputs", ylabel="output current (nA)")
    return figure


def plot_gradients(measured: Sequence[xr.DataArray], ideal: Sequence[xr.DataArray], title: str) -> Figure:
    """Measured against ideal components, and side by side for the last pair."""
    figure = new_figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    units = measured[0].attrs.get("units", "")
    scale, shown = (1e9, "nS") if units == "S" else (1.0, units)
    _against(left, measured, ideal, scale, shown)
    left.set_title(title, fontsize=10)
    _beside(right, measured[-1], ideal[-1], scale, shown)
    return figure


def _against(
    axis: Axes, measured: Sequence[xr.DataArray], ideal: Sequence[xr.DataArray], scale: float, unit: str
) -> None:
    """Components read over exact ones; dotted: equal."""
    for a, b in zip(measured, ideal, strict=True):
        axis.plot(np.asarray(b) * scale, np.asarray(a) * scale, "o", ms=4)
    reach = [float(min(np.min(b) for b in ideal)) * scale, float(max(np.max(b) for b in ideal)) * scale]
    axis.plot(reach, reach, "k:", lw=1)
    axis.set(xlabel=f"ideal ({unit})", ylabel=f"lock-in ({unit})")


def _beside(axis: Axes, measured: xr.DataArray, ideal: xr.DataArray, scale: float, unit: str) -> None:
    """One gradient, control by control."""
    positions = np.arange(len(ideal))
    axis.bar(positions - 0.2, np.asarray(measured) * scale, 0.4, label="lock-in")
    axis.bar(positions + 0.2, np.asarray(ideal) * scale, 0.4, label="ideal")
    axis.set_xticks(positions, [str(v) for v in ideal["control"].values])
    axis.set_ylabel(unit)
    axis.legend(fontsize=8)


def plot_path_check(check: PathCheck) -> Figure:
    """Gradients of loss and output along the learning path, read against exact; the last one of the loss."""
    figure = new_figure(figsize=(12, 4))
    axes = figure.subplots(1, 3)
    for axis, of, slopes, scale, unit in (
        (axes[0], "loss", check.loss, 1.0, "V/V"), (axes[1], "output", check.output, 1e9, "nS")
    ):  # fmt: skip
        _against(axis, slopes.measured, slopes.exact, scale, unit)
        axis.set_title(f"of the {of}: cosine {slopes.cosines[0]:.4f} at the start, {slopes.cosines[-1]:.4f} at the end",
                       fontsize=9)  # fmt: skip
    _beside(axes[2], check.loss.measured[-1], check.loss.exact[-1], 1.0, "V/V")
    axes[2].set_title("of the loss, at the end", fontsize=9)
    peaks = ", ".join(f"{1e3 * peak:.3g}" for peak in check.dither_V)
    figure.suptitle(f"dither {peaks} mV; {check.parts}; {check.engine}", fontsize=9)
    return figure
