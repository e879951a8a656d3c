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
    stage            where the loss is read: gains and offsets between the device and the loss; else 0
    stray            displacement current of a stray capacitance between terminal and output, in quadrature
    offset           constant at the mixer's output, and the background that the mixer lets through
    leakage          the pattern before, whose background and gradient the filter still remembers
    drift            controls that move meanwhile: likewise (both for a front end as it is at low frequency)
    noise            standard deviation

Where the error of third order is taken out (`Readout.correction`), each further reading adds to the same terms;
``amplitude`` is then all that the dither itself leaves, from the fifth order on, with products that fall on a reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, finite, not_negative
from inmateria.errors import InputError
from lockin.averages import BATCH, Response, dither_bias, evaluate, over_common_period, place
from lockin.choices import Correction
from lockin.demodulate import gradient as read_gradient
from lockin.filter_response import ComplexArray, filtered_tone, noise_bandwidth_Hz
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from lockin.third_order import Factors, check_free, correction_readings, third_order_correction

TERMS = (
    "amplitude", "intermodulation", "crosstalk", "ripple", "settling", "droop", "stage", "stray", "offset", "leakage",
    "drift",
)  # fmt: skip
"""The systematic terms, in the order in which they are told; noise stands beside them."""
_MIXERS: dict[Correction, int] = {"none": 1, "diagonal": 2, "whole": 1}
"""Mixers that a corrected reading has, each with noise behind it."""
_MIXERS_OFFSETS: dict[Correction, int] = {"none": 1, "diagonal": 0, "whole": 1}
"""How many of their offsets are left."""
_PER_CYCLE = 32
"""Points in a cycle of the fastest reference where the point moves: 0.3 % for what is straight between them."""


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


class _Reference(NamedTuple):
    """What a control's reading is made of: weight times what sin(2 pi multiple t/P + as_read_rad) reads."""

    control: int
    multiple: int
    phase_rad: float
    """Of the product of tones itself."""
    as_read_rad: float
    """With the reference's phase."""
    weight: float
    """1/V."""


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
        One-sided density of the output's noise at each tone, unit^2/Hz: white, 1/f and shot noise together. What
        corrects that tone's reading has the same.
    correction : {'none', 'diagonal', 'whole'}, optional
        What is read beside the tones and added: see `lockin.third_order`. The diagonal in the circuit, by mixers of
        its own whose offsets cancel the first ones' (`circuits.lockin.bank`); the whole from the record before them.
    """

    plan: DitherPlan
    settings: LockInSettings
    time_s: float
    front_end: FrontEnd = field(default_factory=FrontEnd)
    phase: ArrayLike | None = None
    psd: ArrayLike = 0.0
    correction: Correction = "none"

    def __post_init__(self) -> None:
        check_free(self.correction, self.plan)

    @property
    def references(self) -> list[_Reference]:
        """All that is read, each control's own tone first."""
        plan, turned = self.plan, np.asarray(self.plan.phases_rad) + np.radians(self.degrees)
        own: list[tuple[int, Factors, float]] = [
            (k, tuple(row), 1.0) for k, row in enumerate(np.eye(plan.n, dtype=int).tolist())
        ]
        found = []
        for k, factors, weight in own + correction_readings(plan.n, self.correction):
            multiple = int(np.dot(factors, plan.multiples))
            side = 1 if multiple > 0 else -1  # sin(-x) = -sin(x)
            phase, as_read = side * float(np.dot(factors, plan.phases_rad)), side * float(np.dot(factors, turned))
            found.append(_Reference(k, side * multiple, phase, as_read, side * weight / plan.amplitudes_V[k]))
        return found

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
    n, peaks = plan.n, np.asarray(plan.amplitudes_V)
    ideal, density = _each("exact", exact, n), _each("psd", readout.psd, n)
    drift = _each("drift_V_per_s", moved.drift_V_per_s, n)
    settled = float(filtered_tone(settings, 0.0, readout.time_s).real)
    series = _fourier_series(function, point, places, plan, points_per_period)
    transfer = _transfer(front_end, np.arange(series.size) / plan.common_period_s)

    averaged = np.zeros(n)  # no fault but the dither's
    for reference in readout.references:
        averaged[reference.control] += _at_rest(reference, series)
    terms = {name: np.zeros(n) for name in TERMS} | _filtered(readout, transfer, series, settled)
    terms["settling"] = (settled - 1.0) * averaged
    stderr = np.zeros(n)
    if readout.correction == "none":
        bias = dither_bias(function, point, plan, ideal, places.tolist(), samples, seed)
        terms["amplitude"], stderr = bias.gradient, bias.stderr
        terms["intermodulation"] += averaged - ideal - bias.gradient
    else:
        terms["amplitude"] = averaged - ideal
    passed = front_end.offset + front_end.passed * float(series[0].real)
    terms["offset"] = 2.0 / peaks * passed * settled * _MIXERS_OFFSETS[readout.correction]
    at_rest = float(transfer[0].real)
    if moved.patterns is not None:
        path = _path("patterns", *moved.patterns, point.size)
        terms["leakage"] = at_rest * _elsewhere(function, point, places, readout, *path)
    if np.any(drift):
        ramp = np.zeros((2, point.size))
        ramp[0, places] = -drift * readout.time_s
        path = np.array([0.0, readout.time_s]), ramp
        terms["drift"] = at_rest * _elsewhere(function, point, places, readout, *path)
    mixers = _MIXERS[readout.correction]
    variance = 4.0 * mixers * front_end.noise_psd * noise_bandwidth_Hz(settings, readout.time_s) / peaks**2
    before = replace(front_end, noise_psd=0.0)
    for k, multiple, _, _, weight in readout.references:
        at = np.array([multiple / plan.common_period_s])
        variance[k] += (weight * before.noise(at, density[k : k + 1], settings, readout.time_s)[0]) ** 2
    return ErrorBudget(ideal, terms, np.sqrt(variance), stderr, settled)


def _at_rest(reference: _Reference, series: ComplexArray) -> float:
    """What a reference reads of a static output, its filter settled."""
    turned = np.exp(1j * reference.phase_rad) * np.conj(series[reference.multiple])
    return reference.weight * float(np.imag(turned))


def _filtered(readout: Readout, transfer: ComplexArray, series: ComplexArray, settled: float) -> dict[str, FloatArray]:
    """What front end and filter make of the output's Fourier series, beside what is wanted of it."""
    plan, time_s = readout.plan, readout.time_s
    peaks, phases, tones = np.asarray(plan.amplitudes_V), np.asarray(plan.phases_rad), np.asarray(plan.frequencies_Hz)
    frequencies, multiples = np.arange(series.size) / plan.common_period_s, np.asarray(plan.multiples)
    stray = _each("stray_F", readout.front_end.stray_F, plan.n)
    signal, leaked = transfer * series, np.zeros(series.size, dtype=np.complex128)
    # dV/dt of alpha sin(omega t + phi) is Re omega alpha exp(i (omega t + phi))
    leaked[multiples] = transfer[multiples] * stray * 2.0 * np.pi * tones * peaks * np.exp(1j * phases)
    terms = {name: np.zeros(plan.n) for name in ("droop", "stray", "ripple", "crosstalk", "intermodulation")}
    for reference in readout.references:
        k, own, _, as_read, weight = reference
        turned = weight * np.exp(1j * as_read)
        above = turned * filtered_tone(readout.settings, frequencies + frequencies[own], time_s)
        below = turned * filtered_tone(readout.settings, frequencies[own] - frequencies, time_s)
        each = np.imag(above * signal + below * np.conj(signal))
        stray_each = np.imag(above * leaked + below * np.conj(leaked))
        others = multiples[multiples != own]
        terms["droop"][k] += np.imag(below[own] * np.conj(signal[own])) - settled * _at_rest(reference, series)
        terms["stray"][k] += np.imag(below[own] * np.conj(leaked[own]))
        terms["ripple"][k] += np.imag(above[own] * (signal[own] + leaked[own])) + each[0]
        terms["crosstalk"][k] += each[others].sum() + stray_each[others].sum()
        each[[0, own, *others]] = 0.0
        terms["intermodulation"][k] += each.sum()
    return terms


def _elsewhere(
    function: Response, point: FloatArray, places: Any, readout: Readout, times: FloatArray, offsets: FloatArray
) -> FloatArray:
    """What it adds that the operating point was elsewhere before: the output there less the output here, read."""
    plan = readout.plan
    fastest = max(reference.multiple for reference in readout.references) / plan.common_period_s
    steps = int(np.ceil(_PER_CYCLE * fastest * readout.time_s))
    grid = np.linspace(0.0, readout.time_s, steps + 1)
    away = np.stack([np.interp(grid, times, column) for column in offsets.T], axis=1)
    added, elsewhere = np.zeros(grid.size), np.flatnonzero(np.any(away != 0.0, axis=1))
    for start in range(0, elsewhere.size, BATCH):
        part = elsewhere[start : start + BATCH]
        here = np.tile(point, (part.size, 1))
        here[:, places] += plan.waveform(grid[part]).T
        added[part] = evaluate(function, here + away[part]) - evaluate(function, here)
    turned = replace(plan, phases_rad=tuple(plan.phases_rad + np.radians(readout.degrees)))
    record = (turned, grid, added, replace(readout.settings, phase=0.0))
    return read_gradient(*record) + third_order_correction(*record, readout.correction)


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
