"""Multiplexed gradient descent: one number, the cost, tells the slopes of all parameters at once.

All are perturbed together, and the change of the cost is multiplied by each one's own perturbation (McCaughan et al.,
APL Machine Learning 1, 026118, 2023).

`MultiplexedDescent` trains any cost: a function of the parameters, or a `CompiledCost`. Its loop is
`learning.multiplexed.kernel`, where the equations stand; the codes are `lockin.Perturbation`, of which homodyne
gradient extraction is the sine.

One eta serves all codes and both modes. Each step adds g/P on average to the accumulated G of the discrete mode, which
is spent every tau_theta steps; the low-passed G of the analog mode is g/P on average and is spent at every step. Both
move the parameters by -eta g/P a step.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, count, not_negative, positive
from inmateria.errors import ConvergenceError, InputError
from inmateria.random_words import key_of
from learning.choices import DescentMode
from learning.multiplexed import kernel
from learning.multiplexed.sigmoid_kernel import NetworkData, network_steps
from lockin.choices import Code
from lockin.perturbation import Perturbation

_COST_NOISE, _UPDATE_NOISE = 1, 2  # which streams of the seed; 0 are the signs of the random code


@dataclass(frozen=True)
class MgdSettings:
    """How to descend; times in steps.

    Parameters
    ----------
    eta : float
        Learning rate: parameters move by -eta g/P a step on average.
    code : {"random", "walsh", "sequential", "sine"}
    norm : float
        Root of the mean squared norm of the perturbation of all parameters, m.
    tau_p : int
        Steps for which a pattern of the perturbation stands; the sine's band is 1 / (2 tau_p).
    tau_theta : int
        Discrete mode: steps between updates; analog mode: time constant of the low-pass.
    tau_x : int
        Steps for which a sample is shown.
    mode : {"discrete", "analog"}
    tau_hp : float, optional
        Analog mode: time constant of the high-pass; left out: twice the code's period, or 100 tau_p for random signs.
    blank : int
        Analog mode: steps after a change of the sample during which the high-pass is held at 0.
    momentum : float
        Share of the last update's velocity that is kept, from 0 to below 1.
    cost_noise : float
        Standard deviation of the noise of each measured cost.
    update_noise, common_noise : float
        Standard deviation of the noise that an update (analog mode: tau_theta steps) adds to each parameter: of its
        own, and the same for all.
    seed : int
        Of the random signs and of all noise.

    Raises
    ------
    InputError
        When built with values that are none of these.
    """

    eta: float
    code: Code = "random"
    norm: float = 0.01
    tau_p: int = 1
    tau_theta: int = 1
    tau_x: int = 1
    mode: DescentMode = "discrete"
    tau_hp: float | None = None
    blank: int = 1
    momentum: float = 0.0
    cost_noise: float = 0.0
    update_noise: float = 0.0
    common_noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        positive("eta", self.eta, "parameter units")
        for name in ("tau_p", "tau_theta", "tau_x", "blank"):
            count(name, getattr(self, name))
        Perturbation(self.code, 1, self.norm, 1, self.seed)
        for name in ("tau_theta", "tau_x"):
            value = getattr(self, name)
            if self.mode == "discrete" and value % self.tau_p and self.tau_p % value:
                raise InputError(name, value, f"is no multiple of tau_p = {self.tau_p}", "change one of them")
        if self.mode not in ("discrete", "analog"):
            raise InputError("mode", self.mode, "is no mode", "choose discrete or analog")
        if self.tau_hp is not None:
            positive("tau_hp", self.tau_hp, "steps")
        if self.mode == "analog" and self.blank >= self.tau_x and self.tau_x > 1:
            raise InputError("blank", self.blank, f"leaves nothing of tau_x = {self.tau_x}", "take fewer steps")
        if not 0 <= self.momentum < 1:
            raise InputError("momentum", self.momentum, "is not in [0, 1)", "change it")
        for name in ("cost_noise", "update_noise", "common_noise"):
            not_negative(name, getattr(self, name), "the unit of what it is added to")

    def perturbation(self, parameters: int) -> Perturbation:
        """The code for so many parameters."""
        return Perturbation(self.code, parameters, self.norm, int(self.tau_p), self.seed)

    def high_pass(self, parameters: int) -> float:
        """Time constant of the high-pass, in steps."""
        if self.tau_hp is not None:
            return float(self.tau_hp)
        period = self.perturbation(parameters).period
        return 2.0 * period if period is not None else 100.0 * self.tau_p

    def knobs(self, parameters: int) -> kernel.Knobs:
        """The settings for compiled code."""
        code = self.perturbation(parameters)
        return kernel.Knobs(
            code.number, code.hold, code.peak, code.table, code.key, 1.0 / float(self.norm) ** 2, self.mode == "analog",
            float(self.eta), int(self.tau_x), int(self.tau_theta), self.high_pass(parameters), int(self.blank),
            float(self.momentum), float(self.cost_noise), float(self.update_noise), float(self.common_noise),
            key_of(self.seed, _COST_NOISE), key_of(self.seed, _UPDATE_NOISE),
        )  # fmt: skip


class CompiledCost(NamedTuple):
    """A cost in compiled code.

    Attributes
    ----------
    function : callable
        A Numba function cost(parameters, data, presentation) -> float.
    data : object
        Handed to it: an array or a NamedTuple of arrays and numbers.
    """

    function: Any
    data: Any


Cost = Callable[[FloatArray, int], float] | CompiledCost | NetworkData
"""Cost of parameters: a function (parameters, presentation) -> number, compiled code, or a network's samples.

The presentation counts the samples shown so far; it goes up by one every tau_x steps.
"""


class MultiplexedDescent:
    """Multiplexed gradient descent on a cost.

    Parameters
    ----------
    cost : callable, CompiledCost or NetworkData
        What is minimised, see `Cost`; `SigmoidNetwork.data` makes the last.
    start : array_like, shape (P,)
        Parameters to begin with.
    settings : MgdSettings

    Raises
    ------
    InputError
        For parameters that are none.

    Examples
    --------
    >>> from inmateria import MgdSettings, MultiplexedDescent
    >>> bowl = MultiplexedDescent(lambda theta, sample: float(theta @ theta), [1.0, -2.0], MgdSettings(eta=0.1))
    >>> bowl.run(200)
    >>> bool(abs(bowl.theta).max() < 0.05)
    True
    """

    def __init__(self, cost: Cost, start: ArrayLike, settings: MgdSettings) -> None:
        theta = np.array(start, dtype=float)
        if theta.ndim != 1 or theta.size == 0 or not np.all(np.isfinite(theta)):
            raise InputError("start", theta.shape, "is not a list of finite parameters", "give one number for each")
        self.settings = settings
        self._cost = cost
        self._knobs = settings.knobs(theta.size)
        self._state = kernel.State(
            theta, np.zeros(theta.size), np.zeros(theta.size), np.zeros(theta.size), np.zeros(theta.size), np.zeros(3),
            np.array([0, 0, 0, 1], dtype=np.int64),
        )  # fmt: skip
        self._run = _runner(cost)

    def run(self, steps: int) -> None:
        """Do so many more steps.

        Raises
        ------
        InputError
            If `steps` is no count.
        ConvergenceError
            If the cost is no finite number at a step; that step was not done.
        """
        if self._run(self._knobs, self._state, count("steps", steps, 0)) != kernel.FINE:
            raise ConvergenceError(
                "cost", None, f"is no finite number at step {self.steps}", "lower eta, or look at the cost there"
            )

    @property
    def theta(self) -> FloatArray:
        """Parameters, (P,): a copy."""
        return self._state.theta.copy()

    @property
    def gradient(self) -> FloatArray:
        """G, (P,), a copy: accumulated since the last update (discrete), or low-passed (analog)."""
        return self._state.gradient.copy()

    @property
    def steps(self) -> int:
        """Steps done."""
        return int(self._state.counts[kernel.STEP])

    @property
    def inferences(self) -> int:
        """Costs measured, the unperturbed ones included."""
        return int(self._state.counts[kernel.INFERENCES])

    @property
    def updates(self) -> int:
        """Updates of the parameters."""
        return int(self._state.counts[kernel.UPDATES])

    def save(self, path: Path, **beside: FloatArray) -> None:
        """Write a checkpoint (.npz), with arrays of the caller's; it takes the file's place at once or not at all."""
        new = path.with_name(path.name + ".new")
        with new.open("wb") as file:
            held: dict[str, Any] = {**self._state._asdict(), **beside, "settings": self._identity()}
            np.savez(file, **held)
        new.replace(path)

    def load(self, path: Path) -> dict[str, FloatArray]:
        """Go on from a checkpoint of the same settings, to the identical path.

        Returns
        -------
        dict of str to ndarray
            The arrays that were saved beside the state.

        Raises
        ------
        InputError
            If the file is no checkpoint, or one of other settings.
        """
        fix = "delete it, or give the settings it was made with"
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
                mine = self._state._asdict()
                shapes = {name: held[name].shape for name in mine}
                settings = str(held.pop("settings"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError("checkpoint", str(path), "is no checkpoint of a descent", fix) from error
        if settings != self._identity() or any(shapes[name] != array.shape for name, array in mine.items()):
            raise InputError("checkpoint", str(path), "was made with other settings", fix)
        for name, array in mine.items():
            array[...] = held.pop(name)
        return held

    def _identity(self) -> str:
        """Settings and number of parameters in a few letters."""
        facts = json.dumps({**asdict(self.settings), "parameters": self._state.theta.size}, sort_keys=True, default=int)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _runner(cost: Cost) -> Callable[[kernel.Knobs, kernel.State, int], int]:
    """The loop around a cost."""
    if isinstance(cost, NetworkData):
        return lambda knobs, state, steps: int(network_steps(cost, knobs, state, steps))
    if isinstance(cost, CompiledCost):
        return lambda knobs, state, steps: int(kernel.run_steps(cost.function, cost.data, knobs, state, steps))
    function = cost

    def measured(theta: FloatArray, _data: None, presentation: int) -> float:
        return float(function(theta, presentation))

    return lambda knobs, state, steps: int(kernel.run_steps.py_func(measured, None, knobs, state, steps))
