"""Circuits around devices: the ngspice engine, co-simulation, pattern sequences, and the closed loop with its twin.

`Engine` runs decks in a worker process of its own; a crash inside ngspice ends that process and becomes an exception
here. `EnginePool` spreads many runs over several. `CoSimulation` couples a device's compiled kernel to circuit nodes:
no Python runs per time-point.
`PatternSequence` says which input levels stand when, and when the lock-ins listen. `HomodyneLoop` puts device, dither,
lock-ins, output stage and integrators together: `deck()` is the netlist, `run()` the ngspice transient, `twin()` the
same equations in compiled code, `opened()` the same circuit with frozen controls, reading gradients.
`lockin_block` is one lock-in as a netlist at any level of its parts, `characterise_lockin` its data sheet,
`design_lockin` finds tones, filter and components for given requirements.
`WaveformCircuit` sends a batch of samples through one transient, as a layer of a network; `RlcLayer` is our own such
circuit, with a compiled twin and its exact derivative.

Circuits may be scaled in time against a real bench; the default windows are the published 0.1 s, unscaled.

Names are loaded when first used: a worker process needs few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuits.homodyne.loop import HomodyneLoop as HomodyneLoop
    from circuits.homodyne.loop import OutputStage as OutputStage
    from circuits.homodyne.offsets import offset_bias as offset_bias
    from circuits.lockin.bank import LockInBank as LockInBank
    from circuits.lockin.characterisation import characterise_lockin as characterise_lockin
    from circuits.lockin.design import LockInDesign as LockInDesign
    from circuits.lockin.design import LockInRequirements as LockInRequirements
    from circuits.lockin.design import design_lockin as design_lockin
    from circuits.lockin.design import measure_design as measure_design
    from circuits.lockin.netlist import LockInBlock as LockInBlock
    from circuits.lockin.netlist import lockin_block as lockin_block
    from circuits.multiplexed.device_network import DeviceNetwork as DeviceNetwork
    from circuits.multiplexed.device_network import Wire as Wire
    from circuits.multiplexed.device_network import layered_wires as layered_wires
    from circuits.multiplexed.device_network import measured_network as measured_network
    from circuits.multiplexed.loop import MultiplexedLoop as MultiplexedLoop
    from circuits.multiplexed.run import MultiplexedRun as MultiplexedRun
    from circuits.multiplexed.sigmoid_network import SigmoidNetworkCircuit as SigmoidNetworkCircuit
    from circuits.ngspice.cosimulation import CoSimulation as CoSimulation
    from circuits.ngspice.engine import OPTIONS as OPTIONS
    from circuits.ngspice.engine import Engine as Engine
    from circuits.ngspice.engine import Vectors as Vectors
    from circuits.ngspice.library import find_ngspice_library as find_ngspice_library
    from circuits.ngspice.noise import noise_currents as noise_currents
    from circuits.ngspice.pool import EnginePool as EnginePool
    from circuits.ngspice.pool import Outcome as Outcome
    from circuits.parts.levels import loop_fields as loop_fields
    from circuits.parts.levels import multiplexed_parts as multiplexed_parts
    from circuits.parts.levels import parts_at as parts_at
    from circuits.physics_aware.rlc_layer import RlcLayer as RlcLayer
    from circuits.physics_aware.waveform_circuit import FailedSample as FailedSample
    from circuits.physics_aware.waveform_circuit import WaveformCircuit as WaveformCircuit
    from circuits.signals.patterns import PatternSequence as PatternSequence
    from circuits.signals.sources import Drive as Drive
    from circuits.signals.sources import Sine as Sine
    from circuits.signals.sources import Table as Table
    from circuits.signals.transient import Transient as Transient
    from circuits.signals.transient import Trust as Trust

_HOME = {
    "circuits.ngspice.cosimulation": ["CoSimulation"],
    "circuits.signals.sources": ["Drive", "Sine", "Table"],
    "circuits.multiplexed.device_network": ["DeviceNetwork", "Wire", "layered_wires", "measured_network"],
    "circuits.ngspice.engine": ["OPTIONS", "Engine", "Vectors"],
    "circuits.signals.transient": ["Transient", "Trust"],
    "circuits.homodyne.loop": ["HomodyneLoop", "OutputStage"],
    "circuits.parts.levels": ["loop_fields", "multiplexed_parts", "parts_at"],
    "circuits.ngspice.library": ["find_ngspice_library"],
    "circuits.lockin.bank": ["LockInBank"],
    "circuits.lockin.characterisation": ["characterise_lockin"],
    "circuits.lockin.design": ["LockInDesign", "LockInRequirements", "design_lockin", "measure_design"],
    "circuits.lockin.netlist": ["LockInBlock", "lockin_block"],
    "circuits.multiplexed.loop": ["MultiplexedLoop"],
    "circuits.multiplexed.run": ["MultiplexedRun"],
    "circuits.ngspice.noise": ["noise_currents"],
    "circuits.homodyne.offsets": ["offset_bias"],
    "circuits.signals.patterns": ["PatternSequence"],
    "circuits.ngspice.pool": ["EnginePool", "Outcome"],
    "circuits.physics_aware.rlc_layer": ["RlcLayer"],
    "circuits.multiplexed.sigmoid_network": ["SigmoidNetworkCircuit"],
    "circuits.physics_aware.waveform_circuit": ["FailedSample", "WaveformCircuit"],
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _WHERE:
        raise AttributeError(f"module 'circuits' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return found


def __dir__() -> list[str]:
    """Public names."""
    return list(__all__)
