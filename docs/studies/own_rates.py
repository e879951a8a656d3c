"""Rates per control: does the loop hunt, is its path reproducible, does it learn; one attempt a network and variant.

    python docs/studies/own_rates.py --first-seed 520 --seeds 20 --out rates.jsonl
    python docs/studies/own_rates.py --table --out rates.jsonl

Variants learn from the same starts. "moved" is how far apart two runs end whose starts are 1 uV apart. A finished cell
is a line of the output file; run again, the study goes on where it stopped. Settings were chosen on seeds
400 to 429 and 500 to 519.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from circuits.homodyne.engines import Averaged
from inmateria import Experiment, HgeSettings, default_bench
from inmateria.errors import ConvergenceError
from learning.homodyne.start import choose_start, measured_loop
from learning.homodyne.training import judge

VARIANTS = {
    "one rate": HgeSettings(rates=1.0, step_V=0.05, sequences=30, candidates=1, moves=0),
    "own rates": HgeSettings(rates="auto", step_V=0.1, sequences=30, candidates=1, moves=0),
}


def cell(seed: int, variant: str, looks: int, gate: str) -> dict[str, object]:
    """One attempt, and the same one with its start 1 uV aside."""
    bench, engine = default_bench(seed, tolerance=1e-5), Averaged()
    settings = replace(VARIANTS[variant], looks=looks)
    experiment = Experiment(bench, bench.task(gate), settings)
    start = choose_start(experiment, np.random.default_rng(seed))
    loop, slopes = measured_loop(experiment, start, engine)
    start = replace(start, slopes=slopes, looked=start.looked + experiment.reading_evaluations)
    attempt = judge(experiment, loop, engine.run(loop), start)
    aside = replace(loop, start_V=loop.start_V + 1e-6 / np.sqrt(len(bench.trained)))
    there = judge(experiment, aside, engine.run(aside), start).controls_V
    assert attempt.stability is not None
    return {
        "seed": seed,
        "variant": variant,
        "gate": gate,
        "looks": looks,
        "correlation": abs(experiment.task.correlation(start.outputs_A)),
        "learned": attempt.final.learned,
        **attempt.final.facts(),
        "evaluations": attempt.device_evaluations,
        "margin_dB": attempt.stability.margin_dB,
        "hunting": attempt.settling.hunting.tolist(),
        "cycle_V": float(np.max(attempt.settling.cycle_V)),
        "moved_V": float(np.max(np.abs(there - attempt.controls_V))),
    }


def table(out: Path) -> None:
    """A row a variant."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    print("variant               n  learned  margin   stable  hunting e1, e7  moved (mV): median, largest  > 0.01 mV")
    for variant in VARIANTS:
        part = [row for row in rows if row["variant"] == variant]
        if not part:
            continue
        margins = [row["margin"] for row in part if row["learned"]] or [np.nan]
        hunting, moved = np.mean([row["hunting"] for row in part], axis=0), 1e3 * np.array([r["moved_V"] for r in part])
        stable = np.mean([row["margin_dB"] >= 0 for row in part])
        print(
            f"{variant:18s} {len(part):4d} {np.mean([row['learned'] for row in part]):8.2f} {np.median(margins):7.2f} "
            f"{stable:8.2f} {hunting[0]:9.2f}, {hunting[-1]:.2f} {np.median(moved):18.4f}, {np.max(moved):7.3f} "
            f"{np.mean(moved > 0.01):10.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=520)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--looks", type=int, default=32)
    parser.add_argument("--gate", default="XOR")
    parser.add_argument("--out", type=Path, default=Path("rates.jsonl"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        done = set()
        if options.out.exists():
            done = {(row["seed"], row["variant"]) for row in map(json.loads, options.out.read_text().splitlines())}
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            for variant in VARIANTS:
                if (seed, variant) in done:
                    continue
                try:
                    row = cell(seed, variant, options.looks, options.gate)
                except ConvergenceError as error:
                    print(f"seed {seed}, {variant}: {error}", flush=True)
                    continue
                with options.out.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
    table(options.out)
