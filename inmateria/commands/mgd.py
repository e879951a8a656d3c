"""`inmateria mgd`: multiplexed gradient descent of a network of sigmoid neurons, from many starts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inmateria.commands.frame import Frame, Json, stopped
from inmateria.commands.options import Out, Seed
from inmateria.errors import InputError, Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, descent_bar
from learning.choices import DescentMode
from lockin.choices import Code

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from learning.multiplexed.training import MgdTraining
    from learning.samples.problem import Problem
    from learning.samples.samples import SampleSet

FILES = ("mgd.nc", "mgd.png")
TASKS = "XOR, parity-3 to parity-10, letters, digits, mnist, fashion-mnist, cifar-10"
IMAGES = ("mnist", "fashion-mnist", "cifar-10")


@dataclass(frozen=True, kw_only=True)
class Options:
    """A task, how it is trained, and figures of the hardware; settings have the names of `MgdSettings`."""

    task: Annotated[
        str, typer.Argument(help="XOR, parity-3 to parity-10, letters, digits, mnist, fashion-mnist, cifar-10.")
    ]
    as_json: Json = False
    out: Out = None
    seed: Seed = 0
    code: Annotated[Code, typer.Option(help="Perturbation of the parameters.")] = "random"
    mode: Annotated[
        DescentMode | None,
        typer.Option(
            help="Costs compared and summed (usual), or through a high-pass and a low-pass (ngspice: always)."
        ),
    ] = None
    engine: Annotated[
        Literal["compiled", "ngspice"], typer.Option(help="Compiled equations, or XOR as a circuit in ngspice.")
    ] = "compiled"
    eta: Annotated[float | None, typer.Option(help="Learning rate, per step.")] = None
    norm: Annotated[float | None, typer.Option(help="Root of the perturbation's mean squared norm, m.")] = None
    tau_p: Annotated[int, typer.Option(help="Steps for which a pattern of the perturbation stands.", min=1)] = 1
    tau_theta: Annotated[
        int | None, typer.Option(help="Steps between updates; analog: time constant of the low-pass.", min=1)
    ] = None
    tau_x: Annotated[
        int | None, typer.Option(help="Steps for which a sample is shown; the code's period if left out.", min=1)
    ] = None
    tau_hp: Annotated[float | None, typer.Option(help="Analog: time constant of the high-pass, steps.")] = None
    steps: Annotated[int | None, typer.Option(help="Steps of a run.", min=1)] = None
    seeds: Annotated[
        int | None, typer.Option(help="Runs, each from a start of its own; left out: 10, of images 1.", min=1)
    ] = None
    checks: Annotated[int | None, typer.Option(help="Looks at all samples during a run.", min=1)] = None
    batch: Annotated[int | None, typer.Option(help="Samples presented together.", min=1)] = None
    hidden: Annotated[str | None, typer.Option(help="Neurons of the hidden layers, e.g. '4' or '8,4'.")] = None
    momentum: Annotated[float, typer.Option(help="Share of the velocity that is kept.")] = 0.0
    cost_noise: Annotated[float, typer.Option(help="Standard deviation of each measured cost.")] = 0.0
    update_noise: Annotated[float, typer.Option(help="Standard deviation that an update adds to a parameter.")] = 0.0
    common_noise: Annotated[float, typer.Option(help="The same, one number for all parameters.")] = 0.0
    defects: Annotated[float, typer.Option(help="Spread of the neurons' height, steepness, middle and floor.")] = 0.0
    data: Annotated[Path | None, typer.Option(help="Folder of images: IDX files, or CIFAR-10's python archive.")] = None
    torch_device: Annotated[str, typer.Option(help="Of images, where PyTorch computes: cpu or cuda.")] = "cpu"
    inference_time: Annotated[float, typer.Option(help="Of the hardware, s; the example is a chip in the loop.")] = 1e-3
    update_time: Annotated[float, typer.Option(help="Of the hardware, for all parameters, s.")] = 1e-3


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Train a network by multiplexed gradient descent, from many starts; images by a convolutional network (PyTorch).

    Exit 0 if a run solved the parity (other tasks: when done), 1 if none did. With --out: mgd.nc, summary.json, the
    figure, and checkpoints from which a run that was stopped or killed goes on.

    Example: inmateria mgd XOR --code walsh --seeds 50 --out xor
    """
    from learning.samples.samples import SampleSet

    hidden = layers_of(options.hidden)
    samples = named_problem(options.task, options.data)
    if hidden is not None:
        if not isinstance(samples, SampleSet):
            raise InputError("hidden", hidden, f"{options.task} has its own layers", "leave it out")
        samples = replace(samples, hidden=hidden)
    for name, value in (("inference_time", options.inference_time), ("update_time", options.update_time)):
        if not 0 <= value < float("inf"):
            raise InputError(name, value, "is no time", "give seconds, 0 or more")
    if options.engine == "ngspice" and hidden is not None:
        raise InputError("hidden", hidden, "is not part of the circuit", "leave it out, or take --engine compiled")
    seeds = options.seeds if options.seeds is not None else 10 if isinstance(samples, SampleSet) else 1
    training = _training(samples, options)
    frame.attrs = {"task": samples.name, "seed": frame.seed}
    runs = _train(training, samples, seeds, options, frame)
    facts = _facts(runs, samples, training, options)
    _tell(facts, frame)
    frame.write_dataset("mgd.nc", runs)
    frame.write_figures(lambda data: _figures(data, facts, training, seeds))
    content = frame.summary(facts)
    if frame.folder is not None:
        frame.say(f"figure and curves are in {frame.folder}")
    return content


def named_problem(name: str, data: Path | None = None) -> Problem:
    """The samples of a task; `data` is where images lie."""
    from learning.samples.images import read_images
    from learning.samples.samples import digits, letters, parity

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
    """Hidden layers from a list with commas."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise InputError("hidden", text, "is no list of layers", "give neurons of each hidden layer, e.g. '8,4'")
    return tuple(int(word) for word in words)


def _training(samples: Problem, options: Options) -> MgdTraining:
    """What was said takes the place of the task's own settings: options have the names of the settings."""
    from learning.multiplexed.defaults import suited_training
    from learning.multiplexed.descent import MgdSettings
    from learning.multiplexed.in_ngspice import circuit_training
    from learning.multiplexed.training import MgdTraining

    names = {one.name for kind in (MgdSettings, MgdTraining) for one in fields(kind)}
    given = {name: value for name, value in vars(options).items() if name in names}
    return (circuit_training if options.engine == "ngspice" else suited_training)(samples, given)


def _train(training: MgdTraining, samples: Problem, seeds: int, options: Options, frame: Frame) -> xr.Dataset:
    """All runs, compiled or in ngspice."""
    from circuits.ngspice.engine import Engine
    from learning.multiplexed.in_ngspice import train_in_ngspice
    from learning.multiplexed.training import train_many
    from learning.samples.samples import SampleSet

    in_circuit = options.engine == "ngspice"
    kept = None if frame.folder is None or in_circuit else frame.folder / "checkpoints"
    what = f"{samples.name} by {training.settings.code} perturbation"
    with (
        frame.keeping(lambda stop: _keep(stop, training, samples, seeds, kept, options, frame)),
        frame.errors_told(),
        compilation_told(stderr),
        descent_bar(stderr, what, seeds, training.steps) as tell,
    ):
        if in_circuit:
            assert isinstance(samples, SampleSet)  # circuit_training takes no other
            with Engine(folder=frame.folder) as ngspice:
                return train_in_ngspice(training, samples, seeds, ngspice, progress=tell)
        if isinstance(samples, SampleSet):
            _compile(samples)
        workers = None if isinstance(samples, SampleSet) else 1
        return train_many(
            training, samples, seeds, folder=kept, workers=workers, where=options.torch_device, progress=tell
        )


def _keep(
    interruption: KeyboardInterrupt, training: MgdTraining, samples: Problem, seeds: int, kept: Path | None,
    options: Options, frame: Frame,
) -> Interrupted:  # fmt: skip
    """Write the curves of what was done; the error that says so."""
    from learning.multiplexed.training import done_so_far

    partial = interruption.partial if isinstance(interruption, Interrupted) else None
    if kept is not None:
        with suppress(InputError):  # nothing of this training is there yet
            partial = done_so_far(training, samples, seeds, kept, where=options.torch_device)
    if partial is not None:
        frame.write_dataset("mgd.nc", partial)
    what = "stopped before anything was done" if partial is None else "stopped; what was done is in --out"
    what = what if frame.folder is not None else "stopped; without --out nothing is kept"
    go_on = "run the command again" + (" to go on" if kept is not None and partial is not None else "")
    return stopped(what, go_on, "mgd")


def _figures(data: xr.Dataset, facts: dict[str, Any], training: MgdTraining, seeds: int) -> dict[str, Any]:
    from analysis.plots.mgd import plot_descent

    softmax, settings = facts.get("softmax_accuracy"), training.settings
    beside = {} if softmax is None else {f"softmax {softmax:.3f}": softmax}
    title = f"{facts['task']}, {data.attrs['sizes']}, {settings.code}, {settings.mode}, {seeds} runs"
    return {"mgd.png": plot_descent(data, title, beside)}


def _compile(samples: SampleSet) -> None:
    """Have the loop compiled before the clock of the progress bar runs."""
    import numpy as np

    from learning.multiplexed.descent import MgdSettings, MultiplexedDescent
    from learning.multiplexed.sigmoid_network import SigmoidNetwork

    network = SigmoidNetwork(samples.sizes)
    start = np.zeros(network.parameters)
    MultiplexedDescent(network.data(samples.inputs, samples.targets), start, MgdSettings(eta=1.0)).run(1)


def _facts(runs: xr.Dataset, samples: Problem, training: MgdTraining, options: Options) -> dict[str, Any]:
    """Figures of all runs."""
    import numpy as np

    from analysis.verification.yields import yield_of
    from learning.multiplexed.backpropagation import softmax_accuracy
    from learning.samples.samples import SampleSet

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
            "inference_s": options.inference_time,
            "update_s": options.update_time,
            "time_s": inferences * options.inference_time + updates * options.update_time,
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
    facts["engine"] = options.engine
    if options.engine == "ngspice":
        time_s = training.steps * runs.step_s
        facts["hardware"] = {"formula": "steps x step time", "step_s": runs.step_s, "time_s": time_s}
        facts["ngspice"] = {"seconds": float(runs.wall_s.median()), "points": float(runs.points.median())}
    return facts


def _spread(values: np.ndarray[Any, Any]) -> dict[str, float]:
    import numpy as np

    return {"median": float(np.median(values)), "least": float(np.min(values)), "largest": float(np.max(values))}


def _tell(facts: dict[str, Any], frame: Frame) -> None:
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
    frame.say(line)
    hardware = facts["hardware"]
    if "ngspice" in facts:
        price = facts["ngspice"]
        frame.say(
            f"cost {facts['cost']['median']:.3g}; a run is {hardware['time_s']:.3g} s of the circuit at "
            f"{hardware['step_s']:g} s a step, and took ngspice {price['seconds']:.3g} s, {price['points']:.3g} points",
        )
        return
    frame.say(
        f"cost {facts['cost']['median']:.3g}; a run took {facts['inferences']:.3g} inferences and "
        f"{facts['updates']:.3g} updates: {hardware['time_s']:.3g} s in hardware with "
        f"{hardware['inference_s']:g} s and {hardware['update_s']:g} s for each",
    )
