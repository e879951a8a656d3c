"""Golomb rulers: the Sidon property by brute force, and lengths against the published optima."""

import itertools

import pytest

from inmateria.errors import InputError
from lockin.rulers import golomb_ruler

# Lengths of optimal rulers with n = 1, 2, ... marks (OEIS A003022).
OPTIMA = [0, 1, 3, 6, 11, 17, 25, 34, 44, 55, 72, 85, 106, 127, 151, 177]


def differences_are_distinct(marks):
    seen = set()
    for i, a in enumerate(marks):
        for b in marks[:i]:
            if a - b in seen:
                return False
            seen.add(a - b)
    return True


@pytest.mark.parametrize("n", range(1, 31))
def test_ruler_has_the_sidon_property_by_brute_force(n):
    marks = golomb_ruler(n)
    assert len(marks) == n
    assert marks[0] == 0
    assert all(b > a for a, b in itertools.pairwise(marks))
    assert differences_are_distinct(marks)


def test_lengths_are_the_published_optima():
    assert [golomb_ruler(n)[-1] for n in range(1, 17)] == OPTIMA


@pytest.mark.parametrize(
    ("n", "optimum"), [(17, 199), (18, 216), (19, 246), (20, 283), (23, 372), (24, 425), (26, 492)]
)
def test_constructed_rulers_come_within_ten_per_cent_of_the_optima(n, optimum):
    assert optimum <= golomb_ruler(n)[-1] <= 1.1 * optimum


@pytest.mark.parametrize("n", [50, 97, 100, 150])
def test_large_rulers_are_shorter_than_n_squared(n):
    marks = golomb_ruler(n)
    assert marks[-1] < n * n
    assert differences_are_distinct(marks)


@pytest.mark.parametrize("n", [0, -3, 2.0, True])
def test_a_number_of_marks_that_makes_no_sense_is_refused(n):
    with pytest.raises(InputError, match="n ="):
        golomb_ruler(n)
