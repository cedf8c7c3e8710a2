# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Recognisers of MMAction2: refused with a way round where it cannot be imported, members where it can.

It cannot be installed beside the other libraries, so a package with its interface stands in for it.
"""

from __future__ import annotations

import importlib
import re
import sys

import pytest
import torch
from mmengine.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

from mmcascade import WindowCascadeClassifier
from mmcascade.models.members.members import build_member
from mmcascade.models.members.networks.mmaction_network import needs_mmaction
from mmcascade.routing import WindowPolicy
from tests.support.members.tiny_clips import clips

REGISTRY = """
from mmengine.registry import MODELS as ALL, Registry

MODELS = Registry('model', parent=ALL, locations=['mmaction.models'], scope='mmaction')
"""

# What mmaction 1.2.0 has of these names, as far as a test of a recogniser goes through it.
RECOGNIZERS = """
import torch
from mmaction.registry import MODELS
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import nn


@MODELS.register_module()
class ActionDataPreprocessor(BaseDataPreprocessor):
    def __init__(self, mean, std, to_rgb=False, format_shape='NCHW'):
        super().__init__()
        self.format_shape, self.to_rgb = format_shape, to_rgb
        shape = (-1, 1, 1) if format_shape == 'NCHW' else (-1, 1, 1, 1)
        self.register_buffer('mean', torch.tensor(mean).view(shape), False)
        self.register_buffer('std', torch.tensor(std).view(shape), False)

    def forward(self, data, training=False):
        data = self.cast_data(data)
        rows = torch.stack(data['inputs']).float()
        data['inputs'] = (rows - self.mean) / self.std
        return data


@MODELS.register_module()
class TinyNet(nn.Module):
    def __init__(self, dims):
        super().__init__()
        conv = nn.Conv3d if dims == 3 else nn.Conv2d
        self.conv = conv(3, 6, 3, 2, 1)

    def forward(self, x):
        return self.conv(x).relu()


@MODELS.register_module()
class TinyHead(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.num_classes, self.fc_cls = num_classes, nn.Linear(6, num_classes)

    def forward(self, x, num_segs=None, **kwargs):
        x = x.flatten(2).mean(2)
        return self.fc_cls(x if num_segs is None else x.view(-1, num_segs, x.shape[1]).mean(1))


class BaseRecognizer(BaseModel):
    def __init__(self, backbone, cls_head=None, data_preprocessor=None, train_cfg=None, test_cfg=None):
        super().__init__(data_preprocessor=data_preprocessor)
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self.backbone = MODELS.build(backbone)
        if cls_head is not None:
            self.cls_head = MODELS.build(cls_head)

    def forward(self, inputs, data_samples=None, mode='tensor', **kwargs):
        assert mode == 'tensor'
        return self.extract_feat(inputs, **kwargs)


@MODELS.register_module()
class Recognizer3D(BaseRecognizer):
    def extract_feat(self, inputs, stage='neck', data_samples=None, test_mode=False):
        x, kwargs = self.backbone(inputs.view((-1, *inputs.shape[2:]))), {}
        if test_mode:  # whatever the stage is
            if self.test_cfg is not None:
                kwargs['fcn_test'] = self.test_cfg.get('fcn_test', False)
                assert not self.test_cfg.get('max_testing_views') or len(inputs) == 1
            return x, kwargs
        return (self.cls_head(x) if stage == 'head' else x), kwargs


@MODELS.register_module()
class Recognizer2D(BaseRecognizer):
    def extract_feat(self, inputs, stage='neck', data_samples=None, test_mode=False):
        kwargs = dict(num_segs=inputs.shape[1])
        x = self.backbone(inputs.view((-1, *inputs.shape[2:])))
        return (self.cls_head(x, **kwargs) if stage == 'head' else x), kwargs
"""


def recognizer(dims=3, **changes):
    shape = 'NCTHW' if dims == 3 else 'NCHW'
    return dict(
        type=f'mmaction.Recognizer{dims}D',
        backbone=dict(type='TinyNet', dims=dims),
        cls_head=dict(type='TinyHead', num_classes=4),
        test_cfg=dict(max_testing_views=4),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', mean=[110.0, 90.0, 70.0], std=[60.0, 50.0, 40.0], format_shape=shape
        ),
        **changes,
    )


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A folder with a package ``mmaction`` that can be imported; its ``__init__.py`` is there to be changed."""
    package = tmp_path / 'mmaction'
    (package / 'models').mkdir(parents=True)
    (package / '__init__.py').write_text("__version__ = '1.2.0'\n")
    (package / 'registry.py').write_text(REGISTRY)
    (package / 'models' / '__init__.py').write_text(RECOGNIZERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield package
    for name in [name for name in sys.modules if name.partition('.')[0] == 'mmaction']:
        del sys.modules[name]
    MODELS._children.pop('mmaction', None)


def test_configs_that_need_it_are_known():
    assert needs_mmaction(recognizer()) == 'mmaction.Recognizer3D'
    assert needs_mmaction(dict(type='Recognizer2D', _scope_='mmaction')) == 'Recognizer2D'
    nested = dict(type='ImageClassifier', head=dict(parts=[dict(type='mmaction.I3DHead')]))
    assert needs_mmaction(nested) == 'mmaction.I3DHead'
    assert needs_mmaction(dict(type='mmcascade.X3D', layers=(1, 2))) is None


WAYS = ('mmcascade.X3D', 'torchvision/r2plus1d_18', 'hf-hub:ORG/NAME', 'module of your own')


def test_without_it_the_error_says_what_is_missing_and_what_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmaction', None)
    with pytest.raises(ValueError, match=r"member 'net' needs MMAction2 for its mmaction\.Recognizer3D") as raised:
        build_member('net', recognizer())
    said = str(raised.value)
    assert 'mmcv before 2.2' in said and all(way in said for way in WAYS) and 'KeyError' not in said
    # As one of its own config files has it.
    (tmp_path / 'tsn.py').write_text("default_scope = 'mmaction'\nmodel = dict(type='Recognizer2D')\n")
    with pytest.raises(ValueError, match=r"member 'net' needs MMAction2 for its Recognizer2D"):
        build_member('net', tmp_path / 'tsn.py')


@pytest.mark.parametrize(
    ('where', 'content', 'reason'),
    [
        (
            '__init__.py',
            "assert False, 'MMCV==2.3.0 is used'\n",
            'AssertionError: MMCV==2.3.0',
        ),
        ('models/__init__.py', 'from mmaction.models.localizers import drn\n', "No module named 'mmaction.models.lo"),
    ],
)
def test_one_that_cannot_be_imported_is_refused_with_its_own_reason(stand_in, where, content, reason):
    (stand_in / where).write_text(content)
    with pytest.raises(ValueError, match=f'that cannot be imported here .*{re.escape(reason)}') as raised:
        build_member('net', recognizer())
    assert all(way in str(raised.value) for way in WAYS)


@torch.no_grad()
@pytest.mark.parametrize('dims', [3, 2])
def test_its_recognisers_are_members_where_it_can_be_imported(stand_in, tmp_path, dims):
    torch.manual_seed(0)
    random = build_member('net', recognizer(dims)).module.network.state_dict()
    weights = {name: torch.randn_like(value) for name, value in random.items()}
    torch.save(dict(state_dict=weights), tmp_path / 'net.pth')
    member = build_member('net', recognizer(dims), tmp_path / 'net.pth')
    assert member.loaded and member.num_classes == 4
    batch = clips(5, 4, 16)
    # By hand, clip by clip.
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ([110.0, 90.0, 70.0], [60.0, 50.0, 40.0]))
    net, each = member.module.network, []
    for clip in (batch - mean) / std:
        if dims == 3:
            each.append(net.cls_head.fc_cls(net.backbone(clip.transpose(0, 1)[None]).mean((2, 3, 4)))[0])
        else:
            each.append(net.cls_head.fc_cls(net.backbone(clip).mean((2, 3)).mean(0)))
    torch.testing.assert_close(member.module(batch), torch.stack(each), rtol=1e-4, atol=1e-4)
    model = WindowCascadeClassifier(
        members=dict(net=dict(model=member.module)),
        stages=[dict(member='net', frames=2), dict(member='net')],
        policy=WindowPolicy([(None, None)]),
        fusion='replace',
    )
    model.router.route([batch[:1]])  # counting is not counted
    with FlopCounterMode(display=False) as counter:
        outcome = model.router.route([batch])
    torch.testing.assert_close(outcome.probs, torch.stack(each).softmax(1), rtol=1e-4, atol=1e-5)
    assert outcome.macs.sum() * 2 == counter.get_total_flops()


def test_recognisers_of_something_else_than_clips_are_refused(stand_in):
    wrong = recognizer()
    del wrong['cls_head']
    with pytest.raises(ValueError, match='has no cls_head'):
        build_member('net', wrong)
    wrong = recognizer()
    wrong['data_preprocessor']['format_shape'] = 'NCTVM'
    with pytest.raises(ValueError, match="format_shape='NCHW'"):
        build_member('net', wrong)
