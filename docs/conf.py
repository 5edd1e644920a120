"""How Sphinx makes the site; scripts/docs calls it.

The source is the whole checkout, so that README, ARCHITECTURE and the others are pages as they
stand, and every link in them is checked as a reader of the repository follows it.
"""
# ruff: noqa: INP001 - Sphinx wants a file of this name, not a package

from __future__ import annotations

from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from paceline import __version__

project = "Paceline"
version = release = __version__
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**", "*.md", "benchmarks/README.md"]
exclude_patterns = [".*", "build", "data", "deploy", "scripts", "src", "tests"]
nitpicky = True

myst_heading_anchors = 4  # as code hosts do

html_theme = "furo"
html_title = f"Paceline {__version__}"
html_extra_path = ["_site"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
# No web font, no tracker, nothing from elsewhere: the site can be read without a network.
html_theme_options = {"source_view_link": ""}


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_lexer("mermaid", TextLexer)  # code hosts draw them; here they are read as text
    return {"parallel_read_safe": True}
