"""Quantities as text: values against the definition of the prefixes, and one line for whatever is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.designs.units import quantity, written
from inmateria.errors import InputError


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("5 mV", "V", 5e-3),
        ("5mV", "V", 5e-3),
        ("10 kohm", "ohm", 1e4),
        ("10 kΩ", "ohm", 1e4),
        ("1e-5 nA^2/Hz", "A^2/Hz", 1e-23),
        ("1 %", "1", 0.01),
        ("100ppm", "1", 1e-4),
        ("25 degC", "K", 298.15),
        ("-40 °C", "K", 233.15),
        ("50 ppm/K", "1/K", 5e-5),
        ("0.3 uV/K", "V/K", 3e-7),
        ("3", "1", 3.0),
        ("-2.5 dB", "dB", -2.5),
        (5e-3, "V", 5e-3),
        (7, "Hz", 7.0),
    ],
)
def test_quantities_are_si(text: str | float, unit: str, value: float) -> None:
    assert quantity("x", text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "problem"),
    [
        ("5 mA", "V", "is in mA, V is required"),
        ("5 V", "1", "is in V, a plain number is required"),
        ("3 deg", "dB", "is in deg, dB is required"),
        ("10 %", "dB", "is in %, dB is required"),
        ("5 foo", "V", "has a unit that is unknown"),
        ("5 m(", "V", "has a unit that is unknown"),
        ("5", "V", "has no unit"),
        ("mV", "V", "is no quantity"),
        ("", "V", "is no quantity"),
        ("1e999 V", "V", "is not finite"),
        (True, "V", "is no quantity"),
        (None, "V", "is no quantity"),
    ],
)
def test_what_is_no_quantity_is_refused(text: object, unit: str, problem: str) -> None:
    with pytest.raises(InputError, match="write it as in") as raised:
        quantity("dither.amplitude", text, unit)
    assert raised.value.field == "dither.amplitude"
    assert problem in raised.value.problem


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.02, "V", "20 mV"),
        (1e4, "ohm", "10 kohm"),
        (1e-23, "A^2/Hz", "1e-5 nA^2/Hz"),
        (5e-5, "1/K", "50 ppm/K"),
        (0.01, "1/K", "1 %/K"),
        (3e-7, "V/K", "0.3 uV/K"),
        (0.05, "%", "5 %"),
        (0.2, "1", "0.2"),
        (0.0, "V", "0 V"),
        (0.0, "1/K", "0 ppm/K"),
        (77.0, "K", "77 K"),
    ],
)
def test_quantities_are_written_as_people_write_them(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


@given(st.floats(1e-14, 1e10), st.sampled_from(["V", "A", "Hz", "s", "ohm", "A^2/Hz", "K", "1/K", "V/K", "%"]))
def test_what_is_written_is_read_again(value: float, unit: str) -> None:
    assert quantity("x", written(value, unit), "1" if unit == "%" else unit) == pytest.approx(value, rel=1e-5)
