"""Baselines: optimisers that see nothing but measured outputs, on the trainer's device and clock.

An optimiser gets a `Meter` and asks it for the outputs at a setting. The meter counts: one pattern presented is one
device evaluation and takes one slot (ramp, waiting, window), for the baselines as for the trainer. Readings carry the
published noise of one window. A search ends at the first measured setting that is the task learned, by the rule of the
trainer and with a polarity that it allows, or when the budget is used up.

The loss is that of `learning.trace`. A new method is a function in `optimisers`, and a line in `methods.METHODS`.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment
from learning.searches import optimisers
from learning.searches.meter import Meter, SearchOver, SearchResult, SearchSettings
from learning.searches.methods import METHODS
from learning.trace import Trace


def search(
    experiment: Experiment,
    method: str,
    *,
    device_evaluations: int,
    rng: np.random.Generator,
    settings: SearchSettings | None = None,
) -> SearchResult:
    """Learn a task by one of the baselines.

    Parameters
    ----------
    experiment : Experiment
        Descents look, draw and step as its settings say of the loop.
    method : {"random", "differences", "spsa", "evolution", "cmaes"}
    device_evaluations : int
        Budget of pattern presentations; at least one setting is measured.
    rng : numpy.random.Generator
    settings : SearchSettings, optional

    Raises
    ------
    InputError
        For an unknown method, or a budget that is none.
    ConvergenceError
        If the device finds no state at a setting.
    """
    if method not in METHODS:
        raise InputError("method", method, "is no baseline", f"choose one of {', '.join(METHODS)}")
    if device_evaluations < (patterns := len(experiment.task.points)):
        raise InputError("device_evaluations", device_evaluations, f"one setting needs {patterns}", "raise it")
    draw, noise = rng.spawn(2)
    meter = Meter(experiment, settings or SearchSettings(), device_evaluations, noise)
    with suppress(SearchOver):
        getattr(optimisers, METHODS[method])(meter, draw)
    assert meter.best is not None
    (learned, _), controls, outputs, polarity, score = meter.best
    slot_s = experiment.bench.slot_s
    trace = Trace(np.array([*meter.evaluations, meter.used]), np.array([*meter.losses, meter.losses[-1]]), slot_s)
    return SearchResult(
        method, learned, meter.used, meter.used * slot_s, controls, outputs, polarity, score,
        max(1, meter.starts), trace,
    )  # fmt: skip
