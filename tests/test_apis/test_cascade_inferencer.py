# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from mmengine.config import Config

from mmcascade import CascadeInferencer
from mmcascade.engine.console.commands import find_tools, parser_of, run
from tests.support import ROOT
from tests.support.projects.tiny_project import NAMES, make_project


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project') / 'here')


def test_images_in_decisions_out(project):
    inferencer = CascadeInferencer(project)
    photos = [str(path) for path in sorted((project.parent / 'images').iterdir())]
    results = inferencer(photos, batch_size=4)
    assert len(results) == len(photos)
    samples = inferencer(photos, return_datasamples=True)
    for result, sample in zip(results, samples, strict=True):
        assert result['pred_class'] == NAMES[result['pred_label']]
        assert result['confidence'] == pytest.approx(result['pred_score'])
        assert result['accepted'] == (result['confidence'] >= 0.5)
        assert result['exit_stage'] == sample.exit_stage
        assert result['macs'] == sample.macs > 0
        np.testing.assert_allclose(result['pred_scores'], sample.pred_score, rtol=1e-5)
    assert {r['exit_stage'] for r in results} == {0, 1}
    json.dumps([{k: v for k, v in r.items() if k != 'pred_scores'} for r in results])


def test_without_a_threshold_nothing_is_accepted_or_rejected(project):
    cfg = Config.fromfile(project)
    cfg.model.accept = None
    (result,) = CascadeInferencer(cfg)(str(project.parent / 'images' / '000.png'))
    assert result['accepted'] is None


def test_the_pipeline_is_found_inside_wrapping_data_sets(project):
    cfg = Config.fromfile(project)
    inner = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type='mmcascade.CalibrationSplit', fraction=0.5, part='rest', dataset=inner)
    photo = str(project.parent / 'images' / '003.png')
    assert CascadeInferencer(cfg)(photo)[0]['confidence'] == CascadeInferencer(project)(photo)[0]['confidence']


def test_a_bundle_needs_nothing_else(project, tmp_path):
    run(parser_of(find_tools(ROOT)['bundle_checkpoint']).parse_args([str(project), str(tmp_path)]))
    photo = str(project.parent / 'images' / '003.png')
    bundled = CascadeInferencer(str(tmp_path / 'cascade.py'), pretrained=str(tmp_path / 'cascade.pth'))
    result = bundled(photo)[0]
    assert result['confidence'] == CascadeInferencer(project)(photo)[0]['confidence']
    assert result['pred_class'] in NAMES


def test_it_works_as_the_first_thing_of_a_process(project, tmp_path):
    """Transforms that only mmpretrain has are found without a Runner having set the default scope."""
    config = tmp_path / 'cascade.py'
    config.write_text(
        project.read_text().replace(
            "resize = dict(type='Resize', interpolation='bilinear')", "resize = dict(type='ResizeEdge')"
        )
    )
    photo = project.parent / 'images' / '003.png'
    code = (
        f'from mmcascade import CascadeInferencer\n'
        f'print(CascadeInferencer({str(config)!r})({str(photo)!r})[0]["exit_stage"])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] in ('0', '1'), done.stderr[-2000:]


def test_single_classifiers_are_refused(project):
    cfg = Config.fromfile(project)
    cfg.model = cfg.small
    with pytest.raises(TypeError, match='runs cascades, got a ImageClassifier'):
        CascadeInferencer(cfg)
