"""`inmateria digital`: learn by a computer with converters in place of the analogue loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inmateria.commands.frame import Frame
from inmateria.commands.options import TASKS, ExperimentOptions, Out, Restarts
from inmateria.errors import InputError
from inmateria.terminal.output import stderr

if TYPE_CHECKING:
    import xarray as xr

    from learning.homodyne.digital import DigitalLoop, DigitalRun
    from learning.homodyne.experiment import Experiment

FILES = ("digital.nc", "digital.png")


@dataclass(frozen=True, kw_only=True)
class Options(ExperimentOptions):
    """An experiment, and the computer that runs it."""

    gate: Annotated[str | None, typer.Argument(help=f"{TASKS}, or a file (.csv, .npz); the design's if left out.")] = (
        None
    )
    restarts: Restarts = 20
    rate: Annotated[str, typer.Option(help="Ticks a second, such as 2kHz; a whole multiple of the spacing.")] = "1kHz"
    adc_bits: Annotated[int, typer.Option(help="Of the output's converter; 0 for an ideal one.", min=0)] = 16
    dac_bits: Annotated[int, typer.Option(help="Of the controls' converters; 0 for ideal ones.", min=0)] = 16
    adc_range: Annotated[str, typer.Option(help="Largest voltage of the output's converter.")] = "4V"
    transimpedance: Annotated[
        str | None, typer.Option(help="Of the amplifier, such as 10Mohm; the device's own if left out.")
    ] = None
    latency: Annotated[str, typer.Option(help="From a tick to the change at the electrodes, such as 0.5ms.")] = "0s"
    assumed_latency: Annotated[
        str | None, typer.Option(help="What the computer takes it for; the true one if left out.")
    ] = None
    engine: Annotated[
        Literal["ngspice", "recurrence"], typer.Option(help="ngspice, or its recurrence on a device at rest at once.")
    ] = "ngspice"
    out: Out = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Learn by a computer: dither from converters, lock-ins on samples; restart until the task is learned.

    Exit 0 if it was learned, 1 if not. Beside its bits, range, rate and latency the electronics is ideal, whatever a
    design says of it. With --out: digital.nc (controls, outputs, slopes of every pass), summary.json and the figure.

    Example: inmateria digital XOR --rate 2kHz --adc-bits 12 --dac-bits 12
    """
    from circuits.ngspice.engine import Engine
    from dnpu_models.interface.device import is_random
    from inmateria.commands.experiment import requested_experiment

    experiment, frame.seed = requested_experiment(options, frame.said, options.gate, restarts=options.restarts)
    frame.attrs = {"task": experiment.task.name, "seed": frame.seed}
    in_ngspice = options.engine == "ngspice"
    if not in_ngspice and is_random(experiment.bench.device):
        raise InputError("engine", options.engine, "knows no noise of the device", "take ngspice")
    with frame.keeping():
        if in_ngspice:
            with Engine(folder=frame.folder) as engine:
                found = _attempts(experiment, options, frame.seed, engine)
        else:
            found = _attempts(experiment, options, frame.seed, None)
    frame.write_dataset("digital.nc", _dataset(*found))
    frame.write_figures(_figures)
    facts = _facts(experiment, *found, options.engine)
    _tell(facts, found[1], frame)
    return frame.summary(facts)


def _settings(options: Options) -> dict[str, Any]:
    """What a `DigitalLoop` takes of the options."""
    from inmateria.commands.experiment import si_number

    def given(name: str, unit: str) -> float | None:
        text = getattr(options, name)
        return None if text is None else si_number(name, text, unit)

    return {
        "rate_Hz": given("rate", "Hz"),
        "adc_bits": options.adc_bits or None,
        "dac_bits": options.dac_bits or None,
        "adc_range_V": given("adc_range", "V"),
        "transimpedance_ohm": given("transimpedance", "ohm"),
        "latency_s": given("latency", "s"),
        "assumed_latency_s": given("assumed_latency", "s"),
    }


def _attempts(experiment: Experiment, options: Options, seed: int, engine: Any) -> tuple[DigitalLoop, DigitalRun, int]:
    """Attempts from starts of their own until one has learned: the last one, and how many there were."""
    import numpy as np

    from learning.homodyne.digital import DigitalLoop
    from learning.homodyne.start import choose_start

    rng, settings, name = np.random.default_rng(seed), _settings(options), experiment.task.name
    for number in range(1, experiment.settings.restarts + 1):
        with stderr.status(f"{name} attempt {number}/{experiment.settings.restarts}"):
            start = choose_start(experiment, rng)
            loop = DigitalLoop(experiment, start.controls_V, start.polarity, **settings)
            found = loop.run(engine, seed=int(rng.integers(2**31)))
        learned = found.final.learned
        stderr.print(f"{name}: {'[green]learned[/]' if learned else 'not learned'}, {found.final.words()}")
        if learned:
            break
    return loop, found, number


def _dataset(loop: DigitalLoop, found: DigitalRun, _attempts: int) -> xr.Dataset:
    """Controls, outputs and slopes of every pass."""
    import xarray as xr

    experiment = loop.experiment
    outputs = {"units": "A", "long_name": "mean output while a pattern stands"}
    return xr.Dataset(
        {
            "controls": (("moment", "control"), found.controls_V, {"units": "V", "long_name": "control"}),
            "outputs": (("sweep", "pattern"), found.outputs_A, outputs),
            "slopes": (("sweep", "pattern", "control"), found.slopes_S, {"units": "S", "long_name": "lock-in reading"}),
        },
        {"control": list(experiment.bench.names), "pattern": list(experiment.task.patterns)},
    )


def _figures(data: xr.Dataset) -> dict[str, Any]:
    from analysis.plots.digital import plot_digital

    return {"digital.png": plot_digital(data)}


def _facts(experiment: Experiment, loop: DigitalLoop, found: DigitalRun, attempts: int, engine: str) -> dict[str, Any]:
    from inmateria.commands.facts import task_facts

    bench, task, controls = experiment.bench, experiment.task, found.controls_V[-1]
    return {
        **task_facts(task),
        "success": found.final.learned,
        "restarts": attempts,
        "engine": engine,
        "currents_A": dict(zip(task.patterns, map(float, bench.outputs_A(controls, task)), strict=True)),
        **found.final.facts(),
        "polarity": loop.polarity,
        "controls_V": dict(zip(bench.names, map(float, controls), strict=True)),
        "cosines": dict(zip(("start", "end"), _cosines(loop, found), strict=True)),
        "limited": found.limited,
        "computer": {
            "rate_Hz": loop.rate_Hz, "adc_bits": loop.adc_bits, "dac_bits": loop.dac_bits,
            "adc_range_V": loop.adc_range_V, "transimpedance_ohm": loop.ohm, "latency_s": loop.latency_s,
            "assumed_latency_s": loop.latency_s if loop.assumed_latency_s is None else loop.assumed_latency_s,
        },
        "physical_s": experiment.settings.sequences * loop.pass_ticks / loop.rate_Hz,
        "device": experiment.facts["device"],
        "design": experiment.facts["design"],
    }  # fmt: skip


def _cosines(loop: DigitalLoop, found: DigitalRun) -> list[float]:
    """Of the slopes that the lock-ins read of all patterns with exact ones, in the first and in the last pass."""
    import numpy as np

    from learning.homodyne.gradients import central_difference

    levels, cosines = loop.experiment.task.levels_V, []
    for k in (0, len(found.slopes_S) - 1):
        exact = [np.asarray(central_difference(loop.experiment.bench, found.controls_V[k], each)) for each in levels]
        a, b = np.ravel(exact), found.slopes_S[k].ravel()
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        cosines.append(float(a @ b) / size if size else float("nan"))
    return cosines


def _tell(facts: dict[str, Any], found: DigitalRun, frame: Frame) -> None:
    attempts = f"{facts['restarts']} attempt{'s' if facts['restarts'] > 1 else ''}"
    verdict = "learned" if facts["success"] else "not learned"
    frame.say(f"{facts['task']} {verdict} after {attempts} of {facts['physical_s']:.3g} s; {found.final.words()}")
    cosines = facts["cosines"]
    frame.say(
        f"slopes, as read against exact: cosine {cosines['start']:.4f} at the start, {cosines['end']:.4f} at the end"
    )
    if found.limited:
        frame.say(f"{found.limited} samples lay beyond the converter's range: raise --adc-range")
    if frame.folder is not None:
        frame.say(f"figure and passes are in {frame.folder}")
