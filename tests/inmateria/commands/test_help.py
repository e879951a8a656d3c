"""Help: every command has an example, every option a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inmateria import __version__
from inmateria.cli import COMMANDS
from inmateria.commands.app import load_command

from .command import in_child, in_process


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_option_with_a_word_on_it_and_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = in_process(capsys, command, "--help")
    assert result.code == 0
    assert f"Example: inmateria {command}" in result.stdout
    lines = result.stdout.splitlines()
    options = [option for parameter in load_command(command, COMMANDS).params for option in parameter.opts]
    assert "--json" in options
    for option in options:
        at = next(k for k, line in enumerate(lines) if line.strip().startswith(f"{option} "))
        told = lines[at].split()[2:] or lines[at + 1].split()  # below, where the choices take the whole line
        assert told
        assert not told[0].startswith("--")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["learn", "--help"], ["learn", "--nope"], ["lern"]])
def test_help_and_a_wrong_option_wait_for_nothing_that_computes(words: list[str]) -> None:
    script = (
        "import sys; from inmateria.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("\n")[-2].split())
    assert not {"numpy", "scipy", "numba", "xarray", "matplotlib", "PySpice", "pint", "rich.progress"} & loaded


def test_all_commands_help_without_what_computes() -> None:
    script = (
        "import sys; from inmateria.cli import COMMANDS; from inmateria.commands.app import load_command\n"
        "for name in COMMANDS: load_command(name, COMMANDS)\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "numba", "xarray", "matplotlib", "PySpice", "pint"} & set(done.stdout.split())


def test_alone_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    result = in_process(capsys)
    assert result.code == 0
    assert "Usage: inmateria" in result.stdout
    assert "Example: inmateria learn" in result.stdout
    assert all(f"  {command} " in result.stdout for command in COMMANDS)


def test_version(tmp_path: Path) -> None:
    result = in_child(["--version"], tmp_path)
    assert (result.code, result.stdout) == (0, f"inmateria {__version__}\n")
