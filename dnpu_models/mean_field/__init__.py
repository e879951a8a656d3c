"""The mean-field model: stationary rate equations with Hartree energies, fast and with exact derivatives.

`model` is the device (`MeanField`); `equations` its arrays in the kernels' units, `kernel` the compiled balance, its
Jacobian and the relaxation, with `vector_fluxes` and the `inverse`; `chord` iterations with a kept Jacobian, `stepper`
the device inside a circuit, `batch` many settings in one call; `transient`, `states`, `trust` and `current_paths`
answer one further question each.

Random numbers do not live here. A new question to the model is a file of its own, beside `trust`, that takes a network
or the model and returns a frozen result; `model` gets a method of one line.
"""
