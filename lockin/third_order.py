"""What dither of finite amplitude adds to a gradient in third order, read from the same record and taken out.

With x_j = alpha_j sin t_j, t_j = 2 pi f_j t + phi_j, the output is

    y = f + sum g_i x_i + 1/2 sum H_ij x_i x_j + 1/6 sum T_ijk x_i x_j x_k + ...

Let X(t) be the amplitude of sin t in y, C(t) that of cos t. By sin^3 = (3 sin t - sin 3t)/4 and
sin t_i sin^2 t_j = sin t_i / 2 - [sin(t_i + 2 t_j) + sin(t_i - 2 t_j)] / 4,

    X(t_i)         = alpha_i (g_i + T_iii alpha_i^2/8 + sum_j T_ijj alpha_j^2/4),    j other than i,
    X(3 t_i)       = -alpha_i^3 T_iii/24,
    X(t_i +- 2 t_j) = -alpha_i alpha_j^2 T_ijj/8 each,

so that X(t_i) + 3 X(3 t_i) + sum_j [X(t_i + 2 t_j) + X(t_i - 2 t_j)] = alpha_i g_i. What is left of the gradient's
error falls with the fourth power of the amplitudes, and with the third where products of four tones happen to fall on a
reading. The second order gives all of the Hessian: C(2 t_i) = -H_ii alpha_i^2/4 and C(t_i - t_j) - C(t_i + t_j) =
H_ij alpha_i alpha_j.

With s_j = sin t_j all of it is one reference, 2 s_i (n + 4 - 2 sum_j s_j^2 - 4 s_i^2) in place of s_i (`references`).

Every reading brings its own noise: the corrected gradient of n tones has 1 + 9 + 2 (n - 1) times the variance in white
noise. `kept_correction` takes the mean of the corrections over windows, where they hardly change, and keeps as much as
exceeds their noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import combinations, combinations_with_replacement, product

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, count, record
from inmateria.errors import InputError
from lockin.choices import Correction
from lockin.demodulate import gradient, means
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings

Factors = tuple[int, ...]
"""A product of tones: the whole number in front of each t_j."""


def third_order_correction(
    plan: DitherPlan,
    time_s: ArrayLike,
    signal: ArrayLike,
    settings: LockInSettings,
    correction: Correction = "whole",
) -> FloatArray:
    """What is added to `gradient` of a record, so that the error of third order is gone.

    Parameters
    ----------
    plan : DitherPlan
        The tones that were applied, n of them, on whose readings no other product falls (`overlaps`).
    time_s, signal : array_like, shape (m,)
        The record, as for `gradient`; its points must resolve three times the highest tone.
    settings : LockInSettings
        Filter. A window of whole common periods is exact; poles let each other product through as far as they do.
        Its phase is that of the references at the tones, and turns those of their products as often as they count it.
    correction : {'none', 'diagonal', 'whole'}, optional
        Nothing; what 3 t_i reads; all.

    Returns
    -------
    ndarray, shape (n,)
        In the signal's unit per V.

    Raises
    ------
    InputError
        When the record cannot be used, is shorter than the window, or too coarse.
    """
    return correction_and_quadrature(plan, time_s, signal, settings, correction)[0]


def corrected_gradient(plan: DitherPlan, time_s: ArrayLike, signal: ArrayLike, settings: LockInSettings) -> FloatArray:
    """dy/dV_k for all tones of a plan, without the error of third order: `gradient` and `third_order_correction`.

    Parameters, result and errors as those.
    """
    return gradient(plan, time_s, signal, settings) + third_order_correction(plan, time_s, signal, settings)


def correction_and_quadrature(
    plan: DitherPlan,
    time_s: ArrayLike,
    signal: ArrayLike,
    settings: LockInSettings,
    correction: Correction = "whole",
) -> tuple[FloatArray, FloatArray]:
    """`third_order_correction`, and the rms of what the same references a quarter turn on read of the record.

    Parameters
    ----------
    plan, time_s, signal, settings, correction
        As for `third_order_correction`.

    Returns
    -------
    correction, quadrature : ndarray, shape (n,)
        In the signal's unit per V. Of a device that answers at once the quadrature has noise of the correction's
        variance, and what products of even order put on these readings.

    Raises
    ------
    InputError
        As `third_order_correction`.
    """
    n, peaks = plan.n, np.asarray(plan.amplitudes_V)
    added, squares = np.zeros(n), np.zeros(n)
    if readings := correction_readings(n, correction):
        sine, cosine = _read(plan, time_s, signal, settings, [factors for _, factors, _ in readings])
        for (k, _, weight), x, c in zip(readings, sine, cosine, strict=True):
            added[k] += weight * x
            squares[k] += (weight * c) ** 2
    return added / peaks, np.sqrt(squares) / peaks


def correction_readings(n: int, correction: Correction = "whole") -> list[tuple[int, Factors, float]]:
    """What is added to the gradient of each control: its number, the product of tones that is read, and its weight."""
    triple = [(i, _factors(n, {i: 3}), 3.0) for i in range(n)]
    pairs = [(i, j, sign) for i in range(n) for j in range(n) if j != i for sign in (2, -2)]
    others = [(i, _factors(n, {i: 1, j: sign}), 1.0) for i, j, sign in pairs]
    return {"none": [], "diagonal": triple, "whole": triple + others}[correction]


def dither_hessian(plan: DitherPlan, time_s: ArrayLike, signal: ArrayLike, settings: LockInSettings) -> FloatArray:
    """All second derivatives of the output, from the sums and differences of the tones in one record.

    Parameters
    ----------
    plan, time_s, signal, settings
        As for `third_order_correction`.

    Returns
    -------
    ndarray, shape (n, n)
        Symmetric; in the signal's unit per V^2, with an error of fourth order in the amplitudes, over their square.

    Raises
    ------
    InputError
        As `third_order_correction`.
    """
    n, peaks = plan.n, np.asarray(plan.amplitudes_V)
    _, double = _read(plan, time_s, signal, settings, [_factors(n, {i: 2}) for i in range(n)])
    found = np.diag(-4.0 * double / peaks**2)
    pairs = list(combinations(range(n), 2))
    if pairs:
        _, apart = _read(plan, time_s, signal, settings, [_factors(n, {i: 1, j: -1}) for i, j in pairs])
        _, together = _read(plan, time_s, signal, settings, [_factors(n, {i: 1, j: 1}) for i, j in pairs])
        for (i, j), value in zip(pairs, apart - together, strict=True):
            found[i, j] = found[j, i] = value / (peaks[i] * peaks[j])
    return found


def corrected_noise(n: int) -> float:
    """How much larger the standard deviation of a corrected gradient is in white noise: sqrt(8 + 2 n) for n tones."""
    return float(np.sqrt(8.0 + 2.0 * count("n", n, 1)))


def overlaps(multiples: Iterable[int]) -> list[tuple[Factors, Factors]]:
    """Products of tones, up to third order, that fall on what `gradient`, its correction or `dither_hessian` reads.

    Parameters
    ----------
    multiples : iterable of int
        The tones over their common base, as `DitherPlan.multiples`.

    Returns
    -------
    list of (read, other)
        Both as the whole numbers in front of the tones; empty for tones that are free of third-order collisions.

    Raises
    ------
    InputError
        For tones that are no positive whole numbers.
    """
    tones = tuple(count("multiples", tone, 1) for tone in multiples)
    n = len(tones)
    by_frequency: dict[int, list[Factors]] = {}
    products = _products(n)
    for factors, frequency in zip(products, np.abs(np.array(products) @ np.array(tones)).tolist(), strict=True):
        by_frequency.setdefault(frequency, []).append(factors)
    read = {_factors(n, {i: 1}) for i in range(n)} | {_factors(n, {i: 3}) for i in range(n)}
    read |= {_factors(n, {i: 2}) for i in range(n)}
    read |= {_upright(_factors(n, {i: 1, j: s})) for i in range(n) for j in range(n) if i != j for s in (1, -1, 2, -2)}
    return [
        (one, other)
        for there in by_frequency.values()
        for one in there
        if one in read
        for other in there
        if other != one
    ]


def references(sines: FloatArray, correction: Correction) -> FloatArray:
    """What to multiply an output with in place of the tones' sines (m, n), so that its mean is the corrected reading.

    By sin 3t = 3 s - 4 s^3 and sin(t_i + 2 t_j) + sin(t_i - 2 t_j) = 2 s_i (1 - 2 s_j^2): s_i + 3 sin 3 t_i is
    10 s_i - 12 s_i^3, and with the products of two tones it is 2 s_i (n + 4 - 2 sum_j s_j^2 - 4 s_i^2).
    """
    if correction == "none":
        return sines
    squares = sines**2
    if correction == "diagonal":
        return np.asarray(10.0 * sines - 12.0 * sines * squares)
    total = np.sum(squares, axis=1, keepdims=True)
    return np.asarray(2.0 * sines * (sines.shape[1] + 4.0 - 2.0 * total - 4.0 * squares))


def check_free(correction: Correction, plan: DitherPlan) -> None:
    """Refuse tones on which a correction reads products that it does not mean.

    Raises
    ------
    InputError
        Which names two of them.
    """
    found = [] if correction == "none" else overlaps(plan.multiples)
    if found:
        read, other = (product_words(factors) for factors in found[0])
        unit = plan.frequencies_Hz[0] / plan.multiples[0]
        example = ", ".join(f"{mark * unit:g}" for mark in free_tones(plan.n))
        problem = f"put {other} on {read}, which a correction reads"
        raise InputError("frequencies", plan.frequencies_Hz, problem, f"take `free_tones`, for example {example} Hz")


def free_tones(n: int, lowest: int = 200) -> tuple[int, ...]:
    """Tones as whole numbers of one spacing without any overlap: the smallest that fits, one after the other.

    Parameters
    ----------
    n : int
        How many.
    lowest : int, optional
        The first. Where it is small, those that fit lie far above it: seven from 200 end at 312, from 60 at 441.

    Returns
    -------
    tuple of int
        Ascending; times a spacing they are the frequencies of a `DitherPlan`.

    Raises
    ------
    InputError
        For numbers that are not positive.

    Examples
    --------
    >>> free_tones(4, 20)
    (20, 21, 24, 35)
    """
    tones, mark = [count("lowest", lowest, 1)], lowest
    while len(tones) < count("n", n, 1):
        mark += 1
        if not overlaps((*tones, mark)):
            tones.append(mark)
    return tuple(tones)


def product_words(factors: Factors) -> str:
    """A product of tones in words, the tones counted from 0: ``f2 - 2 f0``; ``0`` for what stands still."""
    terms = sorted(((number, k) for k, number in enumerate(factors) if number), key=lambda term: -term[0])
    words = [f"{'-' if number < 0 else '+'} {'' if abs(number) == 1 else f'{abs(number)} '}f{k}" for number, k in terms]
    return " ".join(words).removeprefix("+ ") or "0"


@cache
def _products(n: int) -> tuple[Factors, ...]:
    """Every product of at most three tones, once: its first number that is not 0 is positive."""
    found = {(0,) * n}
    for order in (1, 2, 3):
        for members in combinations_with_replacement(range(n), order):
            for signs in product((1, -1), repeat=order):
                factors = [0] * n
                for member, sign in zip(members, signs, strict=True):
                    factors[member] += sign
                found.add(_upright(tuple(factors)))
    return tuple(sorted(found))


def _upright(factors: Factors) -> Factors:
    leading = next((number for number in factors if number), 1)
    return factors if leading > 0 else tuple(-number for number in factors)


def _factors(n: int, numbers: dict[int, int]) -> Factors:
    return tuple(numbers.get(k, 0) for k in range(n))


def _read(
    plan: DitherPlan, time_s: ArrayLike, signal: ArrayLike, settings: LockInSettings, products: list[Factors]
) -> tuple[FloatArray, FloatArray]:
    """Amplitudes X and C of some products of the tones."""
    time, values = record(time_s, signal)
    matrix = np.asarray(products, dtype=float)
    omega = 2.0 * np.pi * matrix @ np.asarray(plan.frequencies_Hz)
    phases = matrix @ (np.asarray(plan.phases_rad) + np.radians(settings.phase))
    fastest = float(np.max(np.abs(omega))) * (time[-1] - time[0]) / (time.size - 1)
    if fastest >= np.pi:
        fix = f"take more than {fastest * (time.size - 1) / np.pi:.0f} points"
        raise InputError("time_s", time.size, "points are too few for products of the tones", fix)
    sine, cosine = (
        means(settings, time, values, omega, phases + shift, trace=False)[:, 0] for shift in (0.0, 0.5 * np.pi)
    )
    return 2.0 * sine, 2.0 * cosine
