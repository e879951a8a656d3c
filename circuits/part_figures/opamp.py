"""Op-amps: offset, bias current, gain, gain-bandwidth, phase margin, slew rate, swing, noise, supply current."""

from __future__ import annotations

import math

import numpy as np

from circuits.part_figures.bench import PartBench
from circuits.part_figures.figure import SUPPLIES, Curve, Figure, Kind, Measured, Step, completed, falls_to

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


def measure(bench: PartBench) -> Measured:
    """Figures of an op-amp, in the units of `KIND`.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        If it does not run at all, as a follower at rest.
    """
    rest = bench.run(_FOLLOWER.format(source="dc 0", load=bench.load_ohm), _NODES, ".op")
    found = Measured()
    found.figures["offset"] = float(rest["out"][-1])
    found.figures["bias"] = (float(rest["vn#branch"][-1]) - float(rest["vp#branch"][-1])) / 2.0
    found.take_rest(bench, rest)
    steps: dict[tuple[str, ...], Step] = {
        ("gain", "gbw", "phase_margin"): _loop,
        ("noise",): _noise,
        ("swing",): _swing,
        ("slew",): _slew,
    }
    return completed(bench, found, steps)


def _loop(bench: PartBench, found: Measured) -> None:
    """Gain at DC, gain-bandwidth product where the gain is 100 (or a tenth of its largest), phase margin at gain 1."""
    ac = bench.run(_OPEN.format(load=bench.load_ohm), _NODES, ".ac dec 20 1m 10g")
    frequency = np.abs(ac["frequency"])
    gain = -ac["out"] / ac["n"]
    size = np.abs(gain)
    level = min(100.0, 0.1 * float(size.max()))
    unity = falls_to(frequency, size, 1.0)
    phase = np.degrees(np.unwrap(np.angle(gain)))
    margin = 180.0 + float(np.interp(math.log(unity), np.log(frequency), phase)) if unity > 0 else math.nan
    never = "its gain does not fall through {:.3g} between 1 mHz and 10 GHz"
    found.figures["gain"] = float(np.real(gain[0]))
    found.take("gbw", level * falls_to(frequency, size, level), never.format(level))
    found.take("phase_margin", margin, never.format(1.0))
    decibel = 20.0 * np.log10(np.maximum(size, 1e-12))
    found.curves += [
        Curve("open-loop gain", "frequency (Hz)", "gain (dB)", frequency, decibel, "x"),
        Curve("open-loop phase", "frequency (Hz)", "phase (deg)", frequency, phase, "x"),
    ]


def _noise(bench: PartBench, found: Measured) -> None:
    """Density at 1 kHz of a follower's output, which is the input's."""
    lines = _FOLLOWER.format(source="dc 0 ac 1", load=bench.load_ohm)
    spectrum = bench.run(lines, _NODES, f".noise v(out) Vp lin 1 {_WHITE_HZ} {_WHITE_HZ}")
    found.figures["noise"] = float(spectrum["onoise_spectrum"][0])


def _swing(bench: PartBench, found: Measured) -> None:
    """Largest output of an amplifier of gain -10 that is driven beyond its supplies, the smaller of both signs."""
    drive = 0.2 * bench.supply_V
    dc = bench.run(_AMPLIFIER.format(load=bench.load_ohm), _NODES, f".dc Vin {-drive!r} {drive!r} {drive / 20!r}")
    out = dc["out"]
    found.figures["swing"] = float(min(-out.min(), out.max()))
    found.curves.append(Curve("amplifier of gain -10", "input (V)", "output (V)", dc["v-sweep"], out))


def _slew(bench: PartBench, found: Measured) -> None:
    """Steepest tenth of a follower's step over half its swing, the slower of both edges."""
    height = 0.25 * found.figures["swing"] if found.figures.get("swing", 0.0) > 0.0 else 0.25 * bench.supply_V
    slews = []
    for low, high in ((-height, height), (height, -height)):
        window = 20.0 / found.figures["gbw"] if found.figures.get("gbw", math.nan) > 0 else 1e-6
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
            found.lacks("slew", f"a follower's step of {2 * height:.3g} V does not end within {window / 3:.2g} s")
            return
        t, total = run["time"], abs(high - low)
        times = [float(np.interp(share * total, np.maximum.accumulate(moved), t)) for share in (0.3, 0.7)]
        slews.append(min(0.4 * total / max(times[1] - times[0], 1e-30), _MOST_SLEW))
    found.figures["slew"] = min(slews)
    found.curves.append(Curve("follower's step down", "time (s)", "output (V)", run["time"], run["out"]))


KIND = Kind(
    "opamp",
    pins={"inp": "non-inverting input", "inn": "inverting input", "out": "output"},
    aliases={
        "inp": ("inp", "in+", "+in", "ip", "plus", "non_inverting", "noninverting", "vinp", "vip", "p", "pos", "+"),
        "inn": ("inn", "in-", "-in", "im", "in", "minus", "inverting", "vinn", "vin-", "n", "neg", "-"),
        "out": ("out", "output", "vout", "o"),
        **SUPPLIES,
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
