"""Gates as tasks: targets, scores, and the edges of what counts as learned."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from inmateria.errors import InputError
from learning.tasks.boolean import BooleanTask
from learning.tasks.gates import GATES
from learning.tasks.task import enough_A

TRUTH = {
    "AND": lambda a, b: a and b,
    "OR": lambda a, b: a or b,
    "NAND": lambda a, b: not (a and b),
    "NOR": lambda a, b: not (a or b),
    "XOR": lambda a, b: a != b,
    "XNOR": lambda a, b: a == b,
}


@pytest.mark.parametrize("gate", GATES)
def test_gates_are_what_their_names_say(gate: str) -> None:
    task = BooleanTask(gate, swing_V=0.4)
    for (a, b), wanted in zip(task.levels_V, task.target_values, strict=True):
        assert {abs(a), abs(b)} == {0.2}
        assert bool(wanted) == bool(TRUTH[gate](a > 0, b > 0))
    assert [(a > 0, b > 0) for a, b in task.levels_V] == [(False, False), (False, True), (True, False), (True, True)]


@pytest.mark.parametrize("gate", GATES)
def test_targets_have_zero_mean_and_unit_rms(gate: str) -> None:
    task = BooleanTask(gate)
    targets = np.array(task.targets_V)
    assert targets.mean() == pytest.approx(0, abs=1e-12)
    assert np.mean(targets**2) == pytest.approx(1)
    assert targets[task.target_values == 1].min() > targets[task.target_values == 0].max()


@pytest.mark.parametrize("gate", GATES)
def test_scores_of_made_outputs(gate: str) -> None:
    task = BooleanTask(gate)
    ideal = 30e-9 + 2e-9 * task.target_values
    score = task.score(ideal)
    assert score.learned
    assert score.separation_A == pytest.approx(2e-9)
    assert score.margin == pytest.approx(1)
    assert score.correlation == pytest.approx(1)
    upside_down = task.score(ideal, polarity=-1.0)
    assert not upside_down.learned
    assert upside_down.correlation == pytest.approx(-1)
    assert upside_down.separation_A == pytest.approx(-2e-9)
    assert task.score(-ideal, polarity=-1.0).learned
    nothing = task.score(np.full(4, 3e-8))
    assert not nothing.learned
    assert nothing.margin == -1.0
    assert nothing.correlation == 0.0


def test_margin_must_be_a_fifth_of_the_swing() -> None:
    task = BooleanTask("XOR")
    for margin, learned in ((0.201, True), (0.199, False)):
        # swing 10 nA, the worst pair `margin` of it apart
        outputs = np.array([0.0, 10.0, 5.0, 5.0 - 10 * margin]) * 1e-9
        score = task.score(outputs)
        assert score.margin == pytest.approx(margin)
        assert score.learned is learned


def test_separation_must_be_ten_standard_deviations_of_the_noise() -> None:
    task = BooleanTask("OR")
    outputs = 2e-8 + 2e-9 * task.target_values
    readable, hidden = task.score(outputs, noise_A=0.199e-9), task.score(outputs, noise_A=0.201e-9)
    assert readable.learned
    assert not hidden.learned
    assert "hides" not in readable.words()
    assert "separation 2.00 nA, which the noise of a window (201.0 pA) hides" in hidden.words()
    small = 1e-3 * outputs  # a chip of small currents, quietly read
    assert task.score(small, noise_A=0.199e-12).learned
    assert not task.score(0.0 * outputs).learned  # nothing moves


def test_a_threshold_halfway_misreads_one_window_in_millions_at_the_least_separation() -> None:
    noise_A = 7e-12
    assert norm.sf(0.5 * enough_A(noise_A) / noise_A) == pytest.approx(1 / 3.5e6, rel=0.01)


@pytest.mark.parametrize("gate", GATES)
def test_a_fixed_polarity_asks_for_more_current_where_the_gate_is_high(gate: str) -> None:
    free, fixed = BooleanTask(gate), BooleanTask(gate, polarity="fixed")
    ideal = 1e-9 * free.target_values
    rows = np.stack([ideal, -ideal])
    assert free.fulfilled(rows).tolist() == [True, True]
    assert fixed.fulfilled(rows).tolist() == [True, False]
    assert [free.sign(row) for row in rows] == [1.0, -1.0]
    assert [fixed.sign(row) for row in rows] == [1.0, 1.0]
    with pytest.raises(InputError, match="free or fixed"):
        BooleanTask(gate, polarity="wired")  # type: ignore[arg-type]


def test_names_are_case_blind_and_nonsense_is_refused() -> None:
    assert BooleanTask("xor") == BooleanTask("XOR")
    for gate in ("XAND", "", 7):
        with pytest.raises(InputError, match="AND, OR, NAND, NOR, XOR, XNOR"):
            BooleanTask(gate)  # type: ignore[arg-type]
    for swing in (0.0, -0.5, np.nan, np.inf):
        with pytest.raises(InputError, match="swing_V"):
            BooleanTask("AND", swing)


def test_each_input_may_have_its_own_swing() -> None:
    task = BooleanTask("XOR", (0.2, 0.6))
    assert task.levels_V == ((-0.1, -0.3), (-0.1, 0.3), (0.1, -0.3), (0.1, 0.3))
    assert BooleanTask("XOR", 0.4).levels_V == BooleanTask("XOR", (0.4, 0.4)).levels_V
    with pytest.raises(InputError, match="positive"):
        BooleanTask("XOR", (0.2, 0.0))


@pytest.mark.parametrize("gate", list(GATES))
def test_fulfilled_is_learned_with_either_polarity(gate: str) -> None:
    task = BooleanTask(gate)
    outputs = np.random.default_rng(0).normal(0, 1.5e-9, (40, 25, 4))
    fulfilled = task.fulfilled(outputs, 1e-10)
    one_by_one = [
        any(task.score(row, polarity, 1e-10).learned for polarity in (1.0, -1.0)) for row in outputs.reshape(-1, 4)
    ]
    np.testing.assert_array_equal(fulfilled.ravel(), one_by_one)
    assert 0 < fulfilled.mean() < 1
