# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whatever a Runner leaves behind loads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmcascade.models.members.weights.checkpoints import (
    load_weights,
)
from tests.test_models.saved_checkpoints import Net, same


class Points(Dataset):
    metainfo = dict(classes=('a', 'b'), palette=np.zeros((2, 3), np.uint8), seen={1, 2})

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int):
        return torch.full((3,), float(index)), index % 2


class Half(BaseMetric):
    default_prefix = 'half'

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(score=np.float64(0.5))


class NotesOfAllKinds(Hook):
    """Leaves in the message hub what hooks of users leave there."""

    def before_train(self, runner):
        for key, value in dict(
            number=np.float32(3), array=np.ones(3), config=runner.cfg, nested=ConfigDict(a=dict(b=1)), part=slice(2)
        ).items():
            runner.message_hub.update_info(key, value)
        runner.message_hub.update_scalar('custom', np.float32(2))


SCHEDULES = {
    'warm up and cosine': [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=2),
        dict(type='CosineAnnealingLR', T_max=2, begin=1, end=3),
    ],
    'one cycle': dict(type='OneCycleLR', eta_max=0.1, total_steps=8, by_epoch=False),
    'plateau': dict(type='ReduceOnPlateauLR', monitor='half/score', rule='greater'),
    'steps': dict(type='MultiStepLR', milestones=[1]),
}


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_every_checkpoint_of_a_real_training_loads(tmp_path, schedule):
    model = Net()
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        default_scope='mmengine',
        log_level='ERROR',
        cfg=Config(dict(some=dict(nested='setting'))),
        experiment_name=tmp_path.name,
        train_dataloader=DataLoader(Points(), batch_size=4),
        val_dataloader=DataLoader(Points(), batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=1),
        val_cfg=dict(),
        val_evaluator=[Half()],
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=SCHEDULES[schedule],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, save_best='half/score', rule='greater'),
            logger=dict(type='LoggerHook', interval=1),
        ),
        custom_hooks=[dict(type='EMAHook', momentum=0.5), NotesOfAllKinds()],
    )
    runner.train()

    files = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert files == ['best_half_score_epoch_1.pth', 'epoch_1.pth']
    for file in files:
        checkpoint = load_weights(tmp_path / file)
        assert checkpoint.classes == ('a', 'b')
        assert checkpoint.meta['epoch'] == 1
        # The averaged weights, as Runner.test would take them from this file.
        trusted = torch.load(tmp_path / file, weights_only=False)
        assert same(checkpoint.state_dict, trusted['state_dict'])
        assert same(checkpoint.state_dict, averaged(runner).state_dict())
    assert not torch.equal(checkpoint.state_dict['fc.weight'], model.fc.weight)


def averaged(runner: Runner) -> nn.Module:
    return next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model.module
