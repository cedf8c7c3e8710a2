# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmcascade.engine.hooks import CascadeVisualizationHook
from mmcascade.engine.hooks.cascade_visualization_hook import describe, draw_prediction


def sample(**fields):
    made = DataSample(metainfo=dict(num_classes=3)).set_pred_score(torch.tensor([0.1, 0.7, 0.2])).set_pred_label(1)
    for name, value in fields.items():
        made.set_field(value, name)
    return made


def test_text_names_prediction_confidence_and_exit():
    made = sample(confidence=0.65, exit_stage=1, macs=2.5e9, accepted=False).set_gt_label(0)
    assert describe(made, ['ant', 'bee', 'cat']) == [
        'predicted 0.700: bee',
        'true: ant',
        'confidence 0.65, rejected',
        'exit stage 1, 2.5 GMACs',
    ]
    assert describe(sample(), None) == ['predicted 0.700: 1']


def test_picture_is_the_image_over_the_text():
    image = np.full((50, 100, 3), (10, 200, 30), np.uint8)
    picture = draw_prediction(image, ['hello', 'world'])
    assert picture.shape == (160 + 44, 320, 3)
    assert (picture[:160] == (10, 200, 30)).all()
    assert (picture[160:] == 255).any()
    assert (picture[160:] < 100).any()


@pytest.mark.parametrize(
    'inputs',
    [
        [torch.full((2, 3, 8, 8), 7, dtype=torch.uint8), torch.zeros(2, 3, 9, 9)],
        torch.full((2, 1, 8, 8), 7, dtype=torch.uint8),
        [torch.full((3, 8, 8), 7, dtype=torch.uint8)] * 2,
    ],
)
def test_batches_of_one_and_several_views_are_drawn(tmp_path, inputs):
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(batch_size=2), visualizer=SimpleNamespace(dataset_meta=None)
    )
    hook = CascadeVisualizationHook(enable=True, interval=3, out_dir=str(tmp_path))
    for batch in range(3):
        hook.after_test_iter(runner, batch, dict(inputs=inputs), [sample(), sample()])
    assert sorted(p.name for p in tmp_path.iterdir()) == ['000000.png', '000003.png']
    assert (mmcv.imread(tmp_path / '000003.png')[:300] == 7).all()


def test_bad_interval():
    with pytest.raises(ValueError, match='interval.*got 0'):
        CascadeVisualizationHook(interval=0)
