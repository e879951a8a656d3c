"""Sets of samples that networks are trained on: inputs, targets, and those held out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from inmateria.checks import FloatArray, count
from inmateria.errors import InputError

LETTERS = "NIST"
_SIDE = 7


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Samples to train on and to test with.

    Attributes
    ----------
    name : str
    inputs, targets : ndarray, shape (samples, inputs), (samples, outputs)
    test_inputs, test_targets : ndarray
        Held out; without samples where all there are belong to the training, as for parity.
    hidden : tuple of int
        Neurons of the hidden layers that the published networks have.

    Raises
    ------
    InputError
        For arrays that do not fit together or hold no numbers.
    """

    name: str
    inputs: FloatArray
    targets: FloatArray
    test_inputs: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    test_targets: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    hidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for inputs, targets, which in (
            (self.inputs, self.targets, ""),
            (self.test_inputs, self.test_targets, "test_"),
        ):
            if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets):
                shapes = f"{inputs.shape} and {targets.shape}"
                raise InputError(f"{which}inputs", shapes, "are not samples and their targets", "give one row for each")
            if not (np.all(np.isfinite(inputs)) and np.all(np.isfinite(targets))):
                raise InputError(f"{which}inputs", "NaN or infinite", "is not finite", "give finite numbers")
        if len(self.inputs) == 0:
            raise InputError("inputs", 0, "are no samples", "give at least one")
        if len(self.test_inputs) and self.test_inputs.shape[1] != self.inputs.shape[1]:
            raise InputError("test_inputs", self.test_inputs.shape, "are of another width", "give the same pixels")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the network: inputs, hidden layers, outputs."""
        return (self.inputs.shape[1], *self.hidden, self.targets.shape[1])


def data_folder() -> Path:
    """Where data lies that users bring along: what the environment variable INMATERIA_DATA names, or ../shared/data."""
    return Path(os.environ.get("INMATERIA_DATA") or "../shared/data")


def parity(bits: int) -> SampleSet:
    """n-bit parity: all 2^n patterns of 0 and 1, the target is 1 where an odd number of them is 1; 2 bits are XOR.

    The network has n hidden neurons, as published.

    Raises
    ------
    InputError
        If `bits` is not from 2 to 10.
    """
    bits = count("bits", bits, 2, 10)
    patterns = np.array(list(product((0.0, 1.0), repeat=bits)))
    return SampleSet(f"parity-{bits}", patterns, patterns.sum(axis=1, keepdims=True) % 2, hidden=(bits,))


def letters(train: int = 2000, test: int = 1000, *, seed: int = 0, flips: float = 0.02) -> SampleSet:
    """Letters N, I, S, T of 7 x 7 pixels: strokes of random size and place, some pixels flipped.

    These samples are ours: the set of McCaughan et al. (2023) is not public, only its kind. Pixels are 0 or 1,
    targets one of four. The network has 4 hidden neurons (49-4-4, 220 parameters), as published.

    Parameters
    ----------
    train, test : int
        Samples to train on and to hold out, the letters in turn.
    seed : int
    flips : float
        Probability for each pixel to be flipped.

    Raises
    ------
    InputError
        For counts below 4 or a probability that is none.
    """
    for name, value in (("train", train), ("test", test)):
        count(name, value, len(LETTERS))  # one of each letter
    if not 0 <= flips < 0.5:
        raise InputError("flips", flips, "is no probability that leaves a letter", "give one from 0 to below 0.5")
    rng = np.random.default_rng(seed)
    kinds = np.arange(train + test) % len(LETTERS)
    images = np.stack([_letter(LETTERS[kind], rng) for kind in kinds])
    images = np.abs(images - (rng.random(images.shape) < flips))
    inputs, targets = images.reshape(len(images), -1), np.eye(len(LETTERS))[kinds]
    return SampleSet("letters", inputs[:train], targets[:train], inputs[train:], targets[train:], (4,))


def digits(hidden: int = 16, test_share: float = 0.25, *, seed: int = 0) -> SampleSet:
    """scikit-learn's handwritten digits (1797 of 8 x 8 pixels), split at random with equal shares of each digit.

    Parameters
    ----------
    hidden : int
        Hidden neurons.
    test_share : float
        Share that is held out.
    seed : int
        Of the split.

    Raises
    ------
    InputError
        For a share that leaves nothing.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    if not 0 < test_share < 1:
        raise InputError("test_share", test_share, "is no share", "give one between 0 and 1")
    found = load_digits()
    classes = np.eye(10)[found.target]
    parts = train_test_split(found.data / 16.0, classes, test_size=test_share, random_state=seed, stratify=found.target)
    return SampleSet("digits", parts[0], parts[2], parts[1], parts[3], (hidden,))


def _letter(letter: str, rng: np.random.Generator) -> FloatArray:
    """A letter as an image of 0 and 1: its strokes in a box of random size and place."""
    height = int(rng.integers(5, _SIDE + 1))
    width = 1 if letter == "I" and rng.random() < 0.5 else int(rng.integers(3 if letter == "I" else 4, 6))
    top, left = int(rng.integers(0, _SIDE - height + 1)), int(rng.integers(0, _SIDE - width + 1))
    bottom, right = top + height - 1, left + width - 1
    middle_row, middle_column = (top + bottom) / 2, (left + right) / 2
    strokes: dict[str, list[list[tuple[float, float]]]] = {
        "N": [[(bottom, left), (top, left), (bottom, right), (top, right)]],
        "I": [[(top, middle_column), (bottom, middle_column)]],
        "S": [[(top, right), (top, left), (middle_row, left), (middle_row, right), (bottom, right), (bottom, left)]],
        "T": [[(top, left), (top, right)], [(top, middle_column), (bottom, middle_column)]],
    }
    drawn = strokes[letter]
    if letter == "I" and width > 1:  # with serifs
        drawn = [*drawn, [(top, left), (top, right)], [(bottom, left), (bottom, right)]]
    image = np.zeros((_SIDE, _SIDE))
    for stroke in drawn:
        for (row, column), (to_row, to_column) in pairwise(stroke):
            share = np.linspace(0.0, 1.0, 4 * _SIDE)
            rows = np.rint(row + share * (to_row - row)).astype(int)
            columns = np.rint(column + share * (to_column - column)).astype(int)
            image[rows, columns] = 1.0
    return image
