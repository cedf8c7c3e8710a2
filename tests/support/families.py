# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which classes of the package belong to a family, read from its text: nothing has to be imported to be found."""

from __future__ import annotations

import re
from functools import cache

from tests.support import ROOT

_CLASS = re.compile(r'^ *class (\w+)(?:\((.*?)\))?:\n(.*?)(?=^\S|\Z)', re.MULTILINE | re.DOTALL)


@cache
def classes() -> dict[str, tuple[frozenset[str], str]]:
    """Per class of the package the words among its bases, without what these are generic over, and its body."""
    found = {}
    for file in sorted((ROOT / 'mmcascade').rglob('*.py')):
        for name, bases, body in _CLASS.findall(file.read_text()):
            found[name] = frozenset(re.findall(r'\w+', re.sub(r'\[.*\]', '', bases))), body
    return found


def descendants(*roots: str) -> set[str]:
    """The classes that derive from some, directly or not."""
    family: set[str] = set()
    while True:
        near = family | set(roots)
        more = {name for name, (bases, _) in classes().items() if bases & near} - family
        if not more:
            return family
        family |= more


def declaring(attribute: str) -> set[str]:
    """The classes that give all their objects a value of some name."""
    return {name for name, (_, body) in classes().items() if re.search(rf'^    {attribute}\b', body, re.MULTILINE)}
