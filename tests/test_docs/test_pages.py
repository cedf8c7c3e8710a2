# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Pages hold the measured tables, lead somewhere and are in the index."""

from __future__ import annotations

import re
import runpy

import pytest

from tests.support import ROOT
from tests.test_docs.pages import DOCS, FENCE, PAGES, name_of

MARKDOWN = [*ROOT.glob('*.md'), *DOCS, *(ROOT / 'configs').rglob('*.md')]


LINK = re.compile(r'\[[^]]*\]\(([^)\s]+)\)')


def test_measured_tables_are_those_of_the_results_files():
    update = runpy.run_path(str(ROOT / 'docs' / 'update_tables.py'))
    for page in PAGES:
        assert page.read_text() == update['with_tables'](page.read_text()), f'run docs/update_tables.py for {page.name}'


def anchor(heading: str) -> str:
    """The anchor that a heading gets: lower case, spaces as hyphens, no punctuation."""
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


@pytest.mark.parametrize('page', MARKDOWN, ids=name_of)
def test_relative_links_lead_somewhere(page):
    text = FENCE.sub('', page.read_text())
    for target in LINK.findall(text):
        if '://' in target:
            continue
        path, _, fragment = target.partition('#')
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f'{target} in {name_of(page)}'
        if fragment:
            headings = re.findall(r'^#+ (.+)$', FENCE.sub('', file.read_text()), re.MULTILINE)
            assert fragment in map(anchor, headings), f'{target} in {name_of(page)}'


@pytest.mark.parametrize('page', DOCS, ids=name_of)
def test_every_page_is_in_the_index(page):
    index = ROOT / 'docs' / 'en' / 'index.md'
    linked = {(index.parent / target).resolve() for target in LINK.findall(index.read_text())}
    assert page == index or page in linked


def test_readme_is_short_and_keeps_the_place_of_the_headline():
    text = (ROOT / 'README.md').read_text()
    assert len(text.splitlines()) <= 270
    before, _, after = text.partition('<!-- headline table -->')
    assert '<!-- end of headline table -->' in after
