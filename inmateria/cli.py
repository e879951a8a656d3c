"""The command ``inmateria`` with all its subcommands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape

from inmateria import __version__
from inmateria.errors import InputError
from inmateria.rooms import require_rooms
from inmateria.terminal.output import (
    EXIT_INPUT,
    EXIT_NO,
    answers,
    document,
    emit,
    end,
    errors_as_lines,
    output_file,
    output_folder,
)
from inmateria.terminal.usage import ClickException, usage_error

app = typer.Typer(
    name="inmateria",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


TASKS = "AND, OR, NAND, NOR, XOR, XNOR, ring, sphere, curve"


class EngineChoice(StrEnum):
    """What integrates the circuit."""

    ngspice = "ngspice"
    twin = "twin"
    averaged = "averaged"


class LevelChoice(StrEnum):
    """How real the electronics are."""

    ideal = "ideal"
    macro = "macro"
    transistor = "transistor"


class LossChoice(StrEnum):
    """What the loop descends."""

    squared = "squared"
    absolute = "absolute"
    hinge = "hinge"


DesignFile = Annotated[
    str | None, typer.Option("--design", help="File of a design (.toml); options beside it take the place of its own.")
]


class SlopeOf(StrEnum):
    """What the gradient is of."""

    output = "output"
    loss = "loss"


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
Out = Annotated[Path | None, typer.Option(help="Folder for waveforms, summary, deck and figures.")]
Seed = Annotated[int, typer.Option(help="Seeds everything.", min=0)]
DeviceSeed = Annotated[int | None, typer.Option(help="Seed of the device; 0, the default device, if left out.", min=0)]
DeviceName = Annotated[str, typer.Option(help="meanfield, kmc, or the file of a measured chip (.npz, .pickle).")]
Electrodes = Annotated[
    str | None,
    typer.Option(help="Output and inputs, e.g. 'e0:e2,e6'; all but the output are trained, the inputs' biases too."),
]
Frequencies = Annotated[
    str | None, typer.Option(help="Tones in Hz, one per trained electrode, e.g. '260,270,300,360,440,490,510'.")
]
Amplitude = Annotated[float, typer.Option(help="Peak dither amplitude, V.")]
MaxStep = Annotated[float | None, typer.Option(help="Largest time step, s.")]
EngineOption = Annotated[
    EngineChoice, typer.Option(help="ngspice, its compiled twin, or the loop averaged over its dither.")
]
LevelOption = Annotated[
    LevelChoice,
    typer.Option(help="Electronics: ideal; macro, with real parts' errors; transistor, where there are such."),
]
LossOption = Annotated[
    LossChoice,
    typer.Option(help="Loss: squared or absolute error; hinge, zero once an output is far enough on its side."),
]


def _given(context: typer.Context) -> dict[str, Any]:
    """The options that stand on the command line, by name."""
    said = {name: value for name, value in context.params.items() if _was_said(context, name) and value is not None}
    return {name: value.value if isinstance(value, StrEnum) else value for name, value in said.items()}


def _was_said(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _version(show: bool) -> None:
    if show:
        typer.echo(f"inmateria {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """SPICE-level simulation of circuits that learn.

    Example: inmateria learn XOR --out xor
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check that everything a run needs is here and works together; exit 1 if not.

    Example: inmateria doctor
    """
    with errors_as_lines(as_json):
        from inmateria.commands.doctor import as_json as findings_json
        from inmateria.commands.doctor import examine

        findings = examine()
        if as_json:
            emit(document("doctor", None, findings_json(findings)))
        else:
            out = answers(as_json)
            for finding in findings:
                mark = "[green]ok[/]  " if finding.ok else "[red]FAIL[/]"
                out.print(f"{mark} {finding.check}: {escape(finding.found)}", highlight=False)
                if finding.fix:
                    out.print(f"     fix: {escape(finding.fix)}", highlight=False)
        if not all(f.ok for f in findings):
            raise typer.Exit(EXIT_NO)


@app.command()
def learn(
    context: typer.Context,
    gate: Annotated[
        str | None,
        typer.Argument(
            help=f"{TASKS}, or a file (.csv, .npz); a design names its own, which this one takes the place of.",
            show_default=False,
        ),
    ] = None,
    design: DesignFile = None,
    as_json: Json = False,
    out: Out = None,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    device: DeviceName = "meanfield",
    electrodes: Electrodes = None,
    frequencies: Frequencies = None,
    amplitude: Amplitude = 0.01,
    max_step: MaxStep = None,
    restarts: Annotated[int, typer.Option(help="Attempts at most.", min=1)] = 20,
    engine: EngineOption = EngineChoice.ngspice,
    level: LevelOption = LevelChoice.ideal,
    loss: LossOption = LossChoice.squared,
    method: Annotated[
        str,
        typer.Option(help="hge, random, differences, spsa or evolution; several, with commas, are compared."),
    ] = "hge",
    evaluations: Annotated[
        int | None, typer.Option(help="Device evaluations at most; those of all restarts if left out.", min=1)
    ] = None,
) -> None:
    """Learn a gate or another task: device, lock-ins and integrators in one transient, restarted until it is learned.

    Exit 0 if learned, 1 if not. With --out: waveforms.nc, summary.json, the deck and the figures. Other methods see
    measured outputs only and leave trace.nc, summary.json and a figure; exit 0 if the first one named learned it.

    Example: inmateria learn XOR --out xor
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from inmateria.commands.experiment import from_design, from_options, read_design
        from inmateria.commands.learn import run_learning
        from inmateria.commands.search import parse_methods, run_search
        from learning.bench.devices import DeviceOptions

        methods = parse_methods(method)
        if design is not None:
            opened = read_design(design, _given(context))
            experiment, seed = from_design(opened, max_step_s=max_step), opened.seed
        elif gate is None:
            raise InputError("gate", None, "is missing", f"name one of {TASKS}, or a --design")
        else:
            experiment = from_options(
                DeviceOptions(device, device_seed, electrodes),
                gate,
                frequencies=frequencies,
                amplitude_V=amplitude,
                max_step_s=max_step,
                restarts=restarts,
                level=level.value,
                loss=loss.value,
            )
        if methods == ("hge",):
            content = run_learning(
                experiment,
                seed=seed,
                engine=engine.value,
                folder=folder,
                answer=answers(as_json),
                device_evaluations=evaluations,
            )
        else:
            content = run_search(
                experiment,
                methods,
                seed=seed,
                engine=engine.value,
                device_evaluations=evaluations,
                folder=folder,
                answer=answers(as_json),
            )
        if as_json:
            emit(content)
        if not content["success"]:
            raise typer.Exit(EXIT_NO)


@app.command()
def gradient(
    context: typer.Context,
    design: DesignFile = None,
    as_json: Json = False,
    out: Out = None,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    device: DeviceName = "meanfield",
    electrodes: Electrodes = None,
    frequencies: Frequencies = None,
    amplitude: Amplitude = 0.005,
    max_step: MaxStep = None,
    of: Annotated[SlopeOf, typer.Option(help="Slope of the output current, or of a gate's loss.")] = SlopeOf.output,
    gate: Annotated[str, typer.Option(help="The gate whose loss is meant by --of loss.")] = "XOR",
    at: Annotated[
        str | None, typer.Option(help="Control voltages, V, e.g. '0.1,-0.2,...'; random if left out.")
    ] = None,
    engine: EngineOption = EngineChoice.ngspice,
    level: LevelOption = LevelChoice.ideal,
    loss: LossOption = LossChoice.squared,
) -> None:
    """Read a gradient with the circuit's lock-ins and compare it with the exact one.

    Example: inmateria gradient --amplitude 0.005 --json
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from inmateria.commands.experiment import from_design, from_options, numbers, read_design
        from inmateria.commands.gradient import run_gradient
        from learning.bench.devices import DeviceOptions

        if design is not None:
            opened = read_design(design, _given(context))
            experiment, seed = from_design(opened, max_step_s=max_step, tolerance=1e-6), opened.seed
        else:
            experiment = from_options(
                DeviceOptions(device, device_seed, electrodes),
                gate,
                frequencies=frequencies,
                amplitude_V=amplitude,
                max_step_s=max_step,
                level=level.value,
                loss=loss.value,
                tolerance=1e-6,
            )
        content = run_gradient(
            experiment,
            of=of.value,
            at=numbers("at", at),
            seed=seed,
            engine=engine.value,
            folder=folder,
            answer=answers(as_json),
        )
        if as_json:
            emit(content)


@app.command()
def plan(
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder for summary, curves and figure.")] = None,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    device: DeviceName = "meanfield",
    electrodes: Electrodes = None,
    error: Annotated[float, typer.Option(help="Wanted error of the gradient, relative to its size.")] = 0.1,
    points: Annotated[int, typer.Option(help="Random settings at which it counts.", min=1, max=1000)] = 4,
    noise: Annotated[float, typer.Option(help="Noise of the output, one-sided, A^2/Hz.")] = 1e-23,
    limit: Annotated[float, typer.Option(help="Largest peak dither, V.")] = 0.1,
    band: Annotated[str | None, typer.Option(help="Band of the tones, LOW:HIGH in Hz; any if left out.")] = None,
    longest: Annotated[float, typer.Option(help="Longest reading, s.")] = 1e3,
    filters: Annotated[
        str, typer.Option(help="Filters to choose from: boxcar, 6, 12, 18, 24 (dB/octave).")
    ] = "boxcar,6,12,18,24",
    curvature: Annotated[
        float | None, typer.Option(help="Largest curvature of the loss, per V^2: plans a learning rate, too.")
    ] = None,
) -> None:
    """Plan tones, amplitudes and filter for a wanted error of the gradient: the fastest reading, and what limits it.

    Example: inmateria plan --error 0.1 --band 100:2000 --out plan
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from inmateria.commands.experiment import make_bench
        from inmateria.commands.plan import run_plan
        from learning.bench.devices import DeviceOptions

        bench, facts = make_bench(DeviceOptions(device, device_seed, electrodes), None, 1e-6)
        content = run_plan(
            bench,
            facts=facts,
            error=error,
            points=points,
            noise_A2_per_Hz=noise,
            limit_V=limit,
            band=band,
            longest_s=longest,
            filters=filters,
            curvature=curvature,
            seed=seed,
            folder=folder,
            answer=answers(as_json),
        )
        if as_json:
            emit(content)


@app.command()
def export(
    context: typer.Context,
    gate: Annotated[str, typer.Argument(help="AND, OR, NAND, NOR, XOR or XNOR, also in place of a design's task.")],
    deck: Annotated[Path, typer.Argument(help="File to write.")],
    design: DesignFile = None,
    as_json: Json = False,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    device: DeviceName = "meanfield",
    electrodes: Electrodes = None,
    frequencies: Frequencies = None,
    amplitude: Amplitude = 0.01,
    max_step: MaxStep = None,
    restarts: Annotated[int, typer.Option(help="Attempts at most.", min=1)] = 20,
    closed: Annotated[
        bool, typer.Option("--closed", help="The closed loop, which learns again: the device as a fitted network.")
    ] = False,
) -> None:
    """Write a learning run as a deck for plain ngspice, the device's currents as recorded waveforms, or --closed.

    Example: inmateria export XOR deck.cir --closed && ngspice -b deck.cir
    """
    with errors_as_lines(as_json):
        require_rooms()
        from inmateria.commands.experiment import from_design, from_options, read_design
        from inmateria.commands.export import run_export
        from learning.bench.devices import DeviceOptions

        if design is not None:
            opened = read_design(design, _given(context))
            experiment, seed = from_design(opened, max_step_s=max_step), opened.seed
        else:
            experiment = from_options(
                DeviceOptions(device, device_seed, electrodes),
                gate,
                frequencies=frequencies,
                amplitude_V=amplitude,
                max_step_s=max_step,
                restarts=restarts,
            )
        output_file(deck)
        content = run_export(experiment, deck, seed=seed, closed=closed, answer=answers(as_json))
        if as_json:
            emit(content)
        if not content["success"]:
            raise typer.Exit(EXIT_NO)


@app.command()
def iv(
    sweep: Annotated[
        list[str], typer.Option(help="Electrode and voltages, e1=FROM:TO:POINTS in V; give it twice for a map.")
    ] = [],  # noqa: B006  typer takes no None for a list
    at: Annotated[str | None, typer.Option(help="Voltages of the others, e.g. 'e2=0.1,e3=-0.2'; else 0.")] = None,
    electrode: Annotated[
        str | None, typer.Option(help="Electrodes whose currents are wanted, e.g. 'e0,e3'; all if left out.")
    ] = None,
    device: DeviceName = "meanfield",
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the currents (iv.nc), figure and summary.")] = None,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    until: Annotated[float | None, typer.Option(help="kmc: relative error to stop at, e.g. 0.01.")] = None,
    hops: Annotated[int | None, typer.Option(help="kmc: hops per setting; with --until the most.")] = None,
) -> None:
    """Sweep the voltage of one or two electrodes and show the currents; kmc gives them with error bars.

    Example: inmateria iv --sweep e1=-0.5:0.5:101 --at e2=0.1 --out iv
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        import os

        from inmateria.commands.iv import run_iv
        from learning.bench.devices import DeviceOptions, make_device

        opened, facts = make_device(DeviceOptions(device, device_seed))
        content = run_iv(
            opened,
            facts=facts,
            sweep=sweep,
            at=at,
            electrode=electrode,
            until=until,
            hops=hops,
            seed=seed,
            threads=os.cpu_count() or 1,
            folder=folder,
            answer=answers(as_json),
        )
        if as_json:
            emit(content)


@app.command("device")
def device_command(
    device: DeviceName = "meanfield",
    at: Annotated[
        str | None,
        typer.Option(help="Voltages, e.g. 'e1=0.3,e2=-0.1'; 0.5 V on the electrode opposite e0 if left out."),
    ] = None,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the picture, its data (device.nc) and summary.")] = None,
    device_seed: DeviceSeed = None,
) -> None:
    """Draw a device and where its current flows (mean field), with its key figures; tell what a chip's file knows.

    Example: inmateria device --at e4=0.5,e2=-0.3 --out device
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from inmateria.commands.device import run_device
        from learning.bench.devices import DeviceOptions, make_device

        opened, facts = make_device(DeviceOptions(device, device_seed))
        content = run_device(opened, facts=facts, at=at, folder=folder, answer=answers(as_json))
        if as_json:
            emit(content)


class Realisation(StrEnum):
    """How a lock-in is realised."""

    digital = "digital"
    ideal = "ideal"
    macro = "macro"


class MixerChoice(StrEnum):
    """What a lock-in multiplies with."""

    sine = "sine"
    square = "square"


@app.command("lockin")
def lockin_command(
    realisation: Annotated[
        Realisation, typer.Option(help="digital, or a netlist of ideal parts or of real parts' macro models.")
    ] = Realisation.digital,
    time_constant: Annotated[float, typer.Option(help="Time constant of each pole, s.")] = 0.01,
    frequency: Annotated[float, typer.Option(help="Reference frequency, Hz.")] = 1000.0,
    mixer: Annotated[MixerChoice, typer.Option(help="sine, or a switching (square-wave) mixer.")] = MixerChoice.sine,
    full_scale: Annotated[float, typer.Option(help="Largest test signal, V rms.")] = 1.0,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the curves (lockin.nc), figure and summary.")] = None,
) -> None:
    """Measure a lock-in's data sheet at 6 to 24 dB/octave: bandwidth, settling, rejections, offset, dynamic reserve.

    Example: inmateria lockin --realisation ideal --out lockin
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from inmateria.commands.lockin import run_lockin

        content = run_lockin(
            realisation.value,
            time_constant=time_constant,
            frequency=frequency,
            mixer=mixer.value,
            full_scale=full_scale,
            folder=folder,
            answer=answers(as_json),
        )
        if as_json:
            emit(content)


class MeasureChoice(StrEnum):
    """What is measured at each point."""

    gradient = "gradient"
    loss_gradient = "loss-gradient"
    learn = "learn"


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write, or a folder to write design.toml to.")] = Path(
        "design.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a first design, with a comment on every key; it verifies.

    Example: inmateria init design.toml
    """
    with errors_as_lines(as_json):
        require_rooms()
        from inmateria.commands.verify import write_design

        content = write_design(path, force=force)
        if as_json:
            emit(content)
        else:
            answers(as_json).print(f"written: {content['files'][0]}", highlight=False)


@app.command()
def verify(
    design: Annotated[str, typer.Argument(help="File of a design (.toml); inmateria init writes one.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="All in the samples' engine, 20 samples, no corners: a first look.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html, decks, waveforms and samples. There it goes on.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes here; one a processor if left out.", min=1)
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, e.g. tcp://10.0.0.1:8786; else workers here.")
    ] = None,
    as_json: Json = False,
    seed: Annotated[int | None, typer.Option(help="In place of the design's.", min=0)] = None,
) -> None:
    """Sign off a design: nominal in ngspice, corners, and samples over tolerances and devices; pass or fail.

    Exit 0 if every criterion is met, 1 if not. Stopped or killed, the same command goes on with the corners and samples
    that are done.

    Example: inmateria verify design.toml --out report
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from analysis.designs.design import Design
        from inmateria.commands.verify import run_verify

        opened = Design.from_toml(design)
        content = run_verify(
            opened if seed is None else opened.changed({"seed": seed}),
            file=design,
            quick=quick,
            workers=workers,
            scheduler=scheduler,
            folder=folder,
            answer=answers(as_json),
        )
        if as_json:
            emit(content)
        if not content["success"]:
            raise typer.Exit(EXIT_NO)


@app.command("sweep")
def sweep_command(
    design: Annotated[
        str | None, typer.Argument(help="File of a design (.toml); the default one if left out.", show_default=False)
    ] = None,
    over: Annotated[
        list[str],
        typer.Option(
            help="An axis, KEY=FROM:TO:SCALE:POINTS (lin or log), such as dither.amplitude=1mV:100mV:log:12, "
            "or KEY=a,b,c. Give it once for each axis."
        ),
    ] = [],  # noqa: B006  typer takes no None for a list
    seeds: Annotated[
        int | None,
        typer.Option(help="Repetitions: each seed draws its device (if random), setting or starts, and noise.", min=1),
    ] = None,
    measure: Annotated[
        MeasureChoice,
        typer.Option(help="gradient of output or loss at frozen controls against the exact one, or learn."),
    ] = MeasureChoice.gradient,
    engine: Annotated[
        EngineChoice, typer.Option(help="ngspice, its compiled twin, or the averaged loop (learn only).")
    ] = EngineChoice.twin,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the store (sweep.zarr), figure and summary. There a sweep goes on.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, e.g. tcp://10.0.0.1:8786; else workers here.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes here; one a processor if left out.", min=1)
    ] = None,
    check: Annotated[
        int | None, typer.Option(help="Points of a fast engine that ngspice computes again; 3 if left out.", min=0)
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compute points that failed once more.")] = False,
    as_json: Json = False,
    seed: Annotated[int | None, typer.Option(help="First of the seeds; the design's if left out.", min=0)] = None,
) -> None:
    """Measure a design at every point of a grid, on all processors or a cluster. Stopped or killed, it goes on.

    Exit 0 when done, also with failed points; 1 if every point failed. The store opens in xarray meanwhile.

    Example: inmateria sweep --over dither.amplitude=1mV:50mV:log:8 --over dither.spacing=5Hz,20Hz --seeds 3 --out map
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from analysis.designs.design import Design
        from inmateria.commands.sweep import run_sweep_command

        opened = Design.from_values({}) if design is None else Design.from_toml(design)
        content = run_sweep_command(
            opened if seed is None else opened.changed({"seed": seed}),
            file=design,
            over=over,
            seeds=seeds,
            measure=measure.value,
            engine=engine.value,
            scheduler=scheduler,
            workers=workers,
            check=check,
            retry_failed=retry_failed,
            folder=folder,
            answer=answers(as_json),
        )
        if as_json:
            emit(content)
        if not content["success"]:
            raise typer.Exit(EXIT_NO)


class CodeChoice(StrEnum):
    """How the parameters are perturbed."""

    random = "random"
    walsh = "walsh"
    sequential = "sequential"
    sine = "sine"


class ModeChoice(StrEnum):
    """How slopes are read."""

    discrete = "discrete"
    analog = "analog"


class DescentChoice(StrEnum):
    """What computes the multiplexed descent."""

    compiled = "compiled"
    ngspice = "ngspice"


@app.command()
def mgd(
    task: Annotated[
        str, typer.Argument(help="XOR, parity-3 to parity-10, letters, digits, mnist, fashion-mnist, cifar-10.")
    ],
    as_json: Json = False,
    out: Out = None,
    seed: Seed = 0,
    code: Annotated[CodeChoice, typer.Option(help="Perturbation of the parameters.")] = CodeChoice.random,
    mode: Annotated[
        ModeChoice | None,
        typer.Option(
            help="Costs compared and summed (usual), or through a high-pass and a low-pass (ngspice: always)."
        ),
    ] = None,
    engine: Annotated[
        DescentChoice, typer.Option(help="Compiled equations, or XOR as a circuit in ngspice.")
    ] = DescentChoice.compiled,
    eta: Annotated[float | None, typer.Option(help="Learning rate, per step.")] = None,
    norm: Annotated[float | None, typer.Option(help="Root of the perturbation's mean squared norm, m.")] = None,
    tau_p: Annotated[int, typer.Option(help="Steps for which a pattern of the perturbation stands.", min=1)] = 1,
    tau_theta: Annotated[
        int | None, typer.Option(help="Steps between updates; analog: time constant of the low-pass.", min=1)
    ] = None,
    tau_x: Annotated[
        int | None, typer.Option(help="Steps for which a sample is shown; the code's period if left out.", min=1)
    ] = None,
    tau_hp: Annotated[float | None, typer.Option(help="Analog: time constant of the high-pass, steps.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of a run.", min=1)] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Runs, each from a start of its own; left out: 10, of images 1.", min=1)
    ] = None,
    checks: Annotated[int | None, typer.Option(help="Looks at all samples during a run.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Samples presented together.", min=1)] = None,
    hidden: Annotated[str | None, typer.Option(help="Neurons of the hidden layers, e.g. '4' or '8,4'.")] = None,
    momentum: Annotated[float, typer.Option(help="Share of the velocity that is kept.")] = 0.0,
    cost_noise: Annotated[float, typer.Option(help="Standard deviation of each measured cost.")] = 0.0,
    update_noise: Annotated[float, typer.Option(help="Standard deviation that an update adds to a parameter.")] = 0.0,
    common_noise: Annotated[float, typer.Option(help="The same, one number for all parameters.")] = 0.0,
    defects: Annotated[float, typer.Option(help="Spread of the neurons' height, steepness, middle and floor.")] = 0.0,
    data: Annotated[
        Path | None, typer.Option(help="Folder of images: IDX files, or CIFAR-10's python archive.")
    ] = None,
    torch_device: Annotated[str, typer.Option(help="Of images, where PyTorch computes: cpu or cuda.")] = "cpu",
    inference_time: Annotated[
        float, typer.Option(help="Of the hardware, s; the example is a chip in the loop.")
    ] = 1e-3,
    update_time: Annotated[float, typer.Option(help="Of the hardware, for all parameters, s.")] = 1e-3,
) -> None:
    """Train a network by multiplexed gradient descent, from many starts; images by a convolutional network (PyTorch).

    Exit 0 if a run solved the parity (other tasks: when done), 1 if none did. With --out: mgd.nc, summary.json, the
    figure, and checkpoints from which a run that was stopped or killed goes on.

    Example: inmateria mgd XOR --code walsh --seeds 50 --out xor
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from inmateria.commands.mgd import layers_of, run_mgd

        content = run_mgd(
            task,
            {
                "code": code.value, "mode": mode and mode.value, "eta": eta, "norm": norm, "tau_p": tau_p,
                "tau_theta": tau_theta, "tau_x": tau_x, "tau_hp": tau_hp, "steps": steps, "checks": checks,
                "batch": batch, "momentum": momentum, "cost_noise": cost_noise, "update_noise": update_noise,
                "common_noise": common_noise, "defects": defects, "seed": seed,
            },
            hidden=layers_of(hidden),
            seeds=seeds,
            inference_s=inference_time,
            update_s=update_time,
            data=data,
            where=torch_device,
            engine=engine.value,
            folder=folder,
            answer=answers(as_json),
        )  # fmt: skip
        if as_json:
            emit(content)
        if not content["success"]:
            raise typer.Exit(EXIT_NO)


class LayerChoice(StrEnum):
    """What the samples go through."""

    rlc = "rlc"
    dnpu = "dnpu"
    identity = "identity"


class PatMode(StrEnum):
    """What runs forwards and what backwards."""

    pat = "pat"
    in_silico = "in-silico"
    ideal = "ideal"


class PatEngine(StrEnum):
    """What runs the electronic layer."""

    ngspice = "ngspice"
    twin = "twin"


class OnFailure(StrEnum):
    """What follows when the layer gives no answer to a sample."""

    skip = "skip"
    stop = "stop"


@app.command()
def pat(
    task: Annotated[str, typer.Argument(help="vowels, digits, mnist, fashion-mnist.")],
    as_json: Json = False,
    out: Out = None,
    seed: Seed = 0,
    layer: Annotated[
        LayerChoice, typer.Option(help="RLC circuit with a transistor, nodes of a chip, or nothing, for comparison.")
    ] = LayerChoice.rlc,
    mode: Annotated[
        PatMode, typer.Option(help="Forwards the layer and backwards its model; both the model; both the layer.")
    ] = PatMode.pat,
    engine: Annotated[
        PatEngine, typer.Option(help="Of the layer rlc: ngspice, or the same time steps compiled.")
    ] = PatEngine.ngspice,
    device: Annotated[
        str | None, typer.Option(help="Of the layer dnpu: the file of a measured chip (.npz, .pickle).")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="File of the vowels, or folder of the images (IDX).")] = None,
    splits: Annotated[int, typer.Option(help="Trainings, each on a split and a board of its own.", min=1)] = 1,
    passes: Annotated[int, typer.Option(help="Times a sample goes through the layer.", min=1)] = 3,
    width: Annotated[int | None, typer.Option(help="Values of a waveform, or nodes of the chip.", min=1)] = None,
    steps: Annotated[int, typer.Option(help="Of the layer rlc: time steps from value to value.", min=1)] = 2,
    taps: Annotated[
        int, typer.Option(help="Of the layers rlc and identity: values that the model looks back.", min=1)
    ] = 16,
    spread: Annotated[float, typer.Option(help="Relative spread of components, which the model does not know.")] = 0.05,
    noise: Annotated[float, typer.Option(help="Standard deviation of the layer's noise, V.")] = 0.01,
    epochs: Annotated[int | None, typer.Option(help="Passes through all training samples.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Samples an update.", min=1)] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    jitter: Annotated[
        float | None, typer.Option(help="Noise added to the features in training, in units of their spread.")
    ] = None,
    refit: Annotated[
        int | None, typer.Option(help="Epochs between refits of the model on what was measured.", min=1)
    ] = None,
    on_failure: Annotated[
        OnFailure, typer.Option(help="When the layer gives no answer to a sample: go on without it, or stop.")
    ] = OnFailure.skip,
) -> None:
    """Train a circuit or a chip by backpropagation through a model of it (physics-aware training; PyTorch).

    Accuracies are always those of the layer itself, with its noise. With --out: pat.nc, summary.json, figures, and
    checkpoints from which a run that was stopped or killed goes on.

    Example: inmateria pat vowels --splits 5 --out vowels
    """
    with errors_as_lines(as_json), output_folder(out) as folder:
        require_rooms()
        from inmateria.commands.pat import run_pat
        from learning.physics_aware.setups import LayerSettings

        content = run_pat(
            task,
            LayerSettings(layer.value, width, passes, spread, noise, steps, taps),
            {
                "mode": mode.value, "epochs": epochs, "batch": batch, "rate": rate, "jitter": jitter,
                "refit_every": refit, "on_failure": on_failure.value,
            },
            engine=engine.value,
            device=device,
            splits=splits,
            seed=seed,
            data=data,
            folder=folder,
            answer=answers(as_json),
        )  # fmt: skip
        if as_json:
            emit(content)


class Benched(StrEnum):
    """What is measured."""

    kmc = "kmc"
    spice = "spice"
    loop = "loop"
    sweep = "sweep"
    mgd = "mgd"
    pat = "pat"


@app.command()
def bench(
    what: Annotated[
        Benched,
        typer.Argument(
            help="kmc: kinetic Monte Carlo, and the mean field beside it; spice: a time-point, alone and in the loop; "
            "loop: the closed loop by its three engines; sweep: points per second on all processors; "
            "mgd: steps of multiplexed gradient descent; pat: samples through a circuit, beside one process a sample."
        ),
    ],
    as_json: Json = False,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    settings: Annotated[int, typer.Option(help="Of kmc: random settings per network.", min=1)] = 5,
) -> None:
    """Measure speed on this machine, each figure beside its baseline from the same run, on one core (sweep, pat: all).

    Example: inmateria bench kmc --json
    """
    with errors_as_lines(as_json):
        require_rooms()
        if what is Benched.spice:
            from inmateria.benchmarks import spice as spice_bench

            content = spice_bench.run_bench(seed=seed, answer=answers(as_json))
        elif what is Benched.loop:
            from inmateria.benchmarks import loop as loop_bench

            content = loop_bench.run_bench(seed=seed, answer=answers(as_json))
        elif what is Benched.mgd:
            from inmateria.benchmarks import mgd as mgd_bench

            content = mgd_bench.run_bench(answer=answers(as_json))
        elif what is Benched.pat:
            from inmateria.benchmarks import pat as pat_bench

            content = pat_bench.run_bench(answer=answers(as_json))
        elif what is Benched.sweep:
            from inmateria.benchmarks import sweep as sweep_bench

            content = sweep_bench.run_bench(answer=answers(as_json))
        else:
            from inmateria.benchmarks import kmc as kmc_bench

            content = kmc_bench.run_bench(
                seed=seed, device_seed=device_seed or 0, settings=settings, answer=answers(as_json)
            )
        if as_json:
            emit(document(f"bench {what.value}", seed, content))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: run the command line, and end with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words behind the command's name; those of the process if left out.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        with errors_as_lines(as_json):
            try:
                code = app(words, prog_name="inmateria", standalone_mode=False)
            except ClickException as error:
                end(usage_error(error, words), as_json, EXIT_INPUT)
    except typer.Exit as leave:
        code = leave.exit_code
    sys.exit(code or 0)
