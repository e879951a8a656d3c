"""The mean field at many settings in one call, solved side by side around centres that are kept.

Settings that differ by a dither or by a step of a sweep have nearly one solution. What is known at a centre (V_c, p_c),
dp/dV, (dF/dp)^-1 and the adjoint, serves all of them:

    predict    p = p_c + dp/dV (V - V_c);
    correct    p <- min(max(p + s, 0), 1), s Broyden's step from -(dF/dp)^-1 F, as in `chord`;
    currents   I_k + lambda_k . F, the adjoint's correction, whose error is a fraction theta of the correction itself:
               theta is how far one pass moved the corrected currents, over the correction before.

A setting is done when theta times its correction is within the tolerance. So are one or two passes saved that only
show that the pass before had been enough. Every array is (n, settings): the products with the Coulomb energies and with
the inverse are products of matrices, and what a hop does is computed for several settings in one vector.

Afterwards the centre moves to the mean of what was found, and dp/dV becomes the one that fits it best (least change),
so that inverses serve for some passes of a training. A few centres are kept, one for each pattern; the nearest is
taken. Settings that do not converge are solved one by one (`stepper.evaluate`), with all its care.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np
from numba import carray, njit

from dnpu_models.interface.pointers import DEVICE_SIGNATURE, as_float_pointer, c_function, load_float
from dnpu_models.mean_field import stepper
from dnpu_models.mean_field.kernel import Hops, Work, imbalance, linearised
from dnpu_models.mean_field.vector_fluxes import LANES, add_fluxes_of_settings

TOGETHER = 32
"""Settings that are solved together."""
CENTRES = 8
REACH = 8.0
"""Change of a voltage, in kT/e, from the nearest centre beyond which a new one is made."""
PASSES = 16
"""... before settings are solved one by one."""
USUAL_PASSES = 3
RENEWAL = 5.0
"""Passes that cost as much as a Jacobian with its inverse: it is renewed when as many were spent on its age."""
NEAR = 0.5
"""Change of every voltage, in kT/e, up to which the settings of the last call are followed instead."""
LEAST_THETA, SAFETY = 0.1, 4.0
BRISK = 0.1
"""A correction counts as this part of the one before, at least: near a fold it goes through zero, and back."""
SINGLE = 1e-5
"""Tolerance from which on single precision does: it adds some 1e-6 of the largest current."""

# head of the memory: of each centre when it was used last (0: never) and passes spent on its age; then the time, the
# centre used last, columns found with it, and counters: passes, Jacobians, settings solved by themselves
NOW, LAST, KNOWN, SPENT, RENEWED, ALONE, HEAD = range(2 * CENTRES, 2 * CENTRES + 7)


@njit(cache=True, nogil=True)
def memory_size(n, electrodes):
    """Length of what `solve` keeps."""
    return HEAD + CENTRES * (electrodes + n + 2 * n * electrodes + n * n) + TOGETHER * (electrodes + n)


@njit(inline="always")
def _kept(memory, n, electrodes):
    """Voltages, occupations, dp/dV, adjoints and inverses of the centres; voltages and occupations found last."""
    at = HEAD
    volts = memory[at : at + CENTRES * electrodes].reshape(CENTRES, electrodes)
    at += volts.size
    p = memory[at : at + CENTRES * n].reshape(CENTRES, n)
    at += p.size
    shift = memory[at : at + CENTRES * n * electrodes].reshape(CENTRES, n, electrodes)
    at += shift.size
    adjoint = memory[at : at + CENTRES * n * electrodes].reshape(CENTRES, electrodes, n)
    at += adjoint.size
    inverse = memory[at : at + CENTRES * n * n].reshape(CENTRES, n, n)
    at += inverse.size
    last_volts = memory[at : at + TOGETHER * electrodes]
    last_p = memory[at + TOGETHER * electrodes : at + TOGETHER * (electrodes + n)]
    return volts, p, shift, adjoint, inverse, last_volts, last_p


@njit(cache=True, nogil=True, error_model="numpy")
def _renew(equations, volts, p, shift, adjoint, inverse):
    """Jacobian, inverse and what follows from them at a centre."""
    hops, fixed, phi, coulomb, _ = equations
    n, electrodes = phi.shape
    nodes, bare = np.full(n + electrodes, 0.5), np.empty(n + electrodes)
    nodes[:n], bare[:n], bare[n:] = p, fixed + np.dot(phi, volts), volts
    work, energy, rate = (
        Work(np.empty(hops.to.size), np.empty(hops.to.size)),
        np.empty(nodes.size),
        np.empty(nodes.size),
    )
    imbalance(hops, coulomb, bare, nodes, energy, rate, work)
    found, tangent, back = linearised(hops, coulomb, phi, nodes, work)
    inverse[:], shift[:], adjoint[:] = found, tangent, back


@njit(cache=True, nogil=True, error_model="numpy")
def _centre(equations, middle, params, state, memory):
    """Number of the centre to start from: the nearest, or a new one, for which one setting is solved by itself."""
    n, electrodes = equations[2].shape
    volts, p, shift, adjoint, inverse, _, _ = _kept(memory, n, electrodes)
    memory[NOW] += 1.0
    best, oldest, nearest = -1, 0, REACH
    for c in range(CENTRES):
        if memory[c] > 0.0 and np.max(np.abs(volts[c] - middle)) <= nearest:
            best, nearest = c, np.max(np.abs(volts[c] - middle))
        if memory[c] < memory[oldest]:
            oldest = c
    if best < 0:
        best = oldest
        current = np.empty(electrodes)
        stepper.evaluate(0.0, middle * params[stepper.THERMAL_V], params, state, current)
        if not np.all(np.isfinite(current)):
            return -1
        volts[best], p[best] = middle, state[stepper.STATE_HEADER : stepper.STATE_HEADER + n]
        _renew(equations, volts[best], p[best], shift[best], adjoint[best], inverse[best])
        memory[CENTRES + best] = 0.0
        memory[LAST] = -1.0
        memory[RENEWED] += 1.0
    memory[best] = memory[NOW]
    return best


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _broyden(steps, m, step):
    """`chord.broyden` of every column."""
    width = step.shape[1]
    kind = step.dtype
    along, square = np.empty(width, kind), np.empty(width, kind)
    tiny = kind.type(1e-30)
    for k in range(1, m + 1):
        past = steps[k - 1]
        along[:] = 0.0
        square[:] = tiny
        for i in range(step.shape[0]):
            for s in range(width):
                along[s] += past[i, s] * step[i, s]
                square[s] += past[i, s] * past[i, s]
        for s in range(width):
            along[s] /= square[s]
        if k < m:
            following = steps[k]
            for i in range(step.shape[0]):
                for s in range(width):
                    step[i, s] += following[i, s] * along[s]
        else:
            for s in range(width):
                along[s] = kind.type(1.0) / max(kind.type(1.0) - along[s], kind.type(0.1))
            for i in range(step.shape[0]):
                for s in range(width):
                    step[i, s] *= along[s]
    along[:] = tiny
    for i in range(step.shape[0]):
        for s in range(width):
            along[s] = max(along[s], abs(step[i, s]))
    for s in range(width):
        along[s] = min(kind.type(1.0), kind.type(0.5) / along[s])
    for i in range(step.shape[0]):
        for s in range(width):
            step[i, s] *= along[s]
    steps[m] = step


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _move(p, step):
    zero, one = p.dtype.type(0.0), p.dtype.type(1.0)
    for i in range(step.shape[0]):
        for s in range(step.shape[1]):
            p[i, s] = min(max(p[i, s] + step[i, s], zero), one)


@njit(cache=True, nogil=True, error_model="numpy")
def _full(columns):
    """Numbers of columns, the last one said again until `LANES` are full."""
    result = np.full((columns.size + LANES - 1) // LANES * LANES, columns[-1])
    result[: columns.size] = columns
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _columns(table, chosen):
    """Some columns of a table."""
    result = np.empty((table.shape[0], chosen.size), table.dtype)
    for i in range(table.shape[0]):
        for s in range(chosen.size):
            result[i, s] = table[i, chosen[s]]
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _judge(corrected, before, miss_before, size, miss, tolerance, done):
    """Which columns are done: see the module's text. Fills `done`, returns their number."""
    count = 0
    for s in range(miss.size):
        theta = 1.0
        if miss_before[s] > 0.0:
            moved = 0.0
            for k in range(corrected.shape[0]):
                moved = max(moved, abs(corrected[k, s] - before[k, s]))
            theta = min(max(SAFETY * moved / miss_before[s], LEAST_THETA), 1.0)
        done[s] = theta * max(miss[s], BRISK * miss_before[s]) <= tolerance * size[s] + 1e-16
        count += done[s]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _largest(table):
    """Largest size in every column."""
    result = np.zeros(table.shape[1], table.dtype)
    for i in range(table.shape[0]):
        for s in range(table.shape[1]):
            result[s] = max(result[s], abs(table[i, s]))
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _together(equations, volts, p, centre, tolerance, found, currents):
    """Correct the columns of `p` until they are done; fills `found`, and `currents` with NaN where they are not.

    In the precision of `p`. `centre` holds energies, voltages, occupations, adjoint and inverse there: energies are
    those of the centre and what follows from the way there, which single precision tells well.
    Returns the passes, as parts of passes of all columns.
    """
    hops, phi, coulomb = equations
    energy_there, volts_there, p_there, adjoint, inverse = centre
    kind = p.dtype
    column = _full(np.arange(volts.shape[1]))
    volts, p = _columns(volts, column), _columns(p, column)
    electrodes, width = volts.shape
    n = p.shape[0] - electrodes
    rate, steps = np.empty((n + electrodes, width), kind), np.empty((PASSES, n, width), kind)
    before, miss_before = np.zeros((electrodes, width), kind), np.zeros(width, kind)
    done, away = np.zeros(width, np.bool_), np.empty((n, width), kind)
    way = volts.copy()
    for k in range(electrodes):
        way[k] -= volts_there[k]
    bare = np.empty((n + electrodes, width), kind)
    bare[:n], bare[n:] = np.dot(phi, way), volts
    for i in range(n):
        bare[i] += energy_there[i]
    currents[:] = np.nan
    spent = 0.0
    for m in range(PASSES):
        for i in range(n):
            for s in range(p.shape[1]):
                away[i, s] = p[i, s] - p_there[i]
        energy = bare.copy()
        energy[:n] += np.dot(coulomb, away)
        rate[:] = 0.0
        add_fluxes_of_settings(hops.first, hops.to, hops.g, hops.c, energy, p, rate)
        spent += p.shape[1] / width
        correction = np.dot(adjoint, rate[:n])
        miss, size = _largest(correction), _largest(rate[n:])
        corrected = correction - rate[n:]
        count = _judge(corrected, before, miss_before, size, miss, tolerance, done)
        for s in range(column.size):
            if done[s]:
                found[:, column[s]] = p[:n, s]
                currents[:, column[s]] = corrected[:, s]
        if count == column.size:
            break
        step = np.dot(inverse, rate[:n])
        for i in range(n):
            for s in range(step.shape[1]):
                step[i, s] = -step[i, s]
        _broyden(steps, m, step)
        _move(p, step)
        before, miss_before = corrected, miss
        left = _full(np.nonzero(~done)[0])
        if left.size < column.size:
            column, p, bare = column[left], _columns(p, left), _columns(bare, left)
            before, miss_before, done = _columns(before, left), miss[left], np.zeros(left.size, np.bool_)
            rate = np.empty((n + electrodes, left.size), kind)
            away, fewer = np.empty((n, left.size), kind), np.empty((PASSES, n, left.size), kind)
            for k in range(m + 1):
                fewer[k] = _columns(steps[k], left)
            steps = fewer
    for s in range(column.size):
        if not done[s]:
            found[:, column[s]] = p[:n, s]
    return spent


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(volts, found, centre_volts, centre_p, shift):
    """Move a centre to the mean of what was found there, and change dp/dV as little as fits all of it."""
    n, width = found.shape
    electrodes = volts.shape[0]
    middle = np.empty(electrodes)
    for k in range(electrodes):
        middle[k] = np.mean(volts[k])
    away, wrong = volts.copy(), np.empty((n, width))
    for k in range(electrodes):
        away[k] -= middle[k]
    for i in range(n):
        centre_p[i] = np.mean(found[i])
        wrong[i] = found[i] - centre_p[i]
    centre_volts[:] = middle
    square = np.dot(away, away.T)
    ridge = 1e-6 * np.trace(square)
    if ridge > 0.0:
        for k in range(electrodes):
            square[k, k] += ridge
        wrong -= np.dot(shift, away)
        shift += np.dot(np.dot(wrong, away.T), np.linalg.inv(square))


@njit(cache=True, nogil=True, error_model="numpy")
def solve(voltages, params, state, memory, out, single):
    """Stationary currents (A, into the device) at up to `TOGETHER` `voltages` (V), both (terminals, settings).

    In single precision, for averages, where the tolerance is as coarse as `SINGLE` and that is asked for.

    Within the tolerance of `stepper.evaluate`, whose `params` and `state` these are; NaN where that finds none, and
    everywhere if a voltage is none.
    """
    equations = stepper.equations_of(params)
    hops, fixed, phi, coulomb, coulomb_single = equations
    n, electrodes = phi.shape
    thermal, width = params[stepper.THERMAL_V], voltages.shape[1]
    volts, middle = voltages / thermal, np.empty(electrodes)
    for k in range(electrodes):
        middle[k] = np.mean(volts[k])
    out[:] = np.nan
    if not np.all(np.isfinite(middle)):
        return
    kept_volts, kept_p, kept_shift, kept_adjoint, kept_inverse, last_volts, last_p = _kept(memory, n, electrodes)
    c = _centre(equations, middle, params, state, memory)
    if c < 0:
        return
    p, found, currents = np.full((n + electrodes, width), 0.5), np.empty((n, width)), np.empty((electrodes, width))
    past = last_volts[: electrodes * width].reshape(electrodes, width)
    way = volts - past
    if memory[LAST] == c and memory[KNOWN] == width and np.max(np.abs(way)) < NEAR:
        p[:n] = last_p[: n * width].reshape(n, width)
    else:
        for k in range(electrodes):
            way[k] = volts[k] - kept_volts[c, k]
        for i in range(n):
            p[i] = kept_p[c, i]
    _move(p, np.dot(kept_shift[c], way))
    energy, tolerance = fixed + np.dot(phi, kept_volts[c]) + np.dot(coulomb, kept_p[c]), params[stepper.TOLERANCE]
    if single and tolerance >= SINGLE:
        rates = Hops(hops.first, hops.to, hops.g.astype(np.float32), hops.c.astype(np.float32))
        centre = (energy.astype(np.float32), kept_volts[c].astype(np.float32), kept_p[c].astype(np.float32),
                  kept_adjoint[c].astype(np.float32), kept_inverse[c].astype(np.float32))  # fmt: skip
        some = (rates, phi.astype(np.float32), coulomb_single)
        spent = _together(some, volts.astype(np.float32), p.astype(np.float32), centre, tolerance, found,
                          currents)  # fmt: skip
    else:
        centre_ = (energy, kept_volts[c], kept_p[c], kept_adjoint[c], kept_inverse[c])
        spent = _together((hops, phi, coulomb), volts, p, centre_, tolerance, found, currents)
    alone, one, answer = 0, np.empty(electrodes), np.empty(electrodes)
    for s in range(width):
        if np.isfinite(currents[0, s]):
            for k in range(electrodes):
                out[k, s] = currents[k, s] * params[stepper.CURRENT_A]
        else:
            alone += 1
            one[:] = voltages[:, s]
            state[stepper.STATE_HEADER : stepper.STATE_HEADER + n] = found[:, s]
            state[stepper.READY] = 0.0
            stepper.evaluate(0.0, one, params, state, answer)
            out[:, s] = answer
            found[:, s] = state[stepper.STATE_HEADER : stepper.STATE_HEADER + n]
    if not np.all(np.isfinite(out)):
        memory[c], memory[LAST] = 0.0, -1.0
        return
    _learn(volts, found, kept_volts[c], kept_p[c], kept_shift[c])
    past[:] = volts
    last_p[: n * width].reshape(n, width)[:] = found
    memory[LAST], memory[KNOWN] = c, width
    memory[SPENT] += spent * width / TOGETHER
    memory[ALONE] += alone
    memory[CENTRES + c] += max(spent - USUAL_PASSES, 0.0) * width / TOGETHER + RENEWAL * alone
    if memory[CENTRES + c] > RENEWAL:
        _renew(equations, kept_volts[c], kept_p[c], kept_shift[c], kept_adjoint[c], kept_inverse[c])
        memory[CENTRES + c] = 0.0
        memory[RENEWED] += 1.0


@njit(cache=True)
def _many(settings, voltages, params, n_params, state, n_state, out, single):
    terminals = int(load_float(state + 8 * n_state))
    shape = (terminals, int(settings))
    volts, found = carray(as_float_pointer(voltages), shape), carray(as_float_pointer(out), shape)
    words, known = carray(as_float_pointer(params), n_params), carray(as_float_pointer(state), n_state)
    memory = known[stepper.state_size_of(words) :]
    for begin in range(0, shape[1], TOGETHER):
        end = min(begin + TOGETHER, shape[1])
        some = np.empty((terminals, end - begin))
        solve(volts[:, begin:end].copy(), words, known, memory, some, single)
        found[:, begin:end] = some


@c_function(DEVICE_SIGNATURE)
def c_many(settings, voltages, params, n_params, state, n_state, out):
    """`solve` for any number of settings, in double precision, as a C function."""
    _many(settings, voltages, params, n_params, state, n_state, out, False)


@c_function(DEVICE_SIGNATURE)
def c_many_single(settings, voltages, params, n_params, state, n_state, out):
    """The same in single precision, for averages."""
    _many(settings, voltages, params, n_params, state, n_state, out, True)
