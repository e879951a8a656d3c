"""What multiplexed gradient descent is compared with: backpropagation on the same network, a softmax of the inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inmateria.checks import FloatArray, count, positive
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.samples.samples import SampleSet


def backpropagate(
    network: SigmoidNetwork,
    samples: SampleSet,
    start: FloatArray,
    *,
    eta: float,
    batch: int,
    looks: Sequence[int],
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Stochastic gradient descent by exact gradients: theta -= eta g of a batch drawn at random.

    Parameters
    ----------
    network : SigmoidNetwork
    samples : SampleSet
    start : ndarray, shape (P,)
    eta : float
        Learning rate, per update.
    batch : int
        Samples of an update.
    looks : sequence of int
        Numbers of presented samples after which the accuracy is measured, increasing.
    rng : numpy.random.Generator

    Returns
    -------
    train, test : ndarray, shape (looks,)
        Accuracies; test is NaN where no samples are held out.

    Raises
    ------
    InputError
        For a rate or a batch that is none.
    """
    positive("eta", eta, "parameter units")
    count("batch", batch, most=len(samples.inputs))
    theta, shown = np.array(start, dtype=float), 0
    train, test = np.full(len(looks), np.nan), np.full(len(looks), np.nan)
    for place, look in enumerate(looks):
        while shown < look:
            drawn = rng.integers(len(samples.inputs), size=batch)
            theta -= eta * network.gradient(theta, samples.inputs[drawn], samples.targets[drawn])
            shown += batch
        train[place] = network.accuracy(theta, samples.inputs, samples.targets)
        if len(samples.test_inputs):
            test[place] = network.accuracy(theta, samples.test_inputs, samples.test_targets)
    return train, test


def softmax_accuracy(samples: SampleSet, strengths: Sequence[float] = (1.0,)) -> float:
    """Test accuracy of a softmax of the inputs: what a network with hidden neurons must beat.

    Parameters
    ----------
    samples : SampleSet
    strengths : sequence of float
        Inverse of the weights' penalty (scikit-learn's C); of several the best in a five-fold cross-validation of the
        training samples.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    labels, models = np.argmax(samples.targets, axis=1), [LogisticRegression(C=c, max_iter=5000) for c in strengths]
    best = models[0]
    if len(models) > 1:
        best = max(models, key=lambda model: cross_val_score(model, samples.inputs, labels, cv=5).mean())
    fitted = best.fit(samples.inputs, labels)
    return float(fitted.score(samples.test_inputs, np.argmax(samples.test_targets, axis=1)))
