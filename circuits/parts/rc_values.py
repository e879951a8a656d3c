"""Resistors and capacitors as one buys them: what stands for a time constant, in recommendations, decks and equations.

R is of E96, C of E12, of film and at most 10 uF. A resistor of 10 to 100 kohm loads no multiplier (an AD633 is
specified into 2 kohm), and a bias current of 1.2 nA makes 0.12 mV at most of it; time constants above 1 s take larger
ones, those below 1 us smaller ones. Of the pairs in reach the nearest is taken, of equal ones that with the smaller
resistor, so that the pair of a pair's own time constant is that pair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inmateria.errors import InputError
from netlists.reader import Part, load_part

E12 = (10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82)
"""Preferred values per decade, IEC 60063: capacitors."""
E96 = tuple(round(10.0 ** (2 + k / 96)) for k in range(96))
"""Preferred values per decade (100 to 976), IEC 60063: resistors."""
CAPACITORS_F = (100e-12, 10e-6)
RESISTORS_OHM = (2e3, 10e6)
USUAL_OHM = (10e3, 100e3)
"""Taken where any capacitor makes it possible."""
WORST_ROUNDING = 0.02


@dataclass(frozen=True)
class RC:
    """A resistor from E96 and a capacitor from E12 that come nearest to a time constant.

    Attributes
    ----------
    wanted_s : float
        Time constant asked for, s.
    resistance_ohm, capacitance_F : float
    """

    wanted_s: float
    resistance_ohm: float
    capacitance_F: float

    @property
    def time_constant_s(self) -> float:
        """R C, s."""
        return self.resistance_ohm * self.capacitance_F

    @property
    def rounding(self) -> float:
        """Relative deviation of R C from what was asked for; tolerances come on top."""
        return self.time_constant_s / self.wanted_s - 1.0


def nearest_rc(time_constant_s: float) -> RC:
    """Components nearest to a time constant.

    Raises
    ------
    InputError
        When it cannot be had between 2 kohm and 10 Mohm, 100 pF and 10 uF.
    """
    lowest, highest = CAPACITORS_F
    best: tuple[tuple[bool, float, float], RC] | None = None
    for decade in range(round(math.log10(lowest)), round(math.log10(highest)) + 1):
        for digits in E12:
            capacitance = float(f"{digits * 10.0 ** (decade - 1):.3g}")
            resistance = _nearest_e96(time_constant_s / capacitance)
            if capacitance > highest * 1.001 or not RESISTORS_OHM[0] <= resistance <= RESISTORS_OHM[1]:
                continue
            found = RC(time_constant_s, resistance, capacitance)
            usual = USUAL_OHM[0] <= resistance <= USUAL_OHM[1]
            rank = (not usual, round(abs(found.rounding), 9), resistance)
            if best is None or rank < best[0]:
                best = (rank, found)
    if best is None or abs(best[1].rounding) > WORST_ROUNDING:
        problem = "cannot be had from 2 kohm to 10 Mohm and 100 pF to 10 uF"
        raise InputError("time_constant", time_constant_s, problem, "ask for one between 0.2 us and 100 s")
    return best[1]


def pole_values(lowpass: Part, time_constant_s: float) -> dict[str, float]:
    """Values of a low-pass: of a real one the pair as one buys it, of an ideal one the time constant.

    A real one whose capacitor was chosen (`Part.with_defaults`) keeps it.

    Raises
    ------
    InputError
        As `nearest_rc`.
    """
    usual = load_part("lowpass", "macro").defaults["c"]
    if lowpass.defaults.get("c") != usual:
        return {"tau": time_constant_s}
    pair = nearest_rc(time_constant_s)
    return {"tau": pair.time_constant_s, "c": pair.capacitance_F}


def _nearest_e96(ohm: float) -> float:
    decade = math.floor(math.log10(ohm)) - 2
    values = np.array([*E96, 10 * E96[0]], dtype=float) * 10.0**decade
    return float(f"{values[np.argmin(np.abs(values - ohm))]:.4g}")
