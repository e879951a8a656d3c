"""What is to be learned from samples: the samples, the network, and a fingerprint of both."""

from __future__ import annotations

import hashlib

import numpy as np

from learning.samples.images import ImageSet
from learning.samples.samples import SampleSet

Problem = SampleSet | ImageSet
"""Samples for a network of sigmoid neurons, or images for a convolutional one (needs torch)."""


def fingerprint(problem: Problem) -> str:
    """The samples in a few letters, so that checkpoints are not taken for those of others."""
    held = (
        (problem.inputs, problem.targets) if isinstance(problem, SampleSet) else (problem.images, problem.labels)
    )  # fmt: skip
    digest = hashlib.sha256()
    for array in held:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
