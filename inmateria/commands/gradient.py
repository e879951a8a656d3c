"""`inmateria gradient`: lock-in against exact gradient at one setting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inmateria.commands.frame import Frame
from inmateria.commands.options import Amplitude, Chopped, ElectronicsNoise, Engine, ExperimentOptions, Level, Loss, Out
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told

if TYPE_CHECKING:
    import xarray as xr

    from circuits.homodyne.engines import LoopEngine
    from circuits.homodyne.loop import HomodyneLoop
    from circuits.signals.transient import Transient
    from inmateria.checks import FloatArray
    from learning.homodyne.experiment import Experiment
    from lockin.choices import Correction
    from lockin.error_budget import ErrorBudget
    from lockin.kept_correction import KeptCorrection

FILES = ("waveforms.nc", "deck.cir", "gradient.png", "budget.png")
SlopeOf = Literal["output", "loss"]
POINTS_PER_CYCLE = 24.0
DIFFERENCE_HOPS = 1_000_000
"""Of kinetic Monte Carlo, for each of the currents whose differences a lock-in is held against."""


@dataclass(frozen=True, kw_only=True)
class Options(ExperimentOptions):
    """An experiment, of what the gradient is read, and where."""

    amplitude: Amplitude = 0.005
    out: Out = None
    of: Annotated[SlopeOf, typer.Option(help="Slope of the output current, or of a gate's loss.")] = "output"
    gate: Annotated[str, typer.Option(help="The gate whose loss is meant by --of loss.")] = "XOR"
    at: Annotated[str | None, typer.Option(help="Control voltages, V, e.g. '0.1,-0.2,...'; random if left out.")] = None
    engine: Engine = "ngspice"
    level: Level = "ideal"
    loss: Loss = "squared"
    chopped: Chopped = False
    electronics_noise: ElectronicsNoise = False
    corrected: Annotated[
        bool,
        typer.Option(
            "--corrected",
            help="Take out the dither's error of third order, read from the same record at 3 f and f +- 2 f' of tones "
            "that are free for it; as much as exceeds the noise.",
        ),
    ] = False
    windows: Annotated[int, typer.Option(help="Read the mean over so many windows: noise falls with the root.")] = 1


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Read a gradient with the circuit's lock-ins and compare it with the exact one.

    Example: inmateria gradient --amplitude 0.005 --json
    """
    import numpy as np

    from circuits.homodyne.engines import engine_kind
    from inmateria.commands.experiment import check_level, check_points, numbers, rehearsal, requested_experiment
    from inmateria.commands.facts import doubts_of

    experiment, frame.seed = requested_experiment(
        options, frame.said, options.gate, level=options.level, loss=options.loss, chopped=options.chopped,
        electronics_noise=options.electronics_noise, tolerance=1e-6,
    )  # fmt: skip
    if options.corrected:
        experiment = replace(experiment, bench=experiment.bench.with_free_tones())
    bench, settings, engine = experiment.bench, experiment.settings, options.engine
    at = numbers("at", options.at)
    check_level(experiment, engine)
    if not engine_kind(engine).has_dither:
        raise InputError("engine", engine, "leaves out what a gradient run measures", "choose ngspice or twin")
    planned = rehearsal(experiment)
    peaks, max_step_s = np.array(planned.dither.amplitudes_V), settings.max_step_s
    controls = _controls(experiment, planned, options.of, at, frame.seed, peaks)
    points = POINTS_PER_CYCLE if max_step_s is None else planned.points_per_cycle
    opened = planned.opened(planned.start_V, peaks.tolist(), "loss", points, options.windows)
    check_points(experiment, opened)
    with frame.keeping():
        found = _read(experiment, options, controls, points, frame.seed, frame.folder)
    frame.attrs = {"seed": frame.seed, "of": options.of}
    frame.write_waveforms(found.loop, found.transient)
    frame.write_deck(found.loop, found.transient)
    frame.write_figures(lambda _: _figures(found, bench.names, options.of, float(peaks.max())))
    content = frame.summary(
        {
            "of": options.of,
            "gate": experiment.task.name if options.of == "loss" else None,
            "controls": list(bench.names),
            "controls_V": controls.tolist(),
            **found.facts(),
            "dither_V": float(peaks.max()),
            "windows": options.windows,
            "frequencies_Hz": list(found.loop.dither.frequencies_Hz),
            "device": experiment.facts["device"],
            "design": experiment.facts["design"],
            "engine": engine,
            "level": experiment.facts["level"],
            "loss_function": settings.loss if options.of == "loss" else None,
            "ngspice": found.about,
            "doubts": [*found.doubts, *doubts_of(found.loop)],
            "simulated_s": found.loop.stop_s,
            "timepoints": int(found.transient.statistics["points"]),
            "rejected": int(found.transient.statistics.get("rejected", 0.0)),
        }
    )
    _tell(found, bench.names, frame)
    for doubt in content["doubts"]:
        stderr.print(f"doubt: {doubt}", markup=False)
    return content


@dataclass(frozen=True, eq=False)
class _Reading:
    """A reading of the circuit beside the exact gradient; the bias is what the parts' offsets add to it."""

    measured: xr.DataArray
    ideal: xr.DataArray
    bias: FloatArray
    budget: ErrorBudget | None
    transient: Transient
    loop: HomodyneLoop
    about: str | None
    corrected: KeptCorrection | None
    """In the units of the reading."""

    @property
    def best(self) -> FloatArray:
        """The gradient that was read, corrected where that was asked for."""
        import numpy as np

        return np.asarray(self.measured) if self.corrected is None else self.corrected.gradient

    @property
    def scale(self) -> tuple[float, str]:
        """Factor and unit in which it is shown."""
        units = str(self.measured.attrs["units"])
        return (1e9, "nS") if units == "S" else (1.0, units)

    @property
    def doubts(self) -> list[str]:
        """Offsets that outweigh the gradient, so that a loop may not descend by it; a correction beyond its range."""
        import numpy as np

        exact, (scale, shown) = np.asarray(self.ideal), self.scale
        added, size, found = float(np.linalg.norm(self.bias)), float(np.linalg.norm(exact)), []
        if added > size:
            told = f"offsets add {scale * added:.3g} {shown} to a gradient of {scale * size:.3g} {shown}"
            ends = "against" if float((exact + self.bias) @ exact) <= 0 else "away from"
            fix = "trim the offsets behind the mixers, or raise the dither"
            found.append(f"{told}: the reading points {ends} it; {fix}")
        if self.corrected is not None and self.budget is not None:
            raw, left = (float(np.linalg.norm(read - exact)) for read in (self.measured, self.corrected.gradient))
            if left > raw:
                told = (
                    f"the correction makes an error of {scale * left:.3g} {shown} of one of {scale * raw:.3g} {shown}"
                )
                found.append(f"{told}: terms of the fifth order outweigh it; lower the dither, or leave it out")
        return found

    def facts(self) -> dict[str, Any]:
        """The reading as the document has it."""
        import numpy as np

        from analysis.gradients.compare import compare
        from circuits.homodyne.offsets import has_figures

        result = compare(self.measured, self.ideal)
        return {
            "lockin": np.asarray(self.measured).tolist(),
            "ideal": np.asarray(self.ideal).tolist(),
            "ideal_stderr": self.ideal.attrs.get("stderr"),
            "units": str(self.measured.attrs["units"]),
            "cosine": result.cosine,
            "relative_error": result.relative_error,
            "sign_agreement": result.sign_agreement,
            "budget": None if self.budget is None else _told(self.budget),
            "offset_bias": self.bias.tolist(),
            "offset_source": "figures" if has_figures(self.loop) else "measured",
            "cosine_without_offset": compare(self.measured - self.bias, self.ideal).cosine,
            "corrected": self._corrected_facts(),
        }

    def _corrected_facts(self) -> dict[str, Any] | None:
        """The corrected gradient as the document has it."""
        from analysis.gradients.compare import compare

        kept = self.corrected
        if kept is None:
            return None
        result = compare(self.measured.copy(data=kept.gradient), self.ideal)
        return {
            "gradient": kept.gradient.tolist(),
            "correction": kept.correction.tolist(),
            "noise": kept.noise.tolist(),
            "kept": kept.kept.tolist(),
            "cosine": result.cosine,
            "relative_error": result.relative_error,
        }


def _read(
    experiment: Experiment, options: Options, controls: FloatArray, points: float, seed: int, folder: Path | None
) -> _Reading:
    """Run the circuit and ask the model."""
    import numpy as np

    from analysis.gradients.loop_budget import predict_loop
    from circuits.homodyne import readings
    from circuits.homodyne.engines import engine_named
    from circuits.homodyne.offsets import channel_bias
    from dnpu_models.interface.device import has_exact_slopes

    bench, of, budget = experiment.bench, options.of, None
    with (
        engine_named(options.engine, folder) as engine,
        stderr.status("reading the lock-ins"),
        compilation_told(stderr),
    ):
        about = engine.version()
        measured, ideal, run, loop = _measure(experiment, options, controls, points, engine, seed)
        if has_exact_slopes(bench.device):
            moved = float(ideal.attrs.get("output_offset_V", 0.0))
            correction: Correction = "whole" if options.corrected else "none"
            exact = np.asarray(ideal)
            budget = predict_loop(bench, loop, exact, engine, correction=correction, output_offset_V=moved)
            bias = budget.terms["offset"]
        else:
            bias = channel_bias(loop, engine) / loop.stage.transimpedance_ohm  # hop by hop only the output is read
    per_unit = loop.stage.transimpedance_ohm if of == "output" else 1.0
    corrected = readings.corrected_gradient(loop, run).scaled(1.0 / per_unit) if options.corrected else None
    return _Reading(measured, ideal, bias, budget, run, loop, about, corrected)


def _controls(
    experiment: Experiment, loop: HomodyneLoop, of: SlopeOf, at: list[float] | None, seed: int, peaks_V: FloatArray
) -> FloatArray:
    """The setting asked for, checked; or a random one, drawn as starts are."""
    import numpy as np

    bench = experiment.bench
    count, names = len(bench.trained), ", ".join(bench.names)
    low, high = loop.control_limits_V
    if of == "output":  # no logic swing then
        low, high = bench.limits_V.T + np.stack([peaks_V, -peaks_V])
    if at is None:
        return np.clip(bench.random_controls(experiment.settings.spread, np.random.default_rng(seed)), low, high)
    if len(at) != count:
        raise InputError("at", at, f"has {len(at)} values for {count} controls", f"give one each for {names}")
    for k, value in enumerate(at):
        if not np.isfinite(value):
            raise InputError(f"at[{k}]", value, f"is no voltage for {bench.names[k]}", "give a finite number")
        if not low[k] <= value <= high[k]:
            raise InputError(
                f"at[{k}]",
                value,
                f"leaves no room for dither{'' if of == 'output' else ' and logic swing'} within {loop.range_of(k)}",
                f"stay within {low[k]:.4g} to {high[k]:.4g} V",
            )
    return np.array(at)


def _measure(
    experiment: Experiment, options: Options, controls: FloatArray, points: float, engine: LoopEngine, seed: int
) -> tuple[xr.DataArray, xr.DataArray, Transient, HomodyneLoop]:  # fmt: skip
    """The circuit's reading, the exact gradient, the transient and its loop."""
    from analysis.gradients.path_check import loss_gradients
    from dnpu_models.interface.device import has_exact_slopes
    from learning.homodyne.experiment import build_loop
    from learning.homodyne.gradients import adjoint, monte_carlo_difference, spice_lock_in
    from learning.homodyne.training import as_measured

    bench, settings = experiment.bench, experiment.settings
    if options.of == "output":
        measured, _, run, loop = spice_lock_in(
            bench,
            engine,
            controls,
            settings.peaks_V,
            points_per_cycle=points,
            windows=options.windows,
            seed=seed,
            like=settings,
        )
        if not has_exact_slopes(bench.device):
            return measured, monte_carlo_difference(bench, controls, seed=seed, hops=DIFFERENCE_HOPS), run, loop
        return measured, adjoint(bench, controls), run, loop
    amplitude_V = settings.peaks_V
    own_step = replace(experiment, settings=replace(settings, max_step_s=None))
    closed = build_loop(own_step, controls, 1.0, bench.outputs_A(controls, experiment.task))
    if settings.parts:
        closed = as_measured(closed, engine)
    measured, ideal, run = loss_gradients(
        experiment, closed, controls, amplitude_V, engine, points_per_cycle=points, windows=options.windows
    )
    return measured, ideal, run, closed.opened(controls, amplitude_V, "loss", points, options.windows)


def _told(budget: ErrorBudget) -> dict[str, Any]:
    """The budget as the document has it."""
    import numpy as np

    return {
        "predicted": budget.reading.tolist(),
        "terms": {name: values.tolist() for name, values in budget.terms.items()},
        "noise_std": budget.noise.tolist(),
        "dominant": max((name for name in budget.terms), key=lambda name: float(np.linalg.norm(budget.terms[name]))),
    }


def _figures(found: _Reading, names: tuple[str, ...], of: SlopeOf, amplitude_V: float) -> dict[str, Any]:
    import numpy as np

    from analysis.plots import loop as plots
    from analysis.plots.budget import plot_budget

    scale, shown = found.scale
    title = f"gradient of the {of}, {1e3 * amplitude_V:g} mV"
    read = [found.measured.copy(data=found.best)]
    drawn = {"gradient.png": plots.plot_gradients(read, [found.ideal], title)}
    if found.budget is not None:
        deviation = found.best - np.asarray(found.ideal)
        drawn["budget.png"] = plot_budget(found.budget, names, deviation, scale=scale, units=shown, title=title)
    return drawn


def _tell(found: _Reading, names: tuple[str, ...], frame: Frame) -> None:
    """The reading for people, and why it is as it is."""
    import numpy as np

    facts = found.facts()
    scale, shown = found.scale
    corrected = facts["corrected"]
    for k, (name, a, b) in enumerate(zip(names, facts["lockin"], facts["ideal"], strict=True)):
        also = "" if corrected is None else f"corrected {scale * corrected['gradient'][k]:9.4f} {shown}, "
        frame.say(f"{name}: lock-in {scale * a:9.4f} {shown}, {also}exact {scale * b:9.4f} {shown}")
    frame.say(f"cosine {facts['cosine']:.6f}, relative error {100 * facts['relative_error']:.2f} %")
    if corrected is not None:
        error = f"relative error {100 * corrected['relative_error']:.2f} %"
        share = f"{100 * min(corrected['kept']):.0f} to {100 * max(corrected['kept']):.0f} % of the correction kept"
        frame.say(f"corrected: cosine {corrected['cosine']:.6f}, {error}, {share}")
    if found.budget is not None:
        _tell_budget(
            found.budget,
            names,
            found.best,
            (scale, shown),
            frame,
            electronics=found.loop.electronics_noise,
        )
    if np.any(found.bias):
        low, high = scale * found.bias.min(), scale * found.bias.max()
        source = "by the parts' figures" if facts["offset_source"] == "figures" else "as measured on the channels alone"
        offsets = f"offsets add {low:.3g} to {high:.3g} {shown}, {source}"
        frame.say(f"{offsets}; without them cosine {facts['cosine_without_offset']:.6f}")


def _tell_budget(
    budget: ErrorBudget,
    names: tuple[str, ...],
    measured: FloatArray,
    scale: tuple[float, str],
    frame: Frame,
    *,
    electronics: bool,
) -> None:
    """Why: the terms that matter, beside the deviation that was measured."""
    import numpy as np

    factor, shown = scale
    sizes = {name: float(np.linalg.norm(values)) for name, values in budget.terms.items()}
    told = [name for name, size in sizes.items() if size > 1e-3 * max(sizes.values())]
    rows = [("", "measured", "predicted", *told, "noise")]
    for k, name in enumerate(names):
        cells = [measured[k] - budget.exact[k], budget.systematic[k], *(budget.terms[term][k] for term in told)]
        rows.append((name, *(f"{factor * cell:.3g}" for cell in cells), f"+-{factor * budget.noise[k]:.2g}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    noise = "the published chip and of the electronics" if electronics else "the published chip, not in this run"
    frame.say(f"why ({shown}, lock-in less exact; noise of {noise}):")
    for row in rows:
        frame.say("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
