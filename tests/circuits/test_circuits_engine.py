"""The ngspice engine: right numbers, and one clear error for all that can go wrong. Real ngspice always."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from circuits.engine import OPTIONS, Engine, Transient
from circuits.library import find_ngspice_library
from inmateria.errors import ConvergenceError, EngineError, Interrupted, NetlistError, TrustWarning

ROOT = Path(__file__).resolve().parents[2]
RC = "rc\nV1 a 0 1\nR1 a b 1k\nC1 b 0 1u ic=0\n" + OPTIONS


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(timeout_s=60) as one:
        yield one


def simple(engine: Engine, folder: Path | None = None) -> Transient:
    return engine.transient(RC, stop_s=5e-3, max_step_s=1e-5, save=["v(b)"], folder=folder)


def worker_pid(engine: Engine) -> int:
    engine.about()
    assert engine.pid is not None
    return engine.pid


# -- right numbers ---------------------------------------------------------------------------------------------------


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
    assert len(run.time_s) < 130


def test_about_tells_version_and_library(engine: Engine) -> None:
    about = engine.about()
    assert re.match(r"\d+", about["version"])
    assert about["library"]


# -- what is refused before ngspice sees it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    ["V9 a 0 dc 0 external", "V9 a 0 0 external", "I9 a 0 0 external", "V9 a 0 external 0", "v9 a 0 EXTERNAL dc 1"],
)
def test_external_sources_that_crash_ngspice_are_refused(engine: Engine, line: str) -> None:
    with pytest.raises(NetlistError, match="crashes ngspice"):
        engine.transient(f"t\nR1 a 0 1k\n{line}", stop_s=1e-3, max_step_s=1e-5, save=["v(a)"])
    with pytest.raises(NetlistError, match="crashes ngspice"):
        engine.run(f"t\nR1 a 0 1k\n{line}\n.op\n.end")


@pytest.mark.parametrize("line", ["V9 a 0 external", "Idevice0 a 0 external", "Iother a\n+ 0 external"])
def test_external_sources_that_nobody_serves_are_refused(engine: Engine, line: str) -> None:
    with pytest.raises(NetlistError, match="nobody gives this source a value"):
        engine.transient(f"t\nR1 a 0 1k\n{line}", stop_s=1e-3, max_step_s=1e-5, save=["v(a)"])


@pytest.mark.parametrize("kind", ["V", "I"])
def test_external_sources_in_an_included_file_are_refused(engine: Engine, tmp_path: Path, kind: str) -> None:
    (tmp_path / "part.lib").write_text(f"{kind}9 a 0 external\n")
    deck = f"t\nR1 a 0 1k\n.include {tmp_path}/part.lib"
    with pytest.raises(NetlistError, match="nobody gives this source a value"):
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(a)"])
    with pytest.raises(NetlistError, match="nobody gives this source a value"):
        engine.run(deck + "\n.op\n.end")


@pytest.mark.parametrize("line", [".tran 1u 1m", ".op", ".end", ".control\nquit\n.endc", "  .AC dec 1 1 10"])
def test_a_circuit_brings_no_analysis_of_its_own(engine: Engine, line: str) -> None:
    with pytest.raises(NetlistError, match="is the engine's to write"):
        engine.transient(f"{RC}\n{line}", stop_s=1e-3, max_step_s=1e-5, save=["v(b)"])


@pytest.mark.parametrize("deck", ["", "title only", "t\n* comment\n\n", "t\nR1 a 0 \0"])
def test_no_circuit_is_refused(engine: Engine, deck: str) -> None:
    with pytest.raises(NetlistError):
        engine.run(deck)


@pytest.mark.parametrize(("stop", "step"), [(1e-3, 0.0), (0.0, 1e-5), (1e-3, 2e-3), (np.inf, 1e-3), (np.nan, 1e-5)])
def test_impossible_times_are_refused(engine: Engine, stop: float, step: float) -> None:
    with pytest.raises(NetlistError, match="max_step_s"):
        engine.transient(RC, stop_s=stop, max_step_s=step, save=["v(b)"])


def test_a_blank_first_line_is_the_title(engine: Engine) -> None:
    """Dropped, it would make a title of V1, and v(b) would be 0."""
    run = engine.transient("\n" + RC.partition("\n")[2], stop_s=5e-3, max_step_s=1e-5, save=["v(b)"])
    assert run["v(b)"][-1] == pytest.approx(1 - np.exp(-5), abs=1e-4)


# -- what ngspice refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("X1 a 0 nosuch", "unknown subckt"),
        ("D1 a 0 nosuch", "nosuch"),
        ("R9 a 0 {nosuch}", "."),
    ],
)
def test_a_rejected_deck_says_why_and_is_kept(engine: Engine, tmp_path: Path, line: str, words: str) -> None:
    deck = f"{RC}\n{line}"
    with pytest.raises(NetlistError, match=words) as caught:
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(b)"], folder=tmp_path)
    (kept,) = tmp_path.glob("*.cir")
    assert str(kept) in str(caught.value)
    assert line in kept.read_text()
    assert simple(engine).complete


def test_a_vector_that_is_not_there_is_named(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NetlistError, match="nosuch"):
        engine.transient(RC, stop_s=1e-3, max_step_s=1e-5, save=["v(b)", "v(nosuch)"], folder=tmp_path)


def test_timestep_too_small(engine: Engine, tmp_path: Path) -> None:
    deck = "chatter\nV1 a 0 sin(0 1 1k)\nR1 a b 1k\nB1 b 0 I=(v(b)>0.1? 1:-1)*1e3\nC1 b 0 1f"
    with pytest.raises(ConvergenceError, match=r"(?i)timestep too small"):
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(b)"], folder=tmp_path)
    assert simple(engine).complete


def test_steps_that_creep_end_the_run(engine: Engine, tmp_path: Path) -> None:
    """Points are accepted for ever, each 1e-17 s after the last: no hang, no full disk."""
    deck = "creep\nI1 0 a 1m\nC1 a 0 1n\nB1 a 0 I=u(v(a)-0.5)*1"
    with pytest.raises(EngineError, match="eight times the planned points"):
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(a)"], folder=tmp_path)
    assert simple(engine).complete


def test_a_singular_circuit_has_no_operating_point(engine: Engine, tmp_path: Path) -> None:
    """A current into a capacitor: ngspice's last resort, a transient, ends with some voltage and code 0."""
    with pytest.raises(ConvergenceError, match="singular matrix"):
        engine.run("t\nI1 0 a 1m\nC1 a 0 1n\n.op\n.end", folder=tmp_path)
    with pytest.raises(ConvergenceError, match="singular matrix"):
        engine.run("t\nV1 a 0 1\nV2 a 0 2\nR1 a 0 1\n.op\n.end", folder=tmp_path)


def test_a_deck_without_analysis_gives_no_result(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NetlistError, match="No job"):
        engine.run("t\nV1 a 0 1\nR1 a 0 1k\n.end", folder=tmp_path)


@pytest.mark.parametrize("value", ["1/(v(a)-v(a))", "exp(1000*v(a))", "-1/(v(a)-v(a))"])
def test_absurd_values_are_no_result(engine: Engine, tmp_path: Path, value: str) -> None:
    """Ngspice answers 1e32 or 1e99, and code 0."""
    deck = f"t\nV1 a 0 1\nR1 a 0 1k\nB1 b 0 V={value}\nR2 b 0 1k"
    with pytest.raises(ConvergenceError, match=r"v\(b\) = -?1(\.0+\d+)?e\+(32|99)"):
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(a)", "v(b)"], folder=tmp_path)
    with pytest.raises(ConvergenceError, match="no voltage or current"):
        engine.run(f"{deck}\n.op\n.end", folder=tmp_path)


@pytest.mark.parametrize("value", ["ln(-v(a))", "sqrt(-v(a))"])
def test_nan_in_a_source_is_no_result(engine: Engine, tmp_path: Path, value: str) -> None:
    deck = f"t\nV1 a 0 1\nR1 a 0 1k\nB1 b 0 V={value}\nR2 b 0 1k"
    with pytest.raises(ConvergenceError):
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(b)"], folder=tmp_path)


def test_lines_on_stderr_are_no_failure(engine: Engine) -> None:
    """PySpice fails on any line of stderr that is no warning; here a note comes there, and a warning."""
    deck = f"{RC}\nR2 b c 1\nR3 c 0 1meg\nD1 c 0 d\n.model d d is=1e-30 nosuchparameter=1"
    with pytest.warns(TrustWarning, match="nosuchparameter"):
        run = engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(b)"])
    assert run.complete
    assert any("nosuchparameter" in note for note in run.trust.notes)
    assert any(message.startswith("stderr") for message in run.messages)


# -- crashes, hangs, leaks -------------------------------------------------------------------------------------------


def test_a_killed_worker_is_an_error_and_the_next_run_is_right(tmp_path: Path) -> None:
    with Engine() as engine:
        before = simple(engine)
        pid = worker_pid(engine)

        def kill(phase: str, simulated: float, wall: float) -> None:
            if simulated > 0:
                os.kill(pid, signal.SIGKILL)

        with pytest.raises(EngineError, match="ended in the middle"):
            engine.transient(RC, stop_s=10, max_step_s=1e-5, save=["v(b)"], progress=kill, folder=tmp_path)
        after = simple(engine)
        assert worker_pid(engine) != pid
    np.testing.assert_array_equal(after["v(b)"], before["v(b)"])


def test_a_failing_progress_callback_does_not_spoil_the_next_run() -> None:
    def fail(phase: str, simulated: float, wall: float) -> None:
        if simulated > 0:
            raise ZeroDivisionError

    with Engine() as engine:
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
    monkeypatch.setattr("circuits.library.find_library", lambda _: None)
    monkeypatch.setattr("circuits.library.Path.exists", lambda _: False)
    with pytest.raises(EngineError, match="was not found") as caught:
        find_ngspice_library()
    assert "\n" not in str(caught.value)


# -- Ctrl-C ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_the_waveforms_so_far() -> None:
    def interrupt(phase: str, simulated: float, wall: float) -> None:
        if simulated > 0:
            raise KeyboardInterrupt

    with Engine() as engine:
        with pytest.raises(Interrupted) as caught:
            engine.transient(RC, stop_s=20, max_step_s=1e-5, save=["v(b)"], progress=interrupt)
        partial = caught.value.partial
        assert isinstance(partial, Transient)
        assert not partial.complete
        whole = simple(engine)
    n = min(len(partial.time_s), len(whole.time_s) - 20)  # the last steps of a run are shaped by its end
    assert n > 100
    np.testing.assert_array_equal(partial.time_s[:n], whole.time_s[:n])
    np.testing.assert_array_equal(partial["v(b)"][:n], whole["v(b)"][:n])


def test_a_real_ctrl_c_in_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys; sys.path.insert(0, {str(ROOT)!r})
            from circuits.engine import Engine
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
            from circuits.engine import Engine
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
