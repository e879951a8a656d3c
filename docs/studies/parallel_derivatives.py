"""Derivatives read with one tone at a time against all seven at once, at 1000 random settings, T = 0.1 s.

    python docs/studies/parallel_derivatives.py --chip dnpu_chip.npz --picture docs/images/parallel_derivatives_chip.png

After figure 2 of Boon et al., Nature Communications (2025), doi 10.1038/s41467-025-65155-7: tones 10 or 40 Hz apart,
0.1 s a point, the device's noise 1e-5 nA^2/Hz. Tones at equal distances beside a Golomb ruler of the same spacing.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from dnpu_models.noise.spectrum import PUBLISHED_A2_PER_HZ
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import DitherPlan, default_bench, plan_frequencies
from lockin.averages import common_period_average

WINDOW_S = 0.1
AMPLITUDE_V = 0.02
PER_CYCLE = 8
LOWEST_HZ = 110.0


def plans(n: int, spacing: float) -> dict[str, DitherPlan]:
    """Equal distances from just above the lowest tone on, within an octave; and a Golomb ruler."""
    first = max(np.ceil(LOWEST_HZ / spacing), n) * spacing
    equal = DitherPlan(tuple(first + spacing * np.arange(n)), (AMPLITUDE_V,) * n)
    return {"equal distances": equal, "Golomb ruler": plan_frequencies(n, None, spacing, amplitude_V=AMPLITUDE_V)}


def readings(device: Any, output: int, volts: np.ndarray, plan: DitherPlan) -> np.ndarray:
    """Boxcar lock-ins on all tones at once, S, without noise: over whole periods, however many."""
    dithered = [k for k in range(volts.size) if k != output]
    return common_period_average(lambda path: -device.follow(path)[:, output], volts, plan, PER_CYCLE, dithered)


def alone(device: Any, output: int, volts: np.ndarray) -> np.ndarray:
    """The same for one tone at a time, S."""
    sines = np.sin(2 * np.pi * np.arange(2 * PER_CYCLE) / (2 * PER_CYCLE))
    found = []
    for terminal in range(volts.size):
        if terminal != output:
            path = np.tile(volts, (sines.size, 1))
            path[:, terminal] += AMPLITUDE_V * sines
            found.append(2.0 / AMPLITUDE_V * np.mean(-device.follow(path)[:, output] * sines))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", type=Path, help="file of a measured chip; the default mean field if left out")
    parser.add_argument("--settings", type=int, default=1000)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    if options.chip:
        device: Any = ChipSurrogate.from_npz(options.chip)
        output = device.measured[0]
    else:
        bench = default_bench(0)
        device, output = bench.device, bench.output
    low, high = np.asarray(device.limits_V).T
    n = low.size - 1
    rng = np.random.default_rng(0)
    middle, reach = 0.5 * (low + high), 0.5 * (high - low) - 2 * AMPLITUDE_V
    settings = middle + reach * rng.uniform(-1.0, 1.0, (options.settings, low.size))
    settings[:, output] = 0.0
    noise = np.sqrt(PUBLISHED_A2_PER_HZ / WINDOW_S) / AMPLITUDE_V  # S / (T alpha^2)
    print(f"noise of a reading: {1e9 * noise:.3f} nA/V (rms); amplitude {1e3 * AMPLITUDE_V:g} mV, T {WINDOW_S:g} s")
    print(
        "spacing  plan               rms of derivatives  all at once less one at a time, nA/V: rms, median, with noise"
    )
    points = {}
    single = np.array([alone(device, output, v) for v in settings])
    for spacing in (10.0, 40.0):
        for name, plan in plans(n, spacing).items():
            multiple = np.array([readings(device, output, v, plan) for v in settings])
            difference = multiple - single
            noisy = difference + noise * rng.normal(size=(2, *difference.shape)).T.sum(axis=-1).T
            print(f"{spacing:4.0f} Hz  {name:16s} {1e9 * np.sqrt(np.mean(single**2)):14.3f}     "
                  f"{1e9 * np.sqrt(np.mean(difference**2)):12.4f}  {1e9 * np.median(np.abs(difference)):10.4f}  "
                  f"{1e9 * np.sqrt(np.mean(noisy**2)):10.4f}", flush=True)  # fmt: skip
            points[spacing, name] = (
                1e9 * (single + noise * rng.normal(size=single.shape)),
                1e9 * (multiple + noise * rng.normal(size=single.shape)),
            )
    if options.picture:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.4, 4.4), layout="constrained")
        for axes, spacing in zip(figure.subplots(1, 2, sharex=True, sharey=True), (10.0, 40.0), strict=True):
            for name, colour in (("equal distances", "#D55E00"), ("Golomb ruler", "#0072B2")):
                axes.plot(*(p.ravel() for p in points[spacing, name]), ".", ms=2, alpha=0.4, color=colour, label=name)
            axes.axline((0.0, 0.0), slope=1.0, color="k", lw=0.7)
            axes.set_title(f"{spacing:.0f} Hz apart")
            axes.set_xlabel("one tone at a time (nA/V)")
        figure.axes[0].set_ylabel("seven tones at once (nA/V)")
        figure.axes[0].legend(markerscale=5)
        figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
