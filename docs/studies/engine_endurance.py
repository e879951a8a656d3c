"""Memory of the worker and of this process over many runs on one engine: a transient and an operating point each.

python docs/studies/engine_endurance.py [runs]
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np

from circuits.ngspice.engine import OPTIONS, Engine

TRANSIENT = "rc\nV1 a 0 1\nR1 a b 1k\nC1 b 0 1u ic=0\n" + OPTIONS
POINT = "divider\nV1 a 0 1\nR1 a b 1k\nR2 b 0 3k\n.op\n.end"


def resident_MB(process: int | str) -> float:
    """Resident memory of a process, MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found.group(1)) / 1024


def main() -> None:
    """Run, check each result against its closed form, print the memory."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    marks = {20, *(runs * k // 10 for k in range(1, 11))}
    wrong = 0
    with Engine() as engine:
        print(f"ngspice {engine.about()['version']}; {runs} transients of 500 points and {runs} operating points")
        print(f"{'runs':>8} {'worker MB':>10} {'parent MB':>10} {'wrong':>6} {'ms a pair':>10}")
        begin = time.perf_counter()
        for k in range(1, runs + 1):
            run = engine.transient(TRANSIENT, stop_s=5e-3, max_step_s=1e-5, save=["v(b)"])
            exact = 1 - np.exp(-run.time_s / 1e-3)
            point = engine.run(POINT)
            wrong += not (
                run.complete and np.max(np.abs(run["v(b)"] - exact)) < 2e-5 and abs(point["b"][0] - 0.75) < 1e-9
            )
            if k in marks:
                pid = engine.pid
                assert pid is not None
                each = 1e3 * (time.perf_counter() - begin) / k
                print(
                    f"{k:8d} {resident_MB(pid):10.1f} {resident_MB('self'):10.1f} {wrong:6d} {each:10.1f}", flush=True
                )


if __name__ == "__main__":
    main()
