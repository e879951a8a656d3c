"""Errors of every room, in one place: what was wrong, with which value, and how to mend it.

Every error names the field, gives the value and ends with the fix, so that the command line can show one clear
line and exit with code 2 instead of a traceback. Each is also the builtin error a Python user expects
(`ValueError`, `RuntimeError`), so scripts may catch either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class InMateriaError(Exception):
    """Base of all errors raised on purpose by this project.

    Parameters
    ----------
    field : str
        What the error is about: a parameter, an option, a file.
    value : object
        The value that was met; shown with ``repr``.
    problem : str
        What is wrong with it, without a full stop.
    fix : str
        What to do about it; ends the message.
    """

    def __init__(self, field: str, value: Any, problem: str, fix: str) -> None:
        self.field = field
        self.value = value
        self.problem = problem
        self.fix = fix
        super().__init__(f"{field} = {value!r}: {problem}; {fix}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the four arguments, so that errors cross process boundaries."""
        return type(self), (self.field, self.value, self.problem, self.fix)


class RunError(InMateriaError):
    """What an error of a circuit's run knows; each attribute is empty where it is not known.

    Attributes
    ----------
    node : str or None
        Node, branch (``v1#branch``) or instance at fault.
    time_s : float or None
        Simulated time, s.
    words : tuple of str
        ngspice's own lines.
    deck : Path or None
        Where the failing deck was saved.
    """

    node: str | None = None
    time_s: float | None = None
    words: tuple[str, ...] = ()
    deck: Path | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """As the base, with the attributes."""
        kept = {name: getattr(self, name) for name in ("node", "time_s", "words", "deck")}
        return type(self), (self.field, self.value, self.problem, self.fix), kept


class InputError(InMateriaError, ValueError):
    """A value given by the user cannot be used."""


class NetlistError(RunError, ValueError):
    """A netlist or a part is malformed, or ngspice rejects it."""


class ConvergenceError(RunError, RuntimeError):
    """A solver did not reach its tolerance; no number is returned in its place."""


class NoConvergenceError(ConvergenceError):
    """ngspice found no operating point."""


class SingularMatrixError(ConvergenceError):
    """The circuit's equations have no solution, or many: a loop of voltage sources, a node without a path to ground."""


class TimestepTooSmallError(ConvergenceError):
    """ngspice could not go on at some time, however short the step."""


class AbsurdValueError(ConvergenceError):
    """A result is not a number, or no voltage or current of any circuit."""


class EngineError(RunError, RuntimeError):
    """ngspice failed: it crashed, hung, stopped early or is missing."""


class EngineCrashError(EngineError):
    """The worker process died in the middle of a run: a fault inside ngspice, or a signal from outside."""


class EngineHangError(EngineError):
    """Nothing moved for longer than the engine's patience; the worker was ended."""


class EngineExitError(EngineError, NetlistError):
    """ngspice asked for its own end (``ControlledExit``), over a deck or by a ``quit``."""


class TooManyPointsError(EngineError):
    """The time-points exceed by far what the largest step asks for: the steps creep."""


class TrustWarning(UserWarning):
    """A run gave a result that may not be what the circuit does, or a deck that may not mean what it says."""


class Interrupted(InMateriaError, KeyboardInterrupt):
    """The user stopped the run (Ctrl-C); what was computed so far is kept in ``partial``."""

    partial: Any = None
