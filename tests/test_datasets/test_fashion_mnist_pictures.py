# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import csv

import numpy as np
import pytest
from mmpretrain.datasets import FashionMNIST
from PIL import Image

from mmcascade.datasets.quickstart.fashion_mnist_pictures import write_labelled_pictures
from tests.support.projects.tiny_fashion_mnist import write_tiny


def test_the_files_are_the_images(tmp_path):
    data = write_tiny(tmp_path / 'data')
    write_labelled_pictures(data, tmp_path / 'out', 30, 12)
    whole = FashionMNIST(str(data), split='test', test_mode=True, download=False)
    with (tmp_path / 'out' / 'labelled.csv').open() as file:
        rows = list(csv.reader(file))
    assert len(rows) == 30
    for index, (name, label) in enumerate(rows):
        info = whole.get_data_info(index)
        assert int(label) == info['gt_label']
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'out' / name)), np.squeeze(info['img']))
    assert [file.stem for file in sorted((tmp_path / 'out' / 'new').iterdir())] == [f'{k:05d}' for k in range(30, 42)]
    with pytest.raises(ValueError, match='has 50 images, and 40 . 11 are asked for'):
        write_labelled_pictures(data, tmp_path / 'out', 40, 11)
