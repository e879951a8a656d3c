"""Figures of physics-aware training: curves and confusions, and the waveforms of single samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.plots.figure import Figure, new_figure


def plot_training(runs: xr.Dataset, title: str) -> Figure:
    """Accuracy on the system, angle to its own gradient, confusion matrix, and the system against its model.

    Parameters
    ----------
    runs : Dataset
        Of `inmateria pat`: dimensions split, epoch, pass, class, chosen; ``measured_V`` and ``modelled_V`` over point.
    title : str
    """
    figure = new_figure(figsize=(10, 7.5))
    axes = figure.subplots(2, 2)
    _curves(axes[0, 0], runs)
    _angles(axes[0, 1], runs)
    _confusions(axes[1, 0], runs)
    _against_model(axes[1, 1], runs)
    figure.suptitle(title)
    return figure


def _curves(axis: Any, runs: xr.Dataset) -> None:
    epochs = runs.epoch.values
    for name, colour, label in (("accuracy", "tab:gray", "training"), ("test_accuracy", "tab:blue", "held out")):
        values = np.atleast_2d(runs[name].transpose("split", "epoch").values)
        if not np.isfinite(values).any():
            continue
        axis.plot(epochs, values.T, color=colour, lw=0.6, alpha=0.3)
        axis.plot(epochs, values.mean(axis=0), color=colour, lw=2, label=label)
    softmax = runs.attrs.get("softmax_accuracy")
    if softmax is not None:
        axis.axhline(softmax, color="k", ls="--", lw=1, label="softmax on the features")
    axis.set(xlabel="epoch", ylabel="accuracy, on the physical system")
    axis.legend(fontsize=8)


def _angles(axis: Any, runs: xr.Dataset) -> None:
    angles = runs.angle_deg.mean("split")
    if not np.isfinite(angles.values).any():
        axis.text(0.5, 0.5, "the system's own gradient\nis not known", ha="center", va="center")
        axis.set_axis_off()
        return
    for k in range(runs.sizes["pass"]):
        axis.plot(runs.epoch.values, angles.isel({"pass": k}).values, marker=".", label=f"pass {k + 1}")
    axis.set(xlabel="epoch", ylabel="angle to the system's gradient (degrees)")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)


def _confusions(axis: Any, runs: xr.Dataset) -> None:
    counts = runs.confusion.sum("split").values
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [str(name) for name in runs["class"].values]
    ticks = range(len(names))
    axis.set_xticks(ticks, names)
    axis.set_yticks(ticks, names)
    for row in ticks:
        for column in ticks:
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.5 else "black"
                text = str(int(counts[row, column]))
                axis.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    axis.set(xlabel="chosen", ylabel="true")


def _against_model(axis: Any, runs: xr.Dataset) -> None:
    measured, modelled = runs.measured_V.values, runs.modelled_V.values
    axis.plot(measured, modelled, ".", ms=2, alpha=0.4, color="tab:blue")
    ends = [np.nanmin(measured), np.nanmax(measured)]
    axis.plot(ends, ends, color="k", lw=0.8)
    axis.set(xlabel="measured on the system (V)", ylabel="its model, same inputs (V)")


def plot_waveforms(runs: xr.Dataset, title: str) -> Figure:
    """What goes into the system and comes out, pass by pass, for one held-out sample of three classes.

    Parameters
    ----------
    runs : Dataset
        With ``values_V`` (example, pass, input), ``response_V`` and ``model_V`` (example, pass, output).
    title : str
    """
    shown = min(3, runs.sizes["example"])
    passes = runs.sizes["pass"]
    figure = new_figure(figsize=(3.6 * shown, 1.9 * passes + 0.6))
    axes = figure.subplots(passes, shown, sharex=True, sharey=True, squeeze=False)
    for column in range(shown):
        one = runs.isel(example=column)
        for k in range(passes):
            axis, there = axes[k, column], one.isel({"pass": k})
            axis.plot(there.values_V.values, color="tab:gray", lw=1, drawstyle="steps-post", label="in")
            axis.plot(there.response_V.values, color="tab:blue", lw=1.2, label="out, measured")
            axis.plot(there.model_V.values, color="tab:orange", lw=0.9, ls="--", label="out, model")
            if column == 0:
                axis.set_ylabel(f"pass {k + 1} (V)")
        axes[0, column].set_title(f"class {one.example.item()}", fontsize=9)
        axes[-1, column].set_xlabel("value")
    axes[0, 0].legend(fontsize=7)
    figure.suptitle(title)
    return figure
