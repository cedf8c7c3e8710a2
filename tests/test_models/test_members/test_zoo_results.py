# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the docs say about the zoos is what was measured."""

from __future__ import annotations

import json
import re

from tests.support import ROOT

ROWS = json.loads((ROOT / 'benchmarks/results/zoo.json').read_text())['rows']
PAGE = (ROOT / 'docs/en/user_guides/your_own_members.md').read_text()


def test_the_docs_say_how_many_of_the_tried_networks_work():
    runs = [row for row in ROWS if row['status'] in ('works', 'fault')]
    works = [row for row in runs if row['status'] == 'works']
    found = re.search(r'\*\*(\d+) of (\d+)\*\*', PAGE)
    assert found is not None
    assert (int(found[1]), int(found[2])) == (len(works), len(runs))


def test_the_docs_say_what_was_not_covered():
    page = ' '.join(PAGE.split())

    def count(kind, *statuses):
        return sum(row['kind'] == kind and row['status'] in statuses for row in ROWS)

    assert f'{count("mmpretrain", "works")} of MMPretrain, {count("timm", "works")} of timm' in page
    assert f'and {count("mmseg", "works")} of MMSegmentation' in page
    assert f'{count("mmpretrain", "large")} networks of MMPretrain above 450 million parameters' in page
    left, distinct = map(int, re.search(r"(\d+) of MMSegmentation's (\d+) networks", page).groups())
    assert left == count('mmseg', 'library') and distinct == sum(row['kind'] == 'mmseg' for row in ROWS)
    assert f'{count("mmpretrain", "refused")} networks of MMPretrain (pre-training' in page
    assert count('mmseg', 'refused') == 3
    assert count('mmpretrain', 'library') == 9 and count('timm', 'library') == 2
    assert count('mmseg', 'time') == 2 and count('timm', 'time') == 0


def test_what_works_is_equal_to_the_library():
    for row in ROWS:
        if row['status'] == 'works' and row['kind'] != 'mmseg':
            assert row['difference'] < 1e-4, row['name']


def test_every_reason_is_said():
    assert all(row['reason'] for row in ROWS if row['status'] in ('refused', 'library', 'fault', 'time'))
