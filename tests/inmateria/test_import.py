"""What importing costs."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import inmateria
from inmateria.rooms import ROOMS


def test_nothing_is_compiled_at_import(tmp_path: Path) -> None:
    """A model whose functions for a transient were compiled at import made every user wait for more than a minute."""
    script = f"""
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, happened): compiled.append(str(happened.data.get("dispatcher", happened.data)))
    def on_end(self, happened): pass
with event.install_listener("numba:compile", Listener()):
    import pkgutil, importlib
    for room in {ROOMS}:
        for module in pkgutil.walk_packages([importlib.import_module(room).__path__[0]], room + "."):
            importlib.import_module(module.name)
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


def test_every_public_name_is_loaded_from_the_file_that_the_table_names() -> None:
    assert set(inmateria.__all__) <= set(dir(inmateria))
    for name, home in inmateria._HOME.items():
        assert getattr(inmateria, name) is getattr(import_module(home), name)
    with pytest.raises(AttributeError, match="module 'inmateria' has no attribute 'nothing'"):
        _ = inmateria.nothing


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_found_by_its_docstring_alone(room: str) -> None:
    """Faces load nothing: whoever needs one file of a room, a worker process or ``--help``, waits for no other."""
    for face in (Path(inmateria.__file__).parents[1] / room).rglob("__init__.py"):
        body = ast.parse(face.read_text(encoding="utf-8")).body
        assert len(body) == 1, face
        assert ast.get_docstring(ast.Module(body, [])), face
