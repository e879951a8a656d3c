"""How often boards learn: what is the board's, what is the start's luck, and the share of boards that are good enough.

Every board is trained from the same starts, one attempt each. Board b passes from start s with the probability

    Phi(mu + a_b + c_s),   a_b ~ N(0, sigma_a^2),   c_s ~ N(0, sigma_c^2)

(probit regression with crossed random effects). Over all starts a board's own pass probability is

    P_b = Phi((mu + a_b)/sqrt(1 + sigma_c^2)),

and the yield is the share of all boards, not only of those that were drawn, whose P_b reaches the one wanted:

    yield = Phi((mu - sqrt(1 + sigma_c^2) Phi^-1(wanted))/sigma_a).

The posterior is sampled by Albert and Chib's data augmentation (J. Am. Stat. Assoc. 88 (1993) 669): given the latent
normal of every attempt all effects are jointly normal. Priors: mu ~ N(0, 3^2), sigma_a, sigma_c half-Cauchy of scale 1
(Gelman, Bayesian Anal. 1 (2006) 515), by way of an auxiliary variable each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import chi2

from inmateria.checks import FloatArray
from inmateria.errors import InputError

DRAWS, BURN_IN = 4000, 500
PRIOR_MU = 3.0
"""Standard deviation of mu's prior: pass probabilities from 0.1 to 99.9 % are all plain."""


@dataclass(frozen=True)
class Interval:
    """A number with what it may be.

    Attributes
    ----------
    value : float
        Posterior median.
    low, high : float
        Ends of the equal-tailed interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class PassRates:
    """What attempts of boards from common starts say.

    Attributes
    ----------
    boards, starts : int
    passed : ndarray, shape (boards,)
        Starts from which each board passed.
    mean : Interval
        Pass probability of a single attempt, of all boards and starts.
    spread : Interval
        Standard deviation between boards of P_b.
    yields : Interval
        Share of all boards whose P_b reaches `wanted`.
    wanted : float
    confidence : float
    board_share, start_share : float
        Shares of the latent variance that are the boards' and the starts'; the rest is chance of neither.
    boards_differ_p : float
        Cochran's Q test (Biometrika 37 (1950) 256) of boards that do not differ, within starts: small where they do.
    """

    boards: int
    starts: int
    passed: FloatArray
    mean: Interval
    spread: Interval
    yields: Interval
    wanted: float
    confidence: float
    board_share: float
    start_share: float
    boards_differ_p: float


def boards_differ_p(passed: ArrayLike) -> float:
    """P-value of Cochran's Q that boards, (boards, starts) of bool, pass alike; 1 where every start treats all alike.

    With k boards, row sums R_b and column sums C_s

        Q = (k - 1) (k sum R_b^2 - (sum R_b)^2) / (k sum C_s - sum C_s^2)

    is chi-squared with k - 1 degrees of freedom if they do.
    """
    table = np.asarray(passed, dtype=float)
    k, rows, columns = len(table), table.sum(axis=1), table.sum(axis=0)
    within = k * columns.sum() - np.sum(columns**2)
    if within <= 0.0:
        return 1.0
    q = (k - 1) * (k * np.sum(rows**2) - rows.sum() ** 2) / within
    return float(chi2.sf(q, k - 1))


def pass_rates(passed: ArrayLike, wanted: float, confidence: float = 0.95, *, seed: int = 0) -> PassRates:
    """Pass probability of boards, their spread, and the yield.

    Parameters
    ----------
    passed : array_like of bool, shape (boards, starts)
        Whether each board passed from each start; the starts are the same for all boards.
    wanted : float
        Pass probability of a single attempt that makes a board good.
    confidence : float, optional
        Of the intervals.
    seed : int, optional
        Of the sampler; its own error is below a hundredth of the intervals.

    Raises
    ------
    InputError
        For fewer than two boards or starts, or a probability that is none.
    """
    table = np.asarray(passed, dtype=bool)
    if table.ndim != 2 or min(table.shape) < 2:
        raise InputError("passed", table.shape, "are no boards and starts", "take at least two of each")
    if not 0.0 < wanted < 1.0:
        raise InputError("wanted", wanted, "is no pass probability between 0 and 1", "give e.g. 0.5")
    mu, sigma_a, sigma_c = _posterior(table, np.random.default_rng(seed))
    spread_of_start = np.sqrt(1.0 + sigma_c**2)
    mean = ndtr(mu / np.sqrt(1.0 + sigma_a**2 + sigma_c**2))
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    own = ndtr((mu[:, None] + sigma_a[:, None] * nodes) / spread_of_start[:, None])
    weights = weights / weights.sum()
    spread = np.sqrt(np.maximum(own**2 @ weights - (own @ weights) ** 2, 0.0))
    good = ndtr((mu - spread_of_start * ndtri(wanted)) / sigma_a)
    total = 1.0 + sigma_a**2 + sigma_c**2
    return PassRates(
        boards=len(table),
        starts=table.shape[1],
        passed=table.sum(axis=1).astype(float),
        mean=_interval(mean, confidence),
        spread=_interval(spread, confidence),
        yields=_interval(good, confidence),
        wanted=wanted,
        confidence=confidence,
        board_share=float(np.median(sigma_a**2 / total)),
        start_share=float(np.median(sigma_c**2 / total)),
        boards_differ_p=boards_differ_p(table),
    )


def _interval(draws: FloatArray, confidence: float) -> Interval:
    tail = 0.5 * (1.0 - confidence)
    low, middle, high = np.quantile(draws, [tail, 0.5, 1.0 - tail])
    return Interval(float(middle), float(low), float(high))


def _posterior(table: np.ndarray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draws of mu, sigma_a and sigma_c: Gibbs sampling, all effects in one block.

    With as many attempts for every board and start the block falls apart: deviations of boards from their mean,
    deviations of starts, and (mu, mean of a, mean of c), which only the mean of all attempts tells of.
    """
    boards, starts = table.shape
    mu, a, c = 0.0, np.zeros(boards), np.zeros(starts)
    variance_a = variance_c = 1.0
    kept = np.empty((3, DRAWS))
    for draw in range(-BURN_IN, DRAWS):
        latent = _truncated(mu + a[:, None] + c[None, :], table, rng)
        means = np.diag([PRIOR_MU**-2, boards / variance_a, starts / variance_c]) + boards * starts
        root = np.linalg.cholesky(means)
        heard = np.full(3, latent.sum())
        mu, a_mean, c_mean = np.linalg.solve(root.T, np.linalg.solve(root, heard) + rng.normal(size=3))
        a = a_mean + _deviations(latent.mean(axis=1), starts, variance_a, rng)
        c = c_mean + _deviations(latent.mean(axis=0), boards, variance_c, rng)
        variance_a = _half_cauchy(a, variance_a, rng)
        variance_c = _half_cauchy(c, variance_c, rng)
        if draw >= 0:
            kept[:, draw] = mu, np.sqrt(variance_a), np.sqrt(variance_c)
    return kept[0], kept[1], kept[2]


def _deviations(means: FloatArray, attempts: int, variance: float, rng: np.random.Generator) -> FloatArray:
    """A group's effects less their mean, given the mean latent of each over so many attempts."""
    precision = attempts + 1.0 / variance
    drawn = attempts / precision * means + rng.normal(size=len(means)) / np.sqrt(precision)
    return np.asarray(drawn - drawn.mean())


def _truncated(center: FloatArray, positive: np.ndarray, rng: np.random.Generator) -> FloatArray:
    """Normals of unit width around `center`, above 0 where `positive`, else below."""
    sign = np.where(positive, 1.0, -1.0)
    shift = sign * center  # sign z ~ N(shift, 1), above 0
    return np.asarray(sign * (shift - ndtri(ndtr(shift) * (1.0 - rng.random(center.shape)))))


def _half_cauchy(effects: FloatArray, variance: float, rng: np.random.Generator) -> float:
    """A variance given its effects, its root half-Cauchy of scale 1: inverse gammas with an auxiliary variable."""
    auxiliary = (1.0 + 1.0 / variance) / rng.gamma(1.0)
    return float((1.0 / auxiliary + 0.5 * np.sum(effects**2)) / rng.gamma(0.5 * (len(effects) + 1)))
