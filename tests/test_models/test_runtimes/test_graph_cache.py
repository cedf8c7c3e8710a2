# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import multiprocessing
import time

import pytest

from mmcascade.models.runtimes.graphs.graph_cache import GraphCache


def never():
    raise AssertionError('made again')


def test_what_was_made_is_found_again(tmp_path):
    path = GraphCache(tmp_path).get('a', lambda: b'graph')
    assert path.read_bytes() == b'graph'
    assert GraphCache(tmp_path).get('a', never) == path


@pytest.mark.parametrize('damage', ['shorter', 'other', 'gone', 'note', 'no note', 'schema'])
def test_what_is_damaged_is_made_again_and_its_facts_are_forgotten(tmp_path, damage):
    cache = GraphCache(tmp_path)
    path = cache.get('a', lambda: b'graph')
    cache.note('a', {'agrees': True})
    note = tmp_path / 'a.json'
    if damage == 'note':
        note.write_text('{"schema": 1, "sha')
    elif damage == 'no note':
        note.unlink()
    elif damage == 'schema':
        note.write_text(json.dumps(json.loads(note.read_text()) | dict(schema=0)))
    elif damage == 'gone':
        path.unlink()
    else:
        path.write_bytes(b'grap' if damage == 'shorter' else b'grapH')
    assert cache.get('a', lambda: b'again').read_bytes() == b'again'
    assert cache.fact('a', 'agrees') is None


def test_facts_are_kept_with_and_without_a_file(tmp_path):
    cache = GraphCache(tmp_path)
    assert cache.fact('a', 'x') is None
    cache.note('a', {'x': 1})
    cache.note('a', {'y': [2]})
    assert (cache.fact('a', 'x'), cache.fact('a', 'y')) == (1, [2])
    path = cache.get('b', lambda: b'graph')
    cache.note('b', {'x': 3})
    assert GraphCache(tmp_path).get('b', never) == path and cache.fact('b', 'x') == 3


def make_slowly(folder, made):
    cache = GraphCache(folder)

    def make():
        made.put(1)
        time.sleep(0.3)
        return b'graph'

    with cache.lock('a'):
        cache.get('a', make)


def test_of_several_processes_one_makes_it(tmp_path):
    context = multiprocessing.get_context('fork')
    made = context.Queue()
    processes = [context.Process(target=make_slowly, args=(tmp_path, made)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert made.get() == 1 and made.empty()
