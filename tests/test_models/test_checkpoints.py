# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmcascade.models.members.weights.checkpoints import (
    CheckpointError,
    DamagedCheckpointError,
    UnsafeCheckpointError,
    load_weights,
)
from mmcascade.models.members.weights.stand_ins import Inert

WEIGHTS = {'fc.weight': torch.arange(6.0).reshape(2, 3), 'fc.bias': torch.ones(2)}


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def same(loaded: dict, expected: dict) -> bool:
    return list(loaded) == list(expected) and all(torch.equal(loaded[key], expected[key]) for key in expected)


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args

    def __call__(self) -> None:
        """So that pickle takes it for a function."""


# What it reads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'layout',
    [
        lambda weights: {'state_dict': weights, 'meta': {'epoch': 3}},
        lambda weights: {'model': weights, 'optimizer': {'lr': 1.0}, 'meta': {'epoch': 3}},
    ],
)
def test_weights_and_meta(tmp_path, layout):
    checkpoint = load_weights(saved(tmp_path / 'a.pth', layout(WEIGHTS)))
    assert same(checkpoint.state_dict, WEIGHTS)
    assert checkpoint.meta == {'epoch': 3}
    assert checkpoint.path == tmp_path / 'a.pth'


@pytest.mark.parametrize('options', [{}, {'_use_new_zipfile_serialization': False}])
def test_bare_state_dict_in_both_formats_of_torch(tmp_path, options):
    checkpoint = load_weights(saved(tmp_path / 'a.pth', WEIGHTS, **options))
    assert same(checkpoint.state_dict, WEIGHTS)
    assert checkpoint.meta == {} and checkpoint.classes is None


def test_versions_in_a_state_dict_survive(tmp_path):
    state_dict = nn.BatchNorm2d(2).state_dict()
    loaded = load_weights(saved(tmp_path / 'a.pth', {'state_dict': state_dict})).state_dict
    assert loaded._metadata == state_dict._metadata


def test_safetensors(tmp_path):
    save_file = pytest.importorskip('safetensors.torch').save_file
    save_file(WEIGHTS, tmp_path / 'a.safetensors')
    loaded = load_weights(tmp_path / 'a.safetensors').state_dict
    assert same({key: loaded[key] for key in WEIGHTS}, WEIGHTS)


@pytest.mark.parametrize(
    'meta, expected',
    [
        ({'dataset_meta': {'classes': ['a', 'b']}}, ('a', 'b')),
        ({'dataset_meta': {'CLASSES': ('a', 'b')}}, ('a', 'b')),
        ({'CLASSES': ('a', 'b')}, ('a', 'b')),
        ({'dataset_meta': ConfigDict(classes=[0, 1])}, ('0', '1')),
        ({'dataset_meta': {'classes': None}}, None),
        ({'dataset_meta': None}, None),
        ({'CLASSES': []}, None),
        ({}, None),
        ({'CLASSES': [('a',), 'b']}, None),
        ({'CLASSES': [b'a', 'b']}, None),
        ({'CLASSES': [True, False]}, None),
        ({'CLASSES': [10**400, 1]}, None),
    ],
)
def test_class_names(tmp_path, meta, expected):
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': meta})
    assert load_weights(path).classes == expected


def test_class_names_are_no_memory_bomb(tmp_path):
    laughs: Any = 'x'
    for _ in range(30):
        laughs = (laughs,) * 10
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': {'CLASSES': (laughs,)}})
    assert load_weights(path).classes is None


@pytest.mark.parametrize(
    'palette, expected',
    [
        ([[0, 0, 0], [255, 0, 0]], ((0, 0, 0), (255, 0, 0))),
        (((0.0, 1.0, 2.0),), ((0, 1, 2),)),
        (np.array([[0, 0, 0], [255, 0, 0]]), None),
        ([np.array([0, 0, 0]), np.array([255, 0, 0])], None),
        ([None, None], None),
        ([[0, 0, 0], None], None),
        ([0, 0, 0, 255, 0, 0], None),
        ([[0, 0], [1, 1]], None),
        (['red', 'one'], None),
        ([[0, 0, float('nan')]], None),
        ([[10**400, 0, 0]], None),
        ('random', None),
    ],
)
def test_palettes_of_all_kinds(tmp_path, palette, expected):
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': {'dataset_meta': {'palette': palette}}})
    assert load_weights(path).palette == expected


# What a Runner writes ----------------------------------------------------------------------------


class Points(Dataset):
    metainfo = dict(classes=('a', 'b'), palette=np.zeros((2, 3), np.uint8), seen={1, 2})

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int):
        return torch.full((3,), float(index)), index % 2


class Net(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.fc = nn.Linear(3, 2)

    def forward(self, inputs, labels=None, mode='tensor'):
        scores = self.fc(self.norm(inputs))
        if mode == 'loss':
            return dict(loss=nn.functional.cross_entropy(scores, labels))
        return [scores]

    def train_step(self, data, optim_wrapper):
        losses, logged = self.parse_losses(self(*data, mode='loss'))
        optim_wrapper.update_params(losses)
        return logged

    def val_step(self, data):
        return self(*data)


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


def test_numpy_names_of_both_generations(tmp_path):
    # Protocol 2 writes names in plain text, so the other generation's name can be put in.
    content = (tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': {'best': np.float64(1.0)}})
    path = saved(*content, _use_new_zipfile_serialization=False)
    raw = path.read_bytes()
    for mine, other in ((b'numpy._core.', b'numpy.core.'), (b'numpy.core.', b'numpy._core.')):
        path.write_bytes(raw.replace(mine, other))
        assert same(load_weights(path).state_dict, WEIGHTS)


# What it refuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'function, args, named',
    [
        (os.system, 'touch {marker}', 'posix.system'),
        (eval, "open({marker!r}, 'w').close()", 'eval'),
        (Path, '{marker}', 'pathlib'),
    ],
)
@pytest.mark.parametrize('options', [{}, {'_use_new_zipfile_serialization': False}])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, function, args, named, options):
    marker = tmp_path / 'marker'
    evil = Calls(function, args.format(marker=str(marker)))
    path = saved(tmp_path / 'evil.pth', {'state_dict': WEIGHTS, 'meta': evil}, **options)
    with pytest.raises(UnsafeCheckpointError) as error:
        load_weights(path)
    assert str(path) in str(error.value)
    assert named in str(error.value)
    assert 'unsafe_checkpoint=True' in str(error.value)
    assert not marker.exists()


def test_the_opt_in_reads_it_after_all_and_says_so(tmp_path):
    marker = tmp_path / 'marker'
    evil = Calls(os.system, f'touch {marker}')
    path = saved(tmp_path / 'evil.pth', {'state_dict': WEIGHTS, 'extra': evil})
    with pytest.warns(UserWarning, match=r'evil\.pth.*system'):
        checkpoint = load_weights(path, allow_unsafe=True)
    assert same(checkpoint.state_dict, WEIGHTS)
    assert marker.exists()


def test_the_opt_in_is_not_used_where_it_is_not_needed(tmp_path, recwarn):
    load_weights(saved(tmp_path / 'a.pth', WEIGHTS), allow_unsafe=True)
    assert not [w for w in recwarn if 'protection' in str(w.message)]


def test_getattr_gets_nothing(tmp_path):
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': {'got': Calls(getattr, 'abc', 'upper')}})
    assert type(load_weights(path).meta['got']) is Inert


def test_what_getattr_gives_cannot_be_called(tmp_path):
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': Calls(Calls(getattr, 'abc', 'upper'))})
    with pytest.raises(UnsafeCheckpointError, match='unknown kind'):
        load_weights(path)


def test_inert_objects_keep_nothing():
    inert = Inert('any', arguments=1)
    inert.__setstate__({'a': 1})
    assert not hasattr(inert, '__dict__') and not hasattr(inert, 'a')


def test_what_the_process_admits_is_kept_but_stand_ins_win(tmp_path):
    path = saved(
        tmp_path / 'a.pth',
        {
            'state_dict': WEIGHTS,
            'message_hub': {'loss': HistoryBuffer([1.0], [1])},
            'meta': {'got': Calls(getattr, 'abc', 'upper'), 'mine': Net},
        },
    )
    admitted = [getattr, HistoryBuffer, Net]
    before = set(torch.serialization.get_safe_globals())
    with torch.serialization.safe_globals(admitted):
        checkpoint = load_weights(path)
        assert set(torch.serialization.get_safe_globals()) == before.union(admitted)
    assert type(checkpoint.meta['got']) is Inert
    assert checkpoint.meta['mine'] is Net
    assert set(torch.serialization.get_safe_globals()) == before


def test_nothing_stays_admitted_after_a_refusal(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    with pytest.raises(UnsafeCheckpointError):
        load_weights(saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'x': Calls(os.system, '')}))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.filterwarnings('ignore:Detected pickle protocol:UserWarning')
def test_another_pickle_protocol_needs_the_opt_in(tmp_path):
    path = saved(tmp_path / 'a.pth', WEIGHTS, pickle_protocol=4)
    with pytest.raises(UnsafeCheckpointError, match=r'protocol.*unsafe_checkpoint=True'):
        load_weights(path)
    with pytest.warns(UserWarning, match='protocol than the 2'):
        assert same(load_weights(path, allow_unsafe=True).state_dict, WEIGHTS)


def test_missing_file_names_what_is_there(tmp_path):
    saved(tmp_path / 'epoch_2.pth', WEIGHTS)
    with pytest.raises(FileNotFoundError, match=r"epoch_3\.pth' is not a file.*epoch_2\.pth"):
        load_weights(tmp_path / 'epoch_3.pth')
    with pytest.raises(FileNotFoundError, match='is not a file'):
        load_weights(tmp_path)


@pytest.mark.parametrize('options', [{}, {'_use_new_zipfile_serialization': False}])
@pytest.mark.parametrize('kept', [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize('allow_unsafe', [False, True])
@pytest.mark.filterwarnings('ignore:checkpoint:UserWarning')
def test_cut_off_file(tmp_path, options, kept, allow_unsafe):
    path = saved(tmp_path / 'a.pth', {'state_dict': {'w': torch.ones(1000)}}, **options)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept * len(raw))])
    with pytest.raises(CheckpointError, match=r'a\.pth.*cut off, damaged') as error:
        load_weights(path, allow_unsafe)
    assert not isinstance(error.value, UnsafeCheckpointError)


@pytest.mark.filterwarnings('ignore:Detected pickle protocol:UserWarning')
@pytest.mark.parametrize(
    'name, content',
    [
        ('a.txt', b'a text of some length\n' * 20),
        ('a.pth', b'\x89HDF\r\n\x1a\n' + bytes(200)),
        ('a.pkl', pickle.dumps({'w': [1.0, 2.0]})),
        ('a.safetensors', b'no safetensors at all'),
    ],
    ids=['text', 'HDF5', 'pickle', 'safetensors'],
)
def test_foreign_format(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match='cannot be read') as error:
        load_weights(tmp_path / name)
    assert 'weights_only' not in str(error.value)


@pytest.mark.parametrize(
    'content, message',
    [
        ({'epoch': 3, 'lr': 0.1}, "'epoch', 'lr' are something else"),
        ({'state_dict': {'w': torch.ones(1), 'note': 'text'}}, "'note' is something else"),
        ({'state_dict': {}}, 'it is empty'),
        ([torch.ones(1)], 'holds a list'),
        (torch.ones(1), 'holds a Tensor'),
        ({'state_dict': OrderedDict(a=np.ones(2))}, "'a' is something else"),
        ({'state_dict': {0: torch.ones(1)}}, 'names tensors by int'),
        ({'state_dict': {'a': torch.ones(1), ('b',): torch.ones(1), None: 0}}, 'names tensors by NoneType, tuple'),
        ({'a' * 9999: 1}, "'a{80}' is something else"),
    ],
)
def test_a_readable_file_without_weights(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=message):
        load_weights(saved(tmp_path / 'a.pth', content))


@pytest.mark.filterwarnings('ignore::FutureWarning', "ignore:'torch.load' received:UserWarning")
def test_torchscript_is_no_checkpoint(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / 'a.pt')
    with pytest.raises(CheckpointError, match='cannot be read'):
        load_weights(tmp_path / 'a.pt')


def changed(path: Path, old: bytes, new: bytes) -> Path:
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    return path


@pytest.mark.parametrize('allow_unsafe', [False, True])
def test_one_changed_bit(tmp_path, allow_unsafe):
    weights = torch.rand(1000)
    old = weights.numpy().tobytes()[400:410]
    path = changed(saved(tmp_path / 'a.pth', {'w': weights}), old, bytes([old[0] ^ 8]) + old[1:])
    with pytest.raises(DamagedCheckpointError, match=r"checksum of its entry 'a/data/0' is another"):
        load_weights(path, allow_unsafe)


def rezipped(path: Path, compression: int) -> Path:
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_compressed_archives_are_not_unpacked(tmp_path):
    bomb = rezipped(saved(tmp_path / 'bomb.pth', {'w': torch.zeros(4_000_000)}), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 40_000
    with pytest.raises(DamagedCheckpointError, match='entries are compressed'):
        load_weights(bomb)
    stored = rezipped(saved(tmp_path / 'stored.pth', WEIGHTS), zipfile.ZIP_STORED)
    assert same(load_weights(stored).state_dict, WEIGHTS)
