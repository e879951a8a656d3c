"""What a user chooses by name of a circuit; spelled here once, for all rooms above and for the command's options.

Loop engines have their names beside their table, in `circuits.homodyne.engines`, which is as light.
"""

from __future__ import annotations

from typing import Literal

LevelName = Literal["ideal", "macro", "transistor", "board"]
"""How real the electronics are."""
LossName = Literal["squared", "absolute", "hinge"]
"""What the loop descends."""
