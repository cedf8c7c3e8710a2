# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""tools/test.py, bundles and MMSegmentation's own tools on a cascade of segmentors."""

from __future__ import annotations

import copy
import json
import re
import runpy
import sys
from pathlib import Path

import mmcv
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from tests.support import ROOT

mmseg = pytest.importorskip('mmseg')
apis = pytest.importorskip('mmseg.apis')
from tests.support.projects.tiny_seg_project import CLASSES, IMAGE, PALETTE, write_project  # noqa: E402

TEST = ROOT / 'tools' / 'test.py'
BUNDLE = ROOT / 'tools' / 'bundle_checkpoint.py'
MM_TEST = Path(mmseg.__file__).parent / '.mim' / 'tools' / 'test.py'
IMAGES, BOUND = 3, 0.7


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    """A folder as a user has it, with a cascade that sends some cells on and not others."""
    folder = tmp_path_factory.mktemp('segmentation')
    cfg = write_project(
        folder,
        dict(test=IMAGES),
        confidence_map=True,
        policy=dict(type='mmcascade.WindowPolicy', windows=[(None, BOUND)]),
    )
    cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.default_hooks = dict(visualization=dict(type='mmcascade.CellVisualizationHook', interval=1))
    cfg.custom_hooks = [dict(type='mmcascade.StageTableHook')]
    cfg.dump(folder / 'cascade.py')
    return folder / 'cascade.py'


@pytest.fixture
def run_here(tmp_path, monkeypatch):
    """Run a script in this process as a user would, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(script: Path, *args: object) -> None:
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, args)])
        runpy.run_path(str(script), run_name='__main__')

    return run


@pytest.fixture(scope='module')
def metrics(config, tmp_path_factory):
    """What the cascade is to measure."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp('metrics')
        patch.chdir(folder)
        patch.setattr(
            sys,
            'argv',
            [
                str(TEST),
                str(config),
                '--out',
                'metrics.json',
                '--show-dir',
                'pictures',
                '--interval',
                '2',
                '--work-dir',
                'logs',
            ],
        )
        runpy.run_path(str(TEST), run_name='__main__')
        yield json.loads((folder / 'metrics.json').read_text())


def own_miou(predictions) -> float:
    """Mean IoU in percent, class by class."""
    guess, truth = (
        np.concatenate([sample[key]['data'].numpy().ravel() for sample in predictions])
        for key in ('pred_sem_seg', 'gt_sem_seg')
    )
    guess, truth = guess[truth != 255], truth[truth != 255]
    return 100 * np.mean(
        [((guess == c) & (truth == c)).sum() / ((guess == c) | (truth == c)).sum() for c in range(len(CLASSES))]
    )


def test_metrics_pictures_and_stages(metrics):
    assert 5 < metrics['cost/reached@stage1'] < 95, 'the fixture must route'
    assert metrics['cost/macs'] > 0 and metrics['cost/nonfinite'] == 0
    (log,) = Path('logs').rglob('*.log')
    lines = log.read_text().partition('Stages of the cascade')[2].splitlines()
    table = [re.split(r'\s{2,}', line.strip()) for line in lines if re.match(r'\s*[01]\s{2,}', line)]
    assert [row[2] for row in table[:2]] == ['image', 'cell']
    assert table[0][3] == '3x60x88' and table[1][3] != 'never ran'
    pictures = sorted(Path('pictures').iterdir())
    assert [path.name for path in pictures] == ['000000_0.png', '000002_2.png']
    picture = mmcv.imread(str(pictures[0]), channel_order='rgb')
    assert picture.shape[1] > 1000
    for colour in PALETTE[:2]:
        assert (picture == colour).all(-1).any()


def test_predictions_agree_with_the_metrics(config, metrics, run_here):
    run_here(TEST, config, 'none', '--out', 'predictions.pkl', '--launcher', 'none')
    predictions = mmengine.load('predictions.pkl')
    assert len(predictions) == IMAGES
    assert own_miou(predictions) == pytest.approx(metrics['mIoU'], abs=0.006)
    assert np.mean([sample['macs'] for sample in predictions]) == pytest.approx(1e9 * metrics['cost/macs'])
    for sample in predictions:
        assert sample['pred_sem_seg']['data'].shape == sample['confidence_map']['data'].shape == (1, *IMAGE)
        assert 'seg_logits' not in sample
        left = sample['cells']['exit_stages'] > 0
        boxes = sample['cells']['bboxes'].numpy()
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        assert areas.sum() == IMAGE[0] * IMAGE[1]
        assert areas[left].sum() / areas.sum() == pytest.approx(sample['reached'][1])


def test_deferred_loop_measures_the_same_and_draws(config, metrics, run_here):
    run_here(
        TEST,
        config,
        '--out',
        'metrics.json',
        '--show-dir',
        'pictures',
        '--cfg-options',
        'test_cfg.type=mmcascade.DeferredTestLoop',
        'test_dataloader.batch_size=1',
    )
    assert json.loads(Path('metrics.json').read_text()) == pytest.approx(metrics)
    assert len(list(Path('pictures').iterdir())) == IMAGES


def test_pictures_of_samples_without_a_path(config, run_here, tmp_path):
    """The images wait with their batches then, and are shown as the members saw them."""
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.pipeline[-1].meta_keys = ('ori_shape', 'img_shape', 'flip', 'flip_direction')
    cfg.test_cfg = dict(type='mmcascade.DeferredTestLoop')
    cfg.dump(tmp_path / 'nameless.py')
    run_here(TEST, tmp_path / 'nameless.py', '--show-dir', 'pictures')
    assert sorted(path.name for path in Path('pictures').iterdir()) == [f'{k:06d}.png' for k in range(IMAGES)]


def test_bundle_in_mmsegs_own_test_script(config, metrics, run_here):
    run_here(BUNDLE, config, 'bundle')
    saved = torch.load('bundle/cascade.pth', weights_only=True)
    assert saved['meta']['dataset_meta'] == dict(classes=CLASSES, palette=PALETTE)
    run_here(MM_TEST, 'bundle/cascade.py', 'bundle/cascade.pth', '--work-dir', 'logs', '--show-dir', 'shown')
    (log,) = Path('logs').rglob('*.log')
    assert f'mIoU: {metrics["mIoU"]:.4f}' in log.read_text()
    assert len(list(Path('shown').rglob('*.png'))) == IMAGES
    # the bundle brings its class names along, and any inferencer takes it
    model = apis.init_model('bundle/cascade.py', 'bundle/cascade.pth', device='cpu')
    assert tuple(model.dataset_meta['classes']) == CLASSES
    alone = apis.init_model(str(config), device='cpu')
    image = str(config.parent / 'img/test/0.png')
    assert torch.equal(*(apis.inference_model(m, image).pred_sem_seg.data for m in (model, alone)))


@pytest.mark.filterwarnings('ignore:Failed to add .*LocalVisBackend')  # mmseg draws without a folder to save in
def test_init_model_and_inference_model(config):
    model = apis.init_model(str(config), device='cpu')
    assert model.dataset_meta == dict(classes=CLASSES, palette=PALETTE)
    paths = [str(config.parent / f'img/test/{k}.png') for k in range(2)]
    first, second = apis.inference_model(model, paths)
    assert first.pred_sem_seg.data.shape == second.pred_sem_seg.data.shape == (1, *IMAGE)
    assert len(first.cells) == 12
    assert torch.equal(apis.inference_model(model, paths[1]).pred_sem_seg.data, second.pred_sem_seg.data)
    # an image in memory, and mmseg's own picture of it
    array = mmcv.imread(paths[0])
    single = apis.inference_model(model, array)
    assert torch.equal(single.pred_sem_seg.data, first.pred_sem_seg.data)
    assert apis.show_result_pyplot(model, array, single, show=False, draw_gt=False, out_file=None).shape == (*IMAGE, 3)


@pytest.mark.filterwarnings('ignore:Failed to add .*LocalVisBackend')
@pytest.mark.filterwarnings('ignore:Checkpoint is not loaded')  # the cascade has loaded its members
@pytest.mark.filterwarnings('ignore:weights is None')
def test_inferencer_keeps_the_classes_of_the_members(config, tmp_path):
    inferencer = apis.MMSegInferencer(str(config), device='cpu')
    image = str(config.parent / 'img/test/0.png')
    result = inferencer(image, out_dir=str(tmp_path))
    model = apis.init_model(str(config), device='cpu')
    assert (result['predictions'] == apis.inference_model(model, image).pred_sem_seg.data[0].numpy()).all()
    assert inferencer.model.dataset_meta == dict(classes=CLASSES, palette=PALETTE)
    assert {path.suffix for path in tmp_path.rglob('*.*')} == {'.png'}


def without_labels(config: Path, folder: Path, evaluator: list[dict]) -> Path:
    cfg = Config.fromfile(config)
    pipeline = [transform for transform in cfg.test_pipeline if transform.type != 'LoadAnnotations']
    cfg.test_dataloader.dataset.update(data_prefix=dict(img_path='img/test'), pipeline=pipeline)
    cfg.test_evaluator = evaluator
    cfg.dump(folder / 'unlabelled.py')
    return folder / 'unlabelled.py'


def test_folder_without_annotations_is_formatted(config, run_here, tmp_path):
    evaluator = [dict(type='IoUMetric', format_only=True, output_dir='submission'), dict(type='mmcascade.CascadeCost')]
    run_here(TEST, without_labels(config, tmp_path, evaluator), '--out', 'predictions.pkl', '--show-dir', 'pictures')
    predictions = mmengine.load('predictions.pkl')
    for number, sample in enumerate(predictions):
        written = mmcv.imread(f'submission/{number}.png', flag='unchanged')
        assert (written == sample['pred_sem_seg']['data'][0].numpy()).all()
    assert len(list(Path('pictures').iterdir())) == IMAGES


def test_metrics_do_without_annotations(config, run_here, tmp_path):
    evaluator = [
        dict(type='IoUMetric'),
        dict(type='mmcascade.CascadeCost'),
        dict(type='mmcascade.DeferredPixels'),
        dict(type='mmcascade.PixelSelective'),
    ]
    with (
        pytest.warns(UserWarning, match=r'loads no annotations, so IoUMetric is left out.*format_only=True'),
        pytest.warns(UserWarning, match='DeferredPixels got no labelled pixel from 3 images'),
        pytest.warns(UserWarning, match='PixelSelective got no labelled pixel from 3 images'),
    ):
        run_here(TEST, without_labels(config, tmp_path, evaluator), '--out', 'metrics.json')
    found = json.loads(Path('metrics.json').read_text())
    assert found['cost/macs'] > 0
    assert found['deferred/all'] is None and 'mIoU' not in found


def test_iou_is_left_out_where_one_of_joined_data_sets_has_no_annotations(config, run_here, tmp_path):
    path = without_labels(config, tmp_path, [dict(type='IoUMetric'), dict(type='mmcascade.CascadeCost')])
    cfg, labelled = Config.fromfile(path), Config.fromfile(config).test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[labelled, cfg.test_dataloader.dataset])
    cfg.dump(path)
    with pytest.warns(UserWarning, match='loads no annotations, so IoUMetric is left out'):
        run_here(TEST, path, '--out', 'metrics.json')
    assert set(json.loads(Path('metrics.json').read_text())) >= {'cost/macs'}


def test_augmentation_averages_the_fused_maps(config, metrics, run_here):
    with pytest.raises(SystemExit, match='error: --tta of a segmentation cascade needs a tta_pipeline'):
        run_here(TEST, config, '--tta')
    cfg = Config.fromfile(config)
    *others, annotations, pack = cfg.test_dataloader.dataset.pipeline
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0, direction='horizontal')]
    cfg.tta_pipeline = [*others, dict(type='TestTimeAug', transforms=[flips, [annotations], [pack]])]
    path = config.with_name('augmented.py')
    cfg.dump(path)
    run_here(TEST, path, '--tta', '--out', 'augmented.json')
    found = json.loads(Path('augmented.json').read_text())
    assert found['mIoU'] != metrics['mIoU'] and set(found) == set(metrics)
    assert 1.5 < found['cost/macs'] / metrics['cost/macs'] < 3


def test_first_member_alone_is_what_mmseg_measures(config, metrics, run_here):
    """No cell goes on: the same mIoU as the member in MMSegmentation's own loop."""
    run_here(TEST, config, '--out', 'alone.json', '--cfg-options', 'model.policy.windows=[None]')
    cfg = Config.fromfile(config)
    init_default_scope('mmseg')
    cfg.model = copy.deepcopy(cfg.model.members.small.model)
    cfg.test_evaluator = dict(type='IoUMetric')
    cfg.load_from = str(config.parent / 'small.pth')
    cfg.work_dir, cfg.val_dataloader, cfg.val_cfg, cfg.val_evaluator = 'logs', None, None, None
    expected = mmengine.runner.Runner.from_cfg(cfg).test()
    assert json.loads(Path('alone.json').read_text())['mIoU'] == expected['mIoU']
    assert expected['mIoU'] != metrics['mIoU']
