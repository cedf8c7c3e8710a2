# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Classification works where MMSegmentation cannot be imported, and segmentation where MMPretrain cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.projects.tiny_project import make_project

# A library can be absent, or, with an mmcv of another version, fail in an assertion.
BLOCKED = """
import sys, runpy

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == {library!r}:
            raise {error}('{library} is blocked')

sys.meta_path.insert(0, Blocked())
"""
RUN = (
    BLOCKED
    + """
sys.argv = ['tools/test.py', {config!r}, '--out', {out!r}, '--work-dir', {work!r}, '--show-dir', {work!r}]
runpy.run_path({test!r}, run_name='__main__')
assert not any(name.partition('.')[0] == {library!r} for name in sys.modules)

import mmcascade.calibration, mmcascade.demo, mmcascade.engine, mmcascade.evaluation, mmcascade.visualization
import mmcascade.engine.runs.prepare_store, mmcascade.engine.runs.search
from mmcascade.registry import DATASETS, HOOKS, LOOPS, METRICS, MODELS
for registry, names in {here}.items():
    for name in names:
        assert isinstance(globals()[registry].get('mmcascade.' + name), type), name
for registry, names in {missing}.items():
    for name in names:
        try:
            globals()[registry].build(dict(type='mmcascade.' + name))
        except ImportError as caught:
            assert name + ' needs {library}' in str(caught) and '{library} is blocked' in str(caught), caught
        else:
            raise SystemExit(name + ' was built')
"""
)
BOTH = dict(
    HOOKS=['CascadeVisualizationHook', 'CellVisualizationHook', 'StageTableHook'],
    LOOPS=['DeferredTestLoop'],
    METRICS=[
        'CascadeCost',
        'DeferredPixels',
        'PixelSelective',
        'SelectiveMaps',
        'SelectiveRisk',
        'OODDetection',
        'SCOD',
    ],
)
CLASSIFICATION = dict(MODELS=['WindowCascadeClassifier'])
SEGMENTATION = dict(MODELS=['CascadeSegmentor'], DATASETS=['CamVidDataset', 'CityscapesCities'])


def check(tmp_path: Path, config: Path, **fields: object) -> dict[str, float]:
    """Test a config in a process where a library is blocked; the metrics."""
    script = tmp_path / 'script.py'
    script.write_text(
        RUN.format(
            config=str(config),
            out=str(tmp_path / 'metrics.json'),
            work=str(tmp_path / 'work'),
            test=str(ROOT / 'tools' / 'test.py'),
            **fields,
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert list((tmp_path / 'work').rglob('*.png'))
    return json.loads((tmp_path / 'metrics.json').read_text())


@pytest.mark.slow
def test_classification_without_mmsegmentation(tmp_path):
    metrics = check(
        tmp_path,
        make_project(tmp_path / 'project'),
        library='mmseg',
        error='AssertionError',
        here=BOTH | CLASSIFICATION,
        missing=SEGMENTATION,
    )
    assert {'accuracy/top1', 'selective/aurc', 'cost/macs'} <= metrics.keys()


@pytest.mark.slow
def test_segmentation_without_mmpretrain(tmp_path):
    pytest.importorskip('mmseg.models')
    from tests.support.projects.tiny_seg_project import write_project

    cfg = write_project(tmp_path, dict(test=2), policy=dict(type='mmcascade.WindowPolicy', windows=[(None, 0.7)]))
    cfg.custom_hooks = [dict(type='mmcascade.StageTableHook')]
    cfg.test_cfg = dict(type='mmcascade.DeferredTestLoop')
    cfg.dump(tmp_path / 'cascade.py')
    metrics = check(
        tmp_path,
        tmp_path / 'cascade.py',
        library='mmpretrain',
        error='ImportError',
        here=BOTH | SEGMENTATION,
        missing=CLASSIFICATION,
    )
    assert {'mIoU', 'cost/macs', 'cost/reached@stage1'} <= metrics.keys()
