"""What random settings say of all settings: a distribution-free tolerance bound (Wilks, Ann. Math. Stat. 12 (1941) 91).

Of m settings drawn alike, let the error of r exceed a bound: the (r + 1)-th largest error. If the share p of all
settings did not keep the bound, so many or fewer would exceed it with a probability of at most

    P = sum_(j <= r) C(m, j) (1 - p)^j p^(m - j),

whatever the errors' distribution is. So with the confidence 1 - P at least the share p keeps it.
"""

from __future__ import annotations

import math

from scipy.stats import binom

from inmateria.checks import count
from inmateria.errors import InputError


def settings_needed(share: float, confidence: float) -> int:
    """How many settings tell a share with a confidence if none of them exceeds the bound: p^m <= 1 - confidence.

    Raises
    ------
    InputError
        For a share or a confidence that does not lie between 0 and 1.
    """
    for name, value in (("share", share), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise InputError(name, value, "lies not between 0 and 1", "give e.g. 0.9")
    return max(1, math.ceil(math.log1p(-confidence) / math.log(share) * (1.0 - 1e-12)))


def allowed_misses(settings: int, share: float, confidence: float) -> int:
    """How many of some settings may exceed the bound: the largest r of the module's equation.

    Raises
    ------
    InputError
        As `settings_needed`; for fewer settings than it says.
    """
    needed = settings_needed(share, confidence)
    if count("settings", settings, 1) < needed:
        told = f"are too few to tell {100 * share:g} % of all settings with {100 * confidence:g} % confidence"
        raise InputError("settings", settings, told, f"take {needed} or more")
    misses = 0
    while float(binom.cdf(misses + 1, settings, 1.0 - share)) <= 1.0 - confidence:
        misses += 1
    return misses
