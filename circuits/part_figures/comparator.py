"""Comparators: offset, hysteresis, bias current, slope, delay, levels, supply current."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from circuits.part_figures.bench import PartBench
from circuits.part_figures.figure import Figure, Kind, completed
from inmateria.checks import FloatArray

_NODES = {"inp": "p", "inn": "n", "out": "out"}
_CIRCUIT = "Vp p 0 {source}\nVn n 0 0\nRload out 0 {load!r}"
_WIDE_V, _OVERDRIVE_V, _RAMP_S = 0.1, 0.02, 0.1
_RESOLVED_V = 2e-4
"""Hysteresis below which the ramp shows none: four of its steps."""


def measure(bench: PartBench) -> dict[str, float]:
    """Figures of a comparator, in the units of `KIND`; NaN where one could not be measured.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        If it does not run at all.
    """
    (up, low, high), (down, _, _) = _ramped(bench, -_WIDE_V), _ramped(bench, _WIDE_V)
    rest = bench.run(_CIRCUIT.format(source=f"dc {-_WIDE_V!r}", load=bench.load_ohm), _NODES, ".op")
    found = {
        "low": low,
        "high": high,
        "bias": -(float(rest["vn#branch"][-1]) + float(rest["vp#branch"][-1])) / 2.0,
        "supply_current": bench.supply_current_A(rest),
    }
    found["offset"] = -0.5 * (up + down)
    found["hysteresis"] = up - down if up - down > _RESOLVED_V else 0.0
    return completed(KIND, found, [partial(step, bench, up, low, high) for step in (_slope, _delay)])


def _ramped(bench: PartBench, start: float) -> tuple[float, float, float]:
    """Input at which it switches on a slow ramp to the other sign, and the outputs below and above, V.

    A sweep of operating points would jump early: from one to the next Newton's iteration may leave a branch of the
    hysteresis that still stands.
    """
    source = f"pwl(0 {start!r} {_RAMP_S!r} {-start!r})"
    step = _RAMP_S / 4000
    lines = _CIRCUIT.format(source=source, load=bench.load_ohm)
    run = bench.run(lines, _NODES, f".tran {step!r} {_RAMP_S!r} 0 {step!r}")
    ends = sorted((float(run["out"][0]), float(run["out"][-1])))
    return _crossing(run["p"], run["out"], 0.5 * (ends[0] + ends[1])), ends[0], ends[1]


def _swept(bench: PartBench, start: float, stop: float, steps: int) -> tuple[FloatArray, FloatArray]:
    sweep = f".dc Vp {start!r} {stop!r} {(stop - start) / steps!r}"
    found = bench.run(_CIRCUIT.format(source="dc 0", load=bench.load_ohm), _NODES, sweep)
    return found["v-sweep"], found["out"]


def _crossing(inputs: FloatArray, out: FloatArray, level: float) -> float:
    """Input at which the output passes a level, between points; NaN where it does not."""
    above = out > level
    changes = np.flatnonzero(above[1:] != above[:-1])
    if not changes.size:
        return math.nan
    k = int(changes[0])
    share = (level - out[k]) / (out[k + 1] - out[k])
    return float(inputs[k] + share * (inputs[k + 1] - inputs[k]))


def _slope(bench: PartBench, edge: float, low: float, high: float) -> dict[str, float]:
    """Largest slope of the output over the input, V/V: the sweep is narrowed until the change covers a tenth of it."""
    width = _WIDE_V / 50.0
    for _ in range(8):
        inputs, out = _swept(bench, edge - width, edge + width, 100)
        edge = _crossing(inputs, out, 0.5 * (low + high))
        moving = np.abs(np.diff(out)) > 0.01 * (high - low)
        if moving.sum() >= 20:
            return {"gain": float(np.max(np.diff(out) / np.diff(inputs)))}
        width /= 10.0
    return {"gain": math.inf}


def _delay(bench: PartBench, edge: float, low: float, high: float) -> dict[str, float]:
    """From a step of the input, 100 mV below its threshold to 20 mV above it, to half of the output's change."""
    window = 1e-6
    for _ in range(10):
        step, start = window / 1000, window / 10
        source = f"pwl(0 {edge - _WIDE_V!r} {start!r} {edge - _WIDE_V!r} {start + step!r} {edge + _OVERDRIVE_V!r})"
        lines = _CIRCUIT.format(source=source, load=bench.load_ohm)
        run = bench.run(lines, _NODES, f".tran {step!r} {window!r} 0 {step!r}")
        at = _crossing(run["time"], run["out"], 0.5 * (low + high))
        if at > start:
            if at - start > 20 * step or window <= 1e-8:
                return {"delay": at - start - 0.5 * step}
            window /= 10.0
        else:
            window *= 5.0
    return {}


KIND = Kind(
    "comparator",
    pins={"inp": "non-inverting input", "inn": "inverting input", "out": "output"},
    aliases={
        "inp": ("inp", "in+", "+in", "ip", "plus", "vinp", "p", "pos", "+"),
        "inn": ("inn", "in-", "-in", "im", "minus", "vinn", "n", "neg", "-"),
        "out": ("out", "output", "vout", "o", "q"),
        "supply+": ("vcc", "vdd", "v+", "vp", "vs+", "+vs", "vpos"),
        "supply-": ("vee", "vss", "v-", "vm", "vs-", "-vs", "vneg"),
        "ground": ("gnd", "0", "ref"),
    },
    order=("inp", "inn", "supply+", "supply-", "out"),
    figures=(
        Figure("offset", "V", "input at which it switches, mean of both directions, its sign turned", "most"),
        Figure("hysteresis", "V", "between both directions; 0 where it is below 0.2 mV"),
        Figure("bias", "A", "mean current into its inputs", "most"),
        Figure("gain", "V/V", "largest slope of the output over the input"),
        Figure("delay", "s", "from a step 20 mV over its threshold to half of the output's change"),
        Figure("low", "V", "output below, with the load"),
        Figure("high", "V", "output above, with the load"),
        Figure("supply_current", "A", "at rest"),
    ),
    measure=measure,
    compared=("comparator",),
)
