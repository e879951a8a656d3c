"""Fitting a digital model to its physical system, before training and again during it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError, InputError
from learning.physics_aware.digital_models import DigitalModel
from learning.physics_aware.systems import PhysicalSystem
from learning.pytorch import pytorch

torch: Any = pytorch()

_BATCH = 32
_FINAL_RATE = 0.03  # of the first epoch's learning rate


@dataclass(frozen=True, eq=False)
class ModelFit:
    """A fitted model and how far it is off.

    Attributes
    ----------
    model : DigitalModel
    error : float
        On samples held out: rms of model less response, over the rms of the response about its mean.
    errors : ndarray
        The same after each epoch.
    samples : int
        Samples measured, those held out included.
    """

    model: DigitalModel
    error: float
    errors: FloatArray
    samples: int


def random_inputs(system: PhysicalSystem, count: int, rng: np.random.Generator) -> FloatArray:
    """Values all over the system's limits, (count, inputs).

    A third is drawn for each input by itself; the rest lies about a value common to the sample, every other one of
    them smooth from input to input: what a circuit with memory meets is seldom white.
    """
    low, high = system.input_limits_V
    white = rng.uniform(-1.0, 1.0, (count, system.inputs))
    smooth = np.stack([np.convolve(row, np.hanning(9)[1:-1], "same")[: system.inputs] for row in white]) / 1.7
    kind = np.arange(count)[:, None] % 3
    middle, reach = rng.uniform(-1.0, 1.0, (count, 1)), rng.uniform(0.1, 1.0, (count, 1))
    drawn = np.where(kind == 0, white, middle + reach * np.where(kind == 1, white, smooth))
    return np.asarray(0.5 * (low + high) + 0.5 * (high - low) * np.clip(drawn, -1.0, 1.0))


def normalised_error(modelled: FloatArray, measured: FloatArray) -> float:
    """Rms of the difference over the rms of the measured about the mean of each output."""
    spread = float(np.sqrt(np.mean((measured - measured.mean(axis=0)) ** 2)))
    return float(np.sqrt(np.mean((modelled - measured) ** 2))) / spread if spread > 0 else float("nan")


def fit_model(
    system: PhysicalSystem,
    model: DigitalModel,
    *,
    samples: int = 2000,
    given: FloatArray | None = None,
    held_out: float = 0.2,
    epochs: int = 60,
    rate: float = 1e-2,
    patience: int = 15,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> ModelFit:
    """Fit a model to a system by mean squared error (Adam), the best epoch on held-out samples kept.

    Parameters
    ----------
    system : PhysicalSystem
        Measured with its noise.
    model : DigitalModel
        Changed in place.
    samples : int
        Random inputs (`random_inputs`) to measure.
    given : ndarray, shape (n, inputs), optional
        Values to measure besides, V.
    held_out : float
        Share of all samples that is not trained on.
    epochs, rate, patience : int, float, int
        Passes at most, learning rate of the first (it falls to 3 %), passes without a better error before it stops.
    seed : int
    progress : callable, optional
        Called as ``progress(epoch, epochs, held-out error)``.

    Returns
    -------
    ModelFit

    Raises
    ------
    InputError
        For a model of another width than the system, or numbers that are none of these.
    ConvergenceError
        If the system answers fewer than ten samples.
    """
    if (model.inputs, model.outputs) != (system.inputs, system.outputs):
        widths = f"{model.inputs} to {model.outputs}"
        raise InputError("model", widths, f"is not the system's {system.inputs} to {system.outputs}", "change it")
    if not 0 < held_out < 1:
        raise InputError("held_out", held_out, "is no share", "give one between 0 and 1")
    if samples < 0 or samples + (0 if given is None else len(given)) < 10:
        raise InputError("samples", samples, "are too few to fit to", "give 10 or more")
    rng = np.random.default_rng([seed, 21])
    values = random_inputs(system, samples, rng)
    if given is not None:
        values = np.concatenate([values, given])
    responses = system.respond(values, rng)
    good = np.asarray(np.isfinite(responses).all(axis=1))
    if good.sum() < 10:
        raise ConvergenceError(
            "system", int(good.sum()), f"of {len(values)} samples were answered", "look at its limits"
        )
    order = rng.permutation(np.flatnonzero(good))
    cut = max(1, round(held_out * len(order)))
    model.set_scales(*system.input_limits_V, responses[order[cut:]])
    fitted, tested = ((values[part], responses[part]) for part in (order[cut:], order[:cut]))
    errors: list[float] = []
    best = _state(model)
    for epoch, _ in enumerate(_passes(model, *fitted, epochs=epochs, rate=rate, rng=rng)):
        errors.append(model_error(model, *tested))
        if errors[-1] <= min(errors):
            best = _state(model)
        if progress is not None:
            progress(epoch + 1, epochs, errors[-1])
        if epoch - int(np.argmin(errors)) >= patience:
            break
    model.load_state_dict(best)
    return ModelFit(model, min(errors), np.array(errors), len(values))


def refit(
    model: DigitalModel,
    values: FloatArray,
    responses: FloatArray,
    *,
    epochs: int = 5,
    rate: float = 1e-3,
    rng: np.random.Generator,
) -> float:
    """Fit on to samples that forward passes produced; the scales stay. Returns the error on them before.

    Rows that hold NaN are left out.
    """
    good = np.isfinite(responses).all(axis=1)
    if not good.any():
        return float("nan")
    before = model_error(model, values[good], responses[good])
    for _ in _passes(model, values[good], responses[good], epochs=epochs, rate=rate, rng=rng):
        pass
    return before


def model_error(model: DigitalModel, values: FloatArray, responses: FloatArray) -> float:
    """Normalised rms error of the model on samples."""
    with torch.no_grad():
        return normalised_error(model(torch.as_tensor(values)).numpy(), responses)


def _passes(model: Any, values: FloatArray, responses: FloatArray, *, epochs: int, rate: float, rng: Any) -> Any:
    """Passes through the samples by Adam, its rate falling; yields after each."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    x, y = torch.as_tensor(values), torch.as_tensor(responses)
    for epoch in range(epochs):
        for group in optimiser.param_groups:
            group["lr"] = rate * _FINAL_RATE ** (epoch / max(epochs - 1, 1))
        for chosen in torch.as_tensor(rng.permutation(len(x))).split(_BATCH):
            optimiser.zero_grad()
            off = (model(x[chosen]) - y[chosen]) / model.output_spread
            (off**2).mean().backward()
            optimiser.step()
        yield epoch


def _state(model: Any) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
