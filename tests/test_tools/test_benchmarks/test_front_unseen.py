# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""benchmarks/search/front_unseen.py judges each chain by what its own units get where they leave."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import StageOutput
from tests.support import ROOT

N, LOW = 200, 0.6


def stored(folder, logits, labels, macs):
    outputs = [
        StageOutput(logits=torch.from_numpy(values), macs=cost)
        for values, cost in zip(logits.values(), macs, strict=True)
    ]
    return ScoreStore.of_outputs(folder, [StageIdentity(name, 0, '') for name in logits], outputs, labels)


@pytest.fixture(scope='module')
def front_unseen():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'benchmarks' / 'search'))
        import front_unseen

        yield front_unseen


def test_each_chain_is_replayed_by_hand(front_unseen, tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=N)
    logits = {
        name: (skill * np.eye(3)[labels] + rng.normal(size=(N, 3))).astype(np.float32)
        for name, skill in (('a', 1), ('b', 2))
    }
    store = stored(tmp_path / 'store', logits, labels, (1e6, 3e6))
    (tmp_path / 'pareto.json').write_text(
        json.dumps({'points': [{'chain': ['a@0', 'b@0'], 'windows': [[None, LOW]], 'whole': {'accuracy': 0.5}}]})
    )
    rows = front_unseen.measure(tmp_path, store)
    probs = {name: torch.from_numpy(value).softmax(1).numpy() for name, value in logits.items()}
    right, cost = [], []
    for i in range(N):
        more = probs['a'][i].max() <= LOW
        fused = (probs['a'][i] + probs['b'][i]) / 2 if more else probs['a'][i]
        right.append(fused.argmax() == labels[i])
        cost.append(4e6 if more else 1e6)
    best = (probs['b'].argmax(1) == labels).mean()
    assert [row['chain'] for row in rows] == ['a', 'b', 'a > b']
    assert rows[2]['accuracy'] == pytest.approx(100 * np.mean(right))
    assert rows[2]['mmacs'] == pytest.approx(np.mean(cost) / 1e6)
    assert rows[2]['of_largest'] == pytest.approx(np.mean(cost) / 3e6)
    assert rows[2]['difference'] == pytest.approx(100 * (np.mean(right) - best))
    assert rows[2]['low'] < rows[2]['difference'] < rows[2]['high']
    assert rows[1]['difference'] == rows[1]['low'] == rows[1]['high'] == 0


def test_a_store_without_a_stage_of_the_front_is_named(front_unseen, tmp_path):
    (tmp_path / 'pareto.json').write_text(json.dumps({'points': [{'chain': ['c@0'], 'windows': []}]}))
    logits = np.zeros((4, 3), np.float32)
    store = stored(tmp_path / 'store', dict(a=logits), np.zeros(4, int), (1.0,))
    with pytest.raises(SystemExit, match='no scores of .*c@0'):
        front_unseen.measure(tmp_path, store)
