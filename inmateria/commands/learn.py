"""`inmateria learn`: run, check along the path, report, write files; what exists is kept when the user stops it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from inmateria.commands.frame import Frame, stopped
from inmateria.commands.options import (
    TASKS,
    Chopped,
    ElectronicsNoise,
    Engine,
    ExperimentOptions,
    Level,
    Loss,
    Out,
    PolarityRule,
    Rates,
    Restarts,
)
from inmateria.errors import Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import TrainingBar, compilation_told
from learning.searches.methods import METHODS

if TYPE_CHECKING:
    from analysis.gradients.path_check import PathCheck
    from circuits.homodyne.engines import EngineName
    from circuits.homodyne.loop import HomodyneLoop
    from circuits.signals.transient import Transient
    from inmateria.checks import FloatArray
    from learning.homodyne.experiment import Experiment
    from learning.homodyne.holding import Lasting
    from learning.homodyne.results import Attempt, FailedAttempt, TrainingResult
    from learning.homodyne.robustness import Robustness
    from learning.homodyne.start import Start
    from learning.tasks.task import Task

FILES = (
    "waveforms.nc", "deck.cir", "truth_table.png", "task.png", "trace.png", "trace.nc", "learning.png", "waveforms.png",
    "gradient.png",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options(ExperimentOptions):
    """A task, an experiment, and by which method it learns."""

    gate: Annotated[
        str | None,
        typer.Argument(
            help=f"{TASKS}, or a file (.csv, .npz); a design names its own, which this one takes the place of.",
            show_default=False,
        ),
    ] = None
    out: Out = None
    restarts: Restarts = 20
    engine: Engine = "ngspice"
    level: Level = "ideal"
    loss: Loss = "squared"
    chopped: Chopped = False
    rates: Rates = "auto"
    electronics_noise: ElectronicsNoise = False
    polarity: PolarityRule = "free"
    method: Annotated[
        str,
        typer.Option(help=f"hge, {', '.join(METHODS)}; several, with commas, are compared."),
    ] = "hge"
    evaluations: Annotated[
        int | None, typer.Option(help="Device evaluations at most; those of all restarts if left out.", min=1)
    ] = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Learn a gate or another task: each attempt is a transient of device, lock-ins and integrators, until one learns.

    Python looks for a start, presets the output stage, judges the end and starts again; the circuit moves the controls.

    Exit 0 if learned, 1 if not. With --out: waveforms.nc, summary.json, the deck and the figures. Other methods see
    measured outputs only and leave trace.nc, summary.json and a figure; exit 0 if the first one named learned it.

    Example: inmateria learn XOR --out xor
    """
    from inmateria.commands.experiment import requested_experiment
    from inmateria.commands.search import parse_methods, run_search

    methods = parse_methods(options.method)
    experiment, frame.seed = requested_experiment(
        options, frame.said, options.gate, restarts=options.restarts, level=options.level, loss=options.loss,
        chopped=options.chopped, rates=options.rates, electronics_noise=options.electronics_noise,
        polarity=options.polarity,
    )  # fmt: skip
    if methods == ("hge",):
        return run_learning(experiment, options.engine, options.evaluations, frame)
    return run_search(experiment, methods, options.engine, options.evaluations, frame)


def train(
    experiment: Experiment, planned: HomodyneLoop, engine: EngineName, frame: Frame, evaluations: int | None = None
) -> tuple[TrainingResult, float]:
    """Run the trainer under a progress bar; returns the result and the seconds it took."""
    import numpy as np

    from learning.homodyne.results import FailedAttempt
    from learning.homodyne.start import stability_of
    from learning.homodyne.training import learn

    begin = frame.wall_s
    task, settings = experiment.task, experiment.settings
    last: list[Attempt] = []
    with TrainingBar(stderr, task.name, settings.restarts, planned.stop_s) as bar, compilation_told(stderr):

        def done(attempt: Attempt | FailedAttempt) -> None:
            if isinstance(attempt, FailedAttempt):
                stderr.print(f"{task.name}: attempt {attempt.number + 1} failed, {attempt.reason}", markup=False)
            else:
                last[:] = [attempt]
                verdict = "[green]learned[/]" if attempt.final.learned else "not learned"
                stderr.print(f"{task.name}: {verdict}, {attempt.initial.words()} -> {attempt.final.words()}")
            bar.next_attempt()

        def begun(number: int, loop: HomodyneLoop, start: Start) -> None:
            if (stability := stability_of(loop, start)) is None:
                return
            told = f"attempt {number + 1}, a gain margin of {stability.margin_dB:.1f} dB at the start"
            stderr.print(f"{task.name}: {told}", markup=False)
            if stability.doubt is not None:
                stderr.print(f"doubt: {stability.doubt}", markup=False)

        with frame.keeping(lambda stop: _keep(stop, last, frame)):
            result = learn(
                experiment, rng=np.random.default_rng(frame.seed), engine=engine,
                progress=bar.update, on_start=begun, on_attempt=done, folder=frame.folder,
                device_evaluations=evaluations,
            )  # fmt: skip
    return result, frame.wall_s - begin


def _keep(interruption: KeyboardInterrupt, last: list[Attempt], frame: Frame) -> Interrupted:
    """Write the waveforms of an interrupted run, else of the attempt before it; the error that says so."""
    partial = getattr(interruption, "partial", None)
    if partial is not None and len(partial[1].time_s) > 1:
        loop, run = cast("tuple[HomodyneLoop, Transient]", partial)
        where = f"stopped by Ctrl-C at {run.time_s[-1]:.3g} s of {loop.stop_s:.3g} s"
    elif last:
        loop, run, where = last[0].loop, last[0].run, "stopped by Ctrl-C between attempts"
    else:
        return stopped("stopped by Ctrl-C before the first time-point", "run the command again")
    if frame.folder is None:
        return stopped(where, "with --out DIR the waveforms so far are kept")
    path = frame.write_waveforms(loop, run, interrupted=1)
    error = stopped(where, f"the waveforms so far are in {path}")
    frame.write_error(error)
    return error


def run_learning(experiment: Experiment, engine: EngineName, evaluations: int | None, frame: Frame) -> dict[str, Any]:
    """Learn, check the gradient along the path, write files if there is a folder; return the document."""
    from analysis.verification.holding import lasting_words
    from inmateria.commands.experiment import planned_loop, told_doubts
    from inmateria.commands.facts import check_budget, doubts_of, held_out_A, lasting_facts
    from learning.tasks.boolean import BooleanTask

    task = experiment.task
    planned = planned_loop(experiment, engine)
    check_budget(experiment, evaluations)
    frame.attrs = {"gate" if isinstance(task, BooleanTask) else "task": task.name, "seed": frame.seed}
    doubts = told_doubts(experiment, engine, frame.seed, frame.folder)
    result, training_s = train(experiment, planned, engine, frame, evaluations)
    attempt = result.best
    frame.write_waveforms(attempt.loop, attempt.run)
    frame.write_deck(attempt.loop, attempt.run)
    about, check = _check(experiment, attempt, engine, frame)
    held_A = held_out_A(experiment, attempt.controls_V)
    summary = _summary(result, attempt, check, held_A)
    lasting = _lasting(experiment, attempt)
    robust = _robust(experiment, attempt)
    hunts = None if attempt.stability is None else attempt.stability.doubt
    summary["hold"] = None if lasting is None else lasting_facts(lasting)
    summary["robustness"] = None if robust is None else robust.facts()
    summary |= {
        "device": experiment.facts["device"],
        "design": experiment.facts["design"],
        "doubts": doubts + doubts_of(attempt.loop) + ([hunts] if hunts else []),
        "engine": engine,
        "level": experiment.facts["level"],
        "loss_function": experiment.settings.loss,
        "ngspice": about,
    }
    split = _split(result)
    summary["time_split_s"] = {**split, "python": max(0.0, training_s - sum(split.values()))}
    summary["training_s"] = training_s
    frame.write_figures(lambda dataset: _figures(result, attempt, task, check, held_A, dataset))
    content = frame.summary(summary)
    _tell(summary, attempt.final.words(), frame)
    frame.say(attempt.rest_words)
    if lasting is not None:
        frame.say(f"held, {lasting_words(lasting)} ({lasting.source})")
    if robust is not None:
        frame.say(f"{'margin' if summary['gate'] else 'quality'} {robust.words()}")
    for doubt in doubts_of(attempt.loop):
        stderr.print(f"doubt: {doubt}", markup=False)
    return content


def _check(experiment: Experiment, attempt: Attempt, engine: EngineName, frame: Frame) -> tuple[str | None, PathCheck]:
    """Version of ngspice (None for other engines), and lock-in against exact gradient along the path."""
    from analysis.gradients.path_check import check_path
    from circuits.homodyne.engines import engine_named, with_dither

    def keep(_: KeyboardInterrupt) -> Interrupted:
        kept = "with --out DIR the waveforms are kept"
        if frame.folder is not None:
            kept = f"the waveforms are in {frame.folder / 'waveforms.nc'}"
        error = stopped("stopped by Ctrl-C after the training, at the check of the gradient", kept)
        frame.write_error(error)
        return error

    checking = stderr.status("checking the gradient along the path")
    with frame.keeping(keep), checking, engine_named(with_dither(engine), frame.folder) as reading:
        about = reading.version()
        return about, check_path(experiment, attempt.loop, attempt.run, reading)


def _lasting(experiment: Experiment, attempt: Attempt) -> Lasting | None:
    """How long the learned gate is held; None of ideal integrators, which hold for ever, and of a random device."""
    from circuits.homodyne.engines import Ngspice
    from circuits.homodyne.holding import states_holding
    from dnpu_models.interface.device import is_random
    from learning.homodyne.holding import hold_learned

    loop = attempt.loop
    if not attempt.final.learned or loop.part("integrator").level == "ideal" or is_random(loop.device):
        return None
    if states_holding(loop):
        return hold_learned(experiment, attempt)
    with stderr.status("measuring how long the integrators hold"), Ngspice() as engine:
        return hold_learned(experiment, attempt, engine=engine)


def _robust(experiment: Experiment, attempt: Attempt) -> Robustness | None:
    """What noise, drift, offsets and temperature leave of what was learned; None of random currents, or of nothing."""
    from learning.homodyne.robustness import robustness

    if not attempt.final.learned or hasattr(attempt.loop.device, "estimate"):
        return None
    return robustness(experiment, attempt)


def _figures(
    result: TrainingResult, attempt: Attempt, task: Task, check: PathCheck, held_A: FloatArray, dataset: Any
) -> dict[str, Any]:
    from analysis.plots import loop as plots
    from analysis.plots import task as task_plots
    from learning.homodyne.results import training_trace
    from learning.tasks.boolean import BooleanTask

    period = attempt.loop.sequence.period_s
    if isinstance(task, BooleanTask):
        answer = {"truth_table.png": plots.plot_truth_table(attempt, task.gate)}
    else:
        answer = {"task.png": task_plots.plot_task(task, attempt.final_A, held_A)}
    return {
        **answer,
        "trace.png": task_plots.plot_traces({"hge": training_trace(result)}, task.name),
        "learning.png": plots.plot_learning(attempt),
        "waveforms.png": plots.plot_waveforms(dataset, start_s=period, stop_s=2 * period),
        "gradient.png": plots.plot_path_check(check),
    }


def _split(result: TrainingResult) -> dict[str, float]:
    """Where the training time went: in the device, and in the simulator around it."""
    device = sum(a.run.statistics.get("device_seconds", 0.0) for a in result.attempts)
    total = sum(a.run.statistics["seconds"] for a in result.attempts)
    return {"device": device, "simulator": total - device}


def _outputs(task: Task, values: Any) -> dict[str, float]:
    return {name: float(v) for name, v in zip(task.patterns, values, strict=True)}


def _summary(result: TrainingResult, attempt: Attempt, check: PathCheck, held_A: FloatArray) -> dict[str, Any]:
    from inmateria.commands.facts import failed_facts, path_facts, settling_facts, task_facts

    bench, task, ohm = result.experiment.bench, result.experiment.task, attempt.loop.stage.transimpedance_ohm
    polarity = attempt.loop.stage.polarity
    runs = [a.run for a in result.attempts]
    return {
        **task_facts(task),
        "method": "hge",
        "success": result.success,
        "restarts": result.starts,
        "failed_attempts": failed_facts(result.failed),
        "initial": {
            "outputs_V": _outputs(task, attempt.initial_A * ohm),
            **attempt.initial.facts(),
            "loss": attempt.loss(1),
        },
        "outputs_V": _outputs(task, attempt.final_A * ohm),
        "currents_A": _outputs(task, attempt.final_A),
        "polarity": polarity,
        **attempt.final.facts(),
        "test": task.test_facts(attempt.final_A, held_A, polarity),
        "noise_A": bench.noise_A(),
        "loss": attempt.loss(attempt.loop.sequences),
        "controls_V": dict(zip(bench.names, map(float, attempt.controls_V), strict=True)),
        "gradient": path_facts(check),
        "dither": {
            "frequencies_Hz": list(attempt.loop.dither.frequencies_Hz),
            "amplitudes_V": list(attempt.loop.dither.amplitudes_V),
            "anneal_to": attempt.loop.dither_end,
        },
        "learning_anneal_to": attempt.loop.anneal_to,
        **settling_facts(attempt),
        "device_evaluations": result.device_evaluations,
        "physical_s": result.physical_s,
        "simulated_s": sum(float(r.time_s[-1]) for r in runs),
        "timepoints": int(sum(r.statistics["points"] for r in runs)),
        "rejected": int(sum(r.statistics.get("rejected", 0.0) for r in runs)),
        "prediction_error_V": max(r.statistics.get("prediction_error_V", 0.0) for r in runs),
    }


def _tell(summary: dict[str, Any], words: str, frame: Frame) -> None:
    """The result for people."""
    g = summary["gradient"]
    verdict = "learned" if summary["success"] else "not learned"
    if summary["gate"] is not None:
        currents = ", ".join(f"{k}: {1e9 * v:.2f}" for k, v in summary["currents_A"].items())
        told = f"outputs (nA): {currents}; {words}"
    else:
        held = "".join(f", held-out {name} {value:.2f}" for name, value in summary["test"].items())
        told = f"{words}{held}"
    lost = len(summary["failed_attempts"])
    attempts = f"attempt{'s' if summary['restarts'] > 1 else ''}{f' ({lost} failed)' if lost else ''}"
    frame.say(f"{summary['task']} {verdict} after {summary['restarts']} {attempts}; {told}")
    start_mV, *_, end_mV = (1e3 * peak for peak in g["dither_V"])
    for of in ("loss", "output"):
        first, *_, last = g[of]["cosines"]
        frame.say(
            f"gradient of the {of}, lock-ins against exact: cosine {first:.5f} at the start ({start_mV:.3g} mV), "
            f"{last:.5f} at the end ({end_mV:.3g} mV), smallest {min(g[of]['cosines']):.5f}"
        )
    frame.say(
        f"read at {len(g['dither_V'])} instants, each at the dither that stood there; {g['parts']}; {g['engine']}"
    )
    if frame.folder is not None:
        frame.say(f"figures, waveforms and deck are in {frame.folder}")
