"""How a physical system is used as a network: which value feeds which input in each pass, where the classes are read.

Nothing here is trained, and nothing mixes values: that is left to the physics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inmateria.errors import InputError

IntArray = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class PassLayout:
    """Wiring of the passes through a system, and windows of the read-out.

    Attributes
    ----------
    features : int
        Numbers of a sample.
    wirings : tuple of ndarray, shape (inputs,) each
        For each pass, the feature (first pass) or the output of the pass before that feeds each input.
    skips : tuple of (ndarray, shape (outputs,), or None)
        For each pass, the feature or former output that is added to each output; None: nothing is.
    windows : tuple of ndarray
        For each class, the outputs of the last pass of which the mean is its score.

    Raises
    ------
    InputError
        For wirings that do not fit together.
    """

    features: int
    wirings: tuple[IntArray, ...]
    skips: tuple[IntArray | None, ...]
    windows: tuple[IntArray, ...]

    def __post_init__(self) -> None:
        if not self.wirings or len(self.wirings) != len(self.skips):
            raise InputError("wirings", len(self.wirings), "are no passes with a skip (or None) each", "give them")
        if len(self.windows) < 2 or any(len(window) == 0 for window in self.windows):
            raise InputError("windows", len(self.windows), "are not one for each of two or more classes", "change them")
        if self.wirings[0].size and not 0 <= self.wirings[0].min() <= self.wirings[0].max() < self.features:
            raise InputError("wirings[0]", self.wirings[0].max(), f"is none of {self.features} features", "change it")

    @property
    def passes(self) -> int:
        """Times a sample goes through the system."""
        return len(self.wirings)

    @property
    def classes(self) -> int:
        """Classes that are told apart."""
        return len(self.windows)


def waveform_layout(features: int, points: int, passes: int, classes: int, *, seed: int = 0) -> PassLayout:
    """For a system of as many inputs as outputs, above all a waveform through a circuit.

    The features are repeated until the waveform is full, each time in another order. From the second pass on, the last
    waveform is played backwards: a circuit remembers, but foresees nothing, so that only then every point can depend on
    every other. Each pass adds its input to its output. The classes are read in equal parts of the last waveform.

    Raises
    ------
    InputError
        If there are fewer points than features or classes.
    """
    if points < max(features, classes):
        raise InputError("points", points, f"do not hold {features} features, {classes} classes", "take more")
    rng = np.random.default_rng([seed, 31])
    first = np.concatenate([rng.permutation(features) for _ in range(-(-points // features))])[:points]
    backwards = np.arange(points)[::-1].copy()
    wirings = (first, *(backwards for _ in range(passes - 1)))
    return PassLayout(features, wirings, wirings, tuple(np.array_split(np.arange(points), classes)))


def node_layout(features: int, inputs: int, outputs: int, passes: int, classes: int, *, seed: int = 0) -> PassLayout:
    """For nodes of several inputs and one output each: each pass feeds all inputs from all values, in a mixed order.

    From the second pass on, the outputs before are added to the outputs.
    """
    rng = np.random.default_rng([seed, 32])

    def mixed(values: int) -> IntArray:
        rounds = [rng.permutation(values) for _ in range(-(-inputs // values))]
        return np.concatenate(rounds)[:inputs]

    straight = np.arange(outputs)
    wirings = (mixed(features), *(mixed(outputs) for _ in range(passes - 1)))
    skips = (None, *(straight for _ in range(passes - 1)))
    return PassLayout(features, wirings, skips, tuple(np.array_split(straight, classes)))
