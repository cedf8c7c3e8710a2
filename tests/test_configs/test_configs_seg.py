# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The shipped configs for Cityscapes: they parse, build, cost what the table says, and their parts run."""

from __future__ import annotations

import ast
import copy
import json
import runpy
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.models.members.zoo import find_config, find_weights
from mmcascade.registry import DATASETS, MODELS, TASK_UTILS

pytest.importorskip('mmseg.models')
from mmseg.structures import SegDataSample  # noqa: E402

from tests.support import ROOT  # noqa: E402
from tests.support.projects.tiny_seg_project import member  # noqa: E402

FOLDER = ROOT / 'configs' / 'cityscapes'
PATHS = sorted(FOLDER.glob('*.py'))
TRAIN = {'ulm': 2, 'tubingen': 1, 'weimar': 1, 'zurich': 3}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def config(path) -> Config:
    return Config.fromfile(path)


@pytest.fixture(autouse=True)
def library_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='module')
def cityscapes(tmp_path_factory) -> Path:
    """A few small images in the layout of Cityscapes."""
    root = tmp_path_factory.mktemp('cityscapes')
    generator = np.random.default_rng(0)
    cities = [('train', city, count) for city, count in TRAIN.items()] + [('val', 'frankfurt', 2)]
    for split, city, count in cities:
        for number in range(count):
            name = f'{city}_{number:06d}_000019'
            image = mmcv.imresize(generator.integers(0, 256, (4, 8, 3)).astype(np.uint8), (128, 64))
            label = mmcv.imresize(
                generator.integers(0, 19, (4, 8)).astype(np.uint8), (128, 64), interpolation='nearest'
            )
            mmcv.imwrite(image, str(root / 'leftImg8bit' / split / city / f'{name}_leftImg8bit.png'))
            mmcv.imwrite(label, str(root / 'gtFine' / split / city / f'{name}_gtFine_labelTrainIds.png'))
    return root


def test_whole_experiment(config):
    assert config.default_scope == 'mmseg'
    for part in ('test', 'val'):
        assert [metric['type'] for metric in config[f'{part}_evaluator']] == [
            'IoUMetric',
            'mmcascade.CascadeCost',
            'mmcascade.DeferredPixels',
            'mmcascade.PixelSelective',
        ]
        assert config[f'{part}_cfg'] == {}
    assert config.val_dataloader.dataset.data_prefix.img_path.endswith('train')
    assert config.test_dataloader.dataset.data_prefix.img_path.endswith('val')
    assert {stage.member for stage in config.model.stages} == set(config.model.members)


def test_survives_being_written_and_read(config, tmp_path):
    config.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == config.to_dict()


def test_members_are_in_the_zoo_and_trained_on_cityscapes(config):
    for spec in config.model.members.values():
        assert spec.checkpoint == 'zoo'
        assert find_weights(spec.model).endswith('.pth')
        trained = Config.fromfile(find_config(spec.model))
        assert trained.train_dataloader.dataset.type == 'CityscapesDataset'


@pytest.fixture(scope='module')
def counted() -> dict[str, dict]:
    """The rows of the benchmark, and what it built."""
    benchmark = runpy.run_path(str(ROOT / 'benchmarks' / 'segmentation' / 'cityscapes_macs.py'))
    with DefaultScope.overwrite_default_scope('mmseg'):
        models = {path.name: benchmark['build_without_weights'](path) for path in PATHS}
        return {name: dict(benchmark['costs'](name, model), model=model) for name, model in models.items()}


def test_builds_without_weights_and_says_so(path, counted):
    model = counted[path.name]['model']
    assert len(model.stages) == 2 and not model.stages[1].by_source
    with pytest.raises(RuntimeError, match='no weights were loaded'):
        model.test_step(dict(inputs=[torch.zeros(3, 1024, 2048, dtype=torch.uint8)]))


def test_costs_are_those_of_the_published_table(path, counted):
    published = {
        row['config']: row
        for row in json.loads((ROOT / 'benchmarks' / 'results' / 'cityscapes_macs.json').read_text())['rows']
    }
    assert published.keys() == counted.keys()
    row = {key: value for key, value in counted[path.name].items() if key not in ('config', 'model')}
    del published[path.name]['config']
    assert published[path.name] == pytest.approx(row, rel=1e-6)
    assert row['cell_margin0'] < row['cell_margin64'] < row['all_second']
    assert row['cell'] in (row['cell_margin0'], row['cell_margin64'])


def test_real_networks_give_the_mean_of_what_mmseg_gives(counted):
    """An image that is a single cell, with random weights: no threshold is reached, so both members run."""
    model = counted['bisenetv2_segformer-b2_cell256.py']['model']
    model.load_state_dict(model.state_dict())  # counts as loaded
    coarse = torch.randint(0, 256, (1, 3, 16, 16), generator=torch.Generator().manual_seed(0)).float()
    image = torch.nn.functional.interpolate(coarse, 256, mode='bilinear')[0].to(torch.uint8)

    def batch():
        size = dict(ori_shape=(256, 256), img_shape=(256, 256))
        return dict(inputs=[image], data_samples=[SegDataSample(metainfo=dict(size, sample_idx=0))])

    with torch.no_grad():
        alone = [member.test_step(batch())[0].seg_logits.data.softmax(0) for member in model.members.values()]
    mean = sum(alone) / 2
    (found,) = model.test_step(batch())
    assert found.cells.exit_stages.tolist() == [1]
    assert (found.pred_sem_seg.data[0] == mean.argmax(0)).float().mean() > 0.9999
    assert found.confidence_map.data[0].numpy() == pytest.approx(mean.amax(0).numpy(), abs=1e-5)


def test_two_stages_of_one_member_share_it(counted):
    model = counted['segformer-b2_self_cell512.py']['model']
    assert len(model.members) == 1
    assert [stage.scale for stage in model.stages] == [0.5, 1.0]


def test_calibrates_on_the_cities_that_it_names(config, cityscapes):
    images = DATASETS.build(dict(config.val_dataloader.dataset, data_root=str(cityscapes)))
    assert len(images) == 4
    drives = [images.get_data_info(index)['drive'] for index in range(len(images))]
    assert drives == sorted(['ulm', 'ulm', 'tubingen', 'weimar'])
    assert [images[index]['data_samples'].sample_idx for index in range(4)] == list(range(4))
    assert len(images.metainfo['classes']) == 19
    everything = DATASETS.build(dict(config.val_dataloader.dataset, data_root=str(cityscapes), cities=None))
    assert len(everything) == sum(TRAIN.values())


def test_unknown_city_is_named(config, cityscapes):
    dataset = dict(config.val_dataloader.dataset, data_root=str(cityscapes))
    with pytest.raises(ValueError, match=r"no image of \['paris'\] in .*train'; there are images of \['tubingen', "):
        DATASETS.build(dict(dataset, cities=['ulm', 'paris']))
    with pytest.raises(TypeError, match="cities is a list of names .* got 'ulm'"):
        DATASETS.build(dict(dataset, cities='ulm'))


def test_runs_with_small_members_in_their_place(config, cityscapes, tmp_path):
    """Everything of a config but its networks and the size of its cells, through the runner."""
    cfg = copy.deepcopy(config)
    spec = member(4)
    spec.decode_head.num_classes = 19
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(spec))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'small.pth')
    cfg.model.members = {name: dict(model=spec, checkpoint=str(tmp_path / 'small.pth')) for name in cfg.model.members}
    cfg.model.grid = dict(cell=32, margin=8 if config.model.grid.margin else 0)
    loader = cfg.test_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.data_root = str(cityscapes)
    cfg.work_dir = str(tmp_path)
    metrics = Runner.from_cfg(prepare_test(cfg, EvalFlags('cityscapes.py'))).test()
    assert {'mIoU', 'cost/macs', 'deferred/all', 'pixel/aurc'} <= metrics.keys()
    # Random members are certain of nothing: whatever may go on does.
    cells = getattr(TASK_UTILS.build(cfg.model.policy), 'max_cells', 8)
    assert metrics['cost/reached@stage1'] == pytest.approx(100 * min(cells, 8) / 8)


def test_format_for_the_test_server_as_in_the_readme(path, tmp_path):
    lines = (FOLDER / 'README.md').read_text().splitlines()
    shown = [line[4:] for line in lines[lines.index('## Predictions for the test server') :] if line.startswith('    ')]
    (tmp_path / 'submission.py').write_text('\n'.join([f'_base_ = [{str(path)!r}]', *shown]))
    cfg = prepare_test(Config.fromfile(tmp_path / 'submission.py'), EvalFlags('submission.py'))
    assert cfg.test_dataloader.dataset.data_prefix == dict(img_path='leftImg8bit/test')
    assert [(metric.type, metric.format_only) for metric in cfg.test_evaluator] == [('IoUMetric', True)]


def test_opens_with_a_comment_and_is_listed(path):
    assert path.read_text().startswith('# ') and ast.parse(path.read_text())
    words = (FOLDER / 'README.md').read_text().split()
    assert {word.strip('`') for word in words if word.endswith('.py`')} == {other.name for other in PATHS}


def test_readme_has_the_published_table():
    with_tables = runpy.run_path(str(ROOT / 'docs' / 'update_tables.py'))['with_tables']
    text = (FOLDER / 'README.md').read_text()
    assert text == with_tables(text), 'run docs/update_tables.py'
