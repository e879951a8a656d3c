"""How much of a third-order correction is kept, so that the mean square error is least.

A correction c of a gradient g is read with noise of standard deviation s, and the error it takes out is -c. The two
noises are independent, so that of g + w c the mean square error is

    sigma^2 + w^2 s^2 + (1 - w)^2 c^2,    least for    w = c^2 / (c^2 + s^2).

Of a reading c + noise the square less s^2 is c^2 in the mean, hence w = max(0, 1 - s^2/reading^2): a correction below
its noise is left out, one far above it kept whole. Beside sigma^2 that leaves 0.33 s^2 where there is nothing to
correct, 1.49 s^2 at the most, at c = 2.35 s, and s^2 far above it.

What the noise is needs no model. Turning every t_j into pi - t_j changes no dither, so a device that answers at once
has products of odd order as sines only: what the corrections' references read a quarter turn on is noise of the same
variance, and products of even order that fall there. Where those are large, the correction is doubtful too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, count, record
from inmateria.errors import InputError
from lockin.demodulate import gradient
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from lockin.third_order import correction_and_quadrature


@dataclass(frozen=True, eq=False)
class KeptCorrection:
    """A gradient, its correction of third order, and how much of that is kept.

    Attributes
    ----------
    raw : ndarray, shape (n,)
        The gradient as the last window has it, unit/V.
    correction : ndarray, shape (n,)
        Mean over the windows, unit/V.
    noise : ndarray, shape (n,)
        Standard deviation of `correction`, from what is read in quadrature, unit/V.
    """

    raw: FloatArray
    correction: FloatArray
    noise: FloatArray

    @classmethod
    def over_windows(cls, raw: FloatArray, found: Sequence[tuple[FloatArray, FloatArray]]) -> Self:
        """The mean correction of windows, of each of which correction and quadrature were `found`, unit/V."""
        corrections, quadratures = np.array(found).transpose(1, 0, 2)
        noise = np.sqrt(np.mean(quadratures**2, axis=0) / len(found))
        return cls(raw, np.mean(corrections, axis=0), noise)

    @property
    def kept(self) -> FloatArray:
        """Share of each correction that is kept, 0 to 1, (n,)."""
        return kept_share(self.correction, self.noise)

    @property
    def gradient(self) -> FloatArray:
        """The gradient with what is kept of its correction, unit/V, (n,)."""
        return np.asarray(self.raw + self.kept * self.correction)

    def scaled(self, factor: float) -> KeptCorrection:
        """The same in another unit."""
        return KeptCorrection(factor * self.raw, factor * self.correction, abs(factor) * self.noise)


def kept_share(correction: ArrayLike, noise: ArrayLike) -> FloatArray:
    """Share of a correction that is kept, max(0, 1 - (noise/correction)^2), in the shape of both."""
    read, spread = np.broadcast_arrays(np.asarray(correction, dtype=float), np.asarray(noise, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1.0 - (spread / read) ** 2
    return np.asarray(np.where(np.abs(read) > np.abs(spread), share, 0.0))


def kept_correction(
    plan: DitherPlan, time_s: ArrayLike, signal: ArrayLike, settings: LockInSettings, windows: int = 1
) -> KeptCorrection:
    """Read the gradient in the last window of a record, and its correction in the last windows.

    Parameters
    ----------
    plan : DitherPlan
        The tones that were applied, n of them, free of overlaps: see `lockin.third_order`.
    time_s, signal : array_like, shape (m,)
        The record, as for `third_order_correction`.
    settings : LockInSettings
        Filter; of more than one window a boxcar or Hann weight, the windows one after the other.
    windows : int, optional
        Over how many windows the correction is averaged. The noise of the mean falls as their root; the operating point
        may move meanwhile as far as the correction hardly changes.

    Raises
    ------
    InputError
        As `third_order_correction`; for several windows of RC poles, or a record that is shorter than they are.
    """
    time, values = record(time_s, signal)
    length = settings.time_constant
    if count("windows", windows) > 1 and settings.window == "rc":
        raise InputError("windows", windows, "want a filter of finite length", "take window='boxcar', or one window")
    if settings.window != "rc" and (time[-1] - time[0]) * (1.0 + 1.0 / time.size) < windows * length * (1.0 - 1e-9):
        problem = f"of {length:g} s do not fit a record of {time[-1] - time[0]:g} s"
        raise InputError("windows", windows, problem, "take fewer, or a longer record")
    found = []
    for number in range(windows):
        until = int(np.searchsorted(time, time[-1] - number * length * (1.0 - 1e-9), side="right"))
        found.append(correction_and_quadrature(plan, time[:until], values[:until], settings))
    return KeptCorrection.over_windows(gradient(plan, time, values, settings), found)
