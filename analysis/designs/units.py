"""Quantities as people write them: ``"5 mV"``, ``"10 kohm"``, ``"1e-5 nA^2/Hz"``, ``"1 %"``, ``"25 degC"``."""

from __future__ import annotations

import math
import re
from functools import cache
from tokenize import TokenError
from typing import Any

from inmateria.errors import InputError

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*", re.DOTALL)
_EXAMPLES = {
    "V": "5 mV", "Hz": "10 Hz", "s": "100 ms", "A": "0.5 nA", "ohm": "10 kohm", "F": "10 nF", "K": "77 K",
    "A^2/Hz": "1e-5 nA^2/Hz", "1": "5 %", "1/K": "50 ppm/K", "deg": "45 deg", "V/K": "0.3 uV/K", "dB": "3 dB",
}  # fmt: skip


@cache
def _registry() -> Any:
    import pint  # late: half of this module's users give plain numbers

    return pint.UnitRegistry(cache_folder=None, autoconvert_offset_to_baseunit=True)


def example(unit: str) -> str:
    """How a quantity in a unit is written, as a fix."""
    return f"write it as in {_EXAMPLES.get(unit, '1 ' + unit)!r}"


def quantity(field: str, value: Any, unit: str) -> float:
    """A number in SI units, from a number (in SI units already) or from text with a unit.

    Parameters
    ----------
    field : str
        What an error is about.
    value : float or str
        ``5e-3``, ``"5 mV"``, ``"5mV"``; a temperature may be in ``degC``.
    unit : str
        The SI unit wanted: ``"V"``, ``"A^2/Hz"``, ``"1"`` for a plain number (``"5 %"`` is 0.05).

    Raises
    ------
    InputError
        For anything else, for another unit, and for what is not finite.
    """
    fix = example(unit)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InputError(field, value, "is no quantity", fix)
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value)
        if found is None:
            raise InputError(field, value, "is no quantity", fix)
        number, written = float(found[1]), found[2].replace("Ω", "ohm")
    else:
        number, written = float(value), ""
    if not math.isfinite(number):
        raise InputError(field, value, "is not finite", fix)
    if not written:
        if isinstance(value, str) and unit != "1":
            raise InputError(field, value, f"has no unit, {unit} is required", fix)
        return number
    return _converted(field, value, number, written, unit, fix)


def _converted(field: str, value: Any, number: float, written: str, unit: str, fix: str) -> float:
    if unit == "dB" and written != unit:  # pint would take degrees and per cent for ratios
        raise InputError(field, value, f"is in {written}, {unit} is required", fix)
    registry = _registry()
    from pint.errors import DimensionalityError, PintError

    try:
        found = registry.Quantity(number, written).to("dimensionless" if unit == "1" else unit)
    except DimensionalityError:
        what = "a plain number" if unit == "1" else unit
        raise InputError(field, value, f"is in {written}, {what} is required", fix) from None
    except (PintError, AttributeError, ValueError, TypeError, SyntaxError, AssertionError, TokenError):
        raise InputError(field, value, f"has a unit that is unknown, {written!r}", fix) from None
    return float(found.magnitude)


_WRITTEN = {
    "A^2/Hz": (1e-18, "nA^2/Hz"),
    "1/K": (1e-6, "ppm/K"),
    "V/K": (1e-6, "uV/K"),
    "%": (1e-2, "%"),
}
"""What people write in place of units that take no prefix."""


def written(value: float, unit: str, digits: int = 6) -> str:
    """A quantity as people write it: 0.005 V is ``5 mV``, 1e-23 A^2/Hz ``1e-5 nA^2/Hz``, 0.01 in ``%`` is ``1 %``."""
    if unit in ("", "1"):
        return f"{value:.{digits}g}"
    if unit == "1/K" and abs(value) >= 1e-3:
        return f"{100 * value:.{digits}g} %/K"
    if unit in _WRITTEN:
        size, unit = _WRITTEN[unit]
        return re.sub(r"e([+-])0+", r"e\1", f"{value / size:.{digits}g} {unit}")
    if value == 0 or not math.isfinite(value) or unit not in ("V", "A", "Hz", "s", "ohm", "F", "S", "W"):
        return f"{value:.{digits}g} {unit}"
    power = min(max(3 * math.floor(math.log10(abs(value) * (1 + 1e-12)) / 3), -15), 9)
    prefix = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}[power]
    return f"{value / 10.0**power:.{digits}g} {prefix}{unit}"
