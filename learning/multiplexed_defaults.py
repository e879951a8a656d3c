"""Settings of multiplexed gradient descent that suit a task, where the user says nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from inmateria.errors import InputError
from learning.multiplexed import MgdSettings
from learning.multiplexed_subjects import Problem, parameters_of
from learning.multiplexed_training import MgdTraining
from learning.samples import SampleSet

_PERIODS_OF_A_SAMPLE = 4
"""Analog mode: a sample stands for so many periods of the code."""
_RANDOM_PERIOD = 2
"""What stands for the period of random signs there: so many patterns for each parameter."""


def suited_training(problem: Problem, options: Mapping[str, Any]) -> MgdTraining:
    """Settings for a task: those that are given, and for the others what suits the code.

    Codes with a period must see the same sample for a whole one, or the change of samples is taken for slopes: tau_x
    is the period unless given; random signs may change the sample at every step.

    Parameters
    ----------
    problem : SampleSet or ImageSet
    options : mapping
        Fields of `MgdSettings` and `MgdTraining` by name; None is as left out.

    Raises
    ------
    InputError
        For an unknown name or a value that is none.
    """
    given = {name: value for name, value in options.items() if value is not None}
    own = {field.name for field in fields(MgdSettings)}
    beside = {field.name for field in fields(MgdTraining)} - {"settings"}
    for name in given:
        if name not in own | beside:
            raise InputError(
                name, given[name], "is no setting of mgd", f"choose from {', '.join(sorted(own | beside))}"
            )
    settings = {name: value for name, value in given.items() if name in own}
    easy = problem.name.startswith("parity")
    images = not isinstance(problem, SampleSet)
    settings.setdefault("norm", 0.1 if easy else 0.05)
    trial = MgdSettings(**{"eta": 1.0, **settings})
    parameters = parameters_of(problem)
    period = trial.perturbation(parameters).period
    if settings.get("mode") == "analog":
        turn = period if period is not None else _RANDOM_PERIOD * parameters * int(trial.tau_p)
        settings.setdefault("eta", 1.6 / turn)  # what the cost falls within tau_hp stays below its swing
        settings.setdefault("tau_x", _PERIODS_OF_A_SAMPLE * turn)
        settings.setdefault("tau_hp", 0.5 * turn)
        settings.setdefault("tau_theta", turn)
        settings.setdefault("blank", int(trial.tau_p))
    else:
        turn = period if period is not None else int(trial.tau_p)
        settings.setdefault("eta", min(2.0, 4.0 * parameters / turn))  # an update goes 4 g at most
        settings.setdefault("tau_x", turn)
        settings.setdefault("tau_theta", turn)
    rest = {name: value for name, value in given.items() if name in beside}
    rest.setdefault("steps", 500_000 if easy else 100_000 if images else 2_000_000)
    rest.setdefault("checks", min(20 if images else 200, rest["steps"]))
    rest.setdefault("batch", 100 if images else 1)
    rest.setdefault("stop_when_solved", easy)
    return MgdTraining(MgdSettings(**settings), **rest)
