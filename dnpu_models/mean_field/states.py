"""Stationary states of the mean field, all that can be found: the equations are not linear and may have several.

Holes that repel each other strongly on a pair of sites have two states, one hole here or there, where the true device
moves between both. Stable states are found by relaxing from many occupations; those that separate them by Newton's
method from occupations between two stable ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnpu_models.mean_field import kernel as kernel_module
from dnpu_models.mean_field.equations import RateEquations
from inmateria.checks import FloatArray

SAME = 1e-6
"""States whose occupations differ by less are one."""
_BETWEEN = (0.5, 0.3, 0.7)
_MAX_NEWTON = 30


@dataclass(frozen=True, eq=False)
class StationaryState:
    """One stationary state.

    Attributes
    ----------
    occupations : ndarray, shape (n_sites,)
    currents_A : ndarray, shape (n_electrodes,)
        Into the device.
    imbalance : float
        Largest |dp/dt| left, in units of nu_0.
    stable : bool
        Whether every small disturbance dies.
    slowest_Hz : float
        Largest real part of the relaxation rates (eigenvalues of dF/dp), 1/s; negative in a stable state.
    found : int
        Starts that led here by relaxing; 0 where only Newton's method did.
    """

    occupations: FloatArray
    currents_A: FloatArray
    imbalance: float
    stable: bool
    slowest_Hz: float
    found: int


def _relaxed(equations: RateEquations, volts: FloatArray, start: FloatArray) -> FloatArray | None:
    p, _, _, steps = equations.relaxed(volts, start, kernel_module.CAREFUL, 300)
    return p if steps > 0 else None


def _newton(equations: RateEquations, volts: FloatArray, start: FloatArray) -> FloatArray | None:
    """Newton's method with steps of at most a tenth: it goes to unstable states as to others."""
    p = start.copy()
    for _ in range(_MAX_NEWTON):
        rate, _ = equations.balance(volts, p)
        tangent = equations.linearise(volts, p)
        if tangent is None:
            return None
        step = np.linalg.solve(tangent.rate_p, -rate)
        largest = float(np.abs(step).max())
        p = p + step * min(1.0, 0.1 / max(largest, 1e-300))
        if not np.all((p > -0.2) & (p < 1.2)):
            return None
        if largest < kernel_module.SETTLED:
            return p if np.all((p >= 0) & (p <= 1)) else None
    return None


def search(equations: RateEquations, volts: FloatArray, starts: FloatArray) -> list[StationaryState]:
    """States found from `starts` (n, n_sites) and from between the stable ones; stable first, then the often found."""
    found: list[FloatArray] = []
    counts: list[int] = []

    def note(p: FloatArray | None, count: int) -> None:
        if p is None:
            return
        for index, known in enumerate(found):
            if np.abs(known - p).max() < SAME:
                counts[index] += count
                return
        found.append(p)
        counts.append(count)

    for start in starts:
        note(_relaxed(equations, volts, start), 1)
    relaxed = len(found)
    for i in range(min(relaxed, 8)):
        for j in range(i):
            for part in _BETWEEN:
                note(_newton(equations, volts, part * found[i] + (1 - part) * found[j]), 0)
    states = []
    for p, count in zip(found, counts, strict=True):
        tangent = equations.linearise(volts, p)
        rate, current = equations.balance(volts, p)
        slowest = float("inf") if tangent is None else float(equations.relaxation_rates(tangent)[0].real)
        states.append(
            StationaryState(p, current * equations.current_A, float(np.abs(rate).max()), slowest < 0, slowest, count)
        )
    return sorted(states, key=lambda state: (not state.stable, -state.found))
