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
    from dnpu_models.interface.device import Device as Device
    from dnpu_models.interface.device import Differentiable as Differentiable
    from dnpu_models.interface.device import Steppable as Steppable
    from dnpu_models.interface.device import SteppableKernel as SteppableKernel
    from dnpu_models.master_equation.model import MasterEquation as MasterEquation
    from dnpu_models.mean_field.current_paths import CurrentPath as CurrentPath
    from dnpu_models.mean_field.current_paths import HopCurrents as HopCurrents
    from dnpu_models.mean_field.current_paths import hop_currents as hop_currents
    from dnpu_models.mean_field.current_paths import largest_paths as largest_paths
    from dnpu_models.mean_field.model import MeanField as MeanField
    from dnpu_models.mean_field.model import MeanFieldSolution as MeanFieldSolution
    from dnpu_models.mean_field.states import StationaryState as StationaryState
    from dnpu_models.mean_field.transient import MeanFieldTransient as MeanFieldTransient
    from dnpu_models.mean_field.trust import MeanFieldTrust as MeanFieldTrust
    from dnpu_models.mean_field.trust import MeanFieldTrustWarning as MeanFieldTrustWarning
    from dnpu_models.monte_carlo.current_record import CurrentRecord as CurrentRecord
    from dnpu_models.monte_carlo.current_record import CurrentSpectrum as CurrentSpectrum
    from dnpu_models.monte_carlo.estimate import ConductanceEstimate as ConductanceEstimate
    from dnpu_models.monte_carlo.estimate import Estimate as Estimate
    from dnpu_models.monte_carlo.model import KineticMonteCarlo as KineticMonteCarlo
    from dnpu_models.network.electrostatics import UnitPotentials as UnitPotentials
    from dnpu_models.network.electrostatics import unit_potentials as unit_potentials
    from dnpu_models.network.geometry import Disc as Disc
    from dnpu_models.network.geometry import Electrode as Electrode
    from dnpu_models.network.geometry import Rectangle as Rectangle
    from dnpu_models.network.network import PRESETS as PRESETS
    from dnpu_models.network.network import DopantNetwork as DopantNetwork
    from dnpu_models.noise.noisy_device import NoisyDevice as NoisyDevice
    from dnpu_models.noise.noisy_device import OpenCircuit as OpenCircuit
    from dnpu_models.noise.noisy_device import noise_source as noise_source
    from dnpu_models.noise.spectrum import NoiseSpectrum as NoiseSpectrum
    from dnpu_models.surrogate.chip import ChipSurrogate as ChipSurrogate
    from dnpu_models.surrogate.fit import HeldOutError as HeldOutError
    from dnpu_models.surrogate.fit import Samples as Samples
    from dnpu_models.surrogate.fit import SurrogateFit as SurrogateFit
    from dnpu_models.surrogate.fit import fit_surrogate as fit_surrogate
    from dnpu_models.surrogate.samples import export_io_dat as export_io_dat
    from dnpu_models.surrogate.samples import read_io_dat as read_io_dat

_HOME = {
    "dnpu_models.surrogate.chip": ["ChipSurrogate"],
    "dnpu_models.mean_field.current_paths": ["CurrentPath", "HopCurrents", "hop_currents", "largest_paths"],
    "dnpu_models.monte_carlo.current_record": ["CurrentRecord", "CurrentSpectrum"],
    "dnpu_models.network.electrostatics": ["UnitPotentials", "unit_potentials"],
    "dnpu_models.monte_carlo.estimate": ["ConductanceEstimate", "Estimate"],
    "dnpu_models.network.geometry": ["Disc", "Electrode", "Rectangle"],
    "dnpu_models.monte_carlo.model": ["KineticMonteCarlo"],
    "dnpu_models.master_equation.model": ["MasterEquation"],
    "dnpu_models.mean_field.model": ["MeanField", "MeanFieldSolution"],
    "dnpu_models.mean_field.states": ["StationaryState"],
    "dnpu_models.mean_field.transient": ["MeanFieldTransient"],
    "dnpu_models.mean_field.trust": ["MeanFieldTrust", "MeanFieldTrustWarning"],
    "dnpu_models.network.network": ["PRESETS", "DopantNetwork"],
    "dnpu_models.noise.spectrum": ["NoiseSpectrum"],
    "dnpu_models.noise.noisy_device": ["NoisyDevice", "OpenCircuit", "noise_source"],
    "dnpu_models.surrogate.samples": ["export_io_dat", "read_io_dat"],
    "dnpu_models.interface.device": ["Device", "Differentiable", "Steppable", "SteppableKernel"],
    "dnpu_models.surrogate.fit": ["HeldOutError", "Samples", "SurrogateFit", "fit_surrogate"],
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
