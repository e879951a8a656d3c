"""How the loop is set for a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from circuits.choices import LossName
from circuits.homodyne.loop import Peaks
from inmateria.errors import InputError
from learning.tasks.task import SEPARATION_MIN_A
from netlists.reader import Part


@dataclass(frozen=True)
class HgeSettings:
    """How the loop learns.

    Parameters
    ----------
    amplitude_V : float or tuple of float
        Peak dither at the start, of all controls or of each.
    sequences : int
        Passes through the patterns per attempt.
    learning_rate : float
        V per (V/V) and sequence.
    step_V : float
        Largest step of a control per sequence, V.
    anneal_to : float
        Dither at the end, as a fraction.
    looks : int
        Random settings looked at before an attempt.
    spread : float
        Settings are drawn uniformly from the middle of each control's range, this fraction of it.
    least_rms_A : float
        Smallest rms of the outputs that the automatic gain brings to its level. Outputs that move less stay small
        behind the gain, so the loss asks for larger ones; and starts where they move more are preferred.
    restarts : int
        Attempts at most.
    max_step_s : float, optional
        Largest time step; by default 10 points per cycle of the highest tone.
    parts, multiplier_V
        Electronics other than ideal, as `HomodyneLoop` takes them; see `circuits.loop_fields`.
    loss, leads, component_errors
        What the loop descends, whether leads stand before the electrodes, and how its components deviate, as
        `HomodyneLoop` takes them.
    """

    amplitude_V: Peaks = 0.01
    sequences: int = 30
    learning_rate: float = 0.1
    step_V: float = 0.05
    anneal_to: float = 0.1
    looks: int = 16
    spread: float = 0.6
    least_rms_A: float = SEPARATION_MIN_A
    restarts: int = 20
    max_step_s: float | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    multiplier_V: float = 1.0
    loss: LossName = "squared"
    leads: bool = False
    component_errors: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("amplitude_V", "learning_rate", "step_V", "least_rms_A"):
            value = getattr(self, name)
            if not np.all(np.isfinite(value) & (np.asarray(value) > 0)):
                raise InputError(name, value, "must be positive", "change it")
        for name in ("sequences", "looks", "restarts"):
            if getattr(self, name) < 1:
                raise InputError(name, getattr(self, name), "must be at least 1", "raise it")
        for name in ("anneal_to", "spread"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(name, getattr(self, name), "must lie in (0, 1]", "change it")
