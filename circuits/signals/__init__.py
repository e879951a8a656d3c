"""What circuits are driven by and what they give: waveforms, pattern sequences, and the record of a transient.

`sources` are the waveforms that a circuit's sources and a device's known voltages share (sines, tables), with
`sources_kernel`, the same for compiled callbacks; `patterns` says which input levels stand when, and when lock-ins
listen; `transient` is a run's record with the doubts about it.

Not here: circuits, devices and simulators. Another waveform: a class in `sources` that gives its SPICE source and its
values at times, and its branch in `sources_kernel`, held together by a test of both.
"""
