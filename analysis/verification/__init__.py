"""Verification: a design held against its own criteria, nominal, at corners, and over boards and devices.

`verify` is the whole of it; `nominal` the nominal run and its file, `boards` what runs at corners and on boards of
drawn components, `holding` how long the gate lasts, `criteria` what is asked, `yields` the statistics of samples,
`report` what is written.

A design becomes an experiment in `analysis.designs.experiment`, samples run by `analysis.sweeps.runner`. Another
criterion is a key of a design's ``[criteria]`` and its lines in `criteria`.
"""
