"""How long boards take that ngspice runs, told before they do: one pass of the nominal loop, timed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from analysis.verification.boards import REFERENCES
from circuits.homodyne.engines import engine_kind, engine_named
from learning.homodyne.experiment import middle_loop

LONG_S = 600.0
"""From here on it is a doubt."""


@dataclass(frozen=True)
class Duration:
    """What boards and references take.

    Attributes
    ----------
    attempts : int
        Of the boards, and of the loops beside them.
    each_s : float
        Time that ngspice takes for an attempt on this machine, s.
    """

    attempts: int
    each_s: float

    @property
    def doubts(self) -> tuple[str, ...]:
        """That it takes long, in words; empty where it does not."""
        whole = self.attempts * self.each_s
        if whole < LONG_S:
            return ()
        spent = f"{whole / 3600:.1f} h" if whole >= 3600 else f"{whole / 60:.0f} min"
        return (
            f"{self.attempts} attempts in ngspice, {self.each_s:.2g} s each, take a processor {spent}, nominal design "
            "and corners aside; lower verify.samples or verify.starts, or give --workers more processors",
        )


def boards_take(design: Design, boards: int, starts: int, folder: Path | None = None) -> Duration | None:
    """What a design's boards take in ngspice; None where none run, or a fast engine runs them.

    Parameters
    ----------
    design : Design
    boards, starts : int
        How many of each.
    folder : Path, optional
        Where a failing deck is kept.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `analysis.designs.experiment.experiment_of` and `LoopEngine.run`.
    """
    if not (boards and engine_kind(design.verify.engine).runs_netlist):
        return None
    loop = middle_loop(experiment_of(design, noisy=True))
    once = replace(loop, sequences=1)
    with engine_named(design.verify.engine, folder) as engine:
        took = engine.run(once).statistics["seconds"]
    return Duration((boards + len(REFERENCES)) * starts, took * loop.stop_s / once.stop_s)
