"""`inmateria bench mgd`: steps per second of multiplexed gradient descent, compiled, beside a plain NumPy loop."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.console import Console

from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted
from learning.multiplexed.descent import MgdSettings, MultiplexedDescent
from learning.multiplexed.reference import plain_descent
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.samples.samples import SampleSet, letters, parity

ROUNDS = 5
_SETTINGS = MgdSettings(eta=1e-3, code="random", norm=0.01, tau_theta=100, tau_x=100)


def _rate(samples: SampleSet, steps: int, *, plain: bool = False) -> float:
    """Steps per second, processor time of one core; compiled, or by plain NumPy."""
    network = SigmoidNetwork(samples.sizes)
    start = network.start(np.random.default_rng(0))
    descent = MultiplexedDescent(network.data(samples.inputs, samples.targets), start, _SETTINGS)
    begin = time.process_time()
    if plain:
        plain_descent(network, samples.inputs, samples.targets, start, _SETTINGS, steps)
    else:
        descent.run(steps)
    return steps / (time.process_time() - begin)


def run_bench(*, answer: Console) -> dict[str, Any]:
    """Measure, tell, and return the figures: medians of rounds in turns, random signs, one core, processor time."""
    small, large = parity(2), letters(200, 4)
    with compilation_told(stderr):
        _rate(small, 1)
    rates: dict[str, list[float]] = {"221": [], "4944": [], "numpy_221": [], "numpy_4944": []}
    with counted(stderr, "rounds", ROUNDS) as tick:
        for _ in range(ROUNDS):
            rates["221"].append(_rate(small, 1_000_000))
            rates["4944"].append(_rate(large, 200_000))
            rates["numpy_221"].append(_rate(small, 2_000, plain=True))
            rates["numpy_4944"].append(_rate(large, 2_000, plain=True))
            tick()
    middle = {name: float(np.median(values)) for name, values in rates.items()}
    content = {
        "steps_per_s_221": middle["221"],
        "steps_per_s_4944": middle["4944"],
        "ratio_numpy": middle["221"] / middle["numpy_221"],
        "ratio_numpy_4944": middle["4944"] / middle["numpy_4944"],
    }
    answer.print(
        f"2-2-1: {middle['221']:.3g} steps/s, {content['ratio_numpy']:.0f} times NumPy; "
        f"49-4-4: {middle['4944']:.3g} steps/s, {content['ratio_numpy_4944']:.0f} times NumPy",
    )
    return content
