"""Differential evolution (Storn and Price 1997; scipy's), as these devices were trained before by evolution."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from learning.searches.meter import Meter


def differential_evolution(meter: Meter, rng: np.random.Generator) -> None:
    """Evolve a population drawn as the trainer draws its starts, over the whole ranges; until the meter ends it."""
    while True:
        meter.starts += 1
        first = meter.draw(meter.settings.population, rng)
        optimize.differential_evolution(
            lambda controls: meter.loss(meter.measure(controls)), meter.limits_V, init=first, maxiter=10_000, tol=1e-3,
            polish=False, seed=rng,
        )  # fmt: skip
