"""`inmateria iv`: currents over one or two swept electrodes; what exists is kept when the user stops it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from dnpu_models.interface.device import known_terminals
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.checks import FloatArray
from inmateria.commands.results import Results
from inmateria.commands.voltages import _volts, _within, terminal_of, voltages_of
from inmateria.errors import ConvergenceError, InputError, Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told, counted
from inmateria.versions import versions
from learning.bench.devices import AnyModel

MOST_POINTS = 1_000_000
HOPS = 1 << 17
"""Hops per setting of kinetic Monte Carlo if nothing else is said: errors of about 0.2 % at the median, in 0.3 s."""
MOST_HOPS = 1 << 22
"""Hops per setting at most if an error is asked for: a current of exactly zero never has a small relative one."""
TOGETHER = 8
"""Settings that kinetic Monte Carlo is given at a time, to be followed by all cores."""
_SWEEP = re.compile(r"\s*([^=\s]+)\s*=\s*([^:]+):([^:]+):([^:]+)")


@dataclass(frozen=True)
class Sweep:
    """One electrode's voltages, evenly spaced from start to stop."""

    terminal: int
    name: str
    start_V: float
    stop_V: float
    points: int

    @property
    def voltages_V(self) -> FloatArray:
        """V, (points,)."""
        return np.linspace(self.start_V, self.stop_V, self.points)


def sweeps_of(texts: list[str], device: AnyModel) -> list[Sweep]:
    """Return the sweeps of ``e1=-0.5:0.5:101``.

    Raises
    ------
    InputError
        For none or more than two, text of another form, unknown electrodes, fewer than two points or more than can be
        kept, and voltages the device refuses.
    """
    example = f"write for example {device.terminals[1]}=-0.5:0.5:101"
    if not 1 <= len(texts) <= 2:
        raise InputError("sweep", texts or None, "one or two electrodes are swept", f"{example}, once or twice")
    sweeps: list[Sweep] = []
    for text in texts:
        match = _SWEEP.fullmatch(text)
        if match is None:
            raise InputError("sweep", text, "is no sweep", example)
        k = terminal_of("sweep", match[1], device)
        start, stop = (_volts("sweep", text, word) for word in (match[2], match[3]))
        try:
            points = int(match[4])
        except ValueError:
            raise InputError("sweep", text, f"{match[4].strip()!r} is no number of points", example) from None
        if points < 2:
            raise InputError("sweep", text, f"has {points} points", "give at least 2")
        if start == stop:
            raise InputError("sweep", text, "starts where it ends", "give two voltages, or hold the electrode by --at")
        _within("sweep", text, device, k, start, stop)
        if any(k == sweep.terminal for sweep in sweeps):
            raise InputError("sweep", text, f"sweeps {match[1]} again", "sweep two different electrodes")
        sweeps.append(Sweep(k, match[1], start, stop, points))
    total = int(np.prod([sweep.points for sweep in sweeps]))
    if total > MOST_POINTS:
        raise InputError("sweep", texts, f"has {total} settings", f"at most {MOST_POINTS} are computed")
    return sweeps


def _read_electrodes(text: str | None, device: AnyModel) -> list[int]:
    """Terminals whose currents are wanted: all that are known, if nothing is said."""
    known = list(known_terminals(device))
    if text is None:
        return known
    chosen = [terminal_of("electrode", name.strip(), device) for name in text.split(",")]
    for k in chosen:
        if k not in known:
            names = ", ".join(device.terminals[j] for j in known)
            raise InputError("electrode", device.terminals[k], "has no known current on this chip", f"read {names}")
    if len(set(chosen)) != len(chosen):
        raise InputError("electrode", text, "names an electrode twice", "give each once")
    return chosen


def _settings(sweeps: list[Sweep], held: FloatArray) -> tuple[FloatArray, tuple[int, ...], list[int]]:
    """All settings (n, n_terminals), the shape of the grid, and an order in which neighbours follow each other."""
    shape = tuple(sweep.points for sweep in sweeps)
    grids = np.meshgrid(*(sweep.voltages_V for sweep in sweeps), indexing="ij")
    volts = np.tile(held, (int(np.prod(shape)), 1))
    for sweep, grid in zip(sweeps, grids, strict=True):
        volts[:, sweep.terminal] = grid.ravel()
    order = np.arange(len(volts)).reshape(shape)
    if len(shape) == 2:
        order[1::2] = order[1::2, ::-1]  # every other row backwards
    return volts, shape, order.ravel().tolist()


@dataclass(eq=False)
class _Currents:
    """Currents as far as they are known, (n, n_terminals) in A; NaN before."""

    value: FloatArray
    stderr: FloatArray | None
    done: int = 0
    missed: int = 0


def _mean_field(model: MeanField, volts: FloatArray, order: list[int], out: _Currents) -> Iterator[int]:
    """Each setting starts from the one before, so that a branch of states is kept where there are several."""
    start = None
    for index in order:
        solution = model.solve(volts[index], start=start)
        out.value[index], start = solution.currents_A, solution.occupations
        yield 1


def _monte_carlo(
    model: KineticMonteCarlo, volts: FloatArray, order: list[int], out: _Currents, seed: int, until: float | None,
    hops: int | None, electrode: int | None, threads: int,
) -> Iterator[int]:  # fmt: skip
    """Groups of settings on all cores; the random streams depend on the seed alone."""
    assert out.stderr is not None
    rng = np.random.default_rng(seed)
    most = hops if hops is not None else (HOPS if until is None else MOST_HOPS)
    for first in range(0, len(order), TOGETHER):
        chosen = order[first : first + TOGETHER]
        group = int(rng.integers(2**62))
        try:
            found = model.estimate(
                volts[chosen], seed=group, hops=most, until=until, electrode=electrode, threads=threads
            )
        except ConvergenceError as error:
            if error.field != "until" or until is None:
                raise
            found = model.estimate(volts[chosen], seed=group, hops=most, threads=threads)
            column = np.abs(found.value).argmax(axis=1) if electrode is None else np.full(len(chosen), electrode)
            rows = np.arange(len(chosen))
            out.missed += int(np.sum(found.stderr[rows, column] > until * np.abs(found.value[rows, column])))
        out.value[chosen], out.stderr[chosen] = found.value, found.stderr
        yield len(chosen)


def _chip(chip: ChipSurrogate, volts: FloatArray, order: list[int], out: _Currents) -> Iterator[int]:
    for first in range(0, len(order), 10_000):
        chosen = order[first : first + 10_000]
        out.value[chosen] = chip.currents(volts[chosen])
        yield len(chosen)


def _dataset(
    device: AnyModel, sweeps: list[Sweep], held: FloatArray, shape: tuple[int, ...], read: list[int], out: _Currents,
    facts: dict[str, Any], **attrs: Any,
) -> xr.Dataset:  # fmt: skip
    """Currents over the swept voltages and the electrodes, with units and provenance."""
    swept = [f"{sweep.name}_V" for sweep in sweeps]

    def table(values: FloatArray, text: str) -> tuple[Any, ...]:
        return (*swept, "terminal"), values[:, read].reshape(*shape, len(read)), {"units": "A", "long_name": text}

    data = {"current_A": table(out.value, "current into the electrode")}
    if out.stderr is not None:
        data["stderr_A"] = table(out.stderr, "standard error of the current")
    axes: dict[str, Any] = {
        name: (name, sweep.voltages_V, {"units": "V", "long_name": f"voltage of {sweep.name}"})
        for name, sweep in zip(swept, sweeps, strict=True)
    }
    others = [k for k in range(len(held)) if k not in {sweep.terminal for sweep in sweeps}]
    about = ", ".join(f"{device.terminals[k]} at {held[k]:g} V" for k in others if held[k])
    title = f"{facts['model']}, " + (f"seed {facts['seed']}" if facts["seed"] is not None else Path(facts["file"]).name)
    return xr.Dataset(
        data,
        coords={**axes, "terminal": [device.terminals[k] for k in read]},
        attrs={
            **{f"version_{k}": v for k, v in versions().items()},
            **{f"device_{k}": v for k, v in facts.items() if v is not None},
            "held": f"{title}; {about + ', others' if about else 'all other electrodes'} at 0 V",
            "held_terminals": [device.terminals[k] for k in others],
            "held_V": held[others],
            **attrs,
        },
    )


def run_iv(
    device: AnyModel,
    *,
    facts: dict[str, Any],
    sweep: list[str],
    at: str | None,
    electrode: str | None,
    until: float | None,
    hops: int | None,
    seed: int,
    threads: int,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Sweep, report, write files if there is a folder; return the document.

    Raises
    ------
    InputError
        For whatever the options get wrong, before the device is asked anything.
    Interrupted
        By Ctrl-C; with a folder, what was computed is in ``iv.nc``.
    """
    begin = time.perf_counter()
    sweeps = sweeps_of(sweep, device)
    held = voltages_of(at, device)
    for one in sweeps:
        if held[one.terminal]:
            raise InputError("at", at, f"holds {one.name}, which is swept", "hold the other electrodes")
    read = _read_electrodes(electrode, device)
    stochastic = isinstance(device, KineticMonteCarlo)
    _check_errors(until, hops, stochastic)
    volts, shape, order = _settings(sweeps, held)
    out = _Currents(np.full(volts.shape, np.nan), np.full(volts.shape, np.nan) if stochastic else None)
    work: Callable[[], Iterator[int]]
    if isinstance(device, KineticMonteCarlo):
        only = read[0] if len(read) == 1 else None
        work = lambda: _monte_carlo(device, volts, order, out, seed, until, hops, only, threads)  # noqa: E731
    elif isinstance(device, MeanField):
        work = lambda: _mean_field(device, volts, order, out)  # noqa: E731
    else:
        work = lambda: _chip(device, volts, order, out)  # noqa: E731
    results = Results("iv", seed, folder, {})

    def dataset(**attrs: Any) -> xr.Dataset:
        return _dataset(device, sweeps, held, shape, read, out, facts, seed=seed, **attrs)

    try:
        with compilation_told(stderr), counted(stderr, "settings", len(order)) as tick:
            for made in work():
                out.done += made
                for _ in range(made):
                    tick()
    except KeyboardInterrupt:
        raise _stopped(out.done, len(order), dataset, results) from None
    found = dataset(complete=1)
    results.write_dataset("iv.nc", found)

    def draw(data: xr.Dataset) -> dict[str, Any]:
        from analysis.plots.device import plot_iv

        return {"iv.png": plot_iv(data)}

    results.write_figures(draw)
    summary = _summary(found, sweeps, facts) | {
        "until": until,
        "settings": len(order),
        "until_missed": out.missed if until is not None else None,
        "wall_s": time.perf_counter() - begin,
    }
    _tell(summary, sweeps, folder, answer)
    return results.write_summary(summary)


def _check_errors(until: float | None, hops: int | None, stochastic: bool) -> None:
    for name, value in (("until", until), ("hops", hops)):
        if value is not None and not stochastic:
            raise InputError(name, value, "is for kinetic Monte Carlo only", "leave it out, or take --device kmc")
    if until is not None and not 0 < until < 1:
        raise InputError("until", until, "must be a relative error between 0 and 1", "0.01 is 1 %")
    if hops is not None and hops < 1024:
        raise InputError("hops", hops, "is too few for an error bar", "give at least 1024")


def _stopped(done: int, total: int, dataset: Callable[..., xr.Dataset], results: Results) -> Interrupted:
    """Write what there is; the error that says so."""
    where = f"stopped by Ctrl-C after {done} of {total} settings"
    if not done:
        return Interrupted("run", "Ctrl-C", "stopped by Ctrl-C before the first setting", "run the command again")
    if results.folder is None:
        return Interrupted("run", "Ctrl-C", where, "with --out DIR what was computed is kept")
    path = results.write_dataset("iv.nc", dataset(complete=0, interrupted=1))
    error = Interrupted("run", "Ctrl-C", where, f"what was computed is in {path}")
    results.write_error(error)
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


def _tell(summary: dict[str, Any], sweeps: list[Sweep], folder: Path | None, answer: Console) -> None:
    """The result for people: the span of each current, and where it falls while the voltage rises."""
    for name in summary["electrodes"]:
        current = np.array(summary["currents_A"][name])
        line = f"{name}: {1e9 * current.min():.4g} to {1e9 * current.max():.4g} nA"
        for axis, one in enumerate(sweeps):
            slopes = np.diff(current, axis=axis) * (1 if one.stop_V > one.start_V else -1)
            line += f", dI/d{one.name} < 0 at {100 * np.mean(slopes < 0):.0f} %"
        if summary["stderr_A"] is not None:
            line += f", standard error {1e9 * np.median(summary['stderr_A'][name]):.2g} nA (median)"
        answer.print(line, highlight=False)
    if summary["until_missed"]:
        answer.print(
            f"{summary['until_missed']} of {summary['settings']} settings did not reach the error asked for; their "
            "error bars say how far they came",
            highlight=False,
        )
    if folder is not None:
        answer.print(f"currents and figure are in {folder}", highlight=False)
