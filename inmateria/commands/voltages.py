"""Terminals and voltages as they are given on the command line."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnpu_models.surrogate.chip import RANGE_SLACK_V
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.devices import AnyModel


def voltages_of(text: str | None, device: AnyModel) -> FloatArray:
    """Voltages (V) of all terminals from ``e1=0.1,e3=-0.2``; 0 where nothing is said.

    Raises
    ------
    InputError
        For text of another form, unknown or repeated electrodes, and voltages the device refuses.
    """
    volts = np.zeros(len(device.terminals))
    seen: set[int] = set()
    for part in [] if text is None else text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise InputError("at", text, f"{part.strip()!r} is no setting", "write for example e2=0.1,e3=-0.2")
        k = terminal_of("at", name.strip(), device)
        if k in seen:
            raise InputError("at", text, f"names {name.strip()} twice", "give each electrode once")
        seen.add(k)
        volts[k] = _volts("at", text, value)
        _within("at", text, device, k, volts[k], volts[k])
    return volts


def terminal_of(field: str, name: str, device: AnyModel) -> int:
    """Index of a terminal by its name.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if name not in device.terminals:
        raise InputError(field, name, "is no electrode", f"choose from {', '.join(device.terminals)}")
    return device.terminals.index(name)


def _volts(field: str, text: str | None, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(field, text, f"{word.strip()!r} is no voltage", "give finite numbers in V")
    return value


def _within(field: str, text: str | None, device: Any, k: int, *volts: float) -> None:
    low, high = device.limits_V[k]
    if min(volts) < low - RANGE_SLACK_V or max(volts) > high + RANGE_SLACK_V:
        raise InputError(field, text, f"leaves {device.terminals[k]}'s range", f"stay within {low:.4g} to {high:.4g} V")
