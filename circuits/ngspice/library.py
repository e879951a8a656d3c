"""Where libngspice is: found by the system's loader, or where conda, Homebrew and a hand-made build put it."""

from __future__ import annotations

import os
import sys
from ctypes.util import find_library
from pathlib import Path

from inmateria.errors import EngineError

INSTALL_HINT = (
    "install it: 'apt-get install ngspice libngspice0' (Debian, Ubuntu), 'brew install ngspice libngspice' (Homebrew), "
    "'conda install -c conda-forge ngspice ngspice-lib' (conda), or set NGSPICE_LIBRARY_PATH"
)


def find_ngspice_library() -> str:
    """Name or absolute path of libngspice that the dynamic loader can open.

    Looks at ``NGSPICE_LIBRARY_PATH``, the loader's own list (Debian ships ``libngspice.so.0`` without the unversioned
    name), the environment's own ``lib`` folder (conda) and Homebrew's.

    Raises
    ------
    EngineError
        If there is none.
    """
    given = os.environ.get("NGSPICE_LIBRARY_PATH")
    if given:
        if not Path(given).exists():
            raise EngineError("NGSPICE_LIBRARY_PATH", given, "there is no such file", INSTALL_HINT)
        return os.path.abspath(given)
    found = find_library("ngspice")
    if found:
        return found
    prefixes = [sys.prefix, os.environ.get("CONDA_PREFIX", ""), "/opt/homebrew", "/usr/local"]
    for prefix in filter(None, prefixes):
        for name in ("libngspice.so", "libngspice.so.0", "libngspice.dylib"):
            candidate = Path(prefix) / "lib" / name
            if candidate.exists():
                return str(candidate)
    raise EngineError("libngspice", None, "was not found", INSTALL_HINT)
