"""What is to be learned from samples, what they say of a network's parameters, and a fingerprint of them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from learning.samples.images import ImageSet
from learning.samples.samples import SampleSet

Problem = SampleSet | ImageSet
"""Samples for a network of sigmoid neurons, or images for a convolutional one (needs torch)."""


class Look(NamedTuple):
    """What all samples say of parameters."""

    cost: float
    accuracy: float
    test_accuracy: float
    """NaN where no samples are held out."""


def fingerprint(problem: Problem) -> str:
    """The samples in a few letters, so that checkpoints are not taken for those of others."""
    digest = hashlib.sha256()
    names = ("inputs", "targets") if isinstance(problem, SampleSet) else ("images", "labels")
    for array in (getattr(problem, name) for name in names):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
