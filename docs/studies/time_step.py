"""Cost and error of the points a cycle: the loop by hand's product side, and gates on real devices, in ngspice.

Error: largest deviation of a control from the path at 96 points a cycle (120 for the loop by hand), as a share of that
control's span. Cost: seconds of the run. Run: python docs/studies/time_step.py

With the chip's file behind it instead: twin and ngspice against the loop's equations integrated to convergence (Runge
and Kutta, 40 points a cycle), as a share of the largest excursion of a control.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from analysis.verification.time_step import step_error
from circuits.homodyne import readings
from circuits.homodyne.engines import Averaged, Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.signals.patterns import PatternSequence
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import Bench, Experiment, HgeSettings, default_bench, loop_fields
from learning.homodyne.experiment import build_loop, middle_loop
from learning.homodyne.start import choose_start, measured_loop
from lockin.plan import DitherPlan
from tests.circuits.homodyne.test_converged_path import integrated, off, two_tanh
from tests.circuits.homodyne.test_loop_by_hand import TwoTanh

SEQUENCES = 4


def loops() -> dict[str, HomodyneLoop]:
    """The loop by hand at its own tones, and the default device at two starts."""
    sequence = PatternSequence(((0.0,), (0.3,)), (1.0, -1.0), 0.1, 0.005, 0.005, 5e-5)
    found = {
        "two tanh": HomodyneLoop(
            TwoTanh(), 0, (1,), (1, 2), np.array([-0.25, 0.3]), DitherPlan((110.0, 130.0), (0.03, 0.02)), sequence,
            sequences=8, stage=OutputStage(baseline_V=-0.1, gain_log=1.2),
        )
    }  # fmt: skip
    bench = default_bench()
    for name, seed, fields in (("AND, ideal", 21, {}), ("XOR, macro", 22, loop_fields("macro"))):
        settings = HgeSettings(amplitude_V=0.02, sequences=SEQUENCES, **fields)
        experiment = Experiment(bench, bench.task(name.partition(",")[0]), settings)
        start = np.clip(
            bench.random_controls(0.6, np.random.default_rng(seed)), *middle_loop(experiment).control_limits_V
        )
        found[name] = build_loop(experiment, start, 1.0, bench.outputs_A(start, experiment.task))
    return found


def main() -> None:
    """Print a table for each loop."""
    for name, loop in loops().items():
        with Ngspice() as engine:
            engine.run(replace(loop, sequences=1))  # compiles
            fine = replace(loop, points_per_cycle=120 if name == "two tanh" else 48)
            reference = engine.run(fine)
            best = readings.controls_V(fine, reference)
            for points in (10, 12, 16, 24):
                one = replace(loop, points_per_cycle=points)
                begin = time.perf_counter()
                run = engine.run(one)
                took = time.perf_counter() - begin
                controls = readings.controls_V(one, run)
                off = [
                    np.max(np.abs(np.interp(run.time_s, reference.time_s, best[:, k]) - controls[:, k]))
                    / np.ptp(best[:, k])
                    for k in range(best.shape[1])
                ]
                stated = step_error(one, engine)
                print(
                    f"{name}: {points} points {took:.2f} s, worst control {100 * max(off):.2f} %, {stated}", flush=True
                )


def against_converged(chip: ChipSurrogate) -> None:
    """A table: two loops, three engines, steps halved twice."""
    bench = Bench(chip, chip.measured[0], (2, 4))
    experiment = Experiment(bench, bench.task("XOR"), HgeSettings(rates="auto", sequences=6))
    with Ngspice() as ngspice:
        learning, _ = measured_loop(experiment, choose_start(experiment, np.random.default_rng(31)), Twin())
        for name, loop in {"two tanh, 8 passes": two_tanh(8), "chip XOR, 6 passes": learning}.items():
            times, path = integrated(loop)
            for points in (10, 20, 40):
                one = replace(loop, points_per_cycle=points)
                told = [f"{e.name} {100 * off(one, e, times, path)[0]:.3f} %" for e in (Twin(), ngspice)]
                print(f"{name}, {points} points a cycle: {', '.join(told)}", flush=True)
            print(f"{name}: averaged {100 * off(loop, Averaged(), times, path)[0]:.3f} %", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        against_converged(ChipSurrogate.from_npz(sys.argv[1]))
    else:
        main()
