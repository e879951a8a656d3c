"""Physics-aware training's layer: forwards the system, backwards the model, chained by what was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import InputError
from learning.physics_aware.device_system import DeviceSystem
from learning.physics_aware.layout import node_layout, waveform_layout
from learning.physics_aware.systems import IdentitySystem, PhysicalSystem

torch = pytest.importorskip("torch")

from learning.physics_aware.layer import physics_aware, system_function  # noqa: E402
from learning.physics_aware.network import PhysicalNetwork  # noqa: E402


def small_chip(seed: int = 0) -> ChipSurrogate:
    """A chip of three inputs, with random weights."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((12, 3)), rng.standard_normal((1, 12)) / 3
    biases = rng.standard_normal(12), rng.standard_normal(1)
    return ChipSurrogate(weights, biases, -np.ones(3), np.ones(3), 1e-9)


def nodes(count: int = 4, noise_V: float = 0.0) -> DeviceSystem:
    return DeviceSystem(small_chip(), count, 0, (1, 2, 3), 1e9, noise_V)


def chip_in_torch(chip: ChipSurrogate, count: int, gain: float = 1.0):
    """The same nodes, written in PyTorch."""
    w, b = ([torch.tensor(a.astype(float)) for a in part] for part in (chip.weights, chip.biases))

    def model(values):
        rows = values.reshape(len(values), count, -1)
        hidden = torch.relu(rows @ w[0].T.to(rows) + b[0].to(rows))
        return gain * (hidden @ w[1].T.to(rows) + b[1].to(rows)).reshape(len(values), -1)

    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_several_inputs_outputs_and_plain_arguments(dtype: torch.dtype) -> None:
    told = []

    def forward(x, theta, power, word):
        told.append(word)
        return (x * theta).numpy() ** power, (x + theta).sum(1)

    def model(x, theta, power, word):
        return (x * theta) ** power, (x + 2 * theta).sum(1)  # another slope by theta

    rng = np.random.default_rng(0)
    x = torch.tensor(rng.uniform(0.5, 1.5, (5, 3)), dtype=dtype, requires_grad=True)
    theta = torch.tensor(rng.uniform(0.5, 1.5, 3), dtype=dtype, requires_grad=True)
    first, second = physics_aware(forward, model)(x, theta, 3, "word")
    assert told == ["word"]
    assert first.dtype == second.dtype == dtype
    torch.testing.assert_close(second, (x + theta).sum(1))
    (first.sum() + 3 * second.sum()).backward()
    torch.testing.assert_close(x.grad, 3 * theta * (x * theta).detach() ** 2 + 3)
    torch.testing.assert_close(theta.grad, (3 * x * (x * theta) ** 2).sum(0).detach() + 3 * 2 * 5)


def test_only_wanted_gradients() -> None:
    wanted = []

    def model(x, theta):
        wanted.append((x.requires_grad, theta.requires_grad))
        return x * theta

    x, theta = torch.ones(3), torch.ones(3, requires_grad=True)
    physics_aware(lambda x, theta: x * theta, model)(x, theta).sum().backward()
    assert wanted == [(False, True)]
    assert x.grad is None


def test_second_derivatives_are_refused() -> None:
    x = torch.ones(3, requires_grad=True)
    (slope,) = torch.autograd.grad(physics_aware(lambda x: x**2, lambda x: x**2)(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="grad"):
        slope.sum().backward()


@pytest.mark.parametrize(
    ("model", "message"),
    [(lambda x: (x**2)[:, :2], "another shape"), (lambda x: (x, x), "2: outputs"), (lambda x: (x**2).sum(), "shape")],
)
def test_a_model_of_the_wrong_shape(model, message: str) -> None:
    x = torch.ones(4, 3, requires_grad=True)
    y = physics_aware(lambda x: x.numpy() ** 2, model)(x)
    with pytest.raises(InputError, match=message):
        y.sum().backward()


def test_nan_is_refused_unless_allowed() -> None:
    def broken(x):
        return np.where(np.arange(3) == 1, np.nan, x.numpy())

    x = torch.ones(4, 3, requires_grad=True)
    with pytest.raises(InputError, match="forward"):
        physics_aware(broken, lambda x: x)(x)
    y = physics_aware(broken, lambda x: x, allow_nan=True)(x)
    y[:, 0].sum().backward()
    assert torch.equal(x.grad, torch.tensor([[1.0, 0.0, 0.0]]).expand(4, 3))


def test_model_or_derivative_not_both() -> None:
    for both in ({}, {"model": abs, "vector_jacobian": abs}):
        with pytest.raises(InputError, match="model"):
            physics_aware(abs, **both)


def test_device_nodes_have_exact_derivatives() -> None:
    system = nodes().perturbed(0.05, seed=1)
    assert isinstance(system, PhysicalSystem)
    rng = np.random.default_rng(2)
    low, high = system.input_limits_V
    values = rng.uniform(low + 1e-5, high - 1e-5, (20, system.inputs))
    cotangents, way = rng.standard_normal((20, system.outputs)), 1e-7 * rng.standard_normal(values.shape)
    rise = ((system.respond(values + way) - system.respond(values - way)) / 2 * cotangents).sum(axis=1)
    exact = (system.vector_jacobian(values, cotangents) * way).sum(axis=1)
    assert np.abs(rise - exact).max() < 1e-5 * np.abs(exact).max()
    assert not np.allclose(system.respond(values), nodes().respond(values), rtol=0.01)


def test_device_nodes_refuse_what_is_outside() -> None:
    system = nodes()
    with pytest.raises(InputError, match=r"values\[1, 2\]"):
        system.respond(np.array([[0.0] * 12, [0, 0, 0.9, *[0] * 9]]))
    with pytest.raises(InputError, match="samples of 12"):
        system.respond(np.zeros((2, 3)))
    with pytest.raises(InputError, match="electrodes"):
        DeviceSystem(small_chip(), 2, 0, (0, 1))


def network(system, model, mode: str = "pat", **kind) -> PhysicalNetwork:
    layout = node_layout(5, system.inputs, system.outputs, 3, 2)
    return PhysicalNetwork(system, model, layout=layout, mode=mode, output_scale_V=(0.3, 0.8), **kind)


def test_gradients_are_true_where_the_model_is_the_device() -> None:
    """By central differences of the noiseless system through three passes, every parameter."""
    system = nodes()
    found = network(system, chip_in_torch(small_chip(), 4))
    features = torch.tensor(np.random.default_rng(3).standard_normal((6, 5)))
    weights = torch.tensor(np.random.default_rng(4).standard_normal((6, 2)))

    def cost() -> torch.Tensor:
        return (weights * found.run(features).scores).sum()

    cost().backward()
    step = 1e-6
    for parameter in found.parameters():
        flat, slopes = parameter.data.view(-1), parameter.grad.view(-1)
        differences = torch.empty_like(slopes)
        for k in range(len(flat)):
            begin = float(flat[k])
            costs = []
            for sign in (1, -1):
                flat[k] = begin + sign * step
                costs.append(float(cost().detach()))
            flat[k] = begin
            differences[k] = (costs[0] - costs[1]) / (2 * step)
        torch.testing.assert_close(differences, slopes, rtol=1e-4, atol=1e-4 * float(slopes.abs().max()))


def test_layers_are_chained_by_what_was_measured() -> None:
    """With a wrong model the second pass gets what the first one measured; in silico, what was modelled."""
    system, wrong = nodes(), chip_in_torch(small_chip(), 4, gain=0.5)
    features = torch.tensor(np.random.default_rng(5).standard_normal((6, 5)))
    run = network(system, wrong).run(features)
    by_hand, found = features, network(system, wrong)
    for which in range(3):
        unit = found.scale[which] * by_hand[:, found.layout.wirings[which]] + found.offset[which]
        volts = (found.middle + found.half * unit.clamp(-1, 1)).detach()
        np.testing.assert_allclose(run.values_V[which], volts, atol=1e-12)
        response = torch.tensor(system.respond(volts.numpy()))
        skipped = 0 if which == 0 else found.skip[which] * by_hand
        by_hand = (response - 0.3) / 0.8 + skipped
    silico = network(system, wrong, "in-silico").run(features)
    np.testing.assert_allclose(silico.values_V[0], run.values_V[0])
    assert np.abs(silico.values_V[1] - run.values_V[1]).max() > 0.05


def test_noise_comes_from_the_generator_alone() -> None:
    system = nodes(noise_V=0.1)
    found = network(system, None, "ideal")
    features = torch.zeros(3, 5, dtype=torch.float64)
    runs = [found.run(features, np.random.default_rng(seed)).scores for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.allclose(runs[0], runs[2], atol=1e-3)


def test_identity_mixes_nothing() -> None:
    """Each score depends on the features of its own window alone: the control experiment is a fair one."""
    layout = waveform_layout(5, 10, 3, 5, seed=1)
    found = PhysicalNetwork(IdentitySystem(10), None, layout=layout, mode="ideal", output_scale_V=(0.0, 1.0))
    features = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    for score, window in zip(found.run(features).scores[0], layout.windows, strict=True):
        (slope,) = torch.autograd.grad(score, features, retain_graph=True)
        seen = layout.wirings[0][layout.wirings[1][layout.wirings[2][window]]]
        assert set(np.flatnonzero(slope[0])) == set(seen)


def test_modes_are_checked() -> None:
    with pytest.raises(InputError, match="mode"):
        system_function(nodes(), None, mode="other")
    with pytest.raises(InputError, match="model"):
        system_function(nodes(), None, mode="in-silico")
    with pytest.raises(InputError, match="exact derivative"):
        system_function(object(), None, mode="ideal")


def test_a_chip_from_its_file(data_file: Callable[[str], Path]) -> None:
    system = DeviceSystem(ChipSurrogate.from_npz(data_file("dnpu_chip.npz")), 2, 0, range(1, 8))
    low, high = system.input_limits_V
    assert np.isfinite(system.respond(np.stack([low, high]))).all()
