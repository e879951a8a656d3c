"""Paths of twin and ngspice against the loop's equations integrated until nothing changes, by Runge and Kutta.

The equations are those of the documents; of the package only the loop's description is used, its waveforms included.
Both engines have the trapezoidal rule's error, so that their agreement with each other says nothing of it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from circuits.homodyne import readings
from circuits.homodyne.engines import LoopEngine, Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.ngspice.engine import Engine
from circuits.signals.patterns import PatternSequence
from lockin.plan import DitherPlan

from .test_loop_by_hand import TwoTanh

Array = NDArray[np.float64]


def integrated(loop: HomodyneLoop, points_per_cycle: float = 40.0) -> tuple[Array, Array]:
    """Times (s) and path of a closed loop of ideal parts and the squared loss, in even steps between corners.

    The path is that of the controls and the baseline, V, and the logarithm of the gain, (times, n + 2); the state has
    the low-passes and averagers between these.
    """
    assert not loop.parts
    assert (loop.filter_poles, loop.loss) == (1, "squared")
    n, stage, sequence, trained = loop.dither.n, loop.stage, loop.sequence, list(loop.trained)
    omega, phase = 2 * np.pi * np.array(loop.dither.frequencies_Hz), np.array(loop.dither.phases_rad)
    peaks, heard_s = np.array(loop.dither.amplitudes_V), sequence.patterns * sequence.window_s
    gain = 2.0 / peaks * loop.learning_rate * sequence.period_s / heard_s
    rates = np.broadcast_to(loop.rates, n) / sequence.period_s

    def derivative(t: float, x: Array, gate: float, target: float, size: float, speed: float, levels: Array) -> Array:
        w, m, a, (b, c) = x[:n], x[n : 2 * n], x[2 * n : 3 * n], x[3 * n :]
        sines = np.sin(omega * t + phase)
        volts = np.zeros(len(loop.device.terminals))
        volts[trained] = w + size * peaks * sines
        volts[list(loop.inputs)] += levels
        u = -stage.transimpedance_ohm * loop.device.currents(volts)[loop.output] - b
        y = stage.polarity * np.exp(c) * u
        return np.concatenate([
            -rates * speed * loop.step_V * np.tanh(gain * a / loop.step_V),
            (gate * (y - target) ** 2 * sines - m) / loop.filter_s,
            (m - a) / loop.average_s,
            [gate * stage.baseline_rate / heard_s * u,
             gate * stage.gain_rate / heard_s * (1.0 - (y / stage.level_V) ** 2)],
        ])  # fmt: skip

    beyond = np.full(2 * n, np.inf)  # filters have no rails
    (low, high), (least, most) = loop.control_limits_V, stage.gain_limits
    rails = np.hstack([low, -beyond, -stage.reach_V, least]), np.hstack([high, beyond, stage.reach_V, most])
    tables = [sequence.gate_table(), sequence.target_table(), loop.envelope, loop.learning]
    levels = [sequence.level_table(which) for which in range(sequence.inputs)]
    x = np.concatenate([loop.start_V, np.zeros(2 * n), [stage.baseline_V, stage.gain_log]])
    corners = np.unique([0.0, *(t for t in loop.corners_s if t < loop.stop_s), loop.stop_s])
    kept = [*range(n), 3 * n, 3 * n + 1]
    times, path = [0.0], [x[kept]]
    for begin, end in pairwise(corners):
        steps = int(np.ceil((end - begin) * points_per_cycle * max(loop.dither.frequencies_Hz)))
        h, halves = (end - begin) / steps, np.linspace(begin, end, 2 * steps + 1)
        known = [table.at(halves) for table in tables]
        levels_V = np.stack([table.at(halves) for table in levels], axis=1)

        def slope(k: int, state: Array, halves=halves, known=known, levels_V=levels_V) -> Array:  # type: ignore[no-untyped-def]
            gate, target, size, speed = (values[k] for values in known)
            return derivative(halves[k], state, gate, target, size, speed, levels_V[k])

        for k in range(0, 2 * steps, 2):
            k1 = slope(k, x)
            k2 = slope(k + 1, x + 0.5 * h * k1)
            k3 = slope(k + 1, x + 0.5 * h * k2)
            k4 = slope(k + 2, x + h * k3)
            x = np.clip(x + h / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4), *rails)
            times.append(float(halves[k + 2]))
            path.append(x[kept])
    return np.array(times), np.array(path)


def off(loop: HomodyneLoop, engine: LoopEngine, times: Array, path: Array) -> tuple[float, float]:
    """Largest deviation of an engine's controls over the largest excursion of one; of baseline and gain over theirs."""
    run = engine.run(loop)
    read = np.column_stack([readings.controls_V(loop, run), run["v(baseline)"], run["v(gainlog)"]])
    there = np.stack([np.interp(run.time_s, times, column) for column in path.T], axis=1)
    far, spans = np.max(np.abs(read - there), axis=0), np.ptp(path, axis=0)
    return float(np.max(far[:-2]) / np.max(spans[:-2])), float(np.max(far[-2:] / spans[-2:]))


def two_tanh(sequences: int = 4) -> HomodyneLoop:
    return HomodyneLoop(
        TwoTanh(), 0, (1,), (1, 2), np.array([-0.25, 0.3]), DitherPlan((110.0, 130.0), (0.03, 0.02)),
        PatternSequence(((0.0,), (0.3,)), (1.0, -1.0), 0.1, 0.005, 0.005, 5e-5),
        sequences=sequences, stage=OutputStage(baseline_V=-0.1, gain_log=1.2), rates=(1.0, 0.5),
    )  # fmt: skip


@pytest.fixture(scope="module")
def converged() -> tuple[Array, Array]:
    times, path = integrated(two_tanh())
    coarse_times, coarse = integrated(two_tanh(), 20.0)
    there = np.stack([np.interp(coarse_times, times, column) for column in path.T], axis=1)
    assert np.max(np.abs(coarse - there)) < 5e-5 * np.max(np.ptp(path, axis=0))  # nothing changes any more
    return times, path


@pytest.mark.parametrize("name", ["twin", "ngspice"])
def test_paths_approach_the_converged_one_by_the_square_of_the_step(
    name: str, engine: Engine, converged: tuple[Array, Array]
) -> None:
    alone: LoopEngine = Twin() if name == "twin" else Ngspice(engine)
    errors = np.array([off(replace(two_tanh(), points_per_cycle=points), alone, *converged) for points in (10, 20, 40)])
    assert np.all(errors[0] < (0.01, 0.005))
    assert np.all(errors[:-1] / errors[1:] > 3.0)
    assert np.all(errors[:-1] / errors[1:] < 5.0)
