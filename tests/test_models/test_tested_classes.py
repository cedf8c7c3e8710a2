# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""MMEngine's own Runner, without any tool, loop, hook or metric of ours, refuses labels that are not the members'."""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict

import cv2
import numpy as np
import pytest
from mmengine.runner import Runner
from mmengine.utils import manager
from mmengine.visualization import Visualizer
from mmpretrain.structures import DataSample
from torch import nn

from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.parts.class_names import ClassesError
from mmcascade.models.parts.tested_classes import TestedClasses
from mmcascade.routing import ThresholdPolicy

NAMES = ('ant', 'bee', 'cat', 'dog', 'eel')


class Reader(nn.Module):
    """Reads the class from the pixels."""

    def forward(self, images):
        level = ((images[:, 0, 0, 0].float() - 20) / 40).round().long().clamp(0, 4)
        return 8 * nn.functional.one_hot(level, 5).float()


@pytest.fixture
def folder(tmp_path):
    for i in range(10):
        path = tmp_path / 'test' / NAMES[i % 5] / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), 20 + 40 * (i % 5), np.uint8))
    lines = [f'{NAMES[i % 5]}/{i}.png {i % 5 + 1}\n' for i in range(10)]
    (tmp_path / 'from_one.txt').write_text(''.join(lines))
    return tmp_path


def run(folder, name, ood=False, **dataset):
    mark = [dict(type='mmcascade.MarkOOD', name='other')] if ood else []
    pack = dict(type='PackInputs', algorithm_keys=('ood', 'dataset')) if ood else dict(type='PackInputs')
    data = dict(
        type='CustomDataset',
        data_root=str(folder),
        data_prefix='test',
        pipeline=[dict(type='LoadImageFromFile'), *mark, pack],
        **dataset,
    )
    member = dict(model=Reader(), classes=NAMES)
    model = WindowCascadeClassifier(
        dict(a=member, b=member), [dict(member='a'), dict(member='b')], policy=ThresholdPolicy([0.5])
    )
    loader = dict(batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=data)
    runner = Runner(
        model,
        str(folder / 'work'),
        test_dataloader=loader,
        test_cfg=dict(),
        test_evaluator=[dict(type='Accuracy')],
        default_scope='mmpretrain',
        log_level='ERROR',
        experiment_name=name,
    )
    return runner.test()['accuracy/top1']


def test_the_members_classes_pass_also_after_a_run_with_others(folder):
    assert run(folder, 'tested-right') == 100
    shutil.copytree(folder / 'test' / 'eel', folder / 'test' / '.stray')
    with pytest.raises(ClassesError, match=r"do not know its \['.stray'\]"):
        run(folder, 'tested-stray')
    shutil.rmtree(folder / 'test' / '.stray')
    assert run(folder, 'tested-right-again') == 100


def test_a_class_without_a_folder_is_named(folder):
    shutil.rmtree(folder / 'test' / 'ant')
    with pytest.raises(ClassesError, match=r"it lacks \['ant'\]"):
        run(folder, 'tested-lacking')


def test_labels_from_one_are_named(folder):
    with pytest.raises(ClassesError, match=r'4\.png has the label 5, .* 0 to 4 \(eel\); do the labels count from 1\?'):
        run(folder, 'tested-from-one', ann_file='from_one.txt')


def test_out_of_distribution_images_have_classes_of_their_own(folder):
    shutil.rmtree(folder / 'test' / 'ant')
    assert run(folder, 'tested-ood', ood=True) == 0


def test_what_a_tool_has_looked_at_is_not_asked_again_by_the_names_of_its_first_part(folder):
    """MMEngine's joined data sets take the names of their first part, which may be out of distribution."""
    model = WindowCascadeClassifier(dict(a=dict(model=Reader(), classes=NAMES)), [dict(member='a')])
    sample = DataSample(img_path='x.png').set_gt_label(2)
    Visualizer.get_instance('tested-joined').dataset_meta = dict(classes=['rust', 'moss'])
    with pytest.raises(ClassesError, match='has 2 classes and the members 5'):
        model.tested.check([sample])
    Visualizer.get_instance('tested-joined').dataset_meta = dict(classes=['rust', 'moss'])
    model.tested.settle(dict(classes=['rust', 'moss']))
    model.tested.check([sample])


def test_a_cascade_without_a_visualizer_is_tested_in_another_thread_than_it_was_built_in(monkeypatch):
    """As an actor of Ray does it. MMEngine's own question for a visualizer keeps the lock that all threads share."""
    lock = threading.RLock()
    monkeypatch.setattr(manager, '_lock', lock)
    monkeypatch.setattr(Visualizer, '_instance_dict', OrderedDict())
    builds = threading.Thread(target=TestedClasses, args=(['a', 'b'], 2))
    builds.start()
    builds.join()
    assert lock.acquire(blocking=False)
