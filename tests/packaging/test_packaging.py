"""The wheel holds every room, leaves stay light, only the face prints, versions agree."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
LEAVES = ("dnpu_models", "lockin", "netlists")
TOO_HEAVY_FOR_A_LEAF = ("matplotlib", "torch", "dask", "distributed", "PySpice")
VERSION = PYPROJECT["project"]["version"]


def sources(room: str) -> list[Path]:
    files = (path for path in (ROOT / room).rglob("*") if path.is_file())
    return sorted(path for path in files if "__pycache__" not in path.parts)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_package_lists_name_every_room() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "docs"}
    assert set(PACKAGES) == rooms
    assert PYPROJECT["tool"]["mypy"]["packages"] == PACKAGES
    assert PYPROJECT["tool"]["importlinter"]["root_packages"] == PACKAGES
    assert PYPROJECT["tool"]["ruff"]["lint"]["isort"]["known-first-party"] == PACKAGES
    assert set(PACKAGES) < set(PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"])


@pytest.mark.parametrize("room", PACKAGES)
def test_room_explains_itself_and_is_typed(room: str) -> None:
    assert ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8")))
    assert (ROOT / room / "py.typed").is_file()


class TestWheel:
    def test_holds_every_file_of_every_room_and_nothing_else(self, wheel: zipfile.ZipFile) -> None:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        wanted = {path.relative_to(ROOT).as_posix() for room in PACKAGES for path in sources(room)}
        assert held == wanted
        assert any(name.endswith(".lib") for name in held)
        assert any(name.endswith(".cir") for name in held)

    def test_installs_the_command_and_the_licence(self, wheel: zipfile.ZipFile) -> None:
        info = f"inmateria-{VERSION}.dist-info"
        scripts = configparser.ConfigParser()
        scripts.read_string(wheel.read(f"{info}/entry_points.txt").decode())
        assert scripts["console_scripts"]["inmateria"] == "inmateria.cli:main"
        assert b"GNU GENERAL PUBLIC LICENSE" in wheel.read(f"{info}/licenses/LICENSE")
        assert "License-Expression: GPL-3.0-or-later" in wheel.read(f"{info}/METADATA").decode()


@pytest.mark.parametrize("leaf", LEAVES)
def test_leaf_is_light(leaf: str) -> None:
    code = f"import {leaf}, sys; print(*(name for name in {TOO_HEAVY_FOR_A_LEAF!r} if name in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []


@pytest.mark.parametrize("room", [room for room in PACKAGES if room != "inmateria"])
def test_nothing_below_the_face_prints(room: str) -> None:
    found = []
    for path in sources(room):
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found, "take a progress callback instead of print"


def test_versions_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [VERSION]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (.+)$", changelog, re.MULTILINE)
    assert newest is not None
    assert re.search(rf"\b{re.escape(VERSION)}\b", newest[1])
