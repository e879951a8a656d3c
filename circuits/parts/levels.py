"""The parts of a homodyne loop, all at one level of realism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inmateria.errors import InputError
from netlists.reader import Part, available, load_part

LOOP_PARTS = (
    "absolute_error", "device_leads", "difference", "dither_sum", "hinge", "integrator", "inverter", "limiter",
    "lowpass", "mixer", "rails", "squared_error", "switching_mixer", "transimpedance", "variable_gain",
)  # fmt: skip
CHOPPER = "switching_mixer"
"""What changes the sign of a chopped loop's mixers back."""
MULTIPLEXED_PARTS = (
    "blanked_highpass", "difference", "dither_sum", "integrator", "limiter", "lowpass", "mixer", "sigmoid",
    "squared_error", "transimpedance",
)  # fmt: skip
OPAMPS = tuple(name for name, _ in available() if name.startswith("opamp_"))
"""Op-amps below these parts: one's own may take their places."""
MULTIPLIER_V = {"ideal": 1.0, "macro": 10.0, "transistor": 10.0, "board": 10.0}
"""Scale of the multipliers and amplitude of the references that suit the level's mixer, V."""
SIMPLER = {
    "ideal": ("ideal",), "macro": ("macro", "ideal"), "transistor": ("transistor", "macro", "ideal"),
    "board": ("board", "macro", "ideal"),
}  # fmt: skip
"""Where a part of a level is looked for, one after the other."""


Trimmed = Mapping[str, Mapping[str, float]]
"""Other values of parts' parameters."""


def parts_at(level: str, *, trimmed: Trimmed | None = None, **others: str) -> dict[str, Part]:
    """What takes the ideal parts' place in a loop at a level; a part that does not exist there is the next simpler one.

    Parameters
    ----------
    level : str
        ``"ideal"``, ``"macro"``, ``"transistor"`` or ``"board"``.
    trimmed : mapping, optional
        Other values of error parameters, e.g. ``{"mixer": {"offset": 1e-4}}`` for offsets trimmed by hand.
    **others : str
        Parts at another level, e.g. ``mixer="transistor"``.

    Raises
    ------
    InputError
        For an unknown level, part or parameter.
    """
    return _chosen(LOOP_PARTS, level, trimmed or {}, others)


def multiplexed_parts(level: str, *, trimmed: Trimmed | None = None, **others: str) -> dict[str, Part]:
    """As `parts_at`, for `MultiplexedLoop`. At levels other than ideal its multipliers want ``multiplier_V=10``.

    Raises
    ------
    InputError
        As `parts_at`.
    """
    return _chosen(MULTIPLEXED_PARTS, level, trimmed or {}, others)


def _chosen(names: Sequence[str], level: str, trimmed: Trimmed, others: Mapping[str, str]) -> dict[str, Part]:
    known = available()
    for name in (*others, *trimmed):
        if name not in names:
            raise InputError("part", name, "is no part of the loop", f"choose from {', '.join(names)}")
    parts = {}
    for name in names:
        wanted = others.get(name, level)
        if wanted not in MULTIPLIER_V:
            raise InputError("level", wanted, "is unknown", f"use one of: {', '.join(MULTIPLIER_V)}")
        found = next((at for at in SIMPLER[wanted] if (name, at) in known), None)
        if found is None:  # what only boards have
            if name in others:
                raise InputError(f"parts.{name}", wanted, "is a level that this part does not have", "take board")
            continue
        part = load_part(name, found)
        if name in trimmed:
            parts[name] = part.with_defaults("trimmed", **trimmed[name])
        elif part.level != "ideal":
            parts[name] = part
    return parts


def loop_fields(level: str, *, trimmed: Trimmed | None = None, **others: str) -> dict[str, Any]:
    """``parts`` and ``multiplier_V`` for `HomodyneLoop` or `HgeSettings` at a level; arguments as `parts_at`.

    Raises
    ------
    InputError
        As `parts_at`.
    """
    parts = parts_at(level, trimmed=trimmed, **others)
    level = parts["mixer"].level if "mixer" in parts else "ideal"
    return {"parts": parts, "multiplier_V": MULTIPLIER_V[level]}


def rails_of(parts: Mapping[str, Part]) -> Part:
    """What makes the supplies of parts that have pins for them: the chosen one, or that of level board as it stands."""
    return parts.get("rails") or load_part("rails", "board")


def is_known(part: Part) -> bool:
    """Whether a part is an ideal or macro one of the library, with whatever figures: its equation holds."""
    if part.level not in ("ideal", "macro") or (part.name, part.level) not in available():
        return False
    known = load_part(part.name, part.level)
    return not part.own and part.equation == known.equation and part.subckt.startswith(known.subckt)
