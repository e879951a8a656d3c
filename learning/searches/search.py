"""Baselines: optimisers that see nothing but measured outputs, on the trainer's device and clock.

An optimiser gets a `Meter` and asks it for the outputs at a setting. The meter counts: one pattern presented is one
device evaluation and takes one slot (ramp, waiting, window), for the baselines as for the trainer. Readings carry the
published noise of one window. A search ends at the first measured setting that is the task learned, by the rule of the
trainer and with either polarity, or when the budget is used up.

The loss is what the loop descends on once its output stage has settled: with y = p (I - mean I) / max(rms, least_rms)

    L = mean over the patterns of (y - target)^2,

which is 2 (1 - p correlation) where the outputs move enough.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.searches.meter import Meter, SearchOver, SearchResult, SearchSettings, Trace
from learning.tasks.task import Task

Optimiser = Callable[[Meter, np.random.Generator], None]
"""Asks the meter until that says `SearchOver`."""


def search(
    bench: Bench,
    task: Task,
    method: str,
    *,
    device_evaluations: int,
    rng: np.random.Generator,
    settings: SearchSettings | None = None,
) -> SearchResult:
    """Learn a task by one of the baselines.

    Parameters
    ----------
    bench, task
    method : {"random", "differences", "spsa", "evolution"}
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
    from learning.searches.evolution import differential_evolution
    from learning.searches.finite_differences import finite_differences
    from learning.searches.random_search import random_search
    from learning.searches.spsa import spsa

    methods: dict[str, Optimiser] = {
        "random": random_search,
        "differences": finite_differences,
        "spsa": spsa,
        "evolution": differential_evolution,
    }
    if method not in methods:
        raise InputError("method", method, "is no baseline", f"choose one of {', '.join(methods)}")
    if device_evaluations < len(task.points):
        raise InputError("device_evaluations", device_evaluations, f"one setting wants {len(task.points)}", "raise it")
    draw, noise = rng.spawn(2)
    meter = Meter(bench, task, settings or SearchSettings(), device_evaluations, noise)
    with suppress(SearchOver):
        methods[method](meter, draw)
    assert meter.best is not None
    (learned, _), controls, outputs, polarity, score = meter.best
    trace = Trace(np.array([*meter.evaluations, meter.used]), np.array([*meter.losses, meter.losses[-1]]), bench.slot_s)
    return SearchResult(
        method, learned, meter.used, meter.used * bench.slot_s, controls, outputs, polarity, score,
        max(1, meter.starts), trace,
    )  # fmt: skip
