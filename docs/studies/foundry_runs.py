"""Wall time of foundries' transistors: `Engine.run` against plain ``ngspice -b``, the same decks, turn by turn.

python docs/studies/foundry_runs.py [turns]

The engine's first run of a deck reads the models; a worker's start is a line of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from circuits.ngspice.engine import Engine
from circuits.ngspice.one_thread import on_one_thread
from netlists.foundries import foundry_models

GF, SKY, IHP = (foundry_models(process) for process in ("gf180mcu", "sky130", "sg13g2"))
SWEEP = "Vd d 0 0.9\nVg g 0 0\n{card}\n.dc Vg {range}\n.end"


def ring(stages: int) -> str:
    """A ring oscillator of GF180MCU inverters, 60 ns."""
    lines = [f"X{k}n n{(k + 1) % stages} n{k} 0 0 nfet_03v3 W=1u L=0.28u\n"
             f"X{k}p n{(k + 1) % stages} n{k} d d pfet_03v3 W=2u L=0.28u\n"
             f"C{k} n{k} 0 5f" for k in range(stages)]  # fmt: skip
    return "\n".join([*lines, "Vd d 0 3.3", ".ic v(n0)=0", ".tran 5p 60n uic", ".end"])


DECKS = {
    "GF180MCU MOS, 76 points": f"t\n.include {GF}/design.ngspice\n.lib {GF}/sm141064.ngspice typical\n"
    + SWEEP.format(card="X1 d g 0 0 nfet_03v3 W=10u L=0.5u", range="0 1.5 0.02"),
    "GF180MCU ring of 11, 60 ns": f"t\n.include {GF}/design.ngspice\n.lib {GF}/sm141064.ngspice typical\n" + ring(11),
    "SKY130 MOS, 76 points": f"t\n.lib {SKY}/C4M.Sky130_all_lib.spice logic_tt\n"
    + SWEEP.format(card="M1 d g 0 0 sky130_fd_pr__nfet_01v8__model W=1u L=0.15u", range="0 1.5 0.02"),
    "SG13G2 HBT, 81 points": f"t\n.lib {IHP}/cornerHBT.lib hbt_typ\n"
    + SWEEP.format(card="X1 d g 0 0 npn13G2 Nx=1", range="0.5 0.9 0.005"),
}


def seconds(run: Callable[[], Any]) -> float:
    """Wall time of a call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main() -> None:
    """Time and print."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder, Engine() as engine:
        print(f"a worker's start {seconds(engine.about):.2f} s; medians of {turns}")
        print(f"{'':28} {'ngspice -b':>10} {'first':>8} {'next':>8} {'ratio':>6}")
        for name, deck in DECKS.items():
            (Path(folder) / "deck.cir").write_text(on_one_thread(deck))
            (Path(folder) / ".spiceinit").write_text("* nothing\n")
            command = ["ngspice", "-b", "deck.cir", "-r", "out.raw"]
            first = seconds(partial(engine.run, deck))
            plain, ours = [], []
            for _ in range(turns):
                plain.append(seconds(partial(subprocess.run, command, cwd=folder, check=True, capture_output=True)))
                ours.append(seconds(partial(engine.run, deck)))
            times = f"{median(plain):8.3f} s {first:6.3f} s {median(ours):6.3f} s"
            print(f"{name:28} {times} {median(ours) / median(plain):6.2f}", flush=True)


if __name__ == "__main__":
    main()
