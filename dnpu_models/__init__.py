"""What the material does: voltages in, currents out. Knows no circuit.

A device is a `DopantNetwork` (positions, energies, electrodes, physical parameters; frozen) seen through a model:
`MeanField` solves stationary rate equations with Hartree energies, fast and with exact derivatives;
`KineticMonteCarlo` follows single hops exactly and gives currents with standard errors; `MasterEquation` is the exact
solution over all states of up to 14 sites; `ChipSurrogate` is a neural network measured on a real chip, or fitted to
another model by `fit_surrogate`. All take electrode voltages in volts and return currents into the device in amperes.
The electrodes' potential comes from finite elements (`unit_potentials`), solved once per geometry and cached on disk.
`NoisyDevice` adds the measured noise of a `NoiseSpectrum` to any of them where a circuit steps it.

What a circuit needs to step a device through time is in `steppable`: two compiled functions and two flat arrays.
"""

from dnpu_models.chip_surrogate import ChipSurrogate
from dnpu_models.current_paths import CurrentPath, HopCurrents, hop_currents, largest_paths
from dnpu_models.current_record import CurrentRecord, CurrentSpectrum
from dnpu_models.electrostatics import UnitPotentials, unit_potentials
from dnpu_models.estimate import ConductanceEstimate, Estimate
from dnpu_models.fit_surrogate import HeldOutError, Samples, SurrogateFit, fit_surrogate
from dnpu_models.geometry import Disc, Electrode, Rectangle
from dnpu_models.kinetic_monte_carlo import KineticMonteCarlo
from dnpu_models.master_equation import MasterEquation
from dnpu_models.mean_field import MeanField, MeanFieldSolution
from dnpu_models.mean_field_states import StationaryState
from dnpu_models.mean_field_transient import MeanFieldTransient
from dnpu_models.mean_field_trust import MeanFieldTrust, MeanFieldTrustWarning
from dnpu_models.network import PRESETS, DopantNetwork
from dnpu_models.noise_spectrum import NoiseSpectrum
from dnpu_models.noisy_device import NoisyDevice, OpenCircuit, noise_source
from dnpu_models.samples import export_io_dat, read_io_dat
from dnpu_models.steppable import Device, Differentiable, Steppable, SteppableKernel

__all__ = [
    "PRESETS",
    "ChipSurrogate",
    "ConductanceEstimate",
    "CurrentPath",
    "CurrentRecord",
    "CurrentSpectrum",
    "Device",
    "Differentiable",
    "Disc",
    "DopantNetwork",
    "Electrode",
    "Estimate",
    "HeldOutError",
    "HopCurrents",
    "KineticMonteCarlo",
    "MasterEquation",
    "MeanField",
    "MeanFieldSolution",
    "MeanFieldTransient",
    "MeanFieldTrust",
    "MeanFieldTrustWarning",
    "NoiseSpectrum",
    "NoisyDevice",
    "OpenCircuit",
    "Rectangle",
    "Samples",
    "StationaryState",
    "Steppable",
    "SteppableKernel",
    "SurrogateFit",
    "UnitPotentials",
    "export_io_dat",
    "fit_surrogate",
    "hop_currents",
    "largest_paths",
    "noise_source",
    "read_io_dat",
    "unit_potentials",
]
