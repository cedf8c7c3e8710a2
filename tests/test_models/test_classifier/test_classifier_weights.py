# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Weights of a cascade go round, and a member without its own refuses to test."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict

from tests.support.members.tiny_models import images, tiny
from tests.test_models.test_classifier.cascades import STAGES, cascade, step


class TestWeights:
    def test_state_dict_goes_round_also_for_wrapping_classifiers(self, members):
        given = dict(resnet=members['resnet'], timm=tiny('timm', 5))
        stages = [dict(member='resnet'), dict(member='timm')]
        first = cascade(given, stages, [(None, None)])
        other = cascade(dict(resnet=tiny('resnet', 8), timm=tiny('timm', 9)), stages, [(None, None)])
        batch = [images(2, 64)]
        before = torch.stack([r.pred_score for r in step(other, batch)])
        other.load_state_dict(first.state_dict())
        want, got = (torch.stack([r.pred_score for r in step(m, batch)]) for m in (first, other))
        assert torch.equal(want, got)
        assert not torch.equal(before, got)

    @pytest.mark.parametrize('load', [lambda m, s: m.load_state_dict(s, strict=False), load_state_dict])
    def test_a_members_checkpoint_is_not_a_cascades(self, members, load):
        model = cascade(members, STAGES[:2], [(None, None)])
        with pytest.raises(RuntimeError, match='(?s)does not fit this cascade:.*missing.*bundle_checkpoint'):
            load(model, members['resnet'].state_dict())
        state = model.state_dict()
        state.pop('members.mobilenet.backbone.conv1.conv.weight')
        with pytest.raises(RuntimeError, match='1 missing from it: members.mobilenet.backbone.conv1.conv.weight'):
            load(model, state)
        state = model.state_dict()
        state['members.resnet.head.fc.bias'] = torch.zeros(3)
        state['members.extra.weight'] = torch.zeros(1)
        with pytest.raises(
            RuntimeError,
            match=r'(?s)unknown to the model: members.extra.weight.*'
            r'members.resnet.head.fc.bias of shape \[3\] instead of \[5\]',
        ):
            load(model, state)

    @pytest.mark.parametrize('load', [lambda m, s: m.load_state_dict(s), load_state_dict])
    def test_unloaded_members_refuse_to_test_until_a_bundle_comes(self, members, views, load):
        from tests.support.members.tiny_models import TINY

        model = cascade(
            dict(resnet=dict(model=TINY['resnet']), mobilenet=members['mobilenet']), STAGES[:2], [(None, None)]
        )
        with pytest.raises(RuntimeError, match=r"no weights were loaded for member\(s\) \['resnet'\].*checkpoint="):
            step(model, views)
        model.init_weights()
        whole = cascade(members, STAGES[:2], [(None, None)])
        load(model, whole.state_dict())
        assert torch.equal(
            torch.stack([r.pred_score for r in step(model, views)]),
            torch.stack([r.pred_score for r in step(whole, views)]),
        )
