"""Controllers in Python: when they are asked, what they are told, what their sources do, and how they fail."""

from __future__ import annotations

import math
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from circuits.ngspice.controller import Controller, Converter
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.engine import OPTIONS, Engine
from circuits.signals.transient import Transient
from inmateria.errors import AbsurdValueError, EngineHangError, InputError, Interrupted

from ...toys import linear_kernel

TAU_S, PERIOD_S = 1e-3, 1e-3
DECK = "sampled rc\nVdac in 0 external\nR1 in b 1k\nC1 b 0 1u ic={ic}\n" + OPTIONS


def run(
    engine: Engine, *controllers: Controller, deck: str = "", stop_s: float = 0.02, step_s: float = 5e-6
) -> Transient:
    circuit = deck or DECK.format(ic=0)
    return engine.transient(circuit, stop_s=stop_s, max_step_s=step_s, save=["v(b)"], controllers=controllers)


def towards_one(_: float, sampled: Any) -> float:
    return 0.3 + 0.5 * (1 - float(sampled[0]))


def recurrence(ticks: int, function: Callable[[float], float], delay_s: float = 0.0) -> list[float]:
    """Voltages of the RC at its ticks: it relaxes to the held value, the new one from `delay_s` behind each tick."""
    v = u = 0.0
    late: list[float] = []  # values on their way
    found = []
    whole, part = divmod(delay_s, PERIOD_S)
    for _ in range(ticks):
        if len(late) > whole and part > 0:  # the value of `whole` ticks before the last arrives within this period
            v = u + (v - u) * math.exp(-part / TAU_S)
            u = late.pop(0)
            v = u + (v - u) * math.exp(-(PERIOD_S - part) / TAU_S)
        else:
            v = u + (v - u) * math.exp(-PERIOD_S / TAU_S)
        found.append(v)
        late.append(function(v))
        if part == 0 and len(late) > whole:
            u = late.pop(0)
    return found


def is_near(run: Transient, exact: list[float]) -> float:
    return float(np.max(np.abs(run.controllers[0].inputs[:, 0] - exact)))


# -- when, and what --------------------------------------------------------------------------------------------------


def test_a_sampled_rc_is_the_exact_recurrence(engine: Engine) -> None:
    exact = recurrence(20, lambda v: towards_one(0, [v]))
    control = Controller(towards_one, 1 / PERIOD_S, ["v(b)"], ["Vdac"])
    fine, coarse = run(engine, control), run(engine, control, step_s=1e-5)
    assert is_near(fine, exact) < 1e-6
    assert is_near(coarse, exact) == pytest.approx(4 * is_near(fine, exact), rel=0.1)  # the trapezoid rule's own error
    ticks = fine.controllers[0]
    np.testing.assert_array_equal(ticks.time_s, np.arange(1, 21) / 1e3)
    places = np.searchsorted(fine.time_s, ticks.time_s - 1e-15)
    np.testing.assert_allclose(fine["v(b)"][places], ticks.inputs[:, 0], rtol=0, atol=0)


@pytest.mark.parametrize("latency_s", [0.4e-3, 1e-3, 2.3e-3])
def test_a_latency_may_be_part_of_a_period_and_more(engine: Engine, latency_s: float) -> None:
    control = Controller(towards_one, 1 / PERIOD_S, ["v(b)"], ["Vdac"], latency_s=latency_s)
    exact = recurrence(20, lambda v: towards_one(0, [v]), latency_s)
    assert is_near(run(engine, control), exact) < 1e-6


def test_a_source_jumps_behind_the_tick(engine: Engine) -> None:
    """The point at the tick has the old value, and the next, a thousandth of the largest step later, the new one."""
    control = Controller(lambda t, _: 1e3 * t, 1e3, [], ["Vdac"])
    found = engine.transient(DECK.format(ic=0), stop_s=5e-3, max_step_s=1e-4, save=["v(in)"], controllers=[control])
    for k in range(1, 5):
        place = int(np.searchsorted(found.time_s, 1e-3 * k - 1e-12))
        np.testing.assert_allclose(found["v(in)"][place : place + 2], [k - 1, k], atol=1e-12)
        assert found.time_s[place + 1] - found.time_s[place] == pytest.approx(1e-7, rel=1e-6)


@pytest.mark.parametrize("method", ["trap", "gear"])
def test_a_source_straight_across_a_capacitor_does_not_ring(engine: Engine, method: str) -> None:
    """The trapezoid rule would carry the current of a jump on, with alternating sign, for ever."""
    deck = f"c\nVdac b 0 external\nC1 b 0 1u ic=0\n.options method={method}\n"
    control = Controller(lambda t, _: 1e3 * t, 1e3, [], ["Vdac"])
    found = engine.transient(deck, stop_s=5e-3, max_step_s=1e-4, save=["i(vdac)"], controllers=[control])
    charge = np.sum(found["i(vdac)"][1:] * np.diff(found.time_s))
    current = np.abs(found["i(vdac)"][found.time_s < 4.9e-3])  # ngspice 47 ends with steps of 1e-17 s, all rounding
    assert np.count_nonzero(current > 1e-9) == 4  # a point a jump
    assert charge == pytest.approx(-4e-6, rel=1e-6)


def test_values_that_stay_cost_no_points(engine: Engine) -> None:
    def points(*controllers: Controller) -> int:
        deck = DECK.format(ic=0) if controllers else DECK.format(ic=0).replace("external", "1")
        return len(run(engine, *controllers, deck=deck, step_s=1e-4).time_s)

    stays, moves = (Controller(step, 1e3, [], ["Vdac"]) for step in (lambda t, _: 1.0, lambda t, _: t))
    assert points(stays) < points() + 30  # its one jump
    assert points(moves) > points() + 120


def test_several_clocks_and_a_current(engine: Engine) -> None:
    """At common ticks both see the same sample, in their order; a current source is set as well."""
    order: list[tuple[str, float, float]] = []

    def of(name: str, value: float) -> Callable[[float, Any], float]:
        def step(t: float, sampled: Any) -> float:
            order.append((name, t, float(sampled[0])))
            return value

        return step

    deck = "two\nVdac in 0 external\nIload 0 b external\nR1 in b 1k\nR2 b 0 1k\n"
    fast = Controller(of("fast", 2.0), 3e3, ["v(b)"], ["Vdac"])
    slow = Controller(of("slow", 1e-3), 1e3, ["v(b)"], ["Iload"], phase_s=0.0)
    found = run(engine, fast, slow, deck=deck, stop_s=2.5e-3, step_s=1e-4)
    assert [(name, round(3e3 * t)) for name, t, _ in order] == [
        *(("fast", 1), ("fast", 2), ("fast", 3), ("slow", 3), ("fast", 4), ("fast", 5), ("fast", 6), ("slow", 6)),
        ("fast", 7),
    ]
    assert order[2][2] == order[3][2] == pytest.approx(1.0)
    assert found["v(b)"][-1] == pytest.approx(1.0 + 0.5)


def test_ticks_beside_a_device_and_other_sources(engine: Engine) -> None:
    """A linear device at a node that the controller drives: the current follows the held voltage."""
    deck = "device\nVdac a 0 external\nVp b 0 pulse(0 1 0.5m 1u 1u 0.5m 1m)\n"
    conductances = np.array([[1.0, -1.0], [-1.0, 1.0]]) * 1e-6
    co = CoSimulation(linear_kernel(conductances), ["a", "b"], np.zeros(2))
    control = Controller(lambda t, v: 0.1 * round(1e3 * t), 1e3, ["v(b)"], ["Vdac"])
    found = engine.transient(
        deck, stop_s=5e-3, max_step_s=1e-5, save=["v(a)", "v(b)"], cosimulation=co, controllers=[control]
    )
    late = np.abs((found.time_s * 2e3) % 1 - 0.5) < 0.4
    exact = (found["v(a)"] - found["v(b)"]) * 1e-6
    np.testing.assert_allclose(found.device_A[late, 0], exact[late], atol=1e-16)
    assert set(np.round(found["v(a)"][late], 9)) == {0.0, 0.1, 0.2, 0.3, 0.4}


def test_a_run_is_the_same_twice(engine: Engine) -> None:
    control = Controller(towards_one, 1e3, ["v(b)"], ["Vdac"], adc_bits=12, ranges={"v(b)": (-1, 1)})
    first, second = run(engine, control), run(engine, control)
    np.testing.assert_array_equal(first["v(b)"], second["v(b)"])


# -- against a circuit -----------------------------------------------------------------------------------------------


PLANT = "R1 in b 1k\nR2 b 0 2k\nC1 b 0 1u ic=0\n" + OPTIONS
GAIN, PER_S = 2.0, 3000.0


class Pi:
    """u = K e + sum of K_i T e, e = 1 V - v."""

    def __init__(self, period_s: float) -> None:
        self.period_s, self.sum = period_s, 0.0

    def __call__(self, time_s: float, sampled: Any) -> float:
        error = 1.0 - float(sampled[0])
        self.sum += PER_S * self.period_s * error
        return GAIN * error + self.sum


def at_zero(periods: list[float], values: list[float]) -> float:
    """Value at period 0 of the polynomial through the values (Neville)."""
    for k in range(1, len(values)):
        pairs = zip(periods, periods[k:], values, values[1:], strict=False)
        values = [(a * right - b * left) / (a - b) for a, b, left, right in pairs]
    return values[0]


def test_a_pi_controller_becomes_the_circuit_of_one(engine: Engine) -> None:
    """Both also against the closed form, exp(A t)."""
    stop_s = 1.6e-3
    digital, periods = "pi\nVdac in 0 external\n" + PLANT, [1e-4 / 2**k for k in range(5)]
    values = [
        run(engine, Controller(Pi(t), 1 / t, ["v(b)"], ["Vdac"]), deck=digital, stop_s=stop_s, step_s=t / 4)["v(b)"][-1]
        for t in periods
    ]
    circuit = f"Berr e 0 V=1-v(b)\nGint 0 i e 0 {PER_S * 1e-6}\nCint i 0 1u ic=0\nBu in 0 V={GAIN}*v(e)+v(i)\n"
    coarse, fine = (
        run(engine, deck="pi\n" + circuit + PLANT, stop_s=stop_s, step_s=h)["v(b)"][-1] for h in (1e-5, 5e-6)
    )
    analogue = float(4 * fine - coarse) / 3
    a = np.array([[-(1 + GAIN) * 1e3 - 500.0, 1e3], [-PER_S, 0.0]])
    b = np.array([GAIN * 1e3, PER_S])
    exact = np.linalg.solve(a, (expm(a * stop_s) - np.eye(2)) @ b)[0]
    assert analogue == pytest.approx(exact, abs=1e-7)
    assert abs(values[0] - exact) > 1e-4
    assert at_zero(periods, values) == pytest.approx(analogue, abs=1e-7)


# -- converters ------------------------------------------------------------------------------------------------------


def test_converters_are_mid_tread_and_saturate() -> None:
    two_bits = Converter(-1.0, 1.0, 2)
    assert [two_bits.converted(v) for v in (-9.0, -1.0, -0.76, -0.74, 0.0, 0.24, 0.25, 0.6, 1.0, 1e300)] == [
        *(-1.0, -1.0, -1.0, -0.5, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5)
    ]
    assert Converter(-1.0, 1.0).converted(1.5) == 1.0
    assert Converter().converted(1.5) == 1.5
    fine = Converter(0.0, 5.0, 16)
    values = np.linspace(0.0, 4.999, 1000)
    assert max(abs(fine.converted(v) - v) for v in values) <= 2.5 / 2**16 * (1 + 1e-9)


def test_samples_and_values_are_converted_and_those_outside_counted(engine: Engine) -> None:
    ranges = {"v(b)": (0.0, 0.5), "Vdac": (0.0, 1.0)}
    control = Controller(lambda t, v: 2.0, 1e3, ["v(b)"], ["vdac"], adc_bits=4, dac_bits=3, ranges=ranges)
    ticks = run(engine, control, step_s=1e-4).controllers[0]
    np.testing.assert_array_equal(ticks.outputs, 0.875)
    assert set(ticks.inputs[:, 0] * 32) <= set(range(16))
    assert ticks.limited == {"v(b)": int(np.sum(ticks.inputs == 15 / 32)), "vdac": 20}


# -- state -----------------------------------------------------------------------------------------------------------


class Integral:
    """Keeps its sum."""

    def __init__(self) -> None:
        self.sum = 0.0

    def __call__(self, time_s: float, sampled: Any) -> float:
        self.sum += 0.2 * (1 - float(sampled[0])) + 0.01 * math.sin(time_s * 1e3)
        return self.sum


@pytest.mark.parametrize("cut_s", [10e-3, 10.3e-3])
def test_a_run_that_is_resumed_equals_the_unbroken_one(engine: Engine, cut_s: float) -> None:
    """With values on their way, and cut at a tick as well as between two."""
    integral = Integral()
    control = Controller(integral, 1e3, ["v(b)"], ["Vdac"], latency_s=1.6e-3)
    first = run(engine, control, stop_s=cut_s)
    kept = pickle.dumps((integral, first.controllers[0].end))
    integral, end = pickle.loads(kept)
    deck = DECK.format(ic=repr(float(first["v(b)"][-1])))
    second = run(engine, replace(control, step=integral, resume=end), deck=deck, stop_s=0.02 - cut_s)
    whole = run(engine, replace(control, step=Integral()))
    inputs = np.concatenate([first.controllers[0].inputs, second.controllers[0].inputs])
    np.testing.assert_allclose(inputs, whole.controllers[0].inputs, atol=2e-7)
    times = np.concatenate([first.controllers[0].time_s, second.controllers[0].time_s + cut_s])
    np.testing.assert_allclose(times, whole.controllers[0].time_s, rtol=1e-12)
    assert second.controllers[0].end.tick == whole.controllers[0].end.tick == 21


# -- what goes wrong -------------------------------------------------------------------------------------------------


class Odd(Exception):
    def __init__(self, a: int, b: int) -> None:  # one that no pickle brings back
        super().__init__(a + b)


def test_an_exception_comes_out_as_it_was_with_what_was_computed(engine: Engine) -> None:
    raised = Odd(1, 2)

    def step(t: float, sampled: Any) -> float:
        if t > 9.5e-3:
            raise raised
        return t

    control = Controller(step, 1e3, ["v(b)"], ["Vdac"], name="mine")
    with pytest.raises(Odd) as caught:
        run(engine, control, step_s=1e-4)
    assert caught.value is raised
    assert "'mine' at 0.01 s" in caught.value.__notes__[0]
    partial = caught.value.partial  # type: ignore[attr-defined]
    assert partial.time_s[-1] == pytest.approx(0.01, rel=1e-12)
    assert not partial.complete
    assert len(partial.controllers[0].time_s) == 9
    assert run(engine, Controller(lambda t, v: 1.0, 1e3, [], ["Vdac"]), step_s=1e-4).complete


def test_what_is_not_finite_is_refused_with_output_and_time(engine: Engine) -> None:
    deck = "two\nVa in 0 external\nVb b 0 external\nR1 in 0 1k\nR2 b 0 1k\n"
    control = Controller(lambda t, v: [1.0, math.nan if t > 2.5e-3 else 0.0], 1e3, [], ["Va", "Vb"])
    with pytest.raises(AbsurdValueError, match=r"vb = nan: .*'controller' gives at 0.003 s") as caught:
        run(engine, control, deck=deck, step_s=1e-4)
    assert caught.value.time_s == pytest.approx(3e-3)
    assert len(caught.value.partial.controllers[0].time_s) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("answer", [None, [1.0, 2.0]])
def test_another_answer_than_one_number_an_output_is_refused(engine: Engine, answer: Any) -> None:
    with pytest.raises(InputError, match=r"step = .*'controller' at 0.001 s; return one number for each of vdac"):
        run(engine, Controller(lambda t, v: answer, 1e3, [], ["Vdac"]), step_s=1e-4)


def test_a_slow_function_is_no_hang_but_a_hang_is_one(engine: Engine) -> None:
    def slow(t: float, sampled: Any) -> float:
        time.sleep(1.5 if t < 1.5e-3 else 0.0)
        return 0.0

    with Engine(timeout_s=0.5) as impatient:
        assert run(impatient, Controller(slow, 1e3, [], ["Vdac"]), stop_s=3e-3, step_s=1e-4).complete

        def stopping(t: float, sampled: Any) -> float:
            assert impatient.pid is not None
            os.kill(impatient.pid, signal.SIGSTOP)
            return 0.0

        with pytest.raises(EngineHangError):
            run(impatient, Controller(stopping, 1e3, [], ["Vdac"]), stop_s=3e-3, step_s=1e-4)


def test_ctrl_c_in_the_function_keeps_what_was_computed(engine: Engine) -> None:
    def step(t: float, sampled: Any) -> float:
        if t > 4.5e-3:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    with pytest.raises(Interrupted) as caught:
        run(engine, Controller(step, 1e3, ["v(b)"], ["Vdac"]), step_s=1e-4)
    assert caught.value.partial.time_s[-1] == pytest.approx(5e-3)
    assert len(caught.value.partial.controllers[0].time_s) == 4


def test_a_worker_that_dies_at_a_tick_is_a_crash(engine: Engine) -> None:
    from inmateria.errors import EngineCrashError

    def step(t: float, sampled: Any) -> float:
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        return 0.0

    with pytest.raises(EngineCrashError):
        run(engine, Controller(step, 1e3, ["v(b)"], ["Vdac"]), step_s=1e-4)
    assert threading.active_count() < 20


def test_a_function_that_asks_its_own_engine_is_refused(engine: Engine) -> None:
    """It would wait for itself."""

    def step(t: float, sampled: Any) -> float:
        return float(engine.run("op\nV1 a 0 1\nR1 a 0 1k\n.op\n.end")["a"][0])

    with pytest.raises(InputError, match="asked from a function that it calls"):
        run(engine, Controller(step, 1e3, [], ["Vdac"]), step_s=1e-4)


GOOD: dict[str, Any] = {"step": towards_one, "rate_Hz": 1e3, "inputs": ["v(b)"], "outputs": ["Vdac"]}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"rate_Hz": 0}, "rate_Hz"),
        ({"latency_s": -1e-3}, "latency_s"),
        ({"adc_bits": 0}, "adc_bits"),
        ({"adc_bits": 12}, "ranges"),
        ({"dac_bits": 12, "ranges": {"v(b)": (0, 1)}}, "ranges"),
        ({"ranges": {"v(c)": (0, 1)}}, "ranges"),
        ({"ranges": (1, 0)}, "ranges"),
        ({"ranges": 5}, "ranges"),
        ({"outputs": ["Rdac"]}, "outputs"),
        ({"outputs": ["Vdac", "vdac"]}, "outputs"),
        ({"outputs": ["v(dac)"]}, "outputs"),
        ({"inputs": "v(b)"}, "inputs"),
        ({"initial": [1.0, 2.0]}, "initial"),
        ({"initial": [math.nan]}, "initial"),
        ({"step": 3}, "step"),
    ],
)
def test_impossible_controllers_are_refused(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        Controller(**{**GOOD, **wrong})
    assert caught.value.field == field


def test_sources_must_stand_in_the_deck_and_have_one_master(engine: Engine) -> None:
    control = Controller(**{**GOOD, "outputs": ["Vother"]})
    with pytest.raises(InputError, match="'vother': is no external source of the deck"):
        run(engine, control)
    with pytest.raises(InputError, match="'vdac': is set by two controllers"):
        run(engine, Controller(**GOOD), Controller(**GOOD))
    with pytest.raises(InputError, match="controllers = "):
        run(engine, towards_one)  # type: ignore[arg-type]
