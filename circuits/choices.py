"""What a user chooses by name of a circuit; spelled here once, for all rooms above and for the command's options."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["ngspice", "twin", "averaged"]
"""What integrates a homodyne loop: ngspice, its compiled twin, or the loop averaged over its dither."""
LevelName = Literal["ideal", "macro", "transistor"]
"""How real the electronics are."""
LossName = Literal["squared", "absolute", "hinge"]
"""What the loop descends."""
