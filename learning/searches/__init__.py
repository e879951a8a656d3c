"""Baselines: optimisers that see nothing but measured outputs, on the trainer's device and clock.

`meter.Meter` measures, counts and ends the search; `search.METHODS` names the optimisers, each a file: `random_search`,
`finite_differences` and `spsa` (which share `descent`), `evolution`. They take looks, spread and steps from the
experiment's settings, as the trainer does; no optimiser asks the device but through the meter.

Another baseline is a file with a function of `search.Optimiser`'s kind and a line in `search.METHODS`.
"""
