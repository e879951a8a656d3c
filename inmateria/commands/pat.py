"""`inmateria pat`: physics-aware training of a circuit or a device, on several splits of a task's samples."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from circuits.ngspice.pool import EnginePool
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.commands.results import Results
from inmateria.errors import InMateriaError, InputError, Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, training_bar
from learning.bench.devices import DeviceOptions, make_device
from learning.checkpoint_folder import claim
from learning.multiplexed.backpropagation import softmax_accuracy
from learning.physics_aware.settings import PatTraining
from learning.physics_aware.setups import LayerSettings, PhysicalSetup, physical_setup
from learning.pytorch import pytorch
from learning.samples.data_folder import data_folder
from learning.samples.images import pooled, read_images
from learning.samples.samples import SampleSet, digits
from learning.samples.vowels import vowels

TASKS = "vowels, digits, mnist, fashion-mnist"
VOWELS = ("ae", "ah", "aw", "er", "ih", "iy", "uw")
SETTINGS = {
    "vowels": PatTraining(epochs=60, batch=35, look_every=20),
    "digits": PatTraining(epochs=20, batch=50, look_every=4, look_samples=500),
    "images": PatTraining(epochs=6, batch=100, look_every=2, look_samples=500),
}
"""How long a task is trained where nothing is said."""
CHIP = "dnpu_chip.npz"
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Of the softmax beside it, one chosen by cross-validation; of larger sets the usual one."""
_FEW = 500
_SHOWN = 500  # samples of the comparison of the system with its model


def named_samples(task: str, data: Path | None, split: int) -> SampleSet:
    """The samples of a task.

    Parameters
    ----------
    task : str
    data : Path or None
        Where they lie: the file of the vowels, the folder of the images.
    split : int
        Seed of the division into samples to train on and samples held out, where there is no official one.

    Raises
    ------
    InputError
        For an unknown task, files that are missing or damaged, or a path that the task has no use for.
    """
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


def run_pat(
    task: str,
    layer: LayerSettings,
    options: Mapping[str, Any],
    *,
    engine: str,
    device: str | None,
    splits: int,
    seed: int,
    data: Path | None,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Fit the model, train on each split, tell, and return the document.

    Parameters
    ----------
    task : str
    layer : LayerSettings
    options : mapping
        What takes the place of the task's own settings: fields of `PatTraining` by name; None leaves them.
    engine : {"ngspice", "twin"}
        What runs the electronic layer.
    device : str or None
        Of the layer dnpu: a chip's file; that of the shared data by default.
    splits : int
        Trainings, each on a split and on a board of its own.
    seed : int
        Of the first one; the others count on.
    data : Path or None
    folder : Path or None
    answer : Console
    """
    begin = time.perf_counter()
    training = replace(
        SETTINGS.get(task.strip().lower(), SETTINGS["images"]),
        **{name: value for name, value in options.items() if value is not None},
    )
    if splits > 1 and task.strip().lower() in ("mnist", "fashion-mnist"):
        raise InputError("splits", splits, f"{task} has an official test set", "leave it out")
    chip = _chip(layer, device)
    pytorch().set_num_threads(1)  # its tensors are small, and the processors belong to the engines
    first = named_samples(task, data, seed)
    results = Results("pat", seed, folder, {"task": first.name, "seed": seed})
    kept = None if folder is None else folder / "checkpoints"
    runs: list[xr.Dataset] = []
    softmax: list[float] = []
    with _engines(layer, engine) as pool, compilation_told(stderr):
        drawn = physical_setup(layer, first, engines=pool, device=chip)  # what does not fit ends here
        try:
            fitted = _fit(drawn, training, seed)
            if kept is not None:
                claim(kept, _layer_facts(layer, drawn, engine, chip, training, seed), "layer.json")
            for split in range(seed, seed + splits):
                samples = first if split == seed else named_samples(task, data, split)
                setup = physical_setup(layer, samples, board=split, engines=pool, device=chip)
                place = None if kept is None else kept / f"split-{split}"
                runs.append(_train(training, setup, fitted, samples, split, place))
                softmax.append(softmax_accuracy(samples, STRENGTHS if len(samples.inputs) < _FEW else (1.0,)))
        except KeyboardInterrupt:
            raise Interrupted(
                "pat", "Ctrl-C", "stopped; what was done is kept in --out", "run the command again to go on"
            ) from None
        except InMateriaError as error:
            if not isinstance(error, InputError):
                results.write_error(error)
            raise
    data_of_all = _together(runs, first, softmax, seed, layer, engine, fitted)
    facts = _facts(data_of_all, first, training, layer, engine, softmax)
    _tell(facts, answer)
    results.write_dataset("pat.nc", data_of_all)
    from analysis.plots.pat import plot_training, plot_waveforms

    title = f"{first.name}, {layer.layer}, {training.mode}, {layer.passes} passes, {splits} split" + "s" * (splits > 1)
    results.write_figures(
        lambda held: {"pat.png": plot_training(held, title), "pat_waveforms.png": plot_waveforms(held, title)}
    )
    facts["wall_s"] = time.perf_counter() - begin
    content = results.write_summary(facts)
    if folder is not None:
        answer.print(f"figures and curves are in {folder}", highlight=False)
    return content


@contextmanager
def _engines(layer: LayerSettings, engine: str) -> Iterator[EnginePool | None]:
    """ngspice for the electronic layer; its twin and the other layers need none."""
    if engine not in ("ngspice", "twin"):
        raise InputError("engine", engine, "is no engine of pat", "choose ngspice or twin")
    with EnginePool() if layer.layer == "rlc" and engine == "ngspice" else nullcontext() as pool:
        yield pool


def _layer_facts(
    layer: LayerSettings, drawn: PhysicalSetup, engine: str, chip: Any, training: PatTraining, seed: int
) -> dict[str, Any]:
    """What the results depend on beside the training's settings."""
    facts: dict[str, Any] = {**asdict(layer), "model_seed": None if training.mode == "ideal" else seed}
    if layer.layer == "rlc":
        circuit = drawn.drawn.circuit
        facts |= {"engine": engine, "netlist": circuit.netlist, "settle": circuit.settle, "rest_V": circuit.rest_V}
    if chip is not None:
        probe = np.random.default_rng(0).uniform(-0.1, 0.1, (3, len(chip.terminals)))
        facts["currents_A"] = [float(current) for volts in probe for current in np.ravel(chip.currents(volts))]
    return facts


def _chip(layer: LayerSettings, device: str | None) -> Any:
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
    stderr.print("fitting the model of the layer as drawn", highlight=False)
    found = fit_model(setup.drawn, setup.model(seed), samples=600 if setup.drawn.inputs > 100 else 2000, seed=seed)
    stderr.print(f"model fitted: {100 * found.error:.1f} % error on samples held out", highlight=False)
    return found


def _train(
    training: PatTraining, setup: PhysicalSetup, fitted: Any, samples: SampleSet, split: int, folder: Path | None
) -> xr.Dataset:  # fmt: skip
    """One split: its curves, examples of waveforms, and the system beside the model."""
    from learning.physics_aware.training import scaled_features, train_physics_aware

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
    return list(VOWELS) if samples.name == "vowels" else [str(k) for k in range(samples.targets.shape[1])]


def _together(
    runs: list[xr.Dataset], samples: SampleSet, softmax: list[float], seed: int, layer: LayerSettings, engine: str,
    fitted: Any,
) -> xr.Dataset:  # fmt: skip
    """All splits in one dataset; examples are those of the first."""
    single = ("values_V", "response_V", "model_V", "measured_V", "modelled_V")
    curves = xr.concat([run.drop_vars([*single, "example"]) for run in runs], dim="split", combine_attrs="drop")
    names = _class_names(samples)
    together = curves.assign_coords({"split": np.arange(seed, seed + len(runs)), "class": names, "chosen": names})
    together = together.assign({name: runs[0][name] for name in single})
    failed = sorted({int(k) for run in runs for k in run.attrs["failed_samples"]})
    return together.assign_attrs(
        task=samples.name,
        engine=engine,
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


def _facts(
    runs: xr.Dataset, samples: SampleSet, training: PatTraining, layer: LayerSettings, engine: str, softmax: list[float]
) -> dict[str, Any]:
    last = runs.isel(epoch=-1)
    held = bool(np.isfinite(last.test_accuracy).all())
    return {
        "success": True,
        "task": samples.name,
        "layer": asdict(layer) | {"engine": engine if layer.layer == "rlc" else None},
        "training": asdict(training),
        "splits": runs.sizes["split"],
        "samples": len(samples.inputs),
        "test_samples": len(samples.test_inputs),
        "parameters": int(sum(runs[name].isel(split=0).size for name in ("scale", "offset", "skip", "gain"))),
        "accuracy": _spread(last.test_accuracy.values if held else last.accuracy.values),
        "training_accuracy": _spread(last.accuracy.values),
        "softmax_accuracy": _spread(np.array(softmax)),
        "model_error": runs.attrs["model_error"],
        "angle_deg": [float(a) for a in last.angle_deg.mean("split").values],
        "forward_samples": runs.attrs["forward_samples"],
        "failed_samples": runs.attrs["failed_samples"],
        "failures": runs.attrs["failures"].splitlines(),
    }


def _spread(values: np.ndarray[Any, Any]) -> dict[str, float | None]:
    """Mean, standard deviation over splits, and the mean's standard error."""
    count = len(values)
    deviation = float(np.std(values, ddof=1)) if count > 1 else None
    error = None if deviation is None else deviation / float(np.sqrt(count))
    return {"mean": float(np.mean(values)), "deviation": deviation, "error": error}


def _tell(facts: dict[str, Any], answer: Console) -> None:
    def said(found: dict[str, float | None]) -> str:
        error = found["error"]
        return f"{found['mean']:.3f}" + ("" if error is None else f" +- {error:.3f}")

    number = facts["splits"]
    answer.print(
        f"{facts['task']}, layer {facts['layer']['layer']}, mode {facts['training']['mode']}: accuracy "
        f"{said(facts['accuracy'])} on {facts['test_samples']} samples held out, {number} split"
        + "s"
        * (number > 1)
        + f"; "
        f"softmax on the features {said(facts['softmax_accuracy'])}",
        highlight=False,
    )
    fit = facts["model_error"]
    words = "" if not np.isfinite(fit) else f"model's error {100 * fit:.1f} %; "
    answer.print(
        f"{words}{facts['parameters']} parameters, {facts['forward_samples']} samples through the layer in training",
        highlight=False,
    )
    for failure in facts["failures"]:
        answer.print(f"the layer failed for sample {failure}", highlight=False, markup=False)
