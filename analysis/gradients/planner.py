"""Dither, filter and time for a wanted gradient error: what is the fastest reading, and what stands in its way.

For a reading taken a time T after empty filters, at points V_m of the device (relative to |gradient|, controls summed):

    amplitude    derivative averaged over the dither less the derivative, <2 cos^2(theta_k) [g_k(V + d) - g_k(V)]>
                 over independent phases, d_j = alpha_j sin(theta_j): grows as alpha^2 where alpha is small
    noise        sqrt(2 S ENBW) / alpha_k: falls as 1 / alpha
    crosstalk    of the other tones, ripple of the background and of the own tone: |F| of the filter, random phases
    settling     what the filter still lacks at T
    droop        gain and phase before the filter
    offset       2 V / alpha_k

`plan` takes, for each T, the filter, spacing and amplitude of the smallest error, and of all T the smallest that does.
A boxcar over whole periods of the spacing has neither crosstalk nor settling, and asks for an integrator with a switch;
RC poles ask for a spacing of many 1/tau instead.

A plan is for a share of all settings. Points drawn as those are fall in two: a third, 64 at most, chooses all of that
as a function of T; the others, which chose nothing, judge it, each with noise and phases drawn once, and T is the
shortest time in which no more of them exceed the wanted error than the share and the confidence allow (`tolerance`).
Errors fall with T, so the time that each of them asks for is a number drawn like any other setting's, and the bound on
the share is exact.

A corrected reading (`lockin.third_order`) has a bias that grows as alpha^4 in place of alpha^2, and more noise: `plan`
takes it where a larger dither makes up for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from analysis.gradients.tolerance import allowed_misses, settings_needed
from inmateria.checks import FloatArray, count, positive
from inmateria.errors import InputError
from lockin.averages import common_period_average, sobol
from lockin.choices import Correction
from lockin.error_budget import FrontEnd
from lockin.filter_response import filtered_tone
from lockin.plan import DitherPlan, plan_frequencies
from lockin.planning import gains, narrowed, safe_loop_gain, widest_tones
from lockin.settings import LockInSettings
from lockin.third_order import correction_readings, free_tones

Gradients = Callable[[FloatArray], FloatArray]
FILTERS = ("boxcar", "6", "12", "18", "24")
_CHOOSING = 64
"""Points that choose, at most: more would only cost the device's time."""
_PAIRS = 32
"""Antithetic pairs of phases in the average over the dither."""
_SCALES = 15
"""Amplitudes tried, down to a thousandth of the limit; of the lowest third the device is not asked."""
_SCALED = np.logspace(-3.0, 0.0, _SCALES)
_TOO_LARGE = 3.0
"""Times the smallest error: where the amplitude makes so much, larger ones are not tried."""
_PER_PERIOD = 5
"""Samples in a period of the highest tone, where the output is averaged: exact for a device of third order. Of the bias
on the default network 2.5 % is left at 3 to 30 mV, where 12 samples take it."""
_SAMPLES = 250
"""At least so many in all."""
_PER_PERIOD_CORRECTED = 7
"""The same where three times that tone is read."""
_FREE = 8
"""Controls for which tones that are free for corrections are found in seconds."""
_PILOTS = 4
"""Points at which it is tried whether a correction may pay."""
_CORRECTION: dict[bool, Correction] = {False: "none", True: "whole"}
_WIDER = (3.0, 10.0, 30.0, 100.0)
"""Spacings tried with RC poles, over 1/tau, where no band limits them."""
_MANY = 40
"""From so many controls on fewer filters are tried: the crosstalk of all pairs takes their square."""


@dataclass(frozen=True, eq=False)
class GradientRequirements:
    """What a reading has to achieve, and on which device. "unit" is that of the output that is read, such as A.

    Attributes
    ----------
    gradient : callable
        Voltages (m, n_terminals), V, to exact gradients (m, n), unit/V.
    voltages : array_like, shape (m, n_terminals)
        Points of the device, V: drawn as the settings are at which readings will be taken.
    terminals : sequence of int
        Which terminal each of the n controls is.
    error : float
        Wanted |reading - gradient| / |gradient|.
    psd : float or callable
        One-sided noise of the output, unit^2/Hz; or its density at frequencies (m,), Hz.
    amplitude_limit_V : float or sequence of float
        Largest peak dither the device leaves room for, V.
    band_Hz : tuple of float, optional
        Lowest and highest tone, Hz; left out: any.
    longest_s : float, optional
        Longest reading, s.
    background : float, optional
        Constant part of the output that the lock-ins see, unit.
    front_end : FrontEnd, optional
        Electronics before the filters.
    curvature : float, optional
        Largest curvature of the loss that is descended, unit/V^2; left out: no learning rate is planned.
    filters : sequence of str, optional
        Out of ``'boxcar'`` and the slopes ``'6'``, ``'12'``, ``'18'``, ``'24'`` dB/octave of RC poles.
    output : callable, optional
        Voltages (m, n_terminals), V, along a path to outputs (m,), unit. Where it is given the averages over the dither
        come from it, over one common period of the tones, and not from gradients at random phases: the cheaper way
        where a gradient costs as much as many outputs and the controls are few.
    share : float or None, optional
        Of all settings, at which a reading is to have that error or less. None: the points stand for themselves alone,
        and the error is the rms over them and the noise.
    confidence : float, optional
        That the share is reached, with regard to the luck of the points.
    corrected : bool or None, optional
        Whether the error of third order is taken out of each reading, by a boxcar; None: if that is faster, which
        is tried for up to 8 controls. It wants `output`.
    windows : int, optional
        Readings, neighbours on a path, whose mean a correction is; each gradient is still one reading's.
    seed : int, optional
        Of the phases, and of the noise where points judge.

    Raises
    ------
    InputError
        When built with values that make no sense, or with too few points for the share.
    """

    gradient: Gradients
    voltages: ArrayLike
    terminals: Sequence[int]
    error: float
    psd: float | Callable[[FloatArray], FloatArray]
    amplitude_limit_V: float | Sequence[float]
    band_Hz: tuple[float, float] | None = None
    longest_s: float = 1e3
    background: float = 0.0
    front_end: FrontEnd = field(default_factory=FrontEnd)
    curvature: float | None = None
    filters: Sequence[str] = FILTERS
    output: Callable[[FloatArray], FloatArray] | None = None
    share: float | None = 0.9
    confidence: float = 0.95
    corrected: bool | None = False
    windows: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        points = np.atleast_2d(np.asarray(self.voltages, dtype=float))
        object.__setattr__(self, "voltages", points)
        if points.ndim != 2 or points.size == 0 or not np.all(np.isfinite(points)):
            raise InputError("voltages", points.shape, "are no finite points", "give (m, n_terminals) voltages")
        if not self.terminals or not all(0 <= t < points.shape[1] for t in self.terminals):
            raise InputError("terminals", list(self.terminals), f"do not lie in 0..{points.shape[1] - 1}", "check them")
        if not callable(self.psd):
            positive("psd", self.psd, "unit^2/Hz")
        positive("error", self.error, "1 (a ratio)")
        positive("longest_s", self.longest_s, "s")
        limits = np.asarray(self.amplitude_limit_V, dtype=float)
        if limits.shape not in ((), (self.n,)) or not np.all(np.isfinite(limits) & (limits > 0.0)):
            raise InputError("amplitude_limit_V", self.amplitude_limit_V, "is not positive", "give V, one or each")
        if self.curvature is not None:
            positive("curvature", self.curvature, "unit/V^2")
        unknown = [f for f in self.filters if f not in FILTERS]
        if unknown or not self.filters:
            raise InputError("filters", unknown or None, "is no filter", f"choose from {', '.join(FILTERS)}")
        if self.band_Hz is not None and not 0.0 <= self.band_Hz[0] < self.band_Hz[1] < math.inf:
            raise InputError("band_Hz", self.band_Hz, "is no band", "give (lowest, highest) tone in Hz")
        count("windows", self.windows)
        if self.corrected and self.output is None:
            raise InputError("output", None, "is missing, of which a correction is read", "give it, or corrected=False")
        if self.corrected and "boxcar" not in self.filters:
            raise InputError("filters", list(self.filters), "let through what a correction reads", "allow 'boxcar'")
        if self.share is not None:
            needed = points_for(settings_needed(self.share, self.confidence))
            if len(points) < needed:
                told = f"are too few for {_percent(self.share)} of settings with {_percent(self.confidence)} confidence"
                fix = f"give {needed} or more points, or share=None for these points alone"
                raise InputError("voltages", len(points), told, fix)

    @property
    def judging(self) -> int:
        """Number of points that judge: all that do not choose; all where they stand for themselves alone."""
        points = len(np.asarray(self.voltages))
        return points if self.share is None else points - max(1, min(points // 3, _CHOOSING))

    @property
    def misses(self) -> int:
        """How many of the points that judge may exceed the error."""
        return 0 if self.share is None else allowed_misses(self.judging, self.share, self.confidence)

    @property
    def promise(self) -> str:
        """Where the error holds, in words."""
        if self.share is None:
            return f"rms over {self.judging} points" if self.judging > 1 else "at one point"
        told = f"at {_percent(self.share)} of settings with {_percent(self.confidence)} confidence"
        return f"{told}: {self.misses} of {self.judging} that judged exceed it"

    @property
    def n(self) -> int:
        """Number of controls."""
        return len(self.terminals)

    def density(self, tones_Hz: FloatArray) -> FloatArray:
        """Noise density at the tones, unit^2/Hz."""
        values = self.psd(tones_Hz) if callable(self.psd) else np.full(tones_Hz.size, float(self.psd))
        if np.shape(values) != tones_Hz.shape or not np.all(np.isfinite(values) & (np.asarray(values) >= 0.0)):
            raise InputError("psd", self.psd, "is no density of 0 or more", "give unit^2/Hz, one-sided")
        return np.asarray(values, dtype=float)


def points_for(judging: int) -> int:
    """How many points it takes so that so many of them judge."""
    return judging + max(1, min(judging // 2, _CHOOSING))


def _percent(share: float) -> str:
    return f"{100.0 * share:.4g} %"


@dataclass(frozen=True, eq=False)
class GradientPlan:
    """What `plan` found.

    Attributes
    ----------
    requirements : GradientRequirements
    dither : DitherPlan
        Tones and peak amplitudes.
    settings : LockInSettings
        Filter: time constant and slope, or boxcar.
    time_s : float
        When the gradient is read after empty filters.
    error : float
        Predicted |reading - gradient| / |gradient|, as the requirements' `promise` says.
    shares : dict of str to float
        The same for each term by itself, largest first.
    corrected : bool
        Whether the error of third order is taken out: read with `corrected_gradient` or `kept_correction`.
    learning_rate : float or None
        eta of dw/dt = -eta dE/dw, V/s per unit/V, with a gain margin of 3.
    binding : str
        The largest term.
    sensitivities : dict of str to float
        By how much (relative) the error falls for each requirement relaxed by a tenth, largest first.
    amplitude_curve : ndarray, shape (a, 4)
        Amplitudes (mean over the controls, V), error, its part from noise, its part from the amplitude; at `time_s` and
        the points that chose.
    time_curve : ndarray, shape (t, 2)
        Time of reading (s) and the smallest error in that time.
    """

    requirements: GradientRequirements
    dither: DitherPlan
    settings: LockInSettings
    time_s: float
    error: float
    shares: dict[str, float]
    corrected: bool
    learning_rate: float | None
    binding: str
    sensitivities: dict[str, float]
    amplitude_curve: FloatArray
    time_curve: FloatArray

    @property
    def band_Hz(self) -> tuple[float, float]:
        """Lowest and highest tone, Hz."""
        return min(self.dither.frequencies_Hz), max(self.dither.frequencies_Hz)


def plan(requirements: GradientRequirements) -> GradientPlan:
    """Find the fastest reading of a wanted error.

    Parameters
    ----------
    requirements : GradientRequirements

    Returns
    -------
    GradientPlan

    Raises
    ------
    InputError
        When no reading within `longest_s` reaches the error, or no tones fit the band: with what could be had.
    """
    search = _Search(requirements)
    if requirements.corrected is None:  # decided by the points that choose: those that judge have no part in it
        chosen = search.fastest(judged=False)
        if _may_pay(search, chosen):
            other = _Search(replace(requirements, corrected=True), search)
            corrected = other.fastest(judged=False)
            if corrected is not None and (chosen is None or corrected.time_s < chosen.time_s):
                search = other
    found = search.fastest()
    if found is None:
        best = search.best(requirements.longest_s)
        if best is None:
            raise InputError(
                "band_Hz", requirements.band_Hz, f"has no room for {requirements.n} tones",
                f"widen it, or allow more than {requirements.longest_s:g} s",
            )  # fmt: skip
        worst = max(best.shares, key=lambda name: best.shares[name])
        more = "" if requirements.share is None else ", judge at more points, of which a larger share may miss"
        raise InputError(
            "error", requirements.error,
            f"is not reached in {requirements.longest_s:g} s: {best.error:.3g} at best, mostly {worst}",
            f"ask for {1.05 * best.error:.2g}{more}, or change what makes the {worst}",
        )  # fmt: skip
    return _planned(search, found)


def _may_pay(search: _Search, found: _Reading | None) -> bool:
    """Whether a correction may be faster: at a few points a dither that makes up for its noise is within the error."""
    need, at = search.need, search.chooses
    if need.output is None or need.n > _FREE or "boxcar" not in need.filters:
        return False
    if found is None:
        return True
    pilots = at.volts[:_PILOTS]
    if need.share is not None:  # those that bind: with the largest bias, but for the misses
        biased = np.linalg.norm(at.biases(np.array([found.scale]))[0], axis=1) / at.sizes
        pilots = at.volts[np.argsort(-biased)[at.misses :][:_PILOTS]]
    points = _Points(replace(need, corrected=True), pilots, 0, None)
    noisier = float(np.sqrt(1.0 + (7.0 + 2.0 * need.n) / need.windows))
    for larger in (1.0, 1.4, 2.0):
        alpha = larger * noisier * found.alpha
        if np.any(alpha > search.limits):
            return False
        left = points.over(np.linalg.norm(points.bias(alpha), axis=1)[None] / points.sizes)[0]
        if left >= need.error:  # and larger ones have more
            return False
        if np.hypot(left, found.shares["noise"] / larger) < need.error:
            return True
    return False


def _planned(search: _Search, found: _Reading) -> GradientPlan:
    """What is told of a reading."""
    requirements = search.need
    curve = [
        (float(np.mean(here.alpha)), here.error, here.shares["noise"], here.shares["amplitude"])
        for here in search.table(found.tones, found.settings, found.time_s)
    ]
    times = found.time_s * np.logspace(-1.0, 1.0, 13 if requirements.n <= _MANY else 5)
    reachable = [(time, best.error) for time in times for best in [search.best(float(time))] if best is not None]
    rate = None
    if requirements.curvature is not None:
        rate = safe_loop_gain(found.settings) / requirements.curvature
    return GradientPlan(
        requirements,
        DitherPlan(tuple(found.tones), tuple(found.alpha)),
        found.settings,
        found.time_s,
        found.error,
        dict(sorted(found.shares.items(), key=lambda item: -item[1])),
        bool(requirements.corrected),
        rate,
        max(found.shares, key=lambda name: found.shares[name]),
        search.sensitivities(found),
        np.array(curve),
        np.array(reachable),
    )


def plan_in(requirements: GradientRequirements, times_s: Sequence[float]) -> list[GradientPlan]:
    """The smallest error in each of some given times, whatever error is wanted; for what it is read with, see `plan`.

    Parameters
    ----------
    requirements : GradientRequirements
        Its `error` decides no more than at which time the amplitudes of the controls are shaped.
    times_s : sequence of float
        When the gradient is read, s.

    Returns
    -------
    list of GradientPlan
        One for each time.

    Raises
    ------
    InputError
        When no tones fit the band in a time.
    """
    search = _Search(requirements)
    plans = []
    for time_s in times_s:
        best = search.best(float(time_s))
        if best is None:
            raise InputError("band_Hz", requirements.band_Hz, f"has no tones for {time_s:g} s", "widen it")
        plans.append(_planned(search, best))
    return plans


@dataclass(frozen=True, eq=False)
class _Reading:
    """One way of reading, judged."""

    tones: FloatArray
    settings: LockInSettings
    time_s: float
    scale: float
    """Of all amplitudes: the largest has it times its limit."""
    alpha: FloatArray
    error: float
    shares: dict[str, float]


class _Points:
    """What the device does at some points, and how many of them may miss."""

    def __init__(
        self, need: GradientRequirements, volts: FloatArray, misses: int, rng: np.random.Generator | None
    ) -> None:
        self.need, self.volts, self.misses = need, volts, misses
        self.slopes = self._gradients(volts)
        self.sizes = np.linalg.norm(self.slopes, axis=1)
        if not np.all(self.sizes > 0.0):
            raise InputError("voltages", int(np.argmin(self.sizes)), "has a vanishing gradient", "leave this point out")
        self.luck = None if rng is None else rng.normal(size=self.slopes.shape)
        turns = sobol(need.n, np.random.default_rng(need.seed), _PAIRS)
        self.angles = 2.0 * np.pi * np.concatenate([turns, turns + 0.5])  # pairs d and -d: odd orders vanish
        self.shaped(np.broadcast_to(np.asarray(need.amplitude_limit_V, dtype=float), (need.n,)))

    def shaped(self, shape: FloatArray) -> None:
        """Dither with the largest amplitudes `shape`, V, (n,)."""
        self.shape, self._biases = np.array(shape), dict[int, FloatArray]()

    def over(self, norms: FloatArray) -> FloatArray:
        """Errors at the points (s, m) as one, (s,): the rms, or of a share the largest that is no miss."""
        if self.need.share is None:
            return np.asarray(np.sqrt(np.mean(norms**2, axis=1)))
        return np.asarray(np.sort(norms, axis=1)[:, -1 - self.misses])

    def _gradients(self, volts: FloatArray) -> FloatArray:
        values = np.asarray(self.need.gradient(volts), dtype=float)
        if values.shape != (len(volts), self.need.n) or not np.all(np.isfinite(values)):
            raise InputError(
                "gradient", values.shape, f"is no finite array for {len(volts)} points and {self.need.n} controls",
                "map (m, n_terminals) voltages to (m, n) gradients; keep voltage plus dither in range",
            )  # fmt: skip
        return values

    def bias(self, alpha: FloatArray) -> FloatArray:
        """Averaged less exact gradient at all points, (m, n)."""
        if self.need.output is not None:
            tones, terminals = _unit_tones(self.need.n, bool(self.need.corrected)), list(self.need.terminals)
            dither, correction = DitherPlan(tones, tuple(alpha)), _CORRECTION[bool(self.need.corrected)]
            fewest = _PER_PERIOD_CORRECTED if self.need.corrected else _PER_PERIOD
            samples = max(fewest, math.ceil(_SAMPLES / max(dither.multiples)))
            averages = [
                common_period_average(self.need.output, p, dither, samples, terminals, correction) for p in self.volts
            ]
            return np.array(averages) - self.slopes
        offsets = alpha * np.sin(self.angles)
        weights = 2.0 * np.cos(self.angles) ** 2
        biases = []
        for point, slope in zip(self.volts, self.slopes, strict=True):
            volts = np.tile(point, (len(offsets), 1))
            volts[:, list(self.need.terminals)] += offsets
            biases.append(np.mean(weights * (self._gradients(volts) - slope), axis=0))
        return np.array(biases)

    @property
    def order(self) -> float:
        """The power of the amplitude that a bias grows with, where it is small."""
        return 4.0 if self.need.corrected else 2.0

    def _tabulated(self, k: int) -> FloatArray:
        """`bias` at one of the scales; of the lowest third by Taylor."""
        third = _SCALES // 3
        if k < third:
            return np.asarray(self._tabulated(third) * (_SCALED[k] / _SCALED[third]) ** self.order)
        if k not in self._biases:
            self._biases[k] = self.bias(_SCALED[k] * self.shape)
        return self._biases[k]

    def biases(self, scales: FloatArray) -> FloatArray:
        """`bias` at scales (s,), between those tabulated as alpha^`order`, (s, m, n)."""
        found, order = [], self.order
        for scale in scales:
            k = int(np.clip(np.searchsorted(_SCALED, scale * (1.0 + 1e-12)) - 1, 0, _SCALES - 2))
            share = (scale**order - _SCALED[k] ** order) / (_SCALED[k + 1] ** order - _SCALED[k] ** order)
            ends = [(1.0 - share, k), (share, k + 1)]
            found.append(sum(part * self._tabulated(at) for part, at in ends if abs(part) > 1e-9))
        return np.array(found)


@cache
def _unit_tones(n: int, corrected: bool) -> tuple[float, ...]:
    """Tones on a Golomb ruler of 1 Hz, as low as may be; those that are free for corrections."""
    if corrected:
        return tuple(float(mark) for mark in free_tones(n))
    return plan_frequencies(n, None, 1.0).frequencies_Hz


class _Search:
    """The device's part of the error, found once, and the search over all else."""

    def __init__(self, need: GradientRequirements, shaped_as: _Search | None = None) -> None:
        self.need = need
        self.unit_tones = np.array(_unit_tones(need.n, bool(need.corrected)))
        self.limits = np.broadcast_to(np.asarray(need.amplitude_limit_V, dtype=float), (need.n,))
        self.tried = _SCALES // 3 + 1
        points = np.asarray(need.voltages, dtype=float)
        choosing = len(points) - need.judging
        if choosing == 0:
            self.chooses = self.judges = _Points(need, points, 0, None)
            self._shape_amplitudes(shaped_as)
            return
        misses = need.misses * choosing // need.judging
        self.chooses = self.judges = _Points(need, points[:choosing], misses, None)
        self._shape_amplitudes(shaped_as)
        self.judges = _Points(need, points[choosing:], need.misses, np.random.default_rng([need.seed, choosing]))
        self.judges.shaped(self.chooses.shape)

    def _shape_amplitudes(self, shaped_as: _Search | None) -> None:
        """Amplitudes of their own for few controls: B_k = sum_j M_kj alpha_j^2 fitted where the best equal ones are.

        Those of a corrected reading are in the proportions of another search's.
        """
        if self.need.corrected:
            if shaped_as is not None:
                self.chooses.shaped(shaped_as.chooses.shape)
            return
        found, at = self.fastest(), self.chooses
        if not 1 < self.need.n <= _MANY or found is None:
            return
        alpha, here = found.alpha, at.bias(found.alpha)
        grown = np.empty((self.need.n, *here.shape))
        for k in range(self.need.n):
            other = alpha.copy()
            other[k] *= 0.8
            grown[k] = (here - at.bias(other)) / (alpha[k] ** 2 - other[k] ** 2)
        noise = self.noise(found.tones, found.settings, found.time_s)
        kept = np.argsort(np.linalg.norm(here, axis=1) / at.sizes)[: len(here) - at.misses]

        def cost(log_factor: FloatArray) -> float:
            a = alpha * np.exp(log_factor)
            bias = np.einsum("kmn,k->mn", grown[:, kept], a**2)
            return float(np.mean((np.sum(bias**2, axis=1) + np.sum((noise / a) ** 2)) / at.sizes[kept] ** 2))

        bounds = [(-1.5, min(1.5, math.log(limit / a))) for a, limit in zip(alpha, self.limits, strict=True)]
        better = minimize(cost, np.zeros(self.need.n), bounds=bounds)
        before, equal = found.time_s, copy(at)
        shape = alpha * np.exp(better.x)
        at.shaped(shape / np.max(shape / self.limits))
        found = self.fastest()
        if found is None or found.time_s > before:  # the fit was no good: equal ones it is
            self.chooses = self.judges = equal

    # -- one reading ---------------------------------------------------------------------------------------------------

    def noise(self, tones: FloatArray, settings: LockInSettings, time_s: float) -> FloatArray:
        """Standard deviation of each gradient times its amplitude, (n,)."""
        front_end = self.need.front_end
        own = front_end.noise(tones, self.need.density(tones), settings, time_s)
        if not self.need.corrected:
            return own
        controls, products, weights = zip(*correction_readings(self.need.n), strict=True)
        at, before = np.abs(np.array(products) @ tones), replace(front_end, noise_psd=0.0)
        variance = own**2
        added = (np.array(weights) * before.noise(at, self.need.density(at), settings, time_s)) ** 2
        np.add.at(variance, list(controls), added / self.need.windows)
        return np.asarray(np.sqrt(variance))

    def judged(
        self, at: _Points, tones: FloatArray, settings: LockInSettings, time_s: float, scales: FloatArray
    ) -> list[_Reading]:
        """A reading at some points with several scales of the amplitudes (s,)."""
        front_end, slopes, n = self.need.front_end, at.slopes, self.need.n
        alphas, biases = scales[:, None] * at.shape, at.biases(scales)
        settled = float(filtered_tone(settings, 0.0, time_s).real)
        transfer = np.asarray(front_end.transfer(tones))
        pairs = np.zeros((n, n))
        image = at_tone = np.zeros(n)
        if settings.window == "rc":  # random phases: half of the squares; |F| of the distance and of the sum
            apart = np.abs(filtered_tone(settings, tones[:, None] - tones[None, :], time_s)) ** 2
            together = np.abs(filtered_tone(settings, tones[:, None] + tones[None, :], time_s)) ** 2
            pairs = (apart + together) * ~np.eye(n, dtype=bool)
            image, at_tone = np.diag(together), np.abs(filtered_tone(settings, tones, time_s)) ** 2
        each = alphas[:, None, :]
        constant = 2.0 * (front_end.offset + front_end.passed * self.need.background) * settled
        stray = 2.0 * np.pi * tones * np.asarray(front_end.stray_F) * -transfer.imag
        systematic = {
            "amplitude": biases,
            "settling": (settled - 1.0) * slopes,
            "droop": (transfer.real - 1.0) * slopes,
            "offset": constant / each,
            "stray": stray,
        }
        random = {
            "crosstalk": 0.5 * (slopes * each) ** 2 @ pairs.T / each**2,
            "ripple": 0.5 * slopes**2 * image + 2.0 * (self.need.background / each) ** 2 * at_tone,
            "noise": (self.noise(tones, settings, time_s) / each) ** 2,
        }

        def size(squares: Any) -> FloatArray:
            spread = np.broadcast_to(squares, (len(alphas), *slopes.shape))
            return at.over(np.sqrt(np.sum(spread, axis=2)) / at.sizes)

        steady, scatter = sum(systematic.values()), sum(random.values())
        total = size(steady**2 + scatter if at.luck is None else (steady + at.luck * np.sqrt(scatter)) ** 2)
        shares = {name: size(np.square(values)) for name, values in systematic.items()}
        shares |= {name: size(squares) for name, squares in random.items()}
        return [
            _Reading(tones, settings, time_s, float(scales[k]), alpha, float(total[k]),
                     {name: float(v[k]) for name, v in shares.items()})
            for k, alpha in enumerate(alphas)
        ]  # fmt: skip

    def table(self, tones: FloatArray, settings: LockInSettings, time_s: float) -> list[_Reading]:
        """Readings with all scales up to one that is far too large; larger ones would cost the device's time."""
        while True:
            found = self.judged(self.chooses, tones, settings, time_s, _SCALED[: self.tried])
            if self.tried == _SCALES or found[-1].error > _TOO_LARGE * min(reading.error for reading in found):
                return found
            self.tried += 1

    def _refined(self, tones: FloatArray, settings: LockInSettings, time_s: float) -> _Reading:
        """The reading with the best amplitude: of the table, then between its entries, where bias ~ alpha^2."""
        table = self.table(tones, settings, time_s)
        best = int(np.argmin([reading.error for reading in table]))
        low, high = max(best - 1, 0), min(best + 1, len(table) - 1)
        finer = self.judged(self.chooses, tones, settings, time_s, np.geomspace(_SCALED[low], _SCALED[high], 17))
        return min([table[best], *finer], key=lambda reading: reading.error)

    # -- all readings --------------------------------------------------------------------------------------------------

    def _tones(self, spacing_Hz: float) -> FloatArray | None:
        """Tones on a Golomb ruler of the spacing within the band, as low as may be."""
        if self.need.band_Hz is None:
            return spacing_Hz * self.unit_tones
        if self.need.corrected:
            tones, (low, high) = spacing_Hz * self.unit_tones, self.need.band_Hz
            return tones if low <= tones[0] and tones[-1] <= high else None
        try:
            return np.array(plan_frequencies(self.need.n, self.need.band_Hz, spacing_Hz).frequencies_Hz)
        except InputError:
            return None

    @cached_property
    def _widest_spacing(self) -> float:
        """Largest spacing with which tones fit the band, Hz; 0 where none does."""
        assert self.need.band_Hz is not None
        if self.need.corrected:
            return float(self.need.band_Hz[1] / self.unit_tones[-1])
        try:
            return widest_tones(self.need.n, self.need.band_Hz)[0]
        except InputError:
            return 0.0

    def _readings(self, time_s: float) -> Iterator[tuple[FloatArray, LockInSettings]]:
        """Tones and filters to try in a time."""
        few = self.need.n <= _MANY
        for name in self.need.filters:
            if name == "boxcar":
                factors = [1.0, 10.0, 100.0]
                if self.need.band_Hz is not None:  # as far apart as the band allows, in whole multiples of 1/T
                    factors = [max(1.0, math.floor(self._widest_spacing * time_s))]
                for factor in factors:
                    tones = self._tones(factor / time_s)
                    if tones is not None:
                        yield tones, LockInSettings(time_s, window="boxcar")
                continue
            if self.need.corrected:
                continue
            for ratio in np.geomspace(2.5, 22.0, 10 if few else 6):
                settings = LockInSettings(time_s / float(ratio), int(name))
                if self.need.band_Hz is not None:
                    tones = self._tones(self._widest_spacing) if self._widest_spacing else None
                    if tones is not None:
                        yield tones, settings
                    continue
                for factor in _WIDER if few else (10.0, 100.0):
                    yield factor / settings.time_constant * self.unit_tones, settings

    def best(self, time_s: float, judged: bool = True) -> _Reading | None:
        """The reading of the smallest error in a time where points choose, judged or not; None where no tones fit."""
        tried = [
            min(self.table(tones, settings, time_s), key=lambda reading: reading.error)
            for tones, settings in self._readings(time_s)
        ]
        if not tried:
            return None
        first = min(tried, key=lambda reading: reading.error)
        best = self._refined(first.tones, first.settings, time_s)
        if self.judges is self.chooses or not judged:
            return best
        return self.judged(self.judges, best.tones, best.settings, time_s, np.array([best.scale]))[0]

    def fastest(self, judged: bool = True) -> _Reading | None:
        """The shortest reading of the wanted error, where points judge or where they choose; or None."""

        def ask(log_time: float) -> _Reading | None:
            best = self.best(math.exp(log_time), judged)
            return None if best is None or best.error > self.need.error else best

        low = high = math.log(self.need.longest_s)
        found = self.best(self.need.longest_s, judged)
        if found is None or found.error > self.need.error:
            return None
        while low > high - 40.0:  # steps of 20 until it fails, then halves
            low -= 3.0
            shorter = ask(low)
            if shorter is None:
                break
            found, high = shorter, low
        return narrowed(ask, low, high, found)

    def relaxed(self, **changes: Any) -> _Search:
        """The same search with other requirements, none of them on the device."""
        other = copy(self)
        other.__dict__.pop("_widest_spacing", None)
        other.need = replace(self.need, **changes)
        return other

    def sensitivities(self, found: _Reading) -> dict[str, float]:
        """By how much (relative) the error falls for each requirement a tenth less strict, largest first."""
        need, psd, changes = self.need, self.need.psd, {}
        changes["psd"] = self.relaxed(psd=(lambda f: np.asarray(psd(f)) / 1.1) if callable(psd) else psd / 1.1)
        if need.band_Hz is not None:
            changes["band_Hz"] = self.relaxed(band_Hz=(need.band_Hz[0] / 1.1, 1.1 * need.band_Hz[1]))
        for name in ("offset", "stray_F"):
            if np.any(getattr(need.front_end, name)):
                less = (np.asarray(getattr(need.front_end, name)) / 1.1).tolist()
                changes[name] = self.relaxed(front_end=replace(need.front_end, **{name: less}))
        if np.any(found.alpha > 0.9 * self.limits):
            changes["amplitude_limit_V"] = wider = self.relaxed()
            wider.chooses = wider.judges = copy(self.chooses)
            wider.chooses.shaped(1.1 * self.chooses.shape)
            if self.judges is not self.chooses:
                wider.judges = copy(self.judges)
                wider.judges.shaped(wider.chooses.shape)

        def best_error(search: _Search) -> float:
            better = search.best(found.time_s)
            return math.inf if better is None else better.error

        gained = {"amplitude_limit_V": 0.0, **gains(found.error, changes, best_error)}
        return dict(sorted(((name, max(0.0, gain)) for name, gain in gained.items()), key=lambda item: -item[1]))
