"""Sphinx reads this: how notebooks and pages become one site. ``python -m mixlib site`` (make site) builds it."""

import mixlib

project = "Mixup for text classification"
author = "The mixlib authors"
version = release = mixlib.__version__
language = "en"
nitpicky = False

extensions = [
    "myst_nb",  # notebooks and Markdown
    "sphinx_design",  # cards of the gallery
    "sphinx_copybutton",  # a button on code
    "sphinx.ext.autodoc",  # the API from docstrings
    "sphinx.ext.napoleon",  # Args, Returns, Raises
    "sphinx.ext.viewcode",  # their source
    "mixlib.book.extension",  # equations, wide tables
]
exclude_patterns = ["**/.ipynb_checkpoints", "fragments/*"]

nb_execution_mode = "off"  # outputs are those of the notebooks
nb_merge_streams = True
nb_ipywidgets_js = {}  # no script from elsewhere
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

viewcode_follow_imported_members = False  # the source leads back to the page of its own module
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_ivar = True
napoleon_use_param = False  # names that share words stay on one line
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = project
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = False
html_use_index = False  # the search finds names; an index of a thousand of them helps nobody
html_domain_indices = False
html_show_copyright = False  # the licence is in the repository
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"
