"""Sign-off of a design: the nominal design, its corners, and boards of drawn components; pass or fail.

Nominal design and corners run in ngspice. Boards of drawn components (`analysis.verification.boards`) run in a fast
engine, from starts that all boards share; ngspice repeats a random tenth of them. All that ran is stored as it is done
(`analysis.verification.nominal`, `analysis.sweeps.runner`), so that a verification that was stopped goes on where it
was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from analysis.gradients.path_check import PathCheck, check_path
from analysis.report.page import Criterion
from analysis.sweeps.cluster import open_cluster
from analysis.sweeps.runner import Sweep, run_sweep
from analysis.sweeps.store import difference, read_store
from analysis.verification.boards import (
    CHANCE_P,
    Boards,
    board_sweep,
    judge_boards,
    reference_sweep,
    wanted_probability,
)
from analysis.verification.corners import corner_sweep, corners
from analysis.verification.criteria import board_criteria, corner_criteria, nominal_criteria
from analysis.verification.disturbed import check_disturbed, check_temperature
from analysis.verification.fast import check_fast, fast_criteria
from analysis.verification.holding import Holding, check_holding, holding_criteria
from analysis.verification.loop_margin import check_loop_margin, check_loss
from analysis.verification.nominal import (
    NOMINAL,
    NOMINAL_QUICK,
    NominalRun,
    identity_of,
    read_nominal,
    write_nominal,
)
from analysis.verification.pass_rates import pass_rates
from analysis.verification.time_step import step_error
from circuits.fast_check.check import FastCheck
from circuits.homodyne.channel_margins import LoopMargins
from circuits.homodyne.engines import engine_kind, engine_named, with_dither
from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment, middle_loop
from learning.homodyne.results import Attempt
from learning.homodyne.robustness import Robustness
from learning.homodyne.training import learn
from learning.tasks.boolean import BooleanTask

QUICK_BOARDS, QUICK_STARTS = 12, 8
STORES = ("corners.zarr", "samples.zarr", "references.zarr", "samples-quick.zarr", "references-quick.zarr")
RUNS = (f"{NOMINAL}.nc", f"{NOMINAL_QUICK}.nc")
Progress = Callable[[str, int, int], None]
"""Called as progress(what is being done, how much of it is done, how much there is)."""


@dataclass(frozen=True, eq=False)
class Verification:
    """What a verification found.

    Attributes
    ----------
    design : Design
    quick : bool
        Whether all of it ran in the fast engine, with few samples and without corners.
    nominal : NominalRun
    corners : Dataset
        What became of each; empty where there are none.
    criteria : tuple of Criterion
    boards : Boards or None
        None where the design asks for no samples.
    fast : FastCheck or None
        The parts at resolved steps; None of a quick look, and where no part is an amplifier.
    holding : Holding or None
        How long the gate lasts; None where it is not asked and the integrators are ideal.
    disturbed : Robustness or None
        What disturbances leave of the margin; None where it is not asked, or nothing was learned.
    loop_margins : LoopMargins or None
        How far each channel is from hunting; None where it is not asked.
    """

    design: Design
    quick: bool
    nominal: NominalRun
    corners: xr.Dataset
    criteria: tuple[Criterion, ...]
    boards: Boards | None
    fast: FastCheck | None = None
    holding: Holding | None = None
    disturbed: Robustness | None = None
    loop_margins: LoopMargins | None = None

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
        best = pass_rates(np.ones((verify.samples, verify.starts), dtype=bool), wanted_probability(design)).yields.low
        if wanted.yield_min > best:
            raise InputError(
                "criteria.yield_min",
                wanted.yield_min,
                f"cannot be shown by {verify.samples} boards and {verify.starts} starts, even if all of them pass",
                "raise verify.samples and verify.starts" if wanted.yield_min < 1.0 else "ask for less",
            )
    if wanted.attempts_max is not None and wanted.attempts_max > design.learning.restarts:
        raise InputError(
            "criteria.attempts_max",
            wanted.attempts_max,
            f"is more than learning.restarts = {design.learning.restarts} allows",
            "lower it, or raise the restarts",
        )
    tolerances = design.tolerances
    if design.corners.components and not tolerances.resistor and not tolerances.capacitor:
        raise InputError(
            "corners.components", list(design.corners.components), "are asked of components without tolerances",
            "set tolerances.resistor and tolerances.capacitor, or leave the components out",
        )  # fmt: skip
    cosine, error = wanted.gradient_cosine_min, wanted.gradient_error_max
    if cosine is not None and error is not None and error < 1.0 and cosine < np.sqrt(1.0 - error**2) - 1e-12:
        raise InputError(
            "criteria.gradient_cosine_min",
            cosine,
            f"is weaker than gradient_error_max = {error:g}, which leaves no cosine below {np.sqrt(1 - error**2):.4g}",
            "leave out one of them",
        )
    if wanted.hold_warming is not None and wanted.hold_min is None:
        raise InputError(
            "criteria.hold_warming", wanted.hold_warming, "is asked of no holding", "set criteria.hold_min, or drop it"
        )
    if (moved := design.disturbances.model_fields_set) and wanted.disturbed_margin_min is None:
        raise InputError(
            "disturbances", sorted(moved), "are asked of no criterion",
            "set criteria.disturbed_margin_min, or drop them",
        )  # fmt: skip
    check_loss(design)
    task = design.named_task()
    for name in ("margin_min", "separation_min", "disturbed_margin_min"):
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
    if verify.samples and not quick and 0.5**verify.starts >= CHANCE_P:
        raise InputError(
            "verify.starts", verify.starts,
            f"cannot show that boards learn by more than chance, even if all pass (p = {0.5**verify.starts:.2g})",
            f"take {math.floor(-math.log2(CHANCE_P)) + 1} or more; verify --quick takes fewer",
        )  # fmt: skip
    if "temperature" in design.disturbances.model_fields_set:
        check_temperature(design, experiment_of(design, noisy=False).bench)


def boards_and_starts(design: Design, quick: bool) -> tuple[int, int]:
    """How many boards run, and from how many starts each."""
    given = design.verify
    if not quick:
        return given.samples, given.starts
    return min(given.samples, QUICK_BOARDS), min(given.starts, QUICK_STARTS)


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
        Everything in the boards' engine, a few of them, no corners, nothing confirmed.
    folder : Path, optional
        Where nominal run, corners and boards are stored (``nominal.nc``, `STORES`), to go on from after a kill.
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
    with open_cluster(scheduler, workers) as cluster:  # first, so that one that does not answer is told of at once

        def run(name: str, what: str, sweep: Sweep) -> xr.Dataset:
            return run_sweep(
                sweep,
                store=None if folder is None else folder / f"{name}.zarr",
                progress=lambda done, _failed, count: told(what, done, count),
                cluster=cluster,
            ).data

        at_speed = None if quick else check_fast(design, middle_loop(experiment), _parts_told(told), folder)
        nominal = _nominal(design, experiment, own, told, folder, NOMINAL_QUICK if quick else NOMINAL)
        criteria = nominal_criteria(design, nominal)
        told("how long the gate lasts", 0, 1)
        holding = check_holding(design, nominal, quick)
        if holding is not None:
            criteria += holding_criteria(design, holding)
        disturbed, left = check_disturbed(design, nominal)
        margins, steady = check_loop_margin(design, nominal)
        criteria += left + steady
        if at_speed is not None:
            criteria += fast_criteria(at_speed)
        at_corners = xr.Dataset()
        if not quick and (found := corners(design)):
            at_corners = run("corners", "corners", corner_sweep(design, found))
            criteria += corner_criteria(design, at_corners)
        boards: Boards | None = None
        if design.verify.samples:
            count, starts = boards_and_starts(design, quick)
            confirm = 0.0 if quick else design.verify.confirm
            suffix = "-quick" if quick else ""
            samples = run(f"samples{suffix}", "boards", board_sweep(design, count, starts, confirm))
            beside = run(f"references{suffix}", "dead and ideal loop", reference_sweep(design, starts))
            boards = judge_boards(design, samples, beside, fast)
            criteria += board_criteria(design, boards, quick)
    return Verification(
        design, quick, nominal, at_corners, tuple(criteria), boards, at_speed, holding, disturbed, margins
    )


def _parts_told(told: Progress) -> Progress:
    """The fast check's progress: parts, whatever they are called."""
    return lambda _reference, done, count: told("parts at resolved steps", done, count)


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
    result = learn(experiment, rng=rng, engine=engine, progress=report, folder=folder, take_found=False)
    attempt = result.best
    told("gradient along the path", 0, 1)
    with engine_named(with_dither(engine), folder) as reading:
        check = check_path(result.experiment, attempt.loop, attempt.run, reading)
    told("error of the time step", 0, 1)
    with engine_named(engine, folder) as again:
        step = step_error(attempt.loop, again)
    nominal = NominalRun.of(result, check, step)
    if folder is not None:
        write_nominal(nominal, design, folder, name)
    return nominal
