"""Simultaneous perturbation stochastic approximation (Spall 1992): two settings a step, for any number of controls.

With signs d_k = +-1 drawn anew for every step, dL/dV_k ~ d_k (L(w + c d) - L(w - c d)) / (2c): unbiased to second order
in c, with all other controls' slopes as noise.
"""

from __future__ import annotations

import numpy as np

from inmateria.checks import FloatArray
from learning.searches.descent import descend
from learning.searches.meter import Meter


def spsa(meter: Meter, rng: np.random.Generator) -> None:
    """Perturb all controls at once, up and down, descend; until the meter ends it."""

    def slope(meter: Meter, controls_V: FloatArray, polarity: float, probe_V: float) -> FloatArray:
        signs = rng.choice([-1.0, 1.0], len(controls_V))
        up, down = meter.measure_many(controls_V + probe_V * np.stack([signs, -signs]))
        return np.asarray(signs * (meter.loss(up, polarity) - meter.loss(down, polarity)) / (2 * probe_V))

    descend(meter, rng, slope)
