# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CascadeSegmentor: what is accepted of an image and of its cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.models.cells.cell_records import cells_as_json
from mmcascade.routing.confidences.image_confidence import image_confidences
from tests.support.members.tiny_segmentors import batch, tiny
from tests.test_models.segmentor_cascades import OPEN, cascade, run, window


def slow_mean(sample):
    """By area, cell by cell, without cells of which no pixel counts."""
    area = total = 0.0
    for (x1, y1, x2, y2), score in zip(sample.cells.bboxes.tolist(), sample.cells.confidence.tolist(), strict=True):
        if not math.isnan(score):
            area += (x2 - x1) * (y2 - y1)
            total += (x2 - x1) * (y2 - y1) * score
    return total / area if area else -math.inf


@pytest.mark.parametrize('policy', [OPEN, window((None, 0.5))], ids=['everybody', 'some'])
def test_images_and_cells_have_thresholds_of_their_own(policy):
    a, b = tiny('fcn'), tiny('wide', 1)
    (plain,) = run(cascade(a, b, policy), batch())
    assert plain.confidence == pytest.approx(slow_mean(plain))
    assert 'accepted' not in plain and 'accepted' not in plain.cells
    scores = plain.cells.confidence
    middle = float(scores.double().quantile(0.5))
    for accept in (plain.confidence - 1e-6, plain.confidence + 1e-6):
        (found,) = run(cascade(a, b, policy, accept=accept, accept_cells=middle), batch())
        assert found.accepted is (accept <= plain.confidence)
        assert found.cells.accepted.tolist() == (scores.double() >= middle).tolist()
        assert [cell['accepted'] for cell in cells_as_json(found)] == found.cells.accepted.tolist()
    assert 'accepted' not in cells_as_json(plain)[0]


def test_cells_of_which_no_pixel_counts_are_left_out():
    confidence = dict(type='mmcascade.CellConfidence', t_unk=0.9999)
    (none,) = run(
        cascade(tiny('fcn'), tiny('wide', 1), OPEN, confidence=confidence, accept=0.0, accept_cells=0.0), batch()
    )
    assert none.cells.confidence.isnan().all()
    assert none.confidence == -math.inf and none.accepted is False and not none.cells.accepted.any()


def test_thresholds_are_checked():
    a, b = tiny('fcn'), tiny('wide', 1)
    for name in ('accept', 'accept_cells'):
        for value in (math.nan, math.inf, 'high'):
            with pytest.raises(ValueError, match=f'{name} is the lowest confidence that is accepted, a finite number'):
                cascade(a, b, OPEN, **{name: value})
    with pytest.raises(ValueError, match='a calibration gives the accept thresholds; leave accept_cells= out'):
        cascade(a, b, None, calibration='c.json', accept_cells=0.5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 9), st.sampled_from([0.1, 0.5, 0.9, math.nan, -math.inf])),
        min_size=1,
        max_size=12,
    )
)
def test_the_mean_is_by_area_and_image_by_image(cells):
    cells = sorted(cells, key=lambda cell: cell[0])
    group, area, score = (np.array(column) for column in zip(*cells, strict=True))
    found = image_confidences(score, area, group, 4)
    for image in range(4):
        here = [(a, s) for g, a, s in cells if g == image and not math.isnan(s)]
        slow = sum(a * s for a, s in here) / sum(a for a, _ in here) if here else -math.inf
        assert found[image] == pytest.approx(slow)
    assert torch.as_tensor(found).dtype == torch.float64
