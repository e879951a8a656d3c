"""All in which perturbation codes differ: largest value, period, and the values at one step, in compiled code.

A new code is a word in `choices.Code`, a number and its branches here. Values follow from the step's number alone.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray
from inmateria.random_words import counter_word

SINE, SEQUENTIAL, WALSH, RANDOM = range(4)
"""In the order of `choices.Code`."""

_ONE = np.uint64(1)
_SIGN = np.uint64(63)
_WORD = 64


def peak_of(code: int, norm: float, parameters: int) -> float:
    """Largest perturbation of one parameter."""
    if code == SEQUENTIAL:
        return float(norm)
    return float(norm) * math.sqrt((2.0 if code == SINE else 1.0) / parameters)


def period_of(code: int, parameters: int, hold: int) -> int | None:
    """Steps after which the code repeats and its perturbations are orthogonal; None for random signs."""
    if code == SINE:
        return 4 * parameters * hold
    if code == SEQUENTIAL:
        return 2 * parameters * hold
    return hold << parameters.bit_length() if code == WALSH else None


@numba.njit(cache=True, inline="always")
def perturb(code: int, moment: int, peak: float, table: FloatArray, key: np.uint64, out: FloatArray) -> None:
    """Write the perturbation of all parameters.

    Parameters
    ----------
    code : int
        SINE, SEQUENTIAL, WALSH or RANDOM.
    moment : int
        SINE: the step, from 0 on; the others: how many patterns there were before, that is the step over `hold`.
    peak : float
        Largest value of a parameter's perturbation.
    table : ndarray
        SINE: one period of the slowest tone, sin(2 pi j / N), j = 0..N-1; else empty.
    key : uint64
        RANDOM: key of the signs.
    out : ndarray, shape (P,)
        Perturbation of each parameter.
    """
    if code == SINE:
        _sine(moment, peak, table, out)
    elif code == SEQUENTIAL:
        out[:] = 0.0
        out[(moment // 2) % out.size] = peak if moment % 2 == 0 else -peak
    elif code == WALSH:
        _walsh(np.uint64(moment), peak, out)
    else:
        _random(np.uint64(moment), peak, key, out)


@numba.njit(cache=True, inline="always")
def _sine(step: int, peak: float, table: FloatArray, out: FloatArray) -> None:
    """peak sin(2 pi (2k + 1) n / N), k = 0..P-1."""
    period = table.size
    place = step % period
    twice = (2 * place) % period
    for k in range(out.size):
        out[k] = peak * table[place]
        place += twice
        if place >= period:
            place -= period


@numba.njit(cache=True, inline="always")
def _walsh(column: np.uint64, peak: float, out: FloatArray) -> None:
    """peak (-1)^(number of ones in (k + 1) & column): row k + 1 of a Hadamard matrix, so never the constant row 0."""
    bits = out.view(np.uint64)
    out[0] = peak
    plus = bits[0]
    for k in range(out.size):
        ones = np.uint64(k + 1) & column
        ones ^= ones >> np.uint64(32)
        ones ^= ones >> np.uint64(16)
        ones ^= ones >> np.uint64(8)
        ones ^= ones >> np.uint64(4)
        ones ^= ones >> np.uint64(2)
        ones ^= ones >> _ONE
        bits[k] = plus | ((ones & _ONE) << _SIGN)


@numba.njit(cache=True, inline="always")
def _random(pattern: np.uint64, peak: float, key: np.uint64, out: FloatArray) -> None:
    """+-peak: bit k of the pattern's own words is the sign bit of float k, which lets the loop be vectorised."""
    bits = out.view(np.uint64)
    out[0] = peak
    plus = bits[0]
    size = out.size
    words = np.uint64((size + _WORD - 1) // _WORD)
    for start in range(0, size, _WORD):
        signs = counter_word(key, pattern * words + np.uint64(start // _WORD))
        for k in range(start, min(start + _WORD, size)):
            bits[k] = plus | ((signs >> np.uint64(k - start)) << _SIGN)


@numba.njit(cache=True)
def perturb_many(
    code: int, first: int, hold: int, peak: float, table: FloatArray, key: np.uint64, out: NDArray[np.float64]
) -> None:
    """`perturb` for the steps first, first + 1, ...; out has the shape (steps, P)."""
    for n in range(out.shape[0]):
        moment = first + n if code == SINE else (first + n) // hold
        perturb(code, moment, peak, table, key, out[n])
