"""Settings of multiplexed gradient descent that suit a task, where the user says nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from inmateria.errors import InputError
from learning.multiplexed.descent import MgdSettings
from learning.multiplexed.subjects import parameters_of
from learning.multiplexed.training import MgdTraining
from learning.samples.problem import Problem
from learning.samples.samples import SampleSet

_PERIODS_OF_A_SAMPLE = 4
"""Analog mode: a sample stands for so many periods of the code."""
_RANDOM_PERIOD = 2
"""What stands for the period of random signs there: so many patterns for each parameter."""
_IMAGE_PATTERNS = 32
"""Images, random signs: patterns for one batch and one update, so that C0 is measured at few steps."""
_FEW_PATTERNS = 4
"""Parity of more patterns than that, by a code with a period: an update after all of them. Exact slopes of one pattern
after the other go round in circles, where random signs shake themselves free."""


def suited_training(problem: Problem, options: Mapping[str, Any]) -> MgdTraining:
    """Settings for a task: those that are given, and for the others what suits the code.

    Codes with a period must see the same sample for a whole one, or the change of samples is taken for slopes: tau_x
    is the period unless given; random signs may change the sample at every step. Parity of more than four patterns
    is updated after all of them by such a code. Options are fields of `MgdSettings` and `MgdTraining` by name; None is
    as left out.

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
    patterns = len(problem.inputs) if easy and isinstance(problem, SampleSet) else 1
    if patterns > _FEW_PATTERNS and settings.get("code") == "walsh" and settings.get("mode") != "analog":
        # Products of its rows are rows: curvature would turn the small slopes of a plateau.
        settings.setdefault("norm", 0.01)
    settings.setdefault("norm", 0.1 if easy or images else 0.05)
    trial = MgdSettings(**{"eta": 1.0, **settings})
    parameters = parameters_of(problem)
    period = trial.perturbation(parameters).period
    if settings.get("mode") == "analog":
        turn = period if period is not None else _RANDOM_PERIOD * parameters * int(trial.tau_p)
        if period is not None and patterns > _FEW_PATTERNS:
            settings.setdefault("tau_x", 2 * turn)
            settings.setdefault("tau_theta", patterns * int(settings["tau_x"]))
            settings.setdefault("eta", 8.0 * parameters / int(settings["tau_theta"]))
        settings.setdefault("eta", 1.6 / turn)  # what the cost falls within tau_hp stays below its swing
        settings.setdefault("tau_x", _PERIODS_OF_A_SAMPLE * turn)
        settings.setdefault("tau_hp", 0.5 * turn)
        settings.setdefault("tau_theta", turn)
        settings.setdefault("blank", int(trial.tau_p))
    else:
        turn = period if period is not None else int(trial.tau_p) * (_IMAGE_PATTERNS if images else 1)
        if period is not None and patterns > _FEW_PATTERNS:
            settings.setdefault("eta", min(2.0, 10.0 * parameters / (patterns * turn)))  # an update goes 10 g
            settings.setdefault("tau_theta", patterns * turn)
        settings.setdefault("eta", min(2.0, 4.0 * parameters / turn))  # an update goes 4 g at most
        settings.setdefault("tau_x", turn)
        settings.setdefault("tau_theta", turn)
    rest = {name: value for name, value in given.items() if name in beside}
    rest.setdefault("steps", 500_000 if easy else 1_000_000 if images else 2_000_000)
    rest.setdefault("checks", min(20 if images else 200, rest["steps"]))
    rest.setdefault("batch", 16 if images else 1)
    rest.setdefault("stop_when_solved", easy)
    return MgdTraining(MgdSettings(**settings), **rest)
