"""A batch streamed through one transient, the electronic layer, its twin and its derivative."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest

from circuits.ngspice.one_thread import ONE_THREAD
from circuits.ngspice.pool import EnginePool
from circuits.physics_aware import rlc_layer_kernel as kernel
from circuits.physics_aware.rlc_layer import RlcLayer
from circuits.physics_aware.waveform_circuit import WaveformCircuit
from inmateria.errors import ConvergenceError, InputError
from netlists.reader import load_part

RC = "R1 in out 1k\nC1 out 0 1n"  # time constant 1 us
GUARDED = "Bout out 0 V = V(in) > 2.5 ? 1/(V(in)-V(in)) : V(in)\nRload out 0 1k"  # no answer above 2.5 V


def _batch(layer, samples, seed=0):
    return np.random.default_rng(seed).uniform(*layer.limits_V, (samples, layer.values))


def test_stream_gives_the_closed_form_of_an_rc(engine):
    # a level held for 8 time constants, from rest: 1 - exp(-t/RC), the first period a ramp
    circuit = WaveformCircuit(RC, ("in",), ("out",), 1, hold=8, settle=20, delay=0, steps=50)
    levels = np.array([[1.0], [-2.0], [0.5]])
    found = circuit.stream(levels, engine)
    ramp = 1 - np.exp(-1.0)  # of the ramp's end, which lies at the value's first period
    expected = levels * (1 - ramp * np.exp(-7.0))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_values_are_read_where_they_end_and_channels_stay_apart(engine):
    wires = "Ea a 0 x 0 2\nRa a 0 1k\nEb b 0 y 0 -3\nRb b 0 1k"
    circuit = WaveformCircuit(wires, ("x", "y"), ("a", "b"), 3, hold=2, settle=2, delay=0)
    batch = np.arange(24.0).reshape(4, 6)
    found = circuit.stream(batch, engine)
    np.testing.assert_allclose(found, np.hstack([2 * batch[:, :3], -3 * batch[:, 3:]]), atol=1e-9)


def test_samples_back_to_back_are_the_same_as_alone_within_the_memory(engine):
    layer = RlcLayer(12)
    batch = _batch(layer, 6)
    together = layer.circuit.stream(batch, engine)
    alone = np.concatenate([layer.circuit.stream(row[None], engine) for row in batch])
    memory = layer.circuit.memory(engine, *layer.limits_V)
    assert 0 < memory < 10e-3  # the noise it is trained with
    assert np.max(np.abs(together - alone)) < 2 * memory  # the memory is a probe's, not the worst there is
    short = replace(layer.circuit, settle=40)
    assert short.memory(engine, *layer.limits_V) > 20 * memory


def test_pool_gives_what_one_engine_gives(engine):
    layer = RlcLayer(8)
    batch = _batch(layer, 7)
    with EnginePool(2) as pool:
        found, failed = layer.circuit.respond(batch, pool)
    assert failed == []
    np.testing.assert_allclose(found, layer.circuit.stream(batch, engine), atol=3e-3)


def test_copies_side_by_side_answer_like_one(engine):
    layer = RlcLayer.board(10, 0.05, 3, copies=3, settle=160)
    assert [layer.circuit.side_by_side(n) for n in (0, 1, 2, 4, 7, 9)] == [
        (1, 0),
        (1, 1),
        (2, 1),
        (2, 2),
        (3, 3),
        (3, 3),
    ]
    batch = _batch(layer, 7)
    run = layer.circuit.transient(batch, engine)
    assert run.time_s[-1] == pytest.approx((160 + 3 * 170) * 1e-6)  # three samples one after the other, not seven
    found = layer.circuit.read(run, 7)
    np.testing.assert_allclose(found, layer.twin(batch), atol=3e-3)
    wires = "Ea a 0 x 0 2\nRa a 0 1k\nEb b 0 y 0 -3\nRb b 0 1k"
    two = WaveformCircuit(wires, ("x", "y"), ("a", "b"), 3, hold=2, settle=2, delay=0, copies=2)
    batch = np.arange(30.0).reshape(5, 6)
    np.testing.assert_allclose(two.stream(batch, engine), np.hstack([2 * batch[:, :3], -3 * batch[:, 3:]]), atol=1e-9)
    for card in (".ic v(out)=1", ".global bus"):
        with pytest.raises(InputError, match=r"^netlist = "):
            WaveformCircuit(f"{RC}\n{card}", ("in",), ("out",), 4, copies=2)


def test_twin_is_the_netlist(engine):
    """With rests so long that no sample leaves anything to the next."""
    for layer in (
        RlcLayer(20, settle=200), RlcLayer.board(20, 0.05, 4, delay=2, settle=200), RlcLayer(20, steps=5, settle=200)
    ):  # fmt: skip
        batch = _batch(layer, 12)
        apart = layer.circuit.stream(batch, engine) - layer.twin(batch)
        assert np.sqrt(np.mean(apart**2)) < 5e-4
        assert np.std(layer.twin(batch)) > 0.5


def test_board_differs_and_its_derivative_is_exact():
    nominal, board = RlcLayer(16), RlcLayer.board(16, 0.05, 1)
    batch, rng = _batch(nominal, 10), np.random.default_rng(5)
    assert 0.02 < np.std(nominal.twin(batch) - board.twin(batch)) < 0.5
    cotangents, direction = rng.normal(size=(2, 10, 16))
    h = 1e-5
    change = (board.twin(batch + h * direction) - board.twin(batch - h * direction)) / (2 * h)
    slope = np.sum(board.vector_jacobian(batch, cotangents) * direction, axis=1)
    np.testing.assert_allclose(slope, np.sum(change * cotangents, axis=1), rtol=1e-6, atol=1e-7)


def test_kernel_takes_the_parameters_in_the_order_of_the_header():
    names = list(load_part("rlc_layer", "transistor").defaults)
    assert [getattr(kernel, name.upper()) for name in names] == list(range(kernel.WORDS))


@pytest.mark.filterwarnings("ignore::inmateria.errors.TrustWarning")
@pytest.mark.parametrize("copies", [1, 3])
def test_sample_without_answer_is_named_or_left_out(engine, copies):
    circuit = WaveformCircuit(GUARDED, ("in",), ("out",), 2, settle=3, delay=0, copies=copies)
    batch = np.array([[0.1, 0.2], [1.0, 2.9], [0.3, 0.4], [2.8, 0.0], [0.5, 0.6]])
    with pytest.raises(ConvergenceError, match=r"^sample 1 = "):
        circuit.respond(batch, engine)
    found, failed = circuit.respond(batch, engine, skip=True)
    assert [f.index for f in failed] == [1, 3]
    np.testing.assert_allclose(found[[0, 2, 4]], batch[[0, 2, 4]], atol=1e-9)
    assert np.all(np.isnan(found[[1, 3]]))


def test_standalone_deck_gives_the_same_in_plain_ngspice(engine, tmp_path):
    layer = RlcLayer(6)
    batch = _batch(layer, 3)
    deck = layer.circuit.standalone(batch)
    assert ONE_THREAD in deck.splitlines()
    (tmp_path / "deck.cir").write_text(deck)
    done = subprocess.run(["ngspice", "-b", "deck.cir"], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    t, v = np.loadtxt(tmp_path / "outputs.txt").T
    circuit = layer.circuit
    when = (circuit.settle + circuit.slot * np.arange(3)[:, None] + circuit.readings) / circuit.rate_Hz
    # its own breakpoints put other time-points into the same waveform
    assert np.sqrt(np.mean((np.interp(when, t, v) - circuit.stream(batch, engine)) ** 2)) < 0.05


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"values": 0}, "values"),
        ({"settle": 0}, "settle"),
        ({"delay": 40}, "delay"),
        ({"inputs": "in"}, "inputs"),
        ({"outputs": ("a", "A")}, "outputs"),
        ({"rate_Hz": 0.0}, "rate_Hz"),
        ({"rest_V": np.nan}, "rest_V"),
        ({"steps": 1.5}, "steps"),
        ({"copies": 0}, "copies"),
    ],
)
def test_bad_settings_are_refused(changes, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        replace(WaveformCircuit(RC, ("in",), ("out",), 4), **changes)


def test_bad_batches_and_boards_are_refused(engine):
    circuit = WaveformCircuit(RC, ("in",), ("out",), 4)
    with pytest.raises(InputError, match="not samples of 4 values"):
        circuit.stream(np.zeros((2, 3)), engine)
    with pytest.raises(InputError, match=r"^batch\[1\] = "):
        circuit.stream(np.array([[0.0] * 4, [0.0, np.nan, 0.0, 0.0]]), engine)
    assert circuit.stream(np.empty((0, 4)), engine).shape == (0, 4)
    with pytest.raises(InputError, match=r"^q = "):
        RlcLayer(4, {"q": 1.0})
    with pytest.raises(InputError, match=r"^r = "):
        RlcLayer(4, {"r": -1.0})
    with pytest.raises(InputError, match=r"^spread = "):
        RlcLayer.board(4, 0.5, 0)
    with pytest.raises(InputError, match=r"^cotangents = "):
        RlcLayer(4).vector_jacobian(np.zeros((2, 4)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="not samples of 4 values"):
        RlcLayer(4).twin(np.zeros(4))
