"""What an opened loop's parts make of controls at rest: the loss at each pattern, by the parts' figures.

    electrode k   (1 + esum)(w_k + level) + offset + (1 + escale) d_k          d_k: the dither as it is meant
    I             the device's, its output held at the transimpedance amplifier's own offset
    E             of I by the equations of `figures`, from that amplifier to the loss
    reading k     (2/alpha_k) <E sin(theta_k)> times the gain of the channel: mixer, switch, integrator

The shares of the rate (`HomodyneLoop.rates`) are resistors of the closed loop's integrators; a reading has none.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from circuits.homodyne.equations import pattern_voltages
from circuits.homodyne.figures import constants_of
from circuits.homodyne.loop import HomodyneLoop
from circuits.parts.levels import is_known
from inmateria.checks import FloatArray
from inmateria.errors import InputError


def has_static_loss(loop: HomodyneLoop) -> bool:
    """Whether a loop's loss is known at rest: the squared one, of parts that state what they do."""
    return loop.loss == "squared" and all(map(is_known, loop.parts.values()))


class StaticLoss:
    """The static electronics of an opened loop that reads the squared loss.

    Parameters
    ----------
    loop : HomodyneLoop
        Opened.

    Raises
    ------
    InputError
        For one of which `has_static_loss` is not true.
    """

    def __init__(self, loop: HomodyneLoop) -> None:
        if not has_static_loss(loop):
            raise InputError("loop", loop.loss, "has parts or a loss without figures", "ask `has_static_loss` before")
        self.loop = loop
        self.constants, (self._plus, self._minus) = constants_of(loop)

    @cached_property
    def _rest_V(self) -> FloatArray:
        return pattern_voltages(self.loop, self.constants, self._plus)

    @property
    def dither_gains(self) -> FloatArray:
        """What the summing amplifiers make of the dither, over what is meant, (n_controls,)."""
        return np.asarray(self._plus.amplitude_V / np.array(self.loop.dither.amplitudes_V))

    @property
    def channel_gains(self) -> FloatArray:
        """Gains of the channels behind the loss, (n_controls,); chopped, the mean of both signs."""
        mixed = self._plus.mix_gain
        if self.loop.chopped:
            mixed = 0.5 * (mixed - self._minus.mix_gain)
        return np.asarray(mixed * self._plus.rate)

    def voltages(self, controls_V: FloatArray, pattern: int) -> FloatArray:
        """Terminal voltages (V) at controls (m, n_controls), V: deviations from the start are dither."""
        volts = np.tile(self._rest_V[pattern], (len(controls_V), 1))
        volts[:, list(self.loop.trained)] += self.dither_gains * (controls_V - self.loop.start_V)
        return volts

    def _errors(self, outputs_A: FloatArray) -> tuple[FloatArray, float]:
        """Output of the difference before the loss, V, at currents out of the device (..., patterns), and its slope."""
        c, stage = self.constants, self.loop.stage
        gain = c.polarity * np.exp(c.gain_slope * stage.gain_log)
        u = c.u_tia * (c.tia_V + c.transimpedance_ohm * outputs_A) - c.u_baseline * stage.baseline_V + c.u_V
        y = gain * u + c.gain_feed * stage.gain_log + c.y_V
        targets = np.array(self.loop.sequence.targets_V)
        slope = c.error_y * gain * c.u_tia * c.transimpedance_ohm
        return c.error_y * y - c.error_target * targets + c.error_V, float(slope)

    def values(self, outputs_A: FloatArray) -> FloatArray:
        """E, V, at currents out of the device, A, both (..., patterns)."""
        e, _ = self._errors(np.asarray(outputs_A))
        return np.asarray((self.constants.loss_2 * e + self.constants.loss_1) * e + self.constants.loss_0)

    def slopes(self, outputs_A: FloatArray) -> FloatArray:
        """dE/dI, V/A, likewise."""
        e, slope = self._errors(np.asarray(outputs_A))
        return np.asarray((2.0 * self.constants.loss_2 * e + self.constants.loss_1) * slope)
