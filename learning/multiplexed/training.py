"""Many runs of multiplexed gradient descent on a network, each from its own start: curves, and how many get there."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from inmateria.checks import FloatArray, count, not_negative
from inmateria.errors import InputError
from learning.angles import angle_deg
from learning.checkpoint_folder import claim
from learning.multiplexed.descent import MgdSettings, MultiplexedDescent
from learning.multiplexed.subjects import SigmoidSubject, layout
from learning.samples.problem import Problem, fingerprint
from learning.samples.samples import SampleSet

if TYPE_CHECKING:
    from learning.multiplexed.image_network import ImageSubject

SOLVED_COST = 0.04
"""Solved: mean squared error over all samples below this, and every sample on its side."""
_SAVE_S = 10.0  # wall time between checkpoints of a run
_STRETCH_S = 0.2  # wall time after which a run hears that it shall stop, about

SeedProgress = Callable[[int, int, float, float], None]
"""Takes seed, steps done, cost and accuracy of all training samples there; called from threads, one at a time."""


@dataclass(frozen=True)
class MgdTraining:
    """What is trained, and for how long.

    Parameters
    ----------
    settings : MgdSettings
        Its seed is that of the first run; the others count up.
    steps : int
    checks : int
        Times at which all samples are looked at (without perturbation or noise; these looks are not counted).
    batch : int
        Samples presented together.
    shuffled : bool
        Samples drawn at random, else one after the other.
    start_spread : float
        Parameters begin uniform in +- this.
    defects : float
        Spread of the neurons, drawn anew for each run, see `SigmoidNetwork.with_defects`.
    stop_when_solved : bool
        End a run at the first look that finds it solved.

    Raises
    ------
    InputError
        When built with values that are none of these.
    """

    settings: MgdSettings
    steps: int
    checks: int = 100
    batch: int = 1
    shuffled: bool = False
    start_spread: float = 1.0
    defects: float = 0.0
    stop_when_solved: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "checks", "batch"):
            count(name, getattr(self, name))
        if self.checks > self.steps:
            raise InputError("checks", self.checks, f"are more than the {self.steps} steps", "take fewer")
        for name in ("start_spread", "defects"):
            not_negative(name, getattr(self, name), "standard deviations")

    def check_steps(self) -> list[int]:
        """Steps after which all samples are looked at, the last step included."""
        return sorted({round(self.steps * (k + 1) / self.checks) for k in range(self.checks)})


def _subject(training: MgdTraining, problem: Problem, seed: int, where: str) -> SigmoidSubject | ImageSubject:
    """The network of one run."""
    if isinstance(problem, SampleSet):
        return SigmoidSubject(
            problem, seed, batch=training.batch, shuffled=training.shuffled, defects=training.defects,
            start_spread=training.start_spread,
        )  # fmt: skip
    from learning.multiplexed.image_network import ImageSubject

    return ImageSubject(problem, seed, batch=training.batch, start_spread=training.start_spread, where=where)


@dataclass(eq=False)
class _Run:
    """One run from one start, with what was seen of it so far."""

    training: MgdTraining
    subject: SigmoidSubject | ImageSubject
    seed: int

    def __post_init__(self) -> None:
        settings = replace(self.training.settings, seed=self.seed)
        self.descent = MultiplexedDescent(self.subject.cost, self.subject.start, settings)
        looks = len(self.training.check_steps()) + 1
        self.seen = np.full((looks, 6), np.nan)  # cost, accuracy, test accuracy, angle, inferences, updates
        self.before = self.descent.theta  # at the last look
        self.saved = time.monotonic()

    def restore(self, checkpoint: Path) -> None:
        """Go back to where the checkpoint was made."""
        held = self.descent.load(checkpoint)
        if any(name not in held or held[name].shape != mine.shape for name, mine in self.beside().items()):
            raise InputError("checkpoint", str(checkpoint), "holds other looks", "delete it, and the run begins anew")
        self.seen, self.before = held["seen"], held["before"]

    def beside(self) -> dict[str, FloatArray]:
        """What a checkpoint holds beside the descent's own state."""
        return {"seen": self.seen, "before": self.before}

    def save(self, checkpoint: Path | None) -> None:
        """Write a checkpoint, if there is a place for it."""
        if checkpoint is not None:
            self.descent.save(checkpoint, **self.beside())
            self.saved = time.monotonic()

    def look(self, which: int) -> None:
        """See all samples; the angle is that of the way since the last look to the descent at its beginning."""
        theta = self.descent.theta
        angle = np.nan if which == 0 else angle_deg(self.before - theta, self.subject.gradient(self.before))
        self.seen[which] = *self.subject.look(theta), angle, self.descent.inferences, self.descent.updates
        self.before = theta

    def go(self, checkpoint: Path | None, stop: threading.Event, tell: Callable[[int, FloatArray], None]) -> None:
        """Run to the end, from the checkpoint if there is one; a run that is stopped leaves one."""
        if checkpoint is not None and checkpoint.exists():
            self.restore(checkpoint)
        else:
            self.look(0)
        done = int(np.sum(np.isfinite(self.seen[:, 0])))
        for which, step in enumerate(self.training.check_steps(), 1):
            if self._over(which - 1):
                break
            if which < done:
                continue
            for _ in self.stretches(step):
                if stop.is_set():
                    return self.save(checkpoint)
            self.look(which)
            try:
                tell(step, self.seen[which])
            except BaseException:
                self.save(checkpoint)
                raise
            if time.monotonic() - self.saved > _SAVE_S:
                self.save(checkpoint)
        self.save(checkpoint)

    def stretches(self, step: int) -> Iterator[None]:
        """Run up to a step, in stretches that are short enough to hear of a stop between them."""
        stretch = 1
        while True:
            yield
            left = step - self.descent.steps
            if left <= 0:
                return
            begin = time.monotonic()
            self.descent.run(min(stretch, left))
            if time.monotonic() - begin < _STRETCH_S:
                stretch *= 2

    def _over(self, which: int) -> bool:
        return self.training.stop_when_solved and bool(solved(self.seen[which, 0], self.seen[which, 1]))


def solved(cost: Any, accuracy: Any) -> Any:
    """Whether a look at all samples finds the task solved; numbers, or arrays of one shape."""
    return (cost < SOLVED_COST) & (accuracy == 1.0)


def train_many(
    training: MgdTraining,
    problem: Problem,
    seeds: int | Sequence[int],
    *,
    folder: Path | None = None,
    workers: int | None = None,
    where: str = "cpu",
    progress: SeedProgress | None = None,
) -> xr.Dataset:
    """Train a network from many starts.

    Parameters
    ----------
    training : MgdTraining
    problem : SampleSet or ImageSet
        Images are trained by PyTorch, in as many threads as that takes; give ``workers=1``.
    seeds : int or sequence of int
        How many runs, counted up from the settings' seed, or the seeds themselves.
    folder : Path, optional
        For checkpoints: a run that was killed goes on from the last one, to the identical path.
    workers : int, optional
        Threads; left out: as many as there are cores.
    where : str, optional
        Images: PyTorch's device.
    progress : callable, optional
        See `SeedProgress`.

    Returns
    -------
    xarray.Dataset
        Over seed and step (0 first): ``cost``, ``accuracy``, ``test_accuracy``, ``angle_deg`` (between the way since
        the last look and the exact gradient at its beginning), ``inferences``, ``updates``; over seed: ``solved``,
        ``steps_to_solved`` (NaN if not); over seed and parameter: ``theta`` at the end, ``start``.

    Raises
    ------
    InputError
        For no seeds, or a folder that holds checkpoints of another training.
    ConvergenceError
        If a cost is no finite number; runs that were done keep their checkpoints.
    """
    runs = _runs(training, problem, seeds, where)
    _claim(folder, training, problem)
    stop, lock = threading.Event(), threading.Lock()

    def go(run: _Run) -> None:
        def tell(step: int, seen: FloatArray) -> None:
            if progress is not None:
                with lock:
                    progress(run.seed, step, float(seen[0]), float(seen[1]))

        try:
            if not stop.is_set():
                run.go(None if folder is None else _checkpoint(folder, run.seed), stop, tell)
        except BaseException:
            stop.set()  # the others end, too, each with a checkpoint
            raise

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        waiting = [pool.submit(go, run) for run in runs]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            stop.set()
            raise
    return _together(training, problem, runs)


def done_so_far(
    training: MgdTraining, problem: Problem, seeds: int | Sequence[int], folder: Path, *, where: str = "cpu"
) -> xr.Dataset | None:
    """What `train_many` left in its folder when it was stopped: the same curves, NaN where a run has not been.

    Returns
    -------
    xarray.Dataset or None
        None if there is no checkpoint. Runs without one are left out.
    """
    runs = [run for run in _runs(training, problem, seeds, where) if _checkpoint(folder, run.seed).exists()]
    if not runs:
        return None
    _claim(folder, training, problem)
    for run in runs:
        run.restore(_checkpoint(folder, run.seed))
    return _together(training, problem, runs)


def _runs(training: MgdTraining, problem: Problem, seeds: int | Sequence[int], where: str) -> list[_Run]:
    first = training.settings.seed
    chosen = range(first, first + seeds) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not len(chosen):
        raise InputError("seeds", seeds, "are no runs", "give 1 or more")
    return [_Run(training, _subject(training, problem, seed, where), seed) for seed in chosen]


def _checkpoint(folder: Path, seed: int) -> Path:
    return folder / f"seed_{seed}.npz"


def _together(training: MgdTraining, problem: Problem, runs: Sequence[_Run]) -> xr.Dataset:
    seen, ends = np.stack([run.seen for run in runs]), np.stack([run.descent.theta for run in runs])
    starts = np.stack([run.subject.start for run in runs])
    return curves(training, problem, [run.seed for run in runs], seen, ends, starts)


def _claim(folder: Path | None, training: MgdTraining, problem: Problem) -> None:
    """Make the folder of the checkpoints, or see that it belongs to this training."""
    if folder is None:
        return
    facts: dict[str, Any] = {**asdict(training), "task": problem.name, "network": layout(problem)}
    claim(folder, {**facts, "samples": fingerprint(problem)})


def curves(
    training: MgdTraining,
    problem: Problem,
    seeds: Sequence[int],
    seen: FloatArray,
    ends: FloatArray,
    starts: FloatArray,
) -> xr.Dataset:
    """What `train_many` returns, from what was seen of each run, (seeds, looks, 6), and the parameters, (seeds, P)."""
    steps = np.array([0, *training.check_steps()])
    names = ("cost", "accuracy", "test_accuracy", "angle_deg", "inferences", "updates")
    units = ("1", "1", "1", "deg", "1", "1")
    data = xr.Dataset(
        {name: (("seed", "step"), seen[..., k], {"units": units[k]}) for k, name in enumerate(names)},
        coords={"seed": list(seeds), "step": ("step", steps, {"units": "steps"})},
    )
    good = solved(data.cost, data.accuracy)
    data["solved"] = good.any("step")
    data["steps_to_solved"] = data.step.where(good).min("step").assign_attrs(units="steps")
    data["theta"] = (("seed", "parameter"), ends)
    data["start"] = (("seed", "parameter"), starts)
    return data.assign_attrs(
        task=problem.name, sizes=layout(problem), training=json.dumps(asdict(training), default=int)
    )
