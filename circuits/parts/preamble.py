"""What a deck begins with: the text of its parts, and the options that suit what they contain."""

from __future__ import annotations

import re
from collections.abc import Iterable

from circuits.ngspice.engine import OPTIONS, tolerances
from circuits.parts.levels import rails_of
from circuits.parts.temperature import NOMINAL_K, ZERO_CELSIUS_K
from netlists.reader import Part, library, needed

_SEMICONDUCTOR = re.compile(r"^[ \t]*[DJMNQZ]\w*[ \t]", re.MULTILINE | re.IGNORECASE)
"""An element line of a diode, a transistor of any kind, or a compiled model."""

LOOSE = tolerances(vntol_V=1e-10)
"""Options of decks with op-amps: the rounding of what stands at their inputs is up to 1e-12 V. An integrator whose
input crosses zero never settled to less, and its step shrank to nothing."""
LOOSER = tolerances(vntol_V=1e-9, abstol_A=1e-12)
"""Options of decks with semiconductors. Their products are differences of volts, amplified: rounding is above 1e-12 V,
and in the kilohm behind them above 1e-15 A. Newton's method never ends where less is asked for. Controls of a learning
loop move by less than 1e-4 V between the two."""


def options_of(parts: Iterable[Part]) -> str:
    """The options that suit parts: looser absolute tolerances where any is real, and where any has a semiconductor.

    A user's own part may have.

    Parameters
    ----------
    parts : iterable of Part
        All parts of a deck.

    Raises
    ------
    InputError, NetlistError
        As `netlists.reader.library`.
    """
    used = needed(parts)
    if any(part.level == "user" or _SEMICONDUCTOR.search(part.text) is not None for part in used):
        return LOOSER
    return OPTIONS if all(part.level == "ideal" for part in used) else LOOSE


def preamble(parts: Iterable[Part], temperature_K: float = NOMINAL_K, rails: Part | None = None) -> str:
    """Text of a deck's parts, each once, the options that suit them, their temperature, and the rails if they need any.

    Parameters
    ----------
    parts : iterable of Part
        All parts of the deck.
    temperature_K : float, optional
    rails : Part, optional
        What makes the supplies of parts that have pins for them; by default `rails` of level board as it stands.

    Raises
    ------
    InputError, NetlistError
        As `netlists.reader.library`.
    """
    used, supplies = list(parts), ""
    if any(part.supplied for part in used):
        rails = rails or rails_of({})
        used.append(rails)
        supplies = f"{rails.instance('rails', {})}\n"
    return f"{library(used)}{options_of(used)}\n.temp {temperature_K - ZERO_CELSIUS_K:.10g}\n{supplies}"
