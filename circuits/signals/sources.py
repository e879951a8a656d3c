"""Waveforms of sources and of the known part of a device's voltages: tables and sines, packed for compiled code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from circuits.signals import sources_kernel as words
from inmateria.checks import FloatArray


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
        points = " ".join(f"{float(t)!r} {float(v)!r}" for t, v in zip(self.times_s, self.values, strict=True))
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
        """Flat array for `sources_kernel.drive_voltages`."""
        tables: list[Table] = []

        def number(table: Table) -> int:
            if table not in tables:
                tables.append(table)
            return tables.index(table)

        sines = []
        for k, group in self.sines.items():
            for s in group:
                envelope = -1 if s.envelope is None else number(s.envelope)
                sines.append([k, s.amplitude_V, 2 * np.pi * s.frequency_Hz, s.phase_rad, envelope])
        waves = [[k, scale, number(table)] for k, group in self.waves.items() for scale, table in group]
        start = words.DRIVE_HEADER + words.SINE_WORDS * len(sines)
        start += words.WAVE_WORDS * len(waves) + words.TABLE_WORDS * len(tables)
        directory, data = [], []
        for table in tables:
            directory.append([start, len(table.times_s), table.period_s])
            data += [*table.times_s, *table.values]
            start += 2 * len(table.times_s)
        flat = [len(sines), len(waves), len(tables)]
        return np.array([*flat, *np.ravel(sines), *np.ravel(waves), *np.ravel(directory), *data], dtype=float)
