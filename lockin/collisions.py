"""Products of several tones, up to the third order, that fall on a tone and spoil its reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inmateria.checks import FloatArray, finite
from inmateria.errors import InputError

ROUNDING = 1e-12  # of the highest product: sums of floats that should be equal differ by less

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Collision:
    """One product that lies too close to a tone.

    Attributes
    ----------
    tone : int
        Index of the tone that is spoilt.
    product : str
        The product in terms of the tones' indices, such as ``2*f0-f3`` (its absolute frequency counts).
    distance_Hz : float
        Distance of the product from the tone, Hz.
    order : int
        1 for another tone, 2 and 3 for products of nonlinearity of that order.
    """

    tone: int
    product: str
    distance_Hz: float
    order: int


def collisions(frequencies: ArrayLike, bandwidth: float) -> list[Collision]:
    """List all products up to third order closer to a tone than `bandwidth`.

    Looked at: other tones; 2 f_i, f_i + f_j, |f_i - f_j|; 3 f_i, 2 f_i + f_j, |2 f_i - f_j|, f_i + f_j + f_k
    and |f_i + f_j - f_k|. Not listed: the trivial f_k + f_j - f_j, which lies on f_k for any choice of tones
    and belongs to the amplitude error, not to crosstalk.

    A product at exactly `bandwidth` is no collision (a window of 1/bandwidth has its zero there), an exact
    hit is one even at bandwidth 0. The time taken grows as n^3: about 0.02 s at n = 50.

    Parameters
    ----------
    frequencies : array_like, shape (n,)
        Tones, Hz, positive.
    bandwidth : float
        Distance below which a product collides, Hz, at least 0.

    Returns
    -------
    list of Collision
        Ordered by tone, then order of the product, then distance.

    Raises
    ------
    InputError
        When a frequency is not finite and positive, or the bandwidth negative or not finite.
    """
    tones = np.atleast_1d(np.asarray(frequencies, dtype=np.float64))
    if tones.ndim != 1 or tones.size == 0 or not np.all(np.isfinite(tones) & (tones > 0.0)):
        problem = "are not finite positive numbers in a 1-D array"
        raise InputError("frequencies", frequencies, problem, "give the tones in Hz")
    width = finite("bandwidth", bandwidth, "Hz")
    if width < 0.0:
        raise InputError("bandwidth", bandwidth, "is negative", "give the filter's half width in Hz, 0 or more")
    order = np.argsort(tones, kind="stable")
    ranked = tones[order]
    tolerance = ROUNDING * 3.0 * ranked[-1]
    reach = max(width - tolerance, tolerance)
    found: list[Collision] = []
    for products, factors, indices in _products(tones):
        values = np.abs(products)
        first = np.searchsorted(ranked, values - reach, side="right")
        last = np.searchsorted(ranked, values + reach, side="left")
        for hit in np.flatnonzero(last > first):
            members = [int(row[hit]) for row in indices]
            for place in range(int(first[hit]), int(last[hit])):
                tone = int(order[place])
                if factors == (1,) and members[0] == tone:
                    continue
                distance, grade = float(abs(values[hit] - tones[tone])), sum(abs(f) for f in factors)
                found.append(Collision(tone, _name(factors, members), distance, grade))
    return sorted(found, key=lambda c: (c.tone, c.order, c.distance_Hz, c.product))


def _products(tones: FloatArray) -> Iterator[tuple[FloatArray, tuple[int, ...], tuple[Index, ...]]]:
    """Yield the products in groups: values, the integer factors of the tones, the indices of the tones."""
    every = np.arange(tones.size, dtype=np.int64)
    yield tones, (1,), (every,)
    yield 2.0 * tones, (2,), (every,)
    yield 3.0 * tones, (3,), (every,)
    i, j = (rows.astype(np.int64) for rows in np.triu_indices(tones.size, 1))
    pair = tones[i] + tones[j]
    yield pair, (1, 1), (i, j)
    yield tones[i] - tones[j], (1, -1), (i, j)
    for one, other in ((i, j), (j, i)):
        yield 2.0 * tones[one] + tones[other], (2, 1), (one, other)
        yield 2.0 * tones[one] - tones[other], (2, -1), (one, other)
    for k in range(tones.size):
        third = np.full(i.size, k, dtype=np.int64)
        above = j < k
        yield (pair + tones[k])[above], (1, 1, 1), (i[above], j[above], third[above])
        apart = (i != k) & (j != k)
        yield (pair - tones[k])[apart], (1, 1, -1), (i[apart], j[apart], third[apart])


def _name(factors: tuple[int, ...], members: list[int]) -> str:
    terms = []
    for factor, member in zip(factors, members, strict=True):
        sign = "-" if factor < 0 else "+"
        terms.append(f"{sign}{'' if abs(factor) == 1 else f'{abs(factor)}*'}f{member}")
    return "".join(terms).removeprefix("+")


def smallest_distance(frequencies: FloatArray) -> float:
    """Return the smallest distance between two tones, Hz; infinite for a single tone."""
    ordered = np.sort(frequencies)
    return min((float(b - a) for a, b in pairwise(ordered)), default=float("inf"))
