"""From a failed run to one clear error, with the node, the time, ngspice's words and the failing deck on disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from circuits.ngspice import messages as ngspice_words
from inmateria.errors import AbsurdValueError, EngineError, EngineExitError, NetlistError, RunError

ABSURD = 1e15
"""No voltage (V) or current (A) of a circuit is as large: ngspice turns 1/0 into 1e32 and an overflow into 1e99."""

SHOWN = 300
"""Characters of ngspice's words in a message; all of them are in the error's ``words``."""

_Error = TypeVar("_Error", bound=RunError)


@dataclass(frozen=True)
class FailedDeck:
    """The deck of a run, saved when the run fails.

    Attributes
    ----------
    text : str
        Empty for requests without a deck.
    folder : Path or None
        Where it is saved; the folder of temporary files by default.
    """

    text: str
    folder: Path | None = None

    def error(
        self,
        kind: type[_Error],
        field: str,
        value: Any,
        problem: str,
        *,
        fix: str = "",
        words: Sequence[str] = (),
        node: str | None = None,
        time_s: float | None = None,
    ) -> _Error:
        """Save the deck and return the error that tells where it is."""
        saved, where = self._save()
        error = kind(field, value, problem, f"{fix}; {where}" if fix else where)
        error.words, error.node, error.time_s, error.deck = tuple(words), node, time_s, saved
        return error

    def _save(self) -> tuple[Path | None, str]:
        if not self.text:
            return None, "look at it with 'inmateria doctor'"
        try:
            handle, name = tempfile.mkstemp(prefix="failed-", suffix=".cir", dir=self.folder or tempfile.gettempdir())
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(self.text)
        except OSError as error:
            return None, f"the deck could not be kept ({error})"
        path = Path(name).absolute()
        return path, f"see the deck kept as {path}"

    def reject(self, reply: Mapping[str, Any]) -> NoReturn:
        """Raise for a deck that ngspice did not load."""
        words = ngspice_words.spoken(reply["loading"])
        shown = short(ngspice_words.rejection(words) or words[-1:] or ["no reason given"])
        if reply.get("exited") is not None:
            what = f"ngspice rejects it and asked for its end (ControlledExit({reply['exited']}))"
            raise self.error(EngineExitError, "deck", shown, what, words=words)
        raise self.error(NetlistError, "deck", shown, "ngspice rejects it", words=words)

    def explain(self, reply: Mapping[str, Any], what: str, *, time_s: float | None = None) -> NoReturn:
        """Raise what ngspice's words mean for a run that did not finish."""
        words = ngspice_words.spoken([*reply["loading"], *reply["running"]])
        telling = ngspice_words.telling(words)
        if reply.get("exited") is not None:
            what = f"ngspice asked for its end (ControlledExit({reply['exited']})) and {what}"
            raise self.error(EngineExitError, "ngspice", short(telling or words[-2:]), what, words=words, time_s=time_s)
        found = ngspice_words.diagnose(words)
        if found is not None:
            at = found.time_s if time_s is None else time_s
            raise self.error(
                found.error, "ngspice", short(telling), what, fix=found.fix, words=words, node=found.node, time_s=at
            )
        if telling:
            raise self.error(NetlistError, "deck", short(telling), f"ngspice {what}", words=words, time_s=time_s)
        raise self.error(EngineError, "ngspice", short(words[-2:]), what, words=words, time_s=time_s)

    def check_numbers(self, vectors: Mapping[str, np.ndarray[Any, Any]], time_s: np.ndarray[Any, Any] | None) -> None:
        """Refuse results that are no numbers, or that no circuit has; scales of an analysis may be any size.

        Raises
        ------
        AbsurdValueError
        """
        for name, values in vectors.items():
            if name in ("time", "frequency") or name.endswith("-sweep"):
                continue
            absurd = ~(np.abs(values) <= ABSURD)
            if np.any(absurd):
                first = int(np.argmax(absurd))
                at = None if time_s is None else float(time_s[first])
                when = "" if at is None else f", at {at:.6g} s"
                problem = f"no voltage or current{when}: a division by zero?"
                node = name[2:-1] if name.startswith(("v(", "i(")) else name
                raise self.error(AbsurdValueError, name, values[first].item(), problem, node=node, time_s=at)


def short(lines: Sequence[str]) -> str:
    """Lines in one, each once, cut to what a message holds."""
    text = "; ".join(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
