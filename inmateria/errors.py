"""Errors of every room, in one place: what was wrong, with which value, and how to mend it.

Every error names the field, gives the value and ends with the fix, so that the command line can show one clear
line and exit with code 2 instead of a traceback. Each is also the builtin error a Python user expects
(`ValueError`, `RuntimeError`), so scripts may catch either.
"""

from __future__ import annotations

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


class InputError(InMateriaError, ValueError):
    """A value given by the user cannot be used."""


class NetlistError(InMateriaError, ValueError):
    """A netlist or a part is malformed, or ngspice rejects it."""


class ConvergenceError(InMateriaError, RuntimeError):
    """A solver did not reach its tolerance; no number is returned in its place."""


class EngineError(InMateriaError, RuntimeError):
    """ngspice failed: it crashed, hung, stopped early or is missing."""


class Interrupted(InMateriaError, KeyboardInterrupt):
    """The user stopped the run (Ctrl-C); what was computed so far is kept in ``partial``."""

    partial: Any = None
