"""`inmateria learn --method ...`: baselines beside homodyne gradient extraction; same device, clock and budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from analysis.plots.task import plot_traces
from circuits.homodyne.engines import EngineName
from inmateria.commands.experiment import planned_loop
from inmateria.commands.facts import failed_facts, held_out_A, task_facts
from inmateria.commands.frame import Frame
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from learning.homodyne.experiment import Experiment
from learning.homodyne.results import evaluations_to_first, training_trace
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import learn
from learning.searches.meter import SearchResult, SearchSettings
from learning.searches.methods import DESCENT
from learning.searches.methods import METHODS as BASELINES
from learning.searches.search import search
from learning.tasks.task import Task
from learning.trace import Trace

METHODS = ("hge", *BASELINES)


def parse_methods(text: str) -> tuple[str, ...]:
    """Methods from a list with commas."""
    named = tuple(word.strip().lower() for word in text.split(","))
    for name in named:
        if name not in METHODS:
            raise InputError("method", text, f"{name!r} is no method", f"choose from {', '.join(METHODS)}")
        if named.count(name) > 1:
            raise InputError("method", text, f"names {name} twice", "name each once")
    return named


def run_search(
    experiment: Experiment, methods: tuple[str, ...], engine: EngineName, evaluations: int | None, frame: Frame
) -> dict[str, Any]:
    """Run the methods one after the other at equal budgets; return the document of the first, the others beside it."""
    assert frame.seed is not None
    seed = frame.seed
    task, settings = experiment.task, experiment.settings
    if settings.electronics_noise and "hge" not in methods:
        problem = f"is of the loop's elements, and {', '.join(methods)} sees the device alone"
        raise InputError("electronics_noise", True, problem, "leave it out, or take hge too")
    planned_loop(experiment, engine)
    budget = evaluations
    if budget is None:
        budget = settings.restarts * experiment.attempt_evaluations
    # looks and steps of a design are the loop's own, baselines keep theirs
    descent: dict[str, Any] = {**DESCENT, **task.training, "spread": settings.spread}
    searched = replace(experiment, settings=HgeSettings(**descent))
    given = settings.amplitude_V
    own = SearchSettings() if given is None else SearchSettings(probe_V=float(np.max(given)))
    found: dict[str, dict[str, Any]] = {}
    traces: dict[str, Trace] = {}
    for name in methods:
        with stderr.status(f"{task.name}: {name}"):
            if name == "hge":
                found[name], traces[name] = _by_hge(experiment, seed, engine, budget)
            else:
                rng = np.random.default_rng(seed)
                result = search(searched, name, device_evaluations=budget, rng=rng, settings=own)
                found[name], traces[name] = _facts(experiment, result), result.trace
        _tell(task, name, found[name], frame)
    summary = {**task_facts(task), "budget": budget, "method": methods[0], **found[methods[0]]}
    summary |= {"device": experiment.facts["device"], "design": experiment.facts["design"]}
    summary["methods"] = found
    frame.write_dataset("trace.nc", _dataset(task, traces))
    frame.write_figures(lambda _: {"trace.png": plot_traces(traces, task.name)})
    content = frame.summary(summary)
    if frame.folder is not None:
        frame.say(f"figure and trace are in {frame.folder}")
    return content


def _by_hge(experiment: Experiment, seed: int, engine: EngineName, budget: int) -> tuple[dict[str, Any], Trace]:
    bench, task = experiment.bench, experiment.task
    result = learn(
        experiment, rng=np.random.default_rng(seed), engine=engine,
        device_evaluations=budget,
    )  # fmt: skip
    if not result.attempts:
        raise InputError("evaluations", budget, "is less than one attempt of hge takes", "raise it")
    attempt, trace = result.best, training_trace(result)
    polarity = attempt.loop.stage.polarity
    return {
        "success": result.success,
        "restarts": result.starts,
        "failed_attempts": failed_facts(result.failed),
        "device_evaluations": result.device_evaluations,
        "evaluations_to_first": evaluations_to_first(result),
        "physical_s": result.physical_s,
        "polarity": polarity,
        **attempt.final.facts(),
        "test": task.test_facts(attempt.final_A, held_out_A(experiment, attempt.controls_V), polarity),
        "currents_A": dict(zip(task.patterns, map(float, attempt.final_A), strict=True)),
        "controls_V": dict(zip(bench.names, map(float, attempt.controls_V), strict=True)),
        "trace": _trace(trace),
    }, trace


def _facts(experiment: Experiment, result: SearchResult) -> dict[str, Any]:
    bench, task = experiment.bench, experiment.task
    return {
        "success": result.success,
        "restarts": result.starts,
        "device_evaluations": result.device_evaluations,
        "evaluations_to_first": result.device_evaluations if result.success else None,
        "physical_s": result.physical_s,
        "polarity": result.polarity,
        **result.score.facts(),
        "test": task.test_facts(result.outputs_A, held_out_A(experiment, result.controls_V), result.polarity),
        "currents_A": dict(zip(task.patterns, map(float, result.outputs_A), strict=True)),
        "controls_V": dict(zip(bench.names, map(float, result.controls_V), strict=True)),
        "trace": _trace(result.trace),
    }


def _trace(trace: Trace) -> dict[str, list[float]]:
    return {
        "device_evaluations": [int(n) for n in trace.evaluations],
        "physical_s": [float(t) for t in trace.time_s],
        "loss": [float(v) for v in trace.loss],
    }


def _dataset(task: Task, traces: dict[str, Trace]) -> xr.Dataset:
    parts = {}
    for name, trace in traces.items():
        steps = f"step_{name}"
        parts[f"evaluations_{name}"] = (steps, trace.evaluations, {"units": "1", "long_name": "device evaluations"})
        parts[f"time_{name}"] = (steps, trace.time_s, {"units": "s", "long_name": "physical time"})
        parts[f"loss_{name}"] = (steps, trace.loss, {"units": "1", "long_name": "best loss so far"})
    return xr.Dataset(parts, attrs={"task": task.name})


def _tell(task: Task, name: str, facts: dict[str, Any], frame: Frame) -> None:
    verdict = "learned" if facts["success"] else "not learned"
    shown = ", ".join(f"{k} {v:.2f}" for k, v in facts.items() if k in ("margin", "accuracy", "error"))
    frame.say(
        f"{task.name} by {name}: {verdict}, {facts['device_evaluations']} device evaluations "
        f"({facts['physical_s']:.0f} s), {shown}, {1e9 * facts['separation_A']:.2f} nA",
    )
