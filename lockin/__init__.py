"""Homodyne detection as mathematics: frequency plans, demodulators, error theory. Knows no SPICE, no device, no loop.

A `DitherPlan` says which tone is applied to which terminal; `plan_frequencies` finds tones that no product up
to third order meets, `collisions` lists those that one does. `LockInSettings` describes an instrument in its
own words; `demodulate` reads a recorded signal with it (`LockInReading`, rms), `gradient` turns a record into
dy/dV for all tones at once, `calibrate_phase` finds the phase to project on. The theory computes what to
expect before a run: `enbw_Hz`, `settling_time`, `noise_variance`, `stability_limit`, and the exact finite-
amplitude gradient by `dither_average` or `common_period_average`; `error_budget` sorts all causes of
a wrong gradient (`ErrorBudget`) of a bank that is read at some time (`Readout`, `FrontEnd`, `Motion`). `characterise`
measures a realisation's data sheet (`Characterisation`): transfer, settling, rejections, offset, linearity, dynamic
reserve. `Perturbation` generalises the tones: sequential, Walsh and random codes, for multiplexed gradient descent.
`planning` holds what the planners in the rooms above share.

A new low-pass filter is a word in `choices.Window`, and goes into `filters` and `filter_response`; a new perturbation
code is a word in `choices.Code`, and goes into `codes`; a new realisation of a lock-in is a class of its own, anywhere,
with the members of `characterisation.Realisation`; a new term of the budget is a name in `error_budget.TERMS`.

Units are SI; amplitudes of a plan are PEAK volts, readings of a lock-in are RMS; `LockInSettings.phase` is in
degrees, phases of a plan in radians. Filters start empty at the first sample.
"""
