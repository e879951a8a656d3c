"""inmateria: SPICE-level simulation of circuits that learn.

Everything a script needs is here: ``from inmateria import DopantNetwork, MeanField, HomodyneLoop, ...``. Which names
there are, and the file that defines each, stands in ``__init__.pyi`` and nowhere else. Names are loaded when first
used, so that ``import inmateria`` is quick. The rooms behind it, from the top down: `analysis`, `learning`, `circuits`,
and the leaves `dnpu_models`, `lockin`, `netlists`.
"""

from __future__ import annotations

import ast
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from inmateria.rooms import shadowed_rooms
from inmateria.stale_kernels import forget_stale_kernels

__version__ = "0.1.0"

_HERE = Path(__file__).resolve().parent
_HOME = {
    name.name: str(line.module)
    for line in ast.parse((_HERE / "__init__.pyi").read_text(encoding="utf-8")).body
    if isinstance(line, ast.ImportFrom)
    for name in line.names
}

__all__ = ["__version__", *sorted(_HOME)]

_SHADOWED = shadowed_rooms()
for _room, _path in _SHADOWED.items():
    warnings.warn(f"{_path} shadows inmateria's package {_room!r}; rename it or start Python elsewhere", stacklevel=2)
forget_stale_kernels(_HERE.parent)


def __getattr__(name: str) -> Any:
    """Load a public name from the file that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module 'inmateria' has no attribute {name!r}")
    room = _HOME[name].partition(".")[0]
    if room in _SHADOWED:
        raise ImportError(f"{name} cannot be loaded: {_SHADOWED[room]} shadows inmateria's package {room!r}; rename it")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    """Public names."""
    return list(__all__)
