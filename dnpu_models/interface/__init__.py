"""What a device is, for all who use one, and what a compiled device must look like.

`device` has the `Device` protocol and its capabilities, `pointers` C functions and addresses for ngspice's callbacks,
`vectors` vector registers in compiled code, `memoryless` the second function of devices without a memory, `limits` what
voltages a device takes, `conformance` the checks that every device must pass.

No model lives here, and nothing here imports one: a file that knows how currents come about belongs into a folder of
its own. A new capability is a method in the table of `device`, with a protocol if a signature needs it, a check in
`conformance.CHECKS`, and whoever asks for it by name.
"""
