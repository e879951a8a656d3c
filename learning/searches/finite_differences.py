"""Descent by finite differences, one control at a time: n + 1 settings a step."""

from __future__ import annotations

import numpy as np

from inmateria.checks import FloatArray
from learning.searches.descent import descend
from learning.searches.meter import Meter


def finite_differences(meter: Meter, rng: np.random.Generator) -> None:
    """Step one control after the other, measure, descend; until the meter ends it."""
    descend(meter, rng, forward_difference)


def forward_difference(meter: Meter, controls_V: FloatArray, polarity: float, probe_V: float) -> FloatArray:
    """dL/dV_k ~ (L(w + h e_k) - L(w)) / h for every control k."""
    count = len(controls_V)
    rows = meter.measure_many(controls_V + probe_V * np.vstack([np.zeros(count), np.eye(count)]))
    losses = np.array([meter.loss(row, polarity) for row in rows])
    return np.asarray((losses[1:] - losses[0]) / probe_V)
