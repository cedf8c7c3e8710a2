# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whole cascades go through pickle, ``torch.save`` and to other processes, and decide as before."""

from __future__ import annotations

import io
import multiprocessing
import pickle

import pytest
import torch

from mmcascade import Cascade
from tests.support.members.tiny_exits import TinyExits
from tests.support.members.tiny_models import images, tiny
from tests.test_models.test_classifier.cascades import cascade, step
from tests.test_models.test_exits.test_going_on import cascade as exit_cascade
from tests.test_models.test_exits.test_going_on import chained
from tests.test_models.test_stages.test_every_stage.kinds import Plain

WINDOW = (None, 0.6)


def classifiers():
    members = dict(resnet=tiny('resnet'), vit=tiny('vit', 2))
    stages = [dict(member='resnet', view=0), dict(member='vit', view=1)]
    return cascade(members, stages, [WINDOW]), lambda model: step(model, [images(9, 32), images(9, 40)])


def exits():
    return exit_cascade(chained([0, 1, 3]), [(None, 0.8)] * 2), lambda model: step(model, [images(9)])


def segmentors():
    pytest.importorskip('mmseg')
    from tests.support.members.tiny_segmentors import batch, tiny
    from tests.test_models import segmentor_cascades as made

    stages = dict(member='a'), dict(member='b', join='rectangles', fallback='image')
    model = made.cascade(tiny('fcn'), tiny('wide', 1), made.window((None, 0.7)), margin=4, stages=stages)
    return model, lambda model: made.run(model, batch(2, 64, 96))


KINDS = [classifiers, exits, segmentors]


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def told(samples):
    """What is decided of each image, and what that cost; of segmented images the cells'."""
    return [
        (sample.cells.exit_stages.tolist(), sample.macs, sample.pred_sem_seg.data.tolist())
        if 'cells' in sample
        else (sample.exit_stage, sample.macs, sample.pred_score.tolist())
        for sample in samples
    ]


@pytest.mark.parametrize('copied', [pickled, saved])
@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_a_copy_decides_and_charges_as_the_cascade(kind, copied):
    model, decide = kind()
    fresh = copied(model)
    expected = told(decide(model))
    used = copied(model)
    assert told(decide(fresh)) == expected == told(decide(used))
    assert len({str(exit) for exit, *_ in expected}) > 1
    assert fresh.identity() == used.identity() == model.identity()


@pytest.fixture(scope='module')
def in_python():
    batch = images(40)
    with torch.no_grad():
        labels = TinyExits()(batch).argmax(1)
    return Cascade([Plain(), TinyExits(seed=1), TinyExits()]).calibrate([(batch, labels)], 'deferred=0.5')


def decisions(model, batch):
    return [(d.label, d.exit_stage, d.macs, d.accepted) for d in model.predict(batch)]


def test_a_calibrated_cascade_of_modules(in_python):
    expected = decisions(in_python, images(12, seed=5))
    assert len({exit for _, exit, *_ in expected}) > 1
    for copied in (pickled, saved):
        assert decisions(copied(in_python), images(12, seed=5)) == expected


@pytest.mark.slow
def test_another_process_decides_as_this_one(in_python):
    batch = images(12, seed=5)
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        assert pool.apply(decisions, (in_python, batch)) == decisions(in_python, batch)
