"""The rooms are top-level packages with generic names: make sure that Python finds ours."""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path

from inmateria.errors import InputError

ROOMS = ("analysis", "learning", "circuits", "dnpu_models", "lockin", "netlists")


def shadowed_rooms() -> dict[str, str]:
    """Rooms that Python would load from somewhere else than beside this package, with the file in the way."""
    home = Path(__file__).resolve().parent.parent
    shadowed = {}
    for room in ROOMS:
        spec = PathFinder.find_spec(room)
        origin = None if spec is None else spec.origin
        if origin is None:
            shadowed[room] = "nothing" if spec is None else next(iter(spec.submodule_search_locations or ["?"]))
        elif Path(origin).resolve() != home / room / "__init__.py":
            shadowed[room] = origin
    return shadowed


def require_rooms() -> None:
    """Stop before anything is imported from a file that only has a room's name.

    Raises
    ------
    InputError
        If a room is shadowed.
    """
    for room, path in shadowed_rooms().items():
        raise InputError(room, path, f"shadows inmateria's package {room!r}", "rename it, or work in another folder")
