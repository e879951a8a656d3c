"""Compile what most tests run, once, before they start: two test processes would each compile the same kernels.

    python tests/compile_kernels.py

Numba keeps the machine code beside the sources, where all later processes find it.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np

from circuits.homodyne.engines import ENGINES
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from inmateria.cli import main
from learning.bench.bench import default_bench
from learning.homodyne.experiment import Experiment
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import learn


def compile_kernels() -> None:
    """Run every engine of the loop, every way of a Monte Carlo, and a short descent of each kind."""
    bench = default_bench()
    short = Experiment(bench, bench.task("AND"), HgeSettings(sequences=1, looks=1, restarts=1))
    for engine in ENGINES:
        learn(short, rng=np.random.default_rng(0), engine=engine)
    network = DopantNetwork.random(seed=1, preset="tertilt2022", acceptors=20)
    model, volts = KineticMonteCarlo(network), np.zeros(len(network.electrodes))
    for method in ("graph", "rows", "direct"):
        model.estimate(volts, seed=1, hops=2000, method=method)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for code in ("sine", "walsh"):
            for mode in ("discrete", "analog"):
                with contextlib.suppress(SystemExit):
                    main(
                        [
                            "mgd",
                            "xor",
                            "--code",
                            code,
                            "--mode",
                            mode,
                            "--steps",
                            "2000",
                            "--seeds",
                            "1",
                            "--checks",
                            "2",
                        ]
                    )


if __name__ == "__main__":
    compile_kernels()
