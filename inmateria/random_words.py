"""Random numbers inside compiled code.

`next_word`, `uniform`: xoshiro256++ on four uint64 words of the caller's (D. Blackman and S. Vigna, ACM Trans. Math.
Softw. 47, 36 (2021)).

`counter_word`, `counter_uniform`, `counter_gaussian`: functions of a key and a counter; any one can be asked for at any
time, in any order. A run that is stopped and resumed, a circuit that asks for a time twice, and two engines that must
see the same noise all get the same numbers, and there is no state to keep. The word is SplitMix64's (Steele, Lea,
Flood, OOPSLA 2014): its counter-th output for a seed.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

import numpy as np
from numba import njit

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 1.0 / 9007199254740992.0  # 2^-53


@njit(cache=True)
def next_word(words):
    """Next 64 random bits; `words` (4,) uint64 advances."""
    total = words[0] + words[3]
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + words[0]
    shifted = words[1] << np.uint64(17)
    words[2] ^= words[0]
    words[3] ^= words[1]
    words[1] ^= words[2]
    words[0] ^= words[3]
    words[2] ^= shifted
    words[3] = (words[3] << np.uint64(45)) | (words[3] >> np.uint64(19))
    return result


@njit(cache=True)
def uniform(words):
    """Uniform number in [0, 1) with 53 random bits."""
    return np.float64(next_word(words) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, inline="always")
def counter_word(key: np.uint64, counter: np.uint64) -> np.uint64:
    """Return 64 random bits."""
    z = np.uint64(key) + _GAMMA * (np.uint64(counter) + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def counter_uniform(key: np.uint64, counter: np.uint64) -> float:
    """Return a number from [0, 1)."""
    return float(counter_word(key, counter) >> np.uint64(11)) * _TO_UNIT


@njit(cache=True)
def counter_gaussian(key: np.uint64, counter: np.uint64) -> float:
    """Return a number from the standard normal distribution (Box and Muller 1958; two words for each)."""
    twice = np.uint64(counter) << np.uint64(1)
    radius = math.sqrt(-2.0 * math.log(1.0 - counter_uniform(key, twice)))
    return radius * math.cos(2.0 * math.pi * counter_uniform(key, twice + np.uint64(1)))


def key_of(seed: int, purpose: int) -> np.uint64:
    """Key for one of several independent streams of a seed.

    Parameters
    ----------
    seed : int
        At least 0.
    purpose : int
        Which stream.
    """
    return np.uint64(np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0])
