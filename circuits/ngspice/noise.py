"""Noise currents in a transient, without a device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits.ngspice.cosimulation import CoSimulation
from dnpu_models.noise.noisy_device import noise_source
from dnpu_models.noise.spectrum import NoiseSpectrum


def noise_currents(spectrum: NoiseSpectrum, nodes: Sequence[str], *, seed: int = 0) -> CoSimulation:
    """Independent noise currents from ground into nodes of a circuit, for `Engine.transient(cosimulation=...)`.

    They depend on no voltage, so no resistance is too large for them (and the run's `prediction_error_V` says nothing).
    For a current between two nodes, or for one beside a device, see `NoisyDevice`.

    Parameters
    ----------
    spectrum : NoiseSpectrum
        One-sided density of each current, A^2/Hz.
    nodes : sequence of str
        Circuit node of each current; not ground.
    seed : int
        The same seed gives the same noise.

    Raises
    ------
    InputError
        For a wrong seed, or no node.
    """
    start = np.zeros(len(nodes))
    return CoSimulation(noise_source(spectrum, tuple(nodes)).kernel(start, seed=seed), nodes, start)
