"""Many runs on one engine, from threads that share it and from processes forked off the one that made it.

python docs/studies/engine_sharing.py [runs]

Each run is a divider with its own ratio and its nets in an order of its own, so that a stranger's answer shows.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from circuits.ngspice.engine import Engine

THREADS = 8
PROCESSES = 4

engine = Engine(timeout_s=60.0)


def outcome(k: int) -> str:
    """Whether run k has its own answer."""
    r = 1 + k % 997
    lines = ["V1 a 0 1", f"R1 a b 1k\nR2 b 0 {r}k" if k % 2 else f"R2 b 0 {r}k\nR1 a b 1k"]
    deck = "\n".join(["divider", *(lines if k % 3 else lines[::-1]), ".op", ".end"])
    try:
        return "right" if abs(float(engine.run(deck)["b"][0]) - r / (r + 1)) < 1e-9 else "WRONG"
    except Exception as error:
        return type(error).__name__


def report(what: str, found: Counter[str], begin: float) -> None:
    """Print one line."""
    seconds = time.perf_counter() - begin
    print(f"{what:>32}  {dict(found)}  {seconds:.0f} s, {1e3 * seconds / found.total():.1f} ms a run", flush=True)


def main() -> None:
    """Run and count."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with engine:
        print(f"ngspice {engine.about()['version']}; {runs} runs each")
        begin = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as threads:
            report(f"{THREADS} threads, one engine", Counter(threads.map(outcome, range(runs))), begin)
        begin = time.perf_counter()
        with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
            counted = Counter(pool.imap_unordered(outcome, range(runs), chunksize=25))
        report(f"{PROCESSES} forked processes", counted, begin)
        begin = time.perf_counter()
        report("the parent again", Counter(map(outcome, range(100))), begin)


if __name__ == "__main__":
    main()
