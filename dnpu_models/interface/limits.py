"""Voltages that are given to a device: their shape, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inmateria.checks import FloatArray, array
from inmateria.errors import InputError

SLACK_V = 1e-9
"""How far voltages may leave the limits: rounding of what stands at them."""


def within_limits(voltages: Any, terminals: Sequence[str], limits_V: FloatArray) -> FloatArray:
    """Voltages (V) as an array of shape (..., n_terminals).

    Raises
    ------
    InputError
        For another shape, what is not finite, and the first voltage beyond its terminal's limits.
    """
    volts = array("voltages", voltages, (..., len(terminals)))
    low, high = limits_V.T
    outside = (volts < low - SLACK_V) | (volts > high + SLACK_V)
    if np.any(outside):
        where = tuple(int(k) for k in np.argwhere(outside)[0])
        k = where[-1]
        problem = f"leaves the range of {low[k]:.4g} to {high[k]:.4g} V"
        raise InputError(f"voltages[{terminals[k]}]", float(volts[where]), problem, "stay within limits_V")
    return volts
