"""An experiment: the bench, the task, and how the loop is set. Made once, handed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.designs.design import Design
from learning.bench.bench import Bench
from learning.homodyne.settings import HgeSettings
from learning.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Experiment:
    """What a command runs.

    Attributes
    ----------
    bench : Bench
    facts : dict
        On the device, for the summary.
    task : Task
        With levels that suit the device.
    settings : HgeSettings
    level : str
        Of the electronics, in a word.
    frequencies : str or None
        Tones as they were asked for, for what is said of them.
    design : Design or None
        Where it comes from.
    """

    bench: Bench
    facts: dict[str, Any]
    task: Task
    settings: HgeSettings
    level: str
    frequencies: str | None = None
    design: Design | None = None

    @property
    def design_facts(self) -> dict[str, Any] | None:
        """The design for the summary."""
        return None if self.design is None else {"name": self.design.name, "sha256": self.design.digest}
