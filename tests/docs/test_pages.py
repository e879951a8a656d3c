"""Every code block of every page runs, in the page's order, and prints what the page shows."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from circuits.homodyne.engines import ENGINES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pages = _module("pages")
PAGES = pages.pages()
OF_BUILDERS = ("CONTRIBUTING.md", "architecture.md")
"""Pages for those who build the house: their code imports from the rooms."""


def name(page: Path) -> str:
    return str(page.relative_to(DOCS.parent))


@pytest.fixture
def engines_as_they_were() -> Iterator[None]:
    """A page that adds an engine adds it to this process's table, which other tests read."""
    kept = dict(ENGINES)
    yield
    ENGINES.clear()
    ENGINES.update(kept)


@pytest.mark.usefixtures("engines_as_they_were")
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    if any("import torch" in block.text for block in pages.blocks(page)):
        pytest.importorskip("torch")
    pages.run_page(page, tmp_path)
    for figure in pages.figures(page):
        assert figure.is_file(), f"{name(page)} shows {figure}, which does not exist"
        shown_by_code = any(figure.name in block.text for block in pages.blocks(page))
        assert (tmp_path / figure.name).exists() == shown_by_code


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_is_fenced_and_from_the_face(page: Path) -> None:
    """A command in an indented block would not be run, nor an import from a room be what users are taught."""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "code_block":
            assert not re.match(r"\s*(\$|inmateria|python|make|pip|import|from)\s", token.content), token.content
    rooms = "analysis|learning|circuits|dnpu_models|lockin|netlists"
    for block in pages.blocks(page):
        if block.language == "python" and page.name not in OF_BUILDERS:
            assert not re.search(rf"^\s*(from|import) ({rooms})\b", block.text, re.MULTILINE), block.text


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("cosine 0.9998", "cosine 0.9997\n", True),
        ("cosine 0.9998", "cosine 0.97", False),
        ("8 instants", "9 instants", False),
        ("e1: 1.0 nS", "e2: 1.0 nS", False),
        ("[ 1.8  -2.0]", "[ 1.8 -1.99]", True),
        ("a ... z", "a 1\n2 z", True),
        ("a ... z", "a 1\n2 y", False),
        ("1e-3", "1.01e-3", True),
        ("1e-3", "4e-3", False),
    ],
)
def test_printed_text_is_compared(shown: str, printed: str, same: bool) -> None:
    assert pages.same(shown, printed) is same


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\n1/0\n```", "division"),
        ("```python\nprint(2)\n```\n```output\n3\n```", "where the page shows"),
        ("```console\n$ false\n```", "ended with 1"),
        ("```console\nls\n```", "begins with"),
        ("```json\n{}\n```", "is none of"),
        ("```\n```", "is none of"),
    ],
)
def test_a_wrong_page_is_found(text: str, said: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises((pages.PageError, ZeroDivisionError), match=said):
        pages.run_page(page, tmp_path)


SHARING = """
```toml
# own.toml
a = 1
```
```python
from pathlib import Path

x = len(Path("own.toml").read_text().splitlines())
```
```python
print(x)
```
```output
2
```
```console
$ exit 3  # not run: fails
$ wc -l \\
  own.toml
2 own.toml
```
"""


def test_blocks_share_names_and_files(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(SHARING)
    pages.run_page(page, tmp_path)
