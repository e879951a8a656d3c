"""Kinetic Monte Carlo as a circuit steps it: a trajectory that lives on from one accepted point to the next.

From one accepted point to the next the terminal voltages go linearly, and the trajectory follows them exactly
(`row_kernel`). What the circuit is told is the mean current over the step that was accepted last, with the displacement
by all hops (`current_record`): its charge is right to the hole, one step late.

`params`: header, electrode and site energies at 0 V, unit potentials, and the hop tables word by word. `state`: random
words, clock, last voltages, currents, and the occupation, a number a site.
"""

# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined"
from __future__ import annotations

import numpy as np
from numba import carray, cfunc, njit
from numpy.typing import NDArray

from dnpu_models.geometry import FloatArray
from dnpu_models.hop_tables import HopTables
from dnpu_models.pointers import DEVICE_SIGNATURE, as_float_pointer, load_float
from dnpu_models.recording import mirror
from dnpu_models.row_kernel import (
    CLOCK_WORDS,
    EMPTY,
    FOREVER,
    SAMPLE_AT,
    STOP_AT,
    TIME,
    Tally,
    Workspace,
    group_count,
    run_rows,
)
from dnpu_models.vector_rates import LANES, WIDTH

(
    N_SITES,
    N_PADDED,
    N_ELECTRODES,
    LEAVING,
    ENTERING,
    N_ROWS,
    N_PAIRS,
    N_CONTACTS,
    N_LEADS,
    N_EVENTS,
    LONGEST,
    THERMAL_V,
    MIDDLE,
    ATTEMPTS_HZ,
    CHARGE_C,
    HEADER,
) = range(16)
WORDS = 4


def state_size(sites: int, electrodes: int) -> int:
    """Length of `state`."""
    return WORDS + CLOCK_WORDS + 2 * electrodes + sites


def pack(
    tables: HopTables,
    bare: FloatArray,
    phi: FloatArray,
    thermal_V: float,
    middle: float,
    rate_Hz: float,
    charge_C: float,
) -> FloatArray:
    """`params` for `evaluate` and `advance`.

    Parameters
    ----------
    tables : HopTables
    bare : ndarray, shape (n_sites,)
        Site energies at 0 V with every acceptor occupied, kT.
    phi : ndarray, shape (n_sites, n_electrodes)
        Unit potentials.
    thermal_V : float
        kT/e.
    middle : float
        The kernels' zero of energy, kT.
    rate_Hz, charge_C : float
        nu_0 and e.
    """
    longest = max(int(np.diff(tables.near).max(initial=1)) * WIDTH, phi.shape[1]) + WIDTH
    header = np.zeros(HEADER)
    header[[N_SITES, N_PADDED, N_ELECTRODES, LEAVING, ENTERING, N_ROWS]] = (
        tables.sites, tables.padded, phi.shape[1], tables.leaving, tables.entering, tables.rows,
    )  # fmt: skip
    header[[N_PAIRS, N_CONTACTS, N_LEADS, N_EVENTS, LONGEST]] = (
        len(tables.source), len(tables.contact_site), len(tables.contact_rate), len(tables.growth), longest,
    )  # fmt: skip
    header[[THERMAL_V, MIDDLE, ATTEMPTS_HZ, CHARGE_C]] = thermal_V, middle, rate_Hz, charge_C
    parts: list[NDArray[np.float64]] = [header, bare, phi.ravel()]
    for array in tables:
        if isinstance(array, np.ndarray):
            parts.append(np.ascontiguousarray(array).ravel().view(np.float64))
    return np.concatenate(parts)


@njit(cache=True, nogil=True)
def _tables(params, at):
    """The `HopTables` that `pack` laid down from `at` on."""
    sites, padded, rows = int(params[N_SITES]), int(params[N_PADDED]), int(params[N_ROWS])
    pairs, contacts, leads = int(params[N_PAIRS]), int(params[N_CONTACTS]), int(params[N_LEADS])
    events = int(params[N_EVENTS])
    near = params[at : at + sites + 1].view(np.int64)
    at += sites + 1
    far = params[at : at + sites].view(np.int64)
    at += sites
    source = params[at : at + pairs // 2].view(np.uint32)
    at += pairs // 2
    prefactor = params[at : at + pairs]
    at += pairs
    pair_coulomb = params[at : at + pairs]
    at += pairs
    back_row = params[at : at + pairs].view(np.int64)
    at += pairs
    contact_of = params[at : at + padded].view(np.int64)
    at += padded
    contact_site = params[at : at + contacts].view(np.int64)
    at += contacts
    contact_start = params[at : at + contacts + 1].view(np.int64)
    at += contacts + 1
    contact_electrode = params[at : at + leads].view(np.int64)
    at += leads
    contact_rate = params[at : at + leads]
    at += leads
    coulomb = params[at : at + sites * padded].reshape(sites, padded)
    at += sites * padded
    cap = params[at : at + rows // 2].view(np.float32)
    at += rows // 2
    growth = params[at : at + events * rows // 8].view(np.uint8).reshape(events, rows)
    return HopTables(
        sites, padded, int(params[LEAVING]), int(params[ENTERING]), rows, near, far, source, prefactor, pair_coulomb,
        back_row, contact_of, contact_site, contact_start, contact_electrode, contact_rate, coulomb, cap, growth,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def evaluate(t, voltages, params, state, out):
    """Mean currents (A, into the device) of the last step; NaN where it could not be followed."""
    electrodes = int(params[N_ELECTRODES])
    at = WORDS + CLOCK_WORDS + electrodes
    out[:] = state[at : at + electrodes]


@njit(cache=True, nogil=True)
def advance(dt, voltages, params, state):
    """Follow the trajectory for `dt` (s) while the voltages go linearly to `voltages` (V)."""
    sites, padded, electrodes = int(params[N_SITES]), int(params[N_PADDED]), int(params[N_ELECTRODES])
    bare = params[HEADER : HEADER + sites]
    at = HEADER + sites
    phi = params[at : at + sites * electrodes].reshape(sites, electrodes)
    tables = _tables(params, at + sites * electrodes)
    words = state[:WORDS].view(np.uint64)
    clock = state[WORDS : WORDS + CLOCK_WORDS]
    at = WORDS + CLOCK_WORDS
    last = state[at : at + electrodes]
    current = state[at + electrodes : at + 2 * electrodes]
    held = state[at + 2 * electrodes : at + 2 * electrodes + sites]
    if not dt > 0.0:
        return
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
        np.zeros((group_count(tables.rows) + 1) * LANES),
        np.zeros(int(params[LONGEST])),
        np.zeros(sites),
        np.zeros(padded),
        np.zeros(electrodes),
    )
    tally = Tally(clock, np.zeros(electrodes, dtype=np.int64), np.zeros(sites), np.zeros(electrodes))
    before, after = np.zeros(electrodes), np.zeros(electrodes)
    mirror(phi, occupied, before)
    clock[TIME] = 0.0  # a clock that ran on would lose digits
    clock[SAMPLE_AT] = np.inf
    clock[STOP_AT] = dt * params[ATTEMPTS_HZ]
    run_rows(
        tables, base, v, np.dot(phi, v_slope), v_slope, work, words, FOREVER, True, np.zeros((sites, electrodes)), tally
    )
    mirror(phi, occupied, after)
    held[:] = occupied
    for k in range(electrodes):
        current[k] = params[CHARGE_C] / dt * (tally.charge[k] - (after[k] - before[k]))


@cfunc(DEVICE_SIGNATURE, cache=True)
def c_evaluate(t, voltages, params, n_params, state, n_state, out):
    """`evaluate` as a C function, compiled once and kept on disk."""
    terminals = int(load_float(state + 8 * n_state))
    evaluate(
        t,
        carray(as_float_pointer(voltages), terminals),
        carray(as_float_pointer(params), n_params),
        carray(as_float_pointer(state), n_state),
        carray(as_float_pointer(out), terminals),
    )


@cfunc(DEVICE_SIGNATURE, cache=True)
def c_advance(dt, voltages, params, n_params, state, n_state, out):
    """`advance` as a C function."""
    terminals = int(load_float(state + 8 * n_state))
    advance(
        dt,
        carray(as_float_pointer(voltages), terminals),
        carray(as_float_pointer(params), n_params),
        carray(as_float_pointer(state), n_state),
    )
