"""Cost of an accepted time-point: a built-in source, a compiled callback, PySpice's Python callback; one run.

    python docs/studies/callback_cost.py

The circuit is an RC driven by a 1 mA sine current: a SIN source; an external source served by this package's compiled
callbacks; and one served by PySpice's own Python callbacks with and without its `send_data`. Each runs in a process of
its own; ratios are of the same run.
"""

import argparse
import json
import subprocess
import sys
import time

POINTS = 50_000
STEP = 1e-6

PYSPICE = """
import math, sys, time
from circuits.library import find_ngspice_library
from PySpice.Spice.NgSpice.Shared import NgSpiceShared, ffi
class Shared(NgSpiceShared):
    LIBRARY_PATH = find_ngspice_library()
    def get_isrc_data(self, current, time, node, ngspice_id):
        current[0] = 1e-3 * math.sin(6283.185307179586 * time)
        return 0
send = {send}
shared = Shared(send_data=send)
lines = {lines!r}
array = [ffi.new("char[]", line.encode()) for line in lines]
shared._ngspice_shared.ngSpice_Circ(ffi.new("char *[]", [*array, ffi.NULL]))
begin = time.perf_counter()
shared._ngspice_shared.ngSpice_Command(b"run")
print(time.perf_counter() - begin)
"""


def deck(source: str) -> list[str]:
    return ["callback cost", source, "R1 a 0 1k", "C1 a 0 1u", ".save v(a)",
            f".tran {STEP} {POINTS * STEP} 0 {STEP} uic", ".end"]  # fmt: skip


def with_pyspice(send: bool) -> float:
    code = PYSPICE.format(send=send, lines=deck("I1 0 a external"))
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(out.stdout.split()[-1])


def with_engine(external: bool) -> tuple[float, float]:
    import numpy as np
    from numba import njit

    from inmateria import CoSimulation, Engine, SteppableKernel

    @njit
    def evaluate(t, voltages, params, state, out):
        out[0] = -1e-3 * np.sin(6283.185307179586 * t)

    @njit
    def advance(dt, voltages, params, state):
        pass

    kernel = SteppableKernel(evaluate, advance, np.zeros(1), np.zeros(1), np.zeros((1, 1)))
    coupled = CoSimulation(kernel, ["a"], np.zeros(1), source_ohm=1e3)
    circuit = "callback cost\nR1 a 0 1k\nC1 a 0 1u" + ("" if external else "\nI1 0 a sin(0 1m 1k)")
    with Engine() as engine:
        for _ in range(2):  # the first run compiles
            run = engine.transient(
                circuit,
                stop_s=POINTS * STEP,
                max_step_s=STEP,
                save=["v(a)"],
                cosimulation=coupled if external else None,
            )
    return run.statistics["seconds"], run.statistics["points"]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    time.sleep(0)
    builtin, points = with_engine(False)
    compiled, _ = with_engine(True)
    python, python_data = with_pyspice(False), with_pyspice(True)
    per = {
        "builtin": builtin,
        "numba": compiled,
        "python": python,
        "python_send_data": python_data,
    }
    micro = {f"us_per_point_{name}": 1e6 * value / points for name, value in per.items()}
    ratios = {f"ratio_{name}": value / builtin for name, value in per.items()}
    print(json.dumps({"points": points, **micro, **ratios}, indent=2))


if __name__ == "__main__":
    main()
