# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What comes out of a cascade of classifiers, and where its tensors are."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcascade.models.stages.views.batch_views import as_views
from mmcascade.registry import MODELS
from mmcascade.routing import Outcome
from tests.support.members.tiny_models import CLASSES, images
from tests.test_models.test_classifier.cascades import STAGES, N, cascade, samples, step


def test_results_are_written_once_into_the_incoming_samples(members, views):
    accept = float(np.median([r.confidence for r in step(cascade(members, STAGES[:2], [(None, None)]), views)]))
    model = cascade(members, STAGES[:2], [(None, None)], accept=accept)
    given = samples()
    results = step(model, views, given)
    assert all(a is b for a, b in zip(results, given, strict=True))
    for sample in results:
        assert sample.gt_label is not None
        assert isinstance(sample.confidence, float)
        assert isinstance(sample.macs, float)
        assert isinstance(sample.exit_stage, int)
        assert sample.accepted == (sample.confidence >= accept)
        assert sample.confidence == sample.pred_score.max()
        assert sample.num_stages == 2
    assert 0 < sum(s.accepted for s in results) < N
    # Accept thresholds are scores of units, and who has that very score is accepted.
    worst, *_ = sorted(results, key=lambda sample: sample.confidence)
    at_the_bound = step(cascade(members, STAGES[:2], [(None, None)], accept=worst.confidence), views)
    assert all(sample.accepted for sample in at_the_bound)
    plain = step(cascade(members, STAGES[:1]), views)
    assert 'accepted' not in plain[0]


def test_results_are_read_from_one_copy_on_the_host(members, views, monkeypatch):
    model = cascade(members, STAGES[:2], [(None, None)], accept=0.5)
    here = model.router.route(views)
    away = replace(
        here,
        results={'probs': here.probs.to('meta')},
        confidence=here.confidence.to('meta'),
        finite_stages=here.finite_stages.to('meta'),
    )
    copies = []
    monkeypatch.setattr(Outcome, 'cpu', lambda self: copies.append(self) or here)
    written = samples()
    model.write_results(away, written)
    assert len(copies) == 1 and copies[0] is away
    assert torch.equal(torch.stack([sample.pred_score for sample in written]), here.probs)
    assert [sample.finite_stages for sample in written] == here.finite_stages.tolist()


def test_a_sample_can_be_pickled_without_its_batch(members, views):
    results = step(cascade(members, STAGES[:1]), views)
    assert results[0].pred_score.untyped_storage().nbytes() == 4 * CLASSES


def test_plain_modules_get_their_images_on_their_device(fake_cuda):
    with torch.device('cuda'):
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, CLASSES))
    model = MODELS.build(
        dict(type='mmcascade.WindowCascadeClassifier', members=dict(plain=module), stages=[dict(member='plain')])
    )
    assert model(torch.zeros(2, 3, 2, 2)).device.type == 'cuda'


def test_identity_sees_what_is_in_no_state_dict(members):
    stages = STAGES[:2]
    before = cascade(members, stages).identity()
    assert cascade(members, stages).identity() == before
    changed = copy.deepcopy(members)
    changed['resnet'].data_preprocessor.mean += 1
    assert cascade(changed, stages).identity() != before
    changed = copy.deepcopy(members)
    changed['resnet'].data_preprocessor.to_rgb = False
    assert cascade(changed, stages).identity() != before


def test_forward_modes(members, views):
    model = cascade(members, STAGES[:2], [(None, None)])
    results = model.val_step(dict(inputs=views, data_samples=samples()))
    scores = torch.stack([r.pred_score for r in results])
    torch.testing.assert_close(model(views).softmax(1), scores)
    assert torch.equal(torch.stack([r.pred_score for r in model(views, mode='predict')]), scores)
    with pytest.raises(RuntimeError, match='no loss.*trained one by one'):
        model(views, mode='loss')
    with pytest.raises(ValueError, match="unknown mode 'train'"):
        model(views, mode='train')
    assert model.test_step(dict(inputs=[v[:0] for v in views], data_samples=[])) == []


def test_views_in_every_form_that_collate_functions_make():
    view = images(3)
    for given in (view, [view], list(view), [list(view)], (view,)):
        assert [v.shape for v in as_views(given)] == [view.shape]
        assert torch.equal(as_views(given)[0], view)
    assert len(as_views([view, images(3, 40)])) == 2
    with pytest.raises(ValueError, match=r'different shapes \[\(3, 32, 32\), \(3, 40, 40\)\]'):
        as_views([images(1)[0], images(1, 40)[0]])


def test_autocast_gives_float32_scores(members, views):
    model = cascade(members, STAGES[:2], [(None, None)])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        results = step(model, views)
    assert results[0].pred_score.dtype == torch.float32
    values = np.array([r.confidence for r in results], dtype=np.float32)
    bits = values.view(np.uint32)
    assert (bits & 0xFFFF).any(), 'bfloat16 scores would have an empty lower half'


@pytest.fixture
def fresh_members(members):
    return copy.deepcopy(members)


def test_the_step_runs_on_fake_cuda(fresh_members, views, fake_cuda, monkeypatch):
    """Every tensor is where its partner is, on a machine without a GPU."""
    from mmcascade.routing import router

    model = cascade(fresh_members, STAGES, [(0.2, 0.9)] * 3).to('cuda')
    monkeypatch.setattr(router, 'rows_where', lambda mask: list(range(len(mask)))[1::2])
    inputs = [torch.empty(v.shape, dtype=v.dtype) for v in views]
    fused = model(inputs)
    assert fused.device.type == 'cuda'
    assert fused.shape == (N, CLASSES)
    outcomes = []
    monkeypatch.setattr(model, 'write_results', lambda outcome, samples: outcomes.append(outcome))
    model.test_step(dict(inputs=inputs))
    assert outcomes[0].confidence.device.type == outcomes[0].finite_stages.device.type == 'cuda'
    assert np.bincount(outcomes[0].exit_stage).tolist() == [12, 6, 3, 3]
