"""Several devices in one transient, told at once what the circuit between them makes of each other's currents.

ngspice asks for currents before it has node voltages, so `callbacks` tells a device the voltages on a straight line
through the last points. In a chain of devices the signals would come one time-point later with each. So what is known
of a terminal's voltage is computed here,

    known = theta~_k(t) + x_j(t) + swing tanh((I_d - centre)/scale + offset)      perturbation, input, earlier device

and the circuit's own voltages V at the accepted points say what to add to it: V - known, the control that moves slowly
and whatever the parts do otherwise, on a straight line like that of `callbacks`. The devices come in the order of the
signals; behind their terminals come the stages' offsets: parameters whose nodes are listened to, without a current.

`params`: header, six words a terminal, four a device, then the parameters of the sources (`multiplexed.kernel`) and of
each device. `state`: the sources' state, two times, what is known and what is added of each terminal with the latter's
slope, one device's voltages, then each device's own state with a word behind it, the number of its terminals.
"""

# mypy: ignore-errors
from __future__ import annotations

import math
from functools import cache

from numba import carray, cfunc, njit

from circuits.multiplexed.kernel import evaluate as evaluate_sources
from dnpu_models.interface.pointers import DEVICE_SIGNATURE, as_float_pointer, call_device, load_float

(
    SOURCE_PARAMS,
    SOURCE_STATE,
    SOURCES,
    CODES,
    TONES_HZ,
    PEAK,
    SCALE,
    DEVICES,
    TERMINALS,
    LEAST_S,
    PLACE,
    HEADER,
) = range(12)
"""Words of the header: lengths of the sources' params and state, how many sources, of them codes; the lowest tone (0:
the code is among the sources); perturbation at full scale and the sources' volts there; devices, terminals of each; the
shortest time over which a slope is taken; where the sources' parameters begin."""
LAST_S, ANCHOR_S, TIMES = range(3)
"""Behind the sources' state: times of the last accepted point and of the last one that slopes were taken at."""
KNOWN, ADDED, SLOPE, TREND, ANCHOR, ARRAYS = range(6)
"""Behind the times: arrays over the terminals and the stages; trend and anchor are the last slope and value."""
PARAMETER, INPUT, FROM, CENTRE_A, PER_A, SWING_V, TERMINAL_WORDS = range(7)
"""Words of a terminal: its parameter, source and earlier terminal (-1: none); centre, 1/scale, swing of that signal."""
P_AT, P_LENGTH, S_AT, S_LENGTH, DEVICE_WORDS = range(5)
"""Words of a device: where its parameters and its state begin, and their lengths."""


@njit(cache=True)
def start_evaluation(t, params, state, out):
    """Currents of the sources."""
    sources = int(params[SOURCES])
    at = int(params[PLACE])
    evaluate_sources(
        t,
        state[:0],
        params[at : at + int(params[SOURCE_PARAMS])],
        state[: int(params[SOURCE_STATE])],
        out[:sources],
    )


@njit(cache=True)
def everything(params):
    """Terminals and stages."""
    return int(params[DEVICES]) * (int(params[TERMINALS]) + 1)


@njit(cache=True)
def scratch_at(params):
    """Where one device's voltages begin in the state."""
    return int(params[SOURCE_STATE]) + TIMES + ARRAYS * everything(params)


@njit(cache=True)
def wiggle(k, t, params, out):
    """Perturbation of parameter k at time t (s), V; the sources' currents stand in `out`."""
    if params[TONES_HZ] > 0.0:
        return params[PEAK] * math.sin(2.0 * math.pi * (2 * k + 1) * params[TONES_HZ] * t)
    return -params[PEAK] * out[k] / params[SCALE]


@njit(cache=True)
def tell(device, t, params, state, out):
    """Write the voltages of a device's terminals at time t (s); the currents of those before it stand in `out`."""
    terminals = int(params[TERMINALS])
    sources = int(params[SOURCES])
    electrodes = int(params[DEVICES]) * terminals
    count = everything(params)
    times = state[int(params[SOURCE_STATE]) :]
    known, added, slope = times[TIMES:], times[TIMES + count * ADDED :], times[TIMES + count * SLOPE :]
    volts = state[scratch_at(params) :]
    ahead = t - times[LAST_S]
    # parameters of the stages follow those of all electrodes but the outputs
    known[electrodes + device] = wiggle(int(params[DEVICES]) * (terminals - 1) + device, t, params, out)
    for m in range(terminals):
        g = device * terminals + m
        word = params[HEADER + TERMINAL_WORDS * g : HEADER + TERMINAL_WORDS * (g + 1)]
        value = 0.0
        k = int(word[PARAMETER])
        if k >= 0:
            value += wiggle(k, t, params, out)
        j = int(word[INPUT])
        if j >= 0:
            value -= out[j]
        d = int(word[FROM])
        if d >= 0:
            moved = electrodes + d // terminals
            signal = (-out[sources + d] - word[CENTRE_A]) * word[PER_A]
            signal += known[moved] + added[moved] + slope[moved] * ahead
            value += word[SWING_V] * math.tanh(signal)
        known[g] = value
        volts[m] = value + added[g] + slope[g] * ahead


@njit(cache=True)
def learn(dt, voltages, params, state):
    """What the circuit's voltages (V) at an accepted point have beside the known ones, and where that goes."""
    sources = int(params[SOURCES])
    count = everything(params)
    times = state[int(params[SOURCE_STATE]) :]
    arrays = times[TIMES : TIMES + ARRAYS * count].reshape(ARRAYS, count)
    times[LAST_S] += dt
    passed = times[LAST_S] - times[ANCHOR_S]
    for g in range(count):
        value = voltages[sources + g] - arrays[KNOWN, g]
        arrays[ADDED, g] = value
        if passed >= params[LEAST_S]:
            now, before = (value - arrays[ANCHOR, g]) / passed, arrays[TREND, g]
            arrays[SLOPE, g] = 0.0 if now * before <= 0.0 else math.copysign(min(abs(now), abs(before)), now)
            arrays[TREND, g], arrays[ANCHOR, g] = now, value
    if passed >= params[LEAST_S]:
        times[ANCHOR_S] = times[LAST_S]


@njit(cache=True)
def _device(device, params):
    """Words of a device."""
    at = HEADER + TERMINAL_WORDS * int(params[DEVICES]) * int(params[TERMINALS]) + DEVICE_WORDS * device
    return params[at : at + DEVICE_WORDS]


@cache
def c_evaluate_network(device_evaluate):
    """C function for `evaluate` of a network, from that of its devices (kept alive here)."""
    inner = device_evaluate.address

    @cfunc(DEVICE_SIGNATURE)
    def network(t, voltages, params, n_params, state, n_state, out):
        count = int(load_float(state + 8 * n_state))
        p = carray(as_float_pointer(params), n_params)
        s = carray(as_float_pointer(state), n_state)
        o = carray(as_float_pointer(out), count)
        start_evaluation(t, p, s, o)
        terminals = int(p[TERMINALS])
        scratch = state + 8 * scratch_at(p)
        for d in range(count - int(p[DEVICES]), count):
            o[d] = 0.0
        for d in range(int(p[DEVICES])):
            tell(d, t, p, s, o)
            word = _device(d, p)
            place = out + 8 * (int(p[SOURCES]) + d * terminals)
            call_device(inner, t, scratch, params + 8 * int(word[P_AT]), int(word[P_LENGTH]),
                        state + 8 * int(word[S_AT]), int(word[S_LENGTH]), place)  # fmt: skip

    return network


@cache
def c_advance_network(device_advance):
    """C function for `advance` of a network, from that of its devices (kept alive here)."""
    inner = device_advance.address

    @cfunc(DEVICE_SIGNATURE)
    def network(dt, voltages, params, n_params, state, n_state, out):
        count = int(load_float(state + 8 * n_state))
        p = carray(as_float_pointer(params), n_params)
        learn(dt, carray(as_float_pointer(voltages), count), p, carray(as_float_pointer(state), n_state))
        terminals = int(p[TERMINALS])
        for d in range(int(p[DEVICES])):
            word = _device(d, p)
            place = voltages + 8 * (int(p[SOURCES]) + d * terminals)
            call_device(inner, dt, place, params + 8 * int(word[P_AT]), int(word[P_LENGTH]),
                        state + 8 * int(word[S_AT]), int(word[S_LENGTH]), 0)  # fmt: skip

    return network


@cache
def network_functions(device_evaluate, device_advance):
    """`evaluate` and `advance` of a network, from those of its devices."""

    @njit
    def evaluate(t, voltages, params, state, out):
        start_evaluation(t, params, state, out)
        terminals = int(params[TERMINALS])
        scratch = scratch_at(params)
        out[out.size - int(params[DEVICES]) :] = 0.0
        for d in range(int(params[DEVICES])):
            tell(d, t, params, state, out)
            word = _device(d, params)
            at, here = int(params[SOURCES]) + d * terminals, int(word[S_AT])
            device_evaluate(t, state[scratch : scratch + terminals],
                            params[int(word[P_AT]) : int(word[P_AT]) + int(word[P_LENGTH])],
                            state[here : here + int(word[S_LENGTH])], out[at : at + terminals])  # fmt: skip

    @njit
    def advance(dt, voltages, params, state):
        learn(dt, voltages, params, state)
        terminals = int(params[TERMINALS])
        for d in range(int(params[DEVICES])):
            word = _device(d, params)
            at, here = int(params[SOURCES]) + d * terminals, int(word[S_AT])
            device_advance(dt, voltages[at : at + terminals],
                           params[int(word[P_AT]) : int(word[P_AT]) + int(word[P_LENGTH])],
                           state[here : here + int(word[S_LENGTH])])  # fmt: skip

    return evaluate, advance
