"""The exact solution over all states of a small network (up to 14 sites), which the other models are held against.

`model` is the device (`MasterEquation`): currents, conductances, admittances, noise. `transitions` is the table of
events that it gives away, `gth_elimination` the solver without cancellation.

Nothing approximate lives here. A further exact quantity is a method of `MasterEquation` on the same solution; it has no
compiled kernel, as no circuit needs 2^14 states.
"""
