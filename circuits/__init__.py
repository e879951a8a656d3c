"""Circuits around devices: the ngspice engine, co-simulation, pattern sequences, and the closed loop with its twin.

`Engine` runs decks in a worker process of its own; a crash inside ngspice ends that process and becomes an exception
here. `EnginePool` spreads many runs over several. `CoSimulation` couples a device's compiled kernel to circuit nodes:
no Python runs per time-point.
`PatternSequence` says which input levels stand when, and when the lock-ins listen. `HomodyneLoop` puts device, dither,
lock-ins, output stage and integrators together, `opened()` the same circuit with frozen controls, reading gradients.
It is run by an engine: `Ngspice`, the compiled `Twin`, or the loop `Averaged` over its dither. Its deck comes from
`circuits.homodyne.netlist`, outputs, controls and gradients of a run from `circuits.homodyne.readings`.
`lockin_block` is one lock-in as a netlist at any level of its parts, `characterise_lockin` its data sheet,
`design_lockin` finds tones, filter and components for given requirements.
`WaveformCircuit` sends a batch of samples through one transient, as a layer of a network; `RlcLayer` is our own such
circuit, with a compiled twin and its exact derivative.

Circuits may be scaled in time against a real bench; the default windows are the published 0.1 s, unscaled.
"""
