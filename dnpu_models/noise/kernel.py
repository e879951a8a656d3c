"""Compiled noise currents: exact for steps of any length, repeatable within a step.

White noise of one-sided density S_w has over a step h the mean sqrt(S_w/(2h)) z, z a normal deviate. Each Lorentzian of
the 1/f part is an Ornstein-Uhlenbeck process of decay rate r and standard deviation s. Over a step, with x = r h,

    end  = e^-x start + s sqrt(1 - e^-2x) z_i,
    mean = (start + end) tanh(x/2)/x  +  a normal deviate of variance  s^2 (2/x) (1 - tanh(x/2)/(x/2)),

the second line the law of the mean between known ends. So a step's mean m and all ends need one deviate for each
process and one for the sum of all other variances. They are drawn when the step before is accepted: until the next one
is, the current is a function of time alone, however often and for whatever steps a simulator asks.

From means to points: a simulator integrates with the trapezoid rule, so the current v at a point counts for half the
step before it and half the step behind it. Means as points would be right on even steps only; the mean over a tiny step
is huge and would count for half the long step behind it. What the circuit integrates is right if

    (sum of the trapezoids so far) + (H/2) v = integral of the noise so far

holds at every point: then a circuit sees the noise through one pole of time constant H/2, itself taken in trapezoids,
whatever the steps are. H, the span, is the present step; where steps shorten it shrinks only as fast as time passes:

    v_new = [(H - h) v + 2 h m] / (H_new + h),   H_new = max(h, H - h, H_least).

On even steps v = m. With a bandwidth B the span is at least H_least = 1/(pi B).

`params`: header, then the terminal of each source, then the rates (1/s) and the standard deviations (A) of the
processes. `state`: the random words, the time of the last accepted point, then each source: its value (A), its span
(s), the deviate of the mean, the values of its processes (A), their deviates. A wrapped device's params and state
follow.
"""

# mypy: ignore-errors
from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import carray, cfunc, njit

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, as_float_pointer, c_function, call_device, load_float
from inmateria.random_words import uniform

N_PARAMS, N_STATE, SOURCES, PROCESSES, RETURN, WHITE_A2_PER_HZ, LEAST_SPAN_S, HEADER = range(8)
"""Words of the header: lengths of the noise's own params and state, counts, terminal of return (-1: ground), S_w."""
TIME, STATE_HEADER = 4, 5
VALUE, SPAN, MEAN_DEVIATE, SOURCE_HEADER = range(4)

_DIRECT_FROM = 0.4  # half x from which the direct formula loses no more than one digit
_LEVELS = 6  # of the continued fraction below it, exact to 2e-16


def sizes(sources: int, processes: int) -> tuple[int, int]:
    """Lengths of the noise's params and state."""
    return HEADER + sources + 2 * processes, STATE_HEADER + sources * (SOURCE_HEADER + 2 * processes)


@njit(cache=True)
def normal_pair(words):
    """Two independent normal deviates, by the method of Box and Muller; `words` (4,) uint64 advances."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(words)))  # uniform never is 1
    angle = 2.0 * math.pi * uniform(words)
    return radius * math.cos(angle), radius * math.sin(angle)


@njit(cache=True)
def fill_normals(words, out):
    """Fill `out` with independent normal deviates."""
    for k in range(0, out.size - 1, 2):
        out[k], out[k + 1] = normal_pair(words)
    if out.size % 2 == 1:
        out[out.size - 1], _ = normal_pair(words)


@njit(cache=True, error_model="numpy")
def tanh_deficit(x, lost):
    """1 - tanh(x/2)/(x/2) for x > 0, given `lost` = 1 - e^-x; without cancellation.

    For small x by Lambert's continued fraction tanh(y)/y = 1/(1 + q), q = y^2/(3 + y^2/(5 + ...)): q/(1 + q).
    """
    half = 0.5 * x
    if half > _DIRECT_FROM:
        return 1.0 - lost / (2.0 - lost) / half
    square = half * half
    tail = 0.0
    for level in range(_LEVELS, 0, -1):
        tail = square / (2.0 * level + 1.0 + tail)
    return tail / (1.0 + tail)


@njit(cache=True, error_model="numpy")
def process_step(x, start, deviation, deviate):
    """One process over a step of `x` decay times: its end, its mean between the ends, the variance of that mean."""
    lost = -math.expm1(-x)
    end = start * (1.0 - lost) + deviation * math.sqrt(lost * (2.0 - lost)) * deviate
    deficit = tanh_deficit(x, lost)
    return end, 0.5 * (start + end) * (1.0 - deficit), deviation * deviation * deficit * 2.0 / x


@njit(cache=True)
def _source(params, state, number):
    """Words of source `number` in `state`."""
    length = SOURCE_HEADER + 2 * int(params[PROCESSES])
    return state[STATE_HEADER + number * length : STATE_HEADER + (number + 1) * length]


@njit(cache=True, error_model="numpy")
def step_mean(h, params, source, move):
    """Mean current (A) over a step of `h` (s) from the last accepted point; with `move` the processes go to its end."""
    count = int(params[PROCESSES])
    rates = HEADER + int(params[SOURCES])
    mean = 0.0
    variance = 0.5 * params[WHITE_A2_PER_HZ] / h
    for i in range(count):
        place = SOURCE_HEADER + i
        end, part, spread = process_step(
            params[rates + i] * h, source[place], params[rates + count + i], source[place + count]
        )
        mean += part
        variance += spread
        if move:
            source[place] = end
    return mean + math.sqrt(variance) * source[MEAN_DEVIATE]


@njit(cache=True, error_model="numpy")
def point_value(h, mean, least_span, source):
    """Current (A) at the end of a step of `h` (s) with this mean, and the span (s) from there on."""
    span = source[SPAN] if source[SPAN] > 0.0 else h  # nothing is owed at the first step
    after = max(h, span - h, least_span)
    return ((span - h) * source[VALUE] + 2.0 * h * mean) / (after + h), after


@njit(cache=True)
def add_noise(t, params, state, out):
    """Add to `out` the noise currents (A) at time `t` (s), if it becomes the next accepted point."""
    h = t - state[TIME]
    returned = int(params[RETURN])
    for number in range(int(params[SOURCES])):
        source = _source(params, state, number)
        value = source[VALUE]
        if h > 0.0:
            value, _ = point_value(h, step_mean(h, params, source, False), params[LEAST_SPAN_S], source)
        out[int(params[HEADER + number])] += value
        if returned >= 0:
            out[returned] -= value


@njit(cache=True)
def advance_noise(dt, params, state):
    """The step of `dt` (s) was accepted: move to its end, draw the deviates of the next one."""
    words = state[:4].view(np.uint64)
    for number in range(int(params[SOURCES])):
        source = _source(params, state, number)
        mean = step_mean(dt, params, source, True)
        source[VALUE], source[SPAN] = point_value(dt, mean, params[LEAST_SPAN_S], source)
        fill_normals(words, source[MEAN_DEVIATE : MEAN_DEVIATE + 1])
        fill_normals(words, source[SOURCE_HEADER + int(params[PROCESSES]) :])
    state[TIME] += dt


@njit(cache=True)
def follow(steps, params, state, means, points):
    """Means over the steps (s) one after the other, and values at their ends, of the first source, A."""
    source = _source(params, state, 0)
    for k in range(steps.size):
        means[k] = step_mean(steps[k], params, source, False)
        advance_noise(steps[k], params, state)
        points[k] = source[VALUE]


# -- a device with noise ---------------------------------------------------------------------------------------------


@c_function(DEVICE_SIGNATURE)
def c_add_noise(t, voltages, params, n_params, state, n_state, out):
    """`add_noise` as a C function."""
    terminals = int(load_float(state + 8 * n_state))
    add_noise(
        t,
        carray(as_float_pointer(params), n_params),
        carray(as_float_pointer(state), n_state),
        carray(as_float_pointer(out), terminals),
    )


@c_function(DEVICE_SIGNATURE)
def c_advance_noise(dt, voltages, params, n_params, state, n_state, out):
    """`advance_noise` as a C function."""
    advance_noise(dt, carray(as_float_pointer(params), n_params), carray(as_float_pointer(state), n_state))


def _then(first, second):
    """C function that calls a device's, which finds its params and state behind the noise's, and then the noise's.

    It holds addresses of this process, so it cannot be kept on disk; it is so small that making it takes 0.1 s.
    """
    device, noise = first.address, second.address

    @cfunc(DEVICE_SIGNATURE)
    def both(x, voltages, params, n_params, state, n_state, out):
        skip = int(load_float(params + 8 * N_PARAMS))
        pass_by = int(load_float(params + 8 * N_STATE))
        call_device(
            device, x, voltages, params + 8 * skip, n_params - skip, state + 8 * pass_by, n_state - pass_by, out
        )
        call_device(noise, x, voltages, params, n_params, state, n_state, out)

    return both


@cache
def c_evaluate_with_noise(device_evaluate):
    """C function for `evaluate` of a device with noise, from that of the device (kept alive here)."""
    return _then(device_evaluate, c_add_noise)


@cache
def c_advance_with_noise(device_advance):
    """C function for `advance` of a device with noise, from that of the device (kept alive here)."""
    return _then(device_advance, c_advance_noise)


@cache
def with_noise(device_evaluate, device_advance):
    """`evaluate` and `advance` of a device with noise, from those of the device."""

    @njit
    def evaluate(t, voltages, params, state, out):
        device_evaluate(t, voltages, params[int(params[N_PARAMS]) :], state[int(params[N_STATE]) :], out)
        add_noise(t, params, state, out)

    @njit
    def advance(dt, voltages, params, state):
        device_advance(dt, voltages, params[int(params[N_PARAMS]) :], state[int(params[N_STATE]) :])
        advance_noise(dt, params, state)

    return evaluate, advance


# -- no device: nothing but the noise --------------------------------------------------------------------------------


@njit(cache=True)
def open_evaluate(t, voltages, params, state, out):
    """No current at any voltage."""
    out[:] = 0.0


@c_function(DEVICE_SIGNATURE)
def c_open_evaluate(t, voltages, params, n_params, state, n_state, out):
    """`open_evaluate` as a C function."""
    carray(as_float_pointer(out), int(load_float(state + 8 * n_state)))[:] = 0.0
