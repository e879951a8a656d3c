"""What parts limit: their supplies, how far inputs and outputs stay within them, and what an output drives.

A part's header states its limits (`netlists.reader.LIMITS`). At supplies of +-S

    supply_min <= S <= supply_max,   peak of an input <= S - input_headroom,   peak of an output <= S - headroom,
    R >= load,   (S - headroom)/R <= current

R being all resistors at its output, tau/c of each low-pass; other parts have followers before theirs.
Peaks are those of waveforms known before a run; what a signal of the circuit itself reaches, the part's rails limit
while it runs. A part that has neither ``vsupply`` nor pins for its supplies, such as an ideal one or a user's own,
states nothing and is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from inmateria.errors import InputError

if TYPE_CHECKING:
    from circuits.parts.assembly import Placement


def check_limits(placed: Mapping[str, Placement], peaks_V: Mapping[str, float], rails_V: float | None = None) -> None:
    """Refuse a circuit in which a part is used outside of its limits.

    Parameters
    ----------
    placed : mapping of str to Placement
        Parts by reference.
    peaks_V : mapping of str to float
        Largest magnitudes that nodes take, V, where they are known.
    rails_V : float, optional
        What stands at the supply pins of parts that have some, plus and minus, V.

    Raises
    ------
    InputError
        ``supply``: the first part whose supply is not one of its own, else the first whose inputs or output do not fit;
        ``load``: the first whose output drives less than it can.
    """
    supplies = {name: there.figure("vsupply") for name, there in placed.items() if "vsupply" in there.part.defaults}
    if rails_V is not None:
        supplies |= {name: rails_V for name, there in placed.items() if there.part.supplied}
    for reference, supply in supplies.items():
        _check_supply(reference, placed[reference], supply)
    for reference, supply in supplies.items():
        _check_signals(reference, placed[reference], peaks_V, supply)
    loads = _loads_S(placed)
    for reference, supply in supplies.items():
        there = placed[reference]
        _check_load(reference, there, loads.get(there.nodes.get("out", ""), 0.0), supply)


def _loads_S(placed: Mapping[str, Placement]) -> dict[str, float]:
    """Conductance of the low-passes to which nodes are inputs, S; other parts have followers before their resistors."""
    loads: dict[str, float] = {}
    for there in placed.values():
        if there.part.name == "lowpass":
            conductance = there.figure("c") / there.figure("tau")
            loads[there.nodes["in"]] = loads.get(there.nodes["in"], 0.0) + conductance
    return loads


def _check_load(reference: str, there: Placement, load_S: float, supply: float) -> None:
    limits = {limit.name: limit.default for limit in there.part.limits}
    largest_V = supply - (there.part.headroom or 0.0)
    least_ohm = max(limits.get("load", 0.0), largest_V / limits.get("current", math.inf))
    if load_S * least_ohm > 1.0 + 1e-9:
        problem = f"is too little for {there.part.name} {reference}, which drives {least_ohm:.4g} ohm or more"
        raise InputError("load", f"{1.0 / load_S:.4g} ohm", problem, "take a smaller capacitor behind it")


def _check_supply(reference: str, there: Placement, supply: float) -> None:
    name = f"{there.part.name} {reference}"
    for limit in there.part.limits:
        told = f"{limit.default:g} V: {limit.description}"
        if limit.name == "supply_min" and supply < limit.default:
            problem = f"is too little for {name}, which needs at least {told}"
            raise InputError("supply", f"{supply:g} V", problem, "raise it")
        if limit.name == "supply_max" and supply > limit.default:
            raise InputError("supply", f"{supply:g} V", f"is too much for {name}, which takes {told}", "lower it")


def _check_signals(reference: str, there: Placement, peaks_V: Mapping[str, float], supply: float) -> None:
    name = f"{there.part.name} {reference}"
    room = [limit.default for limit in there.part.limits if limit.name == "input_headroom"]
    for pin, node in there.nodes.items():
        most = supply - (there.part.headroom or 0.0) if pin == "out" else supply - room[0] if room else math.inf
        peak = peaks_V.get(node, 0.0)
        if peak > most * (1.0 + 1e-9):
            does = "gives" if pin == "out" else f"takes at {pin!r}"
            problem = (
                f"is too little for {name}, which {does} {max(most, 0.0):g} V then: node {node} reaches {peak:g} V"
            )
            fix = f"take {supply + peak - most:g} V or more, or a smaller signal such as a lower reference"
            raise InputError("supply", f"{supply:g} V", problem, fix)
