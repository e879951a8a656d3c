"""Loop gain of the learning loop itself: gain and phase margin of one channel's integrator, all others closed.

The integrator of channel k follows its averager by w_k' = -(r_k learning_rate / (P T)) a_k. With a factor F on that
rate alone, real or complex, deviations change by M(F) in a pass (`circuits.homodyne.stability`), and

    gain margin    the F >= 1 at which the first eigenvalue of M(F) leaves the unit circle
    lower margin   the F < 1 at which one does, where the channel steadies others
    phase margin   the phi at which one of M(e^(-j phi)) does; -phi gives the conjugate eigenvalues
    crossover      how fast that one turns: its angle over a pass, whole turns a pass aside

In a loop whose equations stand still these are the margins of Nyquist's curve, and the crossover is where |L_k| = 1:
M(F) has an eigenvalue e^(j omega period) where 1 + F L_k(j omega) = 0. A loop that shows patterns in turn has no such
curve, but the same margins.

In small steps, with everything else held, channel k follows its slope with the time constant
period / (r_k learning_rate lambda_k), lambda_k its curvature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuits.homodyne.stability import MARGINS, SLOW, Stability
from inmateria.checks import FloatArray

STEP = 10.0 ** (2.0 / 20.0)
"""Between factors that are tried, 2 dB, up to `FAR`; beyond it a decade."""
FAR = 100.0
STEP_DEG = 5.0
"""Between phases that are tried."""
FINE = 1.0005
"""To what ratio a gain margin is found."""
FINE_DEG = 0.01
MOST_DEG = 180.0
TOGETHER = "all together"
LOCUS = 81
"""Factors of a locus."""


@dataclass(frozen=True)
class ChannelMargin:
    """Margins of one channel, all others closed.

    Attributes
    ----------
    name : str
        Its electrode.
    rate : float
        Its share of the rate.
    gain_margin : float
        Factor by which its rate alone may grow before the loop hunts, `MARGINS` at most; below 1 the factor that it has
        to fall to, and 0 where the loop hunts whatever this rate is.
    phase_margin_deg : float
        Phase that it may lag by, 180 deg at most; NaN of a loop that hunts.
    crossover_Hz : float
        How fast the deviation turns that grows beyond the phase margin; NaN where there is none.
    lower_margin : float
        Factor that its rate alone may fall to before a stable loop hunts, where this channel steadies others; 0 where
        it may vanish, and NaN of a loop that hunts.
    time_constant_s : float
        Of the channel alone, in small steps; infinite where nothing depends on it.
    """

    name: str
    rate: float
    gain_margin: float
    phase_margin_deg: float
    crossover_Hz: float
    lower_margin: float
    time_constant_s: float

    @property
    def margin_dB(self) -> float:
        """`gain_margin` in decibel; negative where the loop hunts, minus infinity where it does whatever this rate."""
        return 20.0 * math.log10(self.gain_margin) if self.gain_margin > 0.0 else -math.inf

    def words(self) -> str:
        """The margins, for people."""
        alone = f"alone it settles in {self.time_constant_s:.3g} s"
        if self.gain_margin == 0.0:
            return f"the loop hunts whatever this rate is; {alone}"
        if self.gain_margin < 1.0:
            falls = f"the loop hunts unless this rate falls to {self.gain_margin:.2g} of it"
            return f"gain margin {self.margin_dB:.1f} dB: {falls}; {alone}"
        gain = f"{self.margin_dB:.1f} dB" if self.gain_margin < MARGINS[1] else f"over {self.margin_dB:.0f} dB"
        phase = f"{self.phase_margin_deg:.0f} deg at {self.crossover_Hz:.2g} Hz"
        if math.isnan(self.crossover_Hz):
            phase = f"{MOST_DEG:.0f} deg or more"
        lower = f"hunts, too, at {self.lower_margin:.2g} of this rate; " if self.lower_margin > 0.0 else ""
        return f"gain margin {gain}, phase margin {phase}; {lower}{alone}"


@dataclass(frozen=True)
class LoopMargins:
    """Margins of every channel of a loop, and of all together.

    Attributes
    ----------
    stability : Stability
        All together.
    channels : tuple of ChannelMargin
        In the order of the controls.
    """

    stability: Stability
    channels: tuple[ChannelMargin, ...]

    @property
    def least_dB(self) -> float:
        """The smallest gain margin of all, dB."""
        return min(self.stability.margin_dB, *(one.margin_dB for one in self.channels))

    def below(self, least_dB: float) -> list[str]:
        """What has a smaller gain margin than is asked: channels by their electrodes, and `TOGETHER`."""
        # a stable loop gets the benefit of how exactly margins are found: rates = "auto" leaves 1 dB
        found_to = 0.0 if self.stability.hunts_at(1.0) else 20.0 * math.log10(FINE)
        known = {TOGETHER: self.stability.margin_dB, **{one.name: one.margin_dB for one in self.channels}}
        return [name for name, margin_dB in known.items() if margin_dB < least_dB - found_to]

    @property
    def tightest(self) -> ChannelMargin:
        """The channel with the smallest gain margin; of a loop that hunts the one that would have to fall the farthest.

        Where no channel alone can still the loop, the one that descends the fastest.
        """
        able = [one for one in self.channels if one.gain_margin > 0.0]
        if able:
            return min(able, key=lambda one: (one.gain_margin, one.phase_margin_deg))
        return min(self.channels, key=lambda one: one.time_constant_s)

    @property
    def still(self) -> int:
        """How many deviations change by less than `SLOW` a pass: directions that no output depends on, among others."""
        return int(np.sum(np.abs(self.stability.multipliers() - 1.0) <= SLOW))

    @property
    def decay_s(self) -> float:
        """Time constant of the slowest deviation that does change, s; infinite in a loop that hunts."""
        values = self.stability.multipliers()
        slowest = float(np.max(np.abs(values[np.abs(values - 1.0) > SLOW]), initial=0.0))
        if slowest >= 1.0:
            return math.inf
        return -self.stability.loop.sequence.period_s / math.log(slowest) if slowest > 0.0 else 0.0

    def words(self) -> str:
        """What holds of all channels together, for people."""
        margin = f"gain margin {self.stability.margin_dB:.1f} dB"
        if self.stability.hunts_at(1.0):
            return f"{margin}: what deviates grows {self.stability.multiplier:.3g} times a pass"
        passes = self.decay_s / self.stability.loop.sequence.period_s
        return (
            f"{margin}; the slowest deviation dies away in {self.decay_s:.3g} s ({passes:.2g} passes), "
            f"{self.still} hardly change"
        )

    def verdict(self, least_dB: float) -> str:
        """Whether the margins are what is asked, which is the tightest, and what to do, for people."""
        one, hunts = self.tightest, self.stability.hunts_at(1.0)
        if hunts and one.gain_margin == 0.0:
            return f"the loop hunts, and by no rate alone; {one.name} is the fastest. Lower the learning rate"
        if hunts:
            return f"the loop hunts by {one.name}, whose rate has to fall to {one.gain_margin:.2g} of what it is"
        tightest = f"{one.name} is the tightest with {one.margin_dB:.1f} dB, {self._least_phase()}"
        if self.below(least_dB):
            fix = "Lower the learning rate" if one.lower_margin > 0.0 else "Lower its rate, or the learning rate"
            return f"the loop is stable, but not by {least_dB:g} dB: {tightest}. {fix}"
        return f"the loop is stable; {tightest}"

    def _least_phase(self) -> str:
        """Which channel of a stable loop may lag the least."""
        one = min(self.channels, key=lambda one: one.phase_margin_deg)
        return f"the least phase margin is {one.name}'s with {one.phase_margin_deg:.0f} deg"

    def locus(self) -> tuple[FloatArray, NDArray[np.complex128]]:
        """Multipliers as the tightest channel's rate grows, from nothing to twice as far as it may: factors, values.

        Shapes (n,) and (n, modes); the values of one factor in no order. The rate as it is, 1, is among the factors.
        """
        edge = self.tightest.gain_margin or 1.0
        k = self.channels.index(self.tightest)
        steps = np.union1d(np.linspace(0.0, 2.0 * max(edge, 1.0), LOCUS), 1.0)
        values = []
        for factor in steps:
            factors = np.ones(len(self.channels))
            factors[k] = factor
            values.append(self.stability.multipliers(factors))
        return steps, np.array(values)


def loop_margins(stability: Stability, told: Callable[[int, int], None] | None = None) -> LoopMargins:
    """The margins of every channel.

    Parameters
    ----------
    stability : Stability
    told : callable, optional
        Called as told(channels done, channels).
    """
    loop, channels = stability.loop, []
    hunts = stability.hunts_at(1.0)
    falls = loop.control_rates * loop.learning_rate * stability.curvatures_per_V
    for k, terminal in enumerate(loop.trained):
        if told is not None:
            told(k, loop.dither.n)
        phase_deg, crossover_Hz = (math.nan, math.nan) if hunts else _phase_margin(stability, k)
        channels.append(
            ChannelMargin(
                loop.device.terminals[terminal],
                float(loop.control_rates[k]),
                _downwards(stability, k, hunts=True) if hunts else _gain_margin(stability, k),
                phase_deg,
                crossover_Hz,
                math.nan if hunts else _downwards(stability, k, hunts=False),
                loop.sequence.period_s / float(falls[k]) if falls[k] > 0.0 else math.inf,
            )
        )
    if told is not None:
        told(loop.dither.n, loop.dither.n)
    return LoopMargins(stability, tuple(channels))


def _hunts(stability: Stability, k: int, factor: complex) -> bool:
    """Whether the loop hunts with channel k's rate alone times this factor."""
    factors = np.ones(stability.loop.dither.n, dtype=type(factor))
    factors[k] = factor
    return stability.hunts_at(factors)


def _gain_margin(stability: Stability, k: int) -> float:
    """The factor from 1 upwards at which a loop begins to hunt."""
    low = high = 1.0
    while not _hunts(stability, k, high):
        low, high = high, high * (STEP if high < FAR else 10.0)
        if low >= MARGINS[1]:
            return MARGINS[1]
    return _between(stability, k, low, high)


def _downwards(stability: Stability, k: int, *, hunts: bool) -> float:
    """The factor from 1 downwards at which a loop that hunts ceases to, or another one begins; 0 if there is none."""
    low = high = 1.0
    while _hunts(stability, k, low) == hunts:
        low, high = low / (STEP if low > 1.0 / FAR else 10.0), low
        if high <= MARGINS[0]:
            return 0.0
    return _between(stability, k, low, high)


def _between(stability: Stability, k: int, low: float, high: float) -> float:
    """Where between two factors the loop begins to hunt, or ceases to: the side that is stable."""
    above = _hunts(stability, k, high)
    while high > FINE * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _hunts(stability, k, middle) == above else (middle, high)
    return low if above else high


def _phase_margin(stability: Stability, k: int) -> tuple[float, float]:
    """Phase margin, deg, and crossover, Hz."""

    def turned(phase_deg: float) -> complex:
        return complex(np.exp(-1j * np.radians(phase_deg)))

    low, high = 0.0, STEP_DEG
    while not _hunts(stability, k, turned(high)):
        low, high = high, high + STEP_DEG
        if high > MOST_DEG:
            return MOST_DEG, math.nan
    while high > low + FINE_DEG:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _hunts(stability, k, turned(middle)) else (middle, high)
    factors = np.ones(stability.loop.dither.n, dtype=complex)
    factors[k] = turned(high)
    values = stability.multipliers(factors)
    # of those that are outside the one that turns the most: what stands still is outside by rounding
    outside = values[np.abs(values) > 1.0]
    angle = float(np.max(np.abs(np.angle(outside))))
    return low, angle / (2.0 * math.pi * stability.loop.sequence.period_s)
