"""`inmateria init`: a first design."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from inmateria.commands.frame import Frame, Json
from inmateria.errors import InputError
from inmateria.terminal.output import writing


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where to."""

    path: Annotated[Path, typer.Argument(help="File to write, or a folder to write design.toml to.")] = Path(
        "design.toml"
    )
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False
    as_json: Json = False


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Write a first design, with a comment on every key; it verifies.

    Example: inmateria init design.toml
    """
    path = options.path / "design.toml" if options.path.is_dir() else options.path
    if path.exists() and not options.force:
        raise InputError("path", str(path), "exists already", "name another file, or use --force")
    template = (files("analysis.designs") / "design.toml").read_text(encoding="utf-8")
    with writing("path", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(template, encoding="utf-8")
    if not options.as_json:
        frame.say(f"written: {path}")
    return frame.document({"files": [str(path)]})
