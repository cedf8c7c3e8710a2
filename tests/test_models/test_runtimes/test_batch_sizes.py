# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Batch sizes are swept, chosen and remembered."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch

from mmcascade.models.runtimes import batch_sizes
from mmcascade.models.runtimes.batch_sizes import SizeCache, best_size, sweep


def test_segmentors_try_small_batches_on_a_processor():
    assert batch_sizes.sizes_for(torch.device('cpu'), True) == (1, 2, 4, 8)
    assert batch_sizes.sizes_for(torch.device('cuda'), True) == batch_sizes.SIZES


def test_memory_that_does_not_hold_one_row_is_an_error():
    def fail(rows):
        raise torch.OutOfMemoryError('full')

    with pytest.raises(torch.OutOfMemoryError, match='full'):
        batch_sizes.sweep(fail, torch.zeros(3), (1, 2))


def test_sweep_stops_when_it_gets_worse(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr('time.perf_counter', lambda: clock.now)
    cost = {1: 5, 2: 6, 4: 8, 8: 20, 16: 64, 32: 512, 64: 1}
    seen = []

    def run(batch):
        seen.append(len(batch))
        clock.now += cost[len(batch)]

    found = sweep(run, torch.zeros(3), sizes=list(cost))
    assert found == {1: 5, 2: 3, 4: 2, 8: 2.5, 16: 4}
    assert best_size(found) == 4
    assert sorted(set(seen)) == [1, 2, 4, 8, 16] and seen.count(4) >= 3


def test_sweep_stops_when_memory_runs_out():
    def run(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError

    assert list(sweep(run, torch.zeros(3), seconds=0, patience=99)) == [1, 2]


def test_best_size_prefers_small_batches_at_equal_speed():
    assert best_size({1: 2.0, 2: 1.015, 4: 1.0, 8: 1.001}) == 2
    assert best_size({1: 1.02, 2: 1.0}) == 1 and best_size({1: 1.021, 2: 1.0}) == 2, 'equal is 2 % and no more'


@pytest.mark.parametrize(
    'content',
    ['', '[]', '{"schema": 2, "sizes": {"k": 4}}', '{"schema": 1, "sizes": [4]}', '{"schema": 1, "sizes": {"k": "4"}}'],
)
def test_a_broken_cache_is_written_anew(tmp_path, content):
    cache = SizeCache(tmp_path / 'new' / 'sizes.json')
    assert cache.get('k') is None
    cache.put('k', 4)
    cache.path.write_text(content)
    assert cache.get('k') is None
    cache.put('k', 8)
    assert cache.get('k') == 8
    assert sorted(path.name for path in cache.path.parent.iterdir()) == ['.sizes.json.lock', 'sizes.json']


def test_entries_of_several_writers_are_all_kept(tmp_path):
    path = tmp_path / 'sizes.json'

    def write(first):
        for number in range(first, first + 20):
            SizeCache(path).put(f'k{number}', number + 1)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [SizeCache(path).get(f'k{number}') for number in range(60)] == list(range(1, 61))


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / 'file').write_text('')
    SizeCache(tmp_path / 'file' / 'sizes.json').put('k', 1)
