"""Baselines: optimisers that see nothing but measured outputs, on the trainer's device and clock.

`meter.Meter` measures, counts and ends the search; `optimisers` holds the baselines, `methods.METHODS` names them. They
take looks, spread and steps from the experiment's settings, as the trainer does; no optimiser asks the device but by
the meter.

Another baseline is a function in `optimisers`, and a line in `methods.METHODS`; the command and its help take it from
there.
"""
