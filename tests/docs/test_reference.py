"""The API reference holds every public name, and says of each what it is."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest

import inmateria

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = [name for name in inmateria.__all__ if name != "__version__"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> str:
    spec = importlib.util.spec_from_file_location("docs_reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("reference")
    module.write_reference(folder)
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.rst")))


def test_every_public_name_stands_in_the_reference_once(pages: str) -> None:
    found = re.findall(r"^\.\. auto\w+:: inmateria\.(\w+)$", pages, re.MULTILINE)
    assert sorted(found) == sorted(NAMES)


def test_every_public_class_and_function_has_a_docstring() -> None:
    bare = []
    for name in NAMES:
        value = getattr(inmateria, name)
        if callable(value):
            own = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
            if not own or own.startswith(f"{name}("):  # the latter is what a dataclass without one gets
                bare.append(name)
    assert not bare
