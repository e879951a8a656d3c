"""What a verification runs: the design on boards of drawn components, at its corners, and nominal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from analysis.designs.design import Design
from analysis.designs.units import written
from analysis.sweeps.measures import bench_of, with_noise
from analysis.sweeps.store import Variable
from circuits.homodyne.engines import engine_kind
from circuits.homodyne.netlist import components
from circuits.parts.component_errors import Component, Drift, Tolerances, draw_errors
from learning.homodyne.experiment import Experiment, middle_loop
from learning.homodyne.results import Attempt, FailedAttempt, TrainingResult
from learning.homodyne.training import TrainingProgress, learn


def parts_of(design: Design) -> tuple[Component, ...]:
    """The components of a design's loop.

    Raises
    ------
    InputError
        As `Design.bench` and `Design.settings`.
    """
    bench = bench_of(design)
    task = design.fitted_task(bench)
    return components(middle_loop(Experiment(bench, task, design.settings(task))))


def board(design: Design, parts: tuple[Component, ...], sample: int | None = None) -> dict[str, float]:
    """Component errors of a sample, or of the nominal design (None), at the design's temperature."""
    given = design.tolerances
    tolerances = Tolerances()
    if sample is not None:
        tolerances = Tolerances(given.resistor, given.capacitor, given.offset, given.distribution)
    drift = Drift(given.resistor_drift, given.capacitor_drift, given.offset_drift)
    rng = np.random.default_rng([design.seed, 0 if sample is None else 1 + sample])
    return draw_errors(parts, tolerances, rng, drift=drift, temperature_K=design.electronics.temperature)


def experiment_of(design: Design, engine: str, errors: Mapping[str, float]) -> Experiment:
    """The experiment of the design on one board.

    Raises
    ------
    InputError
        As `Design.bench`, `Design.fitted_task` and `Design.settings`.
    """
    bench = bench_of(design)
    if engine_kind(engine).has_dither:
        bench = with_noise(bench, design.noise.density)
    task = design.fitted_task(bench)
    return Experiment(bench, task, replace(design.settings(task), component_errors=errors))


def train(
    design: Design,
    engine: str,
    errors: Mapping[str, float],
    starts: int | tuple[int, ...],
    *,
    progress: TrainingProgress | None = None,
    folder: Path | None = None,
) -> TrainingResult:
    """Learn the design's task on one board.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `learning.learn`.
    """
    return learn(
        experiment_of(design, engine, errors), rng=np.random.default_rng(starts), engine=engine, progress=progress,
        folder=folder,
    )  # fmt: skip


def corners(design: Design) -> dict[str, Design]:
    """The design at each of its corners, by what is told of them."""
    found = {}
    for key, name, unit, values in (
        ("device.temperature", "device at", "K", design.corners.device_temperature),
        ("electronics.temperature", "electronics at", "K", design.corners.temperature),
        ("electronics.supply", "supply of", "V", design.corners.supply),
    ):
        for value in values:
            told = f"{value - 273.15:.3g} degC" if key == "electronics.temperature" else written(value, unit)
            found[f"{name} {told}"] = design.changed({key: value})
    return found


OUTCOME = {
    "learned": Variable("1", (), "1 if the task was learned"),
    "quality": Variable("1", (), "of the best attempt, what attempts are ranked by: a gate's margin"),
    "separation": Variable("A", (), "difference of currents that carries the answer, best attempt"),
    "attempts": Variable("1", (), "attempts made"),
    "attempts_failed": Variable("1", (), "of these, such as got to no end: the device or the circuit gave no number"),
    "device_evaluations": Variable("1", (), "patterns presented, looks included"),
    "controls": Variable("V", ("control",), "control voltages at the end, best attempt"),
}


class Trained(Protocol):
    """What is asked of a training, whoever keeps it."""

    @property
    def best(self) -> Attempt:
        """The attempt that ended best."""

    @property
    def success(self) -> bool:
        """Whether the task was learned."""

    @property
    def starts(self) -> int:
        """Attempts made."""

    @property
    def failed(self) -> tuple[FailedAttempt, ...]:
        """Those that got to no end."""

    @property
    def device_evaluations(self) -> int:
        """Patterns presented."""


def outcome(result: Trained) -> dict[str, Any]:
    """The values of `OUTCOME`."""
    best = result.best
    return {
        "learned": float(result.success),
        "quality": best.final.quality,
        "separation": best.final.separation_A,
        "attempts": result.starts,
        "attempts_failed": len(result.failed),
        "device_evaluations": result.device_evaluations,
        "controls": best.controls_V,
    }


@dataclass(frozen=True)
class SampleMeasure:
    """A sample by its number, for `run_sweep`."""

    design: Design
    engine: str

    def __call__(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What became of it, and how its components deviated."""
        number = int(point["sample"])
        design = sample_design(self.design, number)
        parts = parts_of(design)
        errors = board(design, parts, number)
        result = train(design, self.engine, errors, (self.design.seed, 1, number))
        return {**outcome(result), "error": [errors.get(part.name, part.stated) for part in parts]}


def sample_design(design: Design, number: int) -> Design:
    """The design with the device seed of a sample."""
    if design.verify.devices == 1:
        return design
    return design.changed({"device.seed": (design.device.seed or 0) + number % design.verify.devices})


@dataclass(frozen=True)
class CornerMeasure:
    """A corner by its name, for `run_sweep`."""

    designs: Mapping[str, Design]
    engine: str

    def __call__(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What became of it."""
        design = self.designs[str(point["corner"])]
        return outcome(train(design, self.engine, board(design, parts_of(design)), design.seed))
