"""Random search: the baseline. Settings are drawn as the trainer draws its starts, and each is looked at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnpu_models.geometry import FloatArray
from learning.bench import Bench
from learning.tasks import BooleanTask, Score


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What random search found: success, pattern presentations used, and the best setting."""

    success: bool
    device_evaluations: int
    controls_V: FloatArray
    score: Score


def random_search(
    bench: Bench, task: BooleanTask, *, device_evaluations: int, spread: float, rng: np.random.Generator
) -> SearchResult:
    """Draw settings from the middle `spread` of the ranges until one fulfils the gate or the evaluations are used up.

    The polarity of the output is free, as for the trainer. A setting costs four device evaluations (one per pattern).

    Raises
    ------
    ConvergenceError
        If the device finds no state at a setting.
    """
    best: tuple[FloatArray, Score] | None = None
    used = 0
    while used == 0 or used + 4 <= device_evaluations:
        controls = bench.random_controls(spread, rng)
        outputs = bench.outputs_A(controls, task)
        used += 4
        scores = [task.score(outputs, polarity, bench.noise_A()) for polarity in (1.0, -1.0)]
        score = max(scores, key=lambda s: (s.learned, s.margin))
        if best is None or (score.learned, score.margin) > (best[1].learned, best[1].margin):
            best = controls, score
        if score.learned:
            break
    assert best is not None
    return SearchResult(best[1].learned, used, *best)
