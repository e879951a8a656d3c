"""What gradient descents share: start, limited and annealed steps, restart; only the estimate of the slope differs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inmateria.checks import FloatArray
from learning.searches.meter import Meter

Slope = Callable[[Meter, FloatArray, float, float], FloatArray]
"""slope(meter, controls, polarity, probe_V) -> dL/dV of every control."""


def descend(meter: Meter, rng: np.random.Generator, slope: Slope) -> None:
    """Descend from promising starts until the meter ends it.

    Each step is w_k -= V_step tanh(learning_rate g_k / V_step), as the loop's limiter makes it, one for each of the
    loop's sequences, with V_step and the probe shrinking linearly to `anneal_to` of themselves.
    """
    settings = meter.experiment.settings
    while True:
        controls, polarity = meter.look(rng)
        for scale in np.linspace(1.0, settings.anneal_to, settings.sequences):
            probe = float(scale * meter.settings.probe_V)
            low, high = meter.limits_V.T + np.array([[probe], [-probe]])
            controls = np.clip(controls, low, high)
            g = slope(meter, controls, polarity, probe)
            limited = settings.step_V * np.tanh(settings.learning_rate * g / settings.step_V)
            controls = np.clip(controls - scale * limited, low, high)
        meter.measure(controls)
