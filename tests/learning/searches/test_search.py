"""Baselines: what they count, see and find, against devices whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inmateria.errors import InputError
from learning.bench.bench import Bench, default_bench
from learning.homodyne.experiment import Experiment
from learning.homodyne.settings import HgeSettings
from learning.searches.meter import Meter, SearchOver, SearchSettings
from learning.searches.optimisers import finite_differences, forward_difference
from learning.searches.search import search
from learning.settled_loss import settled_loss
from learning.tasks.boolean import BooleanTask

from ...toys import OneOutput

METHODS = ("random", "differences", "spsa", "evolution")


def sum_and_product(volts: Any) -> Any:
    """Inputs e2 and e6: XOR where e1 is high, AND and OR where it is low; the others do nothing."""
    a, b, w = volts[..., 2], volts[..., 6], volts[..., 1]
    return 12e-9 * (a + b) * (0.9 - w) - 40e-9 * a * b * (w + 0.2)


def nothing(volts: Any) -> Any:
    return np.zeros(volts.shape[:-1])


@pytest.mark.parametrize("method", METHODS)
def test_every_presentation_is_counted_and_the_budget_is_kept(method: str) -> None:
    for budget, used in ((400, 400), (403, 400), (4, 4)):
        device = OneOutput(nothing)
        bench = Bench(device)  # type: ignore[arg-type]
        result = search(
            Experiment(bench, BooleanTask("XOR")), method, device_evaluations=budget, rng=np.random.default_rng(0)
        )
        assert not result.success
        assert result.device_evaluations == device.asked == used
        assert result.physical_s == pytest.approx(used * bench.slot_s)
        assert result.trace.evaluations[-1] == used
    assert bench.slot_s == pytest.approx(0.1 + 0.005 + 0.005 + 5e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_ends_at_the_first_setting_that_is_the_gate(method: str) -> None:
    easy = Bench(OneOutput(lambda v: 2e-9 * (v[..., 2] + v[..., 6])))  # type: ignore[arg-type]
    for gate in ("AND", "NAND"):  # the polarity is free
        result = search(
            Experiment(easy, BooleanTask(gate)), method, device_evaluations=400, rng=np.random.default_rng(0)
        )
        assert result.success
        assert result.device_evaluations == 4
        assert result.score.quality == pytest.approx(0.5, abs=0.05)
        assert result.polarity == (1.0 if gate == "AND" else -1.0)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_finds_the_way_to_xor(method: str) -> None:
    """Without biases 5 (w + 0.2) > 6 (0.9 - w): e1 above 0.4, which few of the settings drawn have."""
    bench = Bench(OneOutput(sum_and_product))  # type: ignore[arg-type]
    task = BooleanTask("XOR")
    result = search(Experiment(bench, task), method, device_evaluations=4000, rng=np.random.default_rng(2))
    assert result.success
    assert task.score(bench.outputs_A(result.controls_V, task), result.polarity, bench.noise_A()).margin >= 0.15
    assert np.all(np.diff(result.trace.loss) <= 0)


def test_forward_differences_are_slopes_of_the_loop_s_loss() -> None:
    bench = Bench(OneOutput(sum_and_product))  # type: ignore[arg-type]
    task = BooleanTask("XOR")
    meter = Meter(Experiment(bench, task), SearchSettings(), 10_000, np.random.default_rng(0))
    meter.noise_A = 0.0
    at = np.array([0.1, 0.2, 0.0, 0.1, -0.3, 0.15, 0.2])
    found = forward_difference(meter, at, 1.0, 1e-5)
    assert meter.used == 4 * 8
    targets = np.array(task.targets_V)

    def correlation(controls: Any) -> float:
        return float(np.corrcoef(bench.outputs_A(controls, task), targets)[0, 1])

    # L = 2 (1 - correlation) where the outputs move enough.
    steps = 1e-5 * np.eye(7)
    exact = [-2 * (correlation(at + s) - correlation(at - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(found, exact, atol=2e-3)
    assert np.max(np.abs(exact)) > 0.5


def test_a_descent_steps_as_the_loop_s_limiter_does() -> None:
    """w_k -= scale V_step tanh(rate g_k / V_step), scale falling from 1 to the end's: seen in what it asks for."""
    asked: list[Any] = []

    class Watched(Meter):
        def measure_many(self, controls_V: Any) -> Any:
            asked.append(np.array(controls_V))
            return super().measure_many(controls_V)

    settings = HgeSettings(sequences=3, looks=4, step_V=0.02, learning_rate=0.05, anneal_to=0.5)
    bench = Bench(OneOutput(sum_and_product))  # type: ignore[arg-type]
    meter = Watched(Experiment(bench, BooleanTask("XOR"), settings), SearchSettings(), 200, np.random.default_rng(0))
    meter.noise_A = 0.0
    with pytest.raises(SearchOver):
        finite_differences(meter, np.random.default_rng(1))
    _, *slopes, last = asked[:5]  # looks, three readings of all slopes, the setting at the end
    bases = [rows[0] for rows in slopes] + [last[0]]
    moved = 0.0
    for scale, rows, after in zip((1.0, 0.75, 0.5), slopes, bases[1:], strict=True):
        probe = rows[1, 0] - rows[0, 0]
        outputs = bench.many_outputs_A(rows, BooleanTask("XOR"))
        polarity = 1.0 if meter.task.correlation(bench.outputs_A(bases[0], meter.task)) >= 0 else -1.0
        losses = np.array([meter.loss(row, polarity) for row in outputs])
        step = scale * 0.02 * np.tanh(0.05 * (losses[1:] - losses[0]) / probe / 0.02)
        np.testing.assert_allclose(after, rows[0] - step, rtol=0, atol=1e-12)
        moved += float(np.abs(step).max())
    assert moved > 1e-3


def test_the_loss_is_the_loop_s() -> None:
    targets = np.array([-1.0, 1.0, 1.0, -1.0])
    outputs = np.array([1.0, 3.0, 2.5, 1.2]) * 1e-9
    correlation = np.corrcoef(outputs, targets)[0, 1]
    for polarity in (1.0, -1.0):
        loss = settled_loss(outputs, targets, polarity, 0.5e-9)
        assert loss == pytest.approx(2 * (1 - polarity * correlation))
    # Behind a gain at its rail small outputs stay small: a tenth of the least rms.
    small = settled_loss(0.05e-9 * targets, targets, 1.0, 0.5e-9)
    assert small == pytest.approx(0.9**2)


def test_readings_have_the_noise_of_one_window() -> None:
    bench = Bench(OneOutput(nothing))  # type: ignore[arg-type]
    meter = Meter(Experiment(bench, BooleanTask("XOR")), SearchSettings(), 8000, np.random.default_rng(1))
    read = meter.measure_many(np.zeros((2000, 7)))
    # 8000 normal values: their rms has a relative error of 1/sqrt(16000); five of these, 6e-7 false alarms.
    assert np.std(read) == pytest.approx(np.sqrt(1e-5 * 1e-18 / (2 * 0.1)), rel=5 / np.sqrt(16000))
    with pytest.raises(SearchOver):
        meter.measure(np.zeros(7))


def test_and_is_found_on_the_default_device_and_repeats() -> None:
    bench, task = default_bench(tolerance=1e-5), BooleanTask("AND")
    first, again = (
        search(Experiment(bench, task), "spsa", device_evaluations=1000, rng=np.random.default_rng(1)) for _ in range(2)
    )
    assert first.success
    np.testing.assert_array_equal(first.controls_V, again.controls_V)
    outputs = bench.outputs_A(first.controls_V, task)
    np.testing.assert_allclose(first.outputs_A, outputs, atol=6 * bench.noise_A())


def test_bad_input_is_refused() -> None:
    bench = Bench(OneOutput(nothing))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="random, differences, spsa, evolution"):
        search(Experiment(bench, BooleanTask("XOR")), "luck", device_evaluations=100, rng=rng)
    with pytest.raises(InputError, match="one setting needs 4"):
        search(Experiment(bench, BooleanTask("XOR")), "random", device_evaluations=3, rng=rng)
    for changes in ({"probe_V": 0.0}, {"probe_V": np.nan}, {"population": 4}):
        with pytest.raises(InputError, match=next(iter(changes))):
            SearchSettings(**changes)  # type: ignore[arg-type]
