"""Figure of a learning loop's margins: gain and phase of every channel, and where its multipliers go."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.plots.figure import COLOURS, Figure, new_figure


def plot_margins(data: xr.Dataset) -> Figure:
    """Bars of gain and phase margin, and the multipliers of a pass as the tightest channel's rate grows.

    Parameters
    ----------
    data : xarray.Dataset
        As `inmateria stability` writes it: ``margin_dB``, ``phase_margin_deg`` (channel), ``multiplier_real``,
        ``multiplier_imag`` (factor, mode).
    """
    figure = new_figure(figsize=(11, 4))
    gain, phase, plane = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    names, places = [str(name) for name in data["channel"].values], np.arange(data.sizes["channel"])
    for axes, name, label in (
        (gain, "margin_dB", "gain margin (dB)"),
        (phase, "phase_margin_deg", "phase margin (deg)"),
    ):
        values = data[name].values
        known = np.isfinite(values)
        axes.barh(places[known], values[known], color=COLOURS[0])
        for place in places[~known]:
            axes.text(
                0.0, place, " hunts whatever its rate" if name == "margin_dB" else " none", va="center", fontsize=8
            )
        axes.axvline(0.0, color="black", lw=0.8)
        axes.set(xlabel=label, yticks=places, yticklabels=names, ylim=(len(names) - 0.4, -0.6))
        axes.grid(axis="x", alpha=0.3)
    phase.set_xlim(0.0, 180.0)
    turn = np.linspace(0.0, 2.0 * np.pi, 200)
    plane.plot(np.cos(turn), np.sin(turn), color="black", lw=0.8)
    real, imag, factor = data["multiplier_real"], data["multiplier_imag"], data["factor"].values
    seen = plane.scatter(
        real.values.ravel(), imag.values.ravel(), c=np.repeat(factor, real.sizes["mode"]), s=4, cmap="viridis"
    )
    now = int(np.argmin(np.abs(factor - 1.0)))
    plane.plot(real.values[now], imag.values[now], "x", color=COLOURS[4], label="as designed")
    plane.set(
        xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal", xlabel="multipliers of a pass, real", ylabel="imaginary"
    )
    plane.legend(fontsize=8, loc="upper left")
    figure.colorbar(seen, ax=plane, label=f"factor on {data.attrs['tightest']}'s rate")
    return figure
