"""How a run of a loop came to rest: which controls hunt, how far they swing, how far the loop is from having converged.

From the controls w_n at the ends of the passes, with d_n the step of pass n and s_n the sum of the rate's scale up to
there (annealing takes it down), fitted by least squares over the last `LAST` passes:

    hunting   share of passes in which a control's step has the other sign than the step before
    w_n = w + v s_n + rest_n:     cycle = half the range of rest_n,     drift = v, V a pass at the full rate

A control that hunts swings and does not drift; one that is still on its way drifts and does not swing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits.homodyne import readings
from circuits.homodyne.loop import HomodyneLoop
from circuits.signals.transient import Transient
from inmateria.checks import FloatArray

LAST = 8
"""Passes at the end over which swing and drift are told apart."""
STILL_V = 1e-7
"""A step below this has no sign: what an engine's own tolerance leaves."""


@dataclass(frozen=True, eq=False)
class Settling:
    """How each control came to rest.

    Attributes
    ----------
    names : tuple of str
        Of the controls.
    hunting : ndarray, shape (n_trained,)
        Share of passes in which the step changed its sign.
    cycle_V, drift_V : ndarray, shape (n_trained,)
        Amplitude of what is left of a limit cycle at the end, and how far the control would still go in a pass at the
        full rate: 0 of a loop that has converged.
    """

    names: tuple[str, ...]
    hunting: FloatArray
    cycle_V: FloatArray
    drift_V: FloatArray

    def facts(self) -> dict[str, Any]:
        """By control, as documents have it."""
        return {
            "hunting": dict(zip(self.names, self.hunting.tolist(), strict=True)),
            "limit_cycle_V": dict(zip(self.names, self.cycle_V.tolist(), strict=True)),
            "still_moving_V_per_pass": dict(zip(self.names, self.drift_V.tolist(), strict=True)),
        }

    def words(self) -> str:
        """The worst of each, in a line."""
        worst = [int(np.argmax(np.abs(values))) for values in (self.hunting, self.cycle_V, self.drift_V)]
        hunts, swings, drifts = (self.names[k] for k in worst)
        return (
            f"steps change their sign in {100 * np.mean(self.hunting):.0f} % of the passes ({hunts}: "
            f"{100 * np.max(self.hunting):.0f} %); at the end controls swing by at most "
            f"{1e3 * np.max(self.cycle_V):.2g} mV ({swings}) and still move by "
            f"{1e3 * np.max(np.abs(self.drift_V)):.2g} mV a pass at the full rate ({drifts})"
        )


def settling(loop: HomodyneLoop, run: Transient) -> Settling:
    """How a closed loop's run came to rest; NaN where it ended before."""
    period, passes = loop.sequence.period_s, loop.sequences
    ends: FloatArray = period * np.arange(1.0, passes + 2)
    way = readings.controls_V(loop, run)
    at = np.stack([np.interp(ends, run.time_s, column, right=np.nan) for column in way.T], axis=1)
    steps = np.diff(at, axis=0)
    signs = np.where(np.abs(steps) < STILL_V, 0.0, np.sign(steps))
    hunting = np.mean(signs[1:] * signs[:-1] < 0, axis=0) if passes > 1 else np.zeros(loop.dither.n)
    scales = loop.learning.at(ends[1:] - 0.5 * period)
    last = min(LAST, passes)
    reached = np.append(0.0, np.cumsum(scales[-last:]))
    fitted = np.column_stack([np.ones(last + 1), reached])
    found = np.linalg.pinv(fitted) @ at[-last - 1 :]
    rest = at[-last - 1 :] - fitted @ found
    names = tuple(loop.device.terminals[k] for k in loop.trained)
    return Settling(names, hunting, 0.5 * np.ptp(rest, axis=0), found[1])
