"""The folder of temporary files of one run, and the one error for a file system that has no room for it."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inmateria.errors import EngineError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the system's errors for a full file system, and for a full quota."""

_FIX = "set TMPDIR to a folder with more room, save fewer vectors or plan fewer points"


def no_room(problem: str) -> EngineError:
    """Return the error for a folder of temporary files that cannot take a run."""
    try:
        place = tempfile.gettempdir()
    except OSError:  # no folder anywhere that can be written to
        place = "no folder"
    return EngineError("TMPDIR", place, problem, _FIX)


@contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder, and remove it at the end.

    It has no finaliser: a forked child that leaves by itself must not remove a folder of its parent's.

    Raises
    ------
    EngineError
        If it cannot be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="inmateria-"))
    except OSError as error:
        raise no_room(f"takes no files ({error.strerror})") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def told_of_no_room() -> Iterator[None]:
    """Turn the system's error for a full file system into `no_room`'s, where files of a run are written.

    Raises
    ------
    EngineError
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise no_room(f"is full ({error.strerror})") from None


def check_room(folder: Path, planned: float) -> None:
    """Refuse a run whose record cannot be kept.

    Parameters
    ----------
    folder : Path
        Where it is to lie.
    planned : float
        Bytes of the points that it plans.

    Raises
    ------
    EngineError
        With both sizes.
    """
    free = shutil.disk_usage(folder).free
    if planned > free:
        raise no_room(f"has {free / 1e6:.3g} MB free, and the run plans {planned / 1e6:.3g} MB of points")
