"""Slopes of currents by differences, with an error stated, from points within the limits only.

Through five points a step h apart goes a polynomial of fourth order, and its slope is the answer; the points stand
around the voltage, or as near as the limits let them. The error is the distance to the slope of the parabola through
the nearest three, which is off by far more, plus what rounding of the currents can do: eps |I| / h.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inmateria.checks import FloatArray

STEP = 1e-3
"""Of a terminal's range: the error of fourth order is then near 1e-10 of what changes within the range."""
_PLACES = np.arange(-2.0, 3.0)


def _slope_weights(places: FloatArray, at: FloatArray) -> FloatArray:
    """Weights of the values at `places` (m,) in the slope of the polynomial through them, at each of `at`: (..., m)."""
    powers = np.arange(len(places))
    derivative = np.zeros((*np.shape(at), len(places)))
    derivative[..., 1:] = powers[1:] * np.asarray(at)[..., None] ** (powers[1:] - 1)
    return np.asarray(derivative @ np.linalg.inv(places[:, None] ** powers))


def slopes(
    ask: Callable[[FloatArray], FloatArray], volts: FloatArray, limits_V: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """dI_j/dV_k and how far they may be off, S, each (m, n, n).

    Parameters
    ----------
    ask : callable
        Currents, A, of voltages, V, both (any, n).
    volts : ndarray, shape (m, n)
    limits_V : ndarray, shape (n, 2)
        Finite.
    """
    settings, terminals = volts.shape
    step = STEP * (limits_V[:, 1] - limits_V[:, 0])
    centre = np.clip(volts, limits_V[:, 0] + 2 * step, limits_V[:, 1] - 2 * step)
    shown = np.broadcast_to(volts[:, None, None, :], (settings, terminals, len(_PLACES), terminals)).copy()
    diagonal = np.arange(terminals)
    shown[:, diagonal, :, diagonal] = np.moveaxis(centre[..., None] + step[:, None] * _PLACES, 1, 0)
    currents = ask(shown.reshape(-1, terminals)).reshape(shown.shape)
    at = (volts - centre) / step
    whole = np.einsum("mkp,mkpj->mjk", _slope_weights(_PLACES, at), currents) / step
    first = np.clip(np.rint(at) + 1, 0, 2).astype(int)  # of the nearest three
    near = np.take_along_axis(currents, (first[..., None] + np.arange(3))[..., None], axis=2)
    parabola = _slope_weights(np.arange(-1.0, 2.0), at - (first - 1.0))
    rough = np.einsum("mkp,mkpj->mjk", parabola, near) / step
    rounding = np.finfo(float).eps * np.abs(currents).max(axis=2).swapaxes(1, 2) / step
    return whole, np.abs(whole - rough) + 4 * rounding
