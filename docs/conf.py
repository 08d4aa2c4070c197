"""Sphinx configuration: furo and MyST, built with -n -W: a dangling reference is an error."""

import tomllib
from pathlib import Path

project = "maccel_aio"
author = "the maccel_aio developers"
metadata = tomllib.loads(
    (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
)
version = release = metadata["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"maccel_aio {version}"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Names of other libraries are not resolved: the build needs no network. Our own must be.
nitpick_ignore_regex = [
    ("py:.*", r"(?!maccel_aio).*"),
    ("py:.*", r"maccel_aio\.(_|.*\._).*"),
]
