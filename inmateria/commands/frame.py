"""The folder of ``--out``: waveforms, deck, figures and the summary, each written as soon as it exists."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import xarray as xr

from analysis.datasets import loop_dataset, save_dataset
from circuits.homodyne.loop import HomodyneLoop
from circuits.signals.transient import Transient
from inmateria.errors import InMateriaError
from inmateria.terminal.output import SCHEMA, as_text, document, error_fields, writing

_NAMES = (
    "waveforms.nc", "summary.json", "deck.cir", "truth_table.png", "learning.png", "waveforms.png", "gradient.png",
    "task.png", "trace.png", "trace.nc", "iv.nc", "iv.png", "device.nc", "device.png", "lockin.nc", "lockin.png",
    "budget.png", "plan.nc", "plan.png", "map.png", "curve.png",
    "mgd.nc", "mgd.png", "pat.nc", "pat.png", "pat_waveforms.png",
)  # fmt: skip


class Results:
    """Files of one command; without a folder nothing is written.

    The first file written takes those of an earlier run away, so that a folder never mixes two runs.

    Parameters
    ----------
    command : str
    seed : int or None
        None for a command that takes none.
    folder : Path or None
    attrs : dict
        What the waveforms' attributes shall tell.
    """

    def __init__(self, command: str, seed: int | None, folder: Path | None, attrs: dict[str, Any]) -> None:
        self.command = command
        self.seed = seed
        self.folder = folder
        self.files: list[str] = []
        self._attrs = attrs
        self._dataset: xr.Dataset | None = None

    def _place(self, folder: Path, name: str) -> Path:
        if not self.files:
            for old in _NAMES:
                with suppress(FileNotFoundError):
                    (folder / old).unlink()
        path = folder / name
        if str(path) not in self.files:
            self.files.append(str(path))
        return path

    def write_waveforms(self, loop: HomodyneLoop, run: Transient, **attrs: Any) -> Path | None:
        """Write waveforms.nc."""
        if self.folder is None:
            return None
        dataset = loop_dataset(loop, run, **self._attrs, **attrs)
        if loop.mode != "learn":  # the integrators of an opened loop read, the controls stand still
            controls = dataset["control_V"].assign_attrs(long_name="reading integrator")
            dataset = dataset.drop_vars("control_V").assign(reading_V=controls)
        return self.write_dataset("waveforms.nc", dataset)

    def write_dataset(self, name: str, dataset: xr.Dataset) -> Path | None:
        """Write a dataset, which `write_figures` draws from."""
        if self.folder is None:
            return None
        self._dataset = dataset
        with writing("out", self.folder):
            path = self._place(self.folder, name)
            save_dataset(dataset, path)
        return path

    def write_deck(self, loop: HomodyneLoop, run: Transient) -> None:
        """Write deck.cir: as it was run, or as ngspice would run what the twin did."""
        if self.folder is not None:
            with writing("out", self.folder):
                self._place(self.folder, "deck.cir").write_text(run.deck or loop.deck(), encoding="utf-8")

    def write_figures(self, draw: Callable[[xr.Dataset], dict[str, Any]]) -> None:
        """Write the figures that `draw` makes of the waveforms, by file name."""
        if self.folder is None or self._dataset is None:
            return
        from analysis.plots.figure import save

        with writing("out", self.folder):
            for name, figure in draw(self._dataset).items():
                save(figure, self._place(self.folder, name))

    def write_summary(self, summary: dict[str, Any]) -> dict[str, Any]:
        """The command's document with all files named, written as summary.json; returned in any case."""
        if self.folder is None:
            return document(self.command, self.seed, {**summary, "files": []})
        with writing("out", self.folder):
            path = self._place(self.folder, "summary.json")
            content = document(self.command, self.seed, {**summary, "files": self.files})
            path.write_text(as_text(content), encoding="utf-8")
        return content

    def write_error(self, error: InMateriaError) -> None:
        """A summary.json that tells why there is no result."""
        if self.folder is not None:
            with writing("out", self.folder):
                path = self._place(self.folder, "summary.json")
                content = {"schema": SCHEMA, "command": self.command, "seed": self.seed}
                path.write_text(as_text({**content, "error": error_fields(error), "files": self.files}))
