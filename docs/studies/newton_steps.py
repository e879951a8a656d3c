"""Does a loop learn faster by curvature? Descent against Gauss and Newton's step, from the same starts.

    python docs/studies/newton_steps.py --first-seed 860 --seeds 20 --out newton_steps.jsonl
    python docs/studies/newton_steps.py --table --out newton_steps.jsonl

The digital loop (`DigitalLoop`, its recurrence) on the default device of each seed, one attempt, 32 looks, steps of at
most 0.1 V a control, dither of 10 mV falling by nothing. "fulfilled at" is the first pass whose measured outputs fulfil
the gate. The rates of the descent are its own (`stable_rates`), or one for all. Chosen on seeds 400 to 419.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from circuits.homodyne.engines import Twin
from inmateria import DigitalLoop, Experiment, HgeSettings, default_bench
from learning.homodyne import digital
from learning.homodyne.start import choose_start, measured_loop

RULES = ("one rate", "own rates", "gauss-newton", "gauss-newton, damping 0.3")
PASSES, LOOKS = 15, 32


def cells(seed: int, gate: str, rules: tuple[str, ...]) -> list[dict[str, object]]:
    """An attempt with each rule."""
    bench = default_bench(seed, tolerance=1e-5)
    settings = HgeSettings(looks=LOOKS, step_V=0.1, sequences=PASSES, rates="auto")
    experiment = Experiment(bench, bench.task(gate), settings)
    task = experiment.task
    start = choose_start(experiment, np.random.default_rng(seed))
    loop, _ = measured_loop(experiment, start, Twin())
    rows = []
    for rule in rules:
        rates = loop.control_rates.tolist() if rule == "own rates" else 1.0
        step = "gauss-newton" if rule.startswith("gauss") else "descent"
        digital.DAMPING = 0.3 if "0.3" in rule else 0.03
        set_so = Experiment(bench, task, HgeSettings(looks=LOOKS, step_V=0.1, sequences=PASSES, rates=rates))
        run = DigitalLoop(set_so, start.controls_V, start.polarity, step=step).run()
        judged = [task.score(outputs, start.polarity, bench.noise_A()) for outputs in run.outputs_A]
        at = [k for k, score in enumerate(judged) if score.learned]
        rows.append({
            "seed": seed, "gate": gate, "rule": rule, "learned": run.final.learned, "margin": run.final.margin,
            "fulfilled_at": at[0] if at else None,
        })  # fmt: skip
    return rows


def table(out: Path) -> None:
    """A row a rule."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    print("| rule | attempts | learned | margin, median of the learned | fulfilled at pass, median | by pass 2, 4, 8 |")
    print("|---|---|---|---|---|---|")
    for rule in RULES:
        part = [row for row in rows if row["rule"] == rule]
        if not part:
            continue
        at = np.array([np.inf if row["fulfilled_at"] is None else row["fulfilled_at"] for row in part])
        margins = [row["margin"] for row in part if row["learned"]] or [np.nan]
        by = ", ".join(f"{np.mean(at <= k):.2f}" for k in (2, 4, 8))
        print(
            f"| {rule} | {len(part)} | {np.mean([row['learned'] for row in part]):.2f} | {np.median(margins):.2f} "
            f"| {np.median(at):.3g} | {by} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=860)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--gate", default="XOR")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        table(given.out)
    else:
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            with given.out.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in cells(seed, given.gate, RULES))
