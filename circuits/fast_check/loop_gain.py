"""Return ratio at a wire of a circuit that stays closed, and its margins.

A wire from node a to pin b is cut by a source of voltage E between them and a source of current J into b. Of the
two-port that the rest of the circuit is, seen from a and b (admittances y), the closed circuit's poles are the zeros of
y11 + y12 + y21 + y22, and with Tian's return ratio

    T = (y12 + y21) / (y11 + y22),    1 + T = 0 at the poles of the closed circuit,

whichever way signals run through the wire and whatever loads it. Two `.ac` runs give it: with E = 1, J = 0 the voltage
v1 at b and the current i1 out of a, with E = 0, J = 1 likewise v2 and i2; then

    1 / (1 + T) = 1 - i2 + v1 + 2 (i1 v2 - v1 i2).

(M. Tian, V. Visvanathan, J. Hantgan, K. Kundert, IEEE Circuits and Devices 17(1), 31, 2001.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray

Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class LoopGain:
    """Return ratio over frequency.

    Attributes
    ----------
    name : str
        The wire: element and node.
    frequency_Hz : ndarray, shape (n,)
    ratio : ndarray, shape (n,), complex
    """

    name: str
    frequency_Hz: FloatArray
    ratio: Complex

    @property
    def largest(self) -> float:
        """Largest |T|: at 1 and below there is no feedback to speak of."""
        return float(np.max(np.abs(self.ratio)))

    @property
    def crossovers_Hz(self) -> FloatArray:
        """Frequencies at which |T| is 1, Hz, rising; straight lines in logarithms between the points."""
        return np.asarray(np.exp(self._at_crossings(np.log(self.frequency_Hz))))

    @property
    def crossover_Hz(self) -> float:
        """The highest of them, Hz; NaN where there is none."""
        return float(self.crossovers_Hz[-1]) if len(self.crossovers_Hz) else float("nan")

    @property
    def phase_margin_deg(self) -> float:
        """Angle at crossover by which T stays away from -1, the smallest of all crossovers; NaN without any.

        It is negative where the curve goes round -1: there the closed circuit has growing modes.
        """
        phases = self._at_crossings(np.unwrap(np.angle(self.ratio)))
        if not len(phases):
            return float("nan")
        away = np.abs(phases % (2 * np.pi) - np.pi)
        return float(np.degrees(np.min(away))) * (-1.0 if self.encircles else 1.0)

    @property
    def gain_margin(self) -> float:
        """Factor of gain that takes T to -1; infinite where it meets the negative axis nowhere, below 1 if unstable."""
        t = self.ratio
        k = np.nonzero((np.sign(t.imag[1:]) != np.sign(t.imag[:-1])) & (t.real[1:] < 0))[0]
        share = t.imag[k] / (t.imag[k] - t.imag[k + 1])
        sizes = np.abs(t.real[k] + share * (t.real[k + 1] - t.real[k]))
        if not self.encircles:
            sizes = sizes[sizes < 1.0]
        return float(1.0 / np.max(sizes)) if len(sizes) else float("inf")

    @property
    def encircles(self) -> bool:
        """Whether T goes round -1 clockwise from zero to infinite frequency: Nyquist, half of his curve.

        The angle of 1 + T then falls by half a turn or more for each growing mode of a pair. It is held against the
        angle at the highest frequency, where T is nothing, and the first point, where it is real.
        """
        turned = np.unwrap(np.angle(1.0 + self.ratio))
        return bool(turned[-1] - turned[0] < -np.pi)

    def _at_crossings(self, values: FloatArray) -> FloatArray:
        """Values, one a frequency, where |T| crosses 1."""
        size = np.log(np.maximum(np.abs(self.ratio), 1e-300))
        k = np.nonzero((size[:-1] > 0.0) != (size[1:] > 0.0))[0]
        share = size[k] / (size[k] - size[k + 1])
        return np.asarray(values[k] + share * (values[k + 1] - values[k]))


def from_injections(
    name: str, voltage: Mapping[str, Any], current: Mapping[str, Any], pin: str, branch: str
) -> LoopGain:
    """The return ratio from the two runs' vectors.

    Parameters
    ----------
    name : str
    voltage, current : mapping of str to ndarray
        Vectors with the source of voltage, and of current, at 1.
    pin : str
        Name of the vector of the voltage behind the probe.
    branch : str
        Name of the vector of the current through it, from the node to the pin.
    """
    v1, v2 = voltage[pin], current[pin]
    i1, i2 = -voltage[branch], -current[branch]
    inverse = 1.0 - i2 + v1 + 2.0 * (i1 * v2 - v1 * i2)
    return LoopGain(name, np.real(voltage["frequency"]), 1.0 / inverse - 1.0)
