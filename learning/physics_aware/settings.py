"""What is trained physics-aware, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from inmateria.checks import count, not_negative, positive
from inmateria.errors import InputError
from learning.choices import OnFailure, PassMode


@dataclass(frozen=True)
class PatTraining:
    """Settings of `train_physics_aware`.

    Parameters
    ----------
    mode : {"pat", "in-silico", "ideal"}
        Forwards the system and backwards the model; both the model; forwards the system and backwards its own exact
        derivative.
    epochs : int
        Passes through all training samples.
    batch : int
        Samples an update.
    rate : float
        Largest learning rate of Adam: it rises over the first fifth of the updates, then falls to 0 as a cosine.
    overdrive_penalty : float
        Weight of the penalty for values beyond the system's limits, see `NetworkRun.overdrive`.
    weight_decay : float
        Share of a parameter lost per update, over the learning rate (AdamW).
    jitter : float
        Standard deviation of the noise added to the features in training, in units of their spread: against learning
        few samples by heart.
    noise : bool
        Whether the system has its noise.
    look_every : int
        Epochs between two looks at all samples, always on the system; the last epoch is looked at in any case.
    look_samples : int
        Training samples of a look at most: the first ones.
    angle_samples : int
        Training samples for the angle to the true gradient, 0 for none.
    refit_every : int
        Epochs between two refits of the model on what forward passes measured; 0: never. Mode pat only.
    refit_epochs : int
        Passes of a refit through its samples.
    refit_samples : int
        Samples of a refit: the latest measured.
    on_failure : {"skip", "stop"}
        What follows when the system fails for a sample.

    Raises
    ------
    InputError
        When built with values that are none of these.
    """

    mode: PassMode = "pat"
    epochs: int = 30
    batch: int = 35
    rate: float = 0.03
    overdrive_penalty: float = 1.0
    weight_decay: float = 0.0
    jitter: float = 0.0
    noise: bool = True
    look_every: int = 5
    look_samples: int = 2000
    angle_samples: int = 35
    refit_every: int = 0
    refit_epochs: int = 3
    refit_samples: int = 1000
    on_failure: OnFailure = "skip"

    def __post_init__(self) -> None:
        for name, known in (("mode", get_args(PassMode)), ("on_failure", get_args(OnFailure))):
            if getattr(self, name) not in known:
                raise InputError(name, getattr(self, name), "is unknown", f"choose {', '.join(known)}")
        least = {"angle_samples": 0, "refit_every": 0}
        for name in (
            "epochs", "batch", "look_every", "look_samples", "angle_samples", "refit_every", "refit_epochs",
            "refit_samples",
        ):  # fmt: skip
            count(name, getattr(self, name), least.get(name, 1))
        positive("rate", self.rate, "parameter units")
        for name in ("overdrive_penalty", "weight_decay", "jitter"):
            not_negative(name, getattr(self, name), "parameter units")
        if self.refit_every and self.mode != "pat":
            raise InputError("refit_every", self.refit_every, f"means nothing in the mode {self.mode}", "give 0")

    def looks(self) -> list[int]:
        """Epochs after which all samples are looked at, 0 being before the first."""
        return sorted({*range(0, self.epochs + 1, self.look_every), self.epochs})

    def rate_at(self, share: float) -> float:
        """Learning rate after a share of all updates."""
        rise = 0.2
        if share < rise:
            return self.rate * (0.1 + 0.9 * share / rise)
        return self.rate * 0.5 * (1.0 + float(np.cos(np.pi * (share - rise) / (1.0 - rise))))
