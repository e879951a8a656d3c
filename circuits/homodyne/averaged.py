"""The closed loop averaged over its dither: the slow dynamics of the controls alone.

Within a window of a pattern the dither's phases run through all combinations, while the controls w, the baseline b and
the logarithm c of the gain move slowly. With tia(theta) = R I(w + alpha sin theta) and T = <tia>, d = tia - T its part
by the dither, and u = T - b, what the circuit's ideal parts do to slow signals follows from four averages over the
phases, <tia>, <d^2>, <d sin theta_k>, <d^2 sin theta_k>:

    <y>   = p e^c u,      <y^2> = e^2c (u^2 + <d^2>),      <E> = <y^2> - 2 t <y> + t^2              (p: polarity)
    <E sin theta_k> = e^2c (<d^2 sin theta_k> + 2 u <d sin theta_k>) - 2 t p e^c <d sin theta_k>

The last one is what channel k's low-pass gets; low-passes, averagers, limiters and integrators are those of the twin,
taken in groups of steps (`averaged_kernel.group_map`). The averages are those of the window itself: the device is asked
along it, ten times a cycle of the highest tone, where the controls are expected to go, and again where they went if
that is elsewhere. Products of several tones then have their true mean, and beats of the tones within the window are
there too; averages over all combinations of phases have neither (docs/decisions.md, "Averages along the window").
Where the controls go is foreseen by the same equations, with the averages of the pattern's last window.

Where the gate opens and closes, oscillations are cut off at some phase; what straight lines between a few nodes a cycle
miss of that is added in closed form (`averaged_kernel.edge`).

Macro parts have their errors of first order, as in the twin (`figures`): with L2, L1 and L0 the loss is still a
square, of another y and target, and a constant.

Left out: noise, so random devices are refused; what a device does in time; the shape of the gate's edges.
"""

from __future__ import annotations

import math
import time

import numpy as np

from circuits.homodyne import averaged_kernel as compiled
from circuits.homodyne.equations import (
    ChannelConstants,
    DeviceCalls,
    LoopConstants,
    Tones,
    device_calls,
    pattern_voltages,
    start_state,
    tones_of,
)
from circuits.homodyne.figures import check_known, constants_of
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import waveforms
from circuits.homodyne.readings import AVERAGED
from circuits.signals.transient import Transient
from dnpu_models.interface.device import is_random, kernel_of
from inmateria.checks import count
from inmateria.errors import ConvergenceError, InputError
from inmateria.threads import one_blas_thread

STILL = 1e-4
"""Change of a static device's currents in one step at fixed voltages, at most, as a fraction."""
LEAST_NODES = 160
"""Nodes of a window where the tones ask for fewer."""
NODES_PER_CYCLE = 10
"""So that products of five tones are no whole number of cycles between nodes."""
GROUPS = 4
"""Groups of steps, at least, in the low-passes' time: between them the limiters are not looked at. With 2,
paths are 2 % off, with 4 0.7, with 8 0.3 (a device of second order)."""


def run_averaged(loop: HomodyneLoop, *, points: int | None = None) -> Transient:
    """Integrate the averaged loop; see `engines.Averaged`."""
    begin = time.perf_counter()
    check_averaged(loop)
    if points is not None:
        count("points", points)
    with one_blas_thread():
        return _integrate(loop, points, begin)


def check_averaged(loop: HomodyneLoop) -> None:
    """Refuse a loop of which there are no averaged equations.

    Raises
    ------
    InputError
        As `figures.check_known`, for another loss than the squared one, and for a random device.
    """
    check_known(loop, "average")
    if loop.loss != "squared":
        raise InputError("loss", loop.loss, "has no average in closed form", "use engine='twin', or the squared loss")
    if is_random(loop.device):
        problem = "is random, and the averaged loop knows no noise"
        raise InputError("device", type(loop.device).__name__, problem, "use another engine")


def _refuse_change(loop: HomodyneLoop, device: DeviceCalls) -> None:
    """Refuse a device that changes with time at fixed voltages; who answers many settings at once is static."""
    if device.many:
        return
    moved = compiled.change(device._replace(state=device.state.copy()), loop.start_terminals_V, loop.max_step_s)
    if moved > STILL:
        problem = "changes with time at fixed voltages"
        raise InputError("device", type(loop.device).__name__, problem, "use another engine")


def _schedule(loop: HomodyneLoop, constants: LoopConstants, channels: ChannelConstants) -> compiled.Schedule:
    """All windows of a run."""
    sequence = loop.sequence
    starts = (sequence.windows()[:, 0] + sequence.period_s * np.arange(loop.shown)[:, None]).ravel()
    middles = starts + 0.5 * sequence.window_s
    return compiled.Schedule(
        starts_s=starts,
        length_s=float(sequence.window_s),
        half_s=0.5 * sequence.edge_s,
        wait_s=float(sequence.wait_s),
        ramp_s=float(sequence.ramp_s),
        flip_s=float(loop.flip_s) if loop.chopped and not constants.closed else float(loop.stop_s),
        stop_s=float(loop.stop_s),
        levels_V=pattern_voltages(loop, constants, channels),
        targets_V=np.array(sequence.targets_V, dtype=float),
        rates_Hz=loop.learning.at(middles) / sequence.period_s,
        scales=loop.envelope.at(middles),
        sides=(loop.chop_signs < 0).astype(np.int64),
    )


def _nodes(loop: HomodyneLoop, wanted: int | None, tones: Tones) -> compiled.Nodes:
    """Where the device is asked in each window, as often as is `wanted`, or as seldom as is allowed."""
    sequence = loop.sequence
    if wanted is None and loop.mode != "learn":
        wanted = loop.window_steps
    if wanted is None:
        wanted = math.ceil(NODES_PER_CYCLE * max(loop.dither.frequencies_Hz) * sequence.window_s) + 1
    groups = GROUPS * sequence.window_s / (loop.filter_poles * loop.filter_s)
    nodes = compiled.GROUP * math.ceil(max(wanted / compiled.GROUP, LEAST_NODES / compiled.GROUP, groups - 1e-9))
    angles = tones.omega[:, None] * np.linspace(0.0, sequence.window_s, nodes + 1)
    return compiled.Nodes(np.sin(angles), np.cos(angles))


def _integrate(loop: HomodyneLoop, wanted: int | None, begin: float) -> Transient:
    terminals = len(loop.device.terminals)
    kernel = kernel_of(loop.device, loop.start_terminals_V)
    device, _alive = device_calls(kernel, terminals, 1)
    _refuse_change(loop, device)
    constants, sides = constants_of(loop)
    schedule, tones = _schedule(loop, constants, sides[0]), tones_of(loop)
    nodes = _nodes(loop, wanted, tones)
    names, groups = waveforms(loop), (nodes.sines.shape[1] - 1) // compiled.GROUP
    record = np.empty((1 + len(names) + terminals, len(schedule.starts_s) * (groups + 1) + 1))
    tally = np.zeros(1)
    written = compiled.integrate(device, schedule, nodes, tones, start_state(loop), constants, sides, tally, record)
    if written < 0:
        when = schedule.starts_s[-written - 1]
        raise ConvergenceError("device", "NaN", f"gave no current near {when:.6g} s", "check its voltages")
    statistics = {
        "points": float(record.shape[1]),
        "evaluations": float(tally[0]),
        "rejected": 0.0,
        AVERAGED: 1.0,
        "seconds": time.perf_counter() - begin,
    }
    values, currents = dict(zip(names, record[1:], strict=False)), np.ascontiguousarray(record[1 + len(names) :].T)
    return Transient(record[0], values, currents, True, statistics, (), "")
