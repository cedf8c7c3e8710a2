# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmcascade.models.members.other_tasks import other_task
from mmcascade.models.runtimes.networks.class_outputs import class_output, classifier_gives_logits
from tests.test_models.member_kinds import (
    CLASSES,
    images,
    preprocessed,
    tiny_hugging_face,
    tiny_resnet,
    tiny_segmentor,
    tiny_timm,
    tiny_vit,
)

mmpretrain = pytest.importorskip('mmpretrain')

N = len(CLASSES)
CONFORMER = dict(type='Conformer', arch='tiny', patch_size=32)
_LINEAR = dict(type='LinearClsHead', num_classes=N)


def with_backbone(backbone: dict, channels: int, neck: bool = True, **head: object) -> dict:
    config = tiny_resnet(backbone=backbone, head=_LINEAR | dict(in_channels=channels) | head)
    return config if neck else {key: value for key, value in config.items() if key != 'neck'}


CLASSIFIERS = {
    'resnet': tiny_resnet,
    'mobilenet': lambda: with_backbone(dict(type='MobileNetV2', widen_factor=0.1), 1280),
    'mobilenet v3, stacked head': lambda: with_backbone(
        dict(type='MobileNetV3', arch='small_050'),
        288,
        type='StackedLinearClsHead',
        mid_channels=[16],
        act_cfg=dict(type='HSwish'),
    ),
    'efficientnet': lambda: with_backbone(dict(type='EfficientNet', arch='b0'), 1280),
    'vit': tiny_vit,
    'deit, distilled': lambda: tiny_vit('DeiTClsHead', type='DistilledVisionTransformer'),
    'convnext': lambda: with_backbone(
        dict(type='ConvNeXt', arch=dict(depths=[1, 1, 1, 1], channels=[4, 8, 12, 16])), 16, neck=False
    ),
    'conformer': lambda: with_backbone(CONFORMER, 0, neck=False, type='ConformerHead', in_channels=[256, 384]),
    'levit': lambda: with_backbone(
        dict(type='LeViT', arch='128s', img_size=64, patch_size=16, out_indices=(2,)),
        384,
        type='LeViTClsHead',
        distillation=True,
    ),
    'arcface': lambda: with_backbone(tiny_resnet()['backbone'], 64, type='ArcFaceClsHead'),
    'timm': tiny_timm,
}


def build(config: dict) -> nn.Module:
    return MODELS.build(config).eval()


@pytest.fixture(params=[*CLASSIFIERS, 'hugging face'])
def classifier(request, tmp_path) -> nn.Module:
    torch.manual_seed(1)
    if request.param == 'hugging face':
        return build(tiny_hugging_face(tmp_path))
    return build(CLASSIFIERS[request.param]())


@torch.no_grad()
def test_softmax_is_the_librarys_prediction(classifier):
    inputs = preprocessed(classifier, images())
    output = class_output(classifier, inputs)
    expected = torch.stack([s.pred_score for s in classifier(inputs, mode='predict')])
    assert classifier_gives_logits(classifier)
    assert output.logits.shape == (3, N) and output.logits.dtype == torch.float32
    assert output.logits.std() > 0
    assert torch.equal(output.logits.softmax(1), expected)


@torch.no_grad()
def test_on_tensors_without_data(classifier, fake_cuda):
    classifier.to('cuda').eval()  # LeViT and TinyViT gather their biases in eval()
    output = class_output(classifier, torch.empty(4, 3, 64, 64, device='cuda'))
    assert output.logits.shape == (4, N)
    assert output.logits.device.type == 'cuda'


@torch.no_grad()
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_at_least_float32(dtype):
    module = build(tiny_resnet()).to(dtype)
    output = class_output(module, torch.rand(2, 3, 64, 64, dtype=dtype))
    assert output.logits.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@torch.no_grad()
def test_autocast_gives_float32():
    module = build(tiny_resnet())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert class_output(module, torch.rand(2, 3, 64, 64)).logits.dtype == torch.float32


class Sharpened(nn.Module):
    """Mixed into a head or model: predicts something else than the softmax of its scores."""

    def _get_predictions(self, scores, data_samples=None):
        return super()._get_predictions(2 * scores, data_samples)


@torch.no_grad()
@pytest.mark.parametrize('config', [tiny_resnet, tiny_timm])
def test_an_overridden_prediction_counts(config):
    module = build(config())
    part = getattr(module, 'head', module)
    part.__class__ = type('Changed', (Sharpened, type(part)), {})
    inputs = preprocessed(module, images())
    output = class_output(module, inputs)
    assert not classifier_gives_logits(module)
    assert output.logits is None
    assert torch.equal(output.probabilities, (2 * module(inputs)).softmax(1))
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert class_output(module, torch.empty(2, 3, 64, 64)).probabilities.shape == (2, N)


@torch.no_grad()
def test_an_overridden_predict_counts():
    module = build(tiny_resnet())
    module.__class__ = type(
        'Changed',
        (type(module),),
        dict(
            predict=lambda self, inputs, data_samples=None: [
                mmpretrain.structures.DataSample().set_pred_score(torch.ones(N) / N) for _ in inputs
            ]
        ),
    )
    assert not classifier_gives_logits(module)
    output = class_output(module, preprocessed(module, images()))
    assert torch.equal(output.probabilities, torch.full((3, N), 1 / N))


def test_a_plain_module_gives_logits():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, N))
    inputs = torch.rand(2, 3, 2, 2)
    assert classifier_gives_logits(module)
    assert torch.equal(class_output(module, inputs).logits, module(inputs))


@pytest.mark.parametrize(
    'module, message',
    [
        (nn.Identity(), r'Identity gave a Tensor of shape \(2, 3, 2, 2\), expected'),
        (nn.Flatten(0), r'Flatten gave a Tensor of shape \(24,\)'),
    ],
)
def test_no_class_scores(module, message):
    with pytest.raises(TypeError, match=message):
        class_output(module, torch.rand(2, 3, 2, 2))


HEADS_OF_OTHER_TASKS = {
    'MultiLabelClsHead': dict(),
    'MultiLabelLinearClsHead': dict(num_classes=N, in_channels=64),
    'CSRAClsHead': dict(num_classes=N, in_channels=64, num_heads=1, lam=0.1),
    'MultiTaskHead': dict(task_heads=dict(a=dict(type='LinearClsHead', num_classes=2)), in_channels=64),
    'LinearRegressionHead': dict(num_classes=1, in_channels=64),
}


@pytest.mark.parametrize('head', HEADS_OF_OTHER_TASKS)
def test_other_tasks(head):
    if not hasattr(mmpretrain.models.heads, head) and head != 'LinearRegressionHead':
        raise AssertionError(f'{head} is gone')
    if head == 'LinearRegressionHead' and not hasattr(mmpretrain.models.heads, 'RegressionHead'):
        pytest.skip('this MMPretrain has no regression')
    module = build(tiny_resnet(head=dict(type=head) | HEADS_OF_OTHER_TASKS[head]))
    assert other_task(module).startswith(head)


def test_no_head():
    assert 'has no head' in other_task(build(tiny_resnet(head=None)))


def test_classifiers_are_no_other_task(classifier):
    assert other_task(classifier) is None


def test_segmentors_are_no_other_task():
    pytest.importorskip('mmseg.models')
    assert other_task(build(tiny_segmentor(pretrained=None))) is None
