# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CamVid from the public repository's folder to samples of MMSegmentation."""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope

from mmcascade.datasets import CalibrationSplit
from tests.support import ROOT
from tests.support.projects.tiny_camvid import HEIGHT, NAMES, WIDTH, write_tiny

pytest.importorskip('mmseg')
CONVERTER = str(ROOT / 'tools' / 'dataset_converters' / 'camvid.py')


def convert(*args) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['camvid', *map(str, args)])
        runpy.run_path(CONVERTER, run_name='__main__')


@pytest.fixture
def source(tmp_path) -> Path:
    return write_tiny(tmp_path / 'CamVid')


@pytest.fixture(scope='module')
def data_root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('camvid')
    with (
        pytest.warns(UserWarning, match='holds 6 images, and CamVid has 367'),
        pytest.warns(UserWarning, match='holds 2 images, and CamVid has 101'),
        pytest.warns(UserWarning, match='holds 3 images, and CamVid has 233'),
    ):
        convert(write_tiny(folder / 'CamVid'), folder / 'data')
    return folder / 'data'


def dataset(data_root, split='test', **options):
    prefix = dict(img_path=f'img_dir/{split}', seg_map_path=f'ann_dir/{split}')
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(
            dict(type='mmcascade.CamVidDataset', data_root=str(data_root), data_prefix=prefix, **options)
        )


@pytest.mark.parametrize('split', NAMES)
def test_converts_images_as_they_are_and_void_to_255(data_root, split):
    source = data_root.parent / 'CamVid'
    for name in NAMES[split]:
        file = f'{name}.png'
        assert (data_root / 'img_dir' / split / file).read_bytes() == (source / split / file).read_bytes()
        old = cv2.imread(str(source / f'{split}annot' / file), cv2.IMREAD_UNCHANGED)
        new = cv2.imread(str(data_root / 'ann_dir' / split / file), cv2.IMREAD_UNCHANGED)
        assert new.dtype == np.uint8 and new.shape == (HEIGHT, WIDTH)
        assert 11 in old and all((255 if a == 11 else a) == b for a, b in zip(old.flat, new.flat, strict=True))
    assert len(list((data_root / 'ann_dir' / split).iterdir())) == len(NAMES[split])


@pytest.mark.filterwarnings('ignore:.*CamVid has')
def test_goes_on_where_it_was(source, tmp_path, capsys):
    out = tmp_path / 'out'
    convert(source, out)
    files = sorted(path for path in out.rglob('*') if path.is_file())
    before = {path: path.stat().st_mtime_ns for path in files}
    files[0].unlink()
    files[-1].unlink()
    convert(source, out)
    assert sorted(path for path in out.rglob('*') if path.is_file()) == files
    assert all(path.stat().st_mtime_ns == before[path] for path in files[1:-1])
    assert '6 + 2 + 3 images' in capsys.readouterr().out


@pytest.mark.filterwarnings('ignore:.*CamVid has')
def test_what_is_wrong_with_the_source_is_named(source, tmp_path):
    with pytest.raises(SystemExit, match='elsewhere/train is not a folder.*git clone https'):
        convert(tmp_path / 'elsewhere', tmp_path / 'out')
    label = source / 'valannot' / '0016E5_07961.png'
    labels = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    labels[3, 4] = 12
    cv2.imwrite(str(label), labels)
    with pytest.raises(SystemExit, match='07961.png holds the label 12, and CamVid has the labels 0 to 11'):
        convert(source, tmp_path / 'out')
    cv2.imwrite(str(label), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(SystemExit, match='07961.png is not a grey PNG'):
        convert(source, tmp_path / 'out')
    label.unlink()
    with pytest.raises(SystemExit, match='valannot lacks the labels of 1 image.*07961.png'):
        convert(source, tmp_path / 'out')


def test_each_sample_carries_its_drive(data_root):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'drive')),
    ]
    data = dataset(data_root, pipeline=pipeline, test_mode=True)
    assert [data.get_data_info(i)['drive'] for i in range(len(data))] == ['0001TP', 'Seq05VD', 'Seq05VD']
    assert len(data.metainfo['classes']) == len(data.metainfo['palette']) == 11
    sample = data[1]['data_samples']
    assert sample.drive == 'Seq05VD' and sample.ori_shape == (HEIGHT, WIDTH)
    labels = sample.gt_sem_seg.data
    assert set(labels.unique().tolist()) <= {*range(11), 255}
    assert labels.shape == (1, HEIGHT, WIDTH) and 0 in labels  # label 0 is sky, not void


def test_a_calibration_split_has_its_share_of_every_drive(data_root):
    split = CalibrationSplit(dataset(data_root, 'train', indices=5), num=2, part='calibration')
    infos = [split.get_data_info(position) for position in range(len(split))]
    assert Counter(info['drive'] for info in infos) == {'0001TP': 1, '0006R0': 1}
    with pytest.raises(ValueError, match=r'drive 0016E5 is too small to be split: of its 1 sample\(s\).*the drive out'):
        CalibrationSplit(dataset(data_root, 'train'), num=3, part='rest')


def test_images_without_a_drive_are_split_one_by_one(data_root):
    with DefaultScope.overwrite_default_scope('mmseg'):
        plain = DATASETS.build(
            dict(
                type='BaseSegDataset',
                data_root=str(data_root),
                img_suffix='.png',
                data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
            )
        )
    draws = set()
    for seed in range(20):
        calibration, rest = (CalibrationSplit(plain, num=3, seed=seed, part=part) for part in ('calibration', 'rest'))
        assert len(calibration) == 3
        assert sorted([*calibration.indices, *rest.indices]) == list(range(6))
        draws.add(tuple(calibration.indices))
    assert len(draws) > 10
