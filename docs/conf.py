"""Configuration of the documentation site: `make docs` builds it with warnings as errors."""

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # examples

project = "onelip"
author = "The onelip developers"
version = release = version_of("onelip")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "onelip"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
nitpicky = False


def _name_results(_app, _page, source):
    """Files of records lie in the repository and are no pages of the site: they are named there."""
    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./(results/[^)]+\.(?:md|json))\)", r"\1 (`\2`)", source[0])


def setup(app):
    """Connects what this file changes."""
    app.connect("source-read", _name_results)
