"""Figures of error budgets; matplotlib is loaded when the first one is drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.plots.figure import COLOURS, Figure, new_figure
from lockin.error_budget import ErrorBudget


def plot_budget(
    budget: ErrorBudget,
    names: tuple[str, ...],
    measured: ArrayLike | None = None,
    *,
    scale: float = 1e9,
    units: str = "nS",
    title: str = "",
) -> Figure:
    """Deviation of each control's gradient, stacked by cause, with what was measured beside it.

    Parameters
    ----------
    budget : ErrorBudget
    names : tuple of str
        The controls.
    measured : array_like, shape (n,), optional
        Measured deviation from the exact gradient.
    scale, units
        Of the vertical axis: deviations are multiplied by `scale`.
    title : str, optional
    """
    figure = new_figure(figsize=(8, 4.2))
    axes = figure.subplots()
    where = np.arange(len(names))
    above, below = np.zeros(len(names)), np.zeros(len(names))
    smallest = 1e-3 * float(np.max(np.abs(budget.total), initial=0.0))
    for number, (name, values) in enumerate(budget.terms.items()):
        if float(np.max(np.abs(values))) <= smallest:
            continue
        heights = scale * values
        base = np.where(heights >= 0.0, above, below)
        axes.bar(where, heights, 0.62, bottom=base, color=COLOURS[number % len(COLOURS)], label=name)
        above, below = above + np.maximum(heights, 0.0), below + np.minimum(heights, 0.0)
    predicted = scale * budget.systematic
    if np.any(budget.noise > 0.0):
        axes.errorbar(where, predicted, scale * budget.noise, fmt="none", color="k", capsize=4, label="noise (1 s.d.)")
    axes.plot(where, predicted, "k_", ms=18, mew=1.5, label="predicted")
    if measured is not None:
        axes.plot(where, scale * np.asarray(measured), "o", mfc="w", mec="k", ms=6, label="measured")
    axes.axhline(0.0, color="0.6", lw=0.6)
    axes.set_xticks(where, names)
    axes.set_ylabel(f"gradient less exact gradient ({units})")
    axes.set_title(title)
    axes.legend(fontsize=8, ncols=2)
    return figure
