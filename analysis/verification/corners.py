"""Corners: combinations of extremes of surroundings and components at which the nominal design has to work, too.

All of them run in ngspice: swings and the kT/q of transistors at another supply or temperature are in no fast engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from analysis.designs.units import written
from analysis.sweeps.axes import Axis
from analysis.sweeps.measures import OUTCOME, outcome, process_engine
from analysis.sweeps.runner import Sweep
from analysis.verification.holding import HELD, held_outcome
from circuits.homodyne.engines import engine_kind
from circuits.parts.component_errors import Extreme
from circuits.parts.temperature import ZERO_CELSIUS_K
from learning.homodyne.training import learn


@dataclass(frozen=True)
class Corner:
    """A combination of extremes.

    Attributes
    ----------
    design : Design
        With its temperatures and its supply.
    components : {"slow", "fast"} or None
        Where in their tolerances all resistors and capacitors are; None for their nominal values.
    """

    design: Design
    components: Extreme | None = None


def corners(design: Design) -> dict[str, Corner]:
    """The design at all combinations of what its corners name, by what is told of them."""
    given = design.corners
    lists: list[list[tuple[str, Any, str]]] = [
        [("device.temperature", at, f"device at {written(at, 'K')}") for at in given.device_temperature],
        [("electronics.temperature", at, f"electronics at {at - ZERO_CELSIUS_K:.3g} degC") for at in given.temperature],
        [("electronics.supply", at, f"supply of {written(at, 'V')}") for at in given.supply],
        [("", at, f"{at} R and C") for at in given.components],
    ]
    found: dict[str, Corner] = {}
    for choice in product(*filter(None, lists)):
        told = ", ".join(words for _, _, words in choice)
        values = {key: value for key, value, _ in choice if key}
        extreme = next((value for key, value, _ in choice if not key), None)
        if choice:
            found[told] = Corner(design.changed(values), extreme)
    return found


@dataclass(frozen=True)
class CornerMeasure:
    """A corner by its name, for `run_sweep`."""

    corners: Mapping[str, Corner]
    engine: str

    def __call__(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What became of it; a corner that its parts do not allow fails with what they say."""
        corner = self.corners[str(point["corner"])]
        noisy = engine_kind(self.engine).has_dither
        experiment = experiment_of(corner.design, extreme=corner.components, noisy=noisy)
        result = learn(
            experiment,
            rng=np.random.default_rng(corner.design.seed),
            engine=process_engine(self.engine),
            take_found=False,
        )
        return {**outcome(result), **held_outcome(corner.design, result)}


def corner_sweep(design: Design, found: Mapping[str, Corner]) -> Sweep:
    """The sweep over corners, in ngspice."""
    return Sweep(
        CornerMeasure(found, "ngspice"),
        [Axis("corner", tuple(found))],
        {**OUTCOME, "held": HELD},
        {"control": list(experiment_of(design).bench.names)},
        identity={"measure": "corners of a verification", "engine": "ngspice", **design.identity},
    )
