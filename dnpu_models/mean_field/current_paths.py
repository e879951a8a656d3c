"""Where the current flows inside a network: net currents along every hop in the mean field, and the largest paths.

With p_i the occupations, E_i the Hartree energies and C_ij = K/r_ij (`kernel`; here written out once more,
in eV and A, from the network's own tables, so that the two check each other):

    J_ij = e [ p_i (1 - p_j) Gamma(x_ij) - p_j (1 - p_i) Gamma(-x_ij) ],   x_ij = (E_j - C_ij p_i) - (E_i - C_ij p_j),
    J_ik = e [ p_i Gamma(V_k - E_i) - (1 - p_i) Gamma(E_i - V_k) ]         (from site i to electrode k),
    Gamma(x) = nu_0 exp(-2 r/a) min(1, exp(-x/kT)).

In the stationary state they add up to zero at every site and to -I_k at electrode k. Such a flow is a sum of paths from
electrode to electrode. The largest is the one whose smallest hop is largest; take it away, and look for the next.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from inmateria.checks import FloatArray


@dataclass(frozen=True, eq=False)
class HopCurrents:
    """Net currents along all hops at one set of voltages.

    Attributes
    ----------
    occupations : ndarray, shape (n_sites,)
    tail, head : ndarray of int, shape (n_hops,)
        The net current flows from tail to head; numbers from n_sites on are electrodes.
    current_A : ndarray, shape (n_hops,)
        Never negative.
    electrodes_A : ndarray, shape (n_electrodes,)
        Currents into the device, from the sums over these hops.
    imbalance_A : float
        Largest magnitude of the sum over the hops of one site: 0 in the stationary state.
    """

    occupations: FloatArray
    tail: NDArray[np.int64]
    head: NDArray[np.int64]
    current_A: FloatArray
    electrodes_A: FloatArray
    imbalance_A: float

    @property
    def through_A(self) -> float:
        """Current that goes through sites: the sum over all hops from an electrode, which is that over hops to one.

        More than half the sum of |I_k|, where an electrode takes in at one end of its contact and gives out at another.
        """
        return float(self.current_A[self.tail >= len(self.occupations)].sum())


@dataclass(frozen=True)
class CurrentPath:
    """A path through the network.

    Attributes
    ----------
    nodes : tuple of int
        Electrode, sites, electrode; numbers from n_sites on are electrodes.
    current_A : float
        What flows along it.
    """

    nodes: tuple[int, ...]
    current_A: float


def hop_currents(model: MeanField, voltages: Any) -> HopCurrents:
    """Net currents along all hops in the mean field's stationary state.

    Parameters
    ----------
    model : MeanField
    voltages : array_like, shape (n_electrodes,)
        V.

    Raises
    ------
    InputError, ConvergenceError
        As `MeanField.solve`.
    """
    net, kt = model.network, model.network.thermal_energy_eV
    p = model.solve(voltages).occupations
    v = net.check_voltages(voltages)
    energy = net.fixed_energies_eV + net.unit_potentials @ v - net.coulomb_eV @ (1 - p)
    i, j = np.nonzero(np.triu(net.hop_prefactors_Hz))
    uphill = (energy[j] - net.coulomb_eV[i, j] * p[i]) - (energy[i] - net.coulomb_eV[i, j] * p[j])
    between = net.hop_prefactors_Hz[i, j] * (
        p[i] * (1 - p[j]) * _forward(uphill / kt) - p[j] * (1 - p[i]) * _forward(-uphill / kt)
    )
    site, electrode = np.nonzero(net.electrode_prefactors_Hz)
    uphill = v[electrode] - energy[site]
    outwards = net.electrode_prefactors_Hz[site, electrode] * (
        p[site] * _forward(uphill / kt) - (1 - p[site]) * _forward(-uphill / kt)
    )
    tail, head = np.concatenate([i, site]), np.concatenate([j, electrode + net.n_sites])
    current = ELEMENTARY_CHARGE * np.concatenate([between, outwards])
    sums = np.zeros(net.n_sites + net.n_electrodes)
    np.add.at(sums, tail, current)
    np.add.at(sums, head, -current)
    turned = current < 0
    return HopCurrents(
        occupations=p,
        tail=np.where(turned, head, tail),
        head=np.where(turned, tail, head),
        current_A=np.abs(current),
        electrodes_A=sums[net.n_sites :],
        imbalance_A=float(np.abs(sums[: net.n_sites]).max()),
    )


def _forward(x: FloatArray) -> FloatArray:
    """min(1, exp(-x))."""
    return np.asarray(np.exp(-np.maximum(x, 0.0)))


def largest_paths(flow: HopCurrents, count: int) -> list[CurrentPath]:
    """Return the `count` largest paths from electrode to electrode, each taken away before the next is looked for."""
    n = len(flow.occupations)
    left: dict[int, dict[int, float]] = {}
    for a, b, current in zip(flow.tail.tolist(), flow.head.tolist(), flow.current_A.tolist(), strict=True):
        left.setdefault(a, {})[b] = current
    paths: list[CurrentPath] = []
    while len(paths) < count:
        path = _widest(left, n)
        if path is None:
            break
        for a, b in pairwise(path.nodes):
            left[a][b] -= path.current_A
        paths.append(path)
    return paths


def _widest(left: dict[int, dict[int, float]], n: int) -> CurrentPath | None:
    """The path whose smallest hop is largest: Dijkstra's algorithm with the minimum in the place of the sum."""
    width = {a: np.inf for a in left if a >= n}
    before: dict[int, int] = {}
    queue = [(-np.inf, a) for a in width]
    done: set[int] = set()
    best, last = 0.0, (-1, -1)
    while queue:
        negative, a = heapq.heappop(queue)
        if -negative <= best:
            break
        if a in done:
            continue
        done.add(a)
        for b, current in left.get(a, {}).items():
            reach = min(-negative, current)
            if b >= n and reach > best:
                best, last = reach, (a, b)
            elif b < n and reach > width.get(b, 0.0):
                width[b], before[b] = reach, a
                heapq.heappush(queue, (-reach, b))
    if best == 0.0:
        return None
    nodes = [last[1], last[0]]
    while nodes[-1] < n:
        nodes.append(before[nodes[-1]])
    return CurrentPath(tuple(reversed(nodes)), best)
