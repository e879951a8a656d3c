"""What an operator sees of a setting with the dither on, and where its slopes say to look next.

One presentation of a pattern p tells its output current I_p and, as all lock-ins listen at once, its slopes
s_pk = dI_p/dw_k. By them a move d of the controls makes I + s d of I, and the loss `settled_loss` of that is what the
setting promises: the smallest one for moves of at most `REACH` of each control's range.

Here the device itself is asked, without noise, and its slopes are exact: what lock-ins misread would only change which
start is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import minimize

from dnpu_models.interface.device import has_exact_slopes
from inmateria.checks import FloatArray
from learning.homodyne.experiment import Experiment, middle_loop
from learning.settled_loss import normalised, settled_loss

REACH = 0.01
"""Of a control's range, how far slopes are trusted: docs/decisions.md, "Looks with the dither on"."""


@dataclass(frozen=True, eq=False)
class Look:
    """A setting as it was seen.

    Attributes
    ----------
    controls_V : ndarray, shape (n_trained,)
    outputs_A : ndarray, shape (n_patterns,)
    polarity : float
        +1, or -1 where the output is to be read upside down.
    loss : float
        `settled_loss` of the outputs with it.
    """

    controls_V: FloatArray
    outputs_A: FloatArray
    polarity: float
    loss: float


class Operator:
    """Who looks at settings of an experiment.

    Parameters
    ----------
    experiment : Experiment
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._targets = np.array(experiment.task.targets_V)
        self._rails_V = middle_loop(experiment).control_limits_V
        self._reach_V = REACH * np.ptp(experiment.bench.limits_V, axis=1)
        self._slopes_S = cache(lambda look: experiment.bench.slopes_S(look.controls_V, experiment.task))

    def looks(self, settings_V: FloatArray) -> list[Look]:
        """What is seen at settings (m, n_trained), each read with the sign that suits it best.

        Raises
        ------
        ConvergenceError
            Where the device has no state.
        """
        bench, task = self._experiment.bench, self._experiment.task
        seen = zip(settings_V, bench.many_outputs_A(settings_V, task), strict=True)
        return [self._seen(controls, outputs, task.sign(outputs)) for controls, outputs in seen]

    def look(self, controls_V: FloatArray, polarity: float) -> Look:
        """What is seen at one setting, with this polarity; errors as `looks`."""
        bench, task = self._experiment.bench, self._experiment.task
        return self._seen(controls_V, bench.many_outputs_A(controls_V[None], task)[0], polarity)

    def _seen(self, controls_V: FloatArray, outputs_A: FloatArray, polarity: float) -> Look:
        loss = settled_loss(outputs_A, self._targets, polarity, self._experiment.least_rms_A)
        return Look(controls_V, outputs_A, polarity, loss)

    def promise(self, look: Look, share: float = 1.0) -> tuple[float, FloatArray]:
        """The loss that a setting promises within a share of `REACH`, and the controls (V) that would give it.

        Both are the look's own where the device has no exact slopes.

        Raises
        ------
        ConvergenceError
            Where the device has no state.
        """
        least_A = self._experiment.least_rms_A
        if not has_exact_slopes(self._experiment.bench.device):
            return look.loss, look.controls_V
        reach_V = share * self._reach_V
        by_move = self._slopes_S(look) * reach_V
        low, high = (np.clip((rail - look.controls_V) / reach_V, -1.0, 1.0) for rail in self._rails_V)

        def promised(move: FloatArray) -> tuple[float, FloatArray]:
            y, by_output = normalised(look.outputs_A + by_move @ move, look.polarity, least_A)
            error = y - self._targets
            return float(np.mean(error**2)), 2.0 / len(error) * error @ by_output @ by_move

        best = minimize(promised, np.zeros(len(low)), jac=True, bounds=np.column_stack([low, high]), method="L-BFGS-B")
        return float(best.fun), look.controls_V + reach_V * best.x
