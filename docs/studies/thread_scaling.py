"""How voltage points scale over cores: `KineticMonteCarlo.estimate(..., threads=n)` against threads=1, in one run.

    python docs/studies/thread_scaling.py

Each round does the same work three ways, one after the other: with one thread, with n threads, and with n processes
that share nothing, which is what this machine can give at that moment (other users, clock, memory). Times are
wall-clock; CPU seconds, which other users do not take away, tell whether threads cost extra work. Medians over the
rounds.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from inmateria import DopantNetwork, KineticMonteCarlo


@cache
def device(sites: int) -> KineticMonteCarlo:
    model = KineticMonteCarlo(DopantNetwork.random(seed=0, acceptors=sites))
    model.estimate(np.zeros(8), seed=0, hops=1000)  # compiles, and makes the tables
    return model


def work(sites: int, volts: NDArray[np.float64], hops: int, threads: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds."""
    model = device(sites)
    wall, cpu = time.perf_counter(), time.process_time()
    model.estimate(volts, seed=1, hops=hops, threads=threads)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--points", type=int, default=16)
    parser.add_argument("--hops", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    n = options.threads
    volts = np.random.default_rng(0).uniform(-0.7, 0.7, (options.points, 8))
    parts = [volts[k::n] for k in range(n)]
    with ProcessPoolExecutor(n, mp_context=get_context("spawn")) as pool:
        for sites, hops in ((200, options.hops), (30, 10 * options.hops)):
            work(sites, volts[:1], 1000, 1)
            for _ in range(2):  # every process is warm
                list(pool.map(work, [sites] * n, parts, [1000] * n, [1] * n))
            rounds = []
            for _ in range(options.rounds):
                one, many = work(sites, volts, hops, 1), work(sites, volts, hops, n)
                wall = time.perf_counter()
                list(pool.map(work, [sites] * n, parts, [hops] * n, [1] * n))
                rounds.append((*one, *many, time.perf_counter() - wall))
            one, one_cpu, many, many_cpu, processes = np.array(rounds).T
            print(f"{sites} sites, {options.points} points of {hops} hops: {n} threads are {np.median(one / many):.2f} "
                  f"times as fast as one ({(one / many).min():.2f} to {(one / many).max():.2f}), {n} processes "
                  f"{np.median(one / processes):.2f}; CPU seconds of {n} threads over those of one: "
                  f"{np.median(many_cpu / one_cpu):.2f}; the one thread had {np.median(one_cpu / one):.2f} of a core",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
