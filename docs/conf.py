"""Sphinx configuration: furo and MyST, built with -n -W, so that a dangling reference is an error."""

from importlib.metadata import version as installed_version

project = "maccel_aio"
author = "the maccel_aio developers"
version = release = installed_version("maccel-aio")

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

# Names of other libraries are not resolved: the build needs no network. Our own public names must be.
nitpick_ignore_regex = [
    ("py:.*", r"(?!maccel_aio).*"),
    ("py:.*", r"maccel_aio\.(_|.*\._).*"),
]
