"""Axes of a sweep: which values a key takes, from lists and from ``KEY=FROM:TO:SCALE:POINTS``.

Points of a sweep are numbered in C order of its axes. What a point's random numbers are follows from its coordinates
alone (`point_words`), whoever computes it and whenever.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.designs.units import quantity
from inmateria.errors import InputError

Value = float | int | str
SCALES = ("lin", "log")
FORM = "write KEY=FROM:TO:lin or log:POINTS, such as dither.amplitude=1mV:100mV:log:12, or KEY=a,b,c"
MOST_POINTS = 10_000_000
SEED = "seed"


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes
    ----------
    key : str
        What is varied, e.g. ``dither.amplitude``; ``seed`` for the repetitions.
    values : tuple
        Numbers in the SI unit, or words; all different.
    unit : str
        Of the values, e.g. ``V``; "" for words, counts and plain numbers.

    Raises
    ------
    InputError
        If there are no values, or equal ones.
    """

    key: str
    values: tuple[Value, ...]
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError(f"over {self.key}", [], "has no values", "give at least one")
        if any(isinstance(value, float) and not math.isfinite(value) for value in self.values):
            raise InputError(f"over {self.key}", list(self.values), "is not finite", "give finite numbers")
        twice = next((value for k, value in enumerate(self.values) if value in self.values[:k]), None)
        if twice is not None:
            raise InputError(f"over {self.key}", twice, "stands there twice", "give different values")

    @property
    def name(self) -> str:
        """Of the dimension in a dataset: the key with underscores."""
        return self.key.replace(".", "_")

    @property
    def kind(self) -> type:
        """``str``, ``int`` or ``float``: what all values are."""
        kinds = {type(value) for value in self.values}
        return str if str in kinds else int if kinds == {int} else float

    def array(self) -> np.ndarray[Any, Any]:
        """The values as a coordinate."""
        kind = self.kind
        return np.array([kind(value) for value in self.values], dtype="int64" if kind is int else kind)


def parse_over(text: str, unit_of: Callable[[str], str]) -> Axis:
    """An axis from ``KEY=FROM:TO:SCALE:POINTS`` or ``KEY=a,b,c``.

    Parameters
    ----------
    text : str
    unit_of : callable
        Key to SI unit, "" for what is no quantity; raises `InputError` for a key that does not exist.

    Raises
    ------
    InputError
        For another form, an unknown key, a wrong unit, an empty range, no points, a logarithm through zero.
    """
    key, equals, rest = (part.strip() for part in text.partition("="))
    if not equals or not key or not rest:
        raise InputError("over", text, "has no key and values", FORM)
    unit = unit_of(key)
    if ":" not in rest:
        return Axis(key, tuple(_word(key, word.strip(), unit) for word in rest.split(",")), unit if unit != "1" else "")
    parts = [part.strip() for part in rest.split(":")]
    if len(parts) != 4:
        raise InputError(f"over {key}", rest, f"has {len(parts)} parts between colons, 4 are required", FORM)
    low, high = (quantity(f"over {key}", part, unit or "1") for part in parts[:2])
    try:
        points = int(parts[3])
    except ValueError:
        fix = "give a whole number of 1 or more"
        raise InputError(f"over {key}", parts[3], "is no number of points", fix) from None
    return ranged(key, low, high, parts[2], points, unit)


def ranged(key: str, low: float, high: float, scale: str, points: int, unit: str = "") -> Axis:
    """An axis of evenly spaced numbers, or of even ratios.

    Raises
    ------
    InputError
        For an empty range, no points, an unknown scale, a logarithm through zero.
    """
    field = f"over {key}"
    if scale not in SCALES:
        raise InputError(field, scale, "is no scale", "take lin or log")
    if points < 1:
        raise InputError(field, points, "leaves no points", "give 1 or more")
    if points > 1 and low == high:
        raise InputError(field, low, "begins and ends there: the range is empty", "give two different ends")
    if points == 1 and low != high:
        raise InputError(field, points, "is one point for a range with two ends", "give 2 or more, or one value")
    if scale == "log" and not (low > 0.0 and high > 0.0):
        raise InputError(field, min(low, high), "has no logarithm", "begin above zero, or take lin")
    values = np.geomspace(low, high, points) if scale == "log" else np.linspace(low, high, points)
    found = [float(f"{value:.12g}") for value in values]  # 12 digits: 0.001, not 0.0010000000000000002
    whole = not unit and all(value.is_integer() for value in found)  # counts and seeds
    return Axis(key, tuple(int(value) if whole else value for value in found), unit if unit != "1" else "")


def make_axes(over: Mapping[str, Any] | Sequence[str], unit_of: Callable[[str], str]) -> tuple[Axis, ...]:
    """Axes of what a user gave: texts as `parse_over` takes them, or a mapping of keys to values or such texts.

    Raises
    ------
    InputError
        As `parse_over`; for a key given twice, or more points than a sweep takes.
    """
    if isinstance(over, Mapping):
        axes = tuple(_from_values(key, values, unit_of) for key, values in over.items())
    else:
        axes = tuple(parse_over(text, unit_of) for text in ([over] if isinstance(over, str) else over))
    check_axes(axes)
    return axes


def check_axes(axes: Sequence[Axis]) -> None:
    """Refuse axes of one name, and more points than can be."""
    names = [axis.name for axis in axes]
    twice = next((axis.key for k, axis in enumerate(axes) if axis.name in names[:k]), None)
    if twice is not None:
        raise InputError("over", twice, "is given twice", "give each key once")
    points = math.prod(len(axis.values) for axis in axes)
    if points > MOST_POINTS:
        raise InputError("over", points, f"points are more than {MOST_POINTS}", "take fewer")


def _from_values(key: str, values: Any, unit_of: Callable[[str], str]) -> Axis:
    unit = unit_of(key)
    if isinstance(values, str):
        return parse_over(f"{key}={values}", unit_of)
    if isinstance(values, Mapping):
        raise InputError(f"over {key}", values, "is no list of values", "give for example [0.001, 0.01]")
    listed = values.tolist() if hasattr(values, "tolist") else values
    listed = list(listed) if isinstance(listed, list | tuple | range) else [listed]
    if any(not isinstance(value, int | float | str) or isinstance(value, bool) for value in listed):
        raise InputError(
            f"over {key}", listed, "holds what is neither number nor word", "give for example [0.001, 0.01]"
        )
    words = tuple(_word(key, value, unit) if isinstance(value, str) else value for value in listed)
    if unit:
        words = tuple(float(word) for word in words)
    return Axis(key, words, unit if unit != "1" else "")


def _word(key: str, text: str, unit: str) -> Value:
    """One value of a list: a quantity where the key is one, else a whole number, a number or a word."""
    if not text:
        raise InputError(f"over {key}", text, "is an empty value", "leave no comma without a value")
    if unit:
        return quantity(f"over {key}", text, unit)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def seed_axis(seeds: int, first: int = 0) -> Axis:
    """The axis of repetitions: seeds `first`, `first` + 1, ...

    Raises
    ------
    InputError
        For less than one.
    """
    if seeds < 1:
        raise InputError("seeds", seeds, "leaves no points", "give 1 or more")
    return Axis(SEED, tuple(range(first, first + seeds)))


def point_words(point: Mapping[str, Value]) -> list[int]:
    """Eight 32-bit words that follow from a point's coordinates, for `numpy.random.SeedSequence`."""
    text = json.dumps({key: point[key] for key in sorted(point)}, ensure_ascii=True)
    return [int(word) for word in np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype="<u4")]
