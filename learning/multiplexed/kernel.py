"""Multiplexed gradient descent, step by step.

The loop is written once: Numba compiles it around a compiled cost, and Python runs the same lines around a cost that is
any function.

With theta~ the perturbation, m^2 its mean squared norm, C0 the unperturbed cost, and times in steps:

    discrete    C~ = C(x, theta + theta~) - C0;  G += C~ theta~ / m^2;  every tau_theta: theta -= eta G, G = 0
    analog      tau_hp  dC~/dt = tau_hp dC/dt - C~            (a high-pass; C~ = 0 while blanked)
                tau_theta dG/dt = C~ theta~ / m^2 - G         (a low-pass)
                dtheta/dt = -eta G

(McCaughan et al., APL Machine Learning 1, 026118, 2023, algorithms 1 and 2.) In the analog mode the cost stands still
for a step and jumps between steps; the filters are exact for that: after a jump the high-pass holds h, and on average
over the step h tau_hp (1 - exp(-1/tau_hp)).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from inmateria.checks import FloatArray
from inmateria.random_words import counter_gaussian
from lockin.codes import SINE, perturb

FINE, NOT_FINITE = 0, 1
C0, HIGH_PASS, COST = range(3)  # in State.memory
STEP, INFERENCES, UPDATES, STALE = range(4)  # in State.counts


class Knobs(NamedTuple):
    """What does not change during a run, see `learning.multiplexed.descent.MgdSettings`."""

    code: int
    hold: int
    peak: float
    table: FloatArray
    key: np.uint64
    per_square: float
    """1 / m^2."""
    analog: bool
    eta: float
    tau_x: int
    tau_theta: int
    tau_hp: float
    blank: int
    momentum: float
    cost_noise: float
    update_noise: float
    common_noise: float
    cost_key: np.uint64
    update_key: np.uint64


class State(NamedTuple):
    """All that changes; arrays are written in place."""

    theta: FloatArray
    perturbation: FloatArray
    gradient: FloatArray
    velocity: FloatArray
    shifted: FloatArray
    memory: FloatArray
    """Baseline (discrete: C0, analog: the cost before), the high-pass, the last measured cost."""
    counts: NDArray[np.int64]
    """Steps done, inferences, updates, whether the baseline is stale."""


@numba.njit(cache=True, nogil=True, inline="always")
def _add(theta: FloatArray, perturbation: FloatArray, out: FloatArray) -> None:
    for k in range(theta.size):
        out[k] = theta[k] + perturbation[k]


@numba.njit(cache=True, nogil=True, inline="always")
def _accumulate(gradient: FloatArray, perturbation: FloatArray, factor: float) -> None:
    """G += factor theta~."""
    for k in range(gradient.size):
        gradient[k] += factor * perturbation[k]


@numba.njit(cache=True, nogil=True, inline="always")
def _low_pass(gradient: FloatArray, perturbation: FloatArray, factor: float, keep: float) -> None:
    """One step of the low-pass towards factor theta~."""
    share = (1.0 - keep) * factor
    for k in range(gradient.size):
        gradient[k] = keep * gradient[k] + share * perturbation[k]


@numba.njit(cache=True, nogil=True, inline="always")
def _descend(theta: FloatArray, gradient: FloatArray, velocity: FloatArray, eta: float, momentum: float) -> None:
    """V = mu v + G, theta -= eta v."""
    if momentum == 0.0:
        for k in range(theta.size):
            theta[k] -= eta * gradient[k]
        return
    for k in range(theta.size):
        velocity[k] = momentum * velocity[k] + gradient[k]
        theta[k] -= eta * velocity[k]


@numba.njit(cache=True, nogil=True)
def _disturb(theta: FloatArray, own: float, common: float, key: np.uint64, update: int) -> None:
    """Noise of an update: of its own for each parameter, and one number for all."""
    first = np.uint64(update) * np.uint64(theta.size + 1)
    shift = common * counter_gaussian(key, first) if common > 0.0 else 0.0
    for k in range(theta.size):
        theta[k] += shift
        if own > 0.0:
            theta[k] += own * counter_gaussian(key, first + np.uint64(k + 1))


@numba.njit(nogil=True, inline="always")  # so that the cost is called by its name, and the loop can be kept on disk
def run_steps(cost: Any, data: Any, knobs: Knobs, state: State, steps: int) -> int:
    """Do `steps` steps.

    Parameters
    ----------
    cost : callable
        cost(parameters, data, presentation) -> float; the presentation counts samples shown, one every tau_x.
    data : object
        Handed to it.
    knobs : Knobs
    state : State
        Changed in place.
    steps : int

    Returns
    -------
    int
        FINE, or NOT_FINITE: the cost was no number at the step that `state.counts` tells, which was not done.
    """
    # In locals: compiled code would count references to a tuple's arrays at every access.
    theta, perturbation, gradient, shifted = state.theta, state.perturbation, state.gradient, state.shifted
    velocity, memory, counts = state.velocity, state.memory, state.counts
    code, hold, peak, table, key = knobs.code, knobs.hold, knobs.peak, knobs.table, knobs.key
    analog, eta, momentum, per_square = knobs.analog, knobs.eta, knobs.momentum, knobs.per_square
    tau_x, tau_theta, blank, cost_noise = knobs.tau_x, knobs.tau_theta, knobs.blank, knobs.cost_noise
    keep = math.exp(-1.0 / tau_theta)
    decay = math.exp(-1.0 / knobs.tau_hp)
    mean = knobs.tau_hp * (1.0 - decay)
    diffusion = 1.0 / math.sqrt(tau_theta) if analog else 1.0
    own_noise, common_noise = diffusion * knobs.update_noise, diffusion * knobs.common_noise
    # Counters in place of remainders: a division takes as long as a neuron.
    first = counts[STEP]
    presentation, since_sample = first // tau_x, first % tau_x
    moment, since_pattern = (first, 0) if code == SINE else (first // hold, first % hold)
    until_update = tau_theta - first % tau_theta
    for n in range(first, first + steps):
        if not analog and (since_sample == 0 or counts[STALE] != 0):
            baseline = cost(theta, data, presentation)
            if cost_noise > 0.0:
                baseline += cost_noise * counter_gaussian(knobs.cost_key, np.uint64(counts[INFERENCES]))
            if not math.isfinite(baseline):
                return NOT_FINITE
            memory[C0] = baseline
            counts[INFERENCES] += 1
            counts[STALE] = 0
        if since_pattern == 0:
            perturb(code, moment, peak, table, key, perturbation)
        _add(theta, perturbation, shifted)
        measured = cost(shifted, data, presentation)
        if cost_noise > 0.0:
            measured += cost_noise * counter_gaussian(knobs.cost_key, np.uint64(counts[INFERENCES]))
        if not math.isfinite(measured):
            return NOT_FINITE
        counts[INFERENCES] += 1
        memory[COST] = measured
        if analog:
            memory[HIGH_PASS] = 0.0 if since_sample < blank else decay * memory[HIGH_PASS] + measured - memory[C0]
            memory[C0] = measured
            _low_pass(gradient, perturbation, mean * memory[HIGH_PASS] * per_square, keep)
        else:
            _accumulate(gradient, perturbation, (measured - memory[C0]) * per_square)
        until_update -= 1
        if analog or until_update == 0:
            until_update = tau_theta
            _descend(theta, gradient, velocity, eta, momentum)
            if own_noise > 0.0 or common_noise > 0.0:
                _disturb(theta, own_noise, common_noise, knobs.update_key, counts[UPDATES])
            counts[UPDATES] += 1
            if not analog:
                gradient[:] = 0.0
                counts[STALE] = 1
        counts[STEP] = n + 1
        since_sample += 1
        if since_sample == tau_x:
            since_sample = 0
            presentation += 1
        since_pattern += 1
        if since_pattern == hold or code == SINE:
            since_pattern = 0
            moment += 1
    return FINE
