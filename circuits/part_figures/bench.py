"""A part on the bench: placed in a deck of its own, with sources and a load, at some temperature."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from circuits.ngspice.engine import Engine, Vectors
from inmateria.errors import TrustWarning
from netlists.reader import Part


@dataclass(frozen=True)
class PartBench:
    """A part, and what measures it.

    Parameters
    ----------
    part : Part
        Its supplies are inside.
    engine : Engine
    supply_V : float
        The larger one's magnitude, V.
    load_ohm : float, optional
    celsius : float, optional
    dialect : str, optional
        In which ngspice reads the part's file.
    """

    part: Part
    engine: Engine
    supply_V: float
    load_ohm: float = 1e4
    celsius: float = 27.0
    dialect: str | None = None

    def run(self, lines: str, nodes: Mapping[str, str], analysis: str, **values: float) -> Vectors:
        """Run one analysis of a circuit around the part.

        Parameters
        ----------
        lines : str
            Sources and loads.
        nodes : mapping of str to str
            The part's pins.
        analysis : str
            A line such as ``.op``.
        **values : float
            The part's parameters.

        Raises
        ------
        InputError, NetlistError, ConvergenceError, EngineError
            As `Engine.run`.
        """
        placed = self.part.instance("dut", nodes, **values)
        head = (f"{self.part.name} on the bench", self.part.library, placed)
        deck = [*head, lines, f".options temp={self.celsius!r}", analysis, ".end"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # `judge_part` tells the doubts once, not with each analysis
            return self.engine.run("\n".join(deck), dialect=self.dialect)

    def doubts(self) -> tuple[str, ...]:
        """What is suspicious in the part's file, as a run at rest tells it."""
        pins = {pin.name: f"n{k}" for k, pin in enumerate(self.part.pins)}
        lines = "\n".join(f"R{node} {node} 0 1k" for node in pins.values())
        return self.run(lines, pins, ".op").trust.notes

    def supply_current_A(self, found: Vectors) -> float:
        """Mean current of the supplies at an operating point, A; NaN where the part has none."""
        currents = [abs(float(value[-1])) for name, value in found.items() if name.startswith("v.xdut.vsupply_")]
        return sum(currents) / len(currents) if currents else float("nan")
