"""Training of any physical function: gradient sources, tasks and their scores, homodyne gradient extraction, baselines.

A *task* says what the outputs should be (`BooleanTask`) and when it is learned (`Score`). A *gradient source* returns
d(output)/dV as a labelled array, whatever it came from: `central_difference` and `adjoint` ask the device model,
`digital_lock_in` demodulates its computed response, `spice_lock_in` reads the netlist's lock-ins in ngspice. The
trainer `learn_gate` restarts the closed loop of `circuits.HomodyneLoop` as experimenters do and counts what it used;
`random_search` is the baseline that it has to beat at equal numbers of device evaluations.

Nothing here prints; long work takes a progress callback.
"""

from learning.bench import Bench, default_bench
from learning.gradients import (
    adjoint,
    central_difference,
    digital_lock_in,
    exact_dither_average,
    monte_carlo_difference,
    spice_lock_in,
)
from learning.hge import Attempt, GateResult, HgeSettings, learn_gate
from learning.random_search import SearchResult, random_search
from learning.tasks import GATES, BooleanTask, Score

__all__ = [
    "GATES",
    "Attempt",
    "Bench",
    "BooleanTask",
    "GateResult",
    "HgeSettings",
    "Score",
    "SearchResult",
    "adjoint",
    "central_difference",
    "default_bench",
    "digital_lock_in",
    "exact_dither_average",
    "learn_gate",
    "monte_carlo_difference",
    "random_search",
    "spice_lock_in",
]
