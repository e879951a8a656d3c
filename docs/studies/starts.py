"""What helps an attempt at XOR: how its start is found, how it descends. One attempt on each of the tuning networks.

    python docs/studies/starts.py --seeds 40 --out starts.jsonl

Networks have the seeds from 400 on, which the package's settings were chosen on: what is reported of them is in
docs/tasks.md, of other seeds. The averaged loop of ideal parts, without noise; variants that share how a start is found
share the starts. A finished attempt is a line of the output file; run again, it goes on where it stopped.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from circuits.homodyne.engines import running
from inmateria import Experiment, HgeSettings, default_bench
from inmateria.errors import ConvergenceError
from learning.homodyne.start import Start, choose_start, measured_loop
from learning.homodyne.training import judge

FIRST_SEED = 400
BY_CORRELATION = {"looks": 32, "candidates": 32, "moves": 0}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "best of 32 looks, 15 passes": {**BY_CORRELATION, "sequences": 15},
    "32 looks ranked by slopes, 15 passes": {**BY_CORRELATION, "candidates": 1, "sequences": 15},
    "16 looks, 18 passes": {"looks": 16, "sequences": 18},
    "18 passes": {"sequences": 18},
    "24 passes": {"sequences": 24},
    "dither 10 mV": {"amplitude_V": 0.01},
    "dither 3 mV": {"amplitude_V": 0.003},
    "dither falls to 0.3": {"dither_to": 0.3},
    "rates fall to 0.3": {"anneal_to": 0.3, "dither_to": 0.1},
    "one rate for all": {"rates": 1.0},
    "learning rate 0.03": {"learning_rate": 0.03},
    "learning rate 0.2": {"learning_rate": 0.2},
    "steps of 50 mV": {"step_V": 0.05},
    "steps of 200 mV": {"step_V": 0.2},
}


def attempts(variant: str, first: int, seeds: int, starts: dict[Any, Start], out: Path) -> None:
    """One attempt on each network by one variant, appended to the file as it is finished."""
    settings, finished = HgeSettings(**VARIANTS[variant]), done(out)
    for seed in range(first, first + seeds):
        if (variant, seed) in finished:
            continue
        bench = default_bench(seed, tolerance=1e-5)
        experiment = Experiment(bench, bench.task("XOR"), settings)
        row: dict[str, Any] = {"variant": variant, "seed": seed, "learned": False}
        try:
            found = (seed, settings.looks, settings.candidates, settings.moves, settings.step_V)
            if found not in starts:
                starts[found] = choose_start(experiment, np.random.default_rng([seed, 77]))
            start = starts[found]
            with running("averaged", None) as engine:
                loop, slopes = measured_loop(experiment, start, engine)
                attempt = judge(experiment, loop, engine.run(loop), replace(start, slopes=slopes))
            used = attempt.device_evaluations + experiment.reading_evaluations
            row |= {"learned": attempt.final.learned, "evaluations": used, **attempt.final.facts()}
        except ConvergenceError as error:
            row["failed"] = str(error)
        with out.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def done(out: Path) -> set[tuple[str, int]]:
    """Which attempts the file holds."""
    rows = out.read_text().splitlines() if out.exists() else []
    return {(row["variant"], row["seed"]) for row in map(json.loads, rows)}


def table(out: Path) -> None:
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    print(f"{'variant':38} {'n':>3}  learned  good (0.5)  margin: median, least  evaluations")
    for variant in VARIANTS:
        part = [row for row in rows if row["variant"] == variant]
        margins = [row["margin"] for row in part if row["learned"]]
        if not margins:
            continue
        used = np.median([row["evaluations"] for row in part if "evaluations" in row])
        learned, good = len(margins) / len(part), sum(m >= 0.5 for m in margins) / len(part)
        print(f"{variant:38} {len(part):3d}  {learned:7.2f}  {good:10.2f}  {np.median(margins):14.2f}, "
              f"{min(margins):5.2f}  {used:11.0f}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("starts.jsonl"))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        shared: dict[Any, Start] = {}
        for name in options.variants:
            attempts(name, options.first_seed, options.seeds, shared, options.out)
    table(options.out)
