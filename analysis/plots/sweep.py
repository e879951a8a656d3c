"""Figures of a sweep: a curve over one axis, a map over two; matplotlib is loaded when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from analysis.plots.figure import COLOURS, Figure, new_figure
from analysis.report.plots import edges, evenly_logarithmic
from analysis.sweeps.axes import SEED
from inmateria.errors import InputError


def axes_of(data: xr.Dataset, name: str) -> list[str]:
    """Dimensions of a quantity but the seeds', in order.

    Raises
    ------
    InputError
        If there is no such quantity, or it has labels of its own, such as ``control``.
    """
    known = [str(key) for key, value in data.data_vars.items() if set(value.dims) == set(data["status"].dims)]
    if name not in known:
        raise InputError("quantity", name, "is nothing to draw", f"choose from {', '.join(known)}")
    return [str(dim) for dim in data[name].dims if dim != SEED]


def over_seeds(data: xr.Dataset, name: str, *, mean: bool = False) -> xr.DataArray:
    """Median (or mean) over the seeds, failed points left out."""
    values = data[name]
    if SEED not in values.dims:
        return values
    return values.mean(SEED, keep_attrs=True) if mean else values.median(SEED, keep_attrs=True)


def plot_sweep(
    data: xr.Dataset, name: str, *, planned: Mapping[float, float] | None = None, mean: bool = False
) -> Figure:
    """The figure that suits the number of axes: further axes than two are taken at the median.

    Parameters
    ----------
    data : Dataset
        As `sweep` returns it.
    name : str
        The quantity.
    planned : dict, optional
        The planner's amplitude (V) for each spacing (Hz).
    mean : bool
        Mean over the seeds in place of the median.
    """
    if len(axes_of(data, name)) < 2:
        return plot_curve(data, name, planned=planned, mean=mean)
    return plot_map(data, name, planned=planned, mean=mean)


def plot_curve(
    data: xr.Dataset, name: str, *, planned: Mapping[float, float] | None = None, mean: bool = False
) -> Figure:
    """A quantity over one axis: median (or mean) over the seeds, and the quartiles."""
    figure = new_figure(figsize=(6.4, 4.2))
    axes = figure.subplots()
    dims = axes_of(data, name)
    middle = over_seeds(data, name, mean=mean)
    if not dims:  # seeds alone
        axes.plot(data[SEED], data[name], "o", color=COLOURS[0])
        axes.set_xlabel("seed")
    else:
        x, ticks = _positions(data[dims[0]])
        if SEED in data[name].dims and not mean:
            low, high = (data[name].quantile(q, SEED).values for q in (0.25, 0.75))
            axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.2, lw=0, label="quartiles over the seeds")
        label = ("mean" if mean else "median") if SEED in data[name].dims else None
        axes.plot(x, middle.values, "o-", ms=3, color=COLOURS[0], label=label)
        _scale(axes.xaxis, axes.set_xscale, data[dims[0]], ticks)
        axes.set_xlabel(_label(data[dims[0]]))
        if planned and dims[0] == "dither_amplitude":
            axes.axvline(next(iter(planned.values())), color=COLOURS[1], ls="--", label="planner's choice")
    if _spans(middle):
        axes.set_yscale("log")
    axes.set_ylabel(_quantity_label(data[name]))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    return figure


def plot_map(
    data: xr.Dataset, name: str, *, planned: Mapping[float, float] | None = None, mean: bool = False
) -> Figure:
    """A quantity over two axes: median (or mean) over the seeds; the best point and the planner's choices marked."""
    from matplotlib.colors import LogNorm

    dims = axes_of(data, name)
    if len(dims) < 2:
        raise InputError("quantity", name, "has one axis only", "use plot_curve")
    middle = over_seeds(data, name, mean=mean)
    for dim in dims[2:]:
        middle = middle.median(dim, keep_attrs=True)
    first, second = data[dims[0]], data[dims[1]]
    figure = new_figure(figsize=(6.8, 5.0))
    axes = figure.subplots()
    (x, x_ticks), (y, y_ticks) = _positions(first), _positions(second)
    values = middle.transpose(dims[0], dims[1]).values
    mesh = axes.pcolormesh(
        edges(x, evenly_logarithmic(first)), edges(y, evenly_logarithmic(second)), values.T,
        cmap="viridis_r" if not mean else "viridis", norm=LogNorm() if _spans(middle) else None,
    )  # fmt: skip
    figure.colorbar(mesh, ax=axes, label=_quantity_label(data[name]))
    for axis, scale, coordinate, ticks in (
        (axes.xaxis, axes.set_xscale, first, x_ticks),
        (axes.yaxis, axes.set_yscale, second, y_ticks),
    ):
        _scale(axis, scale, coordinate, ticks)
    axes.set(xlabel=_label(first), ylabel=_label(second))
    if np.any(np.isfinite(values)):
        best = np.unravel_index(np.nanargmax(values) if mean else np.nanargmin(values), values.shape)
        axes.plot(x[best[0]], y[best[1]], "*", ms=13, mfc="w", mec="k", label="best point", ls="none")
    if planned and {dims[0], dims[1]} == {"dither_amplitude", "dither_spacing"}:
        spacings, amplitudes = np.array(sorted(planned.items())).T
        flipped = dims[0] == "dither_spacing"
        axes.plot(*((spacings, amplitudes) if flipped else (amplitudes, spacings)), "o-", ms=4, color=COLOURS[1],
                  mec="w", mew=0.5, label="planner's choice at each spacing")  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="upper left")
    return figure


def _spans(values: xr.DataArray) -> bool:
    """Whether a quantity covers so wide a range that its logarithm should be drawn."""
    found = values.values[np.isfinite(values.values)]
    return bool(found.size and found.min() > 0 and found.max() > 5 * found.min())


def _positions(coordinate: xr.DataArray) -> tuple[np.ndarray[Any, Any], list[str] | None]:
    """Where points stand; words stand in a row, and are their own ticks."""
    values = coordinate.values
    if values.dtype.kind in "fi":
        return values.astype(float), None
    return np.arange(len(values), dtype=float), [str(value) for value in values]


def _scale(axis: Any, scale: Any, coordinate: xr.DataArray, ticks: list[str] | None) -> None:
    from matplotlib.ticker import EngFormatter

    if ticks is not None:
        axis.set_ticks(range(len(ticks)), ticks)
        return
    if evenly_logarithmic(coordinate):
        scale("log")
        axis.set_minor_formatter("")
    if coordinate.attrs.get("units"):
        axis.set_major_formatter(EngFormatter(unit=coordinate.attrs["units"]))


def _label(coordinate: xr.DataArray) -> str:
    return str(coordinate.attrs.get("key", coordinate.name))


def _quantity_label(values: xr.DataArray) -> str:
    units = values.attrs.get("units", "1")
    return str(values.attrs.get("long_name", values.name)) + ("" if units == "1" else f" ({units})")
