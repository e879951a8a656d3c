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
ATTEMPTS = 4
NEAR_V = 0.02
"""A window is done again with the device asked where the controls went, if that is farther off than this part of the
dither from where they were expected; so many times at most."""
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


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _mean(control, slope, middle, mean, swing2, slow, target, words, loss_mode, odd, even, told, x):
    """Averages over the dither, with the controls at `control`: of tia, y, E, of what the mixers get and give."""
    tia = mean
    for k in range(control.size):
        tia += slope[k] * (control[k] - middle[k])
    gain = words[POLARITY] * math.exp(slow[1])
    told[0] = tia
    told[1] = gain * (tia - slow[0])
    told[2] = (told[1] - target) ** 2 + gain * gain * swing2
    told[3] = told[2] if loss_mode else tia - slow[0]
    for k in range(control.size):
        x[k] = gain * (gain * even[k] + 2.0 * (told[1] - target) * odd[k]) if loss_mode else odd[k]


@njit(cache=True, error_model="numpy")
def rests(tones, h):
    """1/Omega - (h/2) cot(Omega h/2) of the tones, their differences and their sums: see `edge`."""
    n = tones.size
    result = np.zeros((1 + 2 * n, n))
    for k in range(n):
        result[0, k] = _rest(tones[k], h)
        for j in range(n):
            if j != k:
                result[1 + j, k] = _rest(tones[j] - tones[k], h)
            result[1 + n + j, k] = _rest(tones[j] + tones[k], h)
    return result


@njit(cache=True, error_model="numpy")
def _rest(omega, h):
    return 1.0 / omega - 0.5 * h / math.tan(0.5 * h * omega)


@njit(cache=True, error_model="numpy")
def edge(sign, heard, x, sines, cosines, rest, filters, words):
    """Where the gate opens (sign 1) or closes (-1), the integral of an oscillation begins or ends off its mean.

    int sin(theta) dt = -cos(theta)/Omega + cos(theta_0)/Omega; straight lines between a few nodes a cycle have
    (h/2) cot(Omega h/2) in place of 1/Omega. What is missing, of E_0 sin(theta_k) and of the products of the
    fundamentals, 2 <E sin theta_j> sin(theta_j) sin(theta_k), comes here.
    """
    n = x.size
    for k in range(n):
        area = heard * rest[0, k] * cosines[k]
        for j in range(n):
            one, two = sines[j] * cosines[k], cosines[j] * sines[k]
            area += x[j] * ((one + two) * rest[1 + n + j, k] - (one - two) * rest[1 + j, k])
        filters[0, k] += sign * area / words[TAU]


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def window(
    start, length, control, filters, averages, slow, mixed, series, rows, path, mean, swing2, variance, even, sines, turn_sin, turn_cos,
    rest, target, rate, gains, low, high, words, closed, loss_mode, taken, record,
):  # fmt: skip
    """The loop over one window: tia(t) is `series` on the nodes, where the controls are on `path`.

    Where the controls are elsewhere, their slope tells the difference. `rows` holds the moments; `mean` is <tia>, `swing2` the variance of tia;
    `variance` and `even` are what the series lacks of it and of <tia^2 sin theta_k>. Leaves in `mixed` the means of what went into the low-passes, and the controls' way in `taken`.
    """
    n, poles = control.size, filters.shape[0]
    slope = rows[SLOPE]
    nodes = sines.shape[0] - 1
    h = length / nodes
    a, b, c = _pole_words(h, words[TAU])
    d, e, f = _pole_words(h, words[AVERAGE])
    speed, last, place = np.zeros(n), np.zeros(n), control.copy()
    x, x_old, gathered = np.zeros(n), np.zeros(n), np.zeros(n)
    mixed[:] = 0.0
    if closed:
        for k in range(n):
            last[k] = -rate * words[STEP] * math.tanh(gains[k] * averages[k] / words[STEP])
            speed[k] = last[k]
    base, log = slow[0], slow[1]
    u, short = 0.0, 0.0
    told, middle, beats = np.zeros(4), np.zeros(n), np.zeros(n)
    for m in range(nodes):
        for k in range(n):
            middle[k] += path[m, k] / nodes
    for m in range(nodes + 1):
        tia = series[m]
        drift = 0.0
        for k in range(n):
            drift += slope[k] * (place[k] - path[m, k])
            taken[m, k] = place[k]
        tia += drift
        if m > 0:
            base = min(max(slow[0] + words[BASE_RATE] * h * u, -words[REACH]), words[REACH])
            log = min(max(slow[1] + words[GAIN_RATE] * h * short, words[GAIN_LOW]), words[GAIN_HIGH])
        gain = words[POLARITY] * math.exp(log)
        y = gain * (tia - base)
        extra = gain * gain * variance
        heard = (y - target) * (y - target) + extra if loss_mode else tia - base
        second = gain * gain if loss_mode else 0.0
        for k in range(n):
            x[k] = heard * sines[m, k] + second * even[k]
        u_new = tia - base
        short_new = words[LEVEL2] - y * y - extra
        if m > 0:
            for k in range(n):
                mixed[k] += 0.5 * (x_old[k] + x[k])
            for p in range(poles):
                for k in range(n):
                    value = filters[p, k]
                    new = x[k] if p == 0 else filters[p - 1, k]
                    filters[p, k] = a * value + b * x_old[k] + c * new
                    x_old[k] = value
            if closed:
                for k in range(n):
                    averages[k] = d * averages[k] + e * x_old[k] + f * filters[poles - 1, k]
                    gathered[k] += averages[k]
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
        if m % GROUP == 0:
            if closed and m > 0:  # the limiter at the group's mean; within the next one the speed goes on changing
                for k in range(n):
                    now = -rate * words[STEP] * math.tanh(gains[k] * gathered[k] / (GROUP * words[STEP]))
                    control[k] = min(max(control[k] + GROUP * h * now, low[k]), high[k])
                    speed[k] = 2.0 * now - last[k]
                    last[k] = now
                    place[k] = control[k]
                    gathered[k] = 0.0
            _mean(control, slope, middle, mean, swing2, slow, target, words, loss_mode, rows[ODD], rows[EVEN], told,
                  beats)  # fmt: skip
            if m == 0:
                edge(1.0, told[3], beats, turn_sin, turn_cos, rest, filters, words)
            elif m == nodes:
                edge(-1.0, told[3], beats, turn_sin, turn_cos, rest, filters, words)
            row = record[m // GROUP]
            row[0] = start + m * h
            row[1] = told[0]
            row[2] = told[1]
            row[3] = told[2]
            row[4] = slow[0]
            row[5] = slow[1]
            row[6] = target
            row[7] = 1.0
            row[FIXED_COLUMNS : FIXED_COLUMNS + n] = control
            row[FIXED_COLUMNS + n : FIXED_COLUMNS + 2 * n] = filters[poles - 1]
    for k in range(n):
        mixed[k] /= nodes


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
def take_moments(tia, sines, amplitudes, where, points, rows, scalars):
    """Moments of tia over the first `points` settings, with controls `where` (points, n) and `sines` (points, n).

    <tia>, <d^2>, <d sin theta_k> and <d^2 sin theta_k>, d = tia without its mean and without the drift of the controls
    through the points, which is known from the slopes (2/alpha_k) <d sin theta_k>.
    """
    n = sines.shape[1]
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
    low, high, words, closed, loss_mode, tally, record,
):  # fmt: skip
    """All windows, one after the other. Returns the rows written; minus the window's number less 1 where it failed.

    With `points` = 0 the device is asked at all nodes, else at that many points of a lattice.
    """
    n, patterns, terminals = control.size, targets.size, levels.shape[1]
    nodes = table.shape[0]
    groups = nodes // GROUP
    asked = points if points > 0 else nodes + 1
    phase, times, where = np.empty((asked, n)), np.zeros(asked), np.zeros((asked, n))
    volts, out, tia = np.empty((asked, terminals)), np.empty((asked, terminals)), np.empty(asked)
    rows, scalars = np.zeros((ROWS, n)), np.zeros(SCALARS)
    sines, path, series = np.zeros((nodes + 1, n)), np.zeros((nodes + 1, n)), np.zeros(nodes + 1)
    mixed, turn_sin, turn_cos = np.zeros((patterns, n)), np.zeros(n), np.zeros(n)
    taken, largest = np.zeros((nodes + 1, n)), np.max(amplitudes)
    kept_control, kept_filters, kept_averages, kept_slow = control.copy(), filters.copy(), averages.copy(), slow.copy()
    rest, nothing = rests(tones, length / nodes), np.zeros(n)
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
        for k in range(n):
            turn_sin[k] = math.sin(tones[k] * start + phases[k])
            turn_cos[k] = math.cos(tones[k] * start + phases[k])
        for m in range(nodes + 1):
            at = m if m < nodes else 0
            for k in range(n):
                sines[m, k] = table[at, k] * turn_cos[k] + cotable[at, k] * turn_sin[k]
        if points > 0:
            lattice(vector, number, points, phase, times)
        else:
            phase = sines
            for m in range(nodes + 1):
                times[m] = m / nodes
        if closed:  # where the controls will be: the averager nears what the mixer gave with this pattern last time
            ahead = math.exp(-length / words[AVERAGE])
            for k in range(n):
                seen = mixed[pattern, k] + (averages[k] - mixed[pattern, k]) * ahead
                first = -rate * length * words[STEP] * math.tanh(gains[k] * averages[k] / words[STEP])
                last = -rate * length * words[STEP] * math.tanh(gains[k] * seen / words[STEP])
                for m in range(asked):
                    value = control[k] + times[m] * (first + 0.5 * times[m] * (last - first))
                    where[m, k] = min(max(value, low[k]), high[k])
        kept_control[:], kept_filters[:], kept_averages[:], kept_slow[:] = control, filters, averages, slow
        for attempt in range(ATTEMPTS):
            for m in range(asked):
                volts[m] = levels[pattern]
                for k in range(n):
                    volts[m, trained[k]] += where[m, k] + scales[number] * amplitudes[k] * phase[m, k]
            ask(evaluate, many, params, state, volts, out)
            for m in range(asked):
                tia[m] = -words[OHM] * out[m, output]
            take_moments(tia, phase, scales[number] * amplitudes, where, asked if points > 0 else nodes, rows, scalars)
            if not math.isfinite(scalars[MEAN]):
                return -number - 1
            swing2 = scalars[VARIANCE]
            if points > 0:
                for m in range(nodes + 1):
                    series[m] = scalars[MEAN]
                    path[m] = rows[PLACE]
                    for k in range(n):
                        series[m] += rows[SLOPE, k] * scales[number] * amplitudes[k] * sines[m, k]
                for k in range(n):
                    scalars[VARIANCE] -= 0.5 * (rows[SLOPE, k] * scales[number] * amplitudes[k]) ** 2
            else:
                series, path = tia, where
                scalars[VARIANCE] = 0.0
            written = record[row : row + groups + 1]
            window(start, length, control, filters, averages, slow, mixed[pattern], series, rows, path,
                   scalars[MEAN], swing2, scalars[VARIANCE], rows[EVEN] if points > 0 else nothing, sines, turn_sin,
                   turn_cos, rest, targets[pattern], rate, gains, low, high, words,
                   closed, loss_mode, taken, written)  # fmt: skip
            tally[0] += asked
            off = 0.0
            for m in range(nodes + 1):
                for k in range(n):
                    off = max(off, abs(taken[m, k] - path[m, k]))
            if points > 0 or not closed or off <= NEAR_V * largest or attempt == ATTEMPTS - 1:
                break
            control[:], filters[:], averages[:], slow[:] = kept_control, kept_filters, kept_averages, kept_slow
            where[:] = taken
        column = FIXED_COLUMNS + 2 * n
        for k in range(terminals):
            mean = 0.0
            for m in range(asked):
                mean += out[m, k] / asked
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
