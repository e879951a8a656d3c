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
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from circuits.homodyne.equations import (
    ChannelConstants,
    LoopConstants,
    advance,
    ask,
    device_calls,
    limited,
    pattern_voltages,
    pole_words,
    soak,
    start_state,
    tones_of,
)
from circuits.homodyne.figures import check_known, constants_of
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import waveforms
from circuits.parts.losses import SQUARED, loss_value
from circuits.signals.transient import Transient
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError, Interrupted
from inmateria.threads import one_blas_thread

_BLOCK = 128  # points at which a device that can is asked in one call
_NEAR = 2e-4  # of the dither: how far from where they were expected the controls may be
_ATTEMPTS = 6
_CALL_POINTS = 5000  # in one call from Python, which costs a tenth of a millisecond; in between Ctrl-C is heard
_GAP_STEPS = (16, 8, 8, 16)  # in each part of a gap: end of the edge, half a ramp twice, wait
_TAIL_STEPS = 384


class Windows(NamedTuple):
    """All windows of a run, patterns in turn, and what lies before each.

    The gate rises from start - half to start + half and falls likewise around start + length.
    """

    starts_s: FloatArray
    lengths_s: FloatArray
    half_s: float
    """Half of an edge of the gate."""
    steps: int
    targets_V: FloatArray
    """Of the patterns."""
    signals_V: FloatArray
    """Terminal voltages without dither, and without what moves of the controls, (patterns, terminals)."""
    rates_Hz: FloatArray
    """What the integrators' outputs are multiplied by."""
    amplitudes_V: FloatArray
    """Of the dither, (windows, n)."""
    sides: NDArray[np.int64]
    """Which of the channels' constants hold in each: 1 where the dither's sign is minus."""
    gaps: FloatArray
    """Four before each window: seconds (0 where there is none), and the integrators' rate at both ends, Hz.

    Before the second and the third the inputs move; between these two the sign changes.
    """
    idle_s: FloatArray
    """How long nobody has asked the device."""
    idle_steps: NDArray[np.int64]


class Window(NamedTuple):
    """One of `Windows`."""

    start_s: float
    length_s: float
    half_s: float
    steps: int
    target_V: float
    rate_Hz: float
    signals: FloatArray
    amplitudes: FloatArray


class Heard(NamedTuple):
    """What the slow blocks hear at the end of a step, and what is recorded of it."""

    tia: float
    y: float
    loss: float
    heard: float
    u: float
    """What moves the baseline."""
    short: float
    """What moves the gain."""


class Block(NamedTuple):
    """Points at which the device is asked in one call."""

    times: FloatArray
    gates: FloatArray
    odd: NDArray[np.bool_]
    """Whether a point lies off the even grid."""
    sines: FloatArray
    """Of the tones, (points, n)."""
    path: FloatArray
    """Where the controls are expected, V, (points, n)."""
    turn: FloatArray
    """Sines and cosines of the tones' phases at the window's start, (2, n)."""


@njit(cache=True, error_model="numpy")
def _weights(h, tau, weights):
    """`pole_words` of all poles (rows of `tau`) and channels."""
    for p in range(tau.shape[0]):
        for k in range(tau.shape[1]):
            weights[p, 0, k], weights[p, 1, k], weights[p, 2, k] = pole_words(h, tau[p, k])


@njit(cache=True, error_model="numpy")
def _filters(h, x_old, x_new, rate_old, rate_new, state, constants, channels):
    """Low-passes, averagers, limiters and integrators of all channels over one step."""
    n = state.control.size
    weights, limit = np.empty((channels.taus_s.shape[0], 3, n)), np.empty(n)
    _weights(h, channels.taus_s, weights)
    if constants.closed:
        for k in range(n):
            limit[k] = limited(k, state.averages, constants, channels)
    _step(h, weights, x_old, x_new, limit, rate_old, rate_new, state, constants, channels)


# In the loop over points, calls that hand on the tuples of constants would cost a sixth of the time: hence inline.
@njit(cache=True, error_model="numpy", inline="always")
def _step(h, weights, x_old, x_new, limit, rate_old, rate_new, state, constants, channels):
    """`_filters` with the `_weights` of the poles, the averager's last, and the limiters' last values in `limit`."""
    control, filters, averages = state.control, state.filters, state.averages
    poles = filters.shape[0]
    for k in range(control.size):
        old, new = x_old[k], x_new[k]
        for p in range(poles):
            value = filters[p, k]
            filters[p, k] = weights[p, 0, k] * value + weights[p, 1, k] * old + weights[p, 2, k] * new
            old, new = value, filters[p, k]
        moved = control[k] + h * channels.drift_V_s[k]
        if constants.closed:
            averages[k] = weights[poles, 0, k] * averages[k] + weights[poles, 1, k] * old + weights[poles, 2, k] * new
            before = limit[k]
            limit[k] = limited(k, averages, constants, channels)
            moved -= 0.5 * h * channels.rate[k] * (rate_old * before + rate_new * limit[k])
        else:
            moved += h * channels.gain[k] * channels.rate[k] * (0.5 * (old + new) + channels.limit_out_V[k])
        control[k] = min(max(moved, channels.low_V[k]), channels.high_V[k])


@njit(cache=True, error_model="numpy", inline="always")
def _slow(h, u, short, slow, constants):
    """Baseline and gain control over one step, from the sums of their inputs at its two ends."""
    reach = constants.baseline_reach_V
    slow[0] = min(max(slow[0] + constants.baseline_rate_Hz * 0.5 * h * u, -reach), reach)
    log = slow[1] + constants.gain_rate_Hz * 0.5 * h * short
    slow[1] = min(max(log, constants.gain_low), constants.gain_high)


@njit(cache=True, error_model="numpy", inline="always")
def _hear(current, gate, h, u_old, short_old, slow, target, constants):
    """The output stage and the loss at the end of a step of h, baseline and gain going on along their last slope."""
    c = constants
    tia = c.tia_V - c.transimpedance_ohm * current
    reach = c.baseline_reach_V
    baseline = min(max(slow[0] + c.baseline_rate_Hz * h * u_old, -reach), reach)
    gain_log = min(max(slow[1] + c.gain_rate_Hz * h * short_old, c.gain_low), c.gain_high)
    u = c.u_tia * tia - c.u_baseline * baseline + c.u_V
    y = c.polarity * math.exp(c.gain_slope * gain_log) * u + c.gain_feed * gain_log + c.y_V
    if c.loss_kind == SQUARED:
        error = c.error_y * y - c.error_target * target + c.error_V
        loss = gate * ((c.loss_2 * error + c.loss_1) * error + c.loss_0)
    else:
        loss = gate * loss_value(c.loss_kind, y, target, c.margin_V, c.knee_V)
    heard = loss if c.hears_loss else gate * (c.heard_u * u + c.heard_V)
    short = gate * (c.power_0 - (c.power_2 * y + c.power_1) * y + c.gain_V)
    return Heard(tia, y, loss, heard, gate * (u + c.baseline_V), short)


@njit(cache=True, error_model="numpy")
def _points(begin, size, window, block):
    """Fill times and gates of a block's points, the first of number `begin`.

    There is a point in the middle of each edge, at half the gate, and one at its end inside the window.
    """
    start, length, half, steps = window.start_s, window.length_s, window.half_s, window.steps
    covered = int(half * steps / length)  # grid points that lie within an edge
    for j in range(size):
        s = begin + j
        t, gate = start + length * s / steps, 1.0
        block.odd[j] = True
        if s < covered:
            t, gate = start, 0.5
        elif s == covered:
            t = start + half
        elif s == steps - covered:
            t = start + length - half
        elif s > steps - covered:
            t, gate = start + length, 0.5
        else:
            block.odd[j] = False
        block.times[j], block.gates[j] = t, gate


@njit(cache=True, error_model="numpy")
def _voltages(volts, sines, path, within, window, tones, constants, channels):
    """Fill the terminals' voltages at a block's points, the controls on their path, kept `within` their rails."""
    size = volts.shape[1]
    for k in range(volts.shape[0]):
        volts[k] = window.signals[k]
    for k in range(tones.trained.size):
        for j in range(size):
            volts[tones.trained[k], j] += window.amplitudes[k] * sines[j, k]
            if constants.closed:  # an opened loop has its frozen controls in `signals`, and only reads
                where = path[j, k]
                if within:
                    where = min(max(path[j, k], channels.low_V[k]), channels.high_V[k])
                volts[tones.trained[k], j] += channels.sum_gain[k] * where


@njit(cache=True, error_model="numpy")
def _expect(block, size, begin, now, before_h, before, control, tones, table):
    """Fill sines of the tones at a block's points, and where the controls go on a straight line through their last."""
    turn_sin, turn_cos = block.turn[0], block.turn[1]
    for j in range(size):
        for k in range(control.size):
            if block.odd[j]:
                block.sines[j, k] = math.sin(tones.omega[k] * block.times[j] + tones.phase[k])
            else:
                block.sines[j, k] = table[0, begin + j, k] * turn_cos[k] + table[1, begin + j, k] * turn_sin[k]
            block.path[j, k] = control[k]
            if before_h > 0.0:
                block.path[j, k] += (block.times[j] - now) / before_h * (control[k] - before[k])


@njit(cache=True, error_model="numpy")
def _window(device, room, window, tones, table, state, record, row, constants, channels):
    """Integrate one window; rows go into `record`. Returns the next row, -1 if the device failed.

    The device is asked at a block of points at a time, with the controls on a straight line through their last values;
    where they go elsewhere by more than `_NEAR` of the dither, the block is done again, where they went.

    One function of some hundred lines: an attempt at a block sets back a dozen values of the last one.
    """
    control, filters, averages, slow = state.control, state.filters, state.averages, state.slow
    n, terminals = control.size, window.signals.size
    points = room.shape[1] // terminals
    before, limit = control.copy(), np.zeros(n)
    sines, path, taken = np.empty((points, n)), np.empty((points, n)), np.empty((points, n))
    times, gates, turn = np.empty(points), np.empty(points), np.empty((2, n))
    block = Block(times, gates, np.empty(points, np.bool_), sines, path, turn)
    kept_control, kept_filters, kept_averages, kept_slow = control.copy(), filters.copy(), averages.copy(), slow.copy()
    kept_before, kept_limit, kept_x = before.copy(), limit.copy(), np.zeros(n)
    x_old, x_new = np.zeros(n), np.zeros(n)
    for k in range(n):
        turn[0, k] = math.sin(tones.omega[k] * window.start_s + tones.phase[k])
        turn[1, k] = math.cos(tones.omega[k] * window.start_s + tones.phase[k])
        x_old[k] = channels.mix_V[k]
        if constants.closed:
            limit[k] = limited(k, averages, constants, channels)
    near = _NEAR * np.max(np.abs(window.amplitudes))
    u_old, short_old = 0.0, 0.0
    before_h = 0.0  # the step before: none yet
    weights_h = 0.0
    weights = np.empty((channels.taus_s.shape[0], 3, n))
    now = window.start_s - window.half_s
    covered = int(window.half_s * window.steps / window.length_s)  # grid points that lie within an edge
    last = window.steps - covered + 2
    for begin in range(covered - 1, last, points):
        size = min(points, last - begin)
        _points(begin, size, window, block)
        _expect(block, size, begin, now, before_h, before, control, tones, table)
        volts = room[0, : terminals * size].reshape(terminals, size)
        out = room[1, : terminals * size].reshape(terminals, size)
        kept_control[:], kept_filters[:], kept_averages[:], kept_slow[:] = control, filters, averages, slow
        kept_before[:], kept_limit[:], kept_x[:] = before, limit, x_old
        kept = now, before_h, u_old, short_old
        for attempt in range(_ATTEMPTS):
            _voltages(volts, sines, path, points > 1, window, tones, constants, channels)
            ask(device, times[0], volts, out)
            off = 0.0
            for j in range(size):
                h = times[j] - now
                if device.many == 0:
                    advance(device, h, volts)
                at = _hear(out[tones.output, j], gates[j], h, u_old, short_old, slow, window.target_V, constants)
                if not math.isfinite(at.tia):
                    return -1
                if h != weights_h:
                    _weights(h, channels.taus_s, weights)
                    weights_h = h
                for k in range(n):
                    sine = channels.mix_gain[k] * sines[j, k] + channels.mix_feed[k]
                    x_new[k] = sine * at.heard + channels.mix_V[k]
                    before[k] = control[k]
                _step(h, weights, x_old, x_new, limit, window.rate_Hz, window.rate_Hz, state, constants, channels)
                _slow(h, u_old + at.u, short_old + at.short, slow, constants)
                before_h, now, u_old, short_old = h, times[j], at.u, at.short
                here = record[row + j]
                here[0] = times[j]
                here[1] = at.tia
                here[2] = at.y
                here[3] = at.loss
                here[4] = slow[0]
                here[5] = slow[1]
                here[6] = window.target_V
                here[7] = gates[j]
                for k in range(n):
                    x_old[k] = x_new[k]
                    off = max(off, abs(control[k] - path[j, k]))
                    taken[j, k] = control[k]
                    here[8 + k] = control[k]
                    here[8 + n + k] = filters[filters.shape[0] - 1, k]
                for k in range(terminals):
                    here[8 + 2 * n + k] = volts[k, j]
                    here[8 + 2 * n + terminals + k] = out[k, j]
            if points == 1 or not constants.closed or off <= near or attempt == _ATTEMPTS - 1:
                break
            control[:], filters[:], averages[:], slow[:] = kept_control, kept_filters, kept_averages, kept_slow
            before[:], limit[:], x_old[:] = kept_before, kept_limit, kept_x
            now, before_h, u_old, short_old = kept
            path[:] = taken
        row += size
    x_new[:] = channels.mix_V
    _filters(window.half_s, x_old, x_new, window.rate_Hz, window.rate_Hz, state, constants, channels)
    _slow(window.half_s, u_old, short_old, slow, constants)
    return row


@njit(cache=True)
def gap(length, steps, rate_old, rate_new, state, constants, channels):
    """`length` seconds outside the windows: only offsets come from the mixers, the filters run on."""
    offsets = channels.mix_V
    h = length / steps
    for s in range(steps):
        a = rate_old + (rate_new - rate_old) * s / steps
        b = rate_old + (rate_new - rate_old) * (s + 1) / steps
        _filters(h, offsets, offsets, a, b, state, constants, channels)


@njit(cache=True, error_model="numpy")
def slots(first, last, device, room, windows, tones, table, state, record, row, constants, sides):
    """Windows `first` to `last`, the latter excluded, and before each the gaps, the device idle meanwhile.

    Returns the next row; minus the window's number less 1 where the device failed.
    """
    for number in range(first, last):
        pattern = number % windows.targets_V.size
        before, channels = sides[windows.sides[max(number - 1, 0)]], sides[windows.sides[number]]
        soak(windows.starts_s[number] - (windows.starts_s[number - 1] if number > 0 else 0.0), state, channels)
        for g in range(windows.gaps.shape[1]):
            between = windows.gaps[number, g]
            if between[0] > 0.0:
                side = before if g < 2 else channels
                gap(between[0], _GAP_STEPS[g], between[1], between[2], state, constants, side)
        for _ in range(windows.idle_steps[number]):
            advance(device, windows.idle_s[number] / windows.idle_steps[number], room[0])
        window = Window(
            windows.starts_s[number], windows.lengths_s[number], windows.half_s, windows.steps,
            windows.targets_V[pattern], windows.rates_Hz[number], windows.signals_V[pattern],
            windows.amplitudes_V[number],
        )  # fmt: skip
        row = _window(device, room, window, tones, table, state, record, row, constants, channels)
        if row < 0:
            return -number - 1
    return row


def run_twin(loop: HomodyneLoop, *, seed: int = 0) -> Transient:
    """Integrate the loop's equations; see `engines.Twin`."""
    check_known(loop, "twin")
    with one_blas_thread():
        return _integrate(loop, seed)


def _gaps(loop: HomodyneLoop, now: float, start: float, previous: float, rate: float) -> list[tuple[float, ...]]:
    """Four gaps (see `Windows.gaps`) from `now` to the edge before a window's `start`.

    The rate changes within the ramp of a sequence's first slot; before and after it stands.
    """
    sequence = loop.sequence
    edge = start - 0.5 * sequence.edge_s
    settled = edge - sequence.wait_s
    moving, middle, half_way = settled - sequence.ramp_s, settled - 0.5 * sequence.ramp_s, 0.5 * (previous + rate)
    parts = ((now, moving, previous, previous), (moving, middle, previous, half_way),
             (middle, settled, half_way, rate), (settled, edge, rate, rate))  # fmt: skip
    # nothing lies before the first ramp
    return [(b - a if b - a > 1e-9 * sequence.edge_s else 0.0, first, last) for a, b, first, last in parts]


def _windows(loop: HomodyneLoop, idle: bool, constants: LoopConstants, channels: ChannelConstants) -> Windows:
    """All windows of a run; `idle` where the device has to be moved on between them."""
    sequence, half = loop.sequence, 0.5 * loop.sequence.edge_s
    spans = [tuple(map(float, span)) for number in range(loop.shown) for span in sequence.windows(number)]
    middles = np.array([0.5 * (start + stop) for start, stop in spans])
    rates = loop.learning.at(middles) / sequence.period_s
    gaps, idles = [], []
    now, stepped, previous = 0.0, 0.0, 0.0  # `stepped`: the device's own time
    for (start, stop), rate in zip(spans, rates.tolist(), strict=True):
        gaps.append(_gaps(loop, now, start, previous, rate))
        idles.append(start - half - stepped)
        now, stepped, previous = stop + half, stop, rate
    steps = np.ceil(np.array(idles) / loop.max_step_s).astype(np.int64)
    return Windows(
        starts_s=np.array([start for start, _ in spans]),
        lengths_s=np.array([stop - start for start, stop in spans]),
        half_s=half,
        steps=loop.window_steps,
        targets_V=np.array(sequence.targets_V, dtype=float),
        signals_V=pattern_voltages(loop, constants, channels),
        rates_Hz=rates,
        amplitudes_V=channels.amplitude_V * loop.envelope.at(middles)[:, None],
        sides=(loop.chop_signs < 0).astype(np.int64),
        gaps=np.array(gaps),
        idle_s=np.array(idles),
        idle_steps=steps if idle else np.zeros_like(steps),
    )


def _integrate(loop: HomodyneLoop, seed: int) -> Transient:
    sequence, n, terminals = loop.sequence, loop.dither.n, len(loop.device.terminals)
    names = waveforms(loop)
    device, _alive = device_calls(loop.device.kernel(loop.start_terminals_V, seed=seed), terminals, 0)
    constants, sides = constants_of(loop)
    state, tones = start_state(loop), tones_of(loop)
    windows = _windows(loop, not device.many, constants, sides[0])
    count = len(windows.starts_s)
    record = np.zeros((count * (windows.steps + 3) + 2, 1 + len(names) + terminals))
    room = np.zeros((2, terminals * (_BLOCK if device.many else 1)))
    angles = np.linspace(0.0, sequence.window_s, windows.steps + 1)[:, None] * tones.omega
    table = np.stack([np.sin(angles), np.cos(angles)])
    row = 0
    begin = time.perf_counter()

    def result(rows: FloatArray, complete: bool) -> Transient:
        statistics = {"points": float(len(rows)), "evaluations": float(len(rows) - complete), "rejected": 0.0}
        statistics["seconds"] = time.perf_counter() - begin
        values = {name: rows[:, 1 + k].copy() for k, name in enumerate(names)}
        return Transient(rows[:, 0].copy(), values, rows[:, 1 + len(names) :].copy(), complete, statistics, (), "")

    together = max(1, _CALL_POINTS // windows.steps)
    try:
        for first in range(0, count, together):
            done = slots(first, min(first + together, count), device, room, windows, tones, table, state, record, row,
                         constants, sides)  # fmt: skip
            if done < 0:
                start = windows.starts_s[-done - 1]
                raise ConvergenceError("device", "NaN", f"gave no current near {start:.6g} s", "check its voltages")
            row = done
    except KeyboardInterrupt:
        interruption = Interrupted("twin", "Ctrl-C", "was stopped", "what was computed so far is kept")
        interruption.partial = result(record[:row], False)
        raise interruption from None
    if not constants.closed:  # the filters' tail
        now, rate = float(windows.starts_s[-1] + windows.lengths_s[-1]) + windows.half_s, float(windows.rates_Hz[-1])
        last = windows.sides[-1]
        for until, side in ((loop.flip_s, last), (loop.stop_s, 1 - last)) if loop.chopped else ((loop.stop_s, last),):
            gap(until - now, _TAIL_STEPS, rate, rate, state, constants, sides[side])
            now = until
    soak(loop.stop_s - float(windows.starts_s[-1]), state, sides[0])
    if row:
        record[row] = record[row - 1]
        record[row, 0] = loop.stop_s
        record[row, 8 : 8 + n] = state.control
        record[row, 7] = 0.0
        row += 1
    return result(record[:row], True)
