"""Layered networks of sigmoid neurons, with defects or without: outputs, cost, exact gradient."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuits.multiplexed.sigmoid_layers import SigmoidLayers
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from inmateria.random_words import key_of
from learning.multiplexed.sigmoid_kernel import NetworkData, all_outputs

_ORDER = 3  # which stream of the seed


class SigmoidNetwork(SigmoidLayers):
    """The equations of a network of sigmoid neurons; fields and errors are those of `SigmoidLayers`."""

    def with_defects(self, spread: float, rng: np.random.Generator) -> SigmoidNetwork:
        """The network with neurons that are not alike: L and k from N(1, spread), x0 and y0 from N(0, spread).

        Raises
        ------
        InputError
            For a negative spread.
        """
        if not (np.isfinite(spread) and spread >= 0):
            raise InputError("defects", spread, "is no spread", "give 0 or more")
        neurons = sum(self.sizes[1:])
        return SigmoidNetwork(
            self.sizes, np.array([[1.0], [1.0], [0.0], [0.0]]) + spread * rng.standard_normal((4, neurons))
        )

    def start(self, rng: np.random.Generator, spread: float = 1.0) -> FloatArray:
        """Parameters to begin with, uniform in +-spread, (P,)."""
        return rng.uniform(-spread, spread, self.parameters)

    def data(
        self, inputs: ArrayLike, targets: ArrayLike, *, batch: int = 1, order_seed: int | None = None
    ) -> NetworkData:
        """The samples for compiled code.

        Parameters
        ----------
        inputs : array_like, shape (samples, sizes[0])
        targets : array_like, shape (samples, sizes[-1])
        batch : int, optional
            Samples presented together.
        order_seed : int, optional
            Draw samples at random by this seed; left out: one after the other.

        Raises
        ------
        InputError
            For arrays of other shapes or with values that are no numbers.
        """
        x, y = np.ascontiguousarray(inputs, dtype=float), np.ascontiguousarray(targets, dtype=float)
        for name, values, width in (("inputs", x, self.sizes[0]), ("targets", y, self.sizes[-1])):
            if values.ndim != 2 or values.shape[1] != width or len(values) == 0:
                raise InputError(name, values.shape, f"is not (samples, {width})", f"the network is {self.sizes}")
            if not np.all(np.isfinite(values)):
                raise InputError(name, "NaN or infinite", "is not finite", "give finite numbers")
        if len(x) != len(y):
            raise InputError("targets", len(y), f"are not as many as the {len(x)} inputs", "give one for each sample")
        if not 1 <= batch <= len(x):
            raise InputError("batch", batch, f"is not between 1 and the {len(x)} samples", "change it")
        key = np.uint64(0) if order_seed is None else key_of(order_seed, _ORDER)
        flaws, room = np.ascontiguousarray(self.defects.T).ravel(), np.empty(sum(self.sizes))
        return NetworkData(np.array(self.sizes), flaws, x, y, int(batch), order_seed is not None, key, room)

    def layers(self, theta: FloatArray, inputs: FloatArray) -> list[FloatArray]:
        """Values of all layers, the inputs first: (samples, size) each."""
        values, place, neuron = [np.asarray(inputs, dtype=float)], 0, 0
        for width, height in zip(self.sizes, self.sizes[1:], strict=False):
            weights = theta[place : place + width * height].reshape(height, width)
            place += width * height
            sums = values[-1] @ weights.T + theta[place : place + height]
            place += height
            tall, steep, middle, floor = self.defects[:, neuron : neuron + height]
            neuron += height
            with np.errstate(over="ignore"):
                values.append(tall / (1.0 + np.exp(-steep * (sums - middle))) + floor)
        return values

    def outputs(self, theta: ArrayLike, inputs: ArrayLike) -> FloatArray:
        """Outputs for inputs (samples, sizes[0]), shape (samples, sizes[-1])."""
        x = np.ascontiguousarray(inputs, dtype=float)
        data = self.data(x, np.zeros((len(x), self.sizes[-1])))
        out = np.empty((len(x), self.sizes[-1]))
        all_outputs(np.ascontiguousarray(theta, dtype=float), data, np.empty_like(data.values), out)
        return out

    def cost(self, theta: ArrayLike, inputs: ArrayLike, targets: ArrayLike) -> float:
        """Mean over samples and outputs of the squared error."""
        return mean_square(self.outputs(theta, inputs), np.asarray(targets))

    def gradient(self, theta: ArrayLike, inputs: ArrayLike, targets: ArrayLike) -> FloatArray:
        """Exact gradient of `cost` by backpropagation, (P,)."""
        parameters, y = np.asarray(theta, dtype=float), np.asarray(targets, dtype=float)
        values = self.layers(parameters, np.asarray(inputs, dtype=float))
        slope = np.zeros(self.parameters)
        error = 2.0 * (values[-1] - y) / y.size
        place, neuron = self.parameters, sum(self.sizes[1:])
        for layer in range(len(self.sizes) - 1, 0, -1):
            width, height = self.sizes[layer - 1], self.sizes[layer]
            neuron -= height
            tall, steep, _, floor = self.defects[:, neuron : neuron + height]
            share = (values[layer] - floor) / tall
            error = error * steep * tall * share * (1.0 - share)
            place -= height
            slope[place : place + height] = error.sum(axis=0)
            place -= width * height
            slope[place : place + width * height] = (error.T @ values[layer - 1]).ravel()
            weights = parameters[place : place + width * height].reshape(height, width)
            error = error @ weights
        return slope

    def accuracy(self, theta: ArrayLike, inputs: ArrayLike, targets: ArrayLike) -> float:
        """Share of samples put into the right class, see `share_right`."""
        return share_right(self.outputs(theta, inputs), np.asarray(targets))


def mean_square(outputs: FloatArray, targets: FloatArray) -> float:
    """Mean over samples and outputs of the squared error; infinite where it is too large for a float."""
    with np.errstate(over="ignore"):
        return float(np.mean((outputs - targets) ** 2))


def share_right(outputs: FloatArray, targets: FloatArray) -> float:
    """Share of samples put into the right class: by the largest output, or with one output by its side of 1/2."""
    right: NDArray[np.bool_]
    if targets.shape[1] == 1:
        right = (outputs[:, 0] > 0.5) == (targets[:, 0] > 0.5)
    else:
        right = np.argmax(outputs, axis=1) == np.argmax(targets, axis=1)
    return float(np.mean(right))
