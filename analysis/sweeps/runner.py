"""The runner of sweeps: a function at every point of a grid, on many processes, into a store that outlives them.

Points travel to the workers in batches of about a second. What a point gives depends on its coordinates alone, so it
does not matter which worker computes it, when, or after how many interruptions: the store comes out the same.
"""

from __future__ import annotations

import math
import os
import pickle
import queue
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.sweeps.axes import SEED, Axis, Value
from analysis.sweeps.cluster import SweepCluster, open_cluster
from analysis.sweeps.store import FAILED, TODO, Layout, Outcome, SweepStore, Variable
from inmateria.errors import EngineError, InMateriaError, InputError, Interrupted
from inmateria.run_folder import run_folder
from inmateria.threads import one_blas_thread
from inmateria.versions import versions

Measure = Callable[[dict[str, Value]], Mapping[str, Any]]
"""A point's coordinates by key to values by name."""
SweepProgress = Callable[[int, int, int], None]
"""Called as progress(points done, points failed, points in all), first with what is stored already."""

BATCH_S = 1.0
"""Wall time that a batch should take: long against the scheduler's milliseconds, short against a user's patience."""
_LARGEST = 256
_AHEAD = 2
"""Batches given to each worker at a time, so that none waits for the next."""
_FLUSH_S = 0.5
"""What was computed is written at least so often."""
_LOOK_S = 0.2
_DEATHS = 3
"""A point that was being computed when its worker died, so often, has failed."""

_ONE_AT_A_TIME = threading.Lock()
"""Devices and engines of a process serve one thread."""


@dataclass(frozen=True)
class _Batch:
    """Some points for one worker; `checks` if these are the checks of points."""

    measure: bytes
    points: tuple[tuple[int, dict[str, Value]], ...]
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    version: str
    checks: bool


def compute_batch(batch: _Batch) -> list[Outcome]:
    """Compute some points: what runs on a worker.

    Raises
    ------
    InputError
        If this process has another version of the project.
    """
    here = versions()["inmateria"]
    if here != batch.version:
        raise InputError(
            "scheduler", here, f"is the version of inmateria on {socket.gethostname()}, {batch.version} is required",
            "start scheduler and workers in the same environment",
        )  # fmt: skip
    measure: Measure = pickle.loads(batch.measure)
    # workers of one's own cluster may have been started with more: as many as there are workers fight for the cores
    with _ONE_AT_A_TIME, one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [_one(measure, number, point, dict(batch.shapes)) for number, point in batch.points]


def _one(measure: Measure, number: int, point: dict[str, Value], shapes: dict[str, tuple[int, ...]]) -> Outcome:
    begin = time.perf_counter()
    values: dict[str, Any] | None = None
    reason = ""
    try:
        values = _checked(measure(dict(point)), shapes)
    except InMateriaError as error:
        reason = " ".join(str(error).split())
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    host = f"{socket.gethostname()}:{os.getpid()}"
    return Outcome(number, values, reason, time.perf_counter() - begin, host)


def _checked(found: Mapping[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """What a measure returned, held against what it said it would."""
    for name in shapes:
        if name not in found:
            raise InputError("measure", name, "is missing in what the measure returned", "return it")
    values = {}
    for name, shape in shapes.items():
        value = np.asarray(found[name], dtype=float)
        if value.shape != shape:
            raise InputError("measure", value.shape, f"is the shape of {name}, {shape} is required", "return that")
        values[name] = value
    return values


@dataclass(frozen=True)
class SweepResult:
    """What a sweep left behind.

    Attributes
    ----------
    data : Dataset
        All that is stored.
    computed : int
        Points that this run computed, checks not counted; the others were stored before.
    failed : int
        Points that failed, of all.
    seconds : float
        Wall time of this run, from the first point's start to the last one's end, without the workers' own start.
    """

    data: xr.Dataset
    computed: int
    failed: int
    seconds: float

    @property
    def points_per_s(self) -> float:
        """Of this run; NaN if it computed none."""
        return self.computed / self.seconds if self.computed and self.seconds > 0 else math.nan


@dataclass(frozen=True)
class Sweep:
    """What is measured, and where.

    Parameters
    ----------
    measure : callable
        Coordinates by key to values by name; picklable. An exception fails its point, not the sweep.
    axes : sequence of Axis
    variables : dict of str to Variable
        What the measure returns.
    coords : dict, optional
        Labels of the variables' own dimensions.
    check : callable, optional
        Like `measure`, computed at `checks` of the points.
    check_variables : dict, optional
    checks : int
    identity, attrs : dict, optional
        What a store must agree in to be gone on with; what else it shall tell.
    """

    measure: Measure
    axes: Sequence[Axis]
    variables: Mapping[str, Variable]
    coords: Mapping[str, Sequence[str]] = field(default_factory=dict)
    check: Measure | None = None
    check_variables: Mapping[str, Variable] = field(default_factory=dict)
    checks: int = 0
    identity: Mapping[str, str] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def layout(self) -> Layout:
        """What is stored; the points that are checked are drawn, the same ones each time."""
        axes = tuple(self.axes)
        chosen: tuple[int, ...] = ()
        points = math.prod(len(axis.values) for axis in axes)
        if self.check is not None and self.checks > 0:
            rng = np.random.default_rng([points, self.checks])
            chosen = tuple(sorted(int(k) for k in rng.choice(points, min(self.checks, points), replace=False)))
        return Layout(axes, self.variables, self.coords, chosen, self.check_variables if chosen else {})

    def store(self, path: Path) -> SweepStore:
        """Its store, new or gone on with."""
        told = versions()
        used = {**told, **{name: version(name) for name in ("zarr", "distributed")}}
        about = {**{f"version_{name}": text for name, text in used.items()}, **self.attrs}
        return SweepStore(path, self.layout(), {"version_inmateria": told["inmateria"], **self.identity}, about)


def run_sweep(
    sweep: Sweep,
    *,
    store: str | Path | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: SweepProgress | None = None,
    cluster: SweepCluster | None = None,
) -> SweepResult:
    """Compute a measure at all points of a grid that are not stored yet.

    Parameters
    ----------
    sweep : Sweep
    store : path, optional
        Folder of the zarr store; without one the results are in memory only.
    scheduler : str, optional
        Address of a dask scheduler; a local cluster of `workers` processes if left out.
    workers : int, optional
        One a processor if left out.
    retry_failed : bool
        Whether points that failed before are computed again.
    progress : callable, optional
    cluster : SweepCluster, optional
        An open one, in place of `scheduler` or `workers`.

    Returns
    -------
    SweepResult

    Raises
    ------
    InputError
        For a store of another sweep, a scheduler that does not answer or is gone.
    EngineError
        If local workers do not start or die again and again.
    Interrupted
        On Ctrl-C; what was computed is stored.
    """
    with _folder(store) as path, sweep.store(path) as opened:
        if retry_failed:
            opened.forget_failures()
        run = _Run(opened, sweep, progress)
        try:
            if run.left:
                with nullcontext(cluster) if cluster else open_cluster(scheduler, workers) as opened_cluster:
                    run.compute(opened_cluster, warm=cluster is not None)
        except KeyboardInterrupt:
            opened.flush()
            done, points = int(np.count_nonzero(opened.main.status)), opened.layout.points
            where = f" in {path}" if store is not None else ""
            raise Interrupted(
                "sweep", "Ctrl-C", f"stopped by Ctrl-C with {done} of {points} points stored{where}",
                "give the same command to go on" if store is not None else "name a store to be able to go on",
            ) from None  # fmt: skip
        opened.flush()
        failed = int(np.count_nonzero(opened.main.status == FAILED))
        return SweepResult(opened.dataset(), run.computed, failed, run.seconds)


@contextmanager
def _folder(store: str | Path | None) -> Iterator[Path]:
    """The store's folder; one that is gone afterwards where none was named."""
    if store is not None:
        yield Path(store)
        return
    with run_folder() as made:
        yield made / "sweep.zarr"


class _Run:
    """One run over what a store lacks."""

    def __init__(self, store: SweepStore, sweep: Sweep, progress: SweepProgress | None) -> None:
        self.store, self.version, self.progress = store, versions()["inmateria"], progress
        measures = {False: sweep.measure, True: sweep.check}
        self._measures = {checks: _pickled(m) for checks, m in measures.items() if m is not None}
        lengths = {name: len(labels) for name, labels in store.layout.coords.items()}
        self._shapes = {
            checks: tuple((name, tuple(lengths[d] for d in v.dims)) for name, v in named.items())
            for checks, named in ((False, store.layout.variables), (True, store.layout.check_variables))
        }
        # points first, then checks: seeds of a device, and devices, one after the other
        self._todo = deque((False, number) for number in _order(store.layout, store.main.status == TODO))
        self._todo.extend((True, number) for number in np.flatnonzero(store.checked.status == TODO).tolist())
        self._single: deque[tuple[bool, int]] = deque()  # from batches whose worker died
        self._suspects: deque[tuple[bool, int]] = deque()  # died by themselves, but maybe by a neighbour's fault
        self._alone = False
        self._settled = 0
        self._deaths: dict[tuple[bool, int], int] = {}
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._flying: dict[Any, tuple[bool, tuple[int, ...]]] = {}
        self._pace: dict[bool, float] = {}
        self._began, self._flushed = 0.0, time.monotonic()
        self.computed, self.seconds = 0, 0.0

    @property
    def left(self) -> bool:
        """Whether anything is still to be computed."""
        return bool(self._todo or self._single or self._suspects or self._flying)

    def compute(self, cluster: SweepCluster, *, warm: bool = False) -> None:
        """Give out batches and take in results until nothing is left; a cold cluster gets one point first."""
        self._tell()
        cluster.wait_for_workers()
        self._began = time.monotonic()
        try:
            # one point alone: what is compiled for it, the others find compiled
            self._give(cluster, _AHEAD * max(1, cluster.threads) if warm else 1)
            while self.left:
                settled = self._settled
                self._take()
                cluster.tend(better=self._settled > settled)
                if self._pace:
                    self._give(cluster, _AHEAD * max(1, cluster.threads))
        except InMateriaError:
            raise
        except (OSError, RuntimeError) as error:  # distributed's own: the connection is lost
            self.store.flush()
            raise cluster.gone() from error
        finally:
            for future in list(self._flying):
                future.release()
            self.seconds = time.monotonic() - self._began

    def _give(self, cluster: SweepCluster, batches: int) -> None:
        if self._flying and (self._alone or self._suspects):
            return
        self._alone = bool(self._suspects)
        while (self._todo or self._single or self._alone) and len(self._flying) < (1 if self._alone else batches):
            checks, numbers = self._next(batches)
            layout = self.store.layout
            at = [layout.checks[number] if checks else number for number in numbers]
            batch = _Batch(
                self._measures[checks],
                tuple((number, layout.point(point)) for number, point in zip(numbers, at, strict=True)),
                self._shapes[checks],
                self.version,
                checks,
            )
            future = cluster.client.submit(compute_batch, batch, pure=False)
            self._flying[future] = checks, numbers
            future.add_done_callback(self._finished.put)

    def _next(self, batches: int) -> tuple[bool, tuple[int, ...]]:
        """The next batch: as many points as take `BATCH_S`, fewer towards the end."""
        if self._single or self._alone:
            checks, number = (self._suspects if self._alone else self._single).popleft()
            return checks, (number,)
        checks, number = self._todo.popleft()
        pace = self._pace.get(checks)
        size = 1
        if pace is not None:
            size = max(1, min(int(BATCH_S / max(pace, 1e-6)), _LARGEST, len(self._todo) // (2 * batches)))
        numbers = [number]
        while len(numbers) < size and self._todo and self._todo[0][0] == checks:
            numbers.append(self._todo.popleft()[1])
        return checks, tuple(numbers)

    def _take(self) -> None:
        """Wait a moment for finished batches and store them."""
        try:
            future = self._finished.get(timeout=_LOOK_S)
        except queue.Empty:
            self._flush(_FLUSH_S)
            return
        while future is not None:
            self._took(future)
            try:
                future = self._finished.get_nowait()
            except queue.Empty:
                future = None
        self._flush(_FLUSH_S)

    def _took(self, future: Any) -> None:
        found = self._flying.pop(future, None)
        if found is None:
            return
        checks, numbers = found
        if future.status == "finished":
            outcomes = future.result()
            table = self.store.checked if checks else self.store.main
            for outcome in outcomes:
                table.put(outcome)
            self._settled += len(outcomes)
            took = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
            before = self._pace.get(checks, took)
            self._pace[checks] = took if before > 5.0 * took else 0.7 * before + 0.3 * took  # the first one compiles
            self.computed += 0 if checks else len(outcomes)
            self._tell()
        else:
            self._lost(checks, numbers, future)
        future.release()

    def _lost(self, checks: bool, numbers: tuple[int, ...], future: Any) -> None:
        """A batch came back without results: its worker died too often, or cannot do it at all."""
        from distributed import KilledWorker

        error = future.exception() if future.status == "error" else None
        if isinstance(error, InMateriaError):
            raise error
        if error is not None and not isinstance(error, KilledWorker):
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise EngineError(
                "scheduler", None, f"a worker cannot compute this sweep ({said})",
                "start scheduler and workers in the environment of this command; a measure must be importable there",
            ) from error  # fmt: skip
        if len(numbers) > 1:  # one of them may be the cause: each by itself
            self._single.extend((checks, number) for number in numbers)
            return
        key = checks, numbers[0]
        if not self._alone:  # a worker takes along what waits for it: who is guilty shows with no other point about
            self._suspects.append(key)
            self._pace.setdefault(checks, BATCH_S)  # there will be no time of it
            return
        if error is None:  # the scheduler forgot it
            self._deaths[key] = self._deaths.get(key, 0) + 1
            if self._deaths[key] < _DEATHS:
                self._suspects.append(key)
                return
        table = self.store.checked if checks else self.store.main
        table.put(Outcome(numbers[0], None, "the worker that computed it died, again and again", math.nan, ""))
        self._pace.setdefault(checks, BATCH_S)
        self._settled += 1
        self.computed += 0 if checks else 1
        self._tell()

    def _flush(self, at_least_s: float) -> None:
        now = time.monotonic()
        if now - self._flushed >= at_least_s:
            self.store.flush()
            self._flushed = now

    def _tell(self) -> None:
        if self.progress is not None:
            statuses = (self.store.main.status, self.store.checked.status)
            done, failed, points = (
                sum(int(f(status)) for status in statuses)
                for f in (np.count_nonzero, lambda s: np.count_nonzero(s == FAILED), np.size)
            )
            self.progress(done, failed, points)


def _pickled(measure: Measure) -> bytes:
    """A measure as bytes; one that is defined in a script or a notebook goes as a whole."""
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(measure))
    except Exception as error:
        raise InputError(
            "measure", str(measure), f"cannot be sent to a worker ({error})", "make it picklable"
        ) from None


def _order(layout: Layout, wanted: np.ndarray[Any, Any]) -> list[int]:
    """Numbers of the points that are wanted, the seeds and devices outermost: a worker then changes devices seldom."""
    first = [k for k, axis in enumerate(layout.axes) if axis.key == SEED or axis.key.startswith("device.")]
    axes = [*first, *(k for k in range(len(layout.axes)) if k not in first)]
    numbers = np.arange(layout.points).reshape(layout.shape).transpose(axes).reshape(-1)
    return [int(k) for k in numbers if wanted[k]]
