"""Ring and sphere on one device and on several whose outputs meet: accuracy by their number, against random search.

    python docs/studies/joined_devices.py --device meanfield --acceptors 50 --tasks ring --counts 1 2 3 --seeds 10
    python docs/studies/joined_devices.py --device dnpu_chip.npz --tasks ring sphere --counts 1 2 3 --seeds 10

Every number of devices gets one attempt of homodyne gradient extraction (averaged loop, ideal parts, no noise) at
each seed, and random search as many device evaluations, of which it keeps the setting that does best on the training
points. One evaluation is one pattern, shown to all devices at once. Held-out accuracy is that of 200 further points
with the training points' threshold. Told are the mean with its 95 % interval (Student), the standard deviation over the
seeds and the least. Networks have the seeds s, s + 1000, s + 2000; settings were chosen on seeds 100 to 103.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from analysis.plots import task as task_plots
from analysis.plots.figure import save
from dnpu_models.joined.joined_devices import JoinedDevices
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import Bench, Experiment, HgeSettings, learn
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError
from learning.bench.devices import default_electrodes
from learning.tasks.classification import ClassificationTask, ring, sphere
from learning.tasks.task import Task

TASKS = {"ring": ring, "sphere": sphere}


def bench_of(device: str, acceptors: int, count: int, seed: int, inputs: int) -> Bench:
    """Devices side by side, all wired as one is."""
    devices: list[MeanField | ChipSurrogate]
    if device == "meanfield":
        networks = [DopantNetwork.random(seed=seed + 1000 * d, acceptors=acceptors) for d in range(count)]
        devices = [MeanField(network, tolerance=1e-5, warn=False) for network in networks]
    else:
        devices = [ChipSurrogate.from_npz(device)] * count
    output, wired = default_electrodes(devices[0], inputs)
    joined = JoinedDevices(devices, output)
    return Bench(joined, 0, joined.everywhere(wired), copies=count)


def judged(
    bench: Bench, task: Task, controls_V: FloatArray, outputs_A: FloatArray, polarity: float
) -> tuple[float, float]:
    """Accuracy on the training points and on those held out."""
    held = task.test_facts(outputs_A, bench.pattern_outputs_A(controls_V, task.test_levels_V), polarity)
    return task.score(outputs_A, polarity).facts()["accuracy"], held["accuracy"]


def random_search(experiment: Experiment, rng: np.random.Generator) -> tuple[float, float]:
    """The best of as many random settings as an attempt has evaluations for."""
    bench, task = experiment.bench, experiment.task
    count = experiment.attempt_evaluations // len(task.points)
    settings = np.stack([bench.random_controls(experiment.settings.spread, rng) for _ in range(count)])
    outputs = bench.many_outputs_A(settings, task)
    tried = [(task.score(row, sign).quality, k, sign) for k, row in enumerate(outputs) for sign in (1.0, -1.0)]
    _, best, polarity = max(tried)
    return judged(bench, task, settings[best], outputs[best], polarity)


def told(values: Sequence[float]) -> str:
    """Mean, its 95 % interval by Student's t, standard deviation, smallest."""
    table = np.array(values)
    spread = float(table.std(ddof=1))
    half = float(stats.t.ppf(0.975, len(table) - 1)) * spread / np.sqrt(len(table))
    return f"{table.mean():.2f} ({table.mean() - half:.2f}-{table.mean() + half:.2f}) {spread:.2f} {table.min():.2f}"


def main(options: argparse.Namespace) -> None:
    """One row for each task, number of devices and method."""
    print(f"{options.points} training points, {options.seeds} seeds from {options.first_seed}")
    print("task    devices  evaluations  method   training: mean (95 %), spread, least   held out: the same")
    for name in options.tasks:
        made: ClassificationTask = TASKS[name](options.points)
        for count in options.counts:
            rows: dict[str, list[tuple[float, float]]] = {"hge": [], "random": []}
            evaluations, lost, drawn = 0, 0, None
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                bench = bench_of(options.device, options.acceptors, count, seed, made.inputs)
                task = bench.task(made)
                settings = HgeSettings(restarts=1, looks=options.looks, sequences=options.passes, spread=0.45)
                experiment = Experiment(bench, task, settings)
                evaluations = experiment.attempt_evaluations
                try:
                    found = learn(experiment, rng=np.random.default_rng([seed, 0]), engine="averaged").attempts[0]
                    searched = random_search(experiment, np.random.default_rng([seed, 1])) if options.search else None
                except ConvergenceError:  # the mean field has no state at a setting
                    lost += 1
                    continue
                rows["hge"].append(judged(bench, task, found.controls_V, found.final_A, found.loop.stage.polarity))
                if searched is not None:
                    rows["random"].append(searched)
                if rows["hge"][-1] == max(rows["hge"], key=lambda row: row[1]):
                    drawn = task, found.final_A, bench.pattern_outputs_A(found.controls_V, task.test_levels_V)
                if options.each:
                    print(name, count, seed, rows["hge"][-1], searched, flush=True)
            for method, pairs in rows.items():
                if not pairs:
                    continue
                training, held = zip(*pairs, strict=True)
                row = f"{name:7} {count:7}  {evaluations:11}  {method:7} {told(training):38}  {told(held)}"
                print(row + (f"  ({lost} lost)" if lost else ""), flush=True)
            if options.picture is not None and count == max(options.counts) and drawn is not None:
                save(task_plots.plot_task(*drawn), options.picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="meanfield")
    parser.add_argument("--acceptors", type=int, default=200)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--points", type=int, default=48)
    parser.add_argument("--looks", type=int, default=22)
    parser.add_argument("--passes", type=int, default=60)
    parser.add_argument("--first-seed", type=int, default=900)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--no-search", dest="search", action="store_false", help="leave out random search")
    parser.add_argument("--each", action="store_true", help="a line for each seed, too")
    parser.add_argument("--picture", type=Path)
    main(parser.parse_args())
