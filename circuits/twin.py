"""The closed loop's compiled twin: the equations of the ideal parts, integrated without ngspice.

Between time-points the loss is a straight line; then every block has an exact step:

    low-pass    dm/dt = (x - m)/tau, x linear in time                exact exponential step, pole after pole
    integrator  dw/dt = rate gate m, held within its rails           trapezoid rule, clipped
    baseline, gain control                                           trapezoid rule, clipped

The windows have a whole number of equal steps, so that references stay orthogonal on the grid. Outside the windows the
loss is gated off: the filters decay exactly, nothing asks the device, and only the ends of the gap are recorded.
A control is needed at the new time to know the new loss; it is taken from a straight line through its last two values
(it moves slowly), which makes the method second order with one evaluation of the device per step.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from circuits.engine import Transient
from inmateria.errors import ConvergenceError, InputError

if TYPE_CHECKING:
    from circuits.homodyne_loop import HomodyneLoop


@njit(cache=True, error_model="numpy")
def _window(
    evaluate, params, state, volts, out, start, h, steps, record, row, control, filters, slow, fixed, signals, trained,
    output, tones, phases, amplitudes, scale, target, learn, rates, low, high, poles, tau, stage, closed, loss_mode,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Integrate one window of `steps` steps; rows go into `record`. Returns the next row, -1 if the device failed."""
    n = tones.size
    # stage: ohm, polarity, level^2, baseline rate, gain rate, gain low, gain high, baseline reach
    decay = math.exp(-h / tau)
    w = control.copy()
    before = w.copy()
    x_old = np.zeros(n)
    x_new = np.zeros(n)
    chain_old = filters.copy()
    du = 0.0
    dg = 0.0
    for s in range(steps + 1):
        t = start + s * h
        ahead = w if s == 0 else 2.0 * w - before
        for m in range(volts.size):
            volts[m] = fixed[m] + signals[m]
        for k in range(n):
            wave = math.sin(tones[k] * t + phases[k])
            x_new[k] = wave
            volts[trained[k]] += amplitudes[k] * scale * wave
            if closed:
                volts[trained[k]] += ahead[k]
        evaluate(t, volts, params, state, out)
        tia = -stage[0] * out[output]
        if not math.isfinite(tia):
            return -1
        u = tia - slow[0]
        y = stage[1] * math.exp(slow[1]) * u
        loss = (y - target) * (y - target)
        signal = loss if loss_mode else u
        for k in range(n):
            x_new[k] *= signal
        if s > 0:
            before[:] = w
            for k in range(n):
                old = x_old[k]
                new = x_new[k]
                last = filters[k, 0]
                for p in range(poles):
                    # dm/dt = (x - m)/tau with x a straight line from old to new
                    slope = (new - old) / h
                    last = filters[k, p]
                    steady = new - slope * tau
                    value = steady + (last - (old - slope * tau)) * decay
                    filters[k, p] = value
                    old = last
                    new = value
                moved = w[k] + rates[k] * learn * 0.5 * h * (old + new)
                w[k] = min(max(moved, low[k]), high[k])
            slow[0] += stage[3] * 0.5 * h * (du + u)
            slow[1] += stage[4] * 0.5 * h * (dg + stage[2] - y * y)
            slow[0] = min(max(slow[0], -stage[7]), stage[7])
            slow[1] = min(max(slow[1], stage[5]), stage[6])
        du = u
        dg = stage[2] - y * y
        x_old[:] = x_new
        record[row, 0] = t
        record[row, 1] = tia
        record[row, 2] = y
        record[row, 3] = loss
        record[row, 4] = slow[0]
        record[row, 5] = slow[1]
        record[row, 6] = target
        record[row, 7] = 1.0
        record[row, 8 : 8 + n] = w
        for k in range(n):
            record[row, 8 + n + k] = filters[k, poles - 1]
        record[row, 8 + 2 * n : 8 + 2 * n + volts.size] = volts
        record[row, 8 + 2 * n + volts.size :] = out
        row += 1
    control[:] = w
    return row


@njit(cache=True)
def _gap(length, control, filters, learn, rates, low, high, poles, tau):  # type: ignore[no-untyped-def]
    """Let the filters decay for `length` seconds with nothing at their inputs, the integrators listening.

    Pole after pole, with m_p(t) = e^(-t/tau) sum_q m_q (t/tau)^(p-q)/(p-q)!; the integral of the last follows from
    tau dm_p/dt = m_(p-1) - m_p, so that the integral of m_p is that of m_(p-1) plus tau (m_p(0) - m_p(end)).
    """
    r = length / tau
    fade = math.exp(-r)
    for k in range(control.size):
        start = filters[k].copy()
        total = 0.0
        for p in range(poles):
            value = 0.0
            term = 1.0
            for q in range(p, -1, -1):
                value += start[q] * term
                term *= r / (p - q + 1)
            filters[k, p] = value * fade
            total += tau * (start[p] - filters[k, p])
        moved = control[k] + rates[k] * learn * total
        control[k] = min(max(moved, low[k]), high[k])


def run_twin(loop: HomodyneLoop, *, seed: int = 0, points_per_cycle: float | None = None) -> Transient:
    """Integrate the loop's equations; see `HomodyneLoop.twin`."""
    if loop.parts:
        raise InputError("parts", sorted(loop.parts), "have no equation the twin knows", "use engine='ngspice'")
    sequence, stage, plan = loop.sequence, loop.stage, loop.dither
    n, terminals = plan.n, len(loop.device.terminals)
    cycles = max(plan.frequencies_hz) * sequence.window_s
    steps = int(np.ceil(cycles * (loop.points_per_cycle if points_per_cycle is None else points_per_cycle)))
    h = sequence.window_s / steps
    duty = sequence.patterns * sequence.window_s
    sequences = loop.sequences + 2 if loop.mode == "learn" else 1
    rows = sequences * sequence.patterns * (steps + 1) + 2
    names = [name.lower() for name in [*loop.saved, *[f"v({node})" for node in loop.nodes]]]
    record = np.zeros((rows, 1 + len(names) + terminals))
    kernel = loop.device.kernel(loop.start_terminals_V, seed=seed)
    state = kernel.state.copy()
    low, high = loop.control_limits_V
    rates = 2.0 / np.array(plan.amplitudes_v) / duty
    if loop.mode == "learn":
        rates = -rates * loop.learning_rate
        control = loop.start_V.copy()
    else:  # the controls stand still; the integrators read
        control, low, high = np.zeros(n), np.full(n, -loop.readout_span), np.full(n, loop.readout_span)
    reach = 4.0 * stage.transimpedance_ohm * 1e-7
    stage_words = np.array(
        [
            stage.transimpedance_ohm,
            stage.polarity,
            stage.level_V**2,
            stage.baseline_rate / duty,
            stage.gain_rate / duty / stage.level_V**2,
            *stage.gain_limits,
            reach,
        ]
    )
    slow = np.array([stage.baseline_V, stage.gain_log])
    filters = np.zeros((n, loop.filter_poles))
    fixed = np.zeros(terminals)
    for terminal, value in loop.fixed_V.items():
        fixed[terminal] = value
    trained = np.array(loop.trained, dtype=np.int64)
    if loop.mode != "learn":
        fixed[trained] = loop.start_V
    tones, phases = 2 * np.pi * np.array(plan.frequencies_hz), np.array(plan.phases_rad)
    amplitudes = np.array(plan.amplitudes_v)
    volts, out = np.zeros(terminals), np.zeros(terminals)
    row, now, points = 0, 0.0, 0
    begin = time.perf_counter()
    for s in range(sequences):
        learn = 1.0 if loop.mode != "learn" or 0 < s <= loop.sequences else 0.0
        for p, (start, stop) in enumerate(sequence.windows(s)):
            _gap(start - now, control, filters, learn, rates, low, high, loop.filter_poles, loop.filter_s)
            signals = np.zeros(terminals)
            for which, terminal in enumerate(loop.inputs):
                signals[terminal] = sequence.levels_V[p][which]
            scale = float(loop.envelope.at(np.array([0.5 * (start + stop)]))[0])
            row = _window(
                kernel.evaluate, kernel.params, state, volts, out, float(start), h, steps, record, row, control,
                filters, slow, fixed, signals, trained, loop.output,
                tones, phases, amplitudes, scale, sequence.targets_V[p], learn, rates, low, high, loop.filter_poles,
                loop.filter_s, stage_words, loop.mode == "learn", loop.mode != "output",
            )  # fmt: skip
            if row < 0:
                raise ConvergenceError("device", "NaN", f"gave no current near {start:.6g} s", "check its voltages")
            points += steps + 1
            now = float(stop)
    _gap(loop.stop_s - now, control, filters, 1.0 if loop.mode != "learn" else 0.0, rates, low, high,
         loop.filter_poles, loop.filter_s)  # fmt: skip
    if row:
        record[row] = record[row - 1]
        record[row, 0] = loop.stop_s
        record[row, 8 : 8 + n] = control
        record[row, 7] = 0.0
        row += 1
    table = record[:row]
    return Transient(
        table[:, 0].copy(),
        {name: table[:, 1 + k].copy() for k, name in enumerate(names)},
        table[:, 1 + len(names) :].copy(),
        True,
        {"points": float(points), "evaluations": float(points), "rejected": 0.0, "seconds": time.perf_counter() - begin},
        (),
        "",
    )

