"""Figures of a device: the network with its potential and current paths, and currents over one or two voltages."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.plots.figure import COLOURS, Figure, new_figure
from dnpu_models.mean_field.current_paths import HopCurrents
from dnpu_models.network.electrostatics import unit_potentials
from dnpu_models.network.geometry import Disc, Electrode
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray
from inmateria.errors import InputError

ARROW = "#A6004B"
_NM = 1e9


# ---------------------------------------------------------------------------------------------------------- the network


def plot_device(network: DopantNetwork, voltages_V: FloatArray, flow: HopCurrents, *, title: str = "") -> Figure:
    """The network at one set of voltages: potential, sites by occupation, donors, electrodes, net currents as arrows.

    Parameters
    ----------
    network : DopantNetwork
        With electrodes that have a width.
    voltages_V : ndarray, shape (n_electrodes,)
    flow : HopCurrents
        At these voltages.
    title : str
    """
    figure = new_figure(figsize=(9.2, 7.2))
    axes = figure.subplots()
    scale, unit = (_NM, "nm") if network.shape.perimeter_m < 1e-3 else (1.0, "m")
    shown = _potential(axes, network, voltages_V, scale)
    arrows = _arrows(axes, network, flow, scale)
    x, y = (network.acceptors_m * scale).T
    sites = axes.scatter(
        x, y, c=flow.occupations, cmap="cividis", vmin=0, vmax=1, s=26, lw=0.6,
        edgecolors="white", zorder=4,
    )  # fmt: skip
    if len(network.donors_m):
        axes.plot(*(network.donors_m * scale).T, "P", ms=10, mfc="#E69F00", mec="black", mew=0.8, zorder=5, ls="none")
    for k, electrode in enumerate(network.electrodes):
        _electrode(axes, network, k, electrode, float(voltages_V[k]), float(flow.electrodes_A[k]), scale)
    _boundary(axes, network, scale)
    _scale_bar(axes, network, scale, unit)
    axes.set_aspect("equal")
    axes.axis("off")
    figure.suptitle(title, fontsize=10)
    figure.colorbar(sites, ax=axes, shrink=0.5, pad=0.01, label="occupation by a hole")
    figure.colorbar(shown, ax=axes, shrink=0.5, pad=0.03, label="potential of the electrodes (V)")
    _legend(axes, arrows, len(network.donors_m) > 0)
    return figure


def _potential(axes: Any, network: DopantNetwork, volts: FloatArray, scale: float) -> Any:
    """The potential as a pale background with lines of equal potential; returns what the colour bar needs."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.tri import Triangulation

    solved = unit_potentials(network.shape, network.electrodes)
    vertices = solved.points.shape[1]  # the first coefficients of quadratic elements are the values at the vertices
    values = solved.solutions[:vertices] @ volts
    reach = max(float(np.abs(volts).max()), 1e-3)
    pale = LinearSegmentedColormap.from_list("pale", ["#8FBBE0", "#FFFFFF", "#F2BC85"])
    x, y = solved.points * solved.scale_m * scale
    mesh = Triangulation(x, y, solved.triangles.T)
    norm = Normalize(-reach, reach)
    shown = axes.tripcolor(mesh, values, shading="gouraud", cmap=pale, norm=norm, zorder=0)
    if np.ptp(volts) > 0:
        levels = np.linspace(volts.min(), volts.max(), 12)[1:-1]
        axes.tricontour(mesh, values, levels=levels, colors="0.55", linewidths=0.5, linestyles="-", zorder=1)
    return shown


def _arrows(axes: Any, network: DopantNetwork, flow: HopCurrents, scale: float) -> tuple[float, float]:
    """Arrows of a width in proportion to the current, those above 2 % of the largest; returns largest and least (A)."""
    from matplotlib.collections import PolyCollection

    largest = float(flow.current_A.max(initial=0.0))
    chosen = np.nonzero(flow.current_A > 0.02 * largest)[0]
    if largest <= 0 or not len(chosen):
        return 0.0, 0.0
    chosen = chosen[np.argsort(flow.current_A[chosen])]
    n = network.n_sites
    contacts = [_contact(network, electrode) for electrode in network.electrodes]

    def place(node: int, other: int) -> FloatArray:
        """A site's position, or the point of a contact that is nearest to the site at the other end."""
        if node < n:
            return np.asarray(network.acceptors_m[node])
        points = contacts[node - n]
        return np.asarray(points[np.hypot(*(points - network.acceptors_m[other]).T).argmin()])

    size = np.sqrt(network.shape.perimeter_m**2 / (4 * np.pi)) * scale  # the radius of a disc
    polygons = []
    for m in chosen:
        a, b = int(flow.tail[m]), int(flow.head[m])
        start, stop = place(a, b) * scale, place(b, a) * scale
        polygons.append(_arrow(start, stop, 0.045 * size * flow.current_A[m] / largest + 0.002 * size))
    axes.add_collection(PolyCollection(polygons, facecolors=ARROW, edgecolors="none", alpha=0.8, zorder=3))
    return largest, 0.02 * largest


def _arrow(start: FloatArray, stop: FloatArray, width: float) -> FloatArray:
    """Corners of an arrow from `start` to `stop`."""
    along = stop - start
    length = float(np.hypot(*along))
    along = along / length
    across = np.array([-along[1], along[0]])
    head = min(1.3 * width + 0.05 * length, 0.5 * length)
    neck = stop - head * along
    half, wing = 0.5 * width, min(0.95 * width + 0.02 * length, 0.4 * length)
    return np.array(
        [
            start + half * across, neck + half * across, neck + wing * across, stop,
            neck - wing * across, neck - half * across, start - half * across,
        ]
    )  # fmt: skip


def _contact(network: DopantNetwork, electrode: Electrode) -> FloatArray:
    """Points along a contact, m, (101, 2)."""
    shape = network.shape
    middle = shape.arc_position(np.array([[electrode.x_m, electrode.y_m]]))
    return shape.boundary_point(middle + np.linspace(-0.5, 0.5, 101) * electrode.width_m)


def _electrode(
    axes: Any, network: DopantNetwork, k: int, electrode: Electrode, volts: float, current_A: float, scale: float
) -> None:
    points = _contact(network, electrode) * scale
    axes.plot(*points.T, color="0.15", lw=6, solid_capstyle="butt", zorder=6)
    centre = np.array([electrode.x_m, electrode.y_m]) * scale
    middle = np.zeros(2) if isinstance(network.shape, Disc) else _middle(network) * scale
    outwards = (centre - middle) / np.hypot(*(centre - middle))
    size = np.sqrt(network.shape.perimeter_m**2 / (4 * np.pi)) * scale
    place = centre + outwards * (0.12 + 0.06 * abs(outwards[0])) * size
    text = f"e{k}\n{_signed(volts)} V\n{_amperes(current_A)}"
    axes.text(place[0], place[1], text, ha="center", va="center", fontsize=9, linespacing=1.2, zorder=7)


def _middle(network: DopantNetwork) -> FloatArray:
    corners = network.shape.boundary_point(np.linspace(0, network.shape.perimeter_m, 400, endpoint=False))
    return np.asarray(0.5 * (corners.min(axis=0) + corners.max(axis=0)))


def _signed(value: float) -> str:
    """Three digits with a sign, but for 0."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _amperes(current_A: float) -> str:
    """A current with a prefix that suits it."""
    factor, unit = _prefix(abs(current_A))
    return f"{_signed(round(current_A * factor, 2))} {unit}"


def _boundary(axes: Any, network: DopantNetwork, scale: float) -> None:
    shape = network.shape
    along = np.sort(np.concatenate([np.linspace(0, shape.perimeter_m, 400), shape.corners()]))
    edge = shape.boundary_point(along) * scale
    axes.plot(*edge.T, color="0.15", lw=0.8, zorder=2)
    low, high = edge.min(axis=0), edge.max(axis=0)
    room = np.array([0.17, 0.13]) * (high - low)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    axes.set_ylim(low[1] - room[1], high[1] + room[1])


def _scale_bar(axes: Any, network: DopantNetwork, scale: float, unit: str) -> None:
    """A bar of a round length, below the device on the left."""
    corners = network.shape.boundary_point(np.linspace(0, network.shape.perimeter_m, 400)) * scale
    low, high = corners.min(axis=0), corners.max(axis=0)
    third = (high[0] - low[0]) / 4
    power = 10 ** np.floor(np.log10(third))
    length = power * max(m for m in (1, 2, 5) if m * power <= third)
    x, y = low[0] - 0.1 * (high[0] - low[0]), low[1] - 0.12 * (high[1] - low[1])
    axes.plot([x, x + length], [y, y], color="0.15", lw=2, zorder=6, clip_on=False)
    axes.text(x + length / 2, y + 0.01 * (high[1] - low[1]), f"{length:g} {unit}", ha="center", va="bottom", fontsize=9)


def _legend(axes: Any, arrows: tuple[float, float], donors: bool) -> None:
    from matplotlib.lines import Line2D

    grey = {"mfc": "0.6", "mec": "white"}
    handles = [Line2D([], [], marker="o", ls="none", ms=6, label="acceptor site", **grey)]  # type: ignore[arg-type]
    if donors:
        handles.append(Line2D([], [], marker="P", ls="none", ms=9, mfc="#E69F00", mec="black", label="donor, +e"))
    if arrows[0] > 0:
        text = f"net current of hops, by width\n(widest {_amperes(arrows[0])[1:]}, from {_amperes(arrows[1])[1:]} on)"
        handles.append(Line2D([], [], color=ARROW, lw=4, alpha=0.8, label=text))
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.06, -0.03), fontsize=8, frameon=False)


# ------------------------------------------------------------------------------------------------------ its currents


def plot_iv(dataset: xr.Dataset) -> Figure:
    """Currents over the swept voltages: curves over one, maps over two.

    Parameters
    ----------
    dataset : Dataset
        ``current_A`` over the swept voltages (coordinates in V) and ``terminal``; ``stderr_A`` if it has errors.

    Raises
    ------
    InputError
        If it has neither one nor two swept voltages.
    """
    current = dataset["current_A"]
    swept = [str(name) for name in current.dims if name != "terminal"]
    if len(swept) not in (1, 2):
        raise InputError("dataset", swept, "is neither a curve nor a map", "sweep one or two electrodes")
    return _curves(dataset, swept[0]) if len(swept) == 1 else _maps(dataset, swept[0], swept[1])


def _prefix(largest_A: float) -> tuple[float, str]:
    """Factor and unit for currents up to `largest_A`."""
    for factor, unit in ((1e6, "µA"), (1e9, "nA"), (1e12, "pA")):
        if largest_A * factor >= 1:
            return factor, unit
    return 1e15, "fA"


def _held(dataset: xr.Dataset) -> str:
    return str(dataset.attrs.get("held", ""))


def _curves(dataset: xr.Dataset, swept: str) -> Figure:
    """Currents as they are on the left, their magnitudes on a logarithmic scale on the right."""
    figure = new_figure(figsize=(11, 4.8))
    left, right = figure.subplots(1, 2, sharex=True)
    factor, unit = _prefix(float(np.nanmax(np.abs(dataset["current_A"]), initial=0.0)))
    x = dataset[swept].values
    for k, name in enumerate(dataset["terminal"].values):
        y = dataset["current_A"].sel(terminal=name).values * factor
        style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "label": str(name)}
        style |= {"lw": 1.4, "ls": "-" if k < len(COLOURS) else "--"}
        error = dataset["stderr_A"].sel(terminal=name).values * factor if "stderr_A" in dataset else None
        seen = np.abs(y) > (0 if error is None else 2 * error)
        for axes, values in ((left, y), (right, np.where(seen, np.abs(y), np.nan))):
            if error is None:
                axes.plot(x, values, **style)
            else:
                axes.errorbar(x, values, error, fmt="o", ms=3, elinewidth=1, capsize=2, **style)
    left.axhline(0, color="0.7", lw=0.8, zorder=0)
    right.set_yscale("log")
    magnitude = "its magnitude" + (" where beyond two standard errors" if "stderr_A" in dataset else "")
    largest = float(np.nanmax(np.abs(dataset["current_A"]), initial=0.0)) * factor
    low = right.get_ylim()[0]
    if largest > 0:
        right.set_ylim(max(low, 1e-6 * largest), 1.5 * largest)
    for axes, text in ((left, "current into the electrode"), (right, magnitude)):
        axes.set(xlabel=f"{swept.removesuffix('_V')} (V)", ylabel=f"{text} ({unit})")
        axes.margins(x=0.02)
    figure.suptitle(_held(dataset), fontsize=9)
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, frameon=False)
    return figure


def _maps(dataset: xr.Dataset, across: str, up: str) -> Figure:
    names = [str(name) for name in dataset["terminal"].values]
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    wide = 6.0 if len(names) == 1 else 3.4 * columns
    figure = new_figure(figsize=(wide, (4.8 if len(names) == 1 else 2.9 * rows) + 0.3))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for k, axes in enumerate(grid.ravel()):
        if k >= len(names):
            axes.axis("off")
            continue
        values = dataset["current_A"].sel(terminal=names[k]).transpose(up, across).values
        largest = float(np.nanmax(np.abs(values), initial=0.0))
        factor, unit = _prefix(largest)
        reach = max(largest * factor, 1e-12)
        shown = axes.pcolormesh(
            dataset[across].values, dataset[up].values, values * factor, cmap="PuOr_r", vmin=-reach, vmax=reach,
            shading="nearest", rasterized=True,
        )  # fmt: skip
        figure.colorbar(shown, ax=axes).set_label(f"current into {names[k]} ({unit})", fontsize=9)
        if k + columns >= len(names):
            axes.set_xlabel(f"{across.removesuffix('_V')} (V)")
            axes.tick_params(labelbottom=True)
        if k % columns == 0:
            axes.set_ylabel(f"{up.removesuffix('_V')} (V)")
    figure.suptitle(_held(dataset), fontsize=9)
    return figure
