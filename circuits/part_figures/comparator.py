"""Comparators: offset, hysteresis, bias current, slope, delay, levels, supply current."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from circuits.ngspice.engine import Vectors
from circuits.part_figures.bench import PartBench
from circuits.part_figures.figure import SUPPLIES, Curve, Figure, Kind, Measured, Step, completed
from inmateria.checks import FloatArray

_NODES = {"inp": "p", "inn": "n", "out": "out"}
_CIRCUIT = "Vp p 0 {source}\nVn n 0 0\nRload out 0 {load!r}"
_WIDE_V, _OVERDRIVE_V, _RAMP_S = 0.1, 0.02, 0.1
_RESOLVED_V = 2e-4
"""Hysteresis below which the ramp shows none: four of its steps."""


def measure(bench: PartBench) -> Measured:
    """Figures of a comparator, in the units of `KIND`.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        If it does not run at all.
    """
    rising, falling = _ramped(bench, -_WIDE_V), _ramped(bench, _WIDE_V)
    low, high = sorted((float(rising["out"][0]), float(rising["out"][-1])))
    up, down = (_crossing(run["p"], run["out"], 0.5 * (low + high)) for run in (rising, falling))
    rest = bench.run(_CIRCUIT.format(source=f"dc {-_WIDE_V!r}", load=bench.load_ohm), _NODES, ".op")
    found = Measured({"low": low, "high": high})
    found.figures["bias"] = -(float(rest["vn#branch"][-1]) + float(rest["vp#branch"][-1])) / 2.0
    found.take_rest(bench, rest)
    still = f"its output does not switch between inputs of {-_WIDE_V:g} and {_WIDE_V:g} V"
    apart = up - down
    found.take("offset", -0.5 * (up + down), still)
    found.take("hysteresis", 0.0 if apart <= _RESOLVED_V else apart, still)
    for name, run in (("upwards", rising), ("downwards", falling)):
        found.curves.append(Curve(f"slow ramp {name}", "input (V)", "output (V)", run["p"], run["out"]))
    if math.isnan(up):
        for name in ("gain", "delay"):
            found.lacks(name, still)
        return found
    steps: dict[tuple[str, ...], Step] = {
        ("gain",): partial(_slope, up, low, high),
        ("delay",): partial(_delay, up, low, high),
    }
    return completed(bench, found, steps)


def _ramped(bench: PartBench, start: float) -> Vectors:
    """The output on a slow ramp to the other sign.

    A sweep of operating points would jump early: from one to the next Newton's iteration may leave a branch of the
    hysteresis that still stands.
    """
    source = f"pwl(0 {start!r} {_RAMP_S!r} {-start!r})"
    step = _RAMP_S / 4000
    lines = _CIRCUIT.format(source=source, load=bench.load_ohm)
    return bench.run(lines, _NODES, f".tran {step!r} {_RAMP_S!r} 0 {step!r}")


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


def _slope(edge: float, low: float, high: float, bench: PartBench, found: Measured) -> None:
    """Largest slope of the output over the input, V/V: the sweep is narrowed until the change covers a tenth of it."""
    width = _WIDE_V / 50.0
    for _ in range(8):
        inputs, out = _swept(bench, edge - width, edge + width, 100)
        edge = _crossing(inputs, out, 0.5 * (low + high))
        moving = np.abs(np.diff(out)) > 0.01 * (high - low)
        if moving.sum() >= 20:
            found.figures["gain"] = float(np.max(np.diff(out) / np.diff(inputs)))
            return
        width /= 10.0
    found.figures["gain"] = math.inf


def _delay(edge: float, low: float, high: float, bench: PartBench, found: Measured) -> None:
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
                found.figures["delay"] = at - start - 0.5 * step
                found.curves.append(Curve("after a step", "time (s)", "output (V)", run["time"], run["out"]))
                return
            window /= 10.0
        else:
            window *= 5.0
    found.lacks("delay", f"its output does not switch within {window / 5.0:.2g} s of a step")


KIND = Kind(
    "comparator",
    pins={"inp": "non-inverting input", "inn": "inverting input", "out": "output"},
    aliases={
        "inp": ("inp", "in+", "+in", "ip", "plus", "vinp", "p", "pos", "+"),
        "inn": ("inn", "in-", "-in", "im", "minus", "vinn", "n", "neg", "-"),
        "out": ("out", "output", "vout", "o", "q"),
        **SUPPLIES,
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
