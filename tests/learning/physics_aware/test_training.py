"""Physics-aware training: it reaches the system's optimum, is resumed to the identical path, and names what failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inmateria.errors import ConvergenceError, InputError, Interrupted
from learning.multiplexed.backpropagation import softmax_accuracy
from learning.physics_aware.layout import waveform_layout
from learning.physics_aware.settings import PatTraining
from learning.samples.samples import SampleSet

torch = pytest.importorskip("torch")

from learning.physics_aware.digital_models import DenseModel, WaveformModel, load_model, save_model  # noqa: E402
from learning.physics_aware.layer import physics_aware  # noqa: E402
from learning.physics_aware.model_fit import fit_model, model_error, random_inputs, refit  # noqa: E402
from learning.physics_aware.result import PatResult  # noqa: E402
from learning.physics_aware.training import train_physics_aware  # noqa: E402


class Ringing:
    """A filter with memory and saturation: y_t = tanh(gain (0.9 u_t - 0.7 u_(t-1) + 0.5 u_(t-2)) + shift)."""

    inputs = outputs = 12
    input_limits_V = -np.ones(12), np.ones(12)

    def __init__(self, gain: float = 1.5, shift: float = 0.0, noise_V: float = 0.02, broken: float = np.inf):
        self.gain, self.shift, self.noise_V, self.broken, self.rows = gain, shift, noise_V, broken, 0

    def taps(self) -> np.ndarray:
        return self.gain * (0.9 * np.eye(12) - 0.7 * np.eye(12, k=1) + 0.5 * np.eye(12, k=2))

    def respond(self, values: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        self.rows += len(values)
        y = np.tanh(values @ self.taps() + self.shift)
        if rng is not None:
            y = y + self.noise_V * rng.standard_normal(y.shape)
        y[values[:, 0] > self.broken] = np.nan
        return y

    def vector_jacobian(self, values: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        return (cotangents / np.cosh(values @ self.taps() + self.shift) ** 2) @ self.taps().T


def model_of(gain: float) -> Any:
    taps = torch.tensor(Ringing(gain).taps())
    return lambda values: torch.tanh(values @ taps)


def wheel(seed: int = 0, spread: float = 0.15) -> SampleSet:
    """Three classes of points around the corners of a triangle in four features."""
    rng = np.random.default_rng(seed)
    corners = rng.standard_normal((3, 4))
    kinds = np.arange(90) % 3
    points = corners[kinds] + spread * rng.standard_normal((90, 4))
    targets = np.eye(3)[kinds]
    return SampleSet("wheel", points[:60], targets[:60], points[60:], targets[60:])


LAYOUT = waveform_layout(4, 12, 2, 3)
SHORT = PatTraining(epochs=6, batch=20, look_every=2)


def test_toy_of_the_authors() -> None:
    """20 compositions of f = 2 x^1.1, modelled as 2.01 x^1.1: PAT reaches the target, in silico stays 25 % below.

    Whatever the parameters, y_device / y_model = (2 / 2.01)^S with S = sum of 1.1^k for k = 0 to 19.
    """

    def system(x: Any) -> Any:
        return 2.0 * x**1.1

    def model(x: Any) -> Any:
        return 2.01 * x**1.1

    def trained(layer: Any) -> float:
        factors = torch.full((20,), 0.5 ** (1 / 1.1), dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.SGD([factors], lr=5e-5)

        def through(f: Any) -> Any:
            x = torch.ones(1, dtype=torch.float64)
            for factor in factors:
                x = f(factor * x)
            return x

        for _ in range(80):
            optimiser.zero_grad()
            ((through(layer) - 2.0) ** 2).sum().backward()
            optimiser.step()
        with torch.no_grad():
            return float(through(system))

    assert trained(physics_aware(system, model)) == pytest.approx(2.0, abs=1e-3)
    settled = 2.0 * (2.0 / 2.01) ** ((1.1**20 - 1) / 0.1)
    assert settled == pytest.approx(1.503, abs=1e-3)
    assert trained(model) == pytest.approx(settled, abs=1e-3)


def test_a_wrong_model_costs_in_silico_more_than_pat() -> None:
    """The model knows nothing of a shift; the cost of all is the system's."""
    samples, training = wheel(), replace(SHORT, epochs=30, look_every=30, angle_samples=0)
    costs = {}
    for mode in ("pat", "in-silico", "ideal"):
        system = Ringing(2.0, shift=0.8)
        result = train_physics_aware(
            replace(training, mode=mode), system, model_of(2.0), samples, layout=LAYOUT, seed=1
        )
        costs[mode] = result.record.loss[-1]
        assert result.record.forward_samples == (0 if mode == "in-silico" else 30 * 60 * 2)
    assert costs["pat"] < 0.5 * costs["in-silico"]
    assert costs["pat"] < costs["ideal"] + 0.1


def test_learns_and_tells() -> None:
    told = []
    result = train_physics_aware(
        replace(SHORT, epochs=20), Ringing(), model_of(1.4), wheel(), layout=LAYOUT,
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert result.accuracy >= softmax_accuracy(wheel()) - 0.1
    assert [what[:2] for what in told] == [(k, 20) for k in range(1, 21)]
    data = result.dataset()
    assert list(data.epoch) == result.record.epoch == list(range(0, 21, 2))
    assert int(data.confusion.sum()) == 30
    assert np.trace(data.confusion) / 30 == result.accuracy
    assert data.angle_deg.dims == ("epoch", "pass")
    assert (data.angle_deg > 0.1).all()  # the model is wrong


def test_angle_is_zero_where_the_model_is_the_device() -> None:
    result = train_physics_aware(SHORT, Ringing(), model_of(1.5), wheel(), layout=LAYOUT)
    assert np.max(result.record.angle_deg) < 1e-5


@pytest.mark.parametrize("refit_every", [0, 2])
def test_resumed_to_the_identical_path(tmp_path: Path, refit_every: int) -> None:
    training = replace(SHORT, refit_every=refit_every, refit_samples=100, jitter=0.1)
    model = WaveformModel(12, 4, (6,)) if refit_every else model_of(1.2)
    first = Ringing()
    whole = train_physics_aware(training, first, model, wheel(), layout=LAYOUT)

    def stop(done: int, *_: Any) -> None:
        if done == 3:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    system = Ringing()
    with pytest.raises(Interrupted) as stopped:
        train_physics_aware(training, system, model, wheel(), layout=LAYOUT, folder=folder, progress=stop)
    assert isinstance(stopped.value.partial, PatResult)
    assert stopped.value.partial.record.epoch == [0, 2]
    system.rows = 0
    again = train_physics_aware(training, system, model, wheel(), layout=LAYOUT, folder=folder)
    assert again.dataset().drop_attrs().identical(whole.dataset().drop_attrs())
    assert again.dataset().attrs == whole.dataset().attrs
    assert 0 < system.rows < 0.6 * first.rows  # it did not begin anew

    with pytest.raises(InputError, match="another training"):
        train_physics_aware(training, Ringing(), model, wheel(), layout=LAYOUT, seed=1, folder=folder)
    (folder / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        train_physics_aware(training, Ringing(), model, wheel(), layout=LAYOUT, folder=folder)


def test_failed_samples_are_named_and_left_out() -> None:
    samples = wheel()
    found = train_physics_aware(SHORT, Ringing(broken=0.5), model_of(1.4), samples, layout=LAYOUT)
    assert 0 < len(found.failed_samples) < 60
    assert 0.5 < found.accuracy < 1.0  # a sample without an answer counts as missed
    assert all(bool(torch.isfinite(value).all()) for value in found.parameters().values())
    assert np.isfinite(found.record.loss).all()
    with pytest.raises(ConvergenceError, match=rf"sample = {found.record.failed[0][1]}\b"):
        train_physics_aware(
            replace(SHORT, on_failure="stop"), Ringing(broken=0.5), model_of(1.4), samples, layout=LAYOUT
        )
    with pytest.raises(ConvergenceError, match="system"):
        train_physics_aware(SHORT, Ringing(broken=-2.0), model_of(1.4), samples, layout=LAYOUT)


def test_fitted_and_refitted(tmp_path: Path) -> None:
    """A filter of three taps is within reach of the convolution; a changed one is followed by refitting."""
    fitted = fit_model(Ringing(noise_V=0.0), WaveformModel(12, 4, (16,)), samples=800, epochs=40, rate=2e-2)
    assert fitted.error < 0.05
    rng = np.random.default_rng(3)
    fresh = random_inputs(Ringing(), 200, rng)
    assert model_error(fitted.model, fresh, Ringing().respond(fresh)) < 0.06
    changed = Ringing(2.0)
    before = model_error(fitted.model, fresh, changed.respond(fresh))
    values = random_inputs(changed, 400, rng)
    responses = changed.respond(values)
    responses[3] = np.nan
    assert refit(fitted.model, values, responses, epochs=20, rate=3e-3, rng=rng) == pytest.approx(before, rel=0.3)
    assert model_error(fitted.model, fresh, changed.respond(fresh)) < 0.5 * before

    read = load_model(save_model(fitted.model, tmp_path / "model.npz"))
    given = torch.tensor(fresh)
    assert torch.equal(read(given), fitted.model(given))
    (tmp_path / "other.npz").write_bytes(b"no model")
    for name, message in (("other.npz", "is no model"), ("none.npz", "cannot be read")):
        with pytest.raises(InputError, match=message):
            load_model(tmp_path / name)


def test_a_convolution_sees_no_future() -> None:
    model = WaveformModel(12, 4, (6,))
    values = torch.tensor(np.random.default_rng(0).standard_normal((1, 12)))
    changed = values.clone()
    changed[0, 7] += 1.0
    moved = (model(changed) != model(values))[0].detach().numpy()
    assert np.flatnonzero(moved).tolist() == [7, 8, 9, 10]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="model"):
        fit_model(Ringing(), DenseModel(12, 11))
    with pytest.raises(InputError, match="samples"):
        train_physics_aware(SHORT, Ringing(), model_of(1.0), wheel(), layout=waveform_layout(5, 12, 2, 3))
    for wrong in ({"mode": "other"}, {"epochs": 0}, {"rate": 0.0}, {"refit_every": 1, "mode": "ideal"}, {"jitter": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            PatTraining(**wrong)


def test_a_training_that_runs_away_says_so() -> None:
    with pytest.raises(ConvergenceError, match=r"^loss = .* ran away in epoch 1; take a smaller learning rate"):
        train_physics_aware(replace(SHORT, rate=1e300), Ringing(), model_of(1.4), wheel(), layout=LAYOUT)
