"""The documentation as a site: `make docs` builds it into build/docs, warnings are errors."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import inmateria  # noqa: E402
from reference import write_reference  # noqa: E402

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

write_reference(HERE / "reference")
