"""The documentation as a site: `make docs` builds it into build/docs, warnings are errors."""

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from reference import write_reference  # noqa: E402

import inmateria  # noqa: E402

project = "inmateria"
author = "inmateria contributors"
copyright = author
version = release = inmateria.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["studies", "images"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
suppress_warnings = ["misc.highlighting_failure"]  # SPICE and transcripts have no lexer that takes all of them

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]

default_role = "py:obj"  # `Bench` in a docstring is a link where the reference has it, and code elsewhere
autodoc_typehints = "none"  # numpydoc's sections state types, with shapes and units
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"inmateria {version}"
html_copy_source = False
html_show_sphinx = False
html_static_path: list[str] = []


def keep_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """In our docstrings |x| is a magnitude, where reStructuredText sees a substitution; not in literal blocks."""
    literal = None  # indentation of the paragraph that a literal block belongs to
    for k, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None:
            lines[k] = re.sub(r"``.*?``|\|(?=[^\s|])", lambda m: m[0] if m[0] != "|" else r"\|", line)
            if line.rstrip().endswith("::"):
                literal = indent


def setup(app: Any) -> None:
    write_reference(HERE / "reference")
    app.connect("autodoc-process-docstring", keep_bars)
