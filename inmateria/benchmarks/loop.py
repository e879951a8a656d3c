"""`inmateria bench loop`: the closed loop by its three engines, from the same run of this machine.

`xor` is the main job: XOR on the default device, the circuit in ngspice, restarts until it is learned. The ratios are
those of one XOR attempt with a network of a chip's size (random weights, as in `bench spice`): wall time of ngspice's
transient over that of the twin's and of the averaged loop's whole call, the least of some rounds each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console

from circuits.homodyne.engines import Averaged, Ngspice, Twin
from inmateria.benchmarks.spice import LAYERS, chip_loop
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted
from learning.bench.bench import default_bench
from learning.homodyne.experiment import Experiment
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import learn

LEARNING_TOLERANCE = 1e-5
"""Of the mean field, as `inmateria learn` sets it."""
ROUNDS = 3
FAST_ROUNDS = 10
"""Rounds of the twin and of the averaged loop to each of ngspice: they are over in a moment."""
SEQUENCES = 30
XOR = HgeSettings()


def _least_s(run: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def _xor(seed: int, settings: HgeSettings) -> dict[str, float]:
    """The main job: wall seconds of the training, and microseconds a time-point, of which the device."""
    bench = default_bench(tolerance=LEARNING_TOLERANCE)
    begin = time.perf_counter()
    result = learn(Experiment(bench, bench.task("XOR"), settings), rng=np.random.default_rng(seed))
    wall_s = time.perf_counter() - begin
    runs = [attempt.run.statistics for attempt in result.attempts]
    points = sum(run["points"] for run in runs)
    return {
        "wall_s": wall_s,
        "us_per_point": 1e6 * sum(run["seconds"] for run in runs) / points,
        "us_per_point_device": 1e6 * sum(run["device_seconds"] for run in runs) / points,
        "attempts": float(len(runs)),
        "learned": float(result.success),
    }


def run_bench(
    *,
    seed: int,
    sequences: int = SEQUENCES,
    rounds: int = ROUNDS,
    xor: HgeSettings | None = XOR,
    answer: Console,
) -> dict[str, Any]:
    """Measure, tell, and return the figures.

    Parameters
    ----------
    seed : int
        Of the network's weights, and of the starts of XOR.
    sequences : int
        Length of the attempt that is timed.
    rounds : int
        Of which the least wall times count.
    xor : HgeSettings, optional
        Of the main job, which takes a minute; none: without it.
    answer : Console
    """
    loop = chip_loop(seed, sequences)
    content: dict[str, Any] = {"network": list(LAYERS), "sequences": sequences}
    with compilation_told(stderr), counted(stderr, "rounds", rounds) as tick, Ngspice() as ngspice:
        spice, fast = [], (Twin(), Averaged())
        for engine in fast:
            engine.run(loop)  # compiles
        walls: dict[str, list[float]] = {engine.name: [] for engine in fast}
        for _ in range(rounds):
            spice.append(_least_s(lambda: ngspice.run(loop), 1))
            for engine in fast:
                walls[engine.name].append(_least_s(partial(engine.run, loop), FAST_ROUNDS))
            tick()
    content["ngspice"] = {"wall_s": min(spice)}
    for name, times in walls.items():
        content[name] = {"wall_s": min(times), "speedup": min(spice) / min(times)}
    if xor is not None:
        with stderr.status("learning XOR on the default device"):
            content["xor"] = _xor(seed, xor)
    for name in ("ngspice", "twin", "averaged", "xor"):
        if name in content:
            answer.print(f"{name}: " + ", ".join(f"{k} {v:.3g}" for k, v in content[name].items()))
    return content
