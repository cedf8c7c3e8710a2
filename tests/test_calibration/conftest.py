# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A store whose cascades are searched."""

from __future__ import annotations

import pytest

from mmcascade.calibration.search.candidates import Candidates
from tests.support.stored.synthetic_scores import make_store, skilled_logits


@pytest.fixture(scope='module')
def candidates(tmp_path_factory):
    logits, labels = skilled_logits(640)
    return Candidates.from_stores([make_store(tmp_path_factory.mktemp('store'), logits, labels)])
