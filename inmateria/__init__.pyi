"""Public names, by what one does with them: `__init__.py` takes its table from here, type checkers their types."""

# Devices: what the material does
from dnpu_models.interface.conformance import check_device as check_device
from dnpu_models.interface.conformance import Examination as Examination
from dnpu_models.interface.device import Device as Device
from dnpu_models.interface.device import SteppableKernel as SteppableKernel
from dnpu_models.master_equation.model import MasterEquation as MasterEquation
from dnpu_models.mean_field.model import MeanField as MeanField
from dnpu_models.monte_carlo.estimate import Estimate as Estimate
from dnpu_models.monte_carlo.model import KineticMonteCarlo as KineticMonteCarlo
from dnpu_models.network.geometry import Disc as Disc
from dnpu_models.network.geometry import Electrode as Electrode
from dnpu_models.network.geometry import Rectangle as Rectangle
from dnpu_models.network.network import DopantNetwork as DopantNetwork
from dnpu_models.noise.noisy_device import NoisyDevice as NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum as NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate as ChipSurrogate
from dnpu_models.surrogate.fit import fit_surrogate as fit_surrogate
from dnpu_models.surrogate.fit import SurrogateFit as SurrogateFit
from dnpu_models.surrogate.samples import export_io_dat as export_io_dat
from dnpu_models.surrogate.samples import read_io_dat as read_io_dat
from learning.bench.bench import Bench as Bench
from learning.bench.bench import default_bench as default_bench

# Frequencies, lock-ins and their errors
from lockin.characterisation import Characterisation as Characterisation
from lockin.characterisation import characterise as characterise
from lockin.demodulate import calibrate_phase as calibrate_phase
from lockin.demodulate import demodulate as demodulate
from lockin.error_budget import error_budget as error_budget
from lockin.error_budget import ErrorBudget as ErrorBudget
from lockin.error_budget import FrontEnd as FrontEnd
from lockin.error_budget import Motion as Motion
from lockin.error_budget import Readout as Readout
from lockin.perturbation import Perturbation as Perturbation
from lockin.plan import DitherPlan as DitherPlan
from lockin.plan import plan_frequencies as plan_frequencies
from lockin.settings import LockInReading as LockInReading
from lockin.settings import LockInSettings as LockInSettings
from circuits.lockin.bank import LockInBank as LockInBank
from circuits.lockin.characterisation import characterise_lockin as characterise_lockin
from circuits.lockin.design import design_lockin as design_lockin
from circuits.lockin.design import LockInDesign as LockInDesign
from circuits.lockin.design import LockInRequirements as LockInRequirements
from circuits.lockin.design import measure_design as measure_design
from circuits.lockin.netlist import lockin_block as lockin_block
from circuits.lockin.netlist import LockInBlock as LockInBlock
from analysis.gradients.planner import GradientPlan as GradientPlan
from analysis.gradients.planner import GradientRequirements as GradientRequirements
from analysis.gradients.planner import plan as plan

# Circuits and ngspice
from circuits.ngspice.cosimulation import CoSimulation as CoSimulation
from circuits.ngspice.engine import Engine as Engine
from circuits.ngspice.noise import noise_currents as noise_currents
from circuits.ngspice.pool import EnginePool as EnginePool
from circuits.signals.patterns import PatternSequence as PatternSequence
from circuits.signals.sources import Drive as Drive
from circuits.signals.sources import Sine as Sine
from circuits.signals.sources import Table as Table
from circuits.signals.transient import Transient as Transient
from circuits.signals.transient import Trust as Trust
from circuits.parts.levels import loop_fields as loop_fields
from circuits.parts.levels import parts_at as parts_at
from netlists.reader import load_part as load_part
from netlists.reader import parse_part as parse_part
from netlists.reader import Part as Part
from netlists.user_part import user_part as user_part

# Homodyne gradient extraction: tasks, gradients, training and what it has to beat
from learning.tasks.boolean import BooleanTask as BooleanTask
from learning.tasks.gates import GATES as GATES
from learning.tasks.classification import ClassificationTask as ClassificationTask
from learning.tasks.classification import ring as ring
from learning.tasks.classification import sphere as sphere
from learning.tasks.files import own_task as own_task
from learning.tasks.files import read_task as read_task
from learning.tasks.library import named_task as named_task
from learning.tasks.regression import curve as curve
from learning.tasks.regression import RegressionTask as RegressionTask
from learning.tasks.task import Score as Score
from learning.tasks.task import Task as Task
from circuits.homodyne.engines import Averaged as Averaged
from circuits.homodyne.engines import LoopEngine as LoopEngine
from circuits.homodyne.engines import Ngspice as Ngspice
from circuits.homodyne.engines import Twin as Twin
from circuits.homodyne.loop import HomodyneLoop as HomodyneLoop
from circuits.homodyne.loop import OutputStage as OutputStage
from learning.homodyne.experiment import Experiment as Experiment
from learning.homodyne.gradients import adjoint as adjoint
from learning.homodyne.gradients import central_difference as central_difference
from learning.homodyne.gradients import digital_lock_in as digital_lock_in
from learning.homodyne.gradients import exact_dither_average as exact_dither_average
from learning.homodyne.gradients import spice_lock_in as spice_lock_in
from learning.homodyne.results import Attempt as Attempt
from learning.homodyne.results import FailedAttempt as FailedAttempt
from learning.homodyne.results import TrainingResult as TrainingResult
from learning.homodyne.settings import HgeSettings as HgeSettings
from learning.homodyne.training import learn as learn
from learning.searches.meter import SearchSettings as SearchSettings
from learning.searches.search import search as search
from analysis.gradients.compare import compare as compare
from analysis.gradients.compare import Comparison as Comparison
from analysis.gradients.path_check import check_path as check_path
from analysis.gradients.path_check import loss_gradients as loss_gradients
from analysis.gradients.path_check import PathCheck as PathCheck

# Multiplexed gradient descent
from circuits.multiplexed.device_network import DeviceNetwork as DeviceNetwork
from circuits.multiplexed.device_network import layered_wires as layered_wires
from circuits.multiplexed.device_network import measured_network as measured_network
from circuits.multiplexed.loop import MultiplexedLoop as MultiplexedLoop
from circuits.multiplexed.netlist import standalone_deck as standalone_deck
from circuits.multiplexed.run import MultiplexedRun as MultiplexedRun
from circuits.multiplexed.run import run_multiplexed as run_multiplexed
from circuits.multiplexed.sigmoid_network import SigmoidNetworkCircuit as SigmoidNetworkCircuit
from learning.multiplexed.backpropagation import backpropagate as backpropagate
from learning.multiplexed.backpropagation import softmax_accuracy as softmax_accuracy
from learning.multiplexed.descent import CompiledCost as CompiledCost
from learning.multiplexed.descent import MgdSettings as MgdSettings
from learning.multiplexed.descent import MultiplexedDescent as MultiplexedDescent
from learning.multiplexed.gradient_angles import gradient_angles as gradient_angles
from learning.multiplexed.sigmoid_network import SigmoidNetwork as SigmoidNetwork
from learning.multiplexed.training import MgdTraining as MgdTraining
from learning.multiplexed.training import train_many as train_many
from learning.samples.samples import digits as digits
from learning.samples.samples import letters as letters
from learning.samples.samples import parity as parity
from learning.samples.samples import SampleSet as SampleSet
from learning.samples.vowels import vowels as vowels

# Physics-aware training
from circuits.physics_aware.rlc_layer import RlcLayer as RlcLayer
from circuits.physics_aware.waveform_circuit import WaveformCircuit as WaveformCircuit
from learning.physics_aware.circuit_system import CircuitSystem as CircuitSystem
from learning.physics_aware.circuit_system import RlcSystem as RlcSystem
from learning.physics_aware.device_system import DeviceSystem as DeviceSystem
from learning.physics_aware.digital_models import DenseModel as DenseModel
from learning.physics_aware.digital_models import DigitalModel as DigitalModel
from learning.physics_aware.digital_models import load_model as load_model
from learning.physics_aware.digital_models import save_model as save_model
from learning.physics_aware.digital_models import WaveformModel as WaveformModel
from learning.physics_aware.layer import physics_aware as physics_aware
from learning.physics_aware.model_fit import fit_model as fit_model
from learning.physics_aware.model_fit import ModelFit as ModelFit
from learning.physics_aware.network import PhysicalNetwork as PhysicalNetwork
from learning.physics_aware.result import PatResult as PatResult
from learning.physics_aware.settings import PatTraining as PatTraining
from learning.physics_aware.systems import PhysicalSystem as PhysicalSystem
from learning.physics_aware.training import train_physics_aware as train_physics_aware

# Designs, sweeps, datasets, pictures
from analysis.datasets import loop_dataset as loop_dataset
from analysis.datasets import save_dataset as save_dataset
from analysis.designs.design import Design as Design
from analysis.plots.device import plot_device as plot_device
from analysis.plots.device import plot_iv as plot_iv
from analysis.plots.loop import plot_gradients as plot_gradients
from analysis.plots.loop import plot_learning as plot_learning
from analysis.plots.loop import plot_path_check as plot_path_check
from analysis.plots.loop import plot_truth_table as plot_truth_table
from analysis.plots.loop import plot_waveforms as plot_waveforms
from analysis.plots.sweep import plot_sweep as plot_sweep
from analysis.sweeps.design_sweep import sweep as sweep
from analysis.sweeps.store import read_store as read_store
from analysis.sweeps.store import Variable as Variable

# Errors
from inmateria.errors import AbsurdValueError as AbsurdValueError
from inmateria.errors import ConvergenceError as ConvergenceError
from inmateria.errors import EngineCrashError as EngineCrashError
from inmateria.errors import EngineError as EngineError
from inmateria.errors import EngineExitError as EngineExitError
from inmateria.errors import EngineHangError as EngineHangError
from inmateria.errors import InMateriaError as InMateriaError
from inmateria.errors import InputError as InputError
from inmateria.errors import Interrupted as Interrupted
from inmateria.errors import NetlistError as NetlistError
from inmateria.errors import NoConvergenceError as NoConvergenceError
from inmateria.errors import SingularMatrixError as SingularMatrixError
from inmateria.errors import TimestepTooSmallError as TimestepTooSmallError
from inmateria.errors import TooManyPointsError as TooManyPointsError
from inmateria.errors import TrustWarning as TrustWarning

__version__: str
_HOME: dict[str, str]  # public names, and the file that defines each
