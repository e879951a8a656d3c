"""The lock-in itself: from a recorded signal to readings and gradients.

Convention, as on an SR830: a signal A sin(omega t + psi) against the reference sin(omega t + reference_phase)
reads x + i y = (A / sqrt 2) exp(i (psi - reference_phase - phase)), that is RMS values; the peak is sqrt(2)
times them. Gradients are always the projection on the in-phase axis, sign included, never a magnitude with a
sign put to it.
"""

from __future__ import annotations

import cmath
import math

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, finite, positive, record
from inmateria.errors import InputError
from lockin.filters import rc_means, window_means
from lockin.plan import DitherPlan
from lockin.settings import LockInReading, LockInSettings
from lockin.theory import settled_fraction


def demodulate(
    settings: LockInSettings,
    frequency_Hz: float,
    time_s: ArrayLike,
    signal: ArrayLike,
    reference_phase: float = 0.0,
) -> LockInReading:
    """Read a lock-in at the end of a record.

    x = sqrt(2) LPF[s sin(h (omega t + reference_phase) + phase)], y the same with cos; h is the harmonic. With
    ``mixer='square'`` (pi/4) sgn(...) of these references take their place.

    The RC poles start empty at the first sample: `settled` in the reading says how far they are, and a record
    should last at least `settling_time(settings)`. The windows take the last `time_constant` seconds of the
    record. Time grids may be non-uniform (see `lockin.filters`); on a uniform grid with whole periods in the
    window the reading is exact to rounding.

    Parameters
    ----------
    settings : LockInSettings
        The instrument's setting; its phase is in degrees.
    frequency_Hz : float
        Reference frequency, Hz (the fundamental).
    time_s : array_like, shape (m,)
        Increasing times, s.
    signal : array_like, shape (m,)
        Samples in any unit.
    reference_phase : float, optional
        Phase of the reference oscillator, RADIANS, as in `DitherPlan.phases_rad`.

    Returns
    -------
    LockInReading
        RMS values in the signal's unit.

    Raises
    ------
    InputError
        When the record cannot be used or is shorter than the window.
    """
    pair = _pair(settings, frequency_Hz, time_s, signal, reference_phase, trace=False)
    time = np.asarray(time_s, dtype=np.float64)
    x, y = float(pair[0, 0]), float(pair[1, 0])
    settled = settled_fraction(settings, float(time[-1] - time[0])) if settings.window == "rc" else 1.0
    return LockInReading.of(settings, x, y, settled, ())


def demodulate_trace(
    settings: LockInSettings,
    frequency_Hz: float,
    time_s: ArrayLike,
    signal: ArrayLike,
    reference_phase: float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    """Read a lock-in at every sample; parameters and errors as for `demodulate`.

    Returns
    -------
    x, y : ndarray, shape (m,)
        RMS values in the signal's unit. For the windows NaN until a whole window has passed.
    """
    pair = _pair(settings, frequency_Hz, time_s, signal, reference_phase, trace=True)
    return pair[0], pair[1]


def gradient(
    plan: DitherPlan,
    time_s: ArrayLike,
    signal: ArrayLike,
    settings: LockInSettings,
    phase: ArrayLike | None = None,
) -> FloatArray:
    """Estimate dy/dV_k for all tones of a plan at once, at the end of a record.

    g_k = (2 / alpha_k) LPF[y(t) sin(2 pi f_k t + phase_k + phase)]: alpha_k is the peak amplitude, so no
    factor sqrt(2) is left. The RC filter starts empty: after a time t the estimate is
    `settled_fraction(settings, t)` of its final value (99 % after `settling_time(settings)`), to which DC and
    other tones add their decaying transients.

    Parameters
    ----------
    plan : DitherPlan
        The tones that were applied, n of them.
    time_s, signal : array_like, shape (m,)
        The record: increasing times, s, and the device's output in any unit.
    settings : LockInSettings
        Filter; its harmonic must be 1.
    phase : array_like, scalar or shape (n,), optional
        Calibrated phases in degrees, in place of ``settings.phase``.

    Returns
    -------
    ndarray, shape (n,)
        Gradient, in the signal's unit per V.

    Raises
    ------
    InputError
        When the record cannot be used, is shorter than the window, or the harmonic is not 1.
    """
    if settings.harmonic != 1:
        raise InputError("harmonic", settings.harmonic, "reads no gradient", "take harmonic=1")
    time, values = record(time_s, signal)
    degrees = np.asarray(settings.phase if phase is None else phase, dtype=np.float64)
    if degrees.shape not in ((), (plan.n,)) or not np.all(np.isfinite(degrees)):
        fix = "give the calibrated phase in degrees, for all tones or for each"
        raise InputError("phase", phase, f"is not one finite number nor {plan.n} of them", fix)
    omega = 2.0 * np.pi * np.asarray(plan.frequencies_Hz)
    mean = means(settings, time, values, omega, np.asarray(plan.phases_rad) + np.radians(degrees), trace=False)
    return np.asarray(2.0 / np.asarray(plan.amplitudes_V) * mean[:, 0])


def calibrate_phase(
    settings: LockInSettings,
    frequency_Hz: float,
    time_s: ArrayLike,
    signal: ArrayLike,
    reference_phase: float = 0.0,
    expected: complex = 1.0,
    background: ArrayLike | None = None,
) -> float:
    """Find the phase that puts a known response on the in-phase axis, sign included.

    Maximising the magnitude is wrong wherever the dither also leaks through a stray capacitance, because the
    leak is in quadrature and turns the sum. There are two ways out: give what is known of the response
    (`expected`, complex: a conductance G beside a capacitance C is G + 2 pi i f C), or a second record
    without the response (`background`, say with the device disconnected but the strays in place), which is
    subtracted.

    Parameters
    ----------
    settings, frequency_Hz, time_s, signal, reference_phase
        As for `demodulate`: the record of the known response.
    expected : complex, optional
        The known response relative to the dither, in any unit: only its angle counts (-1: inverting).
    background : array_like, shape (m,), optional
        A record on the same times, without the response.

    Returns
    -------
    float
        Phase in degrees, -180 to 180, for ``LockInSettings.phase`` (in place of the one in `settings`) or
        `gradient`.

    Raises
    ------
    InputError
        When a record cannot be used, or there is no response to calibrate on.
    """
    if not (cmath.isfinite(expected) and expected != 0.0):
        raise InputError("expected", expected, "has no angle", "give a finite response other than 0")
    time, values = record(time_s, signal)
    scale = float(np.max(np.abs(values)))
    if background is not None:
        _, without = record(time_s, background)
        values = values - without
    reading = demodulate(settings, frequency_Hz, time, values, reference_phase)
    if reading.magnitude <= 1e-12 * scale:
        fix = "apply the dither and a response that is larger than the background"
        raise InputError("signal", reading.magnitude, "holds no response at this frequency", fix)
    turn = math.radians(settings.phase + reading.theta) - cmath.phase(expected)
    return math.degrees(math.remainder(turn, 2.0 * math.pi))


def _pair(
    settings: LockInSettings,
    frequency_Hz: float,
    time_s: ArrayLike,
    signal: ArrayLike,
    reference_phase: float,
    trace: bool,
) -> FloatArray:
    """X and y, RMS: the means of the signal times sin and cos of the reference, times sqrt(2)."""
    omega = 2.0 * np.pi * settings.harmonic * positive("frequency_Hz", frequency_Hz, "Hz")
    start = settings.harmonic * finite("reference_phase", reference_phase, "rad") + math.radians(settings.phase)
    time, values = record(time_s, signal)
    phases = np.array([start, start + 0.5 * np.pi])
    return math.sqrt(2.0) * means(settings, time, values, np.array([omega, omega]), phases, trace)


def means(
    settings: LockInSettings, time: FloatArray, values: FloatArray, omega: FloatArray, phase: FloatArray, trace: bool
) -> FloatArray:
    """Filter values * reference for each tone, the reference sin(omega t + phase) or a square wave in its place.

    A square wave is taken as far as the record can know it: pi/4 sgn(sin v) = sum sin(k v) / k over odd k below
    the record's mean Nyquist frequency. (pi/4: the mean product with sin v is then that of a sine.)
    """
    if settings.mixer == "square":
        nyquist = math.pi * (time.size - 1) / (time[-1] - time[0])
        odd = np.arange(1, max(2, math.ceil(nyquist / float(np.min(omega)))), 2)
        total = np.zeros((omega.size, time.size if trace else 1))
        for k in odd:
            there = (k * omega < nyquist) | (k == 1)
            total[there] += _filtered(settings, time, values, k * omega[there], k * phase[there], trace) / k
        return total
    return _filtered(settings, time, values, omega, phase, trace)


def _filtered(
    settings: LockInSettings, time: FloatArray, values: FloatArray, omega: FloatArray, phase: FloatArray, trace: bool
) -> FloatArray:
    if settings.window == "rc":
        return rc_means(time, values, omega, phase, settings.time_constant, settings.poles, trace)
    return window_means(time, values, omega, phase, settings.time_constant, settings.window == "hann", trace)
