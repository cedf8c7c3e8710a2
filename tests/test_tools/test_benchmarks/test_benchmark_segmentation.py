# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""tools/benchmark.py on cells, with a member that runs on images and one that runs on crops."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('mmseg')
from mmcascade.engine.benchmark.benchmark import Benchmark  # noqa: E402
from mmcascade.engine.benchmark.inputs_seen import inputs_seen  # noqa: E402
from mmcascade.engine.benchmark.systems import with_batch_size  # noqa: E402
from tests.support.projects.tiny_seg_project import write_project  # noqa: E402

SYSTEMS = ['0: small alone', '1: large alone', 'ensemble', 'cascade, plain', 'cascade, deferred']


@pytest.fixture(scope='module')
def benchmark(tmp_path_factory):
    cfg = write_project(
        tmp_path_factory.mktemp('segmentation'),
        dict(test=3),
        policy=dict(type='mmcascade.WindowPolicy', windows=[(None, 0.7)]),
    )
    return Benchmark(cfg, images=5, device='cpu', sizes=(1, 2))


@pytest.fixture(scope='module')
def result(benchmark):
    return benchmark.measure(repeats=1, single_images=1)


def test_shares_are_those_of_the_cascade(result, benchmark):
    """Against its own prediction: the third image comes once, the others twice."""
    samples = [benchmark.model.test_step(batch)[0] for batch in benchmark.images.batches(1)]
    later = np.stack([sample.cells.exit_stages.numpy() for sample in samples])
    assert later.shape == (5, 12) and 0 < later.mean() < 1
    systems = {system.name: system for system in result.systems}
    assert (result.images, result.distinct_images, result.units) == (5, 3, 60)
    assert list(systems) == SYSTEMS
    assert systems['0: small alone'].runs_per_image == [1, 0, 0]
    assert systems['1: large alone'].runs_per_image == [0, 0, 1], 'on whole images'
    assert systems['ensemble'].runs_per_image == [1, 12, 0]
    for name in SYSTEMS[3:]:
        assert systems[name].runs_per_image == pytest.approx([1, later.sum(1).mean(), 0])
        assert systems[name].reached == pytest.approx([1, later.mean(), 0])
        assert systems[name].macs == pytest.approx(np.mean([sample.macs for sample in samples]))
    assert result.other_exits_when_deferred == 0


def test_the_limit_counts_images_and_crops(result, benchmark):
    best = [member.best_ms['median'] for member in result.members]
    assert [member.stage for member in result.members] == [0, 1, None]
    for system in result.systems:
        limit = sum(r * t for r, t in zip(system.runs_per_image, best, strict=True))
        assert system.share_of_limit['median'] == pytest.approx(limit / (1e3 / system.units_per_s['median']))
    assert list(result.costs()) == [stage.source for stage in benchmark.model.stages], 'as in a store of cells'


def test_members_are_timed_on_what_they_see(benchmark):
    (kind,) = benchmark.timer.kinds()
    image, crop = (inputs_seen(with_batch_size(stage, 2), kind, 4) for stage in benchmark.model.stages)
    assert [tuple(batch.shape) for batch in image] == [(2, 3, 60, 88)] * 2
    assert {batch.shape[0] for batch in crop} == {2} and len(crop) == 2
    assert crop[0].shape[-1] < 60
    many = inputs_seen(with_batch_size(benchmark.model.stages[0], 8), kind, 4)
    assert [len(batch) for batch in many] == [8], 'images come again to fill a batch'


@pytest.mark.parametrize('choice', [dict(fallback='image'), dict(join='rectangles')])
def test_a_stage_that_runs_in_several_ways_is_refused(tmp_path, choice):
    cfg = write_project(tmp_path, dict(test=1), policy=dict(type='mmcascade.WindowPolicy', windows=[None]))
    cfg.model.stages = [dict(member='small'), dict(member='large', **choice)]
    with pytest.raises(ValueError, match='stage 1 chooses what it runs on'):
        Benchmark(cfg, images=1, device='cpu', sizes=(1,)).measure(repeats=1, single_images=1)
