"""Compiled equations of the averaged loop; what they stand for is told in `averaged`."""

# mypy: ignore-errors
from __future__ import annotations

import math

import numpy as np
from numba import njit

from circuits.twin import AVERAGE, BASE_RATE, GAIN_HIGH, GAIN_LOW, GAIN_RATE, LEVEL2, OHM, POLARITY, REACH, STEP, TAU
from dnpu_models.pointers import call_device

GROUP = 8
"""Steps of a window between two evaluations of the limiters."""
GAP_STEPS = 2
"""Steps in each part of the gap between windows: ramp, wait."""
FIXED_COLUMNS = 8
"""Of a record's row: time, tia, y, loss, baseline, gain_log, target, gate; then controls, filters, volts, currents."""

# rows of a window's moments over the channels; words of its scalars
ODD, EVEN, SLOPE, PLACE, ROWS = range(5)
MEAN, VARIANCE, SCALARS = range(3)


@njit(cache=True, error_model="numpy")
def _pole_words(h, tau):
    """dm/dt = (x - m)/tau over h, x a straight line: m' = a m + b x + c x' with these a, b, c."""
    decay = math.exp(-h / tau)
    lag = tau / h * (1.0 - decay)
    return decay, lag - decay, 1.0 - lag


@njit(cache=True, error_model="numpy")
def gap(length, steps, control, filters, averages, rate_old, rate_new, gains, low, high, words, closed):
    """`length` seconds outside the windows: nothing comes from the mixers, the filters run on."""
    n, poles = control.size, filters.shape[0]
    h = length / steps
    a, b, c = _pole_words(h, words[TAU])
    d, _, _ = _pole_words(h, words[AVERAGE])
    for s in range(steps):
        speed_old = rate_old + (rate_new - rate_old) * s / steps
        speed_new = rate_old + (rate_new - rate_old) * (s + 1) / steps
        for k in range(n):
            old, new, mean = 0.0, 0.0, 0.0
            for p in range(poles):
                value = filters[p, k]
                filters[p, k] = a * value + b * old + c * new
                mean = 0.5 * (old + new) - words[TAU] * (filters[p, k] - value) / h  # exact
                shift = mean - 0.5 * (value + filters[p, k])  # hand on a straight line with this mean
                old, new = value + shift, filters[p, k] + shift
            if closed:
                value = averages[k]
                averages[k] = d * value + (1.0 - d) * mean
                speed = speed_old * math.tanh(gains[k] * value / words[STEP])
                speed += speed_new * math.tanh(gains[k] * averages[k] / words[STEP])
                moved = control[k] - 0.5 * h * words[STEP] * speed
            else:
                moved = control[k] + h * gains[k] * mean
            control[k] = min(max(moved, low[k]), high[k])


@njit(cache=True, error_model="numpy")
def edge(sign, heard, sines, cosines, tones, h, filters, words):
    """Where the gate opens (sign 1) or closes (-1), int E sin(theta_k) dt begins or ends at -E cos(theta_k)/omega_k.

    Straight lines between nodes, few to a cycle, have (h/2) cot(omega h/2) in place of 1/omega; the rest comes here.
    """
    for k in range(tones.size):
        if tones[k] > 0.0:
            rest = 1.0 / tones[k] - 0.5 * h / math.tan(0.5 * h * tones[k])
            filters[0, k] += sign * heard * rest * cosines[k] / words[TAU]


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def window(
    start, length, control, filters, averages, slow, rows, scalars, series, table, cotable, amplitudes, tones, phases,
    target, rate, gains, low, high, words, closed, loss_mode, record,
):  # fmt: skip
    """The loop over one window, the device taken as its average, its slopes and the averages' second order.

    tia(t) = <tia> + sum_j slope_j (w_j(t) - place_j + alpha_j sin theta_j(t)), so that beats of the tones are there;
    what that line lacks in <E> and <E sin theta_k> is added as a constant. An opened loop has tia(t) in `series`.
    """
    n, poles = control.size, filters.shape[0]
    nodes = table.shape[0]
    h = length / nodes
    a, b, c = _pole_words(h, words[TAU])
    d, e, f = _pole_words(h, words[AVERAGE])
    turn_sin, turn_cos = np.sin(tones * start + phases), np.cos(tones * start + phases)
    speed, speed_before, place = np.zeros(n), np.zeros(n), control.copy()
    sines, x, x_old = np.empty(n), np.zeros(n), np.zeros(n)
    odd, even, slope, middle = rows[ODD], rows[EVEN], rows[SLOPE], rows[PLACE]
    swing = slope * amplitudes
    variance = scalars[VARIANCE]
    for k in range(n):
        variance -= 0.5 * swing[k] * swing[k]
        if closed:
            speed[k] = -rate * words[STEP] * math.tanh(gains[k] * averages[k] / words[STEP])
            speed_before[k] = speed[k]
    base, log = slow[0], slow[1]
    u, short, t = 0.0, 0.0, 0.0
    for m in range(nodes + 1):
        at = m if m < nodes else 0
        tia = scalars[MEAN]
        if closed:
            drift = 0.0
            for k in range(n):
                sines[k] = table[at, k] * turn_cos[k] + cotable[at, k] * turn_sin[k]
                drift += slope[k] * (place[k] - middle[k])
                tia += swing[k] * sines[k]
            mean = scalars[MEAN] + drift
            tia += drift
        else:
            for k in range(n):
                sines[k] = table[at, k] * turn_cos[k] + cotable[at, k] * turn_sin[k]
            tia = series[at]
            mean = tia
        if m > 0:
            base = min(max(slow[0] + words[BASE_RATE] * h * u, -words[REACH]), words[REACH])
            log = min(max(slow[1] + words[GAIN_RATE] * h * short, words[GAIN_LOW]), words[GAIN_HIGH])
        gain = words[POLARITY] * math.exp(log)
        y = gain * (tia - base)
        extra = gain * gain * variance
        heard = (y - target) * (y - target) + extra if loss_mode else tia - base
        second = gain * gain if loss_mode else 0.0
        for k in range(n):
            x[k] = heard * sines[k] + second * even[k]
        u_new = tia - base
        short_new = words[LEVEL2] - y * y - extra
        if m == 0:
            edge(1.0, heard, turn_sin, turn_cos, tones, h, filters, words)
        else:
            for k in range(n):
                value = filters[0, k]
                filters[0, k] = a * value + b * x_old[k] + c * x[k]
                x_old[k] = value
            for p in range(1, poles):
                for k in range(n):
                    value = filters[p, k]
                    filters[p, k] = a * value + b * x_old[k] + c * filters[p - 1, k]
                    x_old[k] = value
            if closed:
                for k in range(n):
                    averages[k] = d * averages[k] + e * x_old[k] + f * filters[poles - 1, k]
                    place[k] += h * speed[k]
            else:
                for k in range(n):
                    control[k] += 0.5 * h * gains[k] * (x_old[k] + filters[poles - 1, k])
            slow[0] = slow[0] + words[BASE_RATE] * 0.5 * h * (u + u_new)
            slow[1] = slow[1] + words[GAIN_RATE] * 0.5 * h * (short + short_new)
            slow[0] = min(max(slow[0], -words[REACH]), words[REACH])
            slow[1] = min(max(slow[1], words[GAIN_LOW]), words[GAIN_HIGH])
        x_old[:] = x
        u, short = u_new, short_new
        if m == nodes:
            edge(-1.0, heard, turn_sin, turn_cos, tones, h, filters, words)
        if m % GROUP == 0:
            if closed:  # a trapezoid over the group; within the next one the speed goes on as it changed in this one
                for k in range(n):
                    now = -rate * words[STEP] * math.tanh(gains[k] * averages[k] / words[STEP])
                    if m > 0:
                        moved = control[k] + 0.5 * GROUP * h * (speed_before[k] + now)
                        control[k] = min(max(moved, low[k]), high[k])
                        speed[k] = now + 0.5 * (now - speed_before[k])
                    speed_before[k] = now
                    place[k] = control[k]
            row = record[m // GROUP]
            row[0] = start + m * h
            row[1] = mean
            row[2] = gain * (mean - base)
            row[3] = (row[2] - target) ** 2 + (gain * gain * scalars[VARIANCE] if closed else 0.0)
            row[4] = slow[0]
            row[5] = slow[1]
            row[6] = target
            row[7] = 1.0
            row[FIXED_COLUMNS : FIXED_COLUMNS + n] = control
            row[FIXED_COLUMNS + n : FIXED_COLUMNS + 2 * n] = filters[poles - 1]


@njit(cache=True, error_model="numpy")
def ask(evaluate, many, params, state, volts, out):
    """Currents at all rows of `volts`, in one call where the device can."""
    if many != 0:
        call_device(many, float(volts.shape[0]), volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                    state.size - 1, out.ctypes.data)  # fmt: skip
        return
    for m in range(volts.shape[0]):
        call_device(evaluate, 0.0, volts[m].ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                    state.size - 1, out[m].ctypes.data)  # fmt: skip


@njit(cache=True, error_model="numpy")
def take_moments(tia, sines, amplitudes, where, rows, scalars):
    """Moments of tia over the quadrature points, with controls `where` (points, n) and `sines` (points, n).

    <tia>, <d^2>, <d sin theta_k> and <d^2 sin theta_k>, d = tia without its mean and without the drift of the controls
    through the points, which is known from the slopes (2/alpha_k) <d sin theta_k>.
    """
    points, n = sines.shape
    odd, even, slope, place = rows[ODD], rows[EVEN], rows[SLOPE], rows[PLACE]
    rows[:] = 0.0
    scalars[:] = 0.0
    for m in range(points):
        scalars[MEAN] += tia[m] / points
    for m in range(points):
        for k in range(n):
            odd[k] += (tia[m] - scalars[MEAN]) * sines[m, k] / points
            place[k] += where[m, k] / points
    for k in range(n):
        slope[k] = 2.0 * odd[k] / amplitudes[k] if amplitudes[k] > 0.0 else 0.0
    for m in range(points):
        d = tia[m] - scalars[MEAN]
        for k in range(n):
            d -= slope[k] * (where[m, k] - place[k])
        scalars[VARIANCE] += d * d / points
        for k in range(n):
            even[k] += d * d * sines[m, k] / points


@njit(cache=True)
def lattice(vector, number, points, sines, times):
    """Dither phases and times of a window's quadrature points; a different shift in each window, `number`.

    A rank-1 lattice with odd `vector` and an even number of points: point m + points/2 has the opposite sines and the
    same time as point m, so that all even terms cancel exactly; products of two sines are orthogonal exactly.
    """
    half = points // 2
    for k in range(vector.size):
        shift = (number * _irrational(k)) % 1.0
        for m in range(half):
            value = math.sin(2.0 * math.pi * (vector[k] * m / points + shift))
            sines[m, k] = value
            sines[m + half, k] = -value
    jump = int(0.618 * half) | 1
    shift = (number * 0.7548776662466927) % 1.0
    for m in range(half):
        times[m] = ((m * jump) % half + shift) / half
        times[m + half] = times[m]


@njit(cache=True)
def _irrational(k):
    """Fractional parts of square roots of different squarefree numbers: steps of the shifts from window to window."""
    return math.sqrt(k * (k + 1) + 2.0) % 1.0


@njit(cache=True, error_model="numpy")
def integrate(
    evaluate, many, params, state, starts, length, half_edge, wait, ramp, stop, levels, targets, rates, scales,
    amplitudes, control, filters, averages, slow, trained, output, tones, phases, vector, points, table, cotable, gains,
    low, high, words, closed, loss_mode, record,
):  # fmt: skip
    """All windows, one after the other. Returns the rows written; minus the window's number less 1 where it failed."""
    n, patterns, terminals = control.size, targets.size, levels.shape[1]
    nodes = table.shape[0]
    groups = nodes // GROUP
    if not closed:
        points = nodes
    sines, times, where = np.empty((points, n)), np.zeros(points), np.zeros((points, n))
    volts, out, tia = np.empty((points, terminals)), np.empty((points, terminals)), np.empty(points)
    rows, scalars = np.zeros((patterns, ROWS, n)), np.zeros((patterns, SCALARS))
    mixed = np.zeros((patterns, n))
    now, rate, row = 0.0, 0.0, 0
    for number in range(starts.size):
        pattern = number % patterns
        start = starts[number]
        previous, rate = rate, rates[number]
        moving = start - half_edge - wait - ramp  # the inputs move, then wait; the rate changes while they move
        if moving - now > 1e-9 * length:
            gap(moving - now, 1, control, filters, averages, previous, previous, gains, low, high, words, closed)
        gap(ramp, GAP_STEPS, control, filters, averages, previous, rate, gains, low, high, words, closed)
        gap(wait + half_edge, GAP_STEPS, control, filters, averages, rate, rate, gains, low, high, words, closed)
        if closed:
            lattice(vector, number, points, sines, times)
        else:
            for k in range(n):
                angle = tones[k] * start + phases[k]
                for m in range(points):
                    sines[m, k] = table[m, k] * math.cos(angle) + cotable[m, k] * math.sin(angle)
        for k in range(trained.size):
            first = last = control[k] if closed else 0.0
            if closed:  # where the control will be: the averager nears what the mixer gave with this pattern last time
                ahead = math.exp(-0.5 * length / words[AVERAGE])
                seen = mixed[pattern, k] + (averages[k] - mixed[pattern, k]) * ahead
                last = first - rate * length * words[STEP] * math.tanh(gains[k] * seen / words[STEP])
                last = min(max(last, low[k]), high[k])
            for m in range(points):
                where[m, k] = first + times[m] * (last - first)
        for m in range(points):
            volts[m] = levels[pattern]
            for k in range(trained.size):
                volts[m, trained[k]] += where[m, k] + scales[number] * amplitudes[k] * sines[m, k]
        ask(evaluate, many, params, state, volts, out)
        for m in range(points):
            tia[m] = -words[OHM] * out[m, output]
        take_moments(tia, sines, scales[number] * amplitudes, where, rows[pattern], scalars[pattern])
        if not math.isfinite(scalars[pattern, MEAN]):
            return -number - 1
        written = record[row : row + groups + 1]
        window(start, length, control, filters, averages, slow, rows[pattern], scalars[pattern], tia, table, cotable,
               scales[number] * amplitudes, tones, phases, targets[pattern], rate, gains, low, high, words, closed,
               loss_mode, written)  # fmt: skip
        gain = words[POLARITY] * math.exp(slow[1])
        for k in range(n):
            y = gain * (scalars[pattern, MEAN] - slow[0])
            second = gain * rows[pattern, EVEN, k] + 2.0 * (y - targets[pattern]) * rows[pattern, ODD, k]
            mixed[pattern, k] = gain * second
        column = FIXED_COLUMNS + 2 * n
        for k in range(terminals):
            mean = 0.0
            for m in range(points):
                mean += out[m, k] / points
            for s in range(groups + 1):
                written[s, column + k] = levels[pattern, k]
                written[s, column + terminals + k] = mean
        if closed:
            for s in range(groups + 1):
                for k in range(trained.size):
                    written[s, column + trained[k]] += written[s, FIXED_COLUMNS + k]
        row += groups + 1
        now = start + length
    steps = 1 if closed else 64
    gap(stop - now, steps, control, filters, averages, rate, rate, gains, low, high, words, closed)
    record[row] = record[row - 1]
    record[row, 0] = stop
    record[row, 7] = 0.0
    record[row, FIXED_COLUMNS : FIXED_COLUMNS + n] = control
    record[row, FIXED_COLUMNS + n : FIXED_COLUMNS + 2 * n] = filters[filters.shape[0] - 1]
    return row + 1
