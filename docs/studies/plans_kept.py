"""Whether plans are kept: random requirements, planned, and read in ngspice at fresh settings, with noise.

    python docs/studies/plans_kept.py dnpu_chip.npz --requirements 30 --out plans.jsonl

A finished requirement is a line of the output file; run again, it goes on where it stopped. `--table` reads it only.

Drawn for each: device (the measured chip, or the mean field of another random network), wanted error, noise of the
output, share and confidence, filter. Settings are the loop's, the middle 0.6 of each range, none of them planned with.
In ngspice each of READINGS is at a setting of its own, with noise of its own; a plan is kept where the wanted share of
them has the error or less. Computed: the same share over COMPUTED settings, by the error budget, noise drawn.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from analysis.gradients.planner import GradientPlan, GradientRequirements, plan, points_for
from circuits.homodyne.engines import Ngspice
from circuits.lockin.bank import LockInBank
from dnpu_models.interface.device import follow_path
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import Bench, Readout, default_bench, error_budget
from inmateria.checks import FloatArray
from learning.homodyne.gradients import spice_lock_in

READINGS = 20
COMPUTED = {"chip": 200, "mean field": 40}
LIMIT_V = 0.05
SPREAD = 0.6


def drawn(number: int, chip: ChipSurrogate) -> tuple[Bench, dict[str, Any]]:
    """A requirement: its bench, and its figures."""
    rng = np.random.default_rng([20, number])
    on_chip = number % 2 == 0
    share, confidence = [(0.9, 0.95), (0.8, 0.95), (0.9, 0.8)][number % 3]
    poles = number % 10 == 4  # their tones are many cycles in a reading: quiet outputs, that the readings are short
    figures = {
        "number": number,
        "device": "chip" if on_chip else "mean field",
        "device_seed": None if on_chip else 700 + number,
        "error": float(np.exp(rng.uniform(np.log(0.3 if on_chip else 0.1), np.log(0.6 if on_chip else 0.4)))),
        "psd_A2_per_Hz": float(10.0 ** (rng.uniform(-25.0, -23.0) - 2.5 * poles)),
        "share": share,
        "confidence": confidence,
        "filter": "24" if poles else "boxcar",
        "band_Hz": (100.0, 2000.0) if poles else None,
        "points": 128 if on_chip else 32,
    }
    bench = Bench(chip, chip.measured[0], (2, 4)) if on_chip else default_bench(700 + number)
    return bench, figures


def setting(bench: Bench, rng: np.random.Generator) -> FloatArray:
    low, high = bench.limits_V.T
    return np.clip(bench.random_controls(SPREAD, rng), low + LIMIT_V, high - LIMIT_V)


def planned(bench: Bench, figures: dict[str, Any]) -> GradientPlan:
    rng = np.random.default_rng([21, figures["number"]])
    points = np.array([setting(bench, rng) for _ in range(points_for(figures["points"]))])
    return plan(
        GradientRequirements(
            lambda v: slopes(bench, v), bench.terminal_voltages(points), bench.trained, figures["error"],
            figures["psd_A2_per_Hz"], LIMIT_V, band_Hz=figures["band_Hz"], longest_s=1e6, filters=(figures["filter"],),
            share=figures["share"], confidence=figures["confidence"], seed=figures["number"],
            output=lambda v: -follow_path(bench.device, v)[:, bench.output],
        )
    )  # fmt: skip


def slopes(bench: Bench, volts: FloatArray) -> FloatArray:
    return np.asarray(-bench.device.conductances(volts)[..., bench.output, list(bench.trained)])


def read(bench: Bench, found: GradientPlan, controls: FloatArray, psd: float, engine: Ngspice, seed: int) -> float:
    """Relative error of one reading of the circuit in ngspice, with noise."""
    noisy = NoisyDevice(bench.device, NoiseSpectrum(psd), (bench.output,))
    volts = bench.terminal_voltages(controls)
    exact = slopes(bench, volts)
    if found.settings.window == "boxcar":  # the loop's circuit, opened, which has an integrator with a switch
        own = Bench(noisy, bench.output, bench.inputs, found.dither.frequencies_Hz, found.time_s)
        peaks = found.dither.amplitudes_V
        reading = np.asarray(spice_lock_in(own, engine, controls, peaks, points_per_cycle=12.0, seed=seed)[0])
    else:
        rest = float(-bench.device.currents(volts)[bench.output])
        bank = LockInBank(noisy, bench.output, bench.trained, volts, found.dither, found.settings, baseline_A=rest)
        reading = bank.gradient(bank.run(engine.engine, found.time_s, seed=seed))
    return float(np.linalg.norm(reading - exact) / np.linalg.norm(exact))


def computed(bench: Bench, found: GradientPlan, controls: FloatArray, psd: float, rng: np.random.Generator) -> float:
    """The same by the error budget, the noise drawn."""
    volts = bench.terminal_voltages(controls)
    exact = slopes(bench, volts)
    rest = float(-bench.device.currents(volts)[bench.output])  # the baseline's
    budget = error_budget(
        lambda v: -follow_path(bench.device, v)[:, bench.output] - rest, volts,
        Readout(found.dither, found.settings, found.time_s, psd=psd), exact=exact, terminals=list(bench.trained),
        points_per_period=6, samples=32,
    )  # fmt: skip
    off = budget.systematic + budget.noise * rng.normal(size=exact.size)
    return float(np.linalg.norm(off) / np.linalg.norm(exact))


def run(requirements: int, out: Path, chip: ChipSurrogate) -> None:
    done = {row["number"] for row in map(json.loads, out.read_text().splitlines())} if out.exists() else set()
    with Ngspice() as engine:
        for number in sorted(set(range(requirements)) - done):
            bench, figures = drawn(number, chip)
            begin = time.process_time()
            found = planned(bench, figures)
            rng, psd = np.random.default_rng([22, number]), figures["psd_A2_per_Hz"]
            took = time.process_time() - begin
            fresh = [setting(bench, rng) for _ in range(READINGS)]
            errors = [read(bench, found, at, psd, engine, 1000 * number + k) for k, at in enumerate(fresh)]
            others = [setting(bench, rng) for _ in range(COMPUTED[figures["device"]])]
            row = {
                **figures, "time_s": found.time_s, "planned_error": found.error, "binding": found.binding,
                "amplitude_V": float(np.mean(found.dither.amplitudes_V)), "planning_s": took, "measured": errors,
                "computed": [computed(bench, found, at, psd, rng) for at in others],
            }  # fmt: skip
            with out.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            tell(row)


def tell(row: dict[str, Any]) -> None:
    within, share = np.array(row["measured"]) <= row["error"], np.mean(np.array(row["computed"]) <= row["error"])
    wish = f"{row['error']:.2f} at {row['share']:g}, confidence {row['confidence']:g}, {row['filter']}"
    found = f"{row['time_s']:.3g} s, {1e3 * row['amplitude_V']:.2f} mV, planned in {row['planning_s']:.0f} s"
    held = f"ngspice {np.sum(within)} of {within.size}, computed {share:.2f}"
    print(f"{row['number']} {row['device']} {wish}: {found}; {held}", flush=True)


def table(out: Path) -> None:
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    print("device      share  requirements  kept (chance less than 1 %)  readings within  of them wanted  computed")
    for device in ("chip", "mean field"):
        for share in (0.8, 0.9):
            some = [row for row in rows if (row["device"], row["share"]) == (device, share)]
            within = [int(np.sum(np.array(row["measured"]) <= row["error"])) for row in some]
            kept = sum(float(binom.cdf(w, READINGS, share)) >= 0.01 for w in within)
            by_budget = np.mean([np.mean(np.array(row["computed"]) <= row["error"]) for row in some])
            above = sum(np.mean(np.array(row["computed"]) <= row["error"]) >= share for row in some)
            print(
                f"{device:10s}   {share:.1f}   {len(some):3d}   {kept:3d}   {sum(within)} of {READINGS * len(some)}   "
                f"{share * READINGS * len(some):.0f}   {100 * by_budget:.1f} % (reached in {above})"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chip", type=Path, help="file of the measured chip")
    parser.add_argument("--requirements", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("plans.jsonl"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        run(options.requirements, options.out, ChipSurrogate.from_npz(options.chip))
    table(options.out)
