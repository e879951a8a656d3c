"""Convolutional networks in compiled code: the cost of a batch of images, on one core, without PyTorch.

The layers of `image_network`: 3 x 3 convolutions without padding, each with ReLU and 2 x 2 maximum pooling,
then one linear layer and the mean cross-entropy. Images of a batch lie innermost, (channels, rows, columns, images),
so that every inner loop runs over contiguous numbers. Only what the pooling keeps is computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray

Single = NDArray[np.float32]

_FAST = {"contract", "nsz"}


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _convolve(
    theta: Single, place: int, values: Single, channels: int, side: int, images: int, count: int, first: Single,
    second: Single, out: Single,
) -> None:  # fmt: skip
    """One layer: convolution, ReLU and pooling of `values` (channels, side, side, images) into `out`, both flat."""
    half = (side - 2) // 2
    line = np.uint64(side * images)  # of the input
    short = 2 * half * images  # of the output, before pooling
    one, two = np.uint64(images), np.uint64(2 * images)
    for y in range(half):
        for channel in range(count):
            bias = theta[place + 9 * channels * count + channel]
            for k in range(short):
                first[k] = bias
                second[k] = bias
            w = np.uint64(place + 9 * channel * channels)
            a = np.uint64(2 * y) * line
            for _ in range(channels):
                w0, w1, w2 = theta[w], theta[w + np.uint64(1)], theta[w + np.uint64(2)]
                w3, w4, w5 = theta[w + np.uint64(3)], theta[w + np.uint64(4)], theta[w + np.uint64(5)]
                w6, w7, w8 = theta[w + np.uint64(6)], theta[w + np.uint64(7)], theta[w + np.uint64(8)]
                b = a + line
                c = b + line
                d = c + line
                for k in range(short):  # two rows of the output from four of the input
                    i = np.uint64(k)
                    b0, b1, b2 = values[b + i], values[b + i + one], values[b + i + two]
                    c0, c1, c2 = values[c + i], values[c + i + one], values[c + i + two]
                    first[i] += (
                        w0 * values[a + i] + w1 * values[a + i + one] + w2 * values[a + i + two]
                        + w3 * b0 + w4 * b1 + w5 * b2 + w6 * c0 + w7 * c1 + w8 * c2
                    )  # fmt: skip
                    second[i] += (
                        w0 * b0 + w1 * b1 + w2 * b2 + w3 * c0 + w4 * c1 + w5 * c2
                        + w6 * values[d + i] + w7 * values[d + i + one] + w8 * values[d + i + two]
                    )  # fmt: skip
                w += np.uint64(9)
                a += np.uint64(side) * line
            target = (channel * half + y) * half * images
            for x in range(half):
                left = 2 * x * images
                for image in range(images):
                    right = left + images + image
                    largest = max(max(first[left + image], first[right]), max(second[left + image], second[right]))
                    out[target + x * images + image] = max(largest, np.float32(0.0))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def batch_cost(
    theta: Single, channels: NDArray[np.int64], pixels: Single, labels: NDArray[np.int64], chosen: NDArray[np.int64],
    room: Single, other: Single, first: Single, second: Single,
) -> float:  # fmt: skip
    """Mean cross-entropy of a batch.

    Parameters
    ----------
    theta : ndarray of float32, shape (P,)
    channels : ndarray of int, shape (layers + 1,)
        Of the images, then of each convolution.
    pixels : ndarray of float32, shape (n, channels, side, side)
    labels : ndarray of int, shape (n,)
    chosen : ndarray of int
        Which images.
    room, other, first, second : ndarray of float32
        Room for the values of the layers, and for two rows of one.
    """
    images, side, place = chosen.size, pixels.shape[2], 0
    for channel in range(channels[0]):
        for y in range(side):
            for x in range(side):
                begin = ((channel * side + y) * side + x) * images
                for image in range(images):
                    room[begin + image] = pixels[chosen[image], channel, y, x]
    for layer in range(1, channels.size):
        width, count = channels[layer - 1], channels[layer]
        _convolve(theta, place, room, width, side, images, count, first, second, other)
        room, other = other, room
        place += (9 * width + 1) * count
        side = (side - 2) // 2
    size = channels[-1] * side * side
    logits = other[: 10 * images]
    for unit in range(10):
        begin = unit * images
        for image in range(images):
            logits[begin + image] = theta[place + 10 * size + unit]
        for j in range(size):
            w = theta[place + unit * size + j]
            for image in range(images):
                logits[begin + image] += w * room[j * images + image]
    total = 0.0
    for image in range(images):
        largest = logits[image]
        for unit in range(1, 10):
            largest = max(largest, logits[unit * images + image])
        powers = 0.0
        for unit in range(10):
            powers += math.exp(float(logits[unit * images + image] - largest))
        total += math.log(powers) + float(largest - logits[labels[chosen[image]] * images + image])
    return total / images


class CompiledBatchCost:
    """The mean cross-entropy of a batch, with the room that it takes.

    Parameters
    ----------
    channels : sequence of int
        Of each convolution.
    pixels : ndarray of float32, shape (n, channels, side, side)
    labels : ndarray of int64, shape (n,)
    batch : int
        Images of a batch.
    """

    def __init__(self, channels: Sequence[int], pixels: Single, labels: NDArray[np.int64], batch: int) -> None:
        self._channels = np.array([pixels.shape[1], *channels], dtype=np.int64)
        self._pixels, self._labels = pixels, labels
        side, largest = pixels.shape[2], pixels[0].size
        self._rows = np.empty((2, side * batch), dtype=np.float32)
        for count in channels:
            side = (side - 2) // 2
            largest = max(largest, count * side * side)
        self._room = np.empty((2, max(largest, 10) * batch), dtype=np.float32)

    def __call__(self, theta: FloatArray, chosen: NDArray[np.int64]) -> float:
        """Cost of the images that are chosen, as many as a batch has."""
        return float(
            batch_cost(
                theta.astype(np.float32), self._channels, self._pixels, self._labels, chosen, *self._room, *self._rows
            )
        )
