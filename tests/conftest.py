"""What every test shares: a quiet environment, data that lies beside the checkout, deterministic search."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before numpy or matplotlib is imported by anything: one BLAS thread per xdist worker, and no display.
for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"
os.environ["MPLBACKEND"] = "Agg"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

if TYPE_CHECKING:
    from circuits.ngspice.engine import Engine

ROOT = Path(__file__).resolve().parents[1]

# Deterministic by default, in CI and out of it; HYPOTHESIS_PROFILE=explore looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a cache of its own, never the user's; xdist workers inherit it."""
    if not _is_worker():
        os.environ["INMATERIA_CACHE"] = tempfile.mkdtemp(prefix="inmateria-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's cache."""
    if not _is_worker():
        shutil.rmtree(os.environ["INMATERIA_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A running ngspice: its worker takes a second to start, and any run leaves it as it was."""
    from circuits.ngspice.engine import Engine

    with Engine(timeout_s=120) as one:
        yield one


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, int], None]:
    """Let Ctrl-C come at the n-th call of a function: Python hears it between calls of compiled code only."""

    def patch(owner: Any, name: str, number: int) -> None:
        original, calls = getattr(owner, name), []

        def counted(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == number:
                signal.raise_signal(signal.SIGINT)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)

    return patch


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of other people's data: INMATERIA_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("INMATERIA_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}: set INMATERIA_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def data_file(data_dir: Path) -> Callable[[str], Path]:
    """Return the path of one data file by name; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        path = data_dir / name
        if not path.is_file():
            pytest.skip(f"no {name} in {data_dir}: set INMATERIA_DATA to the folder that holds it")
        return path

    return find
