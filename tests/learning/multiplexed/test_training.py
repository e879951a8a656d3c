"""Many runs of multiplexed gradient descent: learned, resumed, reported."""

import math
import threading

import numpy as np
import pytest
import xarray as xr

from inmateria.errors import ConvergenceError, InputError, Interrupted
from learning.angles import angle_deg
from learning.multiplexed.backpropagation import backpropagate
from learning.multiplexed.defaults import suited_training
from learning.multiplexed.descent import MgdSettings
from learning.multiplexed.in_ngspice import circuit_training, train_in_ngspice
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.multiplexed.training import MgdTraining, done_so_far, solved, train_many
from learning.samples.samples import SampleSet, letters, parity
from lockin.perturbation import CODES

from ...refused import refused

XOR = parity(2)


@pytest.mark.parametrize("mode", ["discrete", "analog"])
@pytest.mark.parametrize("code", CODES)
def test_xor_is_learned_by_every_code_and_mode(code, mode):
    """At least 5 of 20 runs. Of 200 each, 62 % and more were solved: fewer than 5 of 20 then come once in 5,000.

    What is tested is that the settings suited to a code learn at all: with wrong ones none of 20 did.
    """
    training = suited_training(XOR, {"code": code, "mode": mode, "steps": 400_000})
    runs = train_many(training, XOR, 20)
    assert int(runs.solved.sum()) >= 5
    for seed in runs.seed.values[runs.solved.values]:
        outputs = SigmoidNetwork(XOR.sizes).outputs(runs.theta.sel(seed=seed).values, XOR.inputs)
        assert np.array_equal(outputs > 0.5, XOR.targets > 0.5)
        assert runs.steps_to_solved.sel(seed=seed) <= 400_000
    assert np.all(np.isnan(runs.steps_to_solved.values[~runs.solved.values]))


@pytest.mark.parametrize(("code", "period"), [("sine", 100), ("sequential", 50), ("walsh", 32)])
def test_many_patterns_are_summed_before_an_update(code, period):
    settings = suited_training(parity(4), {"code": code}).settings
    assert (settings.tau_x, settings.tau_theta) == (period, 16 * period)
    assert settings.norm == (0.01 if code == "walsh" else 0.1)
    assert settings.eta * settings.tau_theta / 25 == pytest.approx(10.0)
    assert suited_training(parity(4), {"code": code, "tau_theta": period, "eta": 1.0}).settings.tau_theta == period
    assert suited_training(XOR, {"code": "walsh"}).settings.tau_theta == 16  # after each
    assert suited_training(parity(4), {}).settings.tau_theta == 1  # random signs


@pytest.mark.parametrize(("code", "period"), [("sine", 100), ("sequential", 50), ("walsh", 32)])
def test_many_patterns_are_averaged_in_analog_mode(code, period):
    settings = suited_training(parity(4), {"code": code, "mode": "analog"}).settings
    assert (settings.tau_x, settings.tau_theta, settings.tau_hp) == (2 * period, 32 * period, period / 2)
    assert (settings.norm, settings.blank) == (0.1, 1)
    assert settings.eta * settings.tau_theta / 25 == pytest.approx(8.0)


def test_an_update_after_all_patterns_is_a_step_of_gradient_descent():
    training = suited_training(parity(4), {"code": "sequential", "steps": 8000, "checks": 1, "norm": 1e-3})
    found = train_many(training, parity(4), 1)
    task, network = parity(4), SigmoidNetwork((4, 4, 1))
    theta = found.start.values[0].copy()
    for _ in range(10):  # updates of 16 patterns of 50 steps
        theta -= 10.0 * network.gradient(theta, task.inputs, task.targets)
    assert found.theta.values[0] == pytest.approx(theta, abs=1e-4)


def test_ngspice_goes_the_way_of_the_equations(engine):
    """From the same starts; the compiled descent holds the cost over a step, the circuit does not."""
    training = circuit_training(XOR, {"code": "random", "eta": 1.0, "norm": 0.5, "tau_hp": 20.0, "steps": 400})
    circuit = train_in_ngspice(training, XOR, 1, engine)
    compiled = train_many(training, XOR, 1)
    assert np.array_equal(circuit.start, compiled.start)
    moved = float(np.abs(compiled.theta - compiled.start).max())
    assert moved > 0.5
    assert float(np.abs(circuit.theta - compiled.theta).max()) < 0.02 * moved
    assert circuit.cost.values == pytest.approx(compiled.cost.values, abs=5e-3)


def test_runs_in_ngspice_that_were_done_are_kept_at_a_stop(engine):
    training = circuit_training(XOR, {"code": "random", "steps": 100})

    def stop(seed, step, cost, accuracy):
        if seed == 1:
            raise KeyboardInterrupt

    whole = train_in_ngspice(training, XOR, 1, engine)
    with pytest.raises(Interrupted) as stopped:
        train_in_ngspice(training, XOR, 3, engine, progress=stop)
    xr.testing.assert_equal(stopped.value.partial.drop_vars("wall_s"), whole.drop_vars("wall_s"))


def test_a_run_does_not_depend_on_those_beside_it():
    training = suited_training(XOR, {"steps": 3000, "checks": 5, "stop_when_solved": False, "cost_noise": 0.01})
    several = train_many(training, XOR, [3, 5, 8], workers=3)
    alone = train_many(training, XOR, [5], workers=1)
    xr.testing.assert_identical(several.sel(seed=[5]), alone)
    assert len(np.unique(several.theta.values[:, 0])) == 3


def test_killed_and_resumed_to_the_identical_path(tmp_path):
    """Runs that are stopped at a look go on from there; finished ones are not run again."""
    training = suited_training(
        XOR, {"steps": 4000, "checks": 8, "stop_when_solved": False, "cost_noise": 0.01, "defects": 0.1}
    )
    undisturbed = train_many(training, XOR, 3)
    looks = 0

    def stop(seed, step, cost, accuracy):
        nonlocal looks
        looks += 1
        if looks == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_many(training, XOR, 3, folder=tmp_path, workers=1, progress=stop)
    assert (tmp_path / "seed_0.npz").exists()  # the run that was told to stop is kept up to there
    so_far = done_so_far(training, XOR, 3, tmp_path)
    xr.testing.assert_equal(so_far.sel(seed=0).cost[:6], undisturbed.sel(seed=0).cost[:6])
    assert np.all(np.isnan(so_far.sel(seed=0).cost[6:]))
    seen = []
    resumed = train_many(
        training, XOR, 3, folder=tmp_path, workers=1, progress=lambda seed, step, *_: seen.append((seed, step))
    )
    xr.testing.assert_identical(resumed, undisturbed)
    assert 0 < len(seen) < 24
    with np.load(tmp_path / "seed_0.npz") as held:
        np.savez(tmp_path / "seed_0.npz", **{name: held[name] for name in held.files if name != "before"})
    with pytest.raises(InputError, match="holds other looks"):
        done_so_far(training, XOR, 3, tmp_path)
    (tmp_path / "seed_0.npz").unlink()
    train_many(training, XOR, 3, folder=tmp_path)
    again = []
    train_many(training, XOR, 3, folder=tmp_path, progress=lambda *told: again.append(told))
    assert not again


def test_checkpoints_of_another_training(tmp_path):
    training = suited_training(XOR, {"steps": 100, "checks": 2})
    train_many(training, XOR, 1, folder=tmp_path)
    with pytest.raises(InputError, match="another training"):
        train_many(suited_training(XOR, {"steps": 200, "checks": 2}), XOR, 1, folder=tmp_path)
    with pytest.raises(InputError, match="another training"):
        train_many(training, parity(3), 1, folder=tmp_path)


def test_progress_comes_from_one_thread_at_a_time():
    inside, most = 0, 0
    lock = threading.Lock()

    def tell(seed, step, cost, accuracy):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        assert 0 <= accuracy <= 1
        assert cost > 0
        with lock:
            inside -= 1

    train_many(suited_training(XOR, {"steps": 2000, "checks": 50}), XOR, 4, workers=4, progress=tell)
    assert most == 1


def test_letters_are_learned_about_as_well_as_by_backpropagation():
    """After 400,000 samples both are well above guessing (25 %); backpropagation needs fewer, and sees exact slopes."""
    samples = letters(800, 400)
    training = suited_training(samples, {"steps": 400_000, "checks": 4, "eta": 5.0})
    runs = train_many(training, samples, 2)
    assert np.all(runs.test_accuracy.isel(step=-1) > 0.7)
    network = SigmoidNetwork(samples.sizes)
    rng = np.random.default_rng(0)
    train, test = backpropagate(network, samples, network.start(rng), eta=1.0, batch=8, looks=[0, 80_000], rng=rng)
    assert test[0] < 0.5
    assert test[1] > 0.9
    assert train[1] >= test[1] - 0.05


def test_looks_are_not_counted_and_neurons_differ_between_runs():
    training = suited_training(XOR, {"steps": 100, "checks": 10, "stop_when_solved": False, "defects": 0.3})
    runs = train_many(training, XOR, 2)
    assert np.all(runs.inferences.isel(step=-1) == 200)  # one for C0, one perturbed, at each step
    assert runs.cost[0, 0] != runs.cost[1, 0]
    assert runs.sizes == {"seed": 2, "step": 11, "parameter": 9}


def test_a_cost_that_is_no_number_is_told():
    """The square of the miss is too large for a float."""
    huge = SampleSet("huge", np.ones((1, 2)), np.full((1, 1), 1e200))
    training = MgdTraining(MgdSettings(eta=1.0, norm=0.1), 1000, checks=5)
    with pytest.raises(ConvergenceError, match="step 0"):
        train_many(training, huge, 2)


def test_parameters_that_run_away_do_not_break_the_looks():
    training = MgdTraining(MgdSettings(eta=1e300, norm=0.1), 1000, checks=5)
    runs = train_many(training, XOR, 1)
    assert not runs.solved.any()
    assert np.all(runs.cost > 0.1)


def test_words_for_solved_and_angles():
    assert solved(0.039, 1.0)
    assert not solved(0.041, 1.0)
    assert not solved(0.01, 0.75)
    assert angle_deg(np.array([1.0, 0.0]), np.array([1.0, 1e-9])) == pytest.approx(math.degrees(1e-9), rel=1e-6)
    assert angle_deg(np.array([1.0, 0.0]), np.array([-2.0, 0.0])) == pytest.approx(180)
    assert math.isnan(angle_deg(np.zeros(2), np.ones(2)))


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("steps", {"steps": 0}),
        ("checks", {"steps": 10, "checks": 20}),
        ("batch", {"batch": 0}),
        ("defects", {"defects": -0.1}),
        ("start_spread", {"start_spread": math.nan}),
        ("speed", {"speed": 3}),
        ("eta", {"eta": -1.0}),
    ],
)
def test_bad_input(field, options):
    with refused(field):
        suited_training(XOR, options)


def test_no_seeds():
    with pytest.raises(InputError, match="no runs"):
        train_many(suited_training(XOR, {"steps": 10}), XOR, 0)
