"""Networks of measured chips as brains-py saves them, read without torch and without running anything from the file.

Such a file is a zip: `NAME/data.pkl` is a pickle, `NAME/data/KEY` the bytes of one tensor each. A pickle names classes
and functions to be called, so an ordinary unpickler hands the machine to whoever wrote the file. Here a name outside a
short list is refused before it is imported, and those on the list stand for inert objects of this module, which hold
numbers and refuse to be changed. Sizes are checked before memory is taken.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from inmateria.errors import InMateriaError, InputError

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
_NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
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
            raise InputError(
                "path", str(path), f"is too large unpacked ({declared} bytes)", f"at most {MAX_BYTES} bytes are read"
            )
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


# ------------------------------------------------------------------------------------- what stands for torch and numpy


class _Inert:
    """Base of all stand-ins: no pickle can change one."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise ValueError("the pickle tries to change an object")


class _Called(_Inert):
    """A function of the file's, in the place of the one it names."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class _Dict(dict[Any, Any]):
    """An OrderedDict; torch hangs version numbers on its own, which are dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Class(_Inert):
    """The name of a class, of no use but to be handed on."""

    __slots__ = ()


class _Storage(_Inert):
    """A type of storage."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)


class _Values(_Inert):
    """Numbers: the bytes of a storage, a tensor, or a numpy array."""

    __slots__ = ("array",)

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array


class _Dtype(_Inert):
    """numpy's dtype: plain numbers only."""

    __slots__ = ("dtype",)

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in _NUMPY_TYPES:
            raise ValueError(f"holds a numpy array of {name!r}, not of numbers")
        self.dtype = np.dtype(name).newbyteorder("<")

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", "|"):
            raise ValueError("holds numbers that are not little-endian")


class _Array(_Inert):
    """A numpy array; it gets its numbers, once, after it is made."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if self.values is not None or not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise ValueError("holds a malformed numpy array")
        flat = np.frombuffer(raw, dtype.dtype)
        self.values = flat.reshape(_sizes(shape), order="F" if fortran else "C")


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > 8 or not all(type(n) is int and n >= 0 for n in values):
        raise ValueError("holds an array of a malformed shape")
    return values


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Values:
    """torch._utils._rebuild_tensor_v2: a view, inside the storage and no larger than it."""
    if not isinstance(storage, _Values) or storage.array.ndim != 1:
        raise ValueError("holds a tensor without storage")
    shape, strides, (start,) = _sizes(size), _sizes(stride), _sizes((offset,))
    count = math.prod(shape)
    last = start + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if count else start
    if count > storage.array.size or (count and last >= storage.array.size):
        raise ValueError("holds a tensor larger than its storage")
    flat = storage.array[start:]
    item = flat.itemsize
    return _Values(np.lib.stride_tricks.as_strided(flat, shape, [n * item for n in strides], writeable=False))


def _parameter(data: Any, *_: Any) -> Any:
    """torch._utils._rebuild_parameter: the tensor itself."""
    return data


def _reconstruct(*_: Any) -> _Array:
    """numpy's empty array, to be filled."""
    return _Array()


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    """numpy's scalar: a number of Python's."""
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes) or len(raw) != dtype.dtype.itemsize:
        raise ValueError("holds a malformed numpy scalar")
    return np.frombuffer(raw, dtype.dtype)[0].item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """_codecs.encode, by which old pickles hold bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("holds malformed bytes")
    return text.encode("latin1")


def _known(module: str, name: str) -> Any:
    """A new stand-in for a class or function that such files name, or None."""
    if module == "torch" and name in _STORAGES:
        return _Storage(_STORAGES[name])
    if module in _MULTIARRAY:
        functions = {"_reconstruct": _reconstruct, "scalar": _scalar}
        return _Called(functions[name]) if name in functions else None
    return {
        ("collections", "OrderedDict"): lambda: _Called(_Dict),
        ("torch._utils", "_rebuild_tensor_v2"): lambda: _Called(_tensor),
        ("torch._utils", "_rebuild_parameter"): lambda: _Called(_parameter),
        ("numpy", "dtype"): lambda: _Called(_Dtype),
        ("numpy", "ndarray"): _Class,
        ("_codecs", "encode"): lambda: _Called(_encode),
    }.get((module, name), lambda: None)()


class _Unpickler(pickle.Unpickler):
    """Builds dicts, lists, numbers and stand-ins; reads the tensors' bytes from the zip."""

    def __init__(self, data: bytes, archive: zipfile.ZipFile, root: str, path: str) -> None:
        super().__init__(io.BytesIO(data))
        self._archive, self._root, self._path = archive, root, path
        self._read: dict[str, bytes] = {}

    def find_class(self, module: str, name: str) -> Any:
        found = _known(module, name)
        if found is None:
            raise InputError(
                "path",
                self._path,
                f"asks for {module}.{name}, which is not run",
                "save state dictionaries and numbers only, or distrust the file",
            )
        return found

    def persistent_load(self, pid: Any) -> Any:
        kind, storage, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(storage, _Storage) or not isinstance(key, str):
            raise ValueError("holds a malformed tensor")
        if key not in self._read:
            self._read[key] = self._archive.read(f"{self._root}/data/{key}")
        raw = self._read[key]
        if type(count) is not int or count * storage.dtype.itemsize != len(raw):
            raise ValueError(f"tensor {key} has {len(raw)} bytes, not {count} times {storage.dtype.itemsize}")
        return _Values(np.frombuffer(raw, storage.dtype))


def read_tree(path: str | Path) -> Any:
    """What the file holds: dicts, lists, numbers, strings, and arrays in the place of tensors.

    Raises
    ------
    InputError
        For a file that is missing, damaged or too large, or names a class that is not on the list.
    """
    with (
        reading(path, "brains-py file", "save it again with torch.save (PyTorch 1.6 or later)"),
        open_zip(path) as archive,
    ):
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
        for opcode, argument, _ in pickletools.genops(data):
            # A memo's number decides how much memory is taken for it; extensions pass by `find_class`.
            numbered = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
            if opcode.name.startswith("EXT") or (numbered and not 0 <= int(argument or 0) <= len(data)):
                raise ValueError("its pickle is malformed")
        return _Unpickler(data, archive, root, str(path)).load()


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
            array = _numbers(value)
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
        ranges = _numbers(_get(_get(electrodes, "activation_electrodes"), "voltage_ranges"))
    amplification = _one(tensors, "amplification")
    if amplification is None:
        amplification = _numbers(_get(_get(electrodes, "output_electrodes"), "amplification"))
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


def _numbers(value: Any) -> NDArray[Any] | None:
    """Numbers of a tensor, a numpy array, a list or a number; None for anything else."""
    if isinstance(value, _Values):
        return np.array(value.array)
    if isinstance(value, _Array):
        return None if value.values is None else np.array(value.values)
    if isinstance(value, int | float | list | tuple):
        try:
            return np.atleast_1d(np.array(value, dtype=float))
        except (TypeError, ValueError, OverflowError):
            return None
    return None


def _one(tensors: Mapping[Any, Any], ending: str) -> NDArray[Any] | None:
    """The one tensor whose name ends so."""
    found = [v for k, v in tensors.items() if isinstance(k, str) and k.rpartition(".")[2] == ending]
    return _numbers(found[0]) if len(found) == 1 else None
