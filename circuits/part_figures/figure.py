"""A figure of a data sheet, a kind of part with all of its figures, and what was measured of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from circuits.ngspice.engine import Vectors
from circuits.part_figures.bench import PartBench
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError, EngineError, NetlistError

Sense = Literal["most", "about"]

SUPPLIES = {
    "supply+": ("vcc", "vdd", "v+", "vp", "vs+", "+vs", "vccp", "vpos", "avdd", "vpp"),
    "supply-": ("vee", "vss", "v-", "vm", "vs-", "-vs", "vccn", "vneg", "avss", "vnn", "vn"),
    "ground": ("gnd", "0", "ref"),
}
"""Names of supply pins, of any kind of part."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a data sheet says of a part.

    Attributes
    ----------
    name, unit : str
    description : str
        How it is measured.
    sense : {'most', 'about'}
        Whether a part may have less of it, as of an offset, whose sample is one of many; or whether a model that has
        less or more is another part.
    """

    name: str
    unit: str
    description: str
    sense: Sense = "about"


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What a measurement recorded, for a picture of it.

    Attributes
    ----------
    name : str
    x_label, y_label : str
        With their units.
    x, y : ndarray, shape (n,)
    logarithmic : str
        Axes whose scale is: ``"x"``, ``"y"``, ``"xy"`` or none.
    """

    name: str
    x_label: str
    y_label: str
    x: FloatArray
    y: FloatArray
    logarithmic: str = ""


@dataclass(slots=True)
class Measured:
    """What was measured of a part; a step of a measurement adds to it, and may look up what an earlier one found.

    Attributes
    ----------
    figures : dict of str to float
        By name; NaN where one could not be measured.
    reasons : dict of str to str
        Why not, by the figure's name.
    curves : list of Curve
    """

    figures: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    curves: list[Curve] = field(default_factory=list)

    def lacks(self, name: str, why: str) -> None:
        """A figure could not be measured."""
        self.figures[name] = math.nan
        self.reasons[name] = why

    def take(self, name: str, value: float, otherwise: str) -> None:
        """A figure, or why there is none where the value is NaN."""
        if math.isnan(value):
            self.lacks(name, otherwise)
        else:
            self.figures[name] = value

    def take_rest(self, bench: PartBench, found: Vectors) -> None:
        """The supply current of an operating point."""
        self.take("supply_current", bench.supply_current_A(found), "it has no supply pins")


Step = Callable[[PartBench, Measured], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of part.

    Attributes
    ----------
    name : str
        ``opamp``.
    pins : mapping of str to str
        What each pin is, but for supplies.
    aliases : mapping of str to tuple of str
        Names by which vendors call them, lower case; of supplies too (``supply+``, ``supply-``).
    order : tuple of str
        Pins in the order that most files have without names.
    figures : tuple of Figure
    measure : callable
        From a bench to what was measured of the part.
    compared : tuple of str
        Our parts of level macro that do the same.
    """

    name: str
    pins: Mapping[str, str]
    aliases: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]
    figures: tuple[Figure, ...]
    measure: Callable[[PartBench], Measured]
    compared: tuple[str, ...]


def falls_to(frequency: FloatArray, size: FloatArray, level: float) -> float:
    """Frequency at which a gain falls to a level, between points in logarithms; NaN where it does not."""
    below = np.flatnonzero(size < level)
    if not below.size or below[0] == 0:
        return math.nan
    k = int(below[0])
    x = np.log(frequency[k - 1 : k + 1])
    y = np.log(size[k - 1 : k + 1])
    return float(np.exp(x[0] + (math.log(level) - y[0]) * (x[1] - x[0]) / (y[1] - y[0])))


def completed(bench: PartBench, found: Measured, steps: Mapping[tuple[str, ...], Step]) -> Measured:
    """What was found so far, and what further measurements find, each for itself.

    Parameters
    ----------
    bench : PartBench
    found : Measured
        Each step adds to it.
    steps : mapping of tuple of str to callable
        Names of its figures to a measurement; where ngspice does not run it, its figures are lacking.
    """
    for names, step in steps.items():
        try:
            step(bench, found)
        except (NetlistError, ConvergenceError, EngineError) as error:
            for name in names:
                found.lacks(name, " ".join(error.problem.split()))
    return found
