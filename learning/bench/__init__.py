"""What stands on the table: a device, which terminals are output, inputs and trained, and the clock of its signals.

`bench.Bench` knows no task's meaning and no circuit: it wires, times, and asks the device for currents. `devices` makes
the device that a user's words describe (``meanfield``, ``kmc``, a file) and names its default electrodes; a new
kind of device is a model in `dnpu_models` and a branch of `devices.make_device`. How anything is trained stands in
`learning.homodyne`, `learning.multiplexed` and `learning.physics_aware`.
"""
