"""Dither plans: which tone, how strong, at which phase, on each perturbed terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, count, finite, positive
from inmateria.errors import InputError
from lockin.collisions import collisions, smallest_distance
from lockin.rulers import golomb_ruler

_LARGEST_MULTIPLE = 1_000_000  # tones are sought as multiples of a common base up to this
_SAME_RATIO = 2e-15  # relative; a ratio of two products k * spacing is right to 4e-16


@dataclass(frozen=True)
class DitherPlan:
    """Sinusoidal perturbations, one per perturbed terminal: alpha_k sin(2 pi f_k t + phase_k).

    Any sequence of numbers is taken and kept as a tuple of floats.

    Attributes
    ----------
    frequencies_Hz : tuple of float, n
        Tones f_k, Hz: positive, finite, distinct.
    amplitudes_V : tuple of float, n
        PEAK amplitudes alpha_k, V (rms is peak / sqrt 2): positive, finite.
    phases_rad : tuple of float, n, optional
        Phases, rad; left out: all zero.

    Raises
    ------
    InputError
        When built with values that do not hold to the above.
    """

    frequencies_Hz: tuple[float, ...]
    amplitudes_V: tuple[float, ...]
    phases_rad: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Turn the fields into tuples of floats and check them."""
        tones = _floats("frequencies_Hz", self.frequencies_Hz, "Hz")
        peaks = _floats("amplitudes_V", self.amplitudes_V, "V")
        phases = _floats("phases_rad", self.phases_rad, "rad") or (0.0,) * len(tones)
        if not tones:
            raise InputError("frequencies_Hz", tones, "is empty", "give at least one tone, in Hz")
        for field, values in (("amplitudes_V", peaks), ("phases_rad", phases)):
            if len(values) != len(tones):
                problem = f"has {len(values)} values for {len(tones)} tones"
                raise InputError(field, values, problem, "give one for each frequency")
        for index, tone in enumerate(tones):
            positive(f"frequencies_Hz[{index}]", tone, "Hz")
            positive(f"amplitudes_V[{index}]", peaks[index], "V")
            finite(f"phases_rad[{index}]", phases[index], "rad")
        if len(set(tones)) != len(tones):
            twice = next(tone for tone in tones if tones.count(tone) > 1)
            raise InputError("frequencies_Hz", twice, "is there twice", "give each terminal a tone of its own")
        object.__setattr__(self, "frequencies_Hz", tones)
        object.__setattr__(self, "amplitudes_V", peaks)
        object.__setattr__(self, "phases_rad", phases)

    @property
    def n(self) -> int:
        """Number of tones."""
        return len(self.frequencies_Hz)

    @property
    def spacing_Hz(self) -> float:
        """Smallest distance between two tones, Hz; infinite for a single tone."""
        return smallest_distance(np.asarray(self.frequencies_Hz))

    @property
    def multiples(self) -> tuple[int, ...]:
        """The tones as whole multiples of their greatest common base 1 / `common_period_s`.

        Raises
        ------
        InputError
            When the tones have no common base (up to a million times it, to 15 digits).
        """
        first, fix = self.frequencies_Hz[0], "take whole multiples of one spacing, as plan_frequencies does"
        ratios = []
        for tone in self.frequencies_Hz:
            ratio = Fraction(tone / first).limit_denominator(_LARGEST_MULTIPLE)
            if abs(float(ratio) - tone / first) > _SAME_RATIO * (tone / first):
                raise InputError("frequencies_Hz", (first, tone), "have no common period", fix)
            ratios.append(ratio)
        denominator = math.lcm(*(r.denominator for r in ratios))
        whole = [r.numerator * (denominator // r.denominator) for r in ratios]
        common = reduce(math.gcd, whole)
        multiples = tuple(w // common for w in whole)
        if max(multiples) > _LARGEST_MULTIPLE:
            raise InputError("frequencies_Hz", self.frequencies_Hz, "have no common period of practical length", fix)
        return multiples

    @property
    def common_period_s(self) -> float:
        """Shortest time that holds whole periods of all tones, s, found in rational arithmetic.

        Over this time all tones and all their products are orthogonal.

        Raises
        ------
        InputError
            When the tones have no common base.
        """
        multiples = self.multiples
        return max(multiples) / max(self.frequencies_Hz)

    def waveform(self, t: ArrayLike) -> FloatArray:
        """Return the perturbations alpha_k sin(2 pi f_k t + phase_k).

        Parameters
        ----------
        t : array_like, shape (m,)
            Times, s.

        Returns
        -------
        ndarray, shape (n, m)
            Voltages, V.
        """
        time = np.atleast_1d(np.asarray(t, dtype=np.float64))
        angle = 2.0 * np.pi * np.outer(self.frequencies_Hz, time) + np.asarray(self.phases_rad)[:, None]
        return np.asarray(np.asarray(self.amplitudes_V)[:, None] * np.sin(angle), dtype=np.float64)

    def scaled(self, factor: float) -> DitherPlan:
        """Return the plan with all amplitudes times `factor` (above 0), for annealing."""
        factor = positive("factor", factor, "1 (a ratio)")
        return replace(self, amplitudes_V=tuple(factor * peak for peak in self.amplitudes_V))

    def check(self, bandwidth_Hz: float) -> None:
        """Raise unless all products up to third order keep at least `bandwidth_Hz` off the tones.

        Parameters
        ----------
        bandwidth_Hz : float
            Half width of the lock-in's filter, Hz; 1/T for a boxcar of length T.

        Raises
        ------
        InputError
            Names the products that collide (see `lockin.collisions`).
        """
        found = collisions(self.frequencies_Hz, bandwidth_Hz)
        if found:
            shown = ", ".join(f"{c.product} on f{c.tone} (off by {c.distance_Hz:.4g} Hz)" for c in found[:8])
            more = f" and {len(found) - 8} more" if len(found) > 8 else ""
            problem = f"{len(found)} products within {bandwidth_Hz:g} Hz of a tone: {shown}{more}"
            fix = f"take plan_frequencies({self.n}, None, spacing_Hz={bandwidth_Hz or 1.0:g}) or a narrower filter"
            raise InputError("frequencies_Hz", self.frequencies_Hz, problem, fix)


def plan_frequencies(
    n: int,
    band: tuple[float, float] | None,
    spacing_Hz: float,
    amplitude_V: float | Sequence[float] = 0.01,
    avoid: Sequence[float] = (),
    avoid_within_Hz: float | None = None,
) -> DitherPlan:
    """Plan `n` tones that no product up to third order of any two or three of them meets.

    The tones are a Golomb ruler (Sidon set) times the spacing, shifted into one octave. Then sums (at least
    2 f_min > f_max), differences (at most f_max - f_min < f_min), 3 f and 2 f_i + f_j lie outside the band,
    and 2 f_i - f_j or f_i + f_j - f_k equals a tone only where the Sidon property allows: f_k + f_j - f_j.

    All tones are whole multiples of `spacing_Hz` (so `band`'s low edge is in effect rounded up), hence a
    window of 1 / spacing_Hz makes all tones and all products of whatever order orthogonal: what does not fall
    on a tone exactly, is not seen at all. Without a band the lowest octave is taken: f_min = (L + 1) spacing
    and f_max = (2 L + 1) spacing, with L the length of the ruler (1, 3, 6, 11, 17, 25, 34, 44, 55, 72, 85,
    106 for n = 2 to 13; optimal up to 16, below n^2 above). With one, the lowest place within it.

    Products of the fourth order (3 f_i - f_j) can still meet a tone in the lowest octave; they cannot where
    f_min > 2 (f_max - f_min), that is with a band from (2 L + 1) spacing up. From the fifth order on
    (3 f_i - 2 f_j) some may, wherever the band lies. With all phases 0, as here, products of
    even order are cosines and reach the quadrature output only.

    Parameters
    ----------
    n : int
        Number of tones.
    band : tuple of float or None
        Lowest and highest frequency allowed, Hz; None: from 0 up.
    spacing_Hz : float
        Smallest distance of a product from a tone it does not belong to, and the common divisor of the tones,
        Hz.
    amplitude_V : float or sequence of float, optional
        Peak amplitude of all tones or of each, V.
    avoid : sequence of float, optional
        Frequencies that the tones keep off, with all their harmonics (mains, pattern rate), Hz. Marks that
        fall on them are left out of a longer ruler, so the band grows; the search takes 1 s at n = 30,
        10 s at n = 100.
    avoid_within_Hz : float, optional
        Smallest distance from those harmonics, Hz; left out: half the spacing.

    Returns
    -------
    DitherPlan
        Increasing tones with phases 0.

    Raises
    ------
    InputError
        When an argument makes no sense; when the band is too narrow (the message says which band or which
        spacing would do); when no tones that keep off `avoid` are found.

    References
    ----------
    W. C. Babcock, "Intermodulation interference in radio systems", Bell Syst. Tech. J. 32 (1953) 63.
    """
    n = count("n", n)
    spacing = positive("spacing_Hz", spacing_Hz, "Hz")
    off = tuple(positive(f"avoid[{i}]", a, "Hz") for i, a in enumerate(avoid))
    clearance = spacing / 2.0 if avoid_within_Hz is None else positive("avoid_within_Hz", avoid_within_Hz, "Hz")
    peaks = _amplitudes(amplitude_V, n)
    low, high = (0.0, math.inf) if band is None else _band(band)
    multiples = _place(n, low, high, spacing, off, clearance)
    if multiples is None:
        raise _refusal(n, band, spacing, off, clearance)
    return DitherPlan(tuple(m * spacing for m in multiples), peaks)


def _place(
    n: int, low: float, high: float, spacing: float, off: tuple[float, ...], clearance: float
) -> tuple[int, ...] | None:
    """Return the multiples of the spacing of the lowest plan found within the band, or None."""
    first = max(1, math.ceil(low / spacing * (1.0 - 1e-12)))
    last = math.floor(high / spacing * (1.0 + 1e-12)) if math.isfinite(high) else None
    ruler = golomb_ruler(n)
    start = max(first, ruler[-1] + 1)
    plain = tuple(start + mark for mark in ruler)
    if last is not None and plain[-1] > last:
        return None
    if not off or bool(np.all(_allowed(np.asarray(plain), spacing, off, clearance))):
        return plain
    best: tuple[int, ...] | None = None
    for marks in range(n, 2 * n + 8, 1 + n // 20):
        longer = np.asarray(golomb_ruler(marks))
        length = int(longer[-1])
        ceiling = last if best is None else best[-1] - 1
        shifts = np.arange(max(1, first - length), max(first, ruler[-1] + 1) + length + 64)
        if ceiling is not None:
            shifts = shifts[shifts + ruler[-1] <= ceiling]
        for turned in (longer, length - longer[::-1]):
            places = shifts[:, None] + turned[None, :]
            good = (places >= first) & _allowed(places, spacing, off, clearance)
            for row in np.flatnonzero(good.sum(axis=1) >= n):
                left = places[row][good[row]]
                begin, end = left[: left.size - n + 1], left[n - 1 :]
                fits = np.flatnonzero((end < 2 * begin) & (end <= (np.inf if ceiling is None else ceiling)))
                if fits.size:
                    best = tuple(int(place) for place in left[fits[0] : fits[0] + n])
                    ceiling = best[-1] - 1
    return best


def _allowed(places: np.ndarray, spacing: float, off: tuple[float, ...], clearance: float) -> np.ndarray:
    tones = places * spacing
    allowed = np.ones(places.shape, dtype=bool)
    for frequency in off:
        nearest = frequency * np.maximum(1.0, np.round(tones / frequency))
        allowed &= np.abs(tones - nearest) >= clearance - 1e-12 * tones
    return allowed


def _refusal(
    n: int, band: tuple[float, float] | None, spacing: float, off: tuple[float, ...], clearance: float
) -> InputError:
    """Say what would do instead: a wider band, or a smaller spacing (each tried before it is proposed)."""
    low, high = (0.0, math.inf) if band is None else band
    advice = []
    wide = _place(n, low, math.inf, spacing, off, clearance)
    if wide is not None and band is not None:
        advice.append(f"a band from {wide[0] * spacing!r} to {wide[-1] * spacing!r} Hz would do at this spacing")
    length = golomb_ruler(n)[-1]
    if band is not None and length > 0:
        fits_octave = low / (length + 1) <= high / (2 * length + 1)
        narrower = high / (2 * length + 1) if fits_octave else (high - low) / (length + 1)
        for _ in range(8 if narrower > 0.0 else 0):  # no spacing fits into a band without width
            tried = floor_digits(narrower)
            if _place(n, low, high, tried, off, clearance) is not None:
                advice.append(f"a spacing of {tried!r} Hz would do in this band")
                break
            narrower /= 1.5
    if not advice:
        problem = f"no {n} tones on multiples of {spacing:g} Hz keep {clearance:g} Hz off them"
        return InputError("avoid", off, problem, "take a smaller avoid_within_Hz or another spacing")
    problem = f"is too narrow for {n} tones {spacing:g} Hz apart without collisions"
    return InputError("band", band, problem, "; or ".join(advice))


def floor_digits(value: float, digits: int = 3) -> float:
    """A positive number rounded down to so many digits, so that it can be typed; one that has no more stays."""
    exponent = math.floor(math.log10(value)) - digits + 1
    return float(f"{math.floor(value / 10.0**exponent * (1 + 1e-12))}e{exponent}")


def _band(band: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = band
    except (TypeError, ValueError):
        raise InputError("band", band, "is not a pair", "give (lowest, highest) frequency in Hz, or None") from None
    low, high = finite("band[0]", low, "Hz"), finite("band[1]", high, "Hz")
    if not 0.0 <= low <= high:
        problem = "is no interval of positive frequencies"
        raise InputError("band", band, problem, "give (lowest, highest) frequency in Hz")
    return low, high


def _amplitudes(amplitude: float | Sequence[float], n: int) -> tuple[float, ...]:
    peaks = np.asarray(amplitude, dtype=np.float64)
    if peaks.ndim == 0:
        return (positive("amplitude_V", amplitude, "V"),) * n
    if peaks.shape != (n,):
        raise InputError("amplitude_V", amplitude, f"has shape {peaks.shape} for {n} tones", "give one or n of them")
    return tuple(positive(f"amplitude_V[{i}]", peak, "V") for i, peak in enumerate(peaks))


def _floats(field: str, values: Sequence[float], unit: str) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise InputError(field, values, "is not a sequence of numbers", f"give a tuple of floats, in {unit}") from None
