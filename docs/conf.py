"""How the documentation is built: `make check` treats every warning as an error."""

project = "certctl"
author = "the certctl authors"
extensions = ["myst_parser"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True
