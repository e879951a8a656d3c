"""Multiplexed gradient descent of many starts in ngspice: the same curves as `train_many`, from `circuits`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import xarray as xr

from circuits.multiplexed.loop import MultiplexedLoop
from circuits.multiplexed.run import run_multiplexed
from circuits.multiplexed.sigmoid_network import SigmoidNetworkCircuit
from circuits.ngspice.engine import Engine
from inmateria.checks import FloatArray
from inmateria.errors import InputError, Interrupted
from learning.angles import angle_deg
from learning.multiplexed.descent import MgdSettings
from learning.multiplexed.subjects import SigmoidSubject
from learning.multiplexed.training import MgdTraining, SeedProgress, curves
from learning.samples.problem import Problem
from learning.samples.samples import SampleSet

_SUITED = {"eta": 2.0, "norm": 1.0, "tau_x": 10, "tau_theta": 40, "tau_hp": 5.0, "mode": "analog"}
_STEPS, _CHECKS = 20_000, 200
_COMPILED_ONLY = ("momentum", "cost_noise", "update_noise", "common_noise", "defects", "batch")


def circuit_training(problem: Problem, options: Mapping[str, Any]) -> MgdTraining:
    """Settings for a run in ngspice: those that are given, as to `suited_training`, and else what suits XOR's circuit.

    Raises
    ------
    InputError
        For a task other than 2-bit parity, the discrete mode, or a setting that the circuit does not have.
    """
    if not isinstance(problem, SampleSet) or problem.name != "parity-2":
        raise InputError("engine", "ngspice", f"does not run {problem.name}", "take XOR, or leave --engine out")
    given = {name: value for name, value in options.items() if value is not None}
    if given.get("mode", "analog") != "analog":
        raise InputError("mode", given["mode"], "is not how the circuit works", "leave it out, or take analog")
    usual = {field.name: field.default for kind in (MgdSettings, MgdTraining) for field in fields(kind)}
    for name in _COMPILED_ONLY:
        if given.get(name, usual[name]) != usual[name]:
            raise InputError(name, given[name], "is not part of the circuit", "leave it out, or take --engine compiled")
    settings = {field.name: given[field.name] for field in fields(MgdSettings) if field.name in given}
    steps = given.get("steps", _STEPS)
    return MgdTraining(MgdSettings(**{**_SUITED, **settings}), steps, given.get("checks", min(_CHECKS, steps)))


def train_in_ngspice(
    training: MgdTraining, samples: SampleSet, seeds: int, engine: Engine, *, progress: SeedProgress | None = None
) -> xr.Dataset:
    """Train the circuit of a network of sigmoid neurons from many starts, those of `train_many`, one after the other.

    Parameters
    ----------
    training : MgdTraining
        Of `circuit_training`.
    samples : SampleSet
    seeds : int
        How many runs, counted up from the settings' seed.
    engine : Engine
    progress : callable, optional
        Takes seed, steps done, cost and accuracy; cost and accuracy are NaN before a run's end.

    Returns
    -------
    xarray.Dataset
        As `train_many` gives it: costs are those of the equations at the circuit's parameters without perturbation.
        A run goes on to its end. Over seed also ``wall_s`` and ``points``, ngspice's time and time-points.

    Raises
    ------
    InputError
        For no seeds, or settings that the circuit refuses.
    NetlistError, ConvergenceError, EngineError, Interrupted
        As `Engine.transient`. The ``partial`` of `Interrupted` is the dataset of the runs that were done, or None.
    """
    if seeds < 1:
        raise InputError("seeds", seeds, "are no runs", "give 1 or more")
    settings, looks = training.settings, [0, *training.check_steps()]
    chosen = list(range(settings.seed, settings.seed + seeds))
    seen = np.full((seeds, len(looks), 6), np.nan)
    starts: list[FloatArray] = []
    ends: list[FloatArray] = []
    price = np.zeros((seeds, 2))
    step_s = float("nan")

    def together() -> xr.Dataset:
        done = len(ends)
        data = curves(training, samples, chosen[:done], seen[:done], np.stack(ends), np.stack(starts))
        data["wall_s"] = ("seed", price[:done, 0], {"units": "s"})
        data["points"] = ("seed", price[:done, 1], {"units": "1"})
        return data.assign_attrs(engine="ngspice", step_s=step_s)

    def one(row: int, seed: int) -> None:
        nonlocal step_s
        subject = SigmoidSubject(
            samples, seed, batch=1, shuffled=False, defects=0.0, start_spread=training.start_spread
        )  # fmt: skip
        code = replace(settings, seed=seed).perturbation(subject.start.size)
        loop = MultiplexedLoop(
            SigmoidNetworkCircuit(samples.sizes), code, samples.inputs, samples.targets, subject.start,
            steps=training.steps, eta=settings.eta, tau_x=settings.tau_x, tau_theta=settings.tau_theta,
            tau_hp=settings.high_pass(code.parameters), blank=settings.blank,
        )  # fmt: skip

        step_s = loop.step_s

        def tell(_phase: str, time_s: float, _wall_s: float) -> None:
            if progress is not None:
                progress(seed, min(round(time_s / step_s), training.steps), float("nan"), float("nan"))

        run = run_multiplexed(loop, engine, progress=tell)
        times = step_s * np.array(looks)
        path = np.stack([np.interp(times, run.time_s, values) for values in run.parameters.T], axis=1)
        for k, theta in enumerate(path):
            angle = np.nan if k == 0 else angle_deg(path[k - 1] - theta, subject.gradient(path[k - 1]))
            seen[row, k] = *subject.look(theta), angle, looks[k], looks[k]
        price[row] = run.transient.statistics["seconds"], run.transient.statistics["points"]
        starts.append(subject.start)
        ends.append(path[-1])
        if progress is not None:
            progress(seed, training.steps, float(seen[row, -1, 0]), float(seen[row, -1, 1]))

    try:
        for row, seed in enumerate(chosen):
            one(row, seed)
    except KeyboardInterrupt:
        stopped = Interrupted(
            "run", f"seed {chosen[min(len(ends), seeds - 1)]}", "was stopped", "the runs before it are kept"
        )
        stopped.partial = together() if ends else None
        raise stopped from None
    return together()
