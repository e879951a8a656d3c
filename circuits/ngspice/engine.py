"""The ngspice engine: runs decks in a worker process and watches it.

A run's accepted points go into a file that the worker maps and the parent reads, so progress is seen without asking,
and what was computed survives a crash, a kill and Ctrl-C. The worker is started in a session of its own: Ctrl-C reaches
the parent only, which then ends the worker and keeps the record.

Threads wait their turn at a worker. In a forked child an engine has a worker of its own: the parent's answers go to the
parent's pipe, and are read by a thread that the child does not have.
"""

from __future__ import annotations

import math
import os
import queue
import re
import string
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Self

import numpy as np

from circuits.ngspice.clock import Clock
from circuits.ngspice.controller import Controller
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.deck_checks import check_circuit, check_deck, check_request, check_sources, last_point, stop_times
from circuits.ngspice.dialects import STICKY, letters, remark, said
from circuits.ngspice.failures import FailedDeck, short
from circuits.ngspice.library import INSTALL_HINT, find_ngspice_library
from circuits.ngspice.messages import operating_point, spoken, suspicious, unfinished
from circuits.ngspice.noise_sources import NoiseSources
from circuits.ngspice.one_thread import ONE_THREAD, on_one_thread
from circuits.ngspice.record import Record
from circuits.ngspice.worker_process import WorkerProcess
from circuits.signals.transient import Transient, Trust
from inmateria.checks import FloatArray, count, positive
from inmateria.errors import (
    AbsurdValueError,
    EngineCrashError,
    EngineError,
    EngineHangError,
    InputError,
    Interrupted,
    NetlistError,
    TooManyPointsError,
)
from inmateria.run_folder import NO_ROOM, check_room, no_room, run_folder, told_of_no_room
from netlists.files import present_folder

Progress = Callable[[str, float, float], None]
"""Called as progress(phase, simulated seconds, wall seconds of this run)."""


def tolerances(vntol_V: float = 1e-12, abstol_A: float = 1e-15) -> str:
    """The options of lock-in circuits, with absolute tolerances of node voltages (V) and of branch currents (A)."""
    return f".options reltol=1e-9 vntol={vntol_V:g} abstol={abstol_A:g} trtol=7e6 xtrtol=7000000 chgtol=1 method=trap"


OPTIONS = tolerances()
"""Tolerances of lock-in circuits. At ngspice's defaults a product of two waveforms lags by dA dB of the step (an error
of 7.5 % at 20 points a period); tight Newton tolerances remove it, and the raised trtol cancels them in the step
control, so that the maximum step alone sets the number of points. It does so only with the raised chgtol: wherever a
capacitor's charge and current pass through zero together, the relative tolerances leave nothing to compare with, and
steps were rejected there. `xtrtol` is `trtol` of decks with XSPICE devices, where ngspice otherwise takes 1: each POLY
source of a vendor's op-amp becomes one, and steps then fell to microseconds."""

LOOK_S = 0.1
"""How often a run that is waited for is looked at, s."""

STARTING_S = 300.0
"""How long the worker may take to start, and to compile a device: a Monte Carlo takes 75 s on a core of its own."""

CLOSING_S = 1.0
"""How long `Engine.close` waits for the run that it ended."""

_TEMPER = re.compile(r"\btemper\b", re.IGNORECASE)
_TEMPERATURE = re.compile(r"^\.(?:temp\s+|opt\w*\s(?:.*\s)?temp\s*=\s*)(\S+)", re.IGNORECASE | re.MULTILINE)
LARGEST_SEED = 2**31 - 2
"""ngspice's own seeds are 1 to 2^31 - 1."""

_DRAWS = re.compile(r"gauss|unif|limit|trrandom|trnoise", re.IGNORECASE)
"""A word by which a deck may draw numbers."""

_NORMALS = re.compile(r"trrandom\s*\(?\s*2", re.IGNORECASE)
"""Normal numbers of TRRANDOM. ngspice makes them in pairs and keeps the second for a later run, whatever its seed: a
worker runs one such deck."""

RUNS_PER_WORKER = 10_000
"""Runs after which the worker is replaced: ngspice keeps 0.4 to 0.9 kB of each (docs/engine.md)."""


_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()
"""All engines, for a forked child to renew."""


def engine_seed(seed: int) -> int:
    """A seed of any size, as runs are given, as one that ngspice takes."""
    return seed % (LARGEST_SEED + 1)


class Vectors(dict[str, FloatArray]):
    """Vectors of one analysis by ngspice's own names (``v(b)`` is ``b``), complex ones complex.

    Attributes
    ----------
    trust : Trust
        What was checked after the run.
    messages : tuple of str
        What ngspice said.
    dialect : str or None
        The dialect in which the deck was read; None for ngspice's own.
    seed : int
        Of the numbers that the deck draws.
    analyses : dict of dict of ndarray
        The vectors of every analysis of the deck by ngspice's names of its plots (``op1``, ``tran1``, ``noise1``).
        These here are those of the one that ngspice ran last, whatever the order of the lines; of several of one kind
        ngspice runs the last line first, so that ``dc1`` is that of the last ``.dc``.
    """

    analyses: Mapping[str, Mapping[str, FloatArray]] = MappingProxyType({})
    trust: Trust = Trust()
    messages: tuple[str, ...] = ()
    dialect: str | None = None
    seed: int = 0


class Engine:
    """One worker with one libngspice; reused for many runs. Use it as a context manager.

    Threads that ask the same engine wait their turn (`EnginePool` runs them side by side); `abort` and `close` may be
    called from any. A forked child may use its parent's engine: it starts a worker of its own.

    Parameters
    ----------
    timeout_s : float
        A run is ended when no time-point is accepted for so long; infinity never ends one.
    folder : Path, optional
        Where failing decks are kept; the folder of temporary files by default.

    Raises
    ------
    EngineError
        If libngspice is not found.
    InputError
        If the timeout is no positive time.
    """

    def __init__(self, *, timeout_s: float = 300.0, folder: Path | None = None) -> None:
        self.timeout_s = timeout_s if timeout_s == math.inf else positive("timeout_s", timeout_s, "s")
        self.folder = folder
        self._library = find_ngspice_library()
        self._process: WorkerProcess | None = None
        self._runs = 0
        self._drew_normals = False
        self._aborted = False
        self._lock = threading.RLock()
        self._asked = False
        _ENGINES.add(self)

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to another process is an engine with the same settings and a worker of its own."""
        return partial(type(self), timeout_s=self.timeout_s, folder=self.folder), ()

    @property
    def pid(self) -> int | None:
        """Process number of the worker; None where none runs."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    def close(self) -> None:
        """End the worker, whatever it does; a run that is under way, in any thread, gets `Interrupted`."""
        process = self._process
        if process is None:
            return
        process.kill()
        # Whoever holds the lock finds the worker dead and ends the rest: the run that this ended, maybe one that calls
        # this function, or the next one, which is not to be waited for.
        if self._lock.acquire(timeout=CLOSING_S):
            try:
                if not self._asked and self._process is process:
                    self._end()
            finally:
                self._lock.release()

    def _end(self) -> None:
        """End the worker and release its pipes."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def abort(self) -> None:
        """End the run that another thread waits for, which gets `Interrupted`, and refuse all further ones."""
        self._aborted = True
        process = self._process
        if process is not None:
            process.kill()

    def about(self) -> dict[str, Any]:
        """Version, library path and XSPICE of the ngspice in the worker.

        Raises
        ------
        EngineError
            If the worker does not start or crashes.
        """
        return dict(self._ask({"op": "about"}, None, None, FailedDeck("")))

    def transient(
        self,
        deck: str,
        *,
        stop_s: float,
        max_step_s: float,
        save: Sequence[str],
        cosimulation: CoSimulation | None = None,
        controllers: Sequence[Controller] = (),
        corners_s: Sequence[float] = (),
        grids_s: Sequence[tuple[float, float, int]] = (),
        corners_only: bool = False,
        noise: NoiseSources | None = None,
        dialect: str | None = None,
        seed: int = 0,
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
        controllers : sequence of Controller
            Python functions that are told sampled vectors at their ticks and set sources; their inputs are saved too.
            At ticks that fall together they are asked in this order, about the same samples. No step is longer than the
            shortest period.
        corners_s : sequence of float
            Times at which a time-point must lie, s: corners of the sources' waveforms, which ngspice may miss.
        grids_s : sequence of (start, stop, steps)
            Intervals (s) in which the time-points stand evenly, `steps` steps each, by their starts; where two overlap
            the later one counts.
        corners_only : bool, optional
            Keep the points at `corners_s` and at the end only.
        noise : NoiseSources, optional
            Noise currents, such as those of the circuit itself (`circuits.noise`).
        dialect : str, optional
            A name of `dialects.DIALECTS`, e.g. ``"ltspice"``, in which ngspice reads the deck and what it includes; by
            default the one that a remark in it says (``* dialect: pspice``), as parts of vendors do, or ngspice's own.
        seed : int, optional
            Of the numbers that the deck draws (``agauss``, TRRANDOM) and of `noise`: the same seed gives the same ones.
            Those of TRNOISE cannot be repeated, which is a doubt.
        progress : callable, optional
        folder : Path, optional
            Where a failing deck is kept; the engine's own folder by default.

        Raises
        ------
        InputError, NetlistError
            If an argument or the deck is malformed, or ngspice rejects it.
        NoConvergenceError, SingularMatrixError, TimestepTooSmallError, AbsurdValueError
            If ngspice finds no solution, or the circuit or the device gives no number (all `ConvergenceError`).
        EngineCrashError, EngineHangError, EngineExitError, TooManyPointsError
            If ngspice fails (all `EngineError`).
        Interrupted
            On Ctrl-C; ``partial`` is the Transient so far.
        Exception
            What a controller's function raised, as it was; its ``partial`` is the Transient so far.

        Warns
        -----
        TrustWarning
            For each of the result's ``trust.doubts``.
        """
        nodes = [] if cosimulation is None else [f"v({node})" for node in cosimulation.nodes]
        check_request(stop_s, max_step_s, save, corners_s, grids_s)
        if noise is not None and not isinstance(noise, NoiseSources):
            problem = "is no noise of a circuit's elements"
            raise InputError("noise", noise, problem, "make it by noise_at_operating_point or noise_along")
        clock = Clock(controllers, max_step_s, stop_s) if controllers else None
        sampled = []
        if clock is not None:
            max_step_s, sampled = clock.max_step_s, clock.inputs
        columns = list(dict.fromkeys(v.lower() for v in [*save, *nodes, *sampled]))
        if not columns:
            raise InputError("save", save, "names no vector", "give e.g. ['v(out)']")
        dialect = said(deck) if dialect is None else dialect
        behaviour, seed = letters(dialect), count("seed", seed, 0, LARGEST_SEED)
        cards = [] if cosimulation is None else [cosimulation.cards()]
        if noise is not None and noise.sources:
            cards.append(noise.cards())
        cards += [
            ONE_THREAD,
            ".save " + " ".join(columns),
            f".tran {max_step_s!r} {stop_s!r} 0 {max_step_s!r} uic",
            ".end",
            "",
        ]
        external = {f"idevice{k}" for k in range(len(nodes))} | (noise.names if noise is not None else set())
        if clock is not None:
            check_sources(deck, clock.sources)
            external.update(clock.sources)
        checked = check_circuit(deck, cards, frozenset(external), letters=behaviour)
        full, notes = "\n".join([deck.rstrip("\n"), *cards]), checked.doubts
        failed = FailedDeck(full + remark(dialect), folder or self.folder)
        more = 0 if clock is None else clock.points
        with run_folder() as work:
            check_room(work, 8 * (1 + len(columns) + len(nodes)) * stop_s / max_step_s)
            with told_of_no_room():
                (work / "deck.cir").write_text(checked.text, encoding="utf-8")
                if cosimulation is not None:
                    cosimulation.write(work, 0.25 * max_step_s)
                if noise is not None and noise.sources:
                    noise.write(work / "noise.npz", seed)
                capacity = int(8 * stop_s / max_step_s) + 100_000 + more
                record = Record(work / "record.bin", columns, len(nodes), capacity)
            request = {
                "op": "run",
                "deck": str(work / "deck.cir"),
                "record": str(record.path),
                "capacity": record.capacity,
                "columns": columns,
                "sense": nodes,
                "corners": [*(float(t) for t in corners_s if t < stop_s), last_point(stop_s)],
                "grids": [[float(start), float(stop), float(steps)] for start, stop, steps in grids_s],
                "clock": None if clock is None else clock.request(),
                "device": str(work) if cosimulation is not None else None,
                "noise": str(work / "noise.npz") if noise is not None and noise.sources else None,
                "noise_nodes": [] if noise is None else [node.lower() for node in noise.nodes],
                "corners_only": corners_only,
                "path": [p for p in sys.path if p],
                "folder": present_folder(),
                "dialect": behaviour,
                "seed": _drawing(checked.text, seed),
                "normals": _NORMALS.search(checked.text) is not None,
            }
            try:
                reply = self._ask(request, record, progress, failed, clock)
            except Interrupted as interruption:
                interruption.partial = _transient(record, {}, stop_s, full, notes, dialect, seed, clock)
                raise
            except Exception as error:
                if clock is not None and error is clock.failure:
                    with suppress(AttributeError):  # of an exception with slots
                        error.partial = _transient(record, {}, stop_s, full, notes, dialect, seed, clock)  # type: ignore[attr-defined]
                raise
            result = _transient(record, reply, stop_s, full, notes, dialect, seed, clock)
            if not result.complete:
                reached = float(result.time_s[-1]) if len(result.time_s) else 0.0
                failed.explain(reply, f"stopped at {reached:.6g} s of {stop_s:.6g} s", time_s=reached)
            failed.check_numbers(result.values, result.time_s)
            result.trust.warn()
            return result

    def run(
        self,
        deck: str,
        *,
        dialect: str | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        folder: Path | None = None,
    ) -> Vectors:
        """Run a whole deck and return its vectors; of several analyses see `Vectors.analyses`.

        Of ``.noise`` they are those of the spectrum (``onoise_spectrum``, V/sqrt(Hz)) and of the band together
        (``onoise_total``, V).

        Parameters
        ----------
        deck : str
            From the title line to ``.end``. ``.control`` is refused: it could run any command.
        dialect : str, optional
            A name of `dialects.DIALECTS`, e.g. ``"ltspice"``, in which ngspice reads the deck and what it includes; by
            default the one that a remark in it says (``* dialect: pspice``), as parts of vendors do, or ngspice's own.
        seed : int, optional
            Of the numbers that the deck draws (``agauss``, TRRANDOM): the same seed gives the same ones. Those of
            TRNOISE cannot be repeated, which is a doubt.
        progress : callable, optional
        folder : Path, optional
            Where a failing deck is kept; the engine's own folder by default.

        Raises
        ------
        InputError, NetlistError, ConvergenceError, EngineError, Interrupted
            As `transient`.

        Warns
        -----
        TrustWarning
            For each of the result's ``trust.doubts``.
        """
        dialect = said(deck) if dialect is None else dialect
        behaviour, seed = letters(dialect), count("seed", seed, 0, LARGEST_SEED)
        checked = check_deck(deck, letters=behaviour)
        failed = FailedDeck(on_one_thread(deck) + remark(dialect), folder or self.folder)
        with run_folder() as work:
            with told_of_no_room():
                (work / "deck.cir").write_text(on_one_thread(checked.text), encoding="utf-8")
            request = {
                "op": "run",
                "deck": str(work / "deck.cir"),
                "vectors": str(work / "vectors.bin"),
                "corners": [last_point(stop_s) for stop_s in stop_times(deck)],
                "folder": present_folder(),
                "dialect": behaviour,
                "seed": _drawing(checked.text, seed),
                "normals": _NORMALS.search(checked.text) is not None,
            }
            reply = self._ask(request, None, progress, failed)
            words = spoken(reply["running"])
            if unfinished(words):
                failed.explain(reply, "did not finish")
            if not reply.get("names"):
                failed.explain(reply, "gave no result")
            names = _plot_names([plot for plot, *_ in reply["names"]])
            analyses: dict[str, dict[str, FloatArray]] = {name: {} for name in names.values()}
            with open(work / "vectors.bin", "rb") as stream:
                for plot, vector, length, kind in reply["names"]:
                    analyses[names[plot]][vector] = np.fromfile(stream, dtype=kind, count=length)
        for found in analyses.values():
            failed.check_numbers(found, found.get("time"))
        last, *others = analyses
        vectors = Vectors(analyses[last])
        if last.startswith("noise"):  # the band together; its spectrum is the plot before
            vectors |= analyses[others[0]] if others else {}
        vectors.analyses = analyses
        counted = reply["statistics"]
        vectors.dialect, vectors.seed = dialect, seed
        vectors.messages = (*reply["loading"], *reply["running"])
        vectors.trust = Trust(
            operating_point=operating_point(
                words, initial_conditions=any("initial conditions" in line for line in words)
            ),
            points=int(counted.get("accepted", 0)),
            rejected=int(counted.get("rejected", 0)),
            notes=(*checked.doubts, *reply["start"], *suspicious(spoken(vectors.messages))),
        )
        vectors.trust.warn()
        return vectors

    def expanded(
        self, deck: str, *, dialect: str | None = None, external: Iterable[str] = (), seed: int = 0
    ) -> tuple[str, ...]:
        """Lines of a deck as ngspice expands them: subcircuits' elements by full names, parameters as numbers.

        Parameters
        ----------
        deck : str
            As for `run`; an analysis is not needed, and not run.
        dialect : str, optional
            As for `run`.
        external : iterable of str
            Names of sources that a controller sets.
        seed : int, optional
            Of the numbers that the deck draws (``agauss``), as for `run`.

        Returns
        -------
        tuple of str
            The title, then the lines in ngspice's order, lower case: ``r.x1.r1 x1.a 0 1k``; ``.temp`` last.

        Raises
        ------
        InputError, NetlistError, EngineError, Interrupted
            As `run`.
        """
        dialect, seed = said(deck) if dialect is None else dialect, count("seed", seed, 0, LARGEST_SEED)
        checked = check_deck(deck, frozenset(name.lower() for name in external), letters=letters(dialect))
        failed = FailedDeck(deck + remark(dialect), self.folder)
        with run_folder() as work:
            with told_of_no_room():
                (work / "deck.cir").write_text(on_one_thread(_at_temperature(checked.text)), encoding="utf-8")
            request = {
                "op": "run",
                "deck": str(work / "deck.cir"),
                "expand": True,
                "folder": present_folder(),
                "dialect": letters(dialect),
                "seed": _drawing(checked.text, seed),
                "normals": _NORMALS.search(checked.text) is not None,
            }
            lines = self._ask(request, None, None, failed)["expanded"]
        # ngspice lists all but the temperature.
        return (*lines, *(line.lower() for line in checked.text.splitlines() if line.lower().startswith(".temp")))

    def _ask(
        self,
        request: dict[str, Any],
        record: Record | None,
        progress: Progress | None,
        failed: FailedDeck,
        clock: Clock | None = None,
    ) -> dict[str, Any]:
        """Wait for the runs of other threads, then send a request and watch it until its reply."""
        try:
            with self._lock:
                if self._asked:
                    raise InputError("engine", "busy", "is asked from a function that it calls", "use another there")
                self._asked = True
                try:
                    return self._reply(request, record, progress, failed, clock)
                finally:
                    self._asked = False
        except KeyboardInterrupt as interruption:
            if isinstance(interruption, Interrupted):
                raise
            raise Interrupted("run", "Ctrl-C", "was stopped", "what was computed so far is kept") from None

    def _reply(
        self,
        request: dict[str, Any],
        record: Record | None,
        progress: Progress | None,
        failed: FailedDeck,
        clock: Clock | None,
    ) -> dict[str, Any]:
        """Send a request and watch it; whatever happens, the next request finds a sound worker."""
        try:
            if self._aborted:
                raise KeyboardInterrupt
            spent = self._runs >= RUNS_PER_WORKER or (self._drew_normals and request.get("normals", False))
            if self._process is None or not self._process.alive or spent:
                self._end()
                with told_of_no_room():
                    self._process, self._runs, self._drew_normals = WorkerProcess(self._library), 0, False
            if self._aborted:  # while it started
                raise KeyboardInterrupt
            process = self._process
            self._runs += request["op"] == "run"
            self._drew_normals |= request.get("normals", False)
            process.ask(request)
            reply = self._watch(process, record, progress, failed, clock)
        except BrokenPipeError:
            self._crashed(process, record, failed)
        except BaseException:  # an error of the progress callback too: a worker left running would answer the next run
            self._end()
            raise
        if record is not None:  # a short run ends before it was looked at
            self._check_record(record, failed)
        if request["op"] == "run":
            if reply.get("exited") is not None or reply.get("ended") or request["dialect"] in STICKY:
                self._end()
            if not reply["loaded"]:
                failed.reject(reply)
            if reply.get("strange"):
                fix = "make it of this circuit, by noise_at_operating_point or noise_along"
                raise InputError("noise", reply["strange"], "flows into nodes that the circuit lacks", fix)
            if reply.get("unserved"):
                what = "an external source in an include"
                raise NetlistError("deck", what, "nobody gives it a value", "remove it from the file")
            if reply.get("missing"):
                raise NetlistError("save", reply["missing"], "is no vector of this circuit", "name a node of the deck")
        return reply

    def _watch(
        self,
        process: WorkerProcess,
        record: Record | None,
        progress: Progress | None,
        failed: FailedDeck,
        clock: Clock | None,
    ) -> dict[str, Any]:
        """Wait for the reply, as long as something moves."""
        begin = last_change = time.monotonic()
        points, phase, served = -1.0, "starting", 0
        while True:
            try:
                if clock is not None and clock.running:
                    clock.serve(process, failed, LOOK_S)
                message = process.answer(0.0 if clock is not None and clock.running else LOOK_S)
            except queue.Empty:
                now = time.monotonic()
                if clock is not None and clock.served != served:  # however long the functions took
                    served, last_change = clock.served, now
                if record is not None:
                    self._check_record(record, failed)
                    if record["points"] != points:
                        points, last_change = record["points"], now
                if progress is not None:
                    progress(phase, 0.0 if record is None else record["time_s"], now - begin)
                # Imports and compilation take seconds whatever the user expects of a run.
                patience = self.timeout_s if phase == "running" else max(self.timeout_s, STARTING_S)
                if now - last_change > patience:
                    process.kill()
                    raise failed.error(
                        EngineHangError,
                        "ngspice",
                        f"{patience:g} s",
                        "accepted no time-point for so long",
                        words=process.last_words(),
                        time_s=None if record is None else record["time_s"],
                    ) from None
                continue
            if message is None:
                self._crashed(process, record, failed)
            if "status" in message:  # of runs without a record: they move
                last_change = time.monotonic()
            elif "event" in message:
                phase, last_change = message["event"], time.monotonic()
                if progress is not None:
                    progress(phase, 0.0, time.monotonic() - begin)
            elif "failure" in message:
                if "cannot load library" in message["failure"]:
                    raise EngineError("libngspice", self._library, "cannot be loaded as a library", INSTALL_HINT)
                if message.get("errno") in NO_ROOM:
                    raise no_room("is full: the results could not be written")
                raise failed.error(EngineError, "ngspice", message["failure"], "the worker failed")
            else:
                reply: dict[str, Any] = message["reply"]
                return reply

    def _crashed(self, process: WorkerProcess, record: Record | None, failed: FailedDeck) -> NoReturn:
        """Raise for a worker that is gone."""
        if process.killed:
            how = "abort" if self._aborted else "close"
            raise Interrupted("run", how, "was stopped", "what was computed so far is kept")
        words = process.last_words()
        ending = process.ending()
        self._end()
        if ending == "SIGBUS" and record is not None:  # a page of the record for which there was no room
            raise no_room("is full: the points of the run could not be kept")
        at = None if record is None else record["time_s"]
        when = "" if at is None else f" at {at:.6g} s"
        said = f" ({short(words[-1:])})" if words else ""
        raise failed.error(
            EngineCrashError, "ngspice", ending, f"ended in the middle of the run{when}{said}", words=words, time_s=at
        )

    def _check_record(self, record: Record, failed: FailedDeck) -> None:
        """End a run whose device gave no number, or whose points do not fit the record."""
        at = record["bad_time_s"]
        if not np.isnan(at):
            self._end()
            problem = f"gave no current at {at:.6g} s"
            fix = "check its voltages near then"
            raise failed.error(AbsurdValueError, "device", "NaN", problem, fix=fix, time_s=at)
        if record["overflow"] > 0:
            at = record["time_s"]
            self._end()
            problem = "ngspice took over eight times the planned points"
            raise failed.error(TooManyPointsError, "max_step_s", f"at {at:.6g} s", problem, time_s=at)


def _renew_engines() -> None:
    """Renew the engines of a forked child: who holds their locks, and who reads their workers, lives in the parent."""
    for engine in _ENGINES:
        engine._process, engine._lock, engine._asked = None, threading.RLock(), False


os.register_at_fork(after_in_child=_renew_engines)


def _plot_names(plots: Sequence[str]) -> dict[str, str]:
    """Names of plots of one run, counted from 1: ngspice goes on from earlier runs."""
    counts: dict[str, int] = {}
    names = {}
    for plot in sorted(set(plots), key=lambda name: int(name.lstrip(string.ascii_letters) or 0)):
        kind = plot.rstrip(string.digits)
        counts[kind] = counts.get(kind, 0) + 1
        names[plot] = f"{kind}{counts[kind]}"
    return {plot: names[plot] for plot in dict.fromkeys(plots)}


def _at_temperature(deck: str) -> str:
    """The deck with a number for ``temper``: ngspice's listing has blanks where that stands."""
    if _TEMPER.search(deck) is None:
        return deck
    said = _TEMPERATURE.findall(deck) or ["27"]
    if len(set(said)) > 1 or not re.fullmatch(r"[-+\d.]+", said[0]):
        raise InputError("deck", said, "has no plain temperature, and values by temper", "give one, as a number")
    return _TEMPER.sub(f"({said[0]})", deck)


def _drawing(deck: str, seed: int) -> int | None:
    """What ngspice's generator is set to before a deck that draws numbers; None for others."""
    return seed + 1 if _DRAWS.search(deck) is not None else None


def _transient(
    record: Record,
    reply: dict[str, Any],
    stop_s: float,
    deck: str,
    notes: Sequence[str],
    dialect: str | None,
    seed: int,
    clock: Clock | None,
) -> Transient:
    """What a record holds, whole or not, with what the worker said of the run."""
    time_s, values, device_A = record.columns()
    reached = len(time_s) > 0 and bool(time_s[-1] >= stop_s * (1 - 1e-9))
    counted = ("points", "evaluations", "source_calls", "device_seconds", "prediction_error_V")
    statistics = {name: record[name] for name in counted}
    statistics |= {"seconds": float(reply.get("seconds", 0.0)), **reply.get("statistics", {})}
    messages = (*reply.get("loading", ()), *reply.get("running", ()))
    trust = Trust(
        reached=reached,
        points=int(statistics["points"]),
        rejected=int(statistics.get("rejected", 0)),
        notes=(*notes, *reply.get("start", ()), *suspicious(spoken(messages))),
    )
    ticks = () if clock is None else clock.ticks(stop_s if reached else record["time_s"])
    return Transient(time_s, values, device_A, reached, statistics, messages, deck, trust, ticks, dialect, seed)
