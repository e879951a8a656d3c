"""A small random network in a chip's place, and one short attempt on it: everything of a run, in a second."""

from __future__ import annotations

import numpy as np
import pytest

from circuits.homodyne.engines import Twin
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.results import Attempt
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import Start
from learning.homodyne.training import judge

from ..toys import random_chip

START = np.array([0.1, -0.2, 0.15, 0.05])
"""Where the attempt starts, V."""


@pytest.fixture(scope="session")
def small_bench() -> Bench:
    """Four electrodes within +-1 V, tens of nA."""
    return Bench(random_chip(4, 12, 12, 1, seed=3, scale=np.sqrt(2), kinks=0.1), 0, (1, 2))


@pytest.fixture(scope="session")
def small_attempt(small_bench: Bench) -> Attempt:
    """AND, three sequences, by the twin; the dither stays as it is."""
    settings = HgeSettings(amplitude_V=0.01, sequences=3, dither_to=1.0)
    experiment = Experiment(small_bench, small_bench.task("AND"), settings)
    outputs = small_bench.outputs_A(START, experiment.task)
    loop = build_loop(experiment, START, 1.0, outputs)
    return judge(experiment, loop, Twin().run(loop), Start(START, 1.0, outputs, 4, None))
