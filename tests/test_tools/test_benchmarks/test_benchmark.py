# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""tools/benchmark.py: what it writes, not how fast anything is."""

from __future__ import annotations

import json
import statistics
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample

from mmcascade.engine.benchmark import members as engine_members
from mmcascade.engine.benchmark import timing
from mmcascade.engine.benchmark.benchmark import Benchmark
from mmcascade.engine.benchmark.systems import TimedSystem
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.parts.unpacked import Unpacked
from mmcascade.routing import CachedStage, CascadeRouter, RandomPolicy
from mmcascade.routing.units.sources import ViewRows
from tests.support import ROOT

SYSTEMS = ['0: small alone', '1: large alone', 'ensemble', 'cascade, plain', 'cascade, deferred']


@pytest.fixture(scope='module')
def tool():
    sys.path.insert(0, str(ROOT / 'tools'))
    import benchmark

    yield benchmark
    sys.path.remove(str(ROOT / 'tools'))


@pytest.fixture(scope='module')
def written(project, tool, tmp_path_factory):
    folder = tmp_path_factory.mktemp('benchmark')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys,
            'argv',
            [
                'benchmark.py',
                str(project),
                '--out',
                str(folder / 'new' / 'speed.json'),
                '--costs',
                str(folder / 'costs.json'),
                '--best',
                str(folder / 'best.py'),
                '--quick',
                '--device',
                'cpu',
            ],
        )
        tool.main(tool.parser)
    return folder


@pytest.fixture(scope='module')
def result(written):
    return json.loads((written / 'new' / 'speed.json').read_text())


def test_everything_is_in_the_file(result, written, project):
    assert result['schema'] == 2 and result['config'] == str(project)
    assert {'cpu', 'threads', 'torch', 'load_before', 'load_after', 'device'} <= set(result['machine'])
    assert (result['images'], result['distinct_images'], result['batch_size']) == (16, 13, 4)
    assert [system['name'] for system in result['systems']] == SYSTEMS
    for system in result['systems']:
        assert set(system['latency_ms']) == {'mean', 'p50', 'p95', 'p99'}
        for key in ('units_per_s', 'share_of_limit', 'units_per_s_with_loading'):
            assert 0 < system[key]['lowest'] <= system[key]['median'] <= system[key]['highest']
    assert (written / 'new' / 'speed.png').stat().st_size > 10_000
    for member in result['members']:
        assert (member['runtime'], member['fastest'], list(member['runtimes'])) == ('torch', 'torch', ['torch'])
        assert member['best_batch_size'] == member['runtimes']['torch']['best_batch_size']
    stages = Config.fromfile(written / 'best.py').model.stages
    assert [stage.batch_size for stage in stages] == [member['best_batch_size'] for member in result['members']]


def test_shares_costs_and_ratios(result, project):
    """Against the exits and multiply-adds of the cascade itself."""
    reached = {system['name']: system['reached'] for system in result['systems']}
    assert reached['0: small alone'] == [1, 0]
    assert reached['1: large alone'] == [0, 1]
    assert reached['ensemble'] == [1, 1]
    assert reached['cascade, plain'] == reached['cascade, deferred']
    assert result['other_exits_when_deferred'] == 0
    share = reached['cascade, plain'][1]
    assert 0 < share < 1 and share == round(share * 16) / 16
    small, large, ensemble, plain, _ = (system['macs'] for system in result['systems'])
    assert ensemble == pytest.approx(small + large)
    assert plain == pytest.approx(small + share * large)
    assert [system['macs_ratio'] for system in result['systems']] == pytest.approx(
        [macs / large for macs in (small, large, ensemble, plain, plain)]
    )
    speed = [system['units_per_s']['median'] for system in result['systems']]
    assert [system['time_ratio'] for system in result['systems']] == pytest.approx([speed[1] / s for s in speed])
    best = [member['best_ms']['median'] for member in result['members']]
    assert result['limit_ms'] == pytest.approx(best[0] + share * best[1])
    # one round: the median of each share is the share of the medians
    for system in result['systems']:
        limit = sum(r * t for r, t in zip(system['reached'], best, strict=True))
        assert system['share_of_limit']['median'] == pytest.approx(limit / (1e3 / system['units_per_s']['median']))


def test_costs_are_what_search_takes(result, written):
    costs = json.loads((written / 'costs.json').read_text())
    assert costs == {member['name']: member['best_ms']['median'] for member in result['members']}
    assert set(costs) == {'small@0', 'large@1'} and all(cost > 0 for cost in costs.values())


def test_batch_sizes_of_the_config_are_used(project):
    cfg = Config.fromfile(project)
    cfg.model.stages[1].batch_size = 3
    benchmark = Benchmark(cfg, images=8, device='cpu', sizes=(1, 2))
    assert isinstance(benchmark.model, WindowCascadeClassifier)
    result = benchmark.measure(repeats=1, single_images=1)
    assert result.members[1].batch_size == 3
    assert result.members[0].batch_size in (1, 2)
    assert set(result.members[0].ms) <= {'1', '2'}


def test_members_run_in_the_precision_of_the_test(project, monkeypatch):
    cfg = Config.fromfile(project)
    cfg.test_cfg = dict(fp16=True)
    seen, bare = [], engine_members.run_bare
    monkeypatch.setattr(
        engine_members,
        'run_bare',
        lambda stage, inputs: (seen.append(torch.is_autocast_enabled('cpu')), bare(stage, inputs)),
    )
    result = Benchmark(cfg, images=4, device='cpu', sizes=(1,)).measure(repeats=1, single_images=1)
    assert result.precision == 'bfloat16' and all(seen)
    assert Benchmark(Config.fromfile(project), images=4, device='cpu', sizes=(1,), amp=True).amp


def test_the_limit_is_at_the_members_best_batch_sizes(project, monkeypatch):
    cfg = Config.fromfile(project)
    cfg.model.stages[1].batch_size = 3
    monkeypatch.setattr(engine_members, 'sweep', lambda *args, **kwargs: {1: 1.0, 2: 0.5, 4: 0.7})
    timed, bare = [], engine_members.run_bare
    monkeypatch.setattr(
        engine_members, 'run_bare', lambda stage, inputs: (timed.extend(map(len, inputs)), bare(stage, inputs))
    )
    result = Benchmark(cfg, images=8, device='cpu').measure(repeats=1, single_images=1)
    assert set(timed) == {2}
    assert sum(timed) == 2 * 2 * 8, 'two members, a run to warm up and one that is timed, all images in each'
    assert [member.best_batch_size for member in result.members] == [2, 2]
    assert [member.batch_size for member in result.members] == [2, 3]


@pytest.mark.parametrize('deferred', [False, True])
def test_units_are_the_indexes_in_the_data_set(deferred):
    """Cached stages look up their rows by unit, so a unit that starts anew in every batch gets wrong ones."""
    logits = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    router = CascadeRouter([CachedStage(rows, macs=1.0) for rows in logits], RandomPolicy([0.5], seed=1))
    samples = [DataSample(metainfo=dict(sample_idx=index)) for index in range(6)]
    written = []
    model = SimpleNamespace(
        unpack=lambda batch: Unpacked([ViewRows([])], [[sample.sample_idx for sample in batch]], batch, [1, 1]),
        write_results=lambda outcome, samples: written.append(outcome.probs),
    )
    outcome = TimedSystem(model, router, deferred).run(samples[start : start + 2] for start in (0, 2, 4))
    expected = router.route([], range(6))
    assert outcome.unit.tolist() == list(range(6))
    assert outcome.exit_stage.tolist() == expected.exit_stage.tolist()
    torch.testing.assert_close(torch.cat(written), expected.probs)


def test_bad_input(project, tool, monkeypatch, capsys):
    cfg = Config.fromfile(project)
    for size in (-1, 0):
        with pytest.raises(ValueError, match=f'the batch size is at least 1, got {size}'):
            Benchmark(cfg, batch_size=size)
    cfg.test_dataloader = None
    with pytest.raises(ValueError, match='no test_dataloader'):
        Benchmark(cfg)
    refused = [
        (['--out', 'x.txt'], 'a .json file'),
        (['--out', 'x.json', '--repeats', '0'], 'at least 1'),
        (['--out', 'x.json', '--max-batch', '0'], '--max-batch: is at least 1'),
        (['--out', 'x.json', '--batch-size', '-2'], '--batch-size: is at least 1'),
        (['--out', 'x.json', '--quick', '--images', '3'], 'leave --images'),
    ]
    for arguments, message in refused:
        monkeypatch.setattr(sys, 'argv', ['benchmark.py', str(project), *arguments])
        with pytest.raises(SystemExit) as stopped:
            tool.main(tool.parser)
        assert message in f'{stopped.value} {capsys.readouterr().err}'


def test_rounds_take_turns():
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in 'abc'}
    steps = []
    seconds = timing.interleaved(calls, 4, torch.device('cpu'), lambda done, total: steps.append((done, total)))
    assert ''.join(order) == 'abc' + 'abc' + 'bca' + 'cab' + 'abc'
    assert steps == [(k, 15) for k in range(1, 16)]
    assert {name: len(values) for name, values in seconds.items()} == dict(a=4, b=4, c=4)


def test_summaries():
    assert timing.spread([3, 1, 2, 10]) == dict(median=2.5, lowest=1, highest=10)
    seconds = [k / 1000 for k in range(101)]
    assert timing.latencies(seconds) == pytest.approx(dict(mean=1e3 * statistics.mean(seconds), p50=50, p95=95, p99=99))
