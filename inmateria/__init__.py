"""inmateria: SPICE-level simulation of circuits that learn.

Everything a script needs is here: ``from inmateria import DopantNetwork, MeanField, HomodyneLoop, ...``. Names are
loaded when first used, so that ``import inmateria`` is quick. The rooms behind it, from the top down: `analysis`,
`learning`, `circuits`, and the leaves `dnpu_models`, `lockin`, `netlists`.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from inmateria.rooms import shadowed_rooms
from inmateria.stale_kernels import forget_stale_kernels

__version__ = "0.1.0"

_HOME = {
    "analysis": [
        "BudgetCheck", "Comparison", "GradientPlan", "GradientRequirements", "PathCheck", "plan", "budget_dataset",
        "check_bank", "check_path", "compare", "loop_dataset", "loss_gradients", "predict_bank", "predict_loop",
        "save_dataset",
    ],
    "analysis.designs.design": ["Design"],
    "analysis.sweeps.store": ["Variable", "read_store"],
    "analysis.plots.sweep": ["plot_sweep"],
    "analysis.sweeps.design_sweep": ["sweep"],
    "analysis.plots.device": ["plot_device", "plot_iv"],
    "analysis.plots.loop": ["plot_gradients", "plot_learning", "plot_path_check", "plot_truth_table", "plot_waveforms"],
    "learning": [
        "Attempt", "Bench", "BooleanTask", "CircuitSystem", "ClassificationTask", "CompiledCost", "DenseModel",
        "DeviceSystem", "DifferentiableSystem", "DigitalModel", "FailedAttempt", "GATES", "HgeSettings",
        "IdentitySystem", "MgdSettings", "MgdTraining", "ModelFit", "MultiplexedDescent", "PassLayout", "PatResult",
        "PatTraining", "PhysicalNetwork", "PhysicalSystem", "RegressionTask", "RlcSystem", "SOLVED_COST", "SampleSet",
        "Score", "SearchSettings", "SigmoidNetwork", "Task", "TrainingResult", "WaveformModel", "adjoint",
        "backpropagate", "central_difference", "curve", "default_bench", "digital_lock_in", "digits",
        "evaluations_to_first", "exact_dither_average", "fit_model", "gradient_angles", "learn", "letters",
        "load_model", "named_task", "node_layout", "own_task", "parity", "physics_aware", "read_task", "ring",
        "save_model", "search", "settled_loss", "softmax_accuracy", "sphere", "spice_lock_in", "system_function",
        "train_many", "train_physics_aware", "training_trace", "vowels", "waveform_layout",
    ],
    "circuits": [
        "CoSimulation", "DeviceNetwork", "Drive", "Engine", "EnginePool", "FailedSample", "HomodyneLoop", "LockInBank",
        "LockInBlock", "LockInDesign", "LockInRequirements", "MultiplexedLoop", "MultiplexedRun", "Outcome",
        "OutputStage", "PatternSequence", "RlcLayer", "SigmoidNetworkCircuit", "Sine", "Table", "Transient", "Trust",
        "Vectors", "WaveformCircuit", "Wire", "characterise_lockin", "design_lockin", "layered_wires", "lockin_block",
        "loop_fields", "measure_design", "measured_network", "multiplexed_parts", "noise_currents", "offset_bias",
        "parts_at",
    ],
    "dnpu_models": [
        "ChipSurrogate", "Disc", "DopantNetwork", "Electrode", "Estimate", "KineticMonteCarlo", "MasterEquation",
        "MeanField", "NoiseSpectrum", "NoisyDevice", "Rectangle", "SteppableKernel", "SurrogateFit", "export_io_dat",
        "fit_surrogate", "hop_currents", "largest_paths", "read_io_dat",
    ],
    "dnpu_models.interface.conformance": ["Examination", "Finding", "check_device"],
    "lockin": [
        "Characterisation", "DitherPlan", "ErrorBudget", "FrontEnd", "LockInReading", "LockInSettings",
        "Perturbation", "calibrate_phase", "characterise", "demodulate", "error_budget", "plan_frequencies",
    ],
    "netlists": ["Part", "load_part", "parse_part", "user_part"],
    "inmateria.errors": [
        "AbsurdValueError", "ConvergenceError", "EngineCrashError", "EngineError", "EngineExitError", "EngineHangError",
        "InMateriaError", "InputError", "Interrupted", "NetlistError", "NoConvergenceError", "SingularMatrixError",
        "TimestepTooSmallError", "TooManyPointsError", "TrustWarning",
    ],
}  # fmt: skip
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_WHERE)]

_SHADOWED = shadowed_rooms()
for _room, _path in _SHADOWED.items():
    warnings.warn(f"{_path} shadows inmateria's room {_room!r}; rename it or start Python elsewhere", stacklevel=2)
forget_stale_kernels(Path(__file__).resolve().parent.parent)


def __getattr__(name: str) -> Any:
    """Load a public name from its room."""
    if name not in _WHERE:
        raise AttributeError(f"module 'inmateria' has no attribute {name!r}")
    room = _WHERE[name].partition(".")[0]
    if room in _SHADOWED:
        raise ImportError(f"{name} cannot be loaded: {_SHADOWED[room]} shadows inmateria's room {room!r}; rename it")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    """Public names."""
    return list(__all__)
