"""Analogue switches: resistance closed and open, threshold, charge, delay, supply current."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from circuits.part_figures.bench import PartBench
from circuits.part_figures.figure import SUPPLIES, Curve, Figure, Kind, Measured, completed

_NODES = {"a": "a", "b": "b", "control": "c"}
_SERIES_OHM, _HOLD_F = 1e3, 1e-9
_HIGH_V, _ACROSS_V = 5.0, 1.0


def measure(bench: PartBench) -> Measured:
    """Figures of a switch, in the units of `KIND`.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        If it does not run at all.
    """
    circuit = f"Va a 0 {_ACROSS_V!r}\nVc c 0 0\nVb b 0 0"
    sweep = bench.run(circuit, _NODES, f".dc Vc 0 {_HIGH_V!r} {_HIGH_V / 500!r}")
    current = np.maximum(-sweep["va#branch"], 1e-30)
    closed, opened = max(current[0], current[-1]), min(current[0], current[-1])
    inverted = current[0] > current[-1]
    half = math.sqrt(closed * opened)
    passed = np.flatnonzero((current > half) != inverted)
    rest = bench.run(f"Va a 0 0\nVc c 0 {0.0 if inverted else _HIGH_V!r}\nVb b 0 0", _NODES, ".op")
    found = Measured(
        {
            "ron": _ACROSS_V / float(closed),
            "roff": _ACROSS_V / float(opened),
            "leak": float(rest["vb#branch"][-1]),
        }
    )
    threshold = float(sweep["v-sweep"][passed[0]]) if passed.size else math.nan
    found.take("threshold", threshold, f"it conducts the same at 0 and {_HIGH_V:g} V of control")
    found.take_rest(bench, rest)
    ohm = _ACROSS_V / current
    found.curves.append(Curve("resistance", "control (V)", "resistance (ohm)", sweep["v-sweep"], ohm, "y"))
    on, off = (0.0, _HIGH_V) if inverted else (_HIGH_V, 0.0)
    return completed(bench, found, {("charge",): partial(_charge, on, off), ("delay",): partial(_delay, on, off)})


def _charge(on: float, off: float, bench: PartBench, found: Measured) -> None:
    """What goes out of b into 1 nF at 0 V when the switch opens, C."""
    lines = f"Va a 0 0\nVc c 0 dc {on!r} pwl(0 {on!r} 5u {on!r} 5.01u {off!r})\nCb b 0 {_HOLD_F!r}"
    run = bench.run(lines, _NODES, ".tran 5n 20u 0 5n")
    before = float(np.interp(4.9e-6, run["time"], run["b"]))
    found.figures["charge"] = abs(float(run["b"][-1]) - before) * _HOLD_F
    found.curves.append(Curve("opening, 1 nF at b", "time (s)", "voltage of b (V)", run["time"], run["b"]))


def _delay(on: float, off: float, bench: PartBench, found: Measured) -> None:
    """From the control's step to half of the current into 1 kohm, closing."""
    for window in (1e-6, 1e-5, 1e-4, 1e-3):
        start, step = window / 10, window / 2000
        lines = (
            f"Va a 0 {_ACROSS_V!r}\nRb b 0 {_SERIES_OHM!r}\n"
            f"Vc c 0 dc {off!r} pwl(0 {off!r} {start!r} {off!r} {start + step!r} {on!r})"
        )
        run = bench.run(lines, _NODES, f".tran {step!r} {window!r} 0 {step!r}")
        closed = np.flatnonzero(run["b"] > 0.5 * run["b"][-1])
        if run["b"][-1] > 0.5 * _ACROSS_V and closed.size:
            found.figures["delay"] = max(float(run["time"][closed[0]]) - start - 0.5 * step, 0.0)
            found.curves.append(Curve("closing into 1 kohm", "time (s)", "voltage of b (V)", run["time"], run["b"]))
            return
    found.lacks("delay", f"it does not close within {window:g} s of the control's step")


KIND = Kind(
    "switch",
    pins={"a": "one end", "b": "the other end", "control": "control"},
    aliases={
        "a": ("a", "in", "s", "s1", "x", "com"),
        "b": ("b", "out", "d", "d1", "y", "no", "nc"),
        "control": ("control", "ctl", "ctrl", "c", "en", "enable", "sel", "logic", "in1"),
        **SUPPLIES,
    },
    order=("a", "b", "control"),
    figures=(
        Figure("ron", "ohm", "closed, with 1 V across"),
        Figure("roff", "ohm", "open, with 1 V across, its leakage included"),
        Figure("threshold", "V", "control at the geometric mean of both conductances"),
        Figure("leak", "A", "out of b at 0 V, closed", "most"),
        Figure("charge", "C", "out of b into 1 nF when it opens", "most"),
        Figure("delay", "s", "from the control's step to half of the current into 1 kohm, closing"),
        Figure("supply_current", "A", "at rest"),
    ),
    measure=measure,
    compared=("analog_switch",),
)
