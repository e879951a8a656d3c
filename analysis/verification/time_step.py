"""The path's error of the time step: a piece of the learning path again, with twice the time-points.

Steps of the trapezoidal rule err by their square, so a path with n points a cycle is off by 4/3 of what it differs by
from one with 2 n (Richardson). The error is the largest of any control at any time, as a share of that control's span.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from circuits.homodyne import readings
from circuits.homodyne.engines import LoopEngine
from circuits.homodyne.loop import HomodyneLoop
from dnpu_models.interface.device import is_random

PIECE = 3
"""Sequences of the piece."""


@dataclass(frozen=True)
class StepError:
    """How far a path is off because of its time step.

    Attributes
    ----------
    share : float
        Of a control's span, for the worst control.
    points_per_cycle : float
    sequences : int
        Length of the piece that it was found on.
    """

    share: float
    points_per_cycle: float
    sequences: int

    def words(self) -> str:
        """For people."""
        return (
            f"the path's error of the time step is about {100 * self.share:.2g} % of a control's span, at "
            f"{self.points_per_cycle:.3g} points a cycle ({self.sequences} sequences again at twice as many)"
        )


def step_error(loop: HomodyneLoop, engine: LoopEngine) -> StepError | None:
    """The error of a learning loop's path; None of a random device, and in an engine without dither, which has no step.

    Raises
    ------
    InputError, ConvergenceError, EngineError, Interrupted
        As the engine's `run`.
    """
    if is_random(loop.device) or not engine.has_dither:
        return None
    piece = replace(loop, sequences=min(PIECE, loop.sequences), electronics_noise=False)  # it would part the paths
    fine = replace(piece, points_per_cycle=2 * piece.points_per_cycle)
    coarse_run, fine_run = engine.run(piece), engine.run(fine)
    coarse, finer = readings.controls_V(piece, coarse_run), readings.controls_V(fine, fine_run)
    share = 0.0
    for k in range(coarse.shape[1]):
        span = float(np.ptp(finer[:, k]))
        off = np.interp(coarse_run.time_s, fine_run.time_s, finer[:, k]) - coarse[:, k]
        if span > 0.0:
            share = max(share, 4.0 / 3.0 * float(np.max(np.abs(off))) / span)
    return StepError(share, piece.points_per_cycle, piece.sequences)
