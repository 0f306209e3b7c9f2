"""How the documentation site is built: `make docs`, warnings as errors."""

from diffbio_core import __version__

project = "diffbio"
author = "the diffbio developers"
copyright = "the diffbio developers, Apache License 2.0"
version = release = __version__
extensions = ["myst_parser", "sphinx_click"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"diffbio {release}"
exclude_patterns = ["_build"]
nitpicky = True
