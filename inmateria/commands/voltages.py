"""Terminals, voltages and sweeps of voltages as they are given on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnpu_models.interface.device import known_terminals
from dnpu_models.surrogate.chip import RANGE_SLACK_V
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.devices import AnyModel

MOST_POINTS = 1_000_000
_SWEEP = re.compile(r"\s*([^=\s]+)\s*=\s*([^:]+):([^:]+):([^:]+)")


@dataclass(frozen=True)
class Sweep:
    """One electrode's voltages, evenly spaced from start to stop."""

    terminal: int
    name: str
    start_V: float
    stop_V: float
    points: int

    @property
    def voltages_V(self) -> FloatArray:
        """V, (points,)."""
        return np.linspace(self.start_V, self.stop_V, self.points)


def sweeps_of(texts: list[str], device: AnyModel) -> list[Sweep]:
    """Return the sweeps of ``e1=-0.5:0.5:101``."""
    example = f"write for example {device.terminals[1]}=-0.5:0.5:101"
    if not 1 <= len(texts) <= 2:
        raise InputError("sweep", texts or None, "one or two electrodes are swept", f"{example}, once or twice")
    sweeps: list[Sweep] = []
    for text in texts:
        match = _SWEEP.fullmatch(text)
        if match is None:
            raise InputError("sweep", text, "is no sweep", example)
        k = terminal_of("sweep", match[1], device)
        start, stop = (_volts("sweep", text, word) for word in (match[2], match[3]))
        try:
            points = int(match[4])
        except ValueError:
            raise InputError("sweep", text, f"{match[4].strip()!r} is no number of points", example) from None
        if points < 2:
            raise InputError("sweep", text, f"has {points} points", "give at least 2")
        if start == stop:
            raise InputError("sweep", text, "starts where it ends", "give two voltages, or hold the electrode by --at")
        _within("sweep", text, device, k, start, stop)
        if any(k == sweep.terminal for sweep in sweeps):
            raise InputError("sweep", text, f"sweeps {match[1]} again", "sweep two different electrodes")
        sweeps.append(Sweep(k, match[1], start, stop, points))
    total = int(np.prod([sweep.points for sweep in sweeps]))
    if total > MOST_POINTS:
        raise InputError("sweep", texts, f"has {total} settings", f"at most {MOST_POINTS} are computed")
    return sweeps


def electrodes_of(text: str | None, device: AnyModel) -> list[int]:
    """Terminals whose currents are required: all that are known, if nothing is said."""
    known = list(known_terminals(device))
    if text is None:
        return known
    chosen = [terminal_of("electrode", name.strip(), device) for name in text.split(",")]
    for k in chosen:
        if k not in known:
            names = ", ".join(device.terminals[j] for j in known)
            raise InputError("electrode", device.terminals[k], "has no known current on this chip", f"read {names}")
    if len(set(chosen)) != len(chosen):
        raise InputError("electrode", text, "names an electrode twice", "give each once")
    return chosen


def voltages_of(text: str | None, device: AnyModel) -> FloatArray:
    """Voltages (V) of all terminals from ``e1=0.1,e3=-0.2``; 0 where nothing is said."""
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
    """Index of a terminal by its name."""
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
