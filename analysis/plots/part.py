"""Figure of a part's measurements: each curve of a vendor's model in a panel, with the same of our own parts."""

from __future__ import annotations

import xarray as xr

from analysis.plots.figure import COLOURS, Figure, new_figure


def plot_part(data: xr.Dataset) -> Figure:
    """Curves by their names.

    Parameters
    ----------
    data : xarray.Dataset
        As `inmateria part` writes it: a variable for each curve of each part, over an axis of its own, with the
        attributes ``curve``, ``part``, ``x_label``, ``y_label`` and ``logarithmic``.
    """
    names = list(dict.fromkeys(one.attrs["curve"] for one in data.data_vars.values()))
    parts = list(dict.fromkeys(one.attrs["part"] for one in data.data_vars.values()))
    rows = (len(names) + 1) // 2
    figure = new_figure(figsize=(9, 3.2 * rows))
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for values in data.data_vars.values():
        said = values.attrs
        axes = panels[names.index(said["curve"])]
        k = parts.index(said["part"])
        axes.plot(
            values[values.dims[0]],
            values,
            color=COLOURS[k],
            lw=1.8 if k == 0 else 1.0,
            zorder=3 - k,
            label=said["part"],
        )
        axes.set(title=said["curve"], xlabel=said["x_label"], ylabel=said["y_label"])
        axes.set_xscale("log" if "x" in said["logarithmic"] else "linear")
        axes.set_yscale("log" if "y" in said["logarithmic"] else "linear")
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return figure
