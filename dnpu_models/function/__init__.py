"""A device of a plain function: currents of the terminals from their voltages, and everything else made from them.

`function_device` holds `device_from_function`, `differences` the slopes with their errors. A device with a memory, or
with exact slopes of its own, is a class (`interface.device`); a netlist stands in circuits as it is
(`circuits.user_device`).
"""
