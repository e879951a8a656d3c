"""The baselines themselves: each is a function that asks a meter for outputs until that ends it.

Descents share start, limited and annealed steps, and restart; only the estimate of the slope differs. Finite
differences measure one control after the other, n + 1 settings a step. SPSA (simultaneous perturbation stochastic
approximation, Spall 1992) takes two settings a step, for any number of controls: with signs d_k = +-1 drawn anew for
every step, dL/dV_k ~ d_k (L(w + c d) - L(w - c d)) / (2c), unbiased to second order in c, with all other controls'
slopes as noise. Differential evolution (Storn and Price 1997) is scipy's, as these devices were trained before by
evolution. CMA-ES (covariance matrix adaptation, Hansen and Ostermeier 2001) is that of the package cmaes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cmaes import CMA
from scipy import optimize

from inmateria.checks import FloatArray
from learning.searches.meter import Meter

Slope = Callable[[Meter, FloatArray, float, float], FloatArray]
"""slope(meter, controls, polarity, probe_V) -> dL/dV of every control."""
BATCH = 16
"""Settings that the random search draws at a time."""


def random_search(meter: Meter, rng: np.random.Generator) -> None:
    """Draw settings as the trainer draws its starts, from the middle of the ranges, each looked at once."""
    while True:
        meter.measure_many(meter.draw(BATCH, rng))


def differential_evolution(meter: Meter, rng: np.random.Generator) -> None:
    """Evolve a population drawn as the trainer draws its starts, over the whole ranges."""
    while True:
        meter.starts += 1
        first = meter.draw(meter.settings.population, rng)
        optimize.differential_evolution(
            lambda controls: meter.loss(meter.measure(controls)), meter.limits_V, init=first, maxiter=10_000, tol=1e-3,
            polish=False, seed=rng,
        )  # fmt: skip


def cma_es(meter: Meter, rng: np.random.Generator) -> None:
    """Adapt a normal distribution, first around a look chosen as the trainer chooses its own; anew where it shrank."""
    limits = meter.limits_V
    ranges = np.ptp(limits, axis=1)
    while True:
        start, _ = meter.look(rng)
        # in shares of each control's range, in which one standard deviation suits all
        adapted = CMA(start / ranges, meter.settings.sigma, limits / ranges[:, None], seed=int(rng.integers(2**31)))
        while not adapted.should_stop():
            drawn = [adapted.ask() for _ in range(adapted.population_size)]
            losses = [meter.loss(row) for row in meter.measure_many(ranges * np.stack(drawn))]
            adapted.tell(list(zip(drawn, losses, strict=True)))


def finite_differences(meter: Meter, rng: np.random.Generator) -> None:
    """Step one control after the other, measure, descend."""
    _descend(meter, rng, forward_difference)


def spsa(meter: Meter, rng: np.random.Generator) -> None:
    """Perturb all controls at once, up and down, descend."""

    def slope(meter: Meter, controls_V: FloatArray, polarity: float, probe_V: float) -> FloatArray:
        signs = rng.choice([-1.0, 1.0], len(controls_V))
        up, down = meter.measure_many(controls_V + probe_V * np.stack([signs, -signs]))
        return np.asarray(signs * (meter.loss(up, polarity) - meter.loss(down, polarity)) / (2 * probe_V))

    _descend(meter, rng, slope)


def forward_difference(meter: Meter, controls_V: FloatArray, polarity: float, probe_V: float) -> FloatArray:
    """dL/dV_k ~ (L(w + h e_k) - L(w)) / h for every control k."""
    count = len(controls_V)
    rows = meter.measure_many(controls_V + probe_V * np.vstack([np.zeros(count), np.eye(count)]))
    losses = np.array([meter.loss(row, polarity) for row in rows])
    return np.asarray((losses[1:] - losses[0]) / probe_V)


def _descend(meter: Meter, rng: np.random.Generator, slope: Slope) -> None:
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
