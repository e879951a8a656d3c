"""Compiled noise sources between nodes of a circuit, each with a density of its own and gains that follow the bias.

Source s is a unit process u_s, white noise and Lorentzians as in `dnpu_models.noise.kernel` (whose laws of a step and
of its points are used), times a gain at each of its nodes: the current i_n = sum_s g_sn(t) u_s enters node n. The gains
are straight lines between the times at which they are known, and constant outside. All sources see the same steps,
so they share the span, and what a step does to a process of decay rate r.

`params`: header, times (s), rates (1/s), then for each source with Lorentzians the standard deviations of its
processes, for each source the root of its white density, the number of its first node, the nodes, and at each time the
gains. `state`: the random words, the time of the last accepted point, the span (s), the time of `out`, then room for
the processes' factors, the currents (A) at the nodes, and of the sources the values, the deviates of the means, the
means; of the processes the values and the deviates.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numpy as np
from numba import njit

from dnpu_models.noise.kernel import fill_normals, tanh_deficit

SOURCES, COLOURED, NODES, RATES, TIMES, PLACES, HEADER = range(7)
"""Words of the header: how many sources there are, how many of them have Lorentzians (they stand first), and how many
nodes, rates, times, and gains at a time."""
TIME, SPAN, EVALUATED, STATE_HEADER = 4, 5, 6, 7
DECAY, KICK, MEAN, SPREAD, FACTORS = range(5)
"""What a step does to a process, by rate: see `_factors`."""


def state_size(sources: int, coloured: int, nodes: int, rates: int) -> int:
    """Length of the state."""
    return STATE_HEADER + FACTORS * rates + nodes + 3 * sources + 2 * coloured * rates


def process_values_at(sources: int, nodes: int, rates: int) -> int:
    """Where the values of the processes begin in the state; their deviates follow."""
    return STATE_HEADER + FACTORS * rates + nodes + 3 * sources


@njit(cache=True)
def _counts(params):
    return (int(params[SOURCES]), int(params[COLOURED]), int(params[NODES]), int(params[RATES]), int(params[TIMES]),
            int(params[PLACES]))  # fmt: skip


@njit(cache=True)
def _parts_of_state(params, state):
    """Factors, currents at nodes; values, deviates and means of sources; values and deviates of processes."""
    sources, coloured, nodes, rates, _, _ = _counts(params)
    a = STATE_HEADER + FACTORS * rates
    b = a + nodes
    c = b + 3 * sources
    d = c + coloured * rates
    return (
        state[STATE_HEADER:a].reshape(FACTORS, rates),
        state[a:b],
        state[b:c].reshape(3, sources),
        state[c:d].reshape(coloured, rates),
        state[d : d + coloured * rates].reshape(coloured, rates),
    )


@njit(cache=True, error_model="numpy")
def _factors(h, rates, factors):
    """What a step of `h` (s) does, x = r h: e^-x, sqrt(1 - e^-2x), tanh(x/2)/x, the variance of the mean."""
    for i in range(rates.size):
        x = rates[i] * h
        lost = -math.expm1(-x)
        deficit = tanh_deficit(x, lost)
        factors[DECAY, i] = 1.0 - lost
        factors[KICK, i] = math.sqrt(lost * (2.0 - lost))
        factors[MEAN, i] = 0.5 * (1.0 - deficit)
        factors[SPREAD, i] = deficit * 2.0 / x


@njit(cache=True, error_model="numpy")
def _step_means(h, params, state, move):
    """Means of the unit processes over a step of `h` (s) from the last point; with `move` they go to its end."""
    sources, coloured, _, count, times, _ = _counts(params)
    factors, _, of_sources, values, deviates = _parts_of_state(params, state)
    begin = HEADER + times
    rates = params[begin : begin + count]
    deviations = params[begin + count : begin + count * (1 + coloured)].reshape(coloured, count)
    whites = params[begin + count * (1 + coloured) : begin + count * (1 + coloured) + sources]
    _factors(h, rates, factors)
    per_root = math.sqrt(0.5 / h)
    for s in range(coloured):
        mean = 0.0
        variance = 0.5 * whites[s] * whites[s] / h
        for i in range(count):
            deviation = deviations[s, i]
            end = values[s, i] * factors[DECAY, i] + deviation * factors[KICK, i] * deviates[s, i]
            mean += (values[s, i] + end) * factors[MEAN, i]
            variance += deviation * deviation * factors[SPREAD, i]
            if move:
                values[s, i] = end
        of_sources[2, s] = mean + math.sqrt(variance) * of_sources[1, s]
    for s in range(coloured, sources):
        of_sources[2, s] = per_root * whites[s] * of_sources[1, s]


@njit(cache=True, error_model="numpy")
def _point(h, span, value, mean):
    """A unit process at the end of a step, see `dnpu_models.noise.kernel`: what was integrated so far stays right."""
    span = span if span > 0.0 else h
    return ((span - h) * value + 2.0 * h * mean) / (max(h, span - h) + h)


@njit(cache=True, error_model="numpy")
def _interval(times, t):
    """Number of the interval of times in which t lies, and the share of it that has passed, 0 to 1."""
    if times.size == 1 or t <= times[0]:
        return 0, 0.0
    low, high = 0, times.size - 1
    if t >= times[high]:
        return high - 1, 1.0
    while high - low > 1:
        middle = (low + high) // 2
        if times[middle] <= t:
            low = middle
        else:
            high = middle
    return low, (t - times[low]) / (times[low + 1] - times[low])


@njit(cache=True)
def noise_at(t, params, state):
    """Currents (A) into the nodes at time `t` (s), if it becomes the next accepted point; an array within `state`."""
    sources, coloured, _, count, times, places = _counts(params)
    _, out, of_sources, _, _ = _parts_of_state(params, state)
    if state[EVALUATED] == t:
        return out
    state[EVALUATED] = t
    h = t - state[TIME]
    if h > 0.0:
        _step_means(h, params, state, False)
    at = HEADER + times + count * (1 + coloured) + sources
    starts = params[at : at + sources + 1]
    nodes = params[at + sources + 1 : at + sources + 1 + places]
    gains = params[at + sources + 1 + places :].reshape(times, places)
    number, share = _interval(params[HEADER : HEADER + times], t)
    out[:] = 0.0
    for s in range(sources):
        value = of_sources[0, s]
        if h > 0.0:
            value = _point(h, state[SPAN], value, of_sources[2, s])
        for k in range(int(starts[s]), int(starts[s + 1])):
            gain = gains[number, k]
            if share > 0.0:
                gain += share * (gains[number + 1, k] - gain)
            out[int(nodes[k])] += gain * value
    return out


@njit(cache=True)
def advance_to(t, params, state):
    """The point at `t` (s) was accepted: move there, draw the deviates of the next step."""
    h = t - state[TIME]
    if not h > 0.0:
        return
    sources, _, _, _, _, _ = _counts(params)
    _, _, of_sources, _, deviates = _parts_of_state(params, state)
    _step_means(h, params, state, True)
    span = state[SPAN] if state[SPAN] > 0.0 else h
    for s in range(sources):
        of_sources[0, s] = _point(h, span, of_sources[0, s], of_sources[2, s])
    state[SPAN] = max(h, span - h)
    state[TIME] = t
    words = state[:4].view(np.uint64)
    fill_normals(words, of_sources[1])
    fill_normals(words, deviates.reshape(deviates.size))


@njit(cache=True)
def follow(times, params, state, out):
    """Currents at successive times, (n_times, n_nodes), as a simulator meets them."""
    for k in range(times.size):
        out[k] = noise_at(times[k], params, state)
        advance_to(times[k], params, state)
