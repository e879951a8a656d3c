"""The nominal design's run in a verification, and its file: what was trained once is not trained again.

``nominal.nc`` holds the best attempt's waveforms as `loop_dataset` makes them, the gradients along its path, and, as
attributes, the design and all else that makes the attempt; ``nominal.cir`` the deck that ran. The other attempts leave
their number only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from analysis.datasets import loop_dataset, recorded_run, save_dataset
from analysis.designs.design import Design
from analysis.gradients.path_check import PathCheck, Slopes
from analysis.verification.time_step import StepError
from circuits.homodyne import netlist
from circuits.homodyne.loop import OutputStage
from inmateria.errors import ConvergenceError, InputError
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.gradients import label
from learning.homodyne.results import Attempt, FailedAttempt, TrainingResult
from learning.homodyne.start import Start
from learning.homodyne.training import judge

NOMINAL, NOMINAL_QUICK = "nominal", "nominal-quick"
"""Names of the files, without ``.nc`` and ``.cir``."""


@dataclass(frozen=True, eq=False)
class NominalRun:
    """The nominal design's training, by its best attempt, and the lock-ins along its path.

    Attributes
    ----------
    experiment : Experiment
        What was trained.
    engine : str
    best : Attempt
    starts : int
        Attempts made.
    device_evaluations : int
        Of all attempts.
    failed : tuple of FailedAttempt
        Those that got to no end.
    check : PathCheck
        Lock-in gradients along the path against exact ones.
    step : StepError or None
        The path's error of the time step.
    """

    experiment: Experiment
    engine: str
    best: Attempt
    starts: int
    device_evaluations: int
    failed: tuple[FailedAttempt, ...]
    check: PathCheck
    step: StepError | None = None

    @classmethod
    def of(cls, result: TrainingResult, check: PathCheck, step: StepError | None = None) -> NominalRun:
        """What counts of a training."""
        return cls(
            result.experiment, result.engine, result.best, result.starts, result.device_evaluations,
            result.failed, check, step,
        )  # fmt: skip

    @property
    def success(self) -> bool:
        """Whether the task was learned."""
        return self.best.final.learned


def write_nominal(run: NominalRun, design: Design, folder: Path, name: str) -> None:
    """Write a run's files.

    Raises
    ------
    InputError
        If they cannot be written.
    """
    best, check, start = run.best, run.check, run.best.start
    about = {
        "stage": asdict(best.loop.stage),
        "start": {
            "controls_V": start.controls_V.tolist(),
            "polarity": start.polarity,
            "outputs_A": start.outputs_A.tolist(),
            "looked": start.looked,
            "found": start.found,
            "slopes": None if start.slopes is None else start.slopes.tolist(),
        },
        "rates": best.loop.control_rates.tolist(),
        "starts": run.starts,
        "device_evaluations": run.device_evaluations,
        "failed": [
            {"number": one.number, "error": _four(one.error), "device_evaluations": one.device_evaluations}
            for one in run.failed
        ],
        "check": {
            "sequences": check.sequences, "patterns": check.patterns, "dither_V": check.dither_V,
            "engine": check.engine, "parts": check.parts, "timepoints": check.timepoints,
        },
        "step": None if run.step is None else asdict(run.step),
    }  # fmt: skip
    data = loop_dataset(
        best.loop, best.run, seed=design.seed, engine=run.engine, training=json.dumps(about), **design.identity
    )
    for of, slopes in {"output": check.output, "loss": check.loss}.items():
        for what, found in {"measured": slopes.measured, "exact": slopes.exact}.items():
            table = np.stack([np.asarray(one) for one in found])
            about_it = {
                "units": found[0].attrs["units"], "source": str(found[0].attrs["source"]),
                "long_name": f"{what} gradient of the {of} along the path",
            }  # fmt: skip
            data[f"gradient_{of}_{what}"] = (("instant", "control"), table, about_it)
    path, partial = folder / f"{name}.nc", folder / f".{name}.nc.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".cir").write_text(best.run.deck or netlist.deck(best.loop), encoding="utf-8")
        save_dataset(data, partial)
        partial.replace(path)
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError("out", str(path), f"cannot be written ({why})", "choose another place") from error


def identity_of(path: Path) -> Mapping[str, Any] | None:
    """The attributes of a file of `write_nominal`; None if there is none that can be read."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            return dict(opened.attrs) if "training" in opened.attrs else None
    except (OSError, ValueError, KeyError):
        return None


def read_nominal(design: Design, experiment: Experiment, engine: str, folder: Path, name: str) -> NominalRun | None:
    """What `write_nominal` wrote of this design and engine; None where there is nothing of the kind.

    Parameters
    ----------
    design : Design
    experiment : Experiment
        The design's.
    engine : str
    folder, name
        As for `write_nominal`.
    """
    path = folder / f"{name}.nc"
    attrs = identity_of(path)
    if attrs is None or attrs.get("design_sha256") != design.digest or attrs.get("engine") != engine:
        return None
    deck = _deck(path.with_suffix(".cir"), attrs["deck_sha256"])
    if deck is None:
        return None
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        data = opened.load()
    about = json.loads(attrs["training"])
    if "rates" not in about:  # by a release in which all controls had one rate
        return None
    said = about["start"]
    start = Start(
        np.array(said["controls_V"]), said["polarity"], np.array(said["outputs_A"]), said["looked"], said["found"],
        None if said["slopes"] is None else np.array(said["slopes"]),
    )  # fmt: skip
    stage = {**about["stage"], "gain_limits": tuple(about["stage"]["gain_limits"])}
    loop = build_loop(experiment, start.controls_V, start.polarity, start.outputs_A)
    loop = replace(loop, stage=OutputStage(**stage), rates=tuple(about["rates"]))
    best = judge(experiment, loop, recorded_run(data, loop, deck), start)
    check = about["check"]
    return NominalRun(
        experiment, engine, best, about["starts"], about["device_evaluations"],
        tuple(
            FailedAttempt(one["number"], ConvergenceError(*one["error"]), one["device_evaluations"], None)
            for one in about["failed"]
        ),
        PathCheck(
            _slopes(experiment, data, "output"), _slopes(experiment, data, "loss"), tuple(check["sequences"]),
            tuple(check["patterns"]), tuple(check["dither_V"]), check["engine"], check["parts"], check["timepoints"],
        ),
        None if about["step"] is None else StepError(**about["step"]),
    )  # fmt: skip


def _slopes(experiment: Experiment, data: xr.Dataset, of: str) -> Slopes:
    """The gradients of output or loss in a file."""
    measured, exact = (
        tuple(
            label(experiment.bench, row, table.attrs["source"], units=table.attrs["units"]) for row in table.values
        )
        for table in (data[f"gradient_{of}_measured"], data[f"gradient_{of}_exact"])
    )  # fmt: skip
    return Slopes(measured, exact)


def _four(error: ConvergenceError) -> list[Any]:
    """An error's field, value, problem and fix, as JSON has them."""
    return [error.field, json.loads(json.dumps(error.value, default=str)), error.problem, error.fix]


def _deck(path: Path, sha256: str) -> str | None:
    """The deck that ran: the file's, where it is still that; empty for engines without one; None if it is lost."""
    if sha256 == hashlib.sha256(b"").hexdigest():
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    return text if hashlib.sha256(text.encode()).hexdigest() == sha256 else None
