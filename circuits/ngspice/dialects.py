"""Dialects of SPICE that ngspice can be told to read, by names that their users know.

ngspice calls them compatibility modes: the letters of its variable ``ngbehavior``. The letter ``a`` makes a mode count
for the whole deck; without it, it counts for included files only.
"""

from __future__ import annotations

from inmateria.errors import InputError
from inmateria.spelling import did_you_mean

DIALECTS = {
    "ltspice": "lta",
    "pspice": "psa",
    "ltspice+pspice": "ltpsa",
    "hspice": "hsa",
    "kicad": "kia",
    "eagle": "ega",
    "spectre": "spe",
    "spice3": "s3",
    "xspice": "xs",
}
"""Letters of ``ngbehavior`` by the dialect's name, as ngspice 39 takes them."""

STICKY = frozenset({"ega"})
"""Letters that ngspice does not forget when the variable is unset: a worker that read one serves no other."""


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
