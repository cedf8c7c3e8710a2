# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images that are handed in are loaded as the pipeline of a test loads them, whatever that is told."""

from __future__ import annotations

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmcascade import CascadeInferencer, CascadeSegInferencer
from mmcascade.engine.predict.deciders.loading import Loading, load_image
from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.registry import MODELS
from tests.support.projects.tiny_project import make_project

pytest.importorskip('mmseg.models')
from tests.support.projects.tiny_seg_project import write_project  # noqa: E402  (needs mmseg)

TOLD = [dict(color_type='grayscale'), dict(to_float32=True), dict(imdecode_backend='pillow', to_float32=True)]


def confidences_of_a_test(cfg: Config) -> list[float]:
    """The confidence of each image of the test split, as a test gets there."""
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    loader = Runner.build_dataloader(cfg.test_dataloader)
    return [sample.confidence for batch in loader for sample in model.test_step(batch)]


def project_of(task: str, folder) -> tuple[Config, list]:
    if task == 'classification':
        cfg = Config.fromfile(make_project(folder / 'project', 4))
        return cfg, sorted((folder / 'project' / 'images').iterdir())
    policy = dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.6)])
    return write_project(folder, dict(test=2), policy=policy), sorted((folder / 'img' / 'test').iterdir())


@pytest.mark.slow
@pytest.mark.parametrize('task', ['classification', 'segmentation'])
def test_what_a_pipeline_is_told_holds_for_images_that_are_handed_in(tmp_path, task):
    cfg, files = project_of(task, tmp_path)
    usual = confidences_of_a_test(cfg)
    inferencer = CascadeInferencer if task == 'classification' else CascadeSegInferencer
    for told in TOLD:
        cfg.test_dataloader.dataset.pipeline[0] = dict(type='LoadImageFromFile', **told)
        expected = confidences_of_a_test(cfg)
        assert expected != pytest.approx(usual, abs=1e-5)
        cfg.dump(tmp_path / 'told.py')
        decided = open_decider(tmp_path / 'told.py').decide(files)
        assert [found.confidence for found in decided] == pytest.approx(expected, abs=1e-6)
        model = inferencer(Config.fromfile(tmp_path / 'told.py'), device='cpu')
        for images in (files, [file.read_bytes() for file in files]):
            assert [found['confidence'] for found in model(images)] == pytest.approx(expected, abs=1e-5)
        # Grey of a file is rounded by its decoder, and grey of an array by another rule.
        in_memory = model([mmcv.imread(str(file)) for file in files])
        close = 0.02 if told.get('color_type') else 1e-5
        assert [found['confidence'] for found in in_memory] == pytest.approx(expected, abs=close)


def test_as_the_transform_itself(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    mmcv.imwrite(pixels, str(tmp_path / 'image.jpg'))
    from mmcv.transforms import LoadImageFromFile

    for told in (*TOLD, {}):
        expected = LoadImageFromFile(**told)(dict(img_path=str(tmp_path / 'image.jpg')))['img']
        found = load_image(tmp_path / 'image.jpg', Loading.of([dict(type='mmcv.LoadImageFromFile', **told)]))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
