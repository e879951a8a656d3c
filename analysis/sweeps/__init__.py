"""Sweeps: a measure at every point of a grid, on many processes, into a store that survives a kill.

`design_sweep.sweep` is what a user calls; `axes` are its grid, `measures` what is measured of a design, `runner` gives
points to the workers of a `cluster` (`worker` is their process) and writes results into the `store`; `plan` is the
planner's view of a sweep. What a point gives depends on its coordinates alone.

Another measure is a class in `measures` with `variables`, a call, `check` and `check_variables`, its name in
`analysis.choices.MeasureName` and a line in `measures.make_measure`. The runner knows no designs.
"""
