"""A stationary state that is nearly right, improved with a kept Jacobian: what `MeanField` and its stepper share.

A chord iteration has three parts. Predict: p + dp/dV (V - V_last). Correct, until what is left is small enough:

    p <- min(max(p + s, 0), 1),    s = Broyden's step from -(dF/dp)^-1 F, with (dF/dp)^-1 as it was once.

`settle` solves to the last digit with LAPACK's factors; `stepper.evaluate` stops at a tolerance of the currents, which
it corrects by the adjoint, and renews its inverse itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dnpu_models.mean_field.kernel import SETTLED, Hops, Work, imbalance, move

MAX_CHORD = 16
"""Iterations with a kept Jacobian before it is computed anew."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def substitute(columns, pivots, x):
    """Solve P L U x = b in place; `columns` are those of LAPACK's factors, `pivots` its exchanged rows."""
    n = x.size
    for j in range(n):
        k = pivots[j]
        x[j], x[k] = x[k], x[j]
    for j in range(n):
        column, y, a = columns[j, j + 1 :], x[j + 1 :], x[j]
        for k in range(y.size):
            y[k] -= a * column[k]
    for j in range(n - 1, -1, -1):
        column, y = columns[j, :j], x[:j]
        x[j] /= columns[j, j]
        a = x[j]
        for k in range(y.size):
            y[k] -= a * column[k]


@njit(cache=True, nogil=True, error_model="numpy")
def broyden(steps, m, step):
    """Turn `step`, the m-th of a chord iteration, into Broyden's, and store it (Kelley's form: only steps are kept)."""
    for k in range(1, m):
        past = steps[k - 1]
        step += steps[k] * (np.dot(past, step) / np.dot(past, past))
    if m > 0:
        past = steps[m - 1]
        step /= max(1.0 - np.dot(past, step) / np.dot(past, past), 0.1)
    step *= min(1.0, 0.5 / max(np.max(np.abs(step)), 1e-300))
    steps[m] = step


@njit(cache=True, nogil=True, error_model="numpy")
def settle(equations, volts, p, columns, pivots, current_p, last_volts, last_p, shift, current):
    """Solve F(p, V) = 0 from `p` with the kept factors of dF/dp and Broyden's method.

    If `p` is `last_p`, the solution at `last_volts`, it is first moved along the tangent dp/dV, `shift`. On success
    these three become those of the new solution, the tangent by Broyden's update along the way between the two.
    `equations` is a plain tuple (hops, coulomb, fixed, phi): Numba recognises it ten times faster than a named one.

    Returns
    -------
    iterations : int
        Negative if they do not converge.
    imbalance : float
        Largest |F| before the last step, by which the currents are corrected to first order.
    """
    arrays, coulomb, fixed, phi = equations
    hops = Hops(*arrays)
    n, electrodes = phi.shape
    work = Work(np.empty(hops.to.size), np.empty(hops.to.size))
    nodes, rate, energy, bare = (
        np.full(n + electrodes, 0.5),
        np.empty(n + electrodes),
        np.empty(n + electrodes),
        np.empty(n + electrodes),
    )
    step, steps = np.empty(n), np.empty((MAX_CHORD, n))
    way = volts - last_volts
    known = np.all(p == last_p)
    bare[n:] = volts
    for i in range(n):
        bare[i] = fixed[i]
        for k in range(electrodes):
            bare[i] += phi[i, k] * volts[k]
        nodes[i] = p[i]
        if known:
            for k in range(electrodes):
                nodes[i] += shift[i, k] * way[k]
            nodes[i] = min(max(nodes[i], 0.0), 1.0)
    before = np.inf
    for m in range(MAX_CHORD):
        p[:] = nodes[:n]
        imbalance(hops, coulomb, bare, nodes, energy, rate, work)
        for i in range(n):
            step[i] = -rate[i]
        substitute(columns, pivots, step)
        broyden(steps, m, step)
        largest = np.max(np.abs(step))
        if not largest < min(0.5, 0.5 * before if m > 2 else 2.0 * before):
            return -m - 1, np.inf
        move(nodes, step)
        if largest < SETTLED or (largest < 10.0 * SETTLED and largest * largest < 0.1 * SETTLED * before):
            break  # what is left is smaller than this step as this is smaller than the one before
        before = largest
    else:
        return -MAX_CHORD, np.inf
    p[:] = nodes[:n]
    for k in range(electrodes):
        current[k] = np.dot(current_p[k], step) - rate[n + k]
    square = np.dot(way, way)
    if square > 0.0:
        for i in range(n):
            wrong = p[i] - last_p[i]
            for k in range(electrodes):
                wrong -= shift[i, k] * way[k]
            for k in range(electrodes):
                shift[i, k] += wrong * way[k] / square
    last_p[:] = p
    last_volts[:] = volts
    return m + 1, np.max(np.abs(rate[:n]))
