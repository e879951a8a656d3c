"""The exact gradient that an ideal lock-in reads at finite amplitude: a derivative averaged over the dither.

g_k = (2 / alpha_k) < f(V + sum_j alpha_j sin theta_j) sin theta_k >. By parts, this is df/dV_k averaged with
a semicircle law in the control's own direction and arcsine laws in the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, count
from inmateria.errors import InputError
from lockin.choices import Correction
from lockin.plan import DitherPlan
from lockin.third_order import check_free, references

Response = Callable[[FloatArray], ArrayLike]
BATCH = 1 << 15  # voltage settings handed to the function at once
_SCRAMBLES = 16


@dataclass(frozen=True)
class DitherAverage:
    """A dither-averaged gradient and how well it is known.

    Attributes
    ----------
    gradient : ndarray, shape (n,)
        Derivatives in the function's unit per V.
    stderr : ndarray, shape (n,)
        Standard error of each, from 16 independent scrambles (15 degrees of freedom); 0 for a single tone.
    evaluations : int
        How many settings the function was asked for.
    """

    gradient: FloatArray
    stderr: FloatArray
    evaluations: int


def sobol(dimensions: int, rng: np.random.Generator, count: int) -> FloatArray:
    """Scrambled Sobol points in the unit cube, (count, dimensions)."""
    from scipy.stats import qmc  # late: a second of every start

    return np.asarray(qmc.Sobol(dimensions, scramble=True, rng=rng).random(count))


def dither_average(
    function: Response,
    voltages: ArrayLike,
    plan: DitherPlan,
    terminals: Sequence[int] | None = None,
    samples: int = 1024,
    order: int = 8,
    seed: int = 0,
) -> DitherAverage:
    """Average the derivative over independent dither phases: what an ideal lock-in reads, without collisions.

    Own direction: (2 / (alpha pi)) int_-1^1 f(V + alpha u) u / sqrt(1 - u^2) du by Gauss-Chebyshev quadrature
    with `order` nodes (exact for polynomials up to degree 2 order - 2; equal to the second-kind rule for the
    derivative). Other directions: their phases sampled by scrambled Sobol points, 16 independent scrambles.

    Parameters
    ----------
    function : callable
        Maps voltages of shape (m, n_terminals), V, to values of shape (m,).
    voltages : array_like, shape (n_terminals,)
        Where the derivative is taken, V.
    plan : DitherPlan
        Only its amplitudes count here; n tones.
    terminals : sequence of int, optional
        Which terminal each tone is applied to; left out: as many terminals as tones, in order.
    samples : int, optional
        Points over the other directions, in all; rounded up to 16 times a power of 2.
    order : int, optional
        Nodes in the own direction, at least 2.
    seed : int, optional
        Seed of the scrambles.

    Returns
    -------
    DitherAverage
        Gradient with its standard error. Cost: n * order * samples evaluations.

    Raises
    ------
    InputError
        When shapes or terminals do not fit or the function returns something else than m finite values.
    """
    point, places = place(voltages, plan, terminals)
    order, samples = count("order", order, 2), count("samples", samples, 1)
    peaks, n = np.asarray(plan.amplitudes_V), plan.n
    nodes = np.cos((2.0 * np.arange(order) + 1.0) * np.pi / (2.0 * order))
    each = 1 << max(0, math.ceil(math.log2(samples / _SCRAMBLES)))
    if n == 1:
        grid = np.tile(point, (order, 1))
        grid[:, places[0]] += peaks[0] * nodes
        value = 2.0 / (peaks[0] * order) * float(nodes @ evaluate(function, grid))
        return DitherAverage(np.array([value]), np.zeros(1), order)
    scrambles = np.empty((_SCRAMBLES, n))
    for number, child in enumerate(np.random.default_rng(seed).spawn(_SCRAMBLES)):
        points = sobol(n - 1, child, each)
        offsets = np.sin(np.pi * (points - 0.5))  # arcsine law: as sin of a uniform phase
        for k in range(n):
            others = np.delete(np.arange(n), k)
            base = np.tile(point, (each, 1))
            base[:, places[others]] += peaks[others] * offsets
            total = 0.0
            for start in range(0, each, max(1, BATCH // order)):
                some = np.repeat(base[start : start + max(1, BATCH // order)], order, axis=0)
                weights = np.tile(nodes, some.shape[0] // order)
                some[:, places[k]] += peaks[k] * weights
                total += float(weights @ evaluate(function, some))
            scrambles[number, k] = 2.0 * total / (peaks[k] * order * each)
    error = np.std(scrambles, axis=0, ddof=1) / math.sqrt(_SCRAMBLES)
    return DitherAverage(np.mean(scrambles, axis=0), error, _SCRAMBLES * n * order * each)


def dither_bias(
    function: Response,
    voltages: ArrayLike,
    plan: DitherPlan,
    exact: ArrayLike,
    terminals: Sequence[int] | None = None,
    samples: int = 512,
    seed: int = 0,
) -> DitherAverage:
    """What the finite amplitude adds to an exact gradient; as `dither_average` less it, from far fewer settings.

    (2 / alpha_k) < [f(V + d) - sum_j g_j d_j] sin(theta_k) > over pairs theta, theta + pi of scrambled Sobol points in
    all phases at once: what is linear is known and taken out, what is even cancels in the pairs, so only the odd
    orders from the third on are left to sample.

    Parameters
    ----------
    function, voltages, plan, terminals, seed
        As for `dither_average`.
    exact : array_like, shape (n,)
        The gradient g at `voltages`, in the function's unit per V.
    samples : int, optional
        Settings in all; rounded up to 32 times a power of 2.

    Returns
    -------
    DitherAverage
        The bias in place of the gradient, with its standard error.

    Raises
    ------
    InputError
        As for `dither_average`.
    """
    point, places = place(voltages, plan, terminals)
    peaks, slopes = np.asarray(plan.amplitudes_V), np.asarray(exact, dtype=np.float64)
    if slopes.shape != (plan.n,) or not np.all(np.isfinite(slopes)):
        raise InputError("exact", exact, f"are not {plan.n} finite numbers", "give the gradient, one for each tone")
    each = 1 << max(0, math.ceil(math.log2(count("samples", samples, 1) / (2 * _SCRAMBLES))))
    found = np.empty((_SCRAMBLES, plan.n))
    for number, child in enumerate(np.random.default_rng(seed).spawn(_SCRAMBLES)):
        sines = np.sin(2.0 * np.pi * sobol(plan.n, child, each))
        odd = np.zeros(each)
        for sign in (1.0, -1.0):
            settings = np.tile(point, (each, 1))
            settings[:, places] += sign * peaks * sines
            odd += 0.5 * sign * evaluate(function, settings)
        found[number] = 2.0 / peaks * np.mean((odd - sines @ (peaks * slopes))[:, None] * sines, axis=0)
    error = np.std(found, axis=0, ddof=1) / math.sqrt(_SCRAMBLES)
    return DitherAverage(np.mean(found, axis=0), error, 2 * _SCRAMBLES * each)


def common_period_average(
    function: Response,
    voltages: ArrayLike,
    plan: DitherPlan,
    points_per_period: int = 16,
    terminals: Sequence[int] | None = None,
    correction: Correction = "none",
) -> FloatArray:
    """Average over one common period of the tones, as a circuit with an ideal device and filter does.

    g_k = (2 / alpha_k) mean of f(V + dither(t)) sin(2 pi f_k t + phase_k) over uniform t: exact up to
    aliasing, that is for nonlinearities of an order below `points_per_period` - 1. Unlike `dither_average` it
    includes what collisions of products do: for plans by `plan_frequencies` from the fourth order on (such as
    3 f_i - f_j), or from the fifth where f_min > 2 (f_max - f_min).

    Parameters
    ----------
    function, voltages, terminals
        As for `dither_average`.
    plan : DitherPlan
        Tones that are whole multiples of a common base.
    points_per_period : int, optional
        Samples in one period of the highest tone, at least 3.
    correction : {'none', 'diagonal', 'whole'}, optional
        What is taken out of the error of third order, on tones that are free for it (`lockin.third_order`).

    Returns
    -------
    ndarray, shape (n,)
        Gradient in the function's unit per V.

    Raises
    ------
    InputError
        As for `dither_average`; and when the tones have no common period, or overlaps that a correction would read.
    """
    check_free(correction, plan)
    point, places = place(voltages, plan, terminals)
    total, sums = 0, np.zeros(plan.n)
    for values, sines in over_common_period(function, point, places, plan, points_per_period):
        total += values.size
        sums += values @ references(sines, correction)
    return np.asarray(2.0 / np.asarray(plan.amplitudes_V) * sums / total)


def over_common_period(
    function: Response, point: FloatArray, places: np.ndarray, plan: DitherPlan, points_per_period: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Values (m,) and unit tones (m, n) at even times over the tones' common period, in batches one after the other."""
    multiples = np.asarray(plan.multiples)
    total = count("points_per_period", points_per_period, 3) * int(multiples.max())
    for start in range(0, total, BATCH):
        part = np.arange(start, min(start + BATCH, total))
        turns = (part[:, None] * multiples[None, :] % total) / total
        sines = np.sin(2.0 * np.pi * turns + np.asarray(plan.phases_rad))
        settings = np.tile(point, (part.size, 1))
        settings[:, places] += np.asarray(plan.amplitudes_V) * sines
        yield evaluate(function, settings), sines


def place(voltages: ArrayLike, plan: DitherPlan, terminals: Sequence[int] | None) -> tuple[FloatArray, np.ndarray]:
    """The point as an array, and the terminal of each tone; checked."""
    point = np.asarray(voltages, dtype=np.float64)
    if point.ndim != 1 or not np.all(np.isfinite(point)):
        raise InputError("voltages", voltages, "is not a 1-D array of finite numbers", "give one voltage a terminal")
    if terminals is None:
        if point.size != plan.n:
            problem = f"are needed: {point.size} voltages for {plan.n} tones"
            raise InputError("terminals", None, problem, "say which terminal each tone is applied to")
        return point, np.arange(plan.n)
    places = np.asarray(terminals)
    if places.shape != (plan.n,) or places.dtype.kind not in "iu" or np.unique(places).size != plan.n:
        raise InputError("terminals", terminals, f"are not {plan.n} distinct whole numbers", "give one for each tone")
    if places.min() < 0 or places.max() >= point.size:
        problem = f"are not all within 0 to {point.size - 1}"
        raise InputError("terminals", terminals, problem, "count the terminals from 0")
    return point, places


def evaluate(function: Response, settings: FloatArray) -> FloatArray:
    """Ask the function, and check what it returns."""
    values = np.asarray(function(settings), dtype=np.float64)
    if values.shape != (settings.shape[0],):
        problem = f"returned this shape for {settings.shape[0]} settings"
        raise InputError("function", values.shape, problem, "map (m, n_terminals) voltages to (m,) values")
    if not np.all(np.isfinite(values)):
        where, fix = settings[~np.isfinite(values)][0].tolist(), "keep voltage plus dither within the function's range"
        raise InputError("function", where, "returned no finite value here", fix)
    return values
