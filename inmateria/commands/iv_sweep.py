"""Currents of a device over one or two swept voltages: each kind of device is asked in the order that suits it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from circuits.user_device.user_device import UserDevice
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.checks import FloatArray
from inmateria.commands.voltages import Sweep
from inmateria.errors import ConvergenceError
from inmateria.versions import versions
from learning.bench.devices import AnyModel

HOPS = 1 << 17
"""Hops per setting of kinetic Monte Carlo if nothing else is said: errors of about 0.2 % at the median, in 0.3 s."""
MOST_HOPS = 1 << 22
"""Hops per setting at most if an error is asked for: a current of exactly zero never has a small relative one."""
TOGETHER = 8
"""Settings that kinetic Monte Carlo is given at a time, to be followed by all cores."""


@dataclass(eq=False)
class IvSweep:
    """Currents of a device over the grid of one or two swept voltages, as far as they are known; NaN before.

    Parameters
    ----------
    device : AnyModel
    sweeps : list of Sweep
    held_V : array
        Voltages of all terminals, V; those that are swept do not count.
    read : list of int
        Terminals whose currents are required.
    seed : int
        Of kinetic Monte Carlo.
    until : float, optional
        Relative error at which kinetic Monte Carlo stops.
    hops : int, optional
        Hops per setting; with `until` the most.
    threads : int
        Of kinetic Monte Carlo.
    """

    device: AnyModel
    sweeps: list[Sweep]
    held_V: FloatArray
    read: list[int]
    seed: int = 0
    until: float | None = None
    hops: int | None = None
    threads: int = 1
    done: int = field(default=0, init=False)
    missed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.shape = tuple(sweep.points for sweep in self.sweeps)
        grids = np.meshgrid(*(sweep.voltages_V for sweep in self.sweeps), indexing="ij")
        self.volts = np.tile(self.held_V, (int(np.prod(self.shape)), 1))
        for sweep, grid in zip(self.sweeps, grids, strict=True):
            self.volts[:, sweep.terminal] = grid.ravel()
        self.currents_A = np.full(self.volts.shape, np.nan)
        self.stderr_A = np.full(self.volts.shape, np.nan) if isinstance(self.device, KineticMonteCarlo) else None

    @property
    def order(self) -> list[int]:
        """Settings in an order in which neighbours follow each other."""
        order = np.arange(len(self.volts)).reshape(self.shape)
        if len(self.shape) == 2:
            order[1::2] = order[1::2, ::-1]  # every other row backwards
        return order.ravel().tolist()

    def run(self) -> Iterator[int]:
        """Compute all settings; yields how many more are done."""
        if isinstance(self.device, KineticMonteCarlo):
            work = self._monte_carlo(self.device)
        else:
            work = self._mean_field(self.device) if isinstance(self.device, MeanField) else self._static(self.device)
        for made in work:
            self.done += made
            yield made

    def _mean_field(self, model: MeanField) -> Iterator[int]:
        """Each setting starts from the one before, so that a branch of states is kept where there are several."""
        start = None
        for index in self.order:
            solution = model.solve(self.volts[index], start=start)
            self.currents_A[index], start = solution.currents_A, solution.occupations
            yield 1

    def _monte_carlo(self, model: KineticMonteCarlo) -> Iterator[int]:
        """Groups of settings on all cores; the random streams depend on the seed alone."""
        assert self.stderr_A is not None
        rng, until, order = np.random.default_rng(self.seed), self.until, self.order
        electrode = self.read[0] if len(self.read) == 1 else None
        most = self.hops if self.hops is not None else (HOPS if until is None else MOST_HOPS)
        for first in range(0, len(order), TOGETHER):
            chosen = order[first : first + TOGETHER]
            group = int(rng.integers(2**62))
            try:
                found = model.estimate(
                    self.volts[chosen], seed=group, hops=most, until=until, electrode=electrode, threads=self.threads
                )
            except ConvergenceError as error:
                if error.field != "until" or until is None:
                    raise
                found = model.estimate(self.volts[chosen], seed=group, hops=most, threads=self.threads)
                column = np.abs(found.value).argmax(axis=1) if electrode is None else np.full(len(chosen), electrode)
                rows = np.arange(len(chosen))
                self.missed += int(np.sum(found.stderr[rows, column] > until * np.abs(found.value[rows, column])))
            self.currents_A[chosen], self.stderr_A[chosen] = found.value, found.stderr
            yield len(chosen)

    def _static(self, device: ChipSurrogate | UserDevice) -> Iterator[int]:
        order = self.order
        for first in range(0, len(order), 1000):
            chosen = order[first : first + 1000]
            self.currents_A[chosen] = device.follow(self.volts[chosen])
            yield len(chosen)

    def dataset(self, facts: dict[str, Any], **attrs: Any) -> xr.Dataset:
        """Currents over the swept voltages and the electrodes, with units and provenance."""
        names, swept = self.device.terminals, [f"{sweep.name}_V" for sweep in self.sweeps]

        def table(values: FloatArray, text: str) -> tuple[Any, ...]:
            shown = values[:, self.read].reshape(*self.shape, len(self.read))
            return (*swept, "terminal"), shown, {"units": "A", "long_name": text}

        data = {"current_A": table(self.currents_A, "current into the electrode")}
        if self.stderr_A is not None:
            data["stderr_A"] = table(self.stderr_A, "standard error of the current")
        axes: dict[str, Any] = {
            name: (name, sweep.voltages_V, {"units": "V", "long_name": f"voltage of {sweep.name}"})
            for name, sweep in zip(swept, self.sweeps, strict=True)
        }
        held = self.held_V
        others = [k for k in range(len(held)) if k not in {sweep.terminal for sweep in self.sweeps}]
        about = ", ".join(f"{names[k]} at {held[k]:g} V" for k in others if held[k])
        known = f"seed {facts['seed']}" if facts["seed"] is not None else Path(facts["file"]).name
        rest = about + ", others" if about else "all other electrodes"
        return xr.Dataset(
            data,
            coords={**axes, "terminal": [names[k] for k in self.read]},
            attrs={
                **{f"version_{k}": v for k, v in versions().items()},
                **{f"device_{k}": v for k, v in facts.items() if v is not None},
                "held": f"{facts['model']}, {known}; {rest} at 0 V",
                "held_terminals": [names[k] for k in others],
                "held_V": held[others],
                "seed": self.seed,
                **attrs,
            },
        )
