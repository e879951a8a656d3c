"""Kinetic Monte Carlo as a circuit steps it: a trajectory that lives on from one accepted point to the next.

From one accepted point to the next the terminal voltages go linearly, and the trajectory follows them exactly
(`row_kernel`). At a point that is being solved the circuit is told the mean current over the step leading there, with
the displacement by all hops (`current_record`). For that the trajectory is followed on trial, from the last accepted
point and with the random numbers that come next, so the answer does not depend on how often it is asked; when the point
is accepted as it was tried, the trial is taken over. A mean over a step lags its end by half a step.

`params`: header, site energies at 0 V, unit potentials, and the hop tables word by word. `state`: the time of the last
accepted point, then two blocks of random words, voltages, currents, and the occupation, a number a site: as accepted,
and on trial, with the trial's length (0: none).
"""

# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined"
from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, advance_at, c_function, evaluate_at
from dnpu_models.interface.vectors import WIDTH
from dnpu_models.monte_carlo.hop_tables import EMPTY, HopTables
from dnpu_models.monte_carlo.recording import mirror
from dnpu_models.monte_carlo.row_kernel import (
    CLOCK_WORDS,
    FOREVER,
    SAMPLE_AT,
    STOP_AT,
    Tally,
    Workspace,
    run_rows,
    sum_words,
)
from dnpu_models.monte_carlo.vector_rates import LANE_WORDS, LANES
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray

# words of the header: `HopTables`, then units
N_SITES, N_PADDED, N_ELECTRODES, SITE_ROWS, N_ROWS, N_CONTACTS, N_LEADS, N_EVENTS = range(8)
THERMAL_V, MIDDLE, ATTEMPTS_HZ, CHARGE_C, HEADER = range(8, 13)
WORDS = 4
NOW, TRIED, STATE_HEADER = range(3)
SAME_V, SAME_TIME = 1e-9, 1e-9
"""A trial is taken over if its voltages (V) and its length (as a fraction) were those of the accepted step."""


@njit(cache=True, nogil=True)
def block_size(sites, electrodes):
    """Length of a block of `state`."""
    return WORDS + 2 * electrodes + sites


def start_state(words: NDArray[np.uint64], volts: FloatArray, currents: FloatArray, occupied: Any) -> FloatArray:
    """`state` of a trajectory at time 0.

    Parameters
    ----------
    words : ndarray of uint64, shape (4,)
        State of the random generator.
    volts, currents : ndarray, shape (n_electrodes,)
        V, and A into the device.
    occupied : ndarray of 0 and 1, shape (n_sites,)
    """
    block = np.concatenate([words.view(np.float64), volts, currents, occupied])
    return np.concatenate([np.zeros(STATE_HEADER), block, np.zeros_like(block)])


def pack(network: DopantNetwork, tables: HopTables, middle: float) -> FloatArray:
    """`params` for `evaluate` and `advance`; `middle` is the kernels' zero of energy, kT."""
    phi, thermal_V = network.unit_potentials, network.thermal_energy_eV
    header = np.zeros(HEADER)
    header[[N_SITES, N_PADDED, N_ELECTRODES, SITE_ROWS, N_ROWS, N_CONTACTS, N_LEADS, N_EVENTS]] = (
        tables.sites, tables.padded, phi.shape[1], tables.site_rows, tables.rows,
        len(tables.contact_site), len(tables.contact_rate), len(tables.growth),
    )  # fmt: skip
    header[[THERMAL_V, MIDDLE, ATTEMPTS_HZ, CHARGE_C]] = thermal_V, middle, network.attempt_rate_Hz, ELEMENTARY_CHARGE
    parts: list[NDArray[np.float64]] = [header, network.fixed_energies_eV / thermal_V, phi.ravel()]
    for array in tables:
        if isinstance(array, np.ndarray):
            parts.append(np.ascontiguousarray(array).ravel().view(np.float64))
    return np.concatenate(parts)


@njit(cache=True, nogil=True)
def _tables(params, at):
    """The `HopTables` that `pack` laid down from `at` on."""
    sites, padded = int(params[N_SITES]), int(params[N_PADDED])
    site_rows, rows = int(params[SITE_ROWS]), int(params[N_ROWS])
    contacts, leads, events = int(params[N_CONTACTS]), int(params[N_LEADS]), int(params[N_EVENTS])
    first_row = params[at : at + sites + 1].view(np.int64)
    at += sites + 1
    contact_row = params[at : at + sites].view(np.int64)
    at += sites
    row_site = params[at : at + rows].view(np.int64)
    at += rows
    row_sign = params[at : at + rows]
    at += rows
    row_lift = params[at : at + rows]
    at += rows
    source = params[at : at + rows * WIDTH // 2].view(np.uint32)
    at += rows * WIDTH // 2
    prefactor = params[at : at + rows * WIDTH]
    at += rows * WIDTH
    pair_coulomb = params[at : at + rows * WIDTH]
    at += rows * WIDTH
    back_row = params[at : at + site_rows * WIDTH].view(np.int64)
    at += site_rows * WIDTH
    contact_site = params[at : at + contacts].view(np.int64)
    at += contacts
    contact_start = params[at : at + contacts + 1].view(np.int64)
    at += contacts + 1
    contact_electrode = params[at : at + leads].view(np.int64)
    at += leads
    contact_rate = params[at : at + leads]
    at += leads
    coulomb = params[at : at + (sites + 1) * padded].reshape(sites + 1, padded)
    at += (sites + 1) * padded
    cap = params[at : at + rows // 2].view(np.float32)
    at += rows // 2
    growth = params[at : at + events * rows // 8].view(np.uint8).reshape(events, rows)
    return HopTables(
        sites, padded, site_rows, rows, first_row, contact_row, row_site, row_sign, row_lift, source, prefactor,
        pair_coulomb, back_row, contact_site, contact_start, contact_electrode, contact_rate, coulomb, cap, growth,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _follow(dt, voltages, params, block):
    """Follow the trajectory of a block for `dt` (s) while the voltages go linearly to `voltages` (V)."""
    sites, padded, electrodes = int(params[N_SITES]), int(params[N_PADDED]), int(params[N_ELECTRODES])
    bare = params[HEADER : HEADER + sites]
    at = HEADER + sites
    phi = params[at : at + sites * electrodes].reshape(sites, electrodes)
    tables = _tables(params, at + sites * electrodes)
    words = block[:WORDS].view(np.uint64)
    last = block[WORDS : WORDS + electrodes]
    current = block[WORDS + electrodes : WORDS + 2 * electrodes]
    held = block[WORDS + 2 * electrodes :]
    v = last / params[THERMAL_V]
    v_slope = (voltages / params[THERMAL_V] - v) / (dt * params[ATTEMPTS_HZ])
    base = bare + np.dot(phi, v) - params[MIDDLE]
    v -= params[MIDDLE]
    last[:] = voltages
    far = max(np.max(np.abs(v)), np.max(np.abs(base)), np.max(np.abs(voltages)) / params[THERMAL_V])
    if not far < 0.125 * EMPTY:
        current[:] = np.nan
        return
    occupied = held.astype(np.uint8)
    work = Workspace(
        occupied,
        np.zeros(padded),
        np.zeros(tables.rows, dtype=np.float32),
        np.zeros(sum_words(tables.rows), dtype=np.float32),
        np.zeros(sum_words(tables.rows) + LANES),
        np.zeros(LANE_WORDS),
        np.zeros(WIDTH),
        np.zeros(sites),
        np.zeros(padded),
    )
    clock = np.zeros(CLOCK_WORDS)
    clock[SAMPLE_AT] = np.inf
    clock[STOP_AT] = dt * params[ATTEMPTS_HZ]
    tally = Tally(clock, np.zeros(electrodes, dtype=np.int64), np.zeros(sites), np.zeros(electrodes))
    before, after = np.zeros(electrodes), np.zeros(electrodes)
    mirror(phi, occupied, before)
    run_rows(
        tables, base, v, np.dot(phi, v_slope), v_slope, work, words, FOREVER, True, np.zeros((sites, electrodes)), tally
    )
    mirror(phi, occupied, after)
    held[:] = occupied
    for k in range(electrodes):
        current[k] = params[CHARGE_C] / dt * (tally.charge[k] - (after[k] - before[k]))


@njit(cache=True, nogil=True)
def _blocks(params, state):
    """The accepted block and the one on trial."""
    size = block_size(int(params[N_SITES]), int(params[N_ELECTRODES]))
    return state[STATE_HEADER : STATE_HEADER + size], state[STATE_HEADER + size : STATE_HEADER + 2 * size]


@njit(cache=True, nogil=True)
def evaluate(t, voltages, params, state, out):
    """Mean currents (A, into the device) over the step that leads to time `t` (s); NaN for voltages out of reach."""
    accepted, trial = _blocks(params, state)
    electrodes = int(params[N_ELECTRODES])
    dt = t - state[NOW]
    shown = accepted
    if dt > 0.0:
        trial[:] = accepted
        _follow(dt, voltages, params, trial)
        state[TRIED] = dt
        shown = trial
    out[:] = shown[WORDS + electrodes : WORDS + 2 * electrodes]


@njit(cache=True, nogil=True)
def advance(dt, voltages, params, state):
    """Accept the step of `dt` (s) that ends at `voltages` (V)."""
    if not dt > 0.0:
        return
    accepted, trial = _blocks(params, state)
    electrodes = int(params[N_ELECTRODES])
    same = abs(state[TRIED] - dt) <= SAME_TIME * dt
    for k in range(electrodes):
        same = same and abs(trial[WORDS + k] - voltages[k]) <= SAME_V
    if same:
        accepted[:] = trial
    else:
        _follow(dt, voltages, params, accepted)
    state[NOW] += dt
    state[TRIED] = 0.0


@c_function(DEVICE_SIGNATURE)
def c_evaluate(t, voltages, params, n_params, state, n_state, out):
    """`evaluate` as a C function, compiled once and kept on disk."""
    evaluate_at(evaluate, t, voltages, params, n_params, state, n_state, out)


@c_function(DEVICE_SIGNATURE)
def c_advance(dt, voltages, params, n_params, state, n_state, out):
    """`advance` as a C function."""
    advance_at(advance, dt, voltages, params, n_params, state, n_state)
