"""Where the mean field's currents can be trusted: one number that tells, measured against kinetic Monte Carlo.

The mean field leaves out that holes avoid each other. How much that matters is told by the ratio of the Coulomb energy
of two holes at the mean distance of sites, R = sqrt(area/n_sites), to the energy by which voltages drive them,

    ratio = (e^2/(4 pi eps_r eps_0 R)) / (e V),    V half the range of the electrode voltages.

Of the parameters tried (temperature, permittivity, localisation, disorder, density, voltage) this explains most; the
rms deviation of the currents, as a fraction of their rms, was `SCALE` ratio^`POWER` within a factor of 2 for two cases
in three (`docs/mean_field.md`, `docs/studies/mean_field_trust.py`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from dnpu_models.network.constants import COULOMB_EV_M
from dnpu_models.network.geometry import Disc
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray

SCALE, POWER = 0.16, 0.54
LIMIT = 0.25
"""Ratio above which the deviation may exceed 10 %."""
UNLIMITED_KT = 100.0
"""Largest voltage, in kT/e, that is assumed for a network without a limit."""


class MeanFieldTrustWarning(UserWarning):
    """The mean field is not to be trusted for a network, whatever its voltages."""


@dataclass(frozen=True)
class MeanFieldTrust:
    """What to expect of the mean field's currents.

    Attributes
    ----------
    ratio : float
        Coulomb energy at the mean distance over the energy of the drive.
    expected_deviation : float
        From kinetic Monte Carlo: rms over the electrodes as a fraction of the rms current; good to a factor of two.
    trusted : bool
        Whether the deviation stays below 10 %, as far as is known.
    """

    ratio: float
    expected_deviation: float
    trusted: bool


def coulomb_energy_eV(network: DopantNetwork) -> float:
    """Energy of two holes at the mean distance of sites, sqrt(area/n_sites), eV; 0 for one site."""
    shape = network.shape
    area = np.pi * shape.radius_m**2 if isinstance(shape, Disc) else shape.width_m * shape.height_m
    if network.n_sites == 1:
        return 0.0
    return float(COULOMB_EV_M / network.relative_permittivity / np.sqrt(area / network.n_sites))


def trust(network: DopantNetwork, half_range_V: float) -> MeanFieldTrust:
    """What to expect at voltages within +- `half_range_V` of their middle."""
    energy = coulomb_energy_eV(network)
    ratio = 0.0 if energy == 0.0 else float(np.divide(energy, half_range_V)) if half_range_V > 0 else float("inf")
    return MeanFieldTrust(ratio, float(SCALE * ratio**POWER), ratio <= LIMIT)


def half_range_V(volts: FloatArray) -> float:
    """Half the range of the voltages."""
    return 0.5 * float(volts.max() - volts.min())


def warn_if_outside(network: DopantNetwork, stacklevel: int) -> None:
    """Warn if even the largest voltages drive the holes less than they repel each other."""
    largest = network.limit_V if np.isfinite(network.limit_V) else UNLIMITED_KT * network.thermal_energy_eV
    found = trust(network, largest)
    if not found.trusted:
        energy = coulomb_energy_eV(network)
        warnings.warn(
            f"the mean field's currents may be off by {100 * found.expected_deviation:.0f} % or more: holes at the "
            f"mean distance of sites repel each other by {energy:.3g} eV (n_sites = {network.n_sites}, "
            f"relative_permittivity = {network.relative_permittivity:.3g}), {found.ratio:.2g} of the largest "
            f"drive, {largest:.3g} eV, where {LIMIT:g} is the most; use KineticMonteCarlo",
            MeanFieldTrustWarning,
            stacklevel=stacklevel + 1,
        )
