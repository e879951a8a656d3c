"""Compiled equations of the averaged loop; what they stand for is told in `averaged`."""

# mypy: ignore-errors
from __future__ import annotations

import math

import numpy as np
from numba import njit

from circuits.homodyne.twin import (
    BASE_ADD,
    BASE_RATE,
    DRIFT,
    E_ADD,
    E_TARGET,
    E_Y,
    FEED,
    GAIN_ADD,
    GAIN_HIGH,
    GAIN_LOW,
    GAIN_RATE,
    HEAR,
    HEAR_ADD,
    L_0,
    L_1,
    L_2,
    LIMIT_ADD,
    MIX,
    MIX_ADD,
    MIX_FEED,
    OHM,
    POLARITY,
    RATE,
    REACH,
    SHORT_0,
    SHORT_1,
    SHORT_2,
    SLOPE,
    SUM,
    TIA,
    U_ADD,
    U_TIA,
    Y_ADD,
    limited,
    limited_at,
)
from dnpu_models.interface.pointers import call_device

GROUP = 16
"""Steps of a window between two evaluations of the limiters."""
ATTEMPTS = 4
NEAR, NEAR_LATTICE = 0.02, 0.1
"""A window is done again with the device asked where the controls went, if that is farther off than this part of the
dither from where they were expected; so many times at most."""
GAP_STEPS = 2
"""Steps in each part of the gap between windows: ramp, wait."""
FIXED_COLUMNS = 8
"""Of a record's row: time, tia, y, loss, baseline, gain_log, target, gate; then controls, filters, volts, currents."""

# rows of a window's moments over the channels; words of its scalars
ODD, EVEN, BY_CONTROL, PLACE, ROWS = range(5)
MEAN, VARIANCE, SCALARS = range(3)


@njit(cache=True, error_model="numpy")
def _pole_words(h, tau):
    """dm/dt = (x - m)/tau over h, x a straight line: m' = a m + b x + c x' with these a, b, c."""
    decay = math.exp(-h / tau)
    lag = tau / h * (1.0 - decay)
    return decay, lag - decay, 1.0 - lag


@njit(cache=True, error_model="numpy")
def gap(length, steps, control, filters, averages, rate_old, rate_new, gains, low, high, taus, words, channels, closed):
    """`length` seconds outside the windows: only offsets come from the mixers, the filters run on."""
    n, poles = control.size, filters.shape[0]
    h = length / steps
    for k in range(n):
        for s in range(steps):
            speed_old = rate_old + (rate_new - rate_old) * s / steps
            speed_new = rate_old + (rate_new - rate_old) * (s + 1) / steps
            old, new, mean = channels[MIX_ADD, k], channels[MIX_ADD, k], channels[MIX_ADD, k]
            for p in range(poles):
                a, b, c = _pole_words(h, taus[p, k])
                value = filters[p, k]
                filters[p, k] = a * value + b * old + c * new
                mean = 0.5 * (old + new) - taus[p, k] * (filters[p, k] - value) / h  # exact
                shift = mean - 0.5 * (value + filters[p, k])  # hand on a straight line with this mean
                old, new = value + shift, filters[p, k] + shift
            moved = control[k] + h * channels[DRIFT, k]
            if closed:
                decay = math.exp(-h / taus[poles, k])
                before = limited(k, gains, averages, words, channels)
                averages[k] = decay * averages[k] + (1.0 - decay) * mean
                after = limited(k, gains, averages, words, channels)
                moved -= 0.5 * h * channels[RATE, k] * (speed_old * before + speed_new * after)
            else:
                moved += h * gains[k] * channels[RATE, k] * (mean + channels[LIMIT_ADD, k])
            control[k] = min(max(moved, low[k]), high[k])


@njit(cache=True, error_model="numpy")
def _heard_tones(gain, aim, u, odd, even, loss_mode, x):
    """Fill x with the heard's part at each tone, <(gain u - aim)^2 sin theta_k>, or <u sin theta_k> of an output."""
    if not loss_mode:
        x[:] = odd
        return
    for k in range(x.size):
        x[k] = gain * (gain * even[k] + 2.0 * (gain * u - aim) * odd[k])


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


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def products(sines, cosines, rest, partial):
    """Fill partial[k, j] with what is missing of 2 int sin(theta_j) sin(theta_k) dt: see `edge`."""
    n = sines.size
    for k in range(n):
        for j in range(n):
            one, two = sines[j] * cosines[k], cosines[j] * sines[k]
            partial[k, j] = (one + two) * rest[1 + n + j, k] - (one - two) * rest[1 + j, k]


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def edge(sign, heard, x, cosines, partial, rest, filters, taus, mix):
    """Where the gate opens (sign 1) or closes (-1), the integral of an oscillation begins or ends off its mean.

    int sin(theta) dt = -cos(theta)/Omega + cos(theta_0)/Omega; straight lines between a few nodes a cycle have
    (h/2) cot(Omega h/2) in place of 1/Omega. What is missing, of E_0 sin(theta_k) and of the products of the
    fundamentals, 2 <E sin theta_j> sin(theta_j) sin(theta_k), comes here.
    """
    for k in range(x.size):
        area = heard * rest[0, k] * cosines[k]
        for j in range(x.size):
            area += x[j] * partial[k, j]
        filters[0, k] += sign * mix[k] * area / taus[0, k]


@njit(cache=True, error_model="numpy")
def group_map(h, taus):
    """What a group of steps does to one channel's filters, of time constants `taus`, the averager's last; a matrix.

    Columns: low-passes and averager before, then the mixer's output at the group's nodes. Rows: low-passes and averager
    after; then means over the group of the averager and of the last low-pass.
    """
    size = taus.size
    poles = size - 1
    d, e, f = _pole_words(h, taus[poles])
    result = np.zeros((size + 2, size + GROUP + 1))
    for column in range(size + GROUP + 1):
        z, x = np.zeros(size), np.zeros(GROUP + 1)
        if column < size:
            z[column] = 1.0
        else:
            x[column - size] = 1.0
        averaged, passed = 0.0, 0.0
        for m in range(1, GROUP + 1):
            old, new = x[m - 1], x[m]
            for p in range(poles):
                a, b, c = _pole_words(h, taus[p])
                value = z[p]
                z[p] = a * value + b * old + c * new
                old, new = value, z[p]
            value = z[poles]
            z[poles] = d * value + e * old + f * new
            passed += 0.5 * (old + new) / GROUP
            averaged += 0.5 * (value + z[poles]) / GROUP
        result[:size, column] = z
        result[size, column] = averaged
        result[size + 1, column] = passed
    return result


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def window(
    start, length, control, filters, averages, slow, series, rows, scalars, variance, even, sines, cosines, partial,
    rest, mapped, target, rate, gains, low, high, taus, words, channels, closed, loss_mode, taken, record,
):  # fmt: skip
    """The loop over one window, where u(t) + baseline = `series` on the nodes + sum_k slope_k w_k.

    With real parts the loss is a square still, E = L2 ((G u - aim)^2 + rest_0), and so is what the gain control hears.

    `series` (groups + 1, GROUP) and `sines` (n, groups + 1, GROUP) lie group by group, as the compiler vectorises
    loops over a constant number of nodes; a group ends with the first node of the next one.
    `variance` and `even` are what the series lacks in <u^2> and <u^2 sin theta_k>. Baseline and gain take one step
    of the linearly implicit midpoint rule in a group, and go straight within it. Leaves in `taken` the controls at the
    ends of the groups.
    """
    n, poles, groups = control.size, filters.shape[0], taken.shape[0] - 1
    slope, size, h = rows[BY_CONTROL], poles + 1, length / (groups * GROUP)
    means = size + 2 if not closed else size + 1  # the mean of the low-pass is an opened loop's
    speed, last, x, mix = np.zeros(n), np.zeros(n), np.empty(n), np.empty(n)
    u, heard, weighted = np.empty(GROUP + 1), np.empty(GROUP + 1), np.empty((means, GROUP + 1))
    state, after, steady, fed = np.empty(size), np.zeros(size + 2), np.empty(means), np.empty(means)
    unlike = mapped.shape[0] > 1  # channels with time constants of their own
    scale = words[L_2] if loss_mode else words[HEAR]
    constant = words[HEAR_ADD] / words[HEAR]
    half_loss, half_short = 0.5 * words[L_1] / words[L_2], 0.5 * words[SHORT_1] / words[SHORT_2]
    if loss_mode:
        constant = words[L_0] / words[L_2] - half_loss * half_loss
    wanted = (words[SHORT_0] + words[GAIN_ADD]) / words[SHORT_2] + half_short * half_short
    offset = scalars[MEAN]
    for k in range(n):
        offset -= slope[k] * rows[PLACE, k]
        mix[k] = channels[MIX, k] * scale
        if closed:
            last[k] = channels[DRIFT, k] - rate * channels[RATE, k] * limited(k, gains, averages, words, channels)
            speed[k] = last[k]
    pull, push = words[BASE_RATE] * GROUP * h, words[GAIN_RATE] * words[SHORT_2] * GROUP * h
    gain = words[POLARITY] * math.exp(words[SLOPE] * slow[1])
    for group in range(groups + 1):
        there, drift = 0.0, 0.0
        for k in range(n):
            there += slope[k] * control[k]
            drift += slope[k] * h * speed[k]
            taken[group, k] = control[k]
            record[FIXED_COLUMNS + k, group] = control[k]
            record[FIXED_COLUMNS + n + k, group] = filters[poles - 1, k]
        extra = words[FEED] * slow[1] + words[Y_ADD]  # of y, beside gain u
        aim = words[E_TARGET] * target - words[E_ADD] - words[E_Y] * extra - half_loss
        here, factor = offset + there - slow[0], words[E_Y] * gain
        loss = (factor * here - aim) ** 2 + factor * factor * scalars[VARIANCE] + constant
        record[0, group] = start + group * GROUP * h
        record[1, group] = (offset + there - words[U_ADD]) / words[U_TIA]
        record[2, group] = gain * here + extra
        record[3, group] = words[L_2] * loss
        record[4, group] = slow[0]
        record[5, group] = slow[1]
        record[6, group] = target
        record[7, group] = 1.0
        if group == 0 or group == groups:
            sign, mean = 1.0 if group == 0 else -1.0, loss if loss_mode else here + constant
            _heard_tones(factor, aim, here, rows[ODD], rows[EVEN], loss_mode, x)
            edge(sign, mean, x, cosines, partial, rest, filters, taus, mix)
            if group == groups:
                break
        level = there - slow[0]
        for j in range(GROUP):
            u[j] = series[group, j] + level + j * drift
        u[GROUP] = series[group + 1, 0] + level + GROUP * drift
        total = 0.5 * (u[GROUP] - u[0])
        for j in range(GROUP):
            total += u[j]
        base = slow[0] + pull * (total / GROUP + words[BASE_ADD]) / (1.0 + 0.5 * pull)
        base = min(max(base, -words[REACH]), words[REACH])
        step = (base - slow[0]) / GROUP
        for j in range(GROUP + 1):
            u[j] -= j * step
        square = 0.5 * (u[GROUP] * u[GROUP] - u[0] * u[0])
        for j in range(GROUP):
            square += u[j] * u[j]
        extra += half_short
        power = gain * gain * (square / GROUP + variance)
        power += extra * (2.0 * gain * (total / GROUP - 0.5 * GROUP * step) + extra)
        log = slow[1] + push * (wanted - power) / (1.0 + push * power)
        log = min(max(log, words[GAIN_LOW]), words[GAIN_HIGH])
        ahead = words[POLARITY] * math.exp(words[SLOPE] * log)
        step = words[E_Y] * (ahead - gain) / GROUP
        if loss_mode:
            for j in range(GROUP + 1):
                now = factor + j * step
                heard[j] = (now * u[j] - aim) ** 2 + now * now * variance + constant
        else:
            for j in range(GROUP + 1):
                heard[j] = u[j] + constant
        second = words[E_Y] * words[E_Y] * gain * ahead if loss_mode else 0.0
        slow[0], slow[1], gain = base, log, ahead
        for k in range(n):
            matrix = mapped[k if unlike else 0]
            if k == 0 or unlike:
                for r in range(means):
                    fed[r], steady[r] = 0.0, 0.0
                    for j in range(GROUP + 1):
                        weighted[r, j] = matrix[r, size + j] * heard[j]
                        fed[r] += weighted[r, j]
                        steady[r] += matrix[r, size + j]
            for p in range(poles):
                state[p] = filters[p, k]
            state[poles] = averages[k]
            for r in range(means):
                total = weighted[r, GROUP] * sines[k, group + 1, 0] + steady[r] * second * even[k]
                for j in range(GROUP):
                    total += weighted[r, j] * sines[k, group, j]
                total = mix[k] * total + scale * channels[MIX_FEED, k] * fed[r] + channels[MIX_ADD, k] * steady[r]
                for p in range(size):
                    total += matrix[r, p] * state[p]
                after[r] = total
            for p in range(poles):
                filters[p, k] = after[p]
            averages[k] = after[poles]
            if closed:  # the limiter at the group's mean; within the next one the speed goes on changing
                now = channels[DRIFT, k] - rate * channels[RATE, k] * limited_at(
                    k, gains[k] * after[size], words, channels
                )
                control[k] = min(max(control[k] + GROUP * h * now, low[k]), high[k])
                speed[k] = 2.0 * now - last[k]
                last[k] = now
            else:
                now = gains[k] * channels[RATE, k] * (after[size + 1] + channels[LIMIT_ADD, k])
                control[k] += GROUP * h * (now + channels[DRIFT, k])


@njit(cache=True, error_model="numpy")
def ask(evaluate, many, params, state, volts, out):
    """Currents at all columns of `volts` (terminals, settings), in one call where the device can."""
    if many != 0:
        call_device(many, float(volts.shape[1]), volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                    state.size - 1, out.ctypes.data)  # fmt: skip
        return
    one, found = np.empty(volts.shape[0]), np.empty(volts.shape[0])
    for m in range(volts.shape[1]):
        one[:] = volts[:, m]
        call_device(evaluate, 0.0, one.ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                    state.size - 1, found.ctypes.data)  # fmt: skip
        out[:, m] = found


@njit(cache=True, error_model="numpy")
def change(evaluate, advance, params, state, volts, h):
    """How much the currents change, as a fraction, while the device passes `h` seconds at the same voltages."""
    first, then = np.empty(volts.size), np.empty(volts.size)
    call_device(evaluate, 0.0, volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data, state.size - 1,
                first.ctypes.data)  # fmt: skip
    call_device(advance, h, volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data, state.size - 1, 0)
    call_device(evaluate, h, volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data, state.size - 1,
                then.ctypes.data)  # fmt: skip
    return np.max(np.abs(then - first)) / max(np.max(np.abs(first)), 1e-30)


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def take_moments(tia, sines, amplitudes, where, points, rows, scalars):
    """Moments of tia over the first `points` settings, with controls `where` and `sines`, (n, points) each.

    <tia>, <d^2>, <d sin theta_k> and <d^2 sin theta_k>, d = tia without its mean and without the drift of the controls
    through the points, which is known from the slopes (2/alpha_k) <d sin theta_k>.
    """
    n = sines.shape[0]
    rest = np.empty(points)
    total = 0.0
    for m in range(points):
        total += tia[m]
    scalars[MEAN] = total / points
    for m in range(points):
        rest[m] = tia[m] - scalars[MEAN]
    for k in range(n):
        odd, place = 0.0, 0.0
        for m in range(points):
            odd += rest[m] * sines[k, m]
            place += where[k, m]
        rows[ODD, k] = odd / points
        rows[PLACE, k] = place / points
        rows[BY_CONTROL, k] = 2.0 * rows[ODD, k] / amplitudes[k] if amplitudes[k] > 0.0 else 0.0
    for k in range(n):
        slope, place = rows[BY_CONTROL, k], rows[PLACE, k]
        for m in range(points):
            rest[m] -= slope * (where[k, m] - place)
    total = 0.0
    for m in range(points):
        rest[m] *= rest[m]
        total += rest[m]
    scalars[VARIANCE] = total / points
    for k in range(n):
        even = 0.0
        for m in range(points):
            even += rest[m] * sines[k, m]
        rows[EVEN, k] = even / points


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
            sines[k, m] = value
            sines[k, m + half] = -value
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
def _go_on(control, averages, rate, length, gains, low, high, words, channels, taken):
    """Where the controls will be if the averager stands still, at the ends of the groups."""
    groups = taken.shape[0] - 1
    for k in range(control.size):
        speed = channels[DRIFT, k] - rate * channels[RATE, k] * limited(k, gains, averages, words, channels)
        for group in range(groups + 1):
            taken[group, k] = min(max(control[k] + speed * length * group / groups, low[k]), high[k])


@njit(cache=True, error_model="numpy")
def _sample(way, times, where):
    """The way, known on the nodes, at some times."""
    nodes = way.shape[1] - 1
    for m in range(times.size):
        s = min(int(times[m] * nodes), nodes - 1)
        part = times[m] * nodes - s
        for k in range(way.shape[0]):
            where[k, m] = way[k, s] + part * (way[k, s + 1] - way[k, s])


@njit(cache=True, error_model="numpy")
def _retrace(taken, where):
    """The way through the ends of the groups on all nodes; returns how far it is from `where` before."""
    off = 0.0
    for group in range(taken.shape[0]):
        for k in range(where.shape[0]):
            off = max(off, abs(taken[group, k] - where[k, group * GROUP]))
    for k in range(where.shape[0]):
        for group in range(taken.shape[0] - 1):
            step = (taken[group + 1, k] - taken[group, k]) / GROUP
            for j in range(GROUP):
                where[k, group * GROUP + j] = taken[group, k] + j * step
        where[k, where.shape[1] - 1] = taken[taken.shape[0] - 1, k]
    return off


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _from_moments(rows, scalars, dither, sines, series):
    """Fill `series` with what the means and slopes say: tia without its part by the controls' way.

    Returns the part of <d^2> that this leaves out.
    """
    steady, lacking = scalars[MEAN], scalars[VARIANCE]
    for k in range(dither.size):
        steady -= rows[BY_CONTROL, k] * rows[PLACE, k]
        lacking -= 0.5 * (rows[BY_CONTROL, k] * dither[k]) ** 2
    series[:] = steady
    for k in range(dither.size):
        factor = rows[BY_CONTROL, k] * dither[k]
        for m in range(sines.shape[1]):
            series[m] += factor * sines[k, m]
    return lacking


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _along(tia, slope, where, series):
    """Fill `series` with tia without its part by the controls' way, on the nodes."""
    for m in range(tia.size):
        series[m] = tia[m]
    for k in range(slope.size):
        factor = slope[k]
        for m in range(tia.size):
            series[m] -= factor * where[k, m]


@njit(cache=True, error_model="numpy")
def integrate(
    evaluate, many, params, state, starts, length, half_edge, wait, ramp, stop, levels, targets, rates, scales,
    amplitudes, control, filters, averages, slow, trained, output, tones, phases, vector, points, table, cotable, gains,
    low, high, taus, words, channels, closed, loss_mode, tally, record,
):  # fmt: skip
    """All windows, one after the other. Returns the rows written; minus the window's number less 1 where it failed.

    With `points` = 0 the device is asked at all nodes, else at that many points of a lattice.
    """
    n, patterns, terminals = control.size, targets.size, levels.shape[1]
    nodes = table.shape[1] - 1
    groups = nodes // GROUP
    asked = points if points > 0 else nodes + 1
    sines, series, tia = np.zeros((n, nodes + GROUP)), np.zeros(nodes + GROUP), np.zeros(asked)
    sine_groups, series_groups = sines.reshape(n, groups + 1, GROUP), series.reshape(groups + 1, GROUP)
    times, way, where = np.empty(asked), np.zeros((n, nodes + 1)), np.zeros((n, asked))
    phase = np.zeros((n, asked)) if points > 0 else sines
    volts, out = np.zeros((terminals, asked)), np.zeros((terminals, asked))
    known, seen = np.zeros((patterns, ROWS, n)), np.zeros((patterns, SCALARS))
    visited = np.zeros(patterns, np.bool_)
    turn_sin, turn_cos, partial = np.zeros(n), np.zeros(n), np.zeros((n, n))
    taken, nothing, largest = np.zeros((groups + 1, n)), np.zeros(n), np.max(amplitudes)
    kept_control, kept_filters, kept_averages, kept_slow = control.copy(), filters.copy(), averages.copy(), slow.copy()
    rest, like = rests(tones, length / nodes), 1
    for k in range(1, n):
        if np.any(taus[:, k] != taus[:, 0]):
            like = n
    mapped = np.empty((like, taus.shape[0] + 2, taus.shape[0] + GROUP + 1))
    for k in range(like):
        mapped[k] = group_map(length / nodes, taus[:, k])
    now, rate, row = 0.0, 0.0, 0
    for number in range(starts.size):
        pattern = number % patterns
        start = starts[number]
        previous, rate = rate, rates[number]
        moving = start - half_edge - wait - ramp  # the inputs move, then wait; the rate changes while they move
        if moving - now > 1e-9 * length:
            gap(moving - now, 1, control, filters, averages, previous, previous, gains, low, high, taus, words,
            channels, closed)  # fmt: skip
        gap(ramp, GAP_STEPS, control, filters, averages, previous, rate, gains, low, high, taus, words,
            channels, closed)  # fmt: skip
        gap(wait + half_edge, GAP_STEPS, control, filters, averages, rate, rate, gains, low, high, taus, words,
            channels, closed)  # fmt: skip
        for k in range(n):
            turn_sin[k] = math.sin(tones[k] * start + phases[k])
            turn_cos[k] = math.cos(tones[k] * start + phases[k])
            for m in range(nodes + 1):
                sines[k, m] = table[k, m] * turn_cos[k] + cotable[k, m] * turn_sin[k]
        products(turn_sin, turn_cos, rest, partial)
        if points > 0:
            lattice(vector, number, points, phase, times)
        kept_control[:], kept_filters[:], kept_averages[:], kept_slow[:] = control, filters, averages, slow
        dither = scales[number] * amplitudes
        rows, scalars, written = known[pattern], seen[pattern], record[:, row : row + groups + 1]
        if closed:
            if visited[pattern] and rate > 0.0:  # the controls' way, with the averages of this pattern's last window
                lacking = _from_moments(rows, scalars, dither, sines, series)
                window(start, length, control, filters, averages, slow, series_groups, rows, scalars, lacking,
                       rows[EVEN], sine_groups, turn_cos, partial, rest, mapped, targets[pattern], rate, gains, low,
                       high, taus, words, channels, closed, loss_mode, taken, written)  # fmt: skip
                control[:], filters[:], averages[:], slow[:] = kept_control, kept_filters, kept_averages, kept_slow
            else:
                _go_on(control, averages, rate, length, gains, low, high, words, channels, taken)
            _retrace(taken, way)
            visited[pattern] = True
        for attempt in range(ATTEMPTS):
            if points > 0:
                _sample(way, times, where)
            else:
                where = way
            for k in range(terminals):
                volts[k] = levels[pattern, k]
            for k in range(n):
                line, alpha, gain = volts[trained[k]], dither[k], channels[SUM, k]
                for m in range(asked):
                    line[m] += gain * where[k, m] + alpha * phase[k, m]
            ask(evaluate, many, params, state, volts, out)
            tally[0] += asked
            for m in range(asked):
                tia[m] = words[U_TIA] * (words[TIA] - words[OHM] * out[output, m]) + words[U_ADD]
            take_moments(tia, phase, dither, where, asked if points > 0 else nodes, rows, scalars)
            if not math.isfinite(scalars[MEAN]):
                return -number - 1
            if not closed:
                rows[BY_CONTROL] = 0.0
            lacking = 0.0
            if points > 0:
                lacking = _from_moments(rows, scalars, dither, sines, series)
            else:
                _along(tia, rows[BY_CONTROL], where, series)
            window(start, length, control, filters, averages, slow, series_groups, rows, scalars, lacking,
                   rows[EVEN] if points > 0 else nothing, sine_groups, turn_cos, partial, rest, mapped,
                   targets[pattern], rate, gains, low, high, taus, words, channels, closed, loss_mode,
                   taken, written)  # fmt: skip
            near = (NEAR if points == 0 else NEAR_LATTICE) * largest
            if not closed or attempt == ATTEMPTS - 1 or _retrace(taken, way) <= near:
                break
            control[:], filters[:], averages[:], slow[:] = kept_control, kept_filters, kept_averages, kept_slow
        column = FIXED_COLUMNS + 2 * n
        for k in range(terminals):
            written[column + k] = levels[pattern, k]
            written[column + terminals + k] = np.sum(out[k]) / asked
        if closed:
            for k in range(n):
                written[column + trained[k]] += taken[:, k]
        row += groups + 1
        now = start + length
    steps = 1 if closed else 64
    gap(stop - now, steps, control, filters, averages, rate, rate, gains, low, high, taus, words,
            channels, closed)  # fmt: skip
    record[:, row] = record[:, row - 1]
    record[0, row] = stop
    record[7, row] = 0.0
    record[FIXED_COLUMNS : FIXED_COLUMNS + n, row] = control
    record[FIXED_COLUMNS + n : FIXED_COLUMNS + 2 * n, row] = filters[filters.shape[0] - 1]
    return row + 1
