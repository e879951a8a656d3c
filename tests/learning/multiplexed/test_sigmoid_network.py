"""Networks of sigmoid neurons: outputs by hand, gradients by differences, samples."""

import numpy as np
import pytest

from learning.multiplexed.sigmoid_kernel import network_cost
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.samples.samples import SampleSet, digits, letters, parity

from ...refused import refused


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_outputs_by_hand():
    net = SigmoidNetwork((2, 2, 1))
    theta = np.arange(9) / 5 - 0.8
    x = np.array([[0.3, -1.2]])
    hidden = sigmoid(np.array([[theta[0], theta[1]], [theta[2], theta[3]]]) @ x[0] + theta[4:6])
    assert net.outputs(theta, x) == pytest.approx(sigmoid(np.array([[theta[6:8] @ hidden + theta[8]]])), rel=1e-14)


@pytest.mark.parametrize("sizes", [(2, 2, 1), (3, 5, 4, 2), (49, 4, 4), (1, 1)])
def test_compiled_outputs_and_cost_are_those_of_the_layers(sizes):
    rng = np.random.default_rng(0)
    net = SigmoidNetwork(sizes).with_defects(0.2, rng)
    theta = net.start(rng, 2.0)
    x, y = rng.standard_normal((7, sizes[0])), rng.random((7, sizes[-1]))
    assert net.outputs(theta, x) == pytest.approx(net.layers(theta, x)[-1], rel=1e-12)
    per_sample = np.mean((net.layers(theta, x)[-1] - y) ** 2, axis=1)
    data = net.data(x, y)
    assert [network_cost(theta, data, k) for k in range(9)] == pytest.approx([*per_sample, *per_sample[:2]], rel=1e-12)
    assert network_cost(theta, net.data(x, y, batch=7), 3) == pytest.approx(net.cost(theta, x, y), rel=1e-12)
    two = net.data(x, y, batch=2)
    assert network_cost(theta, two, 3) == pytest.approx(np.mean(per_sample[[6, 0]]), rel=1e-12)


@pytest.mark.parametrize("sizes", [(2, 2, 1), (3, 5, 4, 2)])
def test_gradient_is_that_of_differences(sizes):
    rng = np.random.default_rng(1)
    net = SigmoidNetwork(sizes).with_defects(0.2, rng)
    theta = net.start(rng)
    x, y = rng.standard_normal((6, sizes[0])), rng.random((6, sizes[-1]))
    step = 1e-6 * np.eye(net.parameters)
    differences = [(net.cost(theta + d, x, y) - net.cost(theta - d, x, y)) / 2e-6 for d in step]
    assert net.gradient(theta, x, y) == pytest.approx(differences, abs=1e-9)


def test_samples_drawn_at_random_are_all_seen():
    """100 samples, 3,000 draws: one stays unseen with probability 8e-12; counts by chi-square, p below 1e-5."""
    from scipy.stats import chisquare

    net = SigmoidNetwork((1, 1))
    x = np.arange(100.0)[:, None]
    theta = np.array([0.0, -800.0])  # the output is 0: the cost tells the target
    data = net.data(x, x / 10, order_seed=3)
    seen = [round(10 * np.sqrt(network_cost(theta, data, k))) for k in range(3000)]
    assert set(seen) == set(range(100))
    assert chisquare(np.bincount(seen)).pvalue > 1e-5


def test_defects():
    net = SigmoidNetwork((2, 3, 1))
    assert np.array_equal(net.with_defects(0.0, np.random.default_rng(0)).defects, net.defects)
    spread = np.concatenate([net.with_defects(0.3, np.random.default_rng(k)).defects for k in range(500)], axis=1)
    assert spread.std(axis=1) == pytest.approx(np.full(4, 0.3), rel=5 / np.sqrt(2 * 2000))  # 5 sigma
    assert spread.mean(axis=1) == pytest.approx([1, 1, 0, 0], abs=5 * 0.3 / np.sqrt(2000))


def test_parity():
    three = parity(3)
    assert three.sizes == (3, 3, 1)
    assert len(three.inputs) == 8
    for x, y in zip(three.inputs, three.targets, strict=True):
        assert y[0] == (int(x[0]) ^ int(x[1]) ^ int(x[2]))


def test_letters():
    found = letters(400, 100, seed=2)
    assert found.sizes == (49, 4, 4)
    assert SigmoidNetwork(found.sizes).parameters == 220
    assert found.inputs.shape == (400, 49)
    assert found.test_inputs.shape == (100, 49)
    assert set(np.unique(found.inputs)) == {0.0, 1.0}
    assert np.array_equal(found.targets.sum(axis=0), [100] * 4)
    again, other = letters(400, 100, seed=2), letters(400, 100, seed=3)
    assert np.array_equal(again.inputs, found.inputs)
    assert not np.array_equal(other.inputs, found.inputs)
    clean = letters(400, 4, flips=0.0)
    images = clean.inputs.reshape(-1, 7, 7)
    kinds = np.argmax(clean.targets, axis=1)
    thin = images[kinds == 1].sum(axis=(1, 2))
    assert thin.min() == 5  # a bare I is one column of 5 to 7 pixels
    assert np.all(images[kinds == 3].sum(axis=2).max(axis=1) >= 4)  # a T has a bar
    rows_of_n = images[kinds == 0].sum(axis=2)
    assert np.all((rows_of_n > 0).sum(axis=1) >= 5)


def test_digits_are_split_fairly():
    found = digits()
    assert found.sizes == (64, 16, 10)
    assert len(found.inputs) + len(found.test_inputs) == 1797
    assert found.inputs.max() == 1.0
    shares = found.targets.mean(axis=0) / found.test_targets.mean(axis=0)
    assert shares == pytest.approx(np.ones(10), rel=0.03)


@pytest.mark.parametrize(
    ("field", "ask"),
    [
        ("sizes", lambda: SigmoidNetwork((2,))),
        ("sizes", lambda: SigmoidNetwork((2, 0, 1))),
        ("defects", lambda: SigmoidNetwork((2, 1), np.ones((4, 2)))),
        ("defects", lambda: SigmoidNetwork((2, 1)).with_defects(-1.0, np.random.default_rng(0))),
        ("inputs", lambda: SigmoidNetwork((2, 1)).data(np.ones((3, 3)), np.ones((3, 1)))),
        ("targets", lambda: SigmoidNetwork((2, 1)).data(np.ones((3, 2)), np.ones((2, 1)))),
        ("targets", lambda: SigmoidNetwork((2, 1)).data(np.ones((3, 2)), np.full((3, 1), np.nan))),
        ("batch", lambda: SigmoidNetwork((2, 1)).data(np.ones((3, 2)), np.ones((3, 1)), batch=4)),
        ("bits", lambda: parity(1)),
        ("train", lambda: letters(3)),
        ("flips", lambda: letters(flips=0.6)),
        ("test_share", lambda: digits(test_share=1.0)),
        ("inputs", lambda: SampleSet("none", np.empty((0, 2)), np.empty((0, 1)))),
        ("inputs", lambda: SampleSet("odd", np.ones((3, 2)), np.ones((2, 1)))),
        ("test_inputs", lambda: SampleSet("odd", np.ones((3, 2)), np.ones((3, 1)), np.ones((1, 3)), np.ones((1, 1)))),
    ],
)
def test_bad_input(field, ask):
    with refused(field):
        ask()
