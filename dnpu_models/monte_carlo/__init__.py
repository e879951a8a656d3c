"""Kinetic Monte Carlo: exact trajectories of single holes, and what is estimated from them.

`model` is the device (`KineticMonteCarlo`); `trajectory` one trajectory at fixed voltages, followed by one of three
methods (`row_kernel`, `graph_kernel`, the slow `reference`) over `hop_tables`, with rates from `vector_rates`;
`sampling` turns trajectories into an `estimate`, `current_record` and the compiled `recording` into currents in time;
`stepper` is the trajectory inside a circuit.

The kernels know no volts and amperes: energies are in kT, times in 1/nu_0. A new way of following a trajectory is a
kernel that fills a `Tally`, a name in `trajectory.Method`, and a case in the tests of the kernels, which compare all.
"""
