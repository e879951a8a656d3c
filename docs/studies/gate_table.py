"""Gates over device seeds: success within 20 restarts, per restart, beside random search at equal device evaluations.

    python docs/studies/gate_table.py --seeds 10 --out gates.jsonl

A finished cell is a line of the output file; run again, it goes on where it stopped. `--table` prints what is there.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.stats import beta

from inmateria import GATES, BooleanTask, HgeSettings, default_bench, learn_gate, random_search


def interval(successes: int, trials: int) -> tuple[float, float]:
    """Clopper-Pearson 95 % interval."""
    low = float(beta.ppf(0.025, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(0.975, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def run(seeds: int, out: Path, engine: str) -> None:
    done = {(r["gate"], r["seed"]) for r in map(json.loads, out.read_text().splitlines())} if out.exists() else set()
    settings = HgeSettings()
    for seed in range(seeds):
        bench = default_bench(seed, tolerance=1e-5)
        for gate in GATES:
            if (gate, seed) in done:
                continue
            task = BooleanTask(gate)
            number = [seed, list(GATES).index(gate)]
            result = learn_gate(bench, task, settings, rng=np.random.default_rng([*number, 0]), engine=engine)
            used = sum(a.device_evaluations for a in result.attempts)
            search = random_search(
                bench,
                task,
                device_evaluations=used,
                spread=settings.spread,
                rng=np.random.default_rng([*number, 1]),
            )
            row = {
                "gate": gate,
                "seed": seed,
                "success": result.success,
                "restarts": len(result.attempts),
                "device_evaluations": used,
                "margin": result.best.final.margin,
                "separation_A": result.best.final.separation_A,
                "random_success": search.success,
                "random_evaluations": search.device_evaluations,
            }
            with out.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(row, flush=True)


def table(out: Path) -> None:
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    print("gate   devices  learned  per restart (95 %)     evaluations (median)  random search")
    for gate in GATES:
        part = [r for r in rows if r["gate"] == gate]
        if not part:
            continue
        wins, tries = sum(r["success"] for r in part), sum(r["restarts"] for r in part)
        low, high = interval(wins, tries)
        median = np.median([r["device_evaluations"] for r in part])
        print(
            f"{gate:5} {len(part):7d} {wins:8d}  {wins / tries:.2f} ({low:.2f}-{high:.2f}) of {tries:3d} "
            f"{median:16.0f} {sum(r['random_success'] for r in part):14d}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("gates.jsonl"))
    parser.add_argument("--engine", default="twin")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        run(options.seeds, options.out, options.engine)
    table(options.out)
