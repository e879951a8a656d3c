"""The terminal side of the command: one JSON document on stdout, everything else on stderr, one line for an error."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from inmateria.errors import InMateriaError, InputError, Interrupted

SCHEMA = "inmateria/1"
EXIT_NO, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130
stderr = Console(stderr=True, soft_wrap=True, highlight=False)

_OPTION_OF = {
    "amplitudes_V": "amplitude",
    "amplitude_V": "amplitude",
    "frequencies_Hz": "frequencies",
    "frequency_Hz": "frequency",
    "max_step_s": "max_step",
    "start_V": "at",
    "device_evaluations": "evaluations",
}
"""What the rooms call a field, and what the command calls it; an index behind it is kept."""


def answers(as_json: bool) -> Console:
    """Where the result for people goes: to stdout, or with ``--json`` to stderr."""
    return stderr if as_json else Console(soft_wrap=True, highlight=False)


def plain(value: Any) -> Any:
    """Numbers, strings, lists and dicts only; null for what is no number."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def document(command: str, seed: int | None, content: dict[str, Any]) -> dict[str, Any]:
    """The one JSON document of a command."""
    from inmateria.versions import versions

    whole: dict[str, Any] = plain(
        {"schema": SCHEMA, "command": command, "versions": versions(), "seed": seed, **content}
    )
    return whole


def as_text(content: dict[str, Any]) -> str:
    """A JSON document as text."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def emit(content: dict[str, Any]) -> None:
    """Write a JSON document to stdout; quietly, if nobody reads it."""
    try:
        sys.stdout.write(as_text(content))
        sys.stdout.flush()
    except BrokenPipeError:  # the interpreter's own flush at the end must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def error_fields(error: InMateriaError) -> dict[str, Any]:
    """An error in the command's words, for JSON; a value that is no number as text."""
    value = error.value
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    return {"field": _option(error.field), "value": plain(value), "problem": error.problem, "fix": error.fix}


def _option(field: str) -> str:
    stem, index = re.fullmatch(r"([^\[]*)(.*)", field, re.DOTALL).groups()  # type: ignore[union-attr]
    return _OPTION_OF.get(stem, stem) + index


@contextmanager
def errors_as_lines(as_json: bool) -> Iterator[None]:
    """Turn our errors into one line (or one JSON document) and the exit code they deserve."""
    try:
        yield
    except Interrupted as error:
        end(error, as_json, EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        end(Interrupted("run", "Ctrl-C", "stopped by Ctrl-C", "run the command again"), as_json, EXIT_INTERRUPTED)
    except InMateriaError as error:
        end(error, as_json, EXIT_INPUT)
    except MemoryError:
        end(InputError("memory", None, "is not enough for this run", "take a larger --max-step"), as_json, EXIT_INPUT)


def end(error: InMateriaError, as_json: bool, code: int) -> NoReturn:
    """Say what was wrong, and leave."""
    fields = error_fields(error)
    if as_json:
        emit({"schema": SCHEMA, "error": fields})
    given = "" if error.value is None else f" = {error.value!r}"
    text = f"{fields['field']}{given}: {error.problem}; {error.fix}"
    if isinstance(error, Interrupted):
        text = f"{error.problem}; {error.fix}"
    stderr.print(f"[bold red]error:[/] {escape(' '.join(text.split()))}")
    raise typer.Exit(code)


@contextmanager
def writing(field: str, path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into one of our errors."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(field, str(path), f"cannot be written ({why})", "choose another place") from error


@contextmanager
def output_folder(path: Path | None) -> Iterator[Path | None]:
    """The folder for results, made before any long work; taken away again, still empty, where an option is wrong."""
    if path is None:
        yield None
        return
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with writing("out", path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-test-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    try:
        yield path
    except InputError:
        with suppress(OSError):  # something is in it
            for folder in made:
                folder.rmdir()
        raise


def output_file(path: Path, field: str) -> None:
    """Make sure that the file of an option can be written, before any long work; nothing is left behind."""
    with writing(field, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        path.open("a").close()
        if new:
            path.unlink()
