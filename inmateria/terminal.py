"""The terminal side of the command: one JSON document on stdout, everything else on stderr, one line for an error."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from inmateria.errors import InMateriaError, InputError, Interrupted

SCHEMA = "inmateria/1"
EXIT_NO, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130
stderr = Console(stderr=True, soft_wrap=True)


def _plain(value: Any) -> Any:
    """Numbers, strings, lists and dicts only; null for what is no number."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def document(command: str, seed: int | None, content: dict[str, Any]) -> dict[str, Any]:
    """The one JSON document of a command."""
    from analysis.datasets import versions

    plain: dict[str, Any] = _plain(
        {"schema": SCHEMA, "command": command, "versions": versions(), "seed": seed, **content}
    )
    return plain


def emit(content: dict[str, Any]) -> None:
    """Write a JSON document to stdout."""
    sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


@contextmanager
def errors_as_lines(as_json: bool) -> Iterator[None]:
    """Turn our errors into one line (or one JSON document) and the exit code they deserve."""
    try:
        yield
    except Interrupted as error:
        _end(error, as_json, EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        _end(Interrupted("run", "Ctrl-C", "was stopped", "run the command again"), as_json, EXIT_INTERRUPTED)
    except InMateriaError as error:
        _end(error, as_json, EXIT_INPUT)


def _end(error: InMateriaError, as_json: bool, code: int) -> NoReturn:
    if as_json:
        value = error.value if isinstance(error.value, (int, float, str, list, type(None))) else repr(error.value)
        fields = {"field": error.field, "value": value, "problem": error.problem, "fix": error.fix}
        emit(_plain({"schema": SCHEMA, "error": fields}))
    else:
        stderr.print(f"[bold red]error:[/] {escape(' '.join(str(error).split()))}", highlight=False)
    raise typer.Exit(code)


def output_folder(path: Path | None) -> Path | None:
    """Make the folder for results, before any long work.

    Raises
    ------
    InputError
        If it cannot be made or written to.
    """
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-test-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise InputError("out", str(path), f"cannot be written ({error.strerror})", "choose another folder") from error
    return path


def bar() -> Progress:
    """A progress bar on stderr with simulated time and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[simulated]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
    )
