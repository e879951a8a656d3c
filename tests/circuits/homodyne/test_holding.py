"""What is held: the prediction against closed forms and ngspice, at every kind of part; what goes on when left on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from circuits.homodyne import readings
from circuits.homodyne.engines import Averaged, Ngspice
from circuits.homodyne.holding import (
    drift_V_s,
    left_on,
    measured_controls_V,
    outputs_A,
    predicted_controls_V,
    states_holding,
)
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.ngspice.engine import Engine
from circuits.parts.levels import loop_fields
from circuits.signals.patterns import PatternSequence
from circuits.signals.transient import Transient
from lockin.plan import plan_frequencies

from ...toys import Linear

Array = NDArray[np.float64]
TIMES = np.array([0.0, 1.0, 10.0, 60.0, 1e3, 1e5, 1e7])


def loop_of(level: str, figures: dict[str, float] | None = None, **changes: Any) -> HomodyneLoop:
    """Two controls of a linear device."""
    trimmed = {"trimmed": {"integrator": figures}} if figures else {}
    settings: dict[str, Any] = {
        "device": Linear(range_V=(-4.0, 4.0)),
        "output": 0,
        "inputs": (1,),
        "trained": (1, 2),
        "start_V": np.array([0.3, -0.7]),
        "dither": plan_frequencies(2, None, 40.0, amplitude_V=0.01),
        "sequence": PatternSequence(((-0.1,), (0.1,)), (-0.05, 0.05), 0.025, 0.00125, 0.00125, 12.5e-6),
        "sequences": 4,
        "stage": OutputStage(baseline_rate=0.0, gain_rate=0.0),
        "filter_s": 2e-3,
        **loop_fields(level, **trimmed),
    }
    return HomodyneLoop(**(settings | changes))


def way(loop: HomodyneLoop, controls_V: Any, time_s: Any = (0.0, 1.0)) -> Transient:
    """A run of which only the controls are known: they stand at, or go through, (points, n) on straight lines."""
    table = np.broadcast_to(np.asarray(controls_V, dtype=float), (len(time_s), loop.dither.n))
    waves = {f"v(w{k})": table[:, k].copy() for k in range(loop.dither.n)}
    return Transient(np.array(time_s), waves, np.zeros((len(time_s), 3)), True, {}, (), "")


def test_an_ideal_integrator_holds_for_ever() -> None:
    loop = loop_of("ideal")
    assert states_holding(loop)
    np.testing.assert_array_equal(drift_V_s(loop), 0.0)
    held = predicted_controls_V(loop, way(loop, loop.start_V), TIMES)
    np.testing.assert_array_equal(held, np.tile(loop.start_V, (len(TIMES), 1)))


def test_the_bias_current_drifts_by_its_closed_form_and_stops_at_the_rail() -> None:
    """1.2 nA into 10.1 uF are 119 uV/s; on 10 Gohm u goes to U = 12 V with 1.01e5 s, but the rail comes first."""
    plain = {"ibias": 1.2e-9, "rleak": 1e10, "c": 1e-5, "ctol": 0.01, "vos": 30e-6, "absorption": 0.0}
    loop = loop_of("macro", plain)
    leakage = sum(part.defaults.get("ileak", 0.0) for part in loop.parts.values() if part.name == "integrator")
    current, capacity = plain["ibias"] + leakage, 1.01e-5
    np.testing.assert_allclose(drift_V_s(loop), current / capacity, rtol=1e-9)
    assert drift_V_s(loop)[0] == pytest.approx(119e-6, rel=0.02)
    held = predicted_controls_V(loop, way(loop, loop.start_V), TIMES)
    rest, u = 1e10 * current, loop.start_V - 30e-6
    exact = rest + (u - rest) * np.exp(-TIMES[:, None] / (1e10 * capacity)) + 30e-6
    np.testing.assert_allclose(held, np.minimum(exact, loop.control_limits_V[1]), atol=1e-7)
    assert held[-1, 0] == loop.control_limits_V[1][0]


def test_what_the_dielectric_takes_the_capacitor_loses() -> None:
    """Without currents the charge C u + a c d stays; u and d meet at its mean, with tabsorb / (1 + a c / C)."""
    a = 0.01
    figures = {"ibias": 0.0, "rleak": 1e30, "absorption": a, "tabsorb": 10.0, "ctol": 0.0, "vos": 0.0}
    if "ileak" in loop_of("macro").part("integrator").defaults:
        figures["ileak"] = 0.0
    loop = loop_of("macro", figures)
    stepped = way(loop, [[0.0, 0.0], [0.0, 0.0], [1.0, 0.5], [1.0, 0.5]], (0.0, 10.0, 10.0, 10.0))
    held = predicted_controls_V(loop, stepped, TIMES)
    meets = 1.0 / (1.0 + a)
    exact = meets + (1.0 - meets) * np.exp(-TIMES * (1.0 + a) / 10.0)
    np.testing.assert_allclose(held, exact[:, None] * np.array([1.0, 0.5]), atol=1e-12)
    long_there = predicted_controls_V(loop, way(loop, [1.0, 0.5]), TIMES)
    np.testing.assert_allclose(long_there, np.tile([1.0, 0.5], (len(TIMES), 1)), atol=1e-12)


@pytest.mark.parametrize("absorption", [0.0, 5e-3])
def test_the_prediction_is_what_ngspice_does(engine: Engine, absorption: float) -> None:
    """Within 1 uV of some mV of drift or creep; the dielectric remembers the way, finer or coarser told."""
    loop = loop_of("macro", {"absorption": absorption}, component_errors={"w0.ibias": 4e-9, "w1.ctol": -0.05})
    times = np.linspace(0.0, 12.0, 200)
    path = np.stack([0.3 + 0.5 * np.sin(0.3 * times), -0.7 + 0.05 * times], axis=1)
    run = way(loop, path, times)
    time, seen = measured_controls_V(loop, run, 60.0, Ngspice(engine))
    predicted = predicted_controls_V(loop, run, time)
    assert np.ptp(predicted, axis=0).min() > 3e-3
    np.testing.assert_allclose(seen, predicted, rtol=0.0, atol=1e-6)


def test_parts_without_figures_are_run_alone(engine: Engine) -> None:
    """A pair without a tail current leaves a capacitor that only the transistors' leakage moves, some 10 fA.

    ngspice's own conductance of 1e-12 S beside every junction moved it a thousand times as fast.
    """
    loop = loop_of("transistor")
    assert not states_holding(loop)
    time, seen = measured_controls_V(loop, way(loop, loop.start_V), 10.0, Ngspice(engine))
    assert time[-1] == pytest.approx(10.0)
    np.testing.assert_allclose(seen[0], loop.start_V, rtol=0.0, atol=1e-12)
    later = seen[time > 5.0]
    assert np.all(np.abs(seen[-1] - loop.start_V) < 1e-5)  # junctions settle by some uV
    rate = (later[-1] - later[0]) / 5.0
    assert np.all((np.abs(rate) > 0.0) & (np.abs(rate) < 1e-7))


def test_the_outputs_are_those_behind_the_summing_amplifiers_and_drift_with_them() -> None:
    loop = loop_of("macro", component_errors={"sum1.esum": 0.02, "sum1.offset": 3e-3, "sum0.offset": 0.0})
    gain = 1.0 + np.array([loop.part("dither_sum").defaults["esum"], 0.02])
    slopes = np.array([5e-8, 3e-8])
    levels = np.array([[-0.1, 0.0], [0.1, 0.0]])
    volts = gain * (loop.start_V + levels) + [0.0, 3e-3]
    np.testing.assert_allclose(outputs_A(loop, loop.start_V[None])[0], volts @ slopes, rtol=1e-12)
    drifts = {part: {one.name: one.default for one in loop.part(part).drifts} for part in ("dither_sum", "integrator")}
    warmed = outputs_A(loop, loop.start_V[None], 10.0)[0] - volts @ slopes
    moved = 10.0 * (gain * drifts["integrator"]["vos"] + drifts["dither_sum"]["offset"])
    np.testing.assert_allclose(warmed, moved @ slopes, rtol=1e-6)


def test_a_loop_that_is_left_on_goes_on_at_the_rate_and_dither_of_its_end() -> None:
    """One that never annealed goes on as if it had not stopped: its averagers fill again, no more."""
    whole = loop_of("macro", anneal_to=0.5, dither_to=0.4)
    going = left_on(whole, Averaged().run(whole), 3)
    assert max(going.learning.values) == 0.5
    assert max(going.envelope.values) == 0.4
    np.testing.assert_allclose(going.channel_gains, whole.channel_gains)
    steady = loop_of("macro", anneal_to=1.0, dither_to=1.0, sequences=20, averaged_sequences=0.1)
    longer = replace(steady, sequences=40)
    once = readings.controls_V(longer, Averaged().run(longer))[-1]
    first = Averaged().run(steady)
    after = left_on(steady, first, 20)
    twice = readings.controls_V(after, Averaged().run(after))[-1]
    moved = np.abs(once - readings.controls_V(steady, first)[-1])
    np.testing.assert_allclose(twice, once, rtol=0.0, atol=0.1 * moved.max())


def test_the_averaged_loop_that_is_left_on_moves_as_ngspice_does(engine: Engine) -> None:
    """Real parts, from where a learning loop ended; offsets and slopes together, within 2 % of the way."""
    loop = loop_of("macro", sequences=6)
    going = left_on(loop, Averaged().run(loop), 6)
    ways = [readings.controls_V(going, one.run(going)) for one in (Averaged(), Ngspice(engine))]
    moved = [way[-1] - way[0] for way in ways]
    assert np.abs(moved[0]).max() > 1e-3
    np.testing.assert_allclose(moved[0], moved[1], rtol=0.0, atol=0.02 * np.abs(moved[1]).max())
