"""A folder of temporary files without room: one clear error, and the caller's own process never dies of it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from circuits.ngspice.engine import Engine
from inmateria.errors import EngineError
from inmateria.run_folder import told_of_no_room

ROOT = Path(__file__).resolve().parents[3]
RC = "rc\nV1 a 0 SIN(0 1 1k)\nR1 a b 1k\nC1 b 0 1u ic=0"
ON_A_SMALL_DISK = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=4m tmpfs "$TMPDIR" && exec "$0" "$1"']
"""A mount in a name space of its own, for which no user needs a privilege; nobody else sees it."""


def small_disks() -> bool:
    """Whether this system lets a user mount one."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not small_disks(), reason="this system lets no user mount a small disk")
def test_a_disk_that_is_full_before_or_becomes_so_is_named(tmp_path: Path) -> None:
    """4 MB in all: too little for the plan; filled by others during the run; full, or one page left, before it. The
    results of a run without a record, too. After that there is room again, and the answer is right."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, sys, tempfile; sys.path.insert(0, {str(ROOT)!r})
            from circuits.ngspice.engine import Engine
            from circuits.ngspice.pool import EnginePool

            def told(run):
                try:
                    run()
                    print("no error", flush=True)
                except Exception as error:
                    print(f"{{type(error).__name__}}: {{error}}", flush=True)

            def filled(engine, pages, run):
                path = os.path.join(tempfile.gettempdir(), "fill")
                with open(path, "wb", buffering=0) as fill:
                    try:
                        while fill.write(b"x" * 4096) == 4096: pass
                    except OSError:
                        fill.truncate(max(0, fill.tell() - 4096 * pages))
                    told(run)
                os.remove(path)

            def fill_on_the_way(phase, t, wall):
                if t > 0 and not os.path.exists(path := os.path.join(tempfile.gettempdir(), "later")):
                    with open(path, "wb") as fill: fill.truncate(0); os.posix_fallocate(fill.fileno(), 0, free() - 8192)

            def free():
                return (s := os.statvfs(tempfile.gettempdir())).f_bavail * s.f_frsize

            rc = {RC!r}
            with Engine() as engine:
                point = lambda: engine.run("t\\nV1 a 0 1\\nR1 a 0 1k\\n.op\\n.end")
                point()
                how = {{"max_step_s": 1e-6, "save": ["v(b)"]}}
                run = lambda stop=5e-3, **more: engine.transient(rc, stop_s=stop, **how, **more)
                told(lambda: run(1.0))
                for pages in (0, 1, 2):
                    filled(engine, pages, run)
                    filled(engine, pages, point)
                told(lambda: run(0.2, progress=fill_on_the_way))
                os.remove(os.path.join(tempfile.gettempdir(), "later"))
                told(lambda: engine.run(rc + "\\n.tran 1u 0.4 0 1u uic\\n.end"))
                filled(engine, 0, lambda: Engine().about())
                told(run)
            """
        )
    )
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        [*ON_A_SMALL_DISK, sys.executable, script],
        env=os.environ | {"TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    small, full = "and the run plans 0.08 MB", "is full"
    said = done.stdout.splitlines()
    for line, words in zip(
        said[:9], ["and the run plans 16 MB", *[small, full] * 3, "points of the run could not", full], strict=True
    ):
        assert line.startswith(f"EngineError: TMPDIR = {str(place)!r}: ")
        assert words in line
    assert said[9:] == ["no error"] * 2


def test_a_plan_that_no_disk_takes_is_refused_before_it_runs(engine: Engine) -> None:
    """160 TB."""
    names = [f"v(n{k})" for k in range(20_000)]
    with pytest.raises(EngineError, match=r"TMPDIR = .* MB free, and the run plans 1\.6e\+08 MB") as caught:
        engine.transient(RC, stop_s=1.0, max_step_s=1e-9, save=names)
    assert caught.value.fix.startswith("set TMPDIR")


def test_a_worker_that_dies_over_a_page_of_its_record_names_the_folder() -> None:
    with Engine() as engine:

        def fault(phase: str, simulated: float, wall: float) -> None:
            if simulated > 0:
                assert engine.pid is not None
                os.kill(engine.pid, signal.SIGBUS)

        with pytest.raises(EngineError, match=r"TMPDIR = .* is full"):
            engine.transient(RC, stop_s=50.0, max_step_s=1e-4, save=["v(b)"], progress=fault)


def test_only_errors_of_a_full_disk_are_told_as_such() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(EngineError, match="TMPDIR"), told_of_no_room():
            raise OSError(number, os.strerror(number))
    with pytest.raises(PermissionError), told_of_no_room():
        raise PermissionError(errno.EACCES, "Permission denied")
