"""What a user chooses by name of an analysis; spelled here once, for this room and for the command's options."""

from __future__ import annotations

from typing import Literal

MeasureName = Literal["gradient", "loss-gradient", "learn"]
"""What a sweep measures at each point."""
