"""Networks of measured chips as brains-py saves them, read without torch and without running anything from the file.

Such a file is a zip: `NAME/data.pkl` is a pickle, read by `inmateria.unpickling`, `NAME/data/KEY` the bytes of one
tensor each. Sizes are checked before memory is taken.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from inmateria.errors import InMateriaError, InputError
from inmateria.unpickling import Called, Inert, RefusedError, Unpickler, Values, numbers, sizes

MAX_BYTES = 64 * 2**20
"""Files whose contents are larger are refused: networks of chips take a few hundred kilobytes."""
MAX_PICKLE_BYTES = 8 * 2**20
"""Limit of the pickle in such a file, which holds names and training losses but no tensors."""

_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<u1",
}
_LAYER = re.compile(r"^(?P<prefix>.*?)raw_model\.(?P<layer>\d{1,4})\.(?P<kind>weight|bias)$")


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """What a file tells of a network: its layers, the voltage range of each input, and the output's unit.

    Attributes
    ----------
    weights, biases : tuple of ndarray
        Shapes (n_out, n_in) and (n_out,) of each layer.
    voltage_ranges_V : ndarray, shape (n_in, 2)
        Lowest and highest voltage of each activation electrode, V.
    amplification_nA : float
        nA per unit of the network's output.
    """

    weights: tuple[NDArray[Any], ...]
    biases: tuple[NDArray[Any], ...]
    voltage_ranges_V: NDArray[Any]
    amplification_nA: float


@contextmanager
def reading(path: str | Path, kind: str, fix: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one `InputError` that names the file."""
    try:
        yield
    except InMateriaError:
        raise
    except OSError as error:
        raise InputError("path", str(path), f"cannot be read ({error.strerror or error})", "check the path") from error
    except Exception as error:  # a hostile or damaged file can raise nearly anything
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise InputError("path", str(path), f"is no readable {kind} ({reason})", fix) from error


@contextmanager
def open_zip(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose contents are small enough to read."""
    size = Path(path).stat().st_size
    if size > MAX_BYTES:
        raise InputError("path", str(path), f"is too large ({size} bytes)", f"at most {MAX_BYTES} bytes are read")
    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
        if declared > MAX_BYTES:
            problem = f"is too large unpacked ({declared} bytes)"
            raise InputError("path", str(path), problem, f"at most {MAX_BYTES} bytes are read")
        yield archive


def read_npz(path: str | Path, *, text: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
    """Arrays of numbers (those named in `text`: of strings) in a numpy `.npz` file, by name; nothing is unpickled.

    Raises
    ------
    InputError
        For a file that is missing, damaged or too large (checked before it is read), or holds anything else.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with reading(path, "npz file", "save it again with numpy.savez"), open_zip(path) as archive:
        for name in archive.namelist():
            if not name.endswith(".npy"):
                raise InputError("path", str(path), f"holds {name!r}, which is no array", "save it with numpy.savez")
            raw = archive.read(name)
            name = name.removesuffix(".npy")
            arrays[name] = _read_npy(raw, name, "U" if name in text else "fiu")
    return arrays


def _read_npy(raw: bytes, name: str, kinds: str) -> NDArray[Any]:
    stream = io.BytesIO(raw)
    version = np.lib.format.read_magic(stream)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = header[version](stream)
    if dtype.kind not in kinds:
        raise ValueError(f"{name} holds {dtype}, not {'text' if kinds == 'U' else 'numbers'}")
    if math.prod(shape) * dtype.itemsize != len(raw) - stream.tell():
        raise ValueError(f"{name} is truncated")
    return np.asarray(np.load(io.BytesIO(raw), allow_pickle=False))


class _Storage(Inert):
    """A type of storage."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Values:
    """torch._utils._rebuild_tensor_v2: a view, inside the storage and no larger than it."""
    if not isinstance(storage, Values) or storage.array.ndim != 1:
        raise ValueError("holds a tensor without storage")
    shape, strides, (start,) = sizes(size), sizes(stride), sizes((offset,))
    count = math.prod(shape)
    last = start + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if count else start
    if count > storage.array.size or (count and last >= storage.array.size):
        raise ValueError("holds a tensor larger than its storage")
    flat = storage.array[start:]
    item = flat.itemsize
    return Values(np.lib.stride_tricks.as_strided(flat, shape, [n * item for n in strides], writeable=False))


def _parameter(data: Any, *_: Any) -> Any:
    """torch._utils._rebuild_parameter: the tensor itself."""
    return data


_TORCH: dict[tuple[str, str], Callable[[], Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): lambda: Called(_tensor),
    ("torch._utils", "_rebuild_parameter"): lambda: Called(_parameter),
} | {("torch", name): partial(_Storage, dtype) for name, dtype in _STORAGES.items()}


class _TensorUnpickler(Unpickler):
    """Reads the tensors' bytes from the zip."""

    def __init__(self, data: bytes, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(data, _TORCH)
        self._archive, self._root = archive, root
        self._read: dict[str, bytes] = {}

    def persistent_load(self, pid: Any) -> Any:
        kind, storage, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(storage, _Storage) or not isinstance(key, str):
            raise ValueError("holds a malformed tensor")
        if key not in self._read:
            self._read[key] = self._archive.read(f"{self._root}/data/{key}")
        raw = self._read[key]
        if type(count) is not int or count * storage.dtype.itemsize != len(raw):
            raise ValueError(f"tensor {key} has {len(raw)} bytes, not {count} times {storage.dtype.itemsize}")
        return Values(np.frombuffer(raw, storage.dtype))


def read_tree(path: str | Path) -> Any:
    """What the file holds: dicts, lists, numbers, strings, and arrays in the place of tensors.

    Raises
    ------
    InputError
        For a file that is missing, damaged or too large, or names a class that is not on the list.
    """
    fix = "save it again with torch.save (PyTorch 1.6 or later)"
    with reading(path, "brains-py file", fix), open_zip(path) as archive:
        roots = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError("the zip holds no data.pkl of torch.save")
        root = roots[0]
        entry = archive.getinfo(f"{root}/data.pkl")
        if entry.file_size > MAX_PICKLE_BYTES:
            raise ValueError(f"its pickle has {entry.file_size} bytes, more than {MAX_PICKLE_BYTES}")
        if f"{root}/byteorder" in archive.namelist() and archive.read(f"{root}/byteorder").strip() != b"little":
            raise ValueError("holds numbers that are not little-endian")
        data = archive.read(entry)
        try:
            return _TensorUnpickler(data, archive, root).load()
        except RefusedError as error:
            fix = "save state dictionaries and numbers only, or distrust the file"
            raise InputError("path", str(path), str(error), fix) from None


def read_network(path: str | Path) -> StoredNetwork:
    """The network in a file that brains-py or brainspy-smg saved.

    Both of their layouts are read: the state dictionary of a processor, with voltage ranges and amplification among its
    tensors, and a training state with an `info` dictionary. What a task trained on top (control voltages, scales) is
    left aside. The activation is ReLU unless the file says otherwise, which is refused, as are several networks in one
    file. Clipping of the output by the instrument is not applied.

    Raises
    ------
    InputError
        As `read_tree`, or if no network with range and amplification is found.
    """
    tree = read_tree(path)

    def refuse(problem: str, fix: str = "give a file of one surrogate model") -> NoReturn:
        raise InputError("path", str(path), problem, fix)

    info = _get(tree, "info")
    tensors = _get(tree, "model_state_dict")
    if tensors is None:
        tensors = tree
    if not isinstance(tensors, Mapping):
        refuse("holds no state dictionary")
    layers: dict[int, dict[str, NDArray[Any]]] = {}
    prefixes = set()
    for name, value in tensors.items():
        match = _LAYER.match(name) if isinstance(name, str) else None
        if match is not None:
            array = numbers(value)
            if array is None:
                refuse(f"{name} is no tensor")
            prefixes.add(match["prefix"])
            layers.setdefault(int(match["layer"]), {})[match["kind"]] = array
    if len(prefixes) != 1:
        refuse("holds several networks" if prefixes else "holds no layers named raw_model.N.weight")
    if sorted(layers) != list(range(0, 2 * len(layers), 2)) or any(len(layer) != 2 for layer in layers.values()):
        refuse(f"has layers {sorted(layers)}, not linear ones with an activation between them")
    structure = _get(info, "model_structure") or _get(tree, "model_structure")
    activation = _get(structure, "activation")
    if activation not in (None, "relu"):
        refuse(f"has the activation {activation!r}", "train it with ReLU")
    electrodes = _get(info, "electrode_info") or info
    ranges = _one(tensors, "voltage_ranges")
    if ranges is None:
        ranges = numbers(_get(_get(electrodes, "activation_electrodes"), "voltage_ranges"))
    amplification = _one(tensors, "amplification")
    if amplification is None:
        amplification = numbers(_get(_get(electrodes, "output_electrodes"), "amplification"))
    if ranges is None or ranges.ndim != 2 or ranges.shape[1] != 2:
        refuse("has no voltage range (low, high) for each activation electrode")
    if amplification is None or amplification.size != 1:
        refuse("has no amplification of its one output")
    ordered = [layers[k] for k in sorted(layers)]
    return StoredNetwork(
        weights=tuple(layer["weight"] for layer in ordered),
        biases=tuple(layer["bias"] for layer in ordered),
        voltage_ranges_V=ranges,
        amplification_nA=float(amplification.reshape(-1)[0]),
    )


def _get(tree: Any, key: str) -> Any:
    return tree.get(key) if isinstance(tree, Mapping) else None


def _one(tensors: Mapping[Any, Any], ending: str) -> NDArray[Any] | None:
    """The one tensor whose name ends so."""
    found = [v for k, v in tensors.items() if isinstance(k, str) and k.rpartition(".")[2] == ending]
    return numbers(found[0]) if len(found) == 1 else None
