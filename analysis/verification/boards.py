"""What a verification runs: the design on boards of drawn components, at its corners, and nominal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of, parts_of
from analysis.designs.units import written
from analysis.sweeps.measures import outcome
from circuits.homodyne.engines import engine_kind
from learning.homodyne.experiment import Experiment
from learning.homodyne.training import learn


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


def on_board(design: Design, number: int, engine: str) -> Experiment:
    """The experiment of a sample: its own device seed, its own components."""
    return experiment_of(sample_design(design, number), number, noisy=engine_kind(engine).has_dither)


def starts_of(design: Design, number: int) -> np.random.Generator:
    """What draws a sample's starts; a corner and the nominal design take the design's seed alone."""
    return np.random.default_rng((design.seed, 1, number))


@dataclass(frozen=True)
class SampleMeasure:
    """A sample by its number, for `run_sweep`."""

    design: Design
    engine: str

    def __call__(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What became of it, and how its components deviated."""
        number = int(point["sample"])
        experiment = on_board(self.design, number, self.engine)
        result = learn(experiment, rng=starts_of(self.design, number), engine=self.engine)
        errors = experiment.settings.component_errors
        return {**outcome(result), "error": [errors.get(part.name, part.stated) for part in parts_of(experiment)]}


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
        experiment = experiment_of(design, noisy=engine_kind(self.engine).has_dither)
        return outcome(learn(experiment, rng=np.random.default_rng(design.seed), engine=self.engine))
