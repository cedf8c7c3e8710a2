# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade under test-time augmentation against MMPretrain's own, on the same images."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, DefaultScope
from mmengine.registry import MODELS as MM_MODELS

from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.configs.tta import apply_tta, full_tta_policy, repeat_stages, tta_views
from mmcascade.registry import MODELS, TASK_UTILS
from mmcascade.routing import WindowPolicy
from tests.support.projects.tiny_project import make_project

N = 7
LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackInputs')
SIZES = [dict(type='Resize', scale=scale, interpolation='bilinear') for scale in (32, 40)]
FLIPS = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
MULTI_VIEW = dict(type='MultiView', num_views=[1, 1], transforms=[[SIZES[0]], [SIZES[1]]])
FOUR = [LOAD, dict(type='TestTimeAug', transforms=[SIZES, FLIPS, [PACK]])]
WINDOW = 'mmcascade.WindowPolicy'


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project') / 'here', n=N)


@pytest.fixture(autouse=True)
def library_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture
def cfg(project):
    return Config.fromfile(project)


def one_stage(cfg):
    del cfg.model.members['large']
    cfg.model.update(stages=[dict(member='small')], policy=None)
    return cfg


def batch_of(cfg):
    dataset = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
    return default_collate([dataset[i] for i in range(N)])


def run(cfg):
    return MODELS.build(copy.deepcopy(cfg.model)).test_step(batch_of(cfg))


def scores(samples):
    return np.stack([sample.pred_score.numpy() for sample in samples])


def library_tta(cfg, member, pipeline):
    """MMPretrain's own: every augmentation by itself, then the mean."""
    model = dict(type='mmpretrain.AverageClsScoreTTA', module=copy.deepcopy(cfg[member]))
    cfg.test_dataloader.dataset.pipeline = pipeline
    built = MM_MODELS.build(model).eval()
    built.module.load_state_dict(torch.load(cfg.model.members[member].checkpoint, weights_only=False)['state_dict'])
    with torch.no_grad():
        return scores(built.test_step(batch_of(cfg)))


def test_never_exiting_equals_the_librarys_average_of_four(cfg):
    expected = library_tta(copy.deepcopy(cfg), 'small', FOUR)
    cfg = one_stage(cfg)
    alone = run_macs(copy.deepcopy(cfg))
    cfg.tta_pipeline = FOUR
    cfg.tta_model = dict(type='mmpretrain.AverageClsScoreTTA')
    prepare_test(cfg, EvalFlags('x.py', tta=True))
    samples = run(cfg)
    np.testing.assert_allclose(scores(samples), expected, rtol=1e-5, atol=1e-6)
    for sample, row in zip(samples, expected, strict=True):
        assert sample.exit_stage == 3
        assert int(sample.pred_label) == row.argmax()
        assert sample.confidence == pytest.approx(row.max(), rel=1e-5)
        assert sample.accepted == (sample.confidence >= 0.5)
        assert sample.macs == 2 * alone[0] + 2 * alone[1]


def run_macs(cfg):
    """What the member costs at each of the two sizes, from a cascade of its own for each."""
    macs = []
    for size in SIZES:
        cfg.test_dataloader.dataset.pipeline = [LOAD, size, PACK]
        macs.append({sample.macs for sample in run(cfg)})
    assert all(len(found) == 1 for found in macs)
    return [found.pop() for found in macs]


def test_without_a_tta_pipeline_it_is_the_librarys_flip(cfg):
    pipeline = [LOAD, SIZES[0], PACK]
    flips = [LOAD, SIZES[0], dict(type='TestTimeAug', transforms=[FLIPS, [PACK]])]
    expected = library_tta(copy.deepcopy(cfg), 'small', flips)
    cfg = one_stage(cfg)
    cfg.test_dataloader.dataset.pipeline = pipeline
    apply_tta(cfg)
    assert [stage.flip for stage in cfg.model.stages] == [False, True]
    np.testing.assert_allclose(scores(run(cfg)), expected, rtol=1e-5, atol=1e-6)


def test_each_stage_of_a_cascade_becomes_its_own_average(cfg):
    """Decisions, as before, stand between the members, and are about their averages."""
    averages = []
    for member, size in (('small', SIZES[0]), ('large', SIZES[1])):
        pipeline = [LOAD, size, dict(type='TestTimeAug', transforms=[FLIPS, [PACK]])]
        averages.append(library_tta(copy.deepcopy(cfg), member, pipeline))
    border = float(np.sort(averages[0].max(1))[2:4].mean())  # three go on
    cfg.model.policy.windows = [(None, border)]
    cfg.tta_pipeline = [LOAD, MULTI_VIEW, dict(type='TestTimeAug', transforms=[FLIPS, [PACK]])]
    apply_tta(cfg)
    samples = run(cfg)
    goes_on = averages[0].max(1) <= border
    assert goes_on.sum() == 3
    expected = np.where(goes_on[:, None], (averages[0] + averages[1]) / 2, averages[0])
    np.testing.assert_allclose(scores(samples), expected, rtol=1e-5, atol=1e-6)
    assert [sample.exit_stage for sample in samples] == [3 if on else 1 for on in goes_on]


def test_a_tta_cascade_stops_between_augmentations(cfg):
    cfg = one_stage(cfg)
    cfg.tta_pipeline = FOUR
    cfg.tta_model = dict(policy=dict(type=WINDOW, windows=[None, (None, None), (None, None)]), accept=0.9)
    apply_tta(cfg)
    assert cfg.model.accept == 0.9
    assert {sample.exit_stage for sample in run(cfg)} == {0}


def test_the_calibration_of_repeated_stages_fits_what_is_tested(cfg):
    cfg = one_stage(cfg)
    cfg.test_dataloader.dataset.pipeline = [LOAD, SIZES[0], PACK]
    other = copy.deepcopy(cfg)
    assert repeat_stages(other, ['test_dataloader']) == 2
    other.model.policy = dict(type=WINDOW, windows=[(0.2, 0.3)])
    tested = copy.deepcopy(cfg)
    tested.tta_model = dict(policy=other.model.policy)
    apply_tta(tested)
    assert MODELS.build(tested.model).identity() == MODELS.build(other.model).identity()


def test_wrapped_data_sets_get_the_pipeline(cfg):
    cfg = one_stage(cfg)
    cfg.tta_pipeline = FOUR
    cfg.test_dataloader.dataset = dict(type='RepeatDataset', times=1, dataset=cfg.test_dataloader.dataset)
    apply_tta(cfg)
    assert cfg.test_dataloader.dataset.dataset.pipeline[-2].num_views == [1] * 4


def test_views_of_a_multi_view_come_first(cfg):
    pipeline, augmentations = tta_views([LOAD, MULTI_VIEW, dict(type='TestTimeAug', transforms=[FLIPS, [PACK]])])
    assert augmentations == 2
    assert pipeline[0] == LOAD and pipeline[2] == PACK
    assert pipeline[1]['transforms'] == [[size, flip] for size in SIZES for flip in FLIPS]


@pytest.mark.parametrize(
    'policy, expected',
    [
        (
            dict(type='WindowPolicy', windows=[(0.1, 0.2), None]),
            [(None, None), (0.1, 0.2), (None, None), None, (None, None)],
        ),
        (
            dict(type='mmcascade.ThresholdPolicy', thresholds=[0.7, None]),
            [(None, None), (None, 0.7), (None, None), None, (None, None)],
        ),
    ],
)
def test_policies_decide_between_stages_only(policy, expected):
    full = full_tta_policy(policy, 2)
    assert full['windows'] == expected
    assert TASK_UTILS.build({**full, 'type': WINDOW}).num_gaps == 5


def test_policies_may_be_named_by_their_class():
    assert full_tta_policy(dict(type=WindowPolicy, windows=[(0.1, 0.2)]), 1)['windows'] == [(0.1, 0.2)]


def test_random_deferral_stays_between_stages():
    policy = full_tta_policy(dict(type='mmcascade.RandomPolicy', rates=[0.25], seed=3), 3)
    assert policy == dict(type='mmcascade.RandomPolicy', rates=[1.0, 1.0, 0.25, 1.0, 1.0], seed=3)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(model=dict(fusion='replace')), "fusion='replace' keeps the last stage's scores"),
        (dict(model=dict(calibration='x.json', policy=None)), 'fitted without test-time augmentation.*--tta'),
        (dict(model=dict(policy=dict(_delete_=True, type='Mine', knobs=[1]))), "rules of the policy 'Mine'"),
        (
            dict(model=dict(policy=dict(_delete_=True, type='mmcascade.AdjustedWindowPolicy', windows=[(0.2, 0.4)]))),
            "rules of the policy 'mmcascade.AdjustedWindowPolicy'",
        ),
        (dict(model=dict(policy=dict(_delete_=True, type='Mine', thresholds=[0.5]))), "rules of the policy 'Mine'"),
        (dict(tta_model=dict(type='MyTTA')), 'tta_model of a cascade is empty'),
        (dict(tta_model=dict(windows=[])), 'tta_model of a cascade is empty'),
        (dict(tta_pipeline=FOUR), r'stage 1 reads view 1, but tta_pipeline makes 1 view\(s\).*MultiView'),
        (dict(tta_pipeline=[LOAD, PACK]), "the last transform of a tta_pipeline is TestTimeAug, got 'PackInputs'"),
        (dict(tta_pipeline=[LOAD, dict(type='TestTimeAug', transforms=[FLIPS])]), 'the last list of TestTimeAug'),
        (
            dict(model=dict(type='mmcascade.CascadeSegmentor')),
            "cascades of classifiers, got 'mmcascade.CascadeSegmentor'",
        ),
    ],
)
def test_what_has_no_right_result_is_refused(cfg, change, message):
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError, match=message):
        apply_tta(cfg)


def test_two_pipelines_are_not_mixed_up(cfg):
    cfg = one_stage(cfg)
    cfg.tta_pipeline = FOUR
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[cfg.test_dataloader.dataset] * 2)
    with pytest.raises(ValueError, match='has 2 pipelines.*Leave tta_pipeline out'):
        apply_tta(cfg)
