"""How the tests call the command: in this process where that is the same thing, in a child where streams matter."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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


def answered(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The document of a command that does here what it was asked; ``--json`` is among the words."""
    result = in_process(capsys, *words)
    assert result.code == 0, result
    return result.document


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


def visible(data: bytes) -> str:
    """What a terminal got, without colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode("utf-8", "replace"))


def stopped_in_terminal(words: Sequence[str], folder: Path, ready: Callable[[str], bool]) -> Result:
    """Run the command in a child whose stderr is a terminal; press Ctrl-C once `ready` holds of what stands there."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env=environment({"TERM": "xterm", "COLUMNS": "140", "TMPDIR": str(folder)}),
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    data, sent = b"", False
    deadline = time.monotonic() + 240
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    data += os.read(master, 65536)
                except OSError:  # the child is gone
                    break
                if not sent and ready(visible(data)):
                    process.send_signal(signal.SIGINT)
                    sent = True
            elif process.poll() is not None:
                break
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert sent, visible(data)[-2000:]
    return Result(process.returncode, out.decode(), visible(data))


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
