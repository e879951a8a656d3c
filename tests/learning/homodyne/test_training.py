"""Training: starts, counts, restarts, reproducibility, and the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from circuits.choices import LevelName
from circuits.homodyne import readings, twin
from circuits.homodyne.engines import EngineName, Twin
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.stability import Stability
from circuits.parts.levels import loop_fields
from circuits.signals.transient import Transient
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.surrogate import kernel as chip_surrogate_kernel
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import ConvergenceError, InputError, Interrupted
from learning.bench.bench import Bench, default_bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.gradients import adjoint, central_difference, digital_lock_in, spice_lock_in
from learning.homodyne.results import Attempt, FailedAttempt, TrainingResult, evaluations_to_first, training_trace
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import Start
from learning.homodyne.training import learn
from learning.tasks.boolean import BooleanTask

from ...refused import refused
from ...toys import OneOutput, random_chip


@pytest.fixture(scope="module")
def bench() -> Bench:
    return default_bench(tolerance=1e-5)


@pytest.fixture(scope="module")
def small() -> Bench:
    """A network in the default device's place, where it does not matter which."""
    return Bench(random_chip(4, 12, 12, 1, seed=3, scale=np.sqrt(2), kinks=0.1), 0, (1, 2))


@pytest.fixture(scope="module")
def learned(bench: Bench) -> TrainingResult:
    return learn(Experiment(bench, BooleanTask("AND")), rng=np.random.default_rng(0), engine="twin")


# Linear in both inputs: AND with margin 0.5 wherever one looks.
AND_EVERYWHERE = np.array([0, 0, 2e-9, 0, 0, 0, 2e-9, 0])


def test_and_is_learned_on_the_default_device(bench: Bench, learned: TrainingResult) -> None:
    assert learned.success
    assert 1 <= len(learned.attempts) <= 5
    last = learned.attempts[-1]
    assert last.final.learned
    assert last.final.margin >= 0.2
    assert last.final.separation_A >= 0.5e-9
    assert all(not attempt.final.learned for attempt in learned.attempts[:-1])
    assert learned.best is last
    # What the circuit measured is what the device gives at these controls.
    outputs = bench.outputs_A(last.controls_V, learned.experiment.task)
    np.testing.assert_allclose(last.final_A, outputs, atol=2e-3 * np.ptp(outputs))
    again = learned.experiment.task.score(outputs, last.loop.stage.polarity, bench.noise_A())
    assert again.learned
    low, high = last.loop.control_limits_V
    assert np.all((last.controls_V >= low) & (last.controls_V <= high))


def test_every_look_and_every_window_is_counted(learned: TrainingResult) -> None:
    settings = learned.experiment.settings
    for attempt in learned.attempts:
        looked = attempt.device_evaluations - 4 * (settings.sequences + 2)
        assert looked == attempt.start.looked
        assert 4 * (1 + settings.moves + 1) <= looked <= 4 * (settings.looks + settings.candidates * settings.moves + 1)
        assert looked % 4 == 0
        assert len(attempt.loop.sequence.windows()) == 4


def test_the_same_seed_gives_the_same_run_bit_by_bit(small: Bench) -> None:
    settings = HgeSettings(sequences=2, restarts=2, looks=3)
    first, second, other = (
        learn(Experiment(small, BooleanTask("XOR"), settings), rng=np.random.default_rng(seed), engine="twin")
        for seed in (5, 5, 6)
    )
    assert len(first.attempts) == len(second.attempts) == 2
    for a, b in zip(first.attempts, second.attempts, strict=True):
        np.testing.assert_array_equal(a.loop.start_V, b.loop.start_V)
        np.testing.assert_array_equal(a.run.time_s, b.run.time_s)
        np.testing.assert_array_equal(a.run.device_A, b.run.device_A)
        for name in a.run.values:
            np.testing.assert_array_equal(a.run[name], b.run[name])
    assert not np.array_equal(first.attempts[0].loop.start_V, other.attempts[0].loop.start_V)
    assert not np.array_equal(first.attempts[0].loop.start_V, first.attempts[1].loop.start_V)


def test_a_budget_ends_the_restarts(small: Bench) -> None:
    settings = HgeSettings(sequences=1, restarts=5, looks=2, moves=1, step_V=1e-6)  # learns nothing
    one = 4 * (2 + 2 + 1 + 3)  # looks, moves, sequences; slopes, outputs before and after
    for budget, attempts in ((one - 1, 0), (one, 1), (2 * one, 2), (3 * one - 1, 2)):
        result = learn(
            Experiment(small, BooleanTask("XOR"), settings),
            rng=np.random.default_rng(0),
            engine="twin",
            device_evaluations=budget,
        )
        assert len(result.attempts) == attempts
        assert result.device_evaluations == attempts * one
        assert result.physical_s == pytest.approx(attempts * one * small.slot_s)


def test_the_trace_falls_and_ends_where_the_attempt_does(learned: TrainingResult) -> None:
    trace = training_trace(learned)
    assert trace.evaluations[-1] == learned.device_evaluations
    assert trace.time_s[-1] == pytest.approx(learned.physical_s)
    assert np.all(np.diff(trace.loss) <= 0)
    assert np.all(np.diff(trace.evaluations) > 0)
    # A correlation c leaves the loss 2 (1 - c) where the outputs move enough.
    last = learned.attempts[-1]
    assert trace.loss[-1] <= 2 * (1 - last.final.correlation) + 1e-9
    first = evaluations_to_first(learned)
    assert first is not None
    assert first <= learned.device_evaluations


def test_looks_count_as_evaluations(learned: TrainingResult) -> None:
    """One more pattern looked at before each attempt puts the first success off by one for each attempt up to it."""

    def first(more: int) -> int | None:
        starts = [replace(one.start, found=None, looked=one.start.looked + more) for one in learned.attempts]
        attempts = zip(learned.attempts, starts, strict=True)
        return evaluations_to_first(replace(learned, attempts=tuple(replace(a, start=s) for a, s in attempts)))

    assert not learned.failed
    none, one = first(0), first(1)
    assert none is not None
    assert one == none + len(learned.attempts)


def test_a_success_while_learning_is_confirmed_with_the_dither_off(bench: Bench) -> None:
    """Evaluations to the first success: looks and passes up to it, and one pass more where the dither was still on."""
    patterns, settings = 4, HgeSettings(looks=16, candidates=1, moves=0)
    learned = learn(Experiment(bench, BooleanTask("XOR"), settings), rng=np.random.default_rng(3), engine="averaged")
    last = learned.attempts[-1]
    assert learned.success
    assert last.start.found is None
    before = sum(one.device_evaluations for one in learned.attempts[:-1])
    found = evaluations_to_first(learned)
    assert found is not None
    passes, rest = divmod(found - before - last.start.looked, patterns)
    assert rest == 0
    task, scale, polarity = learned.experiment.task, last.loop.stage.transimpedance_ohm, last.loop.stage.polarity
    seen = [  # what each pass showed
        task.score(readings.outputs_V(last.loop, last.run, k) / scale, polarity, bench.noise_A()).learned
        for k in range(last.loop.sequences + 2)
    ]
    confirmed = seen[: last.loop.sequences + 1]  # at the cost of a pass each; at the end the dither is off
    there = [k for k in range(last.loop.sequences + 2) if seen[k]]
    assert there[0] > 0
    assert passes in [k + 1 + sum(confirmed[: k + 1]) for k in there]


def test_ctrl_c_keeps_the_waveforms_so_far(bench: Bench, interrupt_at: Callable[..., None]) -> None:
    interrupt_at(twin, "slots", 6)  # four readings before
    settings = HgeSettings(sequences=2, restarts=1, looks=1)
    with pytest.raises(Interrupted) as caught:
        learn(Experiment(bench, BooleanTask("XOR"), settings), rng=np.random.default_rng(0), engine="twin")
    loop, run = caught.value.partial
    assert isinstance(loop, HomodyneLoop)
    assert isinstance(run, Transient)
    assert not run.complete
    assert loop.sequence.period_s < run.time_s[-1] < loop.stop_s - loop.sequence.period_s
    assert np.all(np.isfinite(readings.outputs_V(loop, run, 0)))


def test_progress_and_attempts_are_told(small: Bench) -> None:
    told: list[tuple[int, float]] = []
    attempts: list[Attempt | FailedAttempt] = []
    settings = HgeSettings(sequences=1, restarts=2, looks=1)
    result = learn(
        Experiment(small, BooleanTask("XOR"), settings),
        rng=np.random.default_rng(3),
        engine="twin",
        progress=lambda number, phase, fraction, wall: told.append((number, fraction)),
        on_attempt=attempts.append,
    )
    assert attempts == list(result.attempts)
    assert {number for number, _ in told} == {0, 1}
    assert all(0 <= fraction <= 1 for _, fraction in told)


class Flaky(ChipSurrogate):
    """A chip whose first kernels, as many as `broken` says, give no number."""

    broken: ClassVar[int] = 0

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        made = super().kernel(voltages, seed=seed)
        if Flaky.broken > 0:
            Flaky.broken -= 1
            made.params[chip_surrogate_kernel.AMPLIFICATION_A] = np.nan
        return made


def flaky_bench(broken: int) -> Bench:
    Flaky.broken = broken
    weights = (np.random.default_rng(0).normal(0, 1, (6, 4)), np.ones((1, 6)))
    return Bench(Flaky(weights, (np.zeros(6), np.zeros(1)), [-1.0] * 4, [1.0] * 4, 1e-9), 0, (1, 2))


@pytest.mark.parametrize("engine", ["ngspice", "twin", "averaged"])
def test_an_attempt_whose_device_fails_is_followed_by_the_next(engine: EngineName) -> None:
    settings = HgeSettings(sequences=1, restarts=2, looks=2, moves=0, step_V=1e-6)  # learns nothing
    told: list[Attempt | FailedAttempt] = []
    bench = flaky_bench(1)
    task = bench.task("XOR")
    rng = np.random.default_rng(0)
    result = learn(Experiment(bench, task, settings), rng=rng, engine=engine, on_attempt=told.append)
    (failure,), (attempt,) = result.failed, result.attempts
    assert told == list(result.in_order) == [failure, attempt]
    assert (failure.number, result.starts, result.success) == (0, 2, False)
    assert result.best is attempt
    assert "gave no current" in failure.reason
    one = 4 * (2 + 1 + 3)
    assert failure.device_evaluations == one  # as if it had gone to its end
    assert result.device_evaluations == 2 * one
    assert training_trace(result).evaluations.tolist() == [one + 4 * looked for looked in (4, 5, 6)]
    # the second attempt is the one that would have been made anyhow
    again = learn(Experiment(flaky_bench(0), task, settings), rng=np.random.default_rng(0), engine="twin").attempts[1]
    np.testing.assert_array_equal(attempt.start.controls_V, again.start.controls_V)


def test_where_every_attempt_fails_so_does_the_training() -> None:
    settings = HgeSettings(sequences=1, restarts=3, looks=2)
    for restarts, said in (
        (3, "in the last of 3 attempts, all of which failed; check"),
        (1, r"current near \S+ s; check"),
    ):
        bench = flaky_bench(restarts)
        experiment = Experiment(bench, bench.task("XOR"), replace(settings, restarts=restarts))
        with pytest.raises(ConvergenceError, match=said):
            learn(experiment, rng=np.random.default_rng(0), engine="averaged")


class Shy(Flaky):
    """A chip that finds no state when it is looked at for the first time."""

    looked = False

    def follow(self, path: Any) -> Any:
        if not Shy.looked:
            Shy.looked = True
            raise ConvergenceError("voltages", [0.1], "no stationary state found", "try a nearby setting")
        return super().follow(path)


def test_a_device_that_fails_at_the_looks_has_shown_them() -> None:
    chip = flaky_bench(0).device
    shy = Bench(Shy(chip.weights, chip.biases, [-1.0] * 4, [1.0] * 4, 1e-9), 0, (1, 2))  # type: ignore[attr-defined]
    settings = HgeSettings(sequences=1, restarts=2, looks=2, moves=0, step_V=1e-6)  # learns nothing
    result = learn(Experiment(shy, BooleanTask("XOR"), settings), rng=np.random.default_rng(0), engine="twin")
    (failure,) = result.failed
    assert failure.start is None
    assert failure.device_evaluations == 4 * 2
    assert failure.reason == "voltages = [0.1]: no stationary state found; try a nearby setting"
    assert training_trace(result).evaluations[0] == 4 * 2 + 4 * 4


def test_gradient_sources_agree(bench: Bench) -> None:
    controls = np.random.default_rng(4).uniform(-0.5, 0.5, 7)
    levels = (-0.25, 0.25)
    exact = adjoint(bench, controls, levels)
    assert exact.dims == ("control",)
    assert list(exact["control"].values) == [f"e{k}" for k in range(1, 8)]
    assert exact.attrs["units"] == "S"
    scale = float(np.abs(exact).max())
    numeric = central_difference(bench, controls, levels, step_V=1e-6)
    np.testing.assert_allclose(numeric, exact, atol=1e-5 * scale)
    digital = digital_lock_in(bench, controls, 1e-4, levels)
    np.testing.assert_allclose(digital, exact, atol=0.01 * scale)
    circuit, recorded, run, loop = spice_lock_in(bench, Twin(), controls, 1e-3, levels)
    np.testing.assert_allclose(circuit, recorded, atol=0.01 * scale)
    np.testing.assert_allclose(circuit, digital_lock_in(bench, controls, 1e-3, levels), atol=0.01 * scale)
    assert loop.mode == "output"
    assert run.complete


@pytest.mark.parametrize(
    "changes",
    [
        {"amplitude_V": 0.0},
        {"amplitude_V": np.nan},
        {"learning_rate": -1.0},
        {"step_V": 0.0},
        {"spread": np.inf},
        {"sequences": 0},
        {"looks": 0},
        {"restarts": 0},
        {"anneal_to": 0.0},
        {"anneal_to": 1.1},
        {"rates": (1.0, 2.0)},
        {"rates": "slow"},
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any]) -> None:
    with refused(next(iter(changes))):
        HgeSettings(**changes)


def test_other_bad_input_is_refused(bench: Bench) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="choose ngspice, twin or averaged"):
        learn(Experiment(bench, BooleanTask("AND")), rng=rng, engine="hspice")
    for step in (0.0, -1e-4):
        with pytest.raises(InputError, match="max_step_s"):
            learn(Experiment(bench, BooleanTask("XOR"), HgeSettings(max_step_s=step, looks=1)), rng=rng, engine="twin")
    with pytest.raises(InputError, match="too coarse"):
        learn(Experiment(bench, BooleanTask("XOR"), HgeSettings(max_step_s=1e-3, looks=1)), rng=rng, engine="twin")
    with pytest.raises(InputError, match=r"no room|leaves"):
        learn(Experiment(bench, BooleanTask("XOR"), HgeSettings(amplitude_V=0.9, looks=1)), rng=rng, engine="twin")
    for wiring in ({"output": 2}, {"inputs": (6, 6)}, {"inputs": (2, 8)}, {"output": -1}):
        with pytest.raises(InputError, match="must differ"):
            Bench(bench.device, **wiring)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="7 trained electrodes"):
        Bench(bench.device, frequencies_Hz=(100.0, 120.0))


def chip() -> ChipSurrogate:
    """Linear in four electrodes whose ranges differ and are not symmetric, 1 nA/V."""
    return ChipSurrogate((np.ones((1, 4)),), (np.zeros(1),), [-1.2, -0.7, 0.1, -0.4], [0.6, 0.3, 0.9, 0.0], 1e-9)


def test_settings_and_levels_follow_each_range() -> None:
    bench = Bench(chip(), 0, (1, 4))
    low, high = bench.start_limits_V(0.5)
    np.testing.assert_allclose(low, [-0.75, -0.45, 0.3, -0.3])
    np.testing.assert_allclose(high, [0.15, 0.05, 0.7, -0.1])
    drawn = np.array([bench.random_controls(0.5, np.random.default_rng(seed)) for seed in range(50)])
    assert np.all((drawn >= low) & (drawn <= high))
    assert np.all(np.ptp(drawn, axis=0) > 0.8 * (high - low))
    np.testing.assert_allclose(bench.task("AND").swings_V, [0.25 * 1.8, 0.25 * 0.4])
    assert default_bench().task("AND") == BooleanTask("AND", (0.5, 0.5))
    with pytest.raises(InputError, match="not measured; take the output from out"):
        Bench(chip(), 1, (2, 3))
    endless = OneOutput(lambda volts: np.zeros(volts.shape[:-1]))
    endless.limits_V = np.tile([-np.inf, np.inf], (8, 1))
    with pytest.raises(InputError, match="give the device limits"):
        Bench(endless).start_limits_V(0.6)  # type: ignore[arg-type]


def test_the_gain_ends_at_the_least_swing_that_counts() -> None:
    bench = Bench(chip(), 0, (1, 4))
    settings = HgeSettings(least_rms_A=0.2e-9)
    middle = bench.limits_V.mean(axis=1)
    for rms, expected in ((1e-9, 1.0), (0.2e-9, 1.0), (0.05e-9, 0.25)):
        outputs = rms * np.array([1.0, -1.0, 1.0, -1.0])
        stage = build_loop(Experiment(bench, bench.task("XOR"), settings), middle, 1.0, outputs).stage
        y = np.exp(stage.gain_log) * (stage.transimpedance_ohm * outputs - stage.baseline_V)
        assert np.sqrt(np.mean(y**2)) == pytest.approx(expected)
        assert stage.gain_log <= stage.gain_limits[1]


@pytest.mark.parametrize("level", ["ideal", "macro"])
def test_rates_by_slope_are_read_by_the_circuit_at_the_start(bench: Bench, level: LevelName) -> None:
    """What the lock-ins read there is the exact slope; rates, curvature and margin follow from it, before the run."""
    settings = HgeSettings(sequences=1, restarts=1, looks=2, moves=0, amplitude_V=2e-3, **loop_fields(level))
    told: list[tuple[int, HomodyneLoop, Start]] = []
    result = learn(
        Experiment(bench, BooleanTask("XOR"), settings), rng=np.random.default_rng(0), engine="twin",
        on_start=lambda *start: told.append(start),
    )  # fmt: skip
    (attempt,) = result.attempts
    ((number, loop, start),) = told
    assert (number, loop, start) == (0, attempt.loop, attempt.start)
    assert start.looked == 4 * (2 + (1 if level == "ideal" else 2))
    exact = [np.asarray(adjoint(bench, start.controls_V, levels)) for levels in bench.task("XOR").levels_V]
    slopes = np.stack(exact) * loop.stage.transimpedance_ohm
    assert start.slopes is not None
    size = np.sqrt(np.mean(slopes**2))
    # real parts: gains, and a start that offsets move by some millivolts; the offsets behind the mixers would be 10 V/V
    error = 0.05 * size if level == "ideal" else 0.01 * size + 0.25 * np.abs(slopes)
    assert np.all(np.abs(start.slopes - slopes) <= error)
    found = attempt.stability
    assert found is not None
    y_slopes = np.exp(loop.stage.gain_log) * start.slopes
    np.testing.assert_allclose(found.curvatures_per_V, 2 * np.mean(y_slopes**2, axis=0), rtol=1e-12)
    order = np.argsort(found.curvatures_per_V)
    assert np.all(np.diff(loop.control_rates[order]) <= 0)  # the steeper, the slower
    assert np.min(loop.control_rates) < 0.5 * np.max(loop.control_rates)
    assert found.gain_margin > Stability(replace(loop, rates=1.0), start.slopes).gain_margin
