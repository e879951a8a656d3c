"""Several engines for many runs: each result or exception is kept, whatever happens to the others.

    with EnginePool(4) as pool:
        outcomes = pool.map(lambda engine, deck: engine.run(deck), decks)

One thread an engine: they wait for their workers, which do the computing in processes of their own.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Self, TypeVar, cast

from circuits.ngspice.engine import Engine
from inmateria.checks import count
from inmateria.errors import EngineCrashError, EngineHangError, InputError, Interrupted

Item = TypeVar("Item")
Result = TypeVar("Result")

LOOK_S = 0.2
"""How often a waiting pool looks for Ctrl-C, s."""

PoolProgress = Callable[[int, int], None]
"""Called as progress(jobs done, jobs failed), after each job, in the caller's thread."""


_POOLS: weakref.WeakSet[EnginePool] = weakref.WeakSet()
"""All pools, for a forked child to renew."""


@dataclass(frozen=True, eq=False)
class Outcome(Generic[Result]):
    """What became of one job.

    Attributes
    ----------
    index : int
        Its place among the items.
    value : Result or None
        What the function returned.
    error : Exception or None
        What it raised.
    seconds : float
        How long it took, retries included.
    tries : int
        How often it was run.
    """

    index: int
    value: Result | None
    error: Exception | None
    seconds: float
    tries: int

    def result(self) -> Result:
        """Return the value.

        Raises
        ------
        Exception
            The job's own, if it failed.
        """
        if self.error is not None:
            raise self.error
        return cast(Result, self.value)  # None only where the function returned it


class EnginePool:
    """Engines that are reused over many jobs. Use it as a context manager.

    A job is ``function(engine, item)``: it may run any number of analyses on the engine it is given. A worker that dies
    or hangs costs its own job only, and is started anew for the next.

    Parameters
    ----------
    workers : int, optional
        Number of ngspice processes; one a processor by default.
    timeout_s, folder
        As for `Engine`.
    retries : int
        How often a job is run again when its worker crashed or hung.

    Raises
    ------
    InputError, EngineError
        For impossible numbers; if libngspice is not found.
    """

    def __init__(
        self, workers: int | None = None, *, timeout_s: float = 300.0, retries: int = 0, folder: Path | None = None
    ) -> None:
        processes = _processors() if workers is None else count("workers", workers)
        self.timeout_s = timeout_s
        self.retries = count("retries", retries, 0)
        self.folder = folder
        self._engines = [Engine(timeout_s=timeout_s, folder=folder) for _ in range(processes)]
        self._busy = False
        _POOLS.add(self)

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all workers."""
        self.close()

    def __len__(self) -> int:
        return len(self._engines)

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers that run."""
        return [engine.pid for engine in self._engines if engine.pid is not None]

    def close(self) -> None:
        """End all workers."""
        for engine in self._engines:
            engine.close()

    def map(
        self, function: Callable[[Engine, Item], Result], items: Iterable[Item], *, progress: PoolProgress | None = None
    ) -> list[Outcome[Result]]:
        """Run ``function(engine, item)`` for each item and return all outcomes, in the items' order.

        Raises
        ------
        Interrupted
            On Ctrl-C; ``partial`` is the list of outcomes so far, in order.
        """
        done: list[Outcome[Result]] = []
        try:
            done.extend(self.as_completed(function, items, progress=progress))
        except KeyboardInterrupt as interruption:
            stopped = Interrupted("pool", "Ctrl-C", "was stopped", "the outcomes so far are kept")
            stopped.partial = sorted(done, key=lambda outcome: outcome.index)
            raise stopped from interruption
        return sorted(done, key=lambda outcome: outcome.index)

    def as_completed(
        self, function: Callable[[Engine, Item], Result], items: Iterable[Item], *, progress: PoolProgress | None = None
    ) -> Iterator[Outcome[Result]]:
        """As `map`, but yield each outcome as soon as it is there; items are taken when an engine is free.

        When the iteration is left early (Ctrl-C, an error, ``break``) the runs under way are ended.
        """
        if self._busy:
            raise InputError("pool", "busy", "runs another map already", "wait for its end, or make another pool")
        self._busy = True
        jobs = enumerate(items)
        taking, stop = threading.Lock(), threading.Event()
        finished: queue.SimpleQueue[Outcome[Result] | BaseException | None] = queue.SimpleQueue()

        def serve(engine: Engine) -> None:
            try:
                while not stop.is_set():
                    with taking:
                        job = next(jobs, None)
                    if job is None:
                        break
                    finished.put(self._one(function, engine, *job))
            except BaseException as error:  # of the items' own iterator, or `Interrupted`: the caller's to see
                finished.put(error)
            finally:
                finished.put(None)

        threads = [threading.Thread(target=serve, args=(engine,), daemon=True) for engine in self._engines]
        done = failed = 0
        serving = len(threads)
        try:
            for thread in threads:
                thread.start()
            while serving:
                try:
                    outcome = finished.get(timeout=LOOK_S)
                except queue.Empty:
                    continue
                if outcome is None:
                    serving -= 1
                    continue
                if isinstance(outcome, BaseException):
                    raise outcome
                done += 1
                failed += outcome.error is not None
                if progress is not None:
                    progress(done, failed)
                yield outcome
        finally:
            stop.set()
            if any(thread.is_alive() for thread in threads):
                self._end(threads)
            self._busy = False

    def _one(
        self, function: Callable[[Engine, Item], Result], engine: Engine, index: int, item: Item
    ) -> Outcome[Result]:
        begin = time.monotonic()
        tries = 0
        while True:
            tries += 1
            value: Result | None = None
            error: Exception | None = None
            try:
                value = function(engine, item)
            except Exception as problem:
                error = problem
            if isinstance(error, (EngineCrashError, EngineHangError)) and tries <= self.retries:
                continue
            return Outcome(index, value, error, time.monotonic() - begin, tries)

    def _end(self, threads: list[threading.Thread]) -> None:
        """End all runs under way; the pool has fresh engines after."""
        for engine in self._engines:
            engine.abort()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        self.close()
        self._engines = [Engine(timeout_s=self.timeout_s, folder=self.folder) for _ in self._engines]


def _renew_pools() -> None:
    """Renew the pools of a forked child: the threads of a map live in the parent. Engines renew themselves."""
    for pool in _POOLS:
        pool._busy = False


os.register_at_fork(after_in_child=_renew_pools)


def _processors() -> int:
    """Number of processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
