"""Compiled equations of the averaged loop; what they stand for is told in `averaged`."""

# mypy: ignore-errors
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from circuits.homodyne.equations import advance, ask, limited, limited_at, pole_words, soak
from inmateria.checks import FloatArray

GROUP = 8
"""Steps of a window between two evaluations of the limiters."""
ATTEMPTS = 4
NEAR = 0.1
"""A window is done again with the device asked where the controls went, if that is farther off than this part of the
dither from where they were expected; so many times at most."""
GAP_STEPS = 2
"""Steps in each part of the gap between windows: ramp (one in each of its halves), wait."""
FIXED_COLUMNS = 8
"""Of a record's row: time, tia, y, loss, baseline, gain_log, target, gate; then controls, filters, volts, currents."""

# rows of a window's moments over the channels; words of its scalars
ODD, EVEN, BY_CONTROL, PLACE, ROWS = range(5)
MEAN, VARIANCE, SCALARS = range(3)


class Schedule(NamedTuple):
    """All windows of a run, one after the other, patterns in turn."""

    starts_s: FloatArray
    length_s: float
    half_s: float
    """Half of an edge of the gate."""
    wait_s: float
    ramp_s: float
    flip_s: float
    """When the sign changes once more behind the last window; the end, where it does not."""
    stop_s: float
    """End of the run."""
    levels_V: FloatArray
    """Terminal voltages without dither, and without what moves of the controls, (patterns, terminals)."""
    targets_V: FloatArray
    rates_Hz: FloatArray
    """What the integrators' outputs are multiplied by in each window."""
    scales: FloatArray
    """Of the dither in each window."""
    sides: NDArray[np.int64]
    """Which of the channels' constants hold in each: 1 where the dither's sign is minus."""


class Nodes(NamedTuple):
    """Where in a window the device is asked, evenly in time."""

    sines: FloatArray
    cosines: FloatArray
    """Of the tones, phases and start left out, (n, nodes + 1)."""


class Moments(NamedTuple):
    """Averages of tia over a pattern's window."""

    rows: FloatArray
    """Of channels, (ROWS, n)."""
    scalars: FloatArray


class Window(NamedTuple):
    """One window of a pattern."""

    start_s: float
    length_s: float
    target_V: float
    rate_Hz: float


class Waves(NamedTuple):
    """What a window's integration reads and leaves: arrays that are used again for each."""

    series: FloatArray
    """u + baseline, V, without its part by the controls' way, (groups + 1, GROUP)."""
    sines: FloatArray
    """Of the tones, (n, groups + 1, GROUP)."""
    turn: FloatArray
    """Sines and cosines of the tones at the window's start, (2, n)."""
    partial: FloatArray
    """See `products`."""
    rest: FloatArray
    """See `rests`."""
    mapped: FloatArray
    """See `group_map`; one matrix, or one for each channel."""
    taken: FloatArray
    """Controls at the ends of the groups, V, (groups + 1, n)."""


@njit(cache=True, error_model="numpy")
def gap(length, steps, rate_old, rate_new, state, constants, channels):
    """`length` seconds outside the windows: only offsets come from the mixers, the filters run on."""
    control, filters, averages, taus = state.control, state.filters, state.averages, channels.taus_s
    n, poles = control.size, filters.shape[0]
    h = length / steps
    for k in range(n):
        for s in range(steps):
            speed_old = rate_old + (rate_new - rate_old) * s / steps
            speed_new = rate_old + (rate_new - rate_old) * (s + 1) / steps
            old, new, mean = channels.mix_V[k], channels.mix_V[k], channels.mix_V[k]
            for p in range(poles):
                a, b, c = pole_words(h, taus[p, k])
                value = filters[p, k]
                filters[p, k] = a * value + b * old + c * new
                mean = 0.5 * (old + new) - taus[p, k] * (filters[p, k] - value) / h  # exact
                shift = mean - 0.5 * (value + filters[p, k])  # hand on a straight line with this mean
                old, new = value + shift, filters[p, k] + shift
            moved = control[k] + h * channels.drift_V_s[k]
            if constants.closed:
                decay = math.exp(-h / taus[poles, k])
                before = limited(k, averages, constants, channels)
                averages[k] = decay * averages[k] + (1.0 - decay) * mean
                after = limited(k, averages, constants, channels)
                moved -= 0.5 * h * channels.rate[k] * (speed_old * before + speed_new * after)
            else:
                moved += h * channels.gain[k] * channels.rate[k] * (mean + channels.limit_out_V[k])
            control[k] = min(max(moved, channels.low_V[k]), channels.high_V[k])


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
    d, e, f = pole_words(h, taus[poles])
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
                a, b, c = pole_words(h, taus[p])
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
def window(at, waves, moments, variance, even, state, constants, channels, record):
    """The loop over one window, where u(t) + baseline = `series` on the nodes + sum_k slope_k w_k.

    With real parts the loss is a square still, E = L2 ((G u - aim)^2 + rest_0), and so is what the gain control hears.

    `series` (groups + 1, GROUP) and `sines` (n, groups + 1, GROUP) lie group by group, as the compiler vectorises
    loops over a constant number of nodes; a group ends with the first node of the next one.
    `variance` and `even` are what the series lacks in <u^2> and <u^2 sin theta_k>. Baseline and gain take one step
    of the linearly implicit midpoint rule in a group, and go straight within it. Leaves in `taken` the controls at the
    ends of the groups. One long function, because under fastmath the compiler would sum in another order in pieces.
    """
    control, filters, averages, slow = state.control, state.filters, state.averages, state.slow
    series, sines, cosines, partial, rest = waves.series, waves.sines, waves.turn[1], waves.partial, waves.rest
    mapped, taken, rows, scalars = waves.mapped, waves.taken, moments.rows, moments.scalars
    start, target, rate, loss_mode = at.start_s, at.target_V, at.rate_Hz, constants.hears_loss
    n, poles, groups = control.size, filters.shape[0], taken.shape[0] - 1
    slope, size, h = rows[BY_CONTROL], poles + 1, at.length_s / (groups * GROUP)
    means = size + 2 if not constants.closed else size + 1  # the mean of the low-pass is an opened loop's
    speed, last, x, mix = np.zeros(n), np.zeros(n), np.empty(n), np.empty(n)
    u, heard, weighted = np.empty(GROUP + 1), np.empty(GROUP + 1), np.empty((means, GROUP + 1))
    state, after, steady, fed = np.empty(size), np.zeros(size + 2), np.empty(means), np.empty(means)
    unlike = mapped.shape[0] > 1  # channels with time constants of their own
    scale = constants.loss_2 if loss_mode else constants.heard_u
    constant = constants.heard_V / constants.heard_u
    half_loss, half_short = 0.5 * constants.loss_1 / constants.loss_2, 0.5 * constants.power_1 / constants.power_2
    if loss_mode:
        constant = constants.loss_0 / constants.loss_2 - half_loss * half_loss
    wanted = (constants.power_0 + constants.gain_V) / constants.power_2 + half_short * half_short
    offset = scalars[MEAN]
    for k in range(n):
        offset -= slope[k] * rows[PLACE, k]
        mix[k] = channels.mix_gain[k] * scale
        if constants.closed:
            last[k] = channels.drift_V_s[k] - rate * channels.rate[k] * limited(k, averages, constants, channels)
            speed[k] = last[k]
    pull, push = constants.baseline_rate_Hz * GROUP * h, constants.gain_rate_Hz * constants.power_2 * GROUP * h
    gain = constants.polarity * math.exp(constants.gain_slope * slow[1])
    for group in range(groups + 1):
        there, drift = 0.0, 0.0
        for k in range(n):
            there += slope[k] * control[k]
            drift += slope[k] * h * speed[k]
            taken[group, k] = control[k]
            record[FIXED_COLUMNS + k, group] = control[k]
            record[FIXED_COLUMNS + n + k, group] = filters[poles - 1, k]
        extra = constants.gain_feed * slow[1] + constants.y_V  # of y, beside gain u
        aim = constants.error_target * target - constants.error_V - constants.error_y * extra - half_loss
        here, factor = offset + there - slow[0], constants.error_y * gain
        loss = (factor * here - aim) ** 2 + factor * factor * scalars[VARIANCE] + constant
        record[0, group] = start + group * GROUP * h
        record[1, group] = (offset + there - constants.u_V) / constants.u_tia
        record[2, group] = gain * here + extra
        record[3, group] = constants.loss_2 * loss
        record[4, group] = slow[0]
        record[5, group] = slow[1]
        record[6, group] = target
        record[7, group] = 1.0
        if group == 0 or group == groups:
            sign, mean = 1.0 if group == 0 else -1.0, loss if loss_mode else here + constant
            _heard_tones(factor, aim, here, rows[ODD], rows[EVEN], loss_mode, x)
            edge(sign, mean, x, cosines, partial, rest, filters, channels.taus_s, mix)
            if group == groups:
                break
        level = there - slow[0]
        for j in range(GROUP):
            u[j] = series[group, j] + level + j * drift
        u[GROUP] = series[group + 1, 0] + level + GROUP * drift
        total = 0.5 * (u[GROUP] - u[0])
        for j in range(GROUP):
            total += u[j]
        base = slow[0] + pull * (total / GROUP + constants.baseline_V) / (1.0 + 0.5 * pull)
        base = min(max(base, -constants.baseline_reach_V), constants.baseline_reach_V)
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
        log = min(max(log, constants.gain_low), constants.gain_high)
        ahead = constants.polarity * math.exp(constants.gain_slope * log)
        step = constants.error_y * (ahead - gain) / GROUP
        if loss_mode:
            for j in range(GROUP + 1):
                now = factor + j * step
                heard[j] = (now * u[j] - aim) ** 2 + now * now * variance + constant
        else:
            for j in range(GROUP + 1):
                heard[j] = u[j] + constant
        second = constants.error_y * constants.error_y * gain * ahead if loss_mode else 0.0
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
                total = mix[k] * total + scale * channels.mix_feed[k] * fed[r] + channels.mix_V[k] * steady[r]
                for p in range(size):
                    total += matrix[r, p] * state[p]
                after[r] = total
            for p in range(poles):
                filters[p, k] = after[p]
            averages[k] = after[poles]
            if constants.closed:  # the limiter at the group's mean; within the next one the speed goes on changing
                now = channels.drift_V_s[k] - rate * channels.rate[k] * limited_at(
                    k, channels.gain[k] * after[size], constants, channels
                )
                control[k] = min(max(control[k] + GROUP * h * now, channels.low_V[k]), channels.high_V[k])
                speed[k] = 2.0 * now - last[k]
                last[k] = now
            else:
                now = channels.gain[k] * channels.rate[k] * (after[size + 1] + channels.limit_out_V[k])
                control[k] += GROUP * h * (now + channels.drift_V_s[k])


@njit(cache=True, error_model="numpy")
def change(device, volts, h):
    """How much the currents change, as a fraction, while the device passes `h` seconds at the same voltages."""
    first, then, column = np.empty((volts.size, 1)), np.empty((volts.size, 1)), volts.reshape(volts.size, 1)
    ask(device, 0.0, column, first)
    advance(device, h, volts)
    ask(device, h, column, then)
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
        rows[BY_CONTROL, k] = 2.0 * rows[ODD, k] / amplitudes[k] if amplitudes[k] != 0.0 else 0.0
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


@njit(cache=True, error_model="numpy")
def _go_on(at, state, constants, channels, taken):
    """Where the controls will be if the averager stands still, at the ends of the groups."""
    control, averages, groups = state.control, state.averages, taken.shape[0] - 1
    for k in range(control.size):
        speed = channels.drift_V_s[k] - at.rate_Hz * channels.rate[k] * limited(k, averages, constants, channels)
        for group in range(groups + 1):
            taken[group, k] = min(
                max(control[k] + speed * at.length_s * group / groups, channels.low_V[k]), channels.high_V[k]
            )


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
def _waves(n, nodes, length, tones, taus):
    """Room for one window's waves of `nodes` steps, with what does not change from window to window."""
    groups, like = nodes // GROUP, 1
    for k in range(1, n):
        if np.any(taus[:, k] != taus[:, 0]):
            like = n
    mapped = np.empty((like, taus.shape[0] + 2, taus.shape[0] + GROUP + 1))
    for k in range(like):
        mapped[k] = group_map(length / nodes, taus[:, k])
    series, sines = np.zeros((groups + 1, GROUP)), np.zeros((n, groups + 1, GROUP))
    rest = rests(tones.omega, length / nodes)
    return Waves(series, sines, np.zeros((2, n)), np.zeros((n, n)), rest, mapped, np.zeros((groups + 1, n)))


@njit(cache=True, error_model="numpy")
def _turn(start, tones, at, waves):
    """Fill the waves of the tones over a window that begins at `start`."""
    n, nodes = waves.turn.shape[1], at.sines.shape[1] - 1
    turn_sin, turn_cos = waves.turn[0], waves.turn[1]
    sines = waves.sines.reshape(n, nodes + GROUP)
    for k in range(n):
        turn_sin[k] = math.sin(tones.omega[k] * start + tones.phase[k])
        turn_cos[k] = math.cos(tones.omega[k] * start + tones.phase[k])
        for m in range(nodes + 1):
            sines[k, m] = at.sines[k, m] * turn_cos[k] + at.cosines[k, m] * turn_sin[k]
    products(turn_sin, turn_cos, waves.rest, waves.partial)


@njit(cache=True, error_model="numpy")
def _gaps(now, at, previous, schedule, state, constants, before, channels):
    """What lies between `now` and a window: the inputs move, then wait; rate and sign change while they move."""
    moving = at.start_s - schedule.half_s - schedule.wait_s - schedule.ramp_s
    if moving - now > 1e-9 * at.length_s:
        gap(moving - now, 1, previous, previous, state, constants, before)
    half_way = 0.5 * (previous + at.rate_Hz)
    gap(0.5 * schedule.ramp_s, 1, previous, half_way, state, constants, before)
    gap(0.5 * schedule.ramp_s, 1, half_way, at.rate_Hz, state, constants, channels)
    gap(schedule.wait_s + schedule.half_s, GAP_STEPS, at.rate_Hz, at.rate_Hz, state, constants, channels)


@njit(cache=True, error_model="numpy")
def _tia(device, levels, where, phase, dither, tones, volts, out, constants, channels):
    """u + baseline where the device is asked: at controls `where` and sines `phase` of the dither, (n, settings)."""
    for k in range(volts.shape[0]):
        volts[k] = levels[k]
    for k in range(dither.size):
        line, alpha, gain = volts[tones.trained[k]], dither[k], channels.sum_gain[k]
        for m in range(volts.shape[1]):
            line[m] += gain * where[k, m] + alpha * phase[k, m]
    ask(device, 0.0, volts, out)
    tia = np.empty(volts.shape[1])
    for m in range(volts.shape[1]):
        current = out[tones.output, m]
        tia[m] = constants.u_tia * (constants.tia_V - constants.transimpedance_ohm * current) + constants.u_V
    return tia


@njit(cache=True, error_model="numpy")
def integrate(device, schedule, at_nodes, tones, state, constants, sides, tally, record):
    """All windows, one after the other. Returns the rows written; minus the window's number less 1 where it failed.

    One function of some ninety lines: most of them hand on one window's room to the steps above.
    """
    control, filters, averages, slow = state.control, state.filters, state.averages, state.slow
    n, patterns, terminals = control.size, schedule.targets_V.size, schedule.levels_V.shape[1]
    nodes, closed = at_nodes.sines.shape[1] - 1, constants.closed
    groups, asked = nodes // GROUP, nodes + 1
    channels = sides[0]
    waves = _waves(n, nodes, schedule.length_s, tones, channels.taus_s)
    sines, series, taken = waves.sines.reshape(n, nodes + GROUP), waves.series.reshape(nodes + GROUP), waves.taken
    way = np.zeros((n, asked))
    volts, out = np.zeros((terminals, asked)), np.zeros((terminals, asked))
    known, seen = np.zeros((patterns, ROWS, n)), np.zeros((patterns, SCALARS))
    visited = np.zeros(patterns, np.bool_)
    nothing, near = np.zeros(n), NEAR * np.max(channels.amplitude_V)
    kept_control, kept_filters, kept_averages, kept_slow = control.copy(), filters.copy(), averages.copy(), slow.copy()
    now, rate, row = 0.0, 0.0, 0
    for number in range(schedule.starts_s.size):
        pattern = number % patterns
        previous, rate = rate, schedule.rates_Hz[number]
        at = Window(schedule.starts_s[number], schedule.length_s, schedule.targets_V[pattern], rate)
        before, channels = channels, sides[schedule.sides[number]]
        soak(at.start_s - (schedule.starts_s[number - 1] if number > 0 else 0.0), state, channels)
        _gaps(now, at, previous, schedule, state, constants, before, channels)
        _turn(at.start_s, tones, at_nodes, waves)
        kept_control[:], kept_filters[:], kept_averages[:], kept_slow[:] = control, filters, averages, slow
        dither = schedule.scales[number] * channels.amplitude_V
        moments, written = Moments(known[pattern], seen[pattern]), record[:, row : row + groups + 1]
        rows, scalars = moments.rows, moments.scalars
        if closed:
            if visited[pattern] and rate > 0.0:  # the controls' way, with the averages of this pattern's last window
                if schedule.sides[number] != schedule.sides[number - patterns]:  # odd in the dither
                    rows[ODD] *= -1.0
                    rows[EVEN] *= -1.0
                lacking = _from_moments(rows, scalars, dither, sines, series)
                window(at, waves, moments, lacking, rows[EVEN], state, constants, channels, written)
                control[:], filters[:], averages[:], slow[:] = kept_control, kept_filters, kept_averages, kept_slow
            else:
                _go_on(at, state, constants, channels, taken)
            _retrace(taken, way)
            visited[pattern] = True
        for attempt in range(ATTEMPTS):
            tia = _tia(device, schedule.levels_V[pattern], way, sines, dither, tones, volts, out, constants, channels)
            tally[0] += asked
            take_moments(tia, sines, dither, way, nodes, rows, scalars)
            if not math.isfinite(scalars[MEAN]):
                return -number - 1
            if not closed:
                rows[BY_CONTROL] = 0.0
            _along(tia, rows[BY_CONTROL], way, series)
            window(at, waves, moments, 0.0, nothing, state, constants, channels, written)
            if not closed or attempt == ATTEMPTS - 1 or _retrace(taken, way) <= near:
                break
            control[:], filters[:], averages[:], slow[:] = kept_control, kept_filters, kept_averages, kept_slow
        column = FIXED_COLUMNS + 2 * n
        for k in range(terminals):
            written[column + k] = schedule.levels_V[pattern, k]
            written[column + terminals + k] = np.sum(out[k]) / asked
        if closed:
            for k in range(n):
                written[column + tones.trained[k]] += taken[:, k]
        row += groups + 1
        now = at.start_s + at.length_s
    if schedule.flip_s < schedule.stop_s:
        gap(schedule.flip_s - now, 64, rate, rate, state, constants, channels)
        now, channels = schedule.flip_s, sides[1 - schedule.sides[-1]]
    gap(schedule.stop_s - now, 1 if closed else 64, rate, rate, state, constants, channels)
    soak(schedule.stop_s - schedule.starts_s[-1], state, channels)
    record[:, row] = record[:, row - 1]
    record[0, row] = schedule.stop_s
    record[7, row] = 0.0
    record[FIXED_COLUMNS : FIXED_COLUMNS + n, row] = control
    record[FIXED_COLUMNS + n : FIXED_COLUMNS + 2 * n, row] = filters[filters.shape[0] - 1]
    return row + 1
