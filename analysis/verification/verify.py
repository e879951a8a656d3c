"""Sign-off of a design: the nominal design, its corners, and samples over components and devices; pass or fail.

Nominal design and corners run in ngspice. Each sample is a board of its own: every component drawn within its
tolerance, the next device seed, its own starts; it passes where it learns the task and meets the criteria on margin,
separation and attempts. Samples run in a fast engine. Some of them, failing ones first, are run again in ngspice. All
that ran is stored as it is done (`analysis.verification.nominal`, `analysis.sweeps.runner`), so that a verification
that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of, parts_of
from analysis.gradients.path_check import PathCheck, check_path
from analysis.report.page import Criterion
from analysis.sweeps.axes import Axis
from analysis.sweeps.cluster import open_cluster
from analysis.sweeps.measures import OUTCOME
from analysis.sweeps.runner import Sweep, run_sweep
from analysis.sweeps.store import Variable, difference, read_store
from analysis.verification.boards import (
    CornerMeasure,
    SampleMeasure,
    corners,
    on_board,
    starts_of,
)
from analysis.verification.criteria import all_passing, corner_criteria, nominal_criteria, yield_criterion
from analysis.verification.nominal import (
    NOMINAL,
    NOMINAL_QUICK,
    NominalRun,
    identity_of,
    read_nominal,
    write_nominal,
)
from analysis.verification.yields import Sensitivity, Yield, samples_for, sensitivities, yield_of
from circuits.homodyne.engines import engine_kind, engine_named, with_dither
from circuits.parts.component_errors import Component
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment
from learning.homodyne.results import Attempt
from learning.homodyne.training import learn
from learning.tasks.boolean import BooleanTask

QUICK_SAMPLES = 20
STORES = ("corners.zarr", "samples.zarr", "samples-quick.zarr", "confirmed.zarr")
RUNS = (f"{NOMINAL}.nc", f"{NOMINAL_QUICK}.nc")
CHECKED_INSTANTS = 4
"""Of the learning path, at which the lock-ins are held against the exact gradient."""
Progress = Callable[[str, int, int], None]
"""Called as progress(what is being done, how much of it is done, how much there is)."""


@dataclass(frozen=True)
class Confirmation:
    """A sample that was run again in ngspice.

    Attributes
    ----------
    sample : int
    fast, ngspice : bool
        Whether it passed.
    quality_fast, quality_ngspice : float
    """

    sample: int
    fast: bool
    ngspice: bool
    quality_fast: float
    quality_ngspice: float


@dataclass(frozen=True, eq=False)
class Verification:
    """What a verification found.

    Attributes
    ----------
    design : Design
    quick : bool
        Whether all of it ran in the fast engine, with few samples and without corners.
    nominal : NominalRun
    corners, samples : Dataset
        What became of each; empty where there are none.
    criteria : tuple of Criterion
    yields : Yield or None
    sensitivities : tuple of Sensitivity
    confirmations : tuple of Confirmation
    worst : int or None
        Sample that failed worst, or came closest to it.
    worst_attempt : Attempt or None
        Its run, in the twin, or in the samples' engine.
    """

    design: Design
    quick: bool
    nominal: NominalRun
    corners: xr.Dataset
    samples: xr.Dataset
    criteria: tuple[Criterion, ...]
    yields: Yield | None
    sensitivities: tuple[Sensitivity, ...]
    confirmations: tuple[Confirmation, ...]
    worst: int | None
    worst_attempt: Attempt | None

    @property
    def passed(self) -> bool:
        """Whether every criterion is met."""
        return all(one.passed for one in self.criteria)

    @property
    def attempt(self) -> Attempt:
        """The nominal run's attempt that counts."""
        return self.nominal.best

    @property
    def check(self) -> PathCheck:
        """Lock-in gradients along the nominal run's path against exact ones."""
        return self.nominal.check


def check_design(design: Design, *, quick: bool = False) -> None:
    """Refuse a design whose verification makes no sense, before anything runs.

    Raises
    ------
    InputError
        For criteria that contradict the samples or the task, and engines that do not know the design's parts or noise.
    """
    wanted, verify = design.criteria, design.verify
    if wanted.yield_min is not None:
        if verify.samples == 0:
            raise InputError("criteria.yield_min", wanted.yield_min, "is asked of no samples", "raise verify.samples")
        needed = samples_for(wanted.yield_min, verify.confidence)
        if needed == 0 or verify.samples < needed:
            fix = f"take at least {needed}, or ask for less" if needed else "ask for less"
            raise InputError(
                "criteria.yield_min",
                wanted.yield_min,
                f"cannot be shown by {verify.samples} samples, even if all of them pass",
                fix,
            )
    if wanted.attempts_max is not None and wanted.attempts_max > design.learning.restarts:
        raise InputError(
            "criteria.attempts_max",
            wanted.attempts_max,
            f"is more than learning.restarts = {design.learning.restarts} allows",
            "lower it, or raise the restarts",
        )
    cosine, error = wanted.gradient_cosine_min, wanted.gradient_error_max
    if cosine is not None and error is not None and error < 1.0 and cosine < np.sqrt(1.0 - error**2) - 1e-12:
        raise InputError(
            "criteria.gradient_cosine_min",
            cosine,
            f"is weaker than gradient_error_max = {error:g}, which leaves no cosine below {np.sqrt(1 - error**2):.4g}",
            "leave out one of them",
        )
    task = design.named_task()
    for name in ("margin_min", "separation_min"):
        if getattr(wanted, name) is not None and not isinstance(task, BooleanTask):
            raise InputError(f"criteria.{name}", getattr(wanted, name), "is asked of a task that is no gate", "drop it")
    if verify.samples and verify.devices > 1 and design.device.model not in ("meanfield", "kmc"):
        raise InputError("verify.devices", verify.devices, "are asked of one measured chip", "set it to 1")
    if design.device.model == "kmc":
        raise InputError("device.model", "kmc", "knows no exact gradient to verify against", "take meanfield or a chip")
    if verify.samples or quick:
        design.check_engine(verify.engine, "verify.engine")
        if not engine_kind(verify.engine).has_dither and design.noise.density > 0:
            raise InputError("verify.engine", verify.engine, "knows no noise, the design has some", "set it to twin")


def verify(
    design: Design,
    *,
    quick: bool = False,
    folder: Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Run nominal design, corners and samples, and hold them against the criteria.

    Parameters
    ----------
    design : Design
    quick : bool
        Everything in the samples' engine, at most `QUICK_SAMPLES` of them, no corners, nothing confirmed.
    folder : Path, optional
        Where nominal run, corners and samples are stored (``nominal.nc``, ``corners.zarr``, ``samples.zarr``), to go
        on from after a kill.
    workers, scheduler
        As `analysis.sweep`.
    progress : callable, optional

    Raises
    ------
    InputError
        As `check_design`.
    NetlistError, ConvergenceError, EngineError, Interrupted
        As `learning.learn` and `analysis.sweeps.runner.run_sweep`.
    """
    check_design(design, quick=quick)
    _check_folder(design, folder)
    told = progress or (lambda _what, _done, _all: None)
    fast = design.verify.engine
    own = fast if quick else "ngspice"
    experiment = experiment_of(design, noisy=engine_kind(own).has_dither)
    parts, control_names = parts_of(experiment), {"control": list(experiment.bench.names)}
    with open_cluster(scheduler, workers) as cluster:  # first, so that one that does not answer is told of at once

        def run(name: str, what: str, measure: Any, axis: Axis, engine: str, **more: Any) -> xr.Dataset:
            return run_sweep(
                Sweep(
                    measure,
                    [axis],
                    {**OUTCOME, **more.pop("variables", {})},
                    {**control_names, **more.pop("coords", {})},
                    identity={"measure": f"{name} of a verification", "engine": engine, **design.identity},
                ),
                store=None if folder is None else folder / f"{name}.zarr",
                progress=lambda done, _failed, count: told(what, done, count),
                cluster=cluster,
            ).data

        nominal = _nominal(design, experiment, own, told, folder, NOMINAL_QUICK if quick else NOMINAL)
        at_corners, samples, again = xr.Dataset(), xr.Dataset(), xr.Dataset()
        if not quick and (found := corners(design)):
            at_corners = run(
                "corners", "corners", CornerMeasure(found, "ngspice"), Axis("corner", tuple(found)), "ngspice"
            )
        count = min(design.verify.samples, QUICK_SAMPLES) if quick else design.verify.samples
        if count:
            samples = run(
                "samples-quick" if quick else "samples",
                "samples",
                SampleMeasure(design, fast),
                Axis("sample", tuple(range(count))),
                fast,
                variables={"error": Variable("1", ("component",), "of each component, as in component_errors")},
                coords={"component": [part.name for part in parts]},
            )
            chosen = _worst_first(design, samples)[: 0 if quick else design.verify.confirm]
            if chosen:
                again = run(
                    "confirmed",
                    "samples again in ngspice",
                    SampleMeasure(design, "ngspice"),
                    Axis("sample", chosen),
                    "ngspice",
                )
    return _judged(design, quick, nominal, at_corners, samples, again, parts)


def _check_folder(design: Design, folder: Path | None) -> None:
    """Refuse a folder that holds another design's verification, before anything runs."""
    if folder is None:
        return
    stored: list[Any] = [read_store(folder / name).attrs for name in STORES if (folder / name).is_dir()]
    stored += [attrs for name in RUNS if (attrs := identity_of(folder / name)) is not None]
    for found in stored:
        if found.get("design_sha256") != design.digest:
            told = difference("design", str(found.get("design", "{}")), design.identity["design"])
            raise InputError(
                "out", str(folder), f"holds another design's verification: {told}",
                "choose another folder, or take that one away",
            )  # fmt: skip


def _nominal(
    design: Design, experiment: Experiment, engine: str, told: Progress, folder: Path | None, name: str
) -> NominalRun:
    """Train the nominal design, and hold its lock-ins against exact gradients on the path; or read what is stored."""
    restarts = design.learning.restarts
    if folder is not None and (stored := read_nominal(design, experiment, engine, folder, name)) is not None:
        told("nominal design", restarts, restarts)
        return stored
    told("nominal design", 0, restarts)

    def report(number: int, _phase: str, _share: float, _wall: float) -> None:
        told("nominal design", number, restarts)

    rng = np.random.default_rng(design.seed)
    result = learn(experiment, rng=rng, engine=engine, progress=report, folder=folder)
    attempt = result.best
    told("gradient along the path", 0, 1)
    with engine_named(with_dither(engine)) as reading:
        check = check_path(
            result.experiment, attempt.loop, attempt.run, reading,
            dither_V=attempt.loop.dither.amplitudes_V, samples=CHECKED_INSTANTS, real=True,
        )  # fmt: skip
    nominal = NominalRun.of(result, check)
    if folder is not None:
        write_nominal(nominal, design, folder, name)
    return nominal


def _quality(samples: xr.Dataset) -> FloatArray:
    """What samples are ranked by: learned or not, then how well."""
    found: FloatArray = np.nan_to_num(samples["quality"].values, nan=-1.0) + (samples["learned"].values > 0)
    return found


def _worst_first(design: Design, samples: xr.Dataset) -> tuple[int, ...]:
    """Numbers of the samples: those that fail first, the worst of them first."""
    good = all_passing(design, samples)
    return tuple(int(k) for k in np.lexsort((np.arange(len(good)), _quality(samples), good)))


def _judged(
    design: Design, quick: bool, nominal: NominalRun, at_corners: xr.Dataset, samples: xr.Dataset, again: xr.Dataset,
    parts: tuple[Component, ...],
) -> Verification:  # fmt: skip
    """Hold what was run against the criteria; draw the worst sample's waveforms."""
    criteria = nominal_criteria(design, nominal)
    if "corner" in at_corners.dims:
        criteria += corner_criteria(design, at_corners)
    found: Yield | None = None
    matter: tuple[Sensitivity, ...] = ()
    confirmed: list[Confirmation] = []
    worst: int | None = None
    attempt: Attempt | None = None
    if "sample" in samples.dims:
        good = all_passing(design, samples)
        found = yield_of(good, design.verify.confidence)
        if design.criteria.yield_min is not None:
            criteria.append(yield_criterion(design, found, quick))
        scale = np.array([_scale(design, part) for part in parts])
        stated = np.array([part.stated for part in parts])
        errors = np.nan_to_num((samples["error"].values - stated) / scale)
        matter = sensitivities(errors, [f"{part.part}.{part.figure}" for part in parts], _quality(samples))
        worst = _worst_first(design, samples)[0]
        engine = design.verify.engine if quick else with_dither(design.verify.engine)  # its deck wants the dither
        attempt = learn(on_board(design, worst, engine), rng=starts_of(design, worst), engine=engine).best
        if "sample" in again.dims:
            true, fast = all_passing(design, again), samples["quality"].values
            confirmed = [
                Confirmation(int(k), bool(good[k]), bool(t), float(fast[k]), float(q))
                for k, t, q in zip(again["sample"].values, true, again["quality"].values, strict=True)
            ]
    return Verification(
        design, quick, nominal, at_corners, samples, tuple(criteria), found, matter, tuple(confirmed), worst, attempt
    )


def _scale(design: Design, part: Component) -> float:
    """What a component's error is measured in: its tolerance."""
    return float(getattr(design.tolerances, part.kind)) or 1.0
