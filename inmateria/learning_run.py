"""`inmateria learn`: run, check along the path, report, write files; what exists is kept when the user stops it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from rich.console import Console

from analysis import check_path
from analysis.path_check import PathCheck
from circuits import Engine, HomodyneLoop, Transient, loop_fields
from circuits.losses import LossName
from inmateria.errors import Interrupted
from inmateria.experiment import check_amplitude, check_level, check_room_for_starts, check_step, rehearsal
from inmateria.progress import TrainingBar, compilation_told
from inmateria.results import Results
from inmateria.terminal import stderr
from learning import Attempt, Bench, BooleanTask, GateResult, HgeSettings, learn_gate
from learning.hge import EngineName
from learning.tasks import PATTERNS

CHECK_DITHER_V = 0.005


def training_settings(
    bench: Bench,
    task: BooleanTask,
    amplitude_V: float,
    max_step_s: float | None,
    restarts: int,
    frequencies: str | None,
    level: str = "ideal",
    loss: LossName = "squared",
) -> tuple[HgeSettings, HomodyneLoop]:
    """Settings of the trainer, checked, and a loop as it will be.

    Raises
    ------
    InputError
        For whatever the options get wrong, before the device is asked anything.
    """
    check_amplitude(amplitude_V)
    check_step(max_step_s)
    settings = HgeSettings(
        amplitude_V=amplitude_V, max_step_s=max_step_s, restarts=restarts, loss=loss, **loop_fields(level)
    )
    loop = rehearsal(bench, task, settings, frequencies)
    check_room_for_starts(bench, loop, settings)
    return settings, loop


def train(
    bench: Bench, task: BooleanTask, settings: HgeSettings, planned: HomodyneLoop, seed: int, engine: str,
    results: Results,
) -> tuple[GateResult, float]:  # fmt: skip
    """Run the trainer under a progress bar; returns the result and the seconds it took."""
    begin = time.perf_counter()
    last: list[Attempt] = []
    with TrainingBar(stderr, task.gate, settings.restarts, planned.stop_s) as bar, compilation_told(stderr):

        def done(attempt: Attempt) -> None:
            last[:] = [attempt]
            verdict = "[green]learned[/]" if attempt.final.learned else "not learned"
            stderr.print(
                f"{task.gate}: {verdict}, margin {attempt.initial.margin:.2f} -> {attempt.final.margin:.2f}, "
                f"separation {1e9 * attempt.final.separation_A:.2f} nA",
                highlight=False,
            )
            bar.next_attempt()

        try:
            result = learn_gate(
                bench, task, settings, rng=np.random.default_rng(seed), engine=cast(EngineName, engine),
                progress=bar.update, on_attempt=done, folder=results.folder,
            )  # fmt: skip
        except KeyboardInterrupt as interruption:
            raise _keep(interruption, last, results) from None
    return result, time.perf_counter() - begin


def _keep(interruption: KeyboardInterrupt, last: list[Attempt], results: Results) -> Interrupted:
    """Write the waveforms of an interrupted run, else of the attempt before it; the error that says so."""
    partial = getattr(interruption, "partial", None)
    if partial is not None and len(partial[1].time_s) > 1:
        loop, run = cast(tuple[HomodyneLoop, Transient], partial)
        where = f"stopped by Ctrl-C at {run.time_s[-1]:.3g} s of {loop.stop_s:.3g} s"
    elif last:
        loop, run, where = last[0].loop, last[0].run, "stopped by Ctrl-C between attempts"
    else:
        return Interrupted("run", "Ctrl-C", "stopped by Ctrl-C before the first time-point", "run the command again")
    if results.folder is None:
        return Interrupted("run", "Ctrl-C", where, "with --out DIR the waveforms so far are kept")
    path = results.write_waveforms(loop, run, interrupted=1)
    error = Interrupted("run", "Ctrl-C", where, f"the waveforms so far are in {path}")
    results.write_error(error)
    return error


def run_learning(
    gate: str,
    bench: Bench,
    *,
    facts: dict[str, Any],
    seed: int,
    amplitude_V: float,
    max_step_s: float | None,
    restarts: int,
    engine: str,
    level: str,
    loss: LossName,
    frequencies: str | None,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Learn, check the gradient along the path, write files if there is a folder; return the document."""
    begin = time.perf_counter()
    task = bench.task(gate)
    check_level(level, engine)
    settings, planned = training_settings(bench, task, amplitude_V, max_step_s, restarts, frequencies, level, loss)
    results = Results("learn", seed, folder, {"gate": task.gate, "seed": seed})
    result, training_s = train(bench, task, settings, planned, seed, engine, results)
    attempt = result.attempts[-1] if result.success else result.best
    results.write_waveforms(attempt.loop, attempt.run)
    results.write_deck(attempt.loop, attempt.run)
    about, check = _check(bench, task, attempt, engine, results)
    summary = _summary(task, bench, result, attempt, check)
    summary |= {"device": facts, "engine": engine, "level": level, "loss_function": loss, "ngspice": about}
    split = _split(result)
    summary["time_split_s"] = {**split, "python": max(0.0, training_s - sum(split.values()))}
    summary["training_s"] = training_s
    results.write_figures(lambda dataset: _figures(attempt, task, check, dataset))
    summary["wall_s"] = time.perf_counter() - begin
    content = results.write_summary(summary)
    _tell(summary, folder, answer)
    return content


def _check(
    bench: Bench, task: BooleanTask, attempt: Attempt, engine: str, results: Results
) -> tuple[str | None, PathCheck]:
    """Version of ngspice (None for another engine), and lock-in against exact gradient along the path."""
    try:
        with stderr.status("checking the gradient along the path"):
            if engine != "ngspice":
                return None, check_path(bench, task, attempt.loop, attempt.run, None, dither_V=CHECK_DITHER_V)
            with Engine() as ngspice:
                about = str(ngspice.about()["version"])
                return about, check_path(bench, task, attempt.loop, attempt.run, ngspice, dither_V=CHECK_DITHER_V)
    except KeyboardInterrupt:
        said = "stopped by Ctrl-C after the training, at the check of the gradient"
        kept = "with --out DIR the waveforms are kept"
        if results.folder is not None:
            kept = f"the waveforms are in {results.folder / 'waveforms.nc'}"
        error = Interrupted("run", "Ctrl-C", said, kept)
        results.write_error(error)
        raise error from None


def _figures(attempt: Attempt, task: BooleanTask, check: PathCheck, dataset: Any) -> dict[str, Any]:
    from analysis import plots

    period = attempt.loop.sequence.period_s
    return {
        "truth_table.png": plots.plot_truth_table(attempt, task.gate),
        "learning.png": plots.plot_learning(attempt),
        "waveforms.png": plots.plot_waveforms(dataset, start_s=period, stop_s=2 * period),
        "gradient.png": plots.plot_path_check(check),
    }


def _split(result: GateResult) -> dict[str, float]:
    """Where the training time went: in the device, and in the simulator around it."""
    device = sum(a.run.statistics.get("device_seconds", 0.0) for a in result.attempts)
    total = sum(a.run.statistics["seconds"] for a in result.attempts)
    return {"device": device, "simulator": total - device}


def _outputs(values: Any) -> dict[str, float]:
    return {name: float(v) for name, v in zip(PATTERNS, values, strict=True)}


def _summary(task: BooleanTask, bench: Bench, result: GateResult, attempt: Attempt, check: PathCheck) -> dict[str, Any]:
    ohm = attempt.loop.stage.transimpedance_ohm
    runs = [a.run for a in result.attempts]
    return {
        "gate": task.gate,
        "success": result.success,
        "restarts": len(result.attempts),
        "initial": {
            "outputs_V": _outputs(attempt.initial_A * ohm),
            "margin": attempt.initial.margin,
            "loss": attempt.loss(1),
        },
        "outputs_V": _outputs(attempt.final_A * ohm),
        "currents_A": _outputs(attempt.final_A),
        "polarity": attempt.loop.stage.polarity,
        "margin": attempt.final.margin,
        "separation_A": attempt.final.separation_A,
        "noise_A": bench.noise_A(),
        "loss": attempt.loss(attempt.loop.sequences),
        "controls_V": dict(zip(bench.names, map(float, attempt.controls_V), strict=True)),
        "gradient": {
            "quantity": "d(output current)/dV",
            "dither_V": check.dither_V,
            "cosine_median": float(np.median(check.cosines)),
            "cosine_min": float(np.min(check.cosines)),
            "samples": len(check.cosines),
        },
        "dither": {
            "frequencies_Hz": list(attempt.loop.dither.frequencies_hz),
            "amplitudes_V": list(attempt.loop.dither.amplitudes_v),
            "anneal_to": attempt.loop.anneal_to,
        },
        "stability": attempt.loop.stability,
        "device_evaluations": sum(a.device_evaluations for a in result.attempts),
        "simulated_s": sum(float(r.time_s[-1]) for r in runs),
        "timepoints": int(sum(r.statistics["points"] for r in runs)),
        "rejected": int(sum(r.statistics.get("rejected", 0.0) for r in runs)),
        "prediction_error_V": max(r.statistics.get("prediction_error_V", 0.0) for r in runs),
    }


def _tell(summary: dict[str, Any], folder: Path | None, answer: Console) -> None:
    """The result for people."""
    currents = ", ".join(f"{k}: {1e9 * v:.2f}" for k, v in summary["currents_A"].items())
    g = summary["gradient"]
    verdict = "learned" if summary["success"] else "not learned"
    answer.print(
        f"{summary['gate']} {verdict} after {summary['restarts']} attempt{'s' if summary['restarts'] > 1 else ''}; "
        f"outputs (nA): {currents}; margin {summary['margin']:.2f} of the swing",
        highlight=False,
    )
    answer.print(
        f"lock-in against exact gradient at {1e3 * g['dither_V']:g} mV, {g['samples']} instants: "
        f"median cosine {g['cosine_median']:.5f}, smallest {g['cosine_min']:.5f}",
        highlight=False,
    )
    if folder is not None:
        answer.print(f"figures, waveforms and deck are in {folder}", highlight=False)
