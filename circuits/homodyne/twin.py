"""The closed loop's compiled twin: the equations of its parts, integrated without ngspice.

Ideal parts are there exactly, macro parts with their errors of first order (`figures`). Between time-points the
mixers' outputs are straight lines; then every block has its step:

    low-pass, averager     dm/dt = (x - m)/tau      exact exponential step, pole after pole
    limiter, integrators   dw/dt = -rate(t) V_step tanh(gain m/V_step), within its rails: trapezoid rule, clipped
    baseline, gain control                                                    trapezoid rule, clipped

The windows have a whole number of equal steps, so that references stay orthogonal on the grid. Outside the windows the
loss is gated off: only the filters and integrators run on, nothing asks the device, and nothing is recorded.
A control is needed at the new time to know the new loss; it is taken from a straight line through its last two values
(it moves slowly), and so are baseline and gain, along their last slope; the method is of second order with one
evaluation of the device per step.
"""

from __future__ import annotations

import math
import time

import numpy as np
from numba import njit

from circuits.homodyne.figures import LoopFigures, check_known, loop_figures
from circuits.homodyne.loop import READING_V, HomodyneLoop
from circuits.homodyne.netlist import waveforms
from circuits.parts.losses import SQUARED, loss_value
from circuits.signals.transient import Transient
from dnpu_models.interface.pointers import c_functions, call_device, imported
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError, Interrupted
from inmateria.threads import one_blas_thread

# words of the packed constants
OHM, POLARITY, LEVEL2, BASE_RATE, GAIN_RATE, GAIN_LOW, GAIN_HIGH, REACH, TAU, AVERAGE, STEP = range(11)
LOSS, MARGIN, KNEE = range(11, 14)
TIA, U_TIA, U_BASE, U_ADD, SLOPE, FEED, Y_ADD, SHORT_0, SHORT_1, SHORT_2, BASE_ADD, GAIN_ADD = range(14, 26)
E_Y, E_TARGET, E_ADD, L_2, L_1, L_0, HEAR, HEAR_ADD, WORDS = range(26, 35)
# rows of what differs from channel to channel
MIX, MIX_FEED, MIX_ADD, LIMIT, LIMIT_SHIFT, LIMIT_ADD, RATE, DRIFT, SUM, CHANNEL_ROWS = range(10)


_BLOCK = 128  # points at which a device that can is asked in one call
_NEAR = 2e-4  # of the dither: how far from where they were expected the controls may be
_ATTEMPTS = 6
_GAP_STEPS = 16  # in each part of a gap: end of the edge, ramp, wait


@njit(cache=True, error_model="numpy")
def _weights(h, tau, weights):
    """dm/dt = (x - m)/tau over h with x a straight line: m' = a m + b x + c x'; m = s + (m_0 - s_0) e^(-h/tau)."""
    for p in range(tau.shape[0]):
        for k in range(tau.shape[1]):
            decay = math.exp(-h / tau[p, k])
            lag = tau[p, k] / h * (1.0 - decay)
            weights[p, 0, k] = decay
            weights[p, 1, k] = lag - decay
            weights[p, 2, k] = 1.0 - lag


@njit(cache=True, error_model="numpy")
def limited_at(k, step, words, channels):
    """What leaves a channel's limiter where it hears a step (V) that is not limited yet."""
    return channels[LIMIT, k] * math.tanh(step / words[STEP] + channels[LIMIT_SHIFT, k]) + channels[LIMIT_ADD, k]


@njit(cache=True, error_model="numpy")
def limited(k, gains, averages, words, channels):
    """What leaves a channel's limiter behind its averager."""
    return limited_at(k, gains[k] * averages[k], words, channels)


@njit(cache=True, error_model="numpy")
def _filters(h, x_old, x_new, control, filters, averages, rate_old, rate_new, gains, low, high, taus, words, channels,
             closed):  # fmt: skip
    """Low-passes, averagers, limiters and integrators of all channels over one step."""
    weights, limit = np.empty((taus.shape[0], 3, control.size)), np.empty(control.size)
    _weights(h, taus, weights)
    if closed:
        for k in range(control.size):
            limit[k] = limited(k, gains, averages, words, channels)
    _step(h, weights, x_old, x_new, control, filters, averages, limit, rate_old, rate_new, gains, low, high, words,
          channels, closed)  # fmt: skip


@njit(cache=True, error_model="numpy")
def _step(
    h, weights, x_old, x_new, control, filters, averages, limit, rate_old, rate_new, gains, low, high, words, channels,
    closed,
):  # fmt: skip
    """`_filters` with the `_weights` of the poles, the averager's last, and the limiters' last values in `limit`."""
    poles = filters.shape[1]
    for k in range(control.size):
        old, new = x_old[k], x_new[k]
        for p in range(poles):
            value = filters[k, p]
            filters[k, p] = weights[p, 0, k] * value + weights[p, 1, k] * old + weights[p, 2, k] * new
            old, new = value, filters[k, p]
        moved = control[k] + h * channels[DRIFT, k]
        if closed:
            averages[k] = weights[poles, 0, k] * averages[k] + weights[poles, 1, k] * old + weights[poles, 2, k] * new
            before = limit[k]
            limit[k] = limited(k, gains, averages, words, channels)
            moved -= 0.5 * h * channels[RATE, k] * (rate_old * before + rate_new * limit[k])
        else:
            moved += h * gains[k] * channels[RATE, k] * (0.5 * (old + new) + channels[LIMIT_ADD, k])
        control[k] = min(max(moved, low[k]), high[k])


@njit(cache=True, error_model="numpy")
def _slow(h, u, short, slow, words):
    """Baseline and gain control over one step, from the sums of their inputs at its two ends."""
    slow[0] = min(max(slow[0] + words[BASE_RATE] * 0.5 * h * u, -words[REACH]), words[REACH])
    slow[1] = min(max(slow[1] + words[GAIN_RATE] * 0.5 * h * short, words[GAIN_LOW]), words[GAIN_HIGH])


@njit(cache=True)
def _idle(advance, length, steps, volts, params, state):
    """Let the device pass `length` seconds in which nobody asks for its currents."""
    for _ in range(steps):
        call_device(advance, length / steps, volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                    state.size - 1, 0)  # fmt: skip


@njit(cache=True, error_model="numpy")
def _ask(evaluate, many, t, params, state, volts, out):
    """Currents at all columns of `volts`, in one call where the device can; else there is one column."""
    call_device(many if many != 0 else evaluate, float(volts.shape[1]) if many != 0 else t, volts.ctypes.data,
                params.ctypes.data, params.size, state.ctypes.data, state.size - 1, out.ctypes.data)  # fmt: skip


@njit(cache=True, error_model="numpy")
def _window(
    evaluate, advance, many, block, params, state, room, start, length, half, steps, record, row, control, filters,
    averages, slow, signals, trained, output, tones, phases, table, amplitudes, target, rate, gains, low, high, taus,
    words, channels, closed, loss_mode,
):  # fmt: skip
    """Integrate one window of `steps` steps; rows go into `record`. Returns the next row, -1 if the device failed.

    The gate rises from start - half to start + half and falls likewise; there is a point in the middle of each edge.
    The device is asked at `block` points at a time, with the controls on a straight line through their last values;
    where they go elsewhere by more than `_NEAR` of the dither, the block is done again, where they went.
    """
    n, terminals = tones.size, signals.size
    before, limit = control.copy(), np.zeros(n)
    sines, path, taken = np.empty((block, n)), np.empty((block, n)), np.empty((block, n))
    times, gates = np.empty(block), np.empty(block)
    kept_control, kept_filters, kept_averages, kept_slow = control.copy(), filters.copy(), averages.copy(), slow.copy()
    kept_before, kept_limit, kept_x = before.copy(), limit.copy(), np.zeros(n)
    x_old, x_new, turn_sin, turn_cos = np.zeros(n), np.zeros(n), np.empty(n), np.empty(n)
    for k in range(n):
        turn_sin[k], turn_cos[k] = math.sin(tones[k] * start + phases[k]), math.cos(tones[k] * start + phases[k])
        x_old[k] = channels[MIX_ADD, k]
        if closed:
            limit[k] = limited(k, gains, averages, words, channels)
    near = _NEAR * np.max(amplitudes)
    u_old, short_old = 0.0, 0.0
    before_h = 0.0  # the step before: none yet
    weights_h = 0.0
    weights = np.empty((taus.shape[0], 3, n))
    now = start - half
    covered = int(half * steps / length)  # grid points that lie within an edge
    last = steps - covered + 2
    for begin in range(covered - 1, last, block):
        size = min(block, last - begin)
        for j in range(size):
            s = begin + j
            t, gate = start + length * s / steps, 1.0
            odd = True
            if s < covered:
                t, gate = start, 0.5
            elif s == covered:
                t = start + half
            elif s == steps - covered:
                t = start + length - half
            elif s > steps - covered:
                t, gate = start + length, 0.5
            else:
                odd = False
            times[j], gates[j] = t, gate
            for k in range(n):
                if odd:
                    sines[j, k] = math.sin(tones[k] * t + phases[k])
                else:
                    sines[j, k] = table[0, s, k] * turn_cos[k] + table[1, s, k] * turn_sin[k]
                path[j, k] = control[k]
                if before_h > 0.0:
                    path[j, k] += (t - now) / before_h * (control[k] - before[k])
        volts, out = (
            room[0, : terminals * size].reshape(terminals, size),
            room[1, : terminals * size].reshape(terminals, size),
        )
        kept_control[:], kept_filters[:], kept_averages[:], kept_slow[:] = control, filters, averages, slow
        kept_before[:], kept_limit[:], kept_x[:] = before, limit, x_old
        kept = now, before_h, u_old, short_old
        for attempt in range(_ATTEMPTS):
            for k in range(terminals):
                volts[k] = signals[k]
            for k in range(n):
                for j in range(size):
                    volts[trained[k], j] += amplitudes[k] * sines[j, k]
                    if closed:  # an opened loop has its frozen controls in `signals`, and only reads
                        where = min(max(path[j, k], low[k]), high[k]) if block > 1 else path[j, k]
                        volts[trained[k], j] += channels[SUM, k] * where
            _ask(evaluate, many, times[0], params, state, volts, out)
            off = 0.0
            for j in range(size):
                h = times[j] - now
                if many == 0:
                    call_device(advance, h, volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                                state.size - 1, 0)  # fmt: skip
                tia = words[TIA] - words[OHM] * out[output, j]
                if not math.isfinite(tia):
                    return -1
                if h != weights_h:
                    _weights(h, taus, weights)
                    weights_h = h
                baseline = min(max(slow[0] + words[BASE_RATE] * h * u_old, -words[REACH]), words[REACH])
                gain_log = min(max(slow[1] + words[GAIN_RATE] * h * short_old, words[GAIN_LOW]), words[GAIN_HIGH])
                u = words[U_TIA] * tia - words[U_BASE] * baseline + words[U_ADD]
                y = words[POLARITY] * math.exp(words[SLOPE] * gain_log) * u + words[FEED] * gain_log + words[Y_ADD]
                if words[LOSS] == SQUARED:
                    error = words[E_Y] * y - words[E_TARGET] * target + words[E_ADD]
                    loss = gates[j] * ((words[L_2] * error + words[L_1]) * error + words[L_0])
                else:
                    loss = gates[j] * loss_value(words[LOSS], y, target, words[MARGIN], words[KNEE])
                heard = loss if loss_mode else gates[j] * (words[HEAR] * u + words[HEAR_ADD])
                u = gates[j] * (u + words[BASE_ADD])
                short = gates[j] * (words[SHORT_0] - (words[SHORT_2] * y + words[SHORT_1]) * y + words[GAIN_ADD])
                for k in range(n):
                    x_new[k] = (channels[MIX, k] * sines[j, k] + channels[MIX_FEED, k]) * heard + channels[MIX_ADD, k]
                    before[k] = control[k]
                _step(h, weights, x_old, x_new, control, filters, averages, limit, rate, rate, gains, low, high,
                      words, channels, closed)  # fmt: skip
                _slow(h, u_old + u, short_old + short, slow, words)
                before_h, now, u_old, short_old = h, times[j], u, short
                here = record[row + j]
                here[0] = times[j]
                here[1] = tia
                here[2] = y
                here[3] = loss
                here[4] = slow[0]
                here[5] = slow[1]
                here[6] = target
                here[7] = gates[j]
                for k in range(n):
                    x_old[k] = x_new[k]
                    off = max(off, abs(control[k] - path[j, k]))
                    taken[j, k] = control[k]
                    here[8 + k] = control[k]
                    here[8 + n + k] = filters[k, filters.shape[1] - 1]
                for k in range(terminals):
                    here[8 + 2 * n + k] = volts[k, j]
                    here[8 + 2 * n + terminals + k] = out[k, j]
            if block == 1 or not closed or off <= near or attempt == _ATTEMPTS - 1:
                break
            control[:], filters[:], averages[:], slow[:] = kept_control, kept_filters, kept_averages, kept_slow
            before[:], limit[:], x_old[:] = kept_before, kept_limit, kept_x
            now, before_h, u_old, short_old = kept
            path[:] = taken
        row += size
    x_new[:] = channels[MIX_ADD]
    _filters(half, x_old, x_new, control, filters, averages, rate, rate, gains, low, high, taus, words, channels,
             closed)  # fmt: skip
    _slow(half, u_old, short_old, slow, words)
    return row


@njit(cache=True)
def _gap(length, steps, control, filters, averages, rate_old, rate_new, gains, low, high, taus, words, channels,
         closed):  # fmt: skip
    """`length` seconds outside the windows: only offsets come from the mixers, the filters run on."""
    offsets = channels[MIX_ADD]
    h = length / steps
    for s in range(steps):
        a = rate_old + (rate_new - rate_old) * s / steps
        b = rate_old + (rate_new - rate_old) * (s + 1) / steps
        _filters(h, offsets, offsets, control, filters, averages, a, b, gains, low, high, taus, words, channels, closed)


def run_twin(loop: HomodyneLoop, *, seed: int = 0) -> Transient:
    """Integrate the loop's equations; see `engines.Twin`."""
    check_known(loop, "twin")
    with one_blas_thread():
        return _integrate(loop, seed)


def loop_words(loop: HomodyneLoop, figures: LoopFigures) -> FloatArray:
    """The packed constants of a loop's equations."""
    stage = loop.stage
    words = np.zeros(WORDS)
    words[[OHM, TIA, LEVEL2]] = figures.transimpedance_ohm, figures.tia_V, stage.level_V**2
    words[[U_TIA, U_BASE, U_ADD]] = figures.u
    words[[POLARITY, SLOPE, FEED, Y_ADD]] = figures.y
    words[[SHORT_0, SHORT_1, SHORT_2]] = figures.power
    words[[BASE_RATE, BASE_ADD]] = figures.baseline
    words[[GAIN_RATE, GAIN_ADD]] = figures.agc
    words[[E_Y, E_TARGET, E_ADD]] = figures.error
    words[[L_2, L_1, L_0]] = figures.loss
    words[[HEAR, HEAR_ADD]] = figures.heard
    words[[GAIN_LOW, GAIN_HIGH, REACH]] = *stage.gain_limits, stage.reach_V
    words[[TAU, AVERAGE, STEP]] = loop.filter_s, loop.average_s, loop.step_V
    error = loop.error_function
    words[[LOSS, MARGIN, KNEE]] = error.kind, error.margin_V, error.knee_V
    return words


def channel_words(figures: LoopFigures) -> FloatArray:
    """What differs from channel to channel, (rows, n)."""
    channels = np.empty((CHANNEL_ROWS, len(figures.rate)))
    channels[[MIX, MIX_FEED, MIX_ADD]] = figures.mixer_gain, figures.mixer_feed, figures.mixer_V
    channels[[LIMIT, LIMIT_SHIFT, LIMIT_ADD]] = figures.limit_V, figures.limit_shift, figures.limit_out_V
    channels[[RATE, DRIFT, SUM]] = figures.rate, figures.drift_V_s, figures.sum_gain
    return channels


def _integrate(loop: HomodyneLoop, seed: int) -> Transient:
    sequence, stage, plan = loop.sequence, loop.stage, loop.dither
    n, terminals = plan.n, len(loop.device.terminals)
    steps = loop.window_steps
    half = 0.5 * sequence.edge_s
    sequences = loop.sequences + 2 if loop.mode == "learn" else 1
    rows = sequences * sequence.patterns * (steps + 3) + 2
    names = waveforms(loop)
    record = np.zeros((rows, 1 + len(names) + terminals))
    kernel = loop.device.kernel(loop.start_terminals_V, seed=seed)
    state = np.append(kernel.state, float(terminals))  # the word behind the state: see `dnpu_models.interface.pointers`
    evaluate, advance = c_functions(kernel)
    closed = loop.mode == "learn"
    gains = loop.channel_gains
    if closed:
        control, (low, high) = loop.start_V.copy(), loop.control_limits_V
    else:  # the controls stand still; the integrators read
        control, low, high = np.zeros(n), np.full(n, -READING_V), np.full(n, READING_V)
        gains = gains / loop.reading_scale
    figures = loop_figures(loop)
    words, channels = loop_words(loop, figures), channel_words(figures)
    taus = np.vstack([figures.filter_s, figures.average_s])
    slow = np.array([stage.baseline_V, stage.gain_log])
    filters, averages = np.zeros((n, loop.filter_poles)), np.zeros(n)
    trained = np.array(loop.trained, dtype=np.int64)
    tones, phases = 2 * np.pi * np.array(plan.frequencies_Hz), np.array(plan.phases_rad)
    many = None if kernel.many is None else imported(kernel.many[0])
    block = 1 if many is None else _BLOCK
    room = np.zeros((2, terminals * block))
    angles = np.linspace(0.0, sequence.window_s, steps + 1)[:, None] * tones
    table = np.stack([np.sin(angles), np.cos(angles)])
    row, now, points, rate, stepped = 0, 0.0, 0, 0.0, 0.0  # `stepped`: the device's own time
    begin = time.perf_counter()

    def result(table: FloatArray, complete: bool) -> Transient:
        statistics = {"points": float(len(table)), "evaluations": float(points), "rejected": 0.0}
        return Transient(
            table[:, 0].copy(),
            {name: table[:, 1 + k].copy() for k, name in enumerate(names)},
            table[:, 1 + len(names) :].copy(),
            complete,
            {**statistics, "seconds": time.perf_counter() - begin},
            (),
            "",
        )

    windows = [(p, *map(float, w)) for s in range(sequences) for p, w in enumerate(sequence.windows(s))]
    try:
        for p, start, stop in windows:
            middle = np.array([0.5 * (start + stop)])
            previous, rate = rate, float(loop.learning.at(middle)[0]) / sequence.period_s
            # The rate changes within the ramp of a sequence's first slot; before and after it stands.
            settled = start - half - sequence.wait_s
            moving = settled - sequence.ramp_s
            for begins, ends, first, last in (
                (now, moving, previous, previous),
                (moving, settled, previous, rate),
                (settled, start - half, rate, rate),
            ):
                if ends - begins > 1e-9 * sequence.edge_s:  # nothing lies before the first ramp
                    _gap(ends - begins, _GAP_STEPS, control, filters, averages, first, last, gains, low, high,
                         taus, words, channels, closed)  # fmt: skip
            signals = loop.start_terminals_V.copy()
            for which, terminal in enumerate(loop.inputs):
                signals[terminal] += sequence.levels_V[p][which] - sequence.level_table(which).values[0]
            if closed:
                signals[trained] -= loop.start_V
            signals[trained] = figures.sum_gain * signals[trained] + figures.sum_V
            signals[loop.output] = figures.virtual_ground_V
            amplitudes = figures.amplitude_V * float(loop.envelope.at(middle)[0])
            begun, idle = row, start - half - stepped
            if many is None:
                steps_idle = int(np.ceil(idle / loop.max_step_s))
                _idle(advance.address, idle, steps_idle, room[0], kernel.params, state)
            row = _window(
                evaluate.address, advance.address, 0 if many is None else many.address, block, kernel.params, state,
                room, start, stop - start, half, steps, record, row, control, filters, averages, slow, signals, trained,
                loop.output, tones, phases, table, amplitudes, sequence.targets_V[p], rate, gains, low, high,
                taus, words, channels, closed, loop.mode != "output",
            )  # fmt: skip
            if row < 0:
                raise ConvergenceError("device", "NaN", f"gave no current near {start:.6g} s", "check its voltages")
            points += row - begun
            now, stepped = stop + half, stop
    except KeyboardInterrupt:
        interruption = Interrupted("twin", "Ctrl-C", "was stopped", "what was computed so far is kept")
        interruption.partial = result(record[:row], False)
        raise interruption from None
    if not closed:  # the filters' tail
        _gap(loop.stop_s - now, _GAP_STEPS * 24, control, filters, averages, rate, rate, gains, low, high,
             taus, words, channels, closed)  # fmt: skip
    if row:
        record[row] = record[row - 1]
        record[row, 0] = loop.stop_s
        record[row, 8 : 8 + n] = control
        record[row, 7] = 0.0
        row += 1
    return result(record[:row], True)
