"""All hops of a small network between its occupations, with what each drives through the electrodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from inmateria.checks import FloatArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Transitions:
    """All hops between occupations at one set of voltages; several may join the same two occupations.

    Attributes
    ----------
    states : ndarray of int, shape (n_states,)
        Occupations in rising order: bit i is set if site i holds a hole.
    start, end : ndarray of int, shape (n_transitions,)
        Positions in `states` before and after the hop.
    rates_Hz : ndarray, shape (n_transitions,)
        Rates, 1/s; zero where exp(-dE/kT) is too small for a number.
    barriers_eV : ndarray, shape (n_transitions,)
        dE of each hop, eV.
    source, destination : ndarray of int, shape (n_transitions,)
        Places that a hole leaves and comes to: sites, then electrodes.
    place_potentials : ndarray, shape (n_sites + n_electrodes, n_electrodes)
        psi_k of each place: unit potentials at the sites, the unit matrix at the electrodes.
    """

    states: IntArray
    start: IntArray
    end: IntArray
    rates_Hz: FloatArray
    barriers_eV: FloatArray
    source: IntArray
    destination: IntArray
    place_potentials: FloatArray

    def weights(self, *, displacement: bool = True) -> FloatArray:
        """Charge (e) that each transition drives into the device at each electrode, (n_transitions, n_electrodes).

        Parameters
        ----------
        displacement : bool
            Ramo-Shockley weights, or only holes that cross the electrode.
        """
        psi = self.place_potentials
        if not displacement:
            psi = psi.copy()
            psi[: len(psi) - psi.shape[1]] = 0.0
        return np.asarray(psi[self.source] - psi[self.destination])

    def generator(self) -> Any:
        """Q in 1/s as `scipy.sparse.csr_array` (n_states, n_states): [from, to], rows add up to zero."""
        n = len(self.states)
        leaving = np.bincount(self.start, weights=self.rates_Hz, minlength=n)
        rates = sparse.coo_array((self.rates_Hz, (self.start, self.end)), shape=(n, n)).tocsr()
        return (rates - sparse.dia_array((leaving[None, :], [0]), shape=(n, n))).tocsr()
