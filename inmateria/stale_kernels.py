"""Compiled kernels that an edit made stale are removed before any is loaded.

Numba keeps machine code beside the source and compiles anew when *that* file changes. What a kernel calls in other
files is compiled into it, too, and Numba does not look at them: after ``git pull`` an old kernel would go on computing
with half of the old equations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from inmateria.rooms import ROOMS

_NOTE = Path("inmateria", "__pycache__", "kernels.json")


def forget_stale_kernels(root: Path, rooms: Sequence[str] = (*ROOMS, "inmateria")) -> bool:
    """Remove all compiled kernels under a folder of rooms if any source that uses Numba is another than last time.

    Sizes and times of all files are compared first (1 ms); only if they differ, the sources are read.

    Parameters
    ----------
    root : Path
    rooms : sequence of str

    Returns
    -------
    bool
        Whether they were removed. Where nothing may be written, nothing is done: Numba then keeps its files elsewhere.
    """
    note = root / _NOTE
    sources = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    seen = hashlib.sha256()
    for path in sources:
        with suppress(FileNotFoundError):
            told = path.stat()
            seen.update(f"{path.relative_to(root)} {told.st_size} {told.st_mtime_ns}\n".encode())
    known: dict[str, str] = {}
    with suppress(OSError, ValueError):
        known = json.loads(note.read_text(encoding="utf-8"))
    if known.get("seen") == seen.hexdigest():
        return False
    text = hashlib.sha256()
    for path in sources:
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            if b"numba" in content:
                text.update(str(path.relative_to(root)).encode() + b"\0" + content)
    stale = known.get("text") != text.hexdigest()
    try:
        note.parent.mkdir(exist_ok=True)
        if stale:
            for room in rooms:
                for kind in ("*.nbi", "*.nbc"):
                    for file in (root / room).rglob(f"__pycache__/{kind}"):
                        file.unlink(missing_ok=True)
        part = note.with_suffix(".part")
        part.write_text(json.dumps({"seen": seen.hexdigest(), "text": text.hexdigest()}), encoding="utf-8")
        part.replace(note)
    except OSError:
        return False
    return stale
