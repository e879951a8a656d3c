"""Several devices as one: their outputs meet in one node, all other electrodes stay their own.

`joined_devices` is the device that they make (`JoinedDevices`), `kernel` its compiled form, made of theirs.

Nothing stands between the devices but the node. Devices whose signals go on to others need electronics, which is a
circuit's matter: `circuits.multiplexed.device_network`.
"""
