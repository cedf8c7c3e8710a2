# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""benchmarks/zoo/ tells networks that work as members from those that do not."""

from __future__ import annotations

import importlib

import pytest
from mmengine.registry import init_default_scope

from tests.support import ROOT
from tests.support.members.tiny_segmentors import TINY as SEGMENTORS


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks' / 'zoo'))


def timm(name):
    normalised = dict(mean=[127.5] * 3, std=[127.5] * 3)
    return dict(_scope_='mmpretrain', type='TimmClassifier', model_name=name, data_preprocessor=normalised)


def test_a_classifier_that_works_has_its_own_predictions_and_count():
    found = importlib.import_module('zoo_classifiers').check_classifier(timm('test_convnext'), 64)
    assert (found['status'], found['reason'], found['size']) == ('works', '', 64)
    assert found['ratio'] == pytest.approx(1, abs=0.1)
    assert 0 <= found['difference'] < 1e-4


def test_a_classifier_that_is_none_is_the_librarys_fault():
    found = importlib.import_module('zoo_classifiers').check_classifier(timm('no_such_network'), 64)
    assert found['status'] == 'library'
    assert 'no_such_network' in found['reason']


def test_predictions_of_another_network_are_a_fault(monkeypatch):
    script = importlib.import_module('zoo_classifiers')
    predict = script.predict
    monkeypatch.setattr(script, 'predict', lambda module, images: predict(module, images).flip(0))
    found = script.check_classifier(timm('test_convnext'), 64)
    assert found['status'] == 'fault'
    assert 'predictions differ' in found['reason']


def test_a_segmentor_that_works_has_its_own_labels_and_count():
    init_default_scope('mmseg')
    found = importlib.import_module('zoo_segmentors').check_segmentor(SEGMENTORS['fcn'])
    assert (found['status'], found['reason'], found['size']) == ('works', '', 128)
    assert found['ratio'] == pytest.approx(1, abs=0.1)


def test_both_scripts_can_be_started():
    for name in ('zoo', 'zoo_export'):
        assert set(importlib.import_module(name).STATUSES) >= {'library', 'time', 'fault'}
