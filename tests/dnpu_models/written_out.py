"""The rates of the hopping model, written out term by term: what the models and kernels are checked against."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnpu_models.network.constants import COULOMB_EV_M
from dnpu_models.network.network import DopantNetwork

Array = NDArray[np.float64]


def reference_rates(network: DopantNetwork, voltages: Array, occupied: NDArray[Any]) -> Array:
    """Rates (1/s) of all hops out of one state, [from, to], electrodes after sites: written out."""
    n, kt = network.n_sites, network.thermal_energy_eV
    k = COULOMB_EV_M / network.relative_permittivity
    energy = np.empty(n + len(voltages))
    energy[n:] = voltages
    for i in range(n):
        energy[i] = network.site_energies_eV[i] + float(network.unit_potentials[i] @ voltages)
        energy[i] += sum(k / np.hypot(*(network.acceptors_m[i] - d)) for d in network.donors_m)
        for j in range(n):
            if j != i:
                energy[i] -= k * (1 - int(occupied[j])) / np.hypot(*(network.acceptors_m[i] - network.acceptors_m[j]))
    rates = np.zeros((len(energy), len(energy)))

    def rate(r: float, barrier: float) -> float:
        factor = 1.0 if barrier <= 0 else float(np.exp(-barrier / kt))
        return float(network.attempt_rate_Hz * np.exp(-2 * r / network.localisation_m) * factor)

    for i, j in itertools.permutations(range(n), 2):
        r = float(np.hypot(*(network.acceptors_m[i] - network.acceptors_m[j])))
        if occupied[i] and not occupied[j] and network.hop_min_m <= r <= network.hop_max_m:
            rates[i, j] = rate(r, energy[j] - energy[i] - k / r)
    for i, e in itertools.product(range(n), range(len(voltages))):
        r = float(network.electrode_distances_m[i, e])
        if r <= network.hop_max_m:
            if occupied[i]:
                rates[i, n + e] = rate(r, energy[n + e] - energy[i])
            else:
                rates[n + e, i] = rate(r, energy[i] - energy[n + e])
    return rates
