"""The three engines on random designs with the measured chip: how fast, and how far their control paths are apart.

    python docs/studies/engines_table.py CHIP.npz [--designs 20] [--rounds 3]

A design is a gate, a start chosen among 16 looks, a dither of 5 to 40 mV, a spacing of 5, 10 or 20 Hz, a learning rate
of 0.03 to 0.3 and a step of 20 to 80 mV, log-uniform. Deviation: the largest |w_k(t) - w_k,ngspice(t)| over all times
and controls, over the largest excursion max - min of a control on ngspice's path. Loops that amplify small differences
(limiters that hunt, kinks) end apart whatever integrates them; so each line has the twin's deviation from itself with
half the step beside it, and designs where that is below 1 % count as stable. Speed: wall time of the whole call, the
least of some rounds for the twin and the averaged loop, one ngspice run; other users of the machine only slow ngspice.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from circuits.homodyne import readings
from circuits.homodyne.engines import Averaged, Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop
from circuits.signals.transient import Transient
from dnpu_models.surrogate.chip import ChipSurrogate
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import choose_start
from learning.tasks.gates import GATES

STABLE = 0.01


def design(chip: ChipSurrogate, seed: int) -> tuple[HomodyneLoop, str]:
    """A random design and its description."""
    rng = np.random.default_rng(1000 + seed)
    gate = list(GATES)[int(rng.integers(len(GATES)))]
    amplitude, rate, step = np.exp(rng.uniform(np.log([5e-3, 0.03, 0.02]), np.log([40e-3, 0.3, 0.08])))
    spacing = float(rng.choice([5.0, 10.0, 20.0]))
    bench = Bench(chip, 0, (1, 3), spacing_Hz=spacing)
    settings = HgeSettings(amplitude_V=float(amplitude), learning_rate=float(rate), step_V=float(step))
    experiment = Experiment(bench, bench.task(gate), settings)
    start = choose_start(experiment, rng)
    words = f"{gate:4s} {1e3 * amplitude:4.1f} mV {spacing:3.0f} Hz {rate:.3f} {1e3 * step:3.0f} mV"
    return build_loop(experiment, start.controls_V, start.polarity, start.outputs_A), words


def deviation(loop: HomodyneLoop, run: Transient, reference: Transient) -> float:
    """Largest difference of the control paths over the reference's largest excursion."""
    wanted, found = readings.controls_V(loop, reference), readings.controls_V(loop, run)
    there = [np.interp(reference.time_s, run.time_s, found[:, k]) for k in range(found.shape[1])]
    return float(np.max(np.abs(np.stack(there, axis=1) - wanted)) / np.max(np.ptp(wanted, axis=0)))


def main() -> None:
    """Print a line for each design, then medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chip", type=Path)
    parser.add_argument("--designs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    chip = ChipSurrogate.from_npz(options.chip)
    rows = []
    print("design: gate, dither, spacing, rate, step | ngspice s | twin x, deviation | averaged x, deviation | step/2")
    with Ngspice() as engine:
        for seed in range(options.designs):
            loop, words = design(chip, seed)
            begin = time.perf_counter()
            reference = engine.run(loop)
            spice_s = time.perf_counter() - begin
            fine = deviation(
                loop, Twin().run(replace(loop, points_per_cycle=2 * loop.points_per_cycle)), (twin := Twin().run(loop))
            )
            averaged = Averaged().run(loop)
            seconds = []
            for fast, rounds in ((Twin(), options.rounds), (Averaged(), 5 * options.rounds)):
                times = []
                for _ in range(rounds):
                    begin = time.perf_counter()
                    fast.run(loop)
                    times.append(time.perf_counter() - begin)
                seconds.append(min(times))
            rows.append(
                (spice_s / seconds[0], deviation(loop, twin, reference), spice_s / seconds[1],
                 deviation(loop, averaged, reference), fine)
            )  # fmt: skip
            a, b, c, d, e = rows[-1]
            print(f"{words} | {spice_s:5.1f} | {a:5.1f} {b:.4f} | {c:5.0f} {d:.4f} | {e:.4f}", flush=True)
    table = np.array(rows)
    stable = table[:, 4] < STABLE
    for name, some in (("all", table), (f"stable ({int(stable.sum())})", table[stable])):
        if len(some):
            middle, worst = np.median(some, axis=0), np.max(some, axis=0)
            print(
                f"{name}: twin {middle[0]:.1f} x, deviation {middle[1]:.4f} (worst {worst[1]:.4f}, within 1 %: "
                f"{int(np.sum(some[:, 1] < 0.01))}); averaged {middle[2]:.0f} x, deviation {middle[3]:.4f} "
                f"(worst {worst[3]:.4f}, within 3 %: {int(np.sum(some[:, 3] < 0.03))})"
            )


if __name__ == "__main__":
    main()
