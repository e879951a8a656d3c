"""An instrument's data sheet, measured: what any realisation of a lock-in does to the same test signals.

A `Realisation` is asked for its low-pass filter (response and step) and for readings of sums of sines;
`characterise` chooses the signals and turns the answers into figures. The digital realisation is here, netlists
are in `circuits`. Nothing is taken from the theory that the figures are to be held against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.interpolate import CubicSpline

from inmateria.checks import FloatArray, positive
from inmateria.errors import InputError
from lockin.demodulate import demodulate_trace
from lockin.settings import LockInSettings

Tone = tuple[float, float, float]
"""Peak (the signal's unit), frequency (Hz), phase (degrees) of one sine."""
Signal = tuple[Tone, ...]
"""A sum of sines; empty: no signal."""

CYCLES = 8
"""Readings are means over so many cycles of the reference, after settling."""
SETTLED = 25.0
"""Time constants before anything is read: four poles have then settled to 4e-8."""
SHORTEST, LONGEST = 2.0, 200.0
"""Time constant in cycles of the reference that can be characterised."""
LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Signals of the linearity, in full scales."""
PHASES = (0.0, 100.0, 200.0, 300.0)
"""Phases at full scale, degrees: for the errors of gain and phase."""
HARMONICS = (2, 3, 4, 5)
INTERFERENCE = 1.375
"""Frequency of the interfering signal of the dynamic reserve, in references: no product with the reference up to
seventh order is near it."""
RESERVE_DB = tuple(tuple(range(first, first + 30, 10)) for first in (-20, 10, 40, 70))
"""Interfering signal against full scale, dB, in groups: one that is too much ends the search."""
TOLERATED = 0.01
"""Peak error of a reading that still counts as right, in full scales."""


@dataclass(frozen=True)
class Characterisation:
    """Figures of one lock-in at one setting. Amplitudes are rms, in the signal's unit.

    Attributes
    ----------
    realisation : str
        Which one: ``'digital'``, or the level of the netlist.
    settings : LockInSettings
    frequency_Hz : float
        Reference, Hz.
    full_scale : float
        Largest signal applied, rms.
    offset_Hz, transfer : ndarray, shape (n,)
        |H|^2 of a signal so far from the reference (of the filter after the mixer), 1 at 0 Hz; increasing.
    step_time_s, step : ndarray, shape (m,)
        Reading after a signal was switched on, relative to the final one.
    enbw_Hz : float
        Equivalent noise bandwidth, int_0^inf |H|^2 df, Hz.
    settle99_s : float
        Time after which the reading stays within 1 % of the final one, s.
    rolloff_dB_per_octave : float
        Over the last octave of the transfer.
    gain_error, phase_error_deg : float
        Largest deviation of magnitude (relative) and theta (degrees) at full scale, at four phases.
    harmonic_response : dict of int to float
        Reading of a full-scale signal at n times the reference, relative to one at the reference, n = 2 to 5.
    image_response : float
        Part of a signal's phasor that turns the wrong way, as if it lay on the other side of the reference,
        relative to the right part.
    zero : float
        Magnitude that is shown without a signal, rms.
    linearity : float
        Largest deviation of x from the best straight line, 0 to full scale, in full scales.
    reserve_dB : float
        Dynamic reserve: largest sine at 1.375 times the reference, against full scale, that moves the reading of
        half a full scale by less than 1 % of full scale at any time.
    reserve_reached : bool
        Whether anything larger was found to be too much; if not, `reserve_dB` is only the largest tried.
    overloads : tuple of str
        Stages that came to their swing limit at full scale.
    """

    realisation: str
    settings: LockInSettings
    frequency_Hz: float
    full_scale: float
    offset_Hz: FloatArray
    transfer: FloatArray
    step_time_s: FloatArray
    step: FloatArray
    enbw_Hz: float
    settle99_s: float
    rolloff_dB_per_octave: float
    gain_error: float
    phase_error_deg: float
    harmonic_response: dict[int, float]
    image_response: float
    zero: float
    linearity: float
    reserve_dB: float
    reserve_reached: bool
    overloads: tuple[str, ...] = ()

    @property
    def enbw_times_tau(self) -> float:
        """ENBW times the time constant: 1/4, 1/8, 3/32, 5/64 for one to four equal poles."""
        return self.enbw_Hz * self.settings.time_constant

    @property
    def settle99_over_tau(self) -> float:
        """Settling time to 99 % over the time constant: 4.61, 6.64, 8.41, 10.05 for one to four equal poles."""
        return self.settle99_s / self.settings.time_constant

    @property
    def harmonic_rejection_dB(self) -> dict[int, float]:
        """Harmonic response as a rejection, dB: 20 lg of its inverse."""
        return {n: _rejection_dB(response) for n, response in self.harmonic_response.items()}

    @property
    def image_rejection_dB(self) -> float:
        """Image response as a rejection, dB."""
        return _rejection_dB(self.image_response)


class Realisation(Protocol):
    """What `characterise` asks of a lock-in. Settings differ from call to call in the slope only."""

    @property
    def name(self) -> str:
        """What it is called in the result."""

    def transfer(self, settings: LockInSettings, frequency_Hz: float) -> tuple[FloatArray, FloatArray]:
        """Offsets from the reference (Hz, increasing; those above 0 evenly spaced in their logarithm) and |H|^2."""

    def step(self, settings: LockInSettings, frequency_Hz: float) -> tuple[FloatArray, FloatArray]:
        """Times (s) and readings after a signal was switched on; long enough to settle."""

    def traces(
        self,
        settings: LockInSettings,
        frequency_Hz: float,
        signals: Sequence[Signal],
        duration_s: float,
        arms: str = "xy",
    ) -> list[tuple[FloatArray, FloatArray]]:
        """x and y (rms) of each signal over the last `CYCLES` cycles of the reference.

        On even time-points, the same for all signals, the last one left out: sums over them are means over whole
        cycles. With ``arms='x'`` nobody looks at y.
        """

    def overloads(self, settings: LockInSettings, frequency_Hz: float, signal: Signal) -> tuple[str, ...]:
        """Stages that a signal (one of those given to `traces`) drove to their swing limit."""


class Digital:
    """The digital realisation: records on an even grid, read by `demodulate_trace`."""

    name = "digital"
    points_per_cycle = 64

    def _time(self, frequency_Hz: float, duration_s: float, highest_Hz: float) -> tuple[FloatArray, int]:
        """Times of whole cycles, and points per cycle: 16 per cycle of the highest product at least."""
        per_cycle = max(self.points_per_cycle, 16 * math.ceil((highest_Hz + frequency_Hz) / frequency_Hz))
        points = math.ceil(duration_s * frequency_Hz * (1 - 1e-12)) * per_cycle
        return np.arange(points + 1) / (frequency_Hz * per_cycle), per_cycle

    def _read(
        self, settings: LockInSettings, frequency_Hz: float, signal: Signal, duration_s: float
    ) -> tuple[FloatArray, FloatArray, int]:
        highest = max((f for _, f, _ in signal), default=frequency_Hz)
        time, per_cycle = self._time(frequency_Hz, duration_s, highest)
        values = np.zeros(time.size)
        for peak, f, degrees in signal:
            values += peak * np.sin(2.0 * np.pi * f * time + math.radians(degrees))
        x, y = demodulate_trace(settings, frequency_Hz, time, values)
        return time, x + 1j * y, per_cycle

    def transfer(self, settings: LockInSettings, frequency_Hz: float) -> tuple[FloatArray, FloatArray]:
        """As `Realisation`: a signal at each offset, its phasor found by least squares.

        With a sine mixer whatever the setting: the filter behind it is the same, and a square wave only adds ripple.
        """
        settings = replace(settings, mixer="sine")
        corner = 1.0 / (2.0 * math.pi * settings.time_constant)
        above = corner * np.geomspace(0.05, 64.0, 53)
        below = -above[(above < 0.9 * frequency_Hz) & (above > 0.1 * corner)][::-2]
        powers = {0.0: 1.0}
        duration = 1.6 * SETTLED * settings.time_constant + CYCLES / frequency_Hz
        reference = self._phasor(settings, frequency_Hz, 0.0, duration)
        for offset in np.concatenate([below, above]).tolist():
            powers[offset] = abs(self._phasor(settings, frequency_Hz, offset, duration) / reference) ** 2
        offsets = np.array(sorted(powers))
        return offsets, np.array([powers[offset] for offset in offsets.tolist()])

    def _phasor(self, settings: LockInSettings, frequency_Hz: float, offset_Hz: float, duration_s: float) -> complex:
        """Phasor a of x + i y = a exp(i delta t) + b exp(-i (2 omega + delta) t), fitted over the last cycles."""
        signal = ((math.sqrt(2.0), frequency_Hz + offset_Hz, 0.0),)
        time, z, per_cycle = self._read(settings, frequency_Hz, signal, duration_s)
        last = slice(-CYCLES * per_cycle - 1, None)
        turns = 2.0j * np.pi * time[last]
        known = np.stack([np.exp(offset_Hz * turns), np.exp(-(2.0 * frequency_Hz + offset_Hz) * turns)], axis=1)
        return complex(np.linalg.lstsq(known, z[last], rcond=None)[0][0])

    def step(self, settings: LockInSettings, frequency_Hz: float) -> tuple[FloatArray, FloatArray]:
        """As `Realisation`: mean over a cycle (the ripple at 2 f taken out), at the cycle's middle."""
        settings = replace(settings, mixer="sine")
        duration = SETTLED * settings.time_constant
        time, z, per_cycle = self._read(settings, frequency_Hz, ((math.sqrt(2.0), frequency_Hz, 0.0),), duration)
        total = np.concatenate([[0.0], np.cumsum(0.5 * (z[1:].real + z[:-1].real))]) / per_cycle
        return (time[per_cycle:] + time[:-per_cycle]) / 2.0, total[per_cycle:] - total[:-per_cycle]

    def traces(
        self,
        settings: LockInSettings,
        frequency_Hz: float,
        signals: Sequence[Signal],
        duration_s: float,
        arms: str = "xy",
    ) -> list[tuple[FloatArray, FloatArray]]:
        """As `Realisation`."""
        found = []
        for signal in signals:
            _, z, per_cycle = self._read(settings, frequency_Hz, signal, duration_s)
            last = z[-CYCLES * per_cycle - 1 : -1]
            found.append((np.asarray(last.real), np.asarray(last.imag)))
        return found

    def overloads(self, settings: LockInSettings, frequency_Hz: float, signal: Signal) -> tuple[str, ...]:
        """Nothing: numbers have no swing limit."""
        return ()


def characterise(
    settings: LockInSettings,
    frequency_Hz: float,
    realisation: Realisation | None = None,
    full_scale: float = 1.0,
) -> Characterisation:
    """Measure transfer, ENBW, settling, rejections, offset, linearity and dynamic reserve.

    Parameters
    ----------
    settings : LockInSettings
        RC filter, harmonic 1, phase 0.
    frequency_Hz : float
        Reference, Hz; the time constant must last 2 to 200 of its cycles.
    realisation : Realisation, optional
        What is measured; the digital one if left out.
    full_scale : float, optional
        Full scale of the test signals, rms.

    Returns
    -------
    Characterisation
        The figures, with the curves behind them.

    Raises
    ------
    InputError
        For other settings than the above.
    """
    f, scale = positive("frequency_Hz", frequency_Hz, "Hz"), positive("full_scale", full_scale, "the signal's unit")
    _check_settings(settings, f)
    device = Digital() if realisation is None else realisation
    offset_Hz, transfer = device.transfer(settings, f)
    time, step = device.step(settings, f)
    signals = _test_signals(f, math.sqrt(2.0) * scale)
    duration = SETTLED * settings.time_constant + CYCLES / f
    read = dict(zip(signals, device.traces(settings, f, list(signals.values()), duration), strict=True))
    mean = {key: complex(np.mean(x), np.mean(y)) for key, (x, y) in read.items()}
    turned = np.array([mean["phase", degrees] * np.exp(-1j * math.radians(degrees)) for degrees in PHASES])
    whole = mean["phase", PHASES[0]]
    x, y = read["image", 0]
    turns = np.exp(2j * np.pi * np.arange(x.size) / x.size)  # one turn of the offset, in the window
    right, wrong = np.mean((x + 1j * y) / turns), np.mean((x + 1j * y) * turns)
    reserve_dB, reached = _reserve(device, settings, f, scale, duration)
    return Characterisation(
        realisation=device.name,
        settings=settings,
        frequency_Hz=f,
        full_scale=scale,
        offset_Hz=offset_Hz,
        transfer=transfer,
        step_time_s=time,
        step=step / step[-1],
        enbw_Hz=bandwidth_Hz(offset_Hz, transfer),
        settle99_s=settling_s(time, step),
        rolloff_dB_per_octave=rolloff_dB_per_octave(offset_Hz, transfer),
        gain_error=float(np.max(np.abs(np.abs(turned) / scale - 1.0))),
        phase_error_deg=float(np.max(np.abs(np.degrees(np.angle(turned))))),
        harmonic_response={n: abs(mean["harmonic", n] - mean["level", 0.0]) / abs(whole) for n in HARMONICS},
        image_response=float(abs(wrong) / abs(right)),
        zero=abs(mean["level", 0.0]),
        linearity=_curvature(np.array(LEVELS), np.array([mean["level", level].real for level in LEVELS]) / scale),
        reserve_dB=reserve_dB,
        reserve_reached=reached,
        overloads=device.overloads(settings, f, signals["level", 1.0]),
    )


def _check_settings(settings: LockInSettings, f: float) -> None:
    """Refuse what is not characterised."""
    if settings.window != "rc" or settings.harmonic != 1 or settings.phase != 0.0:
        fix = "take window 'rc', harmonic 1 and phase 0"
        raise InputError("settings", settings, "is no setting that is characterised", fix)
    cycles = f * settings.time_constant
    if not SHORTEST * (1 - 1e-9) <= cycles <= LONGEST * (1 + 1e-9):
        fix = f"take {SHORTEST / f:.4g} to {LONGEST / f:.4g} s at {f:g} Hz"
        raise InputError("time_constant", settings.time_constant, f"lasts {cycles:.4g} cycles of the reference", fix)


def _test_signals(f: float, peak: float) -> dict[tuple[str, float], Signal]:
    """Everything that is read but the interferences: by kind, and by level, phase (degrees) or harmonic."""
    return {
        **{("level", level): ((level * peak, f, 0.0),) if level else () for level in LEVELS},
        **{("phase", degrees): ((peak, f, degrees),) for degrees in PHASES},
        **{("harmonic", n): ((peak, n * f, 30.0),) for n in HARMONICS},
        ("image", 0): ((peak, f * (1.0 + 1.0 / CYCLES), 0.0),),
    }


def _reserve(
    device: Realisation, settings: LockInSettings, f: float, scale: float, duration: float
) -> tuple[float, bool]:
    """Dynamic reserve, dB: the interference at which the peak error is `TOLERATED`, interpolated in logarithms.

    Where the error grows in proportion (a filter that lets some through) that is exact; where a stage clips, it
    lies within the 10 dB between a level that is right and one that is wrong.
    """
    signal = (0.5 * math.sqrt(2.0) * scale, f, 0.0)
    last: tuple[float, float] | None = None
    for group in RESERVE_DB:
        loud = [(signal, (math.sqrt(2.0) * scale * 10.0 ** (db / 20.0), INTERFERENCE * f, 0.0)) for db in group]
        (clean, _), *read = device.traces(settings, f, [(signal,), *loud], duration, arms="x")
        for db, (x, _) in zip(group, read, strict=True):
            error = float(np.max(np.abs(x - clean))) / scale
            if error > TOLERATED:
                if last is None:
                    return float(db) - 20.0 * math.log10(error / TOLERATED), True  # in proportion, surely: it is small
                before, small = last
                share = math.log(TOLERATED / small) / math.log(error / small)
                return before + share * (db - before), True
            last = float(db), max(error, 1e-300)
    assert last is not None
    return last[0], False


def bandwidth_Hz(offset_Hz: FloatArray, transfer: FloatArray) -> float:
    """ENBW of a measured transfer, Hz: int_0^inf |H|^2 df / |H(0)|^2.

    By a cubic spline of lg |H|^2 over lg f; below the first offset |H|^2 is constant, above the last one it goes
    on falling as over the last octave.

    Parameters
    ----------
    offset_Hz, transfer : ndarray, shape (n,)
        Increasing offsets; those above 0 count. |H|^2, 1 at 0 Hz.
    """
    above = offset_Hz > 0.0
    f, power = offset_Hz[above], transfer[above]
    fine = np.linspace(math.log(f[0]), math.log(f[-1]), 20001)
    density = np.exp(CubicSpline(np.log(f), np.log(power))(fine) + fine)
    falls = rolloff_dB_per_octave(offset_Hz, transfer) / (10.0 * math.log10(2.0))  # |H|^2 ~ f^-falls
    tail = power[-1] * f[-1] / (falls - 1.0)
    return float(f[0] + np.trapezoid(density, fine) + tail)


def rolloff_dB_per_octave(offset_Hz: FloatArray, transfer: FloatArray) -> float:
    """Slope of a measured transfer over its last octave, dB/octave, positive where it falls."""
    last = offset_Hz >= 0.5 * offset_Hz[-1] * (1 - 1e-9)
    slope = np.polyfit(np.log2(offset_Hz[last]), 10.0 * np.log10(transfer[last]), 1)[0]
    return float(-slope)


def settling_s(time_s: FloatArray, step: FloatArray, within: float = 0.01) -> float:
    """Time after which a measured step response stays within a fraction of its final value, s."""
    away = np.abs(step / step[-1] - 1.0)
    outside = int(np.flatnonzero(away > within)[-1])
    high, low = away[outside], away[outside + 1]
    part = (high - within) / (high - low)
    return float(time_s[outside] + part * (time_s[outside + 1] - time_s[outside]))


def _curvature(levels: FloatArray, readings: FloatArray) -> float:
    """Largest deviation from the best straight line (least largest deviation, found exactly by Chebyshev's rule).

    The best line leaves three points alternately above, below and above by the same: try all triples.
    """
    best = 0.0
    for i in range(levels.size):
        for j in range(i + 1, levels.size):
            for k in range(j + 1, levels.size):
                chord = readings[i] + (readings[k] - readings[i]) * (levels[j] - levels[i]) / (levels[k] - levels[i])
                best = max(best, 0.5 * abs(float(readings[j] - chord)))
    return best


def _rejection_dB(response: float) -> float:
    return -20.0 * math.log10(response) if response > 0.0 else math.inf


def at_slope(settings: LockInSettings, slope: int) -> LockInSettings:
    """The same settings with another filter slope."""
    return replace(settings, filter_slope=slope)
