"""The checks of arguments that all rooms share: elsewhere one wrong value a field shows that it is checked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from inmateria import checks

from ..refused import refused

NO_NUMBERS = (None, "1", b"1", True, np.True_, 1j, [1.0, 2.0], {}, 10**400)
NO_COUNTS = (None, "3", 1.5, 3.0, np.nan, np.inf, True, [1])
positive, not_negative, finite = (
    partial(check, "field", unit="V") for check in (checks.positive, checks.not_negative, checks.finite)
)
array = partial(checks.array, "field")
count = partial(checks.count, "field")


@pytest.mark.parametrize(
    ("check", "problem", "values"),
    [
        (positive, "is not a number", NO_NUMBERS),
        (positive, "positive", (0.0, -0.0, -1e-9, np.nan, np.inf, -np.inf)),
        (not_negative, "is not a number", NO_NUMBERS),
        (not_negative, "negative|finite", (-1e-9, np.nan, np.inf, -np.inf)),
        (finite, "is not a number", NO_NUMBERS),
        (finite, "finite", (np.nan, np.inf, -np.inf)),
        (count, "of at least 1", (*NO_COUNTS, 0, -1)),
        (partial(count, least=0), "of at least 0", (*NO_COUNTS, -1)),
        (partial(count, least=2, most=5), "from 2 to 5", (*NO_COUNTS, 1, 6)),
        (partial(array, shape=(2,)), "no real numbers", (None, "ab", [1j, 0], [[0, 0], [0]], [None, None])),
        (partial(array, shape=(2,)), "not the shape", (0.0, [0.0], [0.0, 0.0, 0.0], [[0.0, 0.0]], [])),
        (partial(array, shape=(..., 2)), "not the shape", (0.0, [0.0], np.zeros((2, 3)))),
        (partial(array, shape=(None, 2)), "not the shape", ([0.0, 0.0], np.zeros((3, 3)))),
        (partial(array, shape=(2,)), "not finite", ([0.0, np.nan], [np.inf, 0.0])),
        (partial(array, shape=(1,), dtype=np.float32), "not finite", ([1e300],)),
    ],
)
def test_what_is_none_is_refused(check: Callable[[Any], Any], problem: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with refused("field", problem):
            check(value)


def test_what_is_one_is_returned() -> None:
    for value in (1, 0.5, np.float32(0.5), np.int64(3), np.array(2.0)):
        for check in (positive, not_negative, finite):
            assert check(value) == value
            assert type(check(value)) is float
    assert not_negative(0.0) == 0.0
    assert finite(-1.0) == -1.0
    assert count(np.int64(5), least=2, most=5) == 5
    assert count(2, least=2) == 2
    given = np.arange(6)[::-1].reshape(3, 2)
    found = array(given, shape=(..., 2))
    np.testing.assert_array_equal(found, given)
    assert found.dtype == float
    assert found.flags.c_contiguous
    assert not np.shares_memory(found, given)
    assert array(np.zeros((0, 2)), shape=(None, 2)).shape == (0, 2)
