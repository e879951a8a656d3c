"""Why a lock-in's gradient differs from the ideal one: every cause by itself, before any transient.

The device is quasi-static, so its output under the dither is a Fourier series over the tones' common period,

    y(t) = f(V + sum_j alpha_j sin(2 pi f_j t + phi_j)) = Re sum_m Z_m exp(i 2 pi m t / P),

and a lock-in is linear in y. With H the transfer from the device to the filter, psi_k the phase its reference is set
to, and F(f) what the filter has made of exp(i 2 pi f t) by the time of reading (`filtered_tone`), channel k reads

    g_k = (1/alpha_k) Im exp(i (phi_k + psi_k)) sum_m [ H_m Z_m F(f_m + f_k) + (H_m Z_m)* F(f_k - f_m) ].

Its terms, sorted by where they come from, are the budget; together they are the reading, exactly:

    amplitude        own tone: the derivative averaged over the dither instead of taken at a point
    intermodulation  products of several tones, on the tone or near it
    crosstalk        the other tones themselves, through the filter
    ripple           what is left at f_k and 2 f_k behind the mixer: of the background, and of the own tone
    settling         what the filter, empty at first, still lacks
    droop            gain and phase of what stands before the filter: leads, amplifier, multiplier
    stray            displacement current of a stray capacitance between terminal and output, in quadrature
    offset           constant at the mixer's output, and the background that the mixer lets through
    leakage          the pattern before, whose background and gradient the filter still remembers
    drift            controls that move meanwhile: likewise (both for a front end as it is at low frequency)
    noise            standard deviation
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, finite, not_negative
from inmateria.errors import InputError
from lockin.averages import BATCH, Response, dither_bias, evaluate, over_common_period, place
from lockin.demodulate import gradient as read_gradient
from lockin.filter_response import ComplexArray, filtered_tone, noise_bandwidth_Hz
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings

TERMS = (
    "amplitude", "intermodulation", "crosstalk", "ripple", "settling", "droop", "stray", "offset", "leakage", "drift",
)  # fmt: skip
"""The systematic terms, in the order in which they are told; noise stands beside them."""
_PER_CYCLE = 32
"""Points in a cycle of the highest tone where the operating point moves: 0.3 % for what is straight between them."""


def unity(frequency_Hz: FloatArray) -> ComplexArray:
    """The transfer of a perfect front end."""
    return np.ones(np.shape(frequency_Hz), dtype=np.complex128)


def silence(frequency_Hz: FloatArray) -> FloatArray:
    """The noise of a perfect front end."""
    return np.zeros(np.shape(frequency_Hz))


@dataclass(frozen=True)
class FrontEnd:
    """What stands between the device's output and the filter; everything referred to the output's unit.

    Attributes
    ----------
    transfer : callable, optional
        H(f): frequencies (m,), Hz, from 0 up, to complex numbers (m,). Amplifier, leads and the multiplier's gain.
    stray_F : float or sequence of float, optional
        Capacitance between each dithered terminal and the output, F, for an output in A: i omega C alpha.
    offset : float, optional
        Constant at the filter's input, unit.
    passed : float, optional
        Share of the output's constant part that the mixer lets through unmixed.
    noise_psd : float, optional
        One-sided density of noise that arises behind the mixer, at low frequency, unit^2/Hz.
    own_noise : callable, optional
        S(f): one-sided density of noise that arises before the mixer, referred to the output: frequencies (m,), Hz, to
        unit^2/Hz (m,).
    """

    transfer: Callable[[FloatArray], ComplexArray] = unity
    stray_F: float | Sequence[float] = 0.0
    offset: float = 0.0
    passed: float = 0.0
    noise_psd: float = 0.0
    own_noise: Callable[[FloatArray], FloatArray] = silence

    def __post_init__(self) -> None:
        for name in ("offset", "passed"):
            finite(name, getattr(self, name), "the output's unit")
        not_negative("noise_psd", self.noise_psd, "unit^2/Hz")

    def noise(self, tones: FloatArray, density: FloatArray, settings: LockInSettings, time_s: float) -> FloatArray:
        """Standard deviation of gradients read at `time_s`, times their amplitudes.

        Parameters
        ----------
        tones : ndarray, shape (n,)
            Frequencies, Hz.
        density : ndarray, shape (n,)
            One-sided noise of the output at each tone, unit^2/Hz; the front end's own is added.
        settings : LockInSettings
            The filter.
        time_s : float
        """
        before = (density + self.own_noise(tones)) * np.abs(self.transfer(tones)) ** 2
        heard = before + 2.0 * self.noise_psd
        return np.asarray(np.sqrt(2.0 * heard * noise_bandwidth_Hz(settings, time_s)))


@dataclass(frozen=True, eq=False)
class ErrorBudget:
    """Predicted reading of a bank of lock-ins and why it differs from the exact gradient; unit per V.

    Attributes
    ----------
    exact : ndarray, shape (n,)
        The gradient at the point.
    terms : dict of str to ndarray, shape (n,)
        Signed systematic deviations by name (`TERMS`); they add up.
    noise : ndarray, shape (n,)
        Standard deviation of the reading.
    amplitude_stderr : ndarray, shape (n,)
        How well the split between ``amplitude`` and ``intermodulation`` is known; their sum is not touched by it.
    settled : float
        What the filter has reached of a constant signal.
    """

    exact: FloatArray
    terms: dict[str, FloatArray]
    noise: FloatArray
    amplitude_stderr: FloatArray
    settled: float

    @property
    def systematic(self) -> FloatArray:
        """Sum of the systematic terms, (n,)."""
        return np.asarray(sum(self.terms.values(), np.zeros_like(self.exact)))

    @property
    def reading(self) -> FloatArray:
        """Expected reading, (n,): exact gradient and all systematic terms."""
        return np.asarray(self.exact + self.systematic)

    @property
    def total(self) -> FloatArray:
        """Root mean square deviation from the exact gradient, (n,)."""
        return np.hypot(self.systematic, self.noise)

    def shares(self) -> dict[str, float]:
        """Euclidean size of each term over the controls, ``noise`` among them, unit per V, largest first."""
        sizes = {name: float(np.linalg.norm(values)) for name, values in {**self.terms, "noise": self.noise}.items()}
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))

    @property
    def dominant(self) -> str:
        """The largest term."""
        return next(iter(self.shares()))


@dataclass(frozen=True, eq=False)
class Readout:
    """A bank of lock-ins, and when it is read.

    Attributes
    ----------
    plan : DitherPlan
        The dither, n tones with a common period; its phases are those at time 0.
    settings : LockInSettings
        The filter, empty at time 0, and the references' phase.
    time_s : float
        When the lock-ins are read, s.
    front_end : FrontEnd, optional
        Electronics before the filter; ideal if left out.
    phase : array_like, shape (n,), optional
        Calibrated phases in degrees, in place of ``settings.phase``.
    psd : array_like, scalar or shape (n,), optional
        One-sided density of the output's noise at each tone, unit^2/Hz: white, 1/f and shot noise together.
    """

    plan: DitherPlan
    settings: LockInSettings
    time_s: float
    front_end: FrontEnd = field(default_factory=FrontEnd)
    phase: ArrayLike | None = None
    psd: ArrayLike = 0.0

    @property
    def degrees(self) -> FloatArray:
        """Phase of each reference beside its tone's, degrees, (n,)."""
        return _each("phase", self.settings.phase if self.phase is None else self.phase, self.plan.n)


@dataclass(frozen=True, eq=False)
class Motion:
    """How the operating point moved before it was read.

    Attributes
    ----------
    drift_V_per_s : array_like, scalar or shape (n,), optional
        How fast each control moves, V/s; when it is read it is where the gradient is wanted.
    patterns : tuple of array_like, shapes (m,) and (m, n_terminals), optional
        Times (s) and what was added to the voltages then (V), straight lines between: 0 when it is read.
    """

    drift_V_per_s: ArrayLike = 0.0
    patterns: tuple[ArrayLike, ArrayLike] | None = None


def error_budget(
    function: Response,
    voltages: ArrayLike,
    readout: Readout,
    *,
    exact: ArrayLike,
    motion: Motion | None = None,
    terminals: Sequence[int] | None = None,
    points_per_period: int = 16,
    samples: int = 1024,
    seed: int = 0,
) -> ErrorBudget:
    """Predict what a bank of lock-ins reads at a time, and why.

    Parameters
    ----------
    function : callable
        The static output: voltages (m, n_terminals), V, to values (m,). Settings come in the order of time.
    voltages : array_like, shape (n_terminals,)
        Where the gradient is wanted, V.
    readout : Readout
        Dither, filter, electronics, noise, time.
    exact : array_like, shape (n,)
        The gradient at the point, unit/V.
    motion : Motion, optional
        Left out: the operating point stood still.
    terminals : sequence of int, optional
        Which terminal each tone is applied to; left out: as many terminals as tones, in order.
    points_per_period : int, optional
        Samples of the output in one period of the highest tone: products up to an order of about half of that.
    samples, seed : int, optional
        For the average over independent phases, as `dither_bias`; it tells amplitude from intermodulation.

    Raises
    ------
    InputError
        When shapes do not fit, a function returns no finite values, the tones have no common period, or the time is
        shorter than the window.
    """
    plan, settings, front_end, moved = readout.plan, readout.settings, readout.front_end, motion or Motion()
    point, places = place(voltages, plan, terminals)
    n, peaks, phases = plan.n, np.asarray(plan.amplitudes_V), np.asarray(plan.phases_rad)
    ideal, density = _each("exact", exact, n), _each("psd", readout.psd, n)
    drift = _each("drift_V_per_s", moved.drift_V_per_s, n)
    multiples = np.asarray(plan.multiples)
    settled = float(filtered_tone(settings, 0.0, readout.time_s).real)
    series = _fourier_series(function, point, places, plan, points_per_period)
    transfer = _transfer(front_end, np.arange(series.size) / plan.common_period_s)

    terms = {name: np.zeros(n) for name in TERMS}
    averaged = np.imag(np.exp(1j * phases) * np.conj(series[multiples])) / peaks  # no fault but the dither's
    terms |= _filtered(readout, transfer, series, settled * averaged)
    terms["settling"] = (settled - 1.0) * averaged
    bias = dither_bias(function, point, plan, ideal, places.tolist(), samples, seed)
    terms["amplitude"] = bias.gradient
    terms["intermodulation"] += averaged - ideal - bias.gradient
    passed = front_end.offset + front_end.passed * float(series[0].real)
    terms["offset"] = 2.0 / peaks * passed * settled
    at_rest = float(transfer[0].real)
    if moved.patterns is not None:
        path = _path("patterns", *moved.patterns, point.size)
        terms["leakage"] = at_rest * _elsewhere(function, point, places, readout, *path)
    if np.any(drift):
        ramp = np.zeros((2, point.size))
        ramp[0, places] = -drift * readout.time_s
        path = np.array([0.0, readout.time_s]), ramp
        terms["drift"] = at_rest * _elsewhere(function, point, places, readout, *path)
    noise = front_end.noise(np.asarray(plan.frequencies_Hz), density, settings, readout.time_s) / peaks
    return ErrorBudget(ideal, terms, noise, bias.stderr, settled)


def _filtered(
    readout: Readout, transfer: ComplexArray, series: ComplexArray, wanted: FloatArray
) -> dict[str, FloatArray]:
    """What front end and filter make of the output's Fourier series, beside what is `wanted` of it."""
    plan, time_s, degrees = readout.plan, readout.time_s, readout.degrees
    peaks, phases, tones = np.asarray(plan.amplitudes_V), np.asarray(plan.phases_rad), np.asarray(plan.frequencies_Hz)
    frequencies, multiples = np.arange(series.size) / plan.common_period_s, np.asarray(plan.multiples)
    stray = _each("stray_F", readout.front_end.stray_F, plan.n)
    # dV/dt of alpha sin(omega t + phi) is Re omega alpha exp(i (omega t + phi))
    displaced = stray * 2.0 * np.pi * tones * peaks * np.exp(1j * phases)
    signal, leaked = transfer * series, transfer[multiples] * displaced
    terms = {name: np.zeros(plan.n) for name in ("droop", "stray", "ripple", "crosstalk", "intermodulation")}
    for k, own in enumerate(multiples):
        reference = np.exp(1j * (phases[k] + np.radians(degrees[k]))) / peaks[k]
        above = reference * filtered_tone(readout.settings, frequencies + tones[k], time_s)
        below = reference * filtered_tone(readout.settings, tones[k] - frequencies, time_s)
        each = np.imag(above * signal + below * np.conj(signal))
        stray_each = np.imag(above[multiples] * leaked + below[multiples] * np.conj(leaked))
        others = np.arange(plan.n) != k
        static, image = np.imag(below[own] * np.conj(signal[own])), np.imag(above[own] * signal[own])
        terms["droop"][k] = static - wanted[k]
        terms["stray"][k] = np.imag(below[own] * np.conj(leaked[k]))
        terms["ripple"][k] = image + np.imag(above[own] * leaked[k]) + each[0]
        terms["crosstalk"][k] = each[multiples[others]].sum() + stray_each[others].sum()
        each[[0, *multiples]] = 0.0
        terms["intermodulation"][k] = each.sum()
    return terms


def _elsewhere(
    function: Response, point: FloatArray, places: Any, readout: Readout, times: FloatArray, offsets: FloatArray
) -> FloatArray:
    """What it adds that the operating point was elsewhere before: the output there less the output here, read."""
    plan = readout.plan
    steps = int(np.ceil(_PER_CYCLE * max(plan.frequencies_Hz) * readout.time_s))
    grid = np.linspace(0.0, readout.time_s, steps + 1)
    away = np.stack([np.interp(grid, times, column) for column in offsets.T], axis=1)
    added, elsewhere = np.zeros(grid.size), np.flatnonzero(np.any(away != 0.0, axis=1))
    for start in range(0, elsewhere.size, BATCH):
        part = elsewhere[start : start + BATCH]
        here = np.tile(point, (part.size, 1))
        here[:, places] += plan.waveform(grid[part]).T
        added[part] = evaluate(function, here + away[part]) - evaluate(function, here)
    return read_gradient(plan, grid, added, readout.settings, readout.degrees)


def _fourier_series(
    function: Response, point: FloatArray, places: Any, plan: DitherPlan, per_period: int
) -> ComplexArray:
    """Z_m of the output over the tones' common period; sampled at `per_period` points of the highest tone's."""
    values = np.concatenate([part for part, _ in over_common_period(function, point, places, plan, per_period)])
    series = 2.0 * np.fft.rfft(values) / values.size
    series[0] *= 0.5
    return np.asarray(series[: (values.size + 1) // 2])


def _transfer(electronics: FrontEnd, frequencies: FloatArray) -> ComplexArray:
    """H at the frequencies, checked."""
    transfer = np.asarray(electronics.transfer(frequencies), dtype=np.complex128)
    if transfer.shape != frequencies.shape or not np.all(np.isfinite(transfer)):
        problem = f"is no finite array for {frequencies.size} frequencies"
        raise InputError("transfer", transfer.shape, problem, "map frequencies (m,), Hz, to complex numbers (m,)")
    return transfer


def _path(field: str, times: ArrayLike, offsets: ArrayLike, terminals: int) -> tuple[FloatArray, FloatArray]:
    """A path of offsets, checked."""
    when, where = np.asarray(times, dtype=np.float64), np.asarray(offsets, dtype=np.float64)
    fits = when.ndim == 1 and when.size > 0 and where.shape == (when.size, terminals)
    if not (fits and np.all(np.isfinite(when)) and np.all(np.isfinite(where)) and np.all(np.diff(when) > 0.0)):
        problem = f"is no path over increasing times of {terminals} terminals"
        raise InputError(field, where.shape, problem, "give times (m,), s, and offsets (m, n_terminals), V")
    return when, where


def _each(field: str, value: ArrayLike, n: int) -> FloatArray:
    """One finite number for each tone."""
    try:
        numbers = np.broadcast_to(np.asarray(value, dtype=np.float64), (n,))
    except (TypeError, ValueError):
        raise InputError(field, value, f"is not one number nor {n} of them", "give one for all tones or each") from None
    if not np.all(np.isfinite(numbers)):
        raise InputError(field, value, "is not finite", "give finite numbers")
    return numbers
