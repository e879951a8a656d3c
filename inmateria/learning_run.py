"""`inmateria learn` and `inmateria export`: run, check along the path, report, write files."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from analysis import check_path, loop_dataset, save_dataset
from analysis.path_check import PathCheck
from circuits import Engine, HomodyneLoop, Transient
from inmateria.errors import Interrupted
from inmateria.terminal import SCHEMA, _plain, bar, stderr
from learning import Attempt, Bench, BooleanTask, GateResult, HgeSettings, learn_gate
from learning.tasks import PATTERNS

CHECK_DITHER_V = 0.005


def _train(
    bench: Bench, task: BooleanTask, settings: HgeSettings, seed: int, engine: str, folder: Path | None
) -> tuple[GateResult, float]:
    """Run the trainer under a progress bar; returns the result and the seconds it took."""
    begin = time.perf_counter()
    with bar() as progress:
        line = progress.add_task("starting", total=1.0, simulated="")

        def report(number: int, phase: str, fraction: float, wall: float) -> None:
            text = f"{task.gate}, attempt {number + 1}/{settings.restarts}"
            if phase == "compiling":
                text += ": compiling the device (first run only)"
            elif phase == "starting":
                text += ": starting ngspice"
            seconds = "" if phase == "twin" else f"{100 * fraction:3.0f} % of the transient"
            progress.update(line, description=text, completed=fraction, simulated=seconds)

        def done(attempt: Attempt) -> None:
            verdict = "[green]learned[/]" if attempt.final.learned else "not learned"
            stderr.print(
                f"{task.gate}: {verdict}, margin {attempt.initial.margin:.2f} -> {attempt.final.margin:.2f}, "
                f"separation {1e9 * attempt.final.separation_A:.2f} nA",
                highlight=False,
            )
            progress.reset(line)

        rng = np.random.default_rng(seed)
        try:
            result = learn_gate(
                bench, task, settings, rng=rng, engine=cast(Literal["ngspice", "twin"], engine), progress=report,
                on_attempt=done, folder=folder,
            )  # fmt: skip
        except Interrupted as interruption:
            _keep_partial(interruption, folder)
            raise
    return result, time.perf_counter() - begin


def _keep_partial(interruption: Interrupted, folder: Path | None) -> None:
    """Write the waveforms of an interrupted run, and say where."""
    if interruption.partial is None or folder is None:
        interruption.args = ("stopped by Ctrl-C; with --out the waveforms so far are kept",)
        return
    loop, run = cast(tuple[HomodyneLoop, Transient], interruption.partial)
    path = folder / "waveforms.nc"
    save_dataset(loop_dataset(loop, run, interrupted=1), path)
    reached = run.time_s[-1] if len(run.time_s) else 0.0
    interruption.args = (
        f"stopped by Ctrl-C at {reached:.3g} s of {loop.stop_s:.3g} s; waveforms so far are in {path}",
    )


def _settings(amplitude_V: float, max_step_s: float | None, restarts: int) -> HgeSettings:
    return replace(HgeSettings(), amplitude_V=amplitude_V, max_step_s=max_step_s, restarts=restarts)


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
    folder: Path | None,
) -> dict[str, Any]:
    """Learn, check the gradient along the path, write files if there is a folder; return the summary."""
    begin = time.perf_counter()
    task = BooleanTask(gate)
    result, training_s = _train(bench, task, _settings(amplitude_V, max_step_s, restarts), seed, engine, folder)
    attempt = result.attempts[-1] if result.success else result.best
    about = ""
    with stderr.status("checking the gradient along the path"):
        if engine == "ngspice":
            with Engine() as ngspice:
                about = ngspice.about()["version"]
                check = check_path(bench, task, attempt.loop, attempt.run, ngspice, dither_V=CHECK_DITHER_V)
        else:
            check = check_path(bench, task, attempt.loop, attempt.run, None, dither_V=CHECK_DITHER_V)
    summary = _summary(task, bench, result, attempt, check)
    summary |= {"device": facts, "engine": engine, "ngspice": about or None, "files": []}
    split = _split(result)
    summary["time_split_s"] = {**split, "python": max(0.0, training_s - sum(split.values()))}
    summary["training_s"] = training_s
    if folder is not None:
        summary["files"] = [str(p) for p in _write(folder, task, attempt, check, seed)]
    summary["wall_s"] = time.perf_counter() - begin
    if folder is not None:
        path = folder / "summary.json"
        content = _plain({"schema": SCHEMA, "command": "learn", "seed": seed, **summary})
        path.write_text(json.dumps(content, indent=2) + "\n")
    _tell(summary, folder)
    return summary


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


def _write(folder: Path, task: BooleanTask, attempt: Attempt, check: PathCheck, seed: int) -> list[Path]:
    from analysis import plots

    loop, run = attempt.loop, attempt.run
    dataset = loop_dataset(loop, run, gate=task.gate, seed=seed)
    save_dataset(dataset, folder / "waveforms.nc")
    files = [folder / "waveforms.nc", folder / "summary.json"]
    if run.deck:
        (folder / "deck.cir").write_text(run.deck)
        files.append(folder / "deck.cir")
    period = loop.sequence.period_s
    figures = {
        "truth_table.png": plots.plot_truth_table(attempt, task.gate),
        "learning.png": plots.plot_learning(attempt),
        "waveforms.png": plots.plot_waveforms(dataset, start_s=period, stop_s=2 * period),
        "gradient.png": plots.plot_path_check(check),
    }
    files += [plots.save(figure, folder / name) for name, figure in figures.items()]
    return files


def _tell(summary: dict[str, Any], folder: Path | None) -> None:
    """The result for people, on stderr."""
    high_low = ", ".join(f"{k}: {1e9 * v:.2f}" for k, v in summary["currents_A"].items())
    g = summary["gradient"]
    stderr.print(f"outputs (nA): {high_low}; margin {summary['margin']:.2f} of the swing", highlight=False)
    stderr.print(
        f"lock-in against exact gradient at {1e3 * g['dither_V']:g} mV, {g['samples']} instants: "
        f"median cosine {g['cosine_median']:.5f}, smallest {g['cosine_min']:.5f}",
        highlight=False,
    )
    if folder is not None:
        stderr.print(f"figures, waveforms and deck are in {folder}", highlight=False)
    sys.stderr.flush()


def run_export(
    gate: str, bench: Bench, deck: Path, *, seed: int, amplitude_V: float, max_step_s: float | None, restarts: int
) -> dict[str, Any]:
    """Learn in ngspice and write the last attempt as a deck of its own."""
    task = BooleanTask(gate)
    result, _ = _train(bench, task, _settings(amplitude_V, max_step_s, restarts), seed, "ngspice", None)
    attempt = result.attempts[-1] if result.success else result.best
    deck.write_text(attempt.loop.deck(attempt.run))
    stderr.print(f"written: {deck} (run it with: ngspice -b {deck})", highlight=False)
    return {
        "gate": task.gate,
        "success": result.success,
        "restarts": len(result.attempts),
        "lockin_V": {
            name: float(attempt.run[f"v(m{k}_{attempt.loop.filter_poles})"][-1]) for k, name in enumerate(bench.names)
        },
        "controls_V": dict(zip(bench.names, map(float, attempt.controls_V), strict=True)),
        "files": [str(deck)],
    }
