"""The report: one HTML file with its verdict first; nothing in it is loaded from elsewhere.

A `Report` is what is known, as plain data: criteria, and sections made of text, tables, figures and waveforms, any of
which may be absent. `write_report` turns it into a page that opens without a network, on a phone as on a desk, in light
and dark. `analysis.report.sections` makes the sections out of runs, budgets, sweeps and samples.

All text is escaped, wherever it comes from; figures are SVG, made by `analysis.report.plots` and
`analysis.report.schematic`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from inmateria.errors import InputError

WIDTH, HEIGHT = 100_000, 1000
"""Coordinates of a waveform: a run from left to right, a panel's range from bottom to top."""
COLOURS = 8


@dataclass(frozen=True)
class Criterion:
    """What is asked of a design, and what became of it.

    Attributes
    ----------
    name : str
        As in the design's file, or ``learned``; as people say it on a page.
    required, found : str
        With units, as they are to be read.
    passed : bool
    where : str, optional
        The case that decided: nominal, a corner, samples.
    """

    name: str
    required: str
    found: str
    passed: bool
    where: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind = "text"


@dataclass(frozen=True)
class Code:
    """Lines to be copied, such as commands."""

    text: str
    caption: str = ""
    kind = "code"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    columns : sequence of str
    rows : sequence of sequence of str
        Cells that begin with a digit or a sign are set to the right.
    caption : str, optional
    failed : sequence of int, optional
        Rows to be marked.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    failed: Sequence[int] = ()
    kind = "table"

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise InputError("rows", wrong[0], f"has not {len(self.columns)} cells", "give one for each column")


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes
    ----------
    svg : Markup
        Trusted SVG.
    caption : str
    wide : bool, optional
        Over the whole width, where others stand side by side.
    narrow_svg : Markup, optional
        Takes its place on narrow screens.
    """

    svg: Markup
    caption: str
    wide: bool = False
    narrow_svg: Markup | None = None
    kind = "figure"


@dataclass(frozen=True, eq=False)
class Waves:
    """Waveforms over one time axis, to be zoomed in the page.

    Attributes
    ----------
    time_s : array_like, shape (n,)
        Increasing, s.
    panels : mapping of str to mapping of str to array_like, shape (n,)
        Traces by name, in panels by their axis' label, such as ``"electrodes (V)"``.
    caption : str, optional
    most : int, optional
        Points of a trace; more are thinned to the lowest and highest of each stretch.
    """

    time_s: ArrayLike
    panels: Mapping[str, Mapping[str, ArrayLike]]
    caption: str = ""
    most: int = 6000
    kind = "waves"

    def __post_init__(self) -> None:
        time = np.asarray(self.time_s, dtype=float)
        if time.ndim != 1 or time.size < 2 or not np.all(np.diff(time) >= 0.0) or not time[-1] > time[0]:
            raise InputError("time_s", time.shape, "is no increasing time", "give at least two instants, s")
        for traces in self.panels.values():
            for name, values in traces.items():
                if np.shape(values) != time.shape:
                    raise InputError(f"panels[{name!r}]", np.shape(values), f"has not {time.size} values", "check it")

    @cached_property
    def range_s(self) -> tuple[float, float]:
        """First and last time, s."""
        time = np.asarray(self.time_s, dtype=float)
        return float(time[0]), float(time[-1])

    @cached_property
    def drawn(self) -> list[dict[str, object]]:
        """Each panel: its label, its range of values, and its traces as paths in `WIDTH` x `HEIGHT`."""
        time = np.asarray(self.time_s, dtype=float)
        start, stop = self.range_s
        x = np.rint(WIDTH * (time - start) / (stop - start)).astype(int)
        panels: list[dict[str, object]] = []
        for label, traces in self.panels.items():
            values = {name: np.asarray(v, dtype=float) for name, v in traces.items()}
            known = np.concatenate([v[np.isfinite(v)] for v in values.values()] or [np.zeros(1)])
            low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
            margin = 0.04 * (high - low) or abs(high) or 1.0
            low, high = low - margin, high + margin
            paths = []
            for number, (name, v) in enumerate(values.items()):
                kept = _thinned(v, self.most)
                y = HEIGHT * (high - v[kept]) / (high - low)
                paths.append({"name": name, "colour": number % COLOURS + 1, "path": _path(x[kept], y)})
            panels.append({"label": label, "low": low, "high": high, "traces": paths})
        return panels


def _thinned(values: np.ndarray, most: int) -> np.ndarray:
    """Indices of at most about `most` points: of each stretch the lowest and the highest."""
    if values.size <= most:
        return np.arange(values.size)
    edges = np.linspace(0, values.size, max(most // 2, 1) + 1).astype(int)
    kept = {0, values.size - 1}
    for a, b in pairwise(edges.tolist()):
        stretch = values[a:b]
        if np.any(np.isfinite(stretch)):
            kept |= {a + int(np.nanargmin(stretch)), a + int(np.nanargmax(stretch))}
    return np.array(sorted(kept))


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """SVG path through points; gaps where a value is not finite."""
    pieces, pen = [], "M"
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if not np.isfinite(b):
            pen = "M"
            continue
        pieces.append(f"{pen}{a} {b:.0f}")
        pen = "L"
    return "".join(pieces)


Block = Text | Code | Table | Figure | Waves


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The heading as part of an address."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-") or "section"


@dataclass(frozen=True)
class Report:
    """What a report says.

    Attributes
    ----------
    title : str
    passed : bool or None
        The verdict; None where nothing was asked.
    summary : str
        The verdict in a sentence or two.
    criteria : sequence of Criterion, optional
    sections : sequence of Section, optional
        In their order; empty ones are left out.
    facts : mapping of str to str, optional
        A few words for the head: the design's file, the date, the time it took.
    qualifier : str, optional
        What limits the verdict, beside it.
    """

    title: str
    passed: bool | None
    summary: str
    criteria: Sequence[Criterion] = ()
    sections: Sequence[Section] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    qualifier: str = ""


def render_report(report: Report) -> str:
    """The report as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("analysis.report", "templates")
    page = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    inlined = {name: Markup(loader.get_source(page, f"report.{name}")[0]) for name in ("css", "js")}
    sections: list[tuple[str, Section]] = []
    taken: set[str] = {"verdict"}
    for section in report.sections:
        if section.blocks:
            anchor, number = section.anchor, 2
            while anchor in taken:
                anchor, number = f"{section.anchor}-{number}", number + 1
            taken.add(anchor)
            sections.append((anchor, section))
    return page.get_template("report.html.j2").render(
        report=report, sections=sections, width=WIDTH, height=HEIGHT, **inlined
    )


def write_report(path: Path | str, report: Report) -> Path:
    """Write a report as one self-contained HTML file; returns its path.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    target = Path(path)
    text = render_report(report)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError("report", str(target), f"cannot be written ({error.strerror})", "give another path") from error
    return target
