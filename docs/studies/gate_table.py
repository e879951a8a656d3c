"""Gates by method: homodyne gradient extraction and five baselines; same devices, clock and budget.

    python docs/studies/gate_table.py --seeds 20 --out gates.jsonl            # devices of random networks (mean field)
    python docs/studies/gate_table.py --chip dnpu_chip.npz --seeds 100 --out chip.jsonl       # a chip, so many starts
    python docs/studies/gate_table.py --polarity fixed --swing 0.6 --seeds 20 --out fixed.jsonl
    python docs/studies/gate_table.py --table --out gates.jsonl

One device evaluation is one pattern presented for one slot (0.11 s), for every method. A cell (method, gate, seed)
ends when the gate is learned or its budget is used up. Homodyne gradient extraction (hge) always finishes an attempt;
"first" counts its evaluations until the gate is there for the first time, looks included, which is when the baselines
stop. A finished cell is a line of the output file; run
again, it goes on where it stopped. Random numbers come from (seed, gate, method, repetition): no result depends on the
order.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import beta

from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import GATES, Bench, BooleanTask, Experiment, HgeSettings, default_bench, learn, search
from inmateria.errors import ConvergenceError
from learning.bench.devices import CHIP_INPUTS
from learning.choices import Polarity
from learning.homodyne.results import evaluations_to_first
from learning.searches.methods import DESCENT
from learning.tasks.boolean import MARGIN_MIN
from learning.tasks.task import Task

ATTEMPT = 4 * (22 + 4 * 3 + 1 + 12 + 2)  # looks, moves, slopes at the start, passes, measuring before and after
BUDGET = 10 * ATTEMPT
METHODS = ("hge", "random", "differences", "spsa", "evolution", "cmaes")


def interval(successes: int, trials: int) -> tuple[float, float]:
    """Clopper-Pearson 95 % interval."""
    low = float(beta.ppf(0.025, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(0.975, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def cell(bench: Bench, task: Task, method: str, seed: int, engine: str, budget: int) -> dict[str, object]:
    """One method at one gate of one device; anew with other random numbers where the mean field finds no state."""
    for again in range(5):
        try:
            return {**_cell(bench, task, method, seed, engine, budget, again), "again": again}
        except ConvergenceError as error:
            print(f"seed {seed}, {task.name} by {method}: {error}", flush=True)
    raise RuntimeError("the device has no state at too many settings")


def _cell(bench: Bench, task: Task, method: str, seed: int, engine: str, budget: int, again: int) -> dict[str, object]:
    begin = time.perf_counter()
    rng = np.random.default_rng([seed, list(GATES).index(task.name), METHODS.index(method), again])
    row: dict[str, object] = {"method": method, "gate": task.name, "seed": seed, "budget": budget}
    if method == "hge":
        experiment = Experiment(bench, task, HgeSettings(restarts=10))
        result = learn(experiment, rng=rng, engine=engine, device_evaluations=budget)  # type: ignore[arg-type]
        row |= {
            "engine": engine,
            "success": result.success,
            "restarts": result.starts,
            "evaluations": result.device_evaluations,
            "first": evaluations_to_first(result),
            **result.best.final.facts(),
        }
    else:
        found = search(
            Experiment(bench, task, HgeSettings(**DESCENT)),
            method,  # type: ignore[arg-type]
            device_evaluations=budget,
            rng=rng,
        )
        row |= {
            "success": found.success,
            "restarts": found.starts,
            "evaluations": found.device_evaluations,
            "first": found.device_evaluations if found.success else None,
            **found.score.facts(),
        }
    return {**row, "wall_s": round(time.perf_counter() - begin, 2)}


def run(
    bench_of: Callable[[int], Bench], seeds: range, gates: list[str], methods: list[str], out: Path, engine: str,
    budget: int, swing: float | None, polarity: Polarity, margin: float,
) -> None:  # fmt: skip
    done = set()
    if out.exists():
        done = {(r["method"], r["gate"], r["seed"]) for r in map(json.loads, out.read_text().splitlines())}
    for seed in seeds:
        wanted = [(m, g) for g in gates for m in methods if (m, g, seed) not in done]
        if not wanted:
            continue
        bench = bench_of(seed)
        for method, gate in wanted:
            share = BooleanTask.swing_share if swing is None else swing
            task = BooleanTask(gate, bench.swings_V(share), polarity, margin)
            row = {
                **cell(bench, task, method, seed, engine, budget),
                "polarity": polarity,
                "swing": share,
                "margin_min": margin,
            }
            with out.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
        print(f"seed {seed} done", file=sys.stderr, flush=True)


def table(out: Path) -> None:
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    budgets = [b for b in (ATTEMPT, 2 * ATTEMPT, 4 * ATTEMPT, BUDGET) if b <= rows[0]["budget"]]
    print("fraction learned (95 %) within so many device evaluations; hge as it is run, 'first' as the baselines count")
    print(f"{'gate':5} {'method':11} {'n':>3}  " + "  ".join(f"{b:^17d}" for b in budgets) + "  median  restarts")
    gates = [gate for gate in GATES if any(r["gate"] == gate for r in rows)]
    for gate, method in itertools.product([*gates, "all"] if len(gates) > 1 else gates, METHODS):
        part = [r for r in rows if gate in (r["gate"], "all") and r["method"] == method]
        if not part:
            continue
        counts = {"": [r["evaluations"] if r["success"] else np.inf for r in part]}
        if method == "hge":
            counts[", first"] = [np.inf if r["first"] is None else r["first"] for r in part]
        for suffix, spent in counts.items():
            cells = []
            for budget in budgets:
                wins = sum(s <= budget for s in spent)
                low, high = interval(wins, len(part))
                cells.append(f"{wins / len(part):.2f} ({low:.2f}-{high:.2f})")
            median = float(np.median(spent))
            starts = np.mean([r["restarts"] for r in part])
            print(
                f"{gate:5} {method + suffix:11} {len(part):3d}  " + "  ".join(f"{c:^17}" for c in cells)
                + f"  {median:6.0f}  {starts:.1f}"
            )  # fmt: skip
    for method in METHODS:
        part = [r for r in rows if r["method"] == method and r["success"]]
        if part:
            margins, apart_A = ([r[key] for r in part] for key in ("margin", "separation_A"))
            median, least = np.median(margins), np.min(margins)
            few = np.mean(np.array(margins) < 0.3)
            print(
                f"{method:11} where learned: margin {median:.2f} in the median, {least:.2f} at least, {few:.2f} of "
                f"them below 0.3; separation {1e9 * np.median(apart_A):.2f} nA"
            )


def chip_bench(path: Path) -> Bench:
    device = ChipSurrogate.from_npz(path)
    names = device.terminals
    return Bench(device, device.measured[0], tuple(names.index(name) for name in CHIP_INPUTS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0, help="settings were chosen on seeds from 100 on")
    parser.add_argument("--out", type=Path, default=Path("gates.jsonl"))
    parser.add_argument("--engine", default="averaged")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--gates", nargs="*", default=list(GATES), choices=list(GATES))
    parser.add_argument("--budget", type=int, default=BUDGET, help="device evaluations of a cell")
    parser.add_argument("--swing", type=float, help="of the inputs, as a share of their ranges")
    parser.add_argument("--polarity", choices=["free", "fixed"], default="free")
    parser.add_argument("--margin", type=float, default=MARGIN_MIN, help="least margin that counts as learned")
    parser.add_argument("--chip", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        numbers = range(options.first_seed, options.first_seed + options.seeds)
        chip = None if options.chip is None else chip_bench(options.chip)
        run(
            lambda seed: default_bench(seed, tolerance=1e-5) if chip is None else chip,
            numbers, options.gates, options.methods, options.out, options.engine, options.budget, options.swing,
            options.polarity, options.margin,
        )  # fmt: skip
    table(options.out)
