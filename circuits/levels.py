"""The parts of a homodyne loop, all at one level of realism."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inmateria.errors import InputError
from netlists import Part, available, load_part

LOOP_PARTS = (
    "absolute_error", "device_leads", "difference", "dither_sum", "hinge", "integrator", "limiter", "lowpass", "mixer",
    "squared_error", "transimpedance", "variable_gain",
)  # fmt: skip
MULTIPLIER_V = {"ideal": 1.0, "macro": 10.0, "transistor": 10.0}
"""Scale of the multipliers and amplitude of the references that suit the level's mixer, V."""


def parts_at(level: str, *, trimmed: Mapping[str, Mapping[str, float]] | None = None, **others: str) -> dict[str, Part]:
    """What takes the ideal parts' place in a loop at a level; a part that does not exist there is the next simpler one.

    Parameters
    ----------
    level : str
        ``"ideal"``, ``"macro"`` or ``"transistor"``.
    trimmed : mapping, optional
        Other values of error parameters, e.g. ``{"mixer": {"offset": 1e-4}}`` for offsets trimmed by hand.
    **others : str
        Parts at another level, e.g. ``mixer="transistor"``.

    Raises
    ------
    InputError
        For an unknown level, part or parameter.
    """
    known = available()
    for name in (*others, *(trimmed or {})):
        if name not in LOOP_PARTS:
            raise InputError("part", name, "is no part of the loop", f"choose from {', '.join(LOOP_PARTS)}")
    parts = {}
    for name in LOOP_PARTS:
        wanted = others.get(name, level)
        if wanted not in MULTIPLIER_V:
            raise InputError("level", wanted, "is unknown", f"use one of: {', '.join(MULTIPLIER_V)}")
        simpler = list(MULTIPLIER_V)[list(MULTIPLIER_V).index(wanted) :: -1]
        part = load_part(name, next(at for at in simpler if (name, at) in known))
        if name in (trimmed or {}):
            parts[name] = part.with_defaults("trimmed", **(trimmed or {})[name])
        elif part.level != "ideal":
            parts[name] = part
    return parts


def loop_fields(
    level: str, *, trimmed: Mapping[str, Mapping[str, float]] | None = None, **others: str
) -> dict[str, Any]:
    """``parts`` and ``multiplier_V`` for `HomodyneLoop` or `HgeSettings` at a level; arguments as `parts_at`.

    Raises
    ------
    InputError
        As `parts_at`.
    """
    parts = parts_at(level, trimmed=trimmed, **others)
    level = parts["mixer"].level if "mixer" in parts else "ideal"
    return {"parts": parts, "multiplier_V": MULTIPLIER_V[level]}
