"""The learning loop as a drawing: its stages in a ring, each with its part's level and its values.

Two drawings of the same stages, one for a desk (two rows) and one for a phone (two columns); a page shows the one that
fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from circuits.homodyne.loop import HomodyneLoop
from netlists.spice_numbers import quantity

_BOX_W, _BOX_H = 164, 74
LEVELS = ("ideal", "macro", "transistor", "user")


@dataclass(frozen=True)
class Stage:
    """A stage of the loop.

    Attributes
    ----------
    title : str
    values : sequence of str
        At most two lines.
    level : str
        Of its part; empty for the device and for sources.
    each : int
        How many there are of it.
    """

    title: str
    values: Sequence[str]
    level: str = ""
    each: int = 1


def _range(values: Sequence[float], unit: str) -> str:
    low, high = min(values), max(values)
    return quantity(low, unit) if high - low <= 1e-9 * abs(high) else f"{quantity(low, unit)} to {quantity(high, unit)}"


def stages(loop: HomodyneLoop) -> list[Stage]:
    """Stages of a loop in the order of the signal, from the controls round to the controls."""
    n = loop.dither.n
    stage, rates = loop.stage, (loop.learning_rate * loop.control_rates).tolist()

    def level(name: str) -> str:
        return loop.part(name).level

    loss = {"squared": "squared_error", "absolute": "absolute_error"}.get(loop.loss)
    found = [
        Stage("control + dither", [_range(loop.dither.amplitudes_V, "V") + " peak"], level("dither_sum"), n),
        Stage("device", [type(loop.device).__name__, f"{len(loop.device.terminals)} terminals"]),
        Stage("transimpedance", [quantity(stage.transimpedance_ohm, "ohm")], level("transimpedance")),
        Stage("less baseline", [f"rate {stage.baseline_rate:g} a pass"], level("difference")),
        Stage("automatic gain", [f"to {quantity(stage.level_V, 'V')} rms"], level("variable_gain")),
    ]
    if loss is None:
        found.append(Stage("hinge loss", ["against the target's side"], level("hinge")))
    else:
        found.append(Stage(f"{loop.loss} error", ["against the target"], level(loss)))
    found += [
        Stage("mixer", [f"scale {quantity(loop.multiplier_V, 'V')}"], level("mixer"), n),
        Stage("low-pass", [f"{loop.filter_poles} x {quantity(loop.filter_s, 's')}"], level("lowpass"), n),
        Stage("averager", [quantity(loop.average_s, "s")], level("lowpass"), n),
        Stage("limiter", [f"{quantity(loop.step_V, 'V')} a pass"], level("limiter"), n),
        Stage("integrator", [f"rate {_range(rates, '').rstrip()}"], level("integrator"), n),
    ]
    return found


def loop_schematic(loop: HomodyneLoop) -> tuple[Markup, Markup]:
    """Drawings of a loop for wide and for narrow screens."""
    ring = stages(loop)
    tones = Stage("oscillators", [_range(loop.dither.frequencies_Hz, "Hz")], "", loop.dither.n)
    return _wide(ring, tones), _narrow(ring, tones)


def _box(stage: Stage, x: float, y: float) -> str:
    """A stage as a box with its upper left corner at (x, y); several of it as a stack."""
    fill = f"var(--{stage.level})" if stage.level in LEVELS else "var(--card)"
    parts = []
    for behind in (6, 3) if stage.each > 1 else ():
        parts.append(
            f'<rect x="{x + behind}" y="{y - behind}" width="{_BOX_W}" height="{_BOX_H}" rx="7" fill="var(--card)" '
            'stroke="var(--line)"/>'
        )
    parts.append(
        f'<rect x="{x}" y="{y}" width="{_BOX_W}" height="{_BOX_H}" rx="7" fill="{fill}" stroke="var(--muted)"/>'
    )
    middle = x + 0.5 * _BOX_W
    count = f" ×{stage.each}" if stage.each > 1 else ""
    lines: list[tuple[str, float, int, str]] = [(stage.title + count, 14, 600, "var(--ink)")]
    lines += [(value, 12.5, 400, "var(--ink)") for value in stage.values]
    if stage.level:
        lines.append((stage.level, 11, 400, "var(--muted)"))
    top = y + 0.5 * (_BOX_H - 19 * len(lines)) + 14
    for k, (text, size, weight, colour) in enumerate(lines):
        parts.append(
            f'<text x="{middle}" y="{top + 19 * k}" text-anchor="middle" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{escape(text)}</text>'
        )
    return "".join(parts)


def _arrow(points: Sequence[tuple[float, float]], dashed: bool = False) -> str:
    """A line through points that ends in a head."""
    (x0, y0), (x1, y1) = points[-2:]
    length = max(abs(x1 - x0), abs(y1 - y0))
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    back = (x1 - 8 * ux, y1 - 8 * uy)
    line = " ".join(f"{x:g},{y:g}" for x, y in [*points[:-1], back])
    head = f"{x1:g},{y1:g} {back[0] - 4.5 * uy:g},{back[1] + 4.5 * ux:g} {back[0] + 4.5 * uy:g},{back[1] - 4.5 * ux:g}"
    style = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<polyline points="{line}" fill="none" stroke="var(--muted)" stroke-width="1.6"{style}/>'
        f'<polygon points="{head}" fill="var(--muted)"/>'
    )


def _svg(width: float, height: float, body: Sequence[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="the learning loop, its stages in a ring">'
        + "".join(body)
        + "</svg>"
    )


def _wide(ring: Sequence[Stage], tones: Stage) -> Markup:
    """Upper row from left to right, lower row back, the oscillators between."""
    upper, lower = list(ring[:6]), list(ring[6:])
    gap, top, bottom = 27, 12, 236
    step = _BOX_W + gap
    x = [8 + k * step for k in range(6)]
    width = x[-1] + _BOX_W + 14
    body = []
    half = 0.5 * _BOX_H
    for k in range(5):
        body.append(_arrow([(x[k] + _BOX_W + (6 if upper[k].each > 1 else 0), top + half), (x[k + 1], top + half)]))
    # the lower row: mixers below the loss, integrators at the left end
    places = [x[5 - k] for k in range(len(lower))]
    body.append(_arrow([(x[5] + 0.5 * _BOX_W, top + _BOX_H), (x[5] + 0.5 * _BOX_W, bottom - 6)]))
    for a, b in pairwise(places):
        body.append(_arrow([(a, bottom + half), (b + _BOX_W + 6, bottom + half)]))
    end = places[-1]
    into = x[0] + 0.35 * _BOX_W
    body.append(_arrow([(end, bottom + half), (into, bottom + half), (into, top + _BOX_H)]))
    middle = 0.5 * (top + _BOX_H + bottom) - half
    source = x[2] + 0.5 * step
    down, up = x[5] + 0.25 * _BOX_W, x[0] + 0.75 * _BOX_W
    body.append(_arrow([(source, middle + half), (up, middle + half), (up, top + _BOX_H)], dashed=True))
    right = [(source + _BOX_W + 6, middle + half), (down, middle + half), (down, bottom - 6)]
    body.append(_arrow(right, dashed=True))
    body.append(_box(tones, source, middle))
    body += [_box(stage, x[k], top) for k, stage in enumerate(upper)]
    body += [_box(stage, places[k], bottom) for k, stage in enumerate(lower)]
    return _svg(width, bottom + _BOX_H + 10, body)


def _narrow(ring: Sequence[Stage], tones: Stage) -> Markup:
    """Left column downwards, right column back up; the oscillators at the foot of the left one feed both."""
    left, right = list(ring[:6]), list(ring[6:])
    step, top = _BOX_H + 26, 10
    x_left, x_right = 6, 6 + _BOX_W + 36
    width = x_right + _BOX_W + 12
    y = [top + k * step for k in range(7)]
    body = []
    middle_left, middle_right = x_left + 0.5 * _BOX_W, x_right + 0.5 * _BOX_W
    for k in range(5):
        body.append(
            _arrow([(middle_left, y[k] + _BOX_H), (middle_left, y[k + 1] - (6 if left[k + 1].each > 1 else 0))])
        )
    places = [y[5 - k] for k in range(len(right))]
    body.append(_arrow([(x_left + _BOX_W, y[5] + 0.5 * _BOX_H), (x_right, y[5] + 0.5 * _BOX_H)]))
    for a, b in pairwise(places):
        body.append(_arrow([(middle_right, a - 6), (middle_right, b + _BOX_H)]))
    last = places[-1]
    body.append(
        _arrow(
            [
                (middle_right, last - 6),
                (middle_right, y[0] + 0.35 * _BOX_H),
                (x_left + _BOX_W + 6, y[0] + 0.35 * _BOX_H),
            ]
        )
    )
    channel = x_left + _BOX_W + 20
    foot = y[6] + 0.5 * _BOX_H
    body.append(
        _arrow(
            [
                (x_left + _BOX_W, foot),
                (channel, foot),
                (channel, y[0] + 0.7 * _BOX_H),
                (x_left + _BOX_W + 6, y[0] + 0.7 * _BOX_H),
            ],
            dashed=True,
        )
    )
    body.append(_arrow([(x_left + _BOX_W + 6, foot), (middle_right, foot), (middle_right, y[5] + _BOX_H)], dashed=True))
    body.append(_box(tones, x_left, y[6]))
    body += [_box(stage, x_left, y[k]) for k, stage in enumerate(left)]
    body += [_box(stage, x_right, places[k]) for k, stage in enumerate(right)]
    return _svg(width, y[6] + _BOX_H + 8, body)
