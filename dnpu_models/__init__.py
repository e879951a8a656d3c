"""What the material does: voltages in, currents out. Knows no circuit.

A device is a `DopantNetwork` (positions, energies, electrodes, physical parameters; frozen) seen through a model:
`MeanField` solves stationary rate equations with Hartree energies, fast and with exact derivatives;
`KineticMonteCarlo` follows single hops exactly and gives currents with standard errors; `MasterEquation` is the exact
solution over all states of up to 14 sites; `ChipSurrogate` is a neural network measured on a real chip, or fitted to
another model by `fit_surrogate`. All take electrode voltages in volts and return currents into the device in amperes.
The electrodes' potential comes from finite elements (`unit_potentials`), solved once per geometry and cached on disk.
`NoisyDevice` adds the measured noise of a `NoiseSpectrum` to any of them where a circuit steps it.

What a circuit needs to step a device through time is in `steppable`: two compiled functions and two flat arrays.

Names are loaded when first used: a worker process needs few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnpu_models.chip_surrogate import ChipSurrogate as ChipSurrogate
    from dnpu_models.current_paths import CurrentPath as CurrentPath
    from dnpu_models.current_paths import HopCurrents as HopCurrents
    from dnpu_models.current_paths import hop_currents as hop_currents
    from dnpu_models.current_paths import largest_paths as largest_paths
    from dnpu_models.current_record import CurrentRecord as CurrentRecord
    from dnpu_models.current_record import CurrentSpectrum as CurrentSpectrum
    from dnpu_models.electrostatics import UnitPotentials as UnitPotentials
    from dnpu_models.electrostatics import unit_potentials as unit_potentials
    from dnpu_models.estimate import ConductanceEstimate as ConductanceEstimate
    from dnpu_models.estimate import Estimate as Estimate
    from dnpu_models.geometry import Disc as Disc
    from dnpu_models.geometry import Electrode as Electrode
    from dnpu_models.geometry import Rectangle as Rectangle
    from dnpu_models.kinetic_monte_carlo import KineticMonteCarlo as KineticMonteCarlo
    from dnpu_models.master_equation import MasterEquation as MasterEquation
    from dnpu_models.mean_field import MeanField as MeanField
    from dnpu_models.mean_field import MeanFieldSolution as MeanFieldSolution
    from dnpu_models.mean_field_states import StationaryState as StationaryState
    from dnpu_models.mean_field_transient import MeanFieldTransient as MeanFieldTransient
    from dnpu_models.mean_field_trust import MeanFieldTrust as MeanFieldTrust
    from dnpu_models.mean_field_trust import MeanFieldTrustWarning as MeanFieldTrustWarning
    from dnpu_models.network import PRESETS as PRESETS
    from dnpu_models.network import DopantNetwork as DopantNetwork
    from dnpu_models.noise_spectrum import NoiseSpectrum as NoiseSpectrum
    from dnpu_models.noisy_device import NoisyDevice as NoisyDevice
    from dnpu_models.noisy_device import OpenCircuit as OpenCircuit
    from dnpu_models.noisy_device import noise_source as noise_source
    from dnpu_models.samples import export_io_dat as export_io_dat
    from dnpu_models.samples import read_io_dat as read_io_dat
    from dnpu_models.steppable import Device as Device
    from dnpu_models.steppable import Differentiable as Differentiable
    from dnpu_models.steppable import Steppable as Steppable
    from dnpu_models.steppable import SteppableKernel as SteppableKernel
    from dnpu_models.surrogate_fit import HeldOutError as HeldOutError
    from dnpu_models.surrogate_fit import Samples as Samples
    from dnpu_models.surrogate_fit import SurrogateFit as SurrogateFit
    from dnpu_models.surrogate_fit import fit_surrogate as fit_surrogate

_HOME = {
    "dnpu_models.chip_surrogate": ["ChipSurrogate"],
    "dnpu_models.current_paths": ["CurrentPath", "HopCurrents", "hop_currents", "largest_paths"],
    "dnpu_models.current_record": ["CurrentRecord", "CurrentSpectrum"],
    "dnpu_models.electrostatics": ["UnitPotentials", "unit_potentials"],
    "dnpu_models.estimate": ["ConductanceEstimate", "Estimate"],
    "dnpu_models.geometry": ["Disc", "Electrode", "Rectangle"],
    "dnpu_models.kinetic_monte_carlo": ["KineticMonteCarlo"],
    "dnpu_models.master_equation": ["MasterEquation"],
    "dnpu_models.mean_field": ["MeanField", "MeanFieldSolution"],
    "dnpu_models.mean_field_states": ["StationaryState"],
    "dnpu_models.mean_field_transient": ["MeanFieldTransient"],
    "dnpu_models.mean_field_trust": ["MeanFieldTrust", "MeanFieldTrustWarning"],
    "dnpu_models.network": ["PRESETS", "DopantNetwork"],
    "dnpu_models.noise_spectrum": ["NoiseSpectrum"],
    "dnpu_models.noisy_device": ["NoisyDevice", "OpenCircuit", "noise_source"],
    "dnpu_models.samples": ["export_io_dat", "read_io_dat"],
    "dnpu_models.steppable": ["Device", "Differentiable", "Steppable", "SteppableKernel"],
    "dnpu_models.surrogate_fit": ["HeldOutError", "Samples", "SurrogateFit", "fit_surrogate"],
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _WHERE:
        raise AttributeError(f"module 'dnpu_models' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return found


def __dir__() -> list[str]:
    """Public names."""
    return list(__all__)
