"""What somebody may have meant by a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], most: int = 1, like: float = 0.6) -> list[str]:
    """The `most` known names at most that are most like `name`, capital or small, of a likeness (0 to 1) of `like`."""
    spelled = {one.casefold(): one for one in known}
    return [spelled[found] for found in difflib.get_close_matches(name.casefold(), list(spelled), most, like)]


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The fix of an error over an unknown name: ``did you mean 'x'?`` and `otherwise`, or `otherwise` alone."""
    near = nearest(name, known)
    return f"did you mean {near[0]!r}? {otherwise}".rstrip() if near else otherwise
