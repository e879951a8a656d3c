"""Designs: a file that describes an experiment, read, checked and made into one.

`design.Design` is the file's content (`sections`, the tables in it; `units`, quantities with their units;
``design.toml`` the commented default) and gives bench, task and settings. `experiment.experiment_of` makes the whole
`learning.homodyne.experiment.Experiment` of it, noise, drift and drawn components included; all that runs designs takes
it from there.

Nothing here runs a circuit. Another key is a field in `sections`, used in `design` or `experiment`.
"""
