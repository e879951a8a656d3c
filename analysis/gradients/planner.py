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
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from inmateria.checks import FloatArray, positive
from inmateria.errors import InputError
from lockin.averages import common_period_average, sobol
from lockin.error_budget import FrontEnd
from lockin.filter_response import filtered_tone
from lockin.plan import DitherPlan, plan_frequencies
from lockin.planning import gains, narrowed, safe_loop_gain, widest_tones
from lockin.settings import LockInSettings

Gradients = Callable[[FloatArray], FloatArray]
FILTERS = ("boxcar", "6", "12", "18", "24")
_PAIRS = 32
"""Antithetic pairs of phases in the average over the dither."""
_SCALES = 15
"""Amplitudes tried, down to a thousandth of the limit; of the lowest third the device is not asked."""
_PER_PERIOD = 12
"""Samples in a period of the highest tone, where the output is averaged."""
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
        Points at which the error counts, V: their rms.
    terminals : sequence of int
        Which terminal each of the n controls is.
    error : float
        Wanted |reading - gradient| / |gradient|, rms.
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
    seed : int, optional
        Of the phases.

    Raises
    ------
    InputError
        When built with values that make no sense.
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
        Predicted |reading - gradient| / |gradient|.
    shares : dict of str to float
        The same for each term by itself, largest first.
    learning_rate : float or None
        eta of dw/dt = -eta dE/dw, V/s per unit/V, with a gain margin of 3.
    binding : str
        The largest term.
    sensitivities : dict of str to float
        By how much (relative) the error falls for each requirement relaxed by a tenth, largest first.
    amplitude_curve : ndarray, shape (a, 4)
        Amplitudes (mean over the controls, V), error, its part from noise, its part from the amplitude; at `time_s`.
    time_curve : ndarray, shape (t, 2)
        Time of reading (s) and the smallest error in that time.
    """

    requirements: GradientRequirements
    dither: DitherPlan
    settings: LockInSettings
    time_s: float
    error: float
    shares: dict[str, float]
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
    found = search.fastest()
    if found is None:
        best = search.best(requirements.longest_s)
        if best is None:
            raise InputError(
                "band_Hz", requirements.band_Hz, f"has no room for {requirements.n} tones",
                f"widen it, or allow more than {requirements.longest_s:g} s",
            )  # fmt: skip
        worst = max(best.shares, key=lambda name: best.shares[name])
        raise InputError(
            "error", requirements.error,
            f"is not reached in {requirements.longest_s:g} s: {best.error:.3g} at best, mostly {worst}",
            f"ask for {1.05 * best.error:.2g}, or change what makes the {worst}",
        )  # fmt: skip
    return _planned(search, found)


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
    alpha: FloatArray
    error: float
    shares: dict[str, float]


class _Search:
    """The device's part of the error, found once, and the search over all else."""

    def __init__(self, need: GradientRequirements) -> None:
        self.need = need
        self.limits = np.broadcast_to(np.asarray(need.amplitude_limit_V, dtype=float), (need.n,))
        self.points = np.asarray(need.voltages, dtype=float)
        self.slopes = self._gradients(self.points)
        self.sizes = np.linalg.norm(self.slopes, axis=1)
        if not np.all(self.sizes > 0.0):
            raise InputError("voltages", int(np.argmin(self.sizes)), "has a vanishing gradient", "leave this point out")
        turns = sobol(need.n, np.random.default_rng(need.seed), _PAIRS)
        self.angles = 2.0 * np.pi * np.concatenate([turns, turns + 0.5])  # pairs d and -d: odd orders vanish
        self.shape = self.limits.copy()
        self.scales = np.logspace(-3.0, 0.0, _SCALES)
        self._tabulate()
        self._shape_amplitudes()

    # -- the device ----------------------------------------------------------------------------------------------------

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
            dither, terminals = DitherPlan(tuple(self._unit_tones), tuple(alpha)), list(self.need.terminals)
            averages = [common_period_average(self.need.output, p, dither, _PER_PERIOD, terminals) for p in self.points]
            return np.array(averages) - self.slopes
        offsets = alpha * np.sin(self.angles)
        weights = 2.0 * np.cos(self.angles) ** 2
        biases = []
        for point, slope in zip(self.points, self.slopes, strict=True):
            volts = np.tile(point, (len(offsets), 1))
            volts[:, list(self.need.terminals)] += offsets
            biases.append(np.mean(weights * (self._gradients(volts) - slope), axis=0))
        return np.array(biases)

    def _tabulate(self) -> None:
        third = _SCALES // 3
        asked = [self.bias(scale * self.shape) for scale in self.scales[third:]]
        below = [asked[0] * (scale / self.scales[third]) ** 2 for scale in self.scales[:third]]  # Taylor's range
        self.biases = np.array([*below, *asked])

    def _shape_amplitudes(self) -> None:
        """Amplitudes of their own for few controls: B_k = sum_j M_kj alpha_j^2 fitted where the best equal ones are."""
        found = self.fastest()
        if not 1 < self.need.n <= _MANY or found is None:
            return
        alpha, at = found.alpha, self.bias(found.alpha)
        grown = np.empty((self.need.n, *at.shape))
        for k in range(self.need.n):
            other = alpha.copy()
            other[k] *= 0.8
            grown[k] = (at - self.bias(other)) / (alpha[k] ** 2 - other[k] ** 2)
        noise = self.noise(found.tones, found.settings, found.time_s)

        def cost(log_factor: FloatArray) -> float:
            a = alpha * np.exp(log_factor)
            bias = np.einsum("kmn,k->mn", grown, a**2)
            return float(np.mean((np.sum(bias**2, axis=1) + np.sum((noise / a) ** 2)) / self.sizes**2))

        bounds = [(-1.5, min(1.5, math.log(limit / a))) for a, limit in zip(alpha, self.limits, strict=True)]
        better = minimize(cost, np.zeros(self.need.n), bounds=bounds)
        before, kept = found.time_s, (self.shape, self.biases)
        shape = alpha * np.exp(better.x)
        self.shape = shape / np.max(shape / self.limits)
        self._tabulate()
        found = self.fastest()
        if found is None or found.time_s > before:  # the fit was no good: equal ones it is
            self.shape, self.biases = kept

    # -- one reading ---------------------------------------------------------------------------------------------------

    def noise(self, tones: FloatArray, settings: LockInSettings, time_s: float) -> FloatArray:
        """Standard deviation of each gradient times its amplitude, (n,)."""
        front_end = self.need.front_end
        return front_end.noise(tones, self.need.density(tones), settings, time_s)

    def judged(
        self, tones: FloatArray, settings: LockInSettings, time_s: float, alphas: FloatArray, biases: FloatArray
    ) -> list[_Reading]:
        """A reading with several sets of amplitudes (s, n), whose biases at the points are (s, m, n)."""
        front_end, slopes, n = self.need.front_end, self.slopes, self.need.n
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
            return np.asarray(np.sqrt(np.mean(np.sum(spread, axis=2) / self.sizes**2, axis=1)))

        total = size(sum(systematic.values()) ** 2 + sum(random.values()))
        shares = {name: size(np.square(values)) for name, values in systematic.items()}
        shares |= {name: size(squares) for name, squares in random.items()}
        return [
            _Reading(tones, settings, time_s, alpha, float(total[k]), {name: float(v[k]) for name, v in shares.items()})
            for k, alpha in enumerate(alphas)
        ]

    def table(self, tones: FloatArray, settings: LockInSettings, time_s: float) -> list[_Reading]:
        return self.judged(tones, settings, time_s, self.scales[:, None] * self.shape, self.biases)

    def _refined(self, tones: FloatArray, settings: LockInSettings, time_s: float) -> _Reading:
        """The reading with the best amplitude: of the table, then between its entries, where bias ~ alpha^2."""
        table = self.table(tones, settings, time_s)
        best = int(np.argmin([reading.error for reading in table]))
        low, high = max(best - 1, 0), min(best + 1, _SCALES - 1)
        scales = np.geomspace(self.scales[low], self.scales[high], 17)
        k = np.clip(np.searchsorted(self.scales, scales, side="right") - 1, 0, _SCALES - 2)
        share = (scales**2 - self.scales[k] ** 2) / (self.scales[k + 1] ** 2 - self.scales[k] ** 2)
        biases = (1.0 - share)[:, None, None] * self.biases[k] + share[:, None, None] * self.biases[k + 1]
        finer = self.judged(tones, settings, time_s, scales[:, None] * self.shape, biases)
        return min([table[best], *finer], key=lambda reading: reading.error)

    # -- all readings --------------------------------------------------------------------------------------------------

    def _tones(self, spacing_Hz: float) -> FloatArray | None:
        """Tones on a Golomb ruler of the spacing within the band, as low as may be."""
        if self.need.band_Hz is None:
            return spacing_Hz * self._unit_tones
        try:
            return np.array(plan_frequencies(self.need.n, self.need.band_Hz, spacing_Hz).frequencies_Hz)
        except InputError:
            return None

    @cached_property
    def _unit_tones(self) -> FloatArray:
        return np.array(plan_frequencies(self.need.n, None, 1.0).frequencies_Hz)

    @cached_property
    def _widest_spacing(self) -> float:
        """Largest spacing with which tones fit the band, Hz; 0 where none does."""
        assert self.need.band_Hz is not None
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
            for ratio in np.geomspace(2.5, 22.0, 10 if few else 6):
                settings = LockInSettings(time_s / float(ratio), int(name))
                if self.need.band_Hz is not None:
                    tones = self._tones(self._widest_spacing) if self._widest_spacing else None
                    if tones is not None:
                        yield tones, settings
                    continue
                for factor in _WIDER if few else (10.0, 100.0):
                    yield factor / settings.time_constant * self._unit_tones, settings

    def best(self, time_s: float) -> _Reading | None:
        """The reading of the smallest error in a time; None where no tones fit."""
        tried = [
            min(self.table(tones, settings, time_s), key=lambda reading: reading.error)
            for tones, settings in self._readings(time_s)
        ]
        if not tried:
            return None
        first = min(tried, key=lambda reading: reading.error)
        return self._refined(first.tones, first.settings, time_s)

    def fastest(self) -> _Reading | None:
        """The shortest reading of the wanted error, or None."""

        def ask(log_time: float) -> _Reading | None:
            best = self.best(math.exp(log_time))
            return None if best is None or best.error > self.need.error else best

        low = high = math.log(self.need.longest_s)
        found = self.best(self.need.longest_s)
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
            wider.shape = 1.1 * self.shape
            wider._tabulate()

        def best_error(search: _Search) -> float:
            better = search.best(found.time_s)
            return math.inf if better is None else better.error

        gained = {"amplitude_limit_V": 0.0, **gains(found.error, changes, best_error)}
        return dict(sorted(((name, max(0.0, gain)) for name, gain in gained.items()), key=lambda item: -item[1]))
