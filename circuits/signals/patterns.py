"""Pattern sequences: which logic levels stand at the inputs when, what the output should be, and when to listen.

One pattern takes a slot: the inputs ramp from the levels before, wait for what follows them to settle, then the window
opens and the lock-ins listen. They are blanked outside the windows, so the ramps teach the circuit nothing.

    | ramp | wait | edge | ---- window ---- | edge |
    inputs move   gate rises     gate = 1     gate falls

The gate's edges are straight and half of each belongs to the window, so that the gate's area is the window's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuits.signals.sources import Table
from inmateria.checks import FloatArray, positive
from inmateria.errors import InputError


@dataclass(frozen=True)
class PatternSequence:
    """Input patterns shown one after the other, again and again.

    Parameters
    ----------
    levels_V : tuple of tuple of float
        For each pattern the voltage added to each input.
    targets_V : tuple of float
        Wanted output for each pattern, V, in the units of the normalised output.
    window_s : float
        How long the lock-ins listen to one pattern.
    ramp_s, wait_s : float
        Time for the inputs to move, and to settle after it.
    edge_s : float
        Time in which the gate opens or closes.

    Raises
    ------
    InputError
        If there is no pattern, lengths differ, or a time is not positive.
    """

    levels_V: tuple[tuple[float, ...], ...]
    targets_V: tuple[float, ...]
    window_s: float
    ramp_s: float
    wait_s: float
    edge_s: float

    def __post_init__(self) -> None:
        if not self.levels_V or len(self.levels_V) != len(self.targets_V):
            problem = f"{len(self.targets_V)} targets want as many patterns"
            raise InputError("levels_V", len(self.levels_V), problem, "check both")
        if len({len(levels) for levels in self.levels_V}) != 1:
            raise InputError("levels_V", self.levels_V, "patterns have different numbers of inputs", "make them equal")
        for name in ("window_s", "ramp_s", "wait_s", "edge_s"):
            positive(name, getattr(self, name), "s")

    @property
    def patterns(self) -> int:
        """Number of patterns."""
        return len(self.levels_V)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self.levels_V[0])

    @property
    def slot_s(self) -> float:
        """Time one pattern takes, s."""
        return self.ramp_s + self.wait_s + self.window_s + self.edge_s

    @property
    def listening_s(self) -> float:
        """Time the windows of all patterns take, s."""
        return self.patterns * self.window_s

    @property
    def period_s(self) -> float:
        """Time for all patterns once, s."""
        return self.patterns * self.slot_s

    def windows(self, sequence: int = 0) -> FloatArray:
        """Start and stop of each pattern's window (gate above one half), s, (n_patterns, 2)."""
        start = (
            sequence * self.period_s
            + np.arange(self.patterns) * self.slot_s
            + self.ramp_s
            + self.wait_s
            + 0.5 * self.edge_s
        )
        return np.column_stack([start, start + self.window_s])

    def _steps(self, values: list[float]) -> Table:
        times, points = [], []
        for k, value in enumerate(values):
            before = values[k - 1]
            start = k * self.slot_s
            times += [start, start + self.ramp_s]
            points += [before, value]
        times.append(self.period_s)
        points.append(values[-1])
        return Table(tuple(times), tuple(points), self.period_s)

    def level_table(self, which: int) -> Table:
        """Waveform of one input's logic level, V."""
        return self._steps([levels[which] for levels in self.levels_V])

    def target_table(self) -> Table:
        """Waveform of the target output, V."""
        return self._steps(list(self.targets_V))

    def gate_table(self, passes: int | None = None) -> Table:
        """Waveform of the gate: 1 in the windows, 0 outside; of so many `passes`, or repeated for ever."""
        times, points = [0.0], [0.0]
        for start, stop in np.vstack([self.windows(number) for number in range(passes or 1)]):
            half = 0.5 * self.edge_s
            times += [start - half, start + half, stop - half, stop + half]
            points += [0.0, 1.0, 1.0, 0.0]
        end = (passes or 1) * self.period_s
        if times[-1] < end * (1 - 1e-12):
            times.append(end)
            points.append(0.0)
        return Table(tuple(map(float, times)), tuple(points), 0.0 if passes else self.period_s)
