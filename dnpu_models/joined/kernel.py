"""Compiled form of devices whose outputs meet: each gets its own voltages, its currents are added to their places.

The whole's terminals are the common output, then device by device the others (`place`). `params`: a header of devices,
terminals of each and the joined one; four words a device, where its params and its state begin and how long they are;
then the params. `state`: each device's, with the number of its terminals behind it as `pointers` wants.
"""

# mypy: ignore-errors
from __future__ import annotations

from functools import cache

import numpy as np
from numba import carray, cfunc, njit

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, as_float_pointer, call_device, load_float

DEVICES, WIDTH, OUTPUT, HEADER = range(4)
P_AT, P_LENGTH, S_AT, S_LENGTH, DEVICE_WORDS = range(5)


def packed(kernels, output):
    """`params` and `state` of devices with these kernels, joined at terminal `output`."""
    width = len(kernels[0].conductances_S)
    states = [np.append(kernel.state, float(width)) for kernel in kernels]
    p_at = HEADER + DEVICE_WORDS * len(kernels) + np.cumsum([0, *(len(kernel.params) for kernel in kernels)])
    s_at = np.cumsum([0, *map(len, states)])
    table = [[p_at[d], len(kernel.params), s_at[d], len(kernel.state)] for d, kernel in enumerate(kernels)]
    head = np.array([len(kernels), width, output], dtype=float)
    return np.concatenate([head, np.ravel(table), *(k.params for k in kernels)]), np.concatenate(states)


@njit(cache=True)
def place(device, terminal, params):
    """Number of a device's terminal among all of them."""
    output = int(params[OUTPUT])
    if terminal == output:
        return 0
    return device * (int(params[WIDTH]) - 1) + terminal + (1 if terminal < output else 0)


@njit(cache=True)
def gather(device, params, volts, own):
    """A device's voltages (width, settings) out of all of them (terminals, settings)."""
    for m in range(own.shape[0]):
        own[m] = volts[place(device, m, params)]


@njit(cache=True)
def scatter(device, params, own, out):
    """Add a device's currents to their places among all."""
    for m in range(own.shape[0]):
        out[place(device, m, params)] += own[m]


@njit(cache=True)
def device_words(device, params):
    """Where a device's params and state begin, and their lengths."""
    return params[HEADER + DEVICE_WORDS * device : HEADER + DEVICE_WORDS * (device + 1)]


def _asked(device_function, many):
    """C function that asks every device, at one setting or at as many as the first argument says."""
    inner = device_function.address

    @cfunc(DEVICE_SIGNATURE)
    def asked(x, voltages, params, n_params, state, n_state, out):
        settings = int(x) if many else 1
        shape = (int(load_float(state + 8 * n_state)), settings)
        volts, total = carray(as_float_pointer(voltages), shape), carray(as_float_pointer(out), shape)
        p = carray(as_float_pointer(params), n_params)
        own, found = np.empty((int(p[WIDTH]), settings)), np.empty((int(p[WIDTH]), settings))
        total[:] = 0.0
        for d in range(int(p[DEVICES])):
            word = device_words(d, p)
            gather(d, p, volts, own)
            call_device(inner, x, own.ctypes.data, params + 8 * int(word[P_AT]), int(word[P_LENGTH]),
                        state + 8 * int(word[S_AT]), int(word[S_LENGTH]), found.ctypes.data)  # fmt: skip
            scatter(d, p, found, total)

    return asked


@cache
def c_evaluate(device_evaluate):
    """C function for `evaluate`, from that of the devices (kept alive here)."""
    return _asked(device_evaluate, False)


@cache
def c_many(device_many):
    """C function for many settings, from that of the devices (kept alive here)."""
    return _asked(device_many, True)


@cache
def c_advance(device_advance):
    """C function for `advance`, from that of the devices (kept alive here)."""
    inner = device_advance.address

    @cfunc(DEVICE_SIGNATURE)
    def advance(dt, voltages, params, n_params, state, n_state, out):
        volts = carray(as_float_pointer(voltages), (int(load_float(state + 8 * n_state)), 1))
        p = carray(as_float_pointer(params), n_params)
        own = np.empty((int(p[WIDTH]), 1))
        for d in range(int(p[DEVICES])):
            word = device_words(d, p)
            gather(d, p, volts, own)
            call_device(inner, dt, own.ctypes.data, params + 8 * int(word[P_AT]), int(word[P_LENGTH]),
                        state + 8 * int(word[S_AT]), int(word[S_LENGTH]), 0)  # fmt: skip

    return advance


@cache
def functions(device_evaluate, device_advance):
    """`evaluate` and `advance` of the whole, from those of the devices."""

    @njit
    def evaluate(t, voltages, params, state, out):
        own, found = np.empty((int(params[WIDTH]), 1)), np.empty((int(params[WIDTH]), 1))
        out[:] = 0.0
        for d in range(int(params[DEVICES])):
            word = device_words(d, params)
            p_at, s_at = int(word[P_AT]), int(word[S_AT])
            gather(d, params, voltages.reshape(-1, 1), own)
            device_evaluate(t, own[:, 0], params[p_at : p_at + int(word[P_LENGTH])],
                            state[s_at : s_at + int(word[S_LENGTH])], found[:, 0])  # fmt: skip
            scatter(d, params, found, out.reshape(-1, 1))

    @njit
    def advance(dt, voltages, params, state):
        own = np.empty((int(params[WIDTH]), 1))
        for d in range(int(params[DEVICES])):
            word = device_words(d, params)
            p_at, s_at = int(word[P_AT]), int(word[S_AT])
            gather(d, params, voltages.reshape(-1, 1), own)
            device_advance(dt, own[:, 0], params[p_at : p_at + int(word[P_LENGTH])],
                           state[s_at : s_at + int(word[S_LENGTH])])  # fmt: skip

    return evaluate, advance
