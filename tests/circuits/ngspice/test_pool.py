"""A pool of engines: nothing is lost when workers die, hang or are poisoned in the middle. Real ngspice always."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from circuits.ngspice.engine import Engine, Vectors
from circuits.ngspice.one_thread import on_one_thread
from circuits.ngspice.pool import EnginePool, Outcome
from inmateria.errors import (
    AbsurdValueError,
    EngineCrashError,
    EngineHangError,
    InputError,
    Interrupted,
    SingularMatrixError,
)

TAU = 1e-3
STOP = 2e-3


def rc(amplitude: float) -> str:
    return f"rc\nV1 a 0 {amplitude!r}\nR1 a b 1k\nC1 b 0 1u ic=0\n.tran 10u {STOP} 0 10u uic\n.end"


def right(outcome: Outcome[Vectors], amplitude: float) -> bool:
    """Whether a run is complete and follows the closed form; the trapezoid rule is off by h^2/(12 tau^2) = 8e-6."""
    v = outcome.result()
    exact = amplitude * (1 - np.exp(-v["time"] / TAU))
    return bool(v["time"][-1] >= STOP * (1 - 1e-9) and np.max(np.abs(v["b"] - exact)) < 1e-4 * amplitude)


def run(engine: Engine, deck: str) -> Vectors:
    return engine.run(deck)


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2, timeout_s=60) as one:
        yield one


def test_outcomes_come_in_order_and_are_right(pool: EnginePool) -> None:
    amplitudes = [0.5 + 0.1 * k for k in range(30)]
    seen: list[tuple[int, int]] = []
    outcomes = pool.map(run, map(rc, amplitudes), progress=lambda done, failed: seen.append((done, failed)))
    assert [outcome.index for outcome in outcomes] == list(range(30))
    assert all(right(outcome, a) for outcome, a in zip(outcomes, amplitudes, strict=True))
    assert seen == [(k, 0) for k in range(1, 31)]
    assert len(pool.pids) == 2  # reused


def test_an_outcome_comes_as_soon_as_it_is_there(pool: EnginePool) -> None:
    """The first job waits until the third has come out: in the order of the items that would never end."""
    third_is_out = threading.Event()

    def job(engine: Engine, k: int) -> int:
        if k == 0:
            assert third_is_out.wait(30)
        return k

    order = []
    for outcome in pool.as_completed(job, range(3)):
        order.append(outcome.result())
        if outcome.index == 2:
            third_is_out.set()
    assert order[-1] == 0
    assert sorted(order) == [0, 1, 2]


def test_an_exception_of_a_job_is_its_outcome(pool: EnginePool) -> None:
    outcomes = pool.map(lambda engine, k: 1 // k, [1, 0, 1])
    assert [outcome.value for outcome in outcomes] == [1, None, 1]
    with pytest.raises(ZeroDivisionError):
        outcomes[1].result()


def memory_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_two_hundred_runs_with_workers_killed_hung_and_poisoned(tmp_path: Path) -> None:
    """Every other result is there and right, each bad job has its own exception, and the memory stays flat."""
    count = 200
    # Poison: a segmentation fault inside ngspice (a function that calls itself), a singular circuit, 1/0.
    poisoned = {
        50: ("t\n.func f(x)={f(x)}\nV1 a 0 1\nR1 a 0 {f(1)}\n.op\n.end", EngineCrashError),
        90: ("t\nI1 0 a 1m\nC1 a 0 1n\n.op\n.end", SingularMatrixError),
        130: ("t\nV1 a 0 1\nR1 a 0 1\nB1 b 0 V=1/(v(a)-v(a))\nR2 b 0 1\n.op\n.end", AbsurdValueError),
    }
    signalled = {70: (signal.SIGKILL, EngineCrashError), 110: (signal.SIGSTOP, EngineHangError)}
    long = rc(1.0).replace(f"{STOP}", "50")
    parent: list[int] = []

    def job(engine: Engine, k: int) -> Vectors:
        if k in signalled:
            engine.about()  # the worker is there
            pid = engine.pid
            assert pid is not None
            threading.Timer(0.3, os.kill, (pid, signalled[k][0])).start()
            return engine.run(long, folder=tmp_path)
        return engine.run(poisoned[k][0] if k in poisoned else rc(1 + 0.01 * k), folder=tmp_path)

    with EnginePool(2, timeout_s=3) as pool:
        outcomes = pool.map(job, range(count), progress=lambda done, failed: parent.append(memory_kb(os.getpid())))
        workers = [memory_kb(pid) for pid in pool.pids]
        after = pool.map(run, [rc(1.0)] * 4)
        fresh = EnginePool(1)
        with fresh:
            fresh.map(run, [rc(1.0)])
            new = memory_kb(fresh.pids[0])
    expected = {k: kind for k, (_, kind) in (poisoned | signalled).items()}
    assert {o.index: type(o.error) for o in outcomes if o.error is not None} == expected
    assert [o.index for o in outcomes] == list(range(count))
    assert all(right(o, 1 + 0.01 * o.index) for o in outcomes if o.index not in expected)
    assert all(right(o, 1.0) for o in after)
    assert max(parent[count // 2 :]) - parent[count // 4] < 8192  # 200 kept results of 25 kB are 5 MB
    assert max(workers) - new < 4096
    crash = outcomes[70].error
    assert isinstance(crash, EngineCrashError)
    assert crash.value == "SIGKILL"
    assert crash.deck is not None
    assert crash.deck.read_text() == on_one_thread(long)
    assert len(list(tmp_path.glob("failed-*.cir"))) == len(expected)


def test_a_job_whose_worker_died_is_run_again_where_that_is_wished() -> None:
    killed: list[int] = []

    def job(engine: Engine, k: int) -> Vectors:
        if not killed:
            engine.about()
            assert engine.pid is not None
            killed.append(engine.pid)
            os.kill(engine.pid, signal.SIGKILL)
        return engine.run(rc(1.0))

    with EnginePool(1, retries=1) as pool:
        (outcome,) = pool.map(job, [0])
    assert right(outcome, 1.0)
    # The pool of one may also see the death before the run, and start the worker anew without a second try.
    assert outcome.tries in (1, 2)


def stop_in_the_middle(pool: EnginePool, interrupt: Callable[[int], None]) -> Interrupted:
    def job(engine: Engine, k: int) -> Vectors:
        return engine.run(rc(1.0) if k < 4 else rc(1.0).replace(f"{STOP}", "1000"))

    with pytest.raises(Interrupted) as caught:
        pool.map(job, range(8), progress=lambda done, failed: interrupt(done))
    return caught.value


def test_ctrl_c_keeps_what_was_done_and_leaves_a_sound_pool(tmp_path: Path) -> None:
    """A real SIGINT while two long runs are under way; they are ended, and the pool serves again."""
    with EnginePool(2) as pool:

        def interrupt(done: int) -> None:
            if done == 4:
                threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

        begin = time.monotonic()
        stopped = stop_in_the_middle(pool, interrupt)
        assert [outcome.index for outcome in stopped.partial] == [0, 1, 2, 3]
        assert all(right(outcome, 1.0) for outcome in stopped.partial)
        assert time.monotonic() - begin < 300  # the runs would take far longer
        assert all(right(outcome, 1.0) for outcome in pool.map(run, [rc(1.0)] * 3))


def test_leaving_the_iteration_ends_the_runs(pool: EnginePool) -> None:
    long = rc(1.0).replace(f"{STOP}", "1000")
    for _ in pool.as_completed(run, [rc(1.0), *[long] * 3]):
        break
    assert right(pool.map(run, [rc(1.0)])[0], 1.0)


def test_an_error_of_the_progress_callback_or_the_items_is_the_callers(pool: EnginePool) -> None:
    def fail(done: int, failed: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pool.map(run, [rc(1.0)] * 4, progress=fail)

    def items() -> Iterator[str]:
        yield rc(1.0)
        raise LookupError

    with pytest.raises(LookupError):
        pool.map(run, items())
    assert right(pool.map(run, [rc(1.0)])[0], 1.0)


def test_a_pool_serves_one_map_at_a_time(pool: EnginePool) -> None:
    iteration = pool.as_completed(run, [rc(1.0)] * 3)
    next(iteration)
    with pytest.raises(InputError, match="another map"):
        pool.map(run, [rc(1.0)])
    assert len(list(iteration)) == 2


@pytest.mark.parametrize("kwargs", [{"workers": 0}, {"workers": -1}, {"retries": -1}, {"timeout_s": 0.0}])
def test_impossible_pools_are_refused(kwargs: dict[str, int]) -> None:
    with pytest.raises(InputError):
        EnginePool(**kwargs)  # type: ignore[arg-type]
