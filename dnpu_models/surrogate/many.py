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

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, as_float_pointer, c_function, load_float
from dnpu_models.surrogate.kernel import (
    AMPLIFICATION_A,
    HEADER,
    HELD,
    N_HIDDEN,
    N_INPUTS,
    N_OUTPUTS,
    WIDTH,
    evaluate,
    state_size,
)

ROOM = 64
"""Remainders at most; where more neurons change, settings are asked one by one."""

ROWS = 384
"""Settings taken at a time."""

_FAST = {"reassoc", "contract", "nsz"}
_FINITE = {"reassoc", "contract", "nsz", "nnan", "ninf"}


@njit(cache=True)
def scratch_size(inputs, width):
    """Words of scratch for `pieces`: factors, inputs of a neuron, columns twice, weights, and small change."""
    return (inputs + ROOM + 1) * ROWS + 2 * (1 + inputs + ROOM) * width + width * width + 3 * width + 4 * ROOM


@njit(cache=True, nogil=True)
def _inside(row, low, high):
    """Whether all values are numbers within the limits."""
    count = 0
    for m in range(row.size):
        count += (row[m] >= low) & (row[m] <= high)
    return count == row.size


@njit(cache=True, nogil=True, fastmath=_FAST)
def _distances(row, factor, size):
    """Fill `factor` with the values less their mean, `size` with the amounts of that; return the mean."""
    middle = 0.0
    for m in range(row.size):
        middle += row[m]
    middle /= row.size
    for m in range(row.size):
        factor[m] = row[m] - middle
    for m in range(row.size):
        size[m] = abs(factor[m])
    return middle


@njit(cache=True, nogil=True)
def _signs(bits):
    """Whether one of the values is negative, and whether all are."""
    some, every = bits[0], bits[0]
    for m in range(bits.size):
        some |= bits[m]
        every &= bits[m]
    return some < 0, every < 0


@njit(cache=True, nogil=True)
def _largest(bits):
    """The bits of the largest of values that are not negative; as integers they have the same order."""
    most = bits[0]
    for m in range(bits.size):
        most = max(most, bits[m])
    return most


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
    count = factors.shape[0]
    for c in range(0, count - 3, 4):
        a, b, d, e = column[1 + c], column[2 + c], column[3 + c], column[4 + c]
        one, two, three, four = factors[c], factors[c + 1], factors[c + 2], factors[c + 3]
        for m in range(z.size):
            z[m] += (a * one[m] + b * two[m]) + (d * three[m] + e * four[m])
    for c in range(count - count % 4, count):
        share, factor = column[1 + c], factors[c]
        for m in range(z.size):
            z[m] += share * factor[m]


@njit(cache=True, nogil=True, fastmath=_FINITE)
def _remainder(z, sign, zero, out):
    """Fill `out` with max(0, sign z)."""
    for m in range(z.size):
        out[m] = max(sign * z[m], zero)


# Steps of `pieces`; they become parts of it, bit for bit and as fast as written there (1000 settings: 0.184 ms).


@njit(inline="always")
def _first_layer(weights, middle, width, y):
    """Fill y with the columns of the first layer's inputs: the weights, before them their sum in the middle."""
    y[0] = 0.0
    for j in range(middle.size):
        row, centre = weights[j * width : (j + 1) * width], middle[j]
        for i in range(width):
            y[1 + j, i] = row[i]
            y[0, i] += centre * row[i]


@njit(inline="always")
def _next_layer(weights, width, active, handed, block, y):
    """Fill y with the columns of a further layer's inputs, from what the active neurons before it hand on."""
    for a in range(active.size):
        row, copied = weights[active[a] * width : (active[a] + 1) * width], block[a]
        for i in range(width):
            copied[i] = row[i]
    np.dot(handed, block[: active.size], y[: handed.shape[0]])


@njit(inline="always")
def _hand_on(y, on, active, changed, before, kept):
    """Fill `kept` with the columns of the active neurons' outputs; those behind `before` are remainders."""
    for c in range(before):
        row = y[c]
        for a in range(active.size):
            kept[c, a] = row[active[a]] * on[active[a]]
    for c in range(before, kept.shape[0]):
        for a in range(active.size):
            kept[c, a] = 1.0 if active[a] == int(changed[c - before]) else 0.0


@njit(inline="always")
def _output(row, bias, active, handed, factors, column, z):
    """Fill z with an output of the network at all settings."""
    used = active.size
    for c in range(factors.shape[0] + 1):
        column[c] = 0.0
        for a in range(used):
            column[c] += row[active[a]] * handed[c * used + a]
    column[0] += bias
    _input(column, factors, z)


@njit(cache=True, nogil=True, fastmath=_FAST)
def pieces(voltages, begin, end, params, out, scratch, bits):
    """`kernel.evaluate` for columns `begin` to `end` of `voltages` (n_terminals, n).

    They are at most `ROWS`. In the precision of `scratch`, see `scratch_size`; `bits` are the same words as integers,
    whose minimum, maximum and signs the compiler can vectorise. Returns False, with nothing done, where more than
    `ROOM` neurons change between on and off.
    """
    terminals, rows = voltages.shape[0], end - begin
    inputs, hidden, width = int(params[N_INPUTS]), int(params[N_HIDDEN]), int(params[WIDTH])
    held, outputs = int(params[HELD]), int(params[N_OUTPUTS])
    weights = params[HEADER + 2 * terminals + outputs :].view(np.float32)
    most = 1 + inputs + ROOM
    for k in range(terminals):
        if not _inside(voltages[k, begin:end], params[HEADER + k], params[HEADER + terminals + k]):
            out[:, begin:end] = np.nan
            return True
    # the factors of the columns behind the first: distances from the middle, then remainders; `reach` is their largest
    size = (inputs + ROOM) * rows
    factors, z = scratch[:size].reshape(inputs + ROOM, rows), scratch[size : size + rows]
    factor_bits, z_bits = bits[:size].reshape(inputs + ROOM, rows), bits[size : size + rows]
    place = (inputs + ROOM + 1) * ROWS
    y = scratch[place : place + most * width].reshape(most, width)
    place += most * width
    handed = scratch[place : place + most * width]
    place += most * width
    block = scratch[place : place + width * width].reshape(width, width)
    place += width * width
    span, on = scratch[place : place + width], scratch[place + width : place + 2 * width]
    place += 2 * width
    reach, reach_bits = scratch[place : place + most], bits[place : place + most]
    column, middle = scratch[place + most : place + 2 * most], np.empty(inputs)
    active = np.empty(width, np.int64)
    zero = scratch[0] * 0
    for j in range(inputs):
        middle[j] = _distances(voltages[j + (j >= held), begin:end], factors[j], z)
        reach_bits[j] = _largest(z_bits)
    columns, at, count, used = 1 + inputs, 0, inputs, 0
    for layer in range(hidden):
        if layer == 0:
            _first_layer(weights[at:], middle, width, y)
        else:
            before = handed[: columns * used].reshape(columns, used)
            _next_layer(weights[at:], width, active[:used], before, block, y)
        bias = weights[at + count * width : at + (count + 1) * width]
        first = y[0]
        for i in range(width):
            first[i] += bias[i]
        _span(y, reach[: columns - 1], span)
        for i in range(width):
            on[i] = 1.0 if first[i] > 0.0 else 0.0
            span[i] = 1.0 if abs(first[i]) <= span[i] else 0.0
        known = columns
        used = 0
        for i in range(width):
            changes = False
            if span[i] > 0.0:
                for c in range(known):
                    column[c] = y[c, i]
                _input(column, factors[: known - 1], z)
                some, every = _signs(z_bits)
                changes = some and not every
                if changes:
                    if columns == most:
                        return False
                    _remainder(z, -1.0 if on[i] > 0.0 else 1.0, zero, factors[columns - 1])
                    reach_bits[columns - 1] = _largest(factor_bits[columns - 1])
                    span[columns - known] = i  # read from here on: these neurons lie behind
                    columns += 1
                else:
                    on[i] = 0.0 if every else 1.0
            active[used] = i
            used += changes or on[i] > 0.0
        _hand_on(y, on, active[:used], span, known, handed[: columns * used].reshape(columns, used))
        at += (count + 1) * width
        count = width
    out[:, begin:end] = 0.0
    for k in range(outputs):
        row, bias = weights[at + k * count : at + (k + 1) * count], weights[at + outputs * count + k]
        _output(row, bias, active[:used], handed, factors[: columns - 1], column, z)
        terminal = int(params[HEADER + 2 * terminals + k])
        line = out[terminal, begin:end]
        for m in range(rows):
            line[m] = -params[AMPLIFICATION_A] * z[m]
    return True


@njit(cache=True)
def _many(rows, voltages, params, n_params, state, n_state, out, single):
    terminals = int(load_float(state + 8 * n_state))
    shape = (terminals, int(rows))
    volts, found = carray(as_float_pointer(voltages), shape), carray(as_float_pointer(out), shape)
    words, known = carray(as_float_pointer(params), n_params), carray(as_float_pointer(state), n_state)
    scratch = known[state_size(int(words[N_HIDDEN]), int(words[WIDTH]), int(words[N_OUTPUTS])) :]
    one, answer = np.empty(terminals), np.empty(terminals)
    for begin in range(0, shape[1], ROWS):
        end = min(begin + ROWS, shape[1])
        done = False
        if int(words[N_HIDDEN]) > 0:
            if single:
                done = pieces(volts, begin, end, words, found, scratch.view(np.float32), scratch.view(np.int32))
            else:
                done = pieces(volts, begin, end, words, found, scratch, scratch.view(np.int64))
        if not done:
            for m in range(begin, end):
                one[:] = volts[:, m]
                evaluate(0.0, one, words, known, answer)
                found[:, m] = answer


@c_function(DEVICE_SIGNATURE)
def c_many(rows, voltages, params, n_params, state, n_state, out):
    """The surrogate at `rows` settings, in double precision, as a C function."""
    _many(rows, voltages, params, n_params, state, n_state, out, False)


@c_function(DEVICE_SIGNATURE)
def c_many_single(rows, voltages, params, n_params, state, n_state, out):
    """The same in single precision, for averages."""
    _many(rows, voltages, params, n_params, state, n_state, out, True)
