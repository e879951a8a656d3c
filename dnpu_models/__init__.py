"""What the material does: voltages in, currents out. Knows no circuit.

A device is a `DopantNetwork` (positions, energies, electrodes, physical parameters; frozen) seen through a model:
`MeanField` solves stationary rate equations with Hartree energies, fast and with exact derivatives;
`KineticMonteCarlo` follows single hops exactly and gives currents with standard errors; `MasterEquation` is the exact
solution over all states of up to 14 sites; `ChipSurrogate` is a neural network measured on a real chip, or fitted to
another model by `fit_surrogate`. All take electrode voltages in volts and return currents into the device in amperes.
The electrodes' potential comes from finite elements (`unit_potentials`), solved once per geometry and cached on disk.
`NoisyDevice` adds the measured noise of a `NoiseSpectrum` to any of them where a circuit steps it.

What a device is and what it may offer, a compiled form for circuits among it, is in `interface.device`.
"""
