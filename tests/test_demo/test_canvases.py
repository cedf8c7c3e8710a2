# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Composed canvases, and the folder of them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmcascade.datasets.quickstart import canvases
from mmcascade.datasets.quickstart.canvases import CanvasFolderError, build_canvases, canvas_paths, source_garments
from mmcascade.datasets.quickstart.compose_canvas import Layout, compose_canvas
from tests.support import ROOT
from tests.support.projects.tiny_fashion_mnist import write_tiny

TOOL = ROOT / 'tools' / 'dataset_converters' / 'fashion_mnist_canvases.py'
SMALL = dict(height=128, width=256, scale=0.125)


@pytest.fixture(scope='module')
def fashion_mnist(tmp_path_factory) -> Path:
    return write_tiny(tmp_path_factory.mktemp('fashion_mnist'), 240, 50)


def compose(seed, garments=None, labels=None, **options):
    if garments is None:
        garments = np.random.RandomState(0).randint(100, 256, (20, 28, 28)).astype(np.uint8)
    labels = np.arange(len(garments)) % 10 if labels is None else labels
    return compose_canvas(np.random.RandomState(seed), garments, labels, **{**SMALL, **options})


def crowds(number, square=None):
    return Layout(crowds=(number,), alone=(1, 4), square=square)


def test_the_generator_decides_everything():
    image, label = compose(0)
    again, label_again = compose(0)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(label, label_again)
    assert (image != compose(1)[0]).mean() > 0.5
    assert image.shape == (128, 256, 3) and label.shape == (128, 256)
    assert image.dtype == label.dtype == np.uint8


def test_labels_are_background_and_the_classes_that_are_pasted():
    seen = set(np.unique(np.stack([compose(seed, layout=crowds(2))[1] for seed in range(4)])))
    assert seen == set(range(11))
    garments = np.full((3, 28, 28), 200, np.uint8)
    assert set(np.unique(compose(0, garments, np.array([7, 7, 7]), layout=crowds(1))[1])) == {0, 8}


def test_labels_lie_where_the_garments_are():
    """With the same generator, garments of another brightness change the picture on the labelled pixels only."""
    dark, bright = (compose(5, np.full((1, 28, 28), grey, np.uint8), layout=crowds(2)) for grey in (60, 250))
    np.testing.assert_array_equal(dark[1], bright[1])
    brighter = (bright[0].astype(int) - dark[0]).min(2) > 20
    assert brighter[dark[1] > 0].mean() > 0.95
    assert brighter[dark[1] == 0].mean() < 0.05


def test_crowds_make_some_cells_hard_and_leave_others_empty():
    cells = np.concatenate([(compose(seed)[1] > 0).reshape(2, 64, 4, 64).mean((1, 3)).ravel() for seed in range(12)])
    assert (cells < 0.01).mean() > 0.2 and (cells > 0.15).mean() > 0.1
    none, some = (
        (np.stack([compose(seed, layout=crowds(number))[1] for seed in range(4)]) > 0).mean() for number in (0, 2)
    )
    assert some > 1.5 * none


def test_a_crowd_can_lie_within_one_square():
    nothing_alone = Layout(crowds=(1,), alone=(0, 1), square=512)
    for seed in range(4):
        label = compose(seed, layout=nothing_alone)[1]
        assert np.count_nonzero((label > 0).reshape(2, 64, 4, 64).any((1, 3))) == 1


def test_no_image_is_in_two_splits(fashion_mnist):
    images = {
        split: {image.tobytes() for image in source_garments(fashion_mnist, split)[0]}
        for split in ('train', 'val', 'test')
    }
    assert [len(part) for part in images.values()] == [200, 40, 50]
    assert len(set.union(*images.values())) == 290
    garments, labels = source_garments(fashion_mnist, 'val')
    assert np.bincount(labels).tolist() == [4] * 10
    mean_images = {label: garments[labels == label].mean(0) for label in range(10)}
    for label, mean in mean_images.items():  # the bright patch of tiny_files is at the place of its class
        row, column = divmod(label, 4)
        assert mean[9 * row : 9 * row + 9, 7 * column : 7 * column + 7].mean() > 150


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def test_a_folder_in_the_layout_of_cityscapes(fashion_mnist, tmp_path):
    calls = []
    build_canvases(
        fashion_mnist, tmp_path, dict(train=5, val=2, test=3), progress=lambda *args: calls.append(args), **SMALL
    )
    assert calls == [(done, 10) for done in range(11)]
    files = content(tmp_path)
    assert len(files) == 2 * 10 + 1
    assert 'leftImg8bit/train/composed-a/composed-a_000001_000019_leftImg8bit.png' in files
    assert 'gtFine/train/composed-a/composed-a_000001_000019_gtFine_labelTrainIds.png' in files
    cities = [{path.split('/')[2] for path in files if f'/{split}/' in path} for split in ('train', 'val', 'test')]
    assert len(set.union(*cities)) == sum(map(len, cities)) == 4 + 2 + 2
    image_path, label_path = canvas_paths(tmp_path, 'test', 2)
    image, label = cv2.imread(str(image_path)), cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED)
    expected = compose_canvas(np.random.RandomState([0, 2, 2]), *source_garments(fashion_mnist, 'test'), **SMALL)
    np.testing.assert_array_equal(image, expected[0])
    np.testing.assert_array_equal(label, expected[1])


def test_an_interrupted_folder_is_completed(fashion_mnist, tmp_path, monkeypatch):
    numbers = dict(counts=dict(train=4, val=1, test=2), **SMALL)
    build_canvases(fashion_mnist, tmp_path / 'at once', **numbers)
    composed = []

    def interrupted(*args, **options):
        if len(composed) == 3:
            composed.append('interruption')
            raise KeyboardInterrupt
        composed.append(args)
        return compose_canvas(*args, **options)

    monkeypatch.setattr(canvases, 'compose_canvas', interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_canvases(fashion_mnist, tmp_path / 'again', **numbers)
    build_canvases(fashion_mnist, tmp_path / 'again', **numbers)
    assert len(composed) == 7 + 1  # none is composed twice
    assert content(tmp_path / 'again') == content(tmp_path / 'at once')


def test_an_image_is_there_only_when_its_labels_are(fashion_mnist, tmp_path, monkeypatch):
    def full_disk(path, content):
        if 'leftImg8bit' in path.name:
            raise OSError('no space left on device')
        real(path, content)

    real = canvases.write_bytes
    monkeypatch.setattr(canvases, 'write_bytes', full_disk)
    with pytest.raises(OSError, match='no space'):
        build_canvases(fashion_mnist, tmp_path, dict(train=1, val=1, test=1), **SMALL)
    assert not list(tmp_path.rglob('*leftImg8bit.png')) and len(list(tmp_path.rglob('*TrainIds.png'))) == 1


def test_other_canvases_are_not_mixed_in(fashion_mnist, tmp_path):
    build_canvases(fashion_mnist, tmp_path, dict(train=1, val=1, test=1), **SMALL)
    before = content(tmp_path)
    with pytest.raises(CanvasFolderError, match=r"'seed': 0.*'seed': 1.* delete this one"):
        build_canvases(fashion_mnist, tmp_path, dict(train=1, val=1, test=1), seed=1, **SMALL)
    assert content(tmp_path) == before


def test_the_tool_says_what_is_wrong(tmp_path, monkeypatch):
    (tmp_path / 'canvases.json').write_text('{"schema": 1, "seed": 7}')
    monkeypatch.setattr(sys, 'argv', ['tool', str(tmp_path)])
    monkeypatch.setattr('mmcascade.datasets.quickstart.fashion_mnist.fetch_fashion_mnist', lambda folder: None)
    with pytest.raises(SystemExit, match='Name another folder'):
        runpy.run_path(str(TOOL), run_name='__main__')
