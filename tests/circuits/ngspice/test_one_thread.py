"""Transistors that ngspice would share among threads are computed on one, in every deck that is run or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuits.ngspice.engine import Engine
from circuits.ngspice.one_thread import ONE_THREAD, on_one_thread

MOSFETS = """\
.model n nmos level=14 version=4.7 toxe=2e-9 vth0=0.4 u0=0.03
.model p pmos level=14 version=4.7 toxe=2e-9 vth0=-0.4 u0=0.01
Vdd d 0 1.2
M1 b a 0 0 n W=1u L=0.1u
M2 b a d d p W=2u L=0.1u
M3 c b 0 0 n W=1u L=0.1u
M4 c b d d p W=2u L=0.1u
M5 a c 0 0 n W=1u L=0.1u
M6 a c d d p W=2u L=0.1u
C1 a 0 10f
C2 b 0 10f
C3 c 0 10f
.ic v(a)=0
"""
"""A ring of three inverters, of BSIM4 transistors."""

TRANSIENT = ".tran 1p {stop} 0 1p uic\n.end\n"


@pytest.mark.parametrize("end", ["\n.end", "\n .END $ of it\nafter", "\n", ""])
def test_the_option_is_the_last_card_and_stands_there_once(end: str) -> None:
    deck = f"title .end\n.subckt a b\nR1 b 0 1\n.ends{end}"
    found = on_one_thread(deck)
    assert found == f"title .end\n.subckt a b\nR1 b 0 1\n.ends\n{ONE_THREAD}\n{end[1:]}"
    assert on_one_thread(found) == found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_ngspice_starts_no_thread_unless_the_deck_asks_for_some(tmp_path: Path) -> None:
    """In a deck, in a transient and in an included file: the first `num_threads` counts."""
    (tmp_path / "three.lib").write_text(".option num_threads=3\n")

    def threads(engine: Engine) -> int:
        assert engine.pid is not None
        return len(list(Path(f"/proc/{engine.pid}/task").iterdir()))

    with Engine() as engine:
        engine.about()
        alone = threads(engine)
        engine.run(f"ring\n{MOSFETS}{TRANSIENT.format(stop='0.1n')}")
        engine.transient(f"ring\n{MOSFETS}", stop_s=1e-10, max_step_s=1e-12, save=["v(a)"])
        assert threads(engine) == alone
        engine.run(f"ring\n.include {tmp_path}/three.lib\n{MOSFETS}{TRANSIENT.format(stop='1p')}")
        if threads(engine) == alone:
            pytest.skip("this ngspice is built without OpenMP")
        assert threads(engine) == alone + 2
