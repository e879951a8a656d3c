"""`inmateria iv`: currents over one or two swept electrodes; what exists is kept when the user stops it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.commands.frame import Frame, Json, stopped
from inmateria.commands.options import DeviceName, DeviceSeed, Seed
from inmateria.errors import InputError, Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted

if TYPE_CHECKING:
    import xarray as xr

    from inmateria.commands.iv_sweep import IvSweep
    from inmateria.commands.voltages import Sweep

FILES = ("iv.nc", "iv.png")


@dataclass(frozen=True, kw_only=True)
class Options:
    """A device, which voltages are swept and held, and how exact kinetic Monte Carlo shall be."""

    sweep: Annotated[
        list[str], typer.Option(help="Electrode and voltages, e1=FROM:TO:POINTS in V; give it twice for a map.")
    ] = field(default_factory=list)
    at: Annotated[str | None, typer.Option(help="Voltages of the others, e.g. 'e2=0.1,e3=-0.2'; else 0.")] = None
    electrode: Annotated[
        str | None, typer.Option(help="Electrodes whose currents are required, e.g. 'e0,e3'; all if left out.")
    ] = None
    device: DeviceName = "meanfield"
    as_json: Json = False
    out: Annotated[Path | None, typer.Option(help="Folder for the currents (iv.nc), figure and summary.")] = None
    seed: Seed = 0
    device_seed: DeviceSeed = None
    until: Annotated[float | None, typer.Option(help="kmc: relative error to stop at, e.g. 0.01.")] = None
    hops: Annotated[int | None, typer.Option(help="kmc: hops per setting; with --until the most.")] = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Sweep the voltage of one or two electrodes and show the currents; kmc gives them with error bars.

    Example: inmateria iv --sweep e1=-0.5:0.5:101 --at e2=0.1 --out iv
    """
    from analysis.plots.device import plot_iv
    from dnpu_models.monte_carlo.model import KineticMonteCarlo
    from inmateria.commands.iv_sweep import IvSweep
    from inmateria.commands.voltages import electrodes_of, sweeps_of, voltages_of
    from learning.bench.devices import DeviceOptions, make_device

    device, facts = make_device(DeviceOptions(options.device, options.device_seed))
    sweeps, held = sweeps_of(options.sweep, device), voltages_of(options.at, device)
    for one in sweeps:
        if held[one.terminal]:
            raise InputError("at", options.at, f"holds {one.name}, which is swept", "hold the other electrodes")
    read = electrodes_of(options.electrode, device)
    _check_errors(options.until, options.hops, isinstance(device, KineticMonteCarlo))
    found = IvSweep(device, sweeps, held, read, options.seed, options.until, options.hops, threads=os.cpu_count() or 1)
    settings = len(found.volts)
    with (
        frame.keeping(lambda _: _stopped(found, facts, frame)),
        compilation_told(stderr),
        counted(stderr, "settings", settings) as tick,
    ):
        for made in found.run():
            for _ in range(made):
                tick()
    data = found.dataset(facts, complete=1)
    frame.write_dataset("iv.nc", data)
    frame.write_figures(lambda data: {"iv.png": plot_iv(data)})
    summary = _summary(data, sweeps, facts) | {
        "until": options.until,
        "settings": settings,
        "until_missed": found.missed if options.until is not None else None,
    }
    _tell(summary, sweeps, frame)
    return frame.summary(summary)


def _check_errors(until: float | None, hops: int | None, stochastic: bool) -> None:
    for name, value in (("until", until), ("hops", hops)):
        if value is not None and not stochastic:
            raise InputError(name, value, "is for kinetic Monte Carlo only", "leave it out, or take --device kmc")
    if until is not None and not 0 < until < 1:
        raise InputError("until", until, "must be a relative error between 0 and 1", "0.01 is 1 %")
    if hops is not None and hops < 1024:
        raise InputError("hops", hops, "is too few for an error bar", "give at least 1024")


def _stopped(found: IvSweep, facts: dict[str, Any], frame: Frame) -> Interrupted:
    """Write what there is; the error that says so."""
    if not found.done:
        return stopped("stopped by Ctrl-C before the first setting", "run the command again")
    where = f"stopped by Ctrl-C after {found.done} of {len(found.volts)} settings"
    if frame.folder is None:
        return stopped(where, "with --out DIR what was computed is kept")
    path = frame.write_dataset("iv.nc", found.dataset(facts, complete=0, interrupted=1))
    error = stopped(where, f"what was computed is in {path}")
    frame.write_error(error)
    return error


def _summary(found: xr.Dataset, sweeps: list[Sweep], facts: dict[str, Any]) -> dict[str, Any]:
    names = [str(name) for name in found["terminal"].values]

    def by_name(variable: str) -> dict[str, Any] | None:
        if variable not in found:
            return None
        return {name: found[variable].sel(terminal=name).values.tolist() for name in names}

    return {
        "device": facts,
        "sweep": [{"electrode": s.name, "start_V": s.start_V, "stop_V": s.stop_V, "points": s.points} for s in sweeps],
        "held_V": dict(zip(found.attrs["held_terminals"], map(float, found.attrs["held_V"]), strict=True)),
        "electrodes": names,
        "voltages_V": {s.name: s.voltages_V.tolist() for s in sweeps},
        "currents_A": by_name("current_A"),
        "stderr_A": by_name("stderr_A"),
    }


def _tell(summary: dict[str, Any], sweeps: list[Sweep], frame: Frame) -> None:
    """The result for people: the span of each current, and where it falls while the voltage rises."""
    import numpy as np

    for name in summary["electrodes"]:
        current = np.array(summary["currents_A"][name])
        line = f"{name}: {1e9 * current.min():.4g} to {1e9 * current.max():.4g} nA"
        for axis, one in enumerate(sweeps):
            slopes = np.diff(current, axis=axis) * (1 if one.stop_V > one.start_V else -1)
            line += f", dI/d{one.name} < 0 at {100 * np.mean(slopes < 0):.0f} %"
        if summary["stderr_A"] is not None:
            line += f", standard error {1e9 * np.median(summary['stderr_A'][name]):.2g} nA (median)"
        frame.say(line)
    if summary["until_missed"]:
        frame.say(
            f"{summary['until_missed']} of {summary['settings']} settings did not reach the error asked for; their "
            "error bars say how far they came",
        )
    if frame.folder is not None:
        frame.say(f"currents and figure are in {frame.folder}")
