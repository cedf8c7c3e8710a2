# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Labels of a data set that do not mean the members' classes are found before anything is tested."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmcascade.engine.configs.classes import check_classes
from mmcascade.engine.configs.testing import EvalFlags
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.engine.runs.testing import run_test
from mmcascade.models.parts.class_names import ClassesError, check_given_names
from tests.support.projects.tiny_project import NAMES, make_project


class Folder:
    """A data set as far as its classes go."""

    def __init__(self, classes=None, labels=(), transforms=()):
        self.metainfo = {} if classes is None else {'classes': classes}
        self.labels = labels
        self.pipeline = type('Compose', (), {'transforms': transforms})()

    def __len__(self):
        return len(self.labels)

    def get_data_info(self, index):
        return {'gt_label': self.labels[index], 'img_path': f'{index}.png'}


class Joined:
    def __init__(self, *datasets):
        self.datasets = datasets


ABC = ['ant', 'bee', 'cat']


@pytest.mark.parametrize(
    'own, names, number',
    [
        (ABC, ABC, 3),
        (['Ant', 'bee ', 'CAT'], ABC, 3),
        (None, ABC, 3),
        (ABC, None, 3),
        (ABC, None, None),
        (None, None, None),
    ],
)
def test_the_same_classes_pass(own, names, number):
    check_classes(Folder(own, [0, 1, 2]), names, number)


@pytest.mark.parametrize(
    'own, names, number, message',
    [
        (['cat', 'bee', 'ant'], ABC, 3, "another order: class 0 is 'cat' there and 'ant' for the members.*metainfo"),
        (['bee', 'cat'], ABC, 3, r"2 classes and the members 3; it lacks \['ant'\].*every class needs a folder"),
        (['.ipynb', *ABC], ABC, 3, r"the members do not know its \['.ipynb'\]"),
        (['x', 'y', 'z'], ABC, 3, r"none of the classes .* is among the members'.*classes=\[...\]"),
        (['x', 'y', 'cat'], ABC, 3, r"lacks \['ant', 'bee'\]; the members do not know its \['x', 'y'\]"),
        (['1', '2', '3', '4'], None, 3, '4 classes .* and the members tell 3 apart'),
        (['1', '2'], None, 3, '2 classes .* and the members tell 3 apart'),
    ],
)
def test_other_classes_are_named(own, names, number, message):
    with pytest.raises(ClassesError, match=message):
        check_classes(Folder(own), names, number)


def test_a_label_outside_of_the_head_is_named():
    with pytest.raises(ClassesError, match=r'1.png of the split has the label 3, .* 0 to 2 \(cat\); do the labels'):
        check_classes(Folder(None, [1, 3]), ABC, None, 'the split')
    with pytest.raises(ClassesError, match='has the label -1'):
        check_classes(Folder(None, [-1]), None, 3)
    check_classes(Folder(None, [np.array([0, 7])]), None, 3)  # several labels an image are not numbered by a head


def test_spellings_are_warned_of():
    names = [*(f'class {k}' for k in range(8)), 'crane']
    with pytest.warns(UserWarning, match="such as 'crane bird' and 'crane'"):
        check_classes(Folder([*names[:-1], 'crane bird']), names, 9)


def test_joined_data_sets_are_looked_into_and_ood_ones_left_out():
    mark = type('MarkOOD', (), {})()
    check_classes(Joined(Folder(ABC, [0]), Folder(['brick'], [7], [mark])), ABC, 3)
    with pytest.raises(ClassesError):
        check_classes(Joined(Folder(ABC, [0]), Folder(['brick'], [0])), ABC, 3)


def test_given_names_are_as_many_and_in_no_other_order():
    check_given_names(['Ameise', 'Biene', 'Katze'], ABC, 3)
    for given, message in ((['a'], '1 class names were given'), (ABC[::-1], 'another order')):
        with pytest.raises(ClassesError, match=message):
            check_given_names(given, ABC, 3)


@pytest.fixture
def project(tmp_path):
    """The tiny project on folders, one per class."""
    config = make_project(tmp_path / 'here')
    for name in NAMES:
        folder = tmp_path / 'here' / 'folders' / name
        folder.mkdir(parents=True)
        for index in range(2):
            cv2.imwrite(str(folder / f'{index}.png'), np.full((48, 48, 3), 40 * index, np.uint8))
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.update(ann_file='', data_prefix='folders')
    cfg.val_dataloader = cfg.test_dataloader
    return cfg, tmp_path / 'here' / 'folders', tmp_path


def run(cfg, work):
    cfg = cfg.copy()
    cfg.update(log_level='ERROR', experiment_name=work.name)
    return run_test(cfg, EvalFlags('cascade.py', work_dir=str(work)))


@pytest.mark.parametrize('loop', [{}, dict(type='mmcascade.DeferredTestLoop')])
def test_folders_are_compared_in_test(project, loop):
    cfg, folders, tmp_path = project
    cfg.test_cfg = loop
    assert run(cfg, tmp_path / 'right').images == 10
    shutil.copytree(folders / 'eel', folders / '.ipynb_checkpoints')
    with pytest.raises(ClassesError, match=r"do not know its \['.ipynb_checkpoints'\]"):
        run(cfg, tmp_path / 'stray')
    shutil.rmtree(folders / '.ipynb_checkpoints')
    shutil.rmtree(folders / 'ant')
    with pytest.raises(ClassesError, match=r"lacks \['ant'\]"):
        run(cfg, tmp_path / 'missing')
    (folders / 'ant').mkdir()
    assert run(cfg, tmp_path / 'empty').images == 8


def test_folders_are_compared_under_another_library_s_runner(project):
    """By the hook of the shipped configs, which bundles keep."""
    cfg, folders, tmp_path = project
    shutil.rmtree(folders / 'ant')
    cfg.update(work_dir=str(tmp_path), log_level='ERROR', experiment_name=tmp_path.name)
    runner = Runner.from_cfg(Config({k: v for k, v in cfg.items() if not k.startswith('val_')}))
    with pytest.raises(ClassesError, match=r"lacks \['ant'\]"):
        runner.test()


def test_folders_are_compared_in_calibration(project):
    cfg, folders, tmp_path = project
    cfg.test_dataloader = None
    shutil.rmtree(folders / 'ant')
    with pytest.raises(ClassesError, match=r"val_dataloader.dataset has 4 classes .* lacks \['ant'\]"):
        prepare_store(cfg, tmp_path / 'store')
