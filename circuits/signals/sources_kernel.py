"""Compiled values of packed waveforms, see `sources`."""

# mypy: ignore-errors
from __future__ import annotations

import math

from numba import njit

# rows of the packed drive: see `cosimulation.Drive.pack`
D_SINES, D_WAVES, D_TABLES, DRIVE_HEADER = range(4)


SINE_WORDS, WAVE_WORDS, TABLE_WORDS = 5, 3, 3


@njit(cache=True)
def table_value(drive, table, t):
    """Piecewise-linear table number `table` at time t; repeats with its period, holds its ends otherwise."""
    head = DRIVE_HEADER + SINE_WORDS * int(drive[D_SINES]) + WAVE_WORDS * int(drive[D_WAVES]) + TABLE_WORDS * table
    start = int(drive[head])
    count = int(drive[head + 1])
    period = drive[head + 2]
    if period > 0.0:
        t = t - period * math.floor(t / period)
    times = drive[start : start + count]
    values = drive[start + count : start + 2 * count]
    if t <= times[0]:
        return values[0]
    if t >= times[count - 1]:
        return values[count - 1]
    low = 0
    high = count - 1
    while high - low > 1:
        middle = (low + high) // 2
        if times[middle] <= t:
            low = middle
        else:
            high = middle
    return values[low] + (values[high] - values[low]) * (t - times[low]) / (times[high] - times[low])


@njit(cache=True)
def drive_voltages(drive, t, out):
    """Known part of every terminal's voltage at time t, V."""
    out[:] = 0.0
    if drive.size == 0:
        return
    sines = int(drive[D_SINES])
    for m in range(sines):
        at = DRIVE_HEADER + SINE_WORDS * m
        value = drive[at + 1] * math.sin(drive[at + 2] * t + drive[at + 3])
        envelope = int(drive[at + 4])
        if envelope >= 0:
            value *= table_value(drive, envelope, t)
        out[int(drive[at])] += value
    for m in range(int(drive[D_WAVES])):
        at = DRIVE_HEADER + SINE_WORDS * sines + WAVE_WORDS * m
        out[int(drive[at])] += drive[at + 1] * table_value(drive, int(drive[at + 2]), t)
