"""What the material does: voltages in, currents out. Knows no circuit.

A device is a `DopantNetwork` (positions, energies, electrodes, physical parameters; frozen) seen through a model:
`MeanField` solves stationary rate equations with Hartree energies, fast and with exact derivatives;
`KineticMonteCarlo` follows single hops exactly and gives currents with standard errors; `MasterEquation` is the exact
solution over all states of up to 14 sites; `ChipSurrogate` is a network measured on a real chip. All take electrode
voltages in volts and return currents into the device in amperes. The electrodes' potential comes from finite elements
(`unit_potentials`), solved once per geometry and cached on disk.

What a circuit needs to step a device through time is in `steppable`: two compiled functions and two flat arrays.
"""

from dnpu_models.chip_surrogate import ChipSurrogate
from dnpu_models.electrostatics import UnitPotentials, unit_potentials
from dnpu_models.estimate import Estimate
from dnpu_models.geometry import Disc, Electrode, Rectangle
from dnpu_models.kinetic_monte_carlo import KineticMonteCarlo
from dnpu_models.master_equation import MasterEquation
from dnpu_models.mean_field import MeanField, MeanFieldSolution
from dnpu_models.mean_field_states import StationaryState
from dnpu_models.mean_field_transient import MeanFieldTransient
from dnpu_models.mean_field_trust import MeanFieldTrust, MeanFieldTrustWarning
from dnpu_models.network import PRESETS, DopantNetwork
from dnpu_models.samples import export_io_dat, read_io_dat
from dnpu_models.steppable import Device, Differentiable, Steppable, SteppableKernel

__all__ = [
    "PRESETS",
    "ChipSurrogate",
    "Device",
    "Differentiable",
    "Disc",
    "DopantNetwork",
    "Electrode",
    "Estimate",
    "KineticMonteCarlo",
    "MasterEquation",
    "MeanField",
    "MeanFieldSolution",
    "MeanFieldTransient",
    "MeanFieldTrust",
    "MeanFieldTrustWarning",
    "Rectangle",
    "StationaryState",
    "Steppable",
    "SteppableKernel",
    "UnitPotentials",
    "export_io_dat",
    "read_io_dat",
    "unit_potentials",
]
