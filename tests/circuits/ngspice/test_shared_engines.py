"""One engine in several threads, and in processes that were forked off its own. Real ngspice always."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from circuits.ngspice.engine import Engine
from inmateria.errors import InputError, Interrupted

ROOT = Path(__file__).resolve().parents[3]
LONG = {"stop_s": 1000.0, "max_step_s": 1e-4, "save": ["v(b)"]}
RC = "rc\nV1 a 0 1\nR1 a b 1k\nC1 b 0 1u ic=0"


def divider(k: int) -> str:
    """Of k/(k + 1); its nets and devices stand in another order for each k, so that a stranger's vectors show."""
    resistors = f"R1 a b 1k\nR2 b 0 {k}k" if k % 2 else f"R2 b 0 {k}k\nR1 a b 1k"
    lines = ["V1 a 0 1", resistors] if k % 3 else [resistors, "V1 a 0 1"]
    return "\n".join(["divider", *lines, ".op", ".end"])


def one(engine: Engine, k: int) -> bool:
    """Whether a run has its own answer."""
    return abs(float(engine.run(divider(k))["b"][0]) - k / (k + 1)) < 1e-9


def long_run(engine: Engine) -> tuple[threading.Thread, list[BaseException], threading.Event]:
    """Start a run that does not end by itself, in a thread; what it raises, and an event once it moves."""
    raised: list[BaseException] = []
    moves = threading.Event()

    def work() -> None:
        try:
            engine.transient(RC, **LONG, progress=lambda phase, t, wall: moves.set() if t > 0 else None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, raised, moves


def test_threads_that_share_an_engine_get_their_own_answers(engine: Engine) -> None:
    found: list[bool] = []

    def work(k: int) -> None:
        found.extend(one(engine, k + 8 * j) for j in range(4))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == [True] * 32


@pytest.mark.parametrize("end", ["close", "abort"])
def test_another_thread_may_end_a_run(end: str) -> None:
    """The run tells so; a closed engine starts a worker for the next, an aborted one refuses it."""
    with Engine() as engine:
        thread, raised, moves = long_run(engine)
        assert moves.wait(60)
        begin = time.monotonic()
        getattr(engine, end)()
        thread.join(60)
        assert time.monotonic() - begin < 10
        (error,) = raised
        assert isinstance(error, Interrupted)
        assert error.value == end
        assert len(error.partial.time_s) > 0
        if end == "close":
            assert one(engine, 2)
        else:
            with pytest.raises(Interrupted):
                one(engine, 2)


def test_a_thread_that_waits_its_turn_hears_of_an_abort() -> None:
    with Engine() as engine:
        running, _, moves = long_run(engine)
        assert moves.wait(60)
        waiting, raised, _ = long_run(engine)
        engine.abort()
        running.join(60)
        waiting.join(60)
        assert [type(error) for error in raised] == [Interrupted]


def test_an_engine_is_closed_though_another_run_waits_for_its_turn() -> None:
    """That run comes next, on a worker of its own, and is not waited for."""
    with Engine() as engine:
        first, ended, moves = long_run(engine)
        assert moves.wait(60)
        second, later, moves_too = long_run(engine)
        pid = engine.pid
        begin = time.monotonic()
        engine.close()
        assert time.monotonic() - begin < 5
        first.join(60)
        assert [type(error) for error in ended] == [Interrupted]
        assert moves_too.wait(60)
        assert engine.pid not in (None, pid)
        assert later == []
        engine.close()
        second.join(60)
        assert [type(error) for error in later] == [Interrupted]


def test_ctrl_c_while_waiting_for_another_thread_leaves_its_run_alone() -> None:
    with Engine() as engine:
        thread, raised, moves = long_run(engine)
        assert moves.wait(60)
        pid = engine.pid
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(Interrupted, match="Ctrl-C"):
            one(engine, 3)
        assert engine.pid == pid
        assert raised == []
        engine.close()
        thread.join(60)


def test_a_progress_callback_cannot_ask_the_engine_that_calls_it(engine: Engine) -> None:
    """It would wait for its own end."""

    def ask(phase: str, simulated: float, wall: float) -> None:
        if simulated > 0:
            engine.run(divider(1))

    with pytest.raises(InputError, match="a function that it calls"):
        engine.transient(RC, **LONG, progress=ask)
    assert one(engine, 4)


def test_an_engine_that_is_sent_to_another_process_is_one_with_its_settings(tmp_path: Path) -> None:
    made = Engine(timeout_s=7.0, folder=tmp_path)
    sent = pickle.loads(pickle.dumps(made))
    assert (sent.timeout_s, sent.folder, sent.pid) == (7.0, tmp_path, None)


def test_a_progress_callback_may_close_the_engine(engine: Engine) -> None:
    with pytest.raises(Interrupted, match="close"):
        engine.transient(RC, **LONG, progress=lambda phase, t, wall: engine.close() if t > 0 else None)
    assert one(engine, 5)


def script(tmp_path: Path, text: str) -> list[str]:
    """Lines that a script says, which must end by itself and well."""
    path = tmp_path / "script.py"
    path.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{textwrap.dedent(text)}")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_forked_children_have_workers_of_their_own(tmp_path: Path) -> None:
    """A pool of processes, while a thread of the parent keeps the engine and its lock busy; and a child that ends
    like any script, which closes all it has. The parent's worker goes on through all of it."""
    said = script(
        tmp_path,
        """
        import gc, multiprocessing, os, threading
        from circuits.ngspice.engine import Engine
        from circuits.ngspice.pool import EnginePool
        from tests.circuits.ngspice.test_shared_engines import divider, long_run, one
        from inmateria.errors import Interrupted

        engine, pool, busy = Engine(timeout_s=20), EnginePool(1, timeout_s=20), Engine()
        assert one(engine, 1)
        started = pool.as_completed(one, [2, 3])  # a map under way
        assert next(started).result()
        pid, pool_pids = engine.pid, pool.pids
        thread, raised, moves = long_run(busy)
        assert moves.wait(60)

        def child(k):
            return one(engine, k) and engine.pid not in (None, pid)

        with multiprocessing.get_context("fork").Pool(2) as processes:
            print(processes.map_async(child, range(1, 7)).get(60))
        forked = os.fork()
        if forked == 0:
            right = one(busy, 5) and all(outcome.result() for outcome in pool.map(one, [2, 3]))
            engine.abort()
            busy.close()
            pool.close()
            del started
            gc.collect()
            sys.exit(0 if right else 1)
        print(os.waitpid(forked, 0)[1])
        print(engine.pid == pid, pool.pids == pool_pids, raised, one(engine, 6), engine.pid == pid)
        print([outcome.result() for outcome in started])
        busy.close()
        thread.join()
        engine.close()
        pool.close()
        """,
    )
    assert said == [str([True] * 6), "0", "True True [] True True", "[True]"]


def test_workers_of_a_data_loader_may_use_the_engine_of_the_script(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    said = script(
        tmp_path,
        """
        import torch
        from circuits.ngspice.engine import Engine
        from tests.circuits.ngspice.test_shared_engines import divider, one

        engine = Engine(timeout_s=20)
        assert one(engine, 1)

        class Dividers(torch.utils.data.Dataset):
            def __len__(self): return 6
            def __getitem__(self, k): return float(engine.run(divider(k + 1))["b"][0])

        loader = torch.utils.data.DataLoader(Dividers(), batch_size=3, num_workers=2, multiprocessing_context="fork")
        print([[round(value, 9) for value in batch.tolist()] for batch in loader], one(engine, 2))
        """,
    )
    right = [round(k / (k + 1), 9) for k in range(1, 7)]
    assert said == [f"{[right[:3], right[3:]]} True"]
