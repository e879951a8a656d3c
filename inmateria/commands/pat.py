"""`inmateria pat`: physics-aware training of a circuit or a device, on several splits of a task's samples."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inmateria.commands.frame import Frame, Json, stopped
from inmateria.commands.options import Out, Seed
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, training_bar
from learning.choices import LayerName, OnFailure, PassMode

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from learning.physics_aware.settings import PatTraining
    from learning.physics_aware.setups import LayerSettings, PhysicalSetup
    from learning.samples.samples import SampleSet

FILES = ("pat.nc", "pat.png", "pat_waveforms.png")
TASKS = "vowels, digits, mnist, fashion-mnist"
SETTINGS = {
    "vowels": {"epochs": 60, "batch": 35, "look_every": 20},
    "digits": {"epochs": 20, "batch": 50, "look_every": 4, "look_samples": 500},
    "images": {"epochs": 6, "batch": 100, "look_every": 2, "look_samples": 500},
}
"""How long a task is trained where nothing is said: settings of `PatTraining`."""
CHIP = "dnpu_chip.npz"
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Of the softmax beside it, one chosen by cross-validation; of larger sets the usual one."""
_FEW = 500
_SHOWN = 500  # samples of the comparison of the system with its model


@dataclass(frozen=True, kw_only=True)
class Options:
    """A task, its physical layer, and how it is trained."""

    task: Annotated[str, typer.Argument(help="vowels, digits, mnist, fashion-mnist.")]
    as_json: Json = False
    out: Out = None
    seed: Seed = 0
    layer: Annotated[
        LayerName, typer.Option(help="RLC circuit with a transistor, nodes of a chip, or nothing, for comparison.")
    ] = "rlc"
    mode: Annotated[
        PassMode, typer.Option(help="Forwards the layer and backwards its model; both the model; both the layer.")
    ] = "pat"
    engine: Annotated[
        Literal["ngspice", "twin"], typer.Option(help="Of the layer rlc: ngspice, or the same time steps compiled.")
    ] = "ngspice"
    device: Annotated[
        str | None, typer.Option(help="Of the layer dnpu: the file of a measured chip (.npz, .pickle).")
    ] = None
    data: Annotated[Path | None, typer.Option(help="File of the vowels, or folder of the images (IDX).")] = None
    splits: Annotated[int, typer.Option(help="Trainings, each on a split and a board of its own.", min=1)] = 1
    passes: Annotated[int, typer.Option(help="Times a sample goes through the layer.", min=1)] = 3
    width: Annotated[int | None, typer.Option(help="Values of a waveform, or nodes of the chip.", min=1)] = None
    steps: Annotated[int, typer.Option(help="Of the layer rlc: time steps from value to value.", min=1)] = 2
    taps: Annotated[
        int, typer.Option(help="Of the layers rlc and identity: past values that the model sees.", min=1)
    ] = 16
    spread: Annotated[float, typer.Option(help="Relative spread of components, which the model does not know.")] = 0.05
    noise: Annotated[float, typer.Option(help="Standard deviation of the layer's noise, V.")] = 0.01
    epochs: Annotated[int | None, typer.Option(help="Passes through all training samples.", min=1)] = None
    batch: Annotated[int | None, typer.Option(help="Samples an update.", min=1)] = None
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None
    jitter: Annotated[
        float | None, typer.Option(help="Noise added to the features in training, in units of their spread.")
    ] = None
    refit: Annotated[
        int | None, typer.Option(help="Epochs between refits of the model on what was measured.", min=1)
    ] = None
    on_failure: Annotated[
        OnFailure, typer.Option(help="When the layer gives no answer to a sample: go on without it, or stop.")
    ] = "skip"

    @property
    def word(self) -> str:
        """The task's name as it is known."""
        return self.task.strip().lower()


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Train a circuit or a chip by backpropagation through a model of it (physics-aware training; PyTorch).

    Accuracies are always those of the layer itself, with its noise. With --out: pat.nc, summary.json, figures, and
    checkpoints from which a run that was stopped or killed goes on.

    Example: inmateria pat vowels --splits 5 --out vowels
    """
    from analysis.plots.pat import plot_training, plot_waveforms
    from learning.physics_aware.setups import LayerSettings

    layer = LayerSettings(
        options.layer, options.width, options.passes, options.spread, options.noise, options.steps, options.taps
    )
    training = _training(options)
    splits = options.splits
    if splits > 1 and options.word in ("mnist", "fashion-mnist"):
        raise InputError("splits", splits, f"{options.task} has an official test set", "leave it out")
    done = _train_all(layer, training, options, frame)
    facts = _facts(done, layer, training, options)
    _tell(facts, frame)
    frame.write_dataset("pat.nc", done.data)
    plural = "s" * (splits > 1)
    title = f"{facts['task']}, {layer.layer}, {training.mode}, {layer.passes} passes, {splits} split{plural}"
    frame.write_figures(
        lambda data: {"pat.png": plot_training(data, title), "pat_waveforms.png": plot_waveforms(data, title)}
    )
    content = frame.summary(facts)
    if frame.folder is not None:
        frame.say(f"figures and curves are in {frame.folder}")
    return content


def named_samples(task: str, data: Path | None, split: int) -> SampleSet:
    """The samples of a task; `data` is the vowels' file or the images' folder, `split` the seed of a division."""
    from learning.samples.images import pooled, read_images
    from learning.samples.samples import digits
    from learning.samples.vowels import vowels

    word = task.strip().lower()
    if word == "vowels":
        return vowels(data, seed=split)
    if word == "digits":
        if data is not None:
            raise InputError("data", str(data), "digits reads no files", "leave it out")
        return digits(seed=split)
    if word in ("mnist", "fashion-mnist"):
        return pooled(read_images(word, data))
    raise InputError("task", task, "is no task of pat", f"choose one of {TASKS}")


@dataclass(frozen=True, eq=False)
class _Done:
    """All trainings together, the samples of the first, and the accuracy of a softmax on those of each."""

    data: xr.Dataset
    samples: SampleSet
    softmax: list[float]


def _training(options: Options) -> PatTraining:
    """What was said takes the place of the task's own settings."""
    from learning.physics_aware.settings import PatTraining

    said = {
        "epochs": options.epochs, "batch": options.batch, "rate": options.rate, "jitter": options.jitter,
        "refit_every": options.refit,
    }  # fmt: skip
    own = PatTraining(mode=options.mode, on_failure=options.on_failure)
    usual = SETTINGS.get(options.word, SETTINGS["images"])
    return replace(own, **{**usual, **{name: value for name, value in said.items() if value is not None}})  # type: ignore[arg-type]


def _train_all(layer: LayerSettings, training: PatTraining, options: Options, frame: Frame) -> _Done:
    """Fit the model, and train on each split."""
    from circuits.ngspice.pool import EnginePool
    from learning.checkpoint_folder import claim
    from learning.multiplexed.backpropagation import softmax_accuracy
    from learning.physics_aware.setups import physical_setup
    from learning.pytorch import pytorch

    seed, engine = options.seed, options.engine
    chip = _chip(layer, options.device)
    pytorch().set_num_threads(1)  # its tensors are small, and the processors belong to the engines
    first = named_samples(options.task, options.data, seed)
    frame.attrs = {"task": first.name, "seed": seed}
    kept = None if frame.folder is None else frame.folder / "checkpoints"
    runs: list[xr.Dataset] = []
    softmax: list[float] = []
    engines = EnginePool(folder=frame.folder) if layer.layer == "rlc" and engine == "ngspice" else nullcontext()
    with engines as pool, compilation_told(stderr):
        drawn = physical_setup(layer, first, engines=pool, device=chip)  # what does not fit ends here
        stop = stopped("stopped; what was done is kept in --out", "run the command again to go on", "pat")
        with frame.keeping(lambda _: stop), frame.errors_told():
            fitted = _fit(drawn, training, seed)
            if kept is not None:
                claim(kept, _layer_facts(layer, drawn, engine, chip, training, seed), "layer.json")
            for split in range(seed, seed + options.splits):
                samples = first if split == seed else named_samples(options.task, options.data, split)
                setup = physical_setup(layer, samples, board=split, engines=pool, device=chip)
                place = None if kept is None else kept / f"split-{split}"
                runs.append(_train(training, setup, fitted, samples, split, place))
                softmax.append(softmax_accuracy(samples, STRENGTHS if len(samples.inputs) < _FEW else (1.0,)))
    return _Done(_together(runs, first, softmax, layer, fitted, options), first, softmax)


def _layer_facts(
    layer: LayerSettings, drawn: PhysicalSetup, engine: str, chip: Any, training: PatTraining, seed: int
) -> dict[str, Any]:
    """What the results depend on beside the training's settings."""
    import numpy as np

    facts: dict[str, Any] = {**asdict(layer), "model_seed": None if training.mode == "ideal" else seed}
    if layer.layer == "rlc":
        circuit = drawn.drawn.circuit
        facts |= {"engine": engine, "netlist": circuit.netlist, "settle": circuit.settle, "rest_V": circuit.rest_V}
    if chip is not None:
        probe = np.random.default_rng(0).uniform(-0.1, 0.1, (3, len(chip.terminals))).clip(*chip.limits_V.T)
        facts["currents_A"] = [float(current) for volts in probe for current in np.ravel(chip.currents(volts))]
    return facts


def _chip(layer: LayerSettings, device: str | None) -> Any:
    from dnpu_models.surrogate.chip import ChipSurrogate
    from learning.bench.devices import DeviceOptions, make_device
    from learning.samples.samples import data_folder

    if layer.layer != "dnpu":
        if device is not None:
            raise InputError(
                "device", device, f"the layer {layer.layer} has none", "leave it out, or take --layer dnpu"
            )
        return None
    name = device or str(data_folder() / CHIP)
    if device is None and not Path(name).is_file():
        raise InputError("device", name, "is not there", "name the file of a measured chip, or set INMATERIA_DATA")
    found, _ = make_device(DeviceOptions(name))
    if not isinstance(found, ChipSurrogate):
        raise InputError("device", name, "takes too long for thousands of samples", "take a chip's file")
    return found


def _fit(setup: PhysicalSetup, training: PatTraining, seed: int) -> Any:
    """The model of the system as drawn."""
    from learning.physics_aware.model_fit import fit_model

    if training.mode == "ideal":
        return None
    stderr.print("fitting the model of the layer as drawn")
    found = fit_model(setup.drawn, setup.model(seed), samples=600 if setup.drawn.inputs > 100 else 2000, seed=seed)
    stderr.print(f"model fitted: {100 * found.error:.1f} % error on samples held out")
    return found


def _train(
    training: PatTraining, setup: PhysicalSetup, fitted: Any, samples: SampleSet, split: int, folder: Path | None
) -> xr.Dataset:  # fmt: skip
    """One split: its curves, examples of waveforms, and the system beside the model."""
    import numpy as np

    from learning.physics_aware.training import scaled_features, train_physics_aware
    from learning.pytorch import pytorch

    torch = pytorch()
    model = None if fitted is None else fitted.model
    with training_bar(stderr, f"{samples.name}, split {split}", training.epochs) as tell:
        result = train_physics_aware(
            training, setup.built, model, samples, layout=setup.layout, seed=split, folder=folder, progress=tell
        )
    found = result.dataset()
    network = result.network
    held = samples.test_inputs if len(samples.test_inputs) else samples.inputs
    truth = np.argmax(samples.test_targets if len(samples.test_inputs) else samples.targets, axis=1)
    ones = [int(np.flatnonzero(truth == c)[0]) for c in np.unique(truth)]
    with torch.no_grad():
        noise = np.random.default_rng([split, 61])
        mode = "ideal" if training.mode == "ideal" else "pat"
        done = network.run(scaled_features(samples, held[ones]), noise, mode=mode)
        values, responses = np.stack(done.values_V, axis=1), np.stack(done.responses_V, axis=1)
        modelled = np.full(responses.shape, np.nan)
        if network.model is not None:
            flat = network.model(torch.tensor(values.reshape(-1, values.shape[-1])))
            modelled = flat.numpy().reshape(responses.shape)
    pick = np.random.default_rng(0).permutation(responses.size)[:_SHOWN]
    return found.assign(
        values_V=(("example", "pass", "input"), values, {"units": "V"}),
        response_V=(("example", "pass", "output"), responses, {"units": "V"}),
        model_V=(("example", "pass", "output"), modelled, {"units": "V"}),
        measured_V=("point", responses.ravel()[pick], {"units": "V"}),
        modelled_V=("point", modelled.ravel()[pick], {"units": "V"}),
    ).assign_coords(example=[_class_names(samples)[truth[k]] for k in ones])


def _class_names(samples: SampleSet) -> list[str]:
    from learning.samples.vowels import VOWELS

    return list(VOWELS) if samples.name == "vowels" else [str(k) for k in range(samples.targets.shape[1])]


def _together(
    runs: list[xr.Dataset], samples: SampleSet, softmax: list[float], layer: LayerSettings, fitted: Any,
    options: Options,
) -> xr.Dataset:  # fmt: skip
    """All splits in one dataset; examples are those of the first."""
    import numpy as np
    import xarray as xr

    seed = options.seed
    single = ("values_V", "response_V", "model_V", "measured_V", "modelled_V")
    curves = xr.concat([run.drop_vars([*single, "example"]) for run in runs], dim="split", combine_attrs="drop")
    names = _class_names(samples)
    together = curves.assign_coords({"split": np.arange(seed, seed + len(runs)), "class": names, "chosen": names})
    together = together.assign({name: runs[0][name] for name in single})
    failed = sorted({int(k) for run in runs for k in run.attrs["failed_samples"]})
    return together.assign_attrs(
        task=samples.name,
        engine=options.engine,
        softmax_accuracy=float(np.mean(softmax)),
        model_error=float("nan") if fitted is None else float(fitted.error),
        failed_samples=failed,
        failures="\n".join(
            f"{told} (split {split})"
            for split, run in enumerate(runs, seed)
            for told in run.attrs["failures"].splitlines()
        ),
        forward_samples=int(sum(run.attrs["forward_samples"] for run in runs)),
        training=runs[0].attrs["training"],
        **{f"layer_{name}": -1 if value is None else value for name, value in asdict(layer).items()},
    )


def _facts(done: _Done, layer: LayerSettings, training: PatTraining, options: Options) -> dict[str, Any]:
    import numpy as np

    runs, samples = done.data, done.samples
    last = runs.isel(epoch=-1)
    held = bool(np.isfinite(last.test_accuracy).all())
    return {
        "success": True,
        "task": samples.name,
        "layer": asdict(layer) | {"engine": options.engine if layer.layer == "rlc" else None},
        "training": asdict(training),
        "splits": runs.sizes["split"],
        "samples": len(samples.inputs),
        "test_samples": len(samples.test_inputs),
        "parameters": int(sum(runs[name].isel(split=0).size for name in ("scale", "offset", "skip", "gain"))),
        "accuracy": _spread(last.test_accuracy.values if held else last.accuracy.values),
        "training_accuracy": _spread(last.accuracy.values),
        "softmax_accuracy": _spread(np.array(done.softmax)),
        "model_error": runs.attrs["model_error"],
        "angle_deg": [float(a) for a in last.angle_deg.mean("split").values],
        "forward_samples": runs.attrs["forward_samples"],
        "failed_samples": runs.attrs["failed_samples"],
        "failures": runs.attrs["failures"].splitlines(),
    }


def _spread(values: np.ndarray[Any, Any]) -> dict[str, float | None]:
    """Mean, standard deviation over splits, and the mean's standard error."""
    import numpy as np

    count = len(values)
    deviation = float(np.std(values, ddof=1)) if count > 1 else None
    error = None if deviation is None else deviation / float(np.sqrt(count))
    return {"mean": float(np.mean(values)), "deviation": deviation, "error": error}


def _tell(facts: dict[str, Any], frame: Frame) -> None:
    def said(found: dict[str, float | None]) -> str:
        error = found["error"]
        return f"{found['mean']:.3f}" + ("" if error is None else f" +- {error:.3f}")

    number = facts["splits"]
    frame.say(
        f"{facts['task']}, layer {facts['layer']['layer']}, mode {facts['training']['mode']}: accuracy "
        f"{said(facts['accuracy'])} on {facts['test_samples']} samples held out, {number} split"
        + "s"
        * (number > 1)
        + f"; "
        f"softmax on the features {said(facts['softmax_accuracy'])}",
    )
    fit = facts["model_error"]
    words = "" if not math.isfinite(fit) else f"model's error {100 * fit:.1f} %; "
    frame.say(
        f"{words}{facts['parameters']} parameters, {facts['forward_samples']} samples through the layer in training",
    )
    for failure in facts["failures"]:
        frame.say(f"the layer failed for sample {failure}", markup=False)
