"""How the loop is set for a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import numpy as np

from circuits.homodyne.loop import Peaks
from circuits.homodyne.options import LoopOptions, check_rates
from inmateria.checks import count, positive
from inmateria.errors import InputError

IDEAL_PEAK_V, REAL_PEAK_V = 0.005, 0.01
"""Dither of a loop of ideal parts and of real ones, unless it is given; measured, see docs/decisions.md."""


@dataclass(frozen=True)
class HgeSettings(LoopOptions):
    """How the loop learns, and how its starts are chosen.

    Parameters
    ----------
    amplitude_V : float or tuple of float, optional
        Peak dither at the start, of all controls or of each; see `peaks_V` for what it is by default.
    looks : int
        Random settings looked at before an attempt, with the dither on.
    candidates, moves : int
        How many of them, those whose slopes promise most, are followed: so many times by their slopes, one look each;
        see `learning.homodyne.looks`.
    spread : float
        Settings are drawn uniformly from the middle of each control's range, this fraction of it.
    least_rms_A : float
        Smallest rms of the outputs that the automatic gain brings to its level. Outputs that move less stay small
        behind the gain, so the loss asks for larger ones; and starts where they move more are preferred. It holds where
        1e7 ohm read the output, and rises with the currents that another amplifier is for.
    restarts : int
        Attempts at most.
    rates : float or sequence of float or "auto"
        Shares of the learning rate, and with it of the largest step, of all controls or of each; "auto": of each by its
        slope at the start, see `learning.homodyne.start`.
    max_step_s : float, optional
        Largest time step; by default 10 points per cycle of the highest tone.
    sequences, learning_rate, step_V, anneal_to, dither_to, parts, multiplier_V, loss, leads, component_errors,
    temperature_K
        As `LoopOptions`; `circuits.parts.levels.loop_fields` gives electronics other than ideal.
    """

    amplitude_V: Peaks | None = None
    _: KW_ONLY
    sequences: int = 12
    step_V: float = 0.1
    looks: int = 22
    candidates: int = 4
    moves: int = 3
    spread: float = 0.6
    least_rms_A: float = 0.5e-9
    restarts: int = 20
    rates: float | Sequence[float] | Literal["auto"] = "auto"
    max_step_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for peak in np.ravel(self.peaks_V).tolist():
            positive("amplitude_V", peak, "V")
        positive("least_rms_A", self.least_rms_A, "A")
        for name in ("looks", "candidates", "restarts"):
            count(name, getattr(self, name))
        count("moves", self.moves, least=0)
        if self.rates != "auto":
            check_rates(self.rates)
        if not 0 < self.spread <= 1:
            raise InputError("spread", self.spread, "must lie in (0, 1]", "change it")

    @property
    def peaks_V(self) -> Peaks:
        """Peak dither at the start, V: `amplitude_V`, or by default 5 mV, with real parts 10 mV.

        Small dither shows the slopes where the loop stands, and not those around; but offsets of real parts add 2/alpha
        of them to a slope.
        """
        if self.amplitude_V is not None:
            return self.amplitude_V
        return REAL_PEAK_V if self.parts else IDEAL_PEAK_V
