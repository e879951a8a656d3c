"""What came out: gradients compared, gradients checked along a learning path, datasets, plots.

`compare` puts any two labelled gradients side by side (cosine, relative error, sign agreement). `check_path` opens the
learned loop at several instants of its path, with controls frozen and a stated dither, and compares the circuit's
lock-in gradient with the exact one. `predict_bank` says before any transient what a bank of lock-ins at frozen controls
will read and why it is wrong, term by term; `check_bank` holds that against ngspice. `plan` chooses tones,
amplitudes and filter for a required error (`GradientRequirements`, `GradientPlan`). `loop_dataset` turns a transient
into an `xarray.Dataset` with units and provenance; `plots` draws it.
"""
