"""Figures of a report as SVG to stand in its page: matplotlib draws, the page's own colours and font are put in.

Matplotlib knows no CSS, so it draws in colours that mean something else to us (`SERIES`, `INK`, ...), and those are
replaced by the page's variables; then a figure follows the page into the dark. Sizes suit a phone's width; on a desk
figures stand side by side.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike

from lockin.error_budget import ErrorBudget

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = tuple(f"#0101c{k}" for k in range(1, 9))
INK, MUTED, LINE, CARD, GOOD, BAD = "#0101f1", "#0101f2", "#0101f3", "#0101f4", "#0101f5", "#0101f6"
_MEANING = {colour: f"var(--c{k})" for k, colour in enumerate(SERIES, 1)} | {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    CARD: "var(--card)",
    GOOD: "var(--pass)",
    BAD: "var(--fail)",
}
_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.formatter.use_mathtext": False,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 12,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 12,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "font.size": 12,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 11,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 11,
}
SIZE = (5.4, 3.4)
"""Inches, 72 units of the drawing each: text of 12 units is 10 px on a phone of 390 px."""


def drawing(draw: Callable[[Axes], None], label: str, size: tuple[float, float] = SIZE) -> Markup:
    """What `draw` puts on a matplotlib axes, as SVG with a label for those who cannot see it."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    salt = hashlib.sha256(label.encode()).hexdigest()[:8]
    style: Any = {**_STYLE, "svg.hashsalt": salt}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inlined(stream.getvalue(), label)


def _inlined(text: str, label: str) -> Markup:
    """An SVG file as an element of a page: its own ids, the page's colours and font, no fixed size."""
    text = text[text.index("<svg") :]
    # its style would be that of the whole page; the page's own has the same for figures
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    prefix = "g" + hashlib.sha256((label + text).encode()).hexdigest()[:8] + "-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{prefix}", text)
    for colour, variable in _MEANING.items():
        text = text.replace(colour, variable)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(width|height|version)="[^"]*"', "", head)
    return Markup(f'{head} role="img" aria-label="{escape(label)}">{rest}')


def _plain(axis: Any) -> None:
    """Numbers of a logarithmic axis as people write them."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def patterns(
    names: Sequence[str],
    wanted_high: Sequence[bool],
    values: Mapping[str, ArrayLike],
    *,
    threshold: float | None = None,
    unit: str = "nA",
    label: str = "output of each pattern",
) -> Markup:
    """Outputs by pattern, a column of dots for each case: high ones wanted filled, low ones hollow."""
    high = np.asarray(wanted_high, dtype=bool)
    places = np.arange(len(names))

    def draw(axes: Axes) -> None:
        shifts = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0.0]
        for k, (case, outputs) in enumerate(values.items()):
            y, x = np.asarray(outputs, dtype=float), places + shifts[k]
            colour = SERIES[k % len(SERIES)]
            axes.plot(x[high], y[high], "o", ms=9, color=colour, label=case)
            axes.plot(x[~high], y[~high], "o", ms=8, mew=2, mfc=CARD, mec=colour, color=colour)
        if threshold is not None:
            axes.axhline(threshold, color=MUTED, ls=":", lw=1.4)
        axes.set_xticks(places, names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.margins(y=0.15)
        axes.grid(axis="x", visible=False)
        axes.set(xlabel="inputs", ylabel=f"output ({unit})")
        if len(values) > 1:
            axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.0, handletextpad=0.2)

    return drawing(draw, label)


def curves(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike],
    *,
    x_label: str,
    y_label: str,
    label: str,
    log: str = "",
    band: tuple[ArrayLike, ArrayLike] | None = None,
    limit: float | None = None,
    dashed: Sequence[str] = (),
    markers: bool = False,
) -> Markup:
    """Lines over a common axis; `band` shades between two, `limit` is a dotted line, `log` names axes."""
    places = np.asarray(x, dtype=float)

    def draw(axes: Axes) -> None:
        if band is not None:
            axes.fill_between(places, np.asarray(band[0]), np.asarray(band[1]), color=SERIES[0], alpha=0.2, lw=0)
        for k, (name, values) in enumerate(lines.items()):
            style = "--" if name in dashed else "-"
            mark: dict[str, Any] = {"marker": "o", "ms": 3.5} if markers else {}
            axes.plot(places, np.asarray(values), style, color=SERIES[k % len(SERIES)], label=name, **mark)
        if limit is not None:
            axes.axhline(limit, color=MUTED, ls=":", lw=1.4)
        if "x" in log:
            axes.set_xscale("log")
            _plain(axes.xaxis)
        if "y" in log:
            axes.set_yscale("log")
            _plain(axes.yaxis)
        axes.set(xlabel=x_label, ylabel=y_label)
        if len(lines) > 1:
            axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.1, handlelength=1.4)

    return drawing(draw, label)


def bode(frequency_Hz: ArrayLike, ratio: ArrayLike) -> Markup:
    """Size (dB) and phase (deg) of a return ratio over frequency."""
    f, t = np.asarray(frequency_Hz), np.asarray(ratio)

    def draw(axes: Axes) -> None:
        axes.semilogx(f, 20.0 * np.log10(np.maximum(np.abs(t), 1e-12)), color=SERIES[0])
        axes.axhline(0.0, color=MUTED, lw=1.0)
        axes.set(xlabel="frequency (Hz)", ylabel="size (dB)", ylim=(-60.0, None))
        right = axes.twinx()
        right.semilogx(f, np.degrees(np.unwrap(np.angle(t))), color=SERIES[1], ls="--")
        right.axhline(-180.0, color=MUTED, lw=1.0, ls=":")
        right.set_ylabel("phase (deg)")
        right.grid(visible=False)

    return drawing(draw, "return ratio over frequency")


def against_ideal(ideal: Sequence[ArrayLike], measured: Sequence[ArrayLike], names: Sequence[str], unit: str) -> Markup:
    """Components of measured gradients over those of the ideal ones, a colour for each control."""

    def draw(axes: Axes) -> None:
        x, y = np.array([np.asarray(v) for v in ideal]), np.array([np.asarray(v) for v in measured])
        reach = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
        axes.plot(reach, reach, ":", color=MUTED, lw=1.4)
        for k, name in enumerate(names):
            axes.plot(x[:, k], y[:, k], "o", ms=5, color=SERIES[k % len(SERIES)], label=name)
        axes.set(xlabel=f"exact ({unit})", ylabel=f"lock-in ({unit})")
        axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.0, handletextpad=0.2)

    return drawing(draw, "measured against exact gradient")


def bars(
    names: Sequence[str],
    groups: Mapping[str, ArrayLike],
    *,
    y_label: str,
    label: str,
    errors: ArrayLike | None = None,
    limit: float | None = None,
) -> Markup:
    """Bars side by side, a group for each name; `errors` at the last of a group, `limit` is a dotted line."""

    def draw(axes: Axes) -> None:
        places, width = np.arange(len(names)), 0.8 / len(groups)
        for k, (group, values) in enumerate(groups.items()):
            shift = (k - 0.5 * (len(groups) - 1)) * width
            last = k == len(groups) - 1
            axes.bar(
                places + shift, np.asarray(values), width, color=SERIES[k % len(SERIES)], label=group,
                yerr=errors if last else None, ecolor=INK, capsize=3,
            )  # fmt: skip
        axes.axhline(0.0, color=MUTED, lw=0.8)
        if limit is not None:
            axes.axhline(limit, color=INK, ls=":", lw=1.6)
        axes.set_xticks(places, names)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(y_label)
        if len(groups) > 1:
            axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return drawing(draw, label)


def budget_bars(
    budget: ErrorBudget, names: Sequence[str], measured: ArrayLike | None, scale: float, unit: str
) -> Markup:
    """Deviation of each control's gradient by cause, stacked; what was measured as dots."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(names))
        above, below = np.zeros(len(names)), np.zeros(len(names))
        smallest = 1e-3 * float(np.max(np.abs(budget.total), initial=0.0))
        shown = [(name, v) for name, v in budget.terms.items() if float(np.max(np.abs(v))) > smallest]
        for k, (name, values) in enumerate(shown):
            heights = scale * values
            base = np.where(heights >= 0.0, above, below)
            axes.bar(places, heights, 0.62, bottom=base, color=SERIES[k % len(SERIES)], label=name)
            above, below = above + np.maximum(heights, 0.0), below + np.minimum(heights, 0.0)
        if np.any(budget.noise > 0.0):
            at = scale * budget.systematic
            axes.errorbar(places, at, scale * budget.noise, fmt="none", ecolor=INK, capsize=4, label="noise, 1 s.d.")
        if measured is not None:
            axes.plot(places, scale * np.asarray(measured), "o", mfc=CARD, mec=INK, color=INK, ms=6, label="measured")
        axes.axhline(0.0, color=MUTED, lw=0.8)
        axes.set_xticks(places, names)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(f"reading less exact ({unit})")
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.0, handlelength=1.2)

    return drawing(draw, "error budget by control", (SIZE[0], 3.8))


def field_map(
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    x_label: str,
    y_label: str,
    value_label: str,
    marks: Mapping[str, tuple[Any, Any]],
    log: str = "",
) -> Markup:
    """A value over two axes, (len(y), len(x)), in colour; marked points, or lines of points, by name.

    `log` names axes, "v" the colours.
    """

    def draw(axes: Axes) -> None:
        from matplotlib.colors import LogNorm, Normalize

        table = np.ma.masked_invalid(np.asarray(values, dtype=float))
        kind = LogNorm if "v" in log else Normalize
        mesh = axes.pcolormesh(
            edges(x, "x" in log), edges(y, "y" in log), table, cmap="viridis_r", norm=kind(table.min(), table.max()),
            edgecolors="face", linewidth=0.3,
        )  # fmt: skip
        bar = axes.figure.colorbar(mesh, ax=axes, label=value_label, pad=0.02)
        bar.outline.set_visible(False)
        if "v" in log:
            _plain(bar.ax.yaxis)
        for name, axis, scale in (("x", axes.xaxis, axes.set_xscale), ("y", axes.yaxis, axes.set_yscale)):
            if name in log:
                scale("log")
                _plain(axis)
        shapes = "*oDs^v"
        for k, (name, (a, b)) in enumerate(marks.items()):
            several = np.size(a) > 1
            axes.plot(
                a, b, shapes[k % len(shapes)], ls="-" if several else "none", color="#ffffff", lw=1.2, label=name,
                ms=5 if several else 13 if k == 0 else 8, mfc="#ffffff", mec="#000000",
            )  # fmt: skip
        axes.grid(visible=False)
        axes.set(xlabel=x_label, ylabel=y_label)
        if marks:
            axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), handletextpad=0.3)

    return drawing(draw, f"{value_label} over {x_label} and {y_label}", (SIZE[0], 4.2))


def edges(centres: ArrayLike, logarithmic: bool) -> np.ndarray:
    """Edges of cells around their centres."""
    c = np.asarray(centres, dtype=float)
    c = np.log(c) if logarithmic else c
    if c.size == 1:
        found = np.array([c[0] - 0.5, c[0] + 0.5])
    else:
        inner = 0.5 * (c[1:] + c[:-1])
        found = np.concatenate([[2 * c[0] - inner[0]], inner, [2 * c[-1] - inner[-1]]])
    return np.asarray(np.exp(found) if logarithmic else found)


def evenly_logarithmic(points: ArrayLike) -> bool:
    """Whether points have even ratios rather than even distances; three at least, above 0."""
    p = np.asarray(points)
    if p.dtype.kind not in "fi" or p.size < 3 or np.any(p <= 0):
        return False
    distances, ratios = np.diff(p), np.diff(np.log(p))
    return bool(np.ptp(ratios) / abs(ratios.mean()) < np.ptp(distances) / abs(distances.mean()))


def histogram(values: ArrayLike, *, x_label: str, limit: float | None, passed: ArrayLike) -> Markup:
    """How a figure scatters over samples: passed and failed ones stacked, the limit as a line."""

    def draw(axes: Axes) -> None:
        v, ok = np.asarray(values, dtype=float), np.asarray(passed, dtype=bool)
        known = np.isfinite(v)
        edges = np.histogram_bin_edges(v[known], bins=min(30, max(8, int(np.sqrt(known.sum())))))
        axes.hist(
            [v[known & ok], v[known & ~ok]], edges.tolist(), stacked=True, color=[GOOD, BAD], label=["passed", "failed"]
        )
        if limit is not None:
            axes.axvline(limit, color=INK, ls=":", lw=1.6)
        axes.grid(axis="x", visible=False)
        axes.set(xlabel=x_label, ylabel="samples")
        axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return drawing(draw, f"distribution of {x_label}")


def ranking(names: Sequence[str], values: ArrayLike, *, x_label: str, errors: ArrayLike | None = None) -> Markup:
    """Bars from the left, the largest first: which matters most."""
    v = np.asarray(values, dtype=float)
    order = np.argsort(np.abs(v))

    def draw(axes: Axes) -> None:
        spread = None if errors is None else np.asarray(errors, dtype=float)[order]
        axes.barh(
            [names[k] for k in order], v[order], 0.66, color=SERIES[0], xerr=spread, ecolor=INK, capsize=3,
        )  # fmt: skip
        axes.axvline(0.0, color=MUTED, lw=0.8)
        axes.grid(axis="y", visible=False)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(x_label)

    return drawing(draw, f"ranking by {x_label}", (SIZE[0], max(1.6, 0.9 + 0.3 * len(names))))
