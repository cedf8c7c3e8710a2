# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The site: ``make docs`` writes it to build/docs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import mmcascade  # noqa: E402

project = 'mmcascade'
author = 'mmcascade contributors'
project_copyright = author
release = version = mmcascade.__version__

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
# The pages of the reference are written in the first format, and as reStructuredText.
source_suffix = {'.rst': 'restructuredtext', '.md': 'myst-nb', '.ipynb': 'myst-nb'}
nb_execution_mode = 'off'  # outputs are stored in the notebooks: `make docs-notebooks`
myst_heading_anchors = 4
myst_enable_extensions = ['colon_fence', 'deflist']

autosummary_generate = True
autodoc_typehints = 'none'  # signatures keep theirs as they are written
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'mmcascade {version}'
html_static_path = ['_static']
html_css_files = ['site.css']
html_theme_options: dict[str, object] = {'top_of_page_buttons': []}


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect('source-read', _name_outside)


def _name_outside(app: Sphinx, name: str, source: list[str]) -> None:
    """The READMEs of configs are no pages of the site, so links to them become their names."""
    del app, name
    source[0] = re.sub(r'\[([^]]*)\]\((?:\.\./)+(configs/\w+)/README\.md\)', r'\1 (`\2`)', source[0])
