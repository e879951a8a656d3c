"""Multiplexed gradient descent in numbers: angles, parity over many seeds with imperfections, letters.

    python docs/studies/multiplexed.py angles|parity-2|parity-4|imperfections|letters|digits [--runs N] [--out FOLDER]
    python docs/studies/multiplexed.py fashion-mnist --run FOLDER [--data FOLDER] [--out FOLDER]

Tables go to stdout as Markdown, figures to the folder. docs/multiplexed.md shows what came out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis.plots.figure import new_figure, save
from analysis.plots.mgd import plot_descent, plot_gradient_angle, plot_shares
from analysis.verification.yields import Yield, yield_of
from learning.multiplexed.backpropagation import backpropagate, softmax_accuracy
from learning.multiplexed.defaults import suited_training
from learning.multiplexed.gradient_angles import gradient_angles
from learning.multiplexed.image_network import ImageSubject
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.multiplexed.training import train_many
from learning.samples.images import read_images
from learning.samples.samples import digits, letters, parity
from lockin.perturbation import CODES

WHAT = ["angles", "parity-2", "parity-4", "imperfections", "letters", "digits", "fashion-mnist"]


def angles(runs: int, folder: Path) -> None:
    for samples, most in ((parity(2), 10_000), (letters(40, 4), 100_000)):
        parameters = SigmoidNetwork(samples.sizes).parameters
        periods = [4 * parameters, 2 * parameters, 1 << parameters.bit_length()]
        looks = sorted({*np.unique(np.geomspace(1, most, 25).astype(int)).tolist(), *periods})
        curves = gradient_angles(samples, looks, runs=runs)
        name = f"angle_{parameters}"
        save(plot_gradient_angle(curves, f"{samples.name}, P = {parameters}, m = 1e-4"), folder / f"mgd_{name}.png")
        print(f"\n{samples.name}, P = {parameters}: at one period")
        for code, period in zip(("sine", "sequential", "walsh"), periods, strict=True):
            found = curves.angle_deg.sel(code=code, step=period)
            print(f"- {code} ({period} steps): {float(found.median()):.2g} degrees, largest {float(found.max()):.2g}")
        many = gradient_angles(samples, [1, 10, 100, 1000], codes=["random"], runs=100 * runs)
        law = 1 / np.sqrt(1 + (parameters - 1) / many.step.values)
        print("| N | moments, measured | law | ratio | mean angle | arccos(law) |\n|---|---|---|---|---|---|")
        for k, step in enumerate(many.step.values):
            measured = float(many.moment_ratio[0, k])
            print(
                f"| {step} | {measured:.4f} | {law[k]:.4f} | {measured / law[k]:.4f} "
                f"| {float(many.angle_deg[0, :, k].mean()):.1f} | {np.degrees(np.arccos(law[k])):.1f} |"
            )


def parity_table(runs: int, folder: Path, bits: int, modes: Sequence[str], codes: Sequence[str]) -> None:
    print("| task | mode | code | solved | 95 % interval | median steps |\n|---|---|---|---|---|---|")
    for mode in modes:
        for code in codes:
            steps = 500_000 if bits == 2 else 3_000_000 if mode == "discrete" else 10_000_000
            options = {"code": code, "mode": mode, "steps": steps, "checks": 150}
            found = train_many(suited_training(parity(bits), options), parity(bits), runs)
            span = yield_of(found.solved.values)
            median = float(found.steps_to_solved.median())
            print(
                f"| {bits}-bit | {mode} | {code} | {span.passed} of {runs} | {span.low:.2f} to {span.high:.2f} "
                f"| {median:.3g} |",
                flush=True,
            )
            if mode == "discrete":
                name = f"mgd_parity_{code}.png" if bits == 2 else f"mgd_parity_{bits}_{code}.png"
                save(plot_descent(found, f"{bits}-bit parity, {code}, {runs} runs"), folder / name)


IMPERFECTIONS = {
    "cost_noise": [3e-3, 1e-2, 3e-2, 1e-1],
    "update_noise": [1e-2, 3e-2, 1e-1],
    "common_noise": [1e-2, 3e-2, 1e-1],
    "defects": [0.0, 0.1, 0.2, 0.4, 0.8],
}


def imperfections(runs: int, folder: Path, bits: int, codes: Sequence[str], axes: Sequence[str]) -> None:
    shares: dict[str, dict[str, list[tuple[float, Yield]]]] = {}
    for name in axes:
        values = IMPERFECTIONS[name]
        shares[name] = {}
        for code in codes:
            for value in values:
                steps = 500_000 if bits == 2 else 3_000_000
                options = {"code": code, name: value, "steps": steps, "checks": 150}
                found = train_many(suited_training(parity(bits), options), parity(bits), runs)
                share = yield_of(found.solved.values)
                shares[name].setdefault(code, []).append((value, share))
                median = float(found.steps_to_solved.median())
                print(name, code, value, share.passed, share.samples, median, flush=True)
    name = "mgd_imperfections.png" if bits == 2 else f"mgd_imperfections_{bits}.png"
    save(plot_shares(shares, f"{bits}-bit parity, {runs} runs a point"), folder / name)


def accuracy(name: str, runs: int, folder: Path) -> None:
    samples = letters() if name == "letters" else digits()
    steps = 20_000_000 if name == "letters" else 5_000_000
    network = SigmoidNetwork(samples.sizes)
    softmax = softmax_accuracy(samples)
    print(f"softmax: test accuracy {softmax:.4f}")
    eta = 1.0
    found = train_many(suited_training(samples, {"steps": steps, "checks": 100, "eta": eta}), samples, runs)
    looks = found.step.values[1:]
    tests = []
    for run in range(3):
        rng = np.random.default_rng([run, 9])
        _, test = backpropagate(network, samples, network.start(rng), eta=2.0, batch=32, looks=looks, rng=rng)
        tests.append(test)
    back = np.median(tests, axis=0)
    print("| samples shown | multiplexed, median (least, largest) | backpropagation, median of 3 |\n|---|---|---|")
    for k in (0, 4, 9, 24, 49, 99):
        here = found.test_accuracy.isel(step=k + 1).values
        print(f"| {looks[k]} | {np.median(here):.3f} ({here.min():.3f}, {here.max():.3f}) | {back[k]:.3f} |")
    beside = {f"softmax {softmax:.3f}": softmax, "backpropagation, batches of 32": np.concatenate([[np.nan], back])}
    title = f"{name}, {'-'.join(map(str, samples.sizes))}, random signs, eta = {eta:g}"
    save(plot_descent(found, title, beside), folder / f"mgd_{name}.png")


def image_rates(settings: dict[str, float]) -> dict[str, float]:
    """Learning rates of backpropagation: the one that the multiplexed descent has on average, and ten times it."""
    alike = settings["eta"] * settings["tau_theta"] / 14_378
    return {"backpropagation, same batches and rate": alike, "backpropagation, ten times the rate": 10 * alike}


def image_curves(run: Path, data: Path | None, steps: int) -> None:
    """Backpropagation on the batches that a run of `inmateria mgd fashion-mnist --out RUN` saw; goes on where it ended.

    One exact gradient for each batch, where the multiplexed descent has tau_x inferences: equal steps on the axis.
    """
    training = json.loads((run / "checkpoints" / "training.json").read_text())
    settings = training["settings"]
    subject = ImageSubject(read_images("fashion-mnist", data), settings["seed"], batch=training["batch"])
    every, kept = training["steps"] // training["checks"], run / "backpropagation.npz"
    rates = list(image_rates(settings).values())
    thetas, tests = np.stack([subject.start] * len(rates)), np.zeros((len(rates), 0))
    if kept.exists():
        with np.load(kept) as held:
            thetas, tests = held["thetas"], held["tests"]
    for look in range(tests.shape[1] + 1, steps // every + 1):
        for presentation in range((look - 1) * every // settings["tau_x"], look * every // settings["tau_x"]):
            for theta, rate in zip(thetas, rates, strict=True):
                theta -= rate * subject.batch_gradient(theta, presentation)
        seen = [subject.look(theta).test_accuracy for theta in thetas]
        tests = np.column_stack([tests, seen])
        np.savez(kept, thetas=thetas, tests=tests)
        print(look * every, seen, flush=True)


def fashion(run: Path, data: Path | None, folder: Path, exact: int | None) -> None:
    """Table and figure of such a run, finished or not, beside backpropagation, which goes as far or to step `exact`."""
    training = json.loads((run / "checkpoints" / "training.json").read_text())
    with np.load(run / "checkpoints" / f"seed_{training['settings']['seed']}.npz") as held:
        seen = held["seen"][np.isfinite(held["seen"][:, 0])]
    step = np.arange(len(seen)) * (training["steps"] // training["checks"])
    image_curves(run, data, int(step[-1]) if exact is None else min(exact, int(step[-1])))
    with np.load(run / "backpropagation.npz") as held:
        tests = held["tests"][:, : len(seen) - 1]
    figure = new_figure(figsize=(6, 4))
    axis = figure.subplots()
    axis.plot(step, seen[:, 2], label="multiplexed, random signs")
    print("| steps | multiplexed | " + " | ".join(image_rates(training["settings"])) + " |\n|---|---|---|---|")
    for name, test in zip(image_rates(training["settings"]), tests, strict=True):
        axis.plot(step[1 : len(test) + 1], test, label=name)
    for k in sorted({1, 2, 3, 5, 8, 10, 15, 20, len(seen) - 1} & set(range(1, len(seen)))):
        beside = [f"{test[k - 1]:.3f}" if k <= len(test) else "" for test in tests]
        print(f"| {step[k]} | {seen[k, 2]:.3f} | " + " | ".join(beside) + " |")
    axis.set(
        xlabel="steps", ylabel="accuracy, official test set", ylim=(0, 1), title="Fashion-MNIST, 14,378 parameters"
    )
    axis.legend()
    save(figure, folder / "mgd_fashion_mnist.png")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", choices=WHAT)
    arguments.add_argument("--runs", type=int, default=200)
    arguments.add_argument("--modes", nargs="+", choices=["discrete", "analog"], default=["discrete", "analog"])
    arguments.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments.add_argument("--codes", nargs="+", choices=CODES, default=CODES)
    arguments.add_argument("--axes", nargs="+", choices=IMPERFECTIONS, default=list(IMPERFECTIONS))
    arguments.add_argument("--bits", type=int, default=2, help="imperfections: of the parity")
    arguments.add_argument("--data", type=Path, help="fashion-mnist: folder of the images")
    arguments.add_argument("--run", type=Path, help="fashion-mnist: what inmateria mgd was given as --out")
    arguments.add_argument("--exact", type=int, help="fashion-mnist: steps of backpropagation, fewer than the run's")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.what in ("letters", "digits"):
        accuracy(given.what, given.runs, given.out)
    elif given.what == "fashion-mnist":
        fashion(given.run, given.data, given.out, given.exact)
    elif given.what.startswith("parity"):
        parity_table(given.runs, given.out, int(given.what[-1]), given.modes, given.codes)
    elif given.what == "imperfections":
        imperfections(given.runs, given.out, given.bits, given.codes, given.axes)
    else:
        angles(given.runs, given.out)


if __name__ == "__main__":
    main()
