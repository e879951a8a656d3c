"""Whether a loop hunts: its equations made linear about the wanted outputs, with slopes as they were read at a start.

With s_pk = d v(tia)/dw_k of pattern p, G = polarity e^c, small deviations w, b, c of controls, baseline and logarithm
of the gain, and a limiter that is straight, the output of pattern p and the slope of the squared loss deviate by

    y_p = G (s_p . w - b) + t_p c,          g_pk = 2 G s_pk y_p                               (t_p: the target)

and while pattern p is heard, for T of its slot (outside the windows, low-passes m_k hear nothing, b and c stand still):

    tau m_k' = g_pk - m_k,    tau_a a_k' = m_k - a_k,    w_k' = -(r_k learning_rate / (P T)) a_k
    b' = baseline_rate/(P T) (s_p . w - b),     c' = -2 gain_rate/(P T level^2) t_p y_p        (P patterns)

Over a pass the deviations x become M x, M the product of the windows' matrix exponentials (Floquet): what is left after
a pass shrinks where no eigenvalue of M lies outside the unit circle. The gain margin is the factor by which all rates
together may still grow until one does; below 1 (0 dB) the loop hunts, with up to r_k V_step a pass.

The second derivatives of the device are left out (Gauss and Newton's curvature, 2 <(dy/dw)^2> along one control), and
with them valleys that curve; slopes and gain change on the way.

`stable_rates` gives a control a share of the rate in inverse proportion to its slope s_k = sqrt(<(dy/dw_k)^2>), and
where that is not stable, to the curvature along it, lambda_k = 2 s_k^2, with the largest c that leaves a margin:

    r_k = min(1, WHOLE/s_k, c/lambda_k)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from circuits.homodyne.loop import HomodyneLoop
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from inmateria.threads import one_blas_thread

OUTSIDE = 1e-6
"""By how much an eigenvalue lies outside the unit circle that counts: directions in which nothing changes are at 1."""
SLOW = 0.02
"""The same on the positive real axis, where nothing swings: what runs away by less a pass does not double in 30."""
TURN = 2.0 * math.pi / 1000.0
"""Angle a pass beyond which a mode swings where a channel has a phase, which turns what stands still a little, too."""
MARGINS = (1e-5, 1e5)
"""Factors between which the margin is looked for."""
SPARE = 10 ** (1.0 / 20.0)
"""Gain margin that `stable_rates` leaves, 1 dB; docs/decisions.md has what was measured with others."""
WHOLE = 1.0
"""Slope of the normalised output, V/V, up to which a control has the whole rate; docs/studies/own_rates.py."""

Factors = float | complex | NDArray[Any]
"""On the rates of all controls, or of each, (n_trained,)."""
Matrix = NDArray[Any]
"""Real, or complex where factors are."""


@dataclass(frozen=True, eq=False)
class Stability:
    """How far a closed loop of the squared loss is from hunting.

    Parameters
    ----------
    loop : HomodyneLoop
        Closed.
    slopes : ndarray, shape (n_patterns, n_trained)
        d v(tia)/dw as read at the start, V/V.

    Raises
    ------
    InputError
        For another loss, whose curvature no slope tells; for slopes of another shape.
    """

    loop: HomodyneLoop
    slopes: FloatArray

    def __post_init__(self) -> None:
        if self.loop.loss != "squared":
            raise InputError("loss", self.loop.loss, "has no curvature that slopes tell", "take the squared loss")
        wanted = (self.loop.sequence.patterns, self.loop.dither.n)
        if np.shape(self.slopes) != wanted:
            raise InputError(
                "slopes", np.shape(self.slopes), f"are not {wanted}", "read one of each control and pattern"
            )

    @property
    def _output_slopes(self) -> FloatArray:
        """dy/dw of every pattern, V/V, (n_patterns, n_trained)."""
        stage = self.loop.stage
        return np.asarray(stage.polarity * np.exp(stage.gain_log) * self.slopes)

    @property
    def curvatures_per_V(self) -> FloatArray:
        """2 <(dy/dw_k)^2>, of the loss along each control, 1/V, (n_trained,)."""
        return np.asarray(2.0 * np.mean(self._output_slopes**2, axis=0))

    @cached_property
    def multiplier(self) -> float:
        """Largest modulus among the factors that deviations change by in a pass."""
        return float(np.max(np.abs(self.multipliers())))

    @cached_property
    def gain_margin(self) -> float:
        """Factor by which all rates may grow before the loop hunts; within `MARGINS`."""
        low, high = MARGINS[0], MARGINS[0]
        while not self.hunts_at(high):  # upwards: far beyond the margin the factors overflow
            low, high = high, 10.0 * high
            if high > MARGINS[1]:
                return MARGINS[1]
        while high > 1.0001 * low:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.hunts_at(middle) else (middle, high)
        return low

    @property
    def margin_dB(self) -> float:
        """`gain_margin` in decibel, negative where the loop hunts."""
        return float(20.0 * math.log10(self.gain_margin))

    @property
    def doubt(self) -> str | None:
        """What is to be told of a loop that hunts, in words; None of a stable one."""
        if self.margin_dB >= 0.0:
            return None
        steepest = int(np.argmax(self.loop.control_rates * self.curvatures_per_V))
        name = self.loop.device.terminals[self.loop.trained[steepest]]
        return (
            f"the loop hunts: its gain margin is {self.margin_dB:.1f} dB, with a curvature of "
            f'{self.curvatures_per_V[steepest]:.3g} /V along {name}; take rates = "auto", or a smaller learning rate'
        )

    def hunts_at(self, factors: Factors) -> bool:
        """Whether the loop hunts with the rates times these factors, complex ones for a phase: `multipliers`."""
        values = self.multipliers(factors)
        turn = OUTSIDE if np.isrealobj(factors) else TURN
        swings = np.abs(values.imag) > turn * np.abs(values.real)
        return bool(np.any(np.abs(values) > 1.0 + np.where(swings | (values.real < 0.0), OUTSIDE, SLOW)))

    def multipliers(self, factors: Factors = 1.0) -> NDArray[np.complex128]:
        """Factors that deviations change by in a pass.

        Parameters
        ----------
        factors : float, complex or ndarray, shape (n_trained,)
            On the rates, of all or of each.

        Returns
        -------
        ndarray, shape (n,)
            Eigenvalues of M, in no order; -inf where they exceed all numbers.
        """
        with one_blas_thread():  # several, for matrices of some forty rows, wait for each other: ten times the time
            return self._multipliers_on_one(factors)

    def _multipliers_on_one(self, factors: Factors) -> NDArray[np.complex128]:
        sequence = self.loop.sequence
        idle = expm(self._equations(None, factors) * (sequence.slot_s - sequence.window_s))
        whole = np.eye(len(idle))
        with np.errstate(over="ignore", invalid="ignore"):
            for pattern in range(sequence.patterns):
                whole = expm(self._equations(pattern, factors) * sequence.window_s) @ idle @ whole
        if not np.all(np.isfinite(whole)):  # it grows beyond all numbers
            return np.full(len(whole), -np.inf, dtype=np.complex128)
        return np.asarray(np.linalg.eigvals(whole), dtype=np.complex128)

    def _equations(self, pattern: int | None, factors: Factors) -> Matrix:
        """d/dt of (w, low-passes pole by pole, averagers, b, c) while a pattern is heard, or none is."""
        loop, stage, n = self.loop, self.loop.stage, self.loop.dither.n
        poles, heard_s = loop.filter_poles, loop.sequence.listening_s
        matrix: Matrix = np.zeros(((poles + 2) * n + 2,) * 2, dtype=float if np.isrealobj(factors) else complex)
        w, (b, c) = slice(0, n), (-2, -1)
        filters = [slice((k + 1) * n, (k + 2) * n) for k in range(poles + 1)]
        before: slice | None = None
        for one, tau in zip(filters, [loop.filter_s] * poles + [loop.average_s], strict=True):
            matrix[one, one] = -np.eye(n) / tau
            if before is not None:
                matrix[one, before] = np.eye(n) / tau
            before = one
        matrix[w, filters[-1]] = -np.diag(factors * loop.control_rates) * loop.learning_rate / heard_s
        if pattern is None:
            return matrix
        s, G = self.slopes[pattern], stage.polarity * np.exp(stage.gain_log)
        target = loop.sequence.targets_V[pattern]
        y = np.zeros(len(matrix))
        y[w], y[b], y[c] = G * s, -G, target
        matrix[filters[0]] += np.outer(2.0 * G * s, y) / loop.filter_s
        matrix[b, w], matrix[b, b] = stage.baseline_rate / heard_s * s, -stage.baseline_rate / heard_s
        matrix[c] = -2.0 * stage.gain_rate / heard_s / stage.level_V**2 * target * y
        return matrix


def stable_rates(loop: HomodyneLoop, slopes: FloatArray) -> tuple[float, ...]:
    """Shares min(1, WHOLE/s_k, c/lambda_k), the largest c with a margin of `SPARE`; errors as `Stability`.

    Loops of other losses, whose curvature no slope tells, get those that suit the squared one.
    """
    squared = replace(loop, loss="squared", parts={}, component_errors={})

    def hunts(shares: FloatArray) -> bool:
        return Stability(replace(squared, rates=tuple(shares.tolist())), slopes).hunts_at(SPARE)

    return tuple(largest_shares(Stability(squared, slopes).curvatures_per_V, hunts).tolist())


def largest_shares(curvatures_per_V: FloatArray, hunts: Callable[[FloatArray], bool]) -> FloatArray:
    """Shares of the rate, min(1, WHOLE/s_k, c/lambda_k) with lambda_k = 2 s_k^2, the largest c that does not hunt."""
    curvatures = np.maximum(curvatures_per_V, np.finfo(float).tiny)
    by_slope = np.minimum(1.0, WHOLE * np.sqrt(2.0 / curvatures))

    def shares(c: float) -> FloatArray:
        return np.asarray(np.minimum(by_slope, c / curvatures))

    high = float(np.max(curvatures))
    low = high / MARGINS[1]
    if not hunts(shares(high)):
        low = high
    while high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if hunts(shares(middle)) else (middle, high)
    return shares(low)
