"""The part `rlc_layer` in compiled code: its waveform by the trapezoid rule, as in ngspice, and the exact derivative.

    L dI/dt = u - R I - b          C db/dt = I - I_B          0 = I_C + I_B - e/Re          Cc dc/dt = (V - c)/Rc - I_C
    I_B = F/bf + B/br,   I_C = F - B - B/br,   F = is (exp((b - e)/V_T) - 1),   B = is (exp((b - c)/V_T) - 1)

x = (I, b, e, c); each step solves F_n(x_n, x_n-1, u_n, u_n-1) = 0. For cotangents g_n of c_n the multipliers follow
from the last step back: A_n' m_n = g_n - B_n+1' m_n+1 with A = dF_n/dx_n, B = dF_n/dx_n-1; then dL/du_n is half the sum
of the first components of m_n and m_n+1.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numpy as np
from numba import njit

R, L, C, RE, RC, CC, IS, BF, BR, VSUPPLY, WORDS = range(11)
"""Places of the part's parameters, in the order of its header."""
THERMAL_V = 1.38064852e-23 / 1.6021766208e-19 * 300.15
"""k T/e at 27 C with ngspice's constants, V."""
_BEND_V = 0.1
_CLIMB_V = 0.5
ITERATIONS = 200


@njit(cache=True)
def currents(p, x, slopes):
    """Base and collector current, A; `slopes` becomes dI_B/dVbe, dI_B/dVbc, dI_C/dVbe, dI_C/dVbc."""
    forward = p[IS] * math.exp(min((x[1] - x[2]) / THERMAL_V, 100.0))
    backward = p[IS] * math.exp(min((x[1] - x[3]) / THERMAL_V, 100.0))
    slopes[0] = forward / (THERMAL_V * p[BF])
    slopes[1] = backward / (THERMAL_V * p[BR])
    slopes[2] = forward / THERMAL_V
    slopes[3] = -backward / THERMAL_V * (1.0 + 1.0 / p[BR])
    forward -= p[IS]
    backward -= p[IS]
    return forward / p[BF] + backward / p[BR], forward - backward * (1.0 + 1.0 / p[BR])


@njit(cache=True)
def new_jacobian(p, slopes, h, a):
    """A = dF_n/dx_n."""
    base_b, base_e, base_c = slopes[0] + slopes[1], -slopes[0], -slopes[1]
    collector_b, collector_e, collector_c = slopes[2] + slopes[3], -slopes[2], -slopes[3]
    a[0, 0], a[0, 1], a[0, 2], a[0, 3] = p[L] / h + 0.5 * p[R], 0.5, 0.0, 0.0
    a[1, 0], a[1, 1], a[1, 2], a[1, 3] = -0.5, p[C] / h + 0.5 * base_b, 0.5 * base_e, 0.5 * base_c
    a[2, 0], a[2, 1] = 0.0, collector_b + base_b
    a[2, 2], a[2, 3] = collector_e + base_e - 1.0 / p[RE], collector_c + base_c
    a[3, 0], a[3, 1], a[3, 2] = 0.0, 0.5 * collector_b, 0.5 * collector_e
    a[3, 3] = p[CC] / h + 0.5 / p[RC] + 0.5 * collector_c


@njit(cache=True)
def old_jacobian(p, slopes, h, b):
    """B = dF_n/dx_n-1: what a capacitor or the inductor remembers changes its sign; Kirchhoff's law has no past."""
    new_jacobian(p, slopes, h, b)
    b[0, 0] -= 2.0 * p[L] / h
    b[1, 1] -= 2.0 * p[C] / h
    b[3, 3] -= 2.0 * p[CC] / h
    b[2, :] = 0.0


@njit(cache=True)
def solve(a, y):
    """Solve a x = y in place by elimination with row exchange, 4 x 4; `a` is used up."""
    for k in range(4):
        best = k
        for r in range(k + 1, 4):
            if abs(a[r, k]) > abs(a[best, k]):
                best = r
        if best != k:
            for c in range(k, 4):
                a[k, c], a[best, c] = a[best, c], a[k, c]
            y[k], y[best] = y[best], y[k]
        for r in range(k + 1, 4):
            share = a[r, k] / a[k, k]
            for c in range(k + 1, 4):
                a[r, c] -= share * a[k, c]
            y[r] -= share * y[k]
    for k in range(3, -1, -1):
        for c in range(k + 1, 4):
            y[k] -= a[k, c] * y[c]
        y[k] /= a[k, k]


@njit(cache=True)
def step(p, old, u_old, u_new, h, x, slopes, a, f):
    """Newton's method for one step from `old` to `x`, which holds a guess; whether it ended."""
    base_old, collector_old = currents(p, old, slopes)
    for _ in range(ITERATIONS):
        base, collector = currents(p, x, slopes)
        f[0] = p[L] * (x[0] - old[0]) / h - 0.5 * (u_new + u_old - p[R] * (x[0] + old[0]) - x[1] - old[1])
        f[1] = p[C] * (x[1] - old[1]) / h - 0.5 * (x[0] + old[0] - base - base_old)
        f[2] = collector + base - x[2] / p[RE]
        f[3] = p[CC] * (x[3] - old[3]) / h - (p[VSUPPLY] - 0.5 * (x[3] + old[3])) / p[RC]
        f[3] += 0.5 * (collector + collector_old)
        new_jacobian(p, slopes, h, a)
        solve(a, f)
        share = 1.0
        for junction in (2, 3):  # an exponential is climbed in steps of a few V_T
            change = f[junction] - f[1]
            if change > _BEND_V and x[1] - x[junction] + change > _CLIMB_V:
                share = min(share, _BEND_V / change)
        largest = 0.0
        for k in range(4):
            x[k] -= share * f[k]
            largest = max(largest, abs(f[k]) * (1.0 if k else p[R]))
        if share == 1.0 and largest < 1e-10:
            return True
    return False


@njit(cache=True)
def waveforms(p, u, h, rest, states):
    """States of one sample, step by step.

    `u` (steps + 1,) V, `rest` (4,) the state before, `states` (steps + 1, 4) is written. Whether all steps were solved.
    """
    slopes, f, a = np.empty(4), np.empty(4), np.empty((4, 4))
    states[0] = rest
    for n in range(1, u.size):
        states[n] = states[n - 1]
        if not step(p, states[n - 1], u[n - 1], u[n], h, states[n], slopes, a, f):
            return False
    return True


@njit(cache=True)
def responses(p, u, h, rest, reading, out):
    """Outputs of a batch; `u` (samples, steps + 1), `out` (samples, readings): NaN where a step was not solved."""
    states = np.empty((u.shape[1], 4))
    for s in range(u.shape[0]):
        solved = waveforms(p, u[s], h, rest, states)
        for k in range(reading.size):
            out[s, k] = states[reading[k], 3] if solved else math.nan


@njit(cache=True)
def cotangents(p, u, h, rest, reading, weights, out):
    """dL/du of a batch for dL/d(output) = `weights` (samples, readings); `out` (samples, steps + 1)."""
    steps = u.shape[1] - 1
    states = np.empty((steps + 1, 4))
    slopes, m, a, turned = np.empty(4), np.empty(4), np.empty((4, 4)), np.empty((4, 4))
    pull = np.zeros(steps + 1)
    for s in range(u.shape[0]):
        out[s] = 0.0 if waveforms(p, u[s], h, rest, states) else math.nan
        pull[:] = 0.0
        for k in range(reading.size):
            pull[reading[k]] += weights[s, k]
        m[:] = 0.0
        for n in range(steps, 0, -1):
            currents(p, states[n], slopes)
            # B of the step after, at this state
            old_jacobian(p, slopes, h, a)
            b0 = -(a[0, 0] * m[0] + a[1, 0] * m[1] + a[3, 0] * m[3])
            b1 = -(a[0, 1] * m[0] + a[1, 1] * m[1] + a[3, 1] * m[3])
            b2 = -(a[0, 2] * m[0] + a[1, 2] * m[1] + a[3, 2] * m[3])
            b3 = -(a[0, 3] * m[0] + a[1, 3] * m[1] + a[3, 3] * m[3]) + pull[n]
            m[0], m[1], m[2], m[3] = b0, b1, b2, b3
            new_jacobian(p, slopes, h, a)
            for r in range(4):
                for c in range(4):
                    turned[r, c] = a[c, r]
            solve(turned, m)
            out[s, n] += 0.5 * m[0]
            out[s, n - 1] += 0.5 * m[0]
