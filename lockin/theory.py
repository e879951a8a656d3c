"""What a lock-in can do, in closed form: bandwidth, settling, noise, and the stability of its loop."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv

from inmateria.checks import FloatArray, count, positive
from inmateria.errors import InputError
from lockin.settings import LockInSettings


def enbw_Hz(settings: LockInSettings) -> float:
    """Equivalent noise bandwidth of the low-pass filter, int_0^inf |H(f)|^2 df, Hz.

    n equal RC poles: Gamma(n - 1/2) / (4 sqrt(pi) Gamma(n) tau) = 1/(4 tau), 1/(8 tau), 3/(32 tau), 5/(64
    tau); boxcar: 1/(2 T); Hann: 3/(4 T).

    Parameters
    ----------
    settings : LockInSettings
        The filter.

    Returns
    -------
    float
        ENBW, Hz, one-sided.
    """
    if settings.window == "boxcar":
        return 0.5 / settings.time_constant
    if settings.window == "hann":
        return 0.75 / settings.time_constant
    n = settings.poles
    return math.gamma(n - 0.5) / (4.0 * math.sqrt(math.pi) * math.gamma(n) * settings.time_constant)


def settled_fraction(settings: LockInSettings, duration_s: float) -> float:
    """Step response of the filter: the fraction of its final value reached after `duration_s`, from empty.

    RC: P(n, t / tau), the regularised incomplete gamma function; boxcar: t / T; Hann: t / T - sin(2 pi t / T)
    / 2 pi.

    Raises
    ------
    InputError
        When the duration is not finite and positive.
    """
    duration = positive("duration_s", duration_s, "s") / settings.time_constant
    if settings.window == "rc":
        return float(gammainc(settings.poles, duration))
    part = min(duration, 1.0)
    return part if settings.window == "boxcar" else part - math.sin(2.0 * math.pi * part) / (2.0 * math.pi)


def settling_time(settings: LockInSettings, fraction: float = 0.99) -> float:
    """Time after which the filter's step response has reached `fraction` of its final value, s.

    4.6, 6.6, 8.4 and 10.0 time constants for 99 % with one to four RC poles (SR830 manual: 5, 7, 9, 10).

    Raises
    ------
    InputError
        When the fraction is not between 0 and 1 (both excluded).
    """
    part = positive("fraction", fraction, "1 (a ratio)")
    if part >= 1.0:
        raise InputError("fraction", fraction, "is not below 1", "give a fraction such as 0.99")
    if settings.window == "rc":
        return settings.time_constant * float(gammaincinv(settings.poles, part))
    if settings.window == "boxcar":
        return settings.time_constant * part
    turns = brentq(lambda q: q - math.sin(2.0 * math.pi * q) / (2.0 * math.pi) - part, 0.0, 1.0, xtol=1e-14)
    return settings.time_constant * float(turns)


def noise_variance(settings: LockInSettings, psd: ArrayLike, amplitude: ArrayLike) -> FloatArray:
    """Variance of the gradient estimate from white noise: 2 S ENBW / alpha^2 (boxcar: S / (T alpha^2)).

    Parameters
    ----------
    settings : LockInSettings
        The filter.
    psd : array_like
        One-sided power spectral density S of the output at each tone, unit^2/Hz; flat over the filter's band.
    amplitude : array_like, broadcast with `psd`
        Peak amplitudes alpha, V.

    Returns
    -------
    ndarray
        Variance of dy/dV, (unit/V)^2. For x or y as an instrument reads them (rms) it is S ENBW.

    Raises
    ------
    InputError
        When a density is negative or an amplitude not positive.
    """
    density, peak = np.asarray(psd, dtype=np.float64), np.asarray(amplitude, dtype=np.float64)
    if not np.all(np.isfinite(density) & (density >= 0.0)):
        raise InputError("psd", psd, "is negative or not finite", "give the one-sided density in unit^2/Hz")
    if not np.all(np.isfinite(peak) & (peak > 0.0)):
        raise InputError("amplitude", amplitude, "is not positive and finite", "give peak amplitudes in V")
    return np.asarray(2.0 * density * enbw_Hz(settings) / peak**2, dtype=np.float64)


def stability_limit(poles: int) -> float:
    """Largest stable eta lambda tau of a loop of one integrator and `poles` equal poles of time constant tau.

    The loop eta lambda / (s (1 + s tau)^n) crosses -180 degrees where n atan(omega tau) = 90 degrees; its
    gain is 1 there at eta lambda tau = tan(pi / 2n) / cos(pi / 2n)^n: 2, 8/9, 0.569 for n = 2, 3, 4; infinite
    for n = 1.

    Parameters
    ----------
    poles : int
        Number n of poles, at least 1.

    Returns
    -------
    float
        The limit, without unit. Pattern sequences and blanking lower it.

    Raises
    ------
    InputError
        When `poles` is no whole number of at least 1.
    """
    n = count("poles", poles)
    if n == 1:
        return math.inf
    angle = math.pi / (2 * n)
    return math.tan(angle) / math.cos(angle) ** n


def stability_margin(settings: LockInSettings, loop_gain: float) -> float:
    """Gain margin of a loop around a lock-in: the factor by which its gain may grow until it oscillates.

    Parameters
    ----------
    settings : LockInSettings
        The filter. For the windows the mean is taken as running continuously: limit of eta lambda T pi^2 / 2
        (boxcar) and 3 pi^2 / 8 (Hann), where omega T = pi.
    loop_gain : float
        eta lambda, 1/s: learning rate times the largest curvature of the loss.

    Returns
    -------
    float
        Above 1: stable. Infinite for a single RC pole.

    Raises
    ------
    InputError
        When the gain is not finite and positive.
    """
    gain = positive("loop_gain", loop_gain, "1/s") * settings.time_constant
    if settings.window == "rc":
        return stability_limit(settings.poles) / gain
    return math.pi**2 * (0.5 if settings.window == "boxcar" else 0.375) / gain
