"""What a user chooses by name of a training; spelled here once, for all rooms above and for the command's options."""

from __future__ import annotations

from typing import Literal

DescentMode = Literal["discrete", "analog"]
"""How multiplexed gradient descent reads slopes."""
LayerName = Literal["rlc", "dnpu", "identity"]
"""What samples go through in physics-aware training."""
PassMode = Literal["pat", "in-silico", "ideal"]
"""What runs forwards there, and what backwards."""
Polarity = Literal["free", "fixed"]
"""Whether less current may stand for a higher target."""
OnFailure = Literal["skip", "stop"]
"""What follows when the layer gives no answer to a sample."""
