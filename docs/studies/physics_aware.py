"""Physics-aware training beside training in silico: the authors' toy, and the table of a task.

    python docs/studies/physics_aware.py toy
    python docs/studies/physics_aware.py table vowels --splits 40 --passes 5 --out table.nc

toy: f(x) = 2 x^1.1 is modelled as 2.01 x^1.1; 20 factors in front of 20 compositions are trained until the output is 2.
Whatever the factors, y_device / y_model = (2 / 2.01)^S, S = sum of 1.1^k for k = 0 to 19 = 57.3.
table: the modes pat, in-silico and ideal on boards as built (drawn anew for each split, unknown to the model), nothing
in place of the board, and softmax on the features, with scikit-learn's penalty and with one tuned by cross-validation.
The compiled twin answers for the board.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from learning.multiplexed.backpropagation import softmax_accuracy
from learning.physics_aware.layer import physics_aware
from learning.physics_aware.model_fit import fit_model
from learning.physics_aware.settings import PatTraining
from learning.physics_aware.setups import LayerSettings, physical_setup
from learning.physics_aware.training import train_physics_aware
from learning.samples.samples import digits
from learning.samples.vowels import vowels

COMPOSITIONS, TARGET = 20, 2.0
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def device(x: torch.Tensor) -> torch.Tensor:
    return 2.0 * x**1.1


def model(x: torch.Tensor) -> torch.Tensor:
    return 2.01 * x**1.1


def composed(f: Callable[[torch.Tensor], torch.Tensor], factors: torch.Tensor) -> torch.Tensor:
    x = torch.ones(1, dtype=torch.float64)
    for factor in factors:
        x = f(factor * x)
    return x


def toy(updates: int = 80, rate: float = 5e-5) -> dict[str, list[float]]:
    """Output of the device after each update, by way of training."""
    curves: dict[str, list[float]] = {}
    for name, layer in (("pat", physics_aware(device, model)), ("in silico", model), ("ideal", device)):
        factors = torch.full((COMPOSITIONS,), 0.5 ** (1 / 1.1), dtype=torch.float64, requires_grad=True)
        curves[name] = []
        for _ in range(updates + 1):
            with torch.no_grad():
                curves[name].append(float(composed(device, factors)))
            (slope,) = torch.autograd.grad((composed(layer, factors) - TARGET).square().sum(), factors)
            with torch.no_grad():
                factors -= rate * slope
    return curves


def tell_toy() -> None:
    settled = TARGET * (2.0 / 2.01) ** sum(1.1**k for k in range(COMPOSITIONS))
    for name, curve in toy().items():
        seen = ", ".join(f"{curve[k]:.3f}" for k in (0, 10, 20, 40, 80))
        print(f"{name:10} {seen} after 0, 10, 20, 40, 80 updates")
    print(f"target {TARGET:.3f}; in silico must settle at {settled:.3f}")


def table(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    named = {"vowels": vowels, "digits": digits}[options.task]
    rows = {"pat": "rlc", "in-silico": "rlc", "ideal": "rlc", "identity": "identity", "softmax": None, "tuned": None}
    found = {name: np.full(options.splits, np.nan) for name in rows}
    fitted = None
    for split in range(options.splits):
        samples = named(seed=split)
        for name, layer in rows.items():
            if layer is None:
                found[name][split] = softmax_accuracy(samples, STRENGTHS if name == "tuned" else (1.0,))
                continue
            settings = LayerSettings(layer, passes=options.passes, spread=options.spread, noise_V=options.noise)
            setup = physical_setup(settings, samples, board=split)
            if fitted is None:
                fitted = fit_model(setup.drawn, setup.model())
                print(f"model's error {100 * fitted.error:.1f} %", flush=True)
            training = PatTraining(
                mode="ideal" if layer == "identity" else name, epochs=options.epochs, jitter=options.jitter,
                look_every=options.epochs, angle_samples=0,
            )  # fmt: skip
            result = train_physics_aware(
                training, setup.built, None if training.mode == "ideal" else fitted.model, samples,
                layout=setup.layout, seed=split,
            )  # fmt: skip
            found[name][split] = result.accuracy
        print(split, " ".join(f"{name} {values[split]:.3f}" for name, values in found.items()), flush=True)
    for name, values in found.items():
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        print(f"{name:10} {values.mean():.4f} +- {error:.4f}")
    if options.out:
        data = {name: ("split", values) for name, values in found.items()}
        facts = {name: value for name, value in vars(options).items() if isinstance(value, str | int | float)}
        xr.Dataset(data, attrs=facts).to_netcdf(options.out, engine="h5netcdf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("toy")
    one = commands.add_parser("table")
    one.add_argument("task", choices=["vowels", "digits"])
    one.add_argument("--splits", type=int, default=40)
    one.add_argument("--passes", type=int, default=3)
    one.add_argument("--epochs", type=int, default=60)
    one.add_argument("--spread", type=float, default=0.05)
    one.add_argument("--noise", type=float, default=0.01, help="V, at input and output")
    one.add_argument("--jitter", type=float, default=0.1)
    one.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.command == "toy":
        tell_toy()
    else:
        table(options)


if __name__ == "__main__":
    main()
