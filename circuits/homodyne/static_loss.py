"""What an opened loop's parts make of controls at rest: the loss at each pattern, by the parts' figures or measured.

    electrode k   (1 + esum)(w_k + level) + offset + (1 + escale) d_k          d_k: the dither as it is meant
    I             the device's, its output held at the transimpedance amplifier's own offset
    E             of I by the equations of `figures`, from that amplifier to the loss
    reading k     (2/alpha_k) <E sin(theta_k)> times the gain of the channel: mixer, switch, integrator

Of parts or losses without figures ngspice tells E as a function of I, by `.dc`.

The shares of the rate (`HomodyneLoop.rates`) are resistors of the closed loop's integrators; a reading has none.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline

from circuits.homodyne import netlist
from circuits.homodyne.engines import Ngspice
from circuits.homodyne.equations import pattern_voltages
from circuits.homodyne.figures import constants_of
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.offsets import has_figures, measured_gains
from circuits.parts.levels import is_known
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from netlists.spice_numbers import format_number

_SWEEP = 400
"""Steps of the current over its reach."""
_SLOPE = 1.0
"""Of the loss, V/V, at which channels without figures are measured."""


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
        if not (has_static_loss(loop) or isinstance(self, MeasuredLoss)):
            raise InputError("loop", loop.loss, "has parts or a loss without figures", "take MeasuredLoss")
        self.loop = loop
        self.constants, (self._plus, self._minus) = constants_of(loop)

    @cached_property
    def _rest_V(self) -> FloatArray:
        return pattern_voltages(self.loop, self.constants, self._plus)

    @property
    def dither_gains(self) -> FloatArray:
        """What the summing amplifiers make of the dither, over what is meant, (n_controls,)."""
        return np.asarray(self._plus.amplitude_V / np.array(self.loop.dither.amplitudes_V))

    def channel_gains(self, heard_V: float) -> FloatArray:
        """Gains of the channels behind a loss of `heard_V`, (n_controls,); chopped, the mean of both signs."""
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


class MeasuredLoss(StaticLoss):
    """The same of any parts and losses, from the output electrode to the loss as ngspice has them.

    Parameters
    ----------
    loop : HomodyneLoop
        Opened.
    engine : Ngspice
    reach_A : tuple of float
        Least and largest current out of the device that is asked for.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError
        As `netlist.loss_deck` and `Engine.run`.
    """

    def __init__(self, loop: HomodyneLoop, engine: Ngspice, reach_A: tuple[float, float]) -> None:
        super().__init__(loop)
        self._engine = engine
        currents = np.linspace(*reach_A, _SWEEP + 1)
        low, high, step = (format_number(float(v)) for v in (currents[0], currents[-1], currents[1] - currents[0]))
        self._curves = []
        for target in loop.sequence.targets_V:
            deck = f"{netlist.loss_deck(loop, target)}\nIsweep 0 el{loop.output} DC 0\n.save v(loss)"
            loss = np.asarray(engine.engine.run(f"{deck}\n.dc Isweep {low} {high} {step}\n.end\n")["loss"])
            self._curves.append(CubicSpline(currents[: len(loss)], loss))

    def channel_gains(self, heard_V: float) -> FloatArray:
        """Gains of the channels behind a loss of `heard_V`, (n_controls,)."""
        if has_figures(self.loop):
            return super().channel_gains(heard_V)
        return measured_gains(self.loop, self._engine, heard_V, _SLOPE)

    def values(self, outputs_A: FloatArray) -> FloatArray:
        """E, V, at currents out of the device, A, both (..., patterns)."""
        outputs = np.asarray(outputs_A)
        return np.stack([curve(outputs[..., p]) for p, curve in enumerate(self._curves)], axis=-1)

    def slopes(self, outputs_A: FloatArray) -> FloatArray:
        """dE/dI, V/A, likewise."""
        outputs = np.asarray(outputs_A)
        return np.stack([curve(outputs[..., p], 1) for p, curve in enumerate(self._curves)], axis=-1)
