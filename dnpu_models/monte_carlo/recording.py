"""Compiled trajectories in equal steps of time: what crossed each electrode in each, and what charge each mirrors.

Voltages are fixed, or go linearly from one edge of a step to the next; see `row_kernel`.
"""

# mypy: disable-error-code="no-untyped-def, call-arg"
from __future__ import annotations

import numpy as np
from numba import njit

from dnpu_models.monte_carlo.graph_kernel import enter, flush, occupation, walk
from dnpu_models.monte_carlo.row_kernel import FOREVER, STOP_AT, run_rows


@njit(cache=True, nogil=True)
def mirror(phi, occupied, out):
    """Charge that the holes induce, in e: sum_i phi_ik n_i."""
    out[:] = 0.0
    for i in range(occupied.size):
        if occupied[i] != 0:
            for k in range(out.size):
                out[k] += phi[i, k]


@njit(cache=True, nogil=True)
def record_rows(tables, base, v, voltages, phi, step, work, words, weight, tally, entered, mirrored):
    """Follow a trajectory by `run_rows`; returns the hops made.

    Parameters
    ----------
    tables, work, words, weight, tally
        As `row_kernel.run_rows`.
    base, v : ndarray
        Energies of sites and electrodes at one setting, as `row_kernel.run_rows`.
    voltages : ndarray (n_steps + 1, n_electrodes) or (0, n_electrodes)
        Electrode energies at the edges of the steps, kT, from the same zero as `v`; without any that setting is kept.
    phi : ndarray (n_sites, n_electrodes)
        Unit potentials.
    step : float
        1/nu_0.
    entered : ndarray of int64 (n_steps, n_electrodes)
        Set to the holes that came in through each electrode less those that left.
    mirrored : ndarray (n_steps + 1, n_electrodes)
        Set to the charge that the holes induce at each edge, in e.
    """
    made = 0
    constant = np.empty(0)
    mirror(phi, work.occupied, mirrored[0])
    for m in range(entered.shape[0]):
        tally.charge[:] = 0
        tally.clock[STOP_AT] += step
        if voltages.shape[0] == 0:
            made += run_rows(tables, base, v, constant, constant, work, words, FOREVER, True, weight, tally)
        else:
            now = voltages[m].copy()
            slope = (voltages[m + 1] - voltages[m]) / step
            moved = base + np.dot(phi, now - v)
            made += run_rows(tables, moved, now, np.dot(phi, slope), slope, work, words, FOREVER, True, weight, tally)
        entered[m] = tally.charge
        mirror(phi, work.occupied, mirrored[m + 1])
    return made


@njit(cache=True, nogil=True)
def record_graph(g, tables, base, v, phi, step, occupied, words, weight, tally, entered, mirrored):
    """As `record_rows` at fixed voltages, along the graph of states `g`."""
    made = 0
    enter(g, tables, base, v, occupied, weight, tally)
    mirror(phi, occupied, mirrored[0])
    for m in range(entered.shape[0]):
        tally.charge[:] = 0
        tally.clock[STOP_AT] += step
        made += walk(g, tables, base, v, words, FOREVER, True, weight, tally)
        entered[m] = tally.charge
        occupation(g, occupied)
        mirror(phi, occupied, mirrored[m + 1])
    flush(g, tables, tally)
    return made
