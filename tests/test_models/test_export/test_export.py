# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade and its bundle decide alike."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcascade.engine.runs.export import config_views, run_export
from mmcascade.models.export.checking import samples
from mmcascade.models.export.graphs.stage_graphs import stage_graph
from mmcascade.models.runtimes.graphs.export import ExportError
from mmcascade.registry import MODELS
from mmcascade.runtime import Bundle, BundleError
from tests.support import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def config(project):
    return Config.fromfile(project)


@pytest.fixture(scope='module')
def exported(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp('export') / 'bundle'
    return folder, run_export(copy.deepcopy(config), folder, 'garments')[0]


def test_the_report_and_the_folder(exported):
    folder, report = exported
    assert report.images == 13 and report.largest_difference < 1e-4
    assert sorted(p.name for p in folder.iterdir()) == [
        'README.md',
        'cascade.json',
        'large.onnx',
        'samples',
        'small.onnx',
    ]
    data = json.loads((folder / 'cascade.json').read_text())
    assert data['classes'] == ['ant', 'bee', 'cat', 'dog', 'eel'] and data['accept'] == 0.5
    assert data['policy'] == {'type': 'window', 'windows': [[0.3, 0.6]]}
    assert data['expected'] == {'units': 13, 'reached': list(report.reached), 'accepted': report.accepted}
    assert all(len(weights) > 8 for weights in data['calibration'].values())
    card = (folder / 'README.md').read_text()
    assert '# garments' in card and '[0.3, 0.6]' in card and 'agree to' in card


def test_the_bundle_decides_as_the_test_does(exported, config):
    """Through MMEngine's own pipeline and test_step, from the files."""
    folder, _ = exported
    from mmengine.registry import DATASETS
    from mmengine.runner import Runner

    model = MODELS.build(config.model)
    loader = Runner.build_dataloader(dict(config.test_dataloader, collate_fn=dict(type='default_collate')))
    samples = [sample for batch in loader for sample in model.test_step(batch)]
    dataset = DATASETS.build(config.test_dataloader.dataset)
    files = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
    decisions = Bundle(folder).decide(files)
    assert 0 < sum(d.exit_stage for d in decisions) < len(decisions)
    for sample, decision in zip(samples, decisions, strict=True):
        assert sample.exit_stage == decision.exit_stage
        assert int(sample.pred_label) == decision.label and sample.accepted == decision.accepted
        assert sample.macs == decision.macs
        # The view differs by a grey level where OpenCV rounds otherwise.
        np.testing.assert_allclose(sample.pred_score.numpy(), decision.probabilities, atol=5e-3)


def test_samples_are_decided_as_promised(exported):
    check = Bundle(exported[0]).check()
    assert check.samples >= 3 and check.largest_difference < 1e-4


def test_a_member_in_two_stages_has_one_graph(config, tmp_path):
    cfg = copy.deepcopy(config)
    cfg.model.stages = [dict(member='small', view=0), dict(member='large', view=1), dict(member='small', view=0)]
    cfg.model.policy = dict(type='mmcascade.ThresholdPolicy', thresholds=[0.9, 0.95])
    report, _ = run_export(cfg, tmp_path / 'b', 't')
    assert report.graphs == ('small.onnx', 'large.onnx')
    stages = json.loads((tmp_path / 'b' / 'cascade.json').read_text())['stages']
    assert [stage['graph'] for stage in stages] == ['small.onnx', 'large.onnx', 'small.onnx']


def test_what_a_stage_does_to_its_view_is_in_its_graph(config, tmp_path):
    cfg = copy.deepcopy(config)
    del cfg.model.members['large']
    cfg.model.stages = [dict(member='small', view=0), dict(member='small', view=1, resize=24, flip=True)]
    report, _ = run_export(cfg, tmp_path / 'b', 't')
    assert report.graphs == ('small.onnx', 'small-stage1.onnx')


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (
            dict(policy=dict(type='mmcascade.AdjustedWindowPolicy', windows=[(0.3, 0.6)], shares=[(0.2, 0.5)])),
            'Adjusted',
        ),
        (dict(policy=None), 'no exit policy'),
    ],
)
def test_what_a_bundle_cannot_hold_is_named(config, tmp_path, changes, words):
    cfg = copy.deepcopy(config)
    cfg.model.update(changes)
    with pytest.raises((ValueError, RuntimeError, TypeError), match=words):
        run_export(cfg, tmp_path / 'b', 't')
    assert not list(tmp_path.iterdir())


def test_a_transform_that_is_not_known_is_named(config, tmp_path):
    cfg = copy.deepcopy(config)
    cfg.test_dataloader.dataset.pipeline[1]['transforms'][0].append(dict(type='Pad', size_divisor=32))
    with pytest.raises(ValueError, match='Pad of the test pipeline'):
        run_export(cfg, tmp_path / 'b', 't')


def test_images_of_several_sizes_are_refused(config, tmp_path, project):
    cfg = copy.deepcopy(config)
    root = tmp_path / 'data'
    shutil.copytree(project.parent / 'images', root / 'images')
    shutil.copy(project.parent / 'labels.txt', root)
    from PIL import Image

    Image.new('RGB', (96, 48)).save(root / 'images' / '005.png')
    cfg.test_dataloader.dataset.data_root = str(root)
    for transforms in cfg.test_dataloader.dataset.pipeline[1]['transforms']:
        transforms[0] = dict(type='ResizeEdge', scale=32)
    with pytest.raises(ValueError, match='several sizes'):
        run_export(cfg, tmp_path / 'b', 't')


def test_a_folder_that_is_not_empty(config, tmp_path):
    (tmp_path / 'mine.txt').write_text('x')
    with pytest.raises(FileExistsError, match='not empty'):
        run_export(copy.deepcopy(config), tmp_path, 't')


def test_views_of_a_pipeline_without_several(config):
    load = dict(type='LoadImageFromFile')
    views = config_views([load, dict(type='Resize', scale=(32, 24)), dict(type='PackInputs')])
    assert views == [
        {
            'channels': 'bgr',
            'steps': [{'op': 'resize', 'height': 24, 'width': 32, 'library': 'opencv', 'method': 'bilinear'}],
        }
    ]


class Means(torch.nn.Module):
    """Class scores from the mean of each channel."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, x):
        return self.layer(x.float().mean((2, 3)) / 25)


def stage_of(module):
    model = MODELS.build(
        dict(
            type='mmcascade.WindowCascadeClassifier',
            members=dict(a=module),
            stages=[dict(member='a')],
        )
    )
    return model.stages[0]


def test_a_graph_of_one_batch_size_is_written_as_such(monkeypatch):
    from mmcascade.models.export.graphs import stage_graphs

    written = stage_graphs.export_onnx
    stage = stage_of(Means())

    def wrong_unless_fixed(network, shape, dtype, rows=None):
        if rows is None:
            other = stage_of(Means())
            return written(stage_graphs._ViewedNetwork(other), shape, dtype)
        return written(network, shape, dtype, rows)

    monkeypatch.setattr(stage_graphs, 'export_onnx', wrong_unless_fixed)
    graph = stage_graph(stage, (3, 16, 16), 4)
    assert graph.batch == 8 and graph.difference.probability < 1e-4


def test_a_member_that_does_not_export_is_named():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 4)

        def forward(self, x):
            scores = self.layer(x.float().mean((2, 3)))
            return scores if bool((scores > 0).all()) else -scores

    with pytest.raises(ExportError, match="member 'a' cannot be written as a graph"):
        stage_graph(stage_of(Odd()), (3, 16, 16), 4)


def test_the_tool(run_tool, project, tmp_path):
    done = run_tool(ROOT / 'tools' / 'export.py', project, tmp_path / 'bundle', '--images', 5, '--single-file')
    assert 'cascade.onnx: the whole cascade' in done.stdout
    others = ('--triton', tmp_path / 'models', '--hub')
    handed = run_tool(ROOT / 'tools' / 'export.py', project, tmp_path / 'other', '--images', 5, *others)
    assert 'models small, large, cascade for Triton' in handed.stdout
    assert sorted(path.name for path in (tmp_path / 'models').iterdir()) == ['cascade', 'large', 'small']
    assert (tmp_path / 'other' / 'README.md').read_text().startswith('---\nlibrary_name: mmcascade')
    config = (tmp_path / 'models' / 'small' / 'config.pbtxt').read_text()
    assert 'dims: [3, 32, 32]' in config and 'dims: [5]' in config
    assert 'On 5 images the bundle and torch agree' in done.stdout
    again = run_tool(ROOT / 'tools' / 'export.py', project, tmp_path / 'bundle', ok=False)
    assert again.returncode == 1 and again.stderr.strip().startswith('error: ') and 'not empty' in again.stderr
    assert Path(tmp_path / 'bundle' / 'cascade.json').is_file()


def test_a_bundle_without_samples_is_written(config, tmp_path, monkeypatch):
    """Photos of some MiB are too large to be taken along; so is everything here."""
    monkeypatch.setattr(samples, 'SAMPLE_BYTES', 1)
    report, folder = run_export(copy.deepcopy(config), tmp_path / 'bundle', 'garments')[0], tmp_path / 'bundle'
    assert report.images == 13 and [path.name for path in (folder / 'samples').iterdir()] == ['decisions.json']
    with pytest.raises(BundleError, match='at least one'):
        Bundle(folder).check()
    assert len(Bundle(folder).decide([np.zeros((32, 32, 3), np.uint8)])) == 1


def test_a_bundle_that_decides_otherwise_is_never_left_behind(config, tmp_path, monkeypatch):
    from mmcascade.runtime.running import image_route

    real = image_route.confidence
    monkeypatch.setattr(image_route, 'confidence', lambda name, state: real(name, state) * np.float32(0.9))
    with pytest.raises(BundleError, match='decides otherwise'):
        run_export(copy.deepcopy(config), tmp_path / 'b', 't')
    assert not list(tmp_path.iterdir())
