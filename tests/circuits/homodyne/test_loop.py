"""The loop: it reads the true gradient, its twin agrees with ngspice, stays within its rails, refuses nonsense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from circuits.homodyne import netlist, readings, twin
from circuits.homodyne.engines import Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.ngspice.engine import Engine
from circuits.signals.patterns import PatternSequence
from circuits.signals.transient import Transient
from dnpu_models.interface import pointers
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import InputError, Interrupted
from lockin.averages import dither_average
from lockin.plan import DitherPlan, plan_frequencies
from netlists.reader import load_part

from ...rc_filter import rc_filter
from ...refused import refused
from ...toys import Linear, linear_kernel

Array = NDArray[np.float64]
START = np.array([-0.162, -0.042, 0.435, 0.447, -0.403, -0.499, -0.047])
AND = (-1 / np.sqrt(3),) * 3 + (np.sqrt(3),)
LEVELS = ((-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25))


def linear_loop(**changes: Any) -> HomodyneLoop:
    plan = plan_frequencies(2, None, 40.0, amplitude_V=0.01)
    settings: dict[str, Any] = {
        "device": Linear(),
        "output": 0,
        "inputs": (1,),
        "trained": (1, 2),
        "start_V": np.array([0.1, -0.2]),
        "dither": plan,
        "sequence": PatternSequence(((-0.1,), (0.1,)), (-0.05, 0.05), 0.025, 0.00125, 0.00125, 12.5e-6),
        "sequences": 10,
        "stage": OutputStage(baseline_rate=0.0, gain_rate=0.0),
        "filter_s": 2e-3,
    }
    return HomodyneLoop(**(settings | changes))


@pytest.fixture(scope="module")
def device() -> MeanField:
    return MeanField(DopantNetwork.random(seed=0, acceptors=40))


@pytest.fixture(scope="module")
def learning(device: MeanField) -> HomodyneLoop:
    """A gate's loop on a small device."""
    trained = tuple(range(1, 8))
    rest = np.zeros((4, 8))
    rest[:, trained] = START
    rest[:, (2, 6)] += np.array(LEVELS)
    stage = OutputStage(polarity=-1.0)
    return HomodyneLoop(
        device=device,
        output=0,
        inputs=(2, 6),
        trained=trained,
        start_V=START,
        dither=plan_frequencies(7, None, 10.0, amplitude_V=0.01),
        sequence=PatternSequence(LEVELS, AND, 0.1, 0.005, 0.005, 5e-5),
        sequences=4,
        stage=stage.measured_at(-device.currents(rest)[:, 0] * stage.transimpedance_ohm),
        points_per_cycle=24.0,
    )


@pytest.fixture(scope="module")
def learned(learning: HomodyneLoop, engine: Engine) -> Transient:
    return Ngspice(engine).run(learning)


# -- the closed loop ------------------------------------------------------------------------------------------


def ends(loop: HomodyneLoop, run: Transient) -> Array:
    """Controls at the end of every window, (n_windows, n_trained)."""
    at = np.concatenate([loop.sequence.windows(s)[:, 1] for s in range(loop.sequences + 2)])
    controls = readings.controls_V(loop, run)
    return np.stack([np.interp(at, run.time_s, controls[:, k]) for k in range(loop.dither.n)], axis=1)


def test_points_lie_on_every_corner_of_the_waveforms(learning: HomodyneLoop, learned: Transient) -> None:
    # ngspice loses breakpoints of PWL sources; a gate's edge in the middle of a step tells in the gradient.
    assert len(learning.corners_s) == 6 * 4 * 6 - 1  # none at time 0
    for corner in learning.corners_s:
        assert np.abs(learned.time_s - corner).min() < 1e-12
    # 1 where the lock-ins listen, its area the windows' length.
    gate = learned["v(gate)"]
    area = np.trapezoid(gate, learned.time_s)
    assert area == pytest.approx(24 * learning.sequence.window_s, rel=1e-6)


def test_points_stand_evenly_in_the_windows(learning: HomodyneLoop, learned: Transient) -> None:
    half = 0.5 * learning.sequence.edge_s
    spacing = learning.sequence.window_s / learning.window_steps
    assert spacing <= learning.max_step_s * (1 + 1e-9)
    for sequence in range(learning.sequences + 2):
        for start, stop in learning.sequence.windows(sequence):
            t = learned.time_s
            listened = t[(t > start + half + 0.01 * spacing) & (t < stop - half - 1e-9)]
            even = start + spacing * np.arange(1, learning.window_steps)
            np.testing.assert_allclose(listened, even, rtol=0, atol=1e-12)


def test_twin_and_ngspice_take_the_same_path(learning: HomodyneLoop, learned: Transient) -> None:
    twin = Twin().run(learning)
    here, there = ends(learning, learned), ends(learning, twin)
    moved = np.ptp(here, axis=0)
    assert moved.min() > 0.01
    apart = np.abs(here - there).max(axis=0)
    print(f"apart: {100 * apart.max() / moved.max():.2f} % of the largest range; of each {100 * apart / moved} %")
    assert np.all(apart <= 2e-3 * moved)
    for sequence in range(learning.sequences + 2):
        a, b = readings.outputs_V(learning, learned, sequence), readings.outputs_V(learning, twin, sequence)
        assert np.abs(a - b).max() <= 0.01 * np.ptp(a)
    np.testing.assert_allclose(
        readings.outputs_V(learning, learned, 0), readings.outputs_V(learning, twin, 0), rtol=1e-5
    )
    for name in ("v(baseline)", "v(gainlog)"):
        assert abs(learned[name][-1] - twin[name][-1]) <= 0.01 * np.ptp(learned[name])
    assert set(twin.values) == set(learned.values)
    assert twin.device_A.shape[1] == learned.device_A.shape[1] == 8


def test_twin_and_ngspice_agree_on_a_linear_device(engine: Engine) -> None:
    loop = linear_loop(points_per_cycle=20.0)
    here, there = ends(loop, Ngspice(engine).run(loop)), ends(loop, Twin().run(loop))
    assert np.all(np.abs(here - there).max(axis=0) <= 0.01 * np.ptp(here, axis=0))


def test_the_loop_descends_to_the_closed_form_minimum() -> None:
    # y = 0.5 (w_1 + level) + 0.3 w_2 has no error where 0.5 w_1 + 0.3 w_2 = 0; descent moves along (0.5, 0.3) only.
    loop = linear_loop(sequences=25, anneal_to=0.5, learning_rate=0.5, step_V=0.2)
    run = Twin().run(loop)
    final = readings.controls_V(loop, run)[-1]
    slope = np.array([0.5, 0.3])
    exact = loop.start_V - slope * (slope @ loop.start_V) / (slope @ slope)
    np.testing.assert_allclose(final, exact, atol=1e-3)
    np.testing.assert_allclose(readings.outputs_V(loop, run, loop.sequences + 1), [-0.05, 0.05], atol=1e-3)


def test_the_output_stage_settles_on_mean_and_level() -> None:
    # Frozen controls (no steps to speak of): the baseline takes the mean of v(tia), the gain brings y to its level.
    # Slowly, so that they hardly follow single patterns.
    stage = OutputStage(level_V=1.0, gain_log=2.0, polarity=-1.0, baseline_rate=0.02, gain_rate=0.02)
    loop = linear_loop(stage=stage, sequences=300, learning_rate=1e-9)
    run = Twin().run(loop)
    outputs = readings.outputs_V(loop, run, loop.sequences + 1)
    assert run["v(baseline)"][-1] == pytest.approx(outputs.mean(), abs=0.01 * np.ptp(outputs))
    assert run["v(gainlog)"][-1] == pytest.approx(-np.log(np.std(outputs)), abs=0.02)
    y = readings.window_means(loop, run.time_s, run["v(y)"], loop.sequences + 1)
    assert y[0] > 0  # the polarity turned it over


def test_controls_stay_within_their_rails_and_leave_them_at_once(engine: Engine) -> None:
    # Two patterns that want opposite things, hardly averaged: the controls are driven to and fro, beyond both rails.
    sequence = PatternSequence(((0.0,), (0.0,)), (1.0, -1.0), 0.1, 0.005, 0.005, 5e-5)
    ahead = 2 * 4.0 / (20 * max(TWO.frequencies_Hz)) / sequence.period_s  # two steps at the limiter's speed
    loop = linear_loop(
        device=Linear(range_V=(-0.11 - ahead, 0.11 + ahead)),
        start_V=np.array([0.0, 0.0]),
        sequence=sequence,
        sequences=3,
        learning_rate=4.0,
        step_V=4.0,
        anneal_to=1.0,
        averaged_sequences=0.02,
        points_per_cycle=20.0,
    )
    run = Ngspice(engine).run(loop)
    low, high = loop.control_limits_V
    np.testing.assert_allclose(high, 0.1)
    t, controls = run.time_s, readings.controls_V(loop, run)
    # The part states an overshoot of at most 0.1 % of the range.
    assert np.all(controls <= high + 2e-4)
    assert np.all(controls >= low - 2e-4)
    rate = loop.learning.at(t) / sequence.period_s
    for k in range(2):
        average = rc_filter(t, run[f"v(m{k}_1)"], loop.average_s, 1)
        speed = -rate * loop.step_V * np.tanh(loop.channel_gains[k] * average / loop.step_V)
        steps = 0.5 * (speed[1:] + speed[:-1]) * np.diff(t)
        ideal, wound = (
            np.zeros(len(t)),
            np.zeros(len(t)),
        )  # an integrator that stops at its rails, and one that winds up
        for m, step in enumerate(steps):
            ideal[m + 1] = np.clip(ideal[m] + step, low[k], high[k])
            wound[m + 1] = wound[m] + step
        wound = np.clip(wound, low[k], high[k])
        assert ideal.max() == high[k]
        assert ideal.min() == low[k]
        assert np.abs(wound - ideal).max() > 0.05  # it would be seen
        assert np.abs(controls[:, k] - ideal).max() <= 0.05 * 0.2
    # The twin has the same rails. It is not compared: so hard a drive makes much of small differences.
    controls = readings.controls_V(loop, Twin().run(loop))
    assert controls.max() == pytest.approx(0.1)
    assert controls.min() == pytest.approx(-0.1)


def test_a_measured_chip_is_driven_along_its_own_rails(engine: Engine) -> None:
    # Ranges differ and are not symmetric, and outside them the chip gives NaN, which would end the run: neither control
    # nor what the device is told of it between two points may leave them.
    ranges = np.array([[-0.15, 0.03], [0.04, 0.16]])
    chip = ChipSurrogate((np.array([[0.5, 0.3]]),), (np.zeros(1),), *ranges.T, 1e-7)
    sequence = PatternSequence(((0.0,), (0.02,)), (1.0, -1.0), 0.1, 0.005, 0.005, 5e-5)
    loop = linear_loop(
        device=chip,
        start_V=ranges.mean(axis=1),
        sequence=sequence,
        sequences=3,
        learning_rate=4.0,
        step_V=1.0,
        anneal_to=1.0,
        averaged_sequences=0.02,
    )
    low, high = loop.control_limits_V
    ahead = 2 * 1.0 * loop.max_step_s / sequence.period_s
    np.testing.assert_allclose(low, ranges[:, 0] + 0.01 + ahead)
    np.testing.assert_allclose(high, ranges[:, 1] - 0.01 - ahead - [0.02, 0.0])
    for run in (Ngspice(engine).run(loop), Twin().run(loop)):
        assert run.complete
        assert np.all(np.isfinite(run.device_A))
        controls = readings.controls_V(loop, run)
        assert np.all((controls >= low - 2e-4) & (controls <= high + 2e-4))
        assert controls[:, 0].min() == pytest.approx(low[0], abs=2e-4)  # both rails are reached
        assert controls[:, 0].max() == pytest.approx(high[0], abs=2e-4)


def test_lock_ins_are_blanked_outside_the_windows(learning: HomodyneLoop, learned: Transient) -> None:
    t = learned.time_s
    half = 0.5 * learning.sequence.edge_s
    windows = np.concatenate([learning.sequence.windows(s) for s in range(learning.sequences + 2)])
    inside = np.zeros(len(t), dtype=bool)
    for start, stop in windows:
        inside |= (t > start - half - 1e-9) & (t < stop + half + 1e-9)
    assert inside.any()
    assert (~inside).sum() > 100
    assert np.abs(learned["v(gate)"][~inside]).max() < 1e-9
    assert np.abs(learned["v(loss)"][~inside]).max() < 1e-9
    assert np.abs(learned["v(loss)"][inside]).max() > 0.1
    # Nothing enters the lock-ins between two windows: their low-pass dies freely, exp(-t/tau).
    start, stop = windows[4, 1] + half, windows[5, 0] - half
    gap = (t > start + 1e-6) & (t < stop - 1e-6)
    for k in range(7):
        wave, times = learned[f"v(m{k}_1)"][gap], t[gap]
        free = wave[0] * np.exp(-(times - times[0]) / learning.filter_s)
        np.testing.assert_allclose(wave, free, rtol=0, atol=1e-3 * abs(wave[0]) + 1e-9)


def test_dither_and_learning_are_off_while_measuring(learning: HomodyneLoop, learned: Transient) -> None:
    t = learned.time_s
    controls = readings.controls_V(learning, learned)
    period = learning.sequence.period_s
    for sequence in (0, learning.sequences + 1):
        for pattern, (start, stop) in enumerate(learning.sequence.windows(sequence)):
            listened = (t > start) & (t < stop)
            for k, terminal in enumerate(learning.trained):
                level = LEVELS[pattern][learning.inputs.index(terminal)] if terminal in learning.inputs else 0.0
                still = learned[f"v(el{terminal})"][listened]
                np.testing.assert_allclose(still, controls[listened, k] + level, atol=1e-8)
                assert np.ptp(controls[listened, k]) < 1e-6
    np.testing.assert_allclose(controls[t < period], np.broadcast_to(START, (int((t < period).sum()), 7)), atol=1e-6)
    # ... and on while learning, at the planned amplitude, falling to a tenth.
    for sequence, scale in ((1, 1.0), (learning.sequences, 0.1)):
        start, stop = learning.sequence.windows(sequence)[0]
        listened = (t > start) & (t < stop)
        dither = learned["v(el1)"][listened] - controls[listened, 0]
        assert np.ptp(dither) == pytest.approx(2 * 0.01 * scale, rel=0.03)


def test_the_same_seed_gives_the_same_twin_bit_by_bit() -> None:
    one, two = Twin().run(linear_loop(sequences=3)), Twin().run(linear_loop(sequences=3))
    assert one.values.keys() == two.values.keys()
    for name in one.values:
        np.testing.assert_array_equal(one[name], two[name])


def test_an_interrupted_twin_keeps_what_it_has(interrupt_at: Callable[..., None]) -> None:
    whole = Twin().run(linear_loop(sequences=300))
    interrupt_at(twin, "slots", 3)
    with pytest.raises(Interrupted) as caught:
        Twin().run(linear_loop(sequences=300))
    partial = caught.value.partial
    assert not partial.complete
    rows = len(partial.time_s)
    assert 0 < rows < len(whole.time_s)
    np.testing.assert_array_equal(partial["v(w0)"], whole["v(w0)"][:rows])


# -- the opened loop ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def probe(learning: HomodyneLoop) -> HomodyneLoop:
    """Opened on the output, at one pattern and 5 mV."""
    one = replace(learning, sequence=PatternSequence(((0.0, 0.0),), (0.0,), 0.1, 0.005, 0.005, 5e-5))
    return one.opened(START, 0.005, "output")


def output_V(loop: HomodyneLoop, controls: Array) -> Array:
    """v(tia) at controls (..., n_trained) without levels."""
    volts = np.zeros((*np.shape(controls)[:-1], 8))
    volts[..., list(loop.trained)] = controls
    return np.asarray(-loop.stage.transimpedance_ohm * loop.device.currents(volts)[..., 0])


def distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_lock_ins_read_the_gradient_of_the_output(probe: HomodyneLoop, device: MeanField, engine: Engine) -> None:
    run = Ngspice(engine).run(probe)
    measured = readings.gradient(probe, run)
    volts = np.zeros(8)
    volts[1:] = START
    exact = -probe.stage.transimpedance_ohm * device.conductances(volts)[0, 1:]
    cosine = measured @ exact / np.linalg.norm(measured) / np.linalg.norm(exact)
    assert cosine > 0.999
    # The digital lock-in on the recorded waveform, and the average over the dither, which an ideal lock-in reads.
    digital = readings.digital_gradient(probe, run)
    average = dither_average(lambda c: output_V(probe, c), START, probe.dither, samples=128)
    twin = readings.gradient(probe, Twin().run(probe))
    print(
        f"cosine {cosine:.6f}; apart from the adjoint {distance(measured, exact):.2e}, the digital lock-in "
        f"{distance(measured, digital):.2e}, the dither average {distance(measured, average.gradient):.2e} "
        f"(+- {np.linalg.norm(average.stderr) / np.linalg.norm(exact):.1e}), the twin {distance(measured, twin):.2e}"
    )
    assert np.abs(measured - digital).max() <= 0.01 * np.abs(digital).max()
    assert distance(measured, digital) <= 1e-3
    assert distance(measured, average.gradient) <= 2e-3
    assert distance(measured, twin) <= 1e-3
    assert distance(measured, exact) <= 0.03  # what 5 mV costs


def test_lock_ins_read_the_gradient_of_the_loss(learning: HomodyneLoop, device: MeanField, engine: Engine) -> None:
    loop = learning.opened(START, 0.0005, "loss")
    stage, ohm = loop.stage, loop.stage.transimpedance_ohm
    volts = np.zeros((4, 8))
    volts[:, 1:] = START
    volts[:, (2, 6)] += np.array(LEVELS)
    factor = stage.polarity * np.exp(stage.gain_log)
    errors = factor * (-ohm * device.currents(volts)[:, 0] - stage.baseline_V) - np.array(AND)
    slopes = -factor * ohm * device.conductances(volts)[:, 0, 1:]
    exact = np.mean(2 * errors[:, None] * slopes, axis=0)
    run = Ngspice(engine).run(loop)
    measured, twin = readings.gradient(loop, run), readings.gradient(loop, Twin().run(loop))
    print(f"loss: apart from exact {distance(measured, exact):.2e}, from the twin {distance(measured, twin):.2e}")
    assert distance(measured, exact) <= 0.01
    assert distance(measured, twin) <= 1e-3
    # The controls are frozen: the electrodes carry start, level and dither, nothing that learns.
    for k, terminal in enumerate(loop.trained):
        assert np.abs(run[f"v(el{terminal})"] - START[k]).max() <= 0.25 + 0.0005 + 1e-6


def test_a_linear_device_is_read_exactly(engine: Engine) -> None:
    output = linear_loop(sequence=PatternSequence(((0.0,),), (0.0,), 0.025, 0.00125, 0.00125, 12.5e-6))
    output = output.opened(np.array([0.2, 0.3]), 0.05, "output")
    output = replace(output, stage=replace(output.stage, baseline_V=0.19))  # else a constant leaks in
    np.testing.assert_allclose(readings.gradient(output, Ngspice(engine).run(output)), [0.5, 0.3], rtol=2e-3)
    np.testing.assert_allclose(readings.gradient(output, Twin().run(output)), [0.5, 0.3], rtol=2e-3)
    # d/dw of mean over levels -+0.1 of (0.5 (w_1 + level) + 0.3 w_2 - target)^2, targets -+0.05.
    loss = linear_loop().opened(np.array([0.2, 0.3]), 0.05, "loss")
    exact = 2 * (0.5 * 0.2 + 0.3 * 0.3) * np.array([0.5, 0.3])
    np.testing.assert_allclose(readings.gradient(loss, Ngspice(engine).run(loss)), exact, rtol=3e-3)
    np.testing.assert_allclose(readings.gradient(loss, Twin().run(loss)), exact, rtol=3e-3)


def test_filters_with_several_poles_read_the_same(probe: HomodyneLoop) -> None:
    one = readings.gradient(probe, Twin().run(probe))
    for poles in (2, 4):
        several = replace(probe, filter_poles=poles)
        assert distance(readings.gradient(several, Twin().run(several)), one) < 2e-3


def test_a_closed_loop_holds_no_reading(learning: HomodyneLoop, learned: Transient) -> None:
    with pytest.raises(InputError, match="open it first"):
        readings.gradient(learning, learned)


# -- what it refuses ------------------------------------------------------------------------------------------

TWO = plan_frequencies(2, None, 40.0, amplitude_V=0.01)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"trained": (1, 1)}, "trained", "must differ"),
        ({"trained": (0, 2)}, "trained", "must differ"),
        ({"trained": (1, 3)}, "trained", r"0\.\.2"),
        ({"trained": (-1, 2)}, "trained", r"0\.\.2"),
        ({"inputs": (0,)}, "inputs", "beside the output"),
        ({"inputs": (1, 2)}, "inputs", "1 inputs"),
        ({"inputs": (7,)}, "trained", r"0\.\.2"),
        ({"start_V": np.array([0.1])}, "start_V", "2 trained terminals"),
        ({"start_V": np.array([0.1, np.nan])}, "start_V", "finite"),
        ({"start_V": np.array([0.95, 0.0])}, r"start_V[0]", "stay within -0.8885 to 0.8885"),
        ({"start_V": np.array([0.0, -0.995])}, r"start_V[1]", "stay within -0.9885 to 0.9885"),
        ({"dither": TWO.scaled(95.0), "start_V": np.zeros(2)}, "amplitude", "no room"),
        ({"dither": plan_frequencies(3, None, 40.0, amplitude_V=0.01)}, "start_V", "as many values"),
        ({"dither": DitherPlan((120.0, 240.0), (0.01, 0.01))}, "frequencies_Hz", "products within"),
        ({"dither": DitherPlan((120.0, 130.0), (0.01, 0.01))}, "frequencies_Hz", "products within"),
        ({"points_per_cycle": 7.9}, "max_step_s", "too coarse for the highest tone"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], field: str, words: str) -> None:
    with refused(field, words):
        linear_loop(**changes)


def test_windows_want_whole_cycles_of_every_tone() -> None:
    sequence = linear_loop().sequence
    with refused("window_s", "whole number of cycles"):
        linear_loop(sequence=replace(sequence, window_s=0.0255))
    linear_loop(sequence=replace(sequence, window_s=0.05))


@pytest.mark.parametrize(
    "changes",
    [{"polarity": 0.0}, {"polarity": 2.0}, {"transimpedance_ohm": 0.0}, {"level_V": -1.0}, {"level_V": np.nan}],
)
def test_impossible_output_stages_are_refused(changes: dict[str, float]) -> None:
    with refused(next(iter(changes))):
        OutputStage(**changes)


def test_output_stage_is_set_by_the_outputs_measured() -> None:
    outputs = np.array([0.1, 0.2, 0.3, 0.6])
    stage = OutputStage(level_V=2.0).measured_at(outputs)
    y = np.exp(stage.gain_log) * (outputs - stage.baseline_V)
    assert y.mean() == pytest.approx(0, abs=1e-12)
    assert np.sqrt(np.mean(y**2)) == pytest.approx(2.0)
    assert OutputStage().measured_at(np.array([0.1, 0.1 + 1e-9])).gain_log == OutputStage().gain_limits[1]
    assert OutputStage(gain_log=0.3).measured_at(np.full(4, 0.1)).gain_log == 0.3  # nothing to go by


def test_a_part_takes_the_place_of_the_ideal_one_but_not_in_the_twin(engine: Engine) -> None:
    ideal = load_part("mixer")
    own = replace(ideal, subckt="users_mixer", text=ideal.text.replace(ideal.subckt, "users_mixer"))
    loop = linear_loop(sequences=1, parts={"mixer": own})
    assert "users_mixer" in netlist.deck(loop)
    assert f" {ideal.subckt}\n" not in netlist.deck(loop)
    run, same = Ngspice(engine).run(loop), Ngspice(engine).run(linear_loop(sequences=1))
    np.testing.assert_allclose(run["v(w0)"][-1], same["v(w0)"][-1], rtol=1e-6)
    with refused("parts", "have no equation the twin knows"):
        Twin().run(loop)


def test_terminals_that_are_not_trained_stand_at_their_fixed_voltage(engine: Engine) -> None:
    loop = linear_loop(device=Linear((0.0, 5e-8, 3e-8, 2e-8)), fixed_V={3: 0.25}, sequences=1, learning_rate=1e-9)
    for run in (Ngspice(engine).run(loop), Twin().run(loop)):
        # 0.5 (0.1 -+ 0.1) - 0.3 * 0.2 + 0.2 * 0.25
        np.testing.assert_allclose(readings.outputs_V(loop, run, 2), [-0.01, 0.09], atol=1e-6)


TRIMMED = {  # the offsets that a loop's builder trims; gain errors, bandwidths and nonlinearities stay
    "dither_sum": {"offset": 0.0},
    "transimpedance": {"vos": 0.0, "ibias": 0.0},
    "difference": {"vos": 0.0},
    "variable_gain": {"vos": 0.0, "offset": 0.0, "feed": 0.0},
    "squared_error": {"ios": 0.0, "offset": 0.0, "feed": 0.0},
    "mixer": {"xos": 0.0, "yos": 0.0, "offset": 0.0, "xfeed": 0.0, "yfeed": 0.0},
    "lowpass": {"vos": 0.0, "ibias": 0.0},
    "limiter": {"vos": 0.0, "offset": 0.0},
    "integrator": {"vos": 0.0, "ibias": 0.0},
}


@pytest.mark.parametrize("level", ["macro", "transistor"])
def test_parts_of_other_levels_take_the_ideal_ones_place(engine: Engine, level: str) -> None:
    if level == "macro":
        parts = {name: load_part(name, level).with_defaults("trimmed", **trim) for name, trim in TRIMMED.items()}
    else:
        parts = {name: load_part(name, level).with_defaults("even", mismatch=0.0) for name in ("mixer", "limiter")}
    ideal, real = linear_loop(dither_to=0.1), linear_loop(parts=parts, dither_to=0.1)
    deck = netlist.deck(real).lower()
    names = [line.split()[1] for line in deck.splitlines() if line.startswith(".subckt")]
    assert len(names) == len(set(names))
    assert {part.subckt for part in parts.values()} <= set(names)
    moved, other = (readings.controls_V(loop, Ngspice(engine).run(loop))[-1] - loop.start_V for loop in (ideal, real))
    # the squarer's and the multipliers' gain errors add up to a few per cent, the differential pair is 2.5 % small
    assert np.max(np.abs(other - moved)) < 0.1 * np.max(np.abs(moved))


# -- other losses ---------------------------------------------------------------------------------------------

KNEE = {"absolute": 0.01, "hinge": 0.05}  # widths of the parts' corners
LOSSES: dict[str, Callable[[Array, Array], Array]] = {  # E(y, target); the hinge's margin is the targets' 0.05
    "squared": lambda y, t: (y - t) ** 2,
    "absolute": lambda y, t: np.sqrt((y - t) ** 2 + KNEE["absolute"] ** 2) - KNEE["absolute"],
    "hinge": lambda y, t: KNEE["hinge"] * np.logaddexp(0.0, (0.05 - np.sign(t) * y) / KNEE["hinge"]),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_read_exactly_on_a_linear_device(engine: Engine, loss: str) -> None:
    # targets -0.05 and 0.05: the second is at the corner of the absolute error, both are near the hinge's
    dither_V = 0.1 * KNEE.get(loss, 0.1)  # small beside the corner, or its curvature shows
    opened = linear_loop(loss=loss).opened(np.array([0.16, -0.2]), dither_V, "loss", 48.0)
    y, targets = np.array([-0.03, 0.07]), np.array([-0.05, 0.05])
    below, here, above = (LOSSES[loss](y + d, targets) for d in (-1e-5, 0.0, 1e-5))
    slopes = (above - below) / 2e-5
    mean = here + 0.25 * (above - 2 * here + below) / 1e-10 * dither_V**2 * (0.5**2 + 0.3**2)  # over the dither
    np.testing.assert_allclose(opened.loss_values(y), here, rtol=1e-9)
    np.testing.assert_allclose(opened.loss_slopes(y), slopes, rtol=1e-6)  # the gain is 1, the baseline 0
    exact = np.mean(slopes) * np.array([0.5, 0.3])
    read = {"ngspice": Ngspice(engine).run(opened), "twin": Twin().run(opened)}
    for name, run in read.items():
        np.testing.assert_allclose(readings.gradient(opened, run), exact, rtol=5e-3, err_msg=name)
        means = readings.window_means(opened, run.time_s, run["v(loss)"], 0)
        np.testing.assert_allclose(means, mean, rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("loss", ["absolute", "hinge"])
def test_other_losses_are_descended_in_both_engines(engine: Engine, loss: str) -> None:
    changes = {"learning_rate": 0.2, "step_V": 0.05, "start_V": np.array([0.3, -0.1]), "points_per_cycle": 20.0}
    loop = linear_loop(loss=loss, **changes)
    here, there = Ngspice(engine).run(loop), Twin().run(loop)
    assert np.all(np.abs(ends(loop, here) - ends(loop, there)) <= 0.01 * np.ptp(ends(loop, here), axis=0))
    # Outputs of 0.12 -+ 0.05 V and targets of -+0.05 V: every loss is least where the mean is 0, by symmetry.
    before, after = (np.mean(readings.outputs_V(loop, here, number)) for number in (0, loop.sequences + 1))
    assert before == pytest.approx(0.12, rel=1e-3)
    assert abs(after) < 0.7 * before  # the steps are limited, and annealed away


def test_a_hinge_wants_two_classes_and_losses_have_names() -> None:
    with refused("loss", "on neither side"):
        linear_loop(loss="hinge", sequence=replace(linear_loop().sequence, targets_V=(0.0, 0.05)))
    with pytest.raises(InputError, match="choose from squared, absolute, hinge"):
        linear_loop(loss="cubic")


# -- leads ----------------------------------------------------------------------------------------------------


def test_leads_feed_dither_through_in_quadrature(engine: Engine) -> None:
    between = 1e-10
    far = load_part("device_leads").with_defaults("far", cm=between)
    loop = linear_loop(leads=True, parts={"device_leads": far}).opened(np.array([0.2, 0.3]), 0.05, "output")
    loop = replace(loop, stage=replace(loop.stage, baseline_V=0.19))
    run = Ngspice(engine).run(loop)
    # e1 and e2 are both next to e0: each drives 2 pi f C A through, 90 degrees ahead of its tone.
    start, stop = loop.sequence.windows()[0]
    inside = (run.time_s >= start - 1e-12) & (run.time_s <= stop + 1e-12)
    time, tia = run.time_s[inside], run["v(tia)"][inside]
    for f, phase in zip(loop.dither.frequencies_Hz, loop.dither.phases_rad, strict=True):
        quadrature = 2 * np.trapezoid(tia * np.cos(2 * np.pi * f * time + phase), time) / (stop - start)
        expected = loop.stage.transimpedance_ohm * 2 * np.pi * f * between * 0.05
        assert quadrature == pytest.approx(expected, rel=0.01)  # 24 points a cycle: the trapezoid rule is 0.6 % high
    np.testing.assert_allclose(readings.gradient(loop, run), [0.5, 0.3], rtol=3e-3)  # in phase nothing comes through


def test_the_device_stands_behind_its_leads(learning: HomodyneLoop, engine: Engine) -> None:
    # 100 kOhm and currents of some 100 nA: what is lost in the leads is a hundredth of a volt.
    long = load_part("device_leads").with_defaults("long", r=1e5, c=1e-13, cm=0.0)
    loop = replace(learning, leads=True, parts={"device_leads": long}).opened(START, 0.005, "output", 10.0)
    run = Ngspice(engine).run(loop)
    for k, terminal in enumerate(loop.trained):
        lost = run[f"v(pad{terminal})"] + 1e5 * run.device_A[:, terminal] - START[k]
        if terminal not in loop.inputs:
            assert np.abs(lost).max() <= 0.005 * 1.001  # the dither is left
    assert run.statistics["prediction_error_V"] < 1e-3


class Meshed:
    """Three terminals, a conductance between any two: what a lead takes away is not small."""

    terminals = ("e0", "e1", "e2")
    limits_V = np.tile([-1.0, 1.0], (3, 1))
    conductances_S = 1e-7 * (3.0 * np.eye(3) - 1.0)

    def currents(self, voltages: Any) -> Array:
        return np.asarray(voltages) @ self.conductances_S

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        return linear_kernel(self.conductances_S)


def test_leads_of_any_resistance(engine: Engine) -> None:
    """Behind leads of R the conductances are (1 + G R)^-1 G; here G R is up to 4."""
    ohm = 1e7
    long = load_part("device_leads").with_defaults("long", r=ohm, c=1e-17, cm=0.0)
    loop = linear_loop(device=Meshed(), leads=True, parts={"device_leads": long})
    opened = loop.opened(np.array([0.2, 0.3]), 0.02, "output")
    run = Ngspice(engine).run(opened)
    behind = np.linalg.solve(np.eye(3) + ohm * Meshed.conductances_S, Meshed.conductances_S)
    np.testing.assert_allclose(readings.gradient(opened, run), -1e7 * behind[0, 1:], rtol=2e-3)
    pads = np.stack([run[f"v(pad{k})"] for k in range(3)], axis=1)
    np.testing.assert_allclose(run.device_A, pads @ Meshed.conductances_S, atol=1e-12)


def test_leads_and_the_twin_are_refused(learning: HomodyneLoop) -> None:
    with refused("leads", "no equation the twin knows"):
        Twin().run(replace(learning, leads=True))


def test_a_device_run_again_is_not_compiled_again() -> None:
    first, again = (pointers.c_functions(Linear().kernel(np.zeros(3))) for _ in range(2))
    assert first[0] is again[0]
    assert first[1] is again[1]
