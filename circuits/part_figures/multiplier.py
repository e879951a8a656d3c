"""Multipliers: offset, scale error, nonlinearity, feedthrough, bandwidth, swing, noise, supply current."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from circuits.ngspice.engine import Vectors
from circuits.part_figures.bench import PartBench
from circuits.part_figures.figure import Figure, Kind, completed

_CIRCUIT = "Va a 0 {a}\nVb b 0 {b}\nRload out 0 {load!r}"
_NODES = {"a": "a", "b": "b", "out": "out"}
_SCALE_V = 10.0
"""Of the product, V: out = V(a) V(b) / 10 V, as of every multiplier of the AD633 class."""
_FULL_V = 10.0


def measure(bench: PartBench) -> dict[str, float]:
    """Figures of a multiplier of scale 10 V, in the units of `KIND`; NaN where one could not be measured.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        If it does not run at all, at rest.
    """
    full = min(_FULL_V, 2.0 / 3.0 * bench.supply_V)
    rest = _run(bench, "dc 0", "dc 0", ".op")
    found = {"offset": float(rest["out"][-1]), "supply_current": bench.supply_current_A(rest)}
    steps = (partial(_products, bench, full), partial(_bandwidth, bench, full), partial(_noise, bench))
    return completed(KIND, found, (*steps, partial(_swing, bench)))


def _run(bench: PartBench, a: str, b: str, analysis: str) -> Vectors:
    values = {name: value for name, value in (("gain", 1.0), ("vscale", _SCALE_V)) if name in bench.part.defaults}
    return bench.run(_CIRCUIT.format(a=a, b=b, load=bench.load_ohm), _NODES, analysis, **values)


def _products(bench: PartBench, full: float) -> dict[str, float]:
    """Scale error, feedthroughs, nonlinearities: least-squares lines over each input at full scale of the other."""
    steps = np.linspace(-full, full, 21)
    sweep = f"{-full!r} {full!r} {full / 10!r}"
    a_at_full = _run(bench, "dc 0", f"dc {full!r}", f".dc Va {sweep}")["out"]
    b_at_full = _run(bench, f"dc {full!r}", "dc 0", f".dc Vb {sweep}")["out"]
    a_nulled = _run(bench, "dc 0", "dc 0", f".dc Va {sweep}")["out"]
    b_nulled = _run(bench, "dc 0", "dc 0", f".dc Vb {sweep}")["out"]
    ideal = full / _SCALE_V
    lines = [np.polyfit(steps, out, 1) for out in (a_at_full, b_at_full)]
    bent = [
        float(np.abs(out - np.polyval(line, steps)).max() / (full * ideal))
        for out, line in zip((a_at_full, b_at_full), lines, strict=True)
    ]
    return {
        "scale_error": float((lines[0][0] + lines[1][0]) / (2.0 * ideal) - 1.0),
        "nonlinearity_a": bent[0],
        "nonlinearity_b": bent[1],
        "feedthrough_a": float(abs(np.polyfit(steps, a_nulled, 1)[0])),
        "feedthrough_b": float(abs(np.polyfit(steps, b_nulled, 1)[0])),
    }


def _bandwidth(bench: PartBench, full: float) -> dict[str, float]:
    """Where the gain of a at full scale of b has fallen by 3 dB."""
    ac = _run(bench, "dc 0 ac 1", f"dc {full!r}", ".ac dec 50 10 10g")
    size = np.abs(ac["out"]) / abs(ac["out"][0])
    below = np.flatnonzero(size < math.sqrt(0.5))
    return {"bandwidth": float(np.abs(ac["frequency"][below[0]])) if below.size else math.inf}


def _noise(bench: PartBench) -> dict[str, float]:
    spectrum = _run(bench, "dc 0 ac 1", "dc 0", ".noise v(out) Va lin 1 1k 1k")
    return {"noise": float(spectrum["onoise_spectrum"][0])}


def _swing(bench: PartBench) -> dict[str, float]:
    """Largest output when both inputs are driven to the supplies."""
    drive = bench.supply_V * 1.3
    out = _run(bench, "dc 0", f"dc {drive!r}", f".dc Va {-drive!r} {drive!r} {drive / 20!r}")["out"]
    return {"swing": float(min(-out.min(), out.max()))}


KIND = Kind(
    "multiplier",
    pins={"a": "first factor", "b": "second factor", "out": "product"},
    aliases={
        "a": ("a", "x", "x1", "in1", "ina", "vx"),
        "b": ("b", "y", "y1", "in2", "inb", "vy"),
        "out": ("out", "w", "output", "vout"),
        "supply+": ("vcc", "vdd", "v+", "vp", "vs+", "+vs", "vpos"),
        "supply-": ("vee", "vss", "v-", "vm", "vs-", "-vs", "vneg", "vn"),
        "ground": ("x2", "y2", "z", "gnd", "0", "ref"),
    },
    order=("a", "b", "out", "supply+", "supply-"),
    figures=(
        Figure("offset", "V", "output with both inputs at 0 V", "most"),
        Figure("scale_error", "1", "of the gain at full scale", "most"),
        Figure("nonlinearity_a", "1", "of a, of full scale, at full scale of b", "most"),
        Figure("nonlinearity_b", "1", "of b, of full scale, at full scale of a", "most"),
        Figure("feedthrough_a", "V/V", "of a with b nulled", "most"),
        Figure("feedthrough_b", "V/V", "of b with a nulled", "most"),
        Figure("bandwidth", "Hz", "of a at full scale of b, -3 dB"),
        Figure("swing", "V", "largest output of both signs, with the load"),
        Figure("noise", "V/rtHz", "at the output at rest, at 1 kHz"),
        Figure("supply_current", "A", "at rest"),
    ),
    measure=measure,
    compared=("mixer",),
)
