"""How well a network stands in for the models of the default device: held-out error, gradients, speed.

    python docs/studies/surrogate_fit.py [--kmc SAMPLES]

The gradients are those of e0's current by the seven other voltages at 100 random settings, against the mean field's
exact ones.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from dnpu_models.surrogate.chip import ChipSurrogate
from dnpu_models.surrogate.fit import SurrogateFit, fit_surrogate


def told(name: str, fit: SurrogateFit, seconds: dict[str, float]) -> None:
    e = fit.error
    print(f"{name}: " + ", ".join(f"{phase} {s:.0f} s" for phase, s in seconds.items()) + " of processor time")
    print(f"  best epoch {fit.best_epoch} of {len(fit.validation_loss)}, currents add up to {e.kcl_A:.1e} A at most")
    for k, terminal in enumerate(fit.surrogate.terminals):
        print(
            f"  {terminal}: rms {1e9 * e.rms_A[k]:6.3f} nA = {100 * e.rms_A[k] / e.range_A[k]:.2f} % of the range, "
            f"{100 * e.rms_A[k] / e.spread_A[k]:.2f} % of the spread; largest {100 * e.max_A[k] / e.range_A[k]:.1f} %; "
            f"statistical {1e9 * e.statistical_A[k]:.3f} nA, the rest {1e9 * e.model_A[k]:.3f} nA"
        )


def fitted(name: str, device: MeanField | KineticMonteCarlo, **options: int) -> SurrogateFit:
    seconds: dict[str, float] = {}
    last = time.process_time()

    def progress(phase: str, _done: int, _total: int) -> None:
        nonlocal last
        now = time.process_time()
        seconds[phase] = seconds.get(phase, 0.0) + now - last
        last = now

    fit = fit_surrogate(device, progress=progress, **options)
    told(name, fit, seconds)
    return fit


def gradients(chip: ChipSurrogate, model: MeanField) -> None:
    volts = np.zeros((100, 8))
    volts[:, 1:] = np.random.default_rng(123).uniform(-0.6, 0.6, (100, 7))
    ours, exact = chip.conductances(volts)[:, 0, 1:], model.conductances(volts)[:, 0, 1:]
    cosine = (ours * exact).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(exact, axis=1)
    print(f"  gradient of e0: cosine median {np.median(cosine):.4f}, 10 % {np.percentile(cosine, 10):.4f}")
    begin = time.process_time()
    many = np.repeat(volts, 1000, axis=0)
    chip.currents(many)
    print(f"  {1e6 * (time.process_time() - begin) / len(many):.1f} us per setting")


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    parser = argparse.ArgumentParser()
    parser.add_argument("--kmc", type=int, default=0, help="samples of kinetic Monte Carlo; 0 leaves it out")
    samples = parser.parse_args().kmc
    network = DopantNetwork.random(seed=0, preset="tertilt2022")
    fit = fitted("mean field", MeanField(network))
    gradients(fit.surrogate, MeanField(network))
    if samples:
        fit = fitted("kinetic Monte Carlo", KineticMonteCarlo(network), samples=samples)
        gradients(fit.surrogate, MeanField(network))


if __name__ == "__main__":
    main()
