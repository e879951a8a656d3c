"""A small random network in a chip's place, and one short attempt on it: everything of a run, in a second."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from circuits.homodyne.engines import Twin
from dnpu_models.surrogate.chip import ChipSurrogate
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.results import Attempt, Start
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import judge

START = np.array([0.1, -0.2, 0.15, 0.05])
"""Where the attempt starts, V."""


@pytest.fixture(scope="session")
def small_bench() -> Bench:
    """Four electrodes within +-1 V, tens of nA."""
    rng = np.random.default_rng(3)
    sizes = (4, 12, 12, 1)
    weights = tuple(rng.normal(0, np.sqrt(2 / a), (b, a)) for a, b in pairwise(sizes))
    biases = tuple(rng.normal(0, 0.1, b) for b in sizes[1:])
    return Bench(ChipSurrogate(weights, biases, np.full(4, -1.0), np.full(4, 1.0), 2e-8), 0, (1, 2))


@pytest.fixture(scope="session")
def small_attempt(small_bench: Bench) -> Attempt:
    """AND, three sequences, by the twin; the dither stays as it is."""
    experiment = Experiment(small_bench, small_bench.task("AND"), HgeSettings(sequences=3, dither_to=1.0))
    outputs = small_bench.outputs_A(START, experiment.task)
    loop = build_loop(experiment, START, 1.0, outputs)
    return judge(experiment, loop, Twin().run(loop), Start(START, 1.0, outputs, 4, None))
