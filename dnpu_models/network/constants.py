"""Physical constants used by the hopping models (CODATA 2018, exact SI where defined)."""

from __future__ import annotations

from scipy import constants

ELEMENTARY_CHARGE: float = constants.elementary_charge
"""e, in C; also J per eV."""

BOLTZMANN_EV: float = constants.Boltzmann / constants.elementary_charge
"""k_B in eV/K."""

COULOMB_EV_M: float = constants.elementary_charge / (4.0 * constants.pi * constants.epsilon_0)
"""e^2/(4 pi eps_0) in eV m: the energy of two elementary charges one metre apart in vacuum."""
