"""Layered networks of sigmoid neurons in compiled code: outputs, cost, and exact gradient by backpropagation.

Parameters lie in one array: for each layer the weights row by row (one row an output), then the biases. A neuron gives

    f(a) = L / (1 + exp(-k (a - x0))) + y0,        a = sum_j w_j x_j + b,

with L = k = 1 and x0 = y0 = 0 for a neuron without defects.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray
from inmateria.random_words import counter_word
from learning.multiplexed.kernel import Knobs, State, run_steps

_FAST = {"reassoc", "contract", "arcp", "nsz"}  # sums in any order; infinities and NaN stay what they are
HEIGHT, STEEPNESS, MIDDLE, FLOOR = (np.uint64(k) for k in range(4))
_NONE, _ONE = np.uint64(0), np.uint64(1)


class NetworkData(NamedTuple):
    """A network's shape, its neurons' defects, and the samples it sees."""

    sizes: NDArray[np.int64]
    defects: FloatArray
    """L, k, x0, y0 of one neuron after the other, layer by layer."""
    inputs: FloatArray
    targets: FloatArray
    batch: int
    """Samples presented together; the cost is the mean over them."""
    shuffled: bool
    """Samples drawn at random (with replacement), else one after the other."""
    key: np.uint64
    values: FloatArray
    """Room for the values of all inputs and neurons."""


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST, inline="always")
def _outputs(
    theta: FloatArray, sizes: NDArray[np.int64], defects: FloatArray, inputs: FloatArray, sample: int,
    values: FloatArray,
) -> int:  # fmt: skip
    """Values of all neurons for one sample, layer by layer into `values`; returns where the outputs begin."""
    # Places count in unsigned numbers: signed ones would be looked at for a minus at every access.
    width = sizes[0]
    for j in range(width):
        values[j] = inputs[sample, j]
    source, weight, neuron, flaw = _NONE, _NONE, np.uint64(width), _NONE
    for layer in range(1, sizes.size):
        height = sizes[layer]
        bias = weight + np.uint64(height * width)
        for _ in range(height):
            total = theta[bias]
            if width == 2:  # half the time of a network as small as this would go into the loop
                total += theta[weight] * values[source] + theta[weight + _ONE] * values[source + _ONE]
            else:
                for j in range(width):
                    total += theta[weight + np.uint64(j)] * values[source + np.uint64(j)]
            rise = math.exp(-defects[flaw + STEEPNESS] * (total - defects[flaw + MIDDLE]))
            values[neuron] = defects[flaw + HEIGHT] / (1.0 + rise) + defects[flaw + FLOOR]
            weight += np.uint64(width)
            bias += _ONE
            neuron += _ONE
            flaw += np.uint64(4)
        weight = bias
        source += np.uint64(width)
        width = height
    return int(source)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST, inline="always")
def network_cost(theta: FloatArray, data: NetworkData, presentation: int) -> float:
    """Mean squared error of the outputs, over the samples that are presented together."""
    sizes, defects, inputs, targets, values = data.sizes, data.defects, data.inputs, data.targets, data.values
    samples, width = targets.shape
    total = 0.0
    for place in range(presentation * data.batch, (presentation + 1) * data.batch):
        if data.shuffled:
            sample = np.int64(counter_word(data.key, np.uint64(place)) % np.uint64(samples))
        else:
            sample = np.int64(np.uint64(place) % np.uint64(samples))
        first = np.uint64(_outputs(theta, sizes, defects, inputs, int(sample), values))
        for i in range(width):
            miss = values[first + np.uint64(i)] - targets[sample, i]
            total += miss * miss
    return float(total / (width * data.batch))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def all_outputs(theta: FloatArray, data: NetworkData, values: FloatArray, out: FloatArray) -> None:
    """Outputs of all samples, (samples, outputs)."""
    for sample in range(out.shape[0]):
        first = int(_outputs(theta, data.sizes, data.defects, data.inputs, sample, values))
        out[sample] = values[first : first + out.shape[1]]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def network_steps(data: NetworkData, knobs: Knobs, state: State, steps: int) -> int:
    """`run_steps` for a network; compiled once, kept on disk."""
    return int(run_steps(network_cost, data, knobs, state, steps))
