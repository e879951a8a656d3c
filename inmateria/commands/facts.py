"""What several commands say of a result in the same words: the facts of a task, of failed attempts, of the budget."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.designs.units import written
from analysis.gradients.path_check import PathCheck, Slopes
from circuits.fast_check.check import FastCheck
from circuits.homodyne.channel_margins import LoopMargins
from circuits.homodyne.loop import HomodyneLoop
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment
from learning.homodyne.holding import Lasting
from learning.homodyne.results import Attempt, FailedAttempt
from learning.tasks.boolean import BooleanTask
from learning.tasks.task import Task


def held_out_A(experiment: Experiment, controls_V: FloatArray) -> FloatArray:
    """Static output currents for the task's held-out points, A; empty where there are none."""
    levels = experiment.task.test_levels_V
    return experiment.bench.pattern_outputs_A(controls_V, levels) if levels else np.empty(0)


def task_facts(task: Task) -> dict[str, Any]:
    """What the document tells of a task."""
    return {
        "gate": task.name if isinstance(task, BooleanTask) else None,
        "task": task.name,
        "patterns": len(task.points),
        "test_points": len(task.test_points),
    }


def check_budget(experiment: Experiment, device_evaluations: int | None) -> None:
    """Refuse a budget that is too small for one attempt."""
    least = experiment.attempt_evaluations
    if device_evaluations is not None and device_evaluations < least:
        raise InputError("evaluations", device_evaluations, "is less than one attempt takes", f"take at least {least}")


def failed_facts(failed: tuple[FailedAttempt, ...]) -> list[dict[str, Any]]:
    """The attempts that failed, counted from 1, and why."""
    return [{"attempt": one.number + 1, "reason": one.reason} for one in failed]


def doubts_of(loop: HomodyneLoop) -> list[str]:
    """What a run of a loop could not see, as the document and stderr tell it."""
    if not loop.has_amplifiers:
        return []
    step = written(loop.max_step_s, "s", 3)
    return [
        f"steps of up to {step} see no amplifier that oscillates or settles too slowly, and no fast check was done: "
        "inmateria check DESIGN does it, and verify with everything else"
    ]


def fast_facts(found: FastCheck) -> dict[str, Any]:
    """What the fast check asked and found; figures that are no numbers are null."""
    return {
        "asked": vars(found.asked) | {},
        "passed": found.passed,
        "findings": [
            {
                **vars(one),
                "references": list(one.references),
                "figures": {name: value if np.isfinite(value) else None for name, value in one.figures.items()},
            }
            for one in found.findings
        ],
    }


def settling_facts(attempt: Attempt) -> dict[str, Any]:
    """Each control's share of the rate, how far the loop was from hunting before it ran, and how it came to rest."""
    loop, stability = attempt.loop, attempt.stability
    names = attempt.settling.names
    return {
        "rates": dict(zip(names, loop.control_rates.tolist(), strict=True)),
        "stability": None
        if stability is None
        else {
            "gain_margin": stability.gain_margin,
            "margin_dB": stability.margin_dB,
            "multiplier": stability.multiplier,
            "curvature_per_V": dict(zip(names, stability.curvatures_per_V.tolist(), strict=True)),
        },
        "settling": attempt.settling.facts(),
    }


def margins_facts(found: LoopMargins) -> dict[str, Any]:
    """How far each channel of a loop is from hunting, and all together; null for what is no number."""
    stability = found.stability
    return {
        "stability": {
            "gain_margin": stability.gain_margin,
            "margin_dB": stability.margin_dB,
            "multiplier": stability.multiplier,
            "period_s": stability.loop.sequence.period_s,
            "decay_s": found.decay_s,
            "still": found.still,
        },
        "tightest": found.tightest.name,
        "channels": [
            {**vars(one), "margin_dB": one.margin_dB, "curvature_per_V": float(curvature)}
            for one, curvature in zip(found.channels, stability.curvatures_per_V, strict=True)
        ],
    }


def lasting_facts(found: Lasting) -> dict[str, Any]:
    """How a learned gate lasts: until when, and what moved."""
    return {
        "lasts_s": found.lasts_s,
        "looked_s": found.looked_s,
        "stays": found.stays,
        "moved_V": found.moved_V,
        "separation_A": {"start": float(found.separation_A[0]), "end": float(found.separation_A[-1])},
        "source": found.source,
    }


def path_facts(check: PathCheck) -> dict[str, Any]:
    """The lock-ins' gradients along a path beside the exact ones: of what, where, at which dither, in what."""
    return {
        "sequences": list(check.sequences),
        "dither_V": list(check.dither_V),
        "parts": check.parts,
        "engine": check.engine,
        "loss": {"quantity": "d(mean loss)/dV", **_slope_facts(check.loss)},
        "output": {"quantity": "d(output current)/dV", "patterns": list(check.patterns), **_slope_facts(check.output)},
    }


def _slope_facts(slopes: Slopes) -> dict[str, list[float]]:
    return {"cosines": slopes.cosines.tolist(), "relative_errors": slopes.errors.tolist()}


STORE = "sweep.zarr"


SHOWN = {"gradient": "relative_error", "loss-gradient": "relative_error", "learn": "learned"}
"""The quantity that is drawn, and told of."""
