# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stores filled by two processes at once, and from data that changes afterwards."""

from __future__ import annotations

import copy
import multiprocessing
import re
import time

import numpy as np
import pytest
from mmengine.config import Config, ConfigDict

from mmcascade.calibration.stores.store import StoreError
from mmcascade.engine.runs.filling.ignored_label import ignored_label
from mmcascade.engine.runs.prepare_store import prepare_store
from tests.support.projects.tiny_project import make_project

FORK = multiprocessing.get_context('fork')  # what is imported is imported


def classification(folder):
    cfg = Config.fromfile(str(make_project(folder, 24)))
    for key in ('policy', 'accept'):
        cfg.model.pop(key, None)
    cfg.val_dataloader, cfg.test_dataloader = copy.deepcopy(cfg.test_dataloader), None
    return cfg


def segmentation(folder):
    pytest.importorskip('mmseg')
    from tests.support.projects.tiny_seg_project import write_project

    cfg = write_project(folder, dict(val=4, test=1))
    cfg.test_dataloader = None
    return cfg


def correct_labels(project):
    """Every image of a classification project gets the next of the five classes."""
    file = project / 'labels.txt'
    rows = [line.split() for line in file.read_text().splitlines()]
    file.write_text(''.join(f'{name} {(int(label) + 1) % 5}\n' for name, label in rows))


def stored(store):
    return np.array(store.scores[0]) if hasattr(store, 'scores') else store.cells.confidence


def fill(cfg, folder, delay, results):
    time.sleep(delay)
    try:
        results.put(stored(prepare_store(cfg, folder, device='cpu')[0]).tobytes())
    except StoreError as error:
        results.put(str(error))


@pytest.mark.parametrize('project', [classification, segmentation])
@pytest.mark.parametrize('delay', [0.0, 0.15])
def test_of_two_processes_both_are_right_or_one_is_told_of_the_other(project, delay, tmp_path):
    cfg = project(tmp_path / 'project')
    right = stored(prepare_store(cfg, tmp_path / 'alone', device='cpu')[0]).tobytes()
    results = FORK.SimpleQueue()
    processes = [FORK.Process(target=fill, args=(cfg, tmp_path / 'both', when, results)) for when in (0.0, delay)]
    for process in processes:
        process.start()
    ends = [results.get() for _ in processes]
    for process in processes:
        process.join()
    told = [end for end in ends if end != right]
    assert len(told) < 2
    for end in told:
        # Between the lock and its name in it there is a moment without a number.
        assert re.search(r'another process (\(pid .+\) )?is filling the store', end)
    assert stored(prepare_store(cfg, tmp_path / 'both', device='cpu')[0]).tobytes() == right
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['alone', 'both', 'project']


def test_corrected_labels_are_read_again_and_scores_kept(tmp_path):
    cfg = classification(tmp_path / 'project')
    before, _ = prepare_store(cfg, tmp_path / 'store', device='cpu')
    labels, scores = np.array(before.labels), np.array(before.scores[0])
    correct_labels(tmp_path / 'project')
    with pytest.warns(UserWarning, match='24 of 24 labels have changed since'):
        after, _ = prepare_store(cfg, tmp_path / 'store', device='cpu')
    assert np.array_equal(after.labels, (labels + 1) % 5) and np.array_equal(after.scores[0], scores)
    again, _ = prepare_store(cfg, tmp_path / 'store', device='cpu')  # and nothing is said twice
    assert np.array_equal(again.labels, (labels + 1) % 5)


def test_images_replaced_in_place_are_seen_and_moved_ones_used(tmp_path):
    cfg = classification(tmp_path / 'project')
    prepare_store(cfg, tmp_path / 'store', device='cpu')
    (tmp_path / 'project').rename(tmp_path / 'moved')
    text = cfg.pretty_text.replace(str(tmp_path / 'project'), str(tmp_path / 'moved'))
    moved = Config.fromstring(text, '.py')
    with pytest.warns(UserWarning, match='only paths differ'):
        prepare_store(moved, tmp_path / 'store', device='cpu')
    images = sorted((tmp_path / 'moved').rglob('*.png'))
    images[0].write_bytes(images[1].read_bytes())
    with pytest.raises(StoreError, match='differs from this run in its content of the images'):
        prepare_store(moved, tmp_path / 'store', device='cpu')
    said = []
    store, _ = prepare_store(moved, tmp_path / 'store', device='cpu', discard=said.append)
    assert store.complete and 'content of the images' in str(said[0])


@pytest.mark.parametrize(
    'config, number',
    [
        (dict(), 7),
        (dict(test_evaluator=dict(type='IoUMetric', ignore_index=3)), 3),
        (dict(test_evaluator=[dict(type='Other', ignore_index=1), dict(type='mmseg.IoUMetric')]), 255),
        (dict(val_evaluator=dict(metrics=[dict(type='IoUMetric', ignore_index=0)])), 0),
    ],
)
def test_ignored_pixels_are_those_of_the_test(config, number):
    class Joined:
        datasets = [type('Split', (), dict(dataset=type('Data', (), dict(ignore_index=7))()))()]

    assert ignored_label(ConfigDict(config), Joined()) == number
    assert ignored_label(ConfigDict(), object()) == 255


def test_metrics_that_disagree_are_refused():
    both = [dict(type='IoUMetric'), dict(type='IoUMetric', ignore_index=0)]
    with pytest.raises(ValueError, match=r'ignore the labels \[0, 255\]'):
        ignored_label(ConfigDict(val_evaluator=both), object())
