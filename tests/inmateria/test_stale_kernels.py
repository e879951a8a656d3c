"""Compiled kernels go when any source that uses Numba changes, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inmateria.stale_kernels import forget_stale_kernels

ROOMS = ("upper", "lower", "inmateria")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for room in ROOMS:
        (tmp_path / room / "__pycache__").mkdir(parents=True)
        (tmp_path / room / "__init__.py").write_text("")
    (tmp_path / "lower" / "equation.py").write_text(
        "from numba import njit\n\n\n@njit(cache=True)\ndef f(x):\n    return 2.0 * x\n"
    )
    (tmp_path / "upper" / "kernel.py").write_text(
        "from numba import njit\nfrom lower.equation import f\n\n\n@njit(cache=True)\ndef g(x):\n    return f(x) + 1\n"
    )
    return tmp_path


def computed(root: Path) -> float:
    """What the upper room computes in a process of its own."""
    here = Path(__file__).parents[2]
    script = (
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(root)!r}]\n"
        "from pathlib import Path\n"
        "from inmateria.stale_kernels import forget_stale_kernels\n"
        f"forget_stale_kernels(Path(sys.argv[1]), {ROOMS!r})\n"
        "from upper.kernel import g\nprint(g(3.0))"
    )
    told = subprocess.run(
        [sys.executable, "-P", "-c", script, str(root)], capture_output=True, text=True, check=True, timeout=120
    )
    return float(told.stdout)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_edit_in_another_file_counts(root: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if elsewhere:
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(root / "cache"))
    assert computed(root) == 7.0
    kept = list(root.rglob("*.nbi"))
    assert kept
    assert computed(root) == 7.0
    equation = root / "lower" / "equation.py"
    equation.write_text(equation.read_text().replace("2.0 * x", "5.0 * x"))
    assert computed(root) == 16.0  # Numba alone would have gone on with 7


def test_only_sources_with_numba_count(root: Path) -> None:
    compiled = root / "upper" / "__pycache__" / "kernel.g-1.py311.nbi"
    compiled.write_bytes(b"code")
    assert forget_stale_kernels(root, ROOMS)  # nothing is known of it
    assert not compiled.exists()
    compiled.write_bytes(b"code")
    assert not forget_stale_kernels(root, ROOMS)
    (root / "upper" / "words.py").write_text("said = 1\n")
    assert not forget_stale_kernels(root, ROOMS)
    os.utime(root / "lower" / "equation.py", (1e9, 1e9))
    assert not forget_stale_kernels(root, ROOMS)
    assert compiled.exists()
    (root / "lower" / "equation.py").unlink()
    assert forget_stale_kernels(root, ROOMS)
    assert not compiled.exists()


@pytest.mark.parametrize("words", ["{", "[]", "3"])
def test_a_damaged_note_is_no_harm(root: Path, words: str) -> None:
    (root / "upper" / "folder.py").mkdir()
    note = root / "inmateria" / "__pycache__" / "kernels.json"
    note.write_text(words)
    assert forget_stale_kernels(root, ROOMS)
    assert not forget_stale_kernels(root, ROOMS)
