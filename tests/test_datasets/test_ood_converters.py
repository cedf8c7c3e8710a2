# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The OOD pictures that the demos write, from what the packages hold."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from mmcascade.datasets.quickstart.small_pictures import photo_tiles
from tests.support import ROOT

CONVERTERS = ROOT / 'tools' / 'dataset_converters'


def load(name):
    return runpy.run_path(str(CONVERTERS / f'{name}.py'))


def run(name, *args):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [name, *map(str, args)])
        runpy.run_path(str(CONVERTERS / f'{name}.py'), run_name='__main__')


def test_digits_are_the_package_s_enlarged_on_black(tmp_path):
    run('digits', tmp_path)
    run('digits', tmp_path)  # nothing is written twice
    files = sorted((tmp_path / 'digits').iterdir())
    grey = load_digits().images
    assert len(files) == len(grey) == 1797
    for index in (0, 900, 1796):
        picture = cv2.imread(str(files[index]), cv2.IMREAD_GRAYSCALE)
        assert picture.shape == (28, 28)
        coarse = cv2.resize(picture, (8, 8), interpolation=cv2.INTER_AREA)
        assert np.corrcoef(coarse.ravel(), grey[index].ravel())[0, 1] > 0.97
        assert picture[0, 0] == 0 and picture.max() > 230


def test_tiles_are_whole_pieces_of_the_photos():
    tiles = photo_tiles()
    photos = [cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo in load_sample_images().images]
    assert tiles.shape == (2 * 15 * 22, 28, 28)
    np.testing.assert_array_equal(tiles[0], photos[0][:28, :28])
    np.testing.assert_array_equal(tiles[23], photos[0][28:56, 28:56])
    np.testing.assert_array_equal(tiles[15 * 22 + 1], photos[1][:28, 28:56])


def test_small_sets_of_foolbox(tmp_path):
    pytest.importorskip('foolbox')
    run('foolbox_small_sets', tmp_path)
    names = {folder.name: [file.name for file in folder.iterdir()] for folder in tmp_path.iterdir()}
    assert {name: len(files) for name, files in names.items()} == {'cifar': 40, 'mnist': 40}
    assert all(file.startswith('cifar') for file in names['cifar'])
    assert cv2.imread(str(tmp_path / 'mnist' / names['mnist'][0])).shape == (28, 28, 3)


@pytest.mark.parametrize(('have', 'want', 'expected'), [(10, 5, [0, 2, 4, 6, 8]), (3, 9, [0, 1, 2]), (7, 3, [0, 2, 4])])
def test_solar_cells_are_spread_evenly(have, want, expected):
    paths = [Path(str(i)) for i in range(have)]
    assert load('elpv')['evenly_spaced'](paths, want) == [paths[i] for i in expected]


def test_solar_cells_need_their_package(tmp_path, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(SystemExit, match='pip install --no-deps -r requirements/ood.txt'):
        run('elpv', tmp_path / 'cells')
    package = tmp_path / 'elpv_dataset'
    (package / 'data' / 'images').mkdir(parents=True)
    for index in range(6):
        (package / 'data' / 'images' / f'cell{index:04d}.png').write_bytes(b'png')
    monkeypatch.setattr(
        'importlib.util.find_spec', lambda name: type('Spec', (), dict(submodule_search_locations=[str(package)]))
    )
    run('elpv', tmp_path / 'cells', '--images', 3)
    assert sorted(file.name for file in (tmp_path / 'cells').iterdir()) == [
        'cell0000.png',
        'cell0002.png',
        'cell0004.png',
    ]
