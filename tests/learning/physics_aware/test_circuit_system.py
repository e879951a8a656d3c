"""Circuits as physical systems: noise, limits, failing samples, the twin's derivative; put together for a task."""

import re

import numpy as np
import pytest

from circuits.physics_aware.rlc_layer import RlcLayer
from circuits.physics_aware.waveform_circuit import WaveformCircuit
from inmateria.errors import ConvergenceError, InputError
from learning.physics_aware.circuit_system import CircuitSystem, RlcSystem
from learning.physics_aware.layout import waveform_layout
from learning.physics_aware.settings import PatTraining
from learning.physics_aware.setups import LayerSettings, physical_setup
from learning.physics_aware.systems import IdentitySystem
from learning.samples.samples import SampleSet

GUARDED = "Bout out 0 V = V(in) > 0.75 ? 1/(V(in)-V(in)) : V(in)\nRload out 0 1k"  # no answer above 0.75 V


def _values(system, count, seed=0):
    return np.random.default_rng(seed).uniform(*system.input_limits_V, (count, system.inputs))


def test_noise_goes_through_the_circuit_and_comes_from_the_generator():
    quiet = RlcSystem(RlcLayer(12))
    heard = RlcSystem(RlcLayer(12), input_noise_V=0.02, output_noise_V=0.05)
    values = _values(quiet, 400)
    plain = quiet.respond(values, np.random.default_rng(1))
    np.testing.assert_array_equal(plain, heard.respond(values))
    once, again, other = (heard.respond(values, np.random.default_rng(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    # noise at the input arrives through the slopes: sum of squares of each row of the Jacobian
    slopes = np.stack([quiet.vector_jacobian(values, np.tile(unit, (400, 1))) for unit in np.eye(12)], axis=1)
    expected = 0.05**2 + 0.02**2 * np.sum(slopes**2, axis=2)
    ratio = np.mean((once - plain) ** 2) / np.mean(expected)
    assert ratio == pytest.approx(1, abs=0.15)  # 4800 values: 2 % standard deviation, and what is bent


def test_ngspice_and_twin_answer_alike(engine):
    board = RlcLayer.board(10, 0.05, 2)
    inside, twin = RlcSystem(board, engine), RlcSystem(board)
    values = _values(twin, 20)
    np.testing.assert_allclose(inside.respond(values), twin.respond(values), atol=1e-2)
    assert (inside.inputs, inside.outputs, inside.circuit.points) == (10, 10, 260)


@pytest.mark.filterwarnings("ignore::inmateria.errors.TrustWarning")
def test_failing_sample_is_named_and_left_out_or_stops(engine, tmp_path):
    pytest.importorskip("torch")
    from learning.physics_aware.training import train_physics_aware

    circuit = WaveformCircuit(GUARDED, ("in",), ("out",), 4, settle=3, delay=0)
    system = CircuitSystem(circuit, engine, (-1.0, 1.0), skip=True)
    features = np.random.default_rng(0).uniform(-0.2, 0.2, (12, 4))
    features[7] = 3.0  # goes to the limit of 1 V
    samples = SampleSet("made", features, np.eye(2)[np.arange(12) % 2])
    layout = waveform_layout(4, 4, 1, 2)

    def model(v):
        return v * 1.0

    settings = {"epochs": 2, "batch": 12, "mode": "pat", "angle_samples": 0, "rate": 1e-6, "overdrive_penalty": 0.0}
    done = train_physics_aware(PatTraining(**settings), system, model, samples, layout=layout)
    assert done.failed_samples == [7]
    (told,) = done.failures
    assert re.match(r"7: .*(ngspice|deck|circuit)", told)  # ngspice's words, not only that there was no number
    assert done.dataset().confusion.sum() == 11
    with pytest.raises(ConvergenceError, match=r"^sample = 7: .*in epoch 1: "):
        train_physics_aware(PatTraining(**settings, on_failure="stop"), system, model, samples, layout=layout)
    assert np.isnan(system.respond(np.array([[0.0, 0.0, 0.9, 0.0], [0.1] * 4]))).tolist() == [[True] * 4, [False] * 4]
    assert [f.index for f in system.failed] == [0]
    strict = CircuitSystem(circuit, engine, (-1.0, 1.0))
    with pytest.raises(ConvergenceError, match=r"^sample 1 = "):
        strict.respond(np.array([[0.1] * 4, [0.0, 0.0, 0.9, 0.0]]))


def test_setup_has_a_board_that_the_model_does_not_know():
    samples = SampleSet("made", np.zeros((4, 6)), np.eye(2)[[0, 1, 0, 1]])
    setup = physical_setup(LayerSettings(passes=2), samples, board=3)
    assert (setup.drawn.inputs, setup.layout.passes, setup.layout.classes) == (24, 2, 2)
    assert not setup.drawn.board.components
    assert setup.built.board.components == RlcLayer.board(24, 0.05, 3).components
    nothing = physical_setup(LayerSettings("identity", width=8), samples)
    assert isinstance(nothing.built, IdentitySystem)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"layer": "x"}, "layer"),
        ({"passes": 0}, "passes"),
        ({"width": 0}, "width"),
        ({"spread": -0.1}, "spread"),
        ({"noise_V": np.inf}, "noise_V"),
    ],
)
def test_bad_layers_are_refused(changes, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        LayerSettings(**changes)


def test_bad_systems_are_refused(engine):
    circuit = WaveformCircuit("R1 in out 1k\nR2 out 0 1k", ("in",), ("out",), 4)
    with pytest.raises(InputError, match=r"^limits_V = "):
        CircuitSystem(circuit, engine, (1.0, 1.0))
    with pytest.raises(InputError, match=r"^output_noise_V = "):
        CircuitSystem(circuit, engine, (0.0, 1.0), output_noise_V=-1.0)
    with pytest.raises(InputError, match="outside 0 to 1 V"):
        CircuitSystem(circuit, engine, (0.0, 1.0)).respond(np.full((1, 4), 2.0))
    samples = SampleSet("made", np.zeros((4, 6)), np.eye(2)[[0, 1, 0, 1]])
    with pytest.raises(InputError, match=r"^device = "):
        physical_setup(LayerSettings("dnpu"), samples)
