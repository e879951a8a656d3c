"""`inmateria bench kmc`: how fast the device models are here, against the slow reference in the same run."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.console import Console

from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.monte_carlo.trajectory import Method
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted

SPREAD_V = 0.6
WARM_STEP_V = 1e-3
LEAST_A = 5e-9


def _hops_per_s(
    model: KineticMonteCarlo, volts: FloatArray, seed: int, method: Method, hops: int, *, sample: bool = False
) -> tuple[float, float]:
    """Hops a second of processor time, and tries (or new states) a hop."""
    trajectory = model.trajectory(volts, seed=seed, method=method)
    trajectory.settle(max(hops // 10, 100), sample=sample)
    begin = time.process_time()
    trajectory.follow(hops)
    return hops / (time.process_time() - begin), trajectory.tries_per_hop


def _network(model: KineticMonteCarlo, settings: FloatArray, seed: int, hops: int, tick: Any) -> dict[str, Any]:
    fast: Method = "graph" if model.network.n_sites <= 64 else "rows"
    rates, sampled, slow, tries, seconds, gains = [], [], [], [], [], []
    for k, volts in enumerate(settings):
        speed, tried = _hops_per_s(model, volts, seed + k, fast, hops)
        rates.append(speed)
        tries.append(tried)
        sampled.append(_hops_per_s(model, volts, seed + k, fast, hops, sample=True)[0])
        slow.append(_hops_per_s(model, volts, seed + k, "direct", max(hops // 100, 1000))[0])
        result = model.estimate(volts, seed=seed + k, hops=200_000)
        gains.append(float(np.median((result.counted_stderr / result.stderr) ** 2)))
        for electrode in np.nonzero(np.abs(result.value) >= LEAST_A)[0].tolist():
            begin = time.process_time()
            model.estimate(volts, seed=seed + k, until=0.01, electrode=electrode)
            seconds.append(time.process_time() - begin)
        tick()
    return {
        "hops_per_s": float(np.median(rates)),
        "hops_per_s_least": float(np.min(rates)),
        "hops_per_s_sampled": float(np.median(sampled)),
        "ratio_to_direct": float(np.median(np.array(rates) / np.array(slow))),
        "tries_or_new_states_per_hop": float(np.median(tries)),
        "s_to_1pct": float(np.median(seconds)) if seconds else None,
        "s_to_1pct_most": float(np.max(seconds)) if seconds else None,
        "currents_timed": len(seconds),
        "gain_over_counting": float(np.median(gains)),
    }


def _mean_field(network: DopantNetwork, settings: FloatArray, tick: Any) -> dict[str, Any]:
    model = MeanField(network)
    begin = time.process_time()
    model.solve(settings[0])  # with the state at rest, from which every other begins
    first = time.process_time() - begin
    cold, warm, followed, conductances = [], [], [], []
    for volts in settings:
        begin = time.process_time()
        start = model.solve(volts).occupations
        cold.append(time.process_time() - begin)
        path = volts + WARM_STEP_V * np.linspace(0, 1, 20)[:, None] * np.eye(len(volts))[1]
        begin = time.process_time()
        for step in path:
            start = model.solve(step, start=start).occupations
        warm.append((time.process_time() - begin) / len(path))
        begin = time.process_time()
        model.follow(path)
        followed.append((time.process_time() - begin) / len(path))
        begin = time.process_time()
        model.conductances(path)
        conductances.append((time.process_time() - begin) / len(path))
        tick()
    return {
        "warm_ms": 1e3 * float(np.median(warm)),
        "followed_ms": 1e3 * float(np.median(followed)),
        "conductances_ms": 1e3 * float(np.median(conductances)),
        "cold_ms": 1e3 * float(np.median(cold)),
        "first_ms": 1e3 * first,
    }


def run_bench(*, seed: int, device_seed: int, settings: int, answer: Console) -> dict[str, Any]:
    """Measure, tell, and return the figures: medians over settings within +-0.6 V, one core, processor time."""
    networks = {
        "n200": DopantNetwork.random(seed=device_seed, preset="tertilt2022"),
        "n30": DopantNetwork.random(seed=device_seed, preset="tertilt2022", acceptors=30),
        "n30_kmc_dn": DopantNetwork.random(seed=device_seed, preset="kmc_dn"),
    }
    content: dict[str, Any] = {}
    rng = np.random.default_rng(seed)
    with compilation_told(stderr), counted(stderr, "settings measured", settings * (len(networks) + 1)) as tick:
        for name, network in networks.items():
            model = KineticMonteCarlo(network)
            volts = rng.uniform(-1, 1, (settings, 8)) * (50.0 if name == "n30_kmc_dn" else SPREAD_V)
            for method in ("direct", "graph" if network.n_sites <= 64 else "rows"):
                _hops_per_s(model, volts[0], seed, method, 1000)  # compiles
            content[name] = _network(model, volts, seed, 300_000, tick)
        volts = rng.uniform(-SPREAD_V, SPREAD_V, (settings, 8))
        _mean_field(networks["n200"], volts[:1], lambda: None)  # compiles
        content["meanfield"] = _mean_field(networks["n200"], volts, tick)
    for name, figures in content.items():
        answer.print(name + ": " + ", ".join(f"{k} {v:.3g}" for k, v in figures.items() if v is not None))
    return {"settings": settings, "device_seed": device_seed, **content}
