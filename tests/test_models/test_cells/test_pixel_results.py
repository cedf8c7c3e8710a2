# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmcascade.models.cells.pixels.best_class import best_class, best_of_planes
from mmcascade.models.cells.pixels.pixel_results import PixelResults
from mmcascade.routing import CascadeState, StageOutput
from mmcascade.routing.confidences.cell_confidence import CellConfidence


@pytest.mark.parametrize(
    ('classes', 'dtype'), [(2, torch.uint8), (255, torch.uint8), (256, torch.uint8), (257, torch.int64)]
)
def test_every_class_can_be_a_label(classes, dtype):
    scores = torch.zeros(1, classes, 1, classes)
    scores[0, range(classes), 0, range(classes)] = 1  # pixel k has class k
    for labels in (best_class(scores), best_of_planes(scores.unbind(1), classes)):
        assert labels.dtype == dtype and labels.flatten().tolist() == list(range(classes))


def test_the_first_of_equal_classes_wins():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 3, (2, 7, 5, 6), generator=generator).float()
    expected = [
        [[max(range(7), key=lambda k: (image[k, y, x].item(), -k)) for x in range(6)] for y in range(5)]
        for image in scores
    ]
    assert best_class(scores).tolist() == best_of_planes(scores.unbind(1), 7).tolist() == expected


@pytest.mark.parametrize('broken', [False, True])
@pytest.mark.parametrize('stages', [1, 2, 3])
@pytest.mark.parametrize('fusion', ['prob', 'logit', 'replace'])
@pytest.mark.parametrize('more', [False, True])
def test_some_of_the_cells_are_kept_as_they_would_be_alone(fusion, stages, broken, more):
    generator = torch.Generator().manual_seed(0)
    outputs = [StageOutput(logits=3 * torch.randn(6, 5, 4, 7, generator=generator)) for _ in range(stages)]
    if broken:
        outputs[-1].logits[2, 0, 1, 1] = torch.nan
    results = PixelResults(CellConfidence() if more else None, seg_logits=more)

    def state_of(rows):
        chosen = [StageOutput(logits=output.logits[rows]) for output in outputs]
        state = CascadeState.start(chosen[0], fusion)
        for output in chosen[1:]:
            state = state.add(output)
        return state, chosen[-1]

    whole, last = state_of(list(range(6)))
    for rows in ([0, 2, 5], [4], [], None):
        found = results(whole, last, None if rows is None else torch.tensor(rows, dtype=torch.int64))
        assert set(found) == {'labels'} | ({'confidence_map', 'seg_logits'} if more else set())
        numbers = range(6) if rows is None else rows
        for place, row in enumerate(numbers):
            for name, kept in results(*state_of([row]), None).items():
                torch.testing.assert_close(found[name][place], kept[0], rtol=0, atol=0)
        assert all(len(kept) == len(numbers) for kept in found.values())
