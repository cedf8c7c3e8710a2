# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of segmentors and its bundle label alike."""

from __future__ import annotations

import copy
import io
import json
import shutil
from pathlib import Path

import mmcv
import numpy as np
import pytest
from PIL import Image

from mmcascade.engine.runs.export import run_export
from mmcascade.registry import MODELS
from mmcascade.runtime import Bundle, BundleError, ImageError, SegmentationBundle, open_bundle
from mmcascade.runtime.__main__ import main
from tests.support import ROOT
from tests.support.projects.tiny_seg_project import CLASSES, write_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    policy = dict(type='mmcascade.WindowPolicy', windows=[(None, 0.75)])
    confidence = dict(type='mmcascade.CellConfidence', pixel='max_prob', t_unk=0.4, stride=2)
    accepting = dict(accept=0.72, accept_cells=0.75)
    return write_project(tmp_path_factory.mktemp('roads'), policy=policy, confidence=confidence, **accepting)


@pytest.fixture(scope='module')
def exported(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp('export') / 'bundle'
    return folder, run_export(copy.deepcopy(config), folder, 'roads')[0]


def images_of(config, split='test'):
    folder = config[f'{split}_dataloader'].dataset
    return sorted(path.name for path in Path(folder.data_root, folder.data_prefix.img_path).iterdir()), folder


def test_the_report_and_the_folder(exported):
    folder, report = exported
    assert report.images == 4 and report.cells == 48 and report.largest_difference < 1e-4
    assert sorted(p.name for p in folder.iterdir()) == [
        'README.md',
        'cascade.json',
        'large-crop-35x33.onnx',
        'samples',
        'small-image-60x88.onnx',
    ]
    card = (folder / 'README.md').read_text()
    assert 'An image, by the mean of its cells, is accepted from 0.72 upwards. A cell is accepted from 0.75 up' in card
    assert 'per crop of 35 x 33' in card and 'SegmentationBundle' in card and 'agree to' in card


def test_the_bundle_labels_as_the_test_does(exported, config):
    """Through MMEngine's own pipeline and test_step, from the files."""
    from mmengine.runner import Runner

    folder, _ = exported
    model = MODELS.build(config.model)
    loader = Runner.build_dataloader(config.test_dataloader)
    bundle = SegmentationBundle(folder)
    exits, accepted = [], []
    for batch in loader:
        for sample in model.test_step(batch):
            found = bundle.segment(sample.img_path)
            exits += [cell.exit_stage for cell in found.cells]
            assert [cell.exit_stage for cell in found.cells] == sample.cells.exit_stages.tolist()
            assert [list(cell.box) for cell in found.cells] == sample.cells.bboxes.tolist()
            for cell, taken in zip(found.cells, sample.cells.accepted.tolist(), strict=True):
                assert cell.accepted is taken or cell.margin < 5e-3
            accepted += sample.cells.accepted.tolist()
            assert found.confidence == pytest.approx(sample.confidence, abs=5e-3)
            assert found.accepted is sample.accepted or found.margin < 5e-3
            assert found.macs == pytest.approx(sample.macs) and found.mean_exit_stage == sample.mean_exit_stage
            # The view differs by a grey level where OpenCV rounds otherwise.
            np.testing.assert_allclose(
                [cell.confidence for cell in found.cells], sample.cells.confidence.numpy(), atol=5e-3
            )
            assert (found.labels != sample.pred_sem_seg.data[0].numpy()).mean() < 0.01
            png = Image.open(io.BytesIO(found.png()))
            np.testing.assert_array_equal(np.asarray(png), found.labels)
    assert 0 < sum(exits) < len(exits) and 0 < sum(accepted) < len(accepted)


def test_samples_are_labelled_as_promised(exported):
    check = SegmentationBundle(exported[0]).check()
    assert check.samples >= 1 and check.largest_difference < 1e-4
    assert isinstance(open_bundle(exported[0]), SegmentationBundle)
    with pytest.raises(BundleError, match='labels pixels; open it with'):
        Bundle(exported[0])


def test_an_image_of_another_size_is_refused(exported):
    with pytest.raises(ImageError, match='holds its graph for 35 x 33; give images of the sizes in cascade.json'):
        SegmentationBundle(exported[0]).segment(np.zeros((200, 110, 3), np.uint8))


def test_the_command_line(exported, config, tmp_path, capsys):
    names, where = images_of(config)
    files = [f'{where.data_root}/img/test/{name}' for name in names]
    assert main([str(exported[0]), *files, 'missing.png', '--check', '--labels', str(tmp_path / 'out')]) == 1
    checked, *lines = capsys.readouterr().out.splitlines()
    assert 'samples as promised' in checked
    rows = [json.loads(line) for line in lines]
    assert 'cannot be read' in rows[-1]['error'] and len(rows) == len(files) + 1
    labels = np.asarray(Image.open(rows[0]['labels']))
    assert labels.shape == (rows[0]['height'], rows[0]['width']) and labels.max() < len(CLASSES)


def test_several_sizes_have_several_graphs(config, tmp_path):
    cfg = copy.deepcopy(config)
    cfg.val_dataloader.dataset.pipeline[1] = dict(type='Resize', scale=(88, 60), keep_ratio=True)
    names, where = images_of(cfg, 'val')
    image = mmcv.imread(f'{where.data_root}/img/val/{names[0]}')
    for number, name in enumerate(names[:2]):
        part = image if number else image[:48]
        mmcv.imwrite(part, str(tmp_path / 'img' / 'val' / name))
        mmcv.imwrite(np.zeros(part.shape[:2], np.uint8), str(tmp_path / 'ann' / 'val' / name))
    cfg.val_dataloader.dataset.data_root = str(tmp_path)
    report = run_export(cfg, tmp_path / 'b', 't')[0]
    assert len(report.graphs) == 4
    found = [SegmentationBundle(tmp_path / 'b').segment(tmp_path / 'img' / 'val' / name) for name in names[:2]]
    assert [x.labels.shape for x in found] == [(48, 110), (72, 110)]


def test_what_a_bundle_cannot_hold_is_named(config, tmp_path):
    cfg = copy.deepcopy(config)
    cfg.model.policy = dict(type='mmcascade.CellBudgetPolicy', windows=[(None, 0.75)], max_cells=2)
    with pytest.raises(ValueError, match='CellBudgetPolicy'):
        run_export(cfg, tmp_path / 'b', 't')
    with pytest.raises(ValueError, match='no single graph'):
        run_export(copy.deepcopy(config), tmp_path / 'b', 't', single=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda d: d.pop('grid'), 'grid is missing'),
        (lambda d: d['grid'].update(cell=[0, 32]), r'cell is \[height, width\]'),
        (lambda d: d['grid'].update(margin=33), 'margin is a whole number from 0 to 32'),
        (lambda d: d['grid'].update(cell=None, margin=0), 'stages on cells need a grid'),
        (lambda d: d.update(accept_cells='high'), 'accept_cells is a number'),
        (lambda d: d.update(accept_cells=2.0), 'accepted of cell . is False, and True'),
        (lambda d: d.update(accept=-2.0), 'accepted is True, and False was promised'),
        (lambda d: d['cells'].update(reduce='max'), 'reduce is one of'),
        (lambda d: d['cells'].update(reduce='quantile', number=2), 'share of a quantile'),
        (lambda d: d['stages'][0].update(on='cell'), 'labels whole images'),
        (lambda d: d['stages'][1].update(graphs=[]), 'graphs is a list of graphs'),
        (lambda d: d['stages'][1]['graphs'].append(d['stages'][1]['graphs'][0]), 'each for another size'),
        (lambda d: d['stages'][1]['graphs'][0].update(seen=[1, 1]), 'promises'),
        (lambda d: d['stages'][1]['graphs'][0].update(size=[34, 33]), 'holds its graph for 34 x 33'),
        (lambda d: d['stages'][0]['graphs'][0].update(graph='../x.onnx'), 'plain name'),
        (lambda d: d['stages'][0]['graphs'][0].update(sha256='0' * 64), 'SHA-256 differs'),
        (lambda d: d['stages'][0].update(align_corners=1), 'true or false'),
        (lambda d: d['views'][0]['steps'].append(dict(op='center_crop', height=3, width=3)), 'found again'),
    ],
)
def test_every_wrong_field_is_named(exported, tmp_path, change, words):
    folder = tmp_path / 'b'
    shutil.copytree(exported[0], folder)
    data = json.loads((folder / 'cascade.json').read_text())
    change(data)
    (folder / 'cascade.json').write_text(json.dumps(data))
    with pytest.raises((BundleError, ImageError), match=words):
        SegmentationBundle(folder).check()


def test_a_server_labels_as_the_bundle_does(exported, config):
    import base64

    from starlette.testclient import TestClient

    from mmcascade.serving.app import create_app

    names, where = images_of(config)
    files = [Path(where.data_root, 'img', 'test', name) for name in names]
    bundle = SegmentationBundle(exported[0])
    with TestClient(create_app({'roads': exported[0]})) as client:
        for file in files:
            expected = bundle.segment(file)
            answer = client.post('/v1/segment', content=file.read_bytes()).json()
            assert {key: answer[key] for key in expected.to_json()} == expected.to_json()
            labels = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer['labels']))))
            np.testing.assert_array_equal(labels, expected.labels)
            png = client.post('/v1/segment?answer=png', content=file.read_bytes())
            assert png.headers['content-type'] == 'image/png' and png.content == expected.png()
        assert client.post('/v1/decide', content=files[0].read_bytes()).status_code == 422
        small = io.BytesIO()
        Image.new('RGB', (64, 200)).save(small, 'PNG')
        refused = client.post('/v1/segment', content=small.getvalue())
        assert refused.status_code == 400 and 'holds its graph for' in refused.json()['detail']
        assert client.post('/v1/segment', content=b'broken').status_code == 400
        several = [('images', ('a.png', small.getvalue())), ('images', ('b.png', small.getvalue()))]
        assert client.post('/v1/segment', files=several).status_code == 422
        assert client.get('/v1/bundles').json()[0]['task'] == 'segmentation'
        counted = client.get('/metrics').text
        assert 'mmcascade_cells_total{' in counted and 'mmcascade_broken_images_total{bundle="roads"} 2.0' in counted


def test_predict_through_bundle_and_config_write_the_same(exported, config, tmp_path, run_tool):
    names, where = images_of(config)
    config.dump(tmp_path / 'cascade.py')
    rows = {}
    for name, cascade in (('config', tmp_path / 'cascade.py'), ('bundle', exported[0])):
        out = tmp_path / f'{name}.jsonl'
        folder = Path(where.data_root, 'img', 'test')
        run_tool(ROOT / 'tools' / 'predict.py', cascade, folder, '--out', out, '--maps-to', tmp_path / name)
        rows[name] = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows['bundle']) == len(names)
    for ours, theirs in zip(rows['bundle'], rows['config'], strict=True):
        nearly = ('cells', 'label_map', 'class_shares', 'confidence')
        assert {k: v for k, v in ours.items() if k not in nearly} == {
            k: v for k, v in theirs.items() if k not in nearly
        }
        assert ours['confidence'] == pytest.approx(theirs['confidence'], abs=5e-3)
        for cell, other in zip(ours['cells'], theirs['cells'], strict=True):
            assert cell.keys() == other.keys() and cell['bbox'] == other['bbox']
            assert cell['exit_stage'] == other['exit_stage'] and cell['accepted'] == other['accepted']
        maps = [np.asarray(Image.open(row['label_map'])) for row in (ours, theirs)]
        assert (maps[0] != maps[1]).mean() < 0.01
