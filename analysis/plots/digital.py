"""Figure of a digital descent: outputs and controls from pass to pass."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.plots.figure import COLOURS, Figure, new_figure


def plot_digital(data: xr.Dataset) -> Figure:
    """Outputs of each pattern above, controls below.

    Parameters
    ----------
    data : xarray.Dataset
        As `inmateria digital` writes it: ``outputs`` (sweep, pattern), A, and ``controls`` (moment, control), V.
    """
    figure = new_figure(figsize=(7, 6))
    top, bottom = figure.subplots(2, 1, sharex=True)
    for axes, values, dim in ((top, 1e9 * data["outputs"], "pattern"), (bottom, data["controls"], "control")):
        for k, name in enumerate(values[dim].values):
            column = values.sel({dim: name}).values
            axes.plot(np.arange(len(column)), column, color=COLOURS[k % len(COLOURS)], label=str(name))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, ncols=2)
    top.set(ylabel="mean output (nA)")
    bottom.set(xlabel="pass", ylabel="control (V)")
    return figure
