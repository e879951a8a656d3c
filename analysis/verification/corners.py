"""Corners: extremes of the surroundings at which the nominal design has to work, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from analysis.designs.units import written
from analysis.sweeps.axes import Axis
from analysis.sweeps.measures import OUTCOME, outcome
from analysis.sweeps.runner import Sweep
from circuits.homodyne.engines import engine_kind
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


def corner_sweep(design: Design, designs: Mapping[str, Design]) -> Sweep:
    """The sweep over corners, in ngspice."""
    return Sweep(
        CornerMeasure(designs, "ngspice"),
        [Axis("corner", tuple(designs))],
        OUTCOME,
        {"control": list(experiment_of(design).bench.names)},
        identity={"measure": "corners of a verification", "engine": "ngspice", **design.identity},
    )
