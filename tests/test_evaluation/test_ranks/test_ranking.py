# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from mmcascade.evaluation.curves.ranking import ranking
from mmcascade.evaluation.curves.ranking.ranking import Ranking

SCORES = {
    'distinct': lambda rng, n: rng.random(n),
    'float32': lambda rng, n: rng.random(n, dtype=np.float32).astype(np.float64),
    'halves': lambda rng, n: rng.integers(0, n // 2, n) / 7,
    'few': lambda rng, n: rng.integers(0, 5, n) / 10,
    'few, in float32': lambda rng, n: rng.integers(0, 5, n) / 8,
    'few and many': lambda rng, n: np.where(rng.random(n) < 0.5, 0.25, rng.random(n)),
    'one': lambda rng, n: np.full(n, 0.3),
    'signs and infinity': lambda rng, n: np.r_[np.full(n // 3, -np.inf), rng.integers(-3, 4, n - n // 3) / 3],
}


@pytest.mark.parametrize('flags', [1, 2])
@pytest.mark.parametrize('kind', SCORES)
def test_blocks_join_to_the_counts_down_to_each_score(kind, flags, monkeypatch):
    """Against a comparison with every distinct score; blocks end within ties and between them."""
    monkeypatch.setattr(ranking, '_BLOCK', 64)
    rng = np.random.default_rng(0)
    scores = SCORES[kind](rng, 1000)
    given = [rng.random(1000) < 0.3 for _ in range(flags)]
    blocks = list(Ranking(scores, *given).blocks())
    distinct = np.unique(scores)[::-1]
    accepted = scores >= distinct[:, None]

    def joined(parts):
        for before, after in zip(parts, parts[1:], strict=False):
            assert before[-1] == after[0]
        assert parts[0][0] == 0
        return np.concatenate([part[1:] for part in parts]).tolist()

    assert np.concatenate([block.scores for block in blocks]).tolist() == distinct.tolist()
    assert joined([block.units for block in blocks]) == accepted.sum(1).tolist()
    assert {part.dtype for block in blocks for part in (block.units, *block.counts)} <= {np.dtype(np.int64)}
    for number, flag in enumerate(given):
        assert joined([block.counts[number] for block in blocks]) == (accepted & flag).sum(1).tolist()
