"""What planners of lock-ins share: margins of the loop, tones as far apart as a band allows, and what would do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from inmateria.errors import InputError
from lockin.plan import DitherPlan, floor_digits, plan_frequencies
from lockin.rulers import golomb_ruler
from lockin.settings import LockInSettings
from lockin.theory import stability_margin

_Need = TypeVar("_Need")
_Answer = TypeVar("_Answer")

LOOP_MARGIN = 3.0
"""Gain margin of the loop around the integrators."""


DAMPED = 0.25
"""Loop gain times tau with a single pole, which is never unstable: critical damping."""


def safe_loop_gain(settings: LockInSettings) -> float:
    """Loop gain (learning rate times largest curvature, 1/s) with a margin of `LOOP_MARGIN`; one pole is `DAMPED`."""
    largest = stability_margin(settings, 1.0)
    return largest / LOOP_MARGIN if math.isfinite(largest) else DAMPED / settings.time_constant


def widest_tones(
    n: int, band_Hz: tuple[float, float], *, avoid_Hz: Sequence[float] = (), digits: int | None = None
) -> tuple[float, DitherPlan]:
    """Tones as far apart as a band allows, and their spacing, Hz, which is tried from the widest down in 7 % steps.

    Parameters
    ----------
    n : int
    band_Hz : tuple of float
        Lowest and highest tone.
    avoid_Hz : sequence of float, optional
        As `plan_frequencies`.
    digits : int, optional
        Round the spacing of the tones down to so many.

    Raises
    ------
    InputError
        If no spacing tried has tones in the band.
    """
    low, high = band_Hz
    length = golomb_ruler(n)[-1]
    spacing = min(high / (2 * length + 1), (high - low) / length if length else high)
    refused: InputError | None = None
    for _ in range(60):
        try:
            rounded = spacing if digits is None else floor_digits(spacing, digits)
            return spacing, plan_frequencies(n, band_Hz, rounded, avoid=avoid_Hz)
        except InputError as error:
            refused = error
            spacing *= 0.93
    assert refused is not None
    raise refused


def gains(error: float, eased: Mapping[str, _Need], best: Callable[[_Need], float]) -> dict[str, float]:
    """By how much (relative) an error falls when one requirement is eased, for each."""
    return {name: 1.0 - best(need) / error for name, need in eased.items()}


def narrowed(ask: Callable[[float], _Answer | None], low: float, high: float, at_high: _Answer) -> _Answer:
    """Answer at the smallest argument that has one, to 0.02: between `low`, which has none, and `high`, by halves."""
    found = at_high
    while high - low > 0.02:
        middle = 0.5 * (low + high)
        answer = ask(middle)
        if answer is None:
            low = middle
        else:
            found, high = answer, middle
    return found
