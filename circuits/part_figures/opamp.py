"""Op-amps: offset, bias current, gain, gain-bandwidth, phase margin, slew rate, swing, noise, supply current."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from circuits.part_figures.bench import PartBench
from circuits.part_figures.figure import Figure, Kind, completed
from inmateria.checks import FloatArray

_NODES = {"inp": "p", "inn": "n", "out": "out"}
_OPEN = """Vp p 0 dc 0 ac 0
Lloop out n 1e9
Cloop n drive 1e9
Vdrive drive 0 dc 0 ac 1
Rload out 0 {load!r}"""
"""A loop closed at DC and open at every other frequency: the gain is -V(out)/V(n)."""
_FOLLOWER = "Vp p 0 {source}\nVn out n 0\nRload out 0 {load!r}"
_AMPLIFIER = "Vin in 0 0\nRin in n 10k\nRback n out 100k\nVp p 0 0\nRload out 0 {load!r}"
_WHITE_HZ = 1e3
_MOST_SLEW = 1e10


def measure(bench: PartBench) -> dict[str, float]:
    """Figures of an op-amp, in the units of `KIND`; NaN where one could not be measured.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        If it does not run at all, as a follower at rest.
    """
    rest = bench.run(_FOLLOWER.format(source="dc 0", load=bench.load_ohm), _NODES, ".op")
    found = {
        "offset": float(rest["out"][-1]),
        "bias": (float(rest["vn#branch"][-1]) - float(rest["vp#branch"][-1])) / 2.0,
        "supply_current": bench.supply_current_A(rest),
    }
    steps = (partial(_loop, bench), partial(_noise, bench), partial(_swing, bench), partial(_slew, bench, found))
    return completed(KIND, found, steps)


def _loop(bench: PartBench) -> dict[str, float]:
    """Gain at DC, gain-bandwidth product where the gain is 100 (or a tenth of its largest), phase margin at gain 1."""
    ac = bench.run(_OPEN.format(load=bench.load_ohm), _NODES, ".ac dec 20 1m 10g")
    frequency = np.abs(ac["frequency"])
    gain = -ac["out"] / ac["n"]
    size = np.abs(gain)
    at = _falls_to(frequency, size, min(100.0, 0.1 * float(size.max())))
    unity = _falls_to(frequency, size, 1.0)
    phase = np.degrees(np.unwrap(np.angle(gain)))
    return {
        "gain": float(np.real(gain[0])),
        "gbw": at * min(100.0, 0.1 * float(size.max())),
        "phase_margin": 180.0 + float(np.interp(math.log(unity), np.log(frequency), phase)) if unity > 0 else math.nan,
    }


def _falls_to(frequency: FloatArray, size: FloatArray, level: float) -> float:
    """Frequency at which a gain falls to a level, between points in logarithms; NaN where it does not."""
    below = np.flatnonzero(size < level)
    if not below.size or below[0] == 0:
        return math.nan
    k = int(below[0])
    x = np.log(frequency[k - 1 : k + 1])
    y = np.log(size[k - 1 : k + 1])
    return float(np.exp(x[0] + (math.log(level) - y[0]) * (x[1] - x[0]) / (y[1] - y[0])))


def _noise(bench: PartBench) -> dict[str, float]:
    """Density at 1 kHz of a follower's output, which is the input's."""
    lines = _FOLLOWER.format(source="dc 0 ac 1", load=bench.load_ohm)
    spectrum = bench.run(lines, _NODES, f".noise v(out) Vp lin 1 {_WHITE_HZ} {_WHITE_HZ}")
    return {"noise": float(spectrum["onoise_spectrum"][0])}


def _swing(bench: PartBench) -> dict[str, float]:
    """Largest output of an amplifier of gain -10 that is driven beyond its supplies, the smaller of both signs."""
    drive = 0.2 * bench.supply_V
    dc = bench.run(_AMPLIFIER.format(load=bench.load_ohm), _NODES, f".dc Vin {-drive!r} {drive!r} {drive / 20!r}")
    out = dc["out"]
    return {"swing": float(min(-out.min(), out.max()))}


def _slew(bench: PartBench, found: dict[str, float]) -> dict[str, float]:
    """Steepest tenth of a follower's step over half its swing, the slower of both edges."""
    height = 0.25 * found.get("swing", bench.supply_V)
    slews = []
    for low, high in ((-height, height), (height, -height)):
        window = 20.0 / found["gbw"] if found.get("gbw", math.nan) > 0 else 1e-6
        for _ in range(12):
            step = window / 400
            source = f"pwl(0 {low!r} {step!r} {low!r} {2 * step!r} {high!r})"
            lines = _FOLLOWER.format(source=source, load=bench.load_ohm)
            run = bench.run(lines, _NODES, f".tran {step!r} {window!r} 0 {step!r}")
            moved = (run["out"] - run["out"][0]) * np.sign(high - low)
            if moved[-1] > 0.95 * abs(high - low):
                break
            window *= 3.0
        else:
            return {}
        t, total = run["time"], abs(high - low)
        times = [float(np.interp(share * total, np.maximum.accumulate(moved), t)) for share in (0.3, 0.7)]
        slews.append(min(0.4 * total / max(times[1] - times[0], 1e-30), _MOST_SLEW))
    return {"slew": min(slews)}


KIND = Kind(
    "opamp",
    pins={"inp": "non-inverting input", "inn": "inverting input", "out": "output"},
    aliases={
        "inp": ("inp", "in+", "+in", "ip", "plus", "non_inverting", "noninverting", "vinp", "vip", "p", "pos", "+"),
        "inn": ("inn", "in-", "-in", "im", "in", "minus", "inverting", "vinn", "vin-", "n", "neg", "-"),
        "out": ("out", "output", "vout", "o"),
        "supply+": ("vcc", "vdd", "v+", "vp", "vs+", "+vs", "vccp", "vpos", "avdd", "vpp"),
        "supply-": ("vee", "vss", "v-", "vm", "vs-", "-vs", "vccn", "vneg", "avss", "vnn"),
    },
    order=("inp", "inn", "supply+", "supply-", "out"),
    figures=(
        Figure("offset", "V", "output of a follower at rest", "most"),
        Figure("bias", "A", "mean current into its inputs", "most"),
        Figure("gain", "V/V", "open loop, at DC, with the load"),
        Figure("gbw", "Hz", "gain-bandwidth product where the gain is 100"),
        Figure("phase_margin", "deg", "at gain 1, with the load"),
        Figure("slew", "V/s", "of a follower's step, from 30 to 70 %, the slower edge"),
        Figure("swing", "V", "largest output of both signs, with the load"),
        Figure("noise", "V/rtHz", "at the input, at 1 kHz"),
        Figure("supply_current", "A", "at rest"),
    ),
    measure=measure,
    compared=("opamp_op07", "opamp_tl072"),
)
