"""The code of the documentation's pages, run block by block as a reader would.

    python docs/pages.py docs/guides/how_it_works.md    # run a page and keep the figures it shows

A page runs in a folder of its own, from top to bottom. By the word behind the three backticks:

python    run; all of a page's blocks share one namespace
output    what the block before printed
console   a line that begins with `$ ` is a command and must succeed; the lines below it are what it prints
toml, spice, csv
          written to the file that a comment in the first line names (`# design.toml`, `* mixer.lib: ...`), if it does
text      illustration, not run

A command that ends in `# not run: 25 minutes` is not run. Printed text is compared word by word: whole numbers exactly,
others within one unit of the last digit shown or 2 %; `...` stands for anything.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

DOCS = Path(__file__).resolve().parent
LANGUAGES = ("python", "output", "console", "toml", "spice", "csv", "text")
NOT_RUN = re.compile(r"#\s*not run\b")
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_FILE = re.compile(r"[#*;]\s*([\w.-]+\.\w+)\b")
_NOTICES = ("Numba compiles ",)
"""Lines that a command prints on its first run only."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line where the text begins."""

    language: str
    text: str
    line: int


class PageError(AssertionError):
    """A block that does not do what its page says."""


def pages() -> list[Path]:
    """All pages with code: README, CONTRIBUTING, and what stands in docs/, generated pages left out."""
    left_out = {DOCS / "reference", DOCS / "studies"}
    found = [path for path in DOCS.rglob("*.md") if not left_out & set(path.parents)]
    return [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(found)]


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page, those of MyST's directives (`{toctree}`) left out."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    found = [
        Block(token.info.split()[0] if token.info.strip() else "", token.content, token.map[0] + 2)
        for token in tokens
        if token.type == "fence" and token.map is not None
    ]
    return [block for block in found if not block.language.startswith("{")]


def figures(page: Path) -> list[Path]:
    """Images that a page shows."""
    return [page.parent / name for name in re.findall(r"!\[[^\]]*\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))]


def run_page(page: Path, folder: Path) -> None:
    """Run a page's blocks in `folder`, which becomes the working directory meanwhile.

    Raises
    ------
    PageError
        When a block fails or prints something other than the page says.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed: str | None = None
    with contextlib.chdir(folder):
        for block in blocks(page):
            where = f"{page.name}:{block.line}"
            if block.language == "python":
                printed = _run_python(block, page, namespace)
            elif block.language == "output":
                if printed is None:
                    raise PageError(f"{where}: an output block without a python block before it")
                _compare(block.text, printed, where)
            elif block.language == "console":
                _run_console(block, where)
            elif block.language in LANGUAGES:
                named = _FILE.match(block.text)
                if named and block.language != "text":
                    Path(named[1]).write_text(block.text, encoding="utf-8")
            else:
                raise PageError(f"{where}: {block.language!r} is none of {', '.join(LANGUAGES)}")


def _run_python(block: Block, page: Path, namespace: dict[str, Any]) -> str:
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")  # so that errors name the page's line
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        exec(code, namespace)
    return stdout.getvalue()


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command with what is shown below it."""
    first, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    if first.strip():
        raise PageError(f"a console block begins with '$ ', not {first.splitlines()[0]!r}")
    for part in parts:
        command, _, shown = part.partition("\n")
        while command.endswith("\\"):
            more, _, shown = shown.partition("\n")
            command = f"{command[:-1]} {more.strip()}"
        yield command, shown


def _run_console(block: Block, where: str) -> None:
    for command, shown in _commands(block.text):
        if NOT_RUN.search(command):
            continue
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        run = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, "PATH": path, "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        if run.returncode:
            raise PageError(f"{where}: {command!r} ended with {run.returncode}:\n{run.stdout}")
        if shown.strip():
            lines = [line for line in run.stdout.splitlines() if not line.startswith(_NOTICES)]
            _compare(shown, "\n".join(lines), f"{where}: {command}")


def _compare(shown: str, printed: str, where: str) -> None:
    if not same(shown, printed):
        raise PageError(f"{where} prints\n{printed}\nwhere the page shows\n{shown}")


def same(shown: str, printed: str) -> bool:
    """Whether `printed` is what a page shows, as the module's docstring says."""
    pieces = re.split(rf"({_NUMBER}|\.\.\.)", shown.strip())
    pattern = ""
    for k, piece in enumerate(pieces):
        if k % 2 == 0:
            pattern += r"\s+".join(map(re.escape, re.split(r"\s+", piece)))
        else:
            pattern += "(?:.*?)" if piece == "..." else f"({_NUMBER})"
    match = re.fullmatch(pattern, printed.strip(), re.DOTALL)
    numbers = [piece for piece in pieces[1::2] if piece != "..."]
    return match is not None and all(_close(a, b) for a, b in zip(numbers, match.groups(), strict=True))


def _close(shown: str, printed: str) -> bool:
    if re.fullmatch(r"[-+]?\d+", shown):
        return shown == printed
    digits, _, exponent = shown.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return abs(float(shown) - float(printed)) <= max(1.01 * unit, 0.02 * abs(float(shown)))


def keep_figures(page: Path, report: Callable[[str], object] = print) -> None:
    """Run a page and put the figures that it makes where the page shows them."""
    with tempfile.TemporaryDirectory() as name:
        run_page(page, Path(name))
        for target in figures(page):
            made = Path(name) / target.name
            if made.exists():
                shutil.copyfile(made, target)
                report(f"{target}")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    for argument in sys.argv[1:]:
        keep_figures(Path(argument).resolve())
