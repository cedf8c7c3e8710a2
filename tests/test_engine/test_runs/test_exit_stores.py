# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of one network in stores, searches and deferred tests: what is stored is what a test does and costs."""

from __future__ import annotations

import copy
import itertools
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.runner import Runner

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.quality import Quality
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.engine.configs.chains import chain_stages
from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.loops.deferred_test_loop import BoundError
from mmcascade.engine.runs.prepare_store import build_without_calibration, prepare_store
from mmcascade.engine.runs.search import SearchRun
from mmcascade.models.stages.views.batch_views import as_views
from mmcascade.routing import CascadeRouter, WindowPolicy
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


def test_a_search_writes_configs_of_the_exits_that_are_left(project, filled, tmp_path):
    found = SearchRun.open([filled[0].folder], tmp_path / 'front').front(
        Plan(Quality.parse('accuracy'), chains=[(0, 2)])
    )
    written = sorted((tmp_path / 'front').rglob('*.py'))
    assert written and found['points']
    built = build_without_calibration(Config.fromfile(str(written[-1])))
    assert [(stage.exit, getattr(stage.before, 'exit', None)) for stage in built.stages] == [(0, None), (3, 0)]
    costs, images = [stage.costs for stage in built.stages], images_of(project)
    outcome = CascadeRouter(built.stages, WindowPolicy([OPEN]), fusion='replace').route([images])
    stages = filled[0].stages()
    assert outcome.macs.tolist() == replay([stages[0], stages[2]], WindowPolicy([OPEN]), 24).macs.tolist()
    assert outcome.macs[0] == costs[0].whole(images) + costs[1].whole(images) - costs[0].spent(images)


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
    with pytest.raises(BoundError, match='bytes of one batch of 4 images of stage 1'):
        metrics_of(project, tmp_path, type='mmcascade.DeferredTestLoop', max_bytes=60_000)


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_what_waits_stays_within_the_bound_and_decisions_are_the_same(project, plain, watched_loop, data):
    runner, held = watched_loop
    loop, cascade = runner.test_loop, runner.model
    for stage in cascade.stages:
        stage.batch_size = data.draw(st.sampled_from([None, 2, 5, 9]))
    loop.max_bytes = data.draw(st.integers(70_000, 160_000))
    held.clear()
    try:
        metrics = loop.run()
    except BoundError:  # less than a batch of a stage
        return
    assert metrics == pytest.approx(plain, nan_ok=True)
    assert len(held) == 6 and 0 < max(held) <= loop.max_bytes


@pytest.fixture(scope='module')
def watched_loop(project, tmp_path_factory):
    """A runner of a deferred test, and what is held after each of its batches, in bytes of real memory."""
    cfg = Config.fromfile(str(project))
    cfg.experiment_name = f'exits{next(NUMBERS)}'
    cfg.test_cfg = dict(type='mmcascade.DeferredTestLoop', keep_inputs=True)
    prepare_test(cfg, EvalFlags(str(project), work_dir=str(tmp_path_factory.mktemp('watched'))))
    runner, held = Runner.from_cfg(cfg), []
    runner.test()
    take_in = runner.test_loop.run_iter

    def run_iter(*args):
        take_in(*args)
        loop = runner.test_loop
        tensors = [x for queue in loop._stream._queues for batch in queue for x in batch.tensors()]
        storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}
        held.append(sum(storages.values()) + loop._kept.nbytes)

    runner.test_loop.run_iter = run_iter
    return runner, held


FIELDS = ('pred_score', 'confidence', 'exit_stage', 'macs', 'pred_label')


def decisions_of(file):
    """Per image, by its name, what was decided, of a dump of tools/test.py."""
    with file.open('rb') as opened:
        samples = pickle.load(opened)
    return {Path(sample['img_path']).name: [np.asarray(sample[name]) for name in FIELDS] for sample in samples}


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['TestLoop', 'mmcascade.DeferredTestLoop'])
def test_two_processes_decide_as_one_does_bit_for_bit_in_equal_batches(project, run_tool, tmp_path, loop):
    """Each process has every other image, and so the batches of one process that is given only these."""
    options = [f'test_cfg.type={loop}', 'model.stages.1.batch_size=5']

    def test(out, *options, launcher=(), launched=()):
        tool = ROOT / 'tools' / 'test.py'
        run_tool(*launcher, tool, project, 'none', *launched, '--out', out, '--cfg-options', *options)
        return decisions_of(tmp_path / out)

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    launcher = ('-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={port}')
    together = test('together.pkl', *options, launcher=launcher, launched=('--launcher', 'pytorch'))
    lines = (project.parent / 'labels.txt').read_text().splitlines(keepends=True)
    alone = {}
    for rank in (0, 1):
        images = tmp_path / f'of_{rank}.txt'
        images.write_text(''.join(lines[rank::2]))
        alone |= test(f'of_{rank}.pkl', *options, f'test_dataloader.dataset.ann_file={images}')
    assert len(together) == len(alone) == 24 and set(together) == set(alone)
    assert len({int(found[FIELDS.index('exit_stage')]) for found in together.values()}) == 3
    for name, found in together.items():
        for key, one, other in zip(FIELDS, found, alone[name], strict=True):
            assert np.array_equal(one, other), (name, key)


@pytest.mark.slow
def test_metrics_of_two_processes_are_those_of_one_in_batches_of_one(project, metrics_of_two_processes, tmp_path):
    cfg = Config.fromfile(str(project))
    cfg.experiment_name = f'exits{next(NUMBERS)}'
    cfg.test_dataloader.batch_size = 1
    for stage in cfg.model.stages:
        stage.batch_size = 1
    prepare_test(cfg, EvalFlags(str(project), work_dir=str(tmp_path)))
    expected = Runner.from_cfg(cfg).test()
    sizes = ['test_dataloader.batch_size=1', *(f'model.stages.{k}.batch_size=1' for k in range(3))]
    metrics = metrics_of_two_processes(project, 'test_cfg.type=mmcascade.DeferredTestLoop', *sizes)
    assert expected and {key: metrics[key] for key in expected} == expected
