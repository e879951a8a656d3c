"""Compiled equations of the chip surrogate: a ReLU network's outputs, their exact gradients, the co-simulation kernel.

    a_0 = V,   a_(k+1) = max(0, W_k a_k + b_k),   I_m = A (w_m . a_n + b_m),
    g_n = w_m,   g_k = W_k^T (g_(k+1) [a_(k+1) > 0]),   dI_m/dV = A g_0.

About 60 % of a trained network's neurons are active at a time; the others are skipped, exactly. Weights lie row by row
of their *input*, padded with zeros to a common width: an active input adds its row to all sums of the layer at once,
eight inputs in one pass, so that the inner loop runs in vector registers. They are kept in single precision, in which
networks are trained and stored, and multiplied and added in double precision.

`params`: header, low and high limit of every terminal (V), the terminal of each output, then single-precision numbers
in pairs: of each hidden layer (n_in, width) weights and (width,) biases, of the last (n_outputs, width) weights and
(n_outputs,) biases. The number of inputs of a layer that feeds on another is the width, as padding is never active.
`state` is scratch space only: activations of the inputs and of each hidden layer (width each), two vectors for the
gradient, the list of active neurons, and the outputs.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np
from numba import njit

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, c_function, evaluate_at

N_INPUTS, N_HIDDEN, WIDTH, AMPLIFICATION_A, N_OUTPUTS, HELD, HEADER = range(7)
"""Words of the header: activation electrodes, hidden layers, padded width, amperes per unit of the network's outputs,
outputs, and the terminal that is held at 0 V, which is no input."""

LANES = 16
"""The width is a multiple of this many neurons."""

_SUM = {"reassoc", "contract", "nsz"}  # sums may be reordered; infinities and NaN keep their meaning
_U = np.uint64  # indices are unsigned: with signed ones Numba tests for negative values
_ONE = np.uint64(1)
_EIGHT = np.uint64(8)


@njit(cache=True)
def state_size(hidden, width, outputs=1):
    """Length of `state`."""
    return (hidden + 4) * width + outputs


@njit(cache=True, nogil=True, fastmath=_SUM)
def _add_rows(weights, at, x, active, count, y):
    """Add to `y` the rows of the active inputs, each times its value."""
    width = _U(y.size)
    k = _U(0)
    while k + _EIGHT <= count:
        j0, j1, j2, j3 = active[k], active[k + _U(1)], active[k + _U(2)], active[k + _U(3)]
        j4, j5, j6, j7 = active[k + _U(4)], active[k + _U(5)], active[k + _U(6)], active[k + _U(7)]
        x0, x1, x2, x3, x4, x5, x6, x7 = x[j0], x[j1], x[j2], x[j3], x[j4], x[j5], x[j6], x[j7]
        r0, r1, r2, r3 = at + j0 * width, at + j1 * width, at + j2 * width, at + j3 * width
        r4, r5, r6, r7 = at + j4 * width, at + j5 * width, at + j6 * width, at + j7 * width
        for i in range(width):
            first = (x0 * weights[r0 + i] + x1 * weights[r1 + i]) + (x2 * weights[r2 + i] + x3 * weights[r3 + i])
            other = (x4 * weights[r4 + i] + x5 * weights[r5 + i]) + (x6 * weights[r6 + i] + x7 * weights[r7 + i])
            y[i] += first + other
        k += _EIGHT
    while k < count:
        row = at + active[k] * width
        value = x[active[k]]
        for i in range(width):
            y[i] += value * weights[row + i]
        k += _ONE


@njit(cache=True, nogil=True, fastmath=_SUM)
def _forward(weights, inputs, hidden, width, state, active, out):
    """Fill `out` with the network's outputs for the inputs in the first row of `state`, and the hidden layers' rows."""
    at = _U(0)
    rows = inputs
    for layer in range(hidden):
        x = state[layer * width : (layer + _ONE) * width]
        y = state[(layer + _ONE) * width : (layer + _U(2)) * width]
        count = _U(0)
        for j in range(rows):  # without a branch, which would be mispredicted every other time
            active[count] = j
            count += _U(x[j] != 0.0)
        bias = at + rows * width
        for i in range(width):
            y[i] = weights[bias + i]
        _add_rows(weights, at, x, active, count, y)
        for i in range(width):
            y[i] = max(y[i], 0.0)
        at = bias + width
        rows = width
    last = state[hidden * width : (hidden + _ONE) * width]
    outputs = _U(out.size)
    for m in range(outputs):
        output = np.float64(weights[at + outputs * rows + m])
        for i in range(rows):
            output += weights[at + m * rows + i] * last[i]
        out[m] = output


@njit(cache=True, nogil=True, fastmath=_SUM)
def _row_sums(weights, at, slope, active, count, out):
    """Set `out` at the active inputs to the sums over their rows times `slope`, four rows in one pass."""
    width = _U(slope.size)
    k = _U(0)
    while k < count:
        end = count - _ONE  # at the end the last row is summed again
        j0, j1, j2, j3 = active[k], active[min(k + _ONE, end)], active[min(k + _U(2), end)], active[min(k + _U(3), end)]
        r0, r1, r2, r3 = at + j0 * width, at + j1 * width, at + j2 * width, at + j3 * width
        s0 = 0.0
        s1 = 0.0
        s2 = 0.0
        s3 = 0.0
        for i in range(width):
            s0 += weights[r0 + i] * slope[i]
            s1 += weights[r1 + i] * slope[i]
            s2 += weights[r2 + i] * slope[i]
            s3 += weights[r3 + i] * slope[i]
        out[j0] = s0
        out[j1] = s1
        out[j2] = s2
        out[j3] = s3
        k += _U(4)


@njit(cache=True, nogil=True, fastmath=_SUM)
def _backward(weights, inputs, hidden, width, state, slope, before, active, output, out):
    """Fill `out` with the derivatives of one output by each input, from the activations `_forward` left."""
    if hidden == _U(0):
        for j in range(inputs):
            out[j] = weights[output * inputs + j]
        return
    at = inputs * width + width + (hidden - _ONE) * (width * width + width)
    x = state[hidden * width : (hidden + _ONE) * width]
    for i in range(width):
        slope[i] = weights[at + output * width + i] if x[i] > 0.0 else 0.0
    for step in range(hidden - _ONE):
        layer = hidden - _ONE - step
        at -= width * width + width
        x = state[layer * width : (layer + _ONE) * width]
        count = _U(0)
        for j in range(width):
            before[j] = 0.0
            active[count] = j
            count += _U(x[j] > 0.0)
        _row_sums(weights, at, slope, active, count, before)
        for j in range(width):
            slope[j] = before[j]
    for j in range(inputs):
        active[j] = j
    _row_sums(weights, _U(0), slope, active, inputs, out)


@njit(cache=True, nogil=True)
def _within(params, voltages):
    """Whether every voltage lies in its range; NaN does not."""
    low, terminals = _U(HEADER), _U(voltages.size)
    within = True
    for k in range(terminals):
        within &= params[low + k] <= voltages[k] <= params[low + terminals + k]
    return within


@njit(cache=True, nogil=True)
def _outputs(params, voltages, state, out):
    """Fill `out` with the network's outputs at the terminal `voltages`; returns the weights."""
    inputs, hidden, width = _U(params[N_INPUTS]), _U(params[N_HIDDEN]), _U(params[WIDTH])
    held = _U(params[HELD])
    weights = params[HEADER + 2 * voltages.size + out.size :].view(np.float32)
    active = state[(hidden + _U(3)) * width : (hidden + _U(4)) * width].view(np.uint64)
    for j in range(inputs):
        state[j] = voltages[j + _U(j >= held)]
    _forward(weights, inputs, hidden, width, state, active, out)
    return weights


@njit(cache=True, nogil=True)
def evaluate(t, voltages, params, state, out):
    """Minus the output currents at their terminals, 0 elsewhere; NaN everywhere for voltages beyond the known range."""
    if not _within(params, voltages):
        out[:] = np.nan
        return
    hidden, width, outputs = int(params[N_HIDDEN]), int(params[WIDTH]), int(params[N_OUTPUTS])
    found = state[(hidden + 4) * width : (hidden + 4) * width + outputs]
    _outputs(params, voltages, state, found)
    terminal = HEADER + 2 * voltages.size
    out[:] = 0.0
    for m in range(outputs):
        out[int(params[terminal + m])] = -params[AMPLIFICATION_A] * found[m]


@njit(cache=True, nogil=True)
def gradient(voltages, params, state, out):
    """Fill `out` (n_outputs, n_inputs) with the derivatives of the output currents by the activation voltages, S."""
    inputs, hidden, width = _U(params[N_INPUTS]), _U(params[N_HIDDEN]), _U(params[WIDTH])
    outputs = _U(params[N_OUTPUTS])
    found = state[(hidden + _U(4)) * width : (hidden + _U(4)) * width + outputs]
    weights = _outputs(params, voltages, state, found)
    slope = state[(hidden + _ONE) * width : (hidden + _U(2)) * width]
    before = state[(hidden + _U(2)) * width : (hidden + _U(3)) * width]
    active = state[(hidden + _U(3)) * width : (hidden + _U(4)) * width].view(np.uint64)
    for m in range(outputs):
        _backward(weights, inputs, hidden, width, state, slope, before, active, m, out[m])
        for j in range(inputs):
            out[m, j] *= params[AMPLIFICATION_A]


@njit(cache=True, nogil=True)
def evaluate_rows(voltages, params, state, out):
    """`evaluate` for each row of `voltages`."""
    for m in range(voltages.shape[0]):
        evaluate(0.0, voltages[m], params, state, out[m])


@njit(cache=True, nogil=True)
def gradient_rows(voltages, params, state, out):
    """`gradient` for each row of `voltages`."""
    for m in range(voltages.shape[0]):
        gradient(voltages[m], params, state, out[m])


@c_function(DEVICE_SIGNATURE)
def c_evaluate(t, voltages, params, n_params, state, n_state, out):
    """`evaluate` as a C function, compiled once and kept on disk."""
    evaluate_at(evaluate, t, voltages, params, n_params, state, n_state, out)
