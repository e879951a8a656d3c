"""Gradients with and without the correction of third order, as the dither grows: error, and time for a wanted error.

    python docs/studies/third_order.py --chip ../shared/data/dnpu_chip.npz --picture docs/images/third_order.png

Devices: the default mean field (seven controls); a network of eight sites by the master equation, which is what kinetic
Monte Carlo converges to (four controls); a measured chip, a network of rectifiers (seven); and a smooth function of
seven inputs. At random settings, one of each an electrode's middle 60 %, the output is averaged over one common period
of free tones and held against the exact gradient, raw, with the diagonal (3 f) and with all of the correction.

White noise of 1e-23 A^2/Hz in a boxcar of length T gives each reading a variance S/(T alpha^2), times 10 with the
diagonal and 8 + 2 n with all of it; "mean of 16" takes the correction's part from 16 windows. The time for an error is

    T = min over alpha of  factor S n / (alpha^2 (error^2 |g|^2 - |bias|^2)),    its median over the settings.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis.plots.figure import COLOURS, new_figure, save
from dnpu_models.interface.device import follow_path
from inmateria import Bench, ChipSurrogate, Disc, DitherPlan, DopantNetwork, MasterEquation, default_bench, free_tones
from learning.bench.devices import default_electrodes
from lockin.averages import common_period_average
from lockin.choices import Correction

AMPLITUDES_V = np.geomspace(0.5e-3, 0.128, 9)
CORRECTIONS: tuple[Correction, ...] = ("none", "diagonal", "whole")
NAMES = {"none": "raw", "diagonal": "diagonal", "whole": "whole"}
ERRORS = (0.003, 0.01, 0.03, 0.1, 0.2)
PSD = 1e-23  # A^2/Hz
WINDOWS = 16
PER_PERIOD = 12

Points = list[tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, np.ndarray, list[int]]]
"""Output of voltages (m, terminals), a point, its exact gradient, and the terminals that have tones."""


def on_bench(bench: Bench, settings: int, tones: int, seed: int) -> Points:
    """Random settings of a bench, with tones on the first of its controls."""
    rng = np.random.default_rng(seed)
    found: Points = []
    places = list(bench.trained[:tones])

    def output(volts: np.ndarray) -> np.ndarray:
        return np.asarray(-follow_path(bench.device, volts)[:, bench.output])

    for _ in range(settings):
        volts = bench.terminal_voltages(bench.random_controls(0.6, rng))
        found.append((output, volts, -bench.device.conductances(volts)[bench.output, places], places))
    return found


def smooth(settings: int) -> Points:
    """Two layers of tanh, tens of nA, with its exact gradient."""
    rng = np.random.default_rng(2)
    inner, shift, outer = rng.standard_normal((7, 12)) * 2.0, rng.standard_normal(12), rng.standard_normal(12) * 0.4

    def output(volts: np.ndarray) -> np.ndarray:
        return 2e-8 * np.tanh(np.tanh(volts @ inner + shift) @ outer)

    found: Points = []
    for volts in np.random.default_rng(1).uniform(-0.6, 0.6, (settings, 7)):
        hidden = np.tanh(volts @ inner + shift)
        slope = 2e-8 * (1.0 - np.tanh(hidden @ outer) ** 2) * inner @ (outer * (1.0 - hidden**2))
        found.append((output, volts, slope, list(range(7))))
    return found


def biases(points: Points) -> np.ndarray:
    """|read - exact| / |exact|, (corrections, amplitudes, settings)."""
    errors = np.empty((len(CORRECTIONS), len(AMPLITUDES_V), len(points)))
    for s, (output, volts, exact, places) in enumerate(points):
        n = exact.size
        for a, peak in enumerate(AMPLITUDES_V):
            plan = DitherPlan(tuple(map(float, free_tones(n, 200 if n == 7 else 20))), (float(peak),) * n)
            asked: dict[bytes, np.ndarray] = {}

            def once(v: np.ndarray, kept: dict[bytes, np.ndarray] = asked, ask: Callable = output) -> np.ndarray:
                key = v[:2].tobytes()  # all corrections weight the same outputs
                if key not in kept:
                    kept[key] = ask(v)
                return kept[key]

            for c, correction in enumerate(CORRECTIONS):
                read = common_period_average(once, volts, plan, PER_PERIOD, places, correction)
                errors[c, a, s] = np.linalg.norm(read - exact) / np.linalg.norm(exact)
    return errors


def times_s(errors: np.ndarray, points: Points, wanted: float) -> dict[str, tuple[float, float]]:
    """Median time (s) for a wanted error and the median of its amplitudes (V), by name of the reading."""
    n = points[0][2].size
    sizes = np.array([np.linalg.norm(exact) for _, _, exact, _ in points])
    fine = np.geomspace(AMPLITUDES_V[0], AMPLITUDES_V[-1], 400)
    factors = {"raw": (0, 1.0), "diagonal": (1, 10.0), "whole": (2, 8.0 + 2 * n)}
    factors[f"mean of {WINDOWS}"] = (2, 1.0 + (7.0 + 2 * n) / WINDOWS)
    found = {}
    for name, (c, factor) in factors.items():
        each = []
        for s, size in enumerate(sizes):
            bias = np.exp(np.interp(np.log(fine), np.log(AMPLITUDES_V), np.log(errors[c, :, s] + 1e-12)))
            left = (wanted**2 - bias**2) * size**2
            with np.errstate(divide="ignore"):
                time = np.where(left > 0.0, factor * PSD * n / (fine**2 * np.maximum(left, 1e-60)), np.inf)
            best = int(np.argmin(time))
            each.append((time[best], fine[best]))
        found[name] = tuple(np.median(np.array(each), axis=0).tolist())
    return found


def told(name: str, errors: np.ndarray, points: Points) -> None:
    """Both tables of a device, as the page has them."""
    print(f"\n{name}, {len(points)} settings: median relative error")
    print("| dither (mV) | " + " | ".join(f"{1e3 * a:.3g}" for a in AMPLITUDES_V) + " |")
    print("|---" * (len(AMPLITUDES_V) + 1) + "|")
    for c, correction in enumerate(CORRECTIONS):
        row = " | ".join(f"{100 * value:.2g} %" for value in np.median(errors[c], axis=1))
        print(f"| {NAMES[correction]} | {row} |")
    found = {wanted: times_s(errors, points, wanted) for wanted in ERRORS}
    print("\n| wanted error | " + " | ".join(found[ERRORS[0]]) + " |")
    print("|---" * (len(found[ERRORS[0]]) + 1) + "|")
    for wanted, times in found.items():
        cells = [f"{t:.2g} s, {1e3 * a:.2g} mV" if np.isfinite(t) else "-" for t, a in times.values()]
        print(f"| {100 * wanted:g} % | " + " | ".join(cells) + " |")


def picture(devices: dict[str, np.ndarray], path: Path) -> None:
    """Median error against the dither, a panel for each device."""
    figure = new_figure(figsize=(3.1 * len(devices), 3.4))
    panels = figure.subplots(1, len(devices), sharey=True, squeeze=False)[0]
    for axes, (name, errors) in zip(panels, devices.items(), strict=True):
        for c, correction in enumerate(CORRECTIONS):
            axes.loglog(1e3 * AMPLITUDES_V, np.median(errors[c], axis=1), "o-", ms=3, color=COLOURS[c],
                        label=NAMES[correction])  # fmt: skip
        axes.set(title=name, xlabel="peak dither (mV)", ylim=(1e-6, 2.0))
    panels[0].set_ylabel("error of the gradient / its size")
    panels[0].legend()
    save(figure, path)


def main() -> None:
    """Measure, tell, draw."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--chip", type=Path)
    options.add_argument("--settings", type=int, default=12)
    options.add_argument("--picture", type=Path)
    given = options.parse_args()
    shape = Disc(45e-9)
    few = DopantNetwork.random(
        seed=1, acceptors=8, donors=3, shape=shape, electrodes=shape.ring_of_electrodes(8, 18e-9)
    )
    devices: dict[str, Points] = {
        "smooth function": smooth(given.settings),
        "mean field": on_bench(default_bench(tolerance=1e-10), given.settings, 7, 0),
        "master equation": on_bench(Bench(MasterEquation(few)), max(1, given.settings // 4), 4, 0),
    }
    if given.chip is not None:
        chip = ChipSurrogate.from_npz(given.chip)
        bench = Bench(chip, *default_electrodes(chip, 2))
        devices["chip"] = on_bench(bench, given.settings, 7, 0)
    drawn = {}
    for name, points in devices.items():
        drawn[name] = biases(points)
        told(name, drawn[name], points)
    if given.picture is not None:
        picture(drawn, given.picture)


if __name__ == "__main__":
    main()
