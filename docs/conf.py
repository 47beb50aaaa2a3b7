"""Configuration of Sphinx for the documentation of ndtools; ``make docs`` builds it."""

import os
import re
from typing import Any

from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst
from sphinx_gallery.sorting import FileNameSortKey

import ndtools

project = "ndtools"
author = "The ndtools developers"
copyright = "The ndtools developers, Apache-2.0"  # noqa: A001
release = version = ndtools.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.typer",
]
exclude_patterns = ["_build", "examples", "gallery/*.ipynb"]  # sphinx-gallery offers its examples as notebooks, too
suppress_warnings = [
    "config.cache",  # sphinx-gallery's settings hold functions, which Sphinx cannot keep between builds
]

html_theme = "pydata_sphinx_theme"
html_title = "ndtools"
html_static_path = ["_static"]
html_css_files = ["ndtools.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 9,
    "footer_start": ["copyright"],
    "footer_end": [],
}

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"  # notebooks are kept without outputs
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds for a cell, on a busy machine
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings state the types
numpydoc_show_class_members = False  # the templates list methods; attributes are described in the docstrings


def save_figures(block: tuple, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figures of an example, and return the markup that shows them."""
    # The figures of ndtools have no pyplot state, so sphinx-gallery does not see them by itself.
    values = block_vars["example_globals"]
    paths = []
    for name in [name for name, value in values.items() if isinstance(value, Figure)]:
        paths.append(next(block_vars["image_path_iterator"]))
        values.pop(name).savefig(paths[-1], dpi=110)  # popped, so that the next block does not show it again
    return figure_rst(paths, gallery_conf["src_dir"])


sphinx_gallery_conf = {
    "image_scrapers": (save_figures,),
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # times of a documentation build are no measurement
    "write_computation_times": False,
}

# The options of a command are printed by the program itself: without colours, and in a width that fits the page.
os.environ["NO_COLOR"] = "1"


def escape_bars(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape the bars of absolute values in a docstring: reStructuredText takes |x| for a substitution."""
    for i, line in enumerate(lines):
        parts = re.split("(`[^`]*`)", line)  # not within code, where a backslash would be shown
        lines[i] = "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)


def setup(app: Sphinx) -> None:
    """Connect what this file defines to Sphinx."""
    app.connect("autodoc-process-docstring", escape_bars, priority=900)  # after numpydoc
