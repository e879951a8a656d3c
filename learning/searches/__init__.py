"""Baselines: optimisers that see nothing but measured outputs, on the trainer's device and clock.

`meter.Meter` measures, counts and ends the search; `methods.METHODS` names the optimisers, each a file:
`random_search`, `finite_differences` and `spsa` (which share `descent`), `differential_evolution`. They take looks,
spread and steps from the experiment's settings, as the trainer does; no optimiser asks the device but by the meter.

Another baseline is a file with a function of the same name and of `search.Optimiser`'s kind, and a line in
`methods.METHODS`; the command and its help take it from there.
"""
