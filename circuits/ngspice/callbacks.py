"""What ngspice calls while it runs, compiled: the device's currents, and the record of accepted points.

ngspice asks an external current source for its value on every Newton iteration, also for steps it rejects later, and
tells the node voltages only when a point is accepted. So at any time t the terminal voltages are

    V_m(t) = drive_m(t) + r_m + s_m (t - t_n),     r_m = V_m(t_n) - drive_m(t_n) at the last accepted point t_n,

where `drive` is the known part of the terminal's waveform (dither, pattern sequence) and r_m moves slowly (the
control); s_m is its slope over the points before: the smaller one of the last two, 0 where they differ in sign, so that
what rings after a corner is not carried on into a longer step. The device is evaluated once for each t, and advanced on
accepted points only.

All addresses and sizes come through the one `void*`: an int64 array laid out as below.
"""

from __future__ import annotations

import math

import numpy as np
from numba import carray, njit, types

from circuits.signals.sources_kernel import drive_voltages
from dnpu_models.interface.pointers import (
    as_float_pointer,
    as_int_pointer,
    c_function,
    call_device,
    load_byte,
    load_float,
    load_int,
    store_float,
)

# int64 control block
(
    EVALUATE,
    ADVANCE,
    TERMINALS,
    PARAMS,
    N_PARAMS,
    STATE,
    N_STATE,
    RECORD,
    CAPACITY,
    COLUMNS,
    N_COLUMNS,
    SENSE,
    TIME_INDEX,
    WORK,
    DRIVE,
    N_DRIVE,
    CLOCK,
    UNSERVED,
    CORNERS,
    N_CORNERS,
    GRIDS,
    N_GRIDS,
    CONTROL_WORDS,
) = range(23)

# float64 header of the shared record
(
    H_TIME,
    H_POINTS,
    H_ROWS,
    H_EVALUATIONS,
    H_CALLS,
    H_BAD_TIME,
    H_OVERFLOW,
    H_PREDICTION_ERROR,
    H_DEVICE_SECONDS,
    HEADER_WORDS,
) = range(10)

# float64 work block: scalars, then five arrays over the terminals
W_LAST, W_ANCHOR, W_EVALUATED, W_MIN_STEP, W_SCALARS = range(5)

# one even grid: its first and last point and its number of steps
GRID_WORDS = 3
AFTER_CORNER = 1e-3  # the step after a corner, as a fraction of a grid's


_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))


@njit(cache=True)
def _seconds(clock, scratch_address, scratch):
    _clock_gettime(np.int32(clock), scratch_address)
    return float(scratch[0]) + 1e-9 * float(scratch[1])


@njit(cache=True)
def _currents_at(control, t):
    """Make the cached device currents those of time t."""
    terminals = control[TERMINALS]
    work = carray(as_float_pointer(control[WORK]), W_SCALARS + 6 * terminals + 2)
    if t == work[W_EVALUATED]:
        return
    header = carray(as_float_pointer(control[RECORD]), HEADER_WORDS)
    residual = work[W_SCALARS : W_SCALARS + terminals]
    slope = work[W_SCALARS + terminals : W_SCALARS + 2 * terminals]
    volts = work[W_SCALARS + 2 * terminals : W_SCALARS + 3 * terminals]
    current = work[W_SCALARS + 3 * terminals : W_SCALARS + 4 * terminals]
    drive = carray(as_float_pointer(control[DRIVE]), control[N_DRIVE])
    drive_voltages(drive, t, volts)
    ahead = t - work[W_LAST]
    for m in range(terminals):
        volts[m] += residual[m] + slope[m] * ahead
    stamp_address = control[WORK] + 8 * (W_SCALARS + 6 * terminals)
    stamp = carray(as_int_pointer(stamp_address), 2)
    begin = _seconds(control[CLOCK], stamp_address, stamp)
    call_device(
        control[EVALUATE],
        t,
        control[WORK] + 8 * (W_SCALARS + 2 * terminals),
        control[PARAMS],
        control[N_PARAMS],
        control[STATE],
        control[N_STATE],
        control[WORK] + 8 * (W_SCALARS + 3 * terminals),
    )
    header[H_DEVICE_SECONDS] += _seconds(control[CLOCK], stamp_address, stamp) - begin
    header[H_EVALUATIONS] += 1.0
    work[W_EVALUATED] = t
    for m in range(terminals):
        if not math.isfinite(current[m]):
            # The parent sees the time and ends the run; zeros keep ngspice out of the way until then.
            if math.isnan(header[H_BAD_TIME]):
                header[H_BAD_TIME] = t
            current[m] = 0.0


@c_function(types.int32(types.int64, types.float64, types.int64, types.int32, types.int64))
def current_source(value, t, name, _ident, user):
    """GetISRCData: current of the external source whose name ends with the terminal's number."""
    control = carray(as_int_pointer(user), CONTROL_WORDS)
    number = 0
    place = name
    while True:
        byte = load_byte(place)
        if byte == 0:
            break
        number = number * 10 + byte - 48 if 48 <= byte <= 57 else 0
        place += 1
    if control[EVALUATE] == 0 or number >= control[TERMINALS]:
        control[UNSERVED] += 1  # the engine refuses the result, should `check_deck` have missed it
        store_float(value, 0.0)
        return 0
    header = carray(as_float_pointer(control[RECORD]), HEADER_WORDS)
    header[H_CALLS] += 1.0
    _currents_at(control, t)
    store_float(value, load_float(control[WORK] + 8 * (W_SCALARS + 3 * control[TERMINALS] + number)))
    return 0


@c_function(types.int32(types.int64, types.float64, types.int64, types.int32, types.int64))
def voltage_source(value, t, name, _ident, user):
    """GetVSRCData: no external voltage source is in use (the engine refuses decks that have one)."""
    control = carray(as_int_pointer(user), CONTROL_WORDS)
    control[UNSERVED] += 1
    store_float(value, 0.0)
    return 0


@c_function(types.int32(types.int64, types.int32, types.int32, types.int64))
def accepted_point(data, _count, _ident, user):
    """SendData: an accepted point. Record it, learn the terminal voltages, advance the device."""
    control = carray(as_int_pointer(user), CONTROL_WORDS)
    if control[RECORD] == 0 or control[TIME_INDEX] < 0:
        return 0
    header = carray(as_float_pointer(control[RECORD]), HEADER_WORDS)
    vectors = load_int(data + 8)  # pvecvalues *vecsa; each value has its double at offset 8
    t = load_float(load_int(vectors + 8 * control[TIME_INDEX]) + 8)
    header[H_TIME] = t
    header[H_POINTS] += 1.0
    terminals = control[TERMINALS]
    columns = carray(as_int_pointer(control[COLUMNS]), control[N_COLUMNS])
    live = control[EVALUATE] != 0
    if live:
        work = carray(as_float_pointer(control[WORK]), W_SCALARS + 6 * terminals + 2)
        _currents_at(control, t)
    row = int(header[H_ROWS])
    if row < control[CAPACITY]:
        width = 1 + control[N_COLUMNS] + terminals
        place = control[RECORD] + 8 * (HEADER_WORDS + row * width)
        store_float(place, t)
        for c in range(control[N_COLUMNS]):
            store_float(place + 8 * (1 + c), load_float(load_int(vectors + 8 * columns[c]) + 8))
        for m in range(terminals):
            store_float(
                place + 8 * (1 + control[N_COLUMNS] + m),
                load_float(control[WORK] + 8 * (W_SCALARS + 3 * terminals + m)),
            )
        header[H_ROWS] = row + 1.0
    else:
        header[H_OVERFLOW] += 1.0
    if not live:
        return 0
    sense = carray(as_int_pointer(control[SENSE]), terminals)
    residual = work[W_SCALARS : W_SCALARS + terminals]
    slope = work[W_SCALARS + terminals : W_SCALARS + 2 * terminals]
    predicted = work[W_SCALARS + 2 * terminals : W_SCALARS + 3 * terminals]
    anchor = work[W_SCALARS + 4 * terminals : W_SCALARS + 5 * terminals]
    trend = work[W_SCALARS + 5 * terminals : W_SCALARS + 6 * terminals]
    first = work[W_LAST] < 0.0
    dt = t if first else t - work[W_LAST]  # the device starts at time 0, ngspice's first point lies behind it
    renew = first or t - work[W_ANCHOR] >= work[W_MIN_STEP]
    for m in range(terminals):  # what the nodes really did, against what the device was told
        actual = load_float(load_int(vectors + 8 * sense[m]) + 8)
        if not first and dt > 0.0:  # ngspice 44 may repeat a point at the stop time: nothing was predicted for it
            header[H_PREDICTION_ERROR] = max(header[H_PREDICTION_ERROR], abs(actual - predicted[m]))
        residual[m] = actual
    actual_address = control[WORK] + 8 * W_SCALARS
    if dt > 0.0:
        call_device(
            control[ADVANCE],
            dt,
            actual_address,
            control[PARAMS],
            control[N_PARAMS],
            control[STATE],
            control[N_STATE],
            0,
        )
    drive = carray(as_float_pointer(control[DRIVE]), control[N_DRIVE])
    drive_voltages(drive, t, predicted)
    for m in range(terminals):
        residual[m] -= predicted[m]
        if renew:
            now = 0.0 if first else (residual[m] - anchor[m]) / (t - work[W_ANCHOR])
            slope[m] = 0.0 if now * trend[m] <= 0.0 else math.copysign(min(abs(now), abs(trend[m])), now)
            trend[m] = now
            anchor[m] = residual[m]
    if renew:
        work[W_ANCHOR] = t
    work[W_LAST] = t
    return 0


@njit(cache=True)
def _first_after(values, stride, count, t):
    """Number of the first of `count` ascending values, `stride` words apart, that is larger than t."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if values[stride * middle] <= t:
            low = middle + 1
        else:
            high = middle
    return low


@c_function(types.int32(types.float64, types.int64, types.float64, types.int32, types.int32, types.int32, types.int64))
def next_step(t, delta, old, redo, _ident, location, user):
    """GetSyncData: end a step at the next corner of the waveforms that it would pass, or at the next grid point.

    ngspice's own breakpoints get lost: a PWL source announces its next corner only at a point that is not before the
    present one, and a point one rounding error early, or a second source's corner there, breaks the chain.

    On a grid the points are even. Left alone, ngspice's steps grow from small to the largest after a corner; the
    trapezoid rule then no longer sums a whole number of cycles to zero, and a constant times a reference leaves
    about omega h^2/12 in a lock-in's reading. Only the step right after a corner is kept short: where ngspice takes the
    corner for a breakpoint of its own, that step is backward Euler's.

    The last corner is the end of the run. Left alone, ngspice's last step ends 1.1e-11 of the largest step before the
    stop time, and 44 then fails over a step of zero. So the last step goes there at once, where it is no longer than
    the one before. (47 halves its steps down to 1e-17 s there all the same; that costs it some 40 points.)
    """
    if location != 0 or redo != 0:
        return 0
    control = carray(as_int_pointer(user), CONTROL_WORDS)
    slack = 1e-14 * t + 1e-18
    step = load_float(delta)
    count = control[N_CORNERS]
    corner = math.inf
    at_corner = at_end = False
    if count > 0:
        corners = carray(as_float_pointer(control[CORNERS]), count)
        low = _first_after(corners, 1, count, t + slack)
        at_corner = low > 0 and corners[low - 1] >= t - slack
        if low < count:
            corner = corners[low]
            at_end = low == count - 1
    count = control[N_GRIDS]
    if count > 0:
        grids = carray(as_float_pointer(control[GRIDS]), GRID_WORDS * count)
        number = _first_after(grids, GRID_WORDS, count, t + slack) - 1
        if number >= 0:
            start = grids[GRID_WORDS * number]
            stop = grids[GRID_WORDS * number + 1]
            if t < stop - slack:
                spacing = (stop - start) / grids[GRID_WORDS * number + 2]
                # The next point is the first that lies clearly after t: a thousandth of a step is rounding, or an edge.
                point = start + math.floor((t - start) / spacing + 1.001) * spacing
                step = min(AFTER_CORNER * spacing, point - t) if at_corner else point - t
    if t + step > corner or (at_end and corner - t <= (1.0 + 1e-9) * max(old, step)):
        step = corner - t
    store_float(delta, step)
    return 0
