"""`inmateria bench pat`: samples per second through a circuit in one transient, beside one ngspice process a sample.

A process takes start + sample: `start` is measured as a process that loads the same deck and ends after one time-point,
`sample` is what ngspice itself takes for a sample's time-points in the middle of a stream through one circuit. No such
stream can be better than sample alone: the bound on its ratio is 1 + start/sample. Copies of the circuit side by side
in the transient share what a time-point costs, and go beyond it.
The processes begin at the operating point and end at the last reading, and get their waveform as a function of time (a
PWL source's breakpoints would cost them ten times the points).
Streams and processes use all processors, and take turns.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from circuits.ngspice.engine import Engine
from circuits.ngspice.pool import EnginePool
from circuits.physics_aware.rlc_layer import RlcLayer
from circuits.physics_aware.waveform_circuit import WaveformCircuit
from inmateria.checks import FloatArray
from inmateria.errors import EngineError
from inmateria.run_folder import run_folder
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted

ROUNDS = 5
STREAMED = 6000
"""Samples of one stream."""
LAYERS = {
    "": RlcLayer(20, {"r": 470.0}, settle=28, steps=1),  # 48 time-points a sample; damped, so that it settles in them
    "_short": RlcLayer(8, {"r": 470.0}, settle=12, steps=1),
    "_vowels": RlcLayer(48),
}
"""Layers by what is added to the figures' names."""


def _deck(layer: RlcLayer, sample: FloatArray, stop_s: float) -> str:
    """One sample for plain ``ngspice -b``."""
    circuit = layer.circuit
    table = circuit.timeline(sample[None])[circuit.settle - 1 :, 0]
    points = ", ".join(f"{n / circuit.rate_Hz!r}, {float(v)!r}" for n, v in enumerate(table))
    step = 1.0 / (circuit.rate_Hz * circuit.steps)
    return "\n".join(
        ["one sample", circuit.options, circuit.netlist, f"Bin in 0 V = pwl(time, {points})", ".save v(out)",
         f".tran {step!r} {stop_s!r} 0 {step!r}", ".control", "run", "wrdata outputs.txt v(out)", "quit 0", ".endc",
         ".end", ""]
    )  # fmt: skip


def _processes(deck: str, workers: int) -> float:
    """Seconds a process, for as many at once as there are processors."""
    ngspice = shutil.which("ngspice")
    if ngspice is None:
        raise EngineError("ngspice", None, "is not installed", "install Debian's package ngspice")
    count = 4 * workers
    with run_folder() as folder:
        folders = [folder / str(k) for k in range(count)]
        for folder in folders:
            folder.mkdir()
            (folder / "deck.cir").write_text(deck)

        def one(folder: Path) -> None:
            done = subprocess.run([ngspice, "-b", "deck.cir"], cwd=folder, capture_output=True, check=False)
            if done.returncode or not (folder / "outputs.txt").is_file():
                words = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()[-1:]
                raise EngineError("ngspice", done.returncode, f"did not run: {words}", "see 'inmateria doctor'")

        begin = time.perf_counter()
        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(one, folders))
        return (time.perf_counter() - begin) / count


def measure(layer: RlcLayer, pool: EnginePool, tick: Callable[[], None]) -> dict[str, float]:
    """Figures of one layer: medians over rounds, each of which times both ways."""
    circuit, workers = layer.circuit, len(pool)
    single = replace(circuit, copies=1)
    batch = np.random.default_rng(0).uniform(*layer.limits_V, (STREAMED, layer.values))
    pieces = np.array_split(batch, workers)
    circuit.respond(batch[:workers], pool)  # starts the workers
    step_s = 1.0 / (circuit.rate_Hz * circuit.steps)
    last_s = (1 + int(circuit.readings[-1])) / circuit.rate_Hz

    def streamed(through: WaveformCircuit) -> tuple[float, float]:
        """Seconds a sample: all in all, and inside ngspice."""

        def answered(engine: Engine, piece: FloatArray) -> float:
            run = through.transient(piece, engine)
            through.read(run, len(piece))
            return run.statistics["seconds"]

        begin = time.perf_counter()
        inside = max(run.result() for run in pool.map(answered, pieces))
        return (time.perf_counter() - begin) / STREAMED, inside / STREAMED

    streams, singles, inside, alone, starts = [], [], [], [], []
    for _ in range(ROUNDS):
        streams.append(streamed(circuit)[0])
        took = streamed(single)
        singles.append(took[0])
        inside.append(took[1])
        alone.append(_processes(_deck(layer, batch[0], last_s), workers))
        starts.append(_processes(_deck(layer, batch[0], step_s), workers))
        tick()
    stream, one_copy, sample, process, start = (
        float(np.median(times)) for times in (streams, singles, inside, alone, starts)
    )
    bound = 1.0 + start / sample
    return {
        "samples_per_s": 1.0 / stream,
        "ratio_process_per_sample": process / stream,
        "share_of_bound": process / stream / bound,
        "bound": bound,
        "copies": float(circuit.copies),
        "ratio_one_copy": process / one_copy,
        "share_of_bound_one_copy": process / one_copy / bound,
        "points_per_sample": float(circuit.points),
        "start_ms": 1e3 * workers * start,
        "us_per_point": 1e6 * workers * sample / circuit.points,
    }


def run_bench(*, answer: Console) -> dict[str, Any]:
    """Measure, tell, and return the figures."""
    content: dict[str, Any] = {"processors": len(os.sched_getaffinity(0))}
    with EnginePool() as pool, compilation_told(stderr), counted(stderr, "rounds", ROUNDS * len(LAYERS)) as tick:
        for suffix, layer in LAYERS.items():
            found = measure(layer, pool, tick)
            content |= {f"{name}{suffix}": value for name, value in found.items()}
            answer.print(
                f"{layer.circuit.points} points a sample: {found['samples_per_s']:.0f} samples/s, "
                f"{found['ratio_process_per_sample']:.1f} times one process a sample, "
                f"{100 * found['share_of_bound']:.0f} % of the bound {found['bound']:.1f} "
                f"({found['ratio_one_copy']:.1f} times, {100 * found['share_of_bound_one_copy']:.0f} % with one copy)",
            )
    return content
