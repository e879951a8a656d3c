"""A device inside an ngspice transient: its terminals become external current sources with compiled values.

The currents are fed back explicitly (ngspice tells node voltages only after a point is accepted), which is stable
only while the device conductance times the resistance that drives it is small. That holds for a DNPU driven from low
impedance into a virtual ground; it is checked when the co-simulation is built, and refused above a limit.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.serialize import dumps as numba_dumps

from circuits.ngspice import callbacks
from dnpu_models.interface.device import SteppableKernel
from inmateria.checks import FloatArray
from inmateria.errors import InputError

LOOP_GAIN_LIMIT = 0.1
"""Largest G R for which an explicit feedback is accepted; at G R = 10 ngspice was 8 % off in trials."""


@dataclass(frozen=True)
class Table:
    """A piecewise-linear waveform: times (s), values; repeats with `period_s` if that is positive."""

    times_s: tuple[float, ...]
    values: tuple[float, ...]
    period_s: float = 0.0

    def at(self, t: FloatArray) -> FloatArray:
        """Values at the times t (s)."""
        t = np.asarray(t, dtype=float)
        if self.period_s > 0:
            t = t - self.period_s * np.floor(t / self.period_s)
        return np.interp(t, self.times_s, self.values)

    def source(self) -> str:
        """The waveform as ngspice writes it."""
        points = " ".join(
            f"{t!r} {v!r}" for t, v in zip(map(float, self.times_s), map(float, self.values), strict=True)
        )
        return f"PWL({points})" + (" r=0" if self.period_s > 0 else "")


@dataclass(frozen=True)
class Sine:
    """amplitude sin(2 pi f t + phase), times an envelope if one is given."""

    amplitude_V: float
    frequency_Hz: float
    phase_rad: float = 0.0
    envelope: Table | None = None


@dataclass(frozen=True)
class Drive:
    """The known part of each terminal's voltage: sines and scaled tables.

    It is a prediction, not a source: ngspice's own nodes decide. What the drive leaves out is extrapolated
    linearly from accepted points, so a complete drive makes the device see the true voltage of the point being solved.
    """

    sines: Mapping[int, Sequence[Sine]] = field(default_factory=dict)
    waves: Mapping[int, Sequence[tuple[float, Table]]] = field(default_factory=dict)

    def pack(self) -> FloatArray:
        """Flat array for `callbacks.drive_voltages`."""
        tables: list[Table] = []

        def number(table: Table) -> int:
            if table not in tables:
                tables.append(table)
            return tables.index(table)

        sines = [
            [
                k,
                s.amplitude_V,
                2 * np.pi * s.frequency_Hz,
                s.phase_rad,
                -1 if s.envelope is None else number(s.envelope),
            ]
            for k, group in self.sines.items()
            for s in group
        ]
        waves = [[k, scale, number(table)] for k, group in self.waves.items() for scale, table in group]
        start = (
            callbacks.DRIVE_HEADER
            + callbacks.SINE_WORDS * len(sines)
            + callbacks.WAVE_WORDS * len(waves)
            + callbacks.TABLE_WORDS * len(tables)
        )
        directory, data = [], []
        for table in tables:
            directory.append([start, len(table.times_s), table.period_s])
            data += [*table.times_s, *table.values]
            start += 2 * len(table.times_s)
        flat = [len(sines), len(waves), len(tables)]
        return np.array([*flat, *np.ravel(sines), *np.ravel(waves), *np.ravel(directory), *data], dtype=float)


def _reference(function: Any) -> Any:
    """``module:name`` where the worker can import it, else a pickle of the function itself."""
    python = getattr(function, "py_func", function)
    module = python.__module__
    if module not in ("__main__", "__mp_main__") and "<locals>" not in python.__qualname__:
        return f"{module}:{python.__qualname__}"
    return numba_dumps(function)


@dataclass(frozen=True, eq=False)
class CoSimulation:
    """One device coupled to the nodes of a circuit.

    Parameters
    ----------
    kernel : SteppableKernel
        The compiled device.
    nodes : sequence of str
        Circuit node of each terminal.
    start_V : ndarray
        Terminal voltages at time 0.
    drive : Drive
        Known part of the terminal voltages.
    source_ohm : float or sequence of float
        Resistance that drives each terminal, for the check of the loop gain.

    Raises
    ------
    InputError
        If the numbers of terminals differ, or the loop gain G R is above `LOOP_GAIN_LIMIT`.
    """

    kernel: SteppableKernel
    nodes: Sequence[str]
    start_V: FloatArray
    drive: Drive = field(default_factory=Drive)
    source_ohm: float | Sequence[float] = 0.0

    def __post_init__(self) -> None:
        count = len(self.nodes)
        if len(self.start_V) != count or self.kernel.conductances_S.shape != (count, count):
            raise InputError(
                "nodes",
                list(self.nodes),
                f"{self.kernel.conductances_S.shape[0]} terminals want a node each",
                "check it",
            )
        gain = self.loop_gain
        if not gain <= LOOP_GAIN_LIMIT:
            raise InputError(
                "source_ohm",
                self.source_ohm,
                f"the loop gain G R is {gain:.3g}, above {LOOP_GAIN_LIMIT}: explicit feedback would be unstable",
                "drive the device from a lower resistance",
            )

    @property
    def loop_gain(self) -> float:
        """Largest row sum of |G| R: the fraction of a voltage error fed back in one step."""
        resistance = np.broadcast_to(np.asarray(self.source_ohm, dtype=float), (len(self.nodes),))
        return float(np.max(resistance * np.abs(self.kernel.conductances_S).sum(axis=1)))

    def cards(self) -> str:
        """The external sources, one a terminal: nothing may follow the word, ngspice 38-40 crash on it."""
        return "\n".join(f"Idevice{k} {node} 0 external" for k, node in enumerate(self.nodes))

    def write(self, folder: Path, min_step_s: float) -> None:
        """Store what the worker needs in `folder`."""
        np.savez(
            folder / "device.npz",
            params=self.kernel.params,
            state=self.kernel.state,
            drive=self.drive.pack(),
            start=np.asarray(self.start_V, dtype=float),
            min_step=min_step_s,
        )
        description = {"evaluate": _reference(self.kernel.evaluate), "advance": _reference(self.kernel.advance)}
        description["c_functions"] = self.kernel.c_functions
        (folder / "device.pickle").write_bytes(pickle.dumps(description))
