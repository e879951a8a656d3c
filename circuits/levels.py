"""The parts of a homodyne loop, all at one level of realism."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inmateria.errors import InputError
from netlists import Part, available, load_part

LOOP_PARTS = (
    "difference", "dither_sum", "integrator", "limiter", "lowpass", "mixer", "squared_error", "transimpedance",
    "variable_gain",
)  # fmt: skip
MULTIPLIER_V = {"ideal": 1.0, "macro": 10.0, "transistor": 1.0}
"""Scale of the multipliers and amplitude of the references that suit the level's mixer, V."""


def parts_at(level: str, trimmed: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, Part]:
    """The loop's parts at a level; those that do not exist there stay ideal.

    Parameters
    ----------
    level : str
        ``"ideal"``, ``"macro"`` or ``"transistor"``.
    trimmed : mapping, optional
        Other values of error parameters, e.g. ``{"mixer": {"offset": 1e-4}}`` for offsets trimmed by hand.

    Raises
    ------
    InputError
        For an unknown level, part or parameter.
    """
    here = {name for name, at in available() if at == level}
    parts = {name: load_part(name, level if name in here else "ideal") for name in LOOP_PARTS}
    if not here:
        load_part("mixer", level)  # says which levels there are
    for name, values in (trimmed or {}).items():
        if name not in parts:
            raise InputError("trimmed", name, "is no part of the loop", f"choose from {', '.join(LOOP_PARTS)}")
        parts[name] = parts[name].with_defaults("trimmed", **values)
    return parts


def loop_fields(level: str, trimmed: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, Any]:
    """``parts`` and ``multiplier_V`` for `HomodyneLoop` or `HgeSettings` at a level; see `parts_at`."""
    return {"parts": parts_at(level, trimmed), "multiplier_V": MULTIPLIER_V.get(level, 1.0)}
