"""The result of a transient, whatever engine made it, and how far it can be trusted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from circuits.signals.ticks import Ticks
from inmateria.checks import FloatArray
from inmateria.errors import TrustWarning

OperatingPoint = Literal["none", "newton", "gmin stepping", "source stepping", "transient"]
"""How the operating point was found; "none" where a run starts from initial conditions."""
MANY_REJECTED = 1 / 3
"""Rejected points, as a part of all tried, beyond which a run is suspicious: ngspice, not the maximum step, sets the
points. The decks here have none at `OPTIONS`; diodes switched hard at ngspice's defaults have a tenth."""


def mean_between(time_s: FloatArray, signal: FloatArray, start_s: float, stop_s: float) -> float:
    """Mean of a waveform, straight between its points, from `start_s` to `stop_s`."""
    inside = (time_s > start_s) & (time_s < stop_s)
    t = np.concatenate([[start_s], time_s[inside], [stop_s]])
    return float(np.trapezoid(np.interp(t, time_s, signal), t) / (stop_s - start_s))


@dataclass(frozen=True)
class Trust:
    """What was checked after a run.

    Attributes
    ----------
    reached : bool
        Whether the stop time was reached; True for an analysis that has none.
    operating_point : str
        How it was found: "none" (run from initial conditions), "newton", "gmin stepping", "source stepping" or
        "transient" (ngspice's last resort: one state of maybe several, or one that had not settled).
    points, rejected : int
        Accepted and rejected time-points.
    notes : tuple of str
        What is suspicious in the deck, and what ngspice changed or left out of it.
    """

    reached: bool = True
    operating_point: OperatingPoint = "none"
    points: int = 0
    rejected: int = 0
    notes: tuple[str, ...] = ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """Everything that speaks against the result; empty for a run to be trusted."""
        found = list(self.notes)
        if not self.reached:
            found.append("the stop time was not reached")
        if self.operating_point == "transient":
            found.append("the operating point was found by a transient only: one of maybe several, or not settled")
        tried = self.points + self.rejected
        if self.rejected > MANY_REJECTED * tried:
            found.append(f"{self.rejected} of {tried} time-points were rejected")
        return tuple(found)

    def warn(self, *, stacklevel: int = 3) -> None:
        """Issue a `TrustWarning` for each doubt."""
        for doubt in self.doubts:
            warnings.warn(doubt, TrustWarning, stacklevel=stacklevel)


@dataclass(frozen=True, eq=False)
class Transient:
    """Accepted points of one transient.

    Attributes
    ----------
    time_s : ndarray, shape (n,)
    values : dict of ndarray
        Saved vectors by name (V or A as ngspice gives them).
    device_A : ndarray, shape (n, n_terminals)
        Device currents into the terminals; empty without a device.
    complete : bool
        Whether the stop time was reached.
    statistics : dict
        points, rejected, iterations, evaluations, source calls, seconds (whole run), device seconds, the largest
        difference between the terminal voltages the device was told and those the circuit had (V).
    messages : tuple of str
        What ngspice said.
    deck : str
        The deck as run.
    trust : Trust
        What was checked after the run.
    controllers : tuple of Ticks
        What each controller saw and did.
    dialect : str or None
        The dialect in which ngspice read the deck; None for its own, and for other engines.
    seed : int
        Of the numbers that the deck draws in ngspice.
    """

    time_s: FloatArray
    values: dict[str, FloatArray]
    device_A: FloatArray
    complete: bool
    statistics: dict[str, float]
    messages: tuple[str, ...]
    deck: str
    trust: Trust = field(default_factory=Trust)
    controllers: tuple[Ticks, ...] = ()
    dialect: str | None = None
    seed: int = 0

    def __getitem__(self, name: str) -> FloatArray:
        """A saved vector."""
        return self.values[name.lower()]
