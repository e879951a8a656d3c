"""Multiplexed gradient descent in numbers: angles, parity over many seeds with imperfections, letters.

    python docs/studies/multiplexed.py angles|parity-2|parity-4|imperfections|letters|digits [--runs N] [--out FOLDER]

Tables go to stdout as Markdown, figures to the folder. docs/multiplexed.md shows what came out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from analysis.multiplexed_plots import plot_descent, plot_gradient_angle, plot_shares
from analysis.plots import save
from analysis.yields import Yield, yield_of
from learning import (
    SigmoidNetwork,
    backpropagate,
    digits,
    gradient_angles,
    letters,
    parity,
    softmax_accuracy,
    train_many,
)
from learning.multiplexed_defaults import suited_training
from lockin import CODES


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


def parity_table(runs: int, folder: Path, bits: int) -> None:
    print("| task | mode | code | solved | 95 % interval | median steps |\n|---|---|---|---|---|---|")
    for mode in ("discrete", "analog"):
        for code in CODES:
            options: dict[str, str | float] = {
                "code": code,
                "mode": mode,
                "steps": 500_000 if bits == 2 else 1_500_000,
                "checks": 150,
            }
            if bits == 4 and mode == "discrete":
                options["eta"] = 1.0
            found = train_many(suited_training(parity(bits), options), parity(bits), runs)
            span = yield_of(found.solved.values)
            median = float(found.steps_to_solved.median())
            print(
                f"| {bits}-bit | {mode} | {code} | {span.passed} of {runs} | {span.low:.2f} to {span.high:.2f} "
                f"| {median:.3g} |",
                flush=True,
            )
            if bits == 2 and mode == "discrete":
                save(plot_descent(found, f"2-bit parity, {code}, {runs} runs"), folder / f"mgd_parity_{code}.png")


def imperfections(runs: int, folder: Path) -> None:
    axes = {
        "cost_noise": [3e-3, 1e-2, 3e-2, 1e-1],
        "update_noise": [1e-2, 3e-2, 1e-1],
        "common_noise": [1e-2, 3e-2, 1e-1],
        "defects": [0.0, 0.1, 0.2, 0.4, 0.8],
    }
    shares: dict[str, dict[str, list[tuple[float, Yield]]]] = {}
    for name, values in axes.items():
        shares[name] = {}
        for code in ("random", "walsh"):
            for value in values:
                options = {"code": code, name: value, "steps": 500_000, "checks": 150}
                found = train_many(suited_training(parity(2), options), parity(2), runs)
                share = yield_of(found.solved.values)
                shares[name].setdefault(code, []).append((value, share))
                median = float(found.steps_to_solved.median())
                print(name, code, value, share.passed, share.samples, median, flush=True)
    save(plot_shares(shares, f"2-bit parity, {runs} runs a point"), folder / "mgd_imperfections.png")


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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", choices=["angles", "parity-2", "parity-4", "imperfections", "letters", "digits"])
    arguments.add_argument("--runs", type=int, default=200)
    arguments.add_argument("--out", type=Path, default=Path("docs/images"))
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.what in ("letters", "digits"):
        accuracy(given.what, given.runs, given.out)
    elif given.what.startswith("parity"):
        parity_table(given.runs, given.out, int(given.what[-1]))
    else:
        {"angles": angles, "imperfections": imperfections}[given.what](given.runs, given.out)


if __name__ == "__main__":
    main()
