"""The worker as a process: started, asked line by line, and ended whatever it does."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

OUTSIDE = frozenset({"SPICE_USERINIT_DIR", "SPICE_ASCIIRAWFILE", "NGSPICE_MEAS_PRECISION"})
"""Variables of the environment by which ngspice's answers could differ; the first names another place of .spiceinit."""

MOST_AWAKE_S, LEAST_AWAKE_S, RESTS = 200e-6, 50e-6, 256
"""How long a tick is looked for before this process sleeps, s; the least; and for how many ticks not at all where the
least was too short."""

_PROCESSES: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()
_OF_THE_PARENT: list[WorkerProcess] = []
"""In a forked child: kept for ever, since what ends with them would be the parent's."""


class WorkerProcess:
    """One ``python -m circuits.ngspice.worker`` with its pipes; a thread collects what it answers.

    It is started in a session of its own: Ctrl-C reaches the parent only.

    Parameters
    ----------
    library : str
        libngspice, as `library.find_ngspice_library` found it.
    """

    def __init__(self, library: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
        # The rooms must be found whatever folder the user is in, and never a file of the user's that has their name.
        root = str(Path(__file__).resolve().parents[2])
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"  # the device's matrices are small: threads only get in each other's way
        previous = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = root if not previous else os.pathsep.join([root, previous])
        # What ngspice says is mirrored there, and survives a crash. Appended: both sides share one file position.
        self._stderr: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the worker
        self.killed = False
        self._lines: queue.Queue[str | None] = queue.Queue()
        # Ticks of controllers go through pipes of their own, read and written by the compiled callbacks.
        self._asked, asking = os.pipe()
        answering, self._answer = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "circuits.ngspice.worker", str(asking), str(answering), library],
            pass_fds=(asking, answering),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
        os.close(asking)
        os.close(answering)
        self._awake_s, self._rests = (MOST_AWAKE_S, 0) if len(os.sched_getaffinity(0)) > 1 else (0.0, sys.maxsize)
        self._tick = select.poll()
        self._tick.register(self._asked, select.POLLIN)
        self._pumping = threading.Thread(target=self._pump, daemon=True)
        self._pumping.start()
        _PROCESSES.add(self)

    def _pump(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    @property
    def pid(self) -> int:
        """The worker's process number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the worker runs."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> None:
        """Send one request.

        Raises
        ------
        BrokenPipeError
            If the worker is gone.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def answer(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next message; None when the worker has ended.

        Raises
        ------
        queue.Empty
            If none came within the time.
        """
        line = self._lines.get(timeout=timeout_s)
        return None if line is None else json.loads(line)

    def asked(self, size: int, timeout_s: float) -> bytes | None:
        """Return the message of a tick, of `size` bytes; None if none came in time, less if the worker has ended."""
        if not (self._stay_awake() or self._tick.poll(1e3 * timeout_s)):
            return None
        message = os.read(self._asked, size)
        while 0 < len(message) < size:
            more = os.read(self._asked, size - len(message))
            if not more:
                break
            message += more
        return message

    def _stay_awake(self) -> bool:
        """Look for a tick for a while before this process sleeps, as `callbacks._stay_awake` does for the answer."""
        if self._awake_s == 0.0:
            self._rests -= 1
            self._awake_s = LEAST_AWAKE_S if self._rests <= 0 else 0.0
            return False
        until = time.perf_counter() + self._awake_s
        while time.perf_counter() < until:
            if self._tick.poll(0):
                self._awake_s = min(2.0 * self._awake_s, MOST_AWAKE_S)
                return True
        self._awake_s *= 0.5
        if self._awake_s < LEAST_AWAKE_S:
            self._awake_s, self._rests = 0.0, RESTS
        return False

    def answer_tick(self, schedule: bytes) -> None:
        """Let the run go on after a tick.

        Raises
        ------
        BrokenPipeError
            If the worker is gone.
        """
        while schedule:
            schedule = schedule[os.write(self._answer, schedule) :]

    def last_words(self) -> list[str]:
        """Lines written on stderr, and what ngspice said, since the present run began."""
        self._stderr.seek(0)
        text = self._stderr.read().decode("utf-8", "replace")
        return [line for line in text.splitlines() if line.strip()]

    def ending(self) -> str:
        """How a worker that has ended did: the signal's name, or its exit code."""
        code = self._process.wait()
        if code < 0:
            with suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit code {code}"

    def kill(self) -> None:
        """End the process; may be called from any thread."""
        self.killed = True
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """End the process and release its pipes."""
        self.kill()
        self._process.wait()
        self._pumping.join()  # it ends with the pipe; the pipe must not be closed under it
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # of a request that was never read
            self._process.stdin.close()
        self._process.stdout.close()
        self._stderr.close()
        os.close(self._asked)
        os.close(self._answer)

    def leave_to_parent(self) -> None:
        """Let go of the worker in a forked child: its pipes would stay open, and its end would be waited for.

        The pipes' ends become the null device, because a buffer that holds half a request is written out when its file
        is closed, and a lock of the reading thread's may be held for ever.
        """
        _OF_THE_PARENT.append(self)
        self._process.returncode = 0
        null = os.open(os.devnull, os.O_RDWR)
        if self._process.stdout is not None and not self._process.stdout.closed:
            pipes = [pipe.fileno() for pipe in (self._process.stdin, self._process.stdout) if pipe is not None]
            for pipe in (*pipes, self._asked, self._answer):
                os.dup2(null, pipe)
        os.close(null)


def _leave_to_parent() -> None:
    for process in list(_PROCESSES):
        process.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
