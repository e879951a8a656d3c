"""Checks of arguments that all rooms share; each raises `InputError` with the field, the value and the fix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inmateria.errors import InputError

FloatArray = NDArray[np.float64]


def positive(field: str, value: Any, unit: str) -> float:
    """Return `value` as a float, or raise `InputError` unless it is a finite positive number."""
    number = number_of(field, value, unit)
    if not (math.isfinite(number) and number > 0.0):
        raise InputError(field, value, "is not a finite positive number", f"give a value above 0, in {unit}")
    return number


def finite(field: str, value: Any, unit: str) -> float:
    """Return `value` as a float, or raise `InputError` unless it is finite."""
    number = number_of(field, value, unit)
    if not math.isfinite(number):
        raise InputError(field, value, "is not finite", f"give a finite number, in {unit}")
    return number


def number_of(field: str, value: Any, unit: str) -> float:
    """Return `value` as a float, or raise `InputError` when it is no real number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(field, value, "is not a number", f"give one real number, in {unit}") from None


def count(field: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int, or raise `InputError` unless it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(field, value, f"is not a whole number of at least {least}", f"give {least} or more")
    return int(value)


def record(time_s: ArrayLike, signal: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return time and signal as contiguous float arrays: one length, time increasing, all finite."""
    try:
        time = np.ascontiguousarray(time_s, dtype=np.float64)
        values = np.ascontiguousarray(signal, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            "signal",
            type(signal).__name__,
            "is not an array of real numbers",
            "give time_s and signal as 1-D arrays of floats",
        ) from None
    if time.ndim != 1 or time.size < 2:
        raise InputError("time_s", time.shape, "is not a 1-D array of at least two points", "give the sampling times")
    if values.shape != time.shape:
        raise InputError(
            "signal",
            values.shape,
            f"has another shape than time_s {time.shape}",
            "give one sample for each time",
        )
    if not np.all(np.isfinite(time)):
        raise InputError(
            "time_s",
            float(time[~np.isfinite(time)][0]),
            "holds values that are not finite",
            "give finite times, in s",
        )
    if not np.all(np.isfinite(values)):
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            "signal",
            float(values[where]),
            f"is not finite at sample {where}",
            "find out why the run gave it, or cut the record there",
        )
    backward = np.flatnonzero(np.diff(time) <= 0.0)
    if backward.size:
        where = int(backward[0])
        raise InputError(
            "time_s",
            float(time[where + 1]),
            f"does not increase after sample {where}",
            "sort the record and drop repeated times",
        )
    return time, values


def is_number(value: Any) -> bool:
    """Whether the value is a real number, NaN and infinity included; bool is none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
