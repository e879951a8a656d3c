"""The setting of a lock-in amplifier, in the instrument's own words, and what it reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inmateria.checks import count, finite, number_of, positive
from inmateria.errors import InputError
from lockin.choices import Mixer, Window


@dataclass(frozen=True)
class LockInSettings:
    """One lock-in channel, in the words of an SR830.

    Attributes
    ----------
    time_constant : float
        Time constant tau of each RC pole, s; for the windows ``boxcar`` and ``hann``: their whole length T,
        s.
    filter_slope : int, optional
        6, 12, 18 or 24 dB/octave: one to four equal, buffered RC poles. No meaning for the other windows.
    harmonic : int, optional
        Multiple of the reference frequency that is detected, from 1.
    phase : float, optional
        Phase added to the reference, degrees.
    sensitivity : float, optional
        Full scale, rms, in the unit of the signal: a reading with |x| or |y| above it is flagged as overload.
    window : {'rc', 'boxcar', 'hann'}, optional
        The low-pass filter after the mixer: RC poles as in the instrument, or a mean over the last T seconds,
        plain or with the weight (1 - cos(2 pi s / T)) / T. A boxcar is blind to everything 1 / T, 2 / T, ...
        away from the tone, a Hann weight only from 2 / T on (at 1 / T it passes half): for tones on multiples
        of a spacing take T = 1 / spacing with the boxcar, 2 / spacing with Hann.

    Raises
    ------
    InputError
        When built with values outside the above.
    """

    time_constant: float
    filter_slope: int = 24
    harmonic: int = 1
    phase: float = 0.0
    sensitivity: float = math.inf
    window: Window = "rc"
    mixer: Mixer = "sine"

    def __post_init__(self) -> None:
        """Check the fields."""
        positive("time_constant", self.time_constant, "s")
        if self.filter_slope not in (6, 12, 18, 24):
            fix = "take 6, 12, 18 or 24 dB/octave"
            raise InputError("filter_slope", self.filter_slope, "is no slope of the instrument", fix)
        count("harmonic", self.harmonic)
        finite("phase", self.phase, "degrees")
        if not number_of("sensitivity", self.sensitivity, "the signal's unit, rms") > 0.0:
            fix = "give the full scale (rms) in the signal's unit; leave it out for none"
            raise InputError("sensitivity", self.sensitivity, "is not positive", fix)
        if self.window not in ("rc", "boxcar", "hann"):
            raise InputError("window", self.window, "is no known filter", "take 'rc', 'boxcar' or 'hann'")
        if self.mixer not in ("sine", "square"):
            raise InputError("mixer", self.mixer, "is no known mixer", "take 'sine' or 'square'")

    @property
    def poles(self) -> int:
        """Number of equal RC poles, one for each 6 dB/octave."""
        return self.filter_slope // 6


@dataclass(frozen=True)
class LockInReading:
    """What the instrument shows, RMS: A sin(omega t + psi) gives x + i y = (A / sqrt 2) exp(i (psi - phase)).

    Attributes
    ----------
    x, y : float
        In-phase and quadrature component, RMS, in the unit of the signal; peak = sqrt(2) times that.
    magnitude : float
        sqrt(x^2 + y^2), rms.
    theta : float
        Phase of the signal against the reference, degrees, -180 to 180.
    overload : bool
        Anything is overloaded.
    settled : float
        What fraction of a constant signal's final reading the filter, empty at the first sample, has reached.
    overloads : tuple of str, optional
        What is overloaded: ``'x'`` or ``'y'`` where it is above the sensitivity; of a netlist also the stages
        that came to their swing limit during the run (``'input'``, ``'mixer_x'``, ``'filter_y1'``, ...).
    """

    x: float
    y: float
    magnitude: float
    theta: float
    overload: bool
    settled: float
    overloads: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: LockInSettings, x: float, y: float, settled: float, stages: tuple[str, ...]) -> LockInReading:
        """Reading of x and y (rms) with an instrument's setting; `stages` are those at their swing limit."""
        beyond = tuple(name for name, value in (("x", x), ("y", y)) if abs(value) > settings.sensitivity)
        overloads = (*beyond, *stages)
        theta = math.degrees(math.atan2(y, x))
        return cls(x, y, math.hypot(x, y), theta, bool(overloads), settled, overloads)
