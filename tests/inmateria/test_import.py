"""What importing costs."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

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


def test_a_worker_loads_no_model_and_no_room_above_it() -> None:
    """Each worker process waits for its imports: libngspice and the callbacks are all it needs."""
    script = "import sys, circuits.ngspice.worker; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    loaded = set(found.stdout.split())
    unwanted = {
        "scipy.stats",
        "scipy.optimize",
        "circuits.homodyne.loop",
        "dnpu_models.mean_field.model",
        "pandas",
        "xarray",
    }
    assert "circuits.ngspice.callbacks" in loaded
    assert not unwanted & loaded


@pytest.mark.parametrize("room", ["circuits", "dnpu_models"])
def test_names_loaded_when_used_are_those_of_their_modules(room: str) -> None:
    package = import_module(room)
    assert set(package.__all__) <= set(dir(package))
    modules = {module.name for module in iter_modules(package.__path__)}
    assert not modules & set(package.__all__)  # a module that was imported would stand in its place
    for name in package.__all__:
        assert getattr(package, name) is getattr(import_module(package._WHERE[name]), name)
    with pytest.raises(AttributeError, match=f"module '{room}' has no attribute 'nothing'"):
        _ = package.nothing
