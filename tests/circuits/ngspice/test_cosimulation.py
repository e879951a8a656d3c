"""A device inside ngspice: when it is asked and advanced, what it is told, and what is refused."""

from __future__ import annotations

import importlib
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from circuits.ngspice.cosimulation import LOOP_GAIN_LIMIT, CoSimulation
from circuits.ngspice.engine import OPTIONS, Engine
from circuits.signals import sources_kernel
from circuits.signals.sources import Drive, Sine, Table
from dnpu_models.interface.device import SteppableKernel
from inmateria.errors import ConvergenceError, EngineError, InputError, NetlistError

from ...toys import linear_kernel


@cache
def clock() -> SteppableKernel:
    """State: advanced points, summed time, smallest step, calls, last time of evaluate.

    The current of the first terminal is 1 pA times the number of accepted points before; of the second 1 uA/s times
    their summed time; of the third 1 A/s times their smallest step.
    """

    @njit
    def evaluate(t, voltages, params, state, out):  # type: ignore[no-untyped-def]
        state[3] += 1.0
        out[0] = 1e-12 * state[0]
        out[1] = 1e-6 * state[1]
        out[2] = state[2]

    @njit
    def advance(dt, voltages, params, state):  # type: ignore[no-untyped-def]
        state[0] += 1.0
        state[1] += dt
        state[2] = min(state[2], dt)

    return SteppableKernel(evaluate, advance, np.zeros(1), np.array([0.0, 0.0, 1.0, 0.0, 0.0]), np.zeros((3, 3)))


@cache  # and compiled once, however many times it is used
def failing_functions() -> tuple[Any, Any]:
    """NaN from a time on; before it 1 nA."""

    @njit
    def evaluate(t, voltages, params, state, out):  # type: ignore[no-untyped-def]
        out[0] = 1e-9 if t < params[0] else math.nan

    @njit
    def advance(dt, voltages, params, state):  # type: ignore[no-untyped-def]
        pass

    return evaluate, advance


def failing(time_s: float) -> SteppableKernel:
    return SteppableKernel(*failing_functions(), np.array([time_s]), np.zeros(1), np.zeros((1, 1)))


def hanging() -> SteppableKernel:
    @njit
    def evaluate(t, voltages, params, state, out):  # type: ignore[no-untyped-def]
        while t > params[0]:
            state[0] += 1.0

    @njit
    def advance(dt, voltages, params, state):  # type: ignore[no-untyped-def]
        pass

    return SteppableKernel(evaluate, advance, np.array([1e-3]), np.zeros(1), np.zeros((1, 1)))


# -- the coupling ----------------------------------------------------------------------------------------------------

G = np.array([[3.0, -1.0, -2.0], [-1.5, 2.5, -1.0], [-1.5, -1.5, 3.0]]) * 1e-6
SINES = "three sines\nV0 n0 0 sin(0 1 1k)\nV1 n1 0 sin(0.2 0.5 1.3k 0 0 30)\nV2 n2 0 0.4\n" + OPTIONS
DRIVE = Drive(
    sines={0: [Sine(1.0, 1e3)], 1: [Sine(0.5, 1.3e3, math.pi / 6)]},
    waves={1: [(0.2, Table((0.0, 1.0), (1.0, 1.0)))], 2: [(0.4, Table((0.0, 1.0), (1.0, 1.0)))]},
)
START = np.array([0.0, 0.2 + 0.5 * math.sin(math.pi / 6), 0.4])


def coupled(engine: Engine, drive: Drive, step_s: float, since_s: float = 0.0) -> tuple[float, float]:
    """Largest error of the currents, relative; and the error of the voltages told, V."""
    co = CoSimulation(linear_kernel(G), ["n0", "n1", "n2"], START, drive)
    run = engine.transient(SINES, stop_s=2e-3, max_step_s=step_s, save=["i(v0)"], cosimulation=co)
    volts = np.stack([run[f"v(n{k})"] for k in range(3)], axis=1)
    exact = volts @ G.T
    np.testing.assert_allclose(run["i(v0)"], -run.device_A[:, 0], atol=1e-15)
    late = run.time_s >= since_s
    return float(np.max(np.abs(run.device_A - exact)[late]) / np.max(np.abs(exact))), run.statistics[
        "prediction_error_V"
    ]


def test_a_complete_drive_gives_the_exact_current(engine: Engine) -> None:
    error, told = coupled(engine, DRIVE, 1e-5)
    assert error < 1e-13
    assert told < 1e-13


def test_without_a_drive_the_current_converges_with_the_step(engine: Engine) -> None:
    """The voltages are extrapolated along straight lines: once moving, the error falls with the square of the step."""
    coarse, told = coupled(engine, Drive(), 1e-5, 1e-4)
    fine, _ = coupled(engine, Drive(), 2.5e-6, 1e-4)
    assert told > 1e-6
    assert fine < coarse / 12
    assert coarse < 1e-2


def test_a_constant_without_drive_is_exact(engine: Engine) -> None:
    """What the drive leaves out is carried over from the last point: a control that stands still costs nothing."""
    partial = Drive(sines=DRIVE.sines)
    error, told = coupled(engine, partial, 1e-5)
    assert error < 1e-12
    assert told < 1e-12


def test_a_resistive_divider_within_the_limit(engine: Engine) -> None:
    """G R = 0.1, the limit: 1 V behind R loses V/(1 + G R); the explicit current lags by one step at most."""
    resistance, conductance = 1e3, 1e-4
    co = CoSimulation(linear_kernel([[conductance]]), ["b"], np.zeros(1), source_ohm=resistance)
    assert co.loop_gain == pytest.approx(LOOP_GAIN_LIMIT)
    deck = f"divider\nV1 a 0 1\nR1 a b {resistance}\n{OPTIONS}"
    run = engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=["v(b)"], cosimulation=co)
    assert run["v(b)"][-1] == pytest.approx(1 / (1 + resistance * conductance), rel=1e-6)


def test_a_loop_gain_above_the_limit_is_refused() -> None:
    with pytest.raises(InputError, match="loop gain") as caught:
        CoSimulation(linear_kernel([[1e-2]]), ["b"], np.zeros(1), source_ohm=1e3)
    assert "10" in str(caught.value)
    with pytest.raises(InputError, match="loop gain"):
        CoSimulation(linear_kernel([[math.nan]]), ["b"], np.zeros(1), source_ohm=1e3)


def test_terminals_and_nodes_must_agree() -> None:
    with pytest.raises(InputError, match="terminals"):
        CoSimulation(linear_kernel(G), ["a", "b"], np.zeros(2))
    with pytest.raises(InputError, match="terminals"):
        CoSimulation(linear_kernel(G), ["a", "b", "c"], np.zeros(2))


def test_a_circuit_cannot_take_the_place_of_the_device(engine: Engine, tmp_path: Path) -> None:
    co = CoSimulation(linear_kernel([[1e-9]]), ["b"], np.zeros(1))
    with pytest.raises(NetlistError):
        engine.transient(
            "t\nV1 b 0 1\nV2 c 0 external", stop_s=1e-3, max_step_s=1e-5, save=[], cosimulation=co, folder=tmp_path
        )


# -- accepted points only --------------------------------------------------------------------------------------------


def test_the_state_moves_on_accepted_points_only(engine: Engine) -> None:
    """Ngspice rejects steps at the diode's edges; the state must not see them, and time must never run backwards."""
    deck = (
        "rejecting\nV1 a 0 sin(0 5 50k)\nR1 a b 100\nD1 b c fast\nC1 c 0 1n ic=0\nR2 c 0 10k\n"
        ".model fast d is=1e-14 cjo=10p tt=5n\nVx x 0 0\nVy y 0 0\nVz z 0 0"
    )
    co = CoSimulation(clock(), ["x", "y", "z"], np.zeros(3))
    run = engine.transient(deck, stop_s=1e-4, max_step_s=2e-6, save=["v(c)"], cosimulation=co)
    assert run.statistics["rejected"] > 10
    assert run.statistics["evaluations"] > len(run.time_s)
    steps = np.diff(run.time_s, prepend=0.0)
    assert np.all(steps > 0)
    # The current at a point is of the state before it; the first step starts at time 0.
    np.testing.assert_allclose(run.device_A[:, 0], 1e-12 * np.arange(len(steps)), rtol=1e-12)
    np.testing.assert_allclose(run.device_A[1:, 1], 1e-6 * run.time_s[:-1], atol=1e-19)
    np.testing.assert_allclose(run.device_A[1:, 2], np.minimum.accumulate(steps)[:-1], rtol=1e-9, atol=1e-18)


def test_the_device_is_asked_once_a_time_however_often_ngspice_asks(engine: Engine) -> None:
    deck = "t\nV1 a 0 sin(0 1 1k)\nB1 b 0 V=v(a)*v(a)*v(a)\nR1 b 0 1\nVx x 0 0\nVy y 0 0\nVz z 0 0\n" + OPTIONS
    co = CoSimulation(clock(), ["x", "y", "z"], np.zeros(3))
    run = engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=[], cosimulation=co)
    assert run.statistics["source_calls"] >= 6 * len(run.time_s)  # three terminals, two Newton iterations at least
    assert run.statistics["evaluations"] <= len(run.time_s) + run.statistics["rejected"] + 2


def test_runs_do_not_share_state(engine: Engine) -> None:
    co = CoSimulation(clock(), ["x", "y", "z"], np.zeros(3))
    deck = "t\nVx x 0 0\nVy y 0 0\nVz z 0 0\n" + OPTIONS
    first, second = (
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-5, save=[], cosimulation=co).device_A for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


# -- devices that fail -----------------------------------------------------------------------------------------------

ONE = "t\nVx x 0 0\n" + OPTIONS


def test_nan_from_the_device_tells_the_time(engine: Engine) -> None:
    """In a long run, and in a short one, which is over before the parent looks."""
    for stop in (1.0, 2e-3):
        co = CoSimulation(failing(1e-3), ["x"], np.zeros(1))
        with pytest.raises(ConvergenceError, match=r"gave no current at 0\.001"):
            engine.transient(ONE, stop_s=stop, max_step_s=1e-5, save=[], cosimulation=co)
    good = CoSimulation(failing(1e3), ["x"], np.zeros(1))
    run = engine.transient(ONE, stop_s=1e-3, max_step_s=1e-5, save=[], cosimulation=good)
    np.testing.assert_allclose(run.device_A[:, 0], 1e-9)


def test_a_device_that_hangs_is_ended(tmp_path: Path) -> None:
    with Engine(timeout_s=2.0) as engine:
        co = CoSimulation(hanging(), ["x"], np.zeros(1))
        with pytest.raises(EngineError, match="accepted no time-point"):
            engine.transient(ONE, stop_s=2e-3, max_step_s=1e-5, save=[], cosimulation=co, folder=tmp_path)
        assert list(tmp_path.glob("*.cir"))
        run = engine.transient(ONE, stop_s=1e-3, max_step_s=1e-5, save=["v(x)"])
        assert run.complete


def test_a_kernel_of_a_module_of_the_users_own(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported by name in the worker, from wherever this process found it."""
    (tmp_path / "module_of_a_user.py").write_text(
        "from numba import njit\n@njit\ndef evaluate(t, volts, params, state, out):\n    out[0] = params[0]\n"
        "@njit\ndef advance(dt, volts, params, state):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("module_of_a_user")
    kernel = SteppableKernel(module.evaluate, module.advance, np.array([2e-9]), np.zeros(1), np.zeros((1, 1)))
    co = CoSimulation(kernel, ["x"], np.zeros(1))
    run = engine.transient(ONE, stop_s=1e-3, max_step_s=1e-5, save=["i(vx)"], cosimulation=co)
    np.testing.assert_allclose(run["i(vx)"], -2e-9)


# -- drive -----------------------------------------------------------------------------------------------------------


@given(
    t=st.floats(0.0, 3.0),
    amplitude=st.floats(-2, 2),
    frequency=st.floats(0.1, 50),
    phase=st.floats(-7, 7),
    scale=st.floats(-3, 3),
    values=st.lists(st.floats(-5, 5), min_size=4, max_size=4),
    period=st.sampled_from([0.0, 1.0, 0.8]),
)
def test_the_compiled_drive_is_the_formula(
    t: float, amplitude: float, frequency: float, phase: float, scale: float, values: list[float], period: float
) -> None:
    table = Table((0.0, 0.25, 0.5, 0.8), tuple(values), period)
    envelope = Table((0.0, 1.0, 2.0), (1.0, 0.5, 0.0))
    drive = Drive(
        sines={
            0: [Sine(amplitude, frequency, phase), Sine(0.5, 3.0)],
            2: [Sine(amplitude, frequency, phase, envelope)],
        },
        waves={1: [(scale, table)], 2: [(1.0, table), (scale, envelope)]},
    )
    out = np.empty(4)
    sources_kernel.drive_voltages(drive.pack(), t, out)
    at = np.array(t)
    sine = amplitude * math.sin(2 * math.pi * frequency * t + phase)
    expected = [
        sine + 0.5 * math.sin(6 * math.pi * t),
        scale * float(table.at(at)),
        sine * float(envelope.at(at)) + float(table.at(at)) + scale * float(envelope.at(at)),
        0.0,
    ]
    np.testing.assert_allclose(out, expected, atol=1e-11)


def test_an_empty_drive_is_zero() -> None:
    out = np.ones(3)
    sources_kernel.drive_voltages(Drive().pack(), 0.3, out)
    np.testing.assert_array_equal(out, 0.0)
