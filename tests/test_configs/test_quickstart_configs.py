# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the members of the quickstart are trained, calibrated and tested on, and that they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.engine.configs.training import TrainFlags, prepare_train
from tests.support import ROOT
from tests.support.projects.tiny_fashion_mnist import write_tiny

CONFIGS = ROOT / 'configs' / 'quickstart'
MEMBERS = ('small-seed0', 'small-seed1', 'large')
TRAIN, TEST, CALIBRATION = 400, 50, 80


@pytest.fixture(scope='module')
def tiny_data(tmp_path_factory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp('fashion_mnist'), TRAIN, TEST))


@pytest.fixture(autouse=True)
def library_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def config(name: str, tiny_data: str | None = None, **options) -> Config:
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    if tiny_data:
        for part in ('train', 'val'):
            cfg[f'{part}_dataloader'].dataset.num = CALIBRATION
            cfg[f'{part}_dataloader'].dataset.dataset.data_root = tiny_data
        cfg.test_dataloader.dataset.data_root = tiny_data
        cfg.train_dataloader.batch_size = 40
    cfg.merge_from_dict(options)
    return cfg


@pytest.mark.parametrize('name', MEMBERS)
def test_survives_being_written_and_read(name, tmp_path):
    config(name).dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == config(name).to_dict()


def test_the_two_small_members_differ_by_their_seed():
    one, other = config('small-seed0').to_dict(), config('small-seed1').to_dict()
    differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    assert differing == {'randomness', 'work_dir'}
    assert (one['randomness'], other['randomness']) == (dict(seed=0), dict(seed=1))


@pytest.mark.parametrize('name', [*MEMBERS, 'cascade'])
def test_calibration_holds_ten_thousand_training_images_out(name):
    cfg = config(name)
    for part, wanted in (('train', 'rest'), ('val', 'calibration')):
        dataset = cfg[f'{part}_dataloader'].dataset
        assert (dataset.type, dataset.part) == ('mmcascade.CalibrationSplit', wanted)
        assert (dataset.num, dataset.seed, dataset.dataset.split) == (10000, 0, 'train')
    # Without test_mode mmpretrain's FashionMNIST reads the training images.
    assert cfg.test_dataloader.dataset.split == 'test' and cfg.test_dataloader.dataset.test_mode
    assert not any(cfg[f'{part}_dataloader'].dataset.get('download', False) for part in ('train', 'val', 'test'))


def test_the_three_parts_share_no_image(tiny_data):
    cfg = config('small-seed0', tiny_data)
    train, val, test = (DATASETS.build(cfg[f'{part}_dataloader'].dataset) for part in ('train', 'val', 'test'))
    assert (len(train), len(val), len(test)) == (TRAIN - CALIBRATION, CALIBRATION, TEST)
    images = [{data[i]['inputs'].numpy().tobytes() for i in range(len(data))} for data in (train, val, test)]
    assert sum(map(len, images)) == len(set.union(*images)) == TRAIN + TEST
    assert train[0]['inputs'].shape == (1, 28, 28) and train[0]['inputs'].dtype == torch.uint8


def macs(name: str) -> float:
    model = MODELS.build(config(name).model).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, 28, 28), mode='tensor')
    return counter.get_total_flops() / 2


def test_the_larger_member_costs_three_to_five_times_as_much():
    assert macs('small-seed0') == macs('small-seed1')
    assert 3 < macs('large') / macs('small-seed0') < 5


def test_the_cascade_takes_its_members_where_their_training_leaves_them():
    model = config('cascade').model
    assert [stage.member for stage in model.stages] == ['small0', 'small1']
    for member in model.members.values():
        trained = config(Path(member.model).stem)
        last = f'{trained.work_dir}/epoch_{trained.train_cfg.max_epochs}.pth'
        assert member.checkpoint == last


class Interruption(Hook):
    """Stops the training as Ctrl-C would, in the middle of the third epoch."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if (runner.epoch, batch_idx) == (2, 3):
            raise KeyboardInterrupt


def make_runner(name: str, tiny_data: str, work_dir: Path, **options) -> Runner:
    cfg = config(name, tiny_data, log_level='ERROR', **options)
    prepare_train(cfg, TrainFlags(f'{name}.py', work_dir=str(work_dir), resume='auto'))
    return Runner.from_cfg(cfg)


def test_trains_and_tests(tiny_data, tmp_path):
    runner = make_runner('small-seed0', tiny_data, tmp_path)
    runner.train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['epoch_4.pth', 'epoch_5.pth']
    metrics = runner.test()
    assert metrics['accuracy/top1'] > 60  # by chance 10
    assert 'selective/coverage@risk5' in metrics


def test_goes_on_after_an_interruption(tiny_data, tmp_path):
    interrupted = make_runner('small-seed0', tiny_data, tmp_path)
    interrupted.register_hook(Interruption())
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_2.pth')
    runner = make_runner('small-seed0', tiny_data, tmp_path)
    runner.train()
    iterations = (TRAIN - CALIBRATION) // 40
    assert (runner.epoch, runner.iter) == (5, 5 * iterations)
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_5.pth')


def test_the_same_seed_gives_the_same_member_and_another_seed_another(tiny_data, tmp_path):
    once = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1}
    weights = {}
    for folder, name in (('a', 'small-seed0'), ('b', 'small-seed0'), ('c', 'small-seed1')):
        runner = make_runner(name, tiny_data, tmp_path / folder, **once)
        runner.train()
        weights[folder] = runner.model.state_dict()
    a, b, c = weights.values()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a['backbone.conv1.weight'], c['backbone.conv1.weight'])
