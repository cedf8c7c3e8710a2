# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""benchmarks/runtimes/peers.py compares like with like: every cascade in it takes the same decisions."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from mmpretrain.structures import DataSample

from mmcascade.engine.benchmark.systems import Images
from tests.support import ROOT
from tests.support.members.tiny_models import images, tiny


@pytest.fixture(scope='module')
def peers():
    pytest.importorskip('skfb', reason='needs requirements/benchmark.txt')
    sys.path.insert(0, str(ROOT / 'benchmarks' / 'runtimes'))
    import peers

    yield peers
    sys.path.remove(str(ROOT / 'benchmarks' / 'runtimes'))


@pytest.fixture(scope='module')
def rows(peers):
    data = Images([images(30, 32, seed=5), images(30, 40, seed=5)], [DataSample() for _ in range(30)])
    with torch.no_grad():
        group = peers.Group('tiny', [tiny('resnet', 0), tiny('mobilenet', 1)], data, 8, (2, 4))
        group.ways |= peers.peers(group)
        return {row['name']: row for row in group.measure(1)}


def test_cascades_decide_alike_and_the_others_do_not(rows):
    same = {name for name, row in rows.items() if row['same_decisions']}
    assert {
        'mmcascade deferred',
        'mmcascade plain',
        'two offline passes',
        'scikit-fallback, per loader batch',
        'scikit-fallback, whole set in one call',
    } < same
    assert len(same) == 6 and set(rows) - same == {'larger member alone', 'full ensemble'}
    for row in rows.values():
        assert row['deferred'] == pytest.approx(0.2)
        assert row['units_per_s'] > 0 and row['share_of_limit'] > 0


def test_sessions_of_a_runtime_take_part_in_every_way(peers):
    pytest.importorskip('onnxruntime')
    data = Images([images(10, 32, seed=5), images(10, 40, seed=5)], [DataSample() for _ in range(10)])
    with torch.no_grad():
        group = peers.Group('tiny', [tiny('resnet', 0), tiny('mobilenet', 1)], data, 8, (4,), ('torch', 'onnxruntime'))
        group.ways |= peers.peers(group)
        rows = {row['name']: row for row in group.measure(1)}
    graphs = {name for name in rows if name.endswith(', onnxruntime')}
    assert {name.removesuffix(', onnxruntime') for name in graphs} == set(rows) - graphs


def test_the_threshold_lies_between_two_scores(peers):
    scores = torch.tensor([0.9, 0.1, 0.5, 0.3, 0.7])
    assert peers.threshold_for(scores, 0.4) == pytest.approx(0.4)
    assert peers.threshold_for(scores, 0.2) == pytest.approx(0.2)


@pytest.mark.parametrize('name', ['peers', 'peers_mirrored'])
def test_committed_results_compare_equal_decisions(name):
    content = json.loads((ROOT / 'benchmarks' / 'results' / f'{name}.json').read_text())
    assert content['schema'] == 1
    rows = {(row['group'], row['name']): row for row in content['rows']}
    for (_, way), row in rows.items():
        others = ('larger member alone', 'full ensemble', 'MMPretrain TTA')
        assert row['same_decisions'] == (way.partition(', onnxruntime')[0] not in others)
        assert {'units_per_s', 'share_of_limit', 'load_before', 'load_after'} <= set(row)
