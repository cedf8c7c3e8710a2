# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmcascade.models.cells.pixel_results import best_class


@pytest.mark.parametrize(
    ('classes', 'dtype'), [(2, torch.uint8), (255, torch.uint8), (256, torch.uint8), (257, torch.int64)]
)
def test_every_class_can_be_a_label(classes, dtype):
    scores = torch.zeros(1, classes, 1, classes)
    scores[0, range(classes), 0, range(classes)] = 1  # pixel k has class k
    labels = best_class(scores)
    assert labels.dtype == dtype and labels.flatten().tolist() == list(range(classes))


def test_the_first_of_equal_classes_wins():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 3, (2, 7, 5, 6), generator=generator).float()
    expected = [
        [[max(range(7), key=lambda k: (image[k, y, x].item(), -k)) for x in range(6)] for y in range(5)]
        for image in scores
    ]
    assert best_class(scores).tolist() == expected
