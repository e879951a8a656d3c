"""The accepted points of a run: a file that engine and worker both map, so that it survives a crash of either."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from circuits.ngspice.blocks import HEADER
from inmateria.checks import FloatArray
from inmateria.errors import EngineError

CHUNK_ROWS = 8192
"""Rows that are sorted into columns at a time; each chunk's pages are let go after."""


class Record:
    """A new, empty record; sparse, so that only what is written takes space.

    Parameters
    ----------
    path : Path
        Of its file.
    names : sequence of str
        Saved vectors.
    terminals : int
        Device currents behind them.
    capacity : int
        Points that it can take.

    Raises
    ------
    EngineError
        If the file system refuses a file of that size.
    """

    def __init__(self, path: Path, names: Sequence[str], terminals: int, capacity: int) -> None:
        self.path, self.names, self.terminals, self.capacity = path, list(names), terminals, capacity
        self._width = 1 + len(names) + terminals
        size = HEADER.itemsize + 8 * capacity * self._width
        try:
            with open(path, "wb") as handle:
                handle.truncate(size)
            self._memory = np.memmap(path, dtype=np.uint8, mode="r+")
        except (OSError, ValueError) as error:
            problem = f"no file for the points ({error})"
            raise EngineError("max_step_s", f"{size:.3g} bytes", problem, "plan less") from None
        self._header = self._memory[: HEADER.itemsize].view(HEADER)
        self._header["bad_time_s"] = np.nan

    def __getitem__(self, name: str) -> float:
        """A number of the head, see `blocks.HEADER`."""
        return float(self._header[name][0])

    def columns(self) -> tuple[FloatArray, dict[str, FloatArray], FloatArray]:
        """Time, saved vectors and device currents, sorted into arrays of their own.

        The record stands row by row. It is sorted in pieces, each of which is let go after: the points are never in
        memory twice, save for a piece (the file's pages are the system's to drop).
        """
        rows, width, page = int(self["rows"]), self._width, mmap.PAGESIZE
        stop = HEADER.itemsize + 8 * rows * width
        table = self._memory[HEADER.itemsize : stop].view(np.float64).reshape(rows, width)
        time_s = np.empty(rows)
        values = {name: np.empty(rows) for name in self.names}
        device_A = np.empty((rows, self.terminals))
        mapped: Any = getattr(self._memory, "_mmap", None)
        for start in range(0, rows, CHUNK_ROWS):
            piece = table[start : start + CHUNK_ROWS]
            stop = start + len(piece)
            time_s[start:stop] = piece[:, 0]
            for k, column in enumerate(values.values()):
                column[start:stop] = piece[:, 1 + k]
            device_A[start:stop] = piece[:, 1 + len(values) :]
            if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
                first = (HEADER.itemsize + 8 * start * width) // page * page
                end = (HEADER.itemsize + 8 * stop * width) // page * page
                if end > first:
                    mapped.madvise(mmap.MADV_DONTNEED, first, end - first)
        return time_s, values, device_A
