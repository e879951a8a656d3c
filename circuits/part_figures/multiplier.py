"""Multipliers: offset, scale error, nonlinearity, feedthrough, bandwidth, swing, noise, supply current."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from circuits.ngspice.engine import Vectors
from circuits.part_figures.bench import PartBench
from circuits.part_figures.figure import SUPPLIES, Curve, Figure, Kind, Measured, Step, completed, falls_to

_CIRCUIT = "Va a 0 {a}\nVb b 0 {b}\nRload out 0 {load!r}"
_NODES = {"a": "a", "b": "b", "out": "out"}
_SCALE_V = 10.0
"""Of the product, V: out = V(a) V(b) / 10 V, as of every multiplier of the AD633 class."""
_FULL_V = 10.0


def measure(bench: PartBench) -> Measured:
    """Figures of a multiplier of scale 10 V, in the units of `KIND`.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        If it does not run at all, at rest.
    """
    full = min(_FULL_V, 2.0 / 3.0 * bench.supply_V)
    rest = _run(bench, "dc 0", "dc 0", ".op")
    found = Measured({"offset": float(rest["out"][-1])})
    found.take_rest(bench, rest)
    products = ("scale_error", "nonlinearity_a", "nonlinearity_b", "feedthrough_a", "feedthrough_b")
    steps: dict[tuple[str, ...], Step] = {
        products: partial(_products, full), ("bandwidth",): partial(_bandwidth, full),
        ("noise",): _noise, ("swing",): _swing,
    }  # fmt: skip
    return completed(bench, found, steps)


def _run(bench: PartBench, a: str, b: str, analysis: str) -> Vectors:
    values = {name: value for name, value in (("gain", 1.0), ("vscale", _SCALE_V)) if name in bench.part.defaults}
    return bench.run(_CIRCUIT.format(a=a, b=b, load=bench.load_ohm), _NODES, analysis, **values)


def _products(full: float, bench: PartBench, found: Measured) -> None:
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
    found.figures |= {
        "scale_error": float((lines[0][0] + lines[1][0]) / (2.0 * ideal) - 1.0),
        "nonlinearity_a": bent[0],
        "nonlinearity_b": bent[1],
        "feedthrough_a": float(abs(np.polyfit(steps, a_nulled, 1)[0])),
        "feedthrough_b": float(abs(np.polyfit(steps, b_nulled, 1)[0])),
    }
    found.curves += [
        Curve(f"over {name}, the other at {full:g} V", f"{name} (V)", "output (V)", steps, out)
        for name, out in (("a", a_at_full), ("b", b_at_full))
    ]


def _bandwidth(full: float, bench: PartBench, found: Measured) -> None:
    """Where the gain of a at full scale of b has fallen by 3 dB."""
    ac = _run(bench, "dc 0 ac 1", f"dc {full!r}", ".ac dec 50 10 10g")
    size = np.abs(ac["out"]) / abs(ac["out"][0])
    frequency = np.abs(ac["frequency"])
    fallen = falls_to(frequency, size, math.sqrt(0.5))
    found.figures["bandwidth"] = math.inf if math.isnan(fallen) else fallen
    decibel = 20.0 * np.log10(np.maximum(size, 1e-12))
    found.curves.append(Curve("gain of a", "frequency (Hz)", "gain over that at 10 Hz (dB)", frequency, decibel, "x"))


def _noise(bench: PartBench, found: Measured) -> None:
    spectrum = _run(bench, "dc 0 ac 1", "dc 0", ".noise v(out) Va lin 1 1k 1k")
    found.figures["noise"] = float(spectrum["onoise_spectrum"][0])


def _swing(bench: PartBench, found: Measured) -> None:
    """Largest output when both inputs are driven to the supplies."""
    drive = bench.supply_V * 1.3
    dc = _run(bench, "dc 0", f"dc {drive!r}", f".dc Va {-drive!r} {drive!r} {drive / 20!r}")
    found.figures["swing"] = float(min(-dc["out"].min(), dc["out"].max()))
    found.curves.append(Curve(f"over a, b at {drive:.3g} V", "a (V)", "output (V)", dc["v-sweep"], dc["out"]))


KIND = Kind(
    "multiplier",
    pins={"a": "first factor", "b": "second factor", "out": "product"},
    aliases={
        "a": ("a", "x", "x1", "in1", "ina", "vx"),
        "b": ("b", "y", "y1", "in2", "inb", "vy"),
        "out": ("out", "w", "output", "vout"),
        **SUPPLIES,
        "ground": ("x2", "y2", "z", *SUPPLIES["ground"]),
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
