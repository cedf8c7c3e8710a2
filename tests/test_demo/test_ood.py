# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Detectors compared on stored scores: against the loop, the real test loop, and each other."""

from __future__ import annotations

import copy
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcascade.comparison.classification.systems import deferred_shares
from mmcascade.comparison.ood.comparison import compare_ood, ood_sets
from mmcascade.comparison.ood.detectors import detector_metrics, mixed_units
from mmcascade.comparison.ood.table import ood_names, ood_sentences, ood_table, report_lines
from mmcascade.demo.ood import run_ood
from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.runs.prepare_store import prepare_store
from tests.support.members.agreeing_members import MEMBERS, member
from tests.support.members.tiny_models import CLASSES, TINY, images
from tests.support.projects.tiny_project import make_project
from tests.support.stored.calibrating import fit_store

N, FAR, NEAR = 40, 12, 9
EVALUATOR = [
    dict(type='mmcascade.OODDetection', tprs=(0.8, 0.95)),
    dict(type='mmcascade.SCOD', coverages=(0.5, 0.8)),
    dict(type='mmcascade.CascadeCost'),
]


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """The config of a small quickstart and that of its OOD cascade."""
    root = tmp_path_factory.mktemp('ood') / 'here'
    cfg = Config.fromfile(make_project(root, 2 * N))
    members = {}
    for name, seed in MEMBERS.items():
        torch.save({'state_dict': member(seed).state_dict(), 'meta': {}}, root / f'{name}.pth')
        members[name] = dict(model=TINY['resnet'], checkpoint=str(root / f'{name}.pth'))
    for folder, count, seed in (('far', FAR, 5), ('near', NEAR, 6)):
        (root / folder).mkdir()
        for index, image in enumerate(images(count, 48, seed=seed).permute(0, 2, 3, 1).numpy()):
            picture = image if folder == 'near' else np.full_like(image, 10 * index)
            cv2.imwrite(str(root / folder / f'{index}.png'), picture)
    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32, interpolation='bilinear')]
    cfg.model = dict(
        type='mmcascade.WindowCascadeClassifier',
        members=members,
        confidence='energy',
        stages=[dict(member='small0', view=0), dict(member='small1', view=0)],
    )
    cfg.test_dataloader.dataset.pipeline = [*steps, dict(type='PackInputs')]
    cfg.val_dataloader = copy.deepcopy(cfg.test_dataloader)
    for split, file, start in (('val_dataloader', 'calibration.txt', 0), ('test_dataloader', 'labels.txt', N)):
        (root / file).write_text(''.join(f'{i:03d}.png {i % CLASSES}\n' for i in range(start, start + N)))
        cfg[split].dataset.ann_file = file
    ood_cfg = copy.deepcopy(cfg)
    ood_cfg.model.members.pop('large')
    pack = dict(type='PackInputs', algorithm_keys=('ood', 'dataset'))
    ood_cfg.test_dataloader.dataset = dict(
        type='ConcatDataset',
        ignore_keys=['classes'],
        datasets=[
            cfg.test_dataloader.dataset,
            *(
                dict(
                    type='CustomDataset',
                    data_root=str(root),
                    data_prefix=name,
                    with_label=False,
                    pipeline=[*steps, dict(type='mmcascade.MarkOOD', name=name), pack],
                )
                for name in ('far', 'near')
            ),
        ],
    )
    ood_cfg.test_evaluator = EVALUATOR
    return cfg, ood_cfg


@pytest.fixture(scope='module')
def part(project, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('work')
    (work_dir / 'results.json').write_text('{"schema": 1, "systems": {}}')
    return run_ood(*project, work_dir, say=lambda line: None), work_dir


def test_part_is_added_to_the_results_with_all_systems_and_pictures(part):
    result, work_dir = part
    assert json.loads((work_dir / 'results.json').read_text()) == {'schema': 1, 'systems': {}, 'ood': result}
    assert set(result['targets']) == {'tpr=0.95', 'tpr=0.8'}
    for target, systems in result['targets'].items():
        assert list(systems) == ['small0', 'small1', 'large', 'ensemble', 'cascade', 'threshold', 'random', 'adjusted']
        assert (work_dir / f'roc_{target.replace("=", "")}.png').stat().st_size > 10_000
        single, ensemble, cascade = (systems[name] for name in ('small0', 'ensemble', 'cascade'))
        assert ensemble['cost/mixture/macs'] == pytest.approx(2 * single['cost/mixture/macs'])
        assert single['cost/id/macs'] < cascade['cost/id/macs'] < ensemble['cost/id/macs']
        for name in ('near', 'far'):
            assert f'scod/{name}/risk@coverage80' in cascade
        assert cascade['cost/mixture/macs'] == pytest.approx(
            np.mean(
                [
                    cascade['cost/id/macs'],
                    (FAR * cascade['cost/far/macs'] + NEAR * cascade['cost/near/macs']) / (FAR + NEAR),
                ]
            )
        )


def test_replayed_cascade_is_the_one_that_a_test_loop_runs(project, part, tmp_path):
    _, ood_cfg = project
    cfg = copy.deepcopy(ood_cfg)
    store, identity = prepare_store(copy.deepcopy(ood_cfg), tmp_path / 'store')
    fit_store(store, identity, 'tpr=0.8').save(tmp_path / 'c.json')
    cfg.model.calibration = str(tmp_path / 'c.json')
    prepare_test(cfg, EvalFlags('ood', work_dir=str(tmp_path)))
    cfg.update(log_level='ERROR', custom_hooks=[], experiment_name='ood')
    values = Runner.from_cfg(cfg).test()
    replayed = part[0]['targets']['tpr=0.8']['cascade']
    shared = replayed.keys() & values.keys()
    assert {'ood/far/auroc', 'ood/near/deployed_fpr', 'scod/all/aurc', 'cost/far/macs'} <= shared
    assert {key: values[key] for key in shared} == pytest.approx({key: replayed[key] for key in shared})


def test_any_config_is_compared_with_given_or_placed_windows(project, tmp_path):
    _, ood_cfg = project
    placed = compare_ood(ood_cfg, tmp_path / 'placed', 'tpr=0.8')
    assert list(placed['systems']) == ['small0', 'small1', 'ensemble', 'cascade', 'threshold', 'random', 'adjusted']
    cfg = copy.deepcopy(ood_cfg)
    cfg.model.policy = dict(type='mmcascade.WindowPolicy', windows=[(None, None)])
    given = compare_ood(cfg, tmp_path / 'given')
    assert json.loads((tmp_path / 'given' / 'ood.json').read_text()) == given
    systems = given['systems']
    for policy in ('cascade', 'threshold', 'random'):  # everybody in distribution goes on, in each of them
        assert systems[policy]['cost/id/macs'] == systems['ensemble']['cost/id/macs']
    assert 'ood/all/deployed_tpr' not in systems['cascade']
    assert systems['small0']['ood/far/auroc'] == pytest.approx(placed['systems']['small0']['ood/far/auroc'])
    assert len(ood_table(systems).rows) == len(systems)


@pytest.mark.filterwarnings('ignore:all .* samples have the confidence')  # a member alone agrees with itself
def test_disagreement_of_two_members_is_the_score_of_their_ensemble(project, part, tmp_path):
    cfg = copy.deepcopy(project[1])
    cfg.model.confidence = 'neg_mutual_information'
    systems = compare_ood(cfg, tmp_path, 'tpr=0.8')['systems']
    assert 'adjusted' not in systems  # the first gap is open
    assert systems['cascade'] == systems['ensemble']
    assert systems['small0']['ood/all/auroc'] == 50
    by_energy = part[0]['targets']['tpr=0.8']['ensemble']
    assert systems['ensemble']['ood/all/auroc'] != by_energy['ood/all/auroc']


def test_equal_shares_mean_equal_cost_on_id_images(part):
    for systems in part[0]['targets'].values():
        cost = {name: systems[name]['cost/id/macs'] for name in ('cascade', 'threshold')}
        assert cost['threshold'] == pytest.approx(cost['cascade'], rel=0.25)  # placed on other images
    assert deferred_shares([1.0, 0.5, 0.1, 0.0, 0.0]) == pytest.approx([0.5, 0.2, 0.0, 0.0])


@pytest.mark.parametrize(
    ('change', 'target', 'message'),
    [
        (dict(), None, 'no policy with windows; name a target'),
        (
            dict(stages=[dict(member='small0'), dict(member='small0')]),
            'tpr=0.8',
            r"the stages run \['small0', 'small0'\]",
        ),
    ],
)
def test_configs_that_cannot_be_compared(project, tmp_path, change, target, message):
    cfg = copy.deepcopy(project[1])
    cfg.model.update(change)
    with pytest.raises(ValueError, match=message):
        compare_ood(cfg, tmp_path, target)
    plain = copy.deepcopy(project[0])
    with pytest.raises(ValueError, match='no ConcatDataset with sets marked'):
        compare_ood(plain, tmp_path, 'tpr=0.8')


def test_sets_are_found_by_their_mark(project):
    assert list(ood_sets(project[1])) == ['far', 'near']


def test_mixture_holds_as_many_of_both_kinds():
    names = np.array(['id'] * 9 + ['far'] * 4)
    units = mixed_units(names)
    assert len(set(units.tolist())) == len(units) == 8
    assert (names[units] == 'id').sum() == 4
    assert len(mixed_units(names[5:])) == 4 + 4


def metrics(id_auroc, **changes):
    keys = {
        f'ood/{name}/{key}': 1.0
        for name in ('far', 'all')
        for key in ('auroc', 'fpr@tpr95', 'deployed_fpr', 'deployed_tpr')
    }
    return {
        **keys,
        'ood/far/auroc': id_auroc,
        'cost/id/macs': 0.5,
        'cost/far/macs': 0.25,
        'cost/mixture/macs': 0.375,
        **changes,
    }


def test_table_and_words_say_what_hurts():
    systems = {'a': metrics(90.0), 'b': metrics(80.0), 'ensemble': metrics(85.0)}
    assert ood_names(systems) == ['far']
    table = ood_table(systems)
    header, first = table.titles, table.texts()[0]
    assert header == [
        'system',
        'far AUROC',
        'far FPR@TPR95',
        'far deployed FPR',
        'deployed TPR',
        'MMACs ID',
        'MMACs far',
        'MMACs 1:1 mixture',
    ]
    assert first == ['a', '90.00', '1.00', '1.00', '1.00', '500.00', '250.00', '375.00']
    hurts, larger = ood_sentences(systems, ['a', 'b'], ['b'])
    assert 'averaging hurts: AUROC 85.00 for the ensemble, 90.00 for its best member a' in hurts
    assert 'the larger member b is the worse detector: AUROC 80.00, against 90.00 of a' in larger
    systems['ensemble'] = metrics(95.0)
    assert 'averaging helps' in ood_sentences(systems, ['a', 'b'], [])[0]
    lines = report_lines({'confidence': 'energy', 'targets': {'tpr=0.95': systems}}, ['a', 'b'], ['b'])
    assert ood_table(systems).as_markdown() in lines
    for system in systems.values():
        for key in [key for key in system if 'deployed' in key]:
            del system[key]
    assert ood_table(systems).titles == [
        'system',
        'far AUROC',
        'far FPR@TPR95',
        'MMACs ID',
        'MMACs far',
        'MMACs 1:1 mixture',
    ]


def test_measure_reads_labels_of_id_units_only():
    from mmcascade.calibration.replay.replay import Replay

    result = Replay(np.array([3.0, 2.0, 1.0]), np.array([0, 1, 0]), np.array([0, 1, 0]), np.array([1e9, 3e9, 5e9]))
    values = detector_metrics(result, np.array([0, 0, -1]), np.array(['id', 'id', 'far']), accept=1.5)
    assert values['ood/far/auroc'] == values['ood/far/deployed_tpr'] == 100
    assert values['ood/far/deployed_fpr'] == 0
    assert values['cost/mixture/macs'] == (2 + 5) / 2
