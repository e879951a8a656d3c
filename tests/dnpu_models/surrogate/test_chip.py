"""The measured chip: two files of one network, exact gradients, ranges, the kernel, and files that mean harm."""

from __future__ import annotations

import ctypes
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dnpu_models.interface import memoryless
from dnpu_models.interface.device import has_exact_slopes
from dnpu_models.surrogate import brainspy_file
from dnpu_models.surrogate import kernel as kernel_module
from dnpu_models.surrogate.chip import RANGE_SLACK_V, ChipSurrogate
from dnpu_models.surrogate.samples import export_io_dat, read_io_dat
from inmateria.errors import InputError

Array = NDArray[np.float64]
LOW = np.array([-1.2, -0.7, -1.2, -0.8, -0.8, -0.5, -1.05])
HIGH = np.array([0.65, 0.35, 1.0, 1.0, 0.6, 0.25, 1.3])
GAIN_NA = 39.5


def layers(*sizes: int, seed: int = 0) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Random weights and biases of a network with these numbers of neurons."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, np.sqrt(2 / a), (b, a)).astype(np.float32) for a, b in pairwise(sizes)]
    return weights, [rng.normal(0, 0.3, b).astype(np.float32) for b in sizes[1:]]


def made(*sizes: int, seed: int = 0) -> ChipSurrogate:
    weights, biases = layers(*sizes, seed=seed)
    return ChipSurrogate(tuple(weights), tuple(biases), LOW[: sizes[0]], HIGH[: sizes[0]], GAIN_NA * 1e-9)


def plain(chip: ChipSurrogate, volts: Array) -> tuple[Array, Array]:
    """Output (A) and the smallest |input of a neuron|, the distance from a kink, for (n, n_inputs) V."""
    x, nearest = volts, np.full(len(volts), np.inf)
    for k, (weight, bias) in enumerate(zip(chip.weights, chip.biases, strict=True)):
        x = x @ weight.astype(float).T + bias.astype(float)
        if k < len(chip.weights) - 1:
            nearest = np.minimum(nearest, np.abs(x).min(axis=1))
            x = np.where(x > 0, x, 0.0)
    return x[:, 0] * chip.amplification_A, nearest


def inside(chip: ChipSurrogate, count: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).uniform(chip.voltage_min_V, chip.voltage_max_V, (count, chip.n_inputs))


def terminal(volts: Array) -> Array:
    """The activation voltages with the output's 0 V before them."""
    return np.concatenate([np.zeros((*volts.shape[:-1], 1)), volts], axis=-1)


@pytest.fixture(scope="module")
def chip() -> ChipSurrogate:
    return made(7, 90, 90, 90, 1)


@pytest.fixture
def real(data_file: Callable[[str], Path]) -> ChipSurrogate:
    return ChipSurrogate.from_npz(data_file("dnpu_chip.npz"))


# ------------------------------------------------------------------------------------------- files, made without torch


class Raw(bytes):
    """Bytes that stand in a pickle as they are."""


def pickled(value: Any, storages: dict[str, bytes]) -> bytes:
    """Opcodes that build `value`; arrays become tensors, dicts OrderedDicts with torch's metadata."""

    def text(s: str) -> bytes:
        return b"X" + struct.pack("<I", len(s.encode())) + s.encode()

    def each(values: Any) -> bytes:
        return b"".join(pickled(v, storages) for v in values)

    match value:
        case Raw():
            return bytes(value)
        case bool():
            return b"\x88" if value else b"\x89"
        case str():
            return text(value)
        case int():
            return b"J" + struct.pack("<i", value)
        case float():
            return b"G" + struct.pack(">d", value)
        case None:
            return b"N"
        case tuple():
            return b"(" + each(value) + b"t"
        case list():
            return b"](" + each(value) + b"e"
        case dict():
            items = b"".join(text(k) + pickled(v, storages) for k, v in value.items())
            return b"ccollections\nOrderedDict\n)R(" + items + b"u}(" + text("_metadata") + b"}ub"
    key = str(len(storages))
    storages[key] = np.ascontiguousarray(value).tobytes()
    kind = {"f4": "FloatStorage", "f8": "DoubleStorage", "i8": "LongStorage"}[value.dtype.str[1:]]
    stride = tuple(n // value.itemsize for n in np.ascontiguousarray(value).strides)
    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + each((key, "cpu", value.size)) + b"tQ"
    rest = each((0, value.shape, stride, False, {}))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


def saved(path: Path, value: Any, **changes: bytes) -> Path:
    """A file as torch.save writes it; `changes` replace entries."""
    storages: dict[str, bytes] = {}
    entries = {"data.pkl": b"\x80\x02" + pickled(value, storages) + b"."}
    entries |= {f"data/{key}": raw for key, raw in storages.items()} | {"version": b"3\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in (entries | changes).items():
            archive.writestr(f"archive/{name}", raw)
    return path


def state(*sizes: int, prefix: str = "processor.processor.model.") -> dict[str, Any]:
    weights, biases = layers(*sizes)
    tensors: dict[str, Any] = {}
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        tensors[f"{prefix}raw_model.{2 * k}.weight"] = weight
        tensors[f"{prefix}raw_model.{2 * k}.bias"] = bias
    return tensors


def processor(*sizes: int) -> dict[str, Any]:
    """The older layout: what a task's processor holds, ranges and amplification among its tensors."""
    ranges = np.stack([LOW, HIGH], axis=1)[: sizes[0]].astype(np.float32)
    own: dict[str, Any] = {
        "control_voltages": np.zeros((1, 5), dtype=np.float32),
        "control_indices": np.arange(5),
        "processor.processor.amplification": np.array([GAIN_NA], dtype=np.float32),
        "processor.processor.voltage_ranges": ranges,
    }
    return {"epoch": 500, "model_state_dict": own | state(*sizes), "train_losses": [-27.1, -27.3]}


def training(*sizes: int, **structure: Any) -> dict[str, Any]:
    """The newer layout: a training state with an `info` dictionary, which holds a numpy array and a numpy number."""
    ranges = np.stack([LOW, HIGH], axis=1)[: sizes[0]]
    electrodes = {
        "activation_electrodes": {"electrode_no": 7, "voltage_ranges": Raw(pickle.dumps(ranges, 2)[2:-1])},
        "output_electrodes": {"electrode_no": 1, "amplification": [Raw(pickle.dumps(np.float64(GAIN_NA), 2)[2:-1])]},
    }
    info = {"electrode_info": electrodes, "model_structure": {"activation": "relu", "D_in": 7} | structure}
    return {"model_state_dict": state(*sizes, prefix=""), "info": info}


def npz(path: Path, *sizes: int, **changes: Any) -> Path:
    weights, biases = layers(*sizes)
    arrays: dict[str, Any] = {f"weight_{k}": w for k, w in enumerate(weights)}
    arrays |= {f"bias_{k}": b for k, b in enumerate(biases)}
    arrays |= {"voltage_min": LOW, "voltage_max": HIGH, "amplification_nA_per_V": np.array([GAIN_NA])} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("layout", [processor, training])
def test_both_layouts_of_brainspy_and_the_npz_give_the_same_device(
    tmp_path: Path, layout: Callable[..., dict[str, Any]]
) -> None:
    sizes = (7, 20, 33, 1)
    first = ChipSurrogate.from_npz(npz(tmp_path / "chip.npz", *sizes))
    second = ChipSurrogate.from_brainspy(saved(tmp_path / "chip.pt", layout(*sizes)))
    volts = 0.99 * inside(first, 200)
    expected = plain(made(*sizes), volts)[0]
    for device in (first, second):
        np.testing.assert_allclose(device.outputs_A(volts), expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
        assert device.amplification_A == pytest.approx(39.5e-9)
        np.testing.assert_allclose(device.limits_V[1:].T, [LOW, HIGH], atol=1e-6)
    assert first.source is not None
    assert first.source.endswith("chip.npz")


def test_the_measured_chip_is_the_same_in_both_files(real: ChipSurrogate, data_file: Callable[[str], Path]) -> None:
    other = ChipSurrogate.from_brainspy(data_file("brainspy_training_data.pickle"))
    volts = inside(real, 1000)
    outputs = real.outputs_A(volts)
    np.testing.assert_allclose(other.outputs_A(volts), outputs, atol=1e-6 * np.abs(outputs).max())
    np.testing.assert_allclose(outputs, plain(real, volts)[0], atol=1e-12 * np.abs(outputs).max())
    assert [w.shape for w in real.weights] == [(90, 7), *[(90, 90)] * 4, (1, 90)]
    # Its range: an op-amp that clips at +-4 V with 39.5 nA/V reads up to +-158 nA.
    assert 20e-9 < np.abs(outputs).max() < 158e-9
    # Current flows from high to low: on average the output current rises with the electrodes' voltages.
    assert -real.conductances(terminal(volts))[:, 0, 1:].sum(axis=1).mean() > 10e-9


# -------------------------------------------------------------------------------------------------------- the equations


@pytest.mark.parametrize("sizes", [(7, 90, 90, 1), (7, 16, 1), (3, 5, 40, 2, 1), (7, 1), (2, 1, 1), (6, 96, 17, 1)])
def test_forward_pass_of_any_shape_is_plain_numpy(sizes: tuple[int, ...]) -> None:
    device = made(*sizes)
    volts = inside(device, 100)
    expected = plain(device, volts)[0]
    np.testing.assert_allclose(device.outputs_A(volts), expected, atol=1e-13 * np.abs(expected).max(), rtol=1e-12)


@pytest.mark.parametrize("sizes", [(7, 90, 90, 90, 1), (7, 16, 1), (3, 5, 40, 2, 1), (7, 1), (6, 96, 17, 1)])
def test_conductances_are_finite_differences_away_from_kinks(sizes: tuple[int, ...]) -> None:
    device = made(*sizes)
    volts = 0.9 * inside(device, 300)
    step = 1e-6
    volts = volts[plain(device, volts)[1] > 100 * step]  # piecewise linear: exact but for rounding
    assert len(volts) > 50
    steps = step * np.eye(device.n_inputs)
    slopes = np.stack([(plain(device, volts + d)[0] - plain(device, volts - d)[0]) / (2 * step) for d in steps], -1)
    conductances = device.conductances(terminal(volts))
    np.testing.assert_allclose(-conductances[:, 0, 1:], slopes, atol=1e-8 * np.abs(slopes).max())
    assert np.all(conductances[:, 1:] == 0)
    assert np.all(conductances[:, :, 0] == 0)


def test_device_interface(chip: ChipSurrogate) -> None:
    assert hasattr(chip, "kernel")
    assert has_exact_slopes(chip)
    assert chip.terminals == ("out", "e1", "e2", "e3", "e4", "e5", "e6", "e7")
    assert chip.measured == (0,)
    low, high = chip.limits_V.T
    np.testing.assert_array_equal(low, [-1e-2, *LOW])
    np.testing.assert_array_equal(high, [1e-2, *HIGH])
    box = np.random.default_rng(0).uniform(low, high, (50, 8))
    box[:, 0] = 0
    currents = chip.currents(box)
    assert np.all(currents[:, 1:] == 0)
    np.testing.assert_array_equal(-currents[:, 0], chip.outputs_A(box[:, 1:]))
    np.testing.assert_array_equal(chip.follow(box), currents)


def test_leading_axes_and_repetition(chip: ChipSurrogate) -> None:
    volts = terminal(inside(chip, 12))
    flat, slopes = chip.currents(volts), chip.conductances(volts)
    for shape in ((3, 4), (2, 1, 6), (12,)):
        np.testing.assert_array_equal(chip.currents(volts.reshape(*shape, 8)), flat.reshape(*shape, 8))
        np.testing.assert_array_equal(chip.conductances(volts.reshape(*shape, 8)), slopes.reshape(*shape, 8, 8))
        assert chip.outputs_A(volts[:, 1:].reshape(*shape, 7)).shape == shape
    np.testing.assert_array_equal(chip.currents(volts[3]), flat[3])
    np.testing.assert_array_equal(chip.currents(volts[::-1])[::-1], flat)  # one point does not depend on the last
    assert chip.currents(np.empty((0, 8))).shape == (0, 8)
    assert chip.conductances(np.empty((0, 8))).shape == (0, 8, 8)


def test_a_voltage_outside_its_range_is_named(chip: ChipSurrogate) -> None:
    volts = np.zeros((5, 8))
    volts[3, 6] = 0.3
    for ask in (chip.currents, chip.conductances, chip.follow, lambda v: chip.outputs_A(v[:, 1:])):
        with pytest.raises(InputError, match=r"voltages\[e6\] = 0\.3: .* -0\.5 to 0\.25 V"):
            ask(volts)
    with pytest.raises(InputError, match=r"voltages\[e6\]"):
        chip.kernel(volts[3])
    with pytest.raises(InputError, match=r"voltages\[out\] = 0\.02: .*virtual ground"):
        chip.currents([0.02, 0, 0, 0, 0, 0, 0, 0])
    for k in range(7):  # the limits themselves are allowed, as they come back from single precision
        for limit in (LOW, HIGH):
            edge = np.zeros(7)
            edge[k] = limit[k] + np.sign(limit[k]) * 0.5 * RANGE_SLACK_V
            assert np.isfinite(chip.outputs_A(edge))
            edge[k] = limit[k] + np.sign(limit[k]) * 2 * RANGE_SLACK_V
            with pytest.raises(InputError, match=rf"voltages\[e{k + 1}\]"):
                chip.outputs_A(edge)


@pytest.mark.parametrize("volts", [np.zeros(7), np.zeros((8, 2)), 0.0, np.full(8, np.nan), [["x"] * 8], np.zeros(())])
def test_malformed_voltages(chip: ChipSurrogate, volts: Any) -> None:
    for ask in (chip.currents, chip.conductances, chip.kernel, chip.follow):
        with pytest.raises(InputError):
            ask(volts)
    with pytest.raises(InputError):
        chip.kernel(np.zeros((2, 8)))


# ----------------------------------------------------------------------------------------------------------- the kernel


def test_kernel_agrees_with_currents_and_stops_outside(chip: ChipSurrogate) -> None:
    volts = terminal(inside(chip, 50))
    kernel = chip.kernel(volts[0], seed=3)
    np.testing.assert_array_equal(kernel.conductances_S, chip.conductances(volts[0]))
    assert kernel.params.dtype == kernel.state.dtype == np.float64
    scratch, out = kernel.state.copy(), np.empty(8)
    for row in volts:
        kernel.evaluate(0.0, row, kernel.params, scratch, out)
        kernel.advance(1e-6, row, kernel.params, scratch)
        np.testing.assert_array_equal(out, chip.currents(row))
    for terminal_, value in ((0, 2e-2), (6, 0.2501), (1, -1.3), (4, np.nan)):
        wrong = volts[0].copy()
        wrong[terminal_] = value
        kernel.evaluate(0.0, wrong, kernel.params, scratch, out)
        assert np.all(np.isnan(out))
    kernel.evaluate(0.0, volts[0], kernel.params, scratch, out)  # and goes on afterwards
    np.testing.assert_array_equal(out, chip.currents(volts[0]))


def test_c_functions(chip: ChipSurrogate) -> None:
    volts = terminal(inside(chip, 1))[0]
    kernel = chip.kernel(volts)
    assert kernel.c_functions == (f"{kernel_module.__name__}:c_evaluate", memoryless.C_ADVANCE)
    words, out = np.append(kernel.state, 8.0), np.zeros(8)
    for compiled, scalar in ((kernel_module.c_evaluate, 0.0), (memoryless.c_advance, 1e-6)):
        function = ctypes.CFUNCTYPE(None, ctypes.c_double, *[ctypes.c_int64] * 6)(compiled.address)
        arrays = (volts.ctypes.data, kernel.params.ctypes.data, kernel.params.size, words.ctypes.data, words.size - 1)
        function(scalar, *arrays, out.ctypes.data)
    np.testing.assert_array_equal(out, chip.currents(volts))
    assert words[-1] == 8.0


# ------------------------------------------------------------------------------------------------------- wrong networks


def test_wrong_fields() -> None:
    weights, biases = layers(7, 4, 3, 1)
    good = {"weights": weights, "biases": biases, "voltage_min_V": LOW, "voltage_max_V": HIGH, "amplification_A": 1e-9}
    bad = weights[1].copy()
    bad[0, 0] = np.nan
    for field, value in {
        "weights": (weights[0], bad, weights[2]),
        "biases": biases[:2],
        "voltage_min_V": LOW[:3],
        "voltage_max_V": HIGH[:3],
        "amplification_A": np.nan,
    }.items():
        with pytest.raises(InputError, match=field):
            ChipSurrogate(**(good | {field: value}))
    for wrong in (
        (weights[0], weights[2], weights[1]),
        (weights[0], weights[1][0], weights[2]),
        weights[:2],
        (),
        (np.full((4, 7), 1e300), *weights[1:]),
        ("x", *weights[1:]),
    ):
        with pytest.raises(InputError):
            ChipSurrogate(**(good | {"weights": wrong, "biases": biases[: len(wrong)]}))
    with pytest.raises(InputError, match=r"voltage_min_V\[0\] = -1\.2: is not below"):
        ChipSurrogate(**(good | {"voltage_max_V": LOW}))
    with pytest.raises(InputError, match="amplification_A"):
        ChipSurrogate(**(good | {"amplification_A": "much"}))
    device = ChipSurrogate(**good)
    with pytest.raises(ValueError, match="read-only"):
        device.weights[0][0, 0] = 1.0


def test_wrong_npz_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (7, 8, 1)
    nan = np.full((8, 7), np.nan)
    for changes, message in (
        ({"weight_0": nan}, "NaN"),
        ({"weight_0": np.zeros((8, 6))}, r"voltage_min_V = \(7,\)"),
        ({"bias_1": None}, "lacks bias_1"),
        ({"weight_0": None, "weight_1": None}, "lacks weight_0"),
        ({"weight_0": np.array([{"a": 1}])}, "holds object, not numbers"),
        ({"amplification_nA_per_V": np.ones(2)}, "not one number"),
    ):
        with pytest.raises(InputError, match=message):
            ChipSurrogate.from_npz(npz(tmp_path / "chip.npz", *sizes, **changes))
    good = npz(tmp_path / "chip.npz", *sizes)
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:-200])
    (tmp_path / "text.npz").write_text("no zip")
    for name in ("cut.npz", "text.npz"):
        with pytest.raises(InputError, match="is no readable npz file"):
            ChipSurrogate.from_npz(tmp_path / name)
    for path in (tmp_path / "absent.npz", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            ChipSurrogate.from_npz(path)
    head = io.BytesIO()  # an array that says it is larger than the file
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(tmp_path / "lies.npz", "w") as archive:
        archive.writestr("weight_0.npy", head.getvalue())
    with pytest.raises(InputError, match="truncated"):
        ChipSurrogate.from_npz(tmp_path / "lies.npz")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weight_0.npy", bytes(2**20))
    assert (tmp_path / "bomb.npz").stat().st_size < 2**12
    monkeypatch.setattr(brainspy_file, "MAX_BYTES", 2**16)
    with pytest.raises(InputError, match="too large unpacked"):
        ChipSurrogate.from_npz(tmp_path / "bomb.npz")


# ------------------------------------------------------------------------------------------------- files that mean harm


def call(module: str, name: str, *arguments: Any) -> Raw:
    return Raw(f"c{module}\n{name}\n".encode() + pickled(arguments, {}) + b"R")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    command = f"touch {touched}"
    attacks = {
        "posix.system": call("posix", "system", command),
        "os.system": call("os", "system", command),
        "builtins.eval": call("builtins", "eval", f"open({str(touched)!r}, 'w')"),
        "__builtin__.eval": call("__builtin__", "eval", f"open({str(touched)!r}, 'w')"),
        "subprocess.Popen": call("subprocess", "Popen", ["touch", str(touched)]),
        "torch.load": call("torch", "load", str(touched)),
        "numpy.fromfile": call("numpy", "fromfile", str(touched)),
        "dnpu_models.surrogate.brainspy_file.pickle.loads": Raw(
            b"cdnpu_models.surrogate.brainspy_file\npickle.loads\n"
        ),
        # by protocol 4's opcode, which takes the name from the stack
        "posix.getcwd": Raw(b"X\x05\x00\x00\x00posixX\x06\x00\x00\x00getcwd\x93)R"),
        # by the opcode that makes an instance
        "os.popen": Raw(b"(ios\npopen\n"),
    }
    for name, attack in attacks.items():
        for place in ({"model_state_dict": attack}, processor(7, 4, 1) | {"optimizer_state_dict": attack}):
            with pytest.raises(InputError, match=f"asks for {name}, which is not run"):
                ChipSurrogate.from_brainspy(saved(tmp_path / "evil.pt", place))
    assert not touched.exists()

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return __import__("os").system, (command,)

    evil = saved(tmp_path / "evil.pt", {}, **{"data.pkl": pickle.dumps(Evil())})
    with pytest.raises(InputError, match="which is not run"):
        ChipSurrogate.from_brainspy(evil)
    assert not touched.exists()
    pickle.loads(pickle.dumps(Evil()))  # the same pickle does harm where it is let
    assert touched.exists()


def test_stand_ins_cannot_be_changed_or_misused(tmp_path: Path) -> None:
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    tensors = processor(7, 4, 1)["model_state_dict"]
    change = pickled((None, {"_function": 1}), {})
    for attack in (
        rebuild + change + b"b",  # BUILD sets attributes of what it is given
        b"ctorch\nFloatStorage\n" + change + b"b",
        b"ctorch\nFloatStorage\n)R",
        b"cnumpy\nndarray\n)R",
        rebuild + pickled(((), 0, (1,), (1,)), {}) + b"R",
        b"cnumpy\ndtype\n" + pickled(("O8", False, True), {}) + b"R",
        b"c_codecs\nencode\n" + pickled(("x", "rot13"), {}) + b"R",
        b"r\xff\xff\xff\x7f",  # would take 32 GB for a memo
        b"\x82\x01",  # an extension's number in the place of a name
        pickled(("storage", "FloatStorage", "0", "cpu", 1), {}) + b"Q",
    ):
        path = saved(tmp_path / "evil.pt", {"model_state_dict": tensors, "extra": Raw(attack)})
        with pytest.raises(InputError, match="is no readable brains-py file"):
            ChipSurrogate.from_brainspy(path)
    ChipSurrogate.from_brainspy(saved(tmp_path / "good.pt", {"model_state_dict": tensors, "extra": 1}))


def test_tensors_stay_inside_their_storage(tmp_path: Path) -> None:
    def tensor(offset: int, size: Any, stride: Any, count: int = 6) -> Raw:
        storage = b"((" + pickled("storage", {}) + b"ctorch\nFloatStorage\n"
        storage += b"".join(pickled(v, {}) for v in ("own", "cpu", count)) + b"tQ"
        rest = b"".join(pickled(v, {}) for v in (offset, size, stride, False, {}))
        return Raw(b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + rest + b"tR")

    raw = np.arange(6, dtype="<f4").tobytes()
    tree = brainspy_file.read_tree(saved(tmp_path / "a.pt", {"x": tensor(1, (2, 2), (1, 2))}, **{"data/own": raw}))
    np.testing.assert_array_equal(tree["x"].array, [[1, 3], [2, 4]])
    for wrong in (
        tensor(0, (7,), (1,)),
        tensor(3, (4,), (1,)),
        tensor(0, (2, 3), (4, 1)),
        tensor(-1, (2,), (1,)),
        tensor(0, (3,), (-1,)),
        tensor(0, (10**9, 10**9), (0, 0)),
        tensor(0, (2,), (1, 1)),
        tensor(0, (6,), (1,), count=7),
    ):
        with pytest.raises(InputError, match="is no readable brains-py file"):
            brainspy_file.read_tree(saved(tmp_path / "a.pt", {"x": wrong}, **{"data/own": raw}))


def test_damaged_brainspy_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = saved(tmp_path / "good.pt", processor(7, 8, 1))
    raw = good.read_bytes()
    for name, content in {
        "cut": raw[: len(raw) // 2],
        "text": b"no zip",
        "empty": b"",
        "old": pickle.dumps({"a": 1}, 2),
        "flipped": raw.replace(np.float32(GAIN_NA).tobytes(), np.float32(-GAIN_NA).tobytes()),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="is no readable brains-py file"):
            ChipSurrogate.from_brainspy(tmp_path / name)
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            ChipSurrogate.from_brainspy(path)
    for changes, message in (
        ({"data/0": b""}, "tensor 0 has 0 bytes"),
        ({"byteorder": b"big"}, "not little-endian"),
        ({"data.pkl": b""}, "is no readable"),
        ({"data.pkl": b"\x80\x02}"}, "is no readable"),
    ):
        with pytest.raises(InputError, match=message):
            ChipSurrogate.from_brainspy(saved(tmp_path / "a.pt", processor(7, 8, 1), **changes))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(InputError, match=r"no data\.pkl"):
        ChipSurrogate.from_brainspy(tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**20))
    for limit, message in (("MAX_PICKLE_BYTES", "its pickle has"), ("MAX_BYTES", "too large unpacked")):
        monkeypatch.setattr(brainspy_file, limit, 2**16)
        with pytest.raises(InputError, match=message):
            ChipSurrogate.from_brainspy(tmp_path / "bomb.pt")
    monkeypatch.setattr(brainspy_file, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="is too large"):
        ChipSurrogate.from_brainspy(good)


def test_files_of_something_else(tmp_path: Path) -> None:
    def without(name: str) -> dict[str, Any]:
        tree = processor(7, 8, 1)
        del tree["model_state_dict"][f"processor.processor.{name}"]
        return tree

    def replaced(name: str, value: Any) -> dict[str, Any]:
        tree = processor(7, 8, 1)
        tree["model_state_dict"][f"processor.processor.{name}"] = value
        return tree

    two = processor(7, 8, 1)
    two["model_state_dict"] |= state(7, 8, 1, prefix="second.")
    nan = np.full((8, 7), np.nan, dtype=np.float32)
    for tree, message in (
        ({"a": 1}, "no layers"),
        ([1, 2], "no state dictionary"),
        (without("amplification"), "no amplification"),
        (without("voltage_ranges"), "no voltage range"),
        (without("model.raw_model.2.bias"), "not linear ones"),
        (replaced("amplification", np.ones(2)), "no amplification of its one output"),
        (replaced("voltage_ranges", np.ones((7, 3))), "no voltage range"),
        (replaced("voltage_ranges", np.ones((7, 2))), "not below the maximum"),
        (replaced("model.raw_model.0.weight", nan), "NaN"),
        (
            replaced("model.raw_model.0.weight", np.zeros((8, 6), dtype=np.float32)),
            r"has not the shape \(6\)",
        ),
        (replaced("model.raw_model.0.weight", "text"), "is no tensor"),
        (replaced("model.raw_model.5.weight", nan), "not linear ones"),
        (two, "several networks"),
        (training(7, 8, 1, activation="tanh"), "activation 'tanh'"),
        (processor(7, 8, 2), "2 outputs"),
    ):
        with pytest.raises(InputError, match=message):
            ChipSurrogate.from_brainspy(saved(tmp_path / "other.pt", tree))


# -------------------------------------------------------------------------------------------------------------- samples


def test_samples_round_trip_in_brainspys_layout(chip: ChipSurrogate, tmp_path: Path) -> None:
    volts = inside(chip, 20)
    outputs = chip.outputs_A(volts)
    path = export_io_dat(tmp_path, volts, outputs)
    assert path == tmp_path / "IO.dat"
    lines = path.read_text().splitlines()
    assert lines[0] == "# Input 0, Input 1, Input 2, Input 3, Input 4, Input 5, Input 6, Output 0"
    assert len(lines) == 21
    table = np.loadtxt(path)  # how brainspy-smg reads it: V, then nA
    np.testing.assert_array_equal(table[:, :7], volts)
    np.testing.assert_allclose(table[:, 7], outputs * 1e9, rtol=1e-15)
    for place in (path, tmp_path):
        read_volts, read_outputs = read_io_dat(place)
        np.testing.assert_array_equal(read_volts, volts)
        np.testing.assert_allclose(read_outputs[:, 0], outputs, rtol=1e-15)
    both = np.stack([outputs, 2 * outputs], axis=1)
    export_io_dat(path, volts, both, overwrite=True)
    np.testing.assert_allclose(read_io_dat(path, n_outputs=2)[1], both, rtol=1e-15)


def test_wrong_samples(tmp_path: Path) -> None:
    path = tmp_path / "IO.dat"
    for volts, outputs in (
        (np.zeros((3, 7)), np.zeros(2)),
        (np.zeros(7), np.zeros(1)),
        (np.zeros((0, 7)), np.zeros(0)),
        (np.full((1, 7), np.nan), np.zeros(1)),
        ([["x"]], [1.0]),
    ):
        with pytest.raises(InputError):
            export_io_dat(path, volts, outputs)
    assert not path.exists()
    with pytest.raises(InputError, match="cannot be read"):
        read_io_dat(path)
    export_io_dat(path, np.zeros((2, 7)), np.zeros(2))
    with pytest.raises(InputError, match="exists"):
        export_io_dat(path, np.zeros((2, 7)), np.zeros(2))
    with pytest.raises(InputError, match="cannot be written"):
        export_io_dat(tmp_path / "no" / "IO.dat", np.zeros((2, 7)), np.zeros(2))
    with pytest.raises(InputError, match="n_outputs"):
        read_io_dat(path, n_outputs=0)
    with pytest.raises(InputError, match="2 samples of 8 columns"):
        read_io_dat(path, n_outputs=8)
    for text in ("", "# Input 0, Output 0\n", "1 2\n3\n", "a b\n", "1 nan\n"):
        path.write_text(text)
        with pytest.raises(InputError, match="path"):
            read_io_dat(path)


# ----------------------------------------------------------------------------------------------------- several currents


@pytest.fixture(scope="module")
def several() -> ChipSurrogate:
    """Terminal 2 of five is held; the currents of 4, 2 and 0 are known."""
    weights, biases = layers(4, 20, 17, 3, seed=3)
    names = ("a", "b", "c", "d", "e")
    low, high = np.array([-1.0, -0.5, -0.7, -0.2]), np.array([0.5, 1.0, 0.7, 0.9])
    return ChipSurrogate(tuple(weights), tuple(biases), low, high, 2e-9, None, names, held=2, measured=(4, 2, 0))


def test_several_currents_and_their_slopes(several: ChipSurrogate) -> None:
    volts = np.insert(inside(several, 50), 2, 0.0, axis=1)
    x = np.delete(volts, 2, axis=1)
    for k, (weight, bias) in enumerate(zip(several.weights, several.biases, strict=True)):
        x = x @ weight.astype(float).T + bias.astype(float)
        if k < 2:
            x = np.maximum(x, 0)
    wanted = np.zeros((50, 5))
    wanted[:, [4, 2, 0]] = -2e-9 * x
    np.testing.assert_allclose(several.currents(volts), wanted, rtol=1e-12, atol=1e-21)
    np.testing.assert_allclose(several.outputs_A(np.delete(volts, 2, axis=1)), 2e-9 * x[:, 1], rtol=1e-12)
    step = 1e-7
    slopes, off = several.conductances(volts), 0
    for k in (0, 1, 3, 4):
        inner = volts * 0.99  # room for the steps
        up, down = inner.copy(), inner.copy()
        up[:, k] += step
        down[:, k] -= step
        difference = (several.currents(up) - several.currents(down)) / (2 * step)
        at = several.conductances(inner)[:, :, k]
        close = np.isclose(at, difference, rtol=1e-5, atol=1e-14).all(axis=1)
        off += int((~close).sum())
    assert off <= 2  # settings within 1e-7 V of a kink
    assert np.all(slopes[:, [1, 3]] == 0)
    assert np.all(slopes[:, :, 2] == 0)


def test_the_kernel_of_several_currents(several: ChipSurrogate) -> None:
    volts = np.insert(inside(several, 5), 2, 0.0, axis=1)
    kernel = several.kernel(volts[0])
    words, out = np.append(kernel.state, 5.0), np.zeros(5)
    function = ctypes.CFUNCTYPE(None, ctypes.c_double, *[ctypes.c_int64] * 6)(kernel_module.c_evaluate.address)
    for row in volts:
        function(0.0, row.ctypes.data, kernel.params.ctypes.data, kernel.params.size, words.ctypes.data,
                 words.size - 1, out.ctypes.data)  # fmt: skip
        np.testing.assert_array_equal(out, several.currents(row))
    assert words[-1] == 5.0
    for terminal_, value in ((2, 0.02), (0, 0.6), (4, -0.3), (1, np.nan)):
        wrong = volts[0].copy()
        wrong[terminal_] = value
        kernel.evaluate(0.0, wrong, kernel.params, kernel.state.copy(), out)
        assert np.all(np.isnan(out))
        if np.isfinite(value):
            with pytest.raises(InputError, match=rf"voltages\[{several.terminals[terminal_]}\]"):
                several.currents(wrong)


def test_without_hidden_layers_it_is_linear() -> None:
    weight = np.array([[1.0, 2.0], [3.0, -4.0], [-4.0, 2.0]])
    chip = ChipSurrogate((weight,), (np.zeros(3),), [-1, -1], [1, 1], 1e-9, measured=(0, 1, 2))
    np.testing.assert_allclose(chip.conductances([0, 0.1, 0.2])[:, 1:], -weight * 1e-9, rtol=1e-7)
    np.testing.assert_allclose(chip.currents([0, 0.1, 0.2]), -1e-9 * weight @ [0.1, 0.2], rtol=1e-7, atol=1e-24)


def test_files_written_are_read(several: ChipSurrogate, chip: ChipSurrogate, tmp_path: Path) -> None:
    for k, device in enumerate((several, chip)):
        path = device.to_npz(tmp_path / f"{k}.npz")
        again = ChipSurrogate.from_npz(path)
        for name in ("weights", "biases"):
            for a, b in zip(getattr(device, name), getattr(again, name), strict=True):
                np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(again.limits_V, device.limits_V)
        assert again.amplification_A == pytest.approx(device.amplification_A, rel=1e-15)
        for name in ("terminals", "held", "measured"):
            assert getattr(again, name) == getattr(device, name)
        assert again.source == str(path)
        with pytest.raises(InputError, match="exists"):
            device.to_npz(path)
        assert device.to_npz(path, overwrite=True) == path
    with pytest.raises(InputError, match="cannot be written"):
        chip.to_npz(tmp_path / "no" / "folder.npz")


def test_wrong_terminals(several: ChipSurrogate, tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        name: getattr(several, name)
        for name in ("weights", "biases", "voltage_min_V", "voltage_max_V", "amplification_A", "terminals", "held")
    }
    for changes, told in (
        ({"terminals": ("a", "b")}, "5 different names"),
        ({"terminals": ("a", "a", "c", "d", "e")}, "5 different names"),
        ({"held": 5}, "held = 5"),
        ({"measured": (4, 0, 1)}, "must hold 2"),
        ({"measured": (4, 2, 2)}, "once each"),
        ({"measured": (4, 2, 9)}, "once each"),
        ({"measured": (4, 2)}, "3 outputs where 2"),
        ({"measured": ("x",)}, "measured"),
    ):
        with pytest.raises(InputError, match=told):
            ChipSurrogate(**(fields | {"measured": (4, 2, 0)} | changes))
    good = dict(np.load(several.to_npz(tmp_path / "good.npz")))
    for changes, told in (
        ({"terminals": np.arange(5)}, "not text"),
        ({"held": np.array("2")}, "not numbers"),
        ({"held": np.array([1, 2])}, "not one number"),
        ({"weight_0": np.array("x")}, "not numbers"),
    ):
        np.savez(tmp_path / "bad.npz", **(good | changes))
        with pytest.raises(InputError, match=told):
            ChipSurrogate.from_npz(tmp_path / "bad.npz")
