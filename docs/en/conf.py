# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The site: ``make docs`` writes it to build/docs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

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
myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath']
html_math_renderer = 'mathml'  # which browsers draw by themselves; MathJax comes from elsewhere

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
    app.add_html_math_renderer('mathml', (_formula, None), (_displayed_formula, None))


def _formula(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _displayed_formula(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def _name_outside(app: Sphinx, name: str, source: list[str]) -> None:
    """The READMEs of configs are no pages of the site, so links to them become their names."""
    del app, name
    source[0] = re.sub(r'\[([^]]*)\]\((?:\.\./)+(configs/\w+)/README\.md\)', r'\1 (`\2`)', source[0])
