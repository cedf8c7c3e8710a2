# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / 'benchmarks' / 'metrics_speed.py'


def test_the_benchmark_prints_and_writes_its_rows(tmp_path):
    path = tmp_path / 'rows.json'
    done = subprocess.run(
        [sys.executable, SCRIPT, '--size', '500', '--repeats', '1', '--json', path],
        capture_output=True, text=True, check=True)
    result = json.loads(path.read_text())
    assert result['schema'] == 1
    assert {'cpu', 'cores', 'threads', 'python', 'torch', 'numpy'} <= set(result['machine'])
    assert {row['summary'] for row in result['rows']} > {'aurc', 'augrc', 'auroc', 'scod_aurc'}
    assert all(row['times_sort'] > 0 for row in result['rows'])
    assert len(done.stdout.splitlines()) == 1 + len(result['rows'])
