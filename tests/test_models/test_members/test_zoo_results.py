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


def test_what_works_is_equal_to_the_library():
    for row in ROWS:
        if row['status'] == 'works' and row['kind'] != 'mmseg':
            assert row['difference'] < 1e-4, row['name']


def test_every_reason_is_said():
    assert all(row['reason'] for row in ROWS if row['status'] in ('refused', 'library', 'fault', 'time'))
