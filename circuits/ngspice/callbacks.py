"""What ngspice calls while it runs, compiled: the device's currents, and the record of accepted points.

ngspice asks an external current source for its value on every Newton iteration, also for steps it rejects later, and
tells the node voltages only when a point is accepted. So at any time t the terminal voltages are

    V_m(t) = drive_m(t) + r_m + s_m (t - t_n),     r_m = V_m(t_n) - drive_m(t_n) at the last accepted point t_n,

where `drive` is the known part of the terminal's waveform (dither, pattern sequence) and r_m moves slowly (the
control); s_m is its slope over the points before: the smaller one of the last two, 0 where they differ in sign, so that
what rings after a corner is not carried on into a longer step. The device is evaluated once for each t, and advanced on
accepted points only.

All addresses and sizes come through the one `void*`: a record laid out as in `blocks`.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import carray, from_dtype, njit, types
from numba.extending import intrinsic

from circuits.ngspice.blocks import (
    ANCHOR,
    ARRAYS,
    CONTROL,
    CURRENT,
    EARLY,
    FIRST_STEP,
    GRID,
    HEADER,
    NAME_BYTES,
    NEXT_TICK,
    RESIDUAL,
    SLOPE,
    SOURCES,
    TREND,
    VOLTS,
    WORK,
)
from circuits.ngspice.noise_sources_kernel import advance_to, noise_at
from circuits.signals.sources_kernel import drive_voltages
from dnpu_models.interface.pointers import (
    as_float_pointer,
    as_int_pointer,
    c_function,
    call_device,
    load_byte,
    load_float,
    load_int,
    pointer_to,
    store_float,
)

AFTER_CORNER = 1e-3
"""The step after a corner, as a fraction of a grid's."""

ROWS_AT = HEADER.itemsize
STAMP_AT = WORK.fields["stamp_s"][1]


as_control, as_header, as_work, as_grids = (pointer_to(from_dtype(block)) for block in (CONTROL, HEADER, WORK, GRID))
_write = types.ExternalFunction("write", types.int64(types.int32, types.int64, types.int64))
_read = types.ExternalFunction("read", types.int64(types.int32, types.int64, types.int64))
_poll = types.ExternalFunction("poll", types.int32(types.int64, types.int64, types.int32))
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))


@njit(cache=True)
def _seconds(clock, work_address, work):
    _clock_gettime(np.int32(clock), work_address + STAMP_AT)
    return float(work.stamp_s) + 1e-9 * float(work.stamp_ns)


@njit(cache=True)
def _array_at(control, number):
    """Address of one of the arrays over the terminals."""
    return control.arrays + 8 * number * control.terminals


@njit(cache=True)
def _currents_at(control, t):
    """Make the cached device currents those of time t."""
    work = carray(as_work(control.work), 1)[0]
    if t == work.evaluated_s:
        return
    header = carray(as_header(control.record), 1)[0]
    terminals = control.terminals
    arrays = carray(as_float_pointer(control.arrays), (ARRAYS, terminals))
    residual, slope, volts, current = arrays[RESIDUAL], arrays[SLOPE], arrays[VOLTS], arrays[CURRENT]
    drive_voltages(carray(as_float_pointer(control.drive), control.n_drive), t, volts)
    ahead = t - work.last_s
    for m in range(terminals):
        volts[m] += residual[m] + slope[m] * ahead
    begin = _seconds(control.clock, control.work, work)
    call_device(control.evaluate, t, _array_at(control, VOLTS), control.params, control.n_params, control.state,
                control.n_state, _array_at(control, CURRENT))  # fmt: skip
    header.device_seconds += _seconds(control.clock, control.work, work) - begin
    header.evaluations += 1.0
    work.evaluated_s = t
    for m in range(terminals):
        if not math.isfinite(current[m]):
            # The parent sees the time and ends the run; zeros keep ngspice out of the way until then.
            if math.isnan(header.bad_time_s):
                header.bad_time_s = t
            current[m] = 0.0


@intrinsic
def _call_with_time(typingctx, function, t):
    """Call ``bool f(double)`` at the address `function`."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(8), [ir.DoubleType()])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.float64), codegen


NOISE_LETTER = 110
"""Second letter, n, of the names of noise sources (``inoise3``); a device's begin otherwise (``idevice3``)."""

BEHIND = 16.0 * 2.0**-52
"""A breakpoint so little (relative) behind the present point counts as one at it; ngspice ignores one nearer than 3 ulp
and takes the point for the breakpoint up to 100."""


@njit(cache=True)
def _slack(t):
    """How far apart two times may lie that are the same but for rounding, s."""
    return 1e-14 * t + 1e-18


@njit(cache=True)
def _source_number(control, name):
    """Number of the source with this name among those that controllers set; -1 where it is none of them."""
    for number in range(control.n_sources):
        mine, other = control.names + NAME_BYTES * number, name
        while load_byte(mine) != 0 and load_byte(mine) == load_byte(other):
            mine += 1
            other += 1
        if load_byte(mine) == load_byte(other):
            return number
    return -1


@njit(cache=True)
def _changes_of(control, number):
    """Times at which a source changes, and the values between them."""
    place = control.schedule + 8 * (SOURCES + (2 * control.changes + 1) * number)
    times = carray(as_float_pointer(place), control.changes)
    return times, carray(as_float_pointer(place + 8 * control.changes), control.changes + 1)


@njit(cache=True)
def _scheduled(control, number, t):
    """Value of a source that a controller sets: at the very time of a change still the old one."""
    times, values = _changes_of(control, number)
    k = 0
    while k < control.changes and t > times[k] + _slack(t):
        k += 1
    return values[k]


@njit(cache=True)
def _noise(control):
    """Constants and state of the noise sources."""
    params = carray(as_float_pointer(control.noise), control.n_noise)
    return params, carray(as_float_pointer(control.noise_state), control.n_noise_state)


@njit(cache=True)
def _trailing_number(name):
    """The number with which a name ends."""
    number = 0
    place = name
    while True:
        byte = load_byte(place)
        if byte == 0:
            return number
        number = number * 10 + byte - 48 if 48 <= byte <= 57 else 0
        place += 1


@njit(cache=True)
def _jumps(control, t):
    """Whether a source jumps right behind t."""
    for number in range(control.n_sources):
        times, values = _changes_of(control, number)
        for k in range(control.changes):
            if abs(times[k] - t) <= _slack(t) and values[k] != values[k + 1]:
                return True
    return False


@njit(cache=True)
def _begin_anew(control, t):
    """Let backward Euler's take the step behind a jump, and the next, by breakpoints of ngspice's.

    The first sees a source's new value only, as it should; the trapezoid rule would see a ramp. The second makes an end
    of the current that a jump drives through a capacitor straight across it; the trapezoid rule would keep it, with
    alternating sign, for ever.
    """
    jumps = _jumps(control, t)
    if jumps or control.jumped != 0:
        _call_with_time(control.set_breakpoint, t * (1.0 + BEHIND))
    control.jumped = jumps


MOST_SPINS, LEAST_SPINS, RESTS = 400, 100, 256
"""How often the answer to a tick is looked for before this process sleeps, half a microsecond each; the least; and for
how many ticks not at all where the least was too few."""


@njit(cache=True)
def _stay_awake(control):
    """Look for the answer to a tick for a while: to be woken takes longer than many an answer does.

    Where no answer comes in time, as on a machine with other work, ever shorter, and at last not at all for some ticks.
    """
    if control.spins == 0:
        control.rests -= 1
        if control.rests <= 0:
            control.spins = LEAST_SPINS
        return
    for _ in range(control.spins):
        if _poll(control.answer_poll, np.int64(1), np.int32(0)) != 0:
            control.spins = min(2 * control.spins, MOST_SPINS)
            return
    control.spins //= 2
    if control.spins < LEAST_SPINS:
        control.spins, control.rests = 0, RESTS


@njit(cache=True)
def _ask(control, t, vectors):
    """Send the sampled vectors and wait for the new schedule."""
    message = carray(as_float_pointer(control.message), 1 + control.n_sampled)
    sampled = carray(as_int_pointer(control.sampled), control.n_sampled)
    message[0] = t
    for k in range(control.n_sampled):
        message[1 + k] = load_float(load_int(vectors + 8 * sampled[k]) + 8)
    sent = _write(np.int32(control.asking), control.message, 8 * (1 + control.n_sampled))
    _stay_awake(control)
    size = 8 * (SOURCES + (2 * control.changes + 1) * control.n_sources)
    got = 0
    while sent > 0 and got < size:
        part = _read(np.int32(control.answering), control.schedule + got, size - got)
        if part <= 0:  # the engine's process is gone, and this one ends with it
            break
        got += part


@c_function(types.int32(types.int64, types.float64, types.int64, types.int32, types.int64))
def current_source(value, t, name, _ident, user):
    """GetISRCData: a current that a controller sets; or of the terminal, or noisy node, with whose number it ends."""
    control = carray(as_control(user), 1)[0]
    scheduled = _source_number(control, name)
    if scheduled >= 0:
        store_float(value, _scheduled(control, scheduled, t))
        return 0
    number = _trailing_number(name)
    if control.noise != 0 and load_byte(name + 1) == NOISE_LETTER:
        params, state = _noise(control)
        store_float(value, noise_at(t, params, state)[number])
        return 0
    if control.evaluate == 0 or number >= control.terminals:
        control.unserved += 1  # the engine refuses the result, should `check_deck` have missed it
        store_float(value, 0.0)
        return 0
    header = carray(as_header(control.record), 1)[0]
    header.source_calls += 1.0
    _currents_at(control, t)
    store_float(value, load_float(_array_at(control, CURRENT) + 8 * number))
    return 0


@c_function(types.int32(types.int64, types.float64, types.int64, types.int32, types.int64))
def voltage_source(value, t, name, _ident, user):
    """GetVSRCData: a voltage that a controller sets."""
    control = carray(as_control(user), 1)[0]
    scheduled = _source_number(control, name)
    if scheduled >= 0:
        store_float(value, _scheduled(control, scheduled, t))
        return 0
    control.unserved += 1  # the engine refuses the result
    store_float(value, 0.0)
    return 0


@c_function(types.int32(types.int64, types.int32, types.int32, types.int64))
def accepted_point(data, _count, _ident, user):
    """SendData: an accepted point. Record it, learn the terminal voltages, advance the device."""
    control = carray(as_control(user), 1)[0]
    if control.record == 0 or control.time_index < 0:
        return 0
    vectors = load_int(data + 8)  # pvecvalues *vecsa; each value has its double at offset 8
    t = load_float(load_int(vectors + 8 * control.time_index) + 8)
    header = carray(as_header(control.record), 1)[0]
    header.time_s = t
    header.points += 1.0
    live = control.evaluate != 0
    if live:
        _currents_at(control, t)
    _record_point(control, t, vectors)
    if live:
        _learn(control, t, vectors)
    if control.noise != 0:
        params, state = _noise(control)
        advance_to(t, params, state)
    if control.schedule != 0:
        if t >= load_float(control.schedule + 8 * NEXT_TICK) - load_float(control.schedule + 8 * EARLY):
            _ask(control, t, vectors)
        _begin_anew(control, t)
    return 0


@njit(cache=True)
def _record_point(control, t, vectors):
    """Write time, saved vectors and device currents to the next row of the record."""
    if control.corners_only != 0:
        corners = carray(as_float_pointer(control.corners), control.n_corners)
        number = _first_after(corners, t + _slack(t))
        if number == 0 or corners[number - 1] < t - _slack(t):
            return
    header = carray(as_header(control.record), 1)[0]
    row = int(header.rows)
    if row >= control.capacity:
        header.overflow += 1.0
        return
    columns = carray(as_int_pointer(control.columns), control.n_columns)
    place = control.record + ROWS_AT + 8 * row * (1 + control.n_columns + control.terminals)
    store_float(place, t)
    for c in range(control.n_columns):
        store_float(place + 8 * (1 + c), load_float(load_int(vectors + 8 * columns[c]) + 8))
    place += 8 * (1 + control.n_columns)
    for m in range(control.terminals):
        store_float(place + 8 * m, load_float(_array_at(control, CURRENT) + 8 * m))
    header.rows = row + 1.0


@njit(cache=True)
def _learn(control, t, vectors):
    """Advance the device to an accepted point, and take from it what to add to the drive until the next."""
    header = carray(as_header(control.record), 1)[0]
    work = carray(as_work(control.work), 1)[0]
    terminals = control.terminals
    sense = carray(as_int_pointer(control.sense), terminals)
    arrays = carray(as_float_pointer(control.arrays), (ARRAYS, terminals))
    residual, slope, predicted = arrays[RESIDUAL], arrays[SLOPE], arrays[VOLTS]
    anchor, trend = arrays[ANCHOR], arrays[TREND]
    first = work.last_s < 0.0
    dt = t if first else t - work.last_s  # the device starts at time 0, ngspice's first point lies behind it
    renew = first or t - work.anchor_s >= work.min_step_s
    for m in range(terminals):  # what the nodes really did, against what the device was told
        actual = load_float(load_int(vectors + 8 * sense[m]) + 8)
        if not first and dt > 0.0:  # ngspice 44 may repeat a point at the stop time: nothing was predicted for it
            header.prediction_error_V = max(header.prediction_error_V, abs(actual - predicted[m]))
        residual[m] = actual
    if dt > 0.0:
        call_device(control.advance, dt, _array_at(control, RESIDUAL), control.params, control.n_params, control.state,
                    control.n_state, 0)  # fmt: skip
    drive_voltages(carray(as_float_pointer(control.drive), control.n_drive), t, predicted)
    for m in range(terminals):
        residual[m] -= predicted[m]
        if renew:
            now = 0.0 if first else (residual[m] - anchor[m]) / (t - work.anchor_s)
            slope[m] = 0.0 if now * trend[m] <= 0.0 else math.copysign(min(abs(now), abs(trend[m])), now)
            trend[m] = now
            anchor[m] = residual[m]
    if renew:
        work.anchor_s = t
    work.last_s = t


@njit(cache=True)
def _first_after(values, t):
    """Number of the first of ascending values that is larger than t; their number where none is."""
    low = 0
    high = values.size
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= t:
            low = middle + 1
        else:
            high = middle
    return low


@c_function(types.int32(types.float64, types.int64, types.float64, types.int32, types.int32, types.int32, types.int64))
def next_step(t, delta, old, redo, _ident, location, user):
    """GetSyncData: end a step at the next corner of the waveforms, tick or jump that it would pass, or grid point.

    ngspice's own breakpoints get lost: a PWL source announces its next corner only at a point that is not before the
    present one, and a point one rounding error early, or a second source's corner there, breaks the chain.

    On a grid the points are even. Left alone, ngspice's steps grow from small to the largest after a corner; the
    trapezoid rule then no longer sums a whole number of cycles to zero, and a constant times a reference leaves
    about omega h^2/12 in a lock-in's reading. Only the step right after a corner is kept short: where ngspice takes the
    corner for a breakpoint of its own, that step is backward Euler's.

    The last corner is the end of the run. Left alone, ngspice's last step ends 1.1e-11 of the largest step before the
    stop time, and 44 then fails over a step of zero. So the last step goes there at once, where it is no longer than
    the one before. 44 and 47 tell how long that was behind the step (location 1) only; 47 halves the way to the end,
    and left alone ends it with a step of zero.
    """
    control = carray(as_control(user), 1)[0]
    if redo == 0 and location == 1 and control.stepped != 0:
        store_float(control.stepped, old)
    if location != 0 or redo != 0:
        return 0
    if old == 0.0 and control.stepped != 0:
        old = load_float(control.stepped)
    slack = _slack(t)
    step = load_float(delta)
    corner = math.inf
    at_corner = at_end = False
    if control.n_corners > 0:
        corners = carray(as_float_pointer(control.corners), control.n_corners)
        number = _first_after(corners, t + slack)
        at_corner = number > 0 and corners[number - 1] >= t - slack
        if number < corners.size:
            corner = corners[number]
            at_end = number == corners.size - 1
    if control.schedule != 0:
        if _jumps(control, t):
            at_corner = True
            step = min(step, load_float(control.schedule + 8 * FIRST_STEP))
        ahead = load_float(control.schedule + 8 * NEXT_TICK)
        if not ahead > t + slack:
            ahead = math.inf
        for number in range(control.n_sources):
            times, _ = _changes_of(control, number)
            for k in range(control.changes):
                if t + slack < times[k] < ahead:
                    ahead = times[k]
        if ahead < corner:
            corner, at_end = ahead, False
    if control.n_grids > 0:
        grids = carray(as_grids(control.grids), control.n_grids)
        number = _first_after(grids.start_s, t + slack) - 1
        if number >= 0:
            start, stop = grids[number].start_s, grids[number].stop_s
            if t < stop - slack:
                spacing = (stop - start) / grids[number].steps
                # The next point is the first that lies clearly after t: a thousandth of a step is rounding, or an edge.
                point = start + math.floor((t - start) / spacing + 1.001) * spacing
                step = min(AFTER_CORNER * spacing, point - t) if at_corner else point - t
    if t + step > corner or (at_end and corner - t <= (1.0 + 1e-9) * max(old, step)):
        step = corner - t
    store_float(delta, step)
    return 0
