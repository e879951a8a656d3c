"""What a user chooses by name of a lock-in; spelled here once, for all rooms above and for the command's options."""

from __future__ import annotations

from typing import Literal

Window = Literal["rc", "boxcar", "hann"]
Mixer = Literal["sine", "square"]
Code = Literal["sine", "sequential", "walsh", "random"]
"""How the parameters are perturbed."""
Correction = Literal["none", "diagonal", "whole"]
"""What is taken out of a gradient's error of third order: nothing, what 3 f reads, all (`lockin.third_order`)."""
