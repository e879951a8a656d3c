"""Pages of the API reference, written anew at each build: one a room, with every public name and its docstring.

The names are those of `inmateria`'s own table, so that none can be forgotten.
"""

import inspect
from importlib import import_module
from pathlib import Path

import inmateria

ROOMS = ("analysis", "learning", "circuits", "dnpu_models", "lockin", "netlists", "errors")


def write_reference(folder: Path) -> None:
    """Write `folder`/ROOM.rst for every room, and an index; files that stay the same are left alone."""
    folder.mkdir(exist_ok=True)
    for room in ROOMS:
        _write(folder / f"{room}.rst", _room_page(room))
    _write(folder / "index.rst", _index())


def names_of(room: str) -> list[str]:
    """Public names of a room, sorted as people look for them."""
    home = "inmateria.errors" if room == "errors" else room
    found = [name for name, module in inmateria._HOME.items() if module == home or module.startswith(f"{home}.")]
    return sorted(found, key=lambda name: (name.lower(), name))


def _directive(name: str) -> str:
    value = getattr(inmateria, name)
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        return f".. {kind}:: inmateria.{name}\n   :members:\n"
    return f".. {'autofunction' if callable(value) else 'autodata'}:: inmateria.{name}\n"


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _room_page(room: str) -> str:
    module = import_module("inmateria.errors" if room == "errors" else room)
    about = inspect.getdoc(module) or ""
    names = names_of(room)
    listed = ", ".join(f":py:obj:`~inmateria.{name}`" for name in names)
    return (
        _title(room, "=")
        + f".. currentmodule:: inmateria\n\n{about}\n\n{listed}\n\n"
        + "\n".join(map(_directive, names))
    )


def _index() -> str:
    rows = "".join(f"   {room}\n" for room in ROOMS)
    total = sum(len(names_of(room)) for room in ROOMS)
    return (
        _title("API reference", "=")
        + f"All {total} public names, by room. They are imported from `inmateria`, whichever room they live in::\n\n"
        + "    from inmateria import Bench, MeanField, learn\n\n"
        + f".. toctree::\n   :maxdepth: 1\n\n{rows}"
    )


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
