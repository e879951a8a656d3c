"""What noise, drift, offsets and temperature leave of learned gates: margins before and after, over networks.

    python docs/studies/robustness_table.py --first-seed 1240 --gates 40 --out robustness.jsonl
    python docs/studies/robustness_table.py --table --out robustness.jsonl

XOR and AND in turn on the networks of seeds, one attempt each with default settings in the averaged loop, until so many
gates are learned. An attempt is a line of the output file; run again, the study goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from inmateria import Experiment, HgeSettings, default_bench, learn, robustness
from inmateria.errors import ConvergenceError


def row(seed: int) -> dict[str, Any]:
    """One attempt, and what is left of what it learned."""
    bench, gate = default_bench(seed, tolerance=1e-5), ("XOR", "AND")[seed % 2]
    experiment = Experiment(bench, bench.task(gate), replace(HgeSettings(), restarts=1))
    attempt = learn(experiment, rng=np.random.default_rng(seed), engine="averaged").best
    found = {"seed": seed, "gate": gate, "learned": attempt.final.learned}
    return found | (robustness(experiment, attempt).facts() if attempt.final.learned else {})


def table(rows: list[dict[str, Any]]) -> None:
    """A line for each disturbance."""
    learned = [one for one in rows if one["learned"]]
    before = [one["quality"] for one in learned]
    print(f"{len(learned)} learned of {len(rows)}; margin median {np.median(before):.3f}, least {min(before):.3f}")
    for name in ("noise", "drift", "offset", "temperature"):
        worst = np.array([one[name]["worst"] for one in learned])
        lost = np.array(before) - worst
        kept = np.array([one[name]["kept"] for one in learned])
        print(
            f"{name:11s} at worst: median {np.median(worst):.3f}, least {np.min(worst):.3f}; lost: median "
            f"{np.median(lost):.3f}, most {np.max(lost):.3f}; learned in all cases {np.sum(kept == 1.0)} of {len(kept)}"
        )


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=1240)
    parser.add_argument("--gates", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("robustness.jsonl"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    seed = max([options.first_seed - 1, *(one["seed"] for one in rows)])
    while not options.table and sum(one["learned"] for one in rows) < options.gates:
        seed += 1
        try:
            rows.append(row(seed))
        except ConvergenceError as error:
            print(f"seed {seed}: {error}", flush=True)
            continue
        with options.out.open("a") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
    table(rows)


if __name__ == "__main__":
    main()
