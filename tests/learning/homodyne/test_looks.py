"""Looking for a start: what slopes promise, how candidates are followed, and that every look is counted."""

from __future__ import annotations

import numpy as np
import pytest

from dnpu_models.function.function_device import FunctionDevice
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.bench import Bench, default_bench
from learning.homodyne.experiment import Experiment, middle_loop
from learning.homodyne.looks import REACH, Operator
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import choose_start
from learning.tasks.boolean import BooleanTask

from ...toys import OneOutput

AND_EVERYWHERE = np.array([0, 0, 2e-9, 0, 0, 0, 2e-9, 0])
"""Of a device linear in both inputs: AND with margin 0.5 wherever one looks."""


@pytest.fixture(scope="module")
def bench() -> Bench:
    return default_bench(tolerance=1e-5)


def test_a_promise_is_what_is_found_there_where_the_slopes_say_all() -> None:
    """Outputs are linear in the controls for fixed inputs: s_p = dI_p/dw holds at any distance."""

    def currents(volts: FloatArray) -> FloatArray:
        x, y, others = volts[2], volts[6], float(volts[[1, 3, 4, 5, 7]] @ [3e-9, 1e-9, -2e-9, 5e-9, 1e-9])
        found = np.zeros(8)
        found[0] = -(2e-9 * x + 1e-9 * y + others * (1.0 + np.sign(x) * np.sign(y)))
        return found

    names = tuple(f"e{k}" for k in range(8))
    device = FunctionDevice(currents, names, np.tile([-1.0, 1.0], (8, 1)), "e0")
    experiment = Experiment(Bench(device), BooleanTask("XOR"))  # type: ignore[arg-type]
    operator = Operator(experiment)
    rng = np.random.default_rng(0)
    for look in operator.looks(rng.uniform(-0.1, 0.1, (20, 7))):
        for share in (1.0, 0.5):
            loss, controls = operator.promise(look, share)
            assert loss < look.loss
            assert operator.look(controls, look.polarity).loss == pytest.approx(loss, rel=1e-6, abs=1e-9)
            farthest = share * REACH * np.ptp(experiment.bench.limits_V, axis=1)
            assert np.all(np.abs(controls - look.controls_V) <= farthest * (1 + 1e-9))


def test_a_promise_stays_within_the_rails(bench: Bench) -> None:
    experiment = Experiment(bench, bench.task("XOR"))
    operator, (low, high) = Operator(experiment), middle_loop(experiment).control_limits_V
    for corner in (low, high):
        _, controls = operator.promise(operator.looks(corner[None])[0])
        assert np.all(controls >= low - 1e-12)
        assert np.all(controls <= high + 1e-12)


def test_a_start_is_counted_and_better_than_all_looks(bench: Bench) -> None:
    """With candidates that are all looks, no look can be better than where the best one was followed to."""
    settings = HgeSettings(looks=6, candidates=6, moves=2)
    found = 0
    for gate, seed in (("AND", 0), ("AND", 1), ("XOR", 0), ("XOR", 1)):
        experiment = Experiment(bench, bench.task(gate), settings)
        start = choose_start(experiment, np.random.default_rng(seed))
        np.testing.assert_allclose(start.outputs_A, bench.outputs_A(start.controls_V, experiment.task), atol=1e-12)
        drawn = np.random.default_rng(seed)
        looks = Operator(experiment).looks(np.stack([bench.random_controls(0.6, drawn) for _ in range(6)]))
        ends = Operator(experiment).look(start.controls_V, start.polarity)
        fulfilled = [bool(experiment.task.fulfilled(look.outputs_A, bench.noise_A())) for look in looks]
        if any(fulfilled):
            number = fulfilled.index(True) + 1
            assert (start.found, start.looked) == (4 * number, 4 * (number + settings.moves))
            assert ends.loss <= looks[number - 1].loss
            found += 1
        else:
            assert start.looked == 4 * (6 + 6 * 2)
            assert start.found is None or start.found > 4 * 6
            assert ends.loss <= min(look.loss for look in looks)
    assert 0 < found < 4


def test_without_moves_the_most_promising_look_is_the_start(bench: Bench) -> None:
    settings = HgeSettings(looks=5, candidates=1, moves=0)
    experiment = Experiment(bench, bench.task("XOR"), settings)
    start = choose_start(experiment, np.random.default_rng(3))
    drawn = np.random.default_rng(3)
    operator = Operator(experiment)
    looks = operator.looks(np.stack([bench.random_controls(0.6, drawn) for _ in range(5)]))
    best = min(looks, key=lambda look: operator.promise(look)[0])
    np.testing.assert_array_equal(start.controls_V, best.controls_V)
    assert (start.looked, start.found) == (20, None)
    assert experiment.attempt_evaluations == 4 * (5 + 1 + settings.sequences + 2)


def test_a_task_that_is_there_already_is_improved_not_refused() -> None:
    experiment = Experiment(Bench(OneOutput(lambda volts: volts @ AND_EVERYWHERE)), BooleanTask("AND"))  # type: ignore[arg-type]
    start = choose_start(experiment, np.random.default_rng(0))
    assert (start.found, start.looked) == (4, 4)  # it has no slopes to follow


def test_where_none_may_be_taken_the_start_never_fulfils_the_gate(bench: Bench) -> None:
    """And the same draws hold settings that fulfil it: they are left out, by the looks and by the moves."""
    settings, left_out = HgeSettings(looks=6, candidates=2, moves=2), 0
    for seed in range(4):
        experiment = Experiment(bench, BooleanTask("AND", margin_min=0.5), settings)
        start = choose_start(experiment, np.random.default_rng(seed), take_found=False)
        assert not experiment.task.fulfilled(start.outputs_A, bench.noise_A())
        assert start.looked == 4 * (6 + 2 * 2)
        left_out += start.found is not None
    assert left_out > 0
    everywhere = Experiment(Bench(OneOutput(lambda volts: volts @ AND_EVERYWHERE)), BooleanTask("AND"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nothing to learn"):
        choose_start(everywhere, np.random.default_rng(0), take_found=False)


def test_a_device_without_exact_slopes_is_looked_at_only() -> None:
    """Kinetic Monte Carlo estimates its currents: nothing is promised, and the best look is the start."""
    device = KineticMonteCarlo(DopantNetwork.random(seed=0, acceptors=12, donors=1))
    experiment = Experiment(Bench(device), BooleanTask("XOR"), HgeSettings(looks=2))
    assert experiment.moves == 0
    assert experiment.attempt_evaluations == 4 * (2 + 1 + experiment.settings.sequences + 2)
    operator = Operator(experiment)
    look = operator.looks(np.zeros((1, 7)))[0]
    assert operator.promise(look)[0] == look.loss
