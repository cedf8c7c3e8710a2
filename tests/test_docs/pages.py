# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pages, and what stands in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.support import ROOT

DOCS = sorted((ROOT / 'docs').rglob('*.md'))


PAGES = [ROOT / 'README.md', *DOCS]


FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return FENCE.findall(page.read_text())


def commands(page: Path) -> list[list[str]]:
    """The words of every command in a page, without comments and variables set for it."""
    found = []
    for language, code in blocks(page):
        if language == 'bash':
            for line in code.replace('\\\n', ' ').splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
                    del words[0]
                if words:
                    found.append(words)
    return found


def file_name(code: str) -> str | None:
    """The name in the first line of a snippet that is a file of its own."""
    found = re.match(r'# (\S+\.py)\n', code)
    return found[1] if found else None


def files_in_pages() -> dict[str, tuple[Path, str]]:
    """The files that pages tell their readers to write."""
    return {
        name: (page, code)
        for page in PAGES
        for language, code in blocks(page)
        if language == 'python' and (name := file_name(code))
    }
