"""Compiled kernels that an edit made stale are removed before any is loaded.

Numba keeps machine code beside the source and compiles anew when *that* file changes. What a kernel calls in other
files is compiled into it, too, and Numba does not look at them: after ``git pull`` an old kernel would go on computing
with half of the old equations.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from inmateria.rooms import ROOMS

_NOTE = Path("inmateria", "__pycache__", "kernels.json")


def forget_stale_kernels(root: Path, rooms: Sequence[str] = (*ROOMS, "inmateria")) -> bool:
    """Remove all compiled kernels under a folder of rooms if any source that uses Numba is another than last time.

    Sizes and times of all files are compared first (some 5 ms); only if they differ, the sources are read. Not seen are
    constants that a kernel takes from a file that does not name Numba, and a process that still runs with the old
    sources and compiles afterwards. Of an installation that cannot be written to, all files are new after an update,
    and Numba sees that itself.

    Returns
    -------
    bool
        Whether they were removed. Where nothing may be written, nothing is done: Numba then keeps its files elsewhere.
    """
    note = root / _NOTE
    sources = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    seen = hashlib.sha256()
    for path in sources:
        with suppress(OSError):
            told = path.stat()
            seen.update(f"{path.relative_to(root)} {told.st_size} {told.st_mtime_ns}\n".encode())
    known: dict[str, str] = {}
    with suppress(OSError, ValueError, TypeError):
        known = dict(json.loads(note.read_text(encoding="utf-8")))
    if known.get("seen") == seen.hexdigest():
        return False
    text = hashlib.sha256()
    for path in sources:
        with suppress(OSError):
            content = path.read_bytes()
            if b"numba" in content:
                text.update(str(path.relative_to(root)).encode() + b"\0" + content)
    stale = known.get("text") != text.hexdigest()
    try:
        note.parent.mkdir(exist_ok=True)
        if stale:
            elsewhere = os.environ.get("NUMBA_CACHE_DIR")
            for room in rooms:
                compiled = [*(root / room).rglob("__pycache__/*.nb[ic]")]
                compiled += Path(elsewhere).glob(f"{room}_*/*.nb[ic]") if elsewhere else []
                for file in compiled:
                    file.unlink(missing_ok=True)
        part = note.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"seen": seen.hexdigest(), "text": text.hexdigest()}), encoding="utf-8")
        part.replace(note)
    except OSError:
        return False
    return stale
