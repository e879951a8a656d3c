"""Convolutional networks for images, by PyTorch: the cost that multiplexed gradient descent measures, on CPU or GPU.

Three 3 x 3 convolutions without padding, each followed by ReLU and 2 x 2 maximum pooling, then one linear layer to ten
classes. With 16, 32, 32 channels on 28 x 28 pixels that is 14,378 parameters, with 16, 32, 64 on 3 x 32 x 32 it is
26,154: the numbers that McCaughan et al. (2023) give for Fashion-MNIST and CIFAR-10. The layers are inferred from
them. The cost is the mean cross-entropy of a batch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnpu_models.geometry import FloatArray
from inmateria.errors import InputError
from learning.image_files import ImageSet
from learning.multiplexed_subjects import Look

CHANNELS = {"mnist": (16, 32, 32), "fashion-mnist": (16, 32, 32), "cifar-10": (16, 32, 64)}
_KERNEL = 3
_CLASSES = 10
_LOOKED_AT = 10_000  # training images of a look and of an exact gradient
_TOGETHER = 2_000  # images that go through the network at once, not to need all memory


def _torch() -> Any:
    """PyTorch, or a word on how to get it."""
    try:
        import torch
    except ImportError:
        raise InputError("task", "images", "need PyTorch, which is not installed", "run: make torch") from None
    return torch


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
        Weights begin uniform in +- this times sqrt(6 / inputs) (He et al. 2015), biases at 0.
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
        shown = images.images.astype(np.float32) / 255.0
        middle, spread = shown.mean(axis=(0, 2, 3), keepdims=True), shown.std(axis=(0, 2, 3), keepdims=True)
        self._images = self._put((shown - middle) / spread)
        self._test = self._put((images.test_images.astype(np.float32) / 255.0 - middle) / spread)
        self._labels, self._test_labels = self._put(images.labels), self._put(images.test_labels)
        self._shapes = _shapes(images.images.shape[1:], CHANNELS[images.name])
        self._order: tuple[int, Any] = (-1, None)
        rng = np.random.default_rng([seed, 7])
        parts = []
        for weights, biases in self._shapes:
            reach = start_spread * math.sqrt(6.0 / math.prod(weights[1:]))
            parts += [rng.uniform(-reach, reach, math.prod(weights)), np.zeros(biases)]
        self.start: FloatArray = np.concatenate(parts)

    def cost(self, theta: FloatArray, presentation: int) -> float:
        """Mean cross-entropy of a batch."""
        torch = _torch()
        chosen = self._chosen(presentation)
        with torch.inference_mode():
            logits = self._forward(self._put(theta.astype(np.float32)), self._images[chosen])
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
            self._order = number, self._put(mixed)
        return self._order[1][place * self._batch : (place + 1) * self._batch]

    def _gradient(self, theta: FloatArray, chosen: Any) -> FloatArray:
        torch = _torch()
        flat = self._put(theta.astype(np.float32)).requires_grad_()
        cost = torch.nn.functional.cross_entropy(self._forward(flat, self._images[chosen]), self._labels[chosen])
        (slope,) = torch.autograd.grad(cost, flat)
        return np.asarray(slope.cpu().numpy(), dtype=float)

    def _over(self, theta: FloatArray, images: Any, labels: Any) -> tuple[float, float]:
        torch = _torch()
        flat, cost, right = self._put(theta.astype(np.float32)), 0.0, 0
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

    def _put(self, array: NDArray[Any]) -> Any:
        return _torch().from_numpy(np.ascontiguousarray(array)).to(self._where)


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
