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


#: Words of our own, which a reader cannot guess.
WORDS = ('unit', 'gap', 'tau', 'stage', 'view', 'member', 'reached')
#: Pages that use one of them in another sense only.
OTHER_SENSES = {
    ('mutations', 'gap'),
    ('mutations', 'reached'),
    ('report', 'reached'),
    ('runtimes', 'unit'),
    ('speed', 'unit'),
    ('command_line', 'unit'),
}
#: What is no prose: code, made tables, formulas, headings, lists of pages, and links.
NO_PROSE = [
    re.compile(pattern, re.MULTILINE | re.DOTALL)
    for pattern in (
        r'^```.*?^```$',
        r'<!-- (?P<name>[^>]*) -->.*?<!-- end of (?P=name) -->',
        r'`[^`]*`',
        r'^#+ [^\n]*$',
        r'^:::.*?^:::$',
        r'\$\$.*?\$\$',
        r'\[[^]]*\]\([^)]*\)',
    )
]


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


def prose(text: str) -> str:
    """The text with all else blanked, so that places stay what they are."""
    for pattern in NO_PROSE:
        text = pattern.sub(lambda found: re.sub(r'[^\n]', ' ', found[0]), text)
    return text


@pytest.mark.parametrize('page', [page for page in DOCS if page.stem not in ('index', 'glossary')], ids=name_of)
def test_words_of_our_own_are_explained_where_a_page_first_uses_them(page):
    text = page.read_text()
    for word in WORDS:
        used = re.search(rf'(?<![\w/-]){word}s?(?![\w/-])', prose(text))
        if used and (page.stem, word) not in OTHER_SENSES:
            entry = text.find(f'glossary.md#{word})')
            assert 0 <= entry < used.start(), f'link {word!r} to its entry in the glossary'


def test_readme_is_short_and_keeps_the_place_of_the_headline():
    text = (ROOT / 'README.md').read_text()
    assert len(text.splitlines()) <= 270
    before, _, after = text.partition('<!-- headline table -->')
    assert '<!-- end of headline table -->' in after
