# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One test loop over in-distribution and OOD sets gives the numbers of separate runs."""

from __future__ import annotations

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner

from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from tests.support.members.tiny_models import images
from tests.support.projects.tiny_project import make_project
from tests.support.references import brute_force

OOD = """
def marked(name):
    pack = dict(type='PackInputs', algorithm_keys=('ood', 'dataset'))
    return dict(type='CustomDataset', data_root='{root}', data_prefix=name, with_label=False,
                pipeline=[*test_pipeline[:-1], dict(type='mmcascade.MarkOOD', name=name), pack])
ood = [marked('noise'), marked('grey')]
id_set = test_dataloader['dataset']
test_dataloader['dataset'] = dict(type='ConcatDataset', datasets=[id_set, *ood], ignore_keys=['classes'])
test_evaluator = [
    dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1,))),
    dict(type='mmcascade.SelectiveRisk', coverages=(0.5,)),
    dict(type='mmcascade.OODDetection', tprs=(0.8,)),
    dict(type='mmcascade.SCOD', coverages=(0.8,)),
    dict(type='mmcascade.CascadeCost')]
del marked
"""
SIZES = {'id': 13, 'noise': 6, 'grey': 4}


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp('ood') / 'here'
    config = make_project(root, SIZES['id'])
    pictures = images(SIZES['noise'] + SIZES['grey'], 48, seed=3).permute(0, 2, 3, 1).numpy()
    for index, picture in enumerate(pictures):
        name = 'noise' if index < SIZES['noise'] else 'grey'
        picture = picture if name == 'noise' else np.repeat(picture.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
        mmcv.imwrite(np.ascontiguousarray(picture), str(root / name / f'{index}.png'))
    config.write_text(config.read_text() + OOD.format(root=root))
    return config


class Keep(BaseMetric):
    """Keeps what comes out of the model."""

    default_prefix = 'keep'

    def __init__(self):
        super().__init__()
        self.samples = []

    def process(self, data_batch, data_samples):
        self.samples += data_samples
        self.results += [()] * len(data_samples)

    def compute_metrics(self, results):
        return dict(samples=len(results))


def run(cfg, folder):
    keep = Keep()
    prepare_test(cfg, EvalFlags(str(folder), work_dir=str(folder)))
    cfg.update(log_level='ERROR', experiment_name=folder.name, custom_hooks=[])
    runner = Runner.from_cfg(cfg)
    runner.test_evaluator.metrics.append(keep)
    return runner.test(), keep.samples


@pytest.fixture(scope='module')
def separate(project, tmp_path_factory):
    """The samples of three runs, one per set."""
    samples = {}
    for index, name in enumerate(SIZES):
        cfg = Config.fromfile(project)
        cfg.test_dataloader.dataset = cfg.test_dataloader.dataset.datasets[index]
        cfg.test_evaluator = dict(type='mmcascade.CascadeCost')
        folder = tmp_path_factory.mktemp(name)
        values, samples[name] = run(cfg, folder)
        assert len(samples[name]) == SIZES[name]
        assert values['cost/macs'] == pytest.approx(np.mean([s['macs'] for s in samples[name]]) / 1e9)
    return samples


@pytest.fixture(scope='module')
def expected(separate):
    """All metrics by plain arithmetic on the samples of the separate runs."""

    def column(name, field):
        return np.array([float(s[field]) for s in separate[name]])

    wrong = column('id', 'pred_label') != column('id', 'gt_label')
    assert 0 < wrong.mean() < 1
    assert set(column('noise', 'exit_stage')) == {0, 1}, 'the fixture must route'
    confidence = column('id', 'confidence')
    values = {
        'accuracy/top1': 100 * (1 - wrong.mean()),
        'selective/aurc': 100 * brute_force.aurc(confidence, wrong),
        'selective/deployed_coverage': 100 * (confidence >= 0.5).mean(),
    }
    everything = np.concatenate([column(name, 'macs') for name in SIZES])
    values['cost/macs'] = everything.mean() / 1e9
    for name in SIZES:
        values[f'cost/{name}/macs'] = column(name, 'macs').mean() / 1e9
    for name, sets in (('noise', ['noise']), ('grey', ['grey']), ('all', ['noise', 'grey'])):
        outside = np.concatenate([column(s, 'confidence') for s in sets])
        scores, ood = np.r_[confidence, outside], np.r_[np.zeros(len(confidence), bool), np.ones(len(outside), bool)]
        errors = np.r_[wrong, np.zeros(len(outside), bool)]
        values[f'ood/{name}/auroc'] = 100 * brute_force.auroc(scores, ~ood)
        values[f'ood/{name}/aupr_in'] = 100 * brute_force.aupr(scores, ~ood)
        values[f'ood/{name}/aupr_out'] = 100 * brute_force.aupr(-scores, ood)
        values[f'ood/{name}/fpr@tpr80'] = 100 * brute_force.fpr_at_tpr(scores, ~ood, 0.8)
        values[f'ood/{name}/deployed_tpr'] = 100 * (confidence >= 0.5).mean()
        values[f'ood/{name}/deployed_fpr'] = 100 * (outside >= 0.5).mean()
        values[f'scod/{name}/aurc'] = 100 * brute_force.scod_aurc(scores, errors, ood, 0.5, 1.0)
        rows = brute_force.scod_points(scores, errors, ood, 0.5, 1.0)
        values[f'scod/{name}/risk@coverage80'] = 100 * next(loss / mass for _, mass, loss, c in rows if c >= 0.8)
    return values


def assert_metrics(metrics, expected):
    assert {key: metrics[key] for key in expected} == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_one_loop_gives_the_numbers_of_three_runs(project, expected, separate, tmp_path):
    values, samples = run(Config.fromfile(project), tmp_path / 'together')
    assert len(samples) == sum(SIZES.values())
    assert_metrics(values, expected)
    apart = [s for name in SIZES for s in separate[name]]
    assert [s['exit_stage'] for s in samples] == [s['exit_stage'] for s in apart]


@pytest.mark.slow
def test_two_processes_count_every_image_once(project, expected, metrics_of_two_processes):
    """23 images on two processes: the sampler's repeated image must not count."""
    assert_metrics(metrics_of_two_processes(project, 'test_dataloader.batch_size=3'), expected)
