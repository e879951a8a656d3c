"""Multiplexed gradient descent as one would write it in NumPy: slow and plain, to check the compiled loop against."""

from __future__ import annotations

import numpy as np

from inmateria.checks import FloatArray
from learning.multiplexed.descent import MgdSettings
from learning.multiplexed.sigmoid_network import SigmoidNetwork


def plain_descent(
    network: SigmoidNetwork,
    inputs: FloatArray,
    targets: FloatArray,
    start: FloatArray,
    settings: MgdSettings,
    steps: int,
) -> FloatArray:
    """Discrete or analog descent without noise, one sample after the other.

    Parameters
    ----------
    network : SigmoidNetwork
    inputs, targets : ndarray, shape (samples, inputs), (samples, outputs)
    start : ndarray, shape (P,)
    settings : MgdSettings
        Noise and momentum are left out.
    steps : int

    Returns
    -------
    ndarray, shape (steps, P)
        Parameters after each step.
    """
    theta, way = np.array(start, dtype=float), np.empty((steps, len(start)))
    code, square = settings.perturbation(len(start)), settings.norm**2
    gradient = np.zeros_like(theta)
    filtered, before, unperturbed = 0.0, 0.0, 0.0
    decay = np.exp(-1.0 / settings.high_pass(len(start)))
    gain = settings.high_pass(len(start)) * (1.0 - decay)
    keep = np.exp(-1.0 / settings.tau_theta)
    stale = True

    def cost(parameters: FloatArray, sample: int) -> float:
        value = network.layers(parameters, inputs[sample : sample + 1])[-1]
        return float(np.mean((value - targets[sample]) ** 2))

    for n in range(steps):
        sample = (n // settings.tau_x) % len(inputs)
        if settings.mode == "discrete" and (stale or n % settings.tau_x == 0):
            unperturbed = cost(theta, sample)
            stale = False
        perturbation = code.at(n)[0]
        measured = cost(theta + perturbation, sample)
        if settings.mode == "discrete":
            gradient += (measured - unperturbed) * perturbation / square
            if (n + 1) % settings.tau_theta == 0:
                theta = theta - settings.eta * gradient
                gradient = np.zeros_like(theta)
                stale = True
        else:
            filtered = 0.0 if n % settings.tau_x < settings.blank else decay * filtered + measured - before
            before = measured
            gradient = keep * gradient + (1.0 - keep) * gain * filtered * perturbation / square
            theta = theta - settings.eta * gradient
        way[n] = theta
    return way
