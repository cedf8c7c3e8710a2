# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade in Python: the same windows, decisions and figures as by the parts underneath."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from mmcascade import CalibrationRequest, Cascade, WindowPolicy
from mmcascade.apis.cascade_inputs import MemberViews
from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.predict.deciders.model_decider import ModelDecider
from mmcascade.routing import CachedStage
from tests.support.projects.labelled_folder import write_images, write_members
from tests.support.projects.tiny_project import NAMES
from tests.support.references.loop_cascade import loop_cascade

CLASSES = 3


def units(n, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=generator)
    noise = torch.randn(n, CLASSES, generator=generator)
    return x, (4 * x[:, :CLASSES] + noise).argmax(1)


def modules():
    """A small and a large network of different skill."""
    torch.manual_seed(0)
    small, large = nn.Linear(8, CLASSES), nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    x, y = units(2000, 1)
    for network, steps in ((small, 30), (large, 120)):
        optimizer = torch.optim.Adam(network.parameters(), 0.02)
        for _ in range(steps):
            loss = nn.functional.cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return small, large


def batches(n, seed, size=64):
    x, y = units(n, seed)
    return list(zip(x.split(size), y.split(size), strict=True))


@pytest.fixture(scope='module')
def cascade():
    return Cascade(modules(), classes='abc').calibrate(batches(600, 2), target='risk=0.1')


def test_windows_and_decisions_are_those_of_the_parts(cascade):
    small, large = modules()
    x, y = units(600, 2)
    soft = cascade.calibration.temperatures
    with torch.no_grad():
        stages = [
            CachedStage(network(x), macs=macs, temperature=temperature)
            for network, macs, temperature in zip((small, large), (24.0, 704.0), soft, strict=True)
        ]
    evidence = Evidence.of_stages(stages, y.numpy(), cascade.identity())
    expected = fit(evidence, CalibrationRequest('risk=0.1'))
    assert np.allclose(cascade.calibration.windows[0], expected.windows[0], atol=1e-6)
    x, _ = units(50, 3)
    with torch.no_grad():
        rows = loop_cascade([small(x).numpy() / soft[0], large(x).numpy() / soft[1]], cascade.calibration.windows)
    found = cascade.predict(x)
    assert {decision.exit_stage for decision in found} == {0, 1}
    for decision, row in zip(found, rows, strict=True):
        assert (decision.label, decision.exit_stage) == (row['label'], row['exit_stage'])
        assert decision.class_name == 'abc'[decision.label]
        assert decision.confidence == pytest.approx(row['confidence'], abs=1e-5)
        assert decision.accepted == (decision.confidence >= cascade.calibration.accept)
        assert decision.macs == (24.0 if decision.exit_stage == 0 else 728.0)


def test_the_evaluation_is_that_of_the_decisions(cascade):
    loader = batches(500, 4)
    evaluation = cascade.evaluate(loader)
    decisions = [decision for x, _ in loader for decision in cascade.predict(x)]
    labels = torch.cat([y for _, y in loader]).tolist()
    right = [decision.label == label for decision, label in zip(decisions, labels, strict=True)]
    standing = evaluation.standings['cascade']
    assert standing.accuracy.estimate == pytest.approx(np.mean(right))
    assert standing.cost == pytest.approx(np.mean([decision.macs for decision in decisions]))
    assert evaluation.standings.names == ['member-1', 'member-2', 'ensemble', 'cascade']
    assert 'coverage at 10 % risk' in evaluation.verdict()
    assert 'cascade' in evaluation.table().as_text(80)


def test_saved_and_loaded(cascade, tmp_path):
    cascade.save(tmp_path)
    torch.manual_seed(5)
    small = nn.Linear(8, CLASSES)
    large = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    with pytest.raises(ValueError, match="the members .'member-2'. were modules.*Cascade.load"):
        Cascade.load(tmp_path, {'member-1': small})
    again = Cascade.load(tmp_path, {'member-1': small, 'member-2': large})
    x, _ = units(20, 6)
    for one, other in zip(cascade.predict(x), again.predict(x), strict=True):
        assert one.to_json() == other.to_json()


def test_as_many_names_as_classes():
    with pytest.raises(ValueError, match='the members tell 3 classes apart, and classes= names 2'):
        Cascade(modules(), classes=['a', 'b']).calibrate(batches(64, 2), target='risk=0.5')


def test_a_promise(cascade):
    certified = Cascade(modules()).calibrate(batches(2000, 7), target='risk=0.2', certify=0.1)
    assert certified.calibration.guarantee.delta == 0.1
    assert certified.predict(units(1, 0)[0])[0].class_name is None
    nothing = Cascade(modules()).calibrate(batches(600, 7), target='risk=0.1', certify=1e-100)
    assert nothing.calibration.accept is None and nothing.calibration.accepts_from == np.inf
    assert not any(decision.accepted for decision in nothing.predict(units(50, 3)[0]))


def test_names_of_other_libraries_bring_their_preprocessing(tmp_path, monkeypatch):
    """Pictures of any size, each as timm would prepare it; weights are not fetched here."""
    create = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda name, pretrained, num_classes=None: create(name, num_classes=5))
    torch.manual_seed(0)
    cascade = Cascade(['timm/test_resnet', 'timm/test_resnet'])
    generator = np.random.default_rng(0)
    pictures = [Image.fromarray(generator.integers(256, size=(40 + k, 60, 3), dtype=np.uint8)) for k in range(12)]
    pictures[0].save(tmp_path / 'picture.png')
    cascade.calibrate([(pictures, [k % 5 for k in range(12)])], target='coverage=0.5')
    first, again = cascade.predict([pictures[0], tmp_path / 'picture.png'])
    assert first.confidence == pytest.approx(again.confidence, abs=1e-6) and cascade.members[1] == 'test_resnet-2'
    config = timm.data.resolve_model_data_config(cascade.stages[0].module.network)
    with torch.no_grad():
        rows = timm.data.create_transform(**config)(pictures[0])[None]
        expected = cascade.stages[0].module.network(rows).softmax(1).max()
    alone = cascade._router
    alone.policy = WindowPolicy([None])
    alone.restart()
    assert cascade.predict(pictures[:1])[0].confidence == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize(
    'members, loader, target, message',
    [
        ([nn.Linear(1, 2)], [], 'risk=0.1', 'two members or more'),
        (['resnt50_8xb32_in1k', nn.Linear(1, 2)], [], 'risk=0.1', 'close ones are resnet50_8xb32_in1k'),
        (None, [], 'risk=0.1', 'the loader gave no batch'),
        (None, [], 'risk=5', 'written 0.05'),
        (None, [(torch.zeros(3, 8), [1])], 'risk=0.1', '3 images and 1 labels'),
        (None, [(['a.png'], [1])], 'risk=0.1', 'says nothing of how images are prepared'),
        ([nn.Flatten(0), nn.Flatten(0)], [(torch.zeros(3, 8), [1] * 3)], 'risk=0.1', 'expected logits'),
    ],
)
def test_mistakes(members, loader, target, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Cascade(members or modules()).calibrate(loader, target)


@pytest.mark.parametrize('image', ['a.png', Path('a.png'), b'a', np.zeros((4, 4, 3), np.uint8)])
def test_one_image_is_not_taken_for_a_list_of_images(image):
    with pytest.raises(TypeError, match=r'images come as a list, .* write \[image\]'):
        MemberViews([]).source(image)
    assert len(MemberViews([]).source([])) == 0


def test_it_decides_nothing_before_it_is_calibrated(tmp_path):
    fresh = Cascade(modules())
    for act in (lambda: fresh.predict(units(1, 0)[0]), lambda: fresh.evaluate([]), lambda: fresh.save(tmp_path)):
        with pytest.raises(ValueError, match='calibrate'):
            act()


def test_the_picture_is_of_the_evaluation(cascade):
    figure = cascade.plot(batches(300, 8))
    left, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        'member-1', 'member-2', 'ensemble', 'cascade',
    ]  # fmt: skip
    assert 'coverage at 10 % risk' in right.get_ylabel()


def test_a_name_with_a_checkpoint_of_ones_own(tmp_path):
    torch.manual_seed(0)
    torch.save(timm.create_model('test_resnet', num_classes=4).state_dict(), tmp_path / 'mine.pth')
    cascade = Cascade([f'timm/test_resnet {tmp_path / "mine.pth"}'] * 2, classes='wxyz')
    generator = np.random.default_rng(0)
    pictures = [generator.integers(256, size=(40, 60, 3), dtype=np.uint8) for _ in range(12)]
    cascade.calibrate([(pictures, [k % 4 for k in range(12)])], target='coverage=0.5')
    cascade.save(tmp_path / 'saved')
    (tmp_path / 'mine.pth').unlink()  # the folder holds the weights
    again = Cascade.load(tmp_path / 'saved')
    assert again.members == ['test_resnet', 'test_resnet-2'] and again.classes == tuple('wxyz')
    for one, other in zip(cascade.predict(pictures), again.predict(pictures), strict=True):
        assert one.to_json() == other.to_json()


def test_members_of_openmmlab_decide_as_their_config_does(tmp_path):
    """The folder of a build decides on files; the same members in Python decide on the same files."""
    photos, words = write_images(tmp_path), write_members(tmp_path)
    cheap, dear = f'{words[2]} {words[3]}', f'{words[0]} {words[1]}'
    cascade = Cascade([cheap, dear])
    files = sorted(photos.rglob('*.png'))
    labels = [NAMES.index(file.parent.name) for file in files]
    cascade.calibrate([(files[:20], labels[:20]), (files[20:], labels[20:])], target='coverage=0.5')
    assert cascade.members == ['cheap', 'dear'] and cascade.classes == NAMES
    config = read_config(by_hand(tmp_path, cascade.calibration))
    for one, other in zip(cascade.predict(files), ModelDecider.of_config(config, tmp_path).decide(files), strict=True):
        assert one.to_json() == other.to_json() | {'confidence': pytest.approx(other.confidence, abs=1e-6)}
    cascade.save(tmp_path / 'saved')
    for weights in tmp_path.glob('*.pth'):
        weights.unlink()
    again = Cascade.load(tmp_path / 'saved')
    assert [d.to_json() for d in again.predict(files)] == [d.to_json() for d in cascade.predict(files)]
    with pytest.raises(ValueError, match='is a config without weights'):
        Cascade([words[0], words[2]])


def by_hand(folder, calibration):
    path = folder / 'by_hand.py'
    resize = "dict(type='Resize', interpolation='bilinear', scale={})"
    path.write_text(f"""
default_scope = 'mmpretrain'
model = dict(
    type='mmcascade.WindowCascadeClassifier', accept={calibration.accept!r},
    members=dict(
        cheap=dict(model='{folder}/cheap.py', checkpoint='{folder}/cheap.pth'),
        dear=dict(model='{folder}/dear.py', checkpoint='{folder}/dear.pth')),
    stages=[dict(member='cheap', view=0), dict(member='dear', view=1)],
    policy=dict(type='mmcascade.WindowPolicy', windows={calibration.windows!r}))
test_dataloader = dict(dataset=dict(type='CustomDataset', data_root='{folder}/photos', pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=[1, 1], transforms=[[{resize.format(40)}], [{resize.format(32)}]]),
    dict(type='PackInputs')]))
""")
    return path
