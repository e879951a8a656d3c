"""What integrates the loop: ngspice, its compiled twin, or the loop averaged over its dither, behind one `run(loop)`.

Another engine is a subclass of `LoopEngine` here, its equations in a file of their own, its name in
`EngineName` and its row in `ENGINES`. Engines load what they need when they are made or run: a command that only offers
their names is not to wait for compiled code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from inmateria.errors import InputError

if TYPE_CHECKING:
    from circuits.homodyne.loop import HomodyneLoop
    from circuits.ngspice.engine import Engine, Progress
    from circuits.signals.transient import Transient

EngineName = Literal["ngspice", "twin", "averaged"]
"""What integrates a homodyne loop: ngspice, its compiled twin, or the loop averaged over its dither."""


class LoopEngine(ABC):
    """What integrates a loop. A context manager, which ends the processes that it has started.

    Parameters
    ----------
    folder : Path, optional
        Where failing decks are kept, by engines that run any; the folder of temporary files by default.

    Attributes
    ----------
    name : str
    runs_netlist : bool
        Whether it runs the netlist itself, with parts of any level; else it knows equations of ideal and macro parts.
    has_dither : bool
        Whether its waveforms have the dither, and the device's noise.
    """

    name: str
    runs_netlist: bool = False
    has_dither: bool = True

    def __init__(self, *, folder: Path | None = None) -> None:
        self.folder = folder

    @abstractmethod
    def run(self, loop: HomodyneLoop, *, seed: int = 0, progress: Progress | None = None) -> Transient:
        """One transient of the whole loop.

        Parameters
        ----------
        loop : HomodyneLoop
        seed : int
            Draws the device's noise, or hops, where it has any.
        progress : callable, optional
            Called as progress(phase, simulated seconds, wall seconds).

        Raises
        ------
        InputError
            For a loop that the engine knows no equations of.
        ConvergenceError
            If the device gives no current, or the circuit no solution.
        Interrupted
            On Ctrl-C; its ``partial`` holds the waveforms so far.
        """

    def version(self) -> str | None:
        """Version of the simulator; None of our own."""
        return None

    def close(self) -> None:
        """End what it has started."""
        return

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what it has started."""
        self.close()


class Ngspice(LoopEngine):
    """The loop's netlist in ngspice.

    Parameters
    ----------
    engine : Engine, optional
        A running ngspice, which the caller closes; by default one of its own.
    folder : Path, optional
        As `LoopEngine`, for one of its own.

    Raises
    ------
    EngineError
        If libngspice is not found.
    """

    name = "ngspice"
    runs_netlist = True

    def __init__(self, engine: Engine | None = None, *, folder: Path | None = None) -> None:
        from circuits.ngspice.engine import Engine

        super().__init__(folder=folder)
        self._own = engine is None
        self.engine = Engine(folder=folder) if engine is None else engine

    def run(self, loop: HomodyneLoop, *, seed: int = 0, progress: Progress | None = None) -> Transient:
        """One ngspice transient of the whole circuit.

        Raises
        ------
        InputError, NetlistError, ConvergenceError, EngineError, Interrupted
            As `netlist.circuit`, `netlist.cosimulation` and `Engine.transient`.
        """
        from circuits.homodyne import netlist
        from circuits.ngspice.engine import engine_seed
        from circuits.noise.circuit_noise import noise_along
        from circuits.parts.placed_device import coupled

        placed = netlist.placed(loop)
        outside = netlist.cosimulation(loop, seed) if coupled(loop.device) else None
        asked: dict[str, Any] = {
            "stop_s": loop.stop_s,
            "max_step_s": loop.max_step_s,
            "cosimulation": outside,
            "seed": engine_seed(seed),
            "corners_s": loop.corners_s,
            "grids_s": loop.grids_s,
            "progress": progress,
        }
        deck = netlist.deck(loop)
        run = self.engine.transient(
            deck,
            save=[*netlist.saved(loop), *([] if placed is None else placed.saved)],
            noise=noise_along(self.engine, deck, **asked) if loop.electronics_noise else None,
            **asked,
        )
        run = run if outside is None else outside.told(run)
        return run if placed is None else placed.told(run)

    def version(self) -> str:
        """Version of the ngspice in the worker."""
        return str(self.engine.about()["version"])

    def close(self) -> None:
        """End the worker, if it is its own."""
        if self._own:
            self.engine.close()


class Twin(LoopEngine):
    """The same equations integrated in compiled code; for speed, and as a cross-check."""

    name = "twin"

    def run(self, loop: HomodyneLoop, *, seed: int = 0, progress: Progress | None = None) -> Transient:
        """The loop's equations, step by step; see `circuits.homodyne.twin`.

        Raises
        ------
        InputError
            For leads, parts of transistors or one's own, or another loss than the squared one of real parts: what the
            twin has no equation for; see `circuits.homodyne.figures`.
        ConvergenceError
            If the device gives no current.
        """
        from circuits.homodyne.twin import run_twin

        if progress is not None:
            progress(self.name, 0.0, 0.0)
        return run_twin(loop, seed=seed)


class Averaged(LoopEngine):
    """The slow dynamics alone, the dither averaged by quadrature: the fastest engine.

    Parameters
    ----------
    points : int, optional
        Settings at which the device is asked in each window; by default as few as `circuits.homodyne.averaged` allows.
    """

    name = "averaged"
    has_dither = False

    def __init__(self, points: int | None = None, *, folder: Path | None = None) -> None:
        super().__init__(folder=folder)
        self.points = points

    def run(self, loop: HomodyneLoop, *, seed: int = 0, progress: Progress | None = None) -> Transient:
        """The averaged equations; see `circuits.homodyne.averaged`.

        Raises
        ------
        InputError
            As `Twin.run`, for another loss than the squared one, and if the device is random or changes with time and
            so has no average to follow.
        ConvergenceError
            If the device gives no current.
        """
        from circuits.homodyne.averaged import run_averaged

        if progress is not None:
            progress(self.name, 0.0, 0.0)
        return run_averaged(loop, points=self.points)


ENGINES: Mapping[str, type[LoopEngine]] = {"ngspice": Ngspice, "twin": Twin, "averaged": Averaged}
"""Every engine by its name in `EngineName`."""


def engine_kind(name: str) -> type[LoopEngine]:
    """The class of an engine.

    Raises
    ------
    InputError
        For a name that is unknown.
    """
    if name not in ENGINES:
        *first, last = ENGINES
        raise InputError("engine", name, "is unknown", f"choose {', '.join(first)} or {last}")
    return ENGINES[name]


def engine_named(name: str, folder: Path | None = None) -> LoopEngine:
    """An engine by its name, to be closed by the caller; errors as `engine_kind` and the engine's own."""
    return engine_kind(name)(folder=folder)


def running(engine: str | LoopEngine | Engine, folder: Path | None = None) -> AbstractContextManager[LoopEngine]:
    """An engine of loops for the length of a ``with``, whatever it was given as.

    Of a name it is a new one that keeps failing decks in `folder`, closed at the end; of a running ngspice `Ngspice`
    around it, which stays open; else the one that is given.
    """
    if isinstance(engine, str):
        return engine_named(engine, folder)
    from circuits.ngspice.engine import Engine

    return nullcontext(Ngspice(engine) if isinstance(engine, Engine) else engine)


def with_dither(name: str) -> str:
    """The engine for readings at the tones in place of this one: itself, or the twin where it leaves the dither out."""
    return name if engine_kind(name).has_dither else Twin.name
