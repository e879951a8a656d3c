"""The low-pass filters after the mixer, on any time grid: cascaded RC poles and moving means.

The product of signal and reference is taken between the samples as a straight line on a uniform grid (there,
sums over whole periods are exact up to aliasing, and any "improvement" would spoil that), and as a cubic
Hermite polynomial on any other grid (straight lines would read a few tenths of a per cent wrong at 50 points
a period). Only the signal's slope is estimated from the samples, the reference's is exact. Where neighbouring
steps differ by more than a factor of 8 (the corners that a simulator puts at a jump), the slope is that of
the straight line.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError

_STEP_RATIO = 8.0
_UNIFORM = 1e-6  # relative variation of the steps, beyond the rounding of t, up to which a grid is uniform


def is_uniform(time: FloatArray) -> bool:
    """Say whether all steps are equal, up to the rounding of the times."""
    steps = np.diff(time)
    mean = (time[-1] - time[0]) / steps.size
    rounding = 4.0 * np.finfo(np.float64).eps * max(abs(time[0]), abs(time[-1]))
    return bool(np.max(np.abs(steps - mean)) <= _UNIFORM * mean + rounding)


def side_slopes(time: FloatArray, signal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slopes of the signal at the begin and at the end of each interval, shape (m - 1,) each."""
    steps = np.diff(time)
    secant = np.diff(signal) / steps
    before, after = steps[:-1], steps[1:]
    inner = (after * secant[:-1] + before * secant[1:]) / (before + after)
    smooth = np.maximum(before, after) <= _STEP_RATIO * np.minimum(before, after)
    begin, end = secant.copy(), secant.copy()
    begin[1:][smooth] = inner[smooth]
    end[:-1][smooth] = inner[smooth]
    if smooth.size and smooth[0]:  # at the record's ends: the parabola through the three points there
        begin[0] = 2.0 * secant[0] - inner[0]
    if smooth.size and smooth[-1]:
        end[-1] = 2.0 * secant[-1] - inner[-1]
    return begin, end


@numba.njit(cache=True)
def _hold_weights(r: float, poles: int, weights: FloatArray, carry: FloatArray) -> None:
    """Fill weights[k, p] = int_0^r gamma_{k+1}(v) (1 - v/r)^p dv and carry[j] = exp(-r) r^j / j!.

    With gamma_k(v) = v^(k-1) exp(-v) / (k-1)! the impulse response of k poles: what a step of length r (in
    time constants) makes of the input (s/h)^p. Below r = 1 by Kummer's series, all terms positive; above by
    the recursion in k and p that integration by parts gives.
    """
    decay = math.exp(-r)
    power = 1.0
    for j in range(poles):
        carry[j] = decay * power
        power *= r / (j + 1)
    if r < 1.0:
        for k in range(1, poles + 1):
            lead = decay
            for j in range(1, k + 1):
                lead *= r / j  # exp(-r) r^k / k!
            for p in range(4):
                if p > 0:
                    lead *= p / (k + p)  # exp(-r) r^k p! / (k + p)!
                term, total, m = 1.0, 1.0, 0
                while term > 1e-17 * total:
                    term *= r * (p + 1 + m) / ((k + p + 1 + m) * (m + 1))
                    total += term
                    m += 1
                weights[k - 1, p] = lead * total
    else:
        table = np.empty((poles + 4, 4))
        tail, power = 0.0, 1.0
        for k in range(1, poles + 4):
            tail += decay * power
            power *= r / k
            table[k, 0] = 1.0 - tail
        for p in range(1, 4):
            for k in range(1, poles + 4 - p):
                table[k, p] = table[k, p - 1] - k / r * table[k + 1, p - 1]
        for k in range(1, poles + 1):
            for p in range(4):
                weights[k - 1, p] = table[k, p]


class _Samples(NamedTuple):
    """A record as compiled code takes it: straight lines on an even grid, or cubics."""

    time: FloatArray
    signal: FloatArray
    begin: FloatArray  # slopes behind each sample and before the next, for cubics
    end: FloatArray
    step: float  # of an even grid, s; else 0


@numba.njit(cache=True)
def _rc_bank(given: _Samples, omega: FloatArray, phase: FloatArray, tau: float, poles: int, trace: bool) -> FloatArray:
    """Filter signal * sin(omega t + phase) for each tone: last pole's output, (tones, samples or 1)."""
    time, signal, begin, end, step = given
    cubic = step == 0.0
    tones, samples = omega.size, time.size
    out = np.zeros((tones, samples if trace else 1))
    state = np.zeros((tones, poles))
    held = np.zeros(poles)
    weights, carry = np.zeros((poles, 4)), np.zeros(poles)
    value, slope = np.empty(tones), np.empty(tones)
    for n in range(tones):
        angle = omega[n] * time[0] + phase[n]
        value[n], slope[n] = math.sin(angle), omega[n] * math.cos(angle)
    last = -1.0
    for i in range(samples - 1):
        h = step if step > 0.0 else time[i + 1] - time[i]
        if h != last:
            _hold_weights(h / tau, poles, weights, carry)
            last = h
        for n in range(tones):
            angle = omega[n] * time[i + 1] + phase[n]
            sine = math.sin(angle)
            u0, u1 = signal[i] * value[n], signal[i + 1] * sine
            if cubic:
                cosine = omega[n] * math.cos(angle)
                d0 = h * (begin[i] * value[n] + signal[i] * slope[n])
                d1 = h * (end[i] * sine + signal[i + 1] * cosine)
                slope[n] = cosine
                c1, c2, c3 = d0, 3.0 * (u1 - u0) - 2.0 * d0 - d1, 2.0 * (u0 - u1) + d0 + d1
            else:
                c1, c2, c3 = u1 - u0, 0.0, 0.0
            value[n] = sine
            for k in range(poles):
                total = u0 * weights[k, 0] + c1 * weights[k, 1] + c2 * weights[k, 2] + c3 * weights[k, 3]
                for j in range(k + 1):
                    total += carry[j] * state[n, k - j]
                held[k] = total
            for k in range(poles):
                state[n, k] = held[k]
            if trace:
                out[n, i + 1] = state[n, poles - 1]
    if not trace:
        out[:, 0] = state[:, poles - 1]
    return out


def rc_means(
    time: FloatArray,
    signal: FloatArray,
    omega: FloatArray,
    phase: FloatArray,
    tau: float,
    poles: int,
    trace: bool = False,
) -> FloatArray:
    """Low-pass signal * sin(omega t + phase) with equal RC poles, empty at the first sample.

    Between samples as in the module's head; the poles are then integrated exactly. Shapes: time, signal (m,);
    omega, phase (n,); the result (n, m), or (n, 1) with only the last sample.
    """
    uniform = is_uniform(time)
    begin, end = (signal, signal) if uniform else side_slopes(time, signal)
    step = (time[-1] - time[0]) / (time.size - 1) if uniform else 0.0
    return np.asarray(_rc_bank(_Samples(time, signal, begin, end, step), omega, phase, tau, poles, trace))


def window_means(
    time: FloatArray,
    signal: FloatArray,
    omega: FloatArray,
    phase: FloatArray,
    length: float,
    hann: bool,
    trace: bool = False,
) -> FloatArray:
    """Mean of signal * sin(omega t + phase) over the last `length` seconds, plain or with a Hann weight.

    Shapes as in `rc_means`; NaN where not yet a whole window has passed. On a uniform grid with a whole
    number of steps in the window this is the trapezoid rule. A uniform record that lacks only the closing
    sample of its one window is taken as periodic (the mean of the samples).

    Raises
    ------
    InputError
        When the record is shorter than the window.
    """
    uniform = is_uniform(time)
    span = float(time[-1] - time[0])
    step = span / (time.size - 1)
    landing = uniform and abs(length / step - round(length / step)) < 1e-6 * max(1.0, 1e-3 * length / step)
    if landing and round(length / step) == time.size:
        time = np.append(time, time[0] + length)
        return _periodic_means(time, signal, omega, phase, hann, trace)
    if span < length * (1.0 - 1e-9):
        problem = f"is a record shorter than the window of {length:g} s"
        raise InputError("time_s", span, problem, "run for longer or take a shorter time_constant")
    if not trace:  # only the last window is needed, and two samples before it for the slopes
        keep = max(0, int(np.searchsorted(time, time[-1] - length * (1.0 + 1e-9))) - 2)
        time, signal = time[keep:], signal[keep:]
    ends = time if trace else time[-1:]
    starts = np.maximum(ends - length, time[0]) if not trace else ends - length
    early = starts < time[0] - 1e-9 * length
    starts = np.maximum(starts, time[0])
    steps = round(length / step)
    begin, end = side_slopes(time, signal)
    out = np.empty((omega.size, ends.size))
    for n in range(omega.size):
        sine, cosine = np.sin(omega[n] * time + phase[n]), omega[n] * np.cos(omega[n] * time + phase[n])
        product = signal * sine
        d0, d1 = begin * sine[:-1] + signal[:-1] * cosine[:-1], end * sine[1:] + signal[1:] * cosine[1:]

        def integral(
            weight: FloatArray, slope: FloatArray, u: FloatArray = product, a: FloatArray = d0, b: FloatArray = d1
        ) -> FloatArray:
            left, right = a * weight[:-1] + u[:-1] * slope[:-1], b * weight[1:] + u[1:] * slope[1:]
            if landing:
                running = _running(time, u * weight, left, right, cubic=False)
                back = np.maximum(np.arange(time.size)[-ends.size :] - steps, 0)
                return np.asarray(running[-ends.size :] - running[back])
            running = _running(time, u * weight, left, right, cubic=True)
            return np.asarray(running[-ends.size :] - _running_at(starts, time, u * weight, left, right, running))

        ones, zeros = np.ones(time.size), np.zeros(time.size)
        mean = integral(ones, zeros) / length
        if hann:  # 1 - cos(nu (t - start)); the window starts at end - length, where nu * length = 2 pi
            nu = 2.0 * np.pi / length
            turn = nu * (time - time[0])
            c = integral(np.cos(turn), -nu * np.sin(turn)) / length
            s = integral(np.sin(turn), nu * np.cos(turn)) / length
            at = nu * (ends - time[0])
            mean = mean - np.cos(at) * c - np.sin(at) * s
        mean[early] = np.nan
        out[n] = mean
    return out


def _periodic_means(
    time: FloatArray, signal: FloatArray, omega: FloatArray, phase: FloatArray, hann: bool, trace: bool
) -> FloatArray:
    """Means over the one whole window of a periodic record whose closing sample was left out."""
    inner = time[:-1]
    weight = 1.0 - np.cos(2.0 * np.pi * (inner - time[0]) / (time[-1] - time[0])) if hann else np.ones(inner.size)
    out = np.full((omega.size, inner.size if trace else 1), np.nan)
    for n in range(omega.size):
        out[n, -1] = np.mean(signal * weight * np.sin(omega[n] * inner + phase[n]))
    return out


def _running(time: FloatArray, u: FloatArray, d0: FloatArray, d1: FloatArray, cubic: bool) -> FloatArray:
    """Integrate u from the first sample to each: trapezoids, if cubic with h^2 (d0 - d1) / 12 added."""
    h = np.diff(time)
    pieces = 0.5 * h * (u[:-1] + u[1:])
    if cubic:
        pieces = pieces + h * h * (d0 - d1) / 12.0
    return np.concatenate([np.zeros(1), np.cumsum(pieces)])


def _running_at(
    at: FloatArray, time: FloatArray, u: FloatArray, d0: FloatArray, d1: FloatArray, running: FloatArray
) -> FloatArray:
    """Look up the running integral at any times in the record: exact for the Hermite cubic."""
    i = np.clip(np.searchsorted(time, at, side="right") - 1, 0, time.size - 2)
    h = time[i + 1] - time[i]
    q = (at - time[i]) / h
    a, b, s0, s1 = u[i], u[i + 1], h * d0[i], h * d1[i]
    c2, c3 = 3.0 * (b - a) - 2.0 * s0 - s1, 2.0 * (a - b) + s0 + s1
    inside = q * (a + q * (s0 / 2.0 + q * (c2 / 3.0 + q * c3 / 4.0)))
    return np.asarray(running[i] + h * inside)
