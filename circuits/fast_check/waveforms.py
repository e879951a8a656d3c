"""What a waveform does after a disturbance: whether it settles, when, how far it overshoots, whether it oscillates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inmateria.checks import FloatArray

NEAR = 0.01
"""A waveform has settled when it stays within this share of its step."""
FLOOR_V = 1e-3
"""What no part here cares for: smaller steps are settled, smaller ripple is none."""
SUSTAINED = 0.5
"""Ripple of the last quarter over that of the one before, from which it counts as an oscillation: 25 periods apart."""
PERIODS = 4
"""Of an oscillation in a quarter, at least: a curve with a kink leaves a parabola, too."""
_POINTS = 4000


@dataclass(frozen=True)
class Settling:
    """A waveform between two times.

    Attributes
    ----------
    start_V, end_V : float
        Where it began, and its mean in the last twentieth.
    settling_s : float
        Time until it stayed within `NEAR` of its end; infinite where it did so in the last quarter only.
    overshoot : float
        Beyond its end, as a share of the step; 0 without a step.
    ripple_V : float
        Peak to peak in the last quarter, less a parabola.
    ripple_Hz : float
        How often it crosses that parabola upwards; NaN without ripple.
    oscillates : bool
        Whether there is ripple that does not die out.
    slope_V_per_s : float
        Steepest.
    slew_V_per_s : float
        Mean between a tenth and nine tenths of the step, as data sheets measure it; 0 without a step.
    """

    start_V: float
    end_V: float
    settling_s: float
    overshoot: float
    ripple_V: float
    ripple_Hz: float
    oscillates: bool
    slope_V_per_s: float
    slew_V_per_s: float


def settling(time_s: FloatArray, signal_V: FloatArray, start_s: float, stop_s: float) -> Settling:
    """What a waveform does from `start_s`, where it is disturbed, to `stop_s`.

    Parameters
    ----------
    time_s, signal_V : ndarray, shape (n,)
    start_s, stop_s : float
    """
    t = np.linspace(start_s, stop_s, _POINTS)
    v = np.interp(t, time_s, signal_V)
    quarter = _POINTS // 4
    ripple, rate = _ripple(t[-quarter:], v[-quarter:])
    before, _ = _ripple(t[-2 * quarter : -quarter], v[-2 * quarter : -quarter])
    start, end = float(v[0]), float(np.mean(v[-_POINTS // 20 :]))
    step = end - start
    away = np.nonzero(np.abs(v - end) > max(NEAR * abs(step), FLOOR_V))[0]
    last = 0 if len(away) == 0 else int(away[-1]) + 1
    beyond = float(np.max((v - end) * np.sign(step))) if step else 0.0
    return Settling(
        start, end, float(t[last] - start_s) if last < 3 * quarter else float("inf"),
        max(beyond, 0.0) / abs(step) if abs(step) > FLOOR_V else 0.0,
        ripple, rate if ripple > FLOOR_V else float("nan"),
        bool(ripple > max(FLOOR_V, SUSTAINED * before) and rate * 0.25 * (stop_s - start_s) >= PERIODS),
        float(np.max(np.abs(np.diff(v))) / (t[1] - t[0])),
        _slew(t, v, start, step),
    )  # fmt: skip


def _slew(t: FloatArray, v: FloatArray, start: float, step: float) -> float:
    """Mean slope between a tenth and nine tenths of a step, V/s."""
    if not step:
        return 0.0
    tenth, nine = (int(np.argmax((v - start) / step >= share)) for share in (0.1, 0.9))
    return 0.8 * abs(step) / float(max(t[nine] - t[tenth], t[1] - t[0]))


def _ripple(t: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Peak to peak of what a parabola leaves, and how often that crosses zero upwards, Hz."""
    x = np.linspace(-1.0, 1.0, len(t))
    left = v - np.polyval(np.polyfit(x, v, 2), x)
    upward = np.count_nonzero((left[:-1] < 0) & (left[1:] >= 0))
    return float(np.ptp(left)), float(upward / (t[-1] - t[0]))
