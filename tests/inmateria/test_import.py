"""What importing costs."""

import os
import subprocess
import sys
from pathlib import Path

ROOMS = "dnpu_models, lockin, circuits, learning, analysis, inmateria.cli"


def test_nothing_is_compiled_at_import(tmp_path: Path) -> None:
    """A model whose functions for a transient were compiled at import made every user wait for more than a minute."""
    script = f"""
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, happened): compiled.append(str(happened.data.get("dispatcher", happened.data)))
    def on_end(self, happened): pass
with event.install_listener("numba:compile", Listener()):
    import {ROOMS}
    from inmateria import KineticMonteCarlo, MeanField, ChipSurrogate, MasterEquation
    del KineticMonteCarlo, MeanField, ChipSurrogate, MasterEquation
print(compiled)
"""
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
    assert not list(tmp_path.rglob("*.nbi"))
