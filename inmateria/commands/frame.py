"""The frame of every command: the folder of ``--out``, words for people, one JSON document, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.errors import InMateriaError, InputError, Interrupted
from inmateria.terminal.output import (
    EXIT_NO,
    SCHEMA,
    answers,
    as_text,
    document,
    emit,
    error_fields,
    errors_as_lines,
    output_folder,
    writing,
)

if TYPE_CHECKING:
    import xarray as xr

    from circuits.homodyne.loop import HomodyneLoop
    from circuits.signals.transient import Transient

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
"""What every command takes; here and not with the other options, because `doctor` runs without the rooms."""


@contextmanager
def framed(
    command: str, options: Any, said: Collection[str], known_files: Callable[[], Iterable[str]]
) -> Iterator[Frame]:
    """The frame around one run of a command: errors become one line and an exit code, the folder is made before."""
    as_json: bool = options.as_json
    with errors_as_lines(as_json), output_folder(getattr(options, "out", None)) as folder:
        yield Frame(command, getattr(options, "seed", None), folder, known_files, as_json=as_json, said=said)


class Frame:
    """What a command answers with; without a folder no file is written.

    The first file written takes those of an earlier run away, so that a folder never mixes two runs.

    Parameters
    ----------
    command : str
        As the document names it; a command may change it.
    seed : int or None
        None for a command that takes none; where a design has the seed, the command sets it.
    folder : Path or None
    known_files : callable
        Returns the names of the files that commands write.
    as_json : bool
        Whether stdout gets the document; the answer for people goes to stderr then.
    said : collection of str
        Options that stand on the command line.

    Attributes
    ----------
    attrs : dict
        What the waveforms' attributes shall tell.
    files : list of str
        Those that were written.
    """

    def __init__(
        self,
        command: str,
        seed: int | None = None,
        folder: Path | None = None,
        known_files: Callable[[], Iterable[str]] = tuple,
        *,
        as_json: bool = False,
        said: Collection[str] = (),
    ) -> None:
        self.command = command
        self.seed = seed
        self.folder = folder
        self.said = said
        self._known_files = known_files
        self.answer = answers(as_json)
        self.files: list[str] = []
        self.attrs: dict[str, Any] = {}
        self._as_json = as_json
        self._begin = time.perf_counter()
        self._dataset: xr.Dataset | None = None

    @property
    def wall_s(self) -> float:
        """Seconds since the command began."""
        return time.perf_counter() - self._begin

    def say(self, text: str, *, markup: bool = True) -> None:
        """A line for people."""
        self.answer.print(text, markup=markup)

    def document(self, content: dict[str, Any]) -> dict[str, Any]:
        """The command's document."""
        return document(self.command, self.seed, content)

    def end(self, content: dict[str, Any]) -> None:
        """Show the document where it was asked for; exit code 1 if it says that something is not as it should be."""
        if self._as_json:
            emit(content)
        if not (content.get("success", True) and content.get("healthy", True)):
            raise typer.Exit(EXIT_NO)

    def place(self, name: str) -> Path:
        """Where a file is to be written; there must be a folder."""
        assert self.folder is not None
        if not self.files:
            for old in {"summary.json", *self._known_files()}:
                with suppress(FileNotFoundError):
                    (self.folder / old).unlink()
        path = self.folder / name
        if str(path) not in self.files:
            self.files.append(str(path))
        return path

    def write_waveforms(self, loop: HomodyneLoop, run: Transient, **attrs: Any) -> Path | None:
        """Write waveforms.nc."""
        if self.folder is None:
            return None
        from analysis.datasets import loop_dataset

        dataset = loop_dataset(loop, run, **self.attrs, **attrs)
        if loop.mode != "learn":  # the integrators of an opened loop read, the controls stand still
            controls = dataset["control_V"].assign_attrs(long_name="reading integrator")
            dataset = dataset.drop_vars("control_V").assign(reading_V=controls)
        return self.write_dataset("waveforms.nc", dataset)

    def write_dataset(self, name: str, dataset: xr.Dataset) -> Path | None:
        """Write a dataset, which `write_figures` draws from."""
        if self.folder is None:
            return None
        from analysis.datasets import save_dataset

        self._dataset = dataset
        with writing("out", self.folder):
            path = self.place(name)
            save_dataset(dataset, path)
        return path

    def write_deck(self, loop: HomodyneLoop, run: Transient) -> None:
        """Write deck.cir: as it was run, or as ngspice would run what the twin did."""
        if self.folder is not None:
            from circuits.homodyne import netlist

            with writing("out", self.folder):
                self.place("deck.cir").write_text(run.deck or netlist.deck(loop), encoding="utf-8")

    def write_figures(self, draw: Callable[[xr.Dataset], dict[str, Any]]) -> None:
        """Write the figures that `draw` makes of the dataset, by file name."""
        if self.folder is None or self._dataset is None:
            return
        from analysis.plots.figure import save

        with writing("out", self.folder):
            for name, figure in draw(self._dataset).items():
                save(figure, self.place(name))

    def summary(self, content: dict[str, Any]) -> dict[str, Any]:
        """The command's document with its time and all files, written as summary.json; returned in any case."""
        content = {**content, "wall_s": self.wall_s}
        if self.folder is None:
            return self.document({**content, "files": []})
        with writing("out", self.folder):
            path = self.place("summary.json")
            whole = self.document({**content, "files": self.files})
            path.write_text(as_text(whole), encoding="utf-8")
        return whole

    def write_error(self, error: InMateriaError) -> None:
        """A summary.json that tells why there is no result."""
        if self.folder is not None:
            with writing("out", self.folder):
                path = self.place("summary.json")
                content = {"schema": SCHEMA, "command": self.command, "seed": self.seed}
                path.write_text(as_text({**content, "error": error_fields(error), "files": self.files}))

    @contextmanager
    def keeping(self, keep: Callable[[KeyboardInterrupt], Interrupted] | None = None) -> Iterator[None]:
        """What Ctrl-C in here ends with: the error that `keep` makes when it has written what was done.

        Without `keep`, nothing is kept.
        """
        try:
            yield
        except KeyboardInterrupt as stop:
            raise (stopped("stopped by Ctrl-C", "run the command again") if keep is None else keep(stop)) from None

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """Errors in here that are no wrong input are told of in summary.json, too."""
        try:
            yield
        except InMateriaError as error:
            if not isinstance(error, (InputError, KeyboardInterrupt)):
                self.write_error(error)
            raise


def stopped(where: str, kept: str, what: str = "run") -> Interrupted:
    """The error that ends a command after Ctrl-C: where it was stopped, and what of it is kept."""
    return Interrupted(what, "Ctrl-C", where, kept)
