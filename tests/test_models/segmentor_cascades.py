# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades of tiny segmentors, and what they give."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from mmcascade.registry import MODELS
from tests.support.members.tiny_segmentors import batch, tiny

CLOSED, OPEN = (
    dict(type='mmcascade.WindowPolicy', windows=[None]),
    dict(type='mmcascade.WindowPolicy', windows=[(None, None)]),
)
TWO = (dict(member='a'), dict(member='b'))


#: Members that no test changes.
member_of = functools.cache(tiny)


def window(*windows):
    return dict(type='mmcascade.WindowPolicy', windows=list(windows))


def cascade(a, b=None, policy=OPEN, cell=32, margin=0, stages=TWO, **options):
    members = dict(a=member_of(a) if isinstance(a, str) else a)
    if b is not None:
        members['b'] = member_of(b, 1) if isinstance(b, str) else b
    grid = dict(cell=cell, margin=margin) if margin else dict(cell=cell)
    return MODELS.build(
        dict(
            type='mmcascade.CascadeSegmentor', members=members, stages=list(stages), grid=grid, policy=policy, **options
        )
    )


def run(model, data):
    with torch.no_grad():
        return model.test_step(data)


def labels(samples):
    return torch.stack([s.pred_sem_seg.data[0].long() for s in samples])


def assert_same_labels(found, probs, margin=1e-5):
    """Equal but for pixels at which two classes are equally probable."""
    ordered = np.sort(probs, axis=0)
    clear = ordered[-1] - ordered[-2] > margin
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found.numpy()[clear], probs.argmax(0)[clear])


def some_batches():
    """Loader batches of different sizes, flips and lengths."""
    shapes = [
        (2, (64, 96), {}),
        (1, (70, 101), {}),
        (3, (64, 96), {}),
        (1, (64, 96), dict(flip='horizontal')),
        (2, (64, 96), dict(ori=(50, 80))),
        (2, (70, 101), {}),
    ]
    first = 0
    for number, size, how in shapes:
        yield batch(number, *size, seed=first, first=first, **how)
        first += number


def facts(sample):
    return dict(
        exits=sample.cells.exit_stages.tolist(),
        confidence=sample.cells.confidence,
        macs=sample.macs,
        labels=sample.pred_sem_seg.data,
        boxes=sample.cells.bboxes.tolist(),
        reached=sample.reached,
    )


def assert_same_facts(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one['exits'] == other['exits']
        assert one['boxes'] == other['boxes'] and one['reached'] == other['reached']
        torch.testing.assert_close(one['confidence'], other['confidence'], rtol=1e-4, atol=1e-5, equal_nan=True)
        assert one['macs'] == pytest.approx(other['macs'])
        assert one['labels'].shape == other['labels'].shape
        assert (one['labels'] == other['labels']).float().mean() > 0.9995
