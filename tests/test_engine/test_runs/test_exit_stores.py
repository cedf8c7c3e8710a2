# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of one network in stores, searches and deferred tests: what is stored is what a test does and costs."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.engine.configs.chains import chain_stages
from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.runs.prepare_store import build_without_calibration, prepare_store
from mmcascade.models.stages.views.batch_views import as_views
from mmcascade.routing import WindowPolicy
from tests.support.projects.exit_project import exits_model, make_exit_project

ROOT = Path(__file__).parents[3]
OPEN = (None, None)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_exit_project(tmp_path_factory.mktemp('exits') / 'project', 24)


def config_of(project):
    cfg = Config.fromfile(str(project))
    for key in ('policy', 'accept'):
        cfg.model.pop(key, None)
    cfg.val_dataloader, cfg.test_dataloader = copy.deepcopy(cfg.test_dataloader), None
    return cfg


@pytest.fixture(scope='module')
def filled(project, tmp_path_factory):
    return prepare_store(config_of(project), tmp_path_factory.mktemp('store') / 's', device='cpu')


def images_of(project):
    cfg = config_of(project)
    loader = Runner.build_dataloader(dict(cfg.val_dataloader, collate_fn=dict(type='default_collate')))
    return torch.cat([as_views(batch['inputs'])[0] for batch in loader])


@torch.no_grad()
def test_a_store_holds_what_every_exit_says_and_costs(project, filled):
    store, _ = filled
    model = build_without_calibration(config_of(project))
    images = images_of(project)
    member = exits_model()
    inputs = member.data_preprocessor(dict(inputs=images))['inputs']
    for k, exit in enumerate((0, 1, 3)):
        right = torch.cat([member.all_exits(part)[exit] for part in inputs.split(4)])
        np.testing.assert_array_equal(store.scores[k], right.numpy())
    costs = [stage.costs for stage in model.stages]
    whole, spent = [c.whole(images) for c in costs], [c.spent(images) for c in costs]
    assert store.macs[0].tolist() == [whole[0], whole[1] - spent[0], whole[2] - spent[1]]
    assert store.spent[5].tolist() == spent
    assert store.header.trunks == [0, 0, 0]
    assert ScoreStore.open(store.folder).header == store.header
    # Any chain of stored exits costs what it costs when it runs, skipped exits included.
    stages = store.stages()
    for chain in itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in (1, 2, 3)):
        found = replay([stages[k] for k in chain], WindowPolicy([OPEN] * (len(chain) - 1)), store.units)
        heads = [whole[k] - spent[k] for k in chain]
        assert found.macs[0] == spent[chain[-1]] + sum(heads)


def test_killed_and_gone_on_with_it_is_the_same(project, filled, tmp_path):
    class Killed(BaseException):
        pass

    def dies(done, total):
        if done >= 8:
            raise Killed

    with pytest.raises(Killed):
        prepare_store(config_of(project), tmp_path / 's', device='cpu', progress=dies)
    assert 0 < ScoreStore.open(tmp_path / 's').filled < 24
    again, _ = prepare_store(config_of(project), tmp_path / 's', device='cpu')
    for name in ('stage0.npy', 'stage1.npy', 'stage2.npy', 'macs.npy', 'spent.npy', 'labels.npy'):
        assert (tmp_path / 's' / name).read_bytes() == (filled[0].folder / name).read_bytes()
    assert again.complete


def test_replay_calibration_and_a_real_run_agree(project, filled):
    store, identity = filled
    made = calibrate(store, identity, CalibrationRequest('deferred=0.5'))
    found = replay(store.stages(), made.policy(), store.units, fusion='replace')
    cfg = config_of(project)
    cfg.model.calibration = made.to_json()
    from mmcascade.registry import MODELS

    cascade = MODELS.build(cfg.model)
    outcome = cascade.ready().route([images_of(project)])
    assert np.mean(outcome.exit_stage == found.exit_stage) > 0.9  # batches of another size round otherwise
    same = outcome.exit_stage == found.exit_stage
    assert outcome.macs[same].tolist() == found.macs[same].tolist()
    assert made.measured['macs'] == pytest.approx(found.macs.mean())


def test_chains_skip_exits_and_their_configs_go_on_from_what_is_left(filled):
    candidates = Candidates.from_stores([filled[0]], fusion='replace')
    assert candidates.names == ['net@0@exit0', 'net@0@exit1', 'net@0@exit3']
    stages = filled[0].stages()
    for chain in ((0,), (2,), (0, 2), (1, 2), (0, 1, 2)):
        whole = replay([stages[k] for k in chain], WindowPolicy([OPEN] * (len(chain) - 1)), 24)
        assert candidates.worst_case(chain) == whole.macs.max()
        last = np.full(24, len(chain) - 1)
        np.testing.assert_array_equal(candidates.costs.of(chain, last), whole.macs)
    declared = [
        dict(member='net', exit=0),
        dict(member='other'),
        dict(member='net', exit=1, continues=0, waits_with='input'),
        dict(member='net', exit=3, continues=2),
    ]
    assert chain_stages(declared, (0, 3)) == [declared[0], dict(member='net', exit=3, continues=0)]
    assert chain_stages(declared, (2,)) == [dict(member='net', exit=1)]
    assert chain_stages(declared, (1, 2, 3)) == [
        declared[1],
        dict(member='net', exit=1),
        dict(member='net', exit=3, continues=1),
    ]
    assert chain_stages(declared, (3, 0)) == [dict(member='net', exit=3), declared[0]]
    assert chain_stages(declared, (0, 2)) == [declared[0], {**declared[2], 'continues': 0}]


NUMBERS = itertools.count()


def metrics_of(project, tmp_path, **test_cfg):
    cfg = Config.fromfile(str(project))
    cfg.experiment_name = f'exits{next(NUMBERS)}'
    cfg.test_cfg = test_cfg
    prepare_test(cfg, EvalFlags(str(project), work_dir=str(tmp_path)))
    return Runner.from_cfg(cfg).test()


@pytest.fixture(scope='module')
def plain(project, tmp_path_factory):
    return metrics_of(project, tmp_path_factory.mktemp('plain'))


@pytest.mark.parametrize('bound', [{}, dict(max_bytes=100_000)])
def test_a_deferred_test_is_the_plain_one(project, plain, tmp_path, bound):
    assert 0 < plain['cost/reached@stage2'] < plain['cost/reached@stage1'] < 100
    metrics = metrics_of(project, tmp_path, type='mmcascade.DeferredTestLoop', **bound)
    assert metrics == pytest.approx(plain, nan_ok=True)


def test_bytes_of_waiting_states_count_towards_the_bound(project, tmp_path):
    from mmcascade.engine.loops.deferred_test_loop import BoundError

    with pytest.raises(BoundError, match='bytes of one batch of 4 images of stage 1'):
        metrics_of(project, tmp_path, type='mmcascade.DeferredTestLoop', max_bytes=60_000)


@pytest.mark.slow
def test_two_processes_count_every_image_once(project, plain, metrics_of_two_processes):
    metrics = metrics_of_two_processes(
        project, 'test_cfg.type=mmcascade.DeferredTestLoop', 'model.stages.1.batch_size=5'
    )
    for key, value in plain.items():
        assert metrics[key] == pytest.approx(value, abs=1e-4, nan_ok=True), key
