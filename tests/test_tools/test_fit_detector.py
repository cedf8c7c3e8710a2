# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade that is routed by a post-hoc detector, from its feature bank to its deployed threshold."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, init_default_scope

from mmcascade.calibration.detectors import BankError, FeatureBank
from mmcascade.calibration.stores.score_store import StoreError
from mmcascade.engine.runs.fit_detector import fit_bank
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.models.runtimes.networks.features import feature_output
from mmcascade.registry import MODELS
from tests.support import ROOT
from tests.support.members.tiny_models import CLASSES, tiny
from tests.support.projects.tiny_project import make_split_project
from tests.support.stored.calibrating import fit_store

BANK, CALIBRATION, TEST = 20, 40, 13
K = 2


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Images for the bank, for calibration and for the test, in this order."""
    return make_split_project(tmp_path_factory.mktemp('detector') / 'here', CALIBRATION, TEST, BANK)


@pytest.fixture(scope='module')
def bank(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp('bank')
    made = fit_bank(Config.fromfile(project), 'detector_dataloader', folder / 'store')
    made.save(folder / 'bank.npz')
    return folder / 'bank.npz'


def with_detector(project, bank):
    cfg = Config.fromfile(project)
    cfg.model.confidence = dict(type='mmcascade.KNNConfidence', bank=str(bank), k=K)
    return cfg


def batch_of(cfg, split):
    init_default_scope('mmpretrain')
    dataset = DATASETS.build(cfg[split].dataset)
    return default_collate([dataset[i] for i in range(len(dataset))])


@torch.no_grad()
def own_features(cfg, split):
    """Per stage the features of a split, straight from the members."""
    views = batch_of(cfg, split)['inputs']
    features = []
    for view, model in enumerate((tiny('resnet', 0), tiny('mobilenet', 1))):
        x = model.data_preprocessor(dict(inputs=views[view]))['inputs']
        features.append(feature_output(model, x).features.double().numpy())
    return features


def distances(cfg, split):
    """Per stage the negative distance of each image to its K-th neighbour in the bank, by brute force."""
    scores = []
    for rows, known in zip(own_features(cfg, split), own_features(cfg, 'detector_dataloader'), strict=True):
        rows, known = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, known))
        scores.append(-np.sort(np.linalg.norm(rows[:, None] - known[None], axis=2), axis=1)[:, K - 1])
    return scores


def test_a_cascade_routes_by_the_detector_that_was_calibrated(project, bank, tmp_path):
    cfg = with_detector(project, bank)
    store, identity = prepare_store(cfg, tmp_path / 'store')
    calibration = fit_store(store, identity, 'tpr=0.8', half_width=0.2)
    first, second = distances(cfg, 'val_dataloader')
    tau = np.sort(first)[::-1][int(np.ceil(0.8 * CALIBRATION)) - 1]
    assert calibration.tau == pytest.approx([tau], abs=1e-4)
    low, high = calibration.windows[0]
    merged = np.where((first >= low) & (first <= high), (first + second) / 2, first)
    last = int(np.ceil(0.8 * CALIBRATION))
    assert calibration.accept == pytest.approx(np.sort(merged)[::-1][last - 1 : last + 1].mean(), abs=1e-4)

    calibration.save(tmp_path / 'c.json')
    written = json.loads((tmp_path / 'c.json').read_text())
    assert written['cascade']['confidence'] == f'KNNConfidence(k={K}, bank={FeatureBank.load(bank).fingerprint})'
    assert 'detector' not in written['cascade']
    cfg.model.calibration = str(tmp_path / 'c.json')
    samples = MODELS.build(cfg.model).test_step(batch_of(cfg, 'test_dataloader'))
    first, second = distances(cfg, 'test_dataloader')
    goes = (first >= low) & (first <= high)
    assert 0 < goes.sum() < TEST, 'the fixture must route'
    np.testing.assert_allclose([s.confidence for s in samples], np.where(goes, (first + second) / 2, first), atol=1e-4)
    assert [s.exit_stage for s in samples] == goes.astype(int).tolist()


def test_the_calibration_belongs_to_its_detector(project, bank, tmp_path):
    cfg = with_detector(project, bank)
    store, identity = prepare_store(cfg, tmp_path / 'store')
    fit_store(store, identity, 'tpr=0.8').save(tmp_path / 'c.json')
    cfg.model.calibration = str(tmp_path / 'c.json')
    cfg.model.confidence.k = K + 1
    with pytest.raises(ValueError, match=r'confidence was .KNNConfidence\(k=2, .* and is .KNNConfidence\(k=3, '):
        MODELS.build(cfg.model)
    plain = Config.fromfile(project)
    with pytest.raises(StoreError, match='differs from this run in its kind'):
        prepare_store(plain, tmp_path / 'store')


def test_changed_members_stages_and_heads_are_refused(project, bank):
    cfg = with_detector(project, bank)
    cfg.model.policy = dict(type='mmcascade.WindowPolicy', windows=[None])
    model = MODELS.build(cfg.model)
    with torch.no_grad():
        next(model.members['large'].parameters()).add_(1e-3)
    with pytest.raises(BankError, match="weights of stage 'large on view 1' have changed"):
        model.test_step(batch_of(cfg, 'test_dataloader'))
    cfg.model.stages[1].view = 0
    with pytest.raises(BankError, match="no features of stage 'large on view 0'"):
        MODELS.build(cfg.model)
    cfg = with_detector(project, bank)
    cfg.model.members.small = dict(
        model=dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=dict(type='LeNet5', num_classes=CLASSES),
            neck=None,
            head=dict(type='ClsHead'),
        )
    )
    with pytest.raises(ValueError, match="member 'small' of stage 0 does not give: ClsHead is fed class scores"):
        MODELS.build(cfg.model)
    cfg = with_detector(project, bank)
    cfg.model.stages[0].compile = True
    with pytest.raises(ValueError, match='compile= serves class scores only'):
        MODELS.build(cfg.model)


def test_the_bank_holds_images_of_its_own(project, tmp_path):
    cfg = Config.fromfile(project)
    bank = fit_bank(cfg, 'detector_dataloader', tmp_path / 'store', images=7, seed=3)
    assert bank.images == 7
    assert list(bank.features) == ['small on view 0', 'large on view 1']
    with pytest.raises(ValueError, match='40 of the 40 images of val_dataloader are also in val_dataloader'):
        fit_bank(cfg, 'val_dataloader', tmp_path / 'other')
    with pytest.raises(ValueError, match="the config has no 'nothing'"):
        fit_bank(cfg, 'nothing', tmp_path / 'other')


def test_images_marked_as_out_of_distribution_are_left_out(project, tmp_path):
    cfg = Config.fromfile(project)
    marked = Config.fromfile(project).detector_dataloader.dataset
    marked.update(
        ann_file='labels.txt',
        pipeline=[*marked.pipeline[:-1], dict(type='mmcascade.MarkOOD', name='far'), marked.pipeline[-1]],
    )
    cfg.test_dataloader = None
    cfg.detector_dataloader.dataset = dict(type='ConcatDataset', datasets=[cfg.detector_dataloader.dataset, marked])
    bank = fit_bank(cfg, 'detector_dataloader', tmp_path / 'store')
    assert bank.images == BANK
    assert (bank.labels >= 0).all()


def test_the_tool_writes_a_bank_and_ends_without_a_traceback(project, run_tool, tmp_path):
    tool = ROOT / 'tools' / 'fit_detector.py'
    run_tool(tool, project, 'out/bank.npz', '--images', '5')
    assert FeatureBank.load(tmp_path / 'out' / 'bank.npz').images == 5
    done = run_tool(tool, project, 'b.npz', '--dataloader', 'nothing', ok=False)
    assert done.stderr.splitlines()[-1].startswith("error: the config has no 'nothing'")
