# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Configs for clips: they build, their stages take the clips of the pipeline, and cost what is published."""

from __future__ import annotations

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.models.members.members import build_member
from mmcascade.models.members.recipes.recipe import NormalizedNetwork, Recipe
from mmcascade.registry import MODELS
from mmcascade.routing import MacCounter
from mmcascade.routing.units.sources import ViewRows
from tests.support import ROOT

FOLDER = ROOT / 'configs' / 'clips'
NAMES = sorted(path.name for path in FOLDER.glob('*.py'))
CLIPS = torch.zeros(1, 16, 3, 224, 224, dtype=torch.uint8)


def without_weights(member):
    """A member of a config with random weights, those of Hugging Face from what is published of their shapes."""
    if not str(member.model).startswith('hf-hub:'):
        return dict(member, checkpoint=None)
    transformers = pytest.importorskip('transformers')
    kind, options = ('Timesformer', dict(num_frames=8)) if 'timesformer' in member.model else ('VideoMAE', {})
    config = getattr(transformers, f'{kind}Config')(num_labels=400, **options)
    with torch.device('meta'):  # only its multiply-adds are asked for, whatever its weights are
        network = getattr(transformers, f'{kind}ForVideoClassification')(config)
    network.to_empty(device='cpu')
    recipe = Recipe((), (123.7,) * 3, (58.4,) * 3, clip='NTCHW')
    return dict(model=NormalizedNetwork(network, recipe, 400).eval())


def costs(name):
    """Multiply-adds of each stage of a config in billions, on the clips of its pipeline."""
    cfg = Config.fromfile(FOLDER / name)
    init_default_scope(cfg.default_scope)
    cfg.model.members = {key: without_weights(member) for key, member in cfg.model.members.items()}
    model = MODELS.build(cfg.model)
    probes = [stage.probes([ViewRows([CLIPS])])[0] for stage in model.stages]
    return [stage.counted(probe) / 1e9 for stage, probe in zip(model.stages, probes, strict=True)], probes


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'shapes', 'published'),
    [
        # Feichtenhofer 2020, table 4.
        ('x3d.py', [(13, 3, 160, 160), (16, 3, 224, 224)], [1.96, 4.73]),
        # Bertasius et al. 2021, table 2 (0.59 T for three crops); Tong et al. 2022, table 6.
        ('videomae.py', [(8, 3, 224, 224), (16, 3, 224, 224)], [590 / 3, 180]),
        # torchvision's table of weights; strides leave more than a quarter of the work with a quarter of the frames.
        ('self_cascade.py', [(4, 3, 112, 112), (16, 3, 112, 112)], [10.65, 40.52]),
    ],
)
def test_stages_see_their_clips_and_cost_what_is_published(name, shapes, published):
    found, probes = costs(name)
    assert [tuple(probe.shape[1:]) for probe in probes] == shapes
    assert found == pytest.approx(published, rel=0.02)
    (row,) = re.findall(rf'^\| `{name}` .*\| ([\d., ]+) \|$', (FOLDER / 'README.md').read_text(), re.MULTILINE)
    assert [float(number) for number in row.split(',')] == pytest.approx(found, rel=0.005)


def x3d():
    return Config.fromfile(FOLDER / 'x3d.py').x3d


def test_x3d_is_the_published_network():
    """As MMAction2's model zoo lists it; and what is counted is what a counter of operations sees."""
    member = build_member('s', x3d())
    assert sum(p.numel() for p in member.module.parameters()) == 3_794_322
    assert member.num_classes == 400
    clips = torch.zeros(1, 4, 3, 64, 64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert member.module(clips).shape == (1, 400)
    macs = MacCounter(lambda module, images: module(images), member.module)(clips)
    assert macs * 2 == counter.get_total_flops()


def test_weights_of_mmaction2_load_strictly(tmp_path):
    published = {
        f'cls_head.{key.removeprefix("head.")}' if key.startswith('head.') else key: torch.randn_like(value.float())
        for key, value in build_member('s', x3d()).module.state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    torch.save(dict(state_dict=published), tmp_path / 'x3d.pth')
    member = build_member('s', x3d(), str(tmp_path / 'x3d.pth'))
    assert member.loaded
    assert torch.equal(member.module.head.fc2.weight, published['cls_head.fc2.weight'])
    assert {'backbone.conv1_s.conv.weight', 'backbone.layer2.0.se_module.fc1.bias', 'cls_head.fc1.weight'} <= set(
        published
    )


def test_the_page_lists_the_configs():
    listed = re.findall(r'^\| `(\w+\.py)`', (FOLDER / 'README.md').read_text(), re.MULTILINE)
    assert sorted(listed) == NAMES
