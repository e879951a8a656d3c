"""Figure of a lock-in's data sheet: transfer around the reference and step response, beside the textbook's."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import gammainc

from analysis.plots.figure import COLOURS, Figure, new_figure


def plot_lockin(data: xr.Dataset) -> Figure:
    """Transfer and step for each slope; dashed lines are n equal poles in closed form.

    Parameters
    ----------
    data : xarray.Dataset
        As `inmateria lockin` writes it: ``transfer`` (slope, offset_Hz), ``step`` (slope, step_s), attributes
        ``time_constant_s``, ``frequency_Hz``, ``realisation``.
    """
    figure = new_figure(figsize=(10, 4.6))
    left, right = figure.subplots(1, 2)
    tau = float(data.attrs["time_constant_s"])
    offset, time = data["offset_Hz"].values, data["step_s"].values
    for colour, slope in zip(COLOURS, data["slope"].values, strict=False):
        poles = int(slope) // 6
        power = data["transfer"].sel(slope=slope).values
        exact = (1.0 + (2.0 * np.pi * offset * tau) ** 2) ** -poles
        left.plot(offset * tau, 10.0 * np.log10(power), color=colour, lw=1.6, label=f"{slope} dB/octave")
        left.plot(offset * tau, 10.0 * np.log10(exact), color="black", lw=0.8, ls="--")
        right.plot(time / tau, data["step"].sel(slope=slope).values, color=colour, lw=1.6)
        right.plot(time / tau, gammainc(poles, time / tau), color="black", lw=0.8, ls="--")
    if offset.min() < 0.0:
        left.set_xscale("symlog", linthresh=0.1)
        ticks = [x for x in (0.1, 1.0, 10.0) if x <= offset.max() * tau]
        left.set_xticks([*(-x for x in ticks if -x >= offset.min() * tau), 0.0, *ticks])
    else:
        left.set_xscale("log")
    left.set(xlabel="distance from the reference × τ", ylabel="|H|² (dB)")
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    right.axhspan(0.99, 1.01, color="0.85", zorder=0)
    right.set_xlim(0.0, 14.0)
    right.set(xlabel="time / τ", ylabel="reading / final reading")
    right.grid(alpha=0.3)
    figure.suptitle(
        f"lock-in, {data.attrs['realisation']}: reference {data.attrs['frequency_Hz']:g} Hz, τ = {tau:g} s "
        "(dashed: equal poles in closed form)",
        fontsize=10,
    )
    return figure
