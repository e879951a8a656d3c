"""What ngspice says, and what it means. The lines were provoked on ngspice 39, 44 and 47 (see docs/engine.md).

ngspice's return codes are 0 for a deck it dropped, an operating point it did not find and a transient it gave up, so
its words are all there is. They come with the stream's name before them: ``stderr Warning: singular matrix: ...``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from circuits.signals.transient import OperatingPoint
from inmateria.errors import (
    AbsurdValueError,
    ConvergenceError,
    NoConvergenceError,
    SingularMatrixError,
    TimestepTooSmallError,
)

_TELLING = re.compile(
    r"error|singular matrix|time ?step too small|no convergence|aborted|unknown|can't|cannot|no such|no job|too few"
    r"|too many|undefined|not found|could not|mismatch|circular|invalid|is missing|there aren't any circuits",
    re.IGNORECASE,
)
_REJECTED = re.compile(
    r"^(fatal )?error\b|there aren't any circuits|too (few|many) parameters for subcircuit|^no circuit loaded",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(r"simulation\(s\) aborted|simulation not started|there aren't any circuits", re.IGNORECASE)
_SINGULAR = re.compile(r"singular matrix: *check nodes? *(\S*)", re.IGNORECASE)
_OUT_OF_RANGE = re.compile(r"out of range for (\w+)(?:\s+in line (\S+))?", re.IGNORECASE)
_TRYING = re.compile(r"^(?:(?:Trying gmin =|Supplies reduced to)\s+\S+\s*)+", re.IGNORECASE)
_TIMESTEP = re.compile(r"time ?step too small", re.IGNORECASE)
_NO_POINT = re.compile(
    r"no convergence|iteration limit|convergence failed|transient op failed|operating point could not be simulated"
    r"|doanalyses: (op|dc|ac|noise|tf|pz|sens|disto): *time ?step too small"
    r"|initial time ?point|frequency = ",
    re.IGNORECASE,
)
_TIME = re.compile(r"time = *([-+0-9.eE]+)")
_TROUBLE = re.compile(r'trouble with (?:node "([^"]*)"|(\S+))(?:.* (\S+))?')
_SUSPICIOUS = re.compile(
    r"ignored|set to 1|too small, set|resistance to low|unrecognized|default assumed", re.IGNORECASE
)
_NOISE = re.compile(r"^(note: (no compatibility|starting|one success|dynamic|true|source)|using (sparse|klu))", re.I)


def spoken(messages: Iterable[str]) -> list[str]:
    """The lines without the stream's name, empty ones left out."""
    return [text for text in (message.partition(" ")[2].strip() for message in messages) if text]


def _plain(line: str) -> str:
    """A line without the count of steps before it, so that repeated ones are alike."""
    return _TRYING.sub("", line) or line


def telling(words: Sequence[str]) -> list[str]:
    """The lines that tell what is wrong."""
    return [_plain(line) for line in words if _TELLING.search(line)]


def rejection(words: Sequence[str]) -> list[str]:
    """Why ngspice dropped a deck: the first line that tells of it and all after it, where the reason often stands."""
    first = next((k for k, line in enumerate(words) if _TELLING.search(line)), len(words))
    return list(words[first:])


def rejected(words: Sequence[str]) -> bool:
    """Whether ngspice dropped the deck, or a part of it, whatever its return code."""
    return any(_REJECTED.search(line) for line in words)


def suspicious(words: Iterable[str]) -> tuple[str, ...]:
    """Lines by which ngspice says that it changed or left out something of the deck."""
    return tuple(dict.fromkeys(line for line in words if _SUSPICIOUS.search(line) and not _NOISE.search(line)))


def unfinished(words: Sequence[str]) -> bool:
    """Whether ngspice gave up, or gave a result that is none.

    A singular circuit has no operating point, though ngspice's last resort, a transient, often finds one.
    """
    said = "\n".join(words)
    return bool(_UNFINISHED.search(said)) or doomed(words)


def doomed(words: Sequence[str]) -> bool:
    """Whether the search for the operating point of a singular circuit came to its last resort.

    That transient may run for ever, and its result is none.
    """
    return any("ransient op started" in line for line in words) and any(_SINGULAR.search(line) for line in words)


def operating_point(words: Sequence[str], *, initial_conditions: bool) -> OperatingPoint:
    """The last method that ngspice tried for the operating point, which is the one that found it."""
    if initial_conditions:
        return "none"
    said = "\n".join(words).lower()
    if "transient op started" in said:
        return "transient"
    if "source stepping" in said or "supplies reduced" in said:
        return "source stepping"
    return "gmin stepping" if "gmin" in said else "newton"


@dataclass(frozen=True)
class Diagnosis:
    """Why a run found no solution.

    Attributes
    ----------
    error : type of ConvergenceError
    node : str or None
        Node, branch or instance that ngspice names.
    time_s : float or None
        Where it gave up, s.
    fix : str
        What usually helps.
    """

    error: type[ConvergenceError]
    node: str | None
    time_s: float | None
    fix: str


def diagnose(words: Sequence[str]) -> Diagnosis | None:
    """What stopped a run that did not finish; None where its words tell of no failure to converge."""
    said = "\n".join(words)
    time = _TIME.search(said)
    time_s = None if time is None else float(time.group(1))
    outside = _OUT_OF_RANGE.search(said)
    if outside:
        fix = f"keep the argument of {outside.group(1)} in its range, e.g. by max()"
        return Diagnosis(AbsurdValueError, outside.group(2), time_s, fix)
    singular = _SINGULAR.search(said)
    if singular:
        node = singular.group(1) or None
        fix = "look for a loop of voltage sources or inductors, or a node without a path to ground"
        if re.fullmatch(r"(?:l|.*\.l)[^.]*#branch", node or "", re.IGNORECASE):
            fix = "an inductor, a transformer's too, is a wire at 0 Hz: put 1m Ohm in series, or start with 'uic'"
        return Diagnosis(SingularMatrixError, node, time_s, fix)
    trouble = _TROUBLE.search(said)
    node = None if trouble is None else trouble.group(1) or trouble.group(3) or trouble.group(2)
    if _NO_POINT.search(said):
        fix = "give starting values (.nodeset), soften jumps in B sources, or start with 'uic'"
        return Diagnosis(NoConvergenceError, node, time_s, fix)
    if _TIMESTEP.search(said):
        fix = "soften jumps in B sources, or give the node a capacitance"
        return Diagnosis(TimestepTooSmallError, node, time_s, fix)
    return None
