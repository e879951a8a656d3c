"""Where a sweep is computed: worker processes of its own on this computer, or a cluster that the user started.

Both are dask.distributed. Local workers are plain subprocesses, so that a script needs no ``if __name__ ==
"__main__"``, and one that dies (or is killed) is started again.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inmateria.errors import EngineError, InputError
from inmateria.run_folder import run_folder

ANSWER_S = 5.0
"""How long a scheduler may take to answer."""
WORKERS_S = 60.0
"""How long it may take until the first worker is there."""
_RESTARTS = 20
"""Deaths of local workers, for each of them, without a point done or given up between, before the sweep gives up."""


def processors() -> int:
    """Number of processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class LocalWorkers:
    """Worker processes of one thread each."""

    def __init__(self, address: str, count: int, folder: str) -> None:
        self._address, self._folder = address, folder
        self._words = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the workers
        self._processes: list[subprocess.Popen[bytes]] = []
        self._deaths = self._in_a_row = 0
        for number in range(count):
            self._processes.append(self._start(number))

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"
        # what can be imported here can be imported there: the rooms, and the module of a user's own measure
        root = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join([root, *(str(Path(p or ".").resolve()) for p in sys.path)])
        told = [self._address, f"{number}-{self._deaths}", self._folder, str(os.getpid())]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "analysis.sweeps.worker", *told],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._words,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the sweep alone
        )

    @property
    def pids(self) -> list[int]:
        """Process numbers."""
        return [process.pid for process in self._processes]

    def mend(self, *, better: bool = False) -> None:
        """Start workers again that have died; `better`: a point was done, or given up, since the last time.

        Raises
        ------
        EngineError
            If that happens again and again.
        """
        if better:
            self._in_a_row = 0
        for number, process in enumerate(self._processes):
            if process.poll() is None:
                continue
            self._deaths += 1
            self._in_a_row += 1
            if self._in_a_row > _RESTARTS * len(self._processes):
                self._words.seek(0)
                said = self._words.read().decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
                raise EngineError(
                    "workers", process.returncode, f"die again and again, and said {said[0]!r}", "mend that"
                )
            _release(process)
            self._processes[number] = self._start(number)

    def close(self) -> None:
        """End them all."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            _release(process)
        self._words.close()


def _release(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


class SweepCluster:
    """A client of a scheduler, and the local workers if they are the sweep's own."""

    def __init__(self, client: Any, local: LocalWorkers | None, address: str) -> None:
        self.client, self.local, self.address = client, local, address

    @property
    def threads(self) -> int:
        """How many points can be computed at a time, by now."""
        return sum(self.client.nthreads().values()) if self.local is None else len(self.local.pids)

    def tend(self, *, better: bool = False) -> None:
        """Look after the workers; `better`: a point was done, or given up, since the last time.

        Raises
        ------
        EngineError
            As `LocalWorkers.mend`.
        InputError
            If the user's scheduler is gone.
        """
        if self.local is not None:
            self.local.mend(better=better)
        elif self.client.status not in ("running", "connecting"):
            raise self.gone()

    def gone(self) -> InputError:
        """The error of a scheduler that is lost in the middle of a sweep."""
        fix = "start it again and give the same command: what is stored is kept"
        return InputError("scheduler", self.address, "is gone", fix)

    def wait_for_workers(self) -> None:
        """Wait until there is one; for all that were just started here.

        Raises
        ------
        InputError, EngineError
            If there is none for a minute; as `tend`.
        """
        until = time.monotonic() + WORKERS_S
        wanted = 1 if self.local is None else len(self.local.pids)
        while len(self.client.nthreads()) < wanted:
            self.tend()
            if time.monotonic() > until:
                if self.local is not None:
                    raise EngineError("workers", len(self.local.pids), "do not start", "see whether `dask worker` does")
                raise InputError(
                    "scheduler", self.address, "has no workers", f"start some: dask worker {self.address} --nthreads 1"
                )
            time.sleep(0.05)


@contextmanager
def open_cluster(scheduler: str | None, workers: int | None) -> Iterator[SweepCluster]:
    """A cluster by address, or one of `workers` local processes (one a processor by default).

    Raises
    ------
    InputError
        For a scheduler that does not answer within `ANSWER_S`, and for numbers that make no sense.
    """
    if workers is not None and workers < 1:
        raise InputError("workers", workers, "is no number of processes", "give one or more")
    if scheduler is not None and workers is not None:
        raise InputError("workers", workers, "stands beside a scheduler, which has its own", "give one or the other")
    with _quiet():
        if scheduler is None:
            with _local(processors() if workers is None else workers) as cluster:
                yield cluster
        else:
            client = _connect(scheduler)
            try:
                yield SweepCluster(client, None, scheduler)
            finally:
                client.close(timeout=2)


@contextmanager
def _local(count: int) -> Iterator[SweepCluster]:
    import dask
    from distributed import Client, LocalCluster

    # The scheduler is in this process, with no dashboard and no workers: these are ours. A batch whose worker dies
    # twice comes back, to be given out again point by point. A silent one computes; whether it lives is seen here.
    options = {"processes": True, "host": "127.0.0.1", "scheduler_port": 0, "dashboard_address": None}
    rules = {"distributed.scheduler.allowed-failures": 1, "distributed.scheduler.worker-ttl": None}
    with (
        run_folder() as folder,
        dask.config.set({**rules, "temporary-directory": str(folder)}),
        LocalCluster(n_workers=0, silence_logs=logging.CRITICAL, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        local = LocalWorkers(cluster.scheduler_address, count, str(folder))
        try:
            yield SweepCluster(client, local, cluster.scheduler_address)
        finally:
            local.close()


def _connect(address: str) -> Any:
    from distributed import Client

    if not re.fullmatch(r"(\w+://)?[^/\s]+:\d+", address):
        raise InputError("scheduler", address, "is no address of a host and port", "write it as in tcp://10.0.0.1:8786")
    try:
        return Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            "scheduler", address, f"does not answer ({said})",
            "start one with `dask scheduler`, and give the address it tells, such as tcp://10.0.0.1:8786",
        ) from None  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of distributed's own log and warnings on the terminal; nor later, where the connection was lost."""
    import distributed  # noqa: F401  its import makes the log

    handlers = logging.getLogger("distributed").handlers
    before = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for handler, level in zip(handlers, before, strict=False):
        handler.setLevel(level)
