"""The three engines on the same loops: how far their control paths are apart, how fast they are; a start moved by 1 uV.

    python docs/studies/engines_table.py --first-seed 1200 --designs 40 --out engines.jsonl     # default designs
    python docs/studies/engines_table.py --chip CHIP.npz --designs 20 --out chip.jsonl          # random ones, a chip
    python docs/studies/engines_table.py --table --out engines.jsonl

A default design is XOR and AND in turn on the network of a seed, one attempt from its own start with default settings.
A random one is a gate on the chip, a dither of 5 to 40 mV, a spacing of 5, 10 or 20 Hz, a learning rate of 0.03 to 0.3
and a step of 20 to 80 mV, log-uniform. The start is chosen and its slopes are read once, by the twin: all engines run
one loop.

Deviation: the largest |w_k(t) - w_k,ngspice(t)| over all times and controls, over the largest excursion max - min of a
control on ngspice's path. Errors of ngspice's time step are the twin's, too, and fall with its square; so w = w_fine +
(w_fine - w_coarse)/3 of the twin at twice the points and at the default ones is where both would end with small steps,
and stands beside: how far ngspice and the averaged loop are from there. And how far the averaged loop ends from itself
after a start moved by 1 uV. Speed: wall time of the whole call, the least of some rounds for the fast engines, one run
of ngspice. A finished design is a line of the output file; run again, the study goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from circuits.homodyne import readings
from circuits.homodyne.engines import Averaged, LoopEngine, Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop
from circuits.signals.transient import Transient
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import Bench, Experiment, HgeSettings, default_bench
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError
from learning.homodyne.start import choose_start, measured_loop
from learning.homodyne.training import judge
from learning.tasks.gates import GATES

MOVED_V = 1e-6
WITHIN = {"twin": 0.01, "averaged": 0.03}


def default_design(seed: int, amplitude_V: float | None = None) -> tuple[Experiment, str]:
    """XOR and AND in turn on the network of a seed."""
    bench, gate = default_bench(seed), ("XOR", "AND")[seed % 2]
    return Experiment(bench, bench.task(gate), HgeSettings(amplitude_V=amplitude_V)), gate


def random_design(chip: ChipSurrogate, seed: int) -> tuple[Experiment, str]:
    """A random design on a chip."""
    rng = np.random.default_rng(1000 + seed)
    gate = list(GATES)[int(rng.integers(len(GATES)))]
    amplitude, rate, step = np.exp(rng.uniform(np.log([5e-3, 0.03, 0.02]), np.log([40e-3, 0.3, 0.08])))
    spacing = float(rng.choice([5.0, 10.0, 20.0]))
    bench = Bench(chip, 0, (1, 3), spacing_Hz=spacing)
    settings = HgeSettings(amplitude_V=float(amplitude), learning_rate=float(rate), step_V=float(step))
    words = f"{gate:4s} {1e3 * amplitude:4.1f} mV {spacing:3.0f} Hz {rate:.3f} {1e3 * step:3.0f} mV"
    return Experiment(bench, bench.task(gate), settings), words


def path(loop: HomodyneLoop, run: Transient, time_s: FloatArray) -> FloatArray:
    """Controls at some times, V, (m, n_trained)."""
    return np.stack([np.interp(time_s, run.time_s, one) for one in readings.controls_V(loop, run).T], axis=1)


def timed(engine: LoopEngine, loop: HomodyneLoop, rounds: int = 1) -> tuple[Transient, float]:
    """A run, and the least wall time of some."""
    least = np.inf
    for _ in range(rounds):
        begin = time.perf_counter()
        run = engine.run(loop)
        least = min(least, time.perf_counter() - begin)
    return run, least


def row(experiment: Experiment, seed: int, ngspice: Ngspice, rounds: int) -> dict[str, Any]:
    """What one design shows."""
    start = choose_start(experiment, np.random.default_rng(seed))
    loop, slopes = measured_loop(experiment, start, Twin())
    start = replace(start, slopes=slopes)
    averaged, averaged_s = timed(Averaged(), loop, rounds)
    twin, twin_s = timed(Twin(), loop, rounds)
    reference, ngspice_s = timed(ngspice, loop)
    fine = Twin().run(replace(loop, points_per_cycle=2 * loop.points_per_cycle))
    aside = replace(loop, start_V=loop.start_V + MOVED_V / np.sqrt(loop.dither.n))
    runs = {"ngspice": reference, "twin": twin, "averaged": averaged}
    judged = {name: judge(experiment, loop, run, start) for name, run in runs.items()}
    ways = {name: path(loop, run, reference.time_s) for name, run in runs.items()}
    limit = path(loop, fine, reference.time_s)
    limit += (limit - ways["twin"]) / 3.0
    excursion_V = float(np.max(np.ptp(ways["ngspice"], axis=0)))

    def apart(one: FloatArray, other: FloatArray) -> float:
        return float(np.max(np.abs(one - other))) / excursion_V

    stability = judged["ngspice"].stability
    assert stability is not None
    return {
        "margin_dB": stability.margin_dB,
        "hunting": judged["ngspice"].settling.hunting.tolist(),
        "learned": {name: attempt.final.learned for name, attempt in judged.items()},
        "margin": {name: attempt.final.facts()["margin"] for name, attempt in judged.items()},
        "seconds": {"ngspice": ngspice_s, "twin": twin_s, "averaged": averaged_s},
        "excursion_V": excursion_V,
        "deviation": {name: apart(ways[name], ways["ngspice"]) for name in WITHIN},
        "from_limit": {name: apart(way, limit) for name, way in ways.items()},
        "moved_V": float(
            np.max(np.abs(path(aside, Averaged().run(aside), reference.time_s)[-1] - ways["averaged"][-1]))
        ),
    }


def table(out: Path) -> None:
    """A line for each design, then medians."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    print(
        "seed design | margin dB | ngspice s, off the limit | twin x, deviation | averaged x, deviation, off the limit"
    )
    for one in rows:
        spice, twin, averaged = one["seconds"].values()
        off = one["from_limit"]
        print(
            f"{one['seed']} {one['design']} | {one['margin_dB']:5.1f} | {spice:5.1f} {off['ngspice']:.5f} | "
            f"{spice / twin:5.1f} {one['deviation']['twin']:.5f} | {spice / averaged:5.0f} "
            f"{one['deviation']['averaged']:.5f} {off['averaged']:.5f} | 1 uV moves "
            f"{1e3 * one['moved_V']:.5f} mV | margins " + " ".join(f"{margin:.3f}" for margin in one["margin"].values())
        )
    stable = [one for one in rows if one["margin_dB"] >= 0]
    print(f"{len(rows)} designs, {len(stable)} stable by the stated margin; of these")
    for name, limit in WITHIN.items():
        faster = np.median([one["seconds"]["ngspice"] / one["seconds"][name] for one in stable])
        print(f"  {name}: {faster:.0f} x")
        shown = {
            "ngspice": [one["deviation"][name] for one in stable],
            "the limit": [one["from_limit"][name] for one in stable],
        }
        for other, all_off in shown.items():
            print(
                f"    off {other}: median {100 * np.median(all_off):.3f} %, largest {100 * np.max(all_off):.2f} %, "
                f"within {100 * limit:g} %: {np.sum(np.array(all_off) <= limit)}"
            )
    moved = 1e3 * np.array([one["moved_V"] for one in rows])
    print(f"a start moved by 1 uV ends {np.median(moved):.5f} mV away, at most {np.max(moved):.3f} mV")


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", type=Path)
    parser.add_argument("--amplitude", type=float, help="V, of the default designs' dither")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--designs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("engines.jsonl"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    chip = None if options.chip is None else ChipSurrogate.from_npz(options.chip)
    seeds = [] if options.table else range(options.first_seed, options.first_seed + options.designs)
    done = {json.loads(line)["seed"] for line in options.out.read_text().splitlines()} if options.out.exists() else {-1}
    with Ngspice() as ngspice:
        for seed in seeds:
            if seed in done:
                continue
            experiment, words = default_design(seed, options.amplitude) if chip is None else random_design(chip, seed)
            try:
                found = {"seed": seed, "design": words, **row(experiment, seed, ngspice, options.rounds)}
            except ConvergenceError as error:
                print(f"seed {seed}: {error}", flush=True)
                continue
            with options.out.open("a") as stream:
                stream.write(json.dumps(found) + "\n")
    table(options.out)


if __name__ == "__main__":
    main()
