"""Dialects of SPICE that ngspice can be told to read, by names that their users know.

ngspice calls them compatibility modes: the letters of its variable ``ngbehavior``. The letter ``a`` makes a mode count
for the whole deck; without it, it counts for included files only.
"""

from __future__ import annotations

import re

from inmateria.errors import InputError, NetlistError
from inmateria.spelling import did_you_mean

DIALECTS = {
    "ltspice": "ltpsa",
    "pspice": "psa",
    "hspice": "hsa",
    "kicad": "kia",
    "eagle": "ega",
    "spectre": "spe",
    "spice3": "s3",
    "xspice": "xs",
}
"""Letters of ``ngbehavior`` by the dialect's name, as ngspice 39 takes them.

LTspice's functions (IF, stp, limit as a clamp) come with ``ps`` only: ``lt`` alone takes limit for a random value."""

STICKY = frozenset({"ega"})
"""Letters that ngspice does not forget when the variable is unset: a worker that read one serves no other."""


_SAID = re.compile(r"^\*\s*dialect:\s*(\S+)\s*$", re.IGNORECASE | re.MULTILINE)


def said(deck: str) -> str | None:
    """The dialect that a deck's own remark ``* dialect: NAME`` says, as vendors' parts bring it; None where none does.

    Raises
    ------
    NetlistError
        If its parts say different ones: ngspice reads a deck in one.
    """
    if not isinstance(deck, str):  # which the checks of decks refuse
        return None
    found = sorted({name.lower() for name in _SAID.findall(deck)} & set(DIALECTS))
    if len(found) > 1:
        raise NetlistError("dialect", ", ".join(found), "differ within one deck", "take parts of one dialect")
    return found[0] if found else None


def letters(dialect: str | None) -> str | None:
    """What ``ngbehavior`` is set to; None for ngspice's own language.

    Raises
    ------
    InputError
        If there is no such dialect.
    """
    if dialect is None:
        return None
    if not isinstance(dialect, str) or dialect.lower() not in DIALECTS:
        fix = "it is one of " + ", ".join(DIALECTS) + ", or None for ngspice's own"
        raise InputError("dialect", dialect, "is none that ngspice knows", did_you_mean(str(dialect), DIALECTS, fix))
    return DIALECTS[dialect.lower()]


def remark(dialect: str | None) -> str:
    """What a deck that is kept says behind its end of the dialect that it was read in; nothing for ngspice's own."""
    if dialect is None:
        return ""
    plain = f"* plain ngspice reads it so with 'set ngbehavior={letters(dialect)}' in .spiceinit"
    return f"\n* dialect: {dialect}\n{plain}\n"
