"""Random search: settings drawn as the trainer draws its starts, each looked at once."""

from __future__ import annotations

import numpy as np

from learning.searches.meter import Meter

BATCH = 16


def random_search(meter: Meter, rng: np.random.Generator) -> None:
    """Draw settings from the middle of the ranges until the meter ends it."""
    while True:
        meter.measure_many(meter.draw(BATCH, rng))
