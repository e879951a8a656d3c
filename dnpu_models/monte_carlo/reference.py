"""Slow, obvious versions of what the fast kernels do, kept beside them to check and to measure them by.

`direct_rates` writes the rates of one state out; `run_direct` is the direct method of Gillespie (D. T. Gillespie, J.
Phys. Chem. 81, 2340, 1977; A. B. Bortz, M. H. Kalos and J. L. Lebowitz, J. Comput. Phys. 17, 10, 1975): all energies
and all rates anew for every hop, one exponential an event.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnpu_models.monte_carlo.row_kernel import TIME, TRIES
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray
from inmateria.random_words import uniform


class DirectTables(NamedTuple):
    """A network in units of kT and nu_0."""

    hops: FloatArray  # (n_sites, n_sites): exp(-2 r/a), 0 where no hop is allowed
    leads: FloatArray  # (n_sites, n_electrodes)
    coulomb: FloatArray  # (n_sites, n_sites)


def direct_tables(network: DopantNetwork) -> DirectTables:
    """Tables for `run_direct`."""
    return DirectTables(
        network.hop_prefactors_Hz / network.attempt_rate_Hz,
        network.electrode_prefactors_Hz / network.attempt_rate_Hz,
        network.coulomb_eV / network.thermal_energy_eV,
    )


def direct_rates(network: DopantNetwork, voltages: FloatArray, occupied: NDArray[np.uint8]) -> FloatArray:
    """Rates (1/s) of all events of a state, [from, to], electrodes after sites.

    Parameters
    ----------
    network : DopantNetwork
    voltages : ndarray, shape (n_electrodes,)
        V.
    occupied : ndarray of 0 and 1, shape (n_sites,)

    Returns
    -------
    ndarray, shape (n_sites + n_electrodes, n_sites + n_electrodes)
    """
    n, kt = network.n_sites, network.thermal_energy_eV
    empty = occupied == 0
    energy = network.fixed_energies_eV + network.unit_potentials @ voltages - network.coulomb_eV @ empty
    rates = np.zeros((n + len(voltages), n + len(voltages)))
    barrier = (energy[None, :] - energy[:, None] - network.coulomb_eV) / kt
    allowed = ~empty[:, None] & empty[None, :]
    rates[:n, :n] = allowed * network.hop_prefactors_Hz * np.exp(-np.maximum(barrier, 0.0))
    out = (voltages[None, :] - energy[:, None]) / kt
    rates[:n, n:] = ~empty[:, None] * network.electrode_prefactors_Hz * np.exp(-np.maximum(out, 0.0))
    rates[n:, :n] = (empty[:, None] * network.electrode_prefactors_Hz * np.exp(-np.maximum(-out, 0.0))).T
    return rates


@njit(cache=True, nogil=True)
def run_direct(tables, base, v, occupied, words, hops, random_times, tally):
    """Follow one trajectory at fixed voltages; arguments as `row_kernel.run_rows`. Nothing is sampled."""
    n, electrodes = occupied.size, v.size
    energy = np.empty(n)
    made = 0
    while made < hops:
        for k in range(n):
            energy[k] = base[k]
            for j in range(n):
                if occupied[j] == 0:
                    energy[k] -= tables.coulomb[k, j]
        total = 0.0
        target = -1.0  # first the total, then the event at `target` along the same sum
        source, destination = -1, -1
        for turn in range(2):
            along = 0.0
            for i in range(n + electrodes):
                for j in range(n + electrodes):
                    rate = 0.0
                    if i < n and j < n:
                        if occupied[i] != 0 and occupied[j] == 0 and tables.hops[i, j] > 0.0:
                            barrier = energy[j] - energy[i] - tables.coulomb[i, j]
                            rate = tables.hops[i, j] * np.exp(-max(barrier, 0.0))
                    elif i < n:
                        if occupied[i] != 0 and tables.leads[i, j - n] > 0.0:
                            rate = tables.leads[i, j - n] * np.exp(-max(v[j - n] - energy[i], 0.0))
                    elif j < n and occupied[j] == 0 and tables.leads[j, i - n] > 0.0:
                        rate = tables.leads[j, i - n] * np.exp(-max(energy[j] - v[i - n], 0.0))
                    if rate > 0.0:
                        along += rate
                        if turn == 1 and along > target:
                            source, destination = i, j
                            break
                if source >= 0:
                    break
            if turn == 0:
                total = along
                if not total > 0.0:
                    return made
                target = uniform(words) * total
        wait = 1.0 / total
        if random_times:
            wait *= -np.log1p(-uniform(words))
        tally.clock[TIME] += wait
        tally.clock[TRIES] += 1.0
        for k in range(n):
            if occupied[k] != 0:
                tally.held[k] += wait
        if source < n:
            occupied[source] = 0
        else:
            tally.charge[source - n] += 1
        if destination < n:
            occupied[destination] = 1
        else:
            tally.charge[destination - n] -= 1
        made += 1
    return made
