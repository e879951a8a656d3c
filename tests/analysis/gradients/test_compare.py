"""Comparison of gradients: closed forms, and like with like only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from analysis.gradients.compare import compare
from inmateria.errors import InputError


def gradient(values: Any, names: Any = ("e1", "e2"), units: str = "S") -> xr.DataArray:
    return xr.DataArray(list(values), dims=("control",), coords={"control": list(names)}, attrs={"units": units})


def test_equal_gradients() -> None:
    result = compare(gradient([1.0, -2.0]), gradient([1.0, -2.0]))
    assert result.cosine == pytest.approx(1)
    assert result.relative_error == 0
    assert result.sign_agreement == 1


@pytest.mark.parametrize("degrees", [10.0, 60.0, 90.0, 120.0, 180.0])
def test_a_turn_is_its_cosine(degrees: float) -> None:
    turn = np.radians(degrees)
    result = compare(gradient(3 * np.array([np.cos(turn), np.sin(turn)])), gradient([2.0, 0.0]))
    assert result.cosine == pytest.approx(np.cos(turn), abs=1e-12)
    # |a - b|^2 = |a|^2 + |b|^2 - 2 |a| |b| cos
    assert result.relative_error == pytest.approx(np.sqrt(9 + 4 - 12 * np.cos(turn)) / 2)


def test_error_is_relative_to_the_ideal_and_cosine_to_neither() -> None:
    a, b = gradient([2.0, 2.0]), gradient([1.0, 1.0])
    assert compare(a, b).relative_error == pytest.approx(1.0)
    assert compare(b, a).relative_error == pytest.approx(0.5)
    assert compare(a, b).cosine == compare(b, a).cosine == pytest.approx(1.0)


def test_signs_are_counted() -> None:
    names = ("e1", "e2", "e3", "e4")
    result = compare(gradient([1, -1, 2, 3], names), gradient([2, 1, 1, -1e-9], names))
    assert result.sign_agreement == 0.5


def test_zero_has_no_direction() -> None:
    zero, some = gradient([0.0, 0.0]), gradient([1.0, 2.0])
    assert np.isnan(compare(zero, some).cosine)
    assert compare(zero, some).relative_error == 1.0
    assert np.isnan(compare(some, zero).relative_error)


def test_like_is_compared_with_like() -> None:
    with pytest.raises(InputError, match="the controls differ"):
        compare(gradient([1.0, 2.0]), gradient([1.0, 2.0], ("e1", "e3")))
    with pytest.raises(InputError, match="the controls differ"):
        compare(gradient([1.0, 2.0]), gradient([2.0, 1.0], ("e2", "e1")))
    with pytest.raises(InputError, match="the controls differ"):
        compare(gradient([1.0, 2.0]), gradient([1.0], ("e1",)))
    with pytest.raises(InputError, match=r"the other has V/V"):
        compare(gradient([1.0, 2.0]), gradient([1.0, 2.0], units="V/V"))
