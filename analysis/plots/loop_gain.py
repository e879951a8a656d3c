"""Figure of return ratios: size and phase of the loops with the smallest margins."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.plots.figure import COLOURS, Figure, new_figure


def plot_loop_gain(data: xr.Dataset) -> Figure:
    """Bode plot, the smallest margin drawn first.

    Parameters
    ----------
    data : xarray.Dataset
        As `inmateria check` writes it: ``size``, ``phase_deg`` (loop, frequency_Hz), ``phase_margin_deg`` (loop).
    """
    figure = new_figure(figsize=(7, 6))
    top, bottom = figure.subplots(2, 1, sharex=True)
    frequency = data["frequency_Hz"].values
    for k, colour in zip(range(data.sizes["loop"]), COLOURS, strict=False):
        one = data.isel(loop=k)
        label = f"{one['loop'].item()}, {one['phase_margin_deg'].item():.1f} deg"
        size = 20.0 * np.log10(np.maximum(one["size"].values, 1e-12))
        top.semilogx(frequency, size, color=colour, label=label)
        bottom.semilogx(frequency, one["phase_deg"].values, color=colour)
    top.axhline(0.0, color="black", lw=0.8)
    top.set(ylabel="size of the return ratio (dB)", ylim=(-60.0, None))
    top.legend(fontsize=8)
    bottom.axhline(-180.0, color="black", lw=0.8, ls=":")
    bottom.set(xlabel="frequency (Hz)", ylabel="phase (deg)")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    return figure
