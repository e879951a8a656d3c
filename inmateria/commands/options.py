"""Options that several commands share: one annotated type for each, and those of an experiment together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from circuits.choices import LevelName, LossName
from circuits.homodyne.engines import EngineName
from inmateria.commands.frame import Json
from learning.choices import Polarity
from learning.tasks.library import NAMES

TASKS = ", ".join(NAMES)

Out = Annotated[Path | None, typer.Option(help="Folder for waveforms, summary, deck and figures.")]
Seed = Annotated[int, typer.Option(help="Seeds everything.", min=0)]
DesignFile = Annotated[
    str | None, typer.Option("--design", help="File of a design (.toml); options beside it take the place of its own.")
]
DeviceSeed = Annotated[int | None, typer.Option(help="Seed of the device; 0, the default device, if left out.", min=0)]
Devices = Annotated[
    int,
    typer.Option(
        help="Devices side by side, their outputs joined and all their controls trained: networks of this seed and "
        "the next ones, or copies of a chip.",
        min=1,
    ),
]
DeviceName = Annotated[
    str, typer.Option(help="meanfield, kmc, or a file: a measured chip (.npz, .pickle), a netlist (.lib, .cir).")
]
Electrodes = Annotated[
    str | None,
    typer.Option(help="Output and inputs, e.g. 'e0:e2,e6'; all but the output are trained, the inputs' biases too."),
]
Frequencies = Annotated[
    str | None, typer.Option(help="Tones in Hz, one per trained electrode, e.g. '260,270,300,360,440,490,510'.")
]
Amplitude = Annotated[float, typer.Option(help="Peak dither amplitude, V.")]
LoopAmplitude = Annotated[
    float | None,
    typer.Option(help="Peak dither amplitude, V; 0.005 with ideal parts and 0.01 with real ones if left out."),
]
Swing = Annotated[
    float | None, typer.Option(help="Difference of the input levels, V; a quarter of the range, say, if left out.")
]
PolarityRule = Annotated[
    Polarity, typer.Option("--polarity", help="free: less current may stand for 1 if that suits a setting; fixed: not.")
]
MaxStep = Annotated[float | None, typer.Option(help="Largest time step, s.")]
Restarts = Annotated[int, typer.Option(help="Attempts at most.", min=1)]
Engine = Annotated[EngineName, typer.Option(help="ngspice, its compiled twin, or the loop averaged over its dither.")]
Level = Annotated[
    LevelName,
    typer.Option(
        help="Electronics: ideal, equations; macro, with typical errors of real parts; transistor: mixers, limiters "
        "and integrators of transistors, the rest macro; board: circuits of parts that one buys, with supplies."
    ),
]
Loss = Annotated[
    LossName,
    typer.Option(help="Loss: squared or absolute error; hinge, zero once an output is far enough on its side."),
]
Rates = Annotated[
    str,
    typer.Option(
        help="Shares of the learning rate: one for all controls, one for each, with commas; or auto, of each by its "
        "slope at the start, so that the loop does not hunt."
    ),
]
Chopped = Annotated[
    bool,
    typer.Option("--chopped", help="Change the dither's sign from window to window: the multipliers' offsets cancel."),
]
ElectronicsNoise = Annotated[
    bool,
    typer.Option(
        "--electronics-noise",
        help="Noise of every resistor and transistor, as ngspice's .noise knows it; in ngspice only.",
    ),
]
Workers = Annotated[int | None, typer.Option(help="Worker processes here; one a processor if left out.", min=1)]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a dask scheduler, e.g. tcp://10.0.0.1:8786; else workers here.")
]


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions:
    """What a command takes of a bench, its task and how the loop is set, where no design says it."""

    design: DesignFile = None
    as_json: Json = False
    seed: Seed = 0
    device_seed: DeviceSeed = None
    device: DeviceName = "meanfield"
    devices: Devices = 1
    electrodes: Electrodes = None
    frequencies: Frequencies = None
    amplitude: LoopAmplitude = None
    swing: Swing = None
    max_step: MaxStep = None
