"""Training of a ReLU network on samples, by scikit-learn: Adam on scaled inputs and outputs, the best epoch kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from inmateria.checks import FloatArray
from inmateria.threads import one_blas_thread

LEARNING_RATE = 3e-3
"""Of the first epoch; it falls exponentially to a hundredth of it in the last."""
FINAL_RATE = 0.01
BATCHES = 256
"""Steps of the optimiser per epoch, if that leaves `SMALLEST` to `LARGEST` samples to each: small sets, too, take many
steps to learn."""
SMALLEST, LARGEST = 16, 64
PATIENCE = 0.3
"""Fraction of all epochs without a better validation error after which training stops."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network in the units of its samples: y = w_n max(0, ... max(0, w_0 x + b_0) ...) + b_n.

    Attributes
    ----------
    weights, biases : tuple of ndarray
        (n_out, n_in) and (n_out,) of each layer.
    validation_loss : ndarray, shape (n_epochs,)
        Mean squared error of the standardised outputs after each epoch that was run.
    best_epoch : int
        The epoch, from 1, whose weights these are.
    """

    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]
    validation_loss: FloatArray
    best_epoch: int


def train_network(
    inputs: FloatArray,
    outputs: FloatArray,
    validation: tuple[FloatArray, FloatArray],
    *,
    low: FloatArray,
    high: FloatArray,
    hidden: tuple[int, ...],
    epochs: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedNetwork:
    """Fit a network to samples.

    Inputs are scaled to +-1 over their ranges, outputs to zero mean and unit variance; the scales are then taken into
    the first and the last layer. Single precision throughout.

    Parameters
    ----------
    inputs : ndarray, shape (n, n_in)
    outputs : ndarray, shape (n, n_out)
    validation : tuple of ndarray
        Inputs and outputs by which the best epoch is chosen.
    low, high : ndarray, shape (n_in,)
        Ranges of the inputs.
    hidden : tuple of int
        Neurons of each hidden layer.
    epochs : int
        Passes through the samples at most.
    seed : int
        Decides initial weights and the order of the samples.
    progress : callable, optional
        Called as ``progress(epoch, epochs)`` after each.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    mean, spread = outputs.mean(axis=0), outputs.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)

    def scaled(x: FloatArray, y: FloatArray) -> tuple[Any, Any]:
        z = ((y - mean) / spread).astype(np.float32)
        return ((x - middle) / half).astype(np.float32), z[:, 0] if z.shape[1] == 1 else z

    x, z = scaled(inputs, outputs)
    x_validation, z_validation = scaled(*validation)
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    network = MLPRegressor(
        hidden_layer_sizes=hidden, alpha=0.0, batch_size=min(max(len(x) // BATCHES, SMALLEST), LARGEST, len(x)),
        max_iter=1, warm_start=True, random_state=generator,
    )  # fmt: skip
    losses: list[float] = []
    best: tuple[list[Any], list[Any]] = ([], [])
    for epoch in range(epochs):
        # One call an epoch, as scikit-learn's Adam has no schedule of its own. Its moments start anew each time.
        network.set_params(learning_rate_init=LEARNING_RATE * FINAL_RATE ** (epoch / max(epochs - 1, 1)))
        with one_blas_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of the one epoch, which is asked for
            network.fit(x, z)
        losses.append(float(np.mean((network.predict(x_validation) - z_validation) ** 2)))
        if losses[-1] <= min(losses):
            best = [w.copy() for w in network.coefs_], [b.copy() for b in network.intercepts_]
        if progress is not None:
            progress(epoch + 1, epochs)
        if epoch - int(np.argmin(losses)) > PATIENCE * epochs:
            break
    weights = [w.T.astype(float) for w in best[0]]
    biases = [b.astype(float) for b in best[1]]
    weights[0] = weights[0] / half
    biases[0] = biases[0] - weights[0] @ middle
    weights[-1] = spread[:, None] * weights[-1]
    biases[-1] = spread * biases[-1] + mean
    return TrainedNetwork(tuple(weights), tuple(biases), np.array(losses), int(np.argmin(losses)) + 1)
