"""The exact finite-amplitude gradient, against Bessel functions and polynomials."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import iv, jv

from lockin.averages import common_period_average, dither_average, dither_bias
from lockin.plan import DitherPlan, plan_frequencies

from ..refused import refused

V = np.array([0.2, -0.1, 0.4])
C = np.array([3.0, -2.0, 1.5])
PLAN = plan_frequencies(3, None, 10.0, amplitude_V=(0.5, 0.8, 0.3))


def exponential(v):
    return np.exp(v @ C)


def exact_exponential(plan=PLAN):
    """<exp(c alpha sin)> = I0 and <exp(c alpha sin) sin> = I1."""
    ca = C * np.asarray(plan.amplitudes_V)
    out = np.exp(C @ V) * 2 / np.asarray(plan.amplitudes_V) * iv(1, ca)
    for k in range(3):
        out[k] *= np.prod(np.delete(iv(0, ca), k))
    return out


def sine(v):
    return np.sin(v @ C)


def exact_sine():
    """The same with J0, J1, times the cosine of the centre."""
    ca = C * np.asarray(PLAN.amplitudes_V)
    out = np.cos(C @ V) * 2 / np.asarray(PLAN.amplitudes_V) * jv(1, ca)
    for k in range(3):
        out[k] *= np.prod(np.delete(jv(0, ca), k))
    return out


@pytest.mark.parametrize(("function", "exact"), [(exponential, exact_exponential), (sine, exact_sine)])
def test_sampled_average_has_the_bessel_closed_form(function, exact):
    """Within 9 standard errors of 15 degrees of freedom: 2e-7 false alarms per derivative, 1e-6 in all."""
    read = dither_average(function, V, PLAN, samples=2048, order=10, seed=4)
    assert np.all(np.abs(read.gradient - exact()) < 9 * read.stderr + 1e-12)
    assert np.all(read.stderr < 1e-2 * np.abs(exact()).max())
    assert read.evaluations == 3 * 10 * 2048
    finite_difference = function(V + 1e-6 * np.eye(3)[0])[None] - function(V - 1e-6 * np.eye(3)[0])[None]
    assert abs(finite_difference[0] / 2e-6 - exact()[0]) > 20 * read.stderr[0]  # the plain derivative is far off


def test_the_standard_error_shrinks_with_samples_and_is_honest():
    exact = exact_exponential()
    few = dither_average(exponential, V, PLAN, samples=256, seed=1)
    many = dither_average(exponential, V, PLAN, samples=8192, seed=1)
    assert np.all(many.stderr < few.stderr / 5.6)  # plain sampling would gain sqrt(32)
    ratios = [
        (dither_average(exponential, V, PLAN, samples=256, seed=s).gradient - exact) / few.stderr for s in range(30)
    ]
    rms = np.sqrt(np.mean(np.square(ratios)))
    assert 0.3 < rms < 3.0


def test_common_period_average_has_the_bessel_closed_form():
    """In a band above twice its width only products of the fifth order collide: 1e-8 at weak dither.

    The finite-amplitude terms themselves are 1e-4 there, so the test sees them.
    """
    weak = plan_frequencies(3, (200.0, 400.0), 10.0, amplitude_V=PLAN.amplitudes_V).scaled(0.03)
    read = common_period_average(exponential, V, weak)
    assert read == pytest.approx(exact_exponential(weak), rel=1e-7)
    assert np.all(np.abs(C * np.exp(C @ V) / read - 1.0) > 1e-4)
    sampled = dither_average(exponential, V, weak, samples=1024, seed=2)
    assert np.all(np.abs(read - sampled.gradient) < 9 * sampled.stderr + 1e-7 * np.abs(read))


def test_standard_errors_are_those_of_a_mean_of_sixteen_scrambles():
    """One point a scramble, the function's own calls kept: each scramble's estimate by hand, then s / 4, 15 in s^2."""
    plan, point, calls = DitherPlan((110.0, 130.0), (0.2, 0.3)), np.array([0.1, -0.2]), []

    def function(v):
        values = np.exp(v[:, 0]) * np.cos(3.0 * v[:, 1])
        calls.append((v.copy(), values))
        return values

    order = 8
    found = dither_average(function, point, plan, samples=16, order=order)
    nodes = np.cos((2.0 * np.arange(order) + 1.0) * np.pi / (2.0 * order))
    estimates = np.array([2.0 * nodes @ values / order for _, values in calls]).reshape(16, 2) / [0.2, 0.3]
    np.testing.assert_allclose(found.gradient, estimates.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.stderr, stats.sem(estimates), rtol=1e-12)

    calls.clear()
    slopes = np.array([0.5, -0.4])
    found = dither_bias(function, point, plan, slopes, samples=32)
    estimates = []
    for (there, plus), (_, minus) in zip(calls[::2], calls[1::2], strict=True):
        dither = there[0] - point
        odd = 0.5 * (plus[0] - minus[0]) - dither @ slopes
        estimates.append(2.0 * odd * dither / np.array([0.2, 0.3]) ** 2)
    np.testing.assert_allclose(found.gradient, np.mean(estimates, axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.stderr, stats.sem(estimates), rtol=1e-9)


def error_of(plan):
    return np.abs(common_period_average(exponential, V, plan) / exact_exponential(plan) - 1.0)


def test_with_equal_phases_only_odd_orders_collide_in_phase():
    """Products of an even number of sines are cosines: an error in alpha^4, otherwise in alpha^3."""
    turned = DitherPlan(PLAN.frequencies_Hz, PLAN.amplitudes_V, (0.3, 1.0, -0.8))
    assert error_of(PLAN.scaled(0.1)) / error_of(PLAN.scaled(0.05)) == pytest.approx([16.0] * 3, rel=0.1)
    hit = error_of(turned.scaled(0.1)) / error_of(turned.scaled(0.05))
    assert hit.min() == pytest.approx(8.0, rel=0.1)


def test_the_lowest_octave_leaves_fourth_order_collisions_and_a_higher_band_does_not():
    def even(v):  # its gradient at 0 is 0, also on average
        return (v @ np.array([3.0, -2.0, 1.5, 1.0])) ** 4

    phases = (0.3, 1.0, -0.8, 2.0)
    low = plan_frequencies(4, None, 10.0).frequencies_Hz
    high = plan_frequencies(4, (130.0, 400.0), 10.0).frequencies_Hz
    read = [common_period_average(even, np.zeros(4), DitherPlan(f, (0.1,) * 4, phases)) for f in (low, high)]
    assert np.abs(read[0]).max() > 1e-3
    assert np.abs(read[1]).max() < 1e-14


def test_common_period_average_of_one_tone_is_exact_at_any_amplitude():
    plan = DitherPlan((7.0,), (0.9,), (0.6,))
    exact = 2 / 0.9 * iv(1, 2.0 * 0.9) * np.exp(2.0 * 0.3)
    assert common_period_average(lambda v: np.exp(2.0 * v[:, 0]), [0.3], plan, 24) == pytest.approx([exact], rel=1e-12)
    single = dither_average(lambda v: np.exp(2.0 * v[:, 0]), [0.3], plan, order=12)
    assert single.gradient == pytest.approx([exact], rel=1e-12)
    assert single.stderr == pytest.approx([0.0])


def test_quadrature_in_the_own_direction_is_exact_up_to_its_degree():
    plan = DitherPlan((7.0,), (0.5,))
    for order in (2, 3, 5):
        degree = 2 * order - 3  # the highest odd degree that the rule promises; f u has degree 2 order - 2
        moment = np.mean(np.sin(2 * np.pi * np.arange(64) / 64) ** (degree + 1))
        exact = 2 / 0.5 * 0.5**degree * moment
        read = dither_average(lambda v, d=degree: v[:, 0] ** d, [0.0], plan, order=order)
        assert read.gradient == pytest.approx([exact], rel=1e-13)


def test_common_period_sees_a_collision_that_independent_phases_do_not():
    colliding = DitherPlan((10.0, 20.0), (0.1, 0.1), (0.3, 0.5))
    clean = DitherPlan((30.0, 40.0), (0.1, 0.1), (0.3, 0.5))

    def square(v):
        return v[:, 0] ** 2

    # 0.01 sin^2(a) holds -0.005 cos(2 a) at 20 Hz: 2/alpha times its mean with sin is 0.05 sin(2 0.3 - 0.5).
    read = common_period_average(square, [0.0, 0.0], colliding)
    assert read == pytest.approx([0.0, 0.05 * np.sin(0.1)], abs=1e-14)
    assert common_period_average(square, [0.0, 0.0], clean) == pytest.approx([0.0, 0.0], abs=1e-14)
    assert dither_average(square, [0.0, 0.0], colliding).gradient == pytest.approx([0.0, 0.0], abs=1e-14)


def test_terminals_are_mapped_and_the_others_kept():
    plan = DitherPlan((30.0, 40.0), (0.1, 0.2))

    def function(v):
        assert np.all(v[:, 1] == 5.0)
        return 2.0 * v[:, 0] + v[:, 1] - 3.0 * v[:, 2]

    for read in (
        dither_average(function, [0.0, 5.0, 1.0], plan, terminals=[2, 0], samples=64).gradient,
        common_period_average(function, [0.0, 5.0, 1.0], plan, terminals=[2, 0]),
    ):
        assert read == pytest.approx([-3.0, 2.0], abs=1e-12)


def test_seeds_repeat_and_differ():
    one, same, other = (dither_average(exponential, V, PLAN, samples=64, seed=s).gradient for s in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.any(one == other)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("terminals", lambda: dither_average(exponential, [0.0, 0.0], PLAN)),
        ("terminals", lambda: dither_average(exponential, V, PLAN, terminals=[0, 1, 1])),
        ("terminals", lambda: dither_average(exponential, V, PLAN, terminals=[0, 1, 3])),
        ("voltages", lambda: dither_average(exponential, [[0.0]], PLAN)),
        ("order", lambda: dither_average(exponential, V, PLAN, order=1)),
        ("samples", lambda: dither_average(exponential, V, PLAN, samples=0)),
        ("function", lambda: dither_average(lambda v: v, V, PLAN)),
        ("function", lambda: common_period_average(lambda v: np.full(len(v), np.nan), V, PLAN)),
        ("points_per_period", lambda: common_period_average(exponential, V, PLAN, 2)),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(field, call):
    with refused(field):
        call()
