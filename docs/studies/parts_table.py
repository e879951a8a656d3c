"""Every part at every level, measured with plain ``ngspice -b``: the tables of `docs/parts.md`.

    python docs/studies/parts_table.py            # all parts, 10 s
    python docs/studies/parts_table.py mixer      # one

Each part is driven by one source at `drive`; the other pins are held. Offset: output with all inputs at rest. Gain:
small signal at low frequency, against the ideal law. Bandwidth: where the gain has fallen by 3 dB. Noise: at the
output, 1 kHz. Swing: output at the overdrive `full`, either sign. Beside each measured figure stands, in brackets,
what the data sheet's figures or the circuit's formula (with the parameters of the part's own header) say.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from netlists.check import run_deck_file
from netlists.reader import Part, available, load_part

KT4 = 1.6576e-20  # 4 k T at 27 C, V^2/(Hz ohm)
LEVELS = ("ideal", "macro", "transistor")
FIGURES = ("gain error", "offset", "bandwidth", "noise", "swing")
Defaults = Mapping[str, float]
Formula = Callable[[Defaults], Mapping[str, float]]


@dataclass(frozen=True)
class Setup:
    """How a part is measured.

    `pins`: node of each pin but `drive` and `out` (nodes ``p``, ``n``, ``half`` at 1 V, -1 V, 0.5 V; ``full`` at 10 V).
    `law`: small-signal gain of the ideal law there, V/V or ohm. `formula`: by level, from the part's parameters.
    """

    drive: str
    law: float = 1.0
    pins: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    bias: float = 0.0
    full: float = 2.0
    current: bool = False
    rest: Mapping[str, str] = field(default_factory=dict)
    out: str = "out"
    noise_Hz: float = 1e3
    formula: Mapping[str, Formula] = field(default_factory=dict)


def stage(gain_error: Callable[[Defaults], float], offset: Callable[[Defaults], float], times: float = 1.0) -> Formula:
    """Formulas of a part whose output is an `output_stage`; `times` is its noise gain."""

    def formula(d: Defaults) -> Mapping[str, float]:
        swing = d["vsupply"] - d["headroom"] if "headroom" in d else math.nan
        width = d["bandwidth"] / max(times, 1.0) if "bandwidth" in d else d["gbw"] / times
        return dict(zip(FIGURES, (gain_error(d), offset(d), width, times * d["noise"], swing), strict=True))

    return formula


def opamp(d: Defaults) -> Mapping[str, float]:
    """Figures of an op-amp as follower."""
    swing = d["vsupply"] - d["headroom"]
    return dict(zip(FIGURES, (-1 / d["gain"], d["vos"], d["gbw"], d["noise"], swing), strict=True))


def transimpedance(d: Defaults) -> Mapping[str, float]:
    """Figures of feedback resistor, op-amp and inverter; the pole is that of rf and cf alone."""
    opamp_ = load_part("opamp_tl072", "macro").defaults
    noise = math.sqrt(KT4 * d["rf"] + 5 * opamp_["noise"] ** 2 + 2e4 * KT4)
    offset = d["vos"] - d["rf"] * d["ibias"] + 1e4 * d["ibias"]
    gain = -3 / opamp_["gain"]
    swing = d["vsupply"] - opamp_["headroom"]
    return dict(zip(FIGURES, (gain, offset, 1 / (2 * math.pi * d["rf"] * d["cf"]), noise, swing), strict=True))


def variable_gain(d: Defaults) -> Mapping[str, float]:
    """Figures at a gain of 1, where input and output count alike."""
    gain = 1 + d["egain"]
    noise = math.hypot(d["noise"], gain * d["inoise"])
    rest = stage(lambda d: d["egain"], lambda d: d["offset"] + gain * d["vos"])(d)
    return {**rest, "noise": noise}


def cold(d: Defaults) -> float:
    """kT/q at 27 degC over that at the temperature: the gain of a differential pair."""
    return 300.15 / d.get("kelvin", 300.15)


def lowpass(d: Defaults) -> Mapping[str, float]:
    """Figures of an RC behind a follower; noise in the pass band."""
    opamp_ = load_part("opamp_op07", "macro").defaults
    r = d["tau"] / d["c"]
    noise = math.sqrt(opamp_["noise"] ** 2 + KT4 * r)
    swing = d["vsupply"] - opamp_["headroom"]
    width = 1 / (2 * math.pi * d["tau"] * (1 + d["ctol"]))
    return dict(zip(FIGURES, (-1 / opamp_["gain"], d["vos"] - r * d["ibias"], width, noise, swing), strict=True))


def sallen_key(d: Defaults) -> Mapping[str, float]:
    """Two equal poles: -3 dB at f0 sqrt(sqrt(2) - 1)."""
    opamp_ = load_part("opamp_tl072", "macro").defaults
    noise = math.sqrt(opamp_["noise"] ** 2 + 2 * KT4 * d["r"])
    swing = d["vsupply"] - opamp_["headroom"]
    width = d["f0"] / (1 + d["ctol"]) * math.sqrt(math.sqrt(2) - 1)
    offset = d["vos"] - 2 * d["r"] * d["ibias"]
    return dict(zip(FIGURES, (-1 / opamp_["gain"], offset, width, noise, swing), strict=True))


def only(**figures: float) -> Formula:
    """Formulas that need no parameters; the rest is not stated."""
    named = {key.replace("_", " "): value for key, value in figures.items()}
    return lambda d: {figure: named.get(figure, math.nan) for figure in FIGURES}


def squared_rest(d: Defaults) -> float:
    """Offset of squared_error: the squarer's, amplified by K = 10 V / vscale, and the buffer's."""
    return 10 / d["vscale"] * d["offset"] + d["vos"]


def pair_noise(d: Defaults) -> float:
    """Output noise of the differential pair: shot noise, load resistors, base resistances of 50 ohm."""
    shot = 2 * 1.602e-19 / d["i0"]
    loads = 2 * KT4 * d["rl"] / (d["i0"] * d["rl"]) ** 2
    return d["vlimit"] * math.sqrt(shot + loads + 2 * KT4 * 50 / 0.05173**2)


PEAK = 2.598076  # 3 sqrt(3) / 2: the cubic u (1 - u^2) times this is at most 1
POLE = 1e3 / (2 * math.pi)
KNEE = 0.05 * math.log(1 + math.exp(1 / 0.05))
SETUPS: dict[str, Setup] = {
    "opamp_tl072": Setup("inp", pins={"inn": "out"}, full=20, formula={"macro": opamp}),
    "opamp_op07": Setup("inp", pins={"inn": "out"}, full=20, formula={"macro": opamp}),
    "mixer": Setup(
        "a", pins={"b": "full"}, values={"vscale": 10}, full=20, rest={"full": "0"},
        formula={
            "macro": stage(
                lambda d: (1 + d["yos"] / 10) * (1 + d["escale"] + PEAK * d["xnonlin"]) - 1 + d["xfeed"],
                lambda d: d["offset"] + d["xos"] * d["yos"] / 10),
            "transistor": lambda d: only(
                gain_error=0.0, offset=0.1 * (d["rx"] * d["i0"] + 0.0517) ** 2 / 4 * d["mismatch"])(d),
        },
    ),
    "switching_mixer": Setup(
        "a", pins={"b": "p"}, full=20,
        formula={"macro": stage(lambda d: d["egain"] + d["mismatch"], lambda d: d["offset"])},
    ),
    "dither_sum": Setup(
        "bias", pins={"signal": "0", "ref": "0", "scale": "0"}, full=20,
        formula={"macro": stage(lambda d: d["esum"], lambda d: d["offset"])},
    ),
    "transimpedance": Setup("in", law=1e7, full=2e-6, current=True, formula={"macro": transimpedance}),
    "difference": Setup(
        "a", pins={"b": "0"}, full=20,
        formula={"macro": stage(lambda d: 2 * d["tolerance"], lambda d: 2 * d["vos"], 2)},
    ),
    "gain_offset": Setup(
        "in", pins={"offset": "0"}, full=20,
        formula={"macro": stage(lambda d: d["tolerance"], lambda d: 3 * d["vos"], 3)},
    ),
    "variable_gain": Setup(
        "in", pins={"control": "0"}, full=20, formula={"macro": variable_gain}
    ),
    "squared_error": Setup(
        "error", pins={"gate": "p"}, bias=1.0, law=2.0, full=15,
        formula={"macro": stage(
            lambda d: (1 + d["ios"] / 2) * (1 + d["escale"] + PEAK * d["nonlin"] * 0.98) - 1
            + 5 * d["feed"] / d["vscale"],
            squared_rest, 10)},
    ),
    "absolute_error": Setup(
        "error", pins={"gate": "p"}, bias=1.0, full=20,
        formula={"macro": stage(lambda d: d["tolerance"], lambda d: d["offset"] + 0.44e-3)},
    ),
    "hinge": Setup(
        "error", pins={"side": "p", "gate": "p"}, bias=-3.0, law=-1.0, full=20,
        formula={"macro": stage(lambda d: (1 + d["escale"]) * (1 + d["yos"]) * (1 + d["egain"]) - 1,
            lambda d: d["offset"] + d["vos"] - d["xos"] + 1e-3)},
    ),
    "limiter": Setup(
        "in", full=20,
        formula={
            "macro": lambda d: {
                **stage(lambda d: (1 + d["escale"]) * cold(d) - 1,
                        lambda d: d["offset"] + 1.01 * d["vos"] / 0.05173 * cold(d))(d),
                "swing": d["vlimit"] * (1 + d["escale"])},
            "transistor": lambda d: only(
                gain_error=0.0, offset=d["vlimit"] * d["mismatch"] / 2, noise=pair_noise(d), swing=1.0)(d),
        },
    ),
    "lowpass": Setup("in", full=20, noise_Hz=1.0, formula={"macro": lowpass}),
    "lowpass_sallen_key": Setup("in", full=20, noise_Hz=1.0, formula={"macro": sallen_key}),
    "track_hold": Setup(
        "in", pins={"gate": "p"}, full=20,
        formula={"macro": lambda d: {
            **stage(lambda d: 0.0, lambda d: d["offset"] - d["leak"] * d["tau"] / d["ch"])(d),
            "bandwidth": 1 / (2 * math.pi * d["tau"]), "swing": d["vsupply"] - 2}},
    ),
    "integrator": Setup("in", pins={"gate": "p"}),
}  # fmt: skip
IDEAL: dict[str, Mapping[str, float]] = {
    "lowpass": {"bandwidth": POLE},
    "lowpass_sallen_key": {"bandwidth": 1e3 * math.sqrt(math.sqrt(2) - 1)},
    "track_hold": {"bandwidth": 1e5 / (2 * math.pi)},
    "limiter": {"swing": 1.0},
    "hinge": {"offset": 0.0},
}


def run(part: Part, circuit: str, control: str, celsius: float = 27.0) -> dict[str, float]:
    """Run a deck whose control lines echo ``NAME value``."""
    with tempfile.TemporaryDirectory() as folder:
        deck = Path(folder) / "deck.cir"
        head = "Vp p 0 1\nVn n 0 -1\nVhalf half 0 0.5\nVfull full 0 10\n.options reltol=1e-6\n"
        deck.write_text(
            f"{part.name}\n{part.library}{head}{circuit}\n.control\nset numdgt=9\n{control}quit 0\n.endc\n.end\n"
        )
        output = run_deck_file(deck, celsius=celsius).output
    found = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == "=" and words[0].startswith("zz"):
            found[words[0][2:]] = float(words[2])
    return found


def values_at(part: Part, supply: float | None) -> dict[str, float]:
    """Values at which a part is measured."""
    values = dict(SETUPS[part.name].values)
    return values if supply is None or "vsupply" not in part.defaults else {**values, "vsupply": supply}


def measure(name: str, level: str, *, celsius: float = 27.0, supply: float | None = None) -> dict[str, float]:
    """The five figures of a part at a temperature and supply, V, its default unless given; infinite: nothing limits."""
    part, setup = load_part(name, level), SETUPS[name]
    values = values_at(part, supply)
    if name == "integrator":
        return measure_integrator(part, values, celsius)
    source = f"I1 0 {setup.drive}" if setup.current else f"V1 {setup.drive} 0"
    nodes = {setup.drive: setup.drive, setup.out: "out", **setup.pins}
    line = f"{source} dc 0 ac 1\n" + part.instance("1", nodes, **values)
    name1 = source.split()[0]
    at_rest = "".join(f"alter V{n} dc = {v}\n" for n, v in setup.rest.items())
    held = "".join(f"alter V{n} dc = 10\n" for n in setup.rest)
    control = f"""{at_rest}op
let zzoffset = v(out)
print zzoffset
{held}alter {name1} dc = {setup.bias!r}
ac dec 50 1m 1g
let m = mag(v(out))
let zzgain = real(v(out)[0])
print zzgain
let h = m/m[0]
meas ac zzwidth when h=0.70710678 fall=1
noise v(out) {name1} lin 1 {setup.noise_Hz!r} {setup.noise_Hz!r}
setplot noise1
let zznoise = onoise_spectrum
print zznoise
alter {name1} dc = {setup.full!r}
op
let zzhigh = v(out)
print zzhigh
alter {name1} dc = {-setup.full!r}
op
let zzlow = v(out)
print zzlow
"""
    found = run(part, line, control, celsius)
    largest = max(abs(found["high"]), abs(found["low"]))
    limited = largest < 0.9 * abs(setup.law * setup.full) or name in ("squared_error",)
    return {
        "gain error": found["gain"] / setup.law - 1,
        "offset": found["offset"] - (KNEE if name == "hinge" else 0.0),
        "bandwidth": found.get("width", math.inf),
        "noise": found["noise"],
        "swing": largest if (limited and level != "ideal") or name == "limiter" else math.inf,
    }


def measure_integrator(part: Part, values: Mapping[str, float], celsius: float) -> dict[str, float]:
    """An integrator's figures at rate 1/s: gain at 1 Hz, input offset from the drift, input noise at 10 Hz."""
    nodes = {"in": "in", "gate": "p", "out": "out"}
    line = "V1 in 0 dc 0 ac 1\n" + part.instance("1", nodes, vmin=-10, vmax=10, **values)
    control = """ac lin 1 1 1
let zzgain = mag(v(out))*2*pi
print zzgain
noise v(out) V1 lin 1 10 10
setplot noise1
let zznoise = onoise_spectrum*2*pi*10
print zznoise
tran 10m 1 0 10m uic
let n = length(time) - 1
let zzdrift = (v(out)[n] - v(out)[10])/(time[n] - time[10])
print zzdrift
"""
    found = run(part, line, control, celsius)
    control = "tran 1m 0.1 0 1m uic\nlet n = length(time) - 1\nlet zztop = v(out)[n]\nprint zztop\n"
    swing = run(part, "V1 in 0 1\n" + part.instance("1", nodes, rate=100, **values), control, celsius)["top"]
    return {"gain error": found["gain"] - 1, "offset": found["drift"], "bandwidth": math.inf, "noise": found["noise"],
            "swing": swing}  # fmt: skip


def integrator_formula(level: str, d: Defaults) -> Mapping[str, float]:
    """Figures of the integrator, all at its input; its swing is its upper rail plus the limiter's excess."""
    swing = d["vmax"] + 100 * d["tclamp"] / (1 + 100 * d.get("ron", 0.0) * d.get("c", 0.0))
    if level == "ideal":
        return {"gain error": 0.0, "offset": 0.0, "noise": 0.0, "swing": swing}
    if level == "macro":
        slope = 1 / (1 + d["ctol"]) / (1 + d["ron"] * d["c"])
        leak = d["ileak"] * 2 ** ((d.get("kelvin", 300.15) - 300.15) / 10)
        offset = d["vos"] * slope + (d["ibias"] + leak) / d["c"] / (1 + d["ctol"])
        en = load_part("opamp_op07", "macro").defaults["noise"]
        # the op-amp's noise is integrated with 1/(s RC), and appears at the output as it is: times w here
        noise = en * math.hypot(slope, 2 * math.pi * 10)
        return {"gain error": slope - 1, "offset": offset, "noise": noise, "swing": swing}
    # shot noise of two collector currents of i0/2, and as much again from the mirror
    shot = math.sqrt(2 * 2 * 1.602e-19 * d["i0"]) * 0.05173 / d["i0"] / (0.02 / d["vfull"])
    return {"gain error": 0.0, "offset": 0.025865 * d["mismatch"] / (0.02 / d["vfull"]), "noise": shot, "swing": swing}


def expected(name: str, level: str, *, celsius: float = 27.0, supply: float | None = None) -> Mapping[str, float]:
    """Data sheet or formula; white noise goes with the square root of the absolute temperature."""
    part = load_part(name, level)
    values = {**part.defaults, **values_at(part, supply), "kelvin": celsius + 273.15}
    warm = math.sqrt(values["kelvin"] / 300.15)
    if name == "integrator":
        found = integrator_formula(level, values)
        return {**found, "noise": found["noise"] * warm}
    if level == "ideal":
        return {"gain error": 0.0, "offset": 0.0, "bandwidth": math.inf, "noise": 0.0, "swing": math.inf} | dict(
            IDEAL.get(name, {})
        )
    found = SETUPS[name].formula[level](values)
    return {**found, "noise": found["noise"] * warm}


def written(figure: str, value: float) -> str:
    """A figure with its unit."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "none"
    if figure == "gain error":
        return f"{100 * value:+.3f} %" if abs(value) > 5e-6 else "0 %"
    unit = {"offset": "V", "bandwidth": "Hz", "noise": "V/rtHz", "swing": "V"}[figure]
    if abs(value) < 1e-11:
        return f"0 {unit}"
    prefixes = ((1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"))
    scale, prefix = next(pair for pair in prefixes if abs(value) >= 0.9995 * pair[0])
    return f"{value / scale:.3g} {prefix}{unit}"


def table(name: str) -> str:
    """Markdown table of one part."""
    levels = [level for level in LEVELS if (name, level) in available()]
    found = {level: measure(name, level) for level in levels}
    stated = {level: expected(name, level) for level in levels}
    lines = [f"| {name} | " + " | ".join(levels) + " |", "|---" * (1 + len(levels)) + "|"]
    for figure in FIGURES:
        cells = []
        for level in levels:
            value = stated[level].get(figure, math.nan)
            cells.append(f"{written(figure, found[level][figure])} ({written(figure, value)})")
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mixer_errors(level: str) -> str:
    """Total error of a multiplier at its scale of 10 V, and its feedthrough, in per cent of 10 V."""
    part = load_part("mixer", level)
    line = "Va a 0 0\nVb b 0 0\n" + part.instance("1", {"a": "a", "b": "b", "out": "out"}, vscale=10)
    control = """dc Va -10 10 0.5 Vb -10 10 0.5
let e = abs(v(out) - v(a)*v(b)/10)
let zztotal = vecmax(e)
let zzmean = mean(e)
print zztotal zzmean
alter Vb dc = 0
alter Va dc = 10
op
let zzx = v(out)
print zzx
alter Va dc = -10
op
let zzx2 = v(out)
print zzx2
alter Va dc = 0
alter Vb dc = 10
op
let zzy = v(out)
print zzy
alter Vb dc = -10
op
let zzy2 = v(out)
print zzy2
"""
    found = run(part, line, control)
    x, y = 5 * (found["x"] - found["x2"]), 5 * (found["y"] - found["y2"])
    figures = (10 * found["total"], 10 * found["mean"], x, y)
    return f"| {level} | " + " | ".join(f"{figure:.2f} %" for figure in figures) + " |"


def leads_table() -> str:
    """Markdown table of the device leads."""
    lines = ["| device_leads | ideal | macro |", "|---|---|---|"]
    rows: dict[str, list[str]] = {"series resistance": [], "-3 dB, open": [], "fed through at 1 kHz, 1 V": []}
    for level in ("ideal", "macro"):
        part = load_part("device_leads", level)
        d = part.defaults
        near = part.instance("1", {"in": "a", "out": "b", "neighbour": "nb"})
        far = part.instance("2", {"in": "c", "out": "open", "neighbour": "0"}, r=1e4)
        circuit = f"Va a 0 0.1\nVb b 0 0\nVnb nb 0 dc 0 ac 1\n{near}\nVc c 0 dc 0 ac 1\n{far}"
        control = """op
let zzr = 0.1/i(vb)
print zzr
ac lin 1 1k 1k
let zzi = imag(i(vb))
print zzi
ac dec 50 1k 100meg
let h = mag(v(open))
meas ac zzwidth when h=0.70710678 fall=1
"""
        found = run(part, circuit, control)
        width = 1 / (2 * math.pi * 1e4 * (d["c"] + d["cm"]))
        if level == "macro":
            width = ladder_width(1e4, d["c"], d["cm"])
        rows["series resistance"].append(f"{found['r']:.3f} ohm ({d['r']:g} ohm)")
        rows["-3 dB, open"].append(f"{found['width'] / 1e3:.1f} kHz ({width / 1e3:.1f} kHz)")
        rows["fed through at 1 kHz, 1 V"].append(f"{found['i'] * 1e9:.3f} nA ({2e12 * math.pi * d['cm']:.3f} nA)")
    return "\n".join([*lines, *(f"| {key} | " + " | ".join(cells) + " |" for key, cells in rows.items())])


def ladder_width(r: float, c: float, cm: float) -> float:
    """-3 dB of two sections of r/2 and c/2 with `cm` at the end, Hz; by bisection."""

    def gain(f: float) -> float:
        s = 2j * math.pi * f
        z, y, end = r / 2, s * c / 2, s * (c / 2 + cm)
        middle = 1 + z * end
        return abs(1 / (middle + z * (y * middle + end)))

    low, high = 1.0, 1e9
    for _ in range(100):
        mid = math.sqrt(low * high)
        low, high = (mid, high) if gain(mid) > math.sqrt(0.5) else (low, mid)
    return low


def oscillator_table() -> str:
    """Markdown table of the oscillator."""
    lines = ["| oscillator | ideal | macro |", "|---|---|---|"]
    rows: dict[str, list[str]] = {"frequency": [], "amplitude": [], "offset": [], "quadrature": []}
    for level in ("ideal", "macro"):
        part = load_part("oscillator", level)
        d = part.defaults
        circuit = part.instance("1", {"sine": "s", "cosine": "c"})
        offset = d.get("offset", 0.0)
        control = f"""tran 0.2u 20.1m 0 0.2u
meas tran zzstart when v(s)={offset!r} rise=2
meas tran zzend when v(s)={offset!r} rise=20
meas tran zzcos when v(c)={offset!r} fall=2
meas tran top max v(s)
meas tran bottom min v(s)
let zzamplitude = (top - bottom)/2
let zzoffset = (top + bottom)/2
print zzamplitude zzoffset
meas tran zzmean avg v(s) from=0 to={20 / d["frequency"] / (1 + d.get("ferror", 0.0))!r}
"""
        found = run(part, circuit, control)
        frequency = 18 / (found["end"] - found["start"])
        ahead = (180 + 360 * frequency * (found["start"] - found["cos"])) % 360  # the cosine falls where u = 90 deg
        amplitude = 1 + d.get("egain", 0.0) - (1 + d.get("egain", 0.0)) * d.get("h3", 0.0)  # 3u is 270 deg at the top
        rows["frequency"].append(f"{frequency:.2f} Hz ({1e3 * (1 + d.get('ferror', 0.0)):.2f} Hz)")
        rows["amplitude"].append(f"{found['amplitude']:.4f} V ({amplitude:.4f} V)")
        rows["offset"].append(f"{1e3 * found['mean']:.2f} mV ({1e3 * offset:.2f} mV)")
        rows["quadrature"].append(f"{ahead:.2f} deg ({90 + d.get('quadrature', 0.0):.2f} deg)")
    return "\n".join([*lines, *(f"| {key} | " + " | ".join(cells) + " |" for key, cells in rows.items())])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="names of parts; all by default")
    own = {"device_leads": leads_table, "oscillator": oscillator_table}
    names = parser.parse_args().parts or [*SETUPS, *own]
    for name in names:
        print((own[name]() if name in own else table(name)) + "\n")
        if name == "mixer":
            print("| mixer over +-10 V, scale 10 V | total error, largest | mean | a to output | b to output |")
            print("|---|---|---|---|---|")
            for level in LEVELS:
                print(mixer_errors(level))
            print("| data sheet, typical | 1 % (2 % at most) | - | 0.3 % | 0.1 % |\n")


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
