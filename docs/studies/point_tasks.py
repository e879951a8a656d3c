"""Sphere, ring and curve on the measured chip: fraction learned by method, accuracy on held-out points, a figure.

    python docs/studies/point_tasks.py --chip dnpu_chip.npz --starts 60 --picture docs/images/sphere_cube.png

Every method gets the device evaluations of one attempt of homodyne gradient extraction (looks and presentations
of every pattern) at each start. Settings and inputs were chosen on starts from 100 on.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import beta

from analysis.plots import task as task_plots
from analysis.plots.figure import save
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import Bench, Experiment, HgeSettings, learn, search
from learning.bench.devices import CHIP_INPUTS, CHIP_INPUTS_OTHER
from learning.tasks.library import READY_MADE, named_task


def interval(successes: int, trials: int) -> str:
    """Clopper-Pearson 95 % interval."""
    low = float(beta.ppf(0.025, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(0.975, successes + 1, trials - successes)) if successes < trials else 1.0
    return f"{successes / trials:.2f} ({low:.2f}-{high:.2f})"


def main(chip: Path, starts: int, picture: Path | None) -> None:
    device = ChipSurrogate.from_npz(chip)
    names = device.terminals
    print("task    method       learned (95 %)     score at the end: median, best   held out: median, at the best")
    for name in READY_MADE:
        made = named_task(name)
        inputs = CHIP_INPUTS_OTHER.get(made.inputs, CHIP_INPUTS)
        bench = Bench(device, device.measured[0], tuple(names.index(k) for k in inputs))
        task = bench.task(made)
        experiment = Experiment(bench, task, HgeSettings(restarts=1, **task.training))
        budget = experiment.attempt_evaluations
        for method in METHODS:
            scores, held, drawn = [], [], []
            for start in range(starts):
                rng = np.random.default_rng([start, METHODS.index(method)])
                if method == "hge":
                    attempt = learn(experiment, rng=rng, engine="averaged").attempts[0]
                    outputs, controls, score = attempt.final_A, attempt.controls_V, attempt.final
                    polarity = attempt.loop.stage.polarity
                else:
                    found = search(experiment, method, device_evaluations=budget, rng=rng)
                    outputs, controls, score = found.outputs_A, found.controls_V, found.score
                    polarity = found.polarity
                test = bench.pattern_outputs_A(controls, task.test_levels_V)
                scores.append(score)
                held.append(next(iter(task.test_facts(outputs, test, polarity).values())))
                drawn.append((outputs, test))
            key = "error" if name == "curve" else "accuracy"
            figures = [score.facts()[key] for score in scores]
            best = max(range(starts), key=lambda k: (scores[k].learned, scores[k].quality))
            print(
                f"{name:7} {method:12} {interval(sum(s.learned for s in scores), starts):18} {key:9}"
                f"{np.median(figures):.2f}  {figures[best]:.2f}        {np.median(held):.2f}  {held[best]:.2f}",
                flush=True,
            )  # fmt: skip
            if name == "sphere" and method == "hge" and picture is not None:
                figure = task_plots.plot_task(task, *drawn[best])
                save(figure, picture)


METHODS = ("hge", "random", "differences", "spsa", "evolution", "cmaes")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", type=Path, default=Path("dnpu_chip.npz"))
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    main(options.chip, options.starts, options.picture)
