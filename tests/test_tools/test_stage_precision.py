# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Thresholds and stored scores know in which precision each stage ran."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config

from mmcascade.calibration.stores.identity import chain_precision, joined_precision
from mmcascade.calibration.stores.score_store import StoreError
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.registry import MODELS
from tests.support.projects.tiny_project import make_project
from tests.support.stored.calibrating import fit_store

MIXED = 'bfloat16, float32'


@pytest.fixture(scope='module')
def cfg(tmp_path_factory):
    cfg = Config.fromfile(make_project(tmp_path_factory.mktemp('precision') / 'here'))
    cfg.val_dataloader, cfg.test_dataloader = cfg.test_dataloader, None
    for key in ('policy', 'accept'):
        cfg.model.pop(key)
    return cfg


def with_amp(cfg, *names):
    cfg = copy.deepcopy(cfg)
    for stage, name in zip(cfg.model.stages, names, strict=True):
        stage.amp = name
    return cfg


@pytest.fixture(scope='module')
def mixed(cfg, tmp_path_factory):
    """The store and the calibration of a cascade whose first stage runs in half precision."""
    folder = tmp_path_factory.mktemp('mixed')
    store, identity = prepare_store(with_amp(cfg, 'bfloat16', None), folder / 'store')
    path = folder / 'c.json'
    fit_store(store, identity, 'coverage=0.5').save(path)
    return folder / 'store', path


def run(cfg, calibration):
    model = MODELS.build(dict(cfg.model, calibration=str(calibration)))
    sides = 32, 40
    model.test_step(dict(inputs=[torch.zeros(2, 3, side, side, dtype=torch.uint8) for side in sides]))


def test_the_precision_of_each_stage_is_written(cfg, mixed):
    assert prepare_store(with_amp(cfg, 'bfloat16', 'float32'), mixed[0])[1].precision == MIXED


def test_a_store_of_another_precision_is_refused(cfg, mixed):
    with pytest.raises(StoreError, match='members'):
        prepare_store(cfg, mixed[0])


@pytest.mark.parametrize(
    ('names', 'here'),
    [((None, None), 'float32'), ((None, 'bfloat16'), 'float32, bfloat16'), (('bfloat16', 'bfloat16'), 'bfloat16')],
)
def test_thresholds_of_another_precision_give_a_warning(cfg, mixed, names, here):
    with pytest.warns(UserWarning, match=f'calibrated in {MIXED} and this test runs in {here}:'):
        run(with_amp(cfg, *names), mixed[1])


def test_thresholds_of_the_same_precision_give_none(cfg, mixed, recwarn):
    run(with_amp(cfg, 'bfloat16', None), mixed[1])
    assert not [warning for warning in recwarn if 'calibrated' in str(warning.message)]


def test_a_part_of_a_cascade_keeps_the_precision_of_its_stages():
    assert joined_precision(['float32', 'float32']) == 'float32'
    assert chain_precision('float32', (0, 2)) == 'float32'
    assert chain_precision('bfloat16, float32, bfloat16', (0, 2)) == 'bfloat16'
    assert chain_precision(MIXED, (1, 2)) == 'float32, bfloat16', 'two stores of two stages each'
