"""The closed loop's compiled twin: the equations of the ideal parts, integrated without ngspice.

Between time-points the mixers' outputs are straight lines; then every block has its step:

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

from circuits.callbacks import c_functions, imported
from circuits.engine import Transient
from circuits.homodyne_loop import READING_V, HomodyneLoop
from circuits.losses import loss_value
from dnpu_models.geometry import FloatArray
from dnpu_models.pointers import call_device
from dnpu_models.threads import one_blas_thread
from inmateria.errors import ConvergenceError, InputError, Interrupted

# words of the packed constants
OHM, POLARITY, LEVEL2, BASE_RATE, GAIN_RATE, GAIN_LOW, GAIN_HIGH, REACH, TAU, AVERAGE, STEP = range(11)
LOSS, MARGIN, KNEE, WORDS = range(11, 15)


_BLOCK = 128  # points at which a device that can is asked in one call
_NEAR = 2e-4  # of the dither: how far from where they were expected the controls may be
_ATTEMPTS = 6
_GAP_STEPS = 16  # in each part of a gap: end of the edge, ramp, wait


@njit(cache=True, error_model="numpy")
def _weights(h, tau):
    """dm/dt = (x - m)/tau over h with x a straight line: m' = a m + b x + c x'; m = s + (m_0 - s_0) e^(-h/tau)."""
    decay = math.exp(-h / tau)
    lag = tau / h * (1.0 - decay)
    return decay, lag - decay, 1.0 - lag


@njit(cache=True, error_model="numpy")
def _filters(h, x_old, x_new, control, filters, averages, rate_old, rate_new, gains, low, high, poles, words, closed):
    """Low-passes, averagers, limiters and integrators of all channels over one step."""
    fast, slow = _weights(h, words[TAU]), _weights(h, words[AVERAGE])
    limit = np.empty(control.size)
    if closed:
        for k in range(control.size):
            limit[k] = math.tanh(gains[k] * averages[k] / words[STEP])
    _step(h, fast, slow, x_old, x_new, control, filters, averages, limit, rate_old, rate_new, gains, low, high, poles,
          words, closed)  # fmt: skip


@njit(cache=True, error_model="numpy")
def _step(
    h, fast, slow, x_old, x_new, control, filters, averages, limit, rate_old, rate_new, gains, low, high, poles, words,
    closed,
):  # fmt: skip
    """`_filters` with the `_weights` of the poles, and the limiters' last values in `limit`."""
    a, b, c = fast
    d, e, f = slow
    for k in range(control.size):
        old, new = x_old[k], x_new[k]
        for p in range(poles):
            value = filters[k, p]
            filters[k, p] = a * value + b * old + c * new
            old, new = value, filters[k, p]
        if closed:
            averages[k] = d * averages[k] + e * old + f * new
            before = limit[k]
            limit[k] = math.tanh(gains[k] * averages[k] / words[STEP])
            moved = control[k] - 0.5 * h * words[STEP] * (rate_old * before + rate_new * limit[k])
        else:
            moved = control[k] + 0.5 * h * gains[k] * (old + new)
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
    averages, slow, signals, trained, output, tones, phases, table, amplitudes, target, rate, gains, low, high, poles,
    words, closed, loss_mode,
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
        if closed:
            limit[k] = math.tanh(gains[k] * averages[k] / words[STEP])
    near = _NEAR * np.max(amplitudes)
    u_old, short_old = 0.0, 0.0
    before_h = 0.0  # the step before: none yet
    weights_h = 0.0
    fast, lazy = _weights(half, words[TAU]), _weights(half, words[AVERAGE])
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
                        volts[trained[k], j] += min(max(path[j, k], low[k]), high[k]) if block > 1 else path[j, k]
            _ask(evaluate, many, times[0], params, state, volts, out)
            off = 0.0
            for j in range(size):
                h = times[j] - now
                if many == 0:
                    call_device(advance, h, volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                                state.size - 1, 0)  # fmt: skip
                tia = -words[OHM] * out[output, j]
                if not math.isfinite(tia):
                    return -1
                if h != weights_h:
                    fast, lazy, weights_h = _weights(h, words[TAU]), _weights(h, words[AVERAGE]), h
                baseline = min(max(slow[0] + words[BASE_RATE] * h * u_old, -words[REACH]), words[REACH])
                gain_log = min(max(slow[1] + words[GAIN_RATE] * h * short_old, words[GAIN_LOW]), words[GAIN_HIGH])
                u = tia - baseline
                heard = gates[j] * u
                y = words[POLARITY] * math.exp(gain_log) * u
                loss = gates[j] * loss_value(words[LOSS], y, target, words[MARGIN], words[KNEE])
                short = gates[j] * (words[LEVEL2] - y * y)
                for k in range(n):
                    x_new[k] = sines[j, k] * (loss if loss_mode else heard)
                    before[k] = control[k]
                _step(h, fast, lazy, x_old, x_new, control, filters, averages, limit, rate, rate, gains, low, high,
                      poles, words, closed)  # fmt: skip
                _slow(h, u_old + heard, short_old + short, slow, words)
                before_h, now, u_old, short_old = h, times[j], heard, short
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
                    here[8 + n + k] = filters[k, poles - 1]
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
    x_new[:] = 0.0
    _filters(half, x_old, x_new, control, filters, averages, rate, rate, gains, low, high, poles, words, closed)
    _slow(half, u_old, short_old, slow, words)
    return row


@njit(cache=True)
def _gap(length, steps, control, filters, averages, rate_old, rate_new, gains, low, high, poles, words, closed):
    """`length` seconds outside the windows: nothing comes from the mixers, the filters run on."""
    nothing = np.zeros(control.size)
    h = length / steps
    for s in range(steps):
        a = rate_old + (rate_new - rate_old) * s / steps
        b = rate_old + (rate_new - rate_old) * (s + 1) / steps
        _filters(h, nothing, nothing, control, filters, averages, a, b, gains, low, high, poles, words, closed)


def run_twin(loop: HomodyneLoop, *, seed: int = 0) -> Transient:
    """Integrate the loop's equations; see `HomodyneLoop.twin`."""
    if loop.parts:
        raise InputError("parts", sorted(loop.parts), "have no equation the twin knows", "use engine='ngspice'")
    if loop.leads:
        raise InputError("leads", loop.leads, "have no equation the twin knows", "use engine='ngspice'")
    with one_blas_thread():
        return _integrate(loop, seed)


def loop_words(loop: HomodyneLoop) -> FloatArray:
    """The packed constants of a loop's equations."""
    stage, listening = loop.stage, loop.sequence.listening_s
    words = np.zeros(WORDS)
    words[[OHM, POLARITY, LEVEL2]] = stage.transimpedance_ohm, stage.polarity, stage.level_V**2
    words[[BASE_RATE, GAIN_RATE]] = stage.baseline_rate / listening, stage.gain_rate / listening / stage.level_V**2
    words[[GAIN_LOW, GAIN_HIGH, REACH]] = *stage.gain_limits, stage.reach_V
    words[[TAU, AVERAGE, STEP]] = loop.filter_s, loop.average_s, loop.step_V
    error = loop.error_function
    words[[LOSS, MARGIN, KNEE]] = error.kind, error.margin_V, error.knee_V
    return words


def _integrate(loop: HomodyneLoop, seed: int) -> Transient:
    sequence, stage, plan = loop.sequence, loop.stage, loop.dither
    n, terminals = plan.n, len(loop.device.terminals)
    steps = loop.window_steps
    half = 0.5 * sequence.edge_s
    sequences = loop.sequences + 2 if loop.mode == "learn" else 1
    rows = sequences * sequence.patterns * (steps + 3) + 2
    names = [name.lower() for name in [*loop.saved, *[f"v({node})" for node in loop.nodes]]]
    record = np.zeros((rows, 1 + len(names) + terminals))
    kernel = loop.device.kernel(loop.start_terminals_V, seed=seed)
    state = np.append(kernel.state, float(terminals))  # the word behind the state: see `dnpu_models.pointers`
    evaluate, advance = c_functions(kernel)
    closed = loop.mode == "learn"
    gains = loop.channel_gains
    if closed:
        control, (low, high) = loop.start_V.copy(), loop.control_limits_V
    else:  # the controls stand still; the integrators read
        control, low, high = np.zeros(n), np.full(n, -READING_V), np.full(n, READING_V)
        gains = gains / loop.reading_scale
    words = loop_words(loop)
    slow = np.array([stage.baseline_V, stage.gain_log])
    filters, averages = np.zeros((n, loop.filter_poles)), np.zeros(n)
    trained = np.array(loop.trained, dtype=np.int64)
    tones, phases = 2 * np.pi * np.array(plan.frequencies_hz), np.array(plan.phases_rad)
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
                         loop.filter_poles, words, closed)  # fmt: skip
            signals = loop.start_terminals_V.copy()
            for which, terminal in enumerate(loop.inputs):
                signals[terminal] += sequence.levels_V[p][which] - sequence.level_table(which).values[0]
            if closed:
                signals[trained] -= loop.start_V
            amplitudes = np.array(plan.amplitudes_v) * float(loop.envelope.at(middle)[0])
            begun, idle = row, start - half - stepped
            if many is None:
                steps_idle = int(np.ceil(idle / loop.max_step_s))
                _idle(advance.address, idle, steps_idle, room[0], kernel.params, state)
            row = _window(
                evaluate.address, advance.address, 0 if many is None else many.address, block, kernel.params, state,
                room, start, stop - start, half, steps, record, row, control, filters, averages, slow, signals, trained,
                loop.output, tones, phases, table, amplitudes, sequence.targets_V[p], rate, gains, low, high,
                loop.filter_poles, words, closed, loop.mode != "output",
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
             loop.filter_poles, words, closed)  # fmt: skip
    if row:
        record[row] = record[row - 1]
        record[row, 0] = loop.stop_s
        record[row, 8 : 8 + n] = control
        record[row, 7] = 0.0
        row += 1
    return result(record[:row], True)
