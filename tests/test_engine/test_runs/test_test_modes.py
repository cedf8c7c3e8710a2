# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stores and calibrations know how members were tested: whole or in windows, and with what padding."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.calibration.stores.store import StaleStoreError
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.models.runtimes.networks.segmentor_network import mode_of
from mmcascade.registry import MODELS
from tests.support.members.tiny_segmentors import tiny
from tests.support.projects.tiny_seg_project import write_project

SLIDE = dict(mode='slide', crop_size=(24, 32), stride=(16, 24))


@pytest.mark.parametrize(
    'kind, mode',
    [
        ('fcn', 'whole'),
        ('divisor', 'whole, padded to multiples of 32'),
        ('padded', 'whole, padded to 160 x 160'),
        ('slide', 'in windows of 40 x 40 at steps of 24 x 24'),
        ('slide_padded', 'in windows of 40 x 40 at steps of 24 x 24, padded to multiples of 32'),
    ],
)
def test_a_mode_in_words(kind, mode):
    assert mode_of(tiny(kind)) == mode


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp('modes')
    cfg = write_project(folder, dict(val=4, test=1))
    run_calibration(cfg, CalibrationRequest('deferred=0.3'), folder / 'calibration.json')
    return folder, cfg


@pytest.mark.parametrize(
    'change, told',
    [
        (dict(test_cfg=SLIDE), 'is run in windows of 24 x 32 at steps of 16 x 24'),
        (dict(data_preprocessor=dict(test_cfg=dict(size_divisor=16))), 'is run whole, padded to multiples of 16'),
    ],
)
def test_members_that_are_tested_in_another_way_need_new_ones(project, tmp_path, change, told):
    folder, cfg = project
    other = copy.deepcopy(cfg)
    for key, value in change.items():
        part = other.model.members.large.model.setdefault(key, {})
        part.update(value)
    with pytest.raises(StaleStoreError, match='differs from this run in its members'):
        run_calibration(other, CalibrationRequest('deferred=0.3'), tmp_path / 'c.json', folder / 'calibration.store')
    with pytest.raises(ValueError, match=f"member 'large' of stage 1 was run whole and {told}"):
        MODELS.build(dict(other.model, calibration=str(folder / 'calibration.json')))
    MODELS.build(dict(cfg.model, calibration=str(folder / 'calibration.json')))


def test_files_that_do_not_say_it_are_taken_as_they_are(project):
    folder, cfg = project
    made = Calibration.load(folder / 'calibration.json')
    old = replace(made, cascade=replace(made.cascade, stages=tuple(map(_without_mode, made.cascade.stages))))
    assert 'mode' not in old.to_json()['cascade']['stages'][0]
    other = copy.deepcopy(cfg)
    other.model.members.large.model.test_cfg = SLIDE
    MODELS.build(dict(other.model, calibration=old.to_json()))


def _without_mode(stage: StageIdentity) -> StageIdentity:
    return replace(stage, mode=None)
