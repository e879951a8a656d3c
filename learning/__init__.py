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

Physics-aware training makes any `PhysicalSystem` (`CircuitSystem`, `RlcSystem`, `DeviceSystem`) a layer for PyTorch:
`physics_aware` runs the system forwards and its digital model backwards; `fit_model` fits the model, `PhysicalNetwork`
chains passes through the system, `train_physics_aware` trains it by `PatTraining` on `vowels` or images. Names that
need PyTorch, an extra, are loaded when first used.

Nothing here prints; long work takes a progress callback.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from learning.bench.bench import Bench, default_bench
from learning.homodyne.gradients import (
    adjoint,
    central_difference,
    digital_lock_in,
    exact_dither_average,
    monte_carlo_difference,
    spice_lock_in,
)
from learning.homodyne.results import Attempt, FailedAttempt, TrainingResult, evaluations_to_first, training_trace
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import learn
from learning.multiplexed.backpropagation import backpropagate, softmax_accuracy
from learning.multiplexed.descent import CompiledCost, MgdSettings, MultiplexedDescent
from learning.multiplexed.gradient_angles import gradient_angles
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.multiplexed.training import SOLVED_COST, MgdTraining, done_so_far, train_many
from learning.physics_aware.circuit_system import CircuitSystem, RlcSystem
from learning.physics_aware.device_system import DeviceSystem
from learning.physics_aware.layout import PassLayout, node_layout, waveform_layout
from learning.physics_aware.settings import PatTraining
from learning.physics_aware.systems import DifferentiableSystem, IdentitySystem, PhysicalSystem
from learning.samples.samples import SampleSet, digits, letters, parity
from learning.samples.vowels import vowels
from learning.searches.meter import SearchResult, SearchSettings, Trace, settled_loss
from learning.searches.search import search
from learning.tasks.boolean import GATES, BooleanTask
from learning.tasks.classification import ClassificationTask, ring, sphere
from learning.tasks.files import own_task, read_task
from learning.tasks.library import named_task
from learning.tasks.regression import RegressionTask, curve
from learning.tasks.task import Score, Task

if TYPE_CHECKING:
    from learning.physics_aware.digital_models import DenseModel as DenseModel
    from learning.physics_aware.digital_models import DigitalModel as DigitalModel
    from learning.physics_aware.digital_models import WaveformModel as WaveformModel
    from learning.physics_aware.digital_models import load_model as load_model
    from learning.physics_aware.digital_models import save_model as save_model
    from learning.physics_aware.layer import physics_aware as physics_aware
    from learning.physics_aware.layer import system_function as system_function
    from learning.physics_aware.model_fit import ModelFit as ModelFit
    from learning.physics_aware.model_fit import fit_model as fit_model
    from learning.physics_aware.network import PhysicalNetwork as PhysicalNetwork
    from learning.physics_aware.result import PatResult as PatResult
    from learning.physics_aware.training import train_physics_aware as train_physics_aware

_NEEDS_PYTORCH = {
    "learning.physics_aware.digital_models": [
        "DenseModel",
        "DigitalModel",
        "WaveformModel",
        "load_model",
        "save_model",
    ],
    "learning.physics_aware.model_fit": ["ModelFit", "fit_model"],
    "learning.physics_aware.network": ["PhysicalNetwork"],
    "learning.physics_aware.layer": ["physics_aware", "system_function"],
    "learning.physics_aware.result": ["PatResult"],
    "learning.physics_aware.training": ["train_physics_aware"],
}
_WHERE = {name: module for module, names in _NEEDS_PYTORCH.items() for name in names}

__all__ = [
    "GATES",
    "SOLVED_COST",
    "Attempt",
    "Bench",
    "BooleanTask",
    "CircuitSystem",
    "ClassificationTask",
    "CompiledCost",
    "DenseModel",
    "DeviceSystem",
    "DifferentiableSystem",
    "DigitalModel",
    "FailedAttempt",
    "HgeSettings",
    "IdentitySystem",
    "MgdSettings",
    "MgdTraining",
    "ModelFit",
    "MultiplexedDescent",
    "PassLayout",
    "PatResult",
    "PatTraining",
    "PhysicalNetwork",
    "PhysicalSystem",
    "RegressionTask",
    "RlcSystem",
    "SampleSet",
    "Score",
    "SearchResult",
    "SearchSettings",
    "SigmoidNetwork",
    "Task",
    "Trace",
    "TrainingResult",
    "WaveformModel",
    "adjoint",
    "backpropagate",
    "central_difference",
    "curve",
    "default_bench",
    "digital_lock_in",
    "digits",
    "done_so_far",
    "evaluations_to_first",
    "exact_dither_average",
    "fit_model",
    "gradient_angles",
    "learn",
    "letters",
    "load_model",
    "monte_carlo_difference",
    "named_task",
    "node_layout",
    "own_task",
    "parity",
    "physics_aware",
    "read_task",
    "ring",
    "save_model",
    "search",
    "settled_loss",
    "softmax_accuracy",
    "sphere",
    "spice_lock_in",
    "system_function",
    "train_many",
    "train_physics_aware",
    "training_trace",
    "vowels",
    "waveform_layout",
]


def __getattr__(name: str) -> Any:
    """Load a public name that needs PyTorch from its module."""
    if name not in _WHERE:
        raise AttributeError(f"module 'learning' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    """Public names."""
    return list(__all__)
