"""Pickles of numbers, read without running anything from the file: the one unpickler of files that a user opens.

A pickle names classes and functions to be called, so an ordinary unpickler hands the machine to whoever wrote the file.
Here a name outside a short list is refused before it is imported, and those on the list stand for inert objects of this
module, which hold numbers and refuse to be changed.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


class RefusedError(pickle.UnpicklingError):
    """The pickle asks for something that is not run."""


class Inert:
    """Base of all stand-ins: no pickle can change one."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise ValueError("the pickle tries to change an object")


class Called(Inert):
    """A function of the file's, in the place of the one it names."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """What the function makes of the file's arguments."""
        return self._function(*arguments)


class _Dict(dict[Any, Any]):
    """An OrderedDict; torch hangs version numbers on its own, which are dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Class(Inert):
    """The name of a class, of no use but to be handed on."""

    __slots__ = ()


class Values(Inert):
    """Numbers: the bytes of a storage, a tensor, or a numpy array."""

    __slots__ = ("array",)

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array


class _Dtype(Inert):
    """numpy's dtype: plain numbers only."""

    __slots__ = ("dtype",)

    def __init__(self, name: Any, *_: Any) -> None:
        name = name.decode("latin1") if isinstance(name, bytes) else name  # of Python 2
        if name not in _NUMPY_TYPES:
            raise ValueError(f"holds a numpy array of {name!r}, not of numbers")
        self.dtype = np.dtype(name).newbyteorder("<")

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", "|", b"<", b"|"):
            raise ValueError("holds numbers that are not little-endian")


class _Array(Inert):
    """A numpy array; it gets its numbers, once, after it is made."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if self.values is not None or not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise ValueError("holds a malformed numpy array")
        flat = np.frombuffer(raw, dtype.dtype)
        self.values = flat.reshape(sizes(shape), order="F" if fortran else "C")


def sizes(values: Any) -> tuple[int, ...]:
    """The value, if it is a tuple of a few numbers from 0 on."""
    if not isinstance(values, tuple) or len(values) > 8 or not all(type(n) is int and n >= 0 for n in values):
        raise ValueError("holds an array of a malformed shape")
    return values


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
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise ValueError("holds malformed bytes")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Callable[[], Any]] = {
    ("collections", "OrderedDict"): lambda: Called(_Dict),
    ("numpy", "dtype"): lambda: Called(_Dtype),
    ("numpy", "ndarray"): _Class,
    ("_codecs", "encode"): lambda: Called(_encode),
} | {
    (f"numpy.{core}.multiarray", name): make
    for core in ("core", "_core")
    for name, make in (("_reconstruct", lambda: Called(_reconstruct)), ("scalar", lambda: Called(_scalar)))
}


class Unpickler(pickle.Unpickler):
    """Builds dicts, lists, numbers and stand-ins.

    Parameters
    ----------
    data : bytes
        The pickle.
    more : mapping, optional
        Further classes or functions by (module, name): what makes a new stand-in for each, an `Inert` object.
    encoding : str, optional
        Of Python 2's strings, as in `pickle.Unpickler`.

    Raises
    ------
    RefusedError
        By `load`, for a name that is not on the list.
    """

    def __init__(
        self, data: bytes, more: Mapping[tuple[str, str], Callable[[], Any]] | None = None, encoding: str = "ASCII"
    ) -> None:
        for opcode, argument, _ in pickletools.genops(data):
            # A memo's number decides how much memory is taken for it; extensions pass by `find_class`.
            numbered = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
            if opcode.name.startswith("EXT") or (numbered and not 0 <= int(argument or 0) <= len(data)):
                raise ValueError("its pickle is malformed")
        super().__init__(io.BytesIO(data), encoding=encoding)
        self._known = _KNOWN | dict(more or {})

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in, or a refusal."""
        if (module, name) not in self._known:
            raise RefusedError(f"asks for {module}.{name}, which is not run")
        return self._known[module, name]()


def numbers(value: Any) -> NDArray[Any] | None:
    """Numbers of an array, a list or a number that was read; None for anything else."""
    if isinstance(value, Values):
        return np.array(value.array)
    if isinstance(value, _Array):
        return None if value.values is None else np.array(value.values)
    if isinstance(value, int | float | list | tuple):
        try:
            return np.atleast_1d(np.array(value, dtype=float))
        except (TypeError, ValueError, OverflowError):
            return None
    return None
