"""What planners of lock-ins share: margins of the loop, and rounding of frequencies."""

from __future__ import annotations

import math

from lockin.settings import LockInSettings
from lockin.theory import stability_margin

LOOP_MARGIN = 3.0
"""Gain margin of the loop around the integrators."""


DAMPED = 0.25
"""Loop gain times tau with a single pole, which is never unstable: critical damping."""


def _floor_digits(value: float, digits: int) -> float:
    """A positive number rounded down to so many digits."""
    exponent = math.floor(math.log10(value)) - digits + 1
    return float(f"{math.floor(value / 10.0**exponent * (1 + 1e-12))}e{exponent}")


def safe_loop_gain(settings: LockInSettings) -> float:
    """Loop gain (learning rate times largest curvature, 1/s) with a margin of `LOOP_MARGIN`; one pole is `DAMPED`."""
    largest = stability_margin(settings, 1.0)
    return largest / LOOP_MARGIN if math.isfinite(largest) else DAMPED / settings.time_constant
