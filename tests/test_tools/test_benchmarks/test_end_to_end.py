# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""benchmarks/speed/end_to_end.py runs the config and says how its parts add up, not how fast they are."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks' / 'speed'))
    import end_to_end

    return end_to_end


@pytest.mark.slow
def test_rows_add_up(script, project, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, 'SIZES', (1, 2, 4))
    monkeypatch.setattr(script, 'keep_freed_memory', lambda: False)  # a test leaves the process as it was
    monkeypatch.setattr(script.gc, 'freeze', lambda: None)
    monkeypatch.setattr(
        sys,
        'argv',
        ['end_to_end.py', '--config', str(project), '--repeats', '1', '--json', str(tmp_path / 'rows.json')],
    )
    script.main()
    assert 'deferred loop' in capsys.readouterr().out
    content = json.loads((tmp_path / 'rows.json').read_text())
    rows = {row['name']: row for row in content['rows']}
    assert list(rows) == ['plain loop', 'deferred loop', 'data loading', "the members' limit", 'metrics']
    least = rows['data loading']['seconds'] + rows["the members' limit"]['seconds']
    for row in rows.values():
        assert row['images'] == 13 and row['ratio'] == pytest.approx(row['seconds'] / least)


def test_says_what_is_missing(script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['end_to_end.py', '--config', str(tmp_path / 'none.py')])
    with pytest.raises(SystemExit, match='run `make demo` first'):
        script.main()
