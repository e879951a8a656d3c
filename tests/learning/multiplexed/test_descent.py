"""Multiplexed gradient descent: against a plain loop, exact gradients, the law of moments; stopped and resumed."""

import math
from dataclasses import replace

import numba
import numpy as np
import pytest

from inmateria.errors import ConvergenceError, InputError
from learning.multiplexed.descent import CompiledCost, MgdSettings, MultiplexedDescent
from learning.multiplexed.gradient_angles import gradient_angles
from learning.multiplexed.reference import plain_descent
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.samples.samples import letters, parity
from lockin.perturbation import CODES

from ...refused import refused

XOR = parity(2)
NETWORK = SigmoidNetwork(XOR.sizes)
START = NETWORK.start(np.random.default_rng(0))
DETERMINISTIC = ("sine", "walsh", "sequential")


def by_network(settings, start=START, network=NETWORK, samples=XOR, **options):
    return MultiplexedDescent(network.data(samples.inputs, samples.targets, **options), start, settings)


def by_function(settings, start=START, network=NETWORK):
    def cost(theta, presentation):
        sample = [presentation % len(XOR.inputs)]
        return network.cost(theta, XOR.inputs[sample], XOR.targets[sample])

    return MultiplexedDescent(cost, start, settings)


@pytest.mark.parametrize("mode", ["discrete", "analog"])
@pytest.mark.parametrize("code", CODES)
def test_the_compiled_loop_is_the_plain_one(code, mode):
    """Sums in another order differ in the last digits, which the dynamics makes larger over 300 steps."""
    network = NETWORK.with_defects(0.1, np.random.default_rng(1))
    settings = MgdSettings(
        eta=1.0, code=code, norm=0.1, tau_p=2, tau_theta=10, tau_x=20, mode=mode, tau_hp=12.5, blank=3, seed=4
    )
    way = plain_descent(network, XOR.inputs, XOR.targets, START, settings, 300)
    descent = by_network(settings, network=network)
    for steps in (1, 1, 35, 163, 100):  # in pieces that fit no time constant
        descent.run(steps)
        assert descent.theta == pytest.approx(way[descent.steps - 1], rel=1e-9, abs=1e-9)
    assert np.linalg.norm(way[-1] - START) > 1e-2  # it moved


@pytest.mark.parametrize(
    "settings",
    [
        MgdSettings(
            eta=1.0, norm=0.1, tau_theta=3, cost_noise=0.01, update_noise=0.01, common_noise=0.02, momentum=0.5
        ),
        MgdSettings(eta=1.0, norm=0.1, tau_theta=5, tau_x=4, mode="analog", cost_noise=0.01, update_noise=0.01),
    ],
)
def test_one_loop_for_python_and_compiled_costs(settings):
    """Any function as the cost, and noise drawn by count: both take the same way."""
    fast, slow = by_network(settings), by_function(settings)
    fast.run(200)
    slow.run(200)
    assert slow.theta == pytest.approx(fast.theta, rel=1e-9, abs=1e-9)
    assert (slow.steps, slow.inferences, slow.updates) == (fast.steps, fast.inferences, fast.updates)


def test_a_users_own_compiled_cost():
    @numba.njit
    def bowl(theta, data, presentation):
        return float(np.sum(data * theta**2))

    stiffness = np.array([1.0, 3.0, 0.5])
    descent = MultiplexedDescent(CompiledCost(bowl, stiffness), [1.0, -2.0, 0.5], MgdSettings(eta=0.05, norm=1e-3))
    descent.run(2000)
    assert np.max(np.abs(descent.theta)) < 1e-2


@pytest.mark.parametrize("code", DETERMINISTIC)
@pytest.mark.parametrize(("samples", "parameters"), [(XOR, 9), (letters(40, 4), 220)])
def test_after_one_period_g_points_along_the_gradient(code, samples, parameters):
    """Below 0.1 degree on a fixed sample with m = 1e-4; what is left is curvature, in proportion to m."""
    network = SigmoidNetwork(samples.sizes)
    assert network.parameters == parameters
    period = MgdSettings(eta=1.0, code=code).perturbation(parameters).period
    curves = gradient_angles(samples, [period], codes=[code], runs=5)
    assert float(curves.angle_deg.max()) < 0.1
    curved = gradient_angles(samples, [period], codes=[code], runs=5, norm=0.1)
    if code == "walsh":  # products of two rows are a third one: the only code that curvature turns to first order
        assert float(curved.angle_deg.max()) > 30 * float(curves.angle_deg.max())


@pytest.mark.parametrize("code", DETERMINISTIC)
@pytest.mark.parametrize("mode", ["discrete", "analog"])
def test_every_code_descends_at_the_same_rate(code, mode):
    """One eta for all codes and both modes: -eta g/P a step on a plane, where g is the same everywhere.

    The analog way is slow here: what the cost falls within tau_hp is seen by the high-pass, and must be small against
    its swing m |g|.
    """
    slopes = np.array([0.3, -1.0, 2.0, 0.5])
    settings = MgdSettings(eta=1e-8, code=code, norm=0.01, tau_theta=32, tau_x=10**7, mode=mode, tau_hp=3200.0, tau_p=2)
    descent = MultiplexedDescent(lambda theta, _: float(slopes @ theta), np.zeros(4), settings)
    if mode == "analog":  # the low-pass fills, and what the high-pass held at the beginning is gone
        descent.run(32 * 1000)
    before = descent.theta
    descent.run(320)
    rate = (before - descent.theta) / 320
    tolerance = 0.03 if mode == "analog" else 1e-6  # a high-pass of 100 periods turns slow patterns by 1 %
    assert rate == pytest.approx(settings.eta * slopes / 4, rel=tolerance, abs=tolerance * settings.eta * 0.5 / 4)


@pytest.mark.parametrize(
    ("samples", "runs", "looks"), [(XOR, 20_000, [10, 30, 100]), (letters(40, 4), 2_000, [220, 1000])]
)
def test_random_signs_obey_the_law_of_moments(samples, runs, looks):
    """E[g.G] / sqrt(E|G|^2 |g|^2) = 1 / sqrt(1 + (P-1)/N) within 1 %.

    The ratio's relative standard error is below 0.22 % at all these N (from 20 repetitions): a false alarm in 1e5.
    """
    curves = gradient_angles(samples, looks, codes=["random"], runs=runs, seed=7)
    law = 1 / np.sqrt(1 + (curves.attrs["parameters"] - 1) / np.array(looks))
    assert curves.moment_ratio.sel(code="random").values == pytest.approx(law, rel=0.01)


def test_noise_of_the_cost_averages_out_as_it_should():
    """Variance of G_k after N steps on a plane: N sigma^2 peak^2 / m^4, from cost noise alone (Walsh, no slopes).

    2,000 readings of 9 parameters: the relative error of a variance is sqrt(2 / 18000) = 1.05 %; 5 sigma are allowed.
    The baseline's own noise is common to all steps and orthogonal to the code.
    """
    sigma, norm, steps = 0.2, 0.5, 16
    settings = MgdSettings(eta=1.0, code="walsh", norm=norm, tau_theta=steps, tau_x=10**9, cost_noise=sigma, seed=3)
    descent = MultiplexedDescent(lambda theta, _: 0.0, np.zeros(9), settings)
    readings = np.empty((2000, 9))
    for k in range(len(readings)):
        before = descent.theta
        descent.run(steps)
        readings[k] = before - descent.theta
    peak = norm / 3
    assert np.mean(readings**2) == pytest.approx(steps * sigma**2 * peak**2 / norm**4, rel=0.053)


def test_noise_of_updates():
    """Own noise is independent between parameters, common noise is one number; 4,000 updates, 5 sigma."""
    settings = MgdSettings(eta=1.0, norm=0.1, update_noise=0.3, common_noise=0.4, seed=1)
    descent = MultiplexedDescent(lambda theta, _: 0.0, np.zeros(3), settings)
    steps = np.empty((4000, 3))
    for k in range(len(steps)):
        before = descent.theta
        descent.run(1)
        steps[k] = descent.theta - before
    covariance = np.cov(steps.T)
    assert np.diag(covariance) == pytest.approx(np.full(3, 0.25), rel=5 * math.sqrt(2 / 4000))
    assert covariance[np.triu_indices(3, 1)] == pytest.approx(np.full(3, 0.16), abs=5 * 0.3 / math.sqrt(4000))


def test_momentum_is_a_heavy_ball():
    """On a plane the velocity grows to 1 / (1 - mu) of the step."""
    settings = MgdSettings(eta=0.1, code="sequential", norm=1e-3, tau_theta=4, tau_x=10**9, momentum=0.9)
    descent = MultiplexedDescent(lambda theta, _: float(theta @ [1.0, 2.0]), np.zeros(2), settings)
    descent.run(4 * 200)
    before = descent.theta
    descent.run(4)
    assert before - descent.theta == pytest.approx(0.1 * 4 / 2 * np.array([1.0, 2.0]) / (1 - 0.9), rel=1e-6)


def test_inferences_are_counted():
    """Discrete: one a step, and C0 whenever the sample or the parameters changed; analog: one a step."""
    each = by_network(MgdSettings(eta=0.1, norm=0.1))
    each.run(100)
    assert (each.inferences, each.updates) == (200, 100)
    seldom = by_network(MgdSettings(eta=0.1, norm=0.1, tau_theta=20, tau_x=50))
    seldom.run(100)
    assert (seldom.inferences, seldom.updates) == (100 + 6, 5)  # C0 at 0, 20, 40, 50, 60, 80
    analog = by_network(MgdSettings(eta=0.1, norm=0.1, mode="analog", tau_x=10))
    analog.run(100)
    assert (analog.inferences, analog.updates) == (100, 100)


@pytest.mark.parametrize("mode", ["discrete", "analog"])
@pytest.mark.parametrize("cost", [by_network, by_function])
def test_resumed_on_the_identical_path(tmp_path, mode, cost):
    settings = MgdSettings(
        eta=1.0, norm=0.1, tau_p=3, tau_theta=6, tau_x=12, mode=mode, momentum=0.3, cost_noise=0.01, update_noise=0.01
    )
    whole = cost(settings)
    whole.run(101)
    first = cost(settings)
    first.run(44)
    first.save(tmp_path / "point.npz", seen=np.arange(3.0))
    second = cost(settings)
    beside = second.load(tmp_path / "point.npz")
    assert np.array_equal(beside["seen"], np.arange(3.0))
    second.run(57)
    assert np.array_equal(second.theta, whole.theta)
    assert np.array_equal(second.gradient, whole.gradient)
    assert [path.name for path in tmp_path.iterdir()] == ["point.npz"]


def test_checkpoints_that_are_none(tmp_path):
    descent = by_network(MgdSettings(eta=0.1))
    descent.run(5)
    place = tmp_path / "point.npz"
    descent.save(place)
    whole = place.read_bytes()
    for other in (
        by_network(MgdSettings(eta=0.2)),
        MultiplexedDescent(lambda theta, _: 0.0, np.zeros(3), MgdSettings(eta=0.1)),
    ):
        with pytest.raises(InputError, match="other settings"):
            other.load(place)
    for broken in (b"", b"no archive", whole[: len(whole) // 2]):
        place.write_bytes(broken)
        with pytest.raises(InputError, match="is no checkpoint"):
            descent.load(place)
    with pytest.raises(InputError, match="is no checkpoint"):
        descent.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("mode", ["discrete", "analog"])
def test_a_cost_that_is_no_number(mode):
    calls = 0

    def cost(theta, _):
        nonlocal calls
        calls += 1
        return math.nan if calls > 50 else 0.1

    descent = MultiplexedDescent(cost, np.zeros(2), MgdSettings(eta=0.1, tau_theta=10**6, tau_x=10**6, mode=mode))
    with pytest.raises(ConvergenceError, match="no finite number at step") as caught:
        descent.run(100)
    assert descent.steps == (49 if mode == "discrete" else 50)
    assert str(descent.steps) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("eta", {"eta": 0.0}),
        ("eta", {"eta": math.nan}),
        ("norm", {"norm": 0.0}),
        ("code", {"code": "golay"}),
        ("mode", {"mode": "digital"}),
        ("tau_p", {"tau_p": 0}),
        ("tau_theta", {"tau_theta": 1.5}),
        ("tau_theta", {"tau_p": 3, "tau_theta": 7}),
        ("tau_x", {"tau_p": 4, "tau_theta": 8, "tau_x": 6}),
        ("tau_hp", {"tau_hp": -1.0}),
        ("blank", {"blank": 0}),
        ("blank", {"mode": "analog", "tau_x": 4, "blank": 4}),
        ("momentum", {"momentum": 1.0}),
        ("cost_noise", {"cost_noise": -0.1}),
    ],
)
def test_bad_settings(field, values):
    with refused(field):
        MgdSettings(**{"eta": 0.1, **values})


def test_bad_questions():
    with pytest.raises(InputError, match="parameters"):
        MultiplexedDescent(lambda theta, _: 0.0, [], MgdSettings(eta=0.1))
    with refused("steps"):
        by_network(MgdSettings(eta=0.1)).run(-1)
    with pytest.raises(InputError, match="increase"):
        gradient_angles(XOR, [10, 5])
    assert replace(MgdSettings(eta=0.1), code="walsh").high_pass(9) == 32.0
