"""`inmateria doctor`: says what is there, and with exit code 1 what is not and how to mend it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from inmateria.rooms import ROOMS

from .command import COMMAND, in_child, in_process


def test_a_healthy_place(tmp_path: Path) -> None:
    result = in_child(["doctor", "--json"], tmp_path)
    assert result.code == 0, result
    assert result.stderr == ""
    document = result.document
    assert document["command"] == "doctor"
    assert document["healthy"] is True
    assert document["versions"]["inmateria"]
    checks = {check["check"]: check for check in document["checks"]}
    extras = {"PyTorch", "foundry models"}
    assert set(checks) == {"rooms", "numba", "libngspice", "ngspice version", "XSPICE", "external source"} | extras
    assert all(check["ok"] and check["found"] and not check["fix"] for check in checks.values())
    assert "ngspice" in checks["libngspice"]["found"]


def test_people_read_it_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    result = in_process(capsys, "doctor")
    assert result.code == 0
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 8
    assert all(line.startswith("ok ") for line in result.stdout.splitlines())


@pytest.mark.parametrize("library", ["/nonexistent", __file__])
def test_a_missing_library(library: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", library)
    result = in_process(capsys, "doctor", "--json")
    assert result.code == 1
    document = result.document
    assert document["healthy"] is False
    failed = [check for check in document["checks"] if not check["ok"]]
    assert len(failed) == 1
    assert library in failed[0]["found"]
    assert "apt-get install ngspice libngspice0" in failed[0]["fix"]
    for_people = in_process(capsys, "doctor")
    assert for_people.code == 1
    assert "fix: install it" in for_people.stdout


def test_a_file_with_a_rooms_name(tmp_path: Path) -> None:
    culprit = tmp_path / "analysis.py"
    culprit.write_text("answer = 42\n")
    for command, extra in (
        (["-P", "-m", "inmateria"], {"PYTHONPATH": "."}),
        (["-m", "inmateria"], {}),
    ):
        result = in_child(["doctor", "--json"], tmp_path, command=[sys.executable, *command], **extra)
        assert result.code == 1, result
        rooms = json.loads(result.stdout)["checks"][0]
        assert rooms["check"] == "rooms"
        assert str(culprit) in rooms["found"]
        assert "rename" in rooms["fix"]
        assert "Traceback" not in result.stderr
        assert f"{culprit} shadows" in result.stderr
    refused = in_child(["learn", "AND"], tmp_path, PYTHONPATH=".")
    assert refused.code == 2
    assert refused.stderr.splitlines()[-1].startswith(f"error: analysis = '{culprit}'")


def test_the_command_stands_without_its_rooms(tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / f"{room}.py").write_text("answer = 42\n")
    found = in_child(["doctor", "--json"], tmp_path, PYTHONPATH=".")
    assert found.code == 1, found
    assert all(str(tmp_path / f"{room}.py") in json.loads(found.stdout)["checks"][0]["found"] for room in ROOMS)
    assert in_child(["--help"], tmp_path, PYTHONPATH=".").code == 0
    for words, error in ((["lern"], "error: command = 'lern'"), (["export"], f"error: {ROOMS[0]} = '{tmp_path}")):
        refused = in_child(words, tmp_path, PYTHONPATH=".")
        assert refused.code == 2, refused
        assert refused.stderr.splitlines()[-1].startswith(error)


def test_import_names_a_file_with_a_rooms_name(tmp_path: Path) -> None:
    culprit = tmp_path / "learning.py"
    culprit.write_text("answer = 42\n")
    script = "import inmateria\ntry:\n    inmateria.HgeSettings\nexcept ImportError as error:\n    print(error)\n"
    result = in_child(["-c", script], tmp_path, command=[sys.executable])
    assert result.code == 0, result
    assert f"{culprit} shadows inmateria's package 'learning'" in result.stderr
    assert str(culprit) in result.stdout


def test_an_unread_document_is_no_fault(tmp_path: Path) -> None:
    command = " ".join(f"'{word}'" for word in [*COMMAND, "learn", "--json"])
    result = in_child([f"{command} | true; exit ${{PIPESTATUS[0]}}"], tmp_path, command=["bash", "-c"])
    assert result.code == 2
    assert "Traceback" not in result.stderr
