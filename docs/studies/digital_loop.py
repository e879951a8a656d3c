"""XOR by a computer with converters: how many starts are learned, over bits, rate and latency.

    python docs/studies/digital_loop.py dnpu_chip.npz --starts 40 --picture docs/images/digital_loop.png

The measured chip, inputs e1 and e3, seven controls with tones of 260 to 510 Hz and 10 mV, the package's settings
(`HgeSettings`: 12 passes), starts chosen as those of the analogue loop, none where XOR is fulfilled already; white
noise of the published 1e-5 nA^2/Hz. Every setting is tried from the same starts with the same seeds of noise. What is
not varied stands at 16 bits both ways (the output's converter spans +-158 nA, those of the controls each its
electrode's range), 2000 ticks a second and no latency; latency is varied at 4000, where a tick is 0.25 ms. Intervals
are Clopper and Pearson's, 95 %.

One start is run through ngspice too, and must give the same controls to the last bit.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import beta

from analysis.plots.figure import COLOURS, new_figure, save
from circuits.homodyne.engines import Averaged
from inmateria import Bench, ChipSurrogate, DigitalLoop, Engine, Experiment, HgeSettings
from learning.bench.devices import CHIP_INPUTS
from learning.homodyne.start import choose_start, measured_loop
from learning.homodyne.training import judge

SEED = 20270
NOISE_A2_PER_HZ = 1e-23
BASE: dict[str, Any] = {"rate_Hz": 2000.0, "adc_bits": 16, "dac_bits": 16, "adc_range_V": 4.0}
TRANSIMPEDANCE_OHM = 4.0 / 158e-9
SLOW: dict[str, Any] = {"rate_Hz": 4000.0}
AXES: dict[str, tuple[str, list[tuple[float, dict[str, Any]]]]] = {
    "adc": ("bits of the output's converter", [(b, {"adc_bits": b}) for b in (3, 4, 5, 6, 7, 8, 10, 12, 16)]),
    "dac": ("bits of the controls' converters", [(b, {"dac_bits": b}) for b in (2, 3, 4, 5, 6, 8, 10, 12, 16)]),
    "rate": ("ticks a second", [(f, {"rate_Hz": float(f)}) for f in (50, 100, 200, 500, 1000, 2000, 4000)]),
    "latency": (
        "latency that the computer does not know, ms",
        [(1e3 * s, {**SLOW, "latency_s": s, "assumed_latency_s": 0.0}) for s in (0, 25e-5, 5e-4, 75e-5, 1e-3, 2e-3)],
    ),
    "known latency": (
        "latency that it knows, ms",
        [(1e3 * s, {**SLOW, "latency_s": s}) for s in (1e-3, 10e-3)],
    ),
}


def interval(found: int, tried: int) -> tuple[float, float]:
    """Clopper and Pearson's, 95 %."""
    low = 0.0 if found == 0 else float(beta.ppf(0.025, found, tried - found + 1))
    return low, 1.0 if found == tried else float(beta.ppf(0.975, found + 1, tried - found))


def main(chip: Path, starts: int, picture: Path | None) -> None:
    device = ChipSurrogate.from_npz(chip)
    bench = Bench(device, device.measured[0], tuple(device.terminals.index(name) for name in CHIP_INPUTS))
    experiment = Experiment(bench, bench.task("XOR"), HgeSettings(amplitude_V=0.01))
    chosen = [choose_start(experiment, np.random.default_rng([SEED, k]), take_found=False) for k in range(starts)]

    def loop(k: int, experiment: Experiment = experiment, **options: Any) -> DigitalLoop:
        start = chosen[k]
        together = {**BASE, "transimpedance_ohm": TRANSIMPEDANCE_OHM, **options}
        return DigitalLoop(experiment, start.controls_V, start.polarity, **together)

    short = loop(0, Experiment(bench, experiment.task, HgeSettings(amplitude_V=0.01, sequences=3)))
    with Engine() as engine:
        apart = np.abs(short.run(engine).controls_V - short.run().controls_V).max()
    print(f"largest difference of a control, ngspice and recurrence, 3 passes: {apart:g} V", flush=True)

    analogue = 0
    for start in chosen:
        one, _ = measured_loop(experiment, start, Averaged())
        analogue += judge(experiment, one, Averaged().run(one), start).final.learned
    print(f"the analogue loop, averaged, learns {analogue} of {starts} from the same starts", flush=True)

    found: dict[str, list[tuple[float, int]]] = {}
    for axis, (label, settings) in AXES.items():
        for value, options in settings:
            begin = time.perf_counter()
            runs = [loop(k, **options).run(noise_A2_per_Hz=NOISE_A2_PER_HZ, seed=k) for k in range(starts)]
            learned = sum(run.final.learned for run in runs)
            low, high = interval(learned, starts)
            seconds = time.perf_counter() - begin
            print(f"{label}  {value:g}: {learned} of {starts} ({low:.2f} to {high:.2f}), {seconds:.0f} s", flush=True)
            found.setdefault(axis, []).append((value, learned))
    if picture is not None:
        save(drawn(found, starts), picture)


def drawn(found: dict[str, list[tuple[float, int]]], starts: int) -> Figure:
    """Shares with their intervals, a panel an axis."""
    figure = new_figure(figsize=(9, 6))
    for panel, axis in zip(figure.subplots(2, 2, sharey=True).flat, ("adc", "dac", "rate", "latency"), strict=True):
        at, learned = np.array(found[axis]).T
        share = learned / starts
        low, high = np.array([interval(int(each), starts) for each in learned]).T
        panel.errorbar(at, share, [share - low, high - share], color=COLOURS[0], marker="o", capsize=3)
        panel.set(xlabel=AXES[axis][0], ylim=(0, 1), ylabel="XOR learned" if axis in ("adc", "rate") else None)
        if axis == "rate":
            panel.set_xscale("log")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chip", type=Path)
    parser.add_argument("--starts", type=int, default=40)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    main(options.chip, options.starts, options.picture)
