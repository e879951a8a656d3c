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


def not_negative(field: str, value: Any, unit: str) -> float:
    """Return `value` as a float, or raise `InputError` unless it is finite and at least 0."""
    number = finite(field, value, unit)
    if number < 0.0:
        raise InputError(field, value, "is negative", f"give 0 or more, in {unit}")
    return number


def finite(field: str, value: Any, unit: str) -> float:
    """Return `value` as a float, or raise `InputError` unless it is finite."""
    number = number_of(field, value, unit)
    if not math.isfinite(number):
        raise InputError(field, value, "is not finite", f"give a finite number, in {unit}")
    return number


def number_of(field: str, value: Any, unit: str) -> float:
    """Return `value` as a float, or raise `InputError` when it is no real number; text and bool are none."""
    try:
        if isinstance(value, bool | np.bool_ | str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(field, value, "is not a number", f"give one real number, in {unit}") from None


def count(field: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return `value` as an int, or raise `InputError` unless it is a whole number from `least` to `most`."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        fix = f"give {least} or more" if most is None else f"give {least} to {most}"
        raise InputError(field, value, f"is not a whole number {bounds}", fix)
    return int(value)


def array(field: str, value: Any, shape: tuple[Any, ...], dtype: Any = np.float64) -> NDArray[Any]:
    """Return a contiguous copy of `value`, or raise `InputError` unless it is a finite real array of this shape.

    Parameters
    ----------
    field : str
    value : array_like
    shape : tuple of int, None and ...
        None is any length; ``...`` in front stands for any leading axes.
    dtype : dtype
        What it cannot hold is not finite.
    """
    try:
        found = np.asarray(value)
    except ValueError:  # ragged
        found = np.array(None)
    if found.dtype.kind not in "buif":
        raise InputError(field, type(value).__name__, "holds no real numbers", "give an array of floats")
    lengths = tuple(n for n in shape if n is not ...)
    last = found.shape[max(found.ndim - len(lengths), 0) :] if len(lengths) < len(shape) else found.shape
    if len(last) != len(lengths) or any(n not in (None, m) for n, m in zip(lengths, last, strict=True)):
        wanted = ", ".join("..." if n is ... else "n" if n is None else str(n) for n in shape)
        raise InputError(field, found.shape, f"has not the shape ({wanted})", "check the array")
    with np.errstate(over="ignore"):
        found = np.array(found, dtype=dtype, order="C")
    if not np.all(np.isfinite(found)):
        raise InputError(field, "NaN or infinity", "holds values that are not finite", "check the array")
    return found


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
