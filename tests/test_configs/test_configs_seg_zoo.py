# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The shipped configs for ADE20K, Pascal, COCO-Stuff, LoveDA and Potsdam, on made images of several sizes."""

from __future__ import annotations

import ast
import copy
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.models.members.zoo import find_config, find_weights
from mmcascade.registry import DATASETS, MODELS

pytest.importorskip('mmseg.models')

from tests.support import ROOT  # noqa: E402
from tests.test_configs.zoo_images import LAYOUTS, PATHS, on_images, tiny_members, write_images  # noqa: E402

# Below the size of a cell in one direction or in both, upright and lying, and one of several cells.
TINY = [(48, 64), (64, 48), (20, 70), (24, 30), (48, 64), (100, 40)]
# Of images on disk, as these data sets have them.
TYPICAL = {
    'ade20k': [(512, 683), (683, 512), (256, 256)],
    'pascal_voc': [(375, 500), (500, 333)],
    'pascal_context': [(375, 500), (500, 375)],
    'coco_stuff': [(480, 640), (640, 427)],
    'loveda': [(1024, 1024)],
    'potsdam': [(512, 512)],
}
RESIZED, CELL = (96, 56), 32
# Cells, and members that slide windows; both have labels from 1.
FEW = ['ade20k/segformer-b0-b3_cell256', 'pascal_context/fcn-hr48_deeplabv3plus-r101_image']


@pytest.fixture(params=[f'{path.parent.name}/{path.stem}' for path in PATHS])
def path(request) -> Path:
    return ROOT / 'configs' / f'{request.param}.py'


@pytest.fixture(autouse=True)
def library_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def tiny(path, tmp_path) -> Config:
    """A config with tiny members on tiny images."""
    root = write_images(tmp_path / 'data', LAYOUTS[path.parent.name], TINY)
    return on_images(tiny_members(path, tmp_path), root, RESIZED, CELL)


def figures(cfg: Config, **options) -> dict[str, float]:
    cfg = copy.deepcopy(cfg)
    return Runner.from_cfg(prepare_test(cfg, EvalFlags('config.py', **options))).test()


def test_whole_experiment(path):
    cfg = Config.fromfile(path)
    names = ['IoUMetric', 'mmcascade.CascadeCost', 'mmcascade.DeferredPixels', 'mmcascade.PixelSelective']
    for part in ('test', 'val'):
        assert [metric['type'] for metric in cfg[f'{part}_evaluator']] == names
    assert (cfg.val_dataloader.dataset.part, cfg.test_dataloader.dataset.part) == ('calibration', 'rest')
    assert cfg.val_dataloader.dataset.dataset == cfg.test_dataloader.dataset.dataset
    assert {stage.member for stage in cfg.model.stages} == set(cfg.model.members)


def test_members_are_in_the_zoo_and_tested_there_as_here(path):
    cfg = Config.fromfile(path)
    for spec in cfg.model.members.values():
        assert spec.checkpoint == 'zoo' and find_weights(spec.model).endswith('.pth')
        theirs = Config.fromfile(find_config(spec.model)).test_dataloader.dataset
        assert theirs.type == cfg.test_dataloader.dataset.dataset.type
        assert [step for step in theirs.pipeline if step.type == 'Resize'] == [
            step for step in cfg.test_pipeline if step.type == 'Resize'
        ]
        ours = cfg.test_dataloader.dataset.dataset
        assert theirs.data_prefix == ours.data_prefix
        assert theirs.data_root.rstrip('/') == ours.data_root
        assert theirs.get('ann_file', '') == ours.get('ann_file', '')


def test_survives_being_written_and_read(path, tmp_path):
    cfg = Config.fromfile(path)
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


def test_opens_with_a_comment_and_is_listed(path):
    assert path.read_text().startswith('# ') and ast.parse(path.read_text())
    words = {word.strip('`') for word in (path.parent / 'README.md').read_text().split()}
    assert {word for word in words if word.endswith('.py') and '/' not in word} == {
        other.name for other in PATHS if other.parent == path.parent
    }


def test_labels_are_those_on_disk(tiny, path):
    """Label 0 counts nowhere where the data set says so, and nothing is lost of the sizes."""
    layout = LAYOUTS[path.parent.name]
    for part in (tiny.val_dataloader, tiny.test_dataloader):
        for data in DATASETS.build(part.dataset):
            sample = data['data_samples']
            on_disk = Path(sample.seg_map_path)
            expected = labels_in(on_disk, layout.from_one)
            assert sample.gt_sem_seg.data[0].numpy() == pytest.approx(expected)
            assert sample.ori_shape == expected.shape


def labels_in(path: Path, from_one: bool) -> np.ndarray:
    stored = np.array(Image.open(path)).astype(int)
    return np.where(stored == 0, 255, stored - 1) if from_one else stored


@pytest.mark.slow  # a cascade of each config, twice over
@pytest.mark.parametrize('path', FEW, indirect=True, ids=str)
def test_mixed_sizes_in_one_batch_change_no_figure(tiny):
    found = figures(tiny)
    assert {'mIoU', 'cost/macs', 'deferred/all', 'pixel/aurc'} <= found.keys()
    assert found['mIoU'] == pytest.approx(100 * counted_miou(tiny), abs=0.006)
    tiny.test_dataloader.batch_size = 3
    tiny.test_cfg = dict(type='mmcascade.DeferredTestLoop')
    assert figures(tiny) == pytest.approx(found, rel=1e-5, nan_ok=True)


def counted_miou(cfg: Config) -> float:
    """Over the labelled pixels of the test part, counted one class after the other."""
    cfg = prepare_test(copy.deepcopy(cfg), EvalFlags('config.py'))
    model, images = MODELS.build(cfg.model), DATASETS.build(cfg.test_dataloader.dataset)
    found = model.test_step(pseudo_collate([images[index] for index in range(len(images))]))
    truth = np.concatenate([sample.gt_sem_seg.data.numpy().ravel() for sample in found])
    labels = np.concatenate([sample.pred_sem_seg.data.numpy().ravel() for sample in found])
    either = [(truth == c) | ((labels == c) & (truth != 255)) for c in range(len(images.metainfo['classes']))]
    return np.mean([((truth == c) & (labels == c)).sum() / x.sum() for c, x in enumerate(either) if x.any()])


@pytest.mark.parametrize('path', FEW, indirect=True, ids=str)
def test_a_calibration_says_what_a_test_on_its_part_finds(tiny, tmp_path):
    cfg = copy.deepcopy(tiny)
    cfg.model.policy = None
    cfg.val_dataloader.dataset.fraction = cfg.test_dataloader.dataset.fraction = 0.5
    made = run_calibration(cfg, CalibrationRequest('deferred=0.5'), tmp_path / 'run' / 'cal.json').calibration
    cfg.model.calibration = str(tmp_path / 'run' / 'cal.json')
    for key in ('dataloader', 'evaluator', 'cfg'):
        cfg[f'test_{key}'] = copy.deepcopy(cfg[f'val_{key}'])
    found = figures(cfg)
    assert found['mIoU'] == pytest.approx(100 * made.measured['miou'], abs=0.006)
    assert found['cost/macs'] == pytest.approx(made.measured['macs'] / 1e9, rel=1e-4)


@pytest.mark.parametrize('path', FEW, indirect=True, ids=str)
def test_augmented(tiny):
    assert [len(group) for group in tiny.tta_pipeline[-1].transforms] == [6, 2, 1, 1]
    tiny.tta_pipeline[-1].transforms[0] = [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in (0.75, 1.0)]
    augmented = figures(tiny, tta=True)
    assert augmented.keys() >= {'mIoU', 'cost/macs', 'pixel/aurc'}
    assert np.isfinite(augmented['mIoU'])


@pytest.mark.filterwarnings('ignore::UserWarning')  # the library speaks of what its inferencer lacks
@pytest.mark.parametrize('path', FEW, indirect=True, ids=str)
def test_a_folder_of_images_through_the_librarys_inferencer(tiny, path, tmp_path):
    from mmseg.apis import MMSegInferencer

    tiny.dump(tmp_path / 'config.py')
    folder = tmp_path / 'data' / LAYOUTS[path.parent.name].images
    inferencer = MMSegInferencer(str(tmp_path / 'config.py'), device='cpu')
    found = inferencer(str(folder), batch_size=4, out_dir=str(tmp_path / 'out'))['predictions']
    alone = [inferencer(str(file))['predictions'] for file in sorted(folder.iterdir())]
    assert sorted(labels.shape for labels in found) == sorted(TINY)
    shapes = {labels.shape: labels for labels in alone}
    for labels in found:
        if TINY.count(labels.shape) == 1:
            assert (labels == shapes[labels.shape]).mean() > 0.9995


@pytest.mark.slow
def test_tiny_members_on_images_of_their_usual_size(path, tmp_path):
    root = write_images(tmp_path / 'data', LAYOUTS[path.parent.name], 2 * TYPICAL[path.parent.name])
    cfg = on_images(tiny_members(path, tmp_path), root)
    cfg.val_dataloader.dataset.fraction = cfg.test_dataloader.dataset.fraction = 0.5
    found = figures(cfg)
    assert np.isfinite(found['mIoU']) and 0 <= found['cost/reached@stage1'] <= 100


@pytest.mark.slow
def test_real_networks_label_as_mmseg_does(path, tmp_path):
    """With random weights, on one image of a usual size: nobody deferred, and everybody."""
    root = write_images(tmp_path / 'data', LAYOUTS[path.parent.name], [*TYPICAL[path.parent.name][:1], (40, 50)])
    cfg = on_images(Config.fromfile(path), root)
    cfg.val_dataloader.dataset.update(fraction=None, num=1)
    benchmark = runpy.run_path(str(ROOT / 'benchmarks' / 'segmentation' / 'zoo_pairs_macs.py'))
    images = DATASETS.build(cfg.test_dataloader.dataset.dataset | dict(pipeline=cfg.test_pipeline))
    for window in (None, (None, None)):
        cfg.model.policy = dict(type='mmcascade.WindowPolicy', windows=[window])
        cfg.model.fusion = 'replace'
        model = benchmark['build_without_weights'](cfg)
        model.load_state_dict(model.state_dict())  # counts as loaded
        (found,) = model.test_step(pseudo_collate([images[0]]))
        assert set(found.cells.exit_stages.tolist()) == {0 if window is None else 1}
        if 'segnext' in path.stem:  # its head draws numbers whenever it runs, so no two runs give the same labels
            continue
        if window is None or model.cell is None:
            alone = list(model.members.values())[0 if window is None else 1]
            with torch.no_grad():
                (expected,) = alone.test_step(pseudo_collate([images[0]]))
            assert (found.pred_sem_seg.data == expected.pred_sem_seg.data).float().mean() > 0.9999


@pytest.mark.slow
def test_costs_are_those_of_the_published_table(path):
    benchmark = runpy.run_path(str(ROOT / 'benchmarks' / 'segmentation' / 'zoo_pairs_macs.py'))
    name = f'{path.parent.name}/{path.name}'
    results = json.loads((ROOT / 'benchmarks' / 'results' / 'zoo_pairs_macs.json').read_text())
    published = {row['config']: row for row in results['rows']}
    assert published.keys() == {f'{other.parent.name}/{other.name}' for other in PATHS}
    found = benchmark['costs'](path)
    assert published[name].pop('config') == found.pop('config')
    assert published[name] == pytest.approx(found, rel=1e-6)


def test_ignored_labels_other_than_255(tmp_path):
    """Pixels of another number, in the evaluators, the data and a calibration."""
    (path,) = (path for path in PATHS if path.parent.name == 'pascal_voc')
    root = write_images(tmp_path / 'data', LAYOUTS['pascal_voc'], TINY)
    cfg = on_images(tiny_members(path, tmp_path), root, RESIZED, CELL)
    expected = figures(cfg)
    for file in (root / LAYOUTS['pascal_voc'].labels).iterdir():
        stored = np.array(Image.open(file))
        stored[stored == 255] = 200
        Image.fromarray(stored).save(file)
    for metric in [*cfg.val_evaluator, *cfg.test_evaluator]:
        if metric.type != 'mmcascade.CascadeCost':
            metric.ignore_index = 200
    assert figures(cfg) == pytest.approx(expected, nan_ok=True)
