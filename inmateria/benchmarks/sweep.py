"""`inmateria bench sweep`: points per second of a sweep on all processors, and how much of them it uses.

The same points on one worker and on all, in turns; the efficiency is the rate on N workers over N times that on one.
Beside it stands what the machine gives to N plain processes that do the same with no cluster at all: two cores that
share one set of arithmetic units are no two cores, whoever uses them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.designs.design import Design
from analysis.sweeps.axes import Axis, ranged, seed_axis
from analysis.sweeps.cluster import SweepCluster, open_cluster, processors
from analysis.sweeps.measures import GradientMeasure
from analysis.sweeps.runner import Sweep, run_sweep
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import counted

ROUNDS = 3
SEEDS = 6
POINTS = 10
"""Amplitudes for each seed."""
_PLAIN = """
import json, sys, time
from analysis.designs.design import Design
from analysis.sweeps.axes import ranged
from analysis.sweeps.measures import GradientMeasure
measure = GradientMeasure(Design.from_values({{}}))
amplitudes = ranged("dither.amplitude", 2e-3, 0.02, "log", {points}).values
points = [{{"dither.amplitude": a, "seed": s}} for s in {seeds} for a in amplitudes]
measure(points[0])
print("ready", flush=True)
for line in sys.stdin:
    begin = time.monotonic()
    number, count = map(int, line.split())
    for point in points[number::count]:
        measure(point)
    print(time.monotonic() - begin, flush=True)
"""


def _axes(points: int, seeds: int) -> tuple[Axis, ...]:
    return ranged("dither.amplitude", 2e-3, 0.02, "log", points, "V"), seed_axis(seeds)


def _rate(cluster: SweepCluster, points: int, seeds: int) -> float:
    """Points per second of one sweep, gradient readings by the twin."""
    measure = GradientMeasure(Design.from_values({}))
    found = run_sweep(Sweep(measure, _axes(points, seeds), measure.variables, {"control": _NAMES}), cluster=cluster)
    return found.points_per_s


_NAMES = [f"e{k}" for k in range(1, 8)]


class _Plain:
    """Processes that share out the same points beforehand, and need no cluster."""

    def __init__(self, count: int, points: int, seeds: int) -> None:
        self._count = points * seeds
        root = str(Path(__file__).resolve().parents[2])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *(p for p in sys.path if p)])}
        environment |= {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        script = _PLAIN.format(points=points, seeds=list(range(seeds)))
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-P", "-c", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            for _ in range(count)
        ]
        for process in self._processes:
            self._line(process)

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    def rate(self, count: int) -> float:
        """Points per second of `count` of them together."""
        for number, process in enumerate(self._processes[:count]):
            assert process.stdin is not None
            process.stdin.write(f"{number} {count}\n")
            process.stdin.flush()
        return self._count / max(float(self._line(process)) for process in self._processes[:count])

    def close(self) -> None:
        """End them."""
        for process in self._processes:
            process.kill()
            process.communicate()


def run_bench(*, rounds: int = ROUNDS, points: int = POINTS, seeds: int = SEEDS, answer: Console) -> dict[str, Any]:
    """Measure, tell, and return the figures.

    Parameters
    ----------
    rounds : int
        Each figure is the best of so many: the least disturbed.
    points, seeds : int
        Size of the sweep.
    answer : Console
    """
    workers = processors()
    one, all_, plain_one, plain_all = [], [], [], []
    plain = _Plain(workers, points, seeds)
    try:
        with (
            counted(stderr, "rounds", rounds) as tick,
            open_cluster(None, 1) as single,
            open_cluster(None, workers) as many,
        ):
            for cluster in (single, many):
                cluster.wait_for_workers()
                _rate(cluster, 2, 2 * workers)  # loads what is compiled
            for _ in range(rounds):
                one.append(_rate(single, points, seeds))
                all_.append(_rate(many, points, seeds))
                plain_one.append(plain.rate(1))
                plain_all.append(plain.rate(workers))
                tick()
    finally:
        plain.close()
    rate, plain_rate = max(all_), max(plain_all)
    plain_efficiency, against = plain_rate / (workers * max(plain_one)), rate / plain_rate
    content = {
        "efficiency": rate / (workers * max(one)),
        "points_per_s": rate,
        "points_per_s_one_worker": max(one),
        "workers": workers,
        "plain_processes": {
            "efficiency": plain_efficiency,
            "points_per_s": plain_rate,
            "points_per_s_one": max(plain_one),
        },
        "against_plain_processes": against,
        "points": points * seeds,
        "load_average": os.getloadavg()[0],
    }
    answer.print(
        f"{workers} workers: {rate:.3g} points/s, one: {max(one):.3g} points/s, efficiency {content['efficiency']:.2f}",
    )
    answer.print(
        f"plain processes: {plain_rate:.3g} and {max(plain_one):.3g} points/s, efficiency {plain_efficiency:.2f}; "
        f"the sweep has {against:.2f} of their rate",
    )
    return content
