"""Which part stands for a name: a circuit's own choice or its level's, with one's own op-amps inside.

A choice is a part by the name whose place it takes. A name that the circuit has not, but one of its parts uses, such as
``opamp_tl072``, takes that part's place inside every part that uses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from inmateria.errors import InputError
from inmateria.spelling import did_you_mean
from netlists.reader import Part, available, load_part

Chosen = Mapping[str, Part]


def by_name(parts: Sequence[Part] | Chosen) -> dict[str, Part]:
    """Chosen parts by the names whose places they take: their own, where none are given."""
    return dict(parts) if isinstance(parts, Mapping) else {part.name: part for part in parts}


def chosen_part(parts: Chosen, name: str, level: str = "ideal") -> Part:
    """The part that stands for a name; errors as `load_part` and `Part.using`."""
    return (parts.get(name) or load_part(name, level)).using(parts)


def chosen_among(parts: Chosen, names: Iterable[str]) -> dict[str, Part]:
    """Of a larger circuit's choice what a circuit with these names takes, each with its op-amps inside."""
    return {name: chosen_part(parts, name) for name in names if name in parts}


def check_chosen(parts: Chosen, names: Sequence[str], level: str = "ideal") -> None:
    """Refuse a choice that a circuit would not use.

    Parameters
    ----------
    parts : mapping of str to Part
    names : sequence of str
        Names of all the parts that the circuit may place.
    level : str, optional
        Level of the parts that are not chosen; those that do not exist there are left out.

    Raises
    ------
    InputError
        For what is no part, a name that the circuit does not have, or an op-amp that none of its parts uses.
    """
    known = available()
    standing = [parts.get(n) or (load_part(n, level) if (n, level) in known else None) for n in names]
    used = sorted({name for part in standing if isinstance(part, Part) for name in part.uses})
    for name, part in parts.items():
        field = f"parts[{name!r}]"
        if not isinstance(part, Part):
            raise InputError(field, part, "is no part", "take load_part or user_part")
        if name in names or name in used:
            continue
        if name in {other for other, _ in known} - set(names):
            below = f"its parts use {', '.join(used)}" if used else "parts of level macro use op-amps, ideal ones none"
            problem = "is used by none of this circuit's parts"
            raise InputError(field, part.subckt, problem, f"leave it out; {below}")
        options = [*names, *used]
        fix = did_you_mean(name, options, f"choose from {', '.join(options)}")
        raise InputError(field, part.subckt, "is no part of this circuit", fix)
