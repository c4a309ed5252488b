"""How the documentation is built: `python -m sphinx -W --keep-going docs site`."""

import os
import re
import sys
from pathlib import Path
from typing import Any

# The plain implementation is what has docstrings, signatures and type hints that can be read; the compiled one is the
# same API.
os.environ["SIPSTACK_NO_EXTENSIONS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import sipstack

project = "sipstack"
author = "The sipstack authors"
project_copyright = author
version = release = sipstack.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
default_role = "literal"
smartquotes_action = "D"  # dashes; quotes are code
nitpicky = False

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autoclass_content = "both"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"sipstack {release}"
html_static_path = ["_static"]
html_css_files = ["sipstack.css"]
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"


# "host, port: where to listen" is two attributes with one description, which napoleon cannot read.
_TOGETHER = re.compile(r"^( {4}|)(\w+(?:, \w+)+): ")
_kept: dict[str, list[str]] = {}


def _keep(_app: Any, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Prepare for napoleon, which takes the text before a colon in a property's docstring for its type."""
    if what == "property":
        _kept[name] = list(lines)
    lines[:] = [_TOGETHER.sub(lambda match: match[0].replace(", ", "/"), line) for line in lines]


def _restore(_app: Any, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    if what == "property":
        lines[:] = _kept.pop(name)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _keep, priority=400)
    app.connect("autodoc-process-docstring", _restore, priority=600)
