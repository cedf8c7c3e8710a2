# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of one network as a bundle: one graph per step, which decides and costs what the cascade does."""

from __future__ import annotations

import copy
import json

import numpy as np
import onnx
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from mmcascade.engine.runs.export import run_export
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.export.graphs.exit_graphs import exit_graph
from mmcascade.models.export.one_graph.single_file import single_file
from mmcascade.models.export.triton_repository import write_triton
from mmcascade.registry import MODELS
from mmcascade.runtime import Bundle
from tests.support.members.tiny_exits import TinyExits
from tests.support.projects.exit_project import make_exit_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return Config.fromfile(make_exit_project(tmp_path_factory.mktemp('exits') / 'project', 13))


@pytest.fixture(scope='module')
def folder(config, tmp_path_factory):
    made = tmp_path_factory.mktemp('export') / 'bundle'
    report, single = run_export(copy.deepcopy(config), made, 'exits')
    assert report.images == 13 and report.largest_difference < 1e-4 and single is None
    return made


def test_it_decides_and_costs_what_the_test_does(folder, config):
    model = MODELS.build(config.model)
    loader = Runner.build_dataloader(dict(config.test_dataloader, collate_fn=dict(type='default_collate')))
    samples = [sample for batch in loader for sample in model.test_step(batch)]
    dataset = DATASETS.build(config.test_dataloader.dataset)
    files = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
    decisions = Bundle(folder).decide(files)
    assert len({d.exit_stage for d in decisions}) > 1
    for sample, decision in zip(samples, decisions, strict=True):
        assert sample.exit_stage == decision.exit_stage and int(sample.pred_label) == decision.label
        assert sample.macs == decision.macs
        # The view differs by a grey level where OpenCV rounds otherwise.
        np.testing.assert_allclose(sample.pred_score.numpy(), decision.probabilities, atol=5e-3)
    assert Bundle(folder).check().largest_difference < 1e-4


def test_every_step_is_a_graph_without_the_steps_before(folder):
    stages = json.loads((folder / 'cascade.json').read_text())['stages']
    assert [stage.get('continues') for stage in stages] == [None, 0, 1]
    assert [len(stage.get('leaves', [])) for stage in stages] == [1, 1, 0]
    graphs = [onnx.load(folder / stage['graph']).graph for stage in stages]
    assert [[x.name for x in graph.input] for graph in graphs] == [['images'], ['state0'], ['state0']]
    outputs = [[x.name for x in graph.output] for graph in graphs]
    assert outputs == [['values', 'left0'], ['values', 'left0'], ['values']]
    convolutions = [sum(node.op_type == 'Conv' for node in graph.node) for graph in graphs]
    assert convolutions == [5, 5, 10]  # a stem, then two blocks and a shortcut for each level


def test_what_holds_one_graph_only_is_refused_with_a_sentence(folder, tmp_path):
    bundle = Bundle(folder)
    with pytest.raises(ValueError, match='go on from each other; take the bundle'):
        single_file(bundle.manifest, folder)
    with pytest.raises(ValueError, match='serve the bundle with mmcascade serve'):
        write_triton(bundle, tmp_path / 'triton')


def test_a_state_that_is_a_tree_of_maps():
    model = WindowCascadeClassifier(
        members=dict(net=dict(model=TinyExits())),
        stages=[dict(member='net', exit=1), dict(member='net', exit=3, continues=0)],
        policy=dict(type='mmcascade.WindowPolicy', windows=[(None, None)]),
        fusion='replace',
    )
    first = exit_graph(model.stages[0], (3, 16, 16), TinyExits.num_classes, True)
    second = exit_graph(model.stages[1], (3, 16, 16), TinyExits.num_classes, False)
    with torch.no_grad():
        rows = TinyExits().step(1, _state(torch.zeros(1, 3, 16, 16)))[1].rows
    assert first.leaves == tuple(tuple(x.shape[1:]) for x in rows.values()) and not first.continues
    assert second.continues and second.leaves == () and first.batch is second.batch is None


def _state(images):
    from mmcascade.routing import ExitState

    return ExitState(-1, images)
