"""Numbers as SPICE writes and reads them."""

from __future__ import annotations

import math
import re

from inmateria.checks import finite
from inmateria.errors import InputError

_SUFFIXES = {
    "t": 1e12, "g": 1e9, "meg": 1e6, "k": 1e3, "mil": 25.4e-6,
    "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18,
}  # fmt: skip
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[ed][+-]?\d+)?)(meg|mil|[tgkmunpfa])?[a-z]*", re.IGNORECASE)


def format_number(x: float) -> str:
    """Write a number so that SPICE reads back the same value.

    Parameters
    ----------
    x : float
        A finite number, in any unit. NumPy scalars are accepted.

    Returns
    -------
    str
        The shortest decimal literal that gives the same float64, without any suffix: ``'1e-05'``, ``'0.01'``.
        A bare exponent cannot be mistaken for ``M`` (1e-3 in SPICE) or ``MEG``.

    Raises
    ------
    InputError
        If `x` is not a number or not finite.

    Notes
    -----
    ngspice 39 keeps a subcircuit's parameters to about 16 digits, so the value may change by one unit in the last place
    on its way into a B source.
    """
    return repr(finite("x", x, "SI units"))


def parse_number(text: str) -> float:
    """Read a number as SPICE does.

    Parameters
    ----------
    text : str
        A literal such as ``1e-5``, ``4.7k``, ``10meg``, ``1uF``: a suffix scales (``m`` and ``M`` are both
        1e-3, ``meg`` is 1e6), letters after it are a unit and ignored.

    Raises
    ------
    InputError
        If `text` is not such a literal; expressions are not.
    """
    value = read_as(text) if is_number(text) else math.nan
    if not math.isfinite(value):
        raise InputError("text", text, "is not a SPICE number", "write a literal such as 1e-5, 4.7k or 10meg")
    return value


def is_number(text: str) -> bool:
    """Whether SPICE reads a text to its end as a number with a suffix and a unit."""
    return _NUMBER.fullmatch(text.strip()) is not None


def read_as(text: str) -> float:
    """What SPICE takes a text for that may go on behind the number: ``4k7`` is 4000. NaN where none begins it."""
    match = _NUMBER.match(text.strip())
    if match is None:
        return math.nan
    return float(match[1].lower().replace("d", "e")) * _SUFFIXES.get((match[2] or "").lower(), 1.0)


def quantity(value: float, unit: str) -> str:
    """A value with three digits and an SI prefix, such as ``"4.7 kohm"``."""
    if value == 0.0:
        return f"0 {unit}"
    for factor, prefix in (
        (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"),
    ):  # fmt: skip
        if abs(value) >= 0.9995 * factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.2e} {unit}"
