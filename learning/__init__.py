"""Training of any physical function: gradient sources, tasks and their scores, homodyne gradient extraction, baselines.

A *task* says what the outputs should be (`BooleanTask`, `ClassificationTask`, `RegressionTask`) and when it is learned
(`Score`); `named_task` and `own_task` make one. A *gradient source* returns d(output)/dV as a labelled array, whatever
it came from: `central_difference` and `adjoint` ask the device model, `digital_lock_in` demodulates its computed
response, `spice_lock_in` reads the netlist's lock-ins in ngspice. The trainer `learn` restarts the closed loop of
`circuits.HomodyneLoop` as experimenters do and counts what it used; `search` runs the baselines that it has to beat at
equal numbers of device evaluations: random search, finite differences, SPSA, differential evolution.

Multiplexed gradient descent trains any cost: `MultiplexedDescent` by `MgdSettings`, with every perturbation code;
`train_many` runs it on a `SigmoidNetwork` and a `SampleSet` from many starts, `gradient_angles` shows how well it reads
the gradient.

Nothing here prints; long work takes a progress callback.
"""

from learning.backpropagation import backpropagate, softmax_accuracy
from learning.bench import Bench, default_bench
from learning.boolean_task import GATES, BooleanTask
from learning.classification import ClassificationTask, ring, sphere
from learning.gradient_angles import gradient_angles
from learning.gradients import (
    adjoint,
    central_difference,
    digital_lock_in,
    exact_dither_average,
    monte_carlo_difference,
    spice_lock_in,
)
from learning.hge import (
    Attempt,
    FailedAttempt,
    HgeSettings,
    TrainingResult,
    evaluations_to_first,
    learn,
    training_trace,
)
from learning.multiplexed import CompiledCost, MgdSettings, MultiplexedDescent
from learning.multiplexed_training import SOLVED_COST, MgdTraining, train_many
from learning.regression import RegressionTask, curve
from learning.samples import SampleSet, digits, letters, parity
from learning.search import SearchResult, SearchSettings, Trace, search, settled_loss
from learning.sigmoid_network import SigmoidNetwork
from learning.task_files import own_task, read_task
from learning.task_library import named_task
from learning.tasks import Score, Task

__all__ = [
    "GATES",
    "SOLVED_COST",
    "Attempt",
    "Bench",
    "BooleanTask",
    "ClassificationTask",
    "CompiledCost",
    "FailedAttempt",
    "HgeSettings",
    "MgdSettings",
    "MgdTraining",
    "MultiplexedDescent",
    "RegressionTask",
    "SampleSet",
    "Score",
    "SearchResult",
    "SearchSettings",
    "SigmoidNetwork",
    "Task",
    "Trace",
    "TrainingResult",
    "adjoint",
    "backpropagate",
    "central_difference",
    "curve",
    "default_bench",
    "digital_lock_in",
    "digits",
    "evaluations_to_first",
    "exact_dither_average",
    "gradient_angles",
    "learn",
    "letters",
    "monte_carlo_difference",
    "named_task",
    "own_task",
    "parity",
    "read_task",
    "ring",
    "search",
    "settled_loss",
    "softmax_accuracy",
    "sphere",
    "spice_lock_in",
    "train_many",
    "training_trace",
]
