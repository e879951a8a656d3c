"""How the tests call the command: in this process where that is the same thing, in a child where streams matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inmateria.cli import main

COMMAND = [sys.executable, "-P", "-m", "inmateria"]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found = json.loads(self.stdout)
        assert isinstance(found, dict)
        return found


def in_process(capsys: pytest.CaptureFixture[str], *words: str) -> Result:
    """Run the command's entry point here."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(words)
    captured = capsys.readouterr()
    return Result(int(left.value.code or 0), captured.out, captured.err)


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's, without what a terminal or another test would change."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FORCE_COLOR", "NGSPICE_LIBRARY_PATH")}
    return {**kept, **extra}


def in_child(words: Sequence[str], folder: Path, *, command: Sequence[str] = COMMAND, **extra: str) -> Result:
    """Run the command in a process of its own, from `folder`."""
    done = subprocess.run(
        [*command, *words], cwd=folder, env=environment(extra), capture_output=True, text=True, timeout=300, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


def assert_refused(result: Result, field: str, *told: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr that names the field and tells what it should."""
    assert result.code == 2, result
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"error: {field}"), lines[0]
    for text in told:
        assert text in lines[0]
    problem, _, fix = lines[0].rpartition("; ")
    assert problem
    assert fix
