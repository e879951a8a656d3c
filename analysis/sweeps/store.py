"""The store of a sweep: a zarr group that xarray opens while it grows, and that survives the death of its writer.

Every variable is a labelled array over the axes, filled with NaN at first. ``status`` tells what stands there (0
nothing yet, 1 done, 2 failed) and is written behind all else of a point; each chunk is a file that is replaced as a
whole. So a point either is there or is not, and a sweep that goes on computes what is not. One process writes: it holds
a lock on the folder that ends with it.

A few points may be checked by another engine; these stand in arrays of their own over ``check``.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from analysis.sweeps.axes import Axis
from inmateria.errors import InputError

TODO, DONE, FAILED = 0, 1, 2
_MEANINGS = {"flag_values": [TODO, DONE, FAILED], "flag_meanings": "todo done failed"}
_CHUNK = 512
"""Points in a chunk, at most."""
CHECK = "check"
_AFTER = ("reason", "seconds", "host", "status")
"""Written behind the values, in this order."""


@dataclass(frozen=True)
class Variable:
    """What a measure returns under one name.

    Attributes
    ----------
    units : str
        "1" for a plain number.
    dims : tuple of str
        Dimensions beside those of the sweep, such as ``("control",)``.
    long_name : str
        In words.
    """

    units: str = "1"
    dims: tuple[str, ...] = ()
    long_name: str = ""


@dataclass(frozen=True)
class Layout:
    """What a store holds.

    Attributes
    ----------
    axes : tuple of Axis
    variables : dict of str to Variable
    coords : dict of str to sequence of str
        Labels of the variables' own dimensions.
    checks : tuple of int
        Numbers of the points that are checked.
    check_variables : dict of str to Variable
    """

    axes: tuple[Axis, ...]
    variables: Mapping[str, Variable]
    coords: Mapping[str, Sequence[str]] = field(default_factory=dict)
    checks: tuple[int, ...] = ()
    check_variables: Mapping[str, Variable] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def points(self) -> int:
        """How many points there are."""
        return math.prod(self.shape)

    def point(self, number: int) -> dict[str, float | int | str]:
        """Coordinates of a point by the axes' keys."""
        places = np.unravel_index(number, self.shape) if self.shape else ()
        return {axis.key: axis.kind(axis.values[int(k)]) for axis, k in zip(self.axes, places, strict=True)}


@dataclass(frozen=True)
class Outcome:
    """What became of one point.

    Attributes
    ----------
    number : int
        Which point, or which check.
    values : dict or None
        What the measure returned; None if it failed.
    reason : str
        Why it failed.
    seconds : float
        Wall time.
    host : str
        Where.
    """

    number: int
    values: dict[str, Any] | None
    reason: str
    seconds: float
    host: str


class _Table:
    """Arrays over the points (or the checks), as a whole in memory and chunk by chunk in the store."""

    def __init__(self, prefix: str, dims: tuple[str, ...], shape: tuple[int, ...], names: Mapping[str, Variable],
                 lengths: Mapping[str, int]) -> None:  # fmt: skip
        self.prefix, self.dims, self.shape, self.variables = prefix, dims, shape, dict(names)
        self.chunk = _chunk(shape)
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        for name, variable in self.variables.items():
            self.arrays[name] = np.full((*shape, *(lengths[d] for d in variable.dims)), np.nan)
        self.arrays["reason"] = np.full(shape, "", dtype=object)
        self.arrays["seconds"] = np.full(shape, np.nan)
        self.arrays["host"] = np.full(shape, "", dtype=object)
        self.arrays["status"] = np.zeros(shape, dtype=np.int8)
        self.dirty: set[tuple[int, ...]] = set()

    @property
    def status(self) -> np.ndarray[Any, Any]:
        return self.arrays["status"].reshape(-1)

    def attributes(self, name: str) -> dict[str, Any]:
        own: dict[str, dict[str, Any]] = {
            "status": {"long_name": "what stands here", **_MEANINGS},
            "reason": {"long_name": "why the point failed"},
            "seconds": {"units": "s", "long_name": "wall time of the point"},
            "host": {"long_name": "where it was computed: computer and process"},
        }
        if name in own:
            return own[name]
        variable = self.variables[name]
        return {"units": variable.units, **({"long_name": variable.long_name} if variable.long_name else {})}

    def dims_of(self, name: str) -> tuple[str, ...]:
        return (*self.dims, *(self.variables[name].dims if name in self.variables else ()))

    def put(self, outcome: Outcome) -> None:
        place = np.unravel_index(outcome.number, self.shape) if self.shape else ()
        where = tuple(int(k) for k in place)
        for name in self.variables:
            self.arrays[name][where] = np.nan if outcome.values is None else outcome.values[name]
        self.arrays["reason"][where] = outcome.reason
        self.arrays["seconds"][where] = outcome.seconds
        self.arrays["host"][where] = outcome.host
        self.arrays["status"][where] = FAILED if outcome.values is None else DONE
        self.dirty.add(tuple(k // size for k, size in zip(where, self.chunk, strict=True)))

    def flush(self, group: Any) -> None:
        for block in sorted(self.dirty):
            part = tuple(slice(k * n, (k + 1) * n) for k, n in zip(block, self.chunk, strict=True))
            for name in (*self.variables, *_AFTER):
                group[self.prefix + name][part] = self.arrays[name][part]
        self.dirty.clear()

    def load(self, group: Any) -> None:
        for name, array in self.arrays.items():
            array[...] = group[self.prefix + name][...]


class SweepStore:
    """An open store, to be written by this process alone. Use it as a context manager.

    Parameters
    ----------
    path : Path
        Folder of the store, such as ``sweep.zarr``; made if it does not exist, gone on with if it does.
    layout : Layout
    identity : dict of str to str
        What a store must agree in to be gone on with, besides the layout: measure, engine, design ...
    attrs : dict
        Further attributes of a new store: versions, the design's text.

    Raises
    ------
    InputError
        If the folder is something else, holds another sweep, is being written to, or cannot be written.
    """

    def __init__(
        self, path: Path, layout: Layout, identity: Mapping[str, str], attrs: Mapping[str, Any] | None = None
    ) -> None:
        self.path, self.layout = Path(path), layout
        lengths = {name: len(labels) for name, labels in layout.coords.items()}
        self.main = _Table("", tuple(a.name for a in layout.axes), layout.shape, layout.variables, lengths)
        self.checked = _Table("check_", (CHECK,), (len(layout.checks),), layout.check_variables, lengths)
        try:
            if not self.path.exists():
                self._make(identity, attrs or {})
            self._lock = _locked(self.path)
            try:
                self._open(identity)
            except BaseException:
                os.close(self._lock)
                raise
        except OSError as error:
            why = error.strerror or str(error)
            raise InputError("out", str(self.path), f"cannot be written ({why})", "choose another place") from error

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *stop: Any) -> None:
        """Write what is left and let go of the folder."""
        self.close()

    def close(self) -> None:
        """Write what is left and let go of the folder."""
        if self._lock >= 0:
            try:
                self.flush()
            finally:
                os.close(self._lock)
                self._lock = -1

    def flush(self) -> None:
        """Write what was put in.

        Raises
        ------
        InputError
            If it cannot be written: a full disk, say.
        """
        try:
            self.main.flush(self._group)
            self.checked.flush(self._group)
        except OSError as error:
            raise InputError(
                "out", str(self.path), f"cannot be written ({error.strerror or error})",
                "make room and give the command again: what is stored is kept",
            ) from error  # fmt: skip

    def forget_failures(self) -> None:
        """Have failed points computed again."""
        for table in (self.main, self.checked):
            table.status[table.status == FAILED] = TODO

    def dataset(self) -> xr.Dataset:
        """All that is stored, read into memory."""
        return read_store(self.path)

    # -- making and opening ----------------------------------------------------------------------------------------

    def _make(self, identity: Mapping[str, str], attrs: Mapping[str, Any]) -> None:
        """A new store: made beside its place, then moved there at once."""
        import zarr

        layout, making = self.layout, self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for left in self.path.parent.glob(f".{self.path.name}.*"):  # of a process that died here
            shutil.rmtree(left, ignore_errors=True)
        about = {**attrs, **identity, "layout": _described(layout)}
        group = zarr.open_group(making, mode="w", zarr_format=3, attributes=about)

        def coordinate(name: str, dim: str, values: Any, about: dict[str, Any]) -> None:
            listed = np.asarray(values)
            kind: Any = str if listed.dtype.kind in "UO" else listed.dtype
            made = group.create_array(
                name, shape=listed.shape, chunks=listed.shape, dtype=kind, dimension_names=(dim,), attributes=about
            )
            made[...] = listed.astype(object) if kind is str else listed

        for axis in layout.axes:
            units = {"units": axis.unit} if axis.unit else {}
            coordinate(axis.name, axis.name, axis.array(), {"key": axis.key, **units})
        for name, labels in layout.coords.items():
            coordinate(name, name, list(labels), {})
        if layout.checks:
            points = [layout.point(number) for number in layout.checks]
            coordinate(
                "check_point", CHECK, layout.checks, {"long_name": "number of the point, in C order of the axes"}
            )
            for axis in layout.axes:
                units = {"units": axis.unit} if axis.unit else {}
                coordinate(f"check_{axis.name}", CHECK, [point[axis.key] for point in points], units)
        for table in (self.main, self.checked):
            if table is self.checked and not layout.checks:
                continue
            for name, array in table.arrays.items():
                kind = str if array.dtype == object else array.dtype
                fill: Any = "" if kind is str else 0 if kind == np.int8 else float("nan")
                group.create_array(
                    table.prefix + name, shape=array.shape, chunks=(*table.chunk, *array.shape[len(table.shape) :]),
                    dtype=kind, fill_value=fill, dimension_names=table.dims_of(name), attributes=table.attributes(name),
                )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that version 3 has no word on it: it makes `xr.open_zarr` quick
            zarr.consolidate_metadata(making)
        try:
            making.rename(self.path)
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            if not self.path.exists():
                raise

    def _open(self, identity: Mapping[str, str]) -> None:
        import zarr

        try:
            self._group = zarr.open_group(self.path, mode="r+")
            found = dict(self._group.attrs)
            there = json.loads(str(found["layout"]))
        except (FileNotFoundError, KeyError, ValueError, NotADirectoryError):
            raise InputError("out", str(self.path), "is no store of a sweep", "choose another place") from None
        _refuse_another(self.path, found, there, identity, json.loads(_described(self.layout)))
        for left in self.path.rglob("*.partial"):  # of a write that was cut short
            left.unlink(missing_ok=True)
        self.main.load(self._group)
        if self.layout.checks:
            self.checked.load(self._group)


def read_store(path: str | Path) -> xr.Dataset:
    """What a store holds by now, in memory; a sweep may be writing to it.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        with xr.open_zarr(path, chunks=None) as opened:
            found: xr.Dataset = opened.load()
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise InputError(
            "store", str(path), f"is no store of a sweep ({error})", "name a folder such as .../sweep.zarr"
        ) from None
    words = {  # of numpy's own fixed width, which all of xarray knows
        name: (value.dims, np.array(value.values.tolist(), dtype=str), value.attrs)
        for name, value in found.variables.items()
        if value.dtype.kind == "T"
    }
    return found.assign_coords({k: v for k, v in words.items() if k in found.coords}).assign(
        {k: v for k, v in words.items() if k in found.data_vars}
    )


def _chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Whole last axes, as far as they fit."""
    left, sizes = _CHUNK, []
    for length in reversed(shape):
        sizes.append(max(1, min(length, left)))
        left //= max(1, length)
    return tuple(reversed(sizes))


def _described(layout: Layout) -> str:
    """The layout as text, to be compared."""
    return json.dumps(
        {
            "axes": [{"key": a.key, "unit": a.unit, "values": a.array().tolist()} for a in layout.axes],
            "variables": {name: [v.units, list(v.dims)] for name, v in layout.variables.items()},
            "coords": {name: list(labels) for name, labels in layout.coords.items()},
            "checks": list(layout.checks),
        }
    )


def _refuse_another(
    path: Path, found: Mapping[str, Any], there: dict[str, Any], identity: Mapping[str, str], here: dict[str, Any]
) -> None:
    """Say what differs between the sweep that is stored and the one that is asked for."""
    fix = "choose another folder, or take that one away"

    def refuse(what: str) -> None:
        raise InputError("out", str(path), f"holds another sweep: {what}", fix)

    for name, wanted in identity.items():
        if found.get(name) != wanted:
            refuse(difference(name, str(found.get(name)), wanted))
    for axis, own in zip(there["axes"], here["axes"], strict=False):
        if axis["key"] != own["key"]:
            refuse(f"its axis is {axis['key']}, not {own['key']}")
        if axis != own:
            refuse(f"over {own['key']} it has {_shown(axis['values'])}, not {_shown(own['values'])}")
    if len(there["axes"]) != len(here["axes"]):
        keys = [", ".join(axis["key"] for axis in axes["axes"]) for axes in (there, here)]
        refuse(f"it is over {keys[0]}, not {keys[1]}")
    for name in ("variables", "coords"):
        if there[name] != here[name]:
            refuse(
                f"its {name} are {', '.join(there[name])}"
                + ("" if set(there[name]) != set(here[name]) else " of other kinds")
            )
    if there["checks"] != here["checks"]:
        refuse(f"{len(there['checks'])} of its points are checked, not {len(here['checks'])}")


def difference(name: str, there: str, here: str) -> str:
    """Where two texts differ: short ones as a whole, JSON documents (such as a design) by the first key that does."""
    try:
        old, new = _flat(json.loads(there)), _flat(json.loads(here))
    except ValueError:
        return f"its {name} is {there}, not {here}"
    for key in [*new, *old]:
        if old.get(key) != new.get(key):
            a, b = (f"{v:g}" if isinstance(v, float) else repr(v) for v in (old.get(key), new.get(key)))
            return f"its {name} has {key} = {a}, not {b}"
    return f"its {name} names a file that has changed"


def _flat(content: Any, key: str = "") -> dict[str, Any]:
    """Values of nested tables and lists by dotted keys; a list of one is that one."""
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if isinstance(content, list):
        content = dict(enumerate(content))
    if isinstance(content, dict) and content:
        inner = [_flat(value, f"{key}.{name}" if key else str(name)) for name, value in content.items()]
        return {k: v for one in inner for k, v in one.items()}
    return {key: content}


def _shown(values: list[Any]) -> str:
    if len(values) <= 4:
        return ", ".join(str(value) for value in values)
    return f"{len(values)} values from {values[0]} to {values[-1]}"


def _locked(path: Path) -> int:
    """A lock on the folder, held until the descriptor is closed or the process ends.

    Raises
    ------
    InputError
        If another process holds it.
    """
    if not path.is_dir():
        raise InputError("out", str(path), "is a file, not a store", "choose another place")
    handle = os.open(path, os.O_RDONLY)
    with suppress(ImportError):  # no such thing outside of POSIX
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InputError(
                "out", str(path), "is being written to by another sweep", "wait for its end, or stop it"
            ) from None
        except OSError:  # a file system without locks: nobody is protected there
            pass
    return handle
