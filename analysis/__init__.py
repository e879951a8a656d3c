"""What comes out: designs as files, gradients held against the exact ones, sweeps, sign-off, reports, pictures.

`designs` reads a design and makes an experiment of it; `gradients` compares, predicts and plans readings; `sweeps` runs
a measure over a grid into a store that survives a kill; `verification` signs a design off, `report` is the page it is
told on, `plots` the figures of everything. `datasets` turns a transient into an `xarray.Dataset` with units and
provenance. Nothing here trains and nothing here knows a netlist: that is `learning` and `circuits`.

A new measure of a sweep goes to `sweeps`, a new criterion to `verification`, a new key of designs to `designs`, a new
figure to `plots`; each folder's docstring says how.
"""
