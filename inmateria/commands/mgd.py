"""`inmateria mgd`: multiplexed gradient descent of a network of sigmoid neurons, from many starts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from analysis.verification.yields import yield_of
from circuits.ngspice.engine import Engine
from inmateria.commands.results import Results
from inmateria.errors import InMateriaError, InputError, Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, descent_bar
from learning.multiplexed.backpropagation import softmax_accuracy
from learning.multiplexed.defaults import suited_training
from learning.multiplexed.descent import MultiplexedDescent
from learning.multiplexed.in_ngspice import circuit_training, train_in_ngspice
from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.multiplexed.training import MgdTraining, done_so_far, train_many
from learning.samples.images import read_images
from learning.samples.problem import Problem
from learning.samples.samples import SampleSet, digits, letters, parity

TASKS = "XOR, parity-3 to parity-10, letters, digits, mnist, fashion-mnist, cifar-10"
IMAGES = ("mnist", "fashion-mnist", "cifar-10")


def named_problem(name: str, data: Path | None = None) -> Problem:
    """The samples of a task.

    Parameters
    ----------
    name : str
    data : Path, optional
        Where images lie.

    Raises
    ------
    InputError
        For an unknown name, files that are missing or damaged, or a folder that the task has no use for.
    """
    word = name.strip().lower()
    if word in IMAGES:
        return read_images(word, data)
    if data is not None:
        raise InputError("data", str(data), f"{name} reads no files", f"leave it out, or take {', '.join(IMAGES)}")
    if word in ("xor", "parity"):
        return parity(2)
    stem, _, bits = word.partition("-")
    if stem == "parity" and bits.isdigit():
        return parity(int(bits))
    if word == "letters":
        return letters()
    if word == "digits":
        return digits()
    raise InputError("task", name, "is no task of mgd", f"choose one of {TASKS}")


def layers_of(text: str | None) -> tuple[int, ...] | None:
    """Hidden layers from a list with commas.

    Raises
    ------
    InputError
        If it is none.
    """
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise InputError("hidden", text, "is no list of layers", "give neurons of each hidden layer, e.g. '8,4'")
    return tuple(int(word) for word in words)


def run_mgd(
    task: str,
    options: Mapping[str, Any],
    *,
    hidden: tuple[int, ...] | None,
    seeds: int | None,
    inference_s: float,
    update_s: float,
    data: Path | None,
    where: str,
    engine: str,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Train, tell, and return the document.

    Parameters
    ----------
    task : str
    options : mapping
        What takes the place of the task's own settings: fields of `MgdSettings` and `MgdTraining` by name.
    hidden : tuple of int, optional
        Neurons of the hidden layers.
    seeds : int, optional
        Runs; left out: 10, of images 1.
    inference_s, update_s : float
        Time of one inference and of one update of all parameters in hardware, s.
    data : Path or None
        Where images lie.
    where : str
        PyTorch's device for them.
    engine : {"compiled", "ngspice"}
    folder : Path or None
    answer : Console
    """
    begin = time.perf_counter()
    samples = named_problem(task, data)
    if hidden is not None:
        if not isinstance(samples, SampleSet):
            raise InputError("hidden", hidden, f"{task} has its own layers", "leave it out")
        samples = replace(samples, hidden=hidden)
    for name, value in (("inference_time", inference_s), ("update_time", update_s)):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(name, value, "is no time", "give seconds, 0 or more")
    if seeds is None:
        seeds = 10 if isinstance(samples, SampleSet) else 1
    in_circuit = engine == "ngspice"
    if in_circuit and hidden is not None:
        raise InputError("hidden", hidden, "is not part of the circuit", "leave it out, or take --engine compiled")
    training = circuit_training(samples, options) if in_circuit else suited_training(samples, options)
    seed = training.settings.seed
    results = Results("mgd", seed, folder, {"task": samples.name, "seed": seed})
    what = f"{samples.name} by {training.settings.code} perturbation"
    kept = None if folder is None or in_circuit else folder / "checkpoints"
    try:
        with (
            compilation_told(stderr),
            descent_bar(stderr, what, seeds, training.steps) as tell,
        ):
            if in_circuit:
                assert isinstance(samples, SampleSet)  # circuit_training takes no other
                with Engine() as ngspice:
                    runs = train_in_ngspice(training, samples, seeds, ngspice, progress=tell)
            else:
                if isinstance(samples, SampleSet):
                    _compile(samples)
                workers = None if isinstance(samples, SampleSet) else 1
                runs = train_many(training, samples, seeds, folder=kept, workers=workers, where=where, progress=tell)
    except KeyboardInterrupt as interruption:
        partial = interruption.partial if isinstance(interruption, Interrupted) else None
        if kept is not None:
            with suppress(InputError):  # nothing of this training is there yet
                partial = done_so_far(training, samples, seeds, kept, where=where)
        if partial is not None:
            results.write_dataset("mgd.nc", partial)
        what = "stopped before anything was done" if partial is None else "stopped; what was done is in --out"
        what = what if folder is not None else "stopped; without --out nothing is kept"
        go_on = "run the command again" + (" to go on" if kept is not None and partial is not None else "")
        raise Interrupted("mgd", "Ctrl-C", what, go_on) from None
    except InMateriaError as error:
        if not isinstance(error, InputError):
            results.write_error(error)
        raise
    facts = _facts(runs, samples, training, inference_s, update_s)
    facts["engine"] = engine
    if in_circuit:
        facts["hardware"] = {
            "formula": "steps x step time",
            "step_s": runs.step_s,
            "time_s": training.steps * runs.step_s,
        }
        facts["ngspice"] = {"seconds": float(runs.wall_s.median()), "points": float(runs.points.median())}
    _tell(facts, answer)
    results.write_dataset("mgd.nc", runs)
    from analysis.plots.mgd import plot_descent

    softmax = facts.get("softmax_accuracy")
    beside = {} if softmax is None else {f"softmax {softmax:.3f}": softmax}
    title = f"{samples.name}, {runs.attrs['sizes']}, {training.settings.code}, {training.settings.mode}, {seeds} runs"
    results.write_figures(lambda data: {"mgd.png": plot_descent(data, title, beside)})
    facts["wall_s"] = time.perf_counter() - begin
    content = results.write_summary(facts)
    if folder is not None:
        answer.print(f"figure and curves are in {folder}", highlight=False)
    return content


def _compile(samples: SampleSet) -> None:
    """Have the loop compiled before the clock of the progress bar runs."""
    from learning.multiplexed.descent import MgdSettings

    network = SigmoidNetwork(samples.sizes)
    start = np.zeros(network.parameters)
    MultiplexedDescent(network.data(samples.inputs, samples.targets), start, MgdSettings(eta=1.0)).run(1)


def _facts(
    runs: xr.Dataset, samples: Problem, training: MgdTraining, inference_s: float, update_s: float
) -> dict[str, Any]:
    """Figures of all runs."""
    count = runs.sizes["seed"]
    looks = np.isfinite(runs.cost).sum("step") - 1  # a run that was solved ends early
    last = runs.isel(step=looks)
    inferences, updates = float(last.inferences.median()), float(last.updates.median())
    solved = int(runs.solved.sum())
    facts: dict[str, Any] = {
        "success": solved > 0,
        "task": samples.name,
        "network": runs.attrs["sizes"],
        "parameters": runs.sizes["parameter"],
        "training": asdict(training),
        "runs": count,
        "cost": _spread(last.cost.values),
        "accuracy": _spread(last.accuracy.values),
        "inferences": inferences,
        "updates": updates,
        "hardware": {
            "formula": "inferences x inference time + updates x update time",
            "inference_s": inference_s,
            "update_s": update_s,
            "time_s": inferences * inference_s + updates * update_s,
        },
    }
    angles = runs.angle_deg.values
    facts["angle_deg"] = float(np.median(angles[np.isfinite(angles)])) if np.isfinite(angles).any() else None
    if samples.name.startswith("parity"):
        found = yield_of(runs.solved.values)
        facts["solved"] = {"runs": solved, "share": found.share, "low": found.low, "high": found.high}
        facts["median_steps_to_solved"] = float(runs.steps_to_solved.median()) if solved else None
    else:
        facts["success"] = True
    if bool(np.isfinite(last.test_accuracy).all()):
        facts["test_accuracy"] = _spread(last.test_accuracy.values)
    if isinstance(samples, SampleSet) and len(samples.test_inputs):
        facts["softmax_accuracy"] = softmax_accuracy(samples)
    return facts


def _spread(values: np.ndarray[Any, Any]) -> dict[str, float]:
    return {"median": float(np.median(values)), "least": float(np.min(values)), "largest": float(np.max(values))}


def _tell(facts: dict[str, Any], answer: Console) -> None:
    settings = facts["training"]["settings"]
    line = (
        f"{facts['task']} ({facts['network']}, {facts['parameters']} parameters) by {settings['code']} perturbation: "
    )
    if "solved" in facts:
        share = facts["solved"]
        line += f"{share['runs']} of {facts['runs']} runs solved ({share['low']:.0%} to {share['high']:.0%})"
        if facts["median_steps_to_solved"] is not None:
            line += f", median {facts['median_steps_to_solved']:.3g} steps"
    else:
        test = facts["test_accuracy"]
        beside = f" (softmax {facts['softmax_accuracy']:.3f})" if "softmax_accuracy" in facts else ""
        line += f"test accuracy {test['median']:.3f}{beside}, {facts['runs']} run" + ("s" if facts["runs"] > 1 else "")
    answer.print(line, highlight=False)
    hardware = facts["hardware"]
    if "ngspice" in facts:
        price = facts["ngspice"]
        answer.print(
            f"cost {facts['cost']['median']:.3g}; a run is {hardware['time_s']:.3g} s of the circuit at "
            f"{hardware['step_s']:g} s a step, and took ngspice {price['seconds']:.3g} s, {price['points']:.3g} points",
            highlight=False,
        )
        return
    answer.print(
        f"cost {facts['cost']['median']:.3g}; a run took {facts['inferences']:.3g} inferences and "
        f"{facts['updates']:.3g} updates: {hardware['time_s']:.3g} s in hardware with "
        f"{hardware['inference_s']:g} s and {hardware['update_s']:g} s for each",
        highlight=False,
    )
