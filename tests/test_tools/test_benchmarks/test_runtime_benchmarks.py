# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Benchmarks of runtimes: the fastest exact one makes the limit, and what is written out runs in it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcascade import WindowCascadeClassifier
from mmcascade.engine.benchmark.runtimes import Candidate, best_config, candidates, fastest, in_runtime, runtime_name
from mmcascade.engine.configs.runtimes import set_runtime
from tests.support import ROOT
from tests.support.members.tiny_models import tiny


@pytest.fixture(scope='module')
def stage():
    model = WindowCascadeClassifier(
        dict(small=tiny('resnet')), stages=[dict(member='small', channels_last=True, batch_size=2)]
    )
    return model.stages[0]


@pytest.fixture(scope='module')
def precision_cascade():
    sys.path.insert(0, str(ROOT / 'benchmarks' / 'runtimes'))
    import precision_cascade

    yield precision_cascade
    sys.path.remove(str(ROOT / 'benchmarks' / 'runtimes'))


def test_a_stage_changes_its_runtime_and_leaves_the_options_of_torch(stage):
    assert stage.source == 'small on view 0'
    other = in_runtime(stage, 'openvino:bfloat16')
    assert other.source == 'small on view 0 in bfloat16 in openvino'
    assert runtime_name(stage) == 'torch' and runtime_name(other) == 'openvino:bfloat16'
    assert stage.execution.channels_last and not other.execution.channels_last
    assert (other.member, other.batch_size) == (stage.member, stage.batch_size)
    assert other.identity() != stage.identity() and in_runtime(stage, 'onnxruntime').identity() == stage.identity()


def test_the_limit_takes_the_fastest_that_computes_what_the_config_asks_for(stage):
    times = {'torch': {1: 4.0, 2: 3.0}, 'onnxruntime': {1: 2.0, 2: 2.5}, 'openvino:bfloat16': {1: 1.0}}

    def curve_of(timed):
        if runtime_name(timed) == 'openvino':
            raise ValueError('no graph')
        return times[runtime_name(timed)]

    names = ['torch', 'onnxruntime', 'openvino', 'openvino:bfloat16']
    found, refused = candidates(stage, names, curve_of)
    assert [(one.runtime, one.exact, one.seconds) for one in found] == [
        ('torch', True, 3.0),
        ('onnxruntime', True, 2.0),
        ('openvino:bfloat16', False, 1.0),
    ]
    assert refused == {'openvino': 'no graph'}
    winner = fastest(found)
    assert isinstance(winner, Candidate) and winner.runtime == 'onnxruntime' and winner.stage.batch_size == 1
    assert winner.speed.ms == {'1': 2000.0, '2': 2500.0}


def test_a_member_that_cannot_run_as_the_config_asks_is_an_error(stage):
    def curve_of(timed):
        raise ValueError('no graph')

    with pytest.raises(ValueError, match='no graph'):
        candidates(stage, ['torch'], curve_of)


def test_the_best_config_names_runtimes_and_batch_sizes_and_keeps_the_rest():
    cfg = Config(
        dict(model=dict(stages=[dict(member='a', channels_last=True, view=1), dict(member='b', amp='float16')]))
    )
    members = [
        SimpleNamespace(stage=0, runtime='torch', fastest='onnxruntime', best_batch_size=4),
        SimpleNamespace(stage=1, runtime='torch', fastest='torch', best_batch_size=8),
        SimpleNamespace(stage=None, runtime='torch', fastest='openvino', best_batch_size=1),
    ]
    best = best_config(cfg, SimpleNamespace(members=members))
    assert best.model.stages == [
        dict(member='a', view=1, runtime='onnxruntime', batch_size=4),
        dict(member='b', amp='float16', batch_size=8),
    ]
    assert 'runtime' not in cfg.model.stages[0]
    assert Config.fromstring(best.pretty_text, '.py').model.stages == best.model.stages


def test_runtime_of_the_command_line_reaches_all_stages():
    cfg = Config(dict(model=dict(stages=[dict(member='a', channels_last=True), dict(member='b', runtime='openvino')])))
    set_runtime(cfg, None)
    assert 'runtime' not in cfg.model.stages[0]
    set_runtime(cfg, 'onnxruntime')
    assert cfg.model.stages == [dict(member='a', runtime='onnxruntime'), dict(member='b', runtime='onnxruntime')]
    with pytest.raises(ValueError, match='leave --amp out'):
        set_runtime(cfg, None, amp=True)
    with pytest.raises(ValueError, match="'tflite'"):
        set_runtime(cfg, 'tflite')
    set_runtime(cfg, 'torch', amp=True)
    with pytest.raises(ValueError, match='has none'):
        set_runtime(Config(dict(model=dict(type='ImageClassifier'))), 'openvino')


def test_the_threshold_lets_at_most_the_risk_stay(precision_cascade):
    rng = np.random.default_rng(0)
    for risk in (0.0, 0.01, 0.1):
        gap, other = rng.random(200).round(2), rng.random(200) < 0.2
        threshold = precision_cascade.threshold_for(gap, other, risk)
        assert (other & (gap > threshold)).sum() <= risk * 200
        lower = gap[gap < threshold]
        if len(lower):
            assert (other & (gap > lower.max())).sum() > risk * 200
    assert precision_cascade.threshold_for(gap, np.zeros(200, bool), 0.0) < 0


def test_wilson_holds_the_share(precision_cascade):
    low, high = precision_cascade.wilson(3, 100)
    assert (low, high) == pytest.approx((0.01026, 0.08452), abs=1e-4)
    assert precision_cascade.wilson(0, 50)[0] == 0 and precision_cascade.wilson(50, 50)[1] == 1


def test_images_of_a_stage_are_what_it_sees(tmp_path):
    from mmcascade.engine.runs.stage_images import stage_images
    from tests.support.projects.tiny_project import make_project

    cfg = Config.fromfile(make_project(tmp_path))
    cfg.val_dataloader = cfg.test_dataloader
    images = stage_images(cfg, 0, 6)
    assert images.shape[0] == 6 and images.shape[1] == 3 and images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) > 1
    with pytest.raises(ValueError, match='no stage 7'):
        stage_images(cfg, 7)
    assert torch.is_grad_enabled()
