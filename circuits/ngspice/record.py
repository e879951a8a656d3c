"""The accepted points of a run: a file that the worker maps and the engine reads, so that it survives the worker.

The engine maps nothing: a page of a map that the file system has no room for ends a process (SIGBUS), and that must
never be the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from circuits.ngspice.blocks import HEADER
from inmateria.checks import FloatArray
from inmateria.errors import EngineError

CHUNK_ROWS = 8192
"""Rows that are read and sorted into columns at a time."""


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
    OSError
        If it has no room for the head.
    """

    def __init__(self, path: Path, names: Sequence[str], terminals: int, capacity: int) -> None:
        self.path, self.names, self.terminals, self.capacity = path, list(names), terminals, capacity
        self._width = 1 + len(names) + terminals
        size = HEADER.itemsize + 8 * capacity * self._width
        head = np.zeros(1, HEADER)
        head["bad_time_s"] = np.nan
        with open(path, "wb") as handle:
            handle.write(head.tobytes())
            handle.flush()
            try:
                handle.truncate(size)
            except (OSError, ValueError, OverflowError) as error:
                problem = f"no file for the points ({error})"
                raise EngineError("max_step_s", f"{size:.3g} bytes", problem, "plan less") from None

    def __getitem__(self, name: str) -> float:
        """A number of the head, see `blocks.HEADER`."""
        with open(self.path, "rb", buffering=0) as handle:
            return float(np.frombuffer(handle.read(HEADER.itemsize), HEADER)[name][0])

    def columns(self) -> tuple[FloatArray, dict[str, FloatArray], FloatArray]:
        """Time, saved vectors and device currents, sorted into arrays of their own.

        The record stands row by row. It is read in pieces: the points are never in memory twice, save for a piece.
        """
        rows = int(self["rows"])
        time_s = np.empty(rows)
        values = {name: np.empty(rows) for name in self.names}
        device_A = np.empty((rows, self.terminals))
        with open(self.path, "rb") as handle:
            handle.seek(HEADER.itemsize)
            for start in range(0, rows, CHUNK_ROWS):
                count = min(CHUNK_ROWS, rows - start)
                piece = np.fromfile(handle, np.float64, count * self._width).reshape(count, self._width)
                stop = start + count
                time_s[start:stop] = piece[:, 0]
                for k, column in enumerate(values.values()):
                    column[start:stop] = piece[:, 1 + k]
                device_A[start:stop] = piece[:, 1 + len(values) :]
        return time_s, values, device_A
