"""Golomb rulers (Sidon sets): whole numbers of which all pairwise differences are distinct."""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from inmateria.checks import count

Whole = NDArray[np.int64]

_OPTIMAL: tuple[tuple[int, ...], ...] = (
    (0,),
    (0, 1),
    (0, 1, 3),
    (0, 1, 4, 6),
    (0, 1, 4, 9, 11),
    (0, 1, 4, 10, 12, 17),
    (0, 1, 4, 10, 18, 23, 25),
    (0, 1, 4, 9, 15, 22, 32, 34),
    (0, 1, 5, 12, 25, 27, 35, 41, 44),
    (0, 1, 6, 10, 23, 26, 34, 41, 53, 55),
    (0, 1, 4, 13, 28, 33, 47, 54, 64, 70, 72),
    (0, 2, 6, 24, 29, 40, 43, 55, 68, 75, 76, 85),
    (0, 2, 5, 25, 37, 43, 59, 70, 85, 89, 98, 99, 106),
    (0, 4, 6, 20, 35, 52, 59, 77, 78, 86, 89, 99, 122, 127),
    (0, 4, 20, 30, 57, 59, 62, 76, 100, 111, 123, 136, 144, 145, 151),
    (0, 1, 4, 11, 26, 32, 56, 68, 76, 115, 117, 134, 150, 163, 168, 177),
)
OPTIMAL_UP_TO = len(_OPTIMAL)
_SEARCH_SIZE = 1_000_000  # elements (multipliers times marks) looked at in one modular set: about 0.05 s


@lru_cache(maxsize=512)
def golomb_ruler(n: int) -> tuple[int, ...]:
    """Return a Golomb ruler with `n` marks, the first at 0.

    Optimal (shortest possible) up to 16 marks, from the published tables. Above, the shortest found among the
    modular constructions of Singer (q + 1 marks modulo q^2 + q + 1), Bose (q modulo q^2 - 1) and Ruzsa (p - 1
    modulo p (p - 1)), each multiplied by units and cut to `n` neighbouring marks: a length below n^2.

    Parameters
    ----------
    n : int
        Number of marks, at least 1.

    Returns
    -------
    tuple of int
        `n` increasing marks, the first 0, the last the length of the ruler.

    Raises
    ------
    InputError
        When `n` is no whole number of at least 1.

    References
    ----------
    A. Dimitromanolakis, "Analysis of the Golomb ruler and the Sidon set problems", Technical University of
    Crete, 2002; I. Z. Ruzsa, Acta Arithmetica 65 (1993) 259; J. Singer, Trans. AMS 43 (1938) 377.
    """
    n = count("n", n)
    if n <= OPTIMAL_UP_TO:
        return _OPTIMAL[n - 1]
    best: Whole | None = None
    prime, tried = _next_prime(n - 1), 0
    while tried < 3:  # the first three primes: larger ones only lengthen the ruler
        for marks, modulus in _modular_sets(prime):
            if marks.size >= n:
                ruler = _shortest_cut(marks, modulus, n)
                if best is None or ruler[-1] < best[-1]:
                    best = ruler
        prime, tried = _next_prime(prime + 1), tried + 1
    assert best is not None  # the third prime is at least n + 1: Ruzsa's set has n marks
    return tuple(int(mark) for mark in best)


def _modular_sets(prime: int) -> list[tuple[Whole, int]]:
    return [_singer(prime), _bose(prime), _ruzsa(prime)]


def _shortest_cut(marks: Whole, modulus: int, n: int) -> Whole:
    """Multiply a modular Sidon set by units; keep the `n` neighbouring marks of smallest extent."""
    limit = max(1, _SEARCH_SIZE // marks.size)
    units: list[int] = []
    for unit in range(1, modulus // 2 + 1):
        if gcd(unit, modulus) == 1:
            units.append(unit)
            if len(units) == limit:
                break
    turned = np.sort(np.asarray(units, dtype=np.int64)[:, None] * marks[None, :] % modulus, axis=1)
    around = np.concatenate([turned, turned[:, : n - 1] + modulus], axis=1)
    extent = around[:, n - 1 :] - around[:, : turned.shape[1]]
    row, start = np.unravel_index(int(np.argmin(extent)), extent.shape)
    cut = around[row, start : start + n]
    return np.asarray(cut - cut[0], dtype=np.int64)


def _ruzsa(p: int) -> tuple[Whole, int]:
    """Give p - 1 marks modulo p (p - 1): i p + (p - 1) g^i with g a primitive root of p."""
    generator = next(g for g in range(2, p) if _is_primitive_root(g, p))
    marks, power = [], 1
    for i in range(1, p):
        power = power * generator % p
        marks.append((p * i + (p - 1) * power) % (p * (p - 1)))
    return np.asarray(marks, dtype=np.int64), p * (p - 1)


def _bose(q: int) -> tuple[Whole, int]:
    """Give q marks modulo q^2 - 1: the exponents k with x^k = x + constant in GF(q^2)."""
    rng = np.random.default_rng(q)
    while True:
        c0, c1 = (int(c) for c in rng.integers(0, q, 2))
        u, v, k = 0, 1, 1  # x^k = u + v x, with x^2 = c0 + c1 x
        marks = []
        while c0 and not (u == 1 and v == 0) and k < q * q:
            if v == 1:
                marks.append(k)
            u, v, k = v * c0 % q, (u + v * c1) % q, k + 1
        if c0 and k == q * q - 1 and len(marks) == q:
            return np.asarray(marks, dtype=np.int64), q * q - 1


def _singer(q: int) -> tuple[Whole, int]:
    """Give q + 1 marks modulo q^2 + q + 1: the exponents k for which x^k lies in a plane of GF(q^3)."""
    rng, modulus = np.random.default_rng(q), q * q + q + 1
    while True:
        c0, c1, c2 = (int(c) for c in rng.integers(0, q, 3))
        u, v, w, k = 0, 1, 0, 1  # x^k = u + v x + w x^2, with x^3 = c0 + c1 x + c2 x^2
        marks = [0]
        while c0 and not (v == 0 and w == 0) and k <= modulus:
            if w == 0:
                marks.append(k)
            u, v, w, k = w * c0 % q, (u + w * c1) % q, (v + w * c2) % q, k + 1
        if c0 and k == modulus and len(marks) == q + 1:
            return np.asarray(marks, dtype=np.int64), modulus


def _next_prime(n: int) -> int:
    candidate = max(2, n)
    while any(candidate % d == 0 for d in range(2, int(candidate**0.5) + 1)):
        candidate += 1
    return candidate


def _is_primitive_root(g: int, p: int) -> bool:
    factors = [d for d in range(2, p) if (p - 1) % d == 0 and _next_prime(d) == d]
    return all(pow(g, (p - 1) // d, p) != 1 for d in factors)
