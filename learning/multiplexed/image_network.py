"""Convolutional networks for images, by PyTorch: the cost that multiplexed gradient descent measures, on CPU or GPU.

Three 3 x 3 convolutions without padding, each followed by ReLU and 2 x 2 maximum pooling, then one linear layer to ten
classes. With 16, 32, 32 channels on 28 x 28 pixels that is 14,378 parameters, with 16, 32, 64 on 3 x 32 x 32 it is
26,154: the numbers that McCaughan et al. (2023) give for Fashion-MNIST and CIFAR-10. The layers are inferred from
them. The cost is the mean cross-entropy of a batch.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.multiplexed.image_kernel import CompiledBatchCost
from learning.pytorch import pytorch
from learning.samples.images import ImageSet
from learning.samples.problem import Look

CHANNELS = {"mnist": (16, 32, 32), "fashion-mnist": (16, 32, 32), "cifar-10": (16, 32, 64)}
_KERNEL = 3
_CLASSES = 10
_LOOKED_AT = 10_000  # training images of a look and of an exact gradient
_TOGETHER = 200  # images that go through the network at once: as many as the caches hold


def _torch() -> Any:
    return pytorch("task", "training on images")


class ImageSubject:
    """A convolutional network on images, trained by the cost of one batch after the other.

    Parameters
    ----------
    images : ImageSet
    seed : int
        Of the start and of the order of the images, drawn anew for each pass.
    batch : int
        Images presented together.
    start_spread : float
        Weights begin uniform in +- this, biases at 0. Parameters count in units of their layer's sqrt(6 / inputs) (He
        et al. 2015): all are perturbed alike, and noise that all take up alike would drown the small weights.
    where : str
        PyTorch's device: "cpu", "cuda".

    Raises
    ------
    InputError
        If PyTorch is missing or knows no such device, or the batch is larger than the set.
    """

    def __init__(
        self, images: ImageSet, seed: int, *, batch: int, start_spread: float = 1.0, where: str = "cpu"
    ) -> None:
        torch = _torch()
        if where != "cpu" and not (where.startswith("cuda") and torch.cuda.is_available()):
            raise InputError("device", where, "is not here", "take cpu")
        if not 1 <= batch <= len(images.images):
            raise InputError("batch", batch, f"is not between 1 and the {len(images.images)} images", "change it")
        self._where, self._seed, self._batch = where, seed, batch
        shown = _prepared(images, where)
        self._images, self._labels, self._test, self._test_labels = shown
        self._shapes = _shapes(images.images.shape[1:], CHANNELS[images.name])
        self._order: tuple[int, Any] = (-1, None)
        self._compiled = None
        if where == "cpu":
            self._compiled = CompiledBatchCost(CHANNELS[images.name], shown.images.numpy(), shown.labels.numpy(), batch)
        rng = np.random.default_rng([seed, 7])
        units, starts = [], []
        for weights, biases in self._shapes:
            count = math.prod(weights)
            units.append(np.full(count + biases, math.sqrt(6.0 / math.prod(weights[1:]))))
            starts += [rng.uniform(-start_spread, start_spread, count), np.zeros(biases)]
        self._unit: FloatArray = np.concatenate(units)
        self.start: FloatArray = np.concatenate(starts)

    def cost(self, theta: FloatArray, presentation: int) -> float:
        """Mean cross-entropy of a batch."""
        chosen = self._chosen(presentation)
        if self._compiled is not None:
            return self._compiled(theta * self._unit, chosen.numpy())
        torch = _torch()
        with torch.inference_mode():
            logits = self._forward(self._weights(theta), self._images[chosen])
            return float(torch.nn.functional.cross_entropy(logits, self._labels[chosen]))

    def batch_gradient(self, theta: FloatArray, presentation: int) -> FloatArray:
        """Exact gradient of the cost of a batch, by backpropagation, (P,)."""
        return self._gradient(theta, self._chosen(presentation))

    def gradient(self, theta: FloatArray) -> FloatArray:
        """Exact gradient of the cost of the first 10,000 images, (P,)."""
        count = min(_LOOKED_AT, len(self._images))
        total = np.zeros(theta.size)
        for begin in range(0, count, _TOGETHER):
            part = slice(begin, min(begin + _TOGETHER, count))
            total += (part.stop - part.start) / count * self._gradient(theta, part)
        return total

    def look(self, theta: FloatArray) -> Look:
        """Cost and accuracy of the first 10,000 images to train on, accuracy of all that are held out."""
        cost, accuracy = self._over(theta, self._images[:_LOOKED_AT], self._labels[:_LOOKED_AT])
        return Look(cost, accuracy, self._over(theta, self._test, self._test_labels)[1])

    def _chosen(self, presentation: int) -> Any:
        """Which images are shown together: every image once a pass, in an order of the pass's own."""
        a_pass = len(self._images) // self._batch
        number, place = divmod(presentation, a_pass)
        if self._order[0] != number:
            mixed = np.random.default_rng([self._seed, 8, number]).permutation(len(self._images))
            self._order = number, _put(mixed, self._where)
        return self._order[1][place * self._batch : (place + 1) * self._batch]

    def _gradient(self, theta: FloatArray, chosen: Any) -> FloatArray:
        torch = _torch()
        flat = self._weights(theta).requires_grad_()
        cost = torch.nn.functional.cross_entropy(self._forward(flat, self._images[chosen]), self._labels[chosen])
        (slope,) = torch.autograd.grad(cost, flat)
        return np.asarray(slope.cpu().numpy(), dtype=float) * self._unit

    def _over(self, theta: FloatArray, images: Any, labels: Any) -> tuple[float, float]:
        torch = _torch()
        flat, cost, right = self._weights(theta), 0.0, 0
        with torch.inference_mode():
            for begin in range(0, len(images), _TOGETHER):
                part = slice(begin, begin + _TOGETHER)
                logits = self._forward(flat, images[part])
                cost += float(torch.nn.functional.cross_entropy(logits, labels[part], reduction="sum"))
                right += int((logits.argmax(1) == labels[part]).sum())
        return cost / len(images), right / len(images)

    def _forward(self, flat: Any, values: Any) -> Any:
        functional = _torch().nn.functional
        place = 0
        for layer, (weights, biases) in enumerate(self._shapes):
            size = math.prod(weights)
            weight = flat[place : place + size].view(weights)
            bias = flat[place + size : place + size + biases]
            place += size + biases
            if layer + 1 < len(self._shapes):
                values = functional.max_pool2d(functional.relu(functional.conv2d(values, weight, bias)), 2)
            else:
                values = functional.linear(values.flatten(1), weight, bias)
        return values

    def _weights(self, theta: FloatArray) -> Any:
        return _put((theta * self._unit).astype(np.float32), self._where)


class _Prepared(NamedTuple):
    """Images of mean 0 and spread 1, and their labels, on PyTorch's device."""

    images: Any
    labels: Any
    test_images: Any
    test_labels: Any


@lru_cache(maxsize=1)  # all runs share one copy: 200 MB
def _prepared(images: ImageSet, where: str) -> _Prepared:
    shown = images.images.astype(np.float32) / 255.0
    middle, spread = shown.mean(axis=(0, 2, 3), keepdims=True), shown.std(axis=(0, 2, 3), keepdims=True)
    tests = images.test_images.astype(np.float32) / 255.0
    return _Prepared(
        _put((shown - middle) / spread, where), _put(images.labels, where),
        _put((tests - middle) / spread, where), _put(images.test_labels, where),
    )  # fmt: skip


def _put(array: NDArray[Any], where: str) -> Any:
    return _torch().from_numpy(np.ascontiguousarray(array)).to(where)


def _shapes(pixels: tuple[int, ...], channels: tuple[int, ...]) -> list[tuple[tuple[int, ...], int]]:
    """Shapes of weights and numbers of biases, layer by layer."""
    shapes: list[tuple[tuple[int, ...], int]] = []
    width, side = pixels[0], pixels[1]
    for count in channels:
        shapes.append(((count, width, _KERNEL, _KERNEL), count))
        width, side = count, (side - _KERNEL + 1) // 2
    shapes.append(((_CLASSES, width * side * side), _CLASSES))
    return shapes


def parameter_count(images: ImageSet) -> int:
    """Number of parameters, P."""
    return sum(
        math.prod(weights) + biases for weights, biases in _shapes(images.images.shape[1:], CHANNELS[images.name])
    )
