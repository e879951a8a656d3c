"""How often a random setting is a gate: a measured chip, ten mean-field devices, the same ten by kinetic Monte Carlo.

    python docs/studies/gate_abundance.py --out docs/images

A setting: two of the seven electrodes beside the output are the inputs, drawn at random; every voltage is uniform over
the electrode's range (chip: as measured; devices: +-0.75 V), an input's over that range less half a swing on either
side; the inputs then swing by 0.5 V about theirs. A setting is a gate if its margin is at least 0.2 of the whole swing
and its separation at least 0.5 nA. High current is 1; a gate and its inverse are counted apart.

Negative slopes: share of dI/dV < 0 per electrode, I the current out at the output. The local one is exact (chip and
mean field, at the bias); the secant is that over the swing of 0.5 V, for all three.

Monte Carlo: 40,000 hops a pattern at first; while the standard errors leave it open (between 1 % and 99 % of normal
draws about the four outputs) whether a setting is one of the gates, four times as many, up to 2.56e6. What is still
open then counts with its probability, and so does the sign of every secant. Errors: bootstrap over the ten devices; for
the chip, which is one device, Clopper and Pearson.

A device that was done is a file in the folder of `--data`, and not computed again; a run may be cut and continued.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

from inmateria import GATES, BooleanTask, ChipSurrogate, DopantNetwork, KineticMonteCarlo, MeanField
from learning.tasks.boolean import MARGIN_MIN

Array = NDArray[np.float64]
TASKS = [BooleanTask(gate) for gate in GATES]
SEPARATION_MIN_A = 0.5e-9
SWING_V = TASKS[0].swing_V
LEVELS_V = TASKS[0].levels_V
RANGE_V = 0.75
PERCENTILES = (5, 25, 50, 75, 95)
FIRST_HOPS, MOST_HOPS, DRAWS = 40_000, 2_560_000, 400


def settings(low: Array, high: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Biases (count, n_terminals), terminal 0 at 0 V, and inputs (count, 2)."""
    volts = np.zeros((count, len(low)))
    inputs = np.array([1 + rng.permutation(len(low) - 1)[:2] for _ in range(count)])
    less = np.zeros_like(volts)
    np.put_along_axis(less, inputs, SWING_V / 2, axis=1)
    volts[:, 1:] = rng.uniform(low + less, high - less)[:, 1:]
    return volts, inputs


def patterns(volts: Array, inputs: Array) -> Array:
    """Voltages of the four patterns, (count, 4, n_terminals)."""
    result = np.repeat(volts[:, None], 4, axis=1)
    for k, levels in enumerate(LEVELS_V):
        for terminal, level in zip(inputs.T, levels, strict=True):
            result[np.arange(len(volts)), k, terminal] += level
    return result


def learned(outputs: Array) -> Array:
    """Which gates four outputs (..., 4) in A are, (..., 6): margin and separation for many at once."""
    swing, result = np.ptp(outputs, axis=-1), []
    for task in TASKS:
        high = task.target_values > 0.5
        separation = outputs[..., high].min(axis=-1) - outputs[..., ~high].max(axis=-1)
        result.append((separation >= SEPARATION_MIN_A) & (separation >= MARGIN_MIN * swing))
    return np.stack(result, axis=-1)


def likely(outputs: Array, stderr: Array, rng: np.random.Generator) -> Array:
    """Probability of each gate for four outputs known to `stderr`, (6,)."""
    return np.asarray(learned(outputs + stderr * rng.standard_normal((DRAWS, 4))).mean(axis=0))


def secants(outputs: Array, inputs: Array, stderr: Array | float = 0.0) -> tuple[Array, Array]:
    """For each setting 4 slopes: their electrode and the probability that they are negative, (count, 4) each."""
    pairs = ((0, 2, 0), (1, 3, 0), (0, 1, 1), (2, 3, 1))  # low and high pattern, which input
    spread = np.broadcast_to(stderr, outputs.shape)
    electrode, negative = np.empty((len(outputs), 4), dtype=int), np.empty((len(outputs), 4))
    for k, (low, high, which) in enumerate(pairs):
        rise = outputs[:, high] - outputs[:, low]
        error = np.hypot(spread[:, high], spread[:, low])
        electrode[:, k] = inputs[:, which]
        negative[:, k] = norm.cdf(-rise / np.maximum(error, 1e-18))
    return electrode, negative


def per_electrode(electrode: Array, negative: Array, count: int) -> Array:
    """Mean of `negative` by electrode 1 to `count`."""
    return np.array(
        [negative[electrode == k].mean() if np.any(electrode == k) else np.nan for k in range(1, count + 1)]
    )


def chip(count: int, rng: np.random.Generator) -> dict[str, Array]:
    folder = Path(os.environ.get("INMATERIA_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    device = ChipSurrogate.from_npz(folder / "dnpu_chip.npz")
    low, high = device.limits_V.T
    volts, inputs = settings(low, high, count, rng)
    outputs = -device.currents(patterns(volts, inputs))[..., 0]
    local = -device.conductances(volts)[:, 0, 1:]
    return {
        "gates": learned(outputs).mean(axis=0)[None],
        "outputs": outputs.ravel(),
        "local": (local < 0).mean(axis=0),
        "secant": per_electrode(*secants(outputs, inputs), 7),
        "count": np.array(count),
    }


def mean_field(device: MeanField, volts: Array, inputs: Array) -> tuple[Array, Array]:
    """Outputs (count, 4) and local slopes (count, 7)."""
    outputs = np.stack([-device.currents(four)[:, 0] for four in patterns(volts, inputs)])
    return outputs, -device.conductances(volts)[:, 0, 1:]


def monte_carlo(
    device: KineticMonteCarlo, volts: Array, inputs: Array, seed: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Outputs and standard errors (count, 4), and probabilities of the gates (count, 6)."""
    outputs, errors, gates = [], [], []
    for number, four in enumerate(patterns(volts, inputs)):
        hops = FIRST_HOPS
        while True:
            result = device.estimate(four, seed=np.random.default_rng([seed, number, hops]), hops=hops)
            probability = likely(-result.value[:, 0], result.stderr[:, 0], rng)
            if hops >= MOST_HOPS or np.all((probability < 0.01) | (probability > 0.99)):
                break
            hops *= 4
        outputs.append(-result.value[:, 0])
        errors.append(result.stderr[:, 0])
        gates.append(probability)
    return np.array(outputs), np.array(errors), np.array(gates)


def interval(rows: Array, count: int) -> tuple[Array, Array]:
    """95 % interval of the mean over devices, (n_devices, n): bootstrap; for one device binomial."""
    if len(rows) == 1:
        hits = np.round(rows[0] * count)
        low = np.where(hits > 0, beta.ppf(0.025, np.maximum(hits, 1), count - hits + 1), 0.0)
        return low, np.asarray(beta.ppf(0.975, hits + 1, count - hits))
    rng = np.random.default_rng(0)
    means = rows[rng.integers(0, len(rows), (4000, len(rows)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, np.where(rows.sum(axis=0) > 0, high, 1 - 0.025 ** (1 / count))  # none at all: binomial


def measure(seed: int, options: argparse.Namespace) -> dict[str, Array]:
    """All of one device."""
    rng, network, limit = np.random.default_rng([1, seed]), DopantNetwork.random(seed=seed), np.full(8, RANGE_V)
    volts, inputs = settings(-limit, limit, options.settings, rng)
    few, begin = options.kmc_settings, time.perf_counter()
    outputs, local = mean_field(MeanField(network), volts, inputs)
    seen, stderr, probability = monte_carlo(KineticMonteCarlo(network), volts[:few], inputs[:few], seed, rng)
    print(f"device {seed}: {time.perf_counter() - begin:.0f} s, errors {np.median(stderr) * 1e9:.2f} nA", flush=True)
    return {
        "inputs": inputs,
        "outputs": outputs,
        "local": local,
        "seen": seen,
        "stderr": stderr,
        "probability": probability,
    }


def slopes(pairs: list[tuple[Array, Array]]) -> Array:
    return per_electrode(np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs]), 7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="*", default=list(range(10)), help="device seeds")
    parser.add_argument("--settings", type=int, default=60, help="a device, mean field")
    parser.add_argument("--kmc-settings", type=int, default=15, help="a device, Monte Carlo: the first of these")
    parser.add_argument("--chip-settings", type=int, default=20_000)
    parser.add_argument("--data", type=Path, default=Path("gate_abundance"))
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    for seed in options.devices:
        if not (options.data / f"{seed}.npz").exists():
            np.savez(options.data / f"{seed}.npz", **measure(seed, options))  # type: ignore[arg-type]
    parts = [dict(np.load(options.data / f"{seed}.npz")) for seed in options.devices]
    found = {"chip": chip(options.chip_settings, np.random.default_rng(1))}
    found["mean field"] = {
        "gates": np.array([learned(p["outputs"]).mean(axis=0) for p in parts]),
        "outputs": np.concatenate([p["outputs"].ravel() for p in parts]),
        "local": np.concatenate([p["local"] < 0 for p in parts]).mean(axis=0),
        "secant": slopes([secants(p["outputs"], p["inputs"]) for p in parts]),
        "count": np.array(sum(len(p["outputs"]) for p in parts)),
    }
    found["Monte Carlo"] = {
        "gates": np.array([p["probability"].mean(axis=0) for p in parts]),
        "outputs": np.concatenate([p["seen"].ravel() for p in parts]),
        "secant": slopes([secants(p["seen"], p["inputs"][: len(p["seen"])], p["stderr"]) for p in parts]),
        "count": np.array(sum(len(p["seen"]) for p in parts)),
    }
    probability = np.concatenate([p["probability"] for p in parts])
    same = np.concatenate([(p["probability"] > 0.5) == learned(p["outputs"][: len(p["seen"])]) for p in parts])
    still = ((probability > 0.01) & (probability < 0.99)).any(axis=1).mean()
    middle, most = np.percentile(np.concatenate([p["stderr"] for p in parts]), [50, 95]) * 1e9
    print(f"Monte Carlo: standard errors {middle:.2f} nA (median), {most:.2f} nA (95 %), {100 * still:.1f} % of the "
          f"settings left open; the same gates as the mean field in {100 * same.all(axis=1).mean():.1f} % of the "
          f"settings")  # fmt: skip
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=[3, 2])
    print("| model | settings | " + " | ".join(GATES) + " |")
    for k, (name, data) in enumerate(found.items()):
        mean, (low, high) = data["gates"].mean(axis=0), interval(data["gates"], int(data["count"]))
        cells = [f"{100 * m:.2f} ({100 * a:.2f}-{100 * b:.2f})" for m, a, b in zip(mean, low, high, strict=True)]
        print(f"| {name} | {data['count']} | " + " | ".join(cells) + " |")
        bars = np.maximum([mean - low, high - mean], 0)
        left.errorbar(np.arange(6) + 0.15 * (k - 1), 100 * mean, 100 * bars, fmt="o", ms=4, color=f"C{k}", label=name)
        for kind, style in (("local", "-"), ("secant", "--")):
            if kind in data:
                right.plot(range(1, 8), 100 * data[kind], style, marker=".", color=f"C{k}", label=f"{name}, {kind}")
                print(f"    {name}, {kind} slopes negative, % by electrode: {np.round(100 * data[kind], 1).tolist()}")
        print(f"    {name}, outputs, nA, percentiles {PERCENTILES}: "
              f"{np.round(1e9 * np.percentile(data['outputs'], PERCENTILES), 1).tolist()}")  # fmt: skip
    left.set_xticks(range(6), list(GATES))
    left.set_yscale("symlog", linthresh=0.1)
    left.set(ylabel="settings, %", ylim=(0, None))
    left.legend(frameon=False, fontsize=8)
    right.set(xlabel="electrode", ylabel="negative slopes, %", ylim=(0, None))
    right.legend(frameon=False, fontsize=7)
    figure.savefig(options.out / "gate_abundance.png", dpi=130)


if __name__ == "__main__":
    main()
