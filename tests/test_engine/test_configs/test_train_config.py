# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
from mmengine.config import Config

from mmcascade.engine.configs.training import TrainFlags, prepare_train


def make(**changes):
    loader = dict(batch_size=4, num_workers=0, dataset=dict(type='X'))
    return Config(
        dict(
            dict(
                default_scope='mmpretrain',
                model=dict(type='ImageClassifier'),
                train_cfg=dict(max_epochs=1),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
                train_dataloader=loader,
                val_dataloader=dict(loader, num_workers=2),
                val_cfg=dict(),
                val_evaluator=dict(type='M'),
            ),
            **changes,
        )
    )


def prepare(cfg, **options):
    return prepare_train(cfg, TrainFlags('some/member.py', **options))


def test_completes_a_plain_config():
    cfg = prepare(make())
    assert (cfg.work_dir, cfg.launcher) == ('work_dirs/member', 'none')
    assert cfg.train_dataloader.collate_fn.type == 'default_collate'
    assert not cfg.train_dataloader.persistent_workers  # there are none
    assert cfg.val_dataloader.persistent_workers
    assert 'test_dataloader' not in cfg
    assert cfg.get('resume') is None


def test_keeps_what_the_config_says():
    loader = dict(num_workers=2, persistent_workers=False, collate_fn=dict(type='mine'))
    cfg = prepare(make(train_dataloader=loader, work_dir='there'))
    assert cfg.work_dir == 'there'
    assert cfg.train_dataloader.collate_fn.type == 'mine'
    assert cfg.train_dataloader.persistent_workers is False


def test_segmentors_collate_in_their_own_way():
    assert 'collate_fn' not in prepare(make(default_scope='mmseg')).train_dataloader


def test_flags_reach_the_config():
    cfg = prepare(
        make(auto_scale_lr=dict(base_batch_size=64)),
        work_dir='w',
        amp=True,
        validate=False,
        auto_scale_lr=True,
        launcher='slurm',
        pin_memory=False,
        persistent_workers=False,
    )
    assert (cfg.work_dir, cfg.launcher) == ('w', 'slurm')
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    assert cfg.auto_scale_lr.enable
    assert not cfg.train_dataloader.pin_memory and not cfg.train_dataloader.persistent_workers


@pytest.mark.parametrize('resume, load_from', [('auto', None), ('x/epoch_2.pth', 'x/epoch_2.pth')])
def test_resumes_from_the_latest_or_a_given_checkpoint(resume, load_from):
    cfg = prepare(make(load_from='start.pth'), resume=resume)
    assert cfg.resume and cfg.load_from == load_from


@pytest.mark.parametrize(
    'changes, options, words',
    [
        (
            dict(model=dict(type='mmcascade.WindowCascadeClassifier')),
            {},
            'some/member.py is a cascade, .* train its members',
        ),
        (dict(train_dataloader=None), {}, 'some/member.py has no train_dataloader'),
        (dict(optim_wrapper=None), {}, 'has no optim_wrapper'),
        ({}, dict(auto_scale_lr=True), r'needs auto_scale_lr=dict\(base_batch_size='),
    ],
)
def test_contradictions_are_errors(changes, options, words):
    with pytest.raises(ValueError, match=words):
        prepare(make(**changes), **options)
