"""`inmateria bench spice`: what a time-point costs here, each figure beside its baseline from the same run.

Callback: an RC driven by a 1 mA sine current, from a SIN source of ngspice's own, from an external source that compiled
callbacks serve, and from one that PySpice's Python callbacks serve. Loop: the closed XOR loop around a network of a
chip's size, and the same circuit with a SIN source in place of each terminal's current.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from rich.console import Console

from circuits.homodyne import netlist
from circuits.homodyne.engines import Ngspice
from circuits.homodyne.loop import HomodyneLoop
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.engine import Engine
from circuits.ngspice.library import find_ngspice_library
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import EngineError
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.settings import HgeSettings

POINTS = 50_000
STEP_S = 1e-6
SINE = (1e-3, 1e3)
"""A, Hz."""
LAYERS = (7, 90, 90, 90, 90, 90, 1)
"""Of the published surrogate of a chip (brains-py)."""
ROUNDS = 3
SEQUENCES = 4


@njit
def _sine(t: Any, voltages: Any, params: Any, state: Any, out: Any) -> None:
    out[0] = -params[0] * math.sin(2 * math.pi * params[1] * t)


@njit
def _stay(dt: Any, voltages: Any, params: Any, state: Any) -> None:
    pass


def _rc(source: str = "") -> str:
    return f"callback cost\nR1 a 0 1k\nC1 a 0 1u\n{source}".strip()


def _us_per_point(engine: Engine, device: CoSimulation | None) -> float:
    circuit = _rc("" if device else f"I1 0 a sin(0 {SINE[0]!r} {SINE[1]!r})")
    stop = POINTS * STEP_S
    run = engine.transient(circuit, stop_s=stop, max_step_s=STEP_S, save=["v(a)"], cosimulation=device)
    return 1e6 * run.statistics["seconds"] / run.statistics["points"]


def time_pyspice(send_data: bool) -> float:
    """Microseconds a point of the same circuit with PySpice's own Python callbacks, in a process of its own."""
    from PySpice.Spice.NgSpice.Shared import NgSpiceShared, ffi

    class Shared(NgSpiceShared):  # type: ignore[misc]
        LIBRARY_PATH = find_ngspice_library()

        def get_isrc_data(self, current: Any, t: float, node: str, ngspice_id: int) -> int:
            current[0] = SINE[0] * math.sin(2 * math.pi * SINE[1] * t)
            return 0

    shared = Shared(send_data=send_data)
    deck = f"{_rc('I1 0 a external')}\n.save v(a)\n.tran {STEP_S} {POINTS * STEP_S} 0 {STEP_S} uic\n.end"
    lines = [ffi.new("char[]", line.encode()) for line in deck.splitlines()]
    shared._ngspice_shared.ngSpice_Circ(ffi.new("char *[]", [*lines, ffi.NULL]))
    begin = time.perf_counter()
    shared._ngspice_shared.ngSpice_Command(b"run")
    return 1e6 * (time.perf_counter() - begin) / POINTS


def _apart(send_data: bool) -> float:
    code = f"from inmateria.benchmarks.spice import time_pyspice; print(time_pyspice({send_data}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise EngineError("PySpice", done.returncode, f"did not run: {words}", "see 'inmateria doctor'")
    return float(done.stdout.split()[-1])


def _chip(seed: int) -> ChipSurrogate:
    """A network of a chip's size with random weights: as fast as a measured one, and its file is not needed."""
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(LAYERS))
    weights = tuple(rng.normal(0, np.sqrt(2 / a), (b, a)) for a, b in pairs)
    biases = tuple(rng.normal(0, 0.1, b) for _, b in pairs)
    return ChipSurrogate(weights, biases, np.full(7, -0.7), np.full(7, 0.7), 1e-8)


def chip_loop(seed: int, sequences: int = SEQUENCES) -> HomodyneLoop:
    """The closed loop around a network of a chip's size."""
    bench = Bench(_chip(seed), 0, (1, 3))
    task = bench.task("XOR")
    experiment = Experiment(bench, task, HgeSettings(sequences=sequences))
    start = np.zeros(len(bench.trained))
    return build_loop(experiment, start, 1.0, bench.outputs_A(start, task))


def _loop_us_per_point(engine: Engine, loop: HomodyneLoop, builtin: bool) -> tuple[float, float]:
    """Microseconds a point, and points a cycle of the highest tone."""
    if builtin:
        sines = [f"Isine{k} {node} 0 SIN(0 1e-9 {37 + k})" for k, node in enumerate(netlist.nodes(loop))]
        run = engine.transient(
            netlist.deck(loop).rstrip() + "\n" + "\n".join(sines),
            stop_s=loop.stop_s,
            max_step_s=loop.max_step_s,
            save=netlist.saved(loop),
            corners_s=loop.corners_s,
            grids_s=loop.grids_s,
        )
    else:
        run = Ngspice(engine).run(loop)
    points = run.statistics["points"]
    return 1e6 * run.statistics["seconds"] / points, points / (loop.stop_s * max(loop.dither.frequencies_Hz))


def run_bench(*, seed: int, answer: Console) -> dict[str, Any]:
    """Measure, tell, and return the figures: the least of three rounds, which other users disturbed least."""
    kernel = SteppableKernel(_sine, _stay, np.array(SINE), np.zeros(1), np.zeros((1, 1)))
    external = CoSimulation(kernel, ["a"], np.zeros(1), source_ohm=1e3)
    loop = chip_loop(seed)
    costs: dict[str, list[float]] = {}
    cycle = 0.0
    with compilation_told(stderr), counted(stderr, "rounds", ROUNDS) as tick, Engine() as engine:
        for device in (None, external):  # compiles
            _us_per_point(engine, device)
        Ngspice(engine).run(loop)
        for _ in range(ROUNDS):
            in_loop, cycle = _loop_us_per_point(engine, loop, False)
            round_ = {
                "builtin": _us_per_point(engine, None),
                "numba": _us_per_point(engine, external),
                "python": _apart(False),
                "python_send_data": _apart(True),
                "loop": in_loop,
                "loop_builtin": _loop_us_per_point(engine, loop, True)[0],
            }
            for name, cost in round_.items():
                costs.setdefault(name, []).append(cost)
            tick()
    least = {name: min(values) for name, values in costs.items()}
    callback = {f"us_per_point_{name}": least[name] for name in ("builtin", "numba", "python", "python_send_data")}
    ratios = {f"ratio_{name}": least[name] / least["builtin"] for name in ("numba", "python", "python_send_data")}
    content = {
        "points": POINTS,
        "callback": {**callback, **ratios},
        "loop": {
            "us_per_point": least["loop"],
            "us_per_point_builtin": least["loop_builtin"],
            "ratio": least["loop"] / least["loop_builtin"],
            "points_per_cycle": cycle,
        },
    }
    for name in ("callback", "loop"):
        answer.print(f"{name}: " + ", ".join(f"{k} {v:.3g}" for k, v in content[name].items()))  # type: ignore[attr-defined]
    return content
