"""What is left of a learned task when its surroundings move: noise, drift and offsets of the controls, temperature.

The controls stand where learning ended and nothing learns on. One disturbance at a time, the device's static outputs
are scored as the task scores them, behind the loop's own summing amplifiers:

    noise         outputs + n, n normal with the standard deviation of a window's mean (`Bench.noise_A`)
    drift         every control w_k (1 + s_k drift), the signs s_k = +-1 in all combinations
    offset        every control w_k + s_k offset, likewise
    temperature   the device warmer and colder by as much

What leans on the controls is nearly linear over such steps, so that the worst of all combinations of signs is the worst
there is. With more than `EXACT` controls so many combinations are drawn, the two of equal signs among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from circuits.homodyne.holding import outputs_A
from inmateria.checks import FloatArray, not_negative
from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment
from learning.homodyne.results import Attempt
from learning.tasks.task import Score

EXACT = 7
"""Controls up to which all combinations of signs are looked at."""
DRAWS = 2**EXACT
"""Combinations of signs, or of noise, that are drawn."""


@dataclass(frozen=True)
class Disturbances:
    """How much moves.

    Parameters
    ----------
    drift : float
        Share of each control.
    offset_V : float
        On each control.
    temperature_K : float
        Of the device, up and down.
    noise : float
        Factor on the noise of a window's mean.
    """

    drift: float = 0.01
    offset_V: float = 1e-3
    temperature_K: float = 5.0
    noise: float = 1.0

    def __post_init__(self) -> None:
        for name, unit in {"drift": "1", "offset_V": "V", "temperature_K": "K", "noise": "1"}.items():
            not_negative(name, getattr(self, name), unit)
        if not self.drift < 1:
            raise InputError("drift", self.drift, "turns controls over", "give a share below 1: 0.01 is 1 %")


@dataclass(frozen=True, eq=False)
class Disturbed:
    """A task under one disturbance.

    Attributes
    ----------
    name, told : str
        What moved, and the same with how much.
    quality : ndarray, shape (m,)
        Of the task's score (a gate's margin), in each of the cases.
    learned : ndarray, shape (m,)
        Whether the task still counts as learned there.
    """

    name: str
    told: str
    quality: FloatArray
    learned: np.ndarray[Any, np.dtype[np.bool_]]

    @property
    def worst(self) -> float:
        """Smallest quality."""
        return float(np.min(self.quality))

    @property
    def kept(self) -> float:
        """Share of the cases in which the task is still learned."""
        return float(np.mean(self.learned))

    def facts(self) -> dict[str, Any]:
        """As documents have it."""
        middle = float(np.median(self.quality))
        return {"cases": len(self.quality), "median": middle, "worst": self.worst, "kept": self.kept}


@dataclass(frozen=True, eq=False)
class Robustness:
    """What is left of a learned task under each disturbance.

    Attributes
    ----------
    quality : float
        Of the task's score with nothing moved.
    rows : tuple of Disturbed
        One a disturbance; none for temperature where the device knows only its own.
    """

    quality: float
    rows: tuple[Disturbed, ...]

    @property
    def worst(self) -> Disturbed:
        """The disturbance that costs most."""
        return min(self.rows, key=lambda row: row.worst)

    @property
    def stays(self) -> bool:
        """Whether the task stays learned in all cases of all disturbances."""
        return all(row.kept == 1.0 for row in self.rows)

    def facts(self) -> dict[str, Any]:
        """As documents have it."""
        return {"quality": self.quality, "stays": self.stays, **{row.name: row.facts() for row in self.rows}}

    def words(self) -> str:
        """Each disturbance in a few words."""
        told = ", ".join(
            f"{row.told} {row.worst:.2f}" + ("" if row.kept == 1.0 else f" ({100 * row.kept:.0f} % stay learned)")
            for row in self.rows
        )
        return f"{self.quality:.2f} undisturbed; at worst under {told}"


def robustness(
    experiment: Experiment, attempt: Attempt, moved: Disturbances | None = None, *, seed: int = 0
) -> Robustness:
    """What is left of what an attempt learned when its surroundings move.

    Parameters
    ----------
    experiment : Experiment
    attempt : Attempt
        Of it; its end is where the controls stand.
    moved : Disturbances, optional
    seed : int
        Draws the noise, and the signs of more than `EXACT` controls.

    Raises
    ------
    InputError
        For a device of random currents, whose static outputs have no one value.
    ConvergenceError
        If the device has no state where it was moved to.
    """
    moved = Disturbances() if moved is None else moved
    loop, task, noise_A = attempt.loop, experiment.task, experiment.bench.noise_A()
    if hasattr(loop.device, "estimate"):
        raise InputError("device", type(loop.device).__name__, "has random currents alone", "take its mean field")
    rng, controls = np.random.default_rng(seed), attempt.controls_V

    def disturbed(name: str, size: str, outputs: FloatArray) -> Disturbed:
        scores: list[Score] = [task.score(row, loop.stage.polarity, noise_A) for row in outputs]
        quality, learned = (np.array([getattr(one, what) for one in scores]) for what in ("quality", "learned"))
        return Disturbed(name, f"{name}{size}", quality, learned)

    still = outputs_A(loop, controls[None])
    signs = _signs(len(controls), rng)
    noises = moved.noise * noise_A * rng.standard_normal((DRAWS, still.shape[1]))
    drifted, shifted = controls * (1.0 + moved.drift * signs), controls + moved.offset_V * signs
    rows = [
        disturbed("noise", "" if moved.noise == 1.0 else f" times {moved.noise:g}", still + noises),
        disturbed("drift", f" of {100 * moved.drift:g} %", outputs_A(loop, drifted)),
        disturbed("offset", f" of {1e3 * moved.offset_V:g} mV", outputs_A(loop, shifted)),
    ]
    if hasattr(loop.device, "at_temperature"):
        device: Any = loop.device
        there = [device.at_temperature(device.temperature_K + by) for by in (-moved.temperature_K, moved.temperature_K)]
        found = [outputs_A(replace(loop, device=one), controls[None])[0] for one in there]
        rows.append(disturbed("temperature", f" by {moved.temperature_K:g} K", np.stack(found)))
    return Robustness(disturbed("nothing", "", still).worst, tuple(rows))


def _signs(controls: int, rng: np.random.Generator) -> FloatArray:
    """Combinations of signs, neighbours one after the other where all are there: (m, controls)."""
    if controls > EXACT:
        some = rng.choice([-1.0, 1.0], (DRAWS - 2, controls))
        return np.vstack([np.ones(controls), -np.ones(controls), some])
    return np.array(list(product((1.0, -1.0), repeat=controls)))
