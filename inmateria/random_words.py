"""Random numbers inside compiled code: xoshiro256++ on four uint64 words of the caller's.

D. Blackman and S. Vigna, ACM Trans. Math. Softw. 47, 36 (2021).
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
from numba import njit


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
