"""What the twin and the averaged loop have in common: a loop's constants, and compiled equations of its blocks.

Numba takes the named tuples apart where it is called from Python, which costs some microseconds; inside compiled code
they cost nothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from circuits.homodyne.loop import READING_V, HomodyneLoop
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.interface.pointers import c_functions, call_device, imported
from inmateria.checks import FloatArray


class LoopConstants(NamedTuple):
    """The equations of what a loop has once, in numbers: b the baseline, c the logarithm of the gain.

    tia    v = tia_V - transimpedance_ohm I
    u      u_tia v - u_baseline b + u_V
    y      polarity e^(gain_slope c) u + gain_feed c + y_V
    b      db/dt = baseline_rate_Hz gate (u + baseline_V)
    c      dc/dt = gain_rate_Hz gate (power_0 - (power_2 y + power_1) y + gain_V)
    E      loss_2 e^2 + loss_1 e + loss_0 with e = error_y y - error_target target + error_V, or another: `losses`
    heard  E, or heard_u u + heard_V where the lock-ins read the output
    """

    closed: bool
    """Whether the integrators move the controls; else they read."""
    hears_loss: bool
    virtual_ground_V: float
    transimpedance_ohm: float
    tia_V: float
    u_tia: float
    u_baseline: float
    u_V: float
    polarity: float
    gain_slope: float
    gain_feed: float
    y_V: float
    power_0: float
    power_1: float
    power_2: float
    baseline_rate_Hz: float
    baseline_V: float
    baseline_reach_V: float
    gain_rate_Hz: float
    gain_V: float
    gain_low: float
    gain_high: float
    loss_kind: int
    margin_V: float
    knee_V: float
    error_y: float
    error_target: float
    error_V: float
    loss_2: float
    loss_1: float
    loss_0: float
    heard_u: float
    heard_V: float
    step_V: float
    """Scale of the limiters' argument."""


class ChannelConstants(NamedTuple):
    """What a loop has once for each control, each (n,) but `taus_s`.

    electrode  sum_gain (w + level) + amplitude_V s sin(theta) + sum_V
    mixer      x = (mix_gain sin(theta) + mix_feed) heard + mix_V, with the sign of a chopped loop's switch
    limiter    limit_V tanh(step/step_V + limit_shift) + limit_out_V, step = gain times the averager
    control    dw/dt = drift_V_s - rate rate(t) limiter, from low_V to high_V;
               in an opened loop drift_V_s + gain rate (low-pass + limit_out_V)
    dielectric dd/dt = (w - d)/soak_s, which takes soak_share of it from the control: `soak`
    """

    sum_gain: FloatArray
    sum_V: FloatArray
    amplitude_V: FloatArray
    mix_gain: FloatArray
    mix_feed: FloatArray
    mix_V: FloatArray
    """All offsets between mixer and limiter: those of low-pass and averager, too."""
    taus_s: FloatArray
    """Time constants of the low-passes' poles, the averager's last, (poles + 1, n)."""
    gain: FloatArray
    limit_V: FloatArray
    limit_shift: FloatArray
    limit_out_V: FloatArray
    """Offset behind the limiter, less the integrator's own."""
    rate: FloatArray
    """Of the integrator, as a fraction of the nominal one."""
    drift_V_s: FloatArray
    low_V: FloatArray
    high_V: FloatArray
    soak_share: FloatArray
    """Of the integrator's capacitance, that of the branch of its dielectric."""
    soak_s: FloatArray


class LoopState(NamedTuple):
    """What moves: changed in place."""

    control: FloatArray
    """What the integrators hold, V: controls, or readings of an opened loop, (n,)."""
    filters: FloatArray
    """Low-passes, V, (poles, n)."""
    averages: FloatArray
    """Averagers, V, (n,)."""
    slow: FloatArray
    """Baseline and logarithm of the gain, (2,)."""
    soaked: FloatArray
    """What the branches of the integrators' dielectrics hold, V, and the controls when that was found, (2, n)."""


class DeviceCalls(NamedTuple):
    """A device as compiled code calls it."""

    evaluate: int
    advance: int
    many: int
    """Address of the function that takes many settings at once; 0 where there is none."""
    params: FloatArray
    state: FloatArray
    """With the number of terminals behind it: see `dnpu_models.interface.pointers`."""


class Tones(NamedTuple):
    """The dither, and the terminals that it and the controls go to."""

    trained: NDArray[np.int64]
    output: int
    omega: FloatArray
    """Angular frequencies, rad/s, (n,)."""
    phase: FloatArray


def start_state(loop: HomodyneLoop) -> LoopState:
    """A loop's state before its first window."""
    n, stage = loop.dither.n, loop.stage
    control = loop.start_V.copy() if loop.mode == "learn" else np.zeros(n)
    slow = np.array([stage.baseline_V, stage.gain_log])
    return LoopState(control, np.zeros((loop.filter_poles, n)), np.zeros(n), slow, np.stack([control, control]))


def pattern_voltages(loop: HomodyneLoop, constants: LoopConstants, channels: ChannelConstants) -> FloatArray:
    """Terminal voltages without dither, and without what moves of the controls, V, (patterns, terminals)."""
    sequence, trained = loop.sequence, list(loop.trained)
    volts = np.tile(loop.start_terminals_V, (sequence.patterns, 1))
    for which, terminal in enumerate(loop.inputs):
        volts[:, terminal] += np.array(sequence.levels_V)[:, which] - sequence.levels_V[-1][which]
    if constants.closed:
        volts[:, trained] -= loop.start_V
    volts[:, trained] = channels.sum_gain * volts[:, trained] + channels.sum_V
    volts[:, loop.output] = constants.virtual_ground_V
    return volts


def integrator_limits(loop: HomodyneLoop) -> tuple[FloatArray, FloatArray]:
    """Rails of the integrators, V, (n,) each: of the controls, or of readings."""
    if loop.mode == "learn":
        low, high = loop.control_limits_V
        return np.ascontiguousarray(low), np.ascontiguousarray(high)
    return np.full(loop.dither.n, -READING_V), np.full(loop.dither.n, READING_V)


def tones_of(loop: HomodyneLoop) -> Tones:
    """A loop's tones as compiled code takes them."""
    plan = loop.dither
    trained = np.array(loop.trained, dtype=np.int64)
    return Tones(trained, loop.output, 2 * np.pi * np.array(plan.frequencies_Hz), np.array(plan.phases_rad))


def device_calls(kernel: SteppableKernel, terminals: int, which: int) -> tuple[DeviceCalls, tuple[Any, ...]]:
    """A kernel's functions and memory, and what has to stay alive while they may be called.

    `which` of the kernel's functions of many settings is meant, where it has them.
    """
    functions = c_functions(kernel)
    many = None if kernel.many is None else imported(kernel.many[which])
    state = np.append(kernel.state, float(terminals))
    evaluate, advance = (function.address for function in functions)
    calls = DeviceCalls(evaluate, advance, 0 if many is None else many.address, kernel.params, state)
    return calls, (*functions, many)


@njit(cache=True, error_model="numpy")
def pole_words(h: float, tau: float) -> tuple[float, float, float]:
    """dm/dt = (x - m)/tau over h, x a straight line: m' = a m + b x + c x' with these a, b, c; exact."""
    decay = math.exp(-h / tau)
    lag = tau / h * (1.0 - decay)
    return decay, lag - decay, 1.0 - lag


@njit(cache=True, error_model="numpy")
def soak(h: float, state: LoopState, channels: ChannelConstants) -> None:
    """What the dielectrics do in h, once a window: they are slow, and the controls go straight meanwhile."""
    control, (soaked, before) = state.control, state.soaked
    for k in range(control.size):
        if channels.soak_share[k] > 0.0:
            a, b, c = pole_words(h, channels.soak_s[k])
            held = a * soaked[k] + b * before[k] + c * control[k]
            control[k] -= channels.soak_share[k] * (held - soaked[k])
            soaked[k], before[k] = held, control[k]


@njit(cache=True, error_model="numpy")
def limited_at(k: int, step: float, constants: LoopConstants, channels: ChannelConstants) -> float:
    """What leaves a channel's limiter where it hears a step (V) that is not limited yet."""
    hears = step / constants.step_V + channels.limit_shift[k]
    return channels.limit_V[k] * math.tanh(hears) + channels.limit_out_V[k]


@njit(cache=True, error_model="numpy")
def limited(k: int, averages: FloatArray, constants: LoopConstants, channels: ChannelConstants) -> float:
    """What leaves a channel's limiter behind its averager."""
    return limited_at(k, channels.gain[k] * averages[k], constants, channels)


@njit(cache=True, error_model="numpy")
def ask(device: DeviceCalls, t: float, volts: FloatArray, out: FloatArray) -> None:
    """Currents at all columns of `volts` (terminals, settings), in one call where the device can or there is one."""
    params, state = device.params, device.state
    if device.many != 0 or volts.shape[1] == 1:
        call_device(device.many if device.many != 0 else device.evaluate,
                    float(volts.shape[1]) if device.many != 0 else t, volts.ctypes.data, params.ctypes.data,
                    params.size, state.ctypes.data, state.size - 1, out.ctypes.data)  # fmt: skip
        return
    one, found = np.empty(volts.shape[0]), np.empty(volts.shape[0])
    for m in range(volts.shape[1]):
        one[:] = volts[:, m]
        call_device(device.evaluate, t, one.ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                    state.size - 1, found.ctypes.data)  # fmt: skip
        out[:, m] = found


@njit(cache=True, error_model="numpy")
def advance(device: DeviceCalls, h: float, volts: FloatArray) -> None:
    """Let the device pass `h` seconds at these voltages."""
    params, state = device.params, device.state
    call_device(device.advance, h, volts.ctypes.data, params.ctypes.data, params.size, state.ctypes.data,
                state.size - 1, 0)  # fmt: skip
