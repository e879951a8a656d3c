"""Predicted against measured error of lock-in gradients at frozen controls, over random designs in ngspice.

    python docs/studies/error_budget.py --points 240 --out budget.jsonl --picture docs/images/error_budget.png

A finished point is a line of the output file; run again, it goes on where it stopped. `--table` reads it only.

Drawn for each point: the setting, amplitude 1-100 mV, spacing 5-100 Hz, time constant 5-50 ms, slope 6-24 dB/oct, noise
1e-27-1e-21 A^2/Hz, offset of the multiplier, drift of the controls, stray capacitance, a pattern's step at the start.
Most are switched off at most points, so that each term has points where it is the largest.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from analysis.gradients.bank_check import check_bank
from circuits.lockin.bank import LockInBank
from circuits.ngspice.engine import Engine
from circuits.signals.sources import Table
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import LockInSettings, default_bench, plan_frequencies
from netlists.reader import load_part

KINDS = ("amplitude", "crosstalk", "settling", "noise", "offset", "ripple", "leakage", "drift", "stray", "any")
"""What a point is drawn for; "any" draws all at once."""
SEEDS = 12
"""Readings of a point with noise: of seven controls each, so their rms scatters by 8 %."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def drawn(number: int, device: Any, output: int) -> tuple[LockInBank, float, int, dict[str, Any]]:
    """A random bank: the circuit, when it is read, over how many seeds of the noise, and its figures."""
    rng = np.random.default_rng([5, number])
    kind = KINDS[number % len(KINDS)]

    def wanted(name: str) -> bool:
        return kind in (name, "any") and (kind != "any" or rng.random() < 0.5)

    low, high = np.asarray(device.limits_V).T
    volts = 0.5 * (low + high) + 0.3 * (high - low) * rng.uniform(-0.7, 0.7, low.size)
    volts[output] = 0.0
    amplitude = log_uniform(rng, *{"amplitude": (0.01, 0.1), "any": (1e-3, 0.1)}.get(kind, (1e-3, 1e-2)))
    close = kind in ("crosstalk", "ripple", "amplitude", "any")
    spacing = log_uniform(rng, *((5.0, 15.0) if kind == "crosstalk" else (5.0, 100.0) if close else (40.0, 100.0)))
    spacing = float(f"{spacing:.2g}")
    slope = int(rng.choice([6, 12] if kind in ("crosstalk", "ripple") else [12, 18, 24] if kind == "any" else [18, 24]))
    tau = log_uniform(rng, 5e-3, 50e-3 if kind != "crosstalk" else 15e-3)
    duration = tau * {6: 9.2, 12: 11.8, 18: 13.9, 24: 15.7}[slope]  # settled to 1e-4 but for the kinds below
    if kind in ("settling", "any"):
        duration *= rng.uniform(0.4, 0.8)
    plan = plan_frequencies(low.size - 1, None, spacing, amplitude_V=amplitude)
    density = log_uniform(rng, 1e-25, 1e-21) if wanted("noise") else 0.0
    parts, level = [], "ideal"
    offset = 0.0
    if wanted("offset"):  # the real multiplier with an offset of its own, all else ideal
        offset = log_uniform(rng, 1e-4, 5e-2) * float(rng.choice([-1.0, 1.0]))
        parts = [load_part("mixer", "macro").with_defaults("drawn", offset=offset)]
    dithered = tuple(k for k in range(low.size) if k != output)
    drift = (
        tuple(rng.uniform(-1, 1, len(dithered)) * log_uniform(rng, 0.02, 0.1 if kind == "any" else 0.5))
        if wanted("drift")
        else 0.0
    )
    stray = log_uniform(rng, 1e-12, 5e-11) if wanted("stray") else 0.0
    waves: dict[int, Table] = {}
    if wanted("leakage"):
        step = float(rng.uniform(-0.2, 0.2))
        begin = rng.uniform(0.5, 0.9) * duration
        waves = {dithered[1]: Table((0.0, begin, begin + 0.01), (step, step, 0.0))}
    if density:
        spectrum = NoiseSpectrum(density, density * 10, 10.0) if rng.random() < 0.5 else NoiseSpectrum(density)
        device = NoisyDevice(device, spectrum, (output,))
    # a phase of 20 degrees lets the quadrature of stray capacitances in, as a phase set by maximum magnitude does
    phase = 20.0 if kind == "stray" or (stray and rng.random() < 0.5) else 0.0
    bank = LockInBank(
        device, output, dithered, volts, plan, LockInSettings(tau, slope, phase=phase), level, parts, gain=5.0,
        drift_V_per_s=drift, stray_F=stray, waves=waves,
    )  # fmt: skip
    if kind != "ripple":  # its background is taken away, as the loop's output stage does
        rest = float(-device.currents(volts)[output])
        bank = LockInBank(**{**bank.__dict__, "baseline_A": rest})
    figures = {
        "kind": kind, "amplitude_V": amplitude, "spacing_Hz": spacing, "tau_s": tau, "slope": slope,
        "duration_s": duration, "psd_A2_per_Hz": density, "offset_V": offset, "stray_F": stray, "phase_deg": phase,
    }  # fmt: skip
    return bank, duration, SEEDS if density else 1, figures


def run(points: int, out: Path, device: Any, output: int) -> None:
    done = {row["number"] for row in map(json.loads, out.read_text().splitlines())} if out.exists() else set()
    with Engine() as engine:
        for number in range(points):
            if number in done:
                continue
            bank, duration, seeds, figures = drawn(number, device, output)
            check = check_bank(bank, engine, duration, seeds=tuple(1000 * number + k for k in range(seeds)))
            row = {
                "number": number, **figures, "predicted_S": check.predicted_rms, "measured_S": check.measured_rms,
                "gradient_S": float(np.sqrt(np.mean(check.budget.exact**2))),
                "shares_S": {k: v / np.sqrt(len(check.names)) for k, v in check.budget.shares().items()},
            }  # fmt: skip
            with out.open("a") as stream:
                stream.write(json.dumps(row) + "\n")


def table(out: Path, picture: Path | None) -> None:
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    ratios = np.array([row["measured_S"] / row["predicted_S"] for row in rows])
    within = np.abs(np.log(ratios))
    print(f"{len(rows)} points; measured over predicted: median {np.median(ratios):.4f}, {ratios.min():.3f} to "
          f"{ratios.max():.3f}; within 1.3 at {100 * np.mean(within < np.log(1.3)):.1f} %, within 1.5 at "
          f"{100 * np.mean(within < np.log(1.5)):.1f} %")  # fmt: skip
    print("term that dominates (more than 90 % of the rms)   points   measured over predicted: median, range, in 1.3")
    dominant = []
    for row in rows:
        name, size = next(iter(row["shares_S"].items()))
        dominant.append(name if size > 0.9 * row["predicted_S"] and size < 1.1 * row["predicted_S"] else "mixed")
    for name in sorted(set(dominant)):
        part = np.array([
            row["measured_S"] / (row["shares_S"][name] if name != "mixed" else row["predicted_S"])
            for row, which in zip(rows, dominant, strict=True) if which == name
        ])  # fmt: skip
        inside = np.mean(np.abs(np.log(part)) < np.log(1.3))
        print(f"{name:50s}{len(part):6d}   {np.median(part):.3f}   {part.min():.3f} to {part.max():.3f}   "
              f"{100 * inside:.0f} %")  # fmt: skip
    if picture is not None:
        draw(rows, dominant, picture)


def draw(rows: list[dict[str, Any]], dominant: list[str], picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.add_subplot()
    for index, name in enumerate(sorted(set(dominant))):
        some = [row for row, which in zip(rows, dominant, strict=True) if which == name]
        axes.loglog(
            [1e9 * row["predicted_S"] for row in some],
            [1e9 * row["measured_S"] for row in some],
            "o^sDvP*Xd"[index % 9],
            ms=5,
            alpha=0.8,
            label=name,
        )
    ends = np.array(axes.get_xlim())
    axes.loglog(ends, ends, "k-", lw=0.8)
    axes.fill_between(ends, ends / 1.5, ends * 1.5, color="0.9", zorder=0, label="factor 1.5")
    axes.set_xlabel("predicted error of the gradient, rms, nS")
    axes.set_ylabel("measured in ngspice, nS")
    axes.legend(title="largest term", fontsize=8)
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=240)
    parser.add_argument("--chip", type=Path, help="file of a measured chip; the default mean field if left out")
    parser.add_argument("--out", type=Path, default=Path("budget.jsonl"))
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        chip = ChipSurrogate.from_npz(options.chip) if options.chip else None
        if chip:
            run(options.points, options.out, chip, chip.measured[0])
        else:
            bench = default_bench(0)
            run(options.points, options.out, bench.device, bench.output)
    table(options.out, options.picture)
