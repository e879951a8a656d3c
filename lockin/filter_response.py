"""What a lock-in's low-pass filter, empty at first, makes of an oscillation: in closed form, at any time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc

from inmateria.checks import positive
from inmateria.errors import InputError
from lockin.settings import LockInSettings
from lockin.theory import enbw_Hz

ComplexArray = NDArray[np.complex128]


def filtered_tone(settings: LockInSettings, frequency_Hz: ArrayLike, time_s: float) -> ComplexArray:
    """Output of the filter at a time t for the input exp(i 2 pi f s), switched on at s = 0.

    exp(i omega t) int_0^t h(u) exp(-i omega u) du, with the weights h: for n RC poles, z = t (1/tau + i omega),

        exp(i omega t) (1 + i omega tau)^-n [1 - exp(-z) sum_(j<n) z^j / j!];

    for the boxcar B(omega) = sinc(omega T / 2) exp(i omega (t - T/2)); for Hann the sum of three boxcars' weights,
    B(omega) - [B(omega - 2 pi/T) + B(omega + 2 pi/T)] / 2, all three ending at t.

    Parameters
    ----------
    settings : LockInSettings
        The filter.
    frequency_Hz : array_like
        f of either sign, Hz.
    time_s : float
        t, s: for the windows at least their length.

    Returns
    -------
    ndarray of complex
        As `frequency_Hz`. At f = 0 it is `settled_fraction(settings, t)`.

    Raises
    ------
    InputError
        When the time is not positive, or shorter than the window.
    """
    time, length = positive("time_s", time_s, "s"), settings.time_constant
    omega = 2.0 * np.pi * np.asarray(frequency_Hz, dtype=np.float64)
    if settings.window == "rc":
        z = time * (1.0 / length + 1j * omega)
        left = sum(z**j / math.factorial(j) for j in range(settings.poles)) * np.exp(-z)
        return np.asarray(np.exp(1j * omega * time) * (1.0 - left) / (1.0 + 1j * omega * length) ** settings.poles)
    if time < length * (1.0 - 1e-9):
        raise InputError("time_s", time, f"is shorter than the window of {length:g} s", "read later")

    def boxcar(w: NDArray[np.float64]) -> ComplexArray:
        return np.asarray(np.sinc(w * length / (2.0 * np.pi)) * np.exp(-0.5j * w * length))

    weight = boxcar(omega)
    if settings.window == "hann":
        turn = 2.0 * np.pi / length
        weight = weight - 0.5 * (boxcar(omega - turn) + boxcar(omega + turn))
    return np.asarray(np.exp(1j * omega * time) * weight)


def noise_bandwidth_Hz(settings: LockInSettings, time_s: float) -> float:
    """Noise bandwidth of the filter a time t after it was empty: half the integral of h(u)^2 up to t, Hz.

    For RC poles `enbw_Hz(settings)` times the regularised incomplete gamma function P(2 n - 1, 2 t / tau); the windows
    have all of theirs.

    Raises
    ------
    InputError
        When the time is not positive.
    """
    time = positive("time_s", time_s, "s")
    whole = enbw_Hz(settings)
    if settings.window != "rc":
        return whole
    return whole * float(gammainc(2 * settings.poles - 1, 2.0 * time / settings.time_constant))
