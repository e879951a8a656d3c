"""Does a loop learn faster by curvature? Descent against Gauss and Newton's step, from the same starts.

    python docs/studies/newton_steps.py --first-seed 400 --seeds 12 --out newton_steps.jsonl
    python docs/studies/newton_steps.py --table --out newton_steps.jsonl

The digital loop's steps (`DigitalLoop`) with exact outputs and slopes in place of what lock-ins read, on the default
device of each seed: one attempt, 32 looks, 15 passes, steps of at most 0.1 V a control, falling to a tenth. "fulfilled"
is the first pass before which the outputs fulfil the gate. Own rates are min(1, 1/s_k) with s_k the rms slope of the
normalised output at the start (`circuits.homodyne.stability`). With y - t the residuals of the patterns and J = dy/dV,

    descent         -r_k learning_rate (2/P) J^T (y - t)
    Gauss, Newton   -(J^T J + damping lambda_max 1)^-1 J^T (y - t),    lambda_max the largest eigenvalue of J^T J.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from inmateria import Experiment, HgeSettings, default_bench
from learning.homodyne.start import choose_start
from learning.settled_loss import normalised

RULES = {"one rate": None, "own rates": None, "gauss-newton, 0.03": 0.03, "gauss-newton, 0.3": 0.3}
PASSES, LOOKS, STEP_V, LEARNING_RATE, DITHER_V = 15, 32, 0.1, 0.1, 0.01


def newton_step(residuals: np.ndarray, jacobian: np.ndarray, damping: float) -> np.ndarray:
    """Gauss and Newton's step, V."""
    u, sizes, v = np.linalg.svd(jacobian, full_matrices=False)
    return np.asarray(-v.T @ (sizes / (sizes**2 + damping * sizes[0] ** 2) * (u.T @ residuals)))


def attempts(seed: int, gate: str) -> list[dict[str, object]]:
    """An attempt with each rule."""
    bench = default_bench(seed, tolerance=1e-6)
    experiment = Experiment(bench, bench.task(gate), HgeSettings(looks=LOOKS))
    task, settings = experiment.task, experiment.settings
    start = choose_start(experiment, np.random.default_rng(seed))
    low, high = bench.limits_V.T
    reach = DITHER_V + np.zeros(low.size)
    for which, terminal in enumerate(bench.inputs):
        reach[bench.trained.index(terminal)] += max(abs(levels[which]) for levels in task.levels_V)
    rows = []
    for rule, damping in RULES.items():
        controls, rates, fulfilled = np.clip(start.controls_V, low + reach, high - reach), np.ones(low.size), None
        for number in range(PASSES + 1):
            outputs = bench.outputs_A(controls, task)
            score = task.score(outputs, start.polarity, bench.noise_A())
            if score.learned and fulfilled is None:
                fulfilled = number
            if number == PASSES:
                break
            volts = np.stack([bench.terminal_voltages(controls, levels) for levels in task.levels_V])
            slopes = -bench.device.conductances(volts)[:, bench.output, list(bench.trained)]
            y, by_output = normalised(outputs, start.polarity, settings.least_rms_A)
            residuals, jacobian = y - np.array(task.targets_V), by_output @ slopes
            if number == 0 and rule == "own rates":
                rates = np.minimum(1.0, 1.0 / (np.sqrt(np.mean(slopes**2, axis=0)) / np.std(outputs)))
            if damping is None:
                step = -LEARNING_RATE * 2.0 / len(y) * residuals @ jacobian
            else:
                step = newton_step(residuals, jacobian, damping)
            scale = 1.0 - 0.9 * number / (PASSES - 1)
            controls = controls + scale * rates * np.clip(step, -STEP_V, STEP_V)
            controls = np.clip(controls, low + reach, high - reach)
        rows.append(
            {"seed": seed, "gate": gate, "rule": rule, "learned": score.learned, "margin": score.quality,
             "fulfilled": fulfilled}
        )  # fmt: skip
    return rows


def table(out: Path) -> None:
    """A row a rule."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    print("| step | attempts | learned | margin, median of the learned | fulfilled by pass 1, 2, 4, 8, 15 |")
    print("|---|---|---|---|---|")
    for rule in RULES:
        part = [row for row in rows if row["rule"] == rule]
        at = np.array([np.inf if row["fulfilled"] is None else row["fulfilled"] for row in part])
        margins = [row["margin"] for row in part if row["learned"]] or [np.nan]
        by = ", ".join(f"{np.mean(at <= k):.2f}" for k in (1, 2, 4, 8, 15))
        learned = np.mean([row["learned"] for row in part])
        print(f"| {rule} | {len(part)} | {learned:.2f} | {np.median(margins):.2f} | {by} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=400)
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
                file.writelines(json.dumps(row) + "\n" for row in attempts(seed, given.gate))
