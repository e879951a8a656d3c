"""How well G points along the gradient after some time of integration, parameters and samples standing still."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.angles import angle_deg
from learning.multiplexed.descent import MgdSettings, MultiplexedDescent
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.samples.samples import SampleSet
from lockin.choices import Code
from lockin.perturbation import CODES

NORM = 1e-4
"""m: curvature of the cost turns G by less than what is looked for."""


def gradient_angles(
    samples: SampleSet,
    steps: Sequence[int],
    *,
    codes: Sequence[Code] = CODES,
    runs: int = 20,
    seed: int = 0,
    batch: int = 1,
    norm: float = NORM,
) -> xr.Dataset:
    """Angle between G and the exact gradient against time, at random parameters, on one fixed presentation.

    For random signs E[g.G] / sqrt(E|G|^2 |g|^2) = 1 / sqrt(1 + (P - 1)/N) after N steps, P parameters: a law of
    moments, ``moment_ratio`` in the result, which is taken over the runs (McCaughan et al. 2023).

    Parameters
    ----------
    samples : SampleSet
    steps : sequence of int
        When to look, increasing.
    codes : sequence of str, optional
    runs : int, optional
        Random parameters, and random signs, for each code.
    seed : int, optional
    batch : int, optional
        Samples of the one presentation: the first ones of the set.
    norm : float, optional
        m.

    Returns
    -------
    xarray.Dataset
        ``angle_deg`` over code, run, step; ``moment_ratio`` over code, step; attribute ``parameters``.

    Raises
    ------
    InputError
        For steps that do not increase, or no runs.
    """
    looks = np.asarray(steps, dtype=np.int64)
    if looks.size == 0 or looks[0] < 1 or np.any(np.diff(looks) <= 0):
        raise InputError("steps", list(steps), "do not increase from 1 on", "give increasing numbers of steps")
    if runs < 1:
        raise InputError("runs", runs, "are none", "give 1 or more")
    network = SigmoidNetwork(samples.sizes)
    data = network.data(samples.inputs, samples.targets, batch=batch)
    angles = np.empty((len(codes), runs, looks.size))
    dots, squares = (np.empty((len(codes), runs, looks.size)) for _ in range(2))
    never = int(looks[-1]) + 1
    for run in range(runs):
        theta = network.start(np.random.default_rng([seed, run]))
        exact: FloatArray = network.gradient(theta, samples.inputs[:batch], samples.targets[:batch])
        for which, code in enumerate(codes):
            settings = MgdSettings(eta=1.0, code=code, norm=norm, tau_theta=never, tau_x=never, seed=seed + run)
            descent = MultiplexedDescent(data, theta, settings)
            for place, step in enumerate(looks):
                descent.run(int(step) - descent.steps)
                found = descent.gradient
                angles[which, run, place] = angle_deg(found, exact)
                scale = float(exact @ exact)  # all runs count alike
                dots[which, run, place] = found @ exact / scale
                squares[which, run, place] = found @ found / scale
    lengths = np.sqrt(squares.mean(axis=1))
    ratio = np.divide(
        dots.mean(axis=1), lengths, out=np.full_like(lengths, np.nan), where=lengths > 0
    )  # sines begin at 0
    return xr.Dataset(
        {
            "angle_deg": (("code", "run", "step"), angles, {"units": "deg"}),
            "moment_ratio": (("code", "step"), ratio, {"units": "1"}),
        },
        coords={"code": list(codes), "step": ("step", looks, {"units": "steps"})},
        attrs={"parameters": network.parameters, "samples": samples.name, "norm": norm},
    )
