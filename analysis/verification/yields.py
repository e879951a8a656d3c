"""What Monte Carlo samples of a design say: the yield with its interval, and which components matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, spearmanr

from inmateria.checks import FloatArray
from inmateria.errors import InputError

FEWEST = 20
"""Samples from which on a rank correlation's p-value follows Student's law well enough."""
SURE = 0.05
"""Largest p-value of a component that is told of."""


@dataclass(frozen=True)
class Yield:
    """A share of samples that pass.

    Attributes
    ----------
    passed, samples : int
    low, high : float
        Its interval: exact (Clopper and Pearson, Biometrika 26 (1934) 404), so it covers the true yield at least as
        often as `confidence` says.
    confidence : float
    """

    passed: int
    samples: int
    low: float
    high: float
    confidence: float

    @property
    def share(self) -> float:
        """Passed samples over all."""
        return self.passed / self.samples


def yield_of(passed: ArrayLike, confidence: float = 0.95) -> Yield:
    """The yield of samples that passed or not, (n,) of bool.

    Raises
    ------
    InputError
        If there is no sample.
    """
    good = np.asarray(passed, dtype=bool)
    if good.size == 0:
        raise InputError("samples", 0, "show no yield", "take at least one")
    low, high = binomtest(int(good.sum()), good.size).proportion_ci(confidence, method="exact")
    return Yield(int(good.sum()), int(good.size), float(low), float(high), confidence)


@dataclass(frozen=True)
class Sensitivity:
    """How much a figure of the components goes with the result.

    Attributes
    ----------
    name : str
        Part and figure, such as ``"mixer.offset"``: what all channels' instances share.
    correlation : float
        Spearman's, between the root mean square of the figure's errors in a sample and the sample's quality: negative
        where large errors are bad.
    p_value : float
        Chance of a correlation as large without any dependence, times the number of figures tried (Bonferroni).
    """

    name: str
    correlation: float
    p_value: float


def sensitivities(errors: FloatArray, names: Sequence[str], quality: FloatArray) -> tuple[Sensitivity, ...]:
    """Which components matter most: groups of components by the correlation of their errors' size with the result.

    Parameters
    ----------
    errors : ndarray, shape (n_samples, n_components)
        Deviations of each component from what its part states, in units of its tolerance or any other.
    names : sequence of str
        The group that each component belongs to.
    quality : ndarray, shape (n_samples,)
        Larger is better.

    Returns
    -------
    tuple of Sensitivity
        Strongest first; groups that do not vary are left out. Empty below `FEWEST` samples, where the p-values' law
        does not hold.
    """
    if len(quality) < FEWEST:
        return ()
    groups = list(dict.fromkeys(names))
    found = []
    for group in groups:
        size = np.sqrt(np.mean(np.square(errors[:, [name == group for name in names]]), axis=1))
        if np.ptp(size) > 0 and np.ptp(quality) > 0:
            answer = spearmanr(size, quality)
            found.append(Sensitivity(group, float(answer.statistic), min(1.0, float(answer.pvalue) * len(groups))))
    return tuple(sorted(found, key=lambda one: (one.p_value, -abs(one.correlation))))


def shown(found: Sequence[Sensitivity], boards: int) -> str:
    """Which figures of components so many boards show to go with their results; what it means where none does."""
    if not found:
        return f"not looked for in {boards} boards: it takes {FEWEST} that differ"
    sure = [f"{one.name} ({one.correlation:+.2f}, p = {one.p_value:.1g})" for one in found if one.p_value < SURE]
    none = f"none of {len(found)} by {boards} boards (p < {SURE:g}), which does not say that none matters"
    return ", ".join(sure[:3]) or none
