"""The command ``inmateria``: doctor, learn, gradient, export."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from inmateria import __version__
from inmateria.errors import InputError
from inmateria.terminal import EXIT_NO, document, emit, errors_as_lines, output_folder, stderr

app = typer.Typer(
    name="inmateria",
    help="SPICE-level simulation of circuits that learn.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class EngineChoice(StrEnum):
    """What integrates the circuit."""

    ngspice = "ngspice"
    twin = "twin"


class SlopeOf(StrEnum):
    """What the gradient is of."""

    output = "output"
    loss = "loss"


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
Out = Annotated[Path | None, typer.Option(help="Folder for waveforms, summary, deck and figures.")]
Seed = Annotated[int, typer.Option(help="Seeds everything.", min=0)]
DeviceSeed = Annotated[int | None, typer.Option(help="Seed of the device; 0, the default device, if left out.", min=0)]
DeviceName = Annotated[str, typer.Option(help="Device model.")]
Frequencies = Annotated[
    str | None, typer.Option(help="Tones in Hz, one per trained electrode, e.g. '260,270,300,360,440,490,510'.")
]
Amplitude = Annotated[float, typer.Option(help="Peak dither amplitude, V.")]
MaxStep = Annotated[float | None, typer.Option(help="Largest time step, s.")]
EngineOption = Annotated[EngineChoice, typer.Option(help="ngspice, or its compiled twin.")]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"inmateria {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """SPICE-level simulation of circuits that learn."""


def _numbers(field: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(field, text, "is no list of numbers", "write numbers with commas between them") from None


def _bench(device: str, device_seed: int | None, frequencies: str | None, tolerance: float) -> Any:
    from learning.bench import DEFAULT_DEVICE_SEED, default_bench

    if device != "meanfield":
        raise InputError("device", device, "is no device known here", "use meanfield")
    seed = DEFAULT_DEVICE_SEED if device_seed is None else device_seed
    return default_bench(seed, tolerance=tolerance, frequencies_Hz=_numbers("frequencies", frequencies)), seed


def _device_facts(model: str, seed: int, bench: Any) -> dict[str, Any]:
    names = bench.device.terminals
    return {
        "model": model,
        "preset": bench.device.network.preset,
        "seed": seed,
        "output": names[bench.output],
        "inputs": [names[k] for k in bench.inputs],
    }


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check that everything a run needs is here and works together; exit 1 if not.

    Example: inmateria doctor
    """
    from inmateria.doctor import as_json as findings_json
    from inmateria.doctor import examine

    with errors_as_lines(as_json):
        findings = examine()
        if as_json:
            emit(document("doctor", None, findings_json(findings)))
        else:
            for finding in findings:
                mark = "[green]ok[/]  " if finding.ok else "[red]FAIL[/]"
                stderr.print(f"{mark} {finding.check}: {finding.found}", highlight=False)
                if finding.fix:
                    stderr.print(f"     fix: {finding.fix}", highlight=False)
        if not all(f.ok for f in findings):
            raise typer.Exit(EXIT_NO)


@app.command()
def learn(
    gate: Annotated[str, typer.Argument(help="AND, OR, NAND, NOR, XOR or XNOR.")],
    as_json: Json = False,
    out: Out = None,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    device: DeviceName = "meanfield",
    frequencies: Frequencies = None,
    amplitude: Amplitude = 0.01,
    max_step: MaxStep = None,
    restarts: Annotated[int, typer.Option(help="Attempts at most.", min=1)] = 20,
    engine: EngineOption = EngineChoice.ngspice,
) -> None:
    """Learn a logic gate: device, lock-ins and integrators in one transient, restarted until it is learned.

    Exit 0 if learned, 1 if not. With --out: waveforms.nc, summary.json, the deck and the figures.

    Example: inmateria learn XOR --out xor
    """
    from inmateria.learning_run import run_learning

    with errors_as_lines(as_json):
        folder = output_folder(out)
        bench, used_seed = _bench(device, device_seed, frequencies, 1e-5)
        summary = run_learning(
            gate,
            bench,
            facts=_device_facts(device, used_seed, bench),
            seed=seed,
            amplitude_V=amplitude,
            max_step_s=max_step,
            restarts=restarts,
            engine=engine.value,
            folder=folder,
        )
        content = document("learn", seed, summary)
        if as_json:
            emit(content)
        if not summary["success"]:
            raise typer.Exit(EXIT_NO)


@app.command()
def gradient(
    as_json: Json = False,
    out: Out = None,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    device: DeviceName = "meanfield",
    frequencies: Frequencies = None,
    amplitude: Amplitude = 0.005,
    max_step: MaxStep = None,
    of: Annotated[SlopeOf, typer.Option(help="Slope of the output current, or of a gate's loss.")] = SlopeOf.output,
    gate: Annotated[str, typer.Option(help="The gate whose loss is meant by --of loss.")] = "XOR",
    at: Annotated[
        str | None, typer.Option(help="Control voltages, V, e.g. '0.1,-0.2,...'; random if left out.")
    ] = None,
    engine: EngineOption = EngineChoice.ngspice,
) -> None:
    """Read a gradient with the circuit's lock-ins and compare it with the exact one.

    Example: inmateria gradient --amplitude 0.005 --json
    """
    from inmateria.gradient_run import run_gradient

    with errors_as_lines(as_json):
        folder = output_folder(out)
        bench, used_seed = _bench(device, device_seed, frequencies, 1e-6)
        summary = run_gradient(
            bench,
            of=of.value,
            gate=gate,
            at=_numbers("at", at),
            seed=seed,
            amplitude_V=amplitude,
            max_step_s=max_step,
            engine=engine.value,
            folder=folder,
        )
        summary["device"] = _device_facts(device, used_seed, bench)
        if as_json:
            emit(document("gradient", seed, summary))


@app.command()
def export(
    gate: Annotated[str, typer.Argument(help="AND, OR, NAND, NOR, XOR or XNOR.")],
    deck: Annotated[Path, typer.Argument(help="File to write.")],
    as_json: Json = False,
    seed: Seed = 0,
    device_seed: DeviceSeed = None,
    device: DeviceName = "meanfield",
    frequencies: Frequencies = None,
    amplitude: Amplitude = 0.01,
    max_step: MaxStep = None,
    restarts: Annotated[int, typer.Option(help="Attempts at most.", min=1)] = 20,
) -> None:
    """Write a learning run as a deck for plain ngspice, the device's currents as recorded waveforms.

    Example: inmateria export XOR deck.cir && ngspice -b deck.cir
    """
    from inmateria.learning_run import run_export

    with errors_as_lines(as_json):
        try:
            deck.parent.mkdir(parents=True, exist_ok=True)
            deck.open("a").close()
        except OSError as error:
            raise InputError(
                "deck", str(deck), f"cannot be written ({error.strerror})", "choose another file"
            ) from error
        bench, used_seed = _bench(device, device_seed, frequencies, 1e-5)
        begin = time.perf_counter()
        summary = run_export(
            gate, bench, deck, seed=seed, amplitude_V=amplitude, max_step_s=max_step, restarts=restarts
        )
        summary |= {"device": _device_facts(device, used_seed, bench), "wall_s": time.perf_counter() - begin}
        if as_json:
            emit(document("export", seed, summary))
        if not summary["success"]:
            raise typer.Exit(EXIT_NO)


def main() -> None:
    """Entry point; a bare Ctrl-C outside a command ends with 130 and no traceback."""
    with errors_as_lines(False):
        app()
