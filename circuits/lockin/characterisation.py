"""The lock-in's data sheet for netlists at any level, by as few ngspice runs as do.

The filter's response is one ``.ac``, its step one transient of the chain alone; readings come from a few transients
with several lock-ins side by side. A chain of four poles is tapped after each pole, so that one set of runs serves all
four slopes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from circuits.lockin.netlist import LockInBlock, lockin_block, run_evenly
from circuits.ngspice.engine import Engine, Progress
from circuits.parts.preamble import preamble
from circuits.parts.rc_values import pole_values
from circuits.signals.transient import Transient
from inmateria.checks import FloatArray
from lockin.characterisation import CYCLES, SETTLED, Characterisation, Signal, characterise
from lockin.settings import LockInSettings
from netlists.reader import Part

SLOPES = (6, 12, 18, 24)
AC_POINTS = 40
"""Points a decade of the response: its spline is then right to 1e-6."""
STEP_POINTS = 400
"""Time-points per time constant of the step response."""
TOGETHER = 4
"""Lock-ins side by side in one transient: ngspice's time per point grows faster than their number."""


class NetlistLockIn:
    """A lock-in as ngspice sees it: a `lockin.characterisation.Realisation`.

    Parameters
    ----------
    engine : Engine
    level : str, optional
        Level of realism of the parts.
    gain : float, optional
        Gain before the mixers, as for `lockin_block`.
    parts : sequence of Part, optional
        Parts in place of the level's.
    progress : callable, optional
        Called as progress(what runs, simulated s, wall s).
    """

    def __init__(
        self,
        engine: Engine,
        level: str = "ideal",
        *,
        gain: float = 1.0,
        parts: Sequence[Part] = (),
        progress: Progress | None = None,
    ) -> None:
        self.engine = engine
        self.level = level
        self.gain = gain
        self.replaced = tuple(parts)
        self.progress = progress
        self._runs: dict[tuple[object, ...], Transient] = {}
        self._ac: dict[tuple[object, ...], dict[str, FloatArray]] = {}

    @property
    def name(self) -> str:
        """The level."""
        return self.level

    def _block(self, settings: LockInSettings, frequency_Hz: float, name: str = "c0") -> LockInBlock:
        """A channel with all four poles."""
        whole = replace(settings, filter_slope=SLOPES[-1])
        return lockin_block(whole, frequency_Hz, self.level, name=name, gain=self.gain, parts=self.replaced)

    def _chain(self, settings: LockInSettings, source: str) -> str:
        """Deck of the low-pass chain alone, behind a source; its taps are p1 to p4."""
        pole = self._block(settings, 1.0 / settings.time_constant).part("lowpass")
        lines = [f"low-pass chain, {self.level}", preamble([pole]), f"Vp p0 0 {source}"]
        for k in range(len(SLOPES)):
            nodes = {"in": f"p{k}", "out": f"p{k + 1}"}
            lines.append(pole.instance(f"lp{k}", nodes, **pole_values(pole, settings.time_constant)))
        return "\n".join(lines)

    def transfer(self, settings: LockInSettings, frequency_Hz: float) -> tuple[FloatArray, FloatArray]:
        """As `Realisation`: ``.ac`` of the chain; offset from the reference is frequency after the mixer."""
        corner = 1.0 / (2.0 * math.pi * settings.time_constant)
        key = (settings.time_constant,)
        if key not in self._ac:
            sweep = f".ac dec {AC_POINTS} {0.01 * corner!r} {64.0 * corner!r}"
            self._ac[key] = self.engine.run(f"{self._chain(settings, 'dc 0 ac 1')}\n{sweep}\n.end")
        vectors = self._ac[key]
        offset = np.real(vectors["frequency"])
        power = np.abs(vectors[f"p{settings.poles}"]) ** 2
        return offset, power / power[0]

    def step(self, settings: LockInSettings, frequency_Hz: float) -> tuple[FloatArray, FloatArray]:
        """As `Realisation`: the chain, empty, behind a constant; its offset is taken out."""
        key = ("step", settings.time_constant)
        if key not in self._runs:
            self._runs[key] = run_evenly(
                self.engine,
                self._chain(settings, "1"),
                frequency_Hz=1.0 / settings.time_constant,
                duration_s=SETTLED * settings.time_constant,
                points_per_cycle=STEP_POINTS,
                save=[f"v(p{k})" for k in range(1, len(SLOPES) + 1)],
                progress=self.progress,
            )
        run = self._runs[key]
        values = run[f"v(p{settings.poles})"]
        return run.time_s, values - values[0]

    def _run(
        self, settings: LockInSettings, frequency_Hz: float, signals: Sequence[Signal], duration_s: float, arms: str
    ) -> Transient:
        """All signals side by side, each into a lock-in of its own."""
        key = (settings.time_constant, settings.mixer, frequency_Hz, tuple(signals), duration_s, arms)
        if key not in self._runs:
            lines, save = [], []
            first = self._block(settings, frequency_Hz)
            shared = (first.node("reference_x"), first.node("reference_y"))
            for number, signal in enumerate(signals):
                block = self._block(settings, frequency_Hz, f"c{number}")
                node = "0"
                for k, (peak, f, degrees) in enumerate(signal):
                    lines.append(f"Vs{number}_{k} s{number}_{k} {node} SIN(0 {peak!r} {f!r} 0 0 {degrees!r})")
                    node = f"s{number}_{k}"
                if not signal:
                    lines.append(f"Vs{number}_0 s{number}_0 0 0")
                    node = f"s{number}_0"
                lines.append(block.cards(node, arms, shared if number else None))
                save += [name for name in block.saved if name.endswith("_input)") or any(f"_{a}" in name for a in arms)]
            used = preamble(block.part(name) for name in block.parts)
            self._runs[key] = run_evenly(
                self.engine,
                "\n".join([f"lock-ins, {self.level}", used, *lines]),
                frequency_Hz=frequency_Hz,
                duration_s=duration_s,
                points_per_cycle=first.points_per_cycle,
                save=save,
                progress=self.progress,
            )
        return self._runs[key]

    def traces(
        self,
        settings: LockInSettings,
        frequency_Hz: float,
        signals: Sequence[Signal],
        duration_s: float,
        arms: str = "xy",
    ) -> list[tuple[FloatArray, FloatArray]]:
        """As `Realisation`."""
        points = CYCLES * self._block(settings, frequency_Hz).points_per_cycle
        last = slice(-points - 1, -1)
        found = []
        for count in range(len(signals)):
            start, number = TOGETHER * (count // TOGETHER), count % TOGETHER
            run = self._run(settings, frequency_Hz, signals[start : start + TOGETHER], duration_s, arms)
            block = self._block(settings, frequency_Hz, f"c{number}")
            x, y = (
                block.rms_per_volt * run[f"v({block.node(arm, settings.poles)})"][last]
                if arm in arms
                else np.zeros(points)
                for arm in "xy"
            )
            found.append((x, y))
        return found

    def overloads(self, settings: LockInSettings, frequency_Hz: float, signal: Signal) -> tuple[str, ...]:
        """As `Realisation`."""
        for key, run in self._runs.items():
            if len(key) == 6 and key[:3] == (settings.time_constant, settings.mixer, frequency_Hz) and key[5] == "xy":
                signals = key[3]
                assert isinstance(signals, tuple)
                if signal in signals:
                    block = self._block(settings, frequency_Hz, f"c{signals.index(signal)}")
                    told = block.reading(run).overloads
                    return tuple(s for s in told if not s[-1].isdigit() or int(s[-1]) <= settings.poles)
        return ()


def characterise_lockin(
    settings: LockInSettings,
    frequency_Hz: float,
    engine: Engine,
    level: str = "ideal",
    *,
    slopes: Sequence[int] = SLOPES,
    full_scale: float = 1.0,
    gain: float = 1.0,
    parts: Sequence[Part] = (),
    progress: Progress | None = None,
) -> dict[int, Characterisation]:
    """Measure a lock-in's netlist with ngspice: the figures of `lockin.characterise`, for several slopes at once.

    Parameters
    ----------
    settings : LockInSettings
        As for `lockin.characterise`; its slope is not used.
    frequency_Hz : float
        Reference, Hz.
    engine : Engine
    level, gain, parts
        As for `lockin_block`.
    slopes : sequence of int, optional
        Which of 6, 12, 18 and 24 dB/octave; one set of runs serves all.
    full_scale : float, optional
        Full scale of the test signals, V rms.
    progress : callable, optional

    Returns
    -------
    dict of int to Characterisation
        By slope.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `lockin.characterise` and `Engine.transient`.
    """
    netlist = NetlistLockIn(engine, level, gain=gain, parts=parts, progress=progress)
    return {
        slope: characterise(replace(settings, filter_slope=slope), frequency_Hz, netlist, full_scale)
        for slope in slopes
    }
