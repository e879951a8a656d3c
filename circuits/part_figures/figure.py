"""A figure of a data sheet, and a kind of part with all of its figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from circuits.part_figures.bench import PartBench
from inmateria.errors import ConvergenceError, EngineError, NetlistError

Sense = Literal["most", "about"]


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
        From a bench to the figures by name; NaN where one could not be measured.
    compared : tuple of str
        Our parts of level macro that do the same.
    """

    name: str
    pins: Mapping[str, str]
    aliases: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]
    figures: tuple[Figure, ...]
    measure: Callable[[PartBench], dict[str, float]]
    compared: tuple[str, ...]


def completed(kind: Kind, found: dict[str, float], steps: Iterable[Callable[[], dict[str, float]]]) -> dict[str, float]:
    """All figures of a kind: those found, and those of further measurements; NaN where one of these does not run.

    Parameters
    ----------
    kind : Kind
    found : dict
        Each step adds to it, so that a later one may look up what an earlier one found.
    steps : iterable of callable
    """
    for step in steps:
        with suppress(NetlistError, ConvergenceError, EngineError):
            found |= step()
    return {figure.name: found.get(figure.name, math.nan) for figure in kind.figures}
