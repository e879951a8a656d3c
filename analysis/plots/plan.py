"""Figure of a planned reading: error against amplitude and against time; matplotlib is loaded when it is drawn."""

from __future__ import annotations

import numpy as np

from analysis.gradients.planner import GradientPlan
from analysis.plots.figure import COLOURS, Figure, new_figure


def plot_plan(plan: GradientPlan) -> Figure:
    """Left: noise falls, bias grows with the amplitude, at the planned time. Right: error against time of reading.

    The curves on the left are of the settings that chose, the planned point is of those that judged.
    """
    figure = new_figure(figsize=(9.6, 4.2))
    left, right = figure.subplots(1, 2)
    alpha, error, noise, amplitude = plan.amplitude_curve.T
    chosen = 1e3 * float(np.mean(plan.dither.amplitudes_V))
    left.loglog(1e3 * alpha, error, "k-", lw=1.8, label="all")
    left.loglog(1e3 * alpha, noise, "--", color=COLOURS[0], label="noise")
    left.loglog(1e3 * alpha, amplitude, "--", color=COLOURS[1], label="amplitude")
    left.plot(
        chosen,
        plan.error,
        "o",
        mfc="w",
        mec="k",
        ms=8,
        label="planned" if plan.requirements.share is None else "as judged",
    )
    left.set_ylim(bottom=float(error.min()) / 30.0, top=float(error.max()) * 2.0)
    left.set(xlabel="peak dither, mean over the controls (mV)", ylabel="error of the gradient / its size")
    left.set_title(f"read after {plan.time_s:.3g} s")
    left.legend(fontsize=8)
    right.loglog(*plan.time_curve.T, "k.-")
    right.plot(plan.time_s, plan.error, "o", mfc="w", mec="k", ms=8)
    right.axhline(plan.requirements.error, color="0.6", lw=0.8)
    right.set(xlabel="time of reading (s)", ylabel="smallest error")
    kind = plan.settings.window if plan.settings.window != "rc" else f"{plan.settings.filter_slope} dB/octave"
    low, high = plan.band_Hz
    right.set_title(f"{plan.dither.n} tones, {low:.4g}-{high:.4g} Hz, {kind}")
    return figure
