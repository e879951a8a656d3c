"""Multiplexed gradient descent in ngspice: how often XOR is learned, at which price; devices as a network.

    python docs/studies/multiplexed_circuit.py xor [--seeds 10] [--steps 20000] [--level ideal]   # 4 codes, 10 min
    python docs/studies/multiplexed_circuit.py path           # circuit, and the compiled descent, one path
    python docs/studies/multiplexed_circuit.py devices [--sizes 2 1] [--eta 0.003]       # surrogates of the shared chip

"Solved": at the end every output is nearer than 0.5 to its target (devices: half of the distance between the targets).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from circuits.multiplexed.device_network import layered_wires, measured_network
from circuits.multiplexed.loop import MultiplexedLoop
from circuits.multiplexed.run import MultiplexedRun, run_multiplexed
from circuits.multiplexed.sigmoid_network import SigmoidNetworkCircuit
from circuits.ngspice.engine import Engine
from circuits.parts.levels import multiplexed_parts
from dnpu_models.surrogate.chip import ChipSurrogate
from learning.multiplexed.descent import MgdSettings, MultiplexedDescent
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from lockin.choices import Code
from lockin.perturbation import CODES, Perturbation

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = np.array([[0.0], [1.0], [1.0], [0.0]])
NETWORK = SigmoidNetwork((2, 2, 1))
ELECTRONICS = {
    "ideal": multiplexed_parts("ideal"),
    "neurons": multiplexed_parts("ideal", sigmoid="transistor"),
    "macro": multiplexed_parts("macro"),
    "trimmed": multiplexed_parts("macro", trimmed={"mixer": {"offset": 1e-4}}),
}


def figures(run: MultiplexedRun, wall_s: float) -> str:
    """Price of a run."""
    counted = run.transient.statistics
    per_point = 1e6 * counted["seconds"] / counted["points"]
    return f"{wall_s:.1f} s, {int(counted['points'])} points, {per_point:.0f} us a point"


def first_solved(loop: MultiplexedLoop, run: MultiplexedRun) -> int | None:
    """Step at which all unperturbed outputs first are on the right side."""
    steps = np.arange(0, loop.steps + 1, 20)
    path = np.stack([np.interp(steps * loop.step_s, run.time_s, p) for p in run.parameters.T], axis=1)
    for step, theta in zip(steps, path, strict=True):
        if np.max(np.abs(NETWORK.outputs(theta, INPUTS) - TARGETS)) < 0.5:
            return int(step)
    return None


def xor(codes: Sequence[Code], seeds: int, steps: int, level: str) -> None:
    """Each code from the same starts, uniform in +-1."""
    parts, fields = ELECTRONICS[level], {}
    if level in ("macro", "trimmed"):
        fields = {"multiplier_V": 10.0, "amplification": 10.0}
    print("| code | solved | median step | worst output | price |\n|---|---|---|---|---|")
    with Engine() as engine:
        for code in codes:
            solved, firsts, walls, price = 0, [], [], ""
            worst = []
            for seed in range(seeds):
                start = np.random.default_rng(seed).uniform(-1.0, 1.0, 9)
                loop = MultiplexedLoop(
                    SigmoidNetworkCircuit(), Perturbation(code, 9, 1.0, seed=seed), INPUTS, TARGETS, start,
                    steps=steps, parts=parts, **fields,
                )  # fmt: skip
                begin = time.perf_counter()
                run = run_multiplexed(loop, engine)
                walls.append(time.perf_counter() - begin)
                price = figures(run, float(np.median(walls)))
                if run.solved():
                    solved += 1
                    firsts.append(first_solved(loop, run) or steps)
                    worst.append(float(np.max(np.abs(run.outputs_by_pattern() - TARGETS))))
            middle = f"{np.median(firsts):.0f}" if firsts else "-"
            far = f"{max(worst):.2f}" if worst else "-"
            print(f"| {code} | {solved} of {seeds} | {middle} | {far} | {price} |", flush=True)


def path() -> None:
    """Largest deviation of a parameter, of the largest movement."""
    start = np.random.default_rng(0).uniform(-1.0, 1.0, 9)
    cases = (
        ("random", 1, 400, {"eta": 1.0, "tau_x": 10, "tau_theta": 40, "tau_hp": 20.0}),
        ("walsh", 2, 400, {"eta": 1.0, "tau_x": 20, "tau_theta": 40, "tau_hp": 20.0}),
        ("sine", 48, 3500, {"eta": 0.02, "tau_x": 1728, "tau_theta": 200, "tau_hp": 50.0}),
    )
    print("| code | tau_p | steps | moved | circuit and compiled descent differ by |\n|---|---|---|---|---|")
    with Engine() as engine:
        for code, hold, steps, settings in cases:
            loop = MultiplexedLoop(
                SigmoidNetworkCircuit(), Perturbation(code, 9, 0.5, hold, seed=3), INPUTS, TARGETS, start, steps=steps,
                **settings,
            )  # fmt: skip
            asked = MgdSettings(code=code, norm=0.5, tau_p=hold, mode="analog", blank=1, seed=3, **settings)
            twin = MultiplexedDescent(NETWORK.data(INPUTS, TARGETS), start, asked)
            wanted = []
            for _ in range(steps):
                twin.run(1)
                wanted.append(twin.theta - start)
            run = run_multiplexed(loop, engine)
            times = np.arange(1, steps + 1) * loop.step_s
            found = np.stack([np.interp(times, run.time_s, p) for p in run.parameters.T], axis=1) - start
            moved = np.max(np.abs(wanted))
            share = np.max(np.abs(found - np.array(wanted))) / moved
            print(f"| {code} | {hold} | {steps} | {moved:.2f} | {100 * share:.2f} % |", flush=True)


def devices(sizes: list[int], seeds: int, steps: int, eta: float, norm: float) -> None:
    """XOR by layers of chips' surrogates, all electrodes and stages trained, from random settings."""
    chip = ChipSurrogate.from_npz(Path(os.environ.get("INMATERIA_DATA", "../shared/data")) / "dnpu_chip.npz")
    network = measured_network([chip] * sum(sizes), layered_wires(sizes, 2, (1, 3, 5, 7)), 0, swing_V=0.3)
    levels, targets = 0.4 * (INPUTS - 0.5), TARGETS - 0.5
    limits, electrodes = network.limits_V(levels), network.parameters - sum(sizes)
    low, high = limits[:electrodes].T
    with Engine() as engine:
        for seed in range(seeds):
            start = np.zeros(network.parameters)
            rng = np.random.default_rng(seed)
            start[:electrodes] = 0.5 * (low + high) + 0.3 * (high - low) * rng.uniform(-1.0, 1.0, electrodes)
            loop = MultiplexedLoop(
                network, Perturbation("random", network.parameters, norm, seed=1), levels, targets, start,
                steps=steps, eta=eta, largest=3e-4, tau_theta=200.0,
            )  # fmt: skip
            begin = time.perf_counter()
            run = run_multiplexed(loop, engine)
            price = figures(run, time.perf_counter() - begin)
            before, after = (network.static_outputs(theta, levels) for theta in (start, run.parameters[-1]))
            costs = [float(np.mean((y - targets) ** 2)) for y in (before, after)]
            print(
                f"{sum(sizes)} devices, {network.parameters} parameters: solved {run.solved()}, "
                f"cost {costs[0]:.3f} to {costs[1]:.3f}, outputs {after.ravel().round(2).tolist()}, {price}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["xor", "path", "devices"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--codes", nargs="+", choices=CODES, default=CODES)
    parser.add_argument("--level", choices=list(ELECTRONICS), default="ideal")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--eta", type=float, default=3e-3)
    parser.add_argument("--norm", type=float, default=0.1)
    asked = parser.parse_args()
    if asked.what == "xor":
        xor(asked.codes, asked.seeds, asked.steps, asked.level)
    elif asked.what == "path":
        path()
    else:
        devices(asked.sizes, asked.seeds, asked.steps, asked.eta, asked.norm)
