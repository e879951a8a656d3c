"""The ngspice engine: right numbers, and one clear error for all that can go wrong. Real ngspice always."""

from __future__ import annotations

import math
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from circuits.ngspice.blocks import HEADER
from circuits.ngspice.engine import OPTIONS, Engine
from circuits.ngspice.library import find_ngspice_library
from circuits.ngspice.messages import operating_point
from circuits.ngspice.one_thread import on_one_thread
from circuits.ngspice.record import Record
from circuits.signals.transient import Transient, Trust
from inmateria.errors import (
    AbsurdValueError,
    ConvergenceError,
    EngineCrashError,
    EngineError,
    EngineHangError,
    Interrupted,
    NetlistError,
    NoConvergenceError,
    RunError,
    SingularMatrixError,
    TimestepTooSmallError,
    TooManyPointsError,
    TrustWarning,
)

ROOT = Path(__file__).resolve().parents[3]
RC = "rc\nV1 a 0 1\nR1 a b 1k\nC1 b 0 1u ic=0\n" + OPTIONS


def simple(engine: Engine, folder: Path | None = None) -> Transient:
    return engine.transient(RC, stop_s=5e-3, max_step_s=1e-5, save=["v(b)"], folder=folder)


def worker_pid(engine: Engine) -> int:
    engine.about()
    assert engine.pid is not None
    return engine.pid


# -- right numbers ---------------------------------------------------------------------------------------------------


def test_patience_may_be_endless() -> None:
    with Engine(timeout_s=math.inf) as engine:
        assert engine.timeout_s == math.inf


def test_rc_follows_the_closed_form(engine: Engine) -> None:
    run = simple(engine)
    assert run.complete
    np.testing.assert_allclose(run["v(b)"], 1 - np.exp(-run.time_s / 1e-3), atol=2e-5)  # h^2/12 tau^2 = 8e-6
    assert run.statistics["points"] == len(run.time_s)
    assert run.statistics["rejected"] == 0
    assert run.statistics["iterations"] > len(run.time_s)
    assert run.statistics["seconds"] > 0
    assert run.device_A.shape == (len(run.time_s), 0)
    assert ".tran" in run.deck


def test_names_are_case_blind_and_currents_are_saved(engine: Engine) -> None:
    run = engine.transient(RC, stop_s=1e-3, max_step_s=1e-5, save=["V(B)", "i(V1)"])
    np.testing.assert_allclose(run["I(v1)"], -(1 - run["v(b)"]) / 1e3, rtol=1e-6)


def test_sines_add(engine: Engine) -> None:
    deck = "sum\nV1 a 0 sin(0 1 1k)\nV2 b a sin(0 0.5 1.3k 0 0 90)\nR1 b 0 1k\n" + OPTIONS
    run = engine.transient(deck, stop_s=5e-3, max_step_s=1e-5, save=["v(b)"])
    t = 2 * np.pi * run.time_s
    np.testing.assert_allclose(run["v(b)"], np.sin(1e3 * t) + 0.5 * np.cos(1.3e3 * t), atol=1e-9)


def test_operating_point_ac_and_dc(engine: Engine) -> None:
    point = engine.run("op\nV1 a 0 1\nR1 a b 1k\nR2 b 0 3k\n.op\n.end")
    assert point["b"] == pytest.approx([0.75])
    assert point["v1#branch"] == pytest.approx([-0.25e-3])
    sweep = engine.run("dc\nV1 a 0 1\nR1 a b 1k\nR2 b 0 3k\n.dc V1 0 1 0.25\n.end")
    np.testing.assert_allclose(sweep["b"], 0.75 * sweep["v-sweep"], atol=1e-9)
    bode = engine.run("ac\nV1 a 0 ac 1\nR1 a b 1k\nC1 b 0 1u\n.ac dec 5 10 10k\n.end")
    omega = 2 * np.pi * bode["frequency"].real
    np.testing.assert_allclose(bode["b"], 1 / (1 + 1j * omega * 1e-3), rtol=1e-6)


def test_noise_is_its_spectrum_and_its_total(engine: Engine) -> None:
    """4 k T R of a resistor, cut off by a capacitor; the total over all frequencies is k T / C."""
    found = engine.run("kT/C\nV1 a 0 0 ac 1\nR1 a b 1k\nC1 b 0 1n\n.noise v(b) V1 dec 50 1 1g\n.end")
    f, kT = found["frequency"], 1.380649e-23 * 300.15
    density = np.sqrt(4 * kT * 1e3 / (1 + (2 * np.pi * f * 1e-6) ** 2))
    np.testing.assert_allclose(found["onoise_spectrum"], density, rtol=1e-5)
    np.testing.assert_allclose(found["inoise_spectrum"], np.sqrt(4 * kT * 1e3), rtol=1e-5)
    assert found["onoise_total"] == pytest.approx([np.sqrt(kT / 1e-9)], rel=3e-3)
    assert "onoise_spectrum" not in engine.run("op\nV1 a 0 1\nR1 a 0 1k\n.op\n.end")


@pytest.mark.parametrize(("options", "low", "high"), [("", 0.02, 0.2), (OPTIONS, 0.0, 1e-4)])
def test_products_are_exact_at_the_options_and_lag_without(
    engine: Engine, options: str, low: float, high: float
) -> None:
    """5 mV of a tone on 1 V, 24 points a period, times the tone: reltol of the product hides 7 % of the reading."""
    deck = f"mixer\nV1 a 0 sin(1 5m 1k)\nV2 b 0 sin(0 1 1k)\nB1 c 0 V=v(a)*v(b)\nR1 c 0 1\n{options}"
    run = engine.transient(deck, stop_s=20e-3, max_step_s=1e-3 / 24, save=["v(a)", "v(b)", "v(c)"])
    t = run.time_s
    exact = np.trapezoid(run["v(a)"] * run["v(b)"], t)
    error = abs(np.trapezoid(run["v(c)"], t) / exact - 1)
    assert exact == pytest.approx(2.5e-3 * 20e-3, rel=0.05)
    assert low <= error < high


def test_options_leave_the_step_to_the_maximum(engine: Engine) -> None:
    """No step is rejected where charge and current of a capacitor pass through zero together: chgtol is for that."""
    deck = "zero\nV1 a 0 sin(0 1 100)\nB1 0 x I=100*v(a)*v(a)*v(a)\nC1 x 0 1 ic=-0.5\n" + OPTIONS
    run = engine.transient(deck, stop_s=0.1, max_step_s=1e-3, save=["v(x)"])
    assert run.statistics["rejected"] == 0
    assert np.sum(run.time_s < 0.09) < 120  # ngspice 47 halves its steps towards the end


def test_options_leave_the_step_to_the_maximum_beside_a_poly_source(engine: Engine) -> None:
    """ngspice makes an XSPICE device of it, and then a trtol of 1 for the whole circuit."""
    deck = "poly\nV1 a 0 sin(0 1 100)\nE1 b 0 POLY(2) (a,0) (a,0) 0 0.5 0.5\nR1 b x 1k\nC1 x 0 1u ic=0\n" + OPTIONS
    run = engine.transient(deck, stop_s=0.1, max_step_s=1e-4, save=["v(x)"])
    assert run.statistics["rejected"] == 0
    assert np.sum(run.time_s < 0.09) < 1020
    tau, w, t = 1e-3, 200 * np.pi, run.time_s
    exact = (np.sin(w * t) - w * tau * np.cos(w * t) + w * tau * np.exp(-t / tau)) / (1 + (w * tau) ** 2)
    np.testing.assert_allclose(run["v(x)"], exact, atol=1e-3)


def test_about_tells_version_and_library(engine: Engine) -> None:
    about = engine.about()
    assert re.match(r"\d+", about["version"])
    assert about["library"]


# -- what is refused before ngspice sees it --------------------------------------------------------------------------


SHORT = {"stop_s": 1e-3, "max_step_s": 1e-5, "save": ["v(a)"]}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["V9 a 0 dc 0 external", "I9 a 0 0 external", "V9 a 0 external 0", "v9 a 0 EXTERNAL dc 1"], "crashes ngspice"),
        (["V9 a 0 external", "Idevice0 a 0 external", "Iother a\n+ 0 external"], "nobody gives this source a value"),
        ([".include {folder}/V.lib", ".include {folder}/I.lib"], "nobody gives this source a value"),
        ([".tran 1u 1m", ".op", ".end", ".control\nquit\n.endc", "  .AC dec 1 1 10"], "is the engine's to write"),
    ],
)
def test_what_a_transient_cannot_take_is_refused(engine: Engine, tmp_path: Path, lines: list[str], told: str) -> None:
    """As in a run (`test_malformed_decks.py`), and an analysis of the circuit's own besides."""
    for kind in "VI":
        (tmp_path / f"{kind}.lib").write_text(f"{kind}9 a 0 external\n")
    for line in lines:
        with pytest.raises(NetlistError, match=told):
            engine.transient(f"t\nR1 a 0 1k\n{line.format(folder=tmp_path)}", **SHORT)


@pytest.mark.parametrize(("stop", "step"), [(1e-3, 0.0), (0.0, 1e-5), (1e-3, 2e-3), (np.inf, 1e-3), (np.nan, 1e-5)])
def test_impossible_times_are_refused(engine: Engine, stop: float, step: float) -> None:
    with pytest.raises(NetlistError, match="max_step_s"):
        engine.transient(RC, stop_s=stop, max_step_s=step, save=["v(b)"])


def test_a_blank_first_line_is_the_title(engine: Engine) -> None:
    """Dropped, it would make a title of V1, and v(b) would be 0."""
    run = engine.transient("\n" + RC.partition("\n")[2], stop_s=5e-3, max_step_s=1e-5, save=["v(b)"])
    assert run["v(b)"][-1] == pytest.approx(1 - np.exp(-5), abs=1e-4)


# -- what ngspice refuses --------------------------------------------------------------------------------------------


def test_a_rejected_deck_says_why_and_is_kept(engine: Engine, tmp_path: Path) -> None:
    line = "X1 a 0 nosuch"
    with pytest.raises(NetlistError, match="unknown subckt") as caught:
        engine.transient(f"{RC}\n{line}", **SHORT, folder=tmp_path)
    (kept,) = tmp_path.glob("*.cir")
    assert str(kept) in str(caught.value)
    assert line in kept.read_text()
    assert simple(engine).complete


def test_a_vector_that_is_not_there_is_named(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NetlistError, match="nosuch"):
        engine.transient(RC, stop_s=1e-3, max_step_s=1e-5, save=["v(b)", "v(nosuch)"], folder=tmp_path)


def test_steps_that_creep_end_the_run(engine: Engine, tmp_path: Path) -> None:
    """Points are accepted for ever, each 1e-17 s after the last: no hang, no full disk. ngspice 47 gives up itself."""
    deck = "creep\nI1 0 a 1m\nC1 a 0 1n\nB1 a 0 I=u(v(a)-0.5)*1"
    with pytest.raises((TooManyPointsError, TimestepTooSmallError)) as caught:
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(a)"], folder=tmp_path)
    assert caught.value.time_s is not None
    assert 4e-7 < caught.value.time_s < 1e-4  # 1 mA charges 1 nF to 0.5 V in 0.5 us
    assert simple(engine).complete


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("1/(v(a)-v(a))", r"v\(b\) = 1(\.0+\d+)?e\+(32|99)"),
        ("exp(1000*v(a))", r"v\(b\) = 1(\.0+\d+)?e\+(32|99)"),
        ("-1/(v(a)-v(a))", r"v\(b\) = -1(\.0+\d+)?e\+(32|99)"),
        ("ln(-v(a))", "."),
        ("sqrt(-v(a))", "."),
    ],
)
def test_absurd_values_are_no_result(engine: Engine, value: str, told: str) -> None:
    """Ngspice answers 1e32 or 1e99, or NaN, and code 0."""
    deck = f"t\nV1 a 0 1\nR1 a 0 1k\nB1 b 0 V={value}\nR2 b 0 1k"
    with pytest.raises(ConvergenceError, match=told):
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(a)", "v(b)"])


def test_lines_on_stderr_are_no_failure(engine: Engine) -> None:
    """PySpice fails on any line of stderr that is no warning; here a note comes there, and a warning."""
    deck = f"{RC}\nR2 b c 1\nR3 c 0 1meg\nD1 c 0 d\n.model d d is=1e-30 nosuchparameter=1"
    with pytest.warns(TrustWarning, match="nosuchparameter"):
        run = engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(b)"])
    assert run.complete
    assert any("nosuchparameter" in note for note in run.trust.notes)
    assert any(message.startswith("stderr") for message in run.messages)


def test_a_relative_include_counts_from_the_present_folder(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker was started in another one; a nested file counts from the one that includes it, too."""
    engine.about()
    (tmp_path / "sub").mkdir()
    (tmp_path / "part.lib").write_text(".include sub/inner.lib\n")
    (tmp_path / "sub" / "inner.lib").write_text("R1 a 0 250\n")
    monkeypatch.chdir(tmp_path)
    assert engine.run("t\nV1 a 0 1\n.include part.lib\n.op\n.end")["v1#branch"] == pytest.approx([-4e-3])


# -- each way to fail is its own exception, with the node, the time, ngspice's words and the deck ----------------------

HOPELESS = "t\nV1 a 0 1\nR1 a b 1\nB1 b 0 I=sgn(v(b)-0.3)*1e6+1e3\n"


@pytest.mark.parametrize(
    ("deck", "error", "node", "words"),
    [
        ("t\nV1 a 0 1\nV2 a 0 2\nR1 a 0 1\n.op\n.end", SingularMatrixError, "v1#branch", "singular matrix"),
        ("t\nI1 0 a 1m\nC1 a 0 1n\n.op\n.end", SingularMatrixError, "a", "singular matrix"),
        (HOPELESS + ".op\n.end", NoConvergenceError, "b", "doAnalyses: OP"),
        (HOPELESS + ".dc V1 0 1 0.1\n.end", NoConvergenceError, "b", "doAnalyses: DC"),
        (HOPELESS + ".tran 1u 1m\n.end", NoConvergenceError, "b", "initial timepoint"),
        ("t\nV1 a 0 1\nR1 a 0 1k\nB1 b 0 V=ln(-v(a))\nR2 b 0 1\n.op\n.end", AbsurdValueError, "b1", "out of range"),
    ],
)
def test_a_failure_tells_its_node_and_words(
    engine: Engine, tmp_path: Path, deck: str, error: type[RunError], node: str, words: str
) -> None:
    with pytest.raises(error) as caught:
        engine.run(deck, folder=tmp_path)
    assert caught.value.node == node
    assert any(words in line for line in caught.value.words)
    assert caught.value.deck is not None
    assert caught.value.deck.read_text() == on_one_thread(deck)
    assert caught.value.deck.parent == tmp_path


def test_a_timestep_too_small_tells_its_time(engine: Engine, tmp_path: Path) -> None:
    """A source that has two signs at once from 0.3 ms on."""
    deck = "t\nV1 a 0 pwl(0 0 0.3m 0 0.31m 1)\nR1 a b 1\nB1 b 0 I=(v(b)>0.1 ? 1:-1)*1e3*(time>0.305m ? 1:0)"
    with pytest.raises(TimestepTooSmallError) as caught:
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(b)"], folder=tmp_path)
    assert "timestep too small" in str(caught.value).lower()
    assert caught.value.time_s == pytest.approx(0.305e-3, rel=0.05)
    assert caught.value.node is not None
    assert caught.value.deck is not None
    assert simple(engine).complete


def test_an_absurd_value_tells_its_node_and_time(engine: Engine, tmp_path: Path) -> None:
    deck = "t\nV1 a 0 pwl(0 1 1m 0 2m 0)\nR1 a 0 1\nB1 b 0 V=1/max(v(a),0)\nR2 b 0 1k"
    with pytest.raises(AbsurdValueError) as caught:
        engine.transient(deck, stop_s=2e-3, max_step_s=1e-5, save=["v(a)", "v(b)"], folder=tmp_path)
    assert caught.value.node == "b"
    assert caught.value.time_s == pytest.approx(1e-3, rel=0.02)


def test_errors_keep_what_they_know_across_processes() -> None:
    error = SingularMatrixError("ngspice", "words", "did not finish", "look")
    error.node, error.time_s, error.words, error.deck = "b", 1e-3, ("one", "two"), Path("x.cir")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is SingularMatrixError
    assert str(copy) == str(error)
    assert (copy.node, copy.time_s, copy.words, copy.deck) == ("b", 1e-3, ("one", "two"), Path("x.cir"))


# -- trust -----------------------------------------------------------------------------------------------------------

FLIP_FLOP = (
    "t\nV1 c 0 12\nR1 c a 1k\nR2 c b 1k\nQ1 a b2 0 q\nQ2 b a2 0 q\nR3 a a2 10k\nR4 b b2 10k\nD1 a x d\nD2 x 0 d\n"
    ".model q npn bf=100 is=1e-16\n.model d d is=1e-18 n=1\n"
)


def test_trust_tells_how_the_operating_point_was_found(engine: Engine) -> None:
    easy = engine.run("t\nV1 a 0 1\nR1 a 0 1k\n.op\n.end")
    assert easy.trust == Trust(operating_point="newton", points=easy.trust.points)
    assert easy.trust.doubts == ()
    stepped = engine.run(FLIP_FLOP + ".options itl1=4\n.op\n.end")
    assert stepped.trust.operating_point == "gmin stepping"
    assert stepped.trust.doubts == ()


def test_trust_doubts_an_operating_point_found_by_a_transient() -> None:
    words = ["Note: Starting dynamic gmin stepping", "Warning: source stepping failed", "Note: Transient op started"]
    trust = Trust(operating_point=operating_point(words, initial_conditions=False))
    assert trust.operating_point == "transient"
    with pytest.warns(TrustWarning, match="by a transient only"):
        trust.warn()


def test_trust_counts_points_and_rejections(engine: Engine) -> None:
    run = simple(engine)
    assert run.trust.reached
    assert run.trust.operating_point == "none"
    assert run.trust.points == len(run.time_s)
    assert run.trust.rejected == 0
    hard = "t\nV1 a 0 sin(0 5 1k)\nD1 a b d\nR1 b 0 1k\nC1 b 0 1n ic=0\n.model d d is=1e-14 tt=1u cjo=1n"
    switched = engine.transient(hard, stop_s=3e-3, max_step_s=1e-4, save=["v(b)"])
    assert switched.trust.rejected > 0
    assert switched.trust.doubts == ()
    with pytest.warns(TrustWarning, match="60 of 100 time-points were rejected"):
        Trust(points=40, rejected=60).warn()


# -- breakpoints -----------------------------------------------------------------------------------------------------


def test_edges_of_a_decks_own_pulses_are_hit(engine: Engine) -> None:
    """Each corner of two pulse sources, periodic and of incommensurable periods, has a time-point of its own."""
    delays, rises, widths, falls, periods = (11e-6, 0.0), (1e-7, 3e-7), (20e-6, 7e-6), (2e-7, 1e-7), (71e-6, 37.3e-6)
    cards = [
        f"V{k} p{k} 0 pulse(0 1 {d} {r} {f} {w} {p})\nR{k} p{k} 0 1k"
        for k, (d, r, w, f, p) in enumerate(zip(delays, rises, widths, falls, periods, strict=True))
    ]
    stop = 0.5e-3
    run = engine.transient("t\n" + "\n".join(cards), stop_s=stop, max_step_s=1e-5, save=["v(p0)", "v(p1)"])
    for k, (d, r, w, f, p) in enumerate(zip(delays, rises, widths, falls, periods, strict=True)):
        starts = d + p * np.arange(int((stop - d) / p))
        corners = np.ravel([starts + offset for offset in (0, r, r + w, r + w + f)])
        corners = corners[corners > 0]
        distance = np.min(np.abs(run.time_s[:, None] - corners), axis=0)
        assert np.max(distance) < 1e-12
        phase = np.mod(run.time_s - d, p)
        exact = np.where(run.time_s < d, 0, np.interp(phase, [0, r, r + w, r + w + f, p], [0, 1, 1, 0, 0]))
        np.testing.assert_allclose(run[f"v(p{k})"], exact, atol=1e-4)  # 1e-12 s of an edge of 1e-7 s is 1e-5


# -- results without needless copies -----------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_large_record_is_in_memory_once(tmp_path: Path) -> None:
    """8e5 points of six columns and the time are 45 MB; what is read of the mapped file is let go piece by piece."""
    rows, names = 800_000, [f"v({k})" for k in range(6)]
    record = Record(tmp_path / "record.bin", names, 0, rows)
    written = np.memmap(record.path, dtype=np.uint8, mode="r+")
    written[: HEADER.itemsize].view(HEADER)["rows"] = rows
    table = written[HEADER.itemsize :].view(np.float64).reshape(rows, 7)
    for start in range(0, rows, 10_000):
        table[start : start + 10_000] = np.arange(start, start + 10_000)[:, None] + 0.125 * np.arange(7)
    del table
    written.flush()
    del written
    peak = [memory_kb(os.getpid())]
    before = peak[0]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.001):
            peak.append(memory_kb(os.getpid()))

    thread = threading.Thread(target=watch)
    thread.start()
    time_s, values, device_A = record.columns()
    stop.set()
    thread.join()
    peak.append(memory_kb(os.getpid()))
    assert max(peak) - before < 1.3 * 8e-3 * rows * 7
    np.testing.assert_array_equal(time_s, np.arange(rows))
    for k, name in enumerate(names):
        np.testing.assert_array_equal(values[name], np.arange(rows) + 0.125 * (k + 1))
    assert device_A.shape == (rows, 0)


# -- crashes, hangs, leaks -------------------------------------------------------------------------------------------


def test_a_killed_worker_is_an_error_and_the_next_run_is_right(tmp_path: Path) -> None:
    with Engine() as engine:
        before = simple(engine)
        pid = worker_pid(engine)

        def kill(phase: str, simulated: float, wall: float) -> None:
            if simulated > 0:
                os.kill(pid, signal.SIGKILL)

        with pytest.raises(EngineCrashError, match="ended in the middle") as caught:
            engine.transient(RC, stop_s=10, max_step_s=1e-5, save=["v(b)"], progress=kill, folder=tmp_path)
        assert caught.value.value == "SIGKILL"
        assert caught.value.time_s is not None
        assert 0 < caught.value.time_s < 10
        after = simple(engine)
        assert worker_pid(engine) != pid
    np.testing.assert_array_equal(after["v(b)"], before["v(b)"])


def test_a_stopped_worker_is_a_hang_and_the_next_run_is_right(tmp_path: Path) -> None:
    with Engine(timeout_s=1.0) as engine:
        before = simple(engine)
        pid = worker_pid(engine)

        def freeze(phase: str, simulated: float, wall: float) -> None:
            if simulated > 0:
                os.kill(pid, signal.SIGSTOP)

        with pytest.raises(EngineHangError, match="accepted no time-point") as caught:
            engine.transient(RC, stop_s=10, max_step_s=1e-5, save=["v(b)"], progress=freeze, folder=tmp_path)
        assert caught.value.time_s is not None
        assert caught.value.time_s > 0
        after = simple(engine)
    np.testing.assert_array_equal(after["v(b)"], before["v(b)"])


def test_a_failing_progress_callback_does_not_spoil_the_next_run(engine: Engine) -> None:
    def fail(phase: str, simulated: float, wall: float) -> None:
        if simulated > 0:
            raise ZeroDivisionError

    before = simple(engine)
    with pytest.raises(ZeroDivisionError):
        engine.transient(RC, stop_s=10, max_step_s=1e-5, save=["v(b)"], progress=fail)
    np.testing.assert_array_equal(simple(engine)["v(b)"], before["v(b)"])


def memory_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_many_runs_keep_the_memory_flat() -> None:
    """200 transients of 500 points may take 2 MB together: 10 kB each, where a leak takes 330 kB (DESIGN section 6)."""
    with Engine() as engine:
        for _ in range(20):
            simple(engine)
        before = memory_kb(worker_pid(engine))
        for _ in range(200):
            simple(engine)
        assert memory_kb(worker_pid(engine)) - before < 2048


def test_an_engine_that_is_closed_leaves_no_process() -> None:
    with Engine() as engine:
        pid = worker_pid(engine)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_library_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nowhere/libngspice.so")
    with pytest.raises(EngineError, match=r"/nowhere/libngspice\.so.*apt-get install") as caught:
        Engine()
    assert "\n" not in str(caught.value)
    monkeypatch.delenv("NGSPICE_LIBRARY_PATH")
    monkeypatch.setattr("circuits.ngspice.library.find_library", lambda _: None)
    monkeypatch.setattr("circuits.ngspice.library.Path.exists", lambda _: False)
    with pytest.raises(EngineError, match="was not found") as caught:
        find_ngspice_library()
    assert "\n" not in str(caught.value)


# -- Ctrl-C ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_the_waveforms_so_far(engine: Engine) -> None:
    def interrupt(phase: str, simulated: float, wall: float) -> None:
        if simulated > 0:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        engine.transient(RC, stop_s=20, max_step_s=1e-5, save=["v(b)"], progress=interrupt)
    partial = caught.value.partial
    assert isinstance(partial, Transient)
    assert not partial.complete
    whole = simple(engine)
    n = min(len(partial.time_s), np.sum(whole.time_s < 4.9e-3))  # the last steps of a run are shaped by its end
    assert n > 100
    np.testing.assert_array_equal(partial.time_s[:n], whole.time_s[:n])
    np.testing.assert_array_equal(partial["v(b)"][:n], whole["v(b)"][:n])


def test_a_real_ctrl_c_in_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys; sys.path.insert(0, {str(ROOT)!r})
            from circuits.ngspice.engine import Engine
            from inmateria.errors import Interrupted
            try:
                with Engine() as engine:
                    engine.transient({RC!r}, stop_s=100, max_step_s=1e-5, save=["v(b)"],
                                     progress=lambda phase, t, wall: t > 0 and print("running", flush=True))
            except Interrupted as stop:
                print("kept", len(stop.partial.time_s), engine.pid, flush=True)
            """
        )
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "running"
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the whole group
        rest = child.stdout.read()
        assert child.wait(timeout=20) == 0
    found = re.search(r"kept (\d+) None", rest)
    assert found
    assert int(found.group(1)) > 100


def test_a_killed_parent_takes_its_worker_along(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys; sys.path.insert(0, {str(ROOT)!r})
            from circuits.ngspice.engine import Engine
            engine = Engine()
            engine.about()
            engine.transient({RC!r}, stop_s=100, max_step_s=1e-5, save=["v(b)"],
                             progress=lambda phase, t, wall: t > 0 and print(engine.pid, flush=True))
            """
        )
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # what a killed process leaves behind
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        worker = int(child.stdout.readline())
        child.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            break
        if state == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker lives on")


def test_all_analyses_of_a_deck(engine: Engine) -> None:
    """Those of the one that ngspice runs last come as ever, and all by ngspice's names of their plots."""
    deck = "t\nV1 p 0 DC 2 AC 1\nR1 p n 1k\nR2 n 0 1k\nC1 n 0 1u\n"
    lines = ".tran 10u 1m\n.ac lin 1 1k 1k\n.op\n.dc V1 0 1 1\n.dc V1 4 6 1\n.tf v(n) V1\n"
    found = engine.run(f"{deck}{lines}.noise v(n) V1 dec 4 1k 10k\n.end")
    plots = found.analyses
    assert set(plots) == {"tran1", "ac1", "op1", "dc1", "dc2", "tf1", "noise1", "noise2"}
    np.testing.assert_allclose(plots["op1"]["n"], [1.0], rtol=1e-9)
    np.testing.assert_allclose(plots["ac1"]["n"], [0.5 / (1 + 1j * np.pi)], rtol=1e-9)
    np.testing.assert_allclose(plots["dc1"]["n"], [2.0, 2.5, 3.0], rtol=1e-9)
    np.testing.assert_allclose(plots["dc2"]["n"], [0.0, 0.5], atol=1e-12)
    np.testing.assert_allclose(plots["tf1"]["transfer_function"], [0.5], rtol=1e-9)
    np.testing.assert_allclose(plots["tran1"]["n"], 1.0, rtol=1e-9)
    density = np.sqrt(4 * 1.380649e-23 * 300.15 * 500) / abs(1 + 1j * np.pi)
    np.testing.assert_allclose(found["onoise_spectrum"][0], density, rtol=1e-4)
    assert "onoise_total" in found
    two = engine.run(f"{deck}.noise v(n) V1 dec 4 1k 10k\n.noise v(n) V1 dec 4 1 10\n.end")  # not mixed
    np.testing.assert_allclose(two["onoise_spectrum"][0], density, rtol=1e-4)
    assert two["frequency"][0] == pytest.approx(1e3)
    assert engine.run(f"{deck}.tran 10u 1m\n.op\n.end")["time"][-1] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "card", ["L1 p 0 1m", "L1 p 0 1m\nL2 n 0 1m\nK1 L1 L2 1", "X1 p l\n.subckt l a\nL1 a 0 1m\n.ends"]
)
def test_an_inductor_across_a_source_has_no_operating_point_and_is_told_so(engine: Engine, card: str) -> None:
    deck = f"t\nV1 p 0 SIN(0 1 1k)\n{card}\nR1 n 0 1k\nR2 p n 1k\n"
    with pytest.raises(SingularMatrixError, match="wire at 0 Hz: put 1m Ohm in series, or start with 'uic'"):
        engine.run(f"{deck}.tran 10u 1m\n.end")
    assert len(engine.run(f"{deck}.tran 10u 1m uic\n.end")["n"]) > 100
