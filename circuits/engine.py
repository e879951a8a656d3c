"""The ngspice engine: runs decks in a worker process and watches it.

A run's accepted points go into a file that parent and worker both map, so progress is seen without asking, and what
was computed survives a crash, a kill and Ctrl-C. The worker is started in a session of its own: Ctrl-C reaches the
parent only, which then ends the worker and keeps the record.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from circuits import callbacks
from circuits.cosimulation import CoSimulation
from circuits.deck_checks import check_circuit, check_deck
from circuits.library import INSTALL_HINT, find_ngspice_library
from dnpu_models.geometry import FloatArray
from inmateria.errors import ConvergenceError, EngineError, Interrupted, NetlistError

Progress = Callable[[str, float, float], None]
"""Called as progress(phase, simulated seconds, wall seconds of this run)."""

OPTIONS = ".options reltol=1e-9 vntol=1e-12 abstol=1e-15 trtol=7e6 chgtol=1 method=trap"
"""Tolerances of lock-in circuits. At ngspice's defaults a product of two waveforms lags by dA dB of the step (an error
of 7.5 % at 20 points a period); tight Newton tolerances remove it, and the raised trtol cancels them in the step
control, so that the maximum step alone sets the number of points. It does so only with the raised chgtol: wherever a
capacitor's charge and current pass through zero together, the relative tolerances leave nothing to compare with, and
steps were rejected there."""

ABSURD = 1e15
"""No voltage (V) or current (A) of a circuit is as large: ngspice turns 1/0 into 1e32 and an overflow into 1e99."""

STARTING_S = 300.0
"""How long the worker may take to start, and to compile a device: a Monte Carlo takes 75 s on a core of its own."""

_ERROR_WORDS = re.compile(
    r"error|singular matrix|timestep too small|time step too small|no convergence|aborted|unknown|can't|cannot|no such"
    r"|no job",
    re.IGNORECASE,
)
_CONVERGENCE_WORDS = re.compile(
    r"timestep too small|time step too small|no convergence|singular matrix|iteration limit|gmin stepping failed"
    r"|source stepping failed|convergence failed",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(r"simulation\(s\) aborted|simulation not started", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Transient:
    """Accepted points of one transient.

    Attributes
    ----------
    time_s : ndarray, shape (n,)
    values : dict of ndarray
        Saved vectors by name (V or A as ngspice gives them).
    device_A : ndarray, shape (n, n_terminals)
        Device currents into the terminals; empty without a device.
    complete : bool
        Whether the stop time was reached.
    statistics : dict
        points, rejected, iterations, evaluations, source calls, seconds (whole run), device seconds, the largest
        difference between the terminal voltages the device was told and those the circuit had (V).
    messages : tuple of str
        What ngspice said.
    deck : str
        The deck as run.
    """

    time_s: FloatArray
    values: dict[str, FloatArray]
    device_A: FloatArray
    complete: bool
    statistics: dict[str, float]
    messages: tuple[str, ...]
    deck: str

    def __getitem__(self, name: str) -> FloatArray:
        """A saved vector."""
        return self.values[name.lower()]


@dataclass
class _Reply:
    content: dict[str, Any] | None = None
    failure: str | None = None
    phases: list[str] = field(default_factory=list)


class Engine:
    """One worker with one libngspice; reused for many runs. Use it as a context manager.

    Parameters
    ----------
    timeout_s : float
        A run is ended when no time-point is accepted for so long.

    Raises
    ------
    EngineError
        If libngspice is not found.
    """

    def __init__(self, *, timeout_s: float = 300.0) -> None:
        self.timeout_s = timeout_s
        find_ngspice_library()
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._pumping: threading.Thread | None = None
        self._stderr: IO[str] | None = None

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the worker."""
        self.close()

    def _start(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        environment = dict(os.environ)
        # The rooms must be found whatever folder the user is in, and never a file of the user's that has their name.
        root = str(Path(__file__).resolve().parent.parent)
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"  # the device's matrices are small: threads only get in each other's way
        previous = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = root if not previous else os.pathsep.join([root, previous])
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the worker
        self._lines = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "circuits.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._pumping = threading.Thread(target=self._pump, args=(self._process, self._lines), daemon=True)
        self._pumping.start()
        return self._process

    def _last_words(self) -> str:
        """Last line that the worker wrote on stderr."""
        if self._stderr is None:
            return ""
        self._stderr.seek(0)
        return " ".join(self._stderr.read().strip().splitlines()[-1:])

    @staticmethod
    def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def close(self) -> None:
        """End the worker, whatever it does."""
        process, self._process = self._process, None
        stderr, self._stderr = self._stderr, None
        if stderr is not None:
            stderr.close()
        if process is None:
            return
        if process.poll() is None:
            process.kill()
        process.wait()
        if self._pumping is not None:  # it ends with the pipe; the pipe must not be closed under it
            self._pumping.join()
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # of a request that was never read
                process.stdin.close()
        if process.stdout is not None:
            process.stdout.close()

    def about(self) -> dict[str, Any]:
        """Version, library path and XSPICE of the ngspice in the worker.

        Raises
        ------
        EngineError
            If the worker does not start or crashes.
        """
        reply = self._ask({"op": "about"}, None, None, deck="", stop_s=0.0)
        return dict(reply)

    def transient(
        self,
        deck: str,
        *,
        stop_s: float,
        max_step_s: float,
        save: Sequence[str],
        cosimulation: CoSimulation | None = None,
        corners_s: Sequence[float] = (),
        grids_s: Sequence[tuple[float, float, int]] = (),
        progress: Progress | None = None,
        folder: Path | None = None,
    ) -> Transient:
        """Run a transient from initial conditions (``uic``) and return its accepted points.

        Parameters
        ----------
        deck : str
            Title line and circuit, without ``.tran``, ``.save`` and ``.end``.
        stop_s, max_step_s : float
            Stop time and largest time step, s.
        save : sequence of str
            Vectors to keep, e.g. ``"v(out)"`` or ``"i(vin)"``.
        cosimulation : CoSimulation, optional
            The device; its terminals' nodes are saved too.
        corners_s : sequence of float
            Times at which a time-point must lie, s: corners of the sources' waveforms, which ngspice may miss.
        grids_s : sequence of (start, stop, steps)
            Intervals (s) in which the time-points stand evenly, `steps` steps each, by their starts; where two overlap
            the later one counts.
        progress : callable, optional
        folder : Path, optional
            Where a failing deck is kept; the current folder by default.

        Raises
        ------
        NetlistError
            If the deck is malformed or ngspice rejects it.
        ConvergenceError
            If ngspice finds no solution, or the device gives no number.
        EngineError
            If ngspice crashes, hangs, or stops early.
        Interrupted
            On Ctrl-C; ``partial`` is the Transient so far.
        """
        if not (0 < max_step_s < stop_s < np.inf):
            raise NetlistError(
                "max_step_s", max_step_s, f"must lie between 0 and the stop time {stop_s:g} s", "change it"
            )
        nodes = [] if cosimulation is None else [f"v({node})" for node in cosimulation.nodes]
        columns = [v.lower() for v in dict.fromkeys([*save, *nodes])]
        body = [deck.rstrip("\n")]
        if cosimulation is not None:
            body.append(cosimulation.cards())
        full = "\n".join(
            [*body, ".save " + " ".join(columns), f".tran {max_step_s!r} {stop_s!r} 0 {max_step_s!r} uic", ".end", ""]
        )
        external = frozenset(f"idevice{k}" for k in range(len(nodes)))
        check_circuit(deck)
        check_deck(full, external)
        with tempfile.TemporaryDirectory(prefix="inmateria-") as name:
            work = Path(name)
            (work / "deck.cir").write_text(full, encoding="utf-8")
            if cosimulation is not None:
                cosimulation.write(work, 0.25 * max_step_s)
            capacity = int(8 * stop_s / max_step_s) + 100_000
            width = 1 + len(columns) + len(nodes)
            record = work / "record.bin"
            with open(record, "wb") as handle:  # sparse: only what is written takes space
                handle.truncate(8 * (callbacks.HEADER_WORDS + capacity * width))
            shared = np.memmap(record, dtype=float, mode="r+")
            shared[callbacks.H_BAD_TIME] = np.nan
            request = {
                "op": "run",
                "deck": str(work / "deck.cir"),
                "record": str(record),
                "capacity": capacity,
                "columns": columns,
                "sense": nodes,
                "corners": [float(t) for t in corners_s],
                "grids": [[float(start), float(stop), float(steps)] for start, stop, steps in grids_s],
                "device": str(work) if cosimulation is not None else None,
                "path": [p for p in sys.path if p],
            }

            def collect(reply: dict[str, Any] | None, seconds: float) -> Transient:
                rows = int(shared[callbacks.H_ROWS])
                table = np.array(shared[callbacks.HEADER_WORDS : callbacks.HEADER_WORDS + rows * width])
                table = table.reshape(rows, width)
                reached = rows > 0 and table[-1, 0] >= stop_s * (1 - 1e-9)
                statistics = {
                    "points": float(shared[callbacks.H_POINTS]),
                    "evaluations": float(shared[callbacks.H_EVALUATIONS]),
                    "source_calls": float(shared[callbacks.H_CALLS]),
                    "device_seconds": float(shared[callbacks.H_DEVICE_SECONDS]),
                    "prediction_error_V": float(shared[callbacks.H_PREDICTION_ERROR]),
                    "seconds": seconds,
                    **(reply or {}).get("statistics", {}),
                }
                values = {n: table[:, 1 + k].copy() for k, n in enumerate(columns)}
                messages = tuple((reply or {}).get("loading", []) + (reply or {}).get("running", []))
                return Transient(
                    table[:, 0].copy(), values, table[:, 1 + len(columns) :].copy(), reached, statistics, messages, full
                )

            try:
                reply = self._ask(request, shared, progress, deck=full, stop_s=stop_s, folder=folder)
            except Interrupted as interruption:
                interruption.partial = collect(None, 0.0)
                raise
            result = collect(reply, float(reply.get("seconds", 0.0)))
            if not result.complete:
                reached = float(result.time_s[-1]) if len(result.time_s) else 0.0
                self._explain(reply, full, f"stopped at {reached:.6g} s of {stop_s:.6g} s", folder)
            _check_numbers(result.values, full, folder)
            return result

    def run(self, deck: str, *, progress: Progress | None = None, folder: Path | None = None) -> dict[str, FloatArray]:
        """Run a whole deck (any one analysis) and return the vectors of its last plot.

        Raises
        ------
        NetlistError, ConvergenceError, EngineError, Interrupted
            As `transient`.
        """
        check_deck(deck)
        with tempfile.TemporaryDirectory(prefix="inmateria-") as name:
            work = Path(name)
            (work / "deck.cir").write_text(deck, encoding="utf-8")
            request = {"op": "run", "deck": str(work / "deck.cir"), "vectors": str(work / "vectors.npz")}
            reply = self._ask(request, None, progress, deck=deck, stop_s=0.0, folder=folder)
            if not reply.get("names"):
                self._explain(reply, deck, "gave no result", folder)
            with np.load(work / "vectors.npz", allow_pickle=False) as stored:
                vectors = {n: stored[f"v{k}"] for k, n in enumerate(reply["names"])}
            said = "\n".join(reply["running"]).lower()
            # A singular circuit has no operating point, though ngspice's last resort, a transient, always finds one.
            if _UNFINISHED.search(said) or ("singular matrix" in said and "transient op finished" in said):
                self._explain(reply, deck, "did not finish", folder)
            _check_numbers(vectors, deck, folder)
            return vectors

    def _ask(
        self,
        request: dict[str, Any],
        shared: FloatArray | None,
        progress: Progress | None,
        *,
        deck: str,
        stop_s: float,
        folder: Path | None = None,
    ) -> dict[str, Any]:
        begin = last_change = time.monotonic()
        points, phase = -1.0, "starting"
        try:
            process = self._start()
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            while True:
                try:
                    line = self._lines.get(timeout=0.1)
                except queue.Empty:
                    now = time.monotonic()
                    if shared is not None:
                        self._check_record(shared, deck, folder)
                        if shared[callbacks.H_POINTS] != points:
                            points, last_change = float(shared[callbacks.H_POINTS]), now
                        if progress is not None:
                            progress(phase, float(shared[callbacks.H_TIME]), now - begin)
                    # Imports and compilation take seconds whatever the user expects of a run.
                    patience = self.timeout_s if phase == "running" else max(self.timeout_s, STARTING_S)
                    if now - last_change > patience:
                        self.close()
                        raise EngineError(
                            "ngspice",
                            f"{patience:g} s",
                            "accepted no time-point for so long",
                            _kept(deck, folder),
                        ) from None
                    continue
                if line is None:
                    code = process.wait()
                    words = self._last_words()
                    self.close()
                    raise EngineError("ngspice", code, f"ended in the middle of the run ({words})", _kept(deck, folder))
                message = json.loads(line)
                if "event" in message:
                    phase, last_change = message["event"], time.monotonic()
                    if progress is not None:
                        progress(phase, 0.0, time.monotonic() - begin)
                elif "failure" in message:
                    self.close()
                    if "cannot load library" in message["failure"]:
                        library = find_ngspice_library()
                        raise EngineError("libngspice", library, "cannot be loaded as a library", INSTALL_HINT)
                    raise EngineError("ngspice", message["failure"], "the worker failed", _kept(deck, folder))
                else:
                    break
        except KeyboardInterrupt as interruption:
            if isinstance(interruption, Interrupted):
                raise
            self.close()
            raise Interrupted("run", "Ctrl-C", "was stopped", "what was computed so far is kept") from None
        except BrokenPipeError:
            self.close()
            raise EngineError("ngspice", "broken pipe", "the worker is gone", "run again") from None
        except BaseException:  # an error of the progress callback too: a worker left running would answer the next run
            self.close()
            raise
        if shared is not None:  # a short run ends before it was looked at
            self._check_record(shared, deck, folder)
        reply: dict[str, Any] = message["reply"]
        if request["op"] == "run":
            if reply.get("exited") is not None:
                self.close()
            if not reply["loaded"]:
                self._reject(reply, deck, folder)
            if reply.get("unserved"):
                raise NetlistError(
                    "deck", "an external source in an include", "nobody gives it a value", "remove it from the file"
                )
            if reply.get("missing"):
                raise NetlistError("save", reply["missing"], "is no vector of this circuit", "name a node of the deck")
        return reply

    def _check_record(self, shared: FloatArray, deck: str, folder: Path | None) -> None:
        """End a run whose device gave no number, or whose points do not fit the record."""
        at = float(shared[callbacks.H_BAD_TIME])
        if not np.isnan(at):
            self.close()
            raise ConvergenceError("device", "NaN", f"gave no current at {at:.6g} s", "check its voltages near then")
        if shared[callbacks.H_OVERFLOW] > 0:
            at = float(shared[callbacks.H_TIME])
            self.close()
            raise EngineError(
                "max_step_s", f"at {at:.6g} s", "ngspice took over eight times the planned points", _kept(deck, folder)
            )

    @staticmethod
    def _reject(reply: dict[str, Any], deck: str, folder: Path | None) -> None:
        words = [m.partition(" ")[2] for m in reply["loading"]]
        telling = [w for w in words if _ERROR_WORDS.search(w)] or words[-1:] or ["no reason given"]
        raise NetlistError("deck", _short(telling), "ngspice rejects it", _kept(deck, folder))

    @staticmethod
    def _explain(reply: dict[str, Any], deck: str, what: str, folder: Path | None) -> None:
        """Raise what ngspice's words mean for a run that did not finish."""
        words = [m.partition(" ")[2] for m in reply["loading"] + reply["running"]]
        trouble = [w for w in words if _CONVERGENCE_WORDS.search(w)]
        if trouble:
            raise ConvergenceError("ngspice", _short(trouble), what, _kept(deck, folder))
        telling = [w for w in words if _ERROR_WORDS.search(w)]
        if telling:
            raise NetlistError("deck", _short(telling), f"ngspice {what}", _kept(deck, folder))
        raise EngineError("ngspice", _short(words[-2:]), what, _kept(deck, folder))


def _check_numbers(vectors: Mapping[str, np.ndarray[Any, Any]], deck: str, folder: Path | None) -> None:
    """Refuse results that are no numbers, or that no circuit has; scales of an analysis may be any size."""
    for name, values in vectors.items():
        if name in ("time", "frequency") or name.endswith("-sweep"):
            continue
        absurd = ~(np.abs(values) <= ABSURD)
        if np.any(absurd):
            value = values[np.argmax(absurd)]
            raise ConvergenceError(
                name, value.item(), "no voltage or current: a division by zero?", _kept(deck, folder)
            )


def _short(lines: Sequence[str]) -> str:
    text = "; ".join(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return text if len(text) <= 300 else text[:297] + "..."


def _kept(deck: str, folder: Path | None) -> str:
    """Write the failing deck to a file of its own, and say where."""
    if not deck:
        return "look at it with 'inmateria doctor'"
    try:
        handle, name = tempfile.mkstemp(prefix="failed-", suffix=".cir", dir=folder or tempfile.gettempdir())
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(deck)
    except OSError as error:
        return f"the deck could not be kept ({error})"
    return f"see the deck kept as {os.path.abspath(name)}"
