r"""Small signals in the mean field: admittances and relaxation, from the rate equations to first order at a state.

With dp/dt = F(p, V), particle currents I_k(p, V) into the device and unit potentials phi_k, V + v exp(i omega t) gives

    dp = (i omega - dF/dp)^-1 (dF/dV) v,    dI_k = (dI_k/dp) dp + (dI_k/dV) v - i omega sum_i phi_k(r_i) dp_i.

The last term is the displacement current (W. Shockley, J. Appl. Phys. 9, 635 (1938); S. Ramo, Proc. IRE 27, 584
(1939)): a hole that comes to rest at r_i has induced the charge phi_k(r_i) on electrode k. Because the phi_k of a
site add up to 1, the currents add up to 0 at every frequency. A disturbance of the occupations relaxes as the
eigenvectors of dF/dp do, at the rates of its eigenvalues.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dnpu_models.mean_field.equations import Linearisation, RateEquations
from inmateria.checks import FloatArray

ComplexArray = NDArray[np.complex128]


def admittances(
    equations: RateEquations, tangent: Linearisation, frequencies_Hz: FloatArray, displacement: bool
) -> ComplexArray:
    """Admittances at a state, S, (n_frequencies, n_electrodes, n_electrodes)."""
    n, electrodes = equations.phi.shape
    result = np.empty((len(frequencies_Hz), electrodes, electrodes), dtype=np.complex128)
    for index, omega in enumerate(2 * np.pi * frequencies_Hz / equations.rate_Hz):
        shift = np.linalg.solve(1j * omega * np.eye(n) - tangent.rate_p, tangent.rate_v)
        result[index] = tangent.current_v + tangent.current_p @ shift
        if displacement:
            result[index] -= 1j * omega * (equations.phi.T @ shift)
    return result * equations.conductance_S


def relaxation_rates(equations: RateEquations, tangent: Linearisation) -> ComplexArray:
    """Eigenvalues of dF/dp, 1/s, slowest decay first (largest real part)."""
    values = np.asarray(np.linalg.eigvals(tangent.rate_p), dtype=np.complex128)
    return np.asarray(values[np.argsort(-values.real)] * equations.rate_Hz)
