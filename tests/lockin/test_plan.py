"""Dither plans and their collisions, against brute force over all products."""

import dataclasses
import itertools
import math
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.errors import InputError
from lockin.collisions import collisions
from lockin.plan import DitherPlan, plan_frequencies
from lockin.rulers import golomb_ruler

from ..refused import refused


def brute_products(tones):
    """All integer combinations of tones with at most three factors, up to the overall sign."""
    n = len(tones)
    seen = {}
    for order in (1, 2, 3):
        for members in itertools.combinations_with_replacement(range(n), order):
            for signs in itertools.product((1, -1), repeat=order):
                vector = [0] * n
                for member, sign in zip(members, signs, strict=True):
                    vector[member] += sign
                if any(vector) and next(c for c in vector if c) > 0:
                    seen[tuple(vector)] = abs(sum(c * f for c, f in zip(vector, tones, strict=True)))
    return seen


def brute_collisions(tones, bandwidth):
    found = set()
    for vector, value in brute_products(tones).items():
        for k, tone in enumerate(tones):
            itself = all(c == (1 if i == k else 0) for i, c in enumerate(vector))
            near = abs(value - tone) < bandwidth or value == tone
            if near and not itself:
                found.add((k, vector))
    return found


def vector_of(product, n):
    vector = [0] * n
    for sign, factor, member in re.findall(r"([+-]?)(?:(\d)\*)?f(\d+)", product):
        vector[int(member)] += (-1 if sign == "-" else 1) * int(factor or 1)
    if next(c for c in vector if c) < 0:
        vector = [-c for c in vector]
    return tuple(vector)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6, unique=True), st.sampled_from([0, 1, 2.5, 4]))
@settings(max_examples=60, deadline=None)
def test_collisions_are_those_of_brute_force(tones, bandwidth):
    found = collisions(tones, bandwidth)
    assert len(found) == len({(c.tone, vector_of(c.product, len(tones))) for c in found})
    assert {(c.tone, vector_of(c.product, len(tones))) for c in found} == brute_collisions(tones, bandwidth)
    values = brute_products(tones)
    for c in found:
        vector = vector_of(c.product, len(tones))
        assert c.distance_Hz == pytest.approx(abs(values[vector] - tones[c.tone]), abs=1e-9)
        assert c.order == sum(map(abs, vector))


@pytest.mark.parametrize(
    ("tones", "tone", "product"),
    [
        ((100.0, 200.0), 1, "2*f0"),
        ((100.0, 300.0), 1, "3*f0"),
        ((100.0, 130.0, 230.0), 2, "f0+f1"),
        ((100.0, 130.0, 160.0), 2, "2*f1-f0"),
        ((100.0, 130.0, 147.0, 177.0), 3, "f1+f2-f0"),
        ((100.0, 137.0, 337.0), 2, "2*f0+f1"),
        ((11.0, 100.0, 137.0, 248.0), 3, "f0+f1+f2"),
        ((100.0, 100.5), 0, "f1"),
    ],
)
def test_planted_collisions_are_named(tones, tone, product):
    named = [(c.tone, vector_of(c.product, len(tones))) for c in collisions(tones, 1.0)]
    assert (tone, vector_of(product, len(tones))) in named
    with pytest.raises(InputError) as caught:
        DitherPlan(tones, (0.01,) * len(tones)).check(1.0)
    assert "f" in str(caught.value)
    assert caught.value.field == "frequencies_Hz"
    assert f"on f{tone}" in str(caught.value)


def test_the_trivial_product_and_neighbours_at_the_bandwidth_do_not_collide():
    plan = plan_frequencies(6, None, 0.3)  # 0.3 is not exact in binary: distances carry rounding
    assert collisions(plan.frequencies_Hz, 0.3) == []
    plan.check(0.3)
    assert collisions(plan.frequencies_Hz, 0.31) != []


def test_fifty_tones_are_checked_within_a_second_of_processor_time():
    plan = plan_frequencies(50, None, 10.0)
    start = time.process_time()
    plan.check(10.0)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("n", range(1, 15))
def test_without_a_band_the_lowest_octave_is_taken(n):
    plan = plan_frequencies(n, None, 8.0)
    length = golomb_ruler(n)[-1]
    assert min(plan.frequencies_Hz) == 8.0 * (length + 1)
    assert max(plan.frequencies_Hz) == 8.0 * (2 * length + 1)


@given(
    n=st.integers(1, 40),
    spacing=st.floats(0.01, 1e6),
    low=st.floats(0.0, 3.0),
    width=st.floats(0.05, 4.0),
)
@settings(max_examples=60, deadline=None)
def test_a_plan_holds_what_it_promises_or_the_refusal_says_what_would_do(n, spacing, low, width):
    length = golomb_ruler(n)[-1]
    band = (low * (length + 1) * spacing, (low + width) * (length + 1) * spacing)
    try:
        plan = plan_frequencies(n, band, spacing)
    except InputError as error:
        wide = re.search(r"a band from (\S+) to (\S+) Hz", error.fix)
        narrow = re.search(r"a spacing of (\S+) Hz", error.fix)
        assert wide is not None
        assert float(wide[2]) > band[1]
        plan_frequencies(n, (float(wide[1]), float(wide[2])), spacing)
        if narrow is not None:
            assert float(narrow[1]) < spacing
            plan_frequencies(n, band, float(narrow[1]))
        return
    tones = np.asarray(plan.frequencies_Hz)
    multiples = np.round(tones / spacing).astype(int)
    assert np.allclose(tones, multiples * spacing, rtol=1e-13)
    assert tones.min() >= band[0] * (1 - 1e-9)
    assert tones.max() <= band[1] * (1 + 1e-9)
    assert multiples.max() < 2 * multiples.min()
    # The Sidon property and the octave, on exact integers.
    sums = [int(a + b) for a, b in itertools.combinations_with_replacement(multiples, 2)]
    assert len(sums) == len(set(sums))
    plan.check(spacing)


@pytest.mark.parametrize("n", [3, 6, 9])
def test_planned_tones_meet_no_product_by_brute_force(n):
    plan = plan_frequencies(n, (400.0, 3000.0), 5.0)
    assert brute_collisions([round(f) for f in plan.frequencies_Hz], 5) == set()


@given(n=st.integers(2, 12), spacing=st.sampled_from([4.0, 7.0, 10.0, 40.0]), mains=st.sampled_from([50.0, 60.0]))
@settings(max_examples=25, deadline=None)
def test_plans_keep_off_the_harmonics_to_avoid(n, spacing, mains):
    try:
        plan = plan_frequencies(n, None, spacing, avoid=(mains,))
    except InputError as error:
        # Multiples of 40 Hz lie 0 or 20 Hz off a multiple of 60, of which one in three is 0 apart.
        pytest.fail(f"no plan found: {error}")
    for tone in plan.frequencies_Hz:
        assert min(tone % mains, mains - tone % mains) >= spacing / 2 - 1e-9
    plan.check(spacing)
    assert max(plan.frequencies_Hz) >= max(plan_frequencies(n, None, spacing).frequencies_Hz)


def test_a_proposed_spacing_is_the_widest_one_and_not_a_digit_less():
    with refused("band", "a spacing of 0.57 Hz"):  # 3.99 Hz / 7, whose quotient by 0.001 is 569.9999999
        plan_frequencies(3, (0.0, 3.99), 5.0)


def test_an_impossible_avoidance_is_refused():
    with pytest.raises(InputError, match="avoid_within_Hz"):
        plan_frequencies(4, None, 10.0, avoid=(10.0,))


def test_the_common_period_is_exact():
    assert DitherPlan((8.0, 16.0, 24.0, 32.0, 40.0), (1.0,) * 5).common_period_s == 1 / 8
    assert DitherPlan((12.0, 18.0, 30.0), (1.0,) * 3).common_period_s == pytest.approx(1 / 6, rel=1e-15)
    assert DitherPlan((12.0, 18.0, 30.0), (1.0,) * 3).multiples == (2, 3, 5)
    assert DitherPlan((0.1 * 3, 0.1 * 7), (1.0,) * 2).common_period_s == pytest.approx(10.0, rel=1e-14)
    plan = plan_frequencies(30, None, 0.7)
    assert plan.common_period_s == pytest.approx(1 / 0.7, rel=1e-14)
    with pytest.raises(InputError, match="no common period"):
        _ = DitherPlan((1.0, math.sqrt(2.0)), (1.0, 1.0)).common_period_s


def test_waveform_spacing_and_scaling():
    plan = DitherPlan((10.0, 25.0), (0.02, 0.05), (0.0, math.pi / 2))
    wave = plan.waveform([0.0, 0.025, 0.04])
    assert wave.shape == (2, 3)
    assert wave[0] == pytest.approx([0.0, 0.02, 0.02 * math.sin(0.8 * math.pi)], abs=1e-15)
    assert wave[1] == pytest.approx([0.05, 0.05 * math.cos(1.25 * math.pi), 0.05], abs=1e-15)
    assert plan.spacing_Hz == 15.0
    assert plan.scaled(0.5) == DitherPlan((10.0, 25.0), (0.01, 0.025), (0.0, math.pi / 2))
    assert DitherPlan([10.0], np.array([1.0])).phases_rad == (0.0,)
    assert DitherPlan((10.0,), (1.0,)).spacing_Hz == math.inf
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.frequencies_Hz = (1.0, 2.0)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("frequencies_Hz", ((), ())),
        ("frequencies_Hz[0]", ((-1.0,), (1.0,))),
        ("frequencies_Hz[1]", ((1.0, math.inf), (1.0, 1.0))),
        ("frequencies_Hz", ((1.0, 1.0), (1.0, 1.0))),
        ("amplitudes_V[0]", ((1.0,), (0.0,))),
        ("amplitudes_V", ((1.0, 2.0), (1.0,))),
        ("phases_rad", ((1.0, 2.0), (1.0, 1.0), (0.0,))),
        ("phases_rad[0]", ((1.0,), (1.0,), (math.nan,))),
        ("frequencies_Hz", ("ab", (1.0,))),
        ("amplitudes_V", ((1.0,), 3.0)),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(field, arguments):
    with refused(field):
        DitherPlan(*arguments)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("n", (0, None, 1.0)),
        ("spacing_Hz", (3, None, 0.0)),
        ("band", (3, (5.0, 4.0), 1.0)),
        ("band", (3, 7.0, 1.0)),
        ("amplitude_V", (3, None, 1.0, (0.1, 0.2))),
        ("amplitude_V", (3, None, 1.0, -0.1)),
        ("avoid[0]", (3, None, 1.0, 0.1, (0.0,))),
        ("avoid_within_Hz", (3, None, 1.0, 0.1, (50.0,), -1.0)),
    ],
)
def test_planning_with_arguments_that_make_no_sense_is_refused(field, arguments):
    with refused(field):
        plan_frequencies(*arguments)
