# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from mmcascade.comparison.classification.claim import claim_intervals
from mmcascade.comparison.classification.table import claim_sentences


def intervals(ensemble):
    def constant(value):
        return lambda units: value

    policies = {name: [constant(value)] * 2 for name, value in (('cascade', 0.7), ('threshold', 0.6), ('random', 0.5))}
    return claim_intervals([constant(0.5)] * 2, ensemble, policies, 20, repeats=20)


def said(found):
    entry = {'half_width': 0.1, **{name: interval and asdict(interval) for name, interval in found.items()}}
    claim = json.loads(json.dumps({'macs_ratio': 1.2, 'by_half_width': [entry]}, allow_nan=False))
    return claim_sentences({'claim': claim})[1]


@pytest.mark.parametrize('ensemble', [lambda units: 0.5, lambda units: 0.6 if len(set(units)) < 20 else 0.4])
def test_an_ensemble_that_gains_nothing_has_no_share_to_retain(ensemble):
    found = intervals(ensemble)
    assert found['retained_gain'] is None
    assert found['window_minus_threshold'].estimate == pytest.approx(0.1)
    assert 'the ensemble gains nothing here' in said(found) and 'differs by 10.00 (10.00 to 10.00)' in said(found)


def test_draws_without_gain_are_left_out():
    found = intervals(lambda units: 0.9 if 0 in units else 0.4)
    assert asdict(found['retained_gain']) == pytest.approx(dict(estimate=0.5, low=0.5, high=0.5))
    assert np.isfinite(found['window_minus_random'].low)
    assert 'keeps 50 (50 to 50) % of what the ensemble gains' in said(found)
