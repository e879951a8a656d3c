"""What a run of the loop says: outputs, controls, and the gradients that an opened loop ends at."""

from __future__ import annotations

import numpy as np

from circuits.homodyne.loop import HomodyneLoop
from circuits.signals.transient import Transient, mean_between
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from lockin.demodulate import gradient as demodulated
from lockin.kept_correction import KeptCorrection
from lockin.settings import LockInSettings
from lockin.third_order import correction_and_quadrature

AVERAGED = "averaged"
"""Of a run's statistics, where the dither was averaged: 1."""


def outputs_V(loop: HomodyneLoop, run: Transient, sequence: int) -> FloatArray:
    """Mean of v(tia) over each pattern's window of one sequence, V, (n_patterns,)."""
    return window_means(loop, run.time_s, run["v(tia)"], sequence)


def window_means(loop: HomodyneLoop, time_s: FloatArray, signal: FloatArray, sequence: int) -> FloatArray:
    """Mean of a waveform over each pattern's window of one sequence, (n_patterns,); NaN where the run ended before."""
    means = np.full(loop.sequence.patterns, np.nan)
    for p, (start, stop) in enumerate(loop.sequence.windows(sequence)):
        if len(time_s) and time_s[-1] >= stop:
            means[p] = mean_between(time_s, signal, start, stop)
    return means


def controls_V(loop: HomodyneLoop, run: Transient) -> FloatArray:
    """Control voltages over time, V, (n, n_trained)."""
    return np.stack([run[f"v(w{k})"] for k in range(loop.dither.n)], axis=1)


def gradient(loop: HomodyneLoop, run: Transient) -> FloatArray:
    """What the reading integrators of an opened loop ended at: V/V, (n_trained,).

    Raises
    ------
    InputError
        If the loop is closed.
    """
    if loop.mode == "learn":
        raise InputError("mode", loop.mode, "a closed loop holds no reading", "open it first")
    return loop.reading_scale * np.array([run[f"v(w{k})"][-1] for k in range(loop.dither.n)])


def digital_gradient(loop: HomodyneLoop, run: Transient) -> FloatArray:
    """The digital boxcar lock-in on the recorded v(tia) of an opened "output" loop, the mean over its windows: V/V.

    Raises
    ------
    InputError
        If the run is one of the averaged loop: v(tia) is its mean over the dither there, without any tone.
    """
    if AVERAGED in run.statistics:
        fix = "use `gradient`, or a run of ngspice or twin"
        raise InputError("run", "averaged", "has no tones in v(tia) to demodulate", fix)
    signal = run["v(tia)"] - run["v(baseline)"]
    settings = LockInSettings(loop.sequence.window_s, window="boxcar")
    signs = loop.chop_signs[loop.sequence.patterns - 1 :: loop.sequence.patterns]
    found = []
    for number, sign in enumerate(signs):
        start, stop = loop.sequence.windows(number)[-1]
        inside = (run.time_s >= start - 2 * loop.max_step_s) & (run.time_s < stop * (1 - 1e-12))
        time = np.append(run.time_s[inside], stop)
        values = np.append(signal[inside], np.interp(stop, run.time_s, signal))
        found.append(sign * demodulated(loop.dither, time, values, settings))
    return np.asarray(np.mean(found, axis=0))


def corrected_gradient(loop: HomodyneLoop, run: Transient) -> KeptCorrection:
    """`gradient`, and its correction of third order out of what the same lock-ins heard in the windows: V/V.

    Both are means over all windows.

    Parameters
    ----------
    loop : HomodyneLoop
        Opened; its tones free of overlaps (`lockin.third_order`).
    run : Transient
        Of an engine that has the dither.

    Raises
    ------
    InputError
        If the loop is closed, or its dither was averaged.
    """
    raw = gradient(loop, run)
    if AVERAGED in run.statistics:
        fix = "take a run of ngspice or twin"
        raise InputError("run", "averaged", "has no tones to read a correction from", fix)
    boxcar = LockInSettings(loop.sequence.window_s, window="boxcar")
    heard = run["v(tia)"] - run["v(baseline)"]
    if loop.mode == "loss":
        gate = run["v(gate)"]
        heard = np.where(gate > 0.25, run["v(loss)"] / np.maximum(gate, 0.25), 0.0)  # half a window's edge is within it
    found = []
    for number in range(loop.shown):
        signs = loop.chop_signs[number * loop.sequence.patterns :]
        for sign, (start, stop) in zip(signs, loop.sequence.windows(number), strict=False):
            even = np.linspace(start, stop, loop.window_steps + 1)
            read = correction_and_quadrature(loop.dither, even, np.interp(even, run.time_s, heard), boxcar)
            found.append((sign * read[0], read[1]))
    return KeptCorrection.over_windows(raw, found)
