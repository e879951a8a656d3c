"""Compiled: the chip surrogate at many neighbouring settings in one call, exactly, by its pieces.

A ReLU network is piecewise affine, and settings a few millivolts apart lie on few pieces: of 450 neurons some five
change between on and off under a dither of 10 mV, about twenty under 40 mV. With d the settings' distance from their
middle, a neuron that stays on hands on its affine function z = z_0 + J d, one that stays off hands on nothing, and one
that changes hands on the piece it has in the middle plus a remainder,

    max(0, z) = [z_0 > 0] z + r,      r = max(0, -z) if z_0 > 0, else max(0, z),

which is one number for each setting. A layer is then one matrix product with a column for z_0, one for each J_k and one
for each remainder so far, however many settings there are. Which neurons change is decided at the settings themselves.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np
from numba import carray, njit

from dnpu_models.chip_surrogate_kernel import (
    AMPLIFICATION_A,
    HEADER,
    HELD,
    N_HIDDEN,
    N_INPUTS,
    N_OUTPUTS,
    WIDTH,
    evaluate,
)
from dnpu_models.pointers import DEVICE_SIGNATURE, as_float_pointer, c_function, load_float

ROOM = 64
"""Remainders at most; where more neurons change, settings are asked one by one."""

_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FAST)
def _box(voltages, low, high):
    """Lowest and highest voltage of each terminal; the sum of all, which is NaN where one is."""
    total = 0.0
    for k in range(low.size):
        row = voltages[k]
        least = most = row[0]
        for m in range(row.size):
            least = row[m] if row[m] < least else least
            most = row[m] if row[m] > most else most
            total += row[m]
        low[k], high[k] = least, most
    return total


@njit(cache=True, nogil=True, fastmath=_FAST)
def _span(y, reach, span):
    """How far each neuron's input can be from that in the middle: the sum of |column| times its largest factor."""
    span[:] = 0.0
    for c in range(reach.size):
        row, factor = y[1 + c], reach[c]
        for i in range(span.size):
            span[i] += abs(row[i]) * factor


@njit(cache=True, nogil=True, fastmath=_FAST)
def _input(column, factors, z):
    """Fill z with one neuron's input at all settings: `column` holds z_0, J and the shares of remainders before."""
    z[:] = column[0]
    for c in range(factors.shape[0]):
        share, factor = column[1 + c], factors[c]
        for m in range(z.size):
            z[m] += share * factor[m]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _remainder(z, on, out):
    """Fill `out` with max(0, -z) if on, else max(0, z); returns its largest value and that of the other sign."""
    most = other = abs(z[0]) * 0
    for m in range(z.size):
        value = -z[m] if on else z[m]
        out[m] = value if value > 0.0 else 0.0
        most = value if value > most else most
        other = -value if -value > other else other
    return most, other


@njit(cache=True, nogil=True, fastmath=_FAST)
def pieces(voltages, params, out, zero):
    """`chip_surrogate_kernel.evaluate` for all columns of `voltages` (n_terminals, n), in the precision of `zero`.

    Returns False, with nothing done, where more than `ROOM` neurons change between on and off.
    """
    terminals, rows = voltages.shape
    inputs, hidden, width = int(params[N_INPUTS]), int(params[N_HIDDEN]), int(params[WIDTH])
    held, outputs = int(params[HELD]), int(params[N_OUTPUTS])
    weights = params[HEADER + 2 * terminals + outputs :].view(np.float32)
    kind = zero.dtype
    most = 1 + inputs + ROOM
    low, high = np.empty(terminals), np.empty(terminals)
    total = _box(voltages, low, high)
    within = total - total == 0.0
    for k in range(terminals):
        within &= params[HEADER + k] <= low[k] and high[k] <= params[HEADER + terminals + k]
    if not within:
        out[:] = np.nan
        return True
    # the factors of the columns behind the first: distances from the middle, then remainders; `reach` is their largest
    factors, reach = np.empty((inputs + ROOM, rows), kind), np.empty(inputs + ROOM, kind)
    for j in range(inputs):
        k = j + (j >= held)
        middle = 0.5 * (low[k] + high[k])
        reach[j] = 0.5 * (high[k] - low[k])
        for m in range(rows):
            factors[j, m] = voltages[k, m] - middle
    y, block, column = np.empty((most, width), kind), np.empty((width, width), kind), np.empty(most, kind)
    handed, span, z = np.empty(most * width, kind), np.empty(width, kind), np.empty(rows, kind)
    active, on = np.empty(width, np.int64), np.zeros(width, kind)
    columns, at, count, used = 1 + inputs, 0, inputs, 0
    for layer in range(hidden):
        if layer == 0:
            y[0] = 0.0
            for j in range(inputs):
                k = j + (j >= held)
                middle, row = 0.5 * (low[k] + high[k]), weights[at + j * width : at + (j + 1) * width]
                for i in range(width):
                    y[1 + j, i] = row[i]
                    y[0, i] += middle * row[i]
        else:
            for a in range(used):
                row, copied = weights[at + active[a] * width : at + (active[a] + 1) * width], block[a]
                for i in range(width):
                    copied[i] = row[i]
            np.dot(handed[: columns * used].reshape(columns, used), block[:used], y[:columns])
        bias = weights[at + count * width : at + (count + 1) * width]
        first = y[0]
        for i in range(width):
            first[i] += bias[i]
        _span(y, reach[: columns - 1], span)
        for i in range(width):
            on[i] = 1.0 if first[i] > 0.0 else 0.0
            span[i] = 1.0 if abs(first[i]) <= span[i] else 0.0
        before = columns
        used = 0
        for i in range(width):
            changes = False
            if span[i] > 0.0:
                for c in range(before):
                    column[c] = y[c, i]
                _input(column, factors[: before - 1], z)
                if columns == most:
                    return False
                largest, other = _remainder(z, on[i] > 0.0, factors[columns - 1])
                changes = largest > 0.0 and other > 0.0
                if changes:
                    reach[columns - 1] = largest
                    span[columns - before] = i  # read from here on: these neurons lie behind
                    columns += 1
                elif largest > 0.0:
                    on[i] = 1.0 - on[i]
            active[used] = i
            used += changes or on[i] > 0.0
        some = handed[: columns * used].reshape(columns, used)
        for c in range(before):
            row = y[c]
            for a in range(used):
                some[c, a] = row[active[a]] * on[active[a]]
        for c in range(before, columns):
            for a in range(used):
                some[c, a] = 1.0 if active[a] == int(span[c - before]) else 0.0
        at += (count + 1) * width
        count = width
    out[:] = 0.0
    for k in range(outputs):
        row = weights[at + k * count : at + (k + 1) * count]
        for c in range(columns):
            column[c] = 0.0
            for a in range(used):
                column[c] += row[active[a]] * handed[c * used + a]
        column[0] += weights[at + outputs * count + k]
        _input(column, factors[: columns - 1], z)
        terminal = int(params[HEADER + 2 * terminals + k])
        for m in range(rows):
            out[terminal, m] = -params[AMPLIFICATION_A] * z[m]
    return True


@njit(cache=True)
def _many(rows, voltages, params, n_params, state, n_state, out, zero):
    terminals = int(load_float(state + 8 * n_state))
    shape = (terminals, int(rows))
    volts, found = carray(as_float_pointer(voltages), shape), carray(as_float_pointer(out), shape)
    words, scratch = carray(as_float_pointer(params), n_params), carray(as_float_pointer(state), n_state)
    if int(words[N_HIDDEN]) == 0 or not pieces(volts, words, found, zero):
        one = np.empty(terminals)
        for m in range(shape[1]):
            evaluate(0.0, volts[:, m].copy(), words, scratch, one)
            found[:, m] = one


@c_function(DEVICE_SIGNATURE)
def c_many(rows, voltages, params, n_params, state, n_state, out):
    """The surrogate at `rows` settings, in double precision, as a C function."""
    _many(rows, voltages, params, n_params, state, n_state, out, np.zeros(1))


@c_function(DEVICE_SIGNATURE)
def c_many_single(rows, voltages, params, n_params, state, n_state, out):
    """The same in single precision, for averages."""
    _many(rows, voltages, params, n_params, state, n_state, out, np.zeros(1, np.float32))
