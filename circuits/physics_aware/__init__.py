"""Circuits as layers: a batch of samples goes in as waveforms, readings come out.

`waveform_circuit` streams a batch through any netlist in one ngspice transient, with `waveform_kernel` as its compiled
source. `rlc_layer` is our own such circuit, with a twin in compiled code and its exact derivative (`rlc_layer_kernel`).

Another circuit of one's own needs no new class: a netlist in `WaveformCircuit`. One with a twin is a new file beside
`rlc_layer`. No digital model, no training, no layout of a network: those are in `learning.physics_aware`.
"""
