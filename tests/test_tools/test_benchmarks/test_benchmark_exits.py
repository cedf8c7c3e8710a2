# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""tools/benchmark.py on exits of one network: an exit is timed on what the one before it left behind."""

from __future__ import annotations

import copy
import json
import runpy
import sys

import pytest
import torch
from mmengine.config import Config

from mmcascade.engine.benchmark import members as engine_members
from mmcascade.engine.benchmark.benchmark import Benchmark
from mmcascade.models.runtimes.batch_sizes import sweep
from mmcascade.routing import ExitState
from tests.support import ROOT
from tests.support.projects.exit_project import make_exit_project

EXITS = (0, 1, 3)


@pytest.fixture(scope='module')
def exits(tmp_path_factory):
    return make_exit_project(tmp_path_factory.mktemp('exits') / 'project', 13)


@pytest.fixture(scope='module')
def measured(exits):
    """The benchmark, its result, and per timed run of a stage by itself: its exit, and the kind of its inputs."""
    timed, bare = [], engine_members.run_bare

    def watched(stage, inputs):
        timed.extend((stage.exit, type(x), len(x), getattr(x, 'after', None)) for x in inputs)
        bare(stage, inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_members, 'run_bare', watched)
        patch.setattr(engine_members, 'sweep', lambda *args, **kwargs: {1: 1.0, 4: 0.5})
        benchmark = Benchmark(Config.fromfile(str(exits)), images=8, device='cpu', runtimes=['onnxruntime'])
        result = benchmark.measure(repeats=1, single_images=1)
    return benchmark, result, timed


def test_exits_are_timed_on_states_and_from_their_input(measured):
    _, result, timed = measured
    assert [member.stage for member in result.members] == [0, 1, 2, None, None]
    names = [f'net@0@exit{k}' for k in EXITS]
    assert [member.name for member in result.members] == [*names, *(f'{name} alone' for name in names[1:])]
    rounds = 2  # one to warm up
    runs = [(0, torch.Tensor, None), (1, ExitState, 0), (3, ExitState, 1), (1, torch.Tensor, None)]
    for exit, kind, after in [*runs, (3, torch.Tensor, None)]:
        found = [size for e, k, size, a in timed if (e, k, a) == (exit, kind, after)]
        assert found == [4, 4] * rounds, (exit, kind)
    assert len(timed) == 5 * 2 * rounds


def test_systems_and_what_they_cost(measured):
    benchmark, result, _ = measured
    by_name = {system.name: system for system in result.systems}
    alone = [f'{index}: net, exit {exit} alone' for index, exit in enumerate(EXITS)]
    assert list(by_name) == [*alone, 'ensemble', 'cascade, plain', 'cascade, deferred']
    costs = [stage.costs for stage in benchmark.model.stages]
    images = benchmark.images.stacked(0)
    whole, spent = [c.whole(images) for c in costs], [c.spent(images) for c in costs]
    assert [by_name[name].macs for name in alone] == whole
    assert by_name['ensemble'].macs == spent[2] + sum(w - s for w, s in zip(whole, spent, strict=True))
    # Alone, a later exit runs from its input: it takes the time of that, and none of the stages that go on.
    assert by_name[alone[2]].reached == [0, 0, 0, 0, 1] and by_name['ensemble'].reached == [1, 1, 1, 0, 0]
    cascade = by_name['cascade, plain']
    increments = [whole[0], whole[1] - spent[0], whole[2] - spent[1]]
    assert 0 < cascade.reached[2] <= cascade.reached[1] <= 1
    assert cascade.macs == pytest.approx(sum(r * m for r, m in zip(cascade.reached, increments, strict=False)))
    limit = sum(r * m.best_ms['median'] for r, m in zip(cascade.reached, result.members, strict=True))
    assert result.limit_ms == pytest.approx(limit)
    assert result.other_exits_when_deferred == 0


def test_search_is_given_the_time_of_an_exit_from_its_input(measured):
    _, result, _ = measured
    by_name = {member.name: member.best_ms['median'] for member in result.members}
    names = [f'net@0@exit{exit}' for exit in EXITS]
    expected = [by_name[names[0]], by_name[f'{names[1]} alone'], by_name[f'{names[2]} alone']]
    assert list(result.costs().items()) == list(zip(names, expected, strict=True))


def test_other_runtimes_are_refused_with_the_reason(measured):
    _, result, _ = measured
    for member in result.members:
        assert list(member.runtimes) == ['torch']
        assert 'runs in torch only' in member.refused['onnxruntime']


def test_batch_sizes_of_states_are_tried():
    seen = []
    state = ExitState(0, {'a': torch.arange(3.0)[None], 'size': 7}, torch.empty(0, 3, 4, 4))
    found = sweep(seen.append, state, (1, 2, 4), seconds=0)
    assert set(found) <= {1, 2, 4} and {len(x) for x in seen} == {1, 2, 4}
    for rows in seen:
        assert rows.rows['size'] == 7
        torch.testing.assert_close(rows.rows['a'], torch.arange(3.0).expand(len(rows), 3), rtol=0, atol=0)


@pytest.mark.slow
def test_times_beside_multiply_adds_in_one_command(exits, tmp_path, monkeypatch, capsys):
    cfg = Config.fromfile(str(exits))
    cfg.val_dataloader = copy.deepcopy(cfg.test_dataloader)
    for loader, part in ((cfg.val_dataloader, 'calibration'), (cfg.test_dataloader, 'rest')):
        loader.dataset = dict(type='mmcascade.CalibrationSplit', num=6, part=part, dataset=loader.dataset)
    cfg.model.policy = None
    cfg.dump(tmp_path / 'cascade.py')
    script = ROOT / 'benchmarks' / 'speed' / 'exit_times.py'
    words = [str(tmp_path / 'cascade.py'), '--stores', str(tmp_path / 'stores'), '--target', 'coverage=0.5', '--quick']
    monkeypatch.setattr(sys, 'argv', ['exit_times', *words, '--json', str(tmp_path / 'rows.json')])
    runpy.run_path(str(script), run_name='__main__')
    content = json.loads((tmp_path / 'rows.json').read_text())
    (chain,) = {row['exits'] for row in content['rows'] if row['exits'] != '0 1 3'}
    assert chain == '1 3'
    rows = [row for row in content['rows'] if row['exits'] == '0 1 3']
    assert [row['what'] for row in rows] == [
        'exit 0, by itself',
        'exit 1 after exit 0, by itself',
        'exit 3 after exit 1, by itself',
        *(f'net, exit {exit} alone' for exit in EXITS),
        'ensemble',
        'cascade, plain',
        'cascade, deferred',
    ]
    alone, everything = rows[5], rows[6]
    assert alone['macs_share'] == alone['time_share'] == 1
    assert everything['mmacs'] == pytest.approx(sum(row['mmacs'] for row in rows[:3]))
    assert 'exit 3 after exit 1' in capsys.readouterr().out

    monkeypatch.syspath_prepend(str(ROOT / 'docs'))
    from measured import speed

    table = speed.exit_times(content)
    steps = [row for row in content['rows'] if 'by itself' in row['what'] or row['what'].startswith('cascade')]
    assert table.count('\n| ') >= len(steps) and 'exit 3 after exit 1, by itself' in table
