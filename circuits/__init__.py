"""Circuits around devices: the ngspice engine, co-simulation, pattern sequences, and the closed loop with its twin.

`Engine` runs decks in a worker process of its own; a crash inside ngspice ends that process and becomes an exception
here. `EnginePool` spreads many runs over several. `CoSimulation` couples a device's compiled kernel to circuit nodes:
no Python runs per time-point.
`PatternSequence` says which input levels stand when, and when the lock-ins listen. `HomodyneLoop` puts device, dither,
lock-ins, output stage and integrators together: `deck()` is the netlist, `run()` the ngspice transient, `twin()` the
same equations in compiled code, `opened()` the same circuit with frozen controls, reading gradients.
`lockin_block` is one lock-in as a netlist at any level of its parts, `characterise_lockin` its data sheet,
`design_lockin` finds tones, filter and components for given requirements.

Circuits may be scaled in time against a real bench; the default windows are the published 0.1 s, unscaled.
"""

from circuits.cosimulation import CoSimulation, Drive, Sine, Table
from circuits.design_lockin import LockInDesign, LockInRequirements, design_lockin, measure_design
from circuits.engine import OPTIONS, Engine, Transient, Vectors
from circuits.homodyne_loop import HomodyneLoop, OutputStage
from circuits.levels import loop_fields, parts_at
from circuits.library import find_ngspice_library
from circuits.lockin_bank import LockInBank
from circuits.lockin_block import LockInBlock, lockin_block
from circuits.lockin_characterisation import characterise_lockin
from circuits.noise import noise_currents
from circuits.offset_bias import offset_bias
from circuits.patterns import PatternSequence
from circuits.pool import EnginePool, Outcome
from circuits.trust import Trust

__all__ = [
    "OPTIONS",
    "CoSimulation",
    "Drive",
    "Engine",
    "EnginePool",
    "HomodyneLoop",
    "LockInBank",
    "LockInBlock",
    "LockInDesign",
    "LockInRequirements",
    "Outcome",
    "OutputStage",
    "PatternSequence",
    "Sine",
    "Table",
    "Transient",
    "Trust",
    "Vectors",
    "characterise_lockin",
    "design_lockin",
    "find_ngspice_library",
    "lockin_block",
    "loop_fields",
    "measure_design",
    "noise_currents",
    "offset_bias",
    "parts_at",
]
